/* Writes archives of tar (POSIX.1-2001, pax): the same files give the same bytes, since times are
 * 0 and everything belongs to root. */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Where the bytes go. */
struct tar_sink {
    int (*write)(void *argument, const void *bytes, size_t size, struct error *err);
    void *argument;
};

enum tar_kind { TAR_FILE, TAR_FOLDER, TAR_LINK };

struct tar_entry {
    const char *path; /* without a "/" at its ends */
    enum tar_kind kind;
    unsigned int mode;  /* the lower nine bits count */
    uint64_t size;      /* of a file's content */
    const char *target; /* of a link */
};

/* Begins an entry. Exactly its size in bytes follows with tar_add(). */
int tar_begin(const struct tar_sink *sink, const struct tar_entry *entry, struct error *err);
int tar_add(const struct tar_sink *sink, const void *bytes, size_t size, struct error *err);
/* Fills the last block of a content of that size. */
int tar_end_entry(const struct tar_sink *sink, uint64_t size, struct error *err);
/* Ends the archive. */
int tar_end(const struct tar_sink *sink, struct error *err);
