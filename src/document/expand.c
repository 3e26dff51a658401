/* All declarations become resources, and what concerns several of them is checked. */
#include "base/text.h"
#include "document/document-internal.h"

#include <string.h>

static void add_keywords(struct map *keywords, const struct schema *schema)
{
    for (size_t i = 0; schema->keywords && i < value_count(schema->keywords); i++)
        map_put(keywords, value_key_at(schema->keywords, i), (void *)schema);
    if (schema->items)
        add_keywords(keywords, schema->items);
    for (size_t i = 0; i < schema->n_fields; i++)
        add_keywords(keywords, &schema->fields[i].schema);
}

/* Finds the type and tells what the catalog has against type or name. */
static void check_declaration(struct expansion *expansion, struct declaration *declaration)
{
    const struct catalog *catalog = expansion->context->catalog;
    struct diagnostics *diagnostics = expansion->diagnostics;
    declaration->resource_type = catalog_find(catalog, declaration->type);
    declaration->is_expanded = false;
    declaration->n_resources = 0;
    value_unref(take_ptr(declaration->keys));
    if (!declaration->resource_type && *declaration->type) {
        const char *nearest =
            diagnostics->n_errors < 1000 ? catalog_nearest(catalog, declaration->type) : NULL;
        CLEANUP(mem_freep)
        char *help = nearest ? string_format("Did you mean \"%s\"?", nearest)
                             : string_copy("\"parley types\" lists them.");
        diagnostics_add(diagnostics, DIAGNOSTIC_UNKNOWN_TYPE,
                        declaration_key_position(expansion->document, declaration, "type"), help,
                        "The type \"%.80s\" is not in the catalog.", declaration->type);
    }
    if (map_has(&expansion->keywords, declaration->name))
        diagnostics_add(diagnostics, DIAGNOSTIC_RESERVED_NAME,
                        declaration_key_position(expansion->document, declaration, "name"),
                        "Choose another name.",
                        "\"%s\" is a keyword of a property, so a reference could not lead to it.",
                        declaration->name);
}

/* A name that a resource had must not be the name of another now, nor what two had. */
static void check_former_names(struct expansion *expansion)
{
    struct map formers = {0};
    struct document *document = expansion->document;
    for (size_t i = 0; i < document->n_declarations; i++) {
        struct declaration *declaration = document->declarations[i];
        struct string_list names = {0};
        declaration_texts(declaration->node, "formerly", &names);
        for (size_t k = 0; k < names.n_items; k++) {
            const struct declaration *now = map_get(&document->by_name, names.items[k]);
            const struct declaration *before = map_put(&formers, names.items[k], declaration);
            if (!now && !before)
                continue;
            diagnostics_add(expansion->diagnostics, DIAGNOSTIC_BAD_VALUE,
                            declaration_key_position(expansion->document, declaration, "formerly"),
                            NULL,
                            now ? "%s cannot have been \"%s\": a resource has that name now."
                                : "%s cannot have been \"%s\": another resource was that, too.",
                            declaration->name, names.items[k]);
        }
        string_list_done(&names);
    }
    map_done(&formers);
}

/* lifecycle.ignoreChanges names properties of the type. */
static void check_ignored(struct expansion *expansion, const struct declaration *declaration)
{
    const struct yaml_node *lifecycle = shape_get(declaration->node, "lifecycle", KIND(MAP));
    struct string_list paths = {0};
    declaration_texts(lifecycle, "ignoreChanges", &paths);
    for (size_t i = 0; i < paths.n_items; i++) {
        size_t length = strcspn(paths.items[i], ".[");
        CLEANUP(mem_freep) char *name = string_copy_n(paths.items[i], length);
        if (!schema_field(&declaration->resource_type->schema, name))
            diagnostics_add(
                expansion->diagnostics, DIAGNOSTIC_UNKNOWN_PROPERTY,
                yaml_position(expansion->document->tree, yaml_get(lifecycle, "ignoreChanges")),
                NULL, "%s: ignoreChanges names \"%.80s\", which %s does not have.",
                declaration->name, paths.items[i], declaration->resource_type->name);
    }
    string_list_done(&paths);
}

/* Puts the resources, which were made in the order of evaluation, into that of the document. */
static void restore_order(struct expansion *expansion)
{
    struct document *document = expansion->document;
    struct wanted *wanted = expansion->wanted;
    struct resource *items = NEW_ARRAY(struct resource, wanted->n_items);
    size_t n_items = 0;
    for (size_t i = 0; i < document->n_declarations; i++) {
        struct declaration *declaration = document->declarations[i];
        for (size_t k = 0; k < declaration->n_resources; k++)
            items[n_items + k] = wanted->items[declaration->first + k];
        declaration->first = n_items;
        n_items += declaration->n_resources;
    }
    mem_free(wanted->items);
    wanted->items = items;
    wanted->capacity = wanted->n_items;
}

static void expand_declarations(struct expansion *expansion)
{
    struct document *document = expansion->document;
    size_t *order = NEW_ARRAY(size_t, document->n_declarations);
    bool is_in_order = true;
    for (size_t i = 0; i < document->n_declarations; i++)
        check_declaration(expansion, document->declarations[i]);
    links_order(document, order);
    for (size_t i = 0; i < document->n_declarations; i++) {
        struct declaration *declaration = document->declarations[order[i]];
        is_in_order = is_in_order && order[i] == i;
        expand_declaration(expansion, declaration);
        if (declaration->resource_type)
            check_ignored(expansion, declaration);
    }
    if (!is_in_order)
        restore_order(expansion);
    mem_free(order);
}

/* Tells what is wrong in the with: of patterns, which was kept silent so far. */
static void check_patterns(const struct expansion *expansion)
{
    struct document *document = expansion->document;
    struct scope scope = {
        .phase = SCOPE_PATTERNS, .document = document, .diagnostics = expansion->diagnostics};
    for (size_t i = 0; i < document->n_patterns; i++)
        if (document->with_nodes[i])
            value_unref(scope_evaluate(&scope, document->with_nodes[i]));
}

static void expand_outputs(struct expansion *expansion)
{
    const struct yaml_node *outputs =
        shape_get(expansion->document->deployment, "outputs", KIND(MAP));
    struct scope scope = {.phase = SCOPE_EXPAND,
                          .document = expansion->document,
                          .wanted = expansion->wanted,
                          .diagnostics = expansion->diagnostics,
                          .depends_on = &expansion->wanted->outputs_need,
                          .expansion = expansion};
    if (outputs)
        expansion->wanted->outputs = scope_evaluate(&scope, outputs);
}

void document_expand(struct document *document, const struct document_context *context,
                     struct wanted *ret_wanted, struct diagnostics *diagnostics)
{
    struct expansion expansion = {
        .document = document, .context = context, .wanted = ret_wanted, .diagnostics = diagnostics};
    for (size_t i = 0; i < catalog_count(context->catalog); i++)
        add_keywords(&expansion.keywords, &catalog_at(context->catalog, i)->schema);
    check_patterns(&expansion);
    wanted_reserve(ret_wanted, document->n_declarations);
    expand_declarations(&expansion);
    expand_outputs(&expansion);
    check_former_names(&expansion);
    links_check_circles(&expansion);
    unique_check(&expansion);
    map_done(&expansion.keywords);
    mem_free(expansion.links);
}
