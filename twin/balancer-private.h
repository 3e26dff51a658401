/* What the files of the balancers share. For balancer*.c only. */
#pragma once

#include "model/resource.h"
#include "twin/balancer-certificates.h"
#include "twin/balancer-config.h"
#include "twin/balancer-limits.h"
#include "twin/balancer-servers.h"
#include "twin/balancer-values.h"
#include "twin/balancer-worker.h"
#include "twin/module.h"
#include "twin/service.h"

/* A frontend and its backend, as they are offered and asked; owned. */
struct served {
    char *frontend; /* uid, as the next one */
    char *backend;
    uint16_t port;
    uint16_t former_port; /* at which it stands, too; 0: none */
    uint16_t server_port;
    char *health_check; /* NULL: none */
};

/* What a balancer is told; zero-initialise it. */
struct balancer_plan {
    char *structure;                           /* owned; the configuration without servers */
    char *text;                                /* owned; all of it */
    char *values;                              /* owned; what it looks up */
    struct balancer_certificates certificates; /* owned */
    struct balancer_servers servers;           /* owned */
};

struct balancer {
    struct balancers *module;
    char *host;          /* owned; its name */
    char *config_folder; /* owned, as the paths below; what only we write */
    char *config_file;
    char *draft_file;
    char *values_file;
    char *state_file;
    char *socket_folder;
    char *socket;
    struct process *process;   /* owned; NULL while it was not started */
    bool is_unchecked;         /* its file is the first one, and it was not ready yet */
    struct balancer_plan runs; /* what it was last told */
    char *awaited;             /* owned; the servers with a workload that it has waited for */
    struct balancer_control control;

    struct served *served; /* owned; what those who come find here */
    size_t n_served;

    /* What is wanted, borrowed from the module's machine; the arrays are owned. */
    struct balancer_config config;
    struct balancer_kept *kept;
    const struct machine_frontend **frontends;
    char **certificate_files;
    char **certificate_bundles;
};

struct balancers {
    struct twin *twin;
    char *program;            /* owned; NULL until HAProxy was found */
    char *config_folder;      /* owned; only we write there */
    char *socket_folder;      /* owned; the children's */
    char *certificate_folder; /* owned */
    struct balancer_limits *limits;
    struct balancer_holds holds;
    struct string_list drained;  /* hosts that an action has taken out of service */
    struct string_list draining; /* of these, who has requests still */
    struct machine *machine;     /* a reference; what the balancers point into */
    struct balancer **items;     /* owned */
    size_t n_items;
    size_t capacity;
};

/* --- balancer-kept.c: what stays until a run has no more steps --- */

/*
 * Fills balancer->kept, for the first n_frontends of those that are wanted. Who comes to a port,
 * and what answers at one or under a path, may be changed only after this.
 */
void balancer_keep(struct balancer *balancer, size_t n_frontends);
/* Remembers what is offered and asked from now on. */
void balancer_note_served(struct balancer *balancer);
void balancer_forget_served(struct balancer *balancer);

/* --- balancer-process.c --- */

/*
 * The configuration alone, unchecked: for where nothing but servers differs, and the HAProxy that
 * runs is about to take each of them by the words of the file, or to refuse.
 */
int balancer_put_file(struct balancer *balancer, const struct balancer_plan *plan,
                      struct error *err);
/*
 * The files are what HAProxy reads when it starts again, so they change only to what was checked;
 * when it fails, they are as the plan that runs has them. The first ones are not: their start shows
 * whether they are good.
 */
CO_FN int balancer_replace_files(struct balancer *balancer, const struct balancer_plan *plan,
                                 struct error *err);
/* Of use for the next start, also for one after a crash. */
CO_FN int balancer_write_states(struct balancer *balancer, const struct balancer_servers *servers,
                                struct error *err);
CO_FN int balancer_start(struct balancer *balancer, struct error *err);
/* Waits until it is ready. A first one whose file is at fault is ended, and its file is removed. */
CO_FN int balancer_await_ready(struct balancer *balancer, int64_t deadline, struct error *err);
/* Has it take over its file, with all connections; the worker that was takes no new ones then. */
CO_FN int balancer_reload(struct balancer *balancer, struct error *err);

/* --- balancer-await.c --- */

/* A new worker of HAProxy's knows of no server how it is, also of those that were there before. */
CO_FN void balancer_await_checks(struct balancer *balancer);
/*
 * What is new shall answer when it is said to be there. Each is waited for once: a workload that
 * fails later, or never comes up, is not the balancer's problem.
 */
CO_FN void balancer_await_servers(struct balancer *balancer);

/* --- balancer-drain.c --- */

/* Takes up what a supervisor before this one has drained. */
void balancer_load_drained(struct balancers *module);
/* Lets go of hosts that the machine has no more: the next one of that name is another one. */
void balancer_forget_drained(struct balancers *module);
/* The actions of hosts: drain and resume. */
CO_FN int balancer_act(void *argument, const struct module_action *action, struct error *err);
/* Adds who of a resource's hosts is in service, as its "members". */
void balancer_report_hosts(const struct balancers *module, const char *resource,
                           struct value_builder *status);

/* --- balancer-visits.c --- */

/* ERROR_CONFLICT when nobody else would take the requests of a host, or nobody sends it any. */
CO_FN int balancer_check_others(struct balancers *module, const char *host, struct error *err);
/* Waits until a host that is held has ended what it had; what lasts too long is cut. */
CO_FN void balancer_await_idle(struct balancers *module, const char *host);

/* --- balancer-report.c --- */

/* The report of the module. */
void balancer_report(void *argument, const char *resource, struct value_builder *status,
                     struct value_builder *outputs);
