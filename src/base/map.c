#include "base/map.h"

#include "base/memory.h"
#include "base/world.h"

#include <assert.h>
#include <limits.h>
#include <sodium.h>
#include <stdint.h>
#include <string.h>

/* SipHash under a key of this process, so that names from outside cannot be chosen to collide. */
static unsigned int hash_bytes(const char *key, size_t length)
{
    static unsigned char secret[crypto_shorthash_KEYBYTES];
    static bool has_secret;
    if (!has_secret) {
        world_random(secret, sizeof(secret));
        has_secret = true;
    }
    uint64_t hash;
    crypto_shorthash((unsigned char *)&hash, (const unsigned char *)key, length, secret);
    return (unsigned int)hash;
}

static void free_key(struct map_entry *entry)
{
    if (entry->owns_key)
        mem_free((char *)entry->key);
    entry->key = NULL;
}

void map_done(struct map *map)
{
    for (size_t i = 0; i < map->n_entries; i++)
        free_key(&map->entries[i]);
    mem_free(map->entries);
    mem_free(map->slots);
    *map = (struct map){0};
}

static bool entry_matches(const struct map_entry *entry, const char *key, size_t length,
                          unsigned int hash)
{
    return entry->key && entry->hash == hash && entry->key_length == length &&
           memcmp(entry->key, key, length) == 0;
}

static struct map_entry *find_entry(const struct map *map, const char *key, size_t length,
                                    unsigned int hash)
{
    if (!map->n_slots)
        return NULL;
    size_t mask = map->n_slots - 1;
    for (size_t slot = hash & mask; map->slots[slot]; slot = (slot + 1) & mask) {
        struct map_entry *entry = &map->entries[map->slots[slot] - 1];
        if (entry_matches(entry, key, length, hash))
            return entry;
    }
    return NULL;
}

static void place_entry(struct map *map, size_t index)
{
    size_t mask = map->n_slots - 1;
    size_t slot = map->entries[index].hash & mask;
    while (map->slots[slot])
        slot = (slot + 1) & mask;
    map->slots[slot] = (unsigned int)(index + 1);
}

/* Doubles the slots when two thirds are used, dropping removed entries on the way. */
static void make_room(struct map *map)
{
    if (map->n_slots && map->n_entries + 1 <= map->n_slots / 3 * 2)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < map->n_entries; i++)
        if (map->entries[i].key)
            map->entries[kept++] = map->entries[i];
    map->n_entries = kept;
    size_t n_slots = 16;
    while (n_slots / 3 * 2 < (kept + 1) * 2)
        n_slots *= 2;
    assert(n_slots < UINT_MAX);
    mem_free(map->slots);
    map->slots = NEW_ARRAY(unsigned int, n_slots);
    map->n_slots = n_slots;
    for (size_t i = 0; i < kept; i++)
        place_entry(map, i);
}

void *map_get(const struct map *map, const char *key)
{
    return map_get_n(map, key, strlen(key));
}

void *map_get_n(const struct map *map, const char *key, size_t length)
{
    if (map->n_live == 0)
        return NULL;
    struct map_entry *entry = find_entry(map, key, length, hash_bytes(key, length));
    return entry ? entry->value : NULL;
}

bool map_has(const struct map *map, const char *key)
{
    size_t length = strlen(key);
    return map->n_live > 0 && find_entry(map, key, length, hash_bytes(key, length)) != NULL;
}

static void *put(struct map *map, const char *key, bool is_copied, void *value)
{
    size_t length = strlen(key);
    unsigned int hash = hash_bytes(key, length);
    assert(length <= INT_MAX);
    struct map_entry *entry = find_entry(map, key, length, hash);
    if (entry) {
        void *replaced = entry->value;
        entry->value = value;
        return replaced;
    }
    make_room(map);
    ARRAY_RESERVE(map->entries, map->n_entries, map->capacity);
    map->entries[map->n_entries] =
        (struct map_entry){.key = is_copied ? string_copy_n(key, length) : key,
                           .owns_key = is_copied,
                           .key_length = (unsigned int)length & INT_MAX,
                           .hash = hash,
                           .value = value};
    place_entry(map, map->n_entries++);
    map->n_live++;
    return NULL;
}

void *map_put(struct map *map, const char *key, void *value)
{
    return put(map, key, true, value);
}

void *map_put_borrowed(struct map *map, const char *key, void *value)
{
    return put(map, key, false, value);
}

void *map_remove(struct map *map, const char *key)
{
    size_t length = strlen(key);
    struct map_entry *entry = find_entry(map, key, length, hash_bytes(key, length));
    if (!entry)
        return NULL;
    free_key(entry);
    map->n_live--;
    return entry->value;
}

struct map_entry *map_next(const struct map *map, size_t *cursor)
{
    while (*cursor < map->n_entries) {
        struct map_entry *entry = &map->entries[(*cursor)++];
        if (entry->key)
            return entry;
    }
    return NULL;
}
