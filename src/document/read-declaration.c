/* One entry under resources:. */
#include "document/document-internal.h"

#include "base/text.h"
#include "catalog/literal.h"

#include <string.h>

static const struct key_rule lifecycle_rules[] = {
    {.key = "protect", .kinds = KIND(BOOL)},
    {.key = "createBeforeDestroy", .kinds = KIND(BOOL)},
    {.key = "ignoreChanges", .kinds = KIND(STRING) | KIND(LIST)},
    {.key = "expires", .kinds = KIND(STRING)},
};

static const struct key_rule declaration_rules[] = {
    {.key = "type", .kinds = KIND(STRING), .is_required = true},
    {.key = "name", .kinds = KIND(STRING), .is_required = true},
    {.key = "on", .kinds = KIND(STRING)},
    {.key = "formerly", .kinds = KIND(STRING) | KIND(LIST)},
    {.key = "properties", .kinds = KIND(MAP), .takes_any = true},
    {.key = "dependsOn", .kinds = KIND(STRING) | KIND(LIST)},
    {.key = "lifecycle",
     .kinds = KIND(MAP),
     .inner = lifecycle_rules,
     .n_inner = ARRAY_LENGTH(lifecycle_rules)},
    {.key = "count", .kinds = KIND(INTEGER) | KIND(STRING)},
    {.key = "forEach", .kinds = KIND(STRING) | KIND(LIST) | KIND(MAP)},
    {.key = "existing", .kinds = KIND(BOOL)},
    {.key = "match", .kinds = KIND(MAP)},
};

static const char name_help[] =
    "A name has small letters, digits and \"-\", begins with a letter and is at most 63 characters "
    "long.";

static bool is_reserved(const char *name)
{
    static const char *const reserved[] = {"var", "secret", "each", "count", "deployment"};
    for (size_t i = 0; i < ARRAY_LENGTH(reserved); i++)
        if (text_equal(name, reserved[i]))
            return true;
    return false;
}

/* The name when it can be used, else "", which is told. */
static const char *read_name(struct document *document, const struct yaml_node *map,
                             struct diagnostics *diagnostics)
{
    const struct yaml_node *node = shape_get(map, "name", KIND(STRING));
    if (!node)
        return "";
    struct position position = yaml_position(document->tree, node);
    if (!text_is_name(node->text)) {
        diagnostics_add(diagnostics, DIAGNOSTIC_BAD_NAME, position, name_help,
                        "\"%.80s\" cannot be the name of a resource.", node->text);
        return "";
    }
    if (is_reserved(node->text))
        diagnostics_add(
            diagnostics, DIAGNOSTIC_RESERVED_NAME, position,
            "Choose another name: var, secret, each, count and deployment mean something "
            "in ${}.",
            "\"%s\" cannot be the name of a resource.", node->text);
    const struct declaration *other = map_get(&document->by_name, node->text);
    if (other) {
        diagnostics_add(diagnostics, DIAGNOSTIC_DUPLICATE_NAME, position,
                        "A name is unique in its deployment, whatever the type.",
                        "\"%s\" is also the name of the resource in line %u.", node->text,
                        other->node->line);
        return "";
    }
    return node->text;
}

/* Items of a list that must be texts; a single text is fine, too. */
static void check_texts(const struct document *document, const struct yaml_node *map,
                        const char *key, struct diagnostics *diagnostics)
{
    const struct yaml_node *list = shape_get(map, key, KIND(LIST));
    for (size_t i = 0; list && i < list->n_items; i++) {
        if (list->items[i]->kind == VALUE_STRING)
            continue;
        CLEANUP(mem_freep) char *what = string_format("Each item of \"%s\"", key);
        shape_wrong_kind(document, list->items[i], what, KIND(STRING), diagnostics);
    }
}

static void check_lifecycle(const struct document *document, const struct yaml_node *map,
                            struct diagnostics *diagnostics)
{
    const struct yaml_node *lifecycle = shape_get(map, "lifecycle", KIND(MAP));
    if (!lifecycle)
        return;
    shape_check(document, lifecycle, "A lifecycle", lifecycle_rules, ARRAY_LENGTH(lifecycle_rules),
                diagnostics);
    check_texts(document, lifecycle, "ignoreChanges", diagnostics);
    const struct yaml_node *expires = shape_get(lifecycle, "expires", KIND(STRING));
    CLEANUP(value_unrefp) struct value *date = expires ? literal_date(expires->text) : NULL;
    if (expires && !date)
        diagnostics_add(diagnostics, DIAGNOSTIC_BAD_VALUE, yaml_position(document->tree, expires),
                        "Write it as 2027-01-31 or 2027-01-31T08:30:00Z.",
                        "\"%.80s\" is no date on which the resource could expire.", expires->text);
}

static void check_formerly(const struct document *document, const struct yaml_node *map,
                           struct diagnostics *diagnostics)
{
    check_texts(document, map, "formerly", diagnostics);
    const struct yaml_node *node = shape_get(map, "formerly", KIND(STRING) | KIND(LIST));
    const struct yaml_node *const *items = node && node->kind == VALUE_LIST ? node->items : &node;
    size_t n_items = !node ? 0 : node->kind == VALUE_LIST ? node->n_items : 1;
    for (size_t i = 0; i < n_items; i++)
        if (items[i]->kind == VALUE_STRING && !text_is_name(items[i]->text))
            diagnostics_add(diagnostics, DIAGNOSTIC_BAD_NAME,
                            yaml_position(document->tree, items[i]), name_help,
                            "\"%.80s\" cannot have been the name of a resource.", items[i]->text);
}

/* Keys that exclude or need each other. */
static void check_together(const struct document *document, const struct yaml_node *map,
                           struct diagnostics *diagnostics)
{
    const struct yaml_pair *count = yaml_find(map, "count");
    const struct yaml_pair *for_each = yaml_find(map, "forEach");
    const struct yaml_pair *existing = yaml_find(map, "existing");
    const struct yaml_pair *match = yaml_find(map, "match");
    bool is_existing = existing && existing->value->kind == VALUE_BOOL && existing->value->boolean;
    if (count && for_each)
        diagnostics_add(diagnostics, DIAGNOSTIC_BAD_VALUE,
                        yaml_key_position(document->tree, for_each), "Remove one of them.",
                        "A resource is repeated by \"count\" or by \"forEach\", not by both.");
    if (is_existing && (count || for_each))
        diagnostics_add(diagnostics, DIAGNOSTIC_BAD_VALUE,
                        yaml_key_position(document->tree, count ? count : for_each),
                        "Declare each existing resource by itself.",
                        "A resource that exists already cannot be repeated.");
    if (is_existing && !match)
        diagnostics_add(diagnostics, DIAGNOSTIC_MISSING_KEY,
                        yaml_key_position(document->tree, existing),
                        "Say by what it is found: match: {name: ...}.",
                        "A resource that exists already needs the key \"match\".");
    if (match && !is_existing)
        diagnostics_add(diagnostics, DIAGNOSTIC_BAD_VALUE, yaml_key_position(document->tree, match),
                        "Add \"existing: true\", or remove it.",
                        "\"match\" is only for a resource that exists already.");
}

struct declaration *declaration_read(struct document *document, const struct yaml_node *node,
                                     const char *origin, struct diagnostics *diagnostics)
{
    if (node->kind != VALUE_MAP) {
        shape_wrong_kind(document, node, "A resource", KIND(MAP), diagnostics);
        return NULL;
    }
    shape_check(document, node, "A resource", declaration_rules, ARRAY_LENGTH(declaration_rules),
                diagnostics);
    check_texts(document, node, "dependsOn", diagnostics);
    check_formerly(document, node, diagnostics);
    check_lifecycle(document, node, diagnostics);
    check_together(document, node, diagnostics);
    const struct yaml_node *type = shape_get(node, "type", KIND(STRING));
    struct declaration *declaration = arena_take(&document->arena, 1, sizeof(*declaration));
    *declaration = (struct declaration){
        .node = node,
        .properties = shape_get(node, "properties", KIND(MAP)),
        .name = read_name(document, node, diagnostics),
        .type = type ? type->text : "",
        .origin = origin,
        .index = document->n_declarations,
    };
    if (*declaration->name)
        map_put_borrowed(&document->by_name, declaration->name, declaration);
    ARRAY_RESERVE(document->declarations, document->n_declarations, document->declaration_capacity);
    document->declarations[document->n_declarations++] = declaration;
    return declaration;
}

struct position declaration_key_position(const struct document *document,
                                         const struct declaration *declaration, const char *key)
{
    const struct yaml_node *node = yaml_get(declaration->node, key);
    return yaml_position(document->tree, node ? node : declaration->node);
}

void declaration_texts(const struct yaml_node *map, const char *key, struct string_list *list)
{
    const struct yaml_node *node = shape_get(map, key, KIND(STRING) | KIND(LIST));
    if (node && node->kind == VALUE_STRING)
        string_list_add(list, node->text);
    for (size_t i = 0; node && node->kind == VALUE_LIST && i < node->n_items; i++)
        if (node->items[i]->kind == VALUE_STRING)
            string_list_add(list, node->items[i]->text);
}
