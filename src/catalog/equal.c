/* When two values mean the same by their schema. */
#include "catalog/schema.h"

#include "base/memory.h"
#include "model/json.h"

#include <string.h>

static bool equal_json(const struct value *a, const struct value *b)
{
    CLEANUP(value_unrefp) struct value *bare_a = value_without_origins((struct value *)a);
    CLEANUP(value_unrefp) struct value *bare_b = value_without_origins((struct value *)b);
    CLEANUP(mem_freep) char *left = json_text(bare_a);
    CLEANUP(mem_freep) char *right = json_text(bare_b);
    return strcmp(left, right) == 0;
}

static bool is_list(const struct value *value)
{
    return value_kind(value) == VALUE_LIST || value_kind(value) == VALUE_SET;
}

static bool equal_items(const struct schema *schema, const struct value *a, const struct value *b)
{
    if (!is_list(a) || !is_list(b) || value_count(a) != value_count(b))
        return false;
    for (size_t i = 0; i < value_count(a); i++)
        if (!schema_equal(schema->items, value_at(a, i), value_at(b, i)))
            return false;
    return true;
}

static bool equal_maps(const struct schema *schema, const struct value *a, const struct value *b)
{
    if (value_kind(a) != VALUE_MAP || value_kind(b) != VALUE_MAP ||
        value_count(a) != value_count(b))
        return false;
    for (size_t i = 0; i < value_count(a); i++) {
        const struct value *other = value_get(b, value_key_at(a, i));
        if (!other || !schema_equal(schema->items, value_at(a, i), other))
            return false;
    }
    return true;
}

static bool equal_objects(const struct schema *schema, const struct value *wanted,
                          const struct value *other)
{
    if (value_kind(wanted) != VALUE_MAP || value_kind(other) != VALUE_MAP)
        return false;
    for (size_t i = 0; i < value_count(wanted); i++) {
        const char *name = value_key_at(wanted, i);
        const struct schema *field = schema_field(schema, name);
        const struct value *there = value_get(other, name);
        if (field ? !schema_equal(field, value_at(wanted, i), there)
                  : !there || !equal_json(value_at(wanted, i), there))
            return false;
    }
    return true;
}

static bool equal_canonical(const struct schema *schema, const struct value *wanted,
                            const struct value *other)
{
    switch (schema->kind) {
    case SCHEMA_LIST:
    case SCHEMA_SET:
        return equal_items(schema, wanted, other);
    case SCHEMA_MAP:
        return equal_maps(schema, wanted, other);
    case SCHEMA_OBJECT:
        return equal_objects(schema, wanted, other);
    default:
        /* By their bytes, since reading a stored 1.0 or a set gives back an integer or a list. */
        return value_equal(wanted, other) || equal_json(wanted, other);
    }
}

bool schema_equal(const struct schema *schema, const struct value *wanted,
                  const struct value *other)
{
    if (!wanted || (value_is_null(wanted) && schema->kind != SCHEMA_ANY))
        return true;
    if (!other || (value_is_null(other) && schema->kind != SCHEMA_ANY))
        other = schema->fallback;
    if (!other || value_has_unknown(wanted))
        return false;
    if (value_equal(wanted, other))
        return true;
    /* Values never change, so that a reference to a borrowed one does no harm. */
    CLEANUP(value_unrefp)
    struct value *a = schema_canonical_lenient(schema, (struct value *)wanted);
    CLEANUP(value_unrefp)
    struct value *b = schema_canonical_lenient(schema, (struct value *)other);
    return equal_canonical(schema, a ? a : wanted, b ? b : other);
}

static bool is_map(const struct value *value)
{
    return value && value_kind(value) == VALUE_MAP;
}

static struct value *managed_part(const struct schema *schema, const struct value *spec,
                                  struct value *seen)
{
    if (!schema || schema->kind != SCHEMA_OBJECT || !is_map(spec) || !is_map(seen))
        return value_ref(seen);
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(spec); i++) {
        const char *name = value_key_at(spec, i);
        const struct schema *field = schema_field(schema, name);
        struct value *there = value_get(seen, name);
        if (there && !(field && field->is_secret))
            value_builder_set(&fields, name, managed_part(field, value_at(spec, i), there));
    }
    return value_builder_map(&fields);
}

struct value *type_managed_part(const struct resource_type *type, const struct value *spec,
                                struct value *seen)
{
    return managed_part(&type->schema, spec, seen);
}
