/* How a value lies in memory, for the files that make and read them; nobody else includes this. */
#pragma once

#include "model/value.h"

/*
 * The count of references, then what the kind needs. Containers hold their items inline; behind a
 * map's items come pointers to its keys, and behind these the keys' texts. has_unknown and
 * has_secret are worked out once, at birth.
 */
struct value {
    unsigned int references;
    unsigned char kind;
    bool has_unknown;
    bool has_secret;
    union {
        bool boolean;
        int64_t integer;
        double decimal;
        size_t count; /* items of a container, bytes of a text */
    };
    union {
        struct value *items[0];
        char text[0];
    };
};

/* A map's keys: pointers that lie behind the items, to texts that lie behind the pointers. */
static inline char **map_keys(const struct value *map)
{
    return (char **)(map->items + map->count);
}

/*
 * The order of UTF-16 code units, by the first byte of UTF-8 that differs: characters above U+FFFF,
 * which begin with 0xf0 or more, are surrogates there and come before U+E000, which begins with
 * 0xee. All else is ordered as its bytes are.
 */
static inline unsigned int utf16_rank(unsigned char byte)
{
    if (byte >= 0xf0)
        return byte - 2u;
    return byte >= 0xee ? byte + 0x100u : byte;
}

/* The order of keys in RFC 8785, section 3.2.3. Both are well-formed. */
static inline int compare_keys(const char *a, const char *b)
{
    const unsigned char *left = (const unsigned char *)a;
    const unsigned char *right = (const unsigned char *)b;
    while (*left && *left == *right) {
        left++;
        right++;
    }
    unsigned int left_rank = utf16_rank(*left), right_rank = utf16_rank(*right);
    return (left_rank > right_rank) - (left_rank < right_rank);
}

/* keys_size: how long the texts of a map's keys are, with their NULs. */
struct value *value_container_new(enum value_kind kind, struct value *const *items, size_t n_items,
                                  size_t keys_size);
