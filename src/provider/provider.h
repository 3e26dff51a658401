/*
 * Providers: the systems that own resources. A driver is one provider_ops table; an instance is one
 * account, firewall or cluster of it, named in the site. Nobody calls ops-> but the wrappers at the
 * end of this file.
 *
 * Contract of all drivers: what never was is absent and no error, a create repeated with the same
 * uid makes one thing, a delete of what is absent is done, and no call outlives its deadline.
 * tests/contract/provider.c holds every driver to it.
 */
#pragma once

#include "base/error.h"
#include "catalog/catalog.h"
#include "model/diagnostic.h"
#include "model/plan.h"
#include "model/resource.h"
#include "model/value.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>

struct provider;

/* What a driver needs for one call; all borrowed. */
struct call {
    struct loop *loop;
    int64_t deadline; /* world_monotonic_clock(); no call outlives it; negative: only call_limit_us
                         holds */
    const bool *is_cancelled; /* look at it between waits; never NULL */
    /* No call begins once it is true, but one that runs goes on; NULL: only is_cancelled counts. */
    const bool *is_stopping;
    /*
     * Makes the handle of a remote operation durable before anything waits on it; may be NULL where
     * there is no journal (plan, status). Fails when the store does: then the call must not wait.
     */
    CO_FN int (*journal_handle)(void *argument, const char *handle, struct error *err);
    /* Tells people what goes on inside the step; not durable. May be NULL. */
    void (*progress)(void *argument, const char *message);
    void *argument;
};

/*
 * The resource a call is about; all borrowed. A STEP_START is about the whole system: its uid is
 * the identity, and its type means nothing.
 */
struct target {
    const struct resource_type *type;
    const char *uid; /* ours, the marker that every system carries for us; another generation of a
                        resource has another one */
    const char *address;     /* for messages, and for names that people see */
    const char *deployment;  /* name, for the same */
    const char *provider_id; /* NULL while it has none */
    int64_t generation;
    /* Property path -> list of {address, uid, outputs} that the reference at that path leads to; a
     * map, never NULL. */
    const struct value *references;
};

/* How a call that was sent ended. */
enum outcome_kind {
    OUTCOME_DONE,
    OUTCOME_FAILED,  /* surely nothing was changed */
    OUTCOME_PARTLY,  /* something was changed, not all; live says what is there */
    OUTCOME_UNKNOWN, /* sent, no answer: probe before anything else touches it */
    OUTCOME_KIND_COUNT
};
const char *outcome_kind_to_string(enum outcome_kind kind);
enum outcome_kind outcome_kind_from_string(const char *text);

/* Zero-initialise it. */
struct outcome {
    enum outcome_kind kind;
    char *provider_id;     /* owned; NULL: unchanged */
    struct value *outputs; /* owned map; NULL unless done */
    struct value *live; /* owned spec as it is there; NULL: not known or equal to what was asked */
    char *message;      /* owned: why it failed, for people; NULL when done */
    enum error_code code; /* of the failure, else ERROR_NONE */
};
void outcome_done(struct outcome *outcome);
/* Fills an empty outcome that is not OUTCOME_DONE, and returns 0: how a driver says how it ended.
 */
__attribute__((format(printf, 4, 5))) int outcome_set(struct outcome *outcome,
                                                      enum outcome_kind kind, enum error_code code,
                                                      const char *format, ...);
/* The same with code and message of an error, which is emptied. */
int outcome_set_error(struct outcome *outcome, enum outcome_kind kind, struct error *take_err);

/* What a probe found. */
enum probe_kind {
    PROBE_NOT_DONE, /* surely, and it will not be done later */
    PROBE_DONE,     /* outcome holds provider id and outputs */
    PROBE_PARTLY,   /* outcome holds live */
    PROBE_PENDING,  /* still under way: ask again */
    PROBE_UNKNOWABLE,
    PROBE_KIND_COUNT
};
const char *probe_kind_to_string(enum probe_kind kind);

/* What read found. Zero-initialise it. */
struct live {
    bool is_present;
    bool is_stopped;       /* the target is stopped, and this is its last known state */
    struct value *spec;    /* owned; NULL when absent */
    struct value *outputs; /* owned map, of a stopped target what is known; NULL when absent */
    struct value
        *status; /* owned map for people: health, fidelity, engine_version ...; may be NULL */
};
void live_done(struct live *live);

/* What is known of a call of apply() whose outcome is not; all borrowed. */
struct attempt {
    const struct step *step;
    struct value *after; /* as apply() was given it: the intent keeps it, since step->after may hold
                            unknowns */
    const char *handle;  /* what journal_handle() kept, or NULL */
};

struct provider_ops {
    const char *driver;   /* "twin" */
    size_t instance_size; /* bytes to allocate; struct provider is the first member */
    /*
     * There is no outside: the record itself is the truth. Nothing is there to identify, read or
     * probe (these are NULL), a plan takes the record for live, and apply only computes outputs. It
     * never waits, so that the executor writes intent and result in one transaction.
     */
    bool is_internal;

    /* --- Mandatory, but for what is_internal leaves out --- */

    /*
     * Takes its configuration, the instance's map in the site without the key "driver", NULL
     * without one; makes no contact. home is the state folder. ERROR_INVALID names a key that it
     * does not know.
     */
    int (*configure)(struct provider *provider, const struct value *config, const char *home,
                     struct error *err);
    /* Frees what the instance owns, not the instance; also after a failed configure. */
    void (*close)(struct provider *provider);
    /*
     * Who this really is: account, cluster uid, firewall id. The same for as long as it is the same
     * system; another one, also one that was made anew under the same name, has another. Changes
     * nothing. The caller frees *ret_identity.
     */
    CO_FN int (*identify)(struct provider *provider, struct call *call, char **ret_identity,
                          struct error *err);
    /*
     * Reads one resource. Absent is is_present = false and no error; when that cannot be told,
     * fails with ERROR_UNAVAILABLE, ERROR_TIMEOUT or ERROR_CANCELLED. Changes nothing; reads may
     * run at the same time.
     */
    CO_FN int (*read)(struct provider *provider, struct call *call, const struct target *target,
                      struct live *ret_live, struct error *err);
    /*
     * Carries one create, update, delete or start out. after is the step's spec with everything
     * known, NULL for a delete and a start. Fails only when nothing was sent; from the first byte
     * on it returns 0 and an outcome.
     */
    CO_FN int (*apply)(struct provider *provider, struct call *call, const struct target *target,
                       const struct step *step, struct value *after, struct outcome *ret_outcome,
                       struct error *err);
    /*
     * After a crash or an unknown outcome: what became of this step? attempt says what apply was
     * called with. Changes nothing.
     */
    CO_FN int (*probe)(struct provider *provider, struct call *call, const struct target *target,
                       const struct attempt *attempt, enum probe_kind *ret_kind,
                       struct outcome *ret_outcome, struct error *err);

    /* --- Optional --- */

    /*
     * What this machine or server cannot do or only stands in for, found before approval: notes and
     * errors about a step.
     */
    CO_FN int (*propose)(struct provider *provider, struct call *call, const struct target *target,
                         const struct step *step, struct diagnostics *diagnostics,
                         struct error *err);
    /*
     * What to tell people at the end and in status: a list of {title, lines: [text]} such as access
     * points and health, for the resources with these uids. A section has settled = false while
     * what it says is still on its way to something better.
     */
    CO_FN int (*describe)(struct provider *provider, struct call *call,
                          const struct string_list *uids, struct value **ret_sections,
                          struct error *err);

    size_t concurrency;    /* calls at the same time, the others wait for them; 0: any number */
    int64_t call_limit_us; /* the longest one call may take; 0: 10 minutes */
};

/* Embedded at the start of every instance. */
struct provider {
    const struct provider_ops *ops;
    char *name; /* owned, "opnsense.default" */
    struct loop *loop;
    size_t n_calls;   /* under way */
    struct gate room; /* opens when one of them ends */
};

/* The driver of that name, or NULL; registry.c names them all. */
const struct provider_ops *provider_find_driver(const char *name);
/* The names of all of them, for messages; borrowed. */
const char *const *provider_driver_names(size_t *ret_n);

/* Makes an instance. The caller frees it with provider_free(). */
int provider_new(struct loop *loop, const char *name, const char *driver,
                 const struct value *config, const char *home, struct provider **ret_provider,
                 struct error *err);
void provider_free(struct provider *provider); /* accepts NULL; no call may be under way */
DEFINE_CLEANUP(struct provider *, provider_free)

/* Whether its records are the whole truth (is_internal above). */
bool provider_is_internal(const struct provider *provider);

/*
 * The wrappers: they assert both sides of the contract, wait until fewer calls than the driver's
 * concurrency are under way, hold the call to the driver's time limit, and put the instance's name
 * in front of errors. A call whose deadline has passed or that is cancelled before it begins fails
 * with ERROR_TIMEOUT or ERROR_CANCELLED: nothing was sent.
 *
 * identify, read and probe are for providers that are not internal.
 */
CO_FN int provider_identify(struct provider *provider, const struct call *call, char **ret_identity,
                            struct error *err);
CO_FN int provider_read(struct provider *provider, const struct call *call,
                        const struct target *target, struct live *ret_live, struct error *err);
/* Of an internal provider it never waits, and may be called outside of coroutines. */
CO_FN int provider_apply(struct provider *provider, const struct call *call,
                         const struct target *target, const struct step *step, struct value *after,
                         struct outcome *ret_outcome, struct error *err);
CO_FN int provider_probe(struct provider *provider, const struct call *call,
                         const struct target *target, const struct attempt *attempt,
                         enum probe_kind *ret_kind, struct outcome *ret_outcome, struct error *err);
/* Adds what the catalog says of a stand-in to what the driver says, if it has a propose. */
CO_FN int provider_propose(struct provider *provider, const struct call *call,
                           const struct target *target, const struct step *step,
                           struct diagnostics *diagnostics, struct error *err);
/* An empty list when the driver has no describe. */
CO_FN int provider_describe(struct provider *provider, const struct call *call,
                            const struct string_list *uids, struct value **ret_sections,
                            struct error *err);
