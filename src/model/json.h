/*
 * Values as JSON text (RFC 8259), and back. Writing is canonical (RFC 8785), so that equal values
 * have equal bytes and a hash of them means something.
 *
 * An unknown is {"$unknown": {"origin": ..., "type": ...}}, a secret {"$secret": DIGEST}, with
 * "$origin" beside it where that is known; a user's key that begins with "$" has it doubled. A set
 * is an array in its order; reading gives a list, since only a schema knows better. Integers beyond
 * 2^53 in either direction are strings; so a number beyond them is a decimal, and one without a
 * fraction below them an integer.
 */
#pragma once

#include "base/error.h"
#include "base/strbuf.h"
#include "model/value.h"

/* Appends the canonical form. */
void json_write(struct strbuf *buffer, const struct value *value);
/*
 * Appends it for a reader who knows no marks of ours: a key is written as it is, also one that
 * begins with "$", which the canonical form doubles. It is not to be read back by json_read().
 */
void json_write_foreign(struct strbuf *buffer, const struct value *value);
/* The canonical form as a new string. */
char *json_text(const struct value *value);
/* The same value indented by two spaces, for people. */
char *json_pretty(const struct value *value);
/* As json_write_foreign() has it. */
char *json_pretty_foreign(const struct value *value);

/* Appends text as a JSON string with its quotes. */
void json_write_string(struct strbuf *buffer, const char *text, size_t length);

/*
 * Reads one JSON text of size bytes. ERROR_INVALID with line and column when it is malformed, has a
 * duplicate key, a NUL in a string, or nests deeper than 1,000. The caller unrefs *ret_value.
 */
int json_read(const char *text, size_t size, struct value **ret_value, struct error *err);
/*
 * The same of a text that somebody else wrote: "$unknown" and "$secret" are keys like any other, so
 * that nobody can hand us a value that only we make. It may nest to max_depth.
 */
int json_read_foreign(const char *text, size_t size, int max_depth, struct value **ret_value,
                      struct error *err);
/*
 * The text or number that a member of an object is, in a text that is JSON although it is none that
 * json_read_foreign() takes: with a zero byte in a text, or too deep. NULL: there is none. The
 * caller owns it.
 */
struct value *json_find_member(const char *text, size_t size, const char *name);
/* From now on what was read is kept, and given again for the same text; or no longer. Only on a
 * simulated machine (base/memo.h). */
void json_remember(bool is_on);
