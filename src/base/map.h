/* A hash map from strings to pointers, walked in the order of insertion. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialise it. Keys are copied, but by map_put_borrowed(); values are borrowed. */
struct map {
    struct map_entry *entries; /* owned, in insertion order; removed ones have no key */
    unsigned int *slots;       /* owned; 0 is free, else index into entries plus one */
    size_t n_entries;          /* including removed ones */
    size_t n_live;
    size_t capacity;
    size_t n_slots; /* a power of two, or 0 */
};

struct map_entry {
    const char *key; /* NULL when removed */
    void *value;     /* borrowed */
    unsigned int hash;
    unsigned int key_length : 31;
    unsigned int owns_key : 1;
};

void map_done(struct map *map);

/* NULL when the key is not there. */
void *map_get(const struct map *map, const char *key);
void *map_get_n(const struct map *map, const char *key, size_t length);
bool map_has(const struct map *map, const char *key);
/* Sets the value of a key and returns the one it replaces, else NULL. */
void *map_put(struct map *map, const char *key, void *value);
/* The same with a key that lives as long as it stands in the map, and is not copied. */
void *map_put_borrowed(struct map *map, const char *key, void *value);
/* Removes a key and returns its value, else NULL. */
void *map_remove(struct map *map, const char *key);

/*
 * The next live entry at or after *cursor, or NULL at the end; start with *cursor = 0. The map must
 * not change during the walk, except for the values.
 */
struct map_entry *map_next(const struct map *map, size_t *cursor);
