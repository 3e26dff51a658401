/*
 * A value: what a property, an output or a variable holds. Immutable, so that document, plan and
 * record share it without copying; counted by plain counts, so that it stays on one thread.
 */
#pragma once

#include "base/error.h"
#include "base/memory.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum value_kind {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_INTEGER,
    VALUE_DECIMAL, /* finite */
    VALUE_STRING,  /* UTF-8 without NUL */
    VALUE_LIST,
    VALUE_SET, /* without order or duplicates; kept sorted by value_compare() */
    VALUE_MAP, /* string keys, kept sorted as RFC 8785 sorts them */
    VALUE_UNKNOWN,
    VALUE_SECRET,
    VALUE_KIND_COUNT
};
const char *value_kind_to_string(enum value_kind kind);

struct value;

/* Each constructor gives one reference; take_ arguments are consumed. */
struct value *value_null(void);
struct value *value_bool(bool boolean);
struct value *value_integer(int64_t integer);
struct value *value_decimal(double decimal);
struct value *value_string(const char *text);
struct value *value_string_n(const char *text, size_t length);
struct value *value_list(struct value *const *take_items, size_t n_items);
struct value *value_set(struct value *const *take_items, size_t n_items);
/*
 * What is known only during apply. type names what it will be ("string", "any"); origin is the
 * expression that makes it ("${db.outputs.endpoint}", or a text with such in it), complete enough
 * to be evaluated then.
 */
struct value *value_unknown(const char *type, const char *origin);
/*
 * A secret's handle: digest stands for its text everywhere, and the text is not in here. origin is
 * the expression that makes it of secrets ("${secret.db}", or a text with such in it); "" when only
 * its owner knows where it came from. A digest of "" says that nobody has made it yet.
 */
struct value *value_secret(const char *digest, const char *origin);

struct value *value_ref(struct value *value);
/* Accepts NULL. */
void value_unref(struct value *value);
DEFINE_CLEANUP(struct value *, value_unref)

/* Collects the items of a list or the fields of a map. Zero-initialise it; finishing empties it. */
struct value_builder {
    struct value **items;
    size_t n_items;
    size_t capacity;
    struct strbuf keys; /* of a map: its keys one behind the other, each with its NUL */
    size_t *key_starts; /* where the key of each item begins in them */
    size_t keys_capacity;
};
void value_builder_done(struct value_builder *builder);
void value_builder_append(struct value_builder *builder, struct value *take_item);
/* A later field replaces an earlier one of the same key. */
void value_builder_set(struct value_builder *builder, const char *key, struct value *take_item);
void value_builder_set_n(struct value_builder *builder, const char *key, size_t length,
                         struct value *take_item);
void value_builder_set_string(struct value_builder *builder, const char *key,
                              const char *text_or_null);
struct value *value_builder_list(struct value_builder *builder);
struct value *value_builder_set_of(struct value_builder *builder);
struct value *value_builder_map(struct value_builder *builder);

/* The accessors below borrow; each asserts the kind it is for. */
enum value_kind value_kind(const struct value *value);
bool value_is_null(const struct value *value); /* also true for a NULL pointer */
bool value_to_bool(const struct value *value);
int64_t value_to_integer(const struct value *value);
double value_to_decimal(const struct value *value); /* of an integer, too */
const char *
value_text(const struct value *value); /* of a string, an unknown's origin, a secret's digest */
size_t value_text_length(const struct value *value);
const char *value_unknown_type(const struct value *value);
const char *value_secret_origin(const struct value *value);

/* Items of a list, set or map. */
size_t value_count(const struct value *value);
struct value *value_at(const struct value *value, size_t index);
const char *value_key_at(const struct value *map, size_t index);
/* NULL when the key is missing, and when map is NULL or not a map. */
struct value *value_get(const struct value *map, const char *key);
/* Where a key stands in a map; its count when it is not there. */
size_t value_index_of(const struct value *map, const char *key);
/* The text of a string field, else NULL. */
const char *value_get_text(const struct value *map, const char *key);
/* The value of an integer or bool field, else the fallback. */
int64_t value_get_integer(const struct value *map, const char *key, int64_t fallback);
bool value_get_bool(const struct value *map, const char *key, bool fallback);
/*
 * What a path such as "outputs.hosts[0].name" leads to, or NULL. The empty path is the value
 * itself.
 */
struct value *value_at_path(struct value *value, const char *path);

/* A new reference to a map like this one, with one field set (or removed, when take_item is NULL).
 */
struct value *value_with(const struct value *map, const char *key, struct value *take_item);

/*
 * Strict equality and one total order over all values; unknowns are equal when type and origin are,
 * secrets when their digests are, or without any their origins.
 */
bool value_equal(const struct value *a, const struct value *b);
int value_compare(const struct value *a, const struct value *b);
/* Whether an unknown is in it, at any depth. */
bool value_has_unknown(const struct value *value);
/* Whether a secret is in it, at any depth. */
bool value_has_secret(const struct value *value);

/* --- value-change.c: values made of others. The caller unrefs what each gives. --- */

/*
 * What becomes of a value: 0 and another one in *ret_value, 0 and nothing (it stays, and its items
 * are asked about), 1 (it is left out of what holds it), or a failure.
 */
typedef int (*value_changer)(void *argument, struct value *value, struct value **ret_value,
                             struct error *err);
/* Asks about a value and all in it, outermost first. *ret_value is NULL when it was left out. */
int value_change(struct value *value, value_changer change, void *argument,
                 struct value **ret_value, struct error *err);

/* The same with secrets that have only their digests. */
struct value *value_without_origins(struct value *value);
/* The same without its secrets; NULL when it is one. */
struct value *value_without_secrets(struct value *value);
/* The same with the origins that equal secrets have at the same places of another value, which may
 * be NULL. */
struct value *value_with_origins(struct value *value, const struct value *like);
