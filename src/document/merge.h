/*
 * Documents compared and merged as trees: maps by key, resources and other lists whose items have
 * names by these, other lists as a whole. Nothing here knows a store: texts in, texts out.
 */
#pragma once

#include "base/error.h"
#include "model/diagnostic.h"
#include "model/value.h"
#include "model/yaml.h"

#include <stdbool.h>

/*
 * A place in a document that holds through edits: a list of keys, and of "[NAME]" for the item that
 * has this name (or is this scalar).
 */
char *merge_place_text(const struct value *place); /* "deployment.resources[web].properties" */
/* What stands at a place, or NULL. */
const struct yaml_node *merge_find(const struct yaml_tree *tree, const struct value *place);
/* The name of the resource that a place is in or at, or NULL. Borrowed from the place's text;
 * *ret_length is the name's. */
const char *merge_place_resource(const struct value *place, size_t *ret_length);
/* What a resource of one document is called in another, which may say that it was called so before:
 * NULL when it is not there. Borrowed from after. */
const char *merge_find_name(const struct yaml_tree *before, const struct yaml_tree *after,
                            const char *name);
/* Whether two nodes say the same, whatever their order of keys; NULL is only the same as NULL. */
bool merge_is_same(const struct yaml_node *a, const struct yaml_node *b);

/* Both changed the same thing, each in its own way. */
struct merge_conflict {
    struct value *place;        /* owned */
    unsigned int line, column;  /* in the file: of the thing, or of what would hold it */
    unsigned int head_line;     /* in the head, the same */
    bool is_gone, is_head_gone; /* it was taken out there */
};

struct merge {
    char *text; /* owned: the file with what the head has beyond the base; NULL with conflicts */
    struct value **taken; /* owned, and so is each: the places that were taken from the head */
    size_t n_taken;
    size_t capacity;
    struct merge_conflict *conflicts; /* owned */
    size_t n_conflicts;
    size_t conflict_capacity;
};
void merge_done(struct merge *merge);

/*
 * Brings what changed from base to head into the file's text, whose own comments, order and layout
 * stay. deployment.revision is left alone. All three must be readable; ERROR_INVALID when one is
 * not, ERROR_UNSUPPORTED when the file cannot be edited there. With conflicts it returns 0.
 */
int document_merge(const char *base, const char *head, const char *file, struct merge *ret_merge,
                   struct error *err);

/*
 * Calls found() for each place at which two documents differ, as deep as both can be compared; what
 * stands there in either may be NULL. deployment.revision does not count. What says that it was
 * called otherwise before (formerly) is compared at the place of its old name.
 */
void document_compare(const struct yaml_tree *before, const struct yaml_tree *after,
                      void (*found)(void *argument, const struct value *place,
                                    const struct yaml_node *before, const struct yaml_node *after),
                      void *argument);

/* A tree of a text without faults, or NULL. */
struct yaml_tree *merge_read(const char *text);
