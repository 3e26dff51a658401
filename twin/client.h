/* The other side of the twin's socket, for people and tests: one request, or a command in a host.
 */
#pragma once

/* Sends a request as it is and prints the answer; exit code 0 when it is ok. */
int client_request(const char *socket_path, const char *request);

/*
 * Runs a command in the namespace of a host, of "router" or of "outside", with its user's full
 * rights there, and returns its exit code.
 */
int client_execute(const char *socket_path, const char *host, char *const *arguments);
