/* What comparing and merging share. */
#pragma once

#include "base/map.h"
#include "base/memory.h"
#include "document/merge.h"

/* The way to where one is. Zero-initialise it; free items when it is empty again. */
struct merge_steps {
    char **items; /* owned, and so is each */
    size_t n_items;
    size_t capacity;
};
void merge_push(struct merge_steps *steps, char *take_step);
void merge_pop(struct merge_steps *steps);
struct value *merge_place(const struct merge_steps *steps);
/* Whether this key there is deployment.revision. */
bool merge_is_revision(const struct merge_steps *steps, const char *key);

/* What tells an item from others in its list: its name, id or key, or a scalar's text; or NULL. */
const char *merge_item_name(const struct yaml_node *item);
char *merge_item_step(const char *name);
/* Name -> index + 1; false, and nothing to free, when an item has no name or two have the same.
 * list may be NULL: empty. */
bool merge_index_list(const struct yaml_node *list, struct map *ret_index);
/* NULL when it is not there. */
const struct yaml_node *merge_item(const struct yaml_node *list, const struct map *index,
                                   const char *name);
