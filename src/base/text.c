#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool text_equal_or_null(const char *a, const char *b)
{
    if (!a || !b)
        return a == b;
    return text_equal(a, b);
}

bool text_starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_ends_with(const char *text, const char *suffix)
{
    size_t length = strlen(text);
    size_t suffix_length = strlen(suffix);
    return length >= suffix_length && text_equal(text + length - suffix_length, suffix);
}

bool text_to_integer(const char *text, int64_t *ret_value)
{
    const char *digits = *text == '-' || *text == '+' ? text + 1 : text;
    if (!*digits || strspn(digits, "0123456789") != strlen(digits))
        return false;
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (errno)
        return false;
    *ret_value = value;
    return true;
}

bool text_is_name(const char *text)
{
    size_t length = strlen(text);
    return length >= 1 && length <= 63 && *text >= 'a' && *text <= 'z' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

/* Bytes that follow a first byte, or -1 when no sequence begins with it (RFC 3629, section 4). */
static int continuation_count(unsigned char first)
{
    if (first < 0x80)
        return 0;
    if (first >= 0xc2 && first <= 0xdf)
        return 1;
    if (first >= 0xe0 && first <= 0xef)
        return 2;
    if (first >= 0xf0 && first <= 0xf4)
        return 3;
    return -1;
}

static bool second_byte_fits(unsigned char first, unsigned char second)
{
    switch (first) {
    case 0xe0:
        return second >= 0xa0;
    case 0xed:
        return second <= 0x9f;
    case 0xf0:
        return second >= 0x90;
    case 0xf4:
        return second <= 0x8f;
    default:
        return true;
    }
}

bool text_is_utf8(const char *text, size_t n)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t i = 0; i < n;) {
        int count = continuation_count(bytes[i]);
        if (count < 0 || bytes[i] == 0 || (size_t)count >= n - i)
            return false;
        if (count > 0 && !second_byte_fits(bytes[i], bytes[i + 1]))
            return false;
        for (int k = 1; k <= count; k++)
            if ((bytes[i + (size_t)k] & 0xc0) != 0x80)
                return false;
        i += (size_t)count + 1;
    }
    return true;
}

/* Whether the character of n bytes is one of the controls of ASCII or of Latin-1. */
static bool is_control(const unsigned char *bytes, size_t n)
{
    return (n == 1 && (*bytes < 0x20 || *bytes == 0x7f)) ||
           (n == 2 && bytes[0] == 0xc2 && bytes[1] < 0xa0);
}

void text_make_printable(char *text)
{
    char *to = text;
    while (*text) {
        int count = continuation_count((unsigned char)*text);
        size_t n = count < 0 ? 1 : strnlen(text, (size_t)count + 1);
        bool is_well_formed = count >= 0 && text_is_utf8(text, n);
        if (*text == '\t') {
            *to++ = ' ';
        } else if (is_well_formed && !is_control((const unsigned char *)text, n)) {
            memmove(to, text, n);
            to += n;
        } else {
            *to++ = '?';
        }
        text += is_well_formed ? n : 1;
    }
    *to = '\0';
}

enum { NEAREST_MAX_LENGTH = 128 };

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t smaller = a < b ? a : b;
    return smaller < c ? smaller : c;
}

/*
 * Levenshtein, row by row; two neighbours that changed places are one edit, too, since that is the
 * commonest slip. Both texts have at most NEAREST_MAX_LENGTH bytes.
 */
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][NEAREST_MAX_LENGTH + 1];
    size_t *before = rows[0];
    size_t *above = rows[1];
    size_t *row = rows[2];
    size_t length = strlen(b);
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            size_t changed = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = smallest(above[j] + 1, row[j - 1] + 1, changed);
            bool is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (is_swap && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
    }
    return row[length];
}

const char *text_nearest(const char *text, const char *const *candidates, size_t n_candidates)
{
    size_t length = strlen(text);
    if (length > NEAREST_MAX_LENGTH)
        return NULL;
    size_t best_distance = (length + 2) / 3 < 3 ? (length + 2) / 3 : 3;
    const char *best = NULL;
    for (size_t i = 0; i < n_candidates; i++) {
        if (strlen(candidates[i]) > NEAREST_MAX_LENGTH)
            continue;
        size_t distance = edit_distance(text, candidates[i]);
        /* A text with nothing of the candidate left in it is no slip. */
        if (distance >= length)
            continue;
        if (distance < best_distance || (distance == best_distance && !best)) {
            best = candidates[i];
            best_distance = distance;
        }
    }
    return best;
}
