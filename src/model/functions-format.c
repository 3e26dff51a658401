/* format(): a text with %s, %d and so on, as Terraform's, which is Go's. */
#include "model/functions-internal.h"

#include "base/text.h"
#include "model/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAX_WIDTH = 1024, MAX_PRECISION = 100 };

/* One "%-08.3f" of a format. */
struct verb {
    char letter;
    bool is_left, has_plus, has_space, has_zero, has_precision;
    int width;
    int precision;
};

/* Digits at *cursor as a number up to limit; -1 beyond. */
static int read_number(const char **cursor, int limit)
{
    int number = 0;
    for (; **cursor >= '0' && **cursor <= '9'; (*cursor)++) {
        number = number * 10 + (**cursor - '0');
        if (number > limit)
            return -1;
    }
    return number;
}

/* Reads what follows a "%" and steps behind its letter. */
static int read_verb(const char **cursor, struct verb *ret_verb, struct error *err)
{
    struct verb verb = {0};
    for (bool is_flag = true; is_flag;) {
        char c = **cursor;
        verb.is_left |= c == '-';
        verb.has_plus |= c == '+';
        verb.has_space |= c == ' ';
        verb.has_zero |= c == '0';
        is_flag = c == '-' || c == '+' || c == ' ' || c == '0';
        *cursor += is_flag;
    }
    verb.width = read_number(cursor, MAX_WIDTH);
    if (**cursor == '.') {
        (*cursor)++;
        verb.has_precision = true;
        verb.precision = read_number(cursor, MAX_PRECISION);
    }
    if (verb.width < 0 || verb.precision < 0)
        return error_set(err, ERROR_LIMIT, "a width above %d or a precision above %d", MAX_WIDTH,
                         MAX_PRECISION);
    verb.letter = **cursor;
    if (!verb.letter || !strchr("vsdqtfgexXo%", verb.letter))
        return error_set(err, ERROR_INVALID,
                         "a %% is not followed by one of v s d q t f g e x X o %%");
    (*cursor)++;
    *ret_verb = verb;
    return 0;
}

static int format_decimal(struct strbuf *text, const struct verb *verb,
                          struct value *const *arguments, size_t index, struct error *err)
{
    enum value_kind kind = value_kind(arguments[index]);
    if (kind != VALUE_INTEGER && kind != VALUE_DECIMAL)
        return error_set(err, ERROR_INVALID, "argument %zu must be a number for %%%c", index + 1,
                         verb->letter);
    char form[8];
    snprintf(form, sizeof(form), "%%%s.*%c", verb->has_plus ? "+" : "", verb->letter);
    double decimal = value_to_decimal(arguments[index]);
    if (!verb->has_precision && verb->letter == 'g') {
        CLEANUP(value_unrefp) struct value *number = value_decimal(decimal);
        json_write(text, number);
        return 0;
    }
    char digits[512];
/* The form is one of six that stand above. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(digits, sizeof(digits), form, verb->has_precision ? verb->precision : 6, decimal);
#pragma GCC diagnostic pop
    strbuf_add(text, digits);
    return 0;
}

static int format_integer(struct strbuf *text, const struct verb *verb,
                          struct value *const *arguments, size_t index, struct error *err)
{
    int64_t integer = 0;
    int r = argument_integer(arguments, index, &integer, err);
    if (r < 0)
        return r;
    uint64_t size = integer < 0 ? -(uint64_t)integer : (uint64_t)integer;
    if (integer < 0)
        strbuf_add_char(text, '-');
    else if (verb->has_plus || verb->has_space)
        strbuf_add_char(text, verb->has_plus ? '+' : ' ');
    switch (verb->letter) {
    case 'x':
        strbuf_addf(text, "%" PRIx64, size);
        break;
    case 'X':
        strbuf_addf(text, "%" PRIX64, size);
        break;
    case 'o':
        strbuf_addf(text, "%" PRIo64, size);
        break;
    default:
        strbuf_addf(text, "%" PRIu64, size);
        break;
    }
    return 0;
}

/* %v of a list or map is its JSON; %q is a text in quotes. */
static int format_any(struct strbuf *text, const struct verb *verb, struct value *const *arguments,
                      size_t index, struct error *err)
{
    struct value *argument = arguments[index];
    enum value_kind kind = value_kind(argument);
    bool is_container = kind == VALUE_LIST || kind == VALUE_SET || kind == VALUE_MAP;
    if (verb->letter == 'v' && (is_container || kind == VALUE_NULL)) {
        CLEANUP(value_unrefp) struct value *json = NULL;
        int r = function_jsonencode(&argument, 1, &json, err);
        if (r == 0)
            strbuf_add(text, value_text(json));
        return r;
    }
    if (verb->letter == 't' && kind != VALUE_BOOL)
        return error_set(err, ERROR_INVALID, "argument %zu must be a bool for %%t", index + 1);
    CLEANUP(mem_freep) char *plain = NULL;
    int r = argument_text(arguments, index, &plain, err);
    if (r < 0)
        return r;
    size_t length = strlen(plain);
    if (verb->has_precision) {
        size_t at = 0;
        for (int n = verb->precision; n > 0 && plain[at]; n--)
            do
                at++;
            while (((unsigned char)plain[at] & 0xc0) == 0x80);
        length = at;
    }
    if (verb->letter == 'q')
        json_write_string(text, plain, length);
    else
        strbuf_add_n(text, plain, length);
    return 0;
}

static int count_characters(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void add_padded(struct strbuf *result, const char *text, const struct verb *verb)
{
    int n = count_characters(text);
    size_t missing = n < verb->width ? (size_t)(verb->width - n) : 0;
    bool is_number = strchr("dfgexXo", verb->letter) != NULL;
    if (verb->is_left || !verb->has_zero || !is_number) {
        if (!verb->is_left)
            strbuf_add_repeated(result, ' ', missing);
        strbuf_add(result, text);
        if (verb->is_left)
            strbuf_add_repeated(result, ' ', missing);
        return;
    }
    if (*text == '-' || *text == '+' || *text == ' ')
        strbuf_add_char(result, *text++);
    strbuf_add_repeated(result, '0', missing);
    strbuf_add(result, text);
}

static int format_one(struct strbuf *result, const struct verb *verb,
                      struct value *const *arguments, size_t index, struct error *err)
{
    struct strbuf text = {0};
    int r;
    if (strchr("fge", verb->letter))
        r = format_decimal(&text, verb, arguments, index, err);
    else if (strchr("dxXo", verb->letter))
        r = format_integer(&text, verb, arguments, index, err);
    else
        r = format_any(&text, verb, arguments, index, err);
    if (r == 0)
        r = check_text_size(result, text.length + (size_t)verb->width, err);
    if (r == 0)
        add_padded(result, strbuf_text(&text), verb);
    strbuf_done(&text);
    return r;
}

/* Appends the whole format; *ret_used counts the arguments that it took. */
static int write_format(struct strbuf *result, struct value *const *arguments, size_t n_arguments,
                        const char *at, struct error *err)
{
    size_t next = 1;
    while (*at) {
        size_t length = strcspn(at, "%");
        strbuf_add_n(result, at, length);
        at += length;
        if (!*at)
            break;
        at++;
        struct verb verb = {0};
        int r = read_verb(&at, &verb, err);
        if (r < 0)
            return r;
        if (verb.letter == '%') {
            strbuf_add_char(result, '%');
            continue;
        }
        if (next >= n_arguments)
            return error_set(err, ERROR_INVALID, "there is no argument for %%%c", verb.letter);
        r = format_one(result, &verb, arguments, next++, err);
        if (r < 0)
            return r;
    }
    if (next < n_arguments)
        return error_set(err, ERROR_INVALID, "argument %zu is not used by the format", next + 1);
    return 0;
}

int function_format(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                    struct error *err)
{
    CLEANUP(mem_freep) char *form = NULL;
    int r = argument_text(arguments, 0, &form, err);
    if (r < 0)
        return r;
    struct strbuf result = {0};
    r = write_format(&result, arguments, n_arguments, form, err);
    if (r < 0) {
        strbuf_done(&result);
        return r;
    }
    return give_text(&result, ret_value, err);
}
