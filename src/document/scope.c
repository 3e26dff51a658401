/* Evaluation: where the names in ${...} and in references lead. */
#include "base/text.h"
#include "document/document-internal.h"
#include "model/expression.h"

#include <string.h>

/* So many comparisons are spent on finding the nearest name, in all faults of a document. */
enum { MAX_NEAREST_COMPARISONS = 2000000 };

/* Notes why a look-up failed; the error says what. */
static int fail(struct scope *scope, enum diagnostic_code code, char *take_help, struct error *err)
{
    scope->code = code;
    mem_free(scope->help);
    scope->help = take_help;
    return err ? -(int)err->code : -ERROR_INVALID;
}

static char *did_you_mean(const char *nearest)
{
    return nearest ? string_format("Did you mean \"%s\"?", nearest) : NULL;
}

static char *nearest_key(const struct value *map, const char *key)
{
    size_t n = value_count(map);
    if (n > MAX_NEAREST_COMPARISONS)
        return NULL;
    const char **keys = NEW_ARRAY(const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        keys[i] = value_key_at(map, i);
    char *help = did_you_mean(text_nearest(key, keys, n));
    mem_free(keys);
    return help;
}

static char *nearest_secret(const struct yaml_node *secrets, const char *name)
{
    const char **names = NEW_ARRAY(const char *, secrets->n_items);
    for (size_t i = 0; i < secrets->n_items; i++)
        names[i] = secrets->pairs[i].key;
    char *help = did_you_mean(text_nearest(name, names, secrets->n_items));
    mem_free(names);
    return help;
}

static const char *nearest_name(const struct scope *scope, const char *name)
{
    const struct document *document = scope->document;
    size_t n = document->n_declarations;
    size_t n_faults = scope->diagnostics ? scope->diagnostics->n_errors + 1 : 1;
    if (n * n_faults > MAX_NEAREST_COMPARISONS)
        return NULL;
    const char **names = NEW_ARRAY(const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        names[i] = document->declarations[i]->name;
    const char *nearest = text_nearest(name, names, n);
    mem_free(names);
    return nearest;
}

/* --- Variables, each, count, deployment --- */

/* Splits "name.rest" or "name[0].rest"; *ret_rest is the rest with its "[" and without its ".". */
static char *split_path(const char *path, const char **ret_rest)
{
    size_t length = strcspn(path, ".[");
    *ret_rest = path[length] == '.' ? path + length + 1 : path + length;
    return string_copy_n(path, length);
}

/* Gives what lies at a path within a value; within an unknown everything is unknown. */
static int give_within(struct scope *scope, struct value *value, const char *path,
                       enum diagnostic_code code, struct value **ret_value, struct error *err)
{
    struct value *within = value_at_path(value, path);
    if (within) {
        *ret_value = value_ref(within);
        return 0;
    }
    if (value_has_unknown(value)) {
        *ret_value = NULL;
        return 0;
    }
    error_set(err, ERROR_NOT_FOUND, "there is no \"%.80s\" in it", path);
    return fail(scope, code, NULL, err);
}

static int look_up_variable(struct scope *scope, const struct reference *reference,
                            struct value **ret_value, struct error *err)
{
    const char *rest;
    const struct value *variables = scope->document->variables;
    CLEANUP(mem_freep) char *name = split_path(reference->path, &rest);
    struct value *value = value_get(variables, name);
    if (!value || reference->key) {
        error_set(err, ERROR_NOT_FOUND, "there is no variable \"%.80s\"",
                  reference->key ? reference->key : name);
        return fail(scope, DIAGNOSTIC_UNKNOWN_VARIABLE,
                    value_count(variables) ? nearest_key(variables, name)
                                           : string_copy("Declare it under \"variables:\"."),
                    err);
    }
    if (value_is_null(value)) {
        error_set(err, ERROR_NOT_FOUND, "the variable \"%s\" has no value", name);
        return fail(scope, DIAGNOSTIC_UNKNOWN_VARIABLE,
                    string_format("Give it one: --var %s=...", name), err);
    }
    return give_within(scope, value, rest, DIAGNOSTIC_UNKNOWN_VARIABLE, ret_value, err);
}

static int look_up_each(struct scope *scope, const struct reference *reference,
                        struct value **ret_value, struct error *err)
{
    const char *rest;
    CLEANUP(mem_freep) char *name = split_path(reference->path, &rest);
    bool is_key = text_equal(name, "key");
    if (reference->key || (!is_key && !text_equal(name, "value"))) {
        error_set(err, ERROR_NOT_FOUND, "there are only each.key and each.value");
        return fail(scope, DIAGNOSTIC_UNKNOWN_REFERENCE, NULL, err);
    }
    struct value *value = is_key ? scope->each_key : scope->each_value;
    if (!value) {
        error_set(err, ERROR_NOT_FOUND, "each.%s is only known in a resource with \"forEach\"",
                  name);
        return fail(scope, DIAGNOSTIC_UNKNOWN_REFERENCE, NULL, err);
    }
    /* An unknown takes the place of the reference, which means nothing outside of the resource. */
    int r = give_within(scope, value, rest, DIAGNOSTIC_UNKNOWN_REFERENCE, ret_value, err);
    if (r < 0 || *ret_value || scope->is_rehearsal)
        return r;
    error_set(err, ERROR_NOT_FOUND, "\"%.80s\" in each.value is not known yet", rest);
    return fail(scope, DIAGNOSTIC_UNKNOWN_COUNT,
                string_copy("Only whole values of \"forEach\" can be unknown before apply."), err);
}

static int look_up_count(struct scope *scope, const struct reference *reference,
                         struct value **ret_value, struct error *err)
{
    if (reference->key || !text_equal(reference->path, "index"))
        error_set(err, ERROR_NOT_FOUND, "there is only count.index");
    else if (!scope->count_index)
        error_set(err, ERROR_NOT_FOUND, "count.index is only known in a resource with \"count\"");
    else {
        *ret_value = value_ref(scope->count_index);
        return 0;
    }
    return fail(scope, DIAGNOSTIC_UNKNOWN_REFERENCE, NULL, err);
}

static int look_up_deployment(struct scope *scope, const struct reference *reference,
                              struct value **ret_value, struct error *err)
{
    const struct document *document = scope->document;
    const char *text = NULL;
    if (text_equal(reference->path, "name"))
        text = document->name;
    else if (text_equal(reference->path, "environment"))
        text = document->environment;
    else if (text_equal(reference->path, "version"))
        text = document->version ? document->version : "";
    if (!text || reference->key) {
        error_set(err, ERROR_NOT_FOUND,
                  "there are only deployment.name, deployment.environment and "
                  "deployment.version");
        return fail(scope, DIAGNOSTIC_UNKNOWN_REFERENCE, NULL, err);
    }
    *ret_value = value_string(text);
    return 0;
}

/* --- Resources --- */

static void note_use(struct scope *scope, const struct declaration *target, const char *address)
{
    struct expansion *expansion = scope->expansion;
    if (scope->depends_on)
        string_list_add(scope->depends_on, address);
    if (!expansion || !scope->self)
        return;
    ARRAY_RESERVE(expansion->links, expansion->n_links, expansion->link_capacity);
    expansion->links[expansion->n_links++] =
        (struct link){.from = scope->self,
                      .to = target,
                      .line = scope->node ? scope->node->line : scope->self->node->line,
                      .column = scope->node ? scope->node->column : scope->self->node->column};
}

static struct value *parse_key(const char *key)
{
    CLEANUP(mem_freep) char *address = string_format("x[%s]", key);
    CLEANUP(mem_freep) char *name = NULL;
    struct value *parsed = NULL;
    return address_parse(address, &name, &parsed, NULL) < 0 ? NULL : parsed;
}

/* The resource of a counted declaration with this key; NULL when there is none. */
static const struct resource *
find_instance(const struct scope *scope, const struct declaration *target, const struct value *key)
{
    const struct resource *resources = scope->wanted->items + target->first;
    if (target->repetition == REPETITION_COUNT) {
        bool is_there = value_kind(key) == VALUE_INTEGER &&
                        (uint64_t)value_to_integer(key) < target->n_resources;
        return is_there ? &resources[value_to_integer(key)] : NULL;
    }
    size_t index = value_kind(key) == VALUE_STRING ? value_index_of(target->keys, value_text(key))
                                                   : target->n_resources;
    return index < target->n_resources ? &resources[index] : NULL;
}

/*
 * Checks the key of a reference. *ret_resource is NULL when the reference is to all of a counted
 * one, or nothing is known of the target.
 */
static int find_resource(struct scope *scope, const struct declaration *target,
                         const struct value *key, const struct resource **ret_resource,
                         struct error *err)
{
    *ret_resource = NULL;
    if (!target->is_expanded)
        return 0;
    if (target->repetition == REPETITION_NONE) {
        if (key) {
            error_set(err, ERROR_NOT_FOUND, "\"%s\" is one resource, without an index",
                      target->name);
            return fail(scope, DIAGNOSTIC_UNKNOWN_REFERENCE, NULL, err);
        }
        *ret_resource = &scope->wanted->items[target->first];
        return 0;
    }
    if (!key)
        return 0;
    *ret_resource = find_instance(scope, target, key);
    if (*ret_resource)
        return 0;
    CLEANUP(mem_freep) char *address = address_format(target->name, key);
    error_set(err, ERROR_NOT_FOUND, "there is no %s; \"%s\" has %zu resource%s", address,
              target->name, target->n_resources, target->n_resources == 1 ? "" : "s");
    const char *form = target->repetition == REPETITION_COUNT ? "They count from [0]."
                                                              : "They have keys such as [\"a\"].";
    return fail(scope, DIAGNOSTIC_UNKNOWN_REFERENCE, string_copy(form), err);
}

/* Whether what stands before a name, "vlan" or "opnsense:network:vlan", is its type. */
static bool type_fits(const struct scope *scope, const struct declaration *target, const char *type)
{
    if (!target->resource_type)
        return true;
    const char *name = target->resource_type->name;
    size_t length = strlen(name);
    size_t end_length = strlen(type);
    if (text_ends_with(name, type) &&
        (length == end_length || name[length - end_length - 1] == ':'))
        return true;
    const struct expansion *expansion = scope->expansion;
    return expansion && catalog_find(expansion->context->catalog, type) == target->resource_type;
}

static int fail_output(struct scope *scope, const struct declaration *target, const char *name,
                       struct error *err)
{
    const struct resource_type *type = target->resource_type;
    struct strbuf help = {0};
    for (size_t i = 0; i < type->n_outputs; i++)
        strbuf_addf(&help, "%s%s", i == 0 ? "There are " : ", ", type->outputs[i].name);
    if (help.length > 0)
        strbuf_add_char(&help, '.');
    if (*name)
        error_set(err, ERROR_NOT_FOUND, "%s, of type %s, has no attribute \"%.80s\"", target->name,
                  type->name, name);
    else
        error_set(err, ERROR_NOT_FOUND, "%s as a whole is no value; name an attribute of it",
                  target->name);
    return fail(scope, DIAGNOSTIC_UNKNOWN_OUTPUT, help.length > 0 ? strbuf_take(&help) : NULL, err);
}

/* The value of an output when it is known now; NULL otherwise. */
static struct value *known_output(const struct resource *resource, const struct type_output *output)
{
    if (!resource || resource->existing || !output->from)
        return NULL;
    struct value *value = value_at_path(resource->spec, output->from);
    return value && value_kind(value) != VALUE_UNKNOWN ? value : NULL;
}

static int give_output(struct scope *scope, const struct resource *resource,
                       const struct type_output *output, const char *rest, struct value **ret_value,
                       struct error *err)
{
    struct value *value = known_output(resource, output);
    if (value)
        return give_within(scope, value, rest, DIAGNOSTIC_UNKNOWN_OUTPUT, ret_value, err);
    *ret_value = value_unknown(*rest ? "any" : output->type, "");
    return 0;
}

/* The output of all resources of a counted declaration, as a list or map. */
static int give_all(struct scope *scope, const struct declaration *target,
                    const struct type_output *output, const struct reference *reference,
                    const char *rest, struct value **ret_value, struct error *err)
{
    struct value_builder builder = {0};
    const struct resource *resources = scope->wanted->items + target->first;
    for (size_t i = 0; i < target->n_resources; i++) {
        struct value *value = NULL;
        int r = give_output(scope, &resources[i], output, rest, &value, err);
        if (r < 0) {
            value_builder_done(&builder);
            return r;
        }
        if (!value || (value_kind(value) == VALUE_UNKNOWN && value_text_length(value) == 0)) {
            CLEANUP(mem_freep)
            char *origin = string_format("${%s.%s}", resources[i].address, reference->path);
            value_unref(value);
            value = value_unknown(*rest ? "any" : output->type, origin);
        }
        if (target->repetition == REPETITION_KEYS)
            value_builder_set(&builder, value_text(resources[i].key), value);
        else
            value_builder_append(&builder, value);
    }
    *ret_value = target->repetition == REPETITION_KEYS ? value_builder_map(&builder)
                                                       : value_builder_list(&builder);
    return 0;
}

static int look_up_output(struct scope *scope, const struct declaration *target,
                          const struct value *key, const struct reference *reference,
                          struct value **ret_value, struct error *err)
{
    const struct resource *resource = NULL;
    int r = find_resource(scope, target, key, &resource, err);
    if (r < 0 || !target->resource_type)
        return r;
    const char *path = reference->path;
    if (text_starts_with(path, "outputs."))
        path += strlen("outputs.");
    const char *rest;
    CLEANUP(mem_freep) char *name = split_path(path, &rest);
    const struct type_output *output = type_find_output(target->resource_type, name);
    if (!output)
        return fail_output(scope, target, name, err);
    bool is_all = target->is_expanded && target->repetition != REPETITION_NONE && !key;
    return is_all ? give_all(scope, target, output, reference, rest, ret_value, err)
                  : give_output(scope, resource, output, rest, ret_value, err);
}

/* ${deployment:NAME/RESOURCE.outputs.ATTRIBUTE}: known now, since the other one stands already. */
static int look_up_elsewhere(struct scope *scope, const struct reference *reference,
                             struct value **ret_value, struct error *err)
{
    const char *slash = strchr(reference->root, '/');
    const struct document_context *context = scope->expansion ? scope->expansion->context : NULL;
    const char *path = reference->path;
    if (!slash || slash == reference->root || !slash[1] || strchr(slash + 1, '/') || !*path) {
        error_set(err, ERROR_INVALID, "this does not name an output of another deployment");
        return fail(scope, DIAGNOSTIC_UNKNOWN_REFERENCE,
                    string_copy("Write ${deployment:NAME/RESOURCE.outputs.ATTRIBUTE}."), err);
    }
    if (!context || !context->read_deployment) {
        error_set(err, ERROR_NOT_FOUND, "other deployments cannot be read here");
        return fail(scope, DIAGNOSTIC_UNKNOWN_REFERENCE,
                    string_copy("Give the value as a variable instead."), err);
    }
    if (text_starts_with(path, "outputs."))
        path += strlen("outputs.");
    CLEANUP(mem_freep)
    char *name = string_copy_n(reference->root, (size_t)(slash - reference->root));
    CLEANUP(mem_freep)
    char *address = reference->key ? string_format("%s[%s]", slash + 1, reference->key)
                                   : string_copy(slash + 1);
    if (context->read_deployment(context->argument, name, scope->document->environment, address,
                                 path, ret_value, err) == 0)
        return 0;
    return fail(scope, DIAGNOSTIC_UNKNOWN_REFERENCE,
                string_copy("Apply the other deployment first, or correct the name."), err);
}

static int look_up_resource(struct scope *scope, const struct reference *reference,
                            struct value **ret_value, struct error *err)
{
    const struct declaration *target = map_get(&scope->document->by_name, reference->root);
    if (reference->type && text_equal(reference->type, "deployment"))
        return look_up_elsewhere(scope, reference, ret_value, err);
    if (!target) {
        error_set(err, ERROR_NOT_FOUND, "there is no resource \"%.80s\"", reference->root);
        return fail(scope, DIAGNOSTIC_UNKNOWN_REFERENCE,
                    did_you_mean(nearest_name(scope, reference->root)), err);
    }
    if (reference->type && !type_fits(scope, target, reference->type)) {
        error_set(err, ERROR_INVALID, "%s is of type %s, not %.80s", target->name,
                  target->resource_type->name, reference->type);
        return fail(scope, DIAGNOSTIC_WRONG_REFERENCE, NULL, err);
    }
    CLEANUP(value_unrefp) struct value *key = NULL;
    if (reference->key && !(key = parse_key(reference->key))) {
        error_set(err, ERROR_INVALID, "[%.80s] is no index such as [0] or [\"a\"]", reference->key);
        return fail(scope, DIAGNOSTIC_UNKNOWN_REFERENCE, NULL, err);
    }
    CLEANUP(mem_freep) char *address = address_format(target->name, key);
    note_use(scope, target, address);
    return look_up_output(scope, target, key, reference, ret_value, err);
}

static int look_up_secret(struct scope *scope, const struct reference *reference,
                          struct value **ret_value, struct error *err)
{
    const struct yaml_node *secrets = shape_get(scope->document->deployment, "secrets", KIND(MAP));
    if (scope->phase == SCOPE_VARIABLES || scope->phase == SCOPE_SECRETS) {
        error_set(err, ERROR_INVALID, "a secret cannot be used here");
        return fail(scope, DIAGNOSTIC_MISPLACED_SECRET,
                    string_copy("Use it in a property that may hold one."), err);
    }
    if (reference->key || !shape_is_identifier(reference->path) ||
        !yaml_find(secrets, reference->path)) {
        error_set(err, ERROR_NOT_FOUND, "there is no secret \"%.80s\"",
                  reference->key ? reference->key : reference->path);
        return fail(scope, DIAGNOSTIC_UNKNOWN_SECRET,
                    secrets && secrets->n_items > 0 ? nearest_secret(secrets, reference->path)
                                                    : string_copy("Declare it under \"secrets:\"."),
                    err);
    }
    CLEANUP(mem_freep) char *origin = string_format("${secret.%s}", reference->path);
    *ret_value = value_secret("", origin);
    return 0;
}

static int look_up(void *argument, const struct reference *reference, struct value **ret_value,
                   struct error *err)
{
    struct scope *scope = argument;
    struct error fault = {0};
    int r;
    *ret_value = NULL;
    bool is_plain = !reference->type;
    if (is_plain && text_equal(reference->root, "secret")) {
        r = look_up_secret(scope, reference, ret_value, &fault);
    } else if (scope->phase == SCOPE_VARIABLES) {
        error_set(&fault, ERROR_INVALID, "a variable's value cannot refer to anything");
        r = fail(scope, DIAGNOSTIC_UNKNOWN_REFERENCE,
                 string_copy("Functions of plain values are possible."), &fault);
    } else if (is_plain && text_equal(reference->root, "var")) {
        r = look_up_variable(scope, reference, ret_value, &fault);
    } else if (is_plain && text_equal(reference->root, "deployment")) {
        r = look_up_deployment(scope, reference, ret_value, &fault);
    } else if (scope->phase == SCOPE_PATTERNS) {
        r = 0;
    } else if (scope->phase == SCOPE_SECRETS) {
        error_set(&fault, ERROR_INVALID, "where a secret comes from must be known before the plan");
        r = fail(scope, DIAGNOSTIC_UNKNOWN_REFERENCE,
                 string_copy("Only ${var.x} and ${deployment.x} are possible."), &fault);
    } else if (is_plain && text_equal(reference->root, "each")) {
        r = look_up_each(scope, reference, ret_value, &fault);
    } else if (is_plain && text_equal(reference->root, "count")) {
        r = look_up_count(scope, reference, ret_value, &fault);
    } else {
        r = look_up_resource(scope, reference, ret_value, &fault);
    }
    return r < 0 ? error_move(err, &fault) : 0;
}

/* --- Texts and what holds them --- */

static void tell_fault(struct scope *scope, const struct yaml_node *node,
                       const struct expression_fault *fault, const struct error *err)
{
    if (!scope->diagnostics)
        return;
    bool is_look_up = fault->code == DIAGNOSTIC_UNKNOWN_REFERENCE;
    CLEANUP(mem_freep) char *meant = did_you_mean(fault->nearest);
    diagnostics_add(scope->diagnostics, is_look_up ? scope->code : fault->code,
                    yaml_position(scope->document->tree, node), is_look_up ? scope->help : meant,
                    "In \"%.80s\": %s.", node->text, error_message(err));
}

/* A secret without a digest gets one, where somebody can make it. */
static int add_digest(void *argument, struct value *value, struct value **ret_value,
                      struct error *err)
{
    const struct document_context *context = argument;
    CLEANUP(mem_freep) char *digest = NULL;
    if (!value_has_secret(value))
        *ret_value = value_ref(value);
    if (value_kind(value) != VALUE_SECRET || value_text_length(value) > 0)
        return 0;
    const char *origin = value_secret_origin(value);
    int r = context->digest_secret(context->argument, origin, &digest, err);
    if (r == 0)
        *ret_value = value_secret(digest, origin);
    return r;
}

static int add_digests(const struct scope *scope, struct value *value, struct value **ret_value,
                       struct error *err)
{
    const struct document_context *context = scope->expansion ? scope->expansion->context : NULL;
    if (context && context->digest_secret)
        return value_change(value, add_digest, (void *)context, ret_value, err);
    *ret_value = value_ref(value);
    return 0;
}

static struct value *evaluate_text(struct scope *scope, const struct yaml_node *node)
{
    CLEANUP(value_unrefp) struct value *open = NULL;
    struct value *value = NULL;
    struct error err = {0};
    struct expression_fault fault = {0};
    const struct yaml_node *outer = scope->node;
    scope->node = node;
    int r = expression_evaluate(node->text, look_up, scope, &open, &fault, &err);
    scope->node = outer;
    if (r == 0) {
        fault.code = DIAGNOSTIC_FUNCTION_FAILED;
        r = add_digests(scope, open, &value, &err);
    }
    if (r < 0) {
        tell_fault(scope, node, &fault, &err);
        value = value_unknown("any", node->text);
    }
    mem_free(take_ptr(scope->help));
    error_done(&err);
    return value;
}

struct value *scope_evaluate(struct scope *scope, const struct yaml_node *node)
{
    struct value_builder builder = {0};
    switch (node->kind) {
    case VALUE_STRING:
        return expression_is_in(node->text) ? evaluate_text(scope, node) : yaml_to_value(node);
    case VALUE_LIST:
        for (size_t i = 0; i < node->n_items; i++)
            value_builder_append(&builder, scope_evaluate(scope, node->items[i]));
        return value_builder_list(&builder);
    case VALUE_MAP:
        for (size_t i = 0; i < node->n_items; i++)
            value_builder_set(&builder, node->pairs[i].key,
                              scope_evaluate(scope, node->pairs[i].value));
        return value_builder_map(&builder);
    default:
        return yaml_to_value(node);
    }
}

bool scope_refuse_secret(struct scope *scope, const struct yaml_node *node,
                         const struct value *value, const char *what)
{
    if (!expression_needs_secret(value))
        return true;
    if (scope->diagnostics)
        diagnostics_add(scope->diagnostics, DIAGNOSTIC_MISPLACED_SECRET,
                        yaml_position(scope->document->tree, node),
                        "Use a variable, or write it down.", "%s: %s would hold a secret.",
                        scope->self->name, what);
    return false;
}

void scope_unknown_name(struct scope *scope, struct position position, const char *what,
                        const char *name)
{
    if (!scope->diagnostics)
        return;
    CLEANUP(mem_freep) char *help = did_you_mean(nearest_name(scope, name));
    diagnostics_add(scope->diagnostics, DIAGNOSTIC_UNKNOWN_REFERENCE, position, help,
                    "%s leads to \"%.80s\", and there is no such resource.", what, name);
}

const struct declaration *scope_use(struct scope *scope, const char *address, const char *what,
                                    struct position position)
{
    CLEANUP(mem_freep) char *name = NULL;
    CLEANUP(value_unrefp) struct value *key = NULL;
    const struct declaration *target = NULL;
    if (address_parse(address, &name, &key, NULL) == 0)
        target = map_get(&scope->document->by_name, name);
    if (!target) {
        scope_unknown_name(scope, position, what, name ? name : address);
        return NULL;
    }
    struct error err = {0};
    const struct resource *resource = NULL;
    if (find_resource(scope, target, key, &resource, &err) < 0 && scope->diagnostics)
        diagnostics_add(scope->diagnostics, scope->code, position, scope->help,
                        "%s leads to \"%.80s\": %s.", what, address, error_message(&err));
    mem_free(take_ptr(scope->help));
    error_done(&err);
    note_use(scope, target, address);
    return target;
}
