/* Variables: the document's own values, and those that others put in their place. */
#include "document/document-internal.h"

#include "base/text.h"

#include <string.h>

void variables_read(struct document *document, struct diagnostics *diagnostics)
{
    const struct yaml_node *variables = shape_get(document->deployment, "variables", KIND(MAP));
    struct value_builder builder = {0};
    struct scope scope = {
        .phase = SCOPE_VARIABLES, .document = document, .diagnostics = diagnostics};
    for (size_t i = 0; variables && i < variables->n_items; i++) {
        const struct yaml_pair *pair = &variables->pairs[i];
        if (!shape_is_identifier(pair->key))
            diagnostics_add(diagnostics, DIAGNOSTIC_BAD_NAME,
                            yaml_key_position(document->tree, pair),
                            "A name has letters, digits, \"_\" and \"-\" and begins with a letter.",
                            "\"%.80s\" cannot be the name of a variable.", pair->key);
        value_builder_set(&builder, pair->key, scope_evaluate(&scope, pair->value));
    }
    document->variables = value_builder_map(&builder);
}

void patterns_evaluate(struct document *document)
{
    struct scope scope = {.phase = SCOPE_PATTERNS, .document = document};
    for (size_t i = 0; i < document->n_patterns; i++) {
        value_unref(document->patterns[i].with);
        document->patterns[i].with = document->with_nodes[i]
                                         ? scope_evaluate(&scope, document->with_nodes[i])
                                         : value_builder_map(&(struct value_builder){0});
    }
}

bool document_has_variable(const struct document *document, const char *name)
{
    return value_get(document->variables, name) != NULL;
}

/* A text from outside as YAML would read it; NULL when it is none. */
static struct value *parse_text(const char *text)
{
    struct diagnostics diagnostics = {0};
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = NULL;
    yaml_read("variable", text, strlen(text), &yaml_default_limits, &tree, &diagnostics);
    struct value *value =
        tree && !diagnostics_has_errors(&diagnostics) ? yaml_to_value(yaml_root(tree)) : NULL;
    diagnostics_done(&diagnostics);
    return value;
}

static bool is_number(enum value_kind kind)
{
    return kind == VALUE_INTEGER || kind == VALUE_DECIMAL;
}

/* A value from outside as one of the kind that the document's own has; NULL when it cannot be. */
static struct value *convert(struct value *value, enum value_kind wanted)
{
    enum value_kind kind = value_kind(value);
    bool fits = kind == wanted || (is_number(kind) && is_number(wanted));
    if (wanted == VALUE_NULL || fits || kind == VALUE_SECRET)
        return value_ref(value);
    if (kind != VALUE_STRING)
        return NULL;
    CLEANUP(value_unrefp) struct value *parsed = parse_text(value_text(value));
    fits = parsed &&
           (value_kind(parsed) == wanted || (is_number(value_kind(parsed)) && is_number(wanted)));
    return fits ? take_ptr(parsed) : NULL;
}

static struct position variable_position(const struct document *document, const char *name)
{
    const struct yaml_node *variables = shape_get(document->deployment, "variables", KIND(MAP));
    const struct yaml_pair *pair = yaml_find(variables, name);
    return pair ? yaml_key_position(document->tree, pair) : (struct position){0};
}

void document_set_variables(struct document *document, const struct value *variables,
                            struct diagnostics *diagnostics)
{
    struct value_builder builder = {0};
    for (size_t i = 0; i < value_count(document->variables); i++) {
        const char *name = value_key_at(document->variables, i);
        struct value *own = value_at(document->variables, i);
        struct value *given = value_get(variables, name);
        struct value *value = given ? convert(given, value_kind(own)) : value_ref(own);
        if (!value) {
            diagnostics_add(diagnostics, DIAGNOSTIC_WRONG_KIND, variable_position(document, name),
                            NULL,
                            "The variable \"%s\" is of kind %s here; what was given for it is not.",
                            name, value_kind_to_string(value_kind(own)));
            value = value_ref(own);
        }
        value_builder_set(&builder, name, value);
    }
    value_unref(document->variables);
    document->variables = value_builder_map(&builder);
    patterns_evaluate(document);
}
