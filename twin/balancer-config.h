/* The configuration of one HAProxy as text. Pure: it reads no file and starts nothing. */
#pragma once

#include "base/error.h"
#include "base/strbuf.h"
#include "twin/machine.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    BALANCER_METRICS_PORT = 8404, /* Prometheus' exporter; no frontend may stand there */
    BALANCER_CONNECTIONS = 4000
};

/* How each server is watched, in the file and when it is added at run time. */
#define BALANCER_SERVER_OPTIONS "check inter 500ms fastinter 100ms downinter 20ms rise 1 fall 3"

/* What stays of a frontend and its backend for now, where they have something else already. */
struct balancer_kept {
    uint16_t port;            /* at which the frontend stands, too; 0: none */
    uint16_t server_port;     /* of the backend's servers, instead; 0: none */
    const char *health_check; /* that is asked for instead; NULL: none */
};

/* What a balancer is made of; all borrowed. */
struct balancer_config {
    const struct machine_host *host;
    const struct machine_frontend *const *frontends;
    /* For each frontend, NULL where it speaks HTTP: the file that it names, and where that leads.
     */
    const char *const *certificate_files;
    const char *const *certificate_bundles;
    const struct balancer_kept *kept; /* for each frontend; NULL: nothing of any */
    size_t n_frontends;
    const char *socket;         /* path of the statistics socket */
    const char *state_file;     /* what balancer_servers_write_states() wrote */
    const char *values_file;    /* what balancer_write_values() wrote */
    const char *limits_file;    /* what balancer_write_limits() wrote */
    const char *limiter_socket; /* where the limiter answers */
    unsigned int max_connections;
};

/* Whether HAProxy can serve it as it stands. ERROR_INVALID says what is wrong. */
int balancer_check_frontend(const struct machine_frontend *frontend, struct error *err);

/*
 * Appends the configuration. Without servers it is the part that cannot be changed while HAProxy
 * runs: two configurations that are equal in it differ only by servers, values, and what is in the
 * files of certificates.
 */
void balancer_write_config(struct strbuf *out, const struct balancer_config *config,
                           bool with_servers);

/*
 * Appends the values that it looks up, in a map of HAProxy's: the limit of each frontend that has
 * one, and the path by which each backend's servers are checked. Of one structure, the keys are the
 * same.
 */
void balancer_write_values(struct strbuf *out, const struct balancer_config *config);

/*
 * Appends how HAProxy asks the limiter (limiter-program.h) about each request of a frontend with a
 * limit: the same for all balancers.
 */
void balancer_write_limits(struct strbuf *out);

/* The name of a frontend, and of a backend, in this configuration: its own, with some of its uid
 * where two have the same. The caller frees it. */
char *balancer_frontend_name(const struct balancer_config *config, size_t index);
char *balancer_backend_name(const struct balancer_config *config,
                            const struct machine_backend *backend);

/* The port of its servers, and the path that they are asked for (NULL: none), as they are now. */
uint16_t balancer_server_port(const struct balancer_config *config,
                              const struct machine_backend *backend);
const char *balancer_health_check(const struct balancer_config *config,
                                  const struct machine_backend *backend);

/* Calls visit for each backend once, in the order of the frontends. */
void balancer_each_backend(const struct balancer_config *config,
                           void (*visit)(void *argument, const struct machine_backend *backend),
                           void *argument);

/* At most so many connections that twice as many descriptors, and some more, can be open. */
unsigned int balancer_max_connections(unsigned long descriptors);
