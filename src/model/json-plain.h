/* What json.c and json-plain.c share. */
#pragma once

#include "model/value.h"

#include <stddef.h>

/* How many bytes at the start of a text need no escape. */
size_t json_count_unescaped(const char *text, size_t length);

/*
 * The value of a text such as most of those that we write ourselves and read again by the thousand:
 * lists and maps of ASCII texts without escapes, whole numbers, true, false, null and unknowns, in
 * canonical form. NULL for any other text, also for one with a fault: that is jansson's to read and
 * to tell. Gives what jansson would make of it.
 */
struct value *json_read_plain(const char *text, size_t size);
/* The same of somebody else's text, as json_read_foreign() takes it: its keys come in any order and
 * may begin with "$", and blanks stand where they may. */
struct value *json_read_plain_foreign(const char *text, size_t size, int max_depth);
