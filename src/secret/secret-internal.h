/* What the files of this room share. */
#pragma once

#include "base/map.h"
#include "base/strbuf.h"
#include "secret/secret.h"

struct secret_key {
    unsigned char *bytes; /* owned; of secret_allocate() */
};

struct secrets {
    const struct secret_key *key; /* borrowed */
    struct secret_entry *entries; /* owned */
    size_t n_entries;
    size_t capacity;
    size_t n_derived;               /* of these, those that were only sent */
    struct map names;               /* name -> owned digest */
    struct secret_needles *needles; /* owned; NULL until something is redacted, and then of the
                                     * entries there were */
};

struct secret_entry {
    char digest[80]; /* with its prefix and NUL */
    char *text;      /* owned; of secret_allocate(), not readable but in secret_use() */
    size_t size;
};

/* One form in which a secret may be in a text. */
struct secret_needle {
    size_t entry;
    size_t offset; /* of its bytes */
    size_t length;
};

/* Those of all secrets, those of the longest first. */
struct secret_needles {
    struct secret_needle *items; /* owned */
    size_t n_items;
    size_t capacity;
    char *texts; /* owned; of secret_allocate(), readable only while something is redacted */
    size_t size;
    size_t n_entries; /* of how many secrets these are */
    /* While they are made: */
    struct strbuf draft;
    size_t entry;
};
void secret_needles_free(struct secret_needles *needles); /* accepts NULL */

/* Memory that is locked, guarded, left out of core files and wiped when it is freed; that of a
 * simulated machine, which nobody looks at, is as any. */
void *secret_allocate(size_t size);
void secret_release(void *block); /* accepts NULL */
/* Whether it may be read; it is not written to any more. */
void secret_let_read(void *block);
void secret_hide(void *block);

/* Keys for one purpose each, made of the one that a user has. */
enum { SECRET_PURPOSE_DIGEST = 1, SECRET_PURPOSE_SEAL = 2 };
void secret_derive(const struct secret_key *key, unsigned int purpose,
                   unsigned char ret_bytes[SECRET_KEY_SIZE]);
