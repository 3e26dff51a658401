/*
 * Expressions: what stands in ${...} within a text. The grammar (DESIGN section 18):
 *
 *   expression = reference | NAME "(" [ expression { "," expression } ] ")" | literal
 *   reference  = [ TYPE ":" ] root [ "[" ( INTEGER | STRING ) "]" ] [ "." path ]
 *   literal    = STRING | NUMBER | true | false | null
 *              | "[" [ expression { "," expression } ] "]"
 *              | "{" [ STRING ":" expression { "," STRING ":" expression } ] "}"
 *
 * A root is a resource's name or var, secret, each, count, deployment, and the path that follows is
 * keys and indices: "outputs.hosts[0].name". TYPE has colons of its own; the last one before the
 * first
 * "." ends it. Strings and numbers are those of JSON; a string holds no further ${}. There are no
 * operators. "$${" stands for "${". Functions are those of functions.h.
 */
#pragma once

#include "base/error.h"
#include "model/diagnostic.h"
#include "model/value.h"

#include <stdbool.h>

/* How deep calls, lists and maps may stand in each other. */
#define EXPRESSION_MAX_DEPTH 64

/* What a reference is about; pointers are borrowed for the call. */
struct reference {
    const char *type; /* "opnsense:network:vlan" or NULL when not given */
    const char *root; /* "web-tier", "var", "each", "count", "deployment" */
    const char *key;  /* text inside [...] after the root: 0 or "a" with its quotes; NULL without */
    /* What follows, without the first dot: "outputs.subnet", "cidr[0]"; may be "". */
    const char *path;
};

/*
 * Looks a reference up. Gives a value that the caller unrefs. What cannot be known yet is NULL, or
 * an unknown of which only the type counts when its origin is "": the reference stays. An unknown
 * with an origin of its own takes the reference's place. Fails when there is no such thing.
 */
typedef int (*reference_lookup)(void *argument, const struct reference *reference,
                                struct value **ret_value, struct error *err);

/* What is wrong with a text, for a diagnostic. */
struct expression_fault {
    enum diagnostic_code code; /* EXPRESSION_SYNTAX, UNKNOWN_FUNCTION, FUNCTION_FAILED, or
                                  UNKNOWN_REFERENCE when lookup failed */
    size_t offset;             /* the byte in text where the expression or its fault begins */
    const char *nearest;       /* the function that was probably meant; NULL: none; static */
};

/*
 * Evaluates a text with ${...} in it. When the whole text is one ${...} the result has the kind of
 * what it names, else it is a string: null is left out of it, lists and maps cannot be in it. When
 * something cannot be known yet the result is an unknown whose origin is the text in canonical form
 * with all known parts filled in. What a secret is part of, in a text or as an argument that a
 * function looks at, is a secret without a digest whose origin is such a text; only one that has an
 * origin can be. Fails with what is wrong; *ret_fault (may be NULL) is set only then.
 */
int expression_evaluate(const char *text, reference_lookup lookup, void *argument,
                        struct value **ret_value, struct expression_fault *ret_fault,
                        struct error *err);

/*
 * Evaluates every unknown inside a value by its origin; what stays unknown stays as it is, with
 * what is known filled in. The result is what expression_evaluate() would have given, had all been
 * known then. Gives a new reference.
 */
int expression_resolve(struct value *value, reference_lookup lookup, void *argument,
                       struct value **ret_value, struct error *err);

/* Whether there is a ${ or $${ in it: it is more than its own text. */
bool expression_is_in(const char *text);

/* Whether a secret is in a value, or will be once what is unknown in it is known. */
bool expression_needs_secret(const struct value *value);

/* The text that evaluates to this text: "${" becomes "$${". The caller frees it. */
char *expression_escape(const char *text);

/* Calls found() for each reference in a text, innermost first. Fails as expression_evaluate() on
 * bad syntax, and as found() does. */
int expression_references(const char *text,
                          int (*found)(void *argument, const struct reference *reference,
                                       struct error *err),
                          void *argument, struct expression_fault *ret_fault, struct error *err);
