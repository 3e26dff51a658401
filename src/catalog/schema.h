/* What the files of this room tell each other about schemas. */
#pragma once

#include "base/strbuf.h"
#include "catalog/catalog.h"

#include <stdbool.h>

/* Frees what a schema holds, not the schema. */
void schema_done(struct schema *schema);

/* Appends what is wanted: "an integer from 1 to 4094", "one of allow, block or reject". */
void schema_describe(const struct schema *schema, struct strbuf *buffer);

/*
 * The canonical form of a single value that is no list, set, map or object, or NULL when it is not
 * what the schema wants. A lenient one also takes "1" and 0 for truth values, as some APIs answer.
 * The caller unrefs it.
 */
struct value *schema_canonical_leaf(const struct schema *schema, struct value *value,
                                    bool is_lenient);
/* Whether a canonical value lies within minimum and maximum, and among those allowed. */
bool schema_allows(const struct schema *schema, const struct value *value);

/* As schema_canonical(), as lenient as schema_canonical_leaf(). */
struct value *schema_canonical_lenient(const struct schema *schema, struct value *value);
