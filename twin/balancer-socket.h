/* HAProxy's statistics socket: commands and what they answer. */
#pragma once

#include "base/error.h"
#include "base/memory.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Gives one command and collects the answer, without its last newlines; the caller frees
 * *ret_answer. ERROR_UNAVAILABLE when nobody listens there.
 */
CO_FN int balancer_command(struct loop *loop, const char *socket, const char *command,
                           int64_t deadline, char **ret_answer, struct error *err);

/* Whether somebody listens at a socket. */
int balancer_probe_socket(const char *path, struct error *err);

/* A line of `show stat`: a frontend, a backend, or a server of one. */
struct balancer_line {
    char *proxy;            /* owned */
    char *server;           /* owned; "FRONTEND", "BACKEND" or a name */
    char *status;           /* owned; "OPEN", "UP", "DOWN 1/2", "MAINT" ... */
    char *check;            /* owned; its last check: "L7OK", "* L4CON", "INI" before the first */
    int64_t sessions;       /* now */
    int64_t total_sessions; /* ever */
    int64_t requests;       /* ever; of a frontend */
    int64_t denied;         /* requests refused by a rule */
    int64_t errors;         /* answers with 5xx */
};

struct balancer_statistics {
    struct balancer_line *lines; /* owned */
    size_t n_lines;
    size_t capacity;
};
void balancer_statistics_done(struct balancer_statistics *statistics);

/* Reads the CSV that `show stat` answers. ERROR_CORRUPT when it is none. */
int balancer_parse_statistics(const char *text, struct balancer_statistics *ret_statistics,
                              struct error *err);
/* NULL when there is no such line. */
const struct balancer_line *balancer_find_line(const struct balancer_statistics *statistics,
                                               const char *proxy, const char *server);
/* Whether requests are sent to a server: also to a new one that no check has found yet. */
bool balancer_line_is_up(const struct balancer_line *line);
/* Whether a check of a server has ended, well or not. */
bool balancer_line_is_checked(const struct balancer_line *line);
/* Whether requests are sent to a server, and its last check has passed. */
bool balancer_line_is_sound(const struct balancer_line *line);
