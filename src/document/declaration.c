/* What patterns ask of declarations, and do to them. */
#include "document/declaration.h"

#include "base/text.h"
#include "document/document-internal.h"

#include <stdlib.h>
#include <string.h>

size_t document_count(const struct document *document)
{
    return document->n_declarations;
}

struct declaration *document_at(const struct document *document, size_t index)
{
    return document->declarations[index];
}

struct declaration *document_find(const struct document *document, const char *name)
{
    return map_get(&document->by_name, name);
}

const char *declaration_name(const struct declaration *declaration)
{
    return declaration->name;
}

const char *declaration_type(const struct declaration *declaration)
{
    return declaration->type;
}

bool declaration_is_existing(const struct declaration *declaration)
{
    const struct yaml_node *existing = shape_get(declaration->node, "existing", KIND(BOOL));
    return existing && existing->boolean;
}

const char *declaration_origin(const struct declaration *declaration)
{
    return declaration->origin;
}

struct position declaration_position(const struct document *document,
                                     const struct declaration *declaration)
{
    return yaml_position(document->tree, declaration->node);
}

struct position declaration_property_position(const struct document *document,
                                              const struct declaration *declaration,
                                              const char *path)
{
    const struct yaml_node *node = yaml_nearest(declaration->properties, path, NULL);
    return yaml_position(document->tree, node ? node : declaration->node);
}

struct value *declaration_properties(const struct document *document,
                                     const struct declaration *declaration)
{
    struct scope scope = {.phase = SCOPE_PATTERNS, .document = (struct document *)document};
    return declaration->properties ? scope_evaluate(&scope, declaration->properties)
                                   : value_builder_map(&(struct value_builder){0});
}

struct reference_search {
    void (*found)(void *argument, const char *path, const char *name);
    void *argument;
};

static int pass_on(void *argument, const char *path, const char *name, const struct schema *schema,
                   struct error *err)
{
    const struct reference_search *search = argument;
    (void)schema;
    (void)err;
    search->found(search->argument, path, name);
    return 0;
}

void declaration_references(const struct document *document, const struct declaration *declaration,
                            const struct catalog *catalog,
                            void (*found)(void *argument, const char *path, const char *name),
                            void *argument)
{
    const struct resource_type *type = catalog_find(catalog, declaration->type);
    if (!type)
        return;
    struct reference_search search = {found, argument};
    CLEANUP(value_unrefp)
    struct value *properties = declaration_properties(document, declaration);
    CLEANUP(value_unrefp) struct value *spec = type_check(type, properties, NULL, NULL);
    type_references(type, spec, pass_on, &search, NULL);
}

/* A value as a node of the tree. An unknown is the text that makes it. */
static const struct yaml_node *node_of_value(struct document *document, const struct value *value,
                                             struct position position)
{
    struct yaml_tree *tree = document->tree;
    enum value_kind kind = value_kind(value);
    if (kind == VALUE_UNKNOWN) {
        CLEANUP(value_unrefp) struct value *origin = value_string(value_text(value));
        return yaml_add_scalar(tree, origin, position.line, position.column);
    }
    if (kind != VALUE_LIST && kind != VALUE_SET && kind != VALUE_MAP)
        return yaml_add_scalar(tree, value, position.line, position.column);
    size_t n_items = value_count(value);
    struct yaml_pair *pairs = NEW_ARRAY(struct yaml_pair, n_items);
    const struct yaml_node **items = NEW_ARRAY(const struct yaml_node *, n_items);
    for (size_t i = 0; i < n_items; i++) {
        items[i] = node_of_value(document, value_at(value, i), position);
        if (kind != VALUE_MAP)
            continue;
        const char *key = value_key_at(value, i);
        pairs[i] = (struct yaml_pair){.key = arena_copy_text(&document->arena, key, strlen(key)),
                                      .line = position.line,
                                      .column = position.column,
                                      .value = items[i]};
    }
    const struct yaml_node *node =
        kind == VALUE_MAP ? yaml_add_map(tree, pairs, n_items, position.line, position.column)
                          : yaml_add_list(tree, items, n_items, position.line, position.column);
    mem_free(pairs);
    mem_free(items);
    return node;
}

struct declaration *document_add(struct document *document, const struct value *form,
                                 struct position position, const char *origin,
                                 struct diagnostics *diagnostics)
{
    const struct yaml_node *node = node_of_value(document, form, position);
    const char *kept = arena_copy_text(&document->arena, origin, strlen(origin));
    struct declaration *declaration = declaration_read(document, node, kept, diagnostics);
    return declaration && *declaration->name ? declaration : NULL;
}

void document_move_before(struct document *document, struct declaration *declaration,
                          const struct declaration *other)
{
    size_t to = other->index;
    for (size_t i = declaration->index; i > to; i--) {
        document->declarations[i] = document->declarations[i - 1];
        document->declarations[i]->index = i;
        document->declarations[i - 1] = declaration;
    }
    if (declaration->index > to)
        declaration->index = to;
}

/* What is put where in a copy of a tree. */
struct filling {
    struct document *document;
    const struct yaml_node *node;
    struct position position;
};

static const struct yaml_node *fill_node(const struct filling *filling,
                                         const struct yaml_node *node, const char *path);

/* A copy of a map (NULL: an empty one) in which the rest of the path is filled under a key. */
static const struct yaml_node *fill_key(const struct filling *filling, const struct yaml_node *map,
                                        const char *path)
{
    struct document *document = filling->document;
    path += *path == '.';
    size_t length = strcspn(path, ".[");
    if (length == 0 || (map && map->kind != VALUE_MAP))
        return NULL;
    const char *key = arena_copy_text(&document->arena, path, length);
    const struct yaml_pair *pair = yaml_find(map, key);
    const struct yaml_node *value = fill_node(filling, pair ? pair->value : NULL, path + length);
    if (!value)
        return NULL;
    size_t n_pairs = map ? map->n_items : 0;
    struct yaml_pair *pairs = NEW_ARRAY(struct yaml_pair, n_pairs + 1);
    for (size_t i = 0; i < n_pairs; i++)
        pairs[i] = map->pairs[i];
    if (map && pair)
        pairs[pair - map->pairs].value = value;
    else
        pairs[n_pairs++] =
            (struct yaml_pair){key, filling->position.line, filling->position.column, value};
    const struct yaml_node *place = map ? map : filling->node;
    const struct yaml_node *node =
        yaml_add_map(document->tree, pairs, n_pairs, place->line, place->column);
    mem_free(pairs);
    return node;
}

/* A copy of a list in which the rest of the path is filled in one item. */
static const struct yaml_node *fill_index(const struct filling *filling,
                                          const struct yaml_node *list, const char *path)
{
    char *end;
    unsigned long index = strtoul(path + 1, &end, 10);
    if (*end != ']' || !list || list->kind != VALUE_LIST || index >= list->n_items)
        return NULL;
    const struct yaml_node *item = fill_node(filling, list->items[index], end + 1);
    if (!item)
        return NULL;
    const struct yaml_node **items = NEW_ARRAY(const struct yaml_node *, list->n_items);
    for (size_t i = 0; i < list->n_items; i++)
        items[i] = i == index ? item : list->items[i];
    const struct yaml_node *node =
        yaml_add_list(filling->document->tree, items, list->n_items, list->line, list->column);
    mem_free(items);
    return node;
}

/* The node with the path in it filled; NULL when that cannot be. */
static const struct yaml_node *fill_node(const struct filling *filling,
                                         const struct yaml_node *node, const char *path)
{
    if (!*path)
        return node ? NULL : filling->node;
    return *path == '[' ? fill_index(filling, node, path) : fill_key(filling, node, path);
}

bool document_fill(struct document *document, struct declaration *declaration, const char *path,
                   const struct value *value, struct position position, const char *origin)
{
    struct filling filling = {document, node_of_value(document, value, position), position};
    const struct yaml_node *properties = fill_node(&filling, declaration->properties, path);
    if (!properties)
        return false;
    declaration->properties = properties;
    struct fill *fill = arena_take(&document->arena, 1, sizeof(struct fill));
    fill->path = arena_copy_text(&document->arena, path, strlen(path));
    fill->origin = arena_copy_text(&document->arena, origin, strlen(origin));
    fill->next = declaration->fills;
    declaration->fills = fill;
    return true;
}
