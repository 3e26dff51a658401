#include "http/form.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"

#include <string.h>

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* What stands as it is: browsers encode every other byte. */
static bool is_plain(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("*-._", c));
}

/* One byte at *at, which goes behind it; -1: there is none. */
static int decode_byte(const char **at, const char *end)
{
    char c = *(*at)++;
    if (c == '+')
        return ' ';
    if (c != '%')
        return is_plain(c) ? c : -1;
    if (end - *at < 2)
        return -1;
    int high = digit_of((*at)[0]), low = digit_of((*at)[1]);
    *at += 2;
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* NULL when it is none; the caller frees it. */
static char *decode(const char *text, size_t length)
{
    const char *end = text + length;
    struct strbuf decoded = {0};
    while (text < end) {
        int byte = decode_byte(&text, end);
        if (byte < 0x20 || byte == 0x7f) {
            strbuf_done(&decoded);
            return NULL;
        }
        strbuf_add_char(&decoded, (char)byte);
    }
    if (!text_is_utf8(strbuf_text(&decoded), decoded.length)) {
        strbuf_done(&decoded);
        return NULL;
    }
    return strbuf_take(&decoded);
}

static bool take_field(const char *text, size_t length, const char *const *names, char **values)
{
    const char *sign = memchr(text, '=', length);
    size_t n = sign ? (size_t)(sign - text) : 0;
    for (size_t i = 0; sign && names[i]; i++) {
        if (strlen(names[i]) != n || memcmp(names[i], text, n) != 0)
            continue;
        if (values[i])
            return false;
        values[i] = decode(sign + 1, length - n - 1);
        return values[i] != NULL;
    }
    return false;
}

bool form_read(const char *body, size_t length, const char *const *names, char **ret_values)
{
    const char *end = body + length;
    size_t n_names = 0;
    for (; names[n_names]; n_names++)
        ret_values[n_names] = NULL;
    for (const char *at = body; at <= end && length > 0;) {
        const char *and = memchr(at, '&', (size_t)(end - at));
        const char *stop = and? and : end;
        if (!take_field(at, (size_t)(stop - at), names, ret_values)) {
            for (size_t i = 0; i < n_names; i++) {
                mem_free(ret_values[i]);
                ret_values[i] = NULL;
            }
            return false;
        }
        at = stop + 1;
    }
    return true;
}
