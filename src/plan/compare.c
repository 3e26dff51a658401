/* What differs between what is wanted, recorded and seen: by the catalog's equality, property by
 * property. */
#include "plan/compare.h"

#include "base/memory.h"
#include "base/text.h"

#include <string.h>

static const struct schema any_schema = {.kind = SCHEMA_ANY};

static bool is_map(const struct value *value)
{
    return value && value_kind(value) == VALUE_MAP;
}

/* The schema of one field; NULL when the type does not know it. */
static const struct schema *inner_schema(const struct schema *schema, const char *key)
{
    if (!schema)
        return NULL;
    return schema->kind == SCHEMA_OBJECT ? schema_field(schema, key) : schema->items;
}

/* What a property counts as when it is not set: the type's default, else NULL. Keys of a map have
 * none: a key that is missing is not there. */
static const struct value *effective(const struct schema *outer, const struct schema *schema,
                                     const struct value *value)
{
    if (value && !value_is_null(value))
        return value;
    bool has_default = schema && (!outer || outer->kind == SCHEMA_OBJECT);
    return has_default ? schema->fallback : NULL;
}

/* One place of two specs. Paths end at keys that a path cannot say. */
struct place {
    const struct schema *outer;
    const struct schema *schema;
    const char *path;
};

static bool can_be_in_path(const char *key)
{
    return *key && !strpbrk(key, ".[");
}

typedef void (*comparison)(struct place place, const struct value *wanted,
                           const struct value *other, struct string_list *paths);

static void compare_field(comparison compare, struct place place, const char *key,
                          const struct value *wanted, const struct value *other,
                          struct string_list *paths)
{
    CLEANUP(mem_freep)
    char *path = !can_be_in_path(key) ? string_copy(place.path)
                 : *place.path        ? string_format("%s.%s", place.path, key)
                                      : string_copy(key);
    compare((struct place){place.schema, inner_schema(place.schema, key), path}, wanted, other,
            paths);
}

static void add_path(struct string_list *paths, const char *path)
{
    bool is_there = paths->n_items > 0 && text_equal(paths->items[paths->n_items - 1], path);
    if (!is_there)
        string_list_add(paths, path);
}

/* Every field that one of both has. */
static void compare_both(struct place place, const struct value *wanted, const struct value *other,
                         struct string_list *paths)
{
    if (!is_map(wanted) || !is_map(other)) {
        const struct schema *schema = place.schema ? place.schema : &any_schema;
        const struct value *a = effective(place.outer, place.schema, wanted);
        const struct value *b = effective(place.outer, place.schema, other);
        /* Asked from both sides, since a field that only one has counts here, also within lists. */
        bool is_same = a && b ? schema_equal(schema, a, b) && schema_equal(schema, b, a) : a == b;
        if (!is_same)
            add_path(paths, place.path);
        return;
    }
    for (size_t i = 0; i < value_count(wanted); i++) {
        const char *key = value_key_at(wanted, i);
        compare_field(compare_both, place, key, value_at(wanted, i), value_get(other, key), paths);
    }
    for (size_t i = 0; i < value_count(other); i++) {
        const char *key = value_key_at(other, i);
        if (!value_get(wanted, key))
            compare_field(compare_both, place, key, NULL, value_at(other, i), paths);
    }
}

/* Only what is wanted: other fields of an object are not managed, other keys of a map are. */
static void compare_wanted(struct place place, const struct value *wanted,
                           const struct value *other, struct string_list *paths)
{
    bool is_object = place.schema && place.schema->kind == SCHEMA_OBJECT;
    if (!wanted || !is_map(wanted) || !is_map(other)) {
        /* What nobody can read back is taken for unchanged. */
        bool is_hidden = !other && place.schema && place.schema->is_secret;
        const struct schema *schema = place.schema ? place.schema : &any_schema;
        const struct value *seen = effective(place.outer, place.schema, other);
        bool is_same = wanted && seen ? schema_equal(schema, wanted, seen) : !wanted && !seen;
        if (!is_same && !is_hidden && !(wanted && value_has_unknown(wanted)))
            add_path(paths, place.path);
        return;
    }
    for (size_t i = 0; i < value_count(wanted); i++) {
        const char *key = value_key_at(wanted, i);
        compare_field(compare_wanted, place, key, value_at(wanted, i), value_get(other, key),
                      paths);
    }
    for (size_t i = 0; !is_object && i < value_count(other); i++) {
        const char *key = value_key_at(other, i);
        if (!value_get(wanted, key))
            compare_field(compare_wanted, place, key, NULL, value_at(other, i), paths);
    }
}

void compare_specs(const struct resource_type *type, const struct value *wanted,
                   const struct value *recorded, struct string_list *paths)
{
    compare_both((struct place){NULL, &type->schema, ""}, wanted, recorded, paths);
}

void compare_live(const struct resource_type *type, const struct value *wanted,
                  const struct value *live, struct string_list *paths)
{
    compare_wanted((struct place){NULL, &type->schema, ""}, wanted, live, paths);
}

bool path_covers(const char *outer, const char *path)
{
    size_t length = strlen(outer);
    return text_starts_with(path, outer) && strchr(".[", path[length]);
}

static bool is_covered(const struct string_list *outers, const char *path)
{
    for (size_t i = 0; i < outers->n_items; i++)
        if (path_covers(outers->items[i], path))
            return true;
    return false;
}

void paths_add_missing(struct string_list *paths, const struct string_list *more)
{
    for (size_t i = 0; i < more->n_items; i++)
        if (!string_list_has(paths, more->items[i]))
            string_list_add(paths, more->items[i]);
}

void paths_drop(struct string_list *paths, const struct string_list *ignored)
{
    struct string_list kept = {0};
    for (size_t i = 0; i < paths->n_items; i++)
        if (!is_covered(ignored, paths->items[i]))
            string_list_add(&kept, paths->items[i]);
    string_list_done(paths);
    *paths = kept;
}

bool paths_touch(const struct string_list *paths, const struct string_list *others)
{
    for (size_t i = 0; i < paths->n_items; i++)
        for (size_t k = 0; k < others->n_items; k++)
            if (path_covers(paths->items[i], others->items[k]) ||
                path_covers(others->items[k], paths->items[i]))
                return true;
    return false;
}

static struct value *with_defaults(struct place place, struct value *wanted, struct value *recorded,
                                   struct string_list *defaulted)
{
    if (!is_map(wanted) || !is_map(recorded))
        return value_ref(wanted);
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(recorded); i++) {
        const char *key = value_key_at(recorded, i);
        const struct schema *schema = inner_schema(place.schema, key);
        const struct value *fallback =
            value_get(wanted, key) ? NULL : effective(place.schema, schema, NULL);
        if (!fallback)
            continue;
        CLEANUP(mem_freep)
        char *path = string_format("%s%s%s", place.path, *place.path ? "." : "", key);
        if (!schema_equal(schema, fallback, value_at(recorded, i)))
            string_list_add(defaulted, path);
        value_builder_set(&fields, key, value_ref((struct value *)fallback));
    }
    for (size_t i = 0; i < value_count(wanted); i++) {
        const char *key = value_key_at(wanted, i);
        CLEANUP(mem_freep)
        char *path = string_format("%s%s%s", place.path, *place.path ? "." : "", key);
        struct place inner = {place.schema, inner_schema(place.schema, key), path};
        value_builder_set(
            &fields, key,
            with_defaults(inner, value_at(wanted, i), value_get(recorded, key), defaulted));
    }
    return value_builder_map(&fields);
}

struct value *spec_with_defaults(const struct resource_type *type, struct value *wanted,
                                 struct value *recorded, struct string_list *defaulted)
{
    return with_defaults((struct place){NULL, &type->schema, ""}, wanted, recorded, defaulted);
}

/* A map with the value at a path below it set, or taken out when it is NULL; what is on the way is
 * made for a value, and goes when nothing is left in it. */
static struct value *with_path(const struct value *map, const char *path, struct value *item)
{
    size_t length = strcspn(path, ".");
    CLEANUP(mem_freep) char *key = string_copy_n(path, length);
    if (!path[length])
        return value_with(map, key, item ? value_ref(item) : NULL);
    const struct value *inner = value_get(map, key);
    if (!is_map(inner) && !item)
        return value_ref((struct value *)map);
    CLEANUP(value_unrefp) struct value *empty = value_builder_map(&(struct value_builder){0});
    struct value *changed = with_path(is_map(inner) ? inner : empty, path + length + 1, item);
    if (!item && value_count(changed) == 0)
        value_unref(take_ptr(changed));
    return value_with(map, key, changed);
}

struct value *spec_keep_ignored(struct value *wanted, struct value *present,
                                const struct string_list *ignored)
{
    struct value *spec = value_ref(wanted);
    for (size_t i = 0; i < ignored->n_items; i++) {
        const char *path = ignored->items[i];
        if (strchr(path, '['))
            continue;
        struct value *kept = with_path(spec, path, value_at_path(present, path));
        value_unref(spec);
        spec = kept;
    }
    return spec;
}
