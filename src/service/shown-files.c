#include "service/shown-files.h"

#include "archive/context.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"

#include <string.h>

/* The filling of one resource. */
struct filling {
    struct resource *resource;
    const char *base; /* its real path */
    struct diagnostics *diagnostics;
    struct value_builder digests;
    const char *property; /* where they belong; NULL as long as there are none */
};

static void tell(const struct filling *filling, const char *help, const char *source,
                 const char *reason)
{
    diagnostics_add(filling->diagnostics, DIAGNOSTIC_BAD_VALUE, filling->resource->position, help,
                    "%s of %s: %s.", source, filling->resource->address, reason);
}

static bool is_below(const char *path, const char *folder)
{
    size_t length = text_equal(folder, "/") ? 0 : strlen(folder);
    return strncmp(path, folder, length) == 0 && path[length] == '/' && path[length + 1];
}

/* The real path of a source and its digest; false when it was told why not. */
static bool find(const struct filling *filling, const char *source, char **ret_path,
                 char ret_digest[DIGEST_HEX_SIZE])
{
    CLEANUP(error_done) struct error err = {0};
    CLEANUP(mem_freep) char *path = NULL;
    CLEANUP(mem_freep)
    char *given =
        source[0] == '/' ? string_copy(source) : string_format("%s/%s", filling->base, source);
    int r = world_real_path(given, &path, &err);
    if (r == 0 && !is_below(path, filling->base)) {
        CLEANUP(mem_freep)
        char *reason =
            string_format("it leads to %s, which is not below %s, the document's folder; "
                          "a plan covers only what lies there",
                          path, filling->base);
        tell(filling, "Copy it beside the document, or use a volume: NAME:/PATH.", source, reason);
        return false;
    }
    if (r == 0 && strchr(path, ':'))
        r = error_set(&err, ERROR_INVALID, "%s has a colon, which ends a source", path);
    if (r == 0)
        r = context_pack_files(path, NULL, ret_digest, &err);
    if (r < 0) {
        tell(filling, error_code_advice(err.code), source, error_message(&err));
        return false;
    }
    *ret_path = take_ptr(path);
    return true;
}

/* SOURCE:REST */
static struct value *fill_text(struct filling *filling, const struct schema *schema,
                               struct value *text)
{
    const char *rest = strchr(value_text(text), ':');
    CLEANUP(mem_freep) char *path = NULL;
    char digest[DIGEST_HEX_SIZE];
    if (!rest || !strchr("./", value_text(text)[0]))
        return value_ref(text);
    CLEANUP(mem_freep)
    char *source = string_copy_n(value_text(text), (size_t)(rest - value_text(text)));
    if (!find(filling, source, &path, digest))
        return value_ref(text);
    filling->property = schema->digest_in;
    value_builder_set_string(&filling->digests, path, digest);
    CLEANUP(mem_freep) char *filled = string_format("%s%s", path, rest);
    return value_string(filled);
}

/* What shares no path with the document stays the same value. */
static struct value *fill(struct filling *filling, const struct schema *schema, struct value *value)
{
    struct value_builder items = {0};
    enum value_kind kind = value_is_null(value) ? VALUE_NULL : value_kind(value);
    if (schema->digest_in && kind == VALUE_STRING)
        return fill_text(filling, schema, value);
    if (kind == VALUE_MAP && (schema->kind == SCHEMA_MAP || schema->kind == SCHEMA_OBJECT)) {
        for (size_t i = 0; i < value_count(value); i++) {
            const char *key = value_key_at(value, i);
            const struct schema *below =
                schema->kind == SCHEMA_MAP ? schema->items : schema_field(schema, key);
            struct value *item = value_at(value, i);
            value_builder_set(&items, key, below ? fill(filling, below, item) : value_ref(item));
        }
        return value_builder_map(&items);
    }
    if (kind == VALUE_LIST && schema->kind == SCHEMA_LIST) {
        for (size_t i = 0; i < value_count(value); i++)
            value_builder_append(&items, fill(filling, schema->items, value_at(value, i)));
        return value_builder_list(&items);
    }
    return value_ref(value);
}

/* The property that Parley fills in, or NULL. */
static const char *find_property(const struct schema *schema)
{
    if (schema->digest_in)
        return schema->digest_in;
    const char *found = schema->items ? find_property(schema->items) : NULL;
    for (size_t i = 0; !found && i < schema->n_fields; i++)
        found = find_property(&schema->fields[i].schema);
    return found;
}

static void fill_resource(const struct resource_type *type, const char *property, const char *base,
                          struct resource *resource, struct diagnostics *diagnostics)
{
    struct filling filling = {resource, base, diagnostics, {0}, NULL};
    if (!value_is_null(value_get(resource->spec, property))) {
        diagnostics_add(diagnostics, DIAGNOSTIC_BAD_VALUE, resource->position, "Take it out.",
                        "The property \"%s\" of %s is filled in by Parley.", property,
                        resource->address);
        return;
    }
    CLEANUP(value_unrefp) struct value *filled = fill(&filling, &type->schema, resource->spec);
    CLEANUP(value_unrefp) struct value *digests = value_builder_map(&filling.digests);
    if (!filling.property)
        return;
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(filled); i++)
        value_builder_set(&fields, value_key_at(filled, i), value_ref(value_at(filled, i)));
    value_builder_set(&fields, property, take_ptr(digests));
    value_unref(resource->spec);
    resource->spec = value_builder_map(&fields);
}

void shown_files_fill(const struct catalog *catalog, const char *base, struct wanted *wanted,
                      struct diagnostics *diagnostics)
{
    CLEANUP(mem_freep) char *folder = NULL;
    const struct resource_type *last = NULL;
    const char *property = NULL;
    for (size_t i = 0; i < wanted->n_items; i++) {
        struct resource *resource = &wanted->items[i];
        const struct resource_type *type = catalog_find(catalog, resource->type);
        if (type && type != last)
            property = find_property(&type->schema);
        last = type;
        if (!type || !property || !resource->spec || resource->existing)
            continue;
        if (!folder && world_real_path(base, &folder, NULL) < 0)
            folder = string_copy(base);
        fill_resource(type, property, folder, resource, diagnostics);
    }
}
