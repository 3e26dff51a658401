/*
 * Comparing specs property by property, as the catalog says what is equal; and the spec that an
 * update leads to. Private to plan/. Paths are those of model/value.h, without indices: a list is
 * compared as a whole.
 */
#pragma once

#include "catalog/catalog.h"
#include "model/resource.h"

/*
 * Adds the paths at which what is wanted differs from what is recorded, in both directions: what
 * was set and is wanted no more differs, too, unless it is the default.
 */
void compare_specs(const struct resource_type *type, const struct value *wanted,
                   const struct value *recorded, struct string_list *paths);
/*
 * Adds the paths at which what is wanted differs from what was seen. Properties that are not wanted
 * are not managed and do not count; neither does what is still unknown, nor a secret that was not
 * given back.
 */
void compare_live(const struct resource_type *type, const struct value *wanted,
                  const struct value *live, struct string_list *paths);

/* Whether a path is outer or lies below it. */
bool path_covers(const char *outer, const char *path);
/* Adds those that are not there yet. */
void paths_add_missing(struct string_list *paths, const struct string_list *more);
/* Takes out what is covered by one of the ignored ones. */
void paths_drop(struct string_list *paths, const struct string_list *ignored);
/* Whether one of them covers, or is covered by, one of the others. */
bool paths_touch(const struct string_list *paths, const struct string_list *others);

/*
 * What is wanted, with the default of each property that the record has and nobody wants any more;
 * those that thereby change are added to defaulted. Gives a new reference.
 */
struct value *spec_with_defaults(const struct resource_type *type, struct value *wanted,
                                 struct value *recorded, struct string_list *defaulted);
/* What is wanted, but at the ignored paths as it is at present. Gives a new reference. */
struct value *spec_keep_ignored(struct value *wanted, struct value *present,
                                const struct string_list *ignored);
