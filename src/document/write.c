/* The expanded document as text: what the user wrote and what patterns added, in one. */
#include "base/text.h"
#include "document/document-internal.h"
#include "model/expression.h"
#include "model/json.h"

#include <string.h>

struct writer {
    struct strbuf *text;
    const struct declaration *declaration; /* whose fills are noted; NULL outside of one */
};

static void write_node(const struct writer *writer, const struct yaml_node *node, int indent,
                       const char *path);

static void write_text(struct strbuf *text, const char *content)
{
    if (yaml_is_plain_text(content))
        strbuf_add(text, content);
    else
        json_write_string(text, content, strlen(content));
}

static void write_scalar(struct strbuf *text, const struct yaml_node *node)
{
    if (node->kind == VALUE_STRING)
        write_text(text, node->text);
    else
        strbuf_add(text, node->kind == VALUE_NULL ? "null" : node->text);
}

static bool is_container(const struct yaml_node *node)
{
    return (node->kind == VALUE_LIST || node->kind == VALUE_MAP) && node->n_items > 0;
}

/* Lists of nothing but a few short scalars stand on one line. */
static bool is_short_list(const struct yaml_node *node)
{
    size_t length = 0;
    if (node->kind != VALUE_LIST || node->n_items > 8)
        return false;
    for (size_t i = 0; i < node->n_items; i++) {
        if (node->items[i]->kind == VALUE_LIST || node->items[i]->kind == VALUE_MAP)
            return false;
        length += node->items[i]->n_items;
    }
    return length <= 60;
}

static void write_short_list(struct strbuf *text, const struct yaml_node *list)
{
    strbuf_add_char(text, '[');
    for (size_t i = 0; i < list->n_items; i++) {
        strbuf_add(text, i == 0 ? "" : ", ");
        write_scalar(text, list->items[i]);
    }
    strbuf_add_char(text, ']');
}

static void write_origin(const struct writer *writer, const char *path)
{
    const struct fill *fill = writer->declaration ? writer->declaration->fills : NULL;
    while (fill && !text_equal(fill->path, path))
        fill = fill->next;
    if (fill)
        strbuf_addf(writer->text, "  # %s", fill->origin);
}

/* Writes ": VALUE" or what follows a "-", and ends the line. */
static void write_inline(const struct writer *writer, const struct yaml_node *node,
                         const char *path)
{
    if (is_short_list(node))
        write_short_list(writer->text, node);
    else if (node->kind == VALUE_LIST || node->kind == VALUE_MAP)
        strbuf_add(writer->text, node->kind == VALUE_LIST ? "[]" : "{}");
    else
        write_scalar(writer->text, node);
    write_origin(writer, path);
    strbuf_add_char(writer->text, '\n');
}

static void write_pair(const struct writer *writer, const struct yaml_pair *pair, int indent,
                       const char *path)
{
    CLEANUP(mem_freep)
    char *below = *path ? string_format("%s.%s", path, pair->key) : string_copy(pair->key);
    write_text(writer->text, pair->key);
    strbuf_add_char(writer->text, ':');
    if (is_container(pair->value) && !is_short_list(pair->value)) {
        write_origin(writer, below);
        strbuf_add_char(writer->text, '\n');
        write_node(writer, pair->value, indent + 2, below);
    } else {
        strbuf_add_char(writer->text, ' ');
        write_inline(writer, pair->value, below);
    }
}

/* The pairs of a map, the first one at once: the caller has indented it. */
static void write_pairs(const struct writer *writer, const struct yaml_node *map, int indent,
                        const char *path)
{
    for (size_t i = 0; i < map->n_items; i++) {
        if (i > 0)
            strbuf_add_repeated(writer->text, ' ', (size_t)indent);
        write_pair(writer, &map->pairs[i], indent, path);
    }
}

static void write_item(const struct writer *writer, const struct yaml_node *item, int indent,
                       const char *path)
{
    strbuf_add(writer->text, "- ");
    if (!is_container(item) || is_short_list(item)) {
        write_inline(writer, item, path);
    } else if (item->kind == VALUE_MAP) {
        write_pairs(writer, item, indent + 2, path);
    } else {
        for (size_t i = 0; i < item->n_items; i++) {
            CLEANUP(mem_freep) char *below = string_format("%s[%zu]", path, i);
            if (i > 0)
                strbuf_add_repeated(writer->text, ' ', (size_t)indent + 2);
            write_item(writer, item->items[i], indent + 2, below);
        }
    }
}

/* A list or map on lines of its own. */
static void write_node(const struct writer *writer, const struct yaml_node *node, int indent,
                       const char *path)
{
    if (node->kind == VALUE_MAP) {
        strbuf_add_repeated(writer->text, ' ', (size_t)indent);
        write_pairs(writer, node, indent, path);
        return;
    }
    for (size_t i = 0; i < node->n_items; i++) {
        CLEANUP(mem_freep) char *below = string_format("%s[%zu]", path, i);
        strbuf_add_repeated(writer->text, ' ', (size_t)indent);
        write_item(writer, node->items[i], indent, below);
    }
}

/* The keys that people read first come first; what patterns add has them in no order. */
static size_t order_pairs(const struct declaration *declaration, const struct yaml_pair **ret_pairs)
{
    const struct yaml_node *node = declaration->node;
    bool is_added = !text_equal(declaration->origin, "document");
    size_t n = 0;
    if (is_added)
        ret_pairs[n++] = yaml_find(node, "type");
    if (is_added)
        ret_pairs[n++] = yaml_find(node, "name");
    for (size_t i = 0; i < node->n_items; i++) {
        const struct yaml_pair *pair = &node->pairs[i];
        bool is_first = is_added && (pair == ret_pairs[0] || pair == ret_pairs[1]);
        if (!is_first && !text_equal(pair->key, "properties"))
            ret_pairs[n++] = pair;
    }
    return n;
}

static void write_declaration(struct strbuf *text, const struct declaration *declaration)
{
    const struct writer plain = {.text = text};
    const struct writer noted = {.text = text, .declaration = declaration};
    const struct yaml_pair **pairs =
        NEW_ARRAY(const struct yaml_pair *, declaration->node->n_items + 2);
    const char *before = "    - ";
    if (!text_equal(declaration->origin, "document"))
        strbuf_addf(text, "    # %s\n", declaration->origin);
    size_t n_pairs = order_pairs(declaration, pairs);
    for (size_t i = 0; i < n_pairs; i++) {
        if (!pairs[i])
            continue;
        strbuf_add(text, before);
        write_pair(&plain, pairs[i], 6, "");
        before = "      ";
    }
    mem_free(pairs);
    if (!declaration->properties || declaration->properties->n_items == 0)
        return;
    strbuf_addf(text, "%sproperties:\n", before);
    write_node(&noted, declaration->properties, 8, "");
}

/* A value in the form that evaluates to it, on one line. A secret is left out. */
static void write_value(struct strbuf *text, const struct value *value)
{
    enum value_kind kind = value_kind(value);
    if (kind == VALUE_STRING) {
        CLEANUP(mem_freep) char *escaped = expression_escape(value_text(value));
        json_write_string(text, escaped, strlen(escaped));
        return;
    }
    if (kind != VALUE_LIST && kind != VALUE_MAP) {
        if (kind == VALUE_SECRET || kind == VALUE_UNKNOWN)
            strbuf_add(text, "null");
        else
            json_write(text, value);
        return;
    }
    strbuf_add_char(text, kind == VALUE_LIST ? '[' : '{');
    for (size_t i = 0; i < value_count(value); i++) {
        strbuf_add(text, i == 0 ? "" : ", ");
        if (kind == VALUE_MAP) {
            json_write_string(text, value_key_at(value, i), strlen(value_key_at(value, i)));
            strbuf_add(text, ": ");
        }
        write_value(text, value_at(value, i));
    }
    strbuf_add_char(text, kind == VALUE_LIST ? ']' : '}');
}

/* The variables as used: what was given for them is shown, so that the text stands for itself. */
static void write_variables(struct strbuf *text, const struct value *variables)
{
    if (value_count(variables) == 0)
        return;
    strbuf_add(text, "  variables:\n");
    for (size_t i = 0; i < value_count(variables); i++) {
        strbuf_add(text, "    ");
        write_text(text, value_key_at(variables, i));
        strbuf_add(text, ": ");
        write_value(text, value_at(variables, i));
        strbuf_add_char(text, '\n');
    }
}

static void write_field(struct strbuf *text, const struct document *document, const char *key)
{
    const struct writer writer = {.text = text};
    const struct yaml_pair *pair = yaml_find(document->deployment, key);
    if (!pair || pair->value->kind == VALUE_NULL)
        return;
    strbuf_add(text, "  ");
    write_pair(&writer, pair, 2, "");
}

char *document_write_expanded(const struct document *document)
{
    struct strbuf text = {0};
    strbuf_add(&text, "deployment:\n");
    write_field(&text, document, "name");
    write_field(&text, document, "version");
    write_field(&text, document, "revision");
    write_field(&text, document, "environment");
    write_variables(&text, document->variables);
    write_field(&text, document, "secrets");
    if (document->n_declarations > 0)
        strbuf_add(&text, "  resources:\n");
    for (size_t i = 0; i < document->n_declarations; i++)
        write_declaration(&text, document->declarations[i]);
    write_field(&text, document, "policies");
    write_field(&text, document, "outputs");
    return strbuf_take(&text);
}
