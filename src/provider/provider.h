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
struct secrets;

/* What a call is for. */
enum provider_verb {
    PROVIDER_IDENTIFY,
    PROVIDER_LIST,
    PROVIDER_READ,
    PROVIDER_PROPOSE,
    PROVIDER_DESCRIBE,
    PROVIDER_APPLY,
    PROVIDER_PROBE,
    PROVIDER_PENDING,
    PROVIDER_COMMIT,
    PROVIDER_VERB_COUNT
};
const char *provider_verb_to_string(enum provider_verb verb);
/* PROVIDER_VERB_COUNT when there is no such verb. */
enum provider_verb provider_verb_from_string(const char *text);

/* How an instance may be called: the driver's opinion, then the site's. 0: as the comment says. */
struct provider_limits {
    size_t concurrency;    /* calls at the same time; 0: any number */
    size_t changes;        /* of these, changes; 0: any number */
    double calls_a_second; /* begun; 0: any number */
    int64_t attempts;      /* of a call that the system puts off; 0: 8 */
    /* How long after a change was sent reads may be as before it, and the request may still arrive,
     * be it a second time; 0: neither happens. */
    int64_t settling_us;
    int64_t call_us;                      /* the longest one call may take; 0: 10 minutes */
    int64_t time_us[PROVIDER_VERB_COUNT]; /* the same of one verb; 0: call_us */
};

/* What a driver needs for one call; all borrowed. */
struct call {
    struct loop *loop;
    int64_t deadline; /* world_monotonic_clock(); no call outlives it; negative: only the instance's
                         time limit holds */
    const bool *is_cancelled; /* look at it between waits; never NULL */
    /* No call begins once it is true, but one that runs goes on; NULL: only is_cancelled counts. */
    const bool *is_stopping;
    /*
     * Asked when all waiting is over and the call would begin: it does not when this fails, as when
     * another run has taken the lease. NULL: nobody minds.
     */
    CO_FN int (*may_begin)(void *argument, struct error *err);
    /*
     * Makes the handle of a remote operation durable before anything waits on it; may be NULL where
     * there is no journal (plan, status). Fails when the store does: then the call must not wait.
     */
    CO_FN int (*journal_handle)(void *argument, const char *handle, struct error *err);
    /* Tells people what goes on inside the step; not durable. May be NULL. */
    void (*progress)(void *argument, const char *message);
    void *argument;
    struct secrets *secrets; /* those that are known; NULL: none are */
    /* The driver's answer, see call_put_off(). */
    bool is_put_off;
    int64_t put_off_us;
};

/*
 * A driver says with it that the system took no notice of this call and wants to be asked again
 * (429 and Retry-After, a lock held by somebody else), delay_us from now; 0: it did not say when.
 * The driver then fails, or gives OUTCOME_FAILED: the wrapper waits, lets no other call of the
 * instance begin meanwhile, and calls again as often as the limits allow.
 */
void call_put_off(struct call *call, int64_t delay_us);

/*
 * A value with the texts of its secrets, for the one moment in which they are sent: the caller
 * unrefs it before it waits. ERROR_STALE when one is another than was approved, ERROR_NOT_FOUND
 * when its text is not known: then nothing is sent.
 */
int call_reveal(const struct call *call, struct value *value, struct value **ret_value,
                struct error *err);
/*
 * A text that was read back, as the handle of a secret; NULL when that cannot be told. What the
 * catalog calls secret is veiled by the wrappers: this is for what may be one.
 */
struct value *call_veil(const struct call *call, struct value *text);

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
    /* Of a create whose type repeats by token: the same for each attempt within the token's life,
     * and journalled before the first. NULL otherwise. */
    const char *token;
    int64_t generation;
    int64_t changed_at; /* world_wall_clock() of the last change that we know of; 0: none */
    /* Property path -> list of {address, uid, outputs} that the reference at that path leads to; a
     * map, never NULL. */
    const struct value *references;
};

/* How a call that was sent ended. */
enum outcome_kind {
    OUTCOME_DONE,
    OUTCOME_STAGED,  /* accepted, and without effect until a commit */
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
    struct value *outputs; /* owned map; NULL unless done or staged */
    /* Owned: the spec as it is there, where the system keeps what was asked for in its own way, or
     * did only a part of it; NULL: as it was asked for, or not known. */
    struct value *live;
    char *message;        /* owned: why it failed, for people; NULL when done or staged */
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
    PROBE_STAGED,   /* it waits for a commit; outcome holds provider id and outputs */
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
    struct value *status;  /* owned map for people: health, fidelity, engine_version ..., and what
                              could not  be told of it as "doubt"; may be NULL */
    char *marker; /* owned: the uid that it carries for who made it with Parley; NULL: none, or its
                     type keeps none */
    char *provider_id; /* owned: where our marker was found on another thing than the one that the
                          target names, which is gone; else NULL */
};
void live_done(struct live *live);

/* What a list is asked for; all borrowed. */
struct listing {
    const struct resource_type *type;
    const char *after; /* the cursor that the page before gave; NULL: the first page */
    size_t limit;      /* at most so many items, at least 1 */
};

/* One page of a list. Zero-initialise it. */
struct page {
    /*
     * Owned list of {id, name, marker, spec, outputs}: by what it is read, what people call it
     * there, and as in struct live; the last four are null, or not there, where the list does not
     * tell them. Where it tells spec and outputs, a read at that moment would have said the same.
     */
    struct value *items;
    bool is_stopped; /* as in struct live, of all items */
    char *next;      /* owned: the cursor of the next page; NULL: this was the last one */
};
void page_done(struct page *page);

/* What is known of a call of apply() whose outcome is not; all borrowed. */
struct attempt {
    const struct step *step;
    struct value *after; /* as apply() was given it: the intent keeps it, since step->after may hold
                            unknowns */
    const char *handle;  /* what journal_handle() kept, or NULL */
    int64_t began_at;    /* world_wall_clock() of the intent; 0: not known */
    /* world_monotonic_clock() by which it was sent, if it was; 0: not known. Of what a dead process
     * left it is the time when its death was certain. */
    int64_t sent_by;
    int64_t token_at; /* the same of the first intent with the target's token */
};

/* What a commit is about; all borrowed. */
struct activation {
    const struct string_list *own; /* uids: what is staged for these is ours */
    const struct value *foreign;   /* what the approved plan says that others have staged: a list as
                                      pending() gave it, never NULL */
};

/* Something that can be done to a resource of a type and is no change of its spec. */
struct provider_action {
    const char *type; /* NULL: every one */
    const char *name;
    const char *note; /* what it brings with it, for who approves it */
    double seconds;   /* how long it takes, about */
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
     * Takes its configuration, the instance's map in the site without the keys "driver" and
     * "limits", NULL without one; makes no contact. home is the state folder. ERROR_INVALID names a
     * key that it does not know.
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
     * fails with ERROR_UNAVAILABLE, ERROR_TIMEOUT or ERROR_CANCELLED; with ERROR_CONFLICT when the
     * id is that of something else, of another type. Changes nothing; reads may run at the same
     * time. What is absent within a day after it was changed is read again by the
     * wrapper until limits.settling_us have passed: the wall clock may have jumped.
     *
     * Where the provider's id is the system's own, absent means that our marker is on nothing else
     * either: a request that was carried out twice, or somebody who restored a backup, makes
     * another thing that carries it.
     */
    CO_FN int (*read)(struct provider *provider, struct call *call, const struct target *target,
                      struct live *ret_live, struct error *err);
    /*
     * Carries one create, update, delete, start or action out. after is the step's spec with
     * everything known, but for secrets, which call_reveal() gives; NULL for a delete and a start,
     * {action, member} for an action, which is one of those below and is done again without harm.
     * Fails only when nothing was sent; from the first byte on it returns 0 and an outcome. A
     * delete whose thing is not there, while another one carries our marker, fails with
     * ERROR_CONFLICT: the next plan names that one.
     */
    CO_FN int (*apply)(struct provider *provider, struct call *call, const struct target *target,
                       const struct step *step, struct value *after, struct outcome *ret_outcome,
                       struct error *err);
    /*
     * After a crash or an unknown outcome: what became of this step? attempt says what apply was
     * called with. Changes nothing. A create that was not done is taken for pending by the wrapper
     * until limits.settling_us have passed since attempt->sent_by.
     */
    CO_FN int (*probe)(struct provider *provider, struct call *call, const struct target *target,
                       const struct attempt *attempt, enum probe_kind *ret_kind,
                       struct outcome *ret_outcome, struct error *err);

    /* --- Optional --- */

    /*
     * One page of all resources of a type, whoever made them. Following the cursors gives each of
     * those that were there all the time once, whatever comes and goes meanwhile; a page may have
     * fewer items than the limit, or none. Fails as read does when it cannot be told. Changes
     * nothing.
     */
    CO_FN int (*list)(struct provider *provider, struct call *call, const struct listing *listing,
                      struct page *ret_page, struct error *err);
    /*
     * The server's own dry run of a step, before approval. *ret_after is what a create or update
     * would lead to, with what the server fills in and in the way in which it keeps things; it
     * stays NULL when there is nothing to say. step->after may have unknowns, of which nothing is
     * said. What this machine or server cannot do, or only stands in for, goes to diagnostics as
     * errors and notes. Changes nothing.
     */
    CO_FN int (*propose)(struct provider *provider, struct call *call, const struct target *target,
                         const struct step *step, struct value **ret_after,
                         struct diagnostics *diagnostics, struct error *err);
    /*
     * What to tell people at the end and in status: a list of {title, lines: [text]} such as access
     * points and health, for the resources with these uids. A section has settled = false while
     * what it says is still on its way to something better.
     */
    CO_FN int (*describe)(struct provider *provider, struct call *call,
                          const struct string_list *uids, struct value **ret_sections,
                          struct error *err);

    /*
     * No step of a run is left for this instance: what it has kept for the sake of those that were
     * to come may go. Not called when the run is killed; a driver must not need it.
     */
    CO_FN void (*conclude)(struct provider *provider, struct call *call);

    /*
     * Of systems where a change waits for an activation (a firewall's reconfigure, a candidate
     * configuration); both or neither. Such a driver's apply gives OUTCOME_STAGED, and a read shows
     * what is staged as if it were there.
     *
     * pending: what others have staged: a list of texts for people, sorted, the same for the same
     * edits; own names what is ours. Changes nothing.
     */
    CO_FN int (*pending)(struct provider *provider, struct call *call,
                         const struct string_list *own, struct value **ret_foreign,
                         struct error *err);
    /*
     * Activates all that is staged, at once; one without anything staged is done. When others have
     * staged something that activation->foreign does not list, nothing is activated:
     * OUTCOME_FAILED with ERROR_CONFLICT. The outcome is done, failed or unknown; after an unknown
     * one each staged step is probed. Fails only when nothing was sent.
     */
    CO_FN int (*commit)(struct provider *provider, struct call *call,
                        const struct activation *activation, struct outcome *ret_outcome,
                        struct error *err);

    /* What can be done to its resources, ended by one without a name; NULL: nothing. A status that
     * it reads of these has "members", a list of {name, role, state}, and "primary". */
    const struct provider_action *actions;

    struct provider_limits limits; /* where the site says nothing else */
    /* The settings that are secret, ended by NULL; NULL: there are none. configure() gets them as
     * handles, whose texts call_reveal() gives. */
    const char *const *credentials;
};

/* Calls that share a limit of how many are under way. */
struct provider_group {
    char *name;   /* owned */
    size_t limit; /* 0: any number */
    size_t n_calls;
};

/* Embedded at the start of every instance. */
struct provider {
    const struct provider_ops *ops;
    char *name; /* owned, "opnsense.default" */
    struct loop *loop;
    /* Those of the driver and the site; a driver may change them in configure(). */
    struct provider_limits limits;
    struct provider_group *groups; /* owned: those that the site or a type names */
    size_t n_groups;
    size_t n_calls;        /* under way */
    size_t n_changes;      /* of these, changes */
    struct gate room;      /* opens when one of them ends */
    int64_t next_call;     /* world_monotonic_clock() before which no call begins: the rate */
    int64_t put_off_until; /* the same: what the system asked for */
    uint64_t n_begun;      /* calls so far, for tests and figures */
    uint64_t n_put_off;    /* of these, those that the system put off */
};

/* The driver of that name, or NULL; registry.c names them all. */
const struct provider_ops *provider_find_driver(const char *name);
/* The names of all of them, for messages; borrowed. */
const char *const *provider_driver_names(size_t *ret_n);

/*
 * Makes an instance. config is what the site says of it, without the key "driver"; its key "limits"
 * is taken here and the rest given to the driver (docs/site.md). The caller frees it with
 * provider_free().
 */
int provider_new(struct loop *loop, const char *name, const char *driver,
                 const struct value *config, const char *home, struct provider **ret_provider,
                 struct error *err);
void provider_free(struct provider *provider); /* accepts NULL; no call may be under way */
DEFINE_CLEANUP(struct provider *, provider_free)

/* What it can do to a resource of that type under that name, or NULL; with a name of NULL the first
 * thing that it can. *ret_names (may be NULL) is the list of all of these names, which the caller
 * frees. */
const struct provider_action *provider_find_action(const struct provider *provider,
                                                   const char *type, const char *name,
                                                   char **ret_names);

/* Whether its records are the whole truth (is_internal above). */
bool provider_is_internal(const struct provider *provider);

/*
 * Whether what is read of a resource, or of one that began to be made at that time, may still be as
 * it was before its last change.
 */
bool provider_is_settling(const struct provider *provider, int64_t changed_at);

/*
 * The wrappers: they assert both sides of the contract, wait until the instance's limits let the
 * call begin, hold it to its time limit, repeat what the system put off, and put the instance's
 * name in front of errors. A call whose deadline has passed or that is cancelled before it begins
 * fails with ERROR_TIMEOUT or ERROR_CANCELLED: nothing was sent. Waiting does not count for the
 * time limit of the call, but for its deadline.
 *
 * identify, read and probe are for providers that are not internal.
 */
CO_FN int provider_identify(struct provider *provider, const struct call *call, char **ret_identity,
                            struct error *err);
CO_FN int provider_read(struct provider *provider, const struct call *call,
                        const struct target *target, struct live *ret_live, struct error *err);
/* Whether it can list at all. */
bool provider_has_list(const struct provider *provider);
/* Only of a provider with a list. */
CO_FN int provider_list(struct provider *provider, const struct call *call,
                        const struct listing *listing, struct page *ret_page, struct error *err);
/* Of an internal provider it never waits, and may be called outside of coroutines. */
CO_FN int provider_apply(struct provider *provider, const struct call *call,
                         const struct target *target, const struct step *step, struct value *after,
                         struct outcome *ret_outcome, struct error *err);
CO_FN int provider_probe(struct provider *provider, const struct call *call,
                         const struct target *target, const struct attempt *attempt,
                         enum probe_kind *ret_kind, struct outcome *ret_outcome, struct error *err);
/* Whether its driver has a dry run; where it has none provider_propose() never waits. */
bool provider_has_propose(const struct provider *provider);
/* Adds what the catalog says of a stand-in to what the driver says, if it has a propose; else
 * *ret_after is NULL. The caller unrefs it. */
CO_FN int provider_propose(struct provider *provider, const struct call *call,
                           const struct target *target, const struct step *step,
                           struct value **ret_after, struct diagnostics *diagnostics,
                           struct error *err);
/* Does nothing where the driver keeps nothing. */
CO_FN void provider_conclude(struct provider *provider, struct call *call);
/* Whether its changes wait for a commit. */
bool provider_has_commit(const struct provider *provider);
/* Both only of a provider with a commit. */
CO_FN int provider_pending(struct provider *provider, const struct call *call,
                           const struct string_list *own, struct value **ret_foreign,
                           struct error *err);
CO_FN int provider_commit(struct provider *provider, const struct call *call,
                          const struct activation *activation, struct outcome *ret_outcome,
                          struct error *err);
/* An empty list when the driver has no describe. */
CO_FN int provider_describe(struct provider *provider, const struct call *call,
                            const struct string_list *uids, struct value **ret_sections,
                            struct error *err);
