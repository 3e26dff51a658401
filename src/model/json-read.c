/*
 * Reads JSON text (RFC 8259) into values, in one pass and without recursion: what is open lies on a
 * stack of its own, so that deep text needs no deep stack.
 */
#include "model/json.h"

#include "base/memory.h"
#include "base/text.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEVELS_MAX = 1000,
    EXACT_DIGITS = 15, /* so many stay exact in a double, whatever they are */
};

/* Integers that every JSON reader keeps exactly. */
static const double exact_limit = 9007199254740992.0;

/* An array or object whose end has not come. */
struct level {
    struct value_builder builder;
    bool is_object;
    char *key;       /* owned: of the value that comes next */
    bool is_ordered; /* each key was greater than the one before, so that none stands there twice */
    size_t n_markers; /* keys that begin with a single "$" */
};

struct reader {
    const char *text;
    const char *at;
    const char *end;
    struct level *levels; /* owned, outermost first */
    size_t n_levels;
    size_t capacity;
    struct strbuf unescaped; /* the newest string that had escapes */
    struct error *err;
};

/* A string as it lies in the text or in unescaped. */
struct span {
    const char *text;
    size_t length;
};

static void level_done(struct level *level)
{
    value_builder_done(&level->builder);
    mem_free(level->key);
}

static void reader_done(struct reader *reader)
{
    for (size_t i = 0; i < reader->n_levels; i++)
        level_done(&reader->levels[i]);
    mem_free(reader->levels);
    strbuf_done(&reader->unescaped);
}

/* Says where the reader is: characters are counted, not bytes. */
static int fault(const struct reader *reader, const char *what)
{
    size_t line = 1;
    size_t column = 1;
    for (const char *at = reader->text; at < reader->at; at++) {
        column += (*at & 0xc0) != 0x80;
        if (*at == '\n') {
            line++;
            column = 1;
        }
    }
    return error_set(reader->err, ERROR_INVALID, "JSON, line %zu, column %zu: %s", line, column,
                     what);
}

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\n' ||
                                        *reader->at == '\r' || *reader->at == '\t'))
        reader->at++;
}

/* The next character, or 0 at the end: no character of JSON outside of a string is 0. */
static char peek(const struct reader *reader)
{
    return reader->at < reader->end ? *reader->at : '\0';
}

static bool take(struct reader *reader, char c)
{
    if (peek(reader) != c)
        return false;
    reader->at++;
    return true;
}

/* --- Strings --- */

static int read_hex(struct reader *reader, unsigned int *ret_unit)
{
    *ret_unit = 0;
    for (int i = 0; i < 4; i++) {
        char c = peek(reader);
        bool is_digit = c >= '0' && c <= '9';
        char letter = (char)(c | 0x20);
        if (!is_digit && (letter < 'a' || letter > 'f'))
            return fault(reader, "four hexadecimal digits must follow \"\\u\"");
        *ret_unit = *ret_unit << 4 | (unsigned int)(is_digit ? c - '0' : letter - 'a' + 10);
        reader->at++;
    }
    return 0;
}

static void add_character(struct strbuf *buffer, unsigned int c)
{
    char bytes[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0x00, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        bytes[i] = (char)(0x80 | (c & 0x3f));
    bytes[0] = (char)(first[n] | c);
    strbuf_add_n(buffer, bytes, n);
}

/* Behind "\u": one unit of UTF-16, or two that are a pair. */
static int read_units(struct reader *reader)
{
    unsigned int unit;
    unsigned int low = 0;
    int r = read_hex(reader, &unit);
    if (r < 0)
        return r;
    if (unit == 0)
        return fault(reader, "no string may hold a NUL");
    bool is_high = unit >= 0xd800 && unit <= 0xdbff;
    if (is_high && take(reader, '\\') && take(reader, 'u'))
        r = read_hex(reader, &low);
    if (r < 0)
        return r;
    bool is_pair = is_high && low >= 0xdc00 && low <= 0xdfff;
    if (!is_pair && unit >= 0xd800 && unit <= 0xdfff)
        return fault(reader, "half of a surrogate pair stands alone");
    add_character(&reader->unescaped,
                  is_pair ? 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00) : unit);
    return 0;
}

static int read_escape(struct reader *reader)
{
    static const char names[] = "\"\\/bfnrt";
    static const char meant[] = "\"\\/\b\f\n\r\t";
    char c = peek(reader);
    const char *name = c ? strchr(names, c) : NULL;
    if (!name && c != 'u')
        return fault(reader, "there is no such escape");
    reader->at++;
    if (c == 'u')
        return read_units(reader);
    strbuf_add_char(&reader->unescaped, meant[name - names]);
    return 0;
}

/* Up to the next quote or backslash. */
static int read_plain(struct reader *reader, struct span *ret_span)
{
    const char *begin = reader->at;
    unsigned char seen = 0;
    while (reader->at < reader->end && *reader->at != '"' && *reader->at != '\\') {
        unsigned char c = (unsigned char)*reader->at;
        if (c < 0x20)
            return fault(reader, "a control character must be escaped");
        seen |= c;
        reader->at++;
    }
    if (reader->at == reader->end)
        return fault(reader, "the string does not end");
    *ret_span = (struct span){begin, (size_t)(reader->at - begin)};
    bool is_ascii = seen < 0x80;
    return is_ascii || text_is_utf8(begin, ret_span->length) ? 0
                                                             : fault(reader, "this is no UTF-8");
}

/* From the quote at which the reader stands to behind its end. */
static int read_string(struct reader *reader, struct span *ret_span)
{
    reader->at++;
    int r = read_plain(reader, ret_span);
    if (r < 0 || take(reader, '"'))
        return r;
    strbuf_clear(&reader->unescaped);
    strbuf_add_n(&reader->unescaped, ret_span->text, ret_span->length);
    while (r == 0 && take(reader, '\\')) {
        struct span rest;
        r = read_escape(reader);
        if (r == 0)
            r = read_plain(reader, &rest);
        if (r == 0)
            strbuf_add_n(&reader->unescaped, rest.text, rest.length);
    }
    reader->at++;
    *ret_span = (struct span){strbuf_text(&reader->unescaped), reader->unescaped.length};
    return r;
}

/* --- Numbers and words --- */

static size_t skip_digits(struct reader *reader)
{
    const char *begin = reader->at;
    while (peek(reader) >= '0' && peek(reader) <= '9')
        reader->at++;
    return (size_t)(reader->at - begin);
}

/* Over the characters of a number; *ret_n_digits is 0 when it is more than an integer. */
static bool skip_number(struct reader *reader, size_t *ret_n_digits)
{
    take(reader, '-');
    bool begins_with_zero = peek(reader) == '0';
    *ret_n_digits = skip_digits(reader);
    if (*ret_n_digits == 0 || (begins_with_zero && *ret_n_digits > 1))
        return false;
    if (take(reader, '.')) {
        *ret_n_digits = 0;
        if (skip_digits(reader) == 0)
            return false;
    }
    if (take(reader, 'e') || take(reader, 'E')) {
        *ret_n_digits = 0;
        if (!take(reader, '+'))
            take(reader, '-');
        if (skip_digits(reader) == 0)
            return false;
    }
    return true;
}

static struct value *short_integer(const char *text, const char *end)
{
    bool is_negative = *text == '-';
    int64_t integer = 0;
    for (text += is_negative; text < end; text++)
        integer = integer * 10 + (*text - '0');
    return value_integer(is_negative ? -integer : integer);
}

/*
 * Decimals without a fraction are written as integers are, up to 1e21; what lies beyond the
 * integers that are written as numbers must have been one of them.
 */
static struct value *from_number(double number)
{
    if (fabs(number) <= exact_limit && number == (double)(int64_t)number)
        return value_integer((int64_t)number);
    return value_decimal(number);
}

static int read_number(struct reader *reader, struct value **ret_value)
{
    const char *begin = reader->at;
    size_t n_digits;
    if (!skip_number(reader, &n_digits))
        return fault(reader, "this is no number");
    if (n_digits > 0 && n_digits <= EXACT_DIGITS) {
        *ret_value = short_integer(begin, reader->at);
        return 0;
    }
    CLEANUP(mem_freep) char *text = string_copy_n(begin, (size_t)(reader->at - begin));
    double number = strtod(text, NULL);
    if (isinf(number))
        return fault(reader, "the number is too large");
    *ret_value = from_number(number);
    return 0;
}

static int read_word(struct reader *reader, struct value **ret_value)
{
    static const char *const words[] = {"null", "true", "false"};
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++) {
        size_t length = strlen(words[i]);
        if ((size_t)(reader->end - reader->at) < length ||
            memcmp(reader->at, words[i], length) != 0)
            continue;
        reader->at += length;
        *ret_value = i == 0 ? value_null() : value_bool(i == 1);
        return 0;
    }
    return fault(reader, reader->at == reader->end ? "the text ends where a value must follow"
                                                   : "no value begins like this");
}

/* --- Arrays and objects --- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_twice(struct reader *reader, const struct level *level)
{
    size_t n = level->builder.n_items;
    const char **keys = NEW_ARRAY(const char *, n);
    for (size_t i = 0; i < n; i++)
        keys[i] = level->builder.keys[i];
    qsort(keys, n, sizeof(keys[0]), compare_texts);
    bool is_twice = false;
    for (size_t i = 1; i < n; i++)
        is_twice = is_twice || strcmp(keys[i - 1], keys[i]) == 0;
    mem_free(keys);
    return is_twice ? fault(reader, "a key stands twice in the object that ends here") : 0;
}

/* {"$secret": ...}, alone or with "$origin"; {"$unknown": {...}}. */
static int read_marker(struct reader *reader, struct value *fields, struct value **ret_value)
{
    const char *digest = value_get_text(fields, "$secret");
    const char *origin = value_get_text(fields, "$origin");
    struct value *unknown = value_get(fields, "$unknown");
    size_t n = value_count(fields);
    if (digest && n == (origin ? 2 : 1)) {
        *ret_value = value_secret(digest, origin ? origin : "");
        return 0;
    }
    const char *type = unknown ? value_get_text(unknown, "type") : NULL;
    const char *of = unknown ? value_get_text(unknown, "origin") : NULL;
    if (!type || !of || n != 1)
        return fault(reader, "keys that begin with a single \"$\" are those of $unknown and "
                             "$secret, and stand alone in their object");
    *ret_value = value_unknown(type, of);
    return 0;
}

/* Behind the end of the innermost. */
static int close_level(struct reader *reader, struct value **ret_value)
{
    struct level *level = &reader->levels[reader->n_levels - 1];
    size_t n_items = level->builder.n_items;
    int r = level->is_ordered ? 0 : check_twice(reader, level);
    if (r < 0)
        return r;
    CLEANUP(value_unrefp)
    struct value *value =
        level->is_object ? value_builder_map(&level->builder) : value_builder_list(&level->builder);
    reader->n_levels--;
    if (level->n_markers == 0) {
        *ret_value = take_ptr(value);
        return 0;
    }
    if (level->n_markers < n_items)
        return fault(reader, "a key that begins with a single \"$\" stands beside others");
    return read_marker(reader, value, ret_value);
}

static int read_key(struct reader *reader)
{
    struct level *level = &reader->levels[reader->n_levels - 1];
    struct span key;
    skip_space(reader);
    if (peek(reader) != '"')
        return fault(reader, "a key in double quotes must stand here");
    int r = read_string(reader, &key);
    if (r < 0)
        return r;
    bool is_special = key.length > 0 && key.text[0] == '$';
    bool is_doubled = is_special && key.length > 1 && key.text[1] == '$';
    level->n_markers += is_special && !is_doubled;
    level->key = string_copy_n(key.text + is_doubled, key.length - is_doubled);
    size_t n = level->builder.n_items;
    if (n > 0 && strcmp(level->builder.keys[n - 1], level->key) >= 0)
        level->is_ordered = false;
    skip_space(reader);
    return take(reader, ':') ? 0 : fault(reader, "\":\" must follow the key");
}

/* An array or object begins; *ret_value is set when it ends at once. */
static int open_level(struct reader *reader, struct value **ret_value)
{
    if (reader->n_levels == LEVELS_MAX)
        return error_set(reader->err, ERROR_LIMIT, "JSON nests deeper than %d", LEVELS_MAX);
    bool is_object = *reader->at++ == '{';
    ARRAY_RESERVE(reader->levels, reader->n_levels, reader->capacity);
    reader->levels[reader->n_levels++] = (struct level){.is_object = is_object, .is_ordered = true};
    skip_space(reader);
    if (take(reader, is_object ? '}' : ']'))
        return close_level(reader, ret_value);
    return is_object ? read_key(reader) : 0;
}

/* *ret_value stays NULL when an array or object has begun whose first value comes next. */
static int read_value(struct reader *reader, struct value **ret_value)
{
    struct span string;
    skip_space(reader);
    switch (peek(reader)) {
    case '{':
    case '[':
        return open_level(reader, ret_value);
    case '"': {
        int r = read_string(reader, &string);
        if (r == 0)
            *ret_value = value_string_n(string.text, string.length);
        return r;
    }
    case '-':
    case '0' ... '9':
        return read_number(reader, ret_value);
    default:
        return read_word(reader, ret_value);
    }
}

/* Puts a value where it belongs and goes on to the next: *ret_value is set to what ends with it. */
static int add_value(struct reader *reader, struct value *take_value, struct value **ret_value)
{
    struct level *level = &reader->levels[reader->n_levels - 1];
    if (level->is_object)
        value_builder_set_taken(&level->builder, take_ptr(level->key), take_value);
    else
        value_builder_append(&level->builder, take_value);
    skip_space(reader);
    if (take(reader, ','))
        return level->is_object ? read_key(reader) : 0;
    if (take(reader, level->is_object ? '}' : ']'))
        return close_level(reader, ret_value);
    return fault(reader,
                 level->is_object ? "\",\" or \"}\" must follow" : "\",\" or \"]\" must follow");
}

static int read_whole(struct reader *reader, struct value **ret_value)
{
    struct value *value = NULL;
    int r = 0;
    while (r == 0 && (!value || reader->n_levels > 0)) {
        struct value *complete = take_ptr(value);
        r = complete ? add_value(reader, complete, &value) : read_value(reader, &value);
    }
    skip_space(reader);
    if (r == 0 && reader->at < reader->end)
        r = fault(reader, "nothing may follow the value");
    if (r < 0)
        value_unref(value);
    else
        *ret_value = value;
    return r;
}

int json_read(const char *text, size_t size, struct value **ret_value, struct error *err)
{
    assert(text && ret_value);
    struct reader reader = {.text = text, .at = text, .end = text + size, .err = err};
    int r = read_whole(&reader, ret_value);
    reader_done(&reader);
    return r;
}
