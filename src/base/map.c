#include "base/map.h"

#include "base/memory.h"
#include "base/world.h"

#include <assert.h>
#include <endian.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t rotate(uint64_t word, int by)
{
    return word << by | word >> (64 - by);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

/* The last bytes of a key, fewer than eight, as the low ones of a word. */
static inline uint64_t read_rest(const char *rest, size_t n, size_t length)
{
    uint64_t word = 0;
    if (n > 0 && length > n) { /* with some of those before, which are shifted out */
        memcpy(&word, rest + n - sizeof(word), sizeof(word));
        return le64toh(word) >> (8 * (sizeof(word) - n));
    }
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)(unsigned char)rest[i] << (8 * i);
    return word;
}

/*
 * SipHash-1-3 under a key of this process, so that names from outside cannot be chosen to collide:
 * as in the maps of Rust and Python. libsodium has 2-4, twice the rounds, which is for more than
 * tables.
 */
static unsigned int hash_bytes(const char *key, size_t length)
{
    static uint64_t secret[2];
    static bool has_secret;
    if (!has_secret) {
        world_random(secret, sizeof(secret));
        has_secret = true;
    }
    uint64_t v[4] = {
        secret[0] ^ UINT64_C(0x736f6d6570736575), secret[1] ^ UINT64_C(0x646f72616e646f6d),
        secret[0] ^ UINT64_C(0x6c7967656e657261), secret[1] ^ UINT64_C(0x7465646279746573)};
    uint64_t word = 0;
    size_t rest = length;
    for (; rest >= sizeof(word); rest -= sizeof(word), key += sizeof(word)) {
        memcpy(&word, key, sizeof(word));
        word = le64toh(word);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)length << 56;
    word |= read_rest(key, rest, length);
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return (unsigned int)(v[0] ^ v[1] ^ v[2] ^ v[3]);
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
