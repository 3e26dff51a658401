#include "service/elsewhere.h"

#include "base/text.h"

#include <string.h>

void elsewhere_check_secrets(struct document *document, struct diagnostics *diagnostics)
{
    const struct value *sources = document_read_secrets(document, diagnostics);
    for (size_t i = 0; i < value_count(sources); i++)
        if (!value_get(value_at(sources, i), "generated"))
            diagnostics_add(diagnostics, DIAGNOSTIC_SECRET_SOURCE, (struct position){0},
                            "Have it generated, or let the operator of this server plan it.",
                            "The secret \"%s\" would be read from this server, and the document "
                            "came from another machine.",
                            value_key_at(sources, i));
}

struct search {
    const struct resource *resource;
    struct diagnostics *diagnostics;
};

static void refuse(struct search *search, const char *text)
{
    diagnostics_add(
        search->diagnostics, DIAGNOSTIC_BAD_VALUE, search->resource->position,
        "Let the operator of this server plan it.",
        "%s names \"%.200s\", a file of this server, and the document came from another "
        "machine.",
        search->resource->address, text);
}

static void look_at(struct search *search, const struct schema *schema, const struct value *value)
{
    enum value_kind kind = value_is_null(value) ? VALUE_NULL : value_kind(value);
    if (kind == VALUE_STRING) {
        bool is_path = schema->digest_in && strchr("./~", value_text(value)[0]);
        if (schema->is_local || is_path)
            refuse(search, value_text(value));
        return;
    }
    if (kind == VALUE_UNKNOWN && (schema->is_local || schema->digest_in))
        refuse(search, value_text(value));
    if (kind != VALUE_MAP && kind != VALUE_LIST && kind != VALUE_SET)
        return;
    for (size_t i = 0; i < value_count(value); i++) {
        const struct schema *below = schema->items;
        if (kind == VALUE_MAP && schema->kind == SCHEMA_OBJECT)
            below = schema_field(schema, value_key_at(value, i));
        if (below)
            look_at(search, below, value_at(value, i));
    }
}

void elsewhere_check_files(const struct catalog *catalog, const struct wanted *wanted,
                           struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < wanted->n_items; i++) {
        const struct resource *resource = &wanted->items[i];
        const struct resource_type *type = catalog_find(catalog, resource->type);
        struct search search = {resource, diagnostics};
        if (type)
            look_at(&search, &type->schema, resource->spec);
    }
}
