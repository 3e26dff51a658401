/* YAML trees as text. It knows nothing of where the text will stand but its indentation. */
#include "base/memory.h"
#include "base/text.h"
#include "model/yaml-internal.h"

#include <string.h>

enum { SHORT_ITEMS = 8, SHORT_LENGTH = 60 };

/* Characters that YAML takes only as escapes, or would fold. */
static bool needs_escape(const unsigned char *at, size_t *ret_length, unsigned int *ret_code)
{
    *ret_length = 1;
    *ret_code = at[0];
    if (at[0] < 0x20 || at[0] == 0x7f)
        return true;
    if (at[0] == 0xc2 && at[1] < 0xa0) {
        *ret_length = 2;
        *ret_code = at[1];
        return true;
    }
    unsigned int code = at[0] < 0xe0 || at[0] > 0xef
                            ? 0
                            : (at[0] & 0xfu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu);
    if (code != 0x2028 && code != 0x2029 && code != 0xfeff && code < 0xfffe)
        return false;
    *ret_length = 3;
    *ret_code = code;
    return true;
}

void yaml_write_quoted(struct strbuf *buffer, const char *text)
{
    strbuf_add_char(buffer, '"');
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        size_t length;
        unsigned int code;
        if (*at == '\n') {
            strbuf_add(buffer, "\\n");
            at++;
        } else if (*at == '"' || *at == '\\') {
            strbuf_add_char(buffer, '\\');
            strbuf_add_char(buffer, (char)*at++);
        } else if (needs_escape(at, &length, &code)) {
            strbuf_addf(buffer, "\\u%04x", code);
            at += length;
        } else {
            strbuf_add_char(buffer, (char)*at++);
        }
    }
    strbuf_add_char(buffer, '"');
}

static void write_text(struct strbuf *buffer, const char *text, bool is_quoted)
{
    if (!is_quoted && yaml_is_plain_text(text))
        strbuf_add(buffer, text);
    else
        yaml_write_quoted(buffer, text);
}

static void write_scalar(struct strbuf *buffer, const struct yaml_node *node, bool is_quoted)
{
    if (node->kind == VALUE_STRING)
        write_text(buffer, node->text, is_quoted);
    else
        strbuf_add(buffer, node->kind == VALUE_NULL ? "null" : node->text);
}

static bool is_container(const struct yaml_node *node)
{
    return node->kind == VALUE_LIST || node->kind == VALUE_MAP;
}

bool yaml_is_short(const struct yaml_node *node)
{
    size_t length = 0;
    if (!is_container(node) || node->n_items == 0)
        return true;
    if (node->kind == VALUE_MAP || node->n_items > SHORT_ITEMS)
        return false;
    for (size_t i = 0; i < node->n_items; i++) {
        if (is_container(node->items[i]))
            return false;
        length += node->items[i]->n_items + 2;
    }
    return length <= SHORT_LENGTH;
}

void yaml_write_flow(struct strbuf *buffer, const struct yaml_node *node, bool is_quoted)
{
    if (!is_container(node)) {
        write_scalar(buffer, node, is_quoted);
        return;
    }
    bool is_map = node->kind == VALUE_MAP;
    strbuf_add_char(buffer, is_map ? '{' : '[');
    for (size_t i = 0; i < node->n_items; i++) {
        strbuf_add(buffer, i == 0 ? "" : ", ");
        if (is_map) {
            write_text(buffer, node->pairs[i].key, is_quoted);
            strbuf_add(buffer, ": ");
        }
        yaml_write_flow(buffer, is_map ? node->pairs[i].value : node->items[i], is_quoted);
    }
    strbuf_add_char(buffer, is_map ? '}' : ']');
}

static void begin_line(const struct yaml_layout *layout, struct strbuf *buffer, unsigned int indent)
{
    strbuf_add(buffer, layout->line_end);
    strbuf_add_repeated(buffer, ' ', indent);
}

void yaml_write_pair(const struct yaml_layout *layout, struct strbuf *buffer,
                     const struct yaml_pair *pair, unsigned int indent)
{
    write_text(buffer, pair->key, false);
    strbuf_add_char(buffer, ':');
    if (yaml_is_short(pair->value)) {
        strbuf_add_char(buffer, ' ');
        yaml_write_flow(buffer, pair->value, false);
    } else {
        begin_line(layout, buffer, indent + 2);
        yaml_write_block(layout, buffer, pair->value, indent + 2);
    }
}

void yaml_write_block(const struct yaml_layout *layout, struct strbuf *buffer,
                      const struct yaml_node *node, unsigned int indent)
{
    if (!is_container(node) || node->n_items == 0 || yaml_is_short(node)) {
        yaml_write_flow(buffer, node, false);
        return;
    }
    for (size_t i = 0; i < node->n_items; i++) {
        if (i > 0)
            begin_line(layout, buffer, indent);
        if (node->kind == VALUE_MAP) {
            yaml_write_pair(layout, buffer, &node->pairs[i], indent);
        } else {
            strbuf_add(buffer, "- ");
            yaml_write_block(layout, buffer, node->items[i], indent + 2);
        }
    }
}
