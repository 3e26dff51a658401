/* count: and forEach:, which make several resources of a declaration. */
#include "base/text.h"
#include "document/document-internal.h"

#include <string.h>

enum { MAX_COUNT = 1000000, MAX_KEY_LENGTH = 128 };

/* A declaration's resources, one after the other. */
struct repeater {
    struct expansion *expansion;
    struct declaration *declaration;
    struct scope scope;
    size_t n_errors;               /* before the first of them */
    struct string_list depends_on; /* of count: or forEach: */
};

/* The faults of one resource are told; the others would have the same. */
static void expand_next(struct repeater *repeater, struct value *key, struct value *value)
{
    struct expansion *expansion = repeater->expansion;
    struct scope *scope = &repeater->scope;
    if (expansion->diagnostics->n_errors > repeater->n_errors)
        scope->diagnostics = NULL;
    bool is_keyed = key && value_kind(key) == VALUE_STRING;
    scope->each_key = is_keyed ? key : NULL;
    scope->each_value = is_keyed ? value : NULL;
    scope->count_index = is_keyed ? NULL : key;
    expand_one(scope, repeater->declaration, key, &repeater->depends_on, expansion->wanted);
    repeater->declaration->n_resources++;
}

/*
 * Checks what can be checked of a declaration that makes no resource: there is none to make, or
 * its name, type, count: or forEach: is at fault.
 */
static void rehearse(struct repeater *repeater)
{
    const struct declaration *declaration = repeater->declaration;
    struct wanted scratch = {0};
    CLEANUP(value_unrefp) struct value *index = value_unknown("integer", "${count.index}");
    CLEANUP(value_unrefp) struct value *key = value_unknown("string", "${each.key}");
    CLEANUP(value_unrefp) struct value *value = value_unknown("any", "${each.value}");
    struct scope *scope = &repeater->scope;
    scope->is_rehearsal = true;
    scope->count_index = declaration->repetition == REPETITION_COUNT ? index : NULL;
    scope->each_key = declaration->repetition == REPETITION_KEYS ? key : NULL;
    scope->each_value = declaration->repetition == REPETITION_KEYS ? value : NULL;
    if (declaration->resource_type)
        expand_one(scope, declaration, NULL, &repeater->depends_on, &scratch);
    else if (declaration->properties)
        value_unref(scope_evaluate(scope, declaration->properties));
    wanted_done(&scratch);
}

/* Tells that what count: or forEach: is cannot be. */
static void fail_repetition(struct repeater *repeater, const struct yaml_node *node,
                            enum diagnostic_code code, const char *help, const char *why)
{
    struct diagnostics *diagnostics = repeater->expansion->diagnostics;
    /* An expression that failed has been told. */
    if (diagnostics->n_errors == repeater->n_errors)
        diagnostics_add(diagnostics, code, yaml_position(repeater->expansion->document->tree, node),
                        help, "%s: %s.", repeater->declaration->name, why);
}

static struct value *evaluate_repetition(struct repeater *repeater, const struct yaml_node *node)
{
    repeater->scope.depends_on = &repeater->depends_on;
    struct value *value = scope_evaluate(&repeater->scope, node);
    repeater->scope.depends_on = NULL;
    return value;
}

/* Whether so many more resources are within the limit; told when not. */
static bool check_total(struct repeater *repeater, const struct yaml_node *node, size_t n)
{
    const struct expansion *expansion = repeater->expansion;
    size_t limit = expansion->document->limits->resources;
    if (n <= limit && expansion->wanted->n_items <= limit - n)
        return true;
    diagnostics_add(expansion->diagnostics, DIAGNOSTIC_YAML_LIMIT,
                    yaml_position(expansion->document->tree, node), "Split the document.",
                    "With %s, the document has more than %zu resources.",
                    repeater->declaration->name, limit);
    return false;
}

static bool to_count(const struct value *value, int64_t *ret_count)
{
    if (value_kind(value) == VALUE_STRING)
        return text_to_integer(value_text(value), ret_count);
    if (value_kind(value) != VALUE_INTEGER)
        return false;
    *ret_count = value_to_integer(value);
    return true;
}

static bool expand_count(struct repeater *repeater, const struct yaml_node *node)
{
    static const char unknown_help[] =
        "Use a value that is known before apply, such as a variable.";
    CLEANUP(value_unrefp) struct value *value = evaluate_repetition(repeater, node);
    int64_t count = -1;
    if (!scope_refuse_secret(&repeater->scope, node, value, "count"))
        return false;
    if (value_kind(value) == VALUE_UNKNOWN)
        fail_repetition(repeater, node, DIAGNOSTIC_UNKNOWN_COUNT, unknown_help,
                        "its count is not known before apply");
    else if (!to_count(value, &count))
        fail_repetition(repeater, node, DIAGNOSTIC_WRONG_KIND, NULL,
                        "its count must be an integer");
    else if (count < 0 || count > MAX_COUNT)
        fail_repetition(repeater, node, DIAGNOSTIC_BAD_VALUE, NULL,
                        "its count must be from 0 to 1000000");
    if (count < 0 || count > MAX_COUNT || !check_total(repeater, node, (size_t)count))
        return false;
    for (int64_t i = 0; i < count; i++) {
        CLEANUP(value_unrefp) struct value *index = value_integer(i);
        expand_next(repeater, index, NULL);
    }
    return true;
}

/* Whether a text can be a key. */
static bool is_key(const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return length >= 1 && length <= MAX_KEY_LENGTH;
}

/* forEach: as a map of keys and values; NULL when it is none, which is told. */
static struct value *to_keys(struct repeater *repeater, const struct yaml_node *node,
                             struct value *value)
{
    static const char unknown_help[] =
        "Keys must be known before apply; the values of a map need not be.";
    enum value_kind kind = value_kind(value);
    if (kind == VALUE_MAP)
        return value_ref(value);
    if (!scope_refuse_secret(&repeater->scope, node, value, "a key of forEach"))
        return NULL;
    if (kind == VALUE_UNKNOWN || value_has_unknown(value)) {
        fail_repetition(repeater, node, DIAGNOSTIC_UNKNOWN_COUNT, unknown_help,
                        "its keys are not known before apply");
        return NULL;
    }
    struct value_builder builder = {0};
    bool are_texts = kind == VALUE_LIST || kind == VALUE_SET;
    for (size_t i = 0; are_texts && i < value_count(value); i++) {
        struct value *item = value_at(value, i);
        are_texts = value_kind(item) == VALUE_STRING;
        if (are_texts)
            value_builder_set(&builder, value_text(item), value_ref(item));
    }
    if (!are_texts) {
        value_builder_done(&builder);
        fail_repetition(repeater, node, DIAGNOSTIC_WRONG_KIND, NULL,
                        "forEach must be a list of texts or a map");
        return NULL;
    }
    struct value *keys = value_builder_map(&builder);
    if (value_count(keys) < value_count(value))
        fail_repetition(repeater, node, DIAGNOSTIC_BAD_VALUE, "Remove one of them.",
                        "a key stands in its forEach twice");
    return keys;
}

static bool expand_keys(struct repeater *repeater, const struct yaml_node *node)
{
    CLEANUP(value_unrefp) struct value *value = evaluate_repetition(repeater, node);
    CLEANUP(value_unrefp) struct value *keys = to_keys(repeater, node, value);
    if (!keys || !check_total(repeater, node, value_count(keys)))
        return false;
    for (size_t i = 0; i < value_count(keys); i++) {
        if (is_key(value_key_at(keys, i)))
            continue;
        fail_repetition(repeater, node, DIAGNOSTIC_BAD_VALUE,
                        "A key has 1 to 128 bytes and no control characters.",
                        "a key of its forEach cannot be one");
        return false;
    }
    for (size_t i = 0; i < value_count(keys); i++) {
        CLEANUP(value_unrefp) struct value *key = value_string(value_key_at(keys, i));
        expand_next(repeater, key, value_at(keys, i));
    }
    repeater->declaration->keys = take_ptr(keys);
    return true;
}

void expand_declaration(struct expansion *expansion, struct declaration *declaration)
{
    struct repeater repeater = {
        .expansion = expansion,
        .declaration = declaration,
        .scope = {.phase = SCOPE_EXPAND,
                  .document = expansion->document,
                  .wanted = expansion->wanted,
                  .diagnostics = expansion->diagnostics,
                  .self = declaration,
                  .expansion = expansion},
        .n_errors = expansion->diagnostics->n_errors,
    };
    const struct yaml_node *count =
        shape_get(declaration->node, "count", KIND(INTEGER) | KIND(STRING));
    const struct yaml_node *keys =
        shape_get(declaration->node, "forEach", KIND(STRING) | KIND(LIST) | KIND(MAP));
    declaration->repetition = count ? REPETITION_COUNT : keys ? REPETITION_KEYS : REPETITION_NONE;
    declaration->first = expansion->wanted->n_items;
    bool is_known = true;
    if (!*declaration->name || !declaration->resource_type) {
        is_known = false;
        if (count || keys)
            value_unref(evaluate_repetition(&repeater, count ? count : keys));
    } else if (count) {
        is_known = expand_count(&repeater, count);
    } else if (keys) {
        is_known = expand_keys(&repeater, keys);
    } else {
        expand_next(&repeater, NULL, NULL);
    }
    if (!is_known || declaration->n_resources == 0)
        rehearse(&repeater);
    declaration->is_expanded = is_known;
    string_list_done(&repeater.depends_on);
}
