/* The document as a whole: what stands beside its resources. */
#include "document/document.h"

#include "base/text.h"
#include "base/world.h"
#include "document/document-internal.h"

#include <string.h>

const struct document_limits document_default_limits = {
    .yaml = YAML_DEFAULT_LIMITS,
    .resources = 2000000,
    .values = 20000000,
};

static const struct key_rule deployment_rules[] = {
    {.key = "name", .kinds = KIND(STRING), .is_required = true},
    {.key = "version", .kinds = KIND(STRING)},
    {.key = "revision", .kinds = KIND(INTEGER)},
    {.key = "environment", .kinds = KIND(STRING)},
    {.key = "variables", .kinds = KIND(MAP)},
    {.key = "secrets", .kinds = KIND(MAP)},
    {.key = "patterns", .kinds = KIND(LIST)},
    {.key = "resources", .kinds = KIND(LIST)},
    {.key = "policies", .kinds = KIND_ANY},
    {.key = "outputs", .kinds = KIND(MAP)},
};

static const struct key_rule top_rules[] = {
    {.key = "deployment",
     .kinds = KIND(MAP),
     .is_required = true,
     .inner = deployment_rules,
     .n_inner = ARRAY_LENGTH(deployment_rules)},
    {.key = "format", .kinds = KIND(INTEGER)},
};

static const struct key_rule pattern_rules[] = {
    {.key = "name", .kinds = KIND(STRING), .is_required = true},
    {.key = "with", .kinds = KIND(MAP)},
};

static void check_format(const struct document *document, const struct yaml_node *root,
                         struct diagnostics *diagnostics)
{
    const struct yaml_node *format = shape_get(root, "format", KIND(INTEGER));
    if (!format || format->integer == DOCUMENT_FORMAT)
        return;
    if (format->integer > DOCUMENT_FORMAT)
        diagnostics_add(diagnostics, DIAGNOSTIC_UNKNOWN_FORMAT,
                        yaml_position(document->tree, format),
                        "Use a newer version of the program, or write the document in format 1.",
                        "The document is of format %lld; this program reads format %d.",
                        (long long)format->integer, DOCUMENT_FORMAT);
    else
        diagnostics_add(diagnostics, DIAGNOSTIC_BAD_VALUE, yaml_position(document->tree, format),
                        "Leave it out, or write \"format: 1\".", "There is no format %lld.",
                        (long long)format->integer);
}

/* A name of the deployment or environment; the fallback when it is none, which is told. */
static const char *read_name(const struct document *document, const char *key, const char *fallback,
                             struct diagnostics *diagnostics)
{
    const struct yaml_node *node = shape_get(document->deployment, key, KIND(STRING));
    if (!node)
        return fallback;
    if (text_is_name(node->text))
        return node->text;
    diagnostics_add(diagnostics, DIAGNOSTIC_BAD_NAME, yaml_position(document->tree, node),
                    "A name has small letters, digits and \"-\", begins with a letter and is at "
                    "most 63 characters long.",
                    "\"%.80s\" cannot be the %s of a deployment.", node->text, key);
    return fallback;
}

static void read_revision(struct document *document, struct diagnostics *diagnostics)
{
    const struct yaml_node *revision = shape_get(document->deployment, "revision", KIND(INTEGER));
    if (!revision)
        return;
    if (revision->integer >= 1)
        document->revision = revision->integer;
    else
        diagnostics_add(diagnostics, DIAGNOSTIC_BAD_VALUE, yaml_position(document->tree, revision),
                        "Leave it out when the document is based on none.",
                        "There is no revision %lld; they count from 1.",
                        (long long)revision->integer);
}

static void read_pattern(struct document *document, const struct yaml_node *node,
                         struct diagnostics *diagnostics)
{
    const struct yaml_node *name = node->kind == VALUE_STRING ? node : NULL;
    if (node->kind == VALUE_MAP) {
        shape_check(document, node, "A pattern", pattern_rules, ARRAY_LENGTH(pattern_rules),
                    diagnostics);
        name = shape_get(node, "name", KIND(STRING));
    } else if (!name) {
        shape_wrong_kind(document, node, "A pattern", KIND(STRING) | KIND(MAP), diagnostics);
    }
    if (!name)
        return;
    size_t capacity = document->pattern_capacity;
    ARRAY_RESERVE(document->patterns, document->n_patterns, document->pattern_capacity);
    if (capacity != document->pattern_capacity)
        document->with_nodes = mem_resize(document->with_nodes, document->pattern_capacity,
                                          sizeof(struct yaml_node *));
    document->with_nodes[document->n_patterns] = shape_get(node, "with", KIND(MAP));
    document->patterns[document->n_patterns++] = (struct pattern_request){
        .name = name->text, .position = yaml_position(document->tree, name)};
}

static void check_outputs(const struct document *document, struct diagnostics *diagnostics)
{
    const struct yaml_node *outputs = shape_get(document->deployment, "outputs", KIND(MAP));
    for (size_t i = 0; outputs && i < outputs->n_items; i++)
        if (!shape_is_identifier(outputs->pairs[i].key))
            diagnostics_add(diagnostics, DIAGNOSTIC_BAD_NAME,
                            yaml_key_position(document->tree, &outputs->pairs[i]),
                            "A name has letters, digits, \"_\" and \"-\" and begins with a letter.",
                            "\"%.80s\" cannot be the name of an output.", outputs->pairs[i].key);
}

static void read_deployment(struct document *document, struct diagnostics *diagnostics)
{
    const struct yaml_node *deployment = document->deployment;
    shape_check(document, deployment, "A deployment", deployment_rules,
                ARRAY_LENGTH(deployment_rules), diagnostics);
    document->name = read_name(document, "name", "", diagnostics);
    document->environment = read_name(document, "environment", "default", diagnostics);
    const struct yaml_node *version = shape_get(deployment, "version", KIND(STRING));
    document->version = version ? version->text : NULL;
    read_revision(document, diagnostics);
    const struct yaml_node *policies = yaml_get(deployment, "policies");
    document->policies = policies ? yaml_to_value(policies) : NULL;
    variables_read(document, diagnostics);
    secrets_check(document, diagnostics);
    const struct yaml_node *patterns = shape_get(deployment, "patterns", KIND(LIST));
    for (size_t i = 0; patterns && i < patterns->n_items; i++)
        read_pattern(document, patterns->items[i], diagnostics);
    patterns_evaluate(document);
    const struct yaml_node *resources = shape_get(deployment, "resources", KIND(LIST));
    for (size_t i = 0; resources && i < resources->n_items; i++)
        declaration_read(document, resources->items[i], "document", diagnostics);
    check_outputs(document, diagnostics);
}

void document_read_within(const char *file, const char *text, size_t size,
                          const struct document_limits *limits, struct document **ret_document,
                          struct diagnostics *diagnostics)
{
    *ret_document = NULL;
    struct yaml_tree *tree = NULL;
    yaml_read(file, text, size, &limits->yaml, &tree, diagnostics);
    if (!tree)
        return;
    struct document *document = NEW(struct document);
    document->limits = limits;
    document->tree = tree;
    document->name = "";
    document->environment = "default";
    const struct yaml_node *root = yaml_root(tree);
    if (root->kind == VALUE_MAP) {
        shape_check(document, root, "The document", top_rules, ARRAY_LENGTH(top_rules),
                    diagnostics);
        check_format(document, root, diagnostics);
    } else if (root->kind == VALUE_NULL) {
        diagnostics_add(diagnostics, DIAGNOSTIC_MISSING_KEY, yaml_position(tree, root),
                        "Begin with \"deployment:\".", "The document is empty.");
    } else {
        shape_wrong_kind(document, root, "The document", KIND(MAP), diagnostics);
    }
    document->deployment = shape_get(root, "deployment", KIND(MAP));
    if (document->deployment)
        read_deployment(document, diagnostics);
    else
        document->variables = value_builder_map(&(struct value_builder){0});
    *ret_document = document;
}

void document_read(const char *file, const char *text, size_t size, struct document **ret_document,
                   struct diagnostics *diagnostics)
{
    document_read_within(file, text, size, &document_default_limits, ret_document, diagnostics);
}

int document_read_file(const char *path, char **ret_text, struct document **ret_document,
                       struct diagnostics *diagnostics, struct error *err)
{
    struct error fault = {0};
    size_t size = 0;
    *ret_text = NULL;
    *ret_document = NULL;
    size_t limit = document_default_limits.yaml.bytes;
    int r = world_read_file(path, limit, ret_text, &size, &fault);
    if (r < 0 && fault.code != ERROR_LIMIT)
        return error_move(err, &fault);
    if (r < 0)
        diagnostics_add(diagnostics, DIAGNOSTIC_YAML_LIMIT, (struct position){.file = path},
                        "Split the document, or move large content out of it.",
                        "The document has more than %zu MiB.", limit >> 20);
    else
        document_read(path, *ret_text, size, ret_document, diagnostics);
    error_done(&fault);
    return 0;
}

static void free_declarations(struct document *document)
{
    for (size_t i = 0; i < document->n_patterns; i++)
        value_unref(document->patterns[i].with);
    mem_free(take_ptr(document->patterns));
    mem_free(take_ptr(document->with_nodes));
    document->n_patterns = document->pattern_capacity = 0;
    for (size_t i = 0; i < document->n_declarations; i++)
        value_unref(document->declarations[i]->keys);
    mem_free(take_ptr(document->declarations));
    document->n_declarations = document->declaration_capacity = 0;
    map_done(&document->by_name);
}

static const char *keep_text(struct arena *arena, const char *text)
{
    return text ? arena_copy_text(arena, text, strlen(text)) : NULL;
}

void document_drop_declarations(struct document *document)
{
    struct arena kept = {0};
    document->name = keep_text(&kept, document->name);
    document->environment = keep_text(&kept, document->environment);
    document->version = keep_text(&kept, document->version);
    document->deployment = NULL;
    free_declarations(document);
    arena_done(&document->arena);
    document->arena = kept;
    yaml_tree_drop_nodes(document->tree);
}

void document_free(struct document *document)
{
    if (!document)
        return;
    free_declarations(document);
    value_unref(document->policies);
    value_unref(document->variables);
    value_unref(document->secrets);
    arena_done(&document->arena);
    yaml_tree_free(document->tree);
    mem_free(document);
}

const char *document_name(const struct document *document)
{
    return document->name;
}

const char *document_environment(const struct document *document)
{
    return document->environment;
}

const char *document_version(const struct document *document)
{
    return document->version;
}

int64_t document_revision(const struct document *document)
{
    return document->revision;
}

struct position document_outputs_position(const struct document *document)
{
    const struct yaml_node *outputs = yaml_get(document->deployment, "outputs");
    return yaml_position(document->tree, outputs ? outputs : yaml_root(document->tree));
}

struct value *document_policies(const struct document *document)
{
    return document->policies;
}

struct value *document_variables(const struct document *document)
{
    return document->variables;
}

size_t document_pattern_count(const struct document *document)
{
    return document->n_patterns;
}

const struct pattern_request *document_pattern_at(const struct document *document, size_t index)
{
    return &document->patterns[index];
}

struct position document_pattern_position(const struct document *document, size_t index,
                                          const char *path)
{
    const struct yaml_node *with = document->with_nodes[index];
    return with ? yaml_position(document->tree, yaml_nearest(with, path, NULL))
                : document->patterns[index].position;
}
