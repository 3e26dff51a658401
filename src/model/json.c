#include "model/json.h"

#include "base/memo.h"
#include "base/text.h"
#include "model/json-plain.h"

#include <assert.h>
#include <endian.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 1000 };

/* Integers that every JSON reader keeps exactly. */
static const int64_t exact_limit = INT64_C(1) << 53;

/* How many of eight bytes stand before one that needs an escape. */
static inline size_t count_of_eight(const char *text)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones * 0x80;
    uint64_t bytes;
    memcpy(&bytes, text, sizeof(bytes));
    bytes = le64toh(bytes);
    uint64_t quotes = bytes ^ (ones * '"'), slashes = bytes ^ (ones * '\\');
    uint64_t special = ((bytes - ones * 0x20) & ~bytes) | ((quotes - ones) & ~quotes) |
                       ((slashes - ones) & ~slashes);
    /* The lowest mark is exact: what is borrowed goes upwards. */
    return special & tops ? (size_t)__builtin_ctzll(special & tops) / 8 : 8;
}

size_t json_count_unescaped(const char *text, size_t length)
{
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        size_t n = count_of_eight(text + i);
        if (n < 8)
            return i + n;
    }
    if (length >= 8)
        return length - 8 + count_of_eight(text + length - 8);
    while (i < length && (unsigned char)text[i] >= 0x20 && text[i] != '"' && text[i] != '\\')
        i++;
    return i;
}

void json_write_string(struct strbuf *buffer, const char *text, size_t length)
{
    static const char short_escapes[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    const char *end = text + length;
    strbuf_add_char(buffer, '"');
    for (;;) {
        size_t n_plain = json_count_unescaped(text, (size_t)(end - text));
        strbuf_add_n(buffer, text, n_plain);
        text += n_plain;
        if (text == end)
            break;
        unsigned char c = (unsigned char)*text++;
        if (c == '"' || c == '\\')
            strbuf_add_n(buffer, (const char[]){'\\', (char)c}, 2);
        else if (c < sizeof(short_escapes) && short_escapes[c])
            strbuf_add_n(buffer, (const char[]){'\\', short_escapes[c]}, 2);
        else
            strbuf_addf(buffer, "\\u%04x", c);
    }
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

/* How a value is written. */
struct writing {
    struct strbuf *buffer;
    bool is_foreign; /* a key that begins with "$" is a key like any other */
};

static void write_key(const struct writing *writing, const char *key)
{
    bool is_doubled = key[0] == '$' && !writing->is_foreign;
    CLEANUP(mem_freep) char *doubled = is_doubled ? string_format("$%s", key) : NULL;
    json_write_string(writing->buffer, doubled ? doubled : key, strlen(doubled ? doubled : key));
}

static void write_value(const struct writing *writing, const struct value *value, int indent);

static void write_items(const struct writing *writing, const struct value *value, int indent)
{
    struct strbuf *buffer = writing->buffer;
    bool is_map = value_kind(value) == VALUE_MAP;
    int inner = indent < 0 ? indent : indent + 1;
    strbuf_add_char(buffer, is_map ? '{' : '[');
    for (size_t i = 0; i < value_count(value); i++) {
        if (i > 0)
            strbuf_add_char(buffer, ',');
        break_line(buffer, inner);
        if (is_map) {
            write_key(writing, value_key_at(value, i));
            strbuf_add(buffer, indent < 0 ? ":" : ": ");
        }
        write_value(writing, value_at(value, i), inner);
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

static void write_value(const struct writing *writing, const struct value *value, int indent)
{
    struct strbuf *buffer = writing->buffer;
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
        write_items(writing, value, indent);
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
    write_value(&(struct writing){.buffer = buffer}, value, -1);
}

void json_write_foreign(struct strbuf *buffer, const struct value *value)
{
    write_value(&(struct writing){.buffer = buffer, .is_foreign = true}, value, -1);
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
    write_value(&(struct writing){.buffer = &buffer}, value, 0);
    return strbuf_take(&buffer);
}

char *json_pretty_foreign(const struct value *value)
{
    struct strbuf buffer = {0};
    write_value(&(struct writing){.buffer = &buffer, .is_foreign = true}, value, 0);
    return strbuf_take(&buffer);
}

/* How a text is read. */
struct reading {
    int max_depth;
    bool is_foreign; /* a key that begins with "$" is a key like any other */
};

static int from_json(const struct reading *reading, json_t *json, int depth,
                     struct value **ret_value, struct error *err);

static int from_array(const struct reading *reading, json_t *json, int depth,
                      struct value **ret_value, struct error *err)
{
    struct value_builder builder = {0};
    for (size_t i = 0; i < json_array_size(json); i++) {
        struct value *item = NULL;
        int r = from_json(reading, json_array_get(json, i), depth + 1, &item, err);
        if (r < 0) {
            value_builder_done(&builder);
            return r;
        }
        value_builder_append(&builder, item);
    }
    *ret_value = value_builder_list(&builder);
    return 0;
}

/* {"$secret": ...}, alone or with "$origin". */
static struct value *from_secret(json_t *json)
{
    const char *digest = json_string_value(json_object_get(json, "$secret"));
    const char *origin = json_string_value(json_object_get(json, "$origin"));
    bool fits = digest && json_object_size(json) == (origin ? 2 : 1);
    return fits ? value_secret(digest, origin ? origin : "") : NULL;
}

/* The one field of {"$unknown": ...}. */
static int from_marker(const char *key, json_t *content, struct value **ret_value,
                       struct error *err)
{
    const char *type = json_string_value(json_object_get(content, "type"));
    const char *origin = json_string_value(json_object_get(content, "origin"));
    if (strcmp(key, "$unknown") != 0 || !type || !origin)
        return error_set(
            err, ERROR_INVALID,
            "the key \"%s\" begins with a single \"$\" and is neither $unknown nor $secret", key);
    *ret_value = value_unknown(type, origin);
    return 0;
}

static int from_object(const struct reading *reading, json_t *json, int depth,
                       struct value **ret_value, struct error *err)
{
    struct value_builder builder = {0};
    const char *key;
    json_t *field;
    json_object_foreach(json, key, field)
    {
        int r;
        struct value *item = NULL;
        bool is_ours = key[0] == '$' && !reading->is_foreign;
        if (is_ours && key[1] != '$') {
            value_builder_done(&builder);
            struct value *secret = from_secret(json);
            if (secret) {
                *ret_value = secret;
                return 0;
            }
            return json_object_size(json) == 1
                       ? from_marker(key, field, ret_value, err)
                       : error_set(err, ERROR_INVALID,
                                   "the key \"%s\" must stand alone in its object", key);
        }
        r = from_json(reading, field, depth + 1, &item, err);
        if (r < 0) {
            value_builder_done(&builder);
            return r;
        }
        value_builder_set(&builder, is_ours ? key + 1 : key, item);
    }
    *ret_value = value_builder_map(&builder);
    return 0;
}

/*
 * Decimals without a fraction are written as integers are, up to 1e21; what lies beyond the
 * integers that are written as numbers must have been one of them.
 */
static struct value *from_number(double number)
{
    if (fabs(number) <= (double)exact_limit && number == (double)(int64_t)number)
        return value_integer((int64_t)number);
    return value_decimal(number);
}

static int from_json(const struct reading *reading, json_t *json, int depth,
                     struct value **ret_value, struct error *err)
{
    if (depth > reading->max_depth)
        return error_set(err, ERROR_LIMIT, "JSON nests deeper than %d", reading->max_depth);
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return from_object(reading, json, depth, ret_value, err);
    case JSON_ARRAY:
        return from_array(reading, json, depth, ret_value, err);
    case JSON_STRING:
        *ret_value = value_string_n(json_string_value(json), json_string_length(json));
        return 0;
    case JSON_INTEGER: /* json_read() asks for reals only */
    case JSON_REAL:
        *ret_value = from_number(json_number_value(json));
        return 0;
    case JSON_TRUE:
    case JSON_FALSE:
        *ret_value = value_bool(json_is_true(json));
        return 0;
    case JSON_NULL:
        break;
    }
    *ret_value = value_null();
    return 0;
}

static struct memo known;

static void release_value(void *item)
{
    value_unref(item);
}

void json_remember(bool is_on)
{
    if (is_on)
        memo_begin(&known, release_value);
    else
        memo_end(&known);
}

static int read_any(const struct reading *reading, const char *text, size_t size,
                    struct value **ret_value, struct error *err)
{
    json_error_t fault;
    json_t *json = json_loadb(
        text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &fault);
    if (!json) {
        /* It quotes the text, cut off where its room ends, or where the fault is. */
        text_make_printable(fault.text);
        return error_set(err, ERROR_INVALID, "JSON, line %d, column %d: %s", fault.line,
                         fault.column, fault.text);
    }
    int r = from_json(reading, json, 0, ret_value, err);
    json_decref(json);
    return r;
}

int json_read_foreign(const char *text, size_t size, int max_depth, struct value **ret_value,
                      struct error *err)
{
    struct reading reading = {.max_depth = max_depth, .is_foreign = true};
    *ret_value = json_read_plain_foreign(text, size, max_depth);
    return *ret_value ? 0 : read_any(&reading, text, size, ret_value, err);
}

/* Behind the string that begins at a quote. */
static size_t end_of_string(const char *text, size_t size, size_t quote)
{
    size_t at = quote + 1;
    while (at < size && text[at] != '"')
        at += text[at] == '\\' ? 2 : 1;
    return at < size ? at + 1 : size;
}

/* Whether a string that ends there is the name of a member. The text ends with a NUL. */
static bool is_name(const char *text, size_t end)
{
    return text[end + strspn(text + end, " \t\r\n")] == ':';
}

static void rename_zero(char *name, size_t length)
{
    static const char zero[] = "\\u0000";
    const size_t n = sizeof(zero) - 1;
    for (size_t at = 0; at + n <= length; at += name[at] == '\\' ? 2 : 1)
        if (memcmp(name + at, zero, n) == 0)
            name[at + n - 1] = '1';
}

/* The library takes no name with a zero byte in it. Nobody looks for one, so another byte will do.
 */
static char *rename_zeros(const char *text, size_t size)
{
    char *copy = string_copy_n(text, size);
    for (size_t at = 0, end; at < size; at = end) {
        end = copy[at] == '"' ? end_of_string(copy, size, at) : at + 1;
        if (copy[at] == '"' && is_name(copy, end))
            rename_zero(copy + at, end - at);
    }
    return copy;
}

struct value *json_find_member(const char *text, size_t size, const char *name)
{
    struct value *value = NULL;
    CLEANUP(mem_freep) char *renamed = rename_zeros(text, size);
    json_t *json = json_loadb(
        renamed, size, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);
    const json_t *member = json_object_get(json, name);
    const char *string = json_string_value(member);
    if (string && strlen(string) == json_string_length(member))
        value = value_string(string);
    else if (json_is_number(member))
        value = from_number(json_number_value(member));
    json_decref(json);
    return value;
}

static int read_anew(const char *text, size_t size, struct value **ret_value, struct error *err)
{
    struct reading reading = {.max_depth = MAX_DEPTH};
    *ret_value = json_read_plain(text, size);
    return *ret_value ? 0 : read_any(&reading, text, size, ret_value, err);
}

int json_read(const char *text, size_t size, struct value **ret_value, struct error *err)
{
    struct value *value = memo_find(&known, "", text, size);
    if (value) {
        *ret_value = value_ref(value);
        return 0;
    }
    int r = read_anew(text, size, ret_value, err);
    if (r == 0 && known.entries)
        memo_keep(&known, "", text, size, value_ref(*ret_value));
    return r;
}
