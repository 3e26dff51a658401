/*
 * The outer half of the twin and the link to it. It owns what belongs to the machine's namespaces:
 * the twin's socket, the host ports, the signals of the terminal.
 */
#pragma once

#include "base/memory.h"
#include "net/loop.h"

#include <stdint.h>

/*
 * Listens on a Unix socket with mode 0600 and replaces a socket file that nobody answers on.
 * ERROR_BUSY when somebody does, ERROR_INVALID when the path is too long.
 */
int outer_open_socket(const char *path, int *ret_fd, struct error *err);

/*
 * The outer half's whole life: hands connections of its own user in, opens host ports on demand,
 * asks the inner half to end at SIGTERM or SIGINT (kills it at the second), and returns the exit
 * code of the inner half when that has ended. The signals must be blocked already.
 */
int outer_run(int listener, int link, pid_t inner);

/* The inner half's end of the link. */
struct outer;
struct outer_events {
    void (*connected)(void *argument, int take_fd);
    void (*asked_to_end)(void *argument);
    void *argument;
};
struct outer *outer_new(struct loop *loop, int take_link, const struct outer_events *events);
/* Accepts NULL. Nobody may be waiting in outer_listen(). */
void outer_free(struct outer *outer);
DEFINE_CLEANUP(struct outer *, outer_free)

/*
 * A socket that listens on 127.0.0.1:port of the machine the twin runs on, outside of all its
 * namespaces; port 0 lets the system choose. ERROR_EXISTS when the port is taken.
 */
CO_FN int outer_listen(struct outer *outer, uint16_t port, int *ret_fd, uint16_t *ret_port,
                       struct error *err);
