/*
 * The built-in workload: what runs on a host when its image cannot be had here. It stands in for
 * the image, and really serves "/", its health path and /metrics, calls its upstream, reads and
 * writes its database.
 */
#pragma once

#include "base/error.h"
#include "base/strbuf.h"

#include <stddef.h>
#include <stdint.h>

enum { WORKLOAD_HEALTH_LIMIT = 8 };

/* What the command line says; all borrowed from it. */
struct workload_options {
    const char *name;  /* of the host it runs on */
    const char *tier;  /* the service it is one of */
    const char *image; /* that it stands in for, or NULL */
    uint32_t ip;
    uint16_t port;
    const char *health[WORKLOAD_HEALTH_LIMIT];
    size_t n_health;
    const char *upstream; /* "10.201.0.10:8080" or NULL */
    uint32_t upstream_ip;
    uint16_t upstream_port;
    const char *database;   /* a file with a libpq conninfo, or NULL */
    bool reads_environment; /* from stdin, see workload-environment.h */
};

/* Reads "10.200.0.11:80". */
int workload_parse_address(const char *text, uint32_t *ret_ip, uint16_t *ret_port,
                           struct error *err);

/* argv[0] is "workload". ERROR_INVALID names the option that is wrong. */
int workload_parse_options(int argc, char **argv, struct workload_options *ret_options,
                           struct error *err);

/* What is counted, for /metrics. */
enum workload_handler {
    HANDLER_ROOT,
    HANDLER_HEALTH,
    HANDLER_METRICS,
    HANDLER_OTHER,
    HANDLER_COUNT
};
enum { WORKLOAD_CODES = 600, WORKLOAD_BUCKETS = 10 };
struct workload_metrics {
    uint64_t requests[HANDLER_COUNT][WORKLOAD_CODES];
    uint64_t microseconds;              /* spent on answers of "/" */
    uint64_t answers[WORKLOAD_BUCKETS]; /* of "/", by the time they took; see the bounds */
    unsigned int in_flight;
    size_t n_variables; /* of its environment */
    bool is_healthy;    /* as the last health check found */
};
/* Counts an answer of "/". */
void workload_count_answer(struct workload_metrics *metrics, uint64_t microseconds);
/* Appends them in the text format of Prometheus. */
void workload_write_metrics(struct strbuf *out, const struct workload_metrics *metrics);
/* Appends how long answers took, as a histogram. */
void workload_write_answers(struct strbuf *out, const struct workload_metrics *metrics);

/*
 * `parley-twin workload --listen ADDRESS:PORT --name NAME [--tier TEXT] [--image TEXT]
 * [--health PATH]...
 * [--upstream ADDRESS:PORT] [--database FILE] [--environment]`: serves until SIGTERM or SIGINT,
 * then ends the requests under way. Returns the exit code.
 */
int workload_main(int argc, char **argv);
