/*
 * Patterns: named generators of resources and properties, as data (pattern/builtin/, embedded). A
 * pattern file has parameters, bindings and resources in the document's own form, nothing else;
 * docs/patterns.md describes it.
 */
#pragma once

#include "catalog/catalog.h"
#include "document/document.h"
#include "model/diagnostic.h"

/*
 * Applies the document's patterns in listed order, in one pass: adds resources and fills unset
 * properties; a name that the document has already only gets unset properties filled. Everything
 * added or filled carries its origin. Unknown patterns, ambiguous or missing bindings are faults
 * that name the candidates.
 */
void pattern_apply(struct document *document, const struct catalog *catalog,
                   struct diagnostics *diagnostics);

/*
 * The built-in patterns as a list of maps with the keys of their files: "pattern" (the name),
 * "description", "parameters" and so on. The caller unrefs it.
 */
struct value *pattern_list(void);
