/*
 * What a .dockerignore leaves out, as the engine's own client reads it: a pattern a line, "#"
 * begins a comment, "!" takes back in, "**" stands for any number of folders, and the last pattern
 * that fits decides. What lies in a folder that is left out is left out with it.
 */
#pragma once

#include "base/error.h"
#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>

/* Larger ones are refused. */
enum { IGNORE_BYTES = 1 << 16, IGNORE_PATTERNS = 1000 };

struct ignore;

/* Reads the text of such a file. ERROR_INVALID names the line of a pattern that is malformed. */
int ignore_read(const char *text, size_t size, struct ignore **ret_ignore, struct error *err);
/* Accepts NULL. */
void ignore_free(struct ignore *ignore);
DEFINE_CLEANUP(struct ignore *, ignore_free)

/* Whether a path such as "src/main.c" is left out. With NULL nothing is. */
bool ignore_has(const struct ignore *ignore, const char *path);
/* Whether a folder that is left out may hold something that is not. */
bool ignore_takes_back(const struct ignore *ignore);
