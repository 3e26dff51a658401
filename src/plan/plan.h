/*
 * Planning: what is wanted, what is recorded and what was seen just now go in, a plan comes out.
 * Pure: no I/O, no clock, no globals; the same input gives the same plan and the same hash.
 */
#pragma once

#include "base/error.h"
#include "base/map.h"
#include "catalog/catalog.h"
#include "model/diagnostic.h"
#include "model/plan.h"
#include "model/record.h"
#include "model/resource.h"

/* What a driver saw of one recorded resource just now; model of provider's struct live. Pointers
 * are borrowed. */
struct observation {
    bool is_known; /* false: nobody looked, the record stands for it */
    bool is_present;
    bool is_stopped;
    struct value *spec;    /* NULL: as recorded; a property that it lacks is not set there */
    struct value *outputs; /* map; NULL, and those that it lacks: as recorded */
    char *provider_id;     /* where our marker was found on another thing; NULL: as recorded */
};

/* What is there already and is to become a resource that has no record. All borrowed. */
struct adoption {
    const char *provider_id;
    /* That of ours that it carries, and its generation; NULL when it carries none: then it gets one
     * that only the record knows. */
    const char *uid;
    int64_t generation;
    struct value *spec;    /* as it is there */
    struct value *outputs; /* map */
};

/* A named action on a resource that has a record. All borrowed. */
struct planned_action {
    const char *address;
    struct value *before; /* as in struct step, as the next */
    struct value *after;
    const char *note; /* what it brings with it; NULL: nothing to say */
    double seconds;
};

/* All borrowed for the call; the plan takes its own references. */
struct plan_input {
    const struct catalog *catalog;
    const struct wanted *wanted;   /* empty for a destroy */
    const struct records *records; /* sorted by address and generation */
    const struct observation
        *observations; /* one for each record, in the same order; NULL: nobody looked */

    const char *deployment;
    const char *environment;
    const char *deployment_uid;
    int64_t incarnation;
    int64_t records_version;
    int64_t
        revision; /* the number this plan's revision will have: generations are named after it */
    const char *document; /* text; NULL for a destroy */
    const char *given;    /* as in struct plan; so are the two below, where NULL is the default */
    const char *source;
    struct value *parents;
    struct value *variables;
    const struct value *outputs; /* map of those that the deployment has now; NULL: it is new */
    struct value *reads;         /* of other deployments, for the plan; may be NULL */
    struct value *identities;    /* map of instance -> who it really is */
    const struct value *pending; /* map of instance -> what others have staged there; NULL: nothing
                                  */
    /* The plan only lets go of the records of these addresses, and of all of a counted resource by
     * its name; NULL: of none. */
    const struct string_list *forget;
    /* The plan only carries this out; NULL: it has none. */
    const struct planned_action *action;
    /* The plan is limited to these addresses, or all of a counted resource by its name, and to what
     * they need; NULL: to none. */
    const struct string_list *targets;
    const struct map
        *expired;                /* addresses that are not wanted because their time is over; NULL:
                                    none. That it is, is decided by the caller: no clock is read here */
    const struct map *adoptions; /* address of a wanted resource -> struct adoption; NULL: none */
    bool only_adopts;            /* nothing else is planned, nor is what is adopted changed */
    /* Instance -> struct string_list: the resources that configure it; NULL: none is. What is on it
     * is made anew with them. */
    const struct map *roots;
    const struct map *released; /* uids of what is let go where it would be deleted, since this
                                   plan takes back what adopted it; NULL: none */
    struct value *secrets;      /* of the document, for the plan; may be NULL */
    struct value *credentials;  /* of its instances, for the plan; may be NULL */
    /* A value whose secrets all have digests; NULL: nobody can make them, and they stay without.
     * Neither waits nor changes anything. */
    int (*complete_secrets)(void *argument, struct value *value, struct value **ret_value,
                            struct error *err);
    void *secrets_argument;
    bool is_destroy;
    bool is_production;

    /* Called after each pass with its name, for --trace; may be NULL. */
    void (*trace)(void *argument, const char *pass, const struct plan *plan);
    void *trace_argument;
};

/*
 * Notes on a step where what its system proposes, a spec, is not what the step asks for; what is
 * unknown or may be secret is left out. The plan must be sealed anew.
 */
void plan_note_proposal(const struct catalog *catalog, struct step *step, struct value *proposed);

/*
 * Makes a sealed plan. Faults found here (a protected resource that would go, a circle, a claim
 * made twice) are added to diagnostics: then the plan is still given, so that all of it can be
 * shown, but must not be approved. Fails only when an expression cannot be evaluated with the
 * outputs that are known.
 */
int plan_make(const struct plan_input *input, struct plan **ret_plan,
              struct diagnostics *diagnostics, struct error *err);
