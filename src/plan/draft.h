/* What the passes of planning share: the plan while it is made. Private to plan/. */
#pragma once

#include "base/map.h"
#include "graph/graph.h"
#include "model/outputs.h"
#include "plan/plan.h"

#include <stdint.h>

/* "No step" and "no record". */
#define NONE SIZE_MAX

enum decision { DECISION_KEEP, DECISION_CREATE, DECISION_UPDATE, DECISION_REPLACE, DECISION_ADOPT };

/* One wanted resource and what is known of it. */
struct pair {
    const struct resource *wanted; /* borrowed */
    const struct resource_type *type;
    size_t record;                /* index into the records, or NONE */
    const char *former;           /* borrowed: the address it had, when it was renamed */
    const struct adoption *found; /* borrowed: what it is to be, while it has no record; NULL */
    struct value *spec;           /* owned: resolved and canonical, unknowns left */
    enum decision decision;
    enum step_reason reason;
    bool create_before_destroy;
    const char *spread_by; /* borrowed: the address whose createBeforeDestroy reaches it; NULL */
    bool is_drifted;       /* what was seen is not what is wanted */
    bool is_record_only;   /* of an update: nothing changes but the record */
    struct value *updated; /* owned: spec with defaults in place of what is wanted no more */
    struct string_list changed;   /* paths */
    struct string_list defaulted; /* those of them that go back to a default */
    size_t put;    /* index of the create or update step, or of an adoption without one; or NONE */
    size_t adopt;  /* of the adoption, or NONE */
    size_t remove; /* of the delete of a replaced generation, or NONE */
    size_t rename; /* of the rename, or NONE */
};

struct draft {
    const struct plan_input *input;
    struct diagnostics *diagnostics;
    struct plan *plan;
    struct pair *pairs; /* owned; one for each wanted resource, in its order */
    size_t n_pairs;
    size_t *order;               /* owned: pairs so that each comes after what it depends on */
    struct map pairs_by_address; /* address -> index + 1 */
    struct map pairs_by_name;    /* name of counted resources -> struct index_list, owned */
    size_t *removals;            /* owned; for each record the index of its delete step, or NONE */
    size_t *pair_of;             /* owned; for each record the pair that continues it, or NONE */
    struct map records_by_address; /* address -> index + 1, newest generation that is not deposed */
    struct map records_by_name;    /* name of counted records -> struct index_list, owned */
    struct outputs outputs;
    struct value_builder existing; /* what the plan has as existing, while it is gathered */
    struct map *bindings;          /* name of a counted resource -> owned record_binding() of it */
};

struct index_list {
    size_t *items; /* owned */
    size_t n_items;
    size_t capacity;
};

/* Adds an index to the list, owned by the map, of a key; and frees all of them with the map. */
void draft_index(struct map *lists, const char *key, size_t index);
void draft_index_done(struct map *lists);

/* The indices that an address, or the bare name of a counted resource, stands for; *one is scratch
 * for a single. */
const struct index_list *draft_find(const struct map *by_address, const struct map *by_name,
                                    const char *address, struct index_list *one, size_t *one_item);

const struct record *draft_record(const struct draft *draft, size_t index);
const struct observation *draft_observation(const struct draft *draft, size_t index);
/* The system's name for what a record stands for; NULL while there is none. Borrowed. */
const char *draft_provider_id(const struct draft *draft, size_t index);

/* --- identity.c: who a resource is, and what references to it are bound to --- */

/* A generation that this address never had. */
int64_t draft_next_generation(const struct draft *draft, const struct pair *pair);
/* That of what is adopted, from its own mark or new. */
int64_t draft_adopted_generation(const struct draft *draft, const struct pair *pair);
char *draft_adopted_uid(const struct draft *draft, const struct pair *pair);
/* The uid of a generation that is made now. The caller frees it. */
char *draft_derive_uid(const struct draft *draft, const char *address, int64_t generation);
/* The name under which the record knows a dependency: that before a rename in this plan, too. */
const char *draft_recorded_name(const struct draft *draft, const char *dependency);
/* Adds the paths of references that lead to other generations than those the record is bound to. */
void draft_find_moved(const struct draft *draft, const struct pair *pair,
                      const struct record *record, struct string_list *paths);

/* --- claims.c --- */

/* What is claimed anew waits for the step that lets go of it; an overlap that cannot be is told. */
void draft_link_claims(struct draft *draft, struct graph *graph);

/* The passes, in their order; each header comment is at its definition. */
/* A value with all that is known now, and with digests for its secrets. */
int draft_resolve(const struct draft *draft, struct value *value, struct value **ret_value,
                  struct error *err);

int draft_match(struct draft *draft, struct error *err);
int draft_order(struct draft *draft, struct error *err);
int draft_sequence(struct draft *draft, struct error *err);
int draft_decide(struct draft *draft, struct error *err);
int draft_doubt(struct draft *draft, struct error *err);
int draft_add_steps(struct draft *draft, struct error *err);
int draft_link(struct draft *draft, struct error *err);
int draft_target(struct draft *draft, struct error *err);
