/* Functions on texts and numbers. */
#include "model/functions-internal.h"

#include "base/text.h"
#include "model/json.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static bool is_ascii_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char to_upper(char c)
{
    if (c >= 'a' && c <= 'z')
        return (char)(c - 'a' + 'A');
    return c;
}

static char to_lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Whether a word can begin behind it: not a letter, digit, underscore or anything beyond ASCII. */
static bool is_separator(char c)
{
    return !is_ascii_letter(c) && !(c >= '0' && c <= '9') && c != '_' && !((unsigned char)c & 0x80);
}

static int map_characters(struct value *const *arguments, char (*change)(char c),
                          struct value **ret_value, struct error *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    int r = argument_text(arguments, 0, &text, err);
    if (r < 0)
        return r;
    for (char *at = text; *at; at++)
        *at = change(*at);
    *ret_value = value_string(text);
    return 0;
}

int function_lower(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                   struct error *err)
{
    (void)n_arguments;
    return map_characters(arguments, to_lower, ret_value, err);
}

int function_upper(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                   struct error *err)
{
    (void)n_arguments;
    return map_characters(arguments, to_upper, ret_value, err);
}

int function_title(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                   struct error *err)
{
    (void)n_arguments;
    CLEANUP(mem_freep) char *text = NULL;
    int r = argument_text(arguments, 0, &text, err);
    if (r < 0)
        return r;
    char before = ' ';
    for (char *at = text; *at; at++) {
        char c = *at;
        if (is_separator(before))
            *at = to_upper(c);
        before = c;
    }
    *ret_value = value_string(text);
    return 0;
}

int function_trimspace(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                       struct error *err)
{
    (void)n_arguments;
    CLEANUP(mem_freep) char *text = NULL;
    int r = argument_text(arguments, 0, &text, err);
    if (r < 0)
        return r;
    const char *start = text;
    while (is_space(*start))
        start++;
    size_t length = strlen(start);
    while (length > 0 && is_space(start[length - 1]))
        length--;
    *ret_value = value_string_n(start, length);
    return 0;
}

/* The byte behind n characters, or the end. */
static size_t skip_characters(const char *text, int64_t n)
{
    size_t at = 0;
    for (; n > 0 && text[at]; n--) {
        at++;
        while (is_continuation(text[at]))
            at++;
    }
    return at;
}

static int64_t count_characters(const char *text)
{
    int64_t n = 0;
    for (; *text; text++)
        n += !is_continuation(*text);
    return n;
}

int function_substr(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                    struct error *err)
{
    (void)n_arguments;
    CLEANUP(mem_freep) char *text = NULL;
    int64_t offset = 0;
    int64_t length = 0;
    int r = argument_text(arguments, 0, &text, err);
    if (r == 0)
        r = argument_integer(arguments, 1, &offset, err);
    if (r == 0)
        r = argument_integer(arguments, 2, &length, err);
    if (r < 0)
        return r;
    if (length < -1)
        return error_set(err, ERROR_INVALID, "the length must not be below -1");
    int64_t n_characters = count_characters(text);
    if (offset < 0)
        offset = offset < -n_characters ? 0 : offset + n_characters;
    const char *start = text + skip_characters(text, offset);
    *ret_value = value_string_n(start, length < 0 ? strlen(start) : skip_characters(start, length));
    return 0;
}

int function_replace(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                     struct error *err)
{
    (void)n_arguments;
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(mem_freep) char *old = NULL;
    CLEANUP(mem_freep) char *new = NULL;
    int r = argument_text(arguments, 0, &text, err);
    if (r == 0)
        r = argument_text(arguments, 1, &old, err);
    if (r == 0)
        r = argument_text(arguments, 2, &new, err);
    if (r < 0)
        return r;
    assert(text && old && new);
    size_t length = strlen(old);
    if (length == 0)
        return error_set(err, ERROR_INVALID, "the text to replace is empty");
    if (length > 1 && old[0] == '/' && old[length - 1] == '/')
        return error_set(err, ERROR_INVALID, "regular expressions (/.../) are not supported");
    struct strbuf result = {0};
    const char *at = text;
    for (const char *found; r == 0 && (found = strstr(at, old)); at = found + length) {
        strbuf_add_n(&result, at, (size_t)(found - at));
        r = check_text_size(&result, strlen(new), err);
        if (r == 0)
            strbuf_add(&result, new);
    }
    if (r < 0) {
        strbuf_done(&result);
        return r;
    }
    strbuf_add(&result, at);
    return give_text(&result, ret_value, err);
}

int function_split(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                   struct error *err)
{
    (void)n_arguments;
    CLEANUP(mem_freep) char *separator = NULL;
    CLEANUP(mem_freep) char *text = NULL;
    int r = argument_text(arguments, 0, &separator, err);
    if (r == 0)
        r = argument_text(arguments, 1, &text, err);
    if (r < 0)
        return r;
    assert(separator && text);
    size_t length = strlen(separator);
    struct value_builder builder = {0};
    const char *at = text;
    while (length > 0) {
        const char *found = strstr(at, separator);
        if (!found)
            break;
        value_builder_append(&builder, value_string_n(at, (size_t)(found - at)));
        at = found + length;
    }
    while (length == 0 && *at) {
        size_t one = skip_characters(at, 1);
        value_builder_append(&builder, value_string_n(at, one));
        at += one;
    }
    if (length > 0)
        value_builder_append(&builder, value_string(at));
    *ret_value = value_builder_list(&builder);
    return 0;
}

/* Appends one item of a join and, but for the first, the separator. Nulls are left out. */
static int join_item(struct strbuf *text, const char *separator, const struct value *item,
                     bool *is_first, struct error *err)
{
    if (value_is_null(item))
        return 0;
    if (!*is_first)
        strbuf_add(text, separator);
    *is_first = false;
    if (!function_scalar_text(text, item))
        return error_set(err, ERROR_INVALID, "an item of kind %s cannot be part of a text",
                         value_kind_to_string(value_kind(item)));
    return check_text_size(text, 0, err);
}

int function_join(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                  struct error *err)
{
    CLEANUP(mem_freep) char *separator = NULL;
    int r = argument_text(arguments, 0, &separator, err);
    struct strbuf text = {0};
    bool is_first = true;
    for (size_t i = 1; r == 0 && i < n_arguments; i++) {
        r = argument_is_list(arguments, i, err);
        for (size_t k = 0; r == 0 && k < value_count(arguments[i]); k++)
            r = join_item(&text, separator, value_at(arguments[i], k), &is_first, err);
    }
    if (r < 0) {
        strbuf_done(&text);
        return r;
    }
    return give_text(&text, ret_value, err);
}

int function_base64encode(struct value *const *arguments, size_t n_arguments,
                          struct value **ret_value, struct error *err)
{
    (void)n_arguments;
    CLEANUP(mem_freep) char *text = NULL;
    int r = argument_text(arguments, 0, &text, err);
    if (r < 0)
        return r;
    size_t length = strlen(text);
    size_t size = sodium_base64_ENCODED_LEN(length, sodium_base64_VARIANT_ORIGINAL);
    CLEANUP(mem_freep) char *encoded = mem_zeroed(size, 1);
    sodium_bin2base64(encoded, size, (const unsigned char *)text, length,
                      sodium_base64_VARIANT_ORIGINAL);
    *ret_value = value_string(encoded);
    return 0;
}

int function_tostring(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                      struct error *err)
{
    (void)n_arguments;
    if (value_is_null(arguments[0])) {
        *ret_value = value_null();
        return 0;
    }
    CLEANUP(mem_freep) char *text = NULL;
    int r = argument_text(arguments, 0, &text, err);
    if (r == 0)
        *ret_value = value_string(text);
    return r;
}

/* A number in JSON's form, as an integer when it is written as one and fits. */
static struct value *text_to_number(const char *text)
{
    struct value *number = NULL;
    int64_t integer;
    if (text_to_integer(text, &integer))
        return value_integer(integer);
    if (json_read(text, strlen(text), &number, NULL) < 0)
        return NULL;
    if (value_kind(number) == VALUE_DECIMAL || value_kind(number) == VALUE_INTEGER)
        return number;
    value_unref(number);
    return NULL;
}

int function_tonumber(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                      struct error *err)
{
    (void)n_arguments;
    enum value_kind kind = value_kind(arguments[0]);
    if (kind == VALUE_INTEGER || kind == VALUE_DECIMAL || kind == VALUE_NULL) {
        *ret_value = value_ref(arguments[0]);
        return 0;
    }
    CLEANUP(mem_freep) char *text = NULL;
    int r = argument_text(arguments, 0, &text, err);
    if (r < 0)
        return r;
    struct value *number = text_to_number(text);
    if (!number)
        return error_set(err, ERROR_INVALID, "\"%.80s\" is no number", text);
    *ret_value = number;
    return 0;
}

/* The smallest (sign 1) or largest (sign -1) of the arguments. */
static int pick_number(struct value *const *arguments, size_t n_arguments, int sign,
                       struct value **ret_value, struct error *err)
{
    struct value *best = NULL;
    for (size_t i = 0; i < n_arguments; i++) {
        enum value_kind kind = value_kind(arguments[i]);
        if (kind != VALUE_INTEGER && kind != VALUE_DECIMAL)
            return error_set(err, ERROR_INVALID, "argument %zu must be a number; it is of kind %s",
                             i + 1, value_kind_to_string(kind));
        if (!best) {
            best = arguments[i];
            continue;
        }
        bool are_integers = kind == VALUE_INTEGER && value_kind(best) == VALUE_INTEGER;
        double difference = value_to_decimal(arguments[i]) - value_to_decimal(best);
        int order =
            are_integers ? value_compare(arguments[i], best) : (difference > 0) - (difference < 0);
        if (order * sign < 0)
            best = arguments[i];
    }
    *ret_value = value_ref(best);
    return 0;
}

int function_min(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                 struct error *err)
{
    return pick_number(arguments, n_arguments, 1, ret_value, err);
}

int function_max(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                 struct error *err)
{
    return pick_number(arguments, n_arguments, -1, ret_value, err);
}

/* JSON for other programs: unlike json_write() it doubles no "$" and writes no integer as text. */
static int encode(struct strbuf *text, const struct value *value, struct error *err);

static int encode_items(struct strbuf *text, const struct value *value, struct error *err)
{
    bool is_map = value_kind(value) == VALUE_MAP;
    strbuf_add_char(text, is_map ? '{' : '[');
    for (size_t i = 0; i < value_count(value); i++) {
        if (i > 0)
            strbuf_add_char(text, ',');
        if (is_map) {
            json_write_string(text, value_key_at(value, i), strlen(value_key_at(value, i)));
            strbuf_add_char(text, ':');
        }
        int r = encode(text, value_at(value, i), err);
        if (r < 0)
            return r;
    }
    strbuf_add_char(text, is_map ? '}' : ']');
    return 0;
}

static int encode(struct strbuf *text, const struct value *value, struct error *err)
{
    enum value_kind kind = value_kind(value);
    if (kind == VALUE_LIST || kind == VALUE_SET || kind == VALUE_MAP)
        return encode_items(text, value, err);
    if (kind == VALUE_SECRET)
        return error_set(err, ERROR_INVALID, "a secret cannot be part of a text");
    if (kind == VALUE_INTEGER)
        function_scalar_text(text, value);
    else
        json_write(text, value);
    return check_text_size(text, 0, err);
}

int function_jsonencode(struct value *const *arguments, size_t n_arguments,
                        struct value **ret_value, struct error *err)
{
    (void)n_arguments;
    struct strbuf text = {0};
    int r = encode(&text, arguments[0], err);
    if (r < 0) {
        strbuf_done(&text);
        return r;
    }
    return give_text(&text, ret_value, err);
}
