#include "service/contexts.h"

#include "archive/context.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"

#include <stdlib.h>
#include <string.h>

/* The property of a type that is a digest, or NULL. */
static const struct schema_field *find_digest(const struct resource_type *type)
{
    for (size_t i = 0; i < type->schema.n_fields; i++)
        if (type->schema.fields[i].schema.digest_of)
            return &type->schema.fields[i];
    return NULL;
}

static struct value *replace_texts(const struct value *spec, const char *const *names,
                                   const char *const *texts, size_t n)
{
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(spec); i++)
        value_builder_set(&fields, value_key_at(spec, i), value_ref(value_at(spec, i)));
    for (size_t i = 0; i < n; i++)
        value_builder_set_string(&fields, names[i], texts[i]);
    return value_builder_map(&fields);
}

static void fill(struct resource *resource, const struct schema_field *field, const char *base,
                 struct diagnostics *diagnostics)
{
    const char *from = field->schema.digest_of;
    const char *folder = value_get_text(resource->spec, from);
    CLEANUP(error_done) struct error err = {0};
    CLEANUP(mem_freep) char *path = NULL;
    char digest[DIGEST_HEX_SIZE];
    if (!value_is_null(value_get(resource->spec, field->name))) {
        diagnostics_add(diagnostics, DIAGNOSTIC_BAD_VALUE, resource->position, "Take it out.",
                        "The property \"%s\" of %s is filled in by Parley.", field->name,
                        resource->address);
        return;
    }
    if (!folder)
        return;
    CLEANUP(mem_freep)
    char *given = folder[0] == '/' ? string_copy(folder) : string_format("%s/%s", base, folder);
    int r = world_real_path(given, &path, &err);
    if (r == 0)
        r = context_pack(path, value_get_text(resource->spec, "dockerfile"), NULL, digest, &err);
    if (r < 0) {
        diagnostics_add(diagnostics, DIAGNOSTIC_BAD_VALUE, resource->position,
                        error_code_advice(err.code), "The %s of %s: %s.", from, resource->address,
                        error_message(&err));
        return;
    }
    const char *const names[] = {from, field->name};
    const char *const texts[] = {path, digest};
    struct value *filled = replace_texts(resource->spec, names, texts, ARRAY_LENGTH(names));
    value_unref(resource->spec);
    resource->spec = filled;
}

/* --- What uses them --- */

struct users {
    const struct catalog *catalog;
    const struct wanted *wanted;
    struct resource *resource; /* the one that is looked at */
};

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void depend_on(struct resource *resource, const char *address)
{
    struct string_list *list = &resource->depends_on;
    for (size_t i = 0; i < list->n_items; i++)
        if (text_equal(list->items[i], address))
            return;
    string_list_add(list, address);
    qsort(list->items, list->n_items, sizeof(list->items[0]), compare_texts);
}

static bool makes(const struct users *users, const struct resource *maker,
                  const struct schema *schema, const char *name, const char *text)
{
    const struct resource_type *type = catalog_find(users->catalog, maker->type);
    const struct schema_field *digest = type ? find_digest(type) : NULL;
    if (!digest || !value_get_text(maker->spec, digest->name) ||
        !text_equal_or_null(value_get_text(maker->spec, name), text))
        return false;
    for (size_t i = 0; i < value_count(schema->made_by); i++)
        if (text_equal(value_text(value_at(schema->made_by, i)), maker->type))
            return true;
    return false;
}

static void look(const struct users *users, const struct schema *schema, const char *name,
                 const struct value *value)
{
    if (value_is_null(value))
        return;
    if (schema->made_by && value_kind(value) == VALUE_STRING)
        for (size_t i = 0; i < users->wanted->n_items; i++)
            if (makes(users, &users->wanted->items[i], schema, name, value_text(value)))
                depend_on(users->resource, users->wanted->items[i].address);
    bool is_map = value_kind(value) == VALUE_MAP;
    for (size_t i = 0; schema->kind == SCHEMA_OBJECT && is_map && i < schema->n_fields; i++)
        look(users, &schema->fields[i].schema, schema->fields[i].name,
             value_get(value, schema->fields[i].name));
    bool has_items = is_map || value_kind(value) == VALUE_LIST || value_kind(value) == VALUE_SET;
    for (size_t i = 0; schema->items && has_items && i < value_count(value); i++)
        look(users, schema->items, name, value_at(value, i));
}

void contexts_fill(const struct catalog *catalog, const char *base, struct wanted *wanted,
                   struct diagnostics *diagnostics)
{
    bool has_any = false;
    for (size_t i = 0; i < wanted->n_items; i++) {
        struct resource *resource = &wanted->items[i];
        const struct resource_type *type = catalog_find(catalog, resource->type);
        const struct schema_field *digest = type ? find_digest(type) : NULL;
        if (!digest || !resource->spec || resource->existing)
            continue;
        fill(resource, digest, base, diagnostics);
        has_any = has_any || value_get_text(resource->spec, digest->name);
    }
    for (size_t i = 0; has_any && i < wanted->n_items; i++) {
        struct resource *resource = &wanted->items[i];
        const struct resource_type *type = catalog_find(catalog, resource->type);
        struct users users = {catalog, wanted, resource};
        if (type && resource->spec)
            look(&users, &type->schema, NULL, resource->spec);
    }
}
