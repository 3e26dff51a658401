/*
 * What every kind of thing that the twin runs has in common: one module, one file. Modules converge
 * beside each other, each in a coroutine of its own, always towards the newest desired machine;
 * none keeps a history.
 */
#pragma once

#include "base/strbuf.h"
#include "model/value.h"
#include "net/loop.h"
#include "twin/machine.h"
#include "twin/network.h"
#include "twin/outer.h"
#include "twin/problems.h"
#include "twin/process.h"

struct event;

enum module_id {
    MODULE_DHCP,
    MODULE_CERTIFICATE,
    MODULE_DATABASE,
    MODULE_WORKLOAD,
    MODULE_BALANCER,
    MODULE_MONITOR,
    MODULE_DASHBOARDS,
    MODULE_ENTRANCE,
    MODULE_COUNT
};

/* What a module may use. Borrowed; outlives all modules. */
struct twin {
    struct loop *loop;
    struct network *network;
    struct processes *processes;
    struct outer *outer;
    const char *folder;       /* the state folder, as pid 1 sees it; children do not */
    const char *shown_folder; /* its name outside, for people; pid 1 may not see it by that */
    const char *program;      /* parley-twin itself, for children that run one of its subcommands */
    struct converge *converge;
    struct balancers *balancers; /* of the module of balancers */
    struct measure *measure;
    /* What is measured, for Prometheus; NULL: nobody measures. */
    void (*tell_measures)(struct measure *measure, struct strbuf *out);
    struct events *events;
    /* What happens and is no turn of a program, see service_note(); NULL: nobody notes it. */
    void (*note)(struct events *events, const struct event *event);
    pid_t pid; /* of the inner half, as the machine sees it */
};

/*
 * A folder for files that a child needs: STATE/NAME on the disk, mode 0700, owned by that user. The
 * path that it gives is what pid 1 and children see, and it is short (below 40 bytes), so that Unix
 * sockets fit in it. Idempotent; name is [a-z0-9-]. The caller frees *ret_path with mem_free().
 */
int twin_folder(struct twin *twin, const char *name, enum process_user user, char **ret_path,
                struct error *err);
/* Makes a file or folder below one of these belong to that user. Does nothing when not root. */
int twin_give(const char *path, enum process_user user, struct error *err);

/*
 * Waits, inside converge(), until another module has dealt with the machine that the caller works
 * on, or a newer one: a balancer waits for its certificates; a workload waits for the balancer
 * before it stops an instance. Never in a circle: certificate <- balancer <- workload <- database,
 * dhcp <- workload.
 */
CO_FN void twin_wait_for(struct twin *twin, enum module_id module, uint64_t generation);
/*
 * Whether the manifest still has a resource. A machine may lack what it wants, when something that
 * it needs is broken: then it stops, and keeps its data.
 */
bool twin_has_resource(struct twin *twin, const char *resource);
/*
 * To be asked about something that a change takes away and others may still use: an address, a
 * port, a path. Whether it stays for now; then converge() is called again when it shall go.
 */
bool twin_keeps(struct twin *twin);
/* Asks for another converge() of a module soon, with the same machine, e.g. after a failover. */
void twin_wake(struct twin *twin, enum module_id module);

/* Something that is done to a resource and is no change of what is wanted; all borrowed. */
struct module_action {
    const char *resource; /* uid */
    const char *name;     /* "promote" */
    const char *member;   /* the host that it is about */
};

struct module_ops {
    const char *name;

    /* Mandatory. Makes an instance that knows of nothing that runs. */
    int (*open)(struct twin *twin, void **ret_module, struct error *err);

    /*
     * Mandatory. Makes what runs like what is wanted, and returns when that is so: what was started
     * answers, what was removed is gone. Problems of one resource do not keep it from the others.
     * The machine stays valid until the next call begins. Hosts of the machine exist already; hosts
     * that it no longer has exist until every module has returned.
     */
    CO_FN void (*converge)(void *module, struct machine *wanted, struct problems *problems);

    /*
     * Mandatory. Adds to status and outputs what this module knows of a resource, if anything.
     * Never waits; says what is so now. The field "state" of status is one of "ready", "starting",
     * "degraded", "failed"; the worst of all modules is told.
     */
    void (*report)(void *module, const char *resource, struct value_builder *status,
                   struct value_builder *outputs);

    /*
     * Optional. Carries out an action on a resource that the module runs, beside converge(). What
     * is to last is durable before it is begun, and the same action once more is no failure: it
     * goes on with it. ERROR_CONFLICT says why it must not be; then all is as before.
     */
    CO_FN int (*act)(void *module, const struct module_action *action, struct error *err);

    /* Mandatory. Stops everything and frees the instance. */
    CO_FN void (*close)(void *module);
};

extern const struct module_ops dhcp_module;
extern const struct module_ops certificate_module;
extern const struct module_ops database_module;
extern const struct module_ops workload_module;
extern const struct module_ops balancer_module;
extern const struct module_ops monitor_module;
extern const struct module_ops dashboards_module;
extern const struct module_ops entrance_module;
