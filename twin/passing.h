/* Messages over a local socket that may carry a file descriptor (unix(7), SCM_RIGHTS). System calls
 * only. */
#pragma once

#include <stddef.h>

/* Sends size bytes, and with them a descriptor, which stays the caller's, unless it is -1. flags as
 * in sendmsg(2). Returns 0 or a negative errno. */
int passing_send(int socket, const void *bytes, size_t size, int fd, int flags);

/*
 * Receives size bytes. Returns 1; 0 when the socket ended or something else came; or a negative
 * errno. *ret_fd is the caller's then, and -1 when there is none.
 */
int passing_receive(int socket, void *ret_bytes, size_t size, int *ret_fd, int flags);
