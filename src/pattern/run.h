/* One pattern at work on a document: what its files tell each other. */
#pragma once

#include "pattern/scene.h"

#include "base/map.h"
#include "model/value.h"

#include <stdbool.h>
#include <stddef.h>

/* One round of every resource "for:" the chain: a network, and what stands before and behind it. */
struct tier {
    size_t actor;
    char *stem;      /* owned: the first word of its name that no other tier has */
    size_t *entries; /* owned: the rules that lead into it from further out */
    size_t n_entries;
    size_t *inner; /* owned: the tiers that it leads to */
    size_t n_inner;
    bool is_outermost; /* no other tier leads into it */
    bool is_entered;   /* from everywhere or from another tier, not only from single addresses */
};
enum { MAX_TIERS = 64 };

struct run {
    struct scene *scene;                   /* borrowed */
    const struct pattern_request *request; /* borrowed */
    size_t request_index;
    struct value *pattern; /* borrowed: the pattern file as a map */
    const char *chain;     /* borrowed: the name of the chain's binding; NULL: none */
    struct tier *tiers;    /* owned */
    size_t n_tiers;
    struct map words;  /* word of one tier's name only -> its index plus one */
    struct map memory; /* what part_find() answered -> owned struct memory */
    struct map told;   /* faults that were told already */
    char *origin;      /* owned, "pattern NAME" */
};

/*
 * What plays a part: a resource, or an item of a map in it, such as a service of a stack. Valid
 * until the actor is forgotten.
 */
struct part {
    size_t actor;
    const char *item;     /* name of the map property; NULL: the resource itself */
    const char *key;      /* of the item in it; NULL: the resource itself */
    struct value *chosen; /* owned map of values that were chosen among several; NULL: none */
};
void part_done(struct part *part);

/* --- The pattern file --- */

/* A binding, a parameter's value (what with: says, else its default); NULL when there is none. */
struct value *run_binding(const struct run *run, const char *name);
struct value *run_parameter(const struct run *run, const char *name);
/* Whether an actor is of a type that the binding names. */
bool run_has_type(const struct run *run, const struct value *binding, size_t actor);

/* Tells a fault once, at the place where the pattern is asked for. help may be NULL. */
__attribute__((format(printf, 4, 5))) void run_tell(struct run *run, enum diagnostic_code code,
                                                    const char *help, const char *format, ...);

/* Tells that several could play a part, once for each tier; nothing more is said about it then. */
void run_ask(struct run *run, const struct tier *tier, const char *name, const char *help,
             const char *detail);
bool run_has_asked(const struct run *run, const struct tier *tier, const char *name);

/* --- The chain (chain.c) --- */

/* Finds the tiers; one that the pattern cannot do without and that is not there is a fault. */
void chain_find(struct run *run);
void chain_done(struct run *run);
/* The tier that the first telling word of a name belongs to, or NULL. */
const struct tier *chain_tier_of(const struct run *run, const char *name);

/* --- Parts (part.c) --- */

/*
 * Finds what plays a part, for a tier where the binding is "of:" the chain (else tier may be NULL).
 * False when nothing does, or when it cannot be told, which is a fault.
 */
bool part_find(struct run *run, const struct tier *tier, const char *name, struct part *ret_part);
/* Forgets what was found, since the document has changed. */
void part_forget(struct run *run);
/* The name of the resource or of the item. */
const char *part_name(const struct run *run, const struct part *part);
/* Its properties, borrowed; canonical, or as they were given. */
struct value *part_spec(const struct run *run, const struct part *part);
struct value *part_given(const struct run *run, const struct part *part);
/* What with: says about a part of a tier (NULL: of the deployment); NULL when nothing. */
const char *part_given_name(const struct run *run, const struct tier *tier, const char *name);
/* Tells of each item that must have a tier and has none, and of each tier in with: that is none. */
void part_check_all(struct run *run);

/* The part of a binding with choose: {property: preferred values} (entry.c). */
bool entry_find(struct run *run, const struct tier *tier, const char *name,
                const struct value *choose_from, struct part *ret_part);

/* --- Numbers and subnets that nobody has yet (vacant.c) --- */

/* NULL when there is none. The caller unrefs it. */
struct value *vacant_find(struct scene *scene, const char *type, const char *property);

/* --- Templates (template.c) --- */

/*
 * Evaluates the ${} in a value. NULL when a part in it is not there; what is not there inside of a
 * map or list is left out. missing (may be NULL) is set to the name of that part, which the caller
 * frees. Texts come out escaped, fit for a document.
 */
struct value *template_evaluate(struct run *run, const struct tier *tier, struct value *value,
                                char **missing);
/* The same for values to compare with: texts are as they are. */
struct value *template_evaluate_plain(struct run *run, const struct tier *tier,
                                      struct value *value);
/* Applies one entry under "resources:" of the pattern. */
void template_apply(struct run *run, const struct tier *tier, struct value *entry);
