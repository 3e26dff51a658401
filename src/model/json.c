#include "model/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Integers that every JSON reader keeps exactly. */
static const int64_t exact_limit = INT64_C(1) << 53;

void json_write_string(struct strbuf *buffer, const char *text, size_t length)
{
    static const char short_escapes[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    strbuf_add_char(buffer, '"');
    size_t start = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        strbuf_add_n(buffer, text + start, i - start);
        start = i + 1;
        if (c == '"' || c == '\\')
            strbuf_addf(buffer, "\\%c", c);
        else if (c < sizeof(short_escapes) && short_escapes[c])
            strbuf_addf(buffer, "\\%c", short_escapes[c]);
        else
            strbuf_addf(buffer, "\\u%04x", c);
    }
    strbuf_add_n(buffer, text + start, length - start);
    strbuf_add_char(buffer, '"');
}

/* Places digits and the exponent as ECMAScript's Number::toString does, which RFC 8785 asks for. */
static void write_digits(struct strbuf *buffer, const char *digits, int n_digits, int exponent)
{
    if (n_digits <= exponent && exponent <= 21) {
        strbuf_add_n(buffer, digits, (size_t)n_digits);
        strbuf_add_repeated(buffer, '0', (size_t)(exponent - n_digits));
    } else if (0 < exponent && exponent <= 21) {
        strbuf_addf(buffer, "%.*s.%s", exponent, digits, digits + exponent);
    } else if (-6 < exponent && exponent <= 0) {
        strbuf_add(buffer, "0.");
        strbuf_add_repeated(buffer, '0', (size_t)-exponent);
        strbuf_add_n(buffer, digits, (size_t)n_digits);
    } else {
        strbuf_add_char(buffer, digits[0]);
        if (n_digits > 1)
            strbuf_addf(buffer, ".%s", digits + 1);
        strbuf_addf(buffer, "e%+d", exponent - 1);
    }
}

static void write_decimal(struct strbuf *buffer, double decimal)
{
    if (decimal == 0) {
        strbuf_add_char(buffer, '0');
        return;
    }
    char text[40];
    int precision = 1;
    do
        snprintf(text, sizeof(text), "%.*e", precision - 1, fabs(decimal));
    while (strtod(text, NULL) != fabs(decimal) && precision++ < 17);
    char digits[20];
    int n_digits = 0;
    char *at = text;
    for (; *at != 'e'; at++)
        if (*at != '.')
            digits[n_digits++] = *at;
    digits[n_digits] = '\0';
    if (decimal < 0)
        strbuf_add_char(buffer, '-');
    write_digits(buffer, digits, n_digits, (int)strtol(at + 1, NULL, 10) + 1);
}

static void write_integer(struct strbuf *buffer, int64_t integer)
{
    bool is_exact = integer >= -exact_limit && integer <= exact_limit;
    if (!is_exact)
        strbuf_add_char(buffer, '"');
    strbuf_add_integer(buffer, integer);
    if (!is_exact)
        strbuf_add_char(buffer, '"');
}

static void break_line(struct strbuf *buffer, int indent)
{
    if (indent < 0)
        return;
    strbuf_add_char(buffer, '\n');
    strbuf_add_repeated(buffer, ' ', (size_t)indent * 2);
}

static void write_value(struct strbuf *buffer, const struct value *value, int indent);

static void write_items(struct strbuf *buffer, const struct value *value, int indent)
{
    bool is_map = value_kind(value) == VALUE_MAP;
    int inner = indent < 0 ? indent : indent + 1;
    strbuf_add_char(buffer, is_map ? '{' : '[');
    for (size_t i = 0; i < value_count(value); i++) {
        if (i > 0)
            strbuf_add_char(buffer, ',');
        break_line(buffer, inner);
        if (is_map) {
            const char *key = value_key_at(value, i);
            CLEANUP(mem_freep) char *doubled = key[0] == '$' ? string_format("$%s", key) : NULL;
            json_write_string(buffer, doubled ? doubled : key, strlen(doubled ? doubled : key));
            strbuf_add(buffer, indent < 0 ? ":" : ": ");
        }
        write_value(buffer, value_at(value, i), inner);
    }
    if (value_count(value) > 0)
        break_line(buffer, indent);
    strbuf_add_char(buffer, is_map ? '}' : ']');
}

static void write_secret(struct strbuf *buffer, const struct value *secret)
{
    const char *origin = value_secret_origin(secret);
    strbuf_add_char(buffer, '{');
    if (*origin) {
        strbuf_add(buffer, "\"$origin\":");
        json_write_string(buffer, origin, strlen(origin));
        strbuf_add_char(buffer, ',');
    }
    strbuf_add(buffer, "\"$secret\":");
    json_write_string(buffer, value_text(secret), value_text_length(secret));
    strbuf_add_char(buffer, '}');
}

static void write_value(struct strbuf *buffer, const struct value *value, int indent)
{
    switch (value_kind(value)) {
    case VALUE_BOOL:
        strbuf_add(buffer, value_to_bool(value) ? "true" : "false");
        break;
    case VALUE_INTEGER:
        write_integer(buffer, value_to_integer(value));
        break;
    case VALUE_DECIMAL:
        write_decimal(buffer, value_to_decimal(value));
        break;
    case VALUE_STRING:
        json_write_string(buffer, value_text(value), value_text_length(value));
        break;
    case VALUE_LIST:
    case VALUE_SET:
    case VALUE_MAP:
        write_items(buffer, value, indent);
        break;
    case VALUE_UNKNOWN:
        strbuf_add(buffer, "{\"$unknown\":{\"origin\":");
        json_write_string(buffer, value_text(value), value_text_length(value));
        strbuf_add(buffer, ",\"type\":");
        json_write_string(buffer, value_unknown_type(value), strlen(value_unknown_type(value)));
        strbuf_add(buffer, "}}");
        break;
    case VALUE_SECRET:
        write_secret(buffer, value);
        break;
    case VALUE_NULL:
    case VALUE_KIND_COUNT:
        strbuf_add(buffer, "null");
        break;
    }
}

void json_write(struct strbuf *buffer, const struct value *value)
{
    write_value(buffer, value, -1);
}

char *json_text(const struct value *value)
{
    struct strbuf buffer = {0};
    json_write(&buffer, value);
    return strbuf_take(&buffer);
}

char *json_pretty(const struct value *value)
{
    struct strbuf buffer = {0};
    write_value(&buffer, value, 0);
    return strbuf_take(&buffer);
}
