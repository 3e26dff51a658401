/* secrets: where each comes from. Their texts are never here. */
#include "document/document-internal.h"

#include "base/text.h"

#include <string.h>

enum { MIN_LENGTH = 16, MAX_LENGTH = 1024, DEFAULT_LENGTH = 32 };

static const struct key_rule source_rules[] = {
    {.key = "environment", .kinds = KIND(STRING)},
    {.key = "file", .kinds = KIND(STRING)},
    {.key = "command", .kinds = KIND(LIST)},
    {.key = "generated", .kinds = KIND(MAP)},
};

static const struct key_rule generated_rules[] = {
    {.key = "length", .kinds = KIND(INTEGER)},
    {.key = "alphabet", .kinds = KIND(STRING)},
    {.key = "generation", .kinds = KIND(INTEGER)},
};

static const char *const alphabets[] = {"alphanumeric", "lowercase", "digits", "hex", "printable"};

/* The one source of a secret that is given; NULL when there are none or several, which is told. */
static const struct yaml_pair *find_source(const struct document *document,
                                           const struct yaml_pair *secret,
                                           struct diagnostics *diagnostics)
{
    const struct yaml_pair *source = NULL;
    size_t n_sources = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(source_rules); i++) {
        const struct yaml_pair *pair = yaml_find(secret->value, source_rules[i].key);
        if (!pair || pair->value->kind == VALUE_NULL)
            continue;
        n_sources++;
        source = shape_get(secret->value, pair->key, source_rules[i].kinds) ? pair : NULL;
    }
    if (n_sources == 1)
        return source;
    diagnostics_add(diagnostics, n_sources ? DIAGNOSTIC_BAD_VALUE : DIAGNOSTIC_MISSING_KEY,
                    n_sources ? yaml_position(document->tree, secret->value)
                              : yaml_key_position(document->tree, secret),
                    "Give one of environment, file, command and generated.",
                    n_sources ? "The secret \"%s\" has %zu sources."
                              : "The secret \"%s\" has no source.",
                    secret->key, n_sources);
    return NULL;
}

static void tell_bad(const struct document *document, const struct yaml_node *node,
                     const char *help, const char *secret, const char *why,
                     struct diagnostics *diagnostics)
{
    diagnostics_add(diagnostics, DIAGNOSTIC_BAD_VALUE, yaml_position(document->tree, node), help,
                    "The secret \"%s\": %s.", secret, why);
}

static void check_generated(const struct document *document, const char *secret,
                            const struct yaml_node *generated, struct diagnostics *diagnostics)
{
    shape_check(document, generated, "A generated secret", generated_rules,
                ARRAY_LENGTH(generated_rules), diagnostics);
    const struct yaml_node *length = shape_get(generated, "length", KIND(INTEGER));
    const struct yaml_node *alphabet = shape_get(generated, "alphabet", KIND(STRING));
    const struct yaml_node *generation = shape_get(generated, "generation", KIND(INTEGER));
    if (generation && generation->integer < 1)
        tell_bad(document, generation, "The first is 1; a greater one is another secret.", secret,
                 "its generation must be at least 1", diagnostics);
    if (length && (length->integer < MIN_LENGTH || length->integer > MAX_LENGTH))
        tell_bad(document, length, NULL, secret, "its length must be from 16 to 1024", diagnostics);
    for (size_t i = 0; alphabet && i < ARRAY_LENGTH(alphabets); i++)
        if (text_equal(alphabet->text, alphabets[i]))
            alphabet = NULL;
    if (alphabet)
        tell_bad(document, alphabet, "There are alphanumeric, lowercase, digits, hex, printable.",
                 secret, "there is no such alphabet", diagnostics);
}

/* copies says where a text would be kept that is written down. */
static void check_secret(const struct document *document, const struct yaml_pair *secret,
                         const char *copies, struct diagnostics *diagnostics)
{
    if (!shape_is_identifier(secret->key))
        diagnostics_add(diagnostics, DIAGNOSTIC_BAD_NAME, yaml_key_position(document->tree, secret),
                        "A name has letters, digits, \"_\" and \"-\" and begins with a letter.",
                        "\"%.80s\" cannot be the name of a secret.", secret->key);
    if (secret->value->kind == VALUE_STRING) {
        diagnostics_add(diagnostics, DIAGNOSTIC_PLAIN_SECRET,
                        yaml_position(document->tree, secret->value),
                        "Say where it comes from: { environment: NAME }, { file: PATH }, "
                        "{ command: [...] } or { generated: {} }.",
                        "The secret \"%.80s\" is written down, in %s.", secret->key, copies);
        return;
    }
    if (secret->value->kind != VALUE_MAP) {
        CLEANUP(mem_freep) char *what = string_format("The secret \"%s\"", secret->key);
        shape_wrong_kind(document, secret->value, what, KIND(MAP), diagnostics);
        return;
    }
    shape_check(document, secret->value, "A secret", source_rules, ARRAY_LENGTH(source_rules),
                diagnostics);
    const struct yaml_pair *source = find_source(document, secret, diagnostics);
    if (source && source->value->kind == VALUE_MAP)
        check_generated(document, secret->key, source->value, diagnostics);
    if (!source || source->value->kind != VALUE_LIST)
        return;
    if (source->value->n_items == 0)
        tell_bad(document, source->value, "Write a program and its arguments.", secret->key,
                 "its command is empty", diagnostics);
    for (size_t i = 0; i < source->value->n_items; i++)
        if (source->value->items[i]->kind != VALUE_STRING)
            shape_wrong_kind(document, source->value->items[i], "Each word of a command",
                             KIND(STRING), diagnostics);
}

void secrets_check(const struct document *document, struct diagnostics *diagnostics)
{
    const struct yaml_node *secrets = shape_get(document->deployment, "secrets", KIND(MAP));
    for (size_t i = 0; secrets && i < secrets->n_items; i++)
        check_secret(document, &secrets->pairs[i], "the document, its revisions and every copy",
                     diagnostics);
}

/* --- What they say --- */

static bool is_variable_name(const char *text)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    return *text && strchr(first, *text) &&
           text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789")] ==
               '\0';
}

static struct value *with_defaults(const struct value *generated)
{
    const char *alphabet = value_get_text(generated, "alphabet");
    struct value_builder fields = {0};
    value_builder_set(&fields, "length",
                      value_integer(value_get_integer(generated, "length", DEFAULT_LENGTH)));
    value_builder_set_string(&fields, "alphabet", alphabet ? alphabet : alphabets[0]);
    /* The first says nothing, so that it is the same with and without. */
    if (value_get_integer(generated, "generation", 1) > 1)
        value_builder_set(&fields, "generation", value_ref(value_get(generated, "generation")));
    return value_builder_map(&fields);
}

/* What is wrong with an evaluated source; NULL when nothing is. */
static const char *find_fault(const char *kind, const struct value *source)
{
    if (text_equal(kind, "environment") && !is_variable_name(value_text(source)))
        return "this cannot be the name of an environment variable";
    bool is_list = value_kind(source) == VALUE_LIST;
    const struct value *first = is_list ? value_at(source, 0) : source;
    if (value_kind(first) == VALUE_STRING && value_text_length(first) == 0)
        return "where it comes from is empty";
    for (size_t i = 0; is_list && i < value_count(source); i++)
        if (value_kind(value_at(source, i)) != VALUE_STRING)
            return "each word of a command must be a text";
    return NULL;
}

static bool are_words(const struct yaml_node *list)
{
    for (size_t i = 0; i < list->n_items; i++)
        if (list->items[i]->kind != VALUE_STRING)
            return false;
    return list->n_items > 0;
}

/* A source whose form has no fault; NULL for others, which were told. */
static const struct yaml_pair *find_whole_source(const struct document *document,
                                                 const struct yaml_pair *secret)
{
    struct diagnostics ignored = {0};
    const struct yaml_pair *source =
        secret->value->kind == VALUE_MAP ? find_source(document, secret, &ignored) : NULL;
    diagnostics_done(&ignored);
    bool is_broken = source && source->value->kind == VALUE_LIST && !are_words(source->value);
    return is_broken ? NULL : source;
}

/* The source as a map of one, with its value; NULL when it has a fault, which is told. */
static struct value *settle_source(const struct document *document, const struct yaml_pair *secret,
                                   const struct yaml_pair *source, struct value *value,
                                   struct diagnostics *diagnostics)
{
    bool is_map = value_kind(value) == VALUE_MAP;
    const char *why =
        !is_map && value_kind(value) != VALUE_LIST && value_kind(value) != VALUE_STRING
            ? "where it comes from must be a text"
            : find_fault(source->key, value);
    if (why) {
        tell_bad(document, source->value, NULL, secret->key, why, diagnostics);
        return NULL;
    }
    struct value_builder fields = {0};
    value_builder_set(&fields, source->key, is_map ? with_defaults(value) : value_ref(value));
    return value_builder_map(&fields);
}

/* NULL when it has a fault, which is told. */
static struct value *read_source(struct scope *scope, const struct yaml_pair *secret)
{
    const struct yaml_pair *source = find_whole_source(scope->document, secret);
    if (!source)
        return NULL;
    CLEANUP(value_unrefp) struct value *value = scope_evaluate(scope, source->value);
    if (value_has_unknown(value))
        return NULL; /* told by the evaluation */
    return settle_source(scope->document, secret, source, value, scope->diagnostics);
}

struct value *document_read_sources(const struct yaml_tree *tree, const struct yaml_node *secrets,
                                    struct diagnostics *diagnostics)
{
    const struct document document = {.tree = (struct yaml_tree *)tree};
    struct value_builder builder = {0};
    size_t n = secrets && secrets->kind == VALUE_MAP ? secrets->n_items : 0;
    for (size_t i = 0; i < n; i++) {
        const struct yaml_pair *secret = &secrets->pairs[i];
        check_secret(&document, secret, "the site and every copy", diagnostics);
        const struct yaml_pair *source = find_whole_source(&document, secret);
        CLEANUP(value_unrefp) struct value *value = source ? yaml_to_value(source->value) : NULL;
        struct value *settled =
            value ? settle_source(&document, secret, source, value, diagnostics) : NULL;
        if (settled)
            value_builder_set(&builder, secret->key, settled);
    }
    return value_builder_map(&builder);
}

const struct value *document_read_secrets(struct document *document,
                                          struct diagnostics *diagnostics)
{
    const struct yaml_node *secrets = shape_get(document->deployment, "secrets", KIND(MAP));
    struct scope scope = {.phase = SCOPE_SECRETS, .document = document, .diagnostics = diagnostics};
    struct value_builder builder = {0};
    for (size_t i = 0; secrets && i < secrets->n_items; i++) {
        struct value *source = read_source(&scope, &secrets->pairs[i]);
        if (source)
            value_builder_set(&builder, secrets->pairs[i].key, source);
    }
    value_unref(document->secrets);
    document->secrets = value_builder_map(&builder);
    return document->secrets;
}

struct position document_secret_position(const struct document *document, const char *name)
{
    const struct yaml_node *secrets = shape_get(document->deployment, "secrets", KIND(MAP));
    const struct yaml_pair *pair = yaml_find(secrets, name);
    return pair ? yaml_key_position(document->tree, pair) : (struct position){0};
}
