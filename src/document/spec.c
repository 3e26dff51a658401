/* The specs of resources: evaluated, checked against the catalog, their references followed. */
#include "base/text.h"
#include "document/document-internal.h"

#include <string.h>

enum { MAX_SPEC_DEPTH = 500 };

/* Counts the values in one, up to a limit; also past it when they nest too deep. */
static size_t count_values(const struct value *value, size_t limit, unsigned int depth)
{
    enum value_kind kind = value_kind(value);
    if (kind != VALUE_LIST && kind != VALUE_SET && kind != VALUE_MAP)
        return 1;
    if (depth == MAX_SPEC_DEPTH)
        return limit + 1;
    size_t n = 1;
    for (size_t i = 0; i < value_count(value) && n <= limit; i++)
        n += count_values(value_at(value, i), limit - n, depth + 1);
    return n;
}

/* Values can hold others many times over without a copy; written out they must stay in bounds. */
static bool is_too_large(struct scope *scope, const struct value *value)
{
    struct expansion *expansion = scope->expansion;
    size_t limit = expansion->document->limits->values - expansion->n_values;
    size_t n = count_values(value, limit, 0);
    if (n <= limit) {
        expansion->n_values += n;
        return false;
    }
    if (scope->diagnostics)
        diagnostics_add(scope->diagnostics, DIAGNOSTIC_YAML_LIMIT,
                        yaml_position(expansion->document->tree, scope->self->node),
                        "Refer to less: a list in a list in a list grows fast.",
                        "With %s, the values of the document become too many or nest too deep.",
                        scope->self->name);
    return true;
}

/* Where the faults of a spec are told. */
struct spec_faults {
    struct scope *scope;
    const struct declaration *declaration;
    const struct yaml_node *list; /* in which a name was found last, */
    size_t next;                  /* and the item behind it: names come in their order */
};

/* The place that a path in the spec has in the text. */
static struct position spec_position(const struct document *document,
                                     const struct declaration *declaration, const char *path,
                                     enum diagnostic_code code)
{
    const struct yaml_pair *pair = NULL;
    const struct yaml_node *node = yaml_nearest(declaration->properties, path, &pair);
    bool is_key = code == DIAGNOSTIC_UNKNOWN_PROPERTY || code == DIAGNOSTIC_MISSING_PROPERTY;
    if (is_key && pair)
        return yaml_key_position(document->tree, pair);
    return yaml_position(document->tree, node && *path ? node : declaration->node);
}

static void tell_spec_fault(void *argument, const char *path, enum diagnostic_code code,
                            const char *help, const char *detail)
{
    const struct spec_faults *faults = argument;
    const struct declaration *declaration = faults->declaration;
    const struct document *document = faults->scope->document;
    if (!faults->scope->diagnostics)
        return;
    if (code == DIAGNOSTIC_MISSING_PROPERTY && declaration_is_existing(declaration))
        return;
    diagnostics_add(faults->scope->diagnostics, code,
                    spec_position(document, declaration, path, code), help, "%s%s%s",
                    declaration->name, *declaration->name ? ": " : "", detail);
}

static bool takes_type(const struct schema *schema, const struct resource_type *type)
{
    for (size_t i = 0; i < value_count(schema->references); i++) {
        const char *name = value_text(value_at(schema->references, i));
        if (text_equal(name, "*") || text_equal(name, type->name))
            return true;
    }
    return false;
}

static char *list_of_types(const struct schema *schema)
{
    struct strbuf list = {0};
    for (size_t i = 0; i < value_count(schema->references); i++)
        strbuf_addf(&list, "%s%s", i == 0 ? "It takes the name of: " : ", ",
                    value_text(value_at(schema->references, i)));
    strbuf_add_char(&list, '.');
    return strbuf_take(&list);
}

/* The item of a list that holds a name; NULL when none does. */
static const struct yaml_node *find_item(struct spec_faults *faults, const struct yaml_node *list,
                                         const char *name)
{
    size_t first = list == faults->list ? faults->next : 0;
    for (size_t n = 0; n < list->n_items; n++) {
        size_t i = (first + n) % list->n_items;
        if (list->items[i]->kind != VALUE_STRING || !text_equal(list->items[i]->text, name))
            continue;
        faults->list = list;
        faults->next = i + 1;
        return list->items[i];
    }
    return NULL;
}

/* Where a name stands that a property at a path holds, alone or in a list. */
static struct position reference_position(struct spec_faults *faults, const char *path,
                                          const char *name)
{
    const struct document *document = faults->scope->document;
    const struct yaml_node *node = yaml_nearest(faults->declaration->properties, path, NULL);
    const struct yaml_node *item =
        node && node->kind == VALUE_LIST ? find_item(faults, node, name) : NULL;
    return item ? yaml_position(document->tree, item)
                : spec_position(document, faults->declaration, path, DIAGNOSTIC_UNKNOWN_REFERENCE);
}

static int check_reference(void *argument, const char *path, const char *name,
                           const struct schema *schema, struct error *err)
{
    struct spec_faults *faults = argument;
    struct scope *scope = faults->scope;
    struct position position = reference_position(faults, path, name);
    (void)err;
    struct yaml_node place = {.line = position.line, .column = position.column};
    scope->node = &place;
    CLEANUP(mem_freep) char *what = string_format("%s: \"%s\"", faults->declaration->name, path);
    const struct declaration *target = scope_use(scope, name, what, position);
    scope->node = NULL;
    if (!target || !target->resource_type || takes_type(schema, target->resource_type) ||
        !scope->diagnostics)
        return 0;
    CLEANUP(mem_freep) char *help = list_of_types(schema);
    diagnostics_add(scope->diagnostics, DIAGNOSTIC_WRONG_REFERENCE, position, help,
                    "%s leads to \"%s\", which is of type %s.", what, name,
                    target->resource_type->name);
    return 0;
}

/*
 * Tells each reference whose name is not known: nothing could be ordered by it. What may also hold
 * a literal can be unknown.
 */
static void check_unknown_names(const struct spec_faults *faults, const struct schema *schema,
                                const struct value *value, const char *path)
{
    enum value_kind kind = value_kind(value);
    if (!value_has_unknown(value))
        return;
    if (kind == VALUE_UNKNOWN) {
        if (schema->references && schema->kind == SCHEMA_STRING)
            diagnostics_add(faults->scope->diagnostics, DIAGNOSTIC_UNKNOWN_COUNT,
                            spec_position(faults->scope->document, faults->declaration, path,
                                          DIAGNOSTIC_UNKNOWN_COUNT),
                            "Write the name of the resource, not one of its attributes.",
                            "%s: the name that \"%s\" leads to is not known before apply.",
                            faults->declaration->name, path);
        return;
    }
    for (size_t i = 0; i < value_count(value); i++) {
        bool is_map = kind == VALUE_MAP;
        const char *key = is_map ? value_key_at(value, i) : NULL;
        const struct schema *inner =
            schema->kind == SCHEMA_OBJECT ? schema_field(schema, key) : schema->items;
        CLEANUP(mem_freep)
        char *below = is_map ? string_format("%s%s%s", path, *path ? "." : "", key)
                             : string_format("%s[%zu]", path, i);
        if (inner)
            check_unknown_names(faults, inner, value_at(value, i), below);
    }
}

struct value *spec_make(struct scope *scope, const struct declaration *declaration)
{
    size_t n_errors = scope->diagnostics ? scope->diagnostics->n_errors : 0;
    CLEANUP(value_unrefp)
    struct value *properties = declaration->properties
                                   ? scope_evaluate(scope, declaration->properties)
                                   : value_builder_map(&(struct value_builder){0});
    if (is_too_large(scope, properties))
        return value_builder_map(&(struct value_builder){0});
    struct spec_faults faults = {.scope = scope, .declaration = declaration};
    struct value *spec =
        type_check(declaration->resource_type, properties, tell_spec_fault, &faults);
    type_references(declaration->resource_type, spec, check_reference, &faults, NULL);
    type_check_secrets(declaration->resource_type, spec, tell_spec_fault, &faults);
    bool is_told = scope->diagnostics && !scope->is_rehearsal;
    if (is_told && scope->diagnostics->n_errors == n_errors)
        check_unknown_names(&faults, &declaration->resource_type->schema, spec, "");
    return spec;
}
