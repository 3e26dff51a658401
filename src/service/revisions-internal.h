/* What the files about revisions share. */
#pragma once

#include "model/yaml.h"
#include "service/revisions.h"

/* The document of a revision as a tree; it lives as long as the lineage. */
CO_FN int lineage_tree(struct lineage *lineage, int64_t number, const struct yaml_tree **ret_tree,
                       struct error *err);
/* Whether the principal who asks made it. */
bool lineage_is_own(const struct lineage *lineage, const struct value *revision);
/*
 * The next revision, from *number down, that changed what stands at a place, and what stood there
 * before it (may be NULL: nothing); *number is then below it. *ret_revision is NULL when there is
 * none. The first revision changed nothing: it is what there was to begin with.
 */
CO_FN int lineage_walk(struct lineage *lineage, const struct value *place, int64_t *number,
                       const struct value **ret_revision, const struct yaml_node **ret_before,
                       struct error *err);
/* "revision 3 of user:root, TIME: WORDS". The caller frees it. */
char *revision_words(const struct value *revision);
