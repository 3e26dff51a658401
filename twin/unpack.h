/* Unpacks an archive of tar into a folder, by the program `tar`: what an archive may hold is its
 * business, and every Debian has it. */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <sys/types.h>

/* An archive on its way. */
struct unpacking {
    pid_t pid;
    int input;
};

/* What it is told is left out, a NULL-terminated list of tar's patterns; NULL: nothing. */
int unpack_begin(const char *folder, const char *const *excludes, struct unpacking *ret_unpacking,
                 struct error *err);
/* The next bytes of the archive. */
int unpack_add(struct unpacking *unpacking, const void *bytes, size_t size, struct error *err);
/* Ends it, also when something failed before. ERROR_MISSING when there is no tar, ERROR_SYSTEM when
 * it failed. */
int unpack_end(struct unpacking *unpacking, struct error *err);
