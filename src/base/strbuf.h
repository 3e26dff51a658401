/* A string that grows while it is written. */
#pragma once

#include "base/memory.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Zero-initialise it. text is NULL while nothing was added, else ends with a NUL that length leaves
 * out. */
struct strbuf {
    char *text; /* owned */
    size_t length;
    size_t capacity;
};

void strbuf_done(struct strbuf *buffer);
/* The same, and what it has in its memory is overwritten before. For secrets. */
void strbuf_wipe(struct strbuf *buffer);
/* Empties it for reuse and keeps its memory. */
void strbuf_clear(struct strbuf *buffer);

/* Makes room for extra bytes and a NUL behind them. */
void strbuf_reserve(struct strbuf *buffer, size_t extra);

/* Texts grow by millions of small pieces: these are compiled where they are called. */
static inline void strbuf_add_n(struct strbuf *buffer, const char *text, size_t length)
{
    if (buffer->capacity - buffer->length <= length)
        strbuf_reserve(buffer, length);
    if (length)
        memcpy(buffer->text + buffer->length, text, length);
    buffer->length += length;
    buffer->text[buffer->length] = '\0';
}

static inline void strbuf_add(struct strbuf *buffer, const char *text)
{
    strbuf_add_n(buffer, text, strlen(text));
}

static inline void strbuf_add_char(struct strbuf *buffer, char c)
{
    strbuf_add_n(buffer, &c, 1);
}

/* In decimal digits. */
void strbuf_add_integer(struct strbuf *buffer, int64_t integer);
void strbuf_add_repeated(struct strbuf *buffer, char c, size_t count);
/* As printf() does; %s and %d in all its lengths are quick. */
__attribute__((format(printf, 2, 3))) void strbuf_addf(struct strbuf *buffer, const char *format,
                                                       ...);
__attribute__((format(printf, 2, 0))) void strbuf_addv(struct strbuf *buffer, const char *format,
                                                       va_list arguments);

/* The text so far, "" when nothing was added. Valid until the next change. */
const char *strbuf_text(const struct strbuf *buffer);
/* Gives the text, never NULL, to the caller and leaves the buffer empty. */
char *strbuf_take(struct strbuf *buffer);

/* Formats into a new string that the caller frees with mem_free(). */
__attribute__((format(printf, 1, 2))) char *string_format(const char *format, ...);
