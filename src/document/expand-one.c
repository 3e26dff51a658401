/* One resource: its spec and what else it has. */
#include "base/text.h"
#include "document/document-internal.h"

#include <stdlib.h>
#include <string.h>

static void read_lifecycle(const struct declaration *declaration, struct lifecycle *lifecycle)
{
    const struct yaml_node *node = shape_get(declaration->node, "lifecycle", KIND(MAP));
    const struct yaml_node *protect = shape_get(node, "protect", KIND(BOOL));
    const struct yaml_node *before = shape_get(node, "createBeforeDestroy", KIND(BOOL));
    const struct yaml_node *expires = shape_get(node, "expires", KIND(STRING));
    lifecycle->protect = protect && protect->boolean;
    lifecycle->create_before_destroy = before && before->boolean;
    lifecycle->expires = expires ? string_copy(expires->text) : NULL;
    declaration_texts(node, "ignoreChanges", &lifecycle->ignore_changes);
}

static void tell_no_name(struct scope *scope, struct position position, const char *what,
                         const struct value *value)
{
    static const char help[] = "Write the name of a resource.";
    if (value_kind(value) == VALUE_UNKNOWN)
        diagnostics_add(scope->diagnostics, DIAGNOSTIC_UNKNOWN_COUNT, position, help,
                        "%s: what it names is not known before apply.", what);
    else
        diagnostics_add(scope->diagnostics, DIAGNOSTIC_WRONG_KIND, position, help,
                        "%s must be a name, not a value of kind %s.", what,
                        value_kind_to_string(value_kind(value)));
}

static void use_by_name(struct scope *scope, const struct yaml_node *node)
{
    size_t n_errors = scope->diagnostics ? scope->diagnostics->n_errors : 0;
    CLEANUP(value_unrefp) struct value *name = scope_evaluate(scope, node);
    CLEANUP(mem_freep) char *what = string_format("%s: dependsOn", scope->self->name);
    struct position position = yaml_position(scope->document->tree, node);
    scope->node = node;
    if (!scope_refuse_secret(scope, node, name, "dependsOn"))
        ;
    else if (value_kind(name) == VALUE_STRING)
        scope_use(scope, value_text(name), what, position);
    else if (scope->diagnostics && !scope->is_rehearsal && scope->diagnostics->n_errors == n_errors)
        tell_no_name(scope, position, what, name);
    scope->node = NULL;
}

static void read_depends_on(struct scope *scope, const struct declaration *declaration)
{
    const struct yaml_node *node =
        shape_get(declaration->node, "dependsOn", KIND(STRING) | KIND(LIST));
    if (node && node->kind == VALUE_STRING)
        use_by_name(scope, node);
    for (size_t i = 0; node && node->kind == VALUE_LIST && i < node->n_items; i++)
        if (node->items[i]->kind == VALUE_STRING)
            use_by_name(scope, node->items[i]);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Whether a sorted list has the name without index of an address. */
static bool covers(const struct string_list *list, size_t n_items, const char *address)
{
    const char *bracket = strchr(address, '[');
    if (!bracket)
        return false;
    CLEANUP(mem_freep) char *name = string_copy_n(address, (size_t)(bracket - address));
    return bsearch(&name, list->items, n_items, sizeof(list->items[0]), compare_texts) != NULL;
}

/* Sorts the list and leaves out what stands in it twice, or is part of what stands in it. */
static void tidy(struct string_list *list)
{
    size_t kept = 0;
    if (list->n_items)
        qsort(list->items, list->n_items, sizeof(list->items[0]), compare_texts);
    for (size_t i = 0; i < list->n_items; i++) {
        char *item = list->items[i];
        bool is_double = kept > 0 && text_equal(list->items[kept - 1], item);
        if (is_double || covers(list, kept, item))
            mem_free(item);
        else
            list->items[kept++] = item;
    }
    list->n_items = kept;
}

static struct value *list_fills(const struct declaration *declaration)
{
    if (!declaration->fills)
        return NULL;
    struct value_builder builder = {0};
    for (const struct fill *fill = declaration->fills; fill; fill = fill->next)
        value_builder_set_string(&builder, fill->path, fill->origin);
    return value_builder_map(&builder);
}

/* The instance that serves the resource; "" when there is none, which is told. */
static char *choose_instance(const struct expansion *expansion, struct scope *scope,
                             const struct declaration *declaration)
{
    const struct document_context *context = expansion->context;
    const struct resource_type *type = declaration->resource_type;
    const struct yaml_node *node = shape_get(declaration->node, "on", KIND(STRING));
    size_t n_errors = expansion->diagnostics->n_errors;
    CLEANUP(value_unrefp) struct value *on = node ? scope_evaluate(scope, node) : NULL;
    if (on && value_kind(on) != VALUE_STRING) {
        if (scope_refuse_secret(scope, node, on, "on") && scope->diagnostics &&
            !scope->is_rehearsal && n_errors == expansion->diagnostics->n_errors)
            diagnostics_add(scope->diagnostics, DIAGNOSTIC_UNKNOWN_COUNT,
                            declaration_key_position(expansion->document, declaration, "on"), NULL,
                            "%s: which instance serves it is not known before apply.",
                            declaration->name);
        return string_copy("");
    }
    const char *wanted = on ? value_text(on) : NULL;
    if (!context->choose_instance)
        return wanted ? string_copy(wanted) : string_format("%s.default", type->provider);
    const char *instance = "";
    struct error err = {0};
    if (context->choose_instance(context->argument, type, wanted, &instance, &err) < 0 &&
        scope->diagnostics)
        diagnostics_add(scope->diagnostics, DIAGNOSTIC_UNKNOWN_INSTANCE,
                        declaration_key_position(expansion->document, declaration, "on"), NULL,
                        "%s: %s.", declaration->name, error_message(&err));
    error_done(&err);
    return string_copy(instance);
}

void expand_one(struct scope *scope, const struct declaration *declaration, struct value *key,
                const struct string_list *repeated_by, struct wanted *wanted)
{
    struct expansion *expansion = scope->expansion;
    struct resource *resource = wanted_add(wanted);
    resource->name = string_copy(declaration->name);
    resource->key = key ? value_ref(key) : NULL;
    resource->address = address_format(declaration->name, key);
    resource->type = string_copy(declaration->resource_type->name);
    resource->origin = string_copy(declaration->origin);
    resource->existing = declaration_is_existing(declaration);
    resource->position = yaml_position(expansion->document->tree, declaration->node);
    resource->filled = list_fills(declaration);
    read_lifecycle(declaration, &resource->lifecycle);
    declaration_texts(declaration->node, "formerly", &resource->formerly);
    struct string_list depends_on = {0};
    string_list_copy(&depends_on, repeated_by);
    scope->depends_on = &depends_on;
    /* The wanted list may be the scope's own, and grow; what is looked up in it is done by then. */
    CLEANUP(mem_freep) char *instance = choose_instance(expansion, scope, declaration);
    CLEANUP(value_unrefp) struct value *spec = spec_make(scope, declaration);
    const struct yaml_node *match = shape_get(declaration->node, "match", KIND(MAP));
    resource->match = match ? scope_evaluate(scope, match) : NULL;
    if (match)
        (void)scope_refuse_secret(scope, match, resource->match, "match");
    read_depends_on(scope, declaration);
    resource->instance = take_ptr(instance);
    resource->spec = take_ptr(spec);
    tidy(&depends_on);
    resource->depends_on = depends_on;
    scope->depends_on = NULL;
}
