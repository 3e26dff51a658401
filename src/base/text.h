/* Small questions about strings. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Most texts that differ do so in their first byte: that is seen where it is asked. */
static inline bool text_equal(const char *a, const char *b)
{
    return *a == *b && strcmp(a, b) == 0;
}
/* As text_equal, where NULL equals only NULL. */
bool text_equal_or_null(const char *a, const char *b);
bool text_starts_with(const char *text, const char *prefix);
bool text_ends_with(const char *text, const char *suffix);

/* Whether text is a whole decimal integer that fits; *ret_value is set only then. */
bool text_to_integer(const char *text, int64_t *ret_value);

/* Whether text is [a-z][a-z0-9-]{0,62}, the form of every name in a document. */
bool text_is_name(const char *text);

/* Whether n bytes are well-formed UTF-8 without NUL. */
bool text_is_utf8(const char *text, size_t n);

/*
 * Makes a text from outside safe to show: each control character and each byte that is not part of
 * well-formed UTF-8 becomes "?", a tab a space. In place.
 */
void text_make_printable(char *text);

/*
 * The candidate nearest to text by edit distance, or NULL when none is near enough to be a likely
 * typing error (at most a third of its length, and at most 3 edits). Candidates are borrowed.
 */
const char *text_nearest(const char *text, const char *const *candidates, size_t n_candidates);
