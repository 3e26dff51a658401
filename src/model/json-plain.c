#include "model/json-plain.h"

#include <stdint.h>
#include <string.h>

/* More nesting, and more digits than each reader keeps exactly, are left to jansson. */
enum { MAX_DEPTH = 8, MAX_DIGITS = 15 };

struct text {
    const char *at;
    const char *end;
    bool is_foreign;
    int max_depth;
};

/* We write none. */
static void skip_blanks(struct text *text)
{
    while (text->is_foreign && text->at < text->end &&
           (*text->at == ' ' || *text->at == '\t' || *text->at == '\n' || *text->at == '\r'))
        text->at++;
}

static bool skip(struct text *text, char c)
{
    skip_blanks(text);
    if (text->at == text->end || *text->at != c)
        return false;
    text->at++;
    return true;
}

static bool skip_word(struct text *text, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(text->end - text->at) < length || memcmp(text->at, word, length) != 0)
        return false;
    text->at += length;
    return true;
}

static bool is_ascii(const char *text, size_t length)
{
    uint64_t bytes, seen = 0;
    size_t i = 0;
    for (; i + sizeof(bytes) <= length; i += sizeof(bytes)) {
        memcpy(&bytes, text + i, sizeof(bytes));
        seen |= bytes;
    }
    for (; i < length; i++)
        seen |= (unsigned char)text[i];
    return (seen & UINT64_C(0x8080808080808080)) == 0;
}

/* What stands between two quotes; NULL when that is not plain. */
static const char *read_quoted(struct text *text, size_t *ret_length)
{
    if (!skip(text, '"'))
        return NULL;
    const char *start = text->at;
    *ret_length = json_count_unescaped(start, (size_t)(text->end - start));
    text->at += *ret_length;
    bool is_closed = text->at < text->end && *text->at == '"';
    text->at += is_closed;
    return is_closed && is_ascii(start, *ret_length) ? start : NULL;
}

static struct value *read_string(struct text *text)
{
    size_t length = 0;
    const char *start = read_quoted(text, &length);
    return start ? value_string_n(start, length) : NULL;
}

static struct value *read_integer(struct text *text)
{
    bool is_negative = skip(text, '-');
    const char *start = text->at;
    int64_t integer = 0;
    while (text->at < text->end && *text->at >= '0' && *text->at <= '9' &&
           text->at - start <= MAX_DIGITS)
        integer = 10 * integer + (*text->at++ - '0');
    ptrdiff_t n_digits = text->at - start;
    bool is_canonical = n_digits > 0 && (*start != '0' || (n_digits == 1 && !is_negative));
    /* What follows a fraction or an exponent begins with is no end of a value. */
    return is_canonical && n_digits <= MAX_DIGITS ? value_integer(is_negative ? -integer : integer)
                                                  : NULL;
}

static struct value *read_item(struct text *text, int depth);

static struct value *read_list(struct text *text, int depth)
{
    struct value_builder items = {0};
    bool is_plain = skip(text, '[');
    if (is_plain && skip(text, ']'))
        return value_builder_list(&items);
    while (is_plain) {
        struct value *item = read_item(text, depth + 1);
        if (item)
            value_builder_append(&items, item);
        is_plain = item;
        if (!is_plain || !skip(text, ','))
            break;
    }
    if (is_plain && skip(text, ']'))
        return value_builder_list(&items);
    value_builder_done(&items);
    return NULL;
}

/* Whether a key of ours comes behind the one before it, and does not begin with the sign of
 * markers.
 */
static bool follows(const char *before, size_t before_length, const char *key, size_t length)
{
    if (length > 0 && *key == '$')
        return false;
    int order = before ? memcmp(before, key, before_length < length ? before_length : length) : -1;
    return order < 0 || (order == 0 && before_length < length);
}

/* The only marker among what is read often: a plan has them by the thousand. */
static const char unknown_begin[] = "{\"$unknown\":{\"origin\":";

/* What follows that. */
static struct value *read_unknown(struct text *text)
{
    size_t origin_length = 0, type_length = 0;
    const char *origin = read_quoted(text, &origin_length);
    bool is_plain = origin && skip_word(text, ",\"type\":");
    const char *type = is_plain ? read_quoted(text, &type_length) : NULL;
    if (!type || !skip_word(text, "}}"))
        return NULL;
    CLEANUP(mem_freep) char *type_copy = string_copy_n(type, type_length);
    CLEANUP(mem_freep) char *origin_copy = string_copy_n(origin, origin_length);
    return value_unknown(type_copy, origin_copy);
}

static struct value *read_map(struct text *text, int depth)
{
    struct value_builder fields = {0};
    const char *before = NULL;
    size_t before_length = 0, n_fields = 0;
    bool is_plain = skip(text, '{');
    if (is_plain && skip(text, '}'))
        return value_builder_map(&fields);
    while (is_plain) {
        size_t length = 0;
        const char *key = read_quoted(text, &length);
        bool is_key = key && (text->is_foreign || follows(before, before_length, key, length)) &&
                      skip(text, ':');
        struct value *item = is_key ? read_item(text, depth + 1) : NULL;
        if (item)
            value_builder_set_n(&fields, key, length, item);
        is_plain = item;
        before = key;
        before_length = length;
        n_fields++;
        if (!is_plain || !skip(text, ','))
            break;
    }
    is_plain = is_plain && skip(text, '}');
    struct value *map = value_builder_map(&fields);
    /* A key that stands twice is a fault, and only one of the two is left. */
    if (is_plain && value_count(map) == n_fields)
        return map;
    value_unref(map);
    return NULL;
}

static struct value *read_item(struct text *text, int depth)
{
    skip_blanks(text);
    if (text->at == text->end || depth > text->max_depth)
        return NULL;
    switch (*text->at) {
    case '"':
        return read_string(text);
    case '[':
        return read_list(text, depth);
    case '{':
        return !text->is_foreign && skip_word(text, unknown_begin) ? read_unknown(text)
                                                                   : read_map(text, depth);
    case 't':
        return skip_word(text, "true") ? value_bool(true) : NULL;
    case 'f':
        return skip_word(text, "false") ? value_bool(false) : NULL;
    case 'n':
        return skip_word(text, "null") ? value_null() : NULL;
    default:
        return read_integer(text);
    }
}

static struct value *read_whole(struct text *text)
{
    struct value *value = read_item(text, 0);
    skip_blanks(text);
    if (value && text->at != text->end) {
        value_unref(value);
        return NULL;
    }
    return value;
}

struct value *json_read_plain(const char *text, size_t size)
{
    return read_whole(&(struct text){.at = text, .end = text + size, .max_depth = MAX_DEPTH});
}

struct value *json_read_plain_foreign(const char *text, size_t size, int max_depth)
{
    return read_whole(&(struct text){.at = text,
                                     .end = text + size,
                                     .is_foreign = true,
                                     .max_depth = max_depth < MAX_DEPTH ? max_depth : MAX_DEPTH});
}
