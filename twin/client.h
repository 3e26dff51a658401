/* The other side of the twin's socket, for people and tests: one request, or a command in a host.
 */
#pragma once

#include <stdbool.h>

/* Sends a request as it is and prints the answer; exit code 0 when it is ok. */
int client_request(const char *socket_path, const char *request);

/*
 * Runs a command in the cage of a host, or of "outside", or in the router's network, and returns
 * its exit code. It has its user's full rights there; as an instance, only those that the programs
 * of the host have.
 */
int client_execute(const char *socket_path, const char *host, char *const *arguments,
                   bool as_instance);
