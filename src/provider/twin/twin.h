/*
 * The driver of every instance whose resources the twin makes real: opnsense.default, aws.default
 * and the others of one home share one twin. Its supervisor is the program parley-twin, which is
 * started, in a session of its own, when a step needs it and it does not run. While it does not
 * run its manifest is read instead, and resources in it are stopped.
 *
 * Identity: see folder.h. A provider id is IDENTITY/UID, so that a record of a twin that is gone is
 * never taken for one of its successor.
 *
 * It takes one setting: engine, where the Docker Engine answers (image.h).
 */
#pragma once

#include "provider/provider.h"
#include "provider/twin/folder.h"

struct twin_provider {
    struct provider provider;
    struct twin_home home;
    char *engine;           /* owned: the site's setting; or NULL */
    struct value *manifest; /* owned: as it was at seen_at; NULL: there was none */
    int64_t seen_at;        /* world_monotonic_clock(); 0: not seen */
    struct channel *held;   /* owned: what keeps, during a run, what its steps take away; or NULL */
    bool has_asked;         /* for it, in this run */
    struct gate asked;      /* opened when held is known */
    bool is_asking;
};

static inline struct twin_provider *twin_of(struct provider *provider)
{
    return (struct twin_provider *)provider;
}

static inline bool twin_is_map(const struct value *value)
{
    return value && value_kind(value) == VALUE_MAP;
}

extern const struct provider_ops twin_provider_ops;

/* --- Within this folder --- */

/*
 * The manifest as it was at most a moment ago, so that reading many resources of a stopped twin
 * does not read the file as often. *ret_manifest is a new reference, or NULL without a twin.
 */
int twin_see_manifest(struct twin_provider *twin, struct value **ret_manifest, struct error *err);
int twin_find_identity(struct twin_provider *twin, char ret_identity[UUID_TEXT_SIZE],
                       struct error *err);
/* As that. What was made on a twin that is gone must not be read as absent from the one there is
 * now: ERROR_UNAVAILABLE. */
int twin_check_identity(struct twin_provider *twin, const struct target *target,
                        char ret_identity[UUID_TEXT_SIZE], struct error *err);
/* See struct provider_ops, as twin_probe(), twin_apply() and twin_conclude(). */
CO_FN int twin_read(struct provider *provider, struct call *call, const struct target *target,
                    struct live *ret_live, struct error *err);

/* apply.c */
CO_FN int twin_apply(struct provider *provider, struct call *call, const struct target *target,
                     const struct step *step, struct value *after, struct outcome *ret_outcome,
                     struct error *err);
CO_FN void twin_conclude(struct provider *provider, struct call *call);
/* Whether there surely is nothing to delete, so that nothing need be started for it. */
CO_FN int twin_check_is_gone(const struct twin_home *home, const struct call *call, const char *uid,
                             bool *ret_is_gone, struct error *err);
/* Whether the action makes its member the primary. */
bool twin_is_promotion(const char *action);
/* probe.c */
CO_FN int twin_probe(struct provider *provider, struct call *call, const struct target *target,
                     const struct attempt *attempt, enum probe_kind *ret_kind,
                     struct outcome *ret_outcome, struct error *err);

/* propose.c */
CO_FN int twin_propose(struct provider *provider, struct call *call, const struct target *target,
                       const struct step *step, struct value **ret_after,
                       struct diagnostics *diagnostics, struct error *err);
/* Adds what a network with DHCP lacks on this machine, and what is wrong with its pool. */
void twin_check_leases(const struct target *target, const struct value *spec,
                       struct diagnostics *diagnostics);
/* firewall.c: adds what the router cannot do of a network, list, rule, schedule or translation. */
void twin_check_firewall(const struct target *target, const struct value *spec,
                         struct diagnostics *diagnostics);
/* stacks.c */
void twin_check_stack(const struct target *target, const struct value *spec,
                      struct diagnostics *diagnostics);
/* What the delete of one loses. */
void twin_tell_volumes(const struct target *target, const struct value *spec,
                       struct diagnostics *diagnostics);
/* interrupt.c */
void twin_tell_interruptions(const struct target *target, const struct step *step,
                             struct diagnostics *diagnostics);
/* Whether how many hosts it has is not only the document's matter. */
bool twin_is_group(const struct target *target);
/* For a group or instances: how many hosts go. outputs are a group's of now, or NULL. */
void twin_tell_hosts(const struct target *target, const struct step *step,
                     const struct value *outputs, struct diagnostics *diagnostics);
/* describe.c */
CO_FN int twin_describe(struct provider *provider, struct call *call,
                        const struct string_list *uids, struct value **ret_sections,
                        struct error *err);
/* Tells the progress of a call what a resource consists of, from the answer to its put. */
void twin_tell_parts(const struct call *call, const char *type, const struct value *answer);
