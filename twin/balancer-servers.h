/*
 * The servers of a running HAProxy, which come and go while it runs: what is asked and told through
 * its socket. Knows no files, no start and no reload.
 */
#pragma once

#include "base/strbuf.h"
#include "net/loop.h"
#include "twin/balancer-config.h"
#include "twin/balancer-holds.h"
#include "twin/balancer-socket.h"

#include <stddef.h>
#include <stdint.h>

/* A server as HAProxy knows it. */
struct balancer_server {
    char *backend; /* owned, as the next two */
    char *name;
    char *address;
    uint16_t port;
};

struct balancer_servers {
    struct balancer_server *items; /* owned */
    size_t n_items;
    size_t capacity;
};

/* All servers of a configuration. The caller frees them with balancer_servers_done(). */
struct balancer_servers balancer_servers_of(const struct balancer_config *config);
struct balancer_servers balancer_servers_copy(const struct balancer_servers *servers);
void balancer_servers_done(struct balancer_servers *servers);

/* The way to one HAProxy, and what was seen on it last. */
struct balancer_control {
    struct loop *loop;
    const char *socket;                    /* borrowed */
    const struct balancer_holds *holds;    /* borrowed; NULL: nobody is held */
    struct balancer_statistics statistics; /* owned */
};

/* Gives a command; the caller frees *ret_answer. */
CO_FN int balancer_control_ask(struct balancer_control *control, const char *command,
                               char **ret_answer, struct error *err);
/* Looks at the statistics; those of before stay when it fails. */
CO_FN int balancer_control_look(struct balancer_control *control, struct error *err);

/*
 * Makes the servers that run those that are wanted, without a request lost: one that goes ends what
 * it has within 30 seconds, one that comes gets requests when a check has told how it is, one that
 * moves must answer at both places. The last one that serves goes when another one does, or after
 * 10 seconds in vain. When it fails, some of the changes are made.
 */
CO_FN int balancer_servers_change(struct balancer_control *control,
                                  const struct balancer_servers *running,
                                  const struct balancer_servers *wanted, struct error *err);

/*
 * Between these two the servers on a port of a host get no requests, and have ended those they had,
 * as far as others can take them.
 */
CO_FN void balancer_servers_drain(struct balancer_control *control,
                                  const struct balancer_servers *running, const char *host,
                                  uint16_t port);
CO_FN void balancer_servers_resume(struct balancer_control *control,
                                   const struct balancer_servers *running, const char *host,
                                   uint16_t port);

/* Below, port 0 is every port of the host.
 *
 * The servers on a port of a host get no new requests from now on, also if there are no others. */
CO_FN void balancer_servers_hold(struct balancer_control *control,
                                 const struct balancer_servers *running, const char *host,
                                 uint16_t port);

/* Whether there are such servers, and each of them has others that take its requests. */
CO_FN bool balancer_servers_have_others(struct balancer_control *control,
                                        const struct balancer_servers *running, const char *host,
                                        bool *ret_is_asked);
/* Waits until they have ended what they had; after 30 seconds it is cut. */
CO_FN void balancer_servers_await_idle(struct balancer_control *control,
                                       const struct balancer_servers *running, const char *host,
                                       uint16_t port);

/*
 * Appends what HAProxy is told of the wanted servers when it starts (its server-state file): one
 * that runs and was seen to serve does so, any other begins as down until a check of it has passed.
 * HAProxy would take all of them for serving, and let a request that meets nobody wait for a
 * second. Only where none is left of those that served, that is better than an error.
 */
void balancer_servers_write_states(struct strbuf *out, const struct balancer_control *control,
                                   const struct balancer_servers *running,
                                   const struct balancer_servers *wanted);
