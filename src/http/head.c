#include "http/head.h"

#include "base/memory.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

void head_done(struct head *head)
{
    mem_free(head->text);
    mem_free(head->fields);
    *head = (struct head){0};
}

/* A character of names and methods (RFC 9110, 5.6.2). */
static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           (c && strchr("!#$%&'*+.^_`|~", c));
}

static bool is_value_char(char c)
{
    return (unsigned char)c >= ' ' ? c != 0x7f : c == '\t';
}

/* The offset of the first byte from at on that is not of the kind; size when all are. */
static size_t skip(const char *block, size_t size, size_t at, bool (*is_kind)(char c))
{
    while (at < size && is_kind(block[at]))
        at++;
    return at;
}

/* What CR LF became. */
static bool is_line_end(const char *block, size_t size, size_t at)
{
    return size - at >= 2 && block[at] == '\0' && block[at + 1] == '\0';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Reads one header and steps over it. */
static bool read_field(struct head *head, size_t size, size_t *at)
{
    char *text = head->text;
    size_t name = *at, colon = skip(text, size, name, is_token_char);
    if (colon == name || colon >= size || text[colon] != '\0')
        return false;
    size_t value = skip(text, size, colon + 1, is_blank);
    size_t end = skip(text, size, value, is_value_char);
    if (!is_line_end(text, size, end))
        return false;
    *at = end + 2;
    while (end > value && is_blank(text[end - 1]))
        end--;
    text[end] = '\0';
    ARRAY_RESERVE(head->fields, head->n_fields, head->capacity);
    head->fields[head->n_fields++] = (struct head_field){text + name, colon - name, text + value};
    return true;
}

bool head_read(struct head *head, const char *block, size_t size, size_t version)
{
    head->text = mem_copy(block, size);
    head->method = head->text;
    size_t at = skip(block, size, 0, is_token_char);
    if (at == 0 || at >= version || block[at] != '\0' || version >= size)
        return false;
    at = version + strnlen(block + version, size - version);
    if (!is_line_end(block, size, at))
        return false;
    at += 2;
    while (!is_line_end(block, size, at))
        if (!read_field(head, size, &at))
            return false;
    return at + 2 == size;
}

size_t head_name_offset(const struct head *head, size_t index)
{
    return (size_t)(head->fields[index].name - head->text);
}

size_t head_value_offset(const struct head *head, size_t index)
{
    return (size_t)(head->fields[index].value - head->text);
}

static bool is_named(const struct head_field *field, const char *name, size_t length)
{
    return field->name_length == length && strcasecmp(field->name, name) == 0;
}

const char *head_find(const struct head *head, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < head->n_fields; i++)
        if (is_named(&head->fields[i], name, length))
            return head->fields[i].value;
    return NULL;
}

size_t head_count(const struct head *head, const char *name)
{
    size_t n = 0, length = strlen(name);
    for (size_t i = 0; i < head->n_fields; i++)
        n += is_named(&head->fields[i], name, length);
    return n;
}

bool head_is_chunked(const struct head *head)
{
    return head_count(head, "Transfer-Encoding") > 0;
}

unsigned int head_check(const struct head *head, bool is_1_1)
{
    enum { BAD_REQUEST = 400, NOT_IMPLEMENTED = 501 };
    size_t n_lengths = head_count(head, "Content-Length");
    size_t n_encodings = head_count(head, "Transfer-Encoding");
    size_t n_hosts = head_count(head, "Host");
    if (n_hosts > 1 || (is_1_1 && n_hosts == 0))
        return BAD_REQUEST;
    if (n_lengths + n_encodings > 1 || (n_encodings && !is_1_1))
        return BAD_REQUEST;
    const char *length = head_find(head, "Content-Length");
    if (length && (!*length || length[strspn(length, "0123456789")]))
        return BAD_REQUEST;
    if (n_encodings && strcasecmp(head_find(head, "Transfer-Encoding"), "chunked") != 0)
        return NOT_IMPLEMENTED;
    return 0;
}
