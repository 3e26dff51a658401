/* What the files of the module of workloads share. For workload*.c only. */
#pragma once

#include "twin/health.h"
#include "twin/image-run.h"
#include "twin/module.h"

/* A service on one host. */
struct instance {
    struct twin *twin;
    char *name;               /* owned; HOST.SERVICE */
    char *resource;           /* owned; the stack's uid */
    char *command;            /* owned; arguments and environment, to see when they change */
    struct machine_host host; /* name and address are owned */
    uint16_t port;
    struct value *environment; /* owned map */
    struct image_run *image;   /* owned; NULL: it is the built-in workload */
    char *upstream;            /* owned; where it calls, or NULL */
    char *probed;              /* owned; the path that tells whether it is ready */
    char *health_check;        /* owned; the path that the document names, or NULL */
    bool is_former;            /* another one stands in its place, at another port */
    struct process *process;
    struct workload_mounts *mounts; /* owned */
    struct health *health;          /* owned; NULL: it has no check */
    char *check;                    /* owned; what it is asked, to see when that changes; or NULL */
};

struct workloads {
    struct twin *twin;
    struct machine *machine; /* a reference */
    struct instance **items; /* owned */
    size_t n_items;
    size_t capacity;
};

/* A built-in workload that has no port serves nobody; there is nothing to run for it. */
bool workload_is_run(const struct machine_workload *workload);

/* --- workload-instance.c --- */

enum { WORKLOAD_ARGUMENTS = 24 };

/* The arguments of one instance, and what they point to. */
struct workload_command {
    const char *arguments[WORKLOAD_ARGUMENTS];
    size_t n_arguments;
    char *listen, *upstream, *database; /* owned */
    struct value *environment;          /* owned map */
    char *access;                       /* owned; the folder of database, or NULL */
};

/* Zero-initialise it. */
int workload_command_make(struct twin *twin, const struct machine_workload *workload,
                          const struct machine_host *host, struct workload_command *command,
                          struct error *err);
void workload_command_done(struct workload_command *command);
/* All that an instance is started anew for, as a text; the caller frees it. */
char *workload_command_text(const struct machine_workload *workload,
                            const struct workload_command *command);

/* That of a service on a host; NULL when there is none. */
struct instance *workload_instance(const struct workloads *module,
                                   const struct machine_workload *workload,
                                   const struct machine_host *host);
/*
 * Adds one to the module and starts it; does not wait until it is ready. before is the path of
 * health checks that it answers, too, since balancers may ask for it still; or NULL.
 */
CO_FN int workload_start(struct workloads *module, const struct machine_workload *workload,
                         const struct machine_host *host, const struct workload_command *wanted,
                         const char *before, struct error *err);
/* Stops one and frees it; the module has it no more. */
CO_FN void workload_end(struct instance *take_instance);
/* As that, of one that the module has until it has ended. */
CO_FN void workload_drop(struct workloads *module, struct instance *instance);

/* --- workload-health.c --- */

/* Has an instance that runs asked as its service says; begins anew when that has changed. */
CO_FN void workload_check(struct instance *instance, const struct machine_workload *workload);
CO_FN void workload_check_no_more(struct instance *instance);
/* How long somebody waits for an instance. */
struct workload_patience {
    int64_t ready_by;
    int64_t healthy_by;
    bool is_strict; /* whether its check must have told by then that it is healthy */
};
/* What is not ready by then, or is unhealthy, is an error, which says why. */
CO_FN int workload_await(struct instance *instance, const struct workload_patience *patience,
                         struct error *err);
/* Waits for what a service needs before it starts. */
CO_FN int workload_await_needs(const struct workloads *module,
                               const struct machine_workload *workload,
                               const struct workload_patience *patience, struct error *err);

/* --- workload-volumes.c --- */

/* What a program finds of its stack's volumes; owned. */
struct workload_mounts {
    struct cage_mount *items;
    size_t n_items;
};
/* Makes the volumes that are not there yet. The caller frees *ret_mounts. */
int workload_mounts_make(const struct machine_workload *workload,
                         struct workload_mounts **ret_mounts, struct error *err);
/* Accepts NULL. */
void workload_mounts_free(struct workload_mounts *mounts);
/* As a text, to see when they change. */
void workload_mounts_describe(const struct machine_workload *workload, struct strbuf *out);
/* Removes the volumes of stacks that the manifest has no more. */
void workload_volumes_prune(struct twin *twin);
/* Adds to a stack's status where its volumes lie, and which of them no service has. */
void workload_volumes_report(const struct workloads *module, const char *resource,
                             struct value_builder *status);

/* --- workload-report.c --- */

/* The report of the module. */
void workload_report(void *argument, const char *resource, struct value_builder *status,
                     struct value_builder *outputs);
