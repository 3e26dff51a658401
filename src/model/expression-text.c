/* Expressions as texts: where they end, how values are written in them. */
#include "model/expression-internal.h"

#include "model/json.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

size_t expression_string_length(const char *text)
{
    assert(*text == '"');
    for (size_t i = 1; text[i]; i++) {
        if (text[i] == '"')
            return i + 1;
        if (text[i] == '\\' && text[i + 1])
            i++;
    }
    return 0;
}

/* How long the expression is that a "}" ends, text being what follows "${"; 0 when none does. */
static size_t expression_length(const char *text)
{
    size_t depth = 0;
    for (size_t i = 0; text[i]; i++) {
        if (text[i] == '"') {
            size_t length = expression_string_length(text + i);
            if (length == 0)
                return 0;
            i += length - 1;
        } else if (text[i] == '{') {
            depth++;
        } else if (text[i] == '}' && depth-- == 0) {
            return i;
        }
    }
    return 0;
}

unsigned int expression_bracket_depth(const char *text)
{
    unsigned int depth = 0;
    unsigned int deepest = 0;
    for (; *text; text++) {
        size_t length = *text == '"' ? expression_string_length(text) : 0;
        if (length > 0)
            text += length - 1;
        else if (*text == '(' || *text == '[' || *text == '{')
            deepest = ++depth > deepest ? depth : deepest;
        else if (*text == ')' || *text == ']' || *text == '}')
            depth--;
    }
    return deepest;
}

/* How long the expression of the "${...}" is that text begins with; 0 when it begins with none. */
static size_t braces_length(const char *text)
{
    return strncmp(text, "${", 2) == 0 ? expression_length(text + 2) : 0;
}

static void write_part(struct strbuf *text, const char *part, size_t length)
{
    if (text->text[text->length - 1] != '[')
        strbuf_add(text, ", ");
    strbuf_add_n(text, part, length);
}

/* Writes what stands between expressions, if anything, as a string. */
static void write_plain(struct strbuf *text, struct strbuf *plain)
{
    if (plain->length == 0)
        return;
    struct strbuf literal = {0};
    json_write_string(&literal, plain->text, plain->length);
    write_part(text, literal.text, literal.length);
    strbuf_done(&literal);
    strbuf_clear(plain);
}

/* What an unknown's origin, a text with ${...}, is as one expression. */
static void write_origin(struct strbuf *text, const char *origin)
{
    size_t length = braces_length(origin);
    if (length > 0 && origin[length + 3] == '\0') {
        strbuf_add_n(text, origin + 2, length);
        return;
    }
    strbuf_add(text, "join(\"\", [");
    struct strbuf plain = {0};
    for (const char *at = origin; *at;) {
        length = braces_length(at);
        if (length > 0) {
            write_plain(text, &plain);
            write_part(text, at + 2, length);
            at += length + 3;
        } else if (strncmp(at, "$${", 3) == 0) {
            strbuf_add(&plain, "${");
            at += 3;
        } else {
            strbuf_add_char(&plain, *at++);
        }
    }
    write_plain(text, &plain);
    strbuf_done(&plain);
    strbuf_add(text, "])");
}

static bool write_items(struct strbuf *text, const struct value *value)
{
    bool is_map = value_kind(value) == VALUE_MAP;
    strbuf_add_char(text, is_map ? '{' : '[');
    for (size_t i = 0; i < value_count(value); i++) {
        if (i > 0)
            strbuf_add(text, ", ");
        if (is_map) {
            json_write_string(text, value_key_at(value, i), strlen(value_key_at(value, i)));
            strbuf_add(text, ": ");
        }
        if (!expression_write_literal(text, value_at(value, i)))
            return false;
    }
    strbuf_add_char(text, is_map ? '}' : ']');
    return true;
}

/* A decimal is written so that it is read as one again. */
static void write_decimal(struct strbuf *text, const struct value *decimal)
{
    size_t start = text->length;
    json_write(text, decimal);
    if (!strpbrk(text->text + start, ".e"))
        strbuf_add(text, ".0");
}

bool expression_write_literal(struct strbuf *text, const struct value *value)
{
    switch (value_kind(value)) {
    case VALUE_LIST:
    case VALUE_SET:
    case VALUE_MAP:
        return write_items(text, value);
    case VALUE_UNKNOWN:
        write_origin(text, value_text(value));
        return true;
    case VALUE_SECRET:
        if (!*value_secret_origin(value))
            return false;
        write_origin(text, value_secret_origin(value));
        return true;
    case VALUE_INTEGER:
        strbuf_addf(text, "%" PRId64, value_to_integer(value));
        return true;
    case VALUE_DECIMAL:
        write_decimal(text, value);
        return true;
    default:
        json_write(text, value);
        return true;
    }
}
