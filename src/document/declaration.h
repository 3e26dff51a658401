/*
 * Declarations: the entries under resources: as they were written, before count, forEach and
 * expressions. For pattern/, which looks through them, adds some and fills unset properties.
 */
#pragma once

#include "document/document.h"
#include "model/diagnostic.h"
#include "model/value.h"

#include <stdbool.h>
#include <stddef.h>

struct declaration;

/* In the document's order; those added come last, unless they are moved. */
size_t document_count(const struct document *document);
struct declaration *document_at(const struct document *document, size_t index);
/* By name; NULL when there is none. A hash look-up. */
struct declaration *document_find(const struct document *document, const char *name);

/* Borrowed. The type is as written, so that an alias is possible; either is "" when it is missing.
 */
const char *declaration_name(const struct declaration *declaration);
const char *declaration_type(const struct declaration *declaration);
bool declaration_is_existing(const struct declaration *declaration);
/* "document", or the origin it was added with. */
const char *declaration_origin(const struct declaration *declaration);
struct position declaration_position(const struct document *document,
                                     const struct declaration *declaration);
/* Where the property at a path stands, or the nearest thing that holds it. */
struct position declaration_property_position(const struct document *document,
                                              const struct declaration *declaration,
                                              const char *path);

/*
 * The properties as a map, with variables and functions evaluated; what needs a resource, each or
 * count is an unknown with its expression. Not canonical: see type_check(). Faults are not told
 * here but by document_expand(). The caller unrefs it.
 */
struct value *declaration_properties(const struct document *document,
                                     const struct declaration *declaration);

/*
 * Calls found() for each property that the catalog marks as a reference and that holds a name, with
 * its path and the name; for names in lists once each. A declaration of an unknown type has none.
 */
void declaration_references(const struct document *document, const struct declaration *declaration,
                            const struct catalog *catalog,
                            void (*found)(void *argument, const char *path, const char *name),
                            void *argument);

/*
 * Adds a declaration. form is a map in the document's own form: type, name, properties, dependsOn,
 * count and so on. Its texts are taken as they are, so that ${} in them is evaluated by
 * document_expand(); an unknown stands for the expression that is its origin. position is where the
 * pattern is asked for. Faults of the form are told; NULL when it has no name or the name is taken.
 */
struct declaration *document_add(struct document *document, const struct value *form,
                                 struct position position, const char *origin,
                                 struct diagnostics *diagnostics);

/*
 * Moves a declaration in front of another one, where the order matters, as with firewall rules.
 * Nothing happens when it stands there already.
 */
void document_move_before(struct document *document, struct declaration *declaration,
                          const struct declaration *other);

/*
 * Fills a property that is not set, at a path of keys and indices ("services.web.port"); maps on
 * the way are made. The value is as in document_add(). False and nothing changed when it is set
 * already, null included, or when something on the way is no map.
 */
bool document_fill(struct document *document, struct declaration *declaration, const char *path,
                   const struct value *value, struct position position, const char *origin);

/* A pattern asked for: NAME, or {name: NAME, with: {...}}. */
struct pattern_request {
    const char *name;         /* borrowed */
    struct value *with;       /* borrowed map, variables evaluated; empty without with: */
    struct position position; /* of the name */
};
size_t document_pattern_count(const struct document *document);
/* Valid until document_set_variables() is called. */
const struct pattern_request *document_pattern_at(const struct document *document, size_t index);
/* Where the parameter at a path ("tiers[0]") of its with: stands. */
struct position document_pattern_position(const struct document *document, size_t index,
                                          const char *path);
