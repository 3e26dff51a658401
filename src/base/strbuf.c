#include "base/strbuf.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void strbuf_reserve(struct strbuf *buffer, size_t extra)
{
    assert(extra < SIZE_MAX / 2 - buffer->length);
    size_t wanted = buffer->length + extra + 1;
    if (wanted <= buffer->capacity)
        return;
    size_t capacity = buffer->capacity ? buffer->capacity : 64;
    while (capacity < wanted)
        capacity *= 2;
    buffer->text = mem_resize(buffer->text, capacity, 1);
    buffer->capacity = capacity;
}

void strbuf_done(struct strbuf *buffer)
{
    mem_free(buffer->text);
    *buffer = (struct strbuf){0};
}

void strbuf_wipe(struct strbuf *buffer)
{
    if (buffer->text)
        mem_wipe(buffer->text, buffer->capacity);
    strbuf_done(buffer);
}

void strbuf_clear(struct strbuf *buffer)
{
    buffer->length = 0;
    if (buffer->text)
        buffer->text[0] = '\0';
}

void strbuf_add_repeated(struct strbuf *buffer, char c, size_t count)
{
    strbuf_reserve(buffer, count);
    memset(buffer->text + buffer->length, c, count);
    buffer->length += count;
    buffer->text[buffer->length] = '\0';
}

/* The conversions that most texts are made of. */
enum conversion {
    CONVERT_TEXT,
    CONVERT_INT,
    CONVERT_LONG,
    CONVERT_LONG_LONG,
    CONVERT_SIZE,
    CONVERT_OTHER
};

/* What the text behind a "%" asks for, and how long it is. */
static enum conversion read_conversion(const char *text, size_t *ret_length)
{
    *ret_length = 1;
    if (text[0] == 's')
        return CONVERT_TEXT;
    if (text[0] == 'd')
        return CONVERT_INT;
    *ret_length = 2;
    if (text[0] == 'z' && text[1] == 'u')
        return CONVERT_SIZE;
    if (text[0] == 'l' && text[1] == 'd')
        return CONVERT_LONG;
    *ret_length = 3;
    return text[0] == 'l' && text[1] == 'l' && text[2] == 'd' ? CONVERT_LONG_LONG : CONVERT_OTHER;
}

static void add_unsigned(struct strbuf *buffer, uint64_t rest, bool is_negative)
{
    char digits[24];
    char *at = digits + sizeof(digits);
    do
        *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    if (is_negative)
        *--at = '-';
    strbuf_add_n(buffer, at, (size_t)(digits + sizeof(digits) - at));
}

void strbuf_add_integer(struct strbuf *buffer, int64_t integer)
{
    add_unsigned(buffer, integer < 0 ? -(uint64_t)integer : (uint64_t)integer, integer < 0);
}

/* Without the locale, the widths and the buffers of vsnprintf(), which most texts do not need.
 * False when something else does: what was added by then is to be taken back. */
__attribute__((format(printf, 2, 0))) static bool add_simple(struct strbuf *buffer,
                                                             const char *format, va_list arguments)
{
    for (;;) {
        const char *percent = strchrnul(format, '%');
        strbuf_add_n(buffer, format, (size_t)(percent - format));
        if (!*percent)
            return true;
        size_t length;
        switch (read_conversion(percent + 1, &length)) {
        case CONVERT_TEXT: {
            const char *text = va_arg(arguments, const char *);
            strbuf_add(buffer, text ? text : "(null)");
            break;
        }
        case CONVERT_INT:
            strbuf_add_integer(buffer, va_arg(arguments, int));
            break;
        case CONVERT_LONG:
            strbuf_add_integer(buffer, va_arg(arguments, long));
            break;
        case CONVERT_LONG_LONG:
            strbuf_add_integer(buffer, va_arg(arguments, long long));
            break;
        case CONVERT_SIZE:
            add_unsigned(buffer, va_arg(arguments, size_t), false);
            break;
        case CONVERT_OTHER:
            return false;
        }
        format = percent + 1 + length;
    }
}

__attribute__((format(printf, 2, 0))) static void add_printed(struct strbuf *buffer,
                                                              const char *format, va_list arguments)
{
    enum { GUESS = 64 }; /* most fit, and are formatted once */
    va_list again;
    va_copy(again, arguments);
    strbuf_reserve(buffer, GUESS);
    size_t room = buffer->capacity - buffer->length;
    int length = vsnprintf(buffer->text + buffer->length, room, format, arguments);
    assert(length >= 0);
    if ((size_t)length >= room) {
        strbuf_reserve(buffer, (size_t)length);
        vsnprintf(buffer->text + buffer->length, (size_t)length + 1, format, again);
    }
    va_end(again);
    buffer->length += (size_t)length;
}

void strbuf_addv(struct strbuf *buffer, const char *format, va_list arguments)
{
    assert(format);
    size_t length = buffer->length;
    va_list again;
    va_copy(again, arguments);
    if (!add_simple(buffer, format, again)) {
        buffer->length = length;
        add_printed(buffer, format, arguments);
    }
    va_end(again);
}

void strbuf_addf(struct strbuf *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    strbuf_addv(buffer, format, arguments);
    va_end(arguments);
}

const char *strbuf_text(const struct strbuf *buffer)
{
    return buffer->text ? buffer->text : "";
}

char *strbuf_take(struct strbuf *buffer)
{
    char *text = buffer->text ? buffer->text : string_copy("");
    *buffer = (struct strbuf){0};
    return text;
}

char *string_format(const char *format, ...)
{
    struct strbuf buffer = {0};
    va_list arguments;
    va_start(arguments, format);
    strbuf_addv(&buffer, format, arguments);
    va_end(arguments);
    return strbuf_take(&buffer);
}
