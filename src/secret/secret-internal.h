/* What the files of this room share. */
#pragma once

#include "base/map.h"
#include "secret/secret.h"

struct secret_key {
    unsigned char *bytes; /* owned; of sodium_malloc() */
};

struct secrets {
    const struct secret_key *key; /* borrowed */
    struct secret_entry *entries; /* owned */
    size_t n_entries;
    size_t capacity;
    size_t n_derived; /* of these, those that were only sent */
    struct map names; /* name -> owned digest */
};

struct secret_entry {
    char digest[80]; /* with its prefix and NUL */
    char *text;      /* owned; of sodium_malloc(), not readable but in secret_use() */
    size_t size;
};

/* Keys for one purpose each, made of the one that a user has. */
enum { SECRET_PURPOSE_DIGEST = 1, SECRET_PURPOSE_SEAL = 2 };
void secret_derive(const struct secret_key *key, unsigned int purpose,
                   unsigned char ret_bytes[SECRET_KEY_SIZE]);
