#include "base/strbuf.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void reserve(struct strbuf *buffer, size_t extra)
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

void strbuf_clear(struct strbuf *buffer)
{
    buffer->length = 0;
    if (buffer->text)
        buffer->text[0] = '\0';
}

void strbuf_add(struct strbuf *buffer, const char *text)
{
    strbuf_add_n(buffer, text, strlen(text));
}

void strbuf_add_n(struct strbuf *buffer, const char *text, size_t length)
{
    reserve(buffer, length);
    if (length)
        memcpy(buffer->text + buffer->length, text, length);
    buffer->length += length;
    buffer->text[buffer->length] = '\0';
}

void strbuf_add_char(struct strbuf *buffer, char c)
{
    reserve(buffer, 1);
    buffer->text[buffer->length++] = c;
    buffer->text[buffer->length] = '\0';
}

void strbuf_add_integer(struct strbuf *buffer, int64_t integer)
{
    char digits[24];
    char *at = digits + sizeof(digits);
    uint64_t rest = integer < 0 ? -(uint64_t)integer : (uint64_t)integer;
    do
        *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    if (integer < 0)
        *--at = '-';
    strbuf_add_n(buffer, at, (size_t)(digits + sizeof(digits) - at));
}

void strbuf_add_repeated(struct strbuf *buffer, char c, size_t count)
{
    reserve(buffer, count);
    memset(buffer->text + buffer->length, c, count);
    buffer->length += count;
    buffer->text[buffer->length] = '\0';
}

void strbuf_addv(struct strbuf *buffer, const char *format, va_list arguments)
{
    enum { GUESS = 64 }; /* most fit, and are formatted once */
    assert(format);
    va_list again;
    va_copy(again, arguments);
    reserve(buffer, GUESS);
    size_t room = buffer->capacity - buffer->length;
    int length = vsnprintf(buffer->text + buffer->length, room, format, arguments);
    assert(length >= 0);
    if ((size_t)length >= room) {
        reserve(buffer, (size_t)length);
        vsnprintf(buffer->text + buffer->length, (size_t)length + 1, format, again);
    }
    va_end(again);
    buffer->length += (size_t)length;
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
