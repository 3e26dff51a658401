/* What a document wants: resources after patterns, count and forEach. Plain data; document/ makes
 * it, plan/ reads it. */
#pragma once

#include "base/error.h"
#include "model/diagnostic.h"
#include "model/value.h"

#include <stdbool.h>
#include <stddef.h>

/* A growing list of strings. Zero-initialise it. */
struct string_list {
    char **items; /* owned */
    size_t n_items;
    size_t capacity;
};
void string_list_done(struct string_list *list);
void string_list_add(struct string_list *list, const char *text);
void string_list_add_n(struct string_list *list, const char *text, size_t length);
bool string_list_has(const struct string_list *list, const char *text);
void string_list_copy(struct string_list *to, const struct string_list *from);
/* As a list value, and back; items of a value that are no strings are left out. */
struct value *string_list_to_value(const struct string_list *list);
void string_list_from_value(struct string_list *list, const struct value *value);

/*
 * The address of a resource within its deployment: NAME, NAME[2] or NAME["key"]. key is NULL, an
 * integer or a string. The caller frees it with mem_free().
 */
char *address_format(const char *name, const struct value *key);
/*
 * Takes an address apart; *ret_key is NULL without one. The caller frees both. ERROR_INVALID when
 * it is none.
 */
int address_parse(const char *address, char **ret_name, struct value **ret_key, struct error *err);

struct lifecycle {
    bool protect;
    bool create_before_destroy;
    struct string_list ignore_changes; /* property paths */
    char *expires;                     /* owned, "2027-01-31" or with time; NULL: never */
};

/* One resource that should exist. */
struct resource {
    char *name;        /* owned */
    struct value *key; /* owned; NULL, integer (count) or string (forEach) */
    char *address;     /* owned, see address_format() */
    char *type;        /* owned, the canonical name: aliases are resolved */
    char *instance;    /* owned, "opnsense.default" */
    /*
     * Owned map: the properties, canonical as far as known. What needs other resources is unknown
     * with its expression as origin.
     */
    struct value *spec;
    struct value *match; /* owned; only with existing */
    struct string_list
        depends_on; /* addresses, or the bare name of a counted resource for all of it */
    struct string_list formerly; /* names it had */
    struct lifecycle lifecycle;
    bool existing; /* read only: found by match, never changed */
    /* Owned map {uid, spec, outputs} of what match found; only with existing, NULL until somebody
     * looked. */
    struct value *found;
    char *origin; /* owned, "document" or "pattern NAME" */
    /* Owned map of property path -> origin, for properties that a pattern filled in; may be NULL.
     */
    struct value *filled;
    struct position position; /* file is borrowed from the document */
};

/* All that a document wants, in its order. Zero-initialise it. */
struct wanted {
    struct resource *items; /* owned */
    size_t n_items;
    size_t capacity;
    struct value *outputs; /* owned map of the deployment's outputs, unknowns in it; may be NULL */
    struct string_list outputs_need; /* addresses that they refer to, as in depends_on */
};
void wanted_done(struct wanted *wanted);
/* Keeps those items for which is_kept is true, in their order. */
void wanted_keep(struct wanted *wanted, const bool *is_kept);
/* Makes room for so many more. */
void wanted_reserve(struct wanted *wanted, size_t n_more);
/* A new, empty resource at the end; borrowed until the next one is added. */
struct resource *wanted_add(struct wanted *wanted);
