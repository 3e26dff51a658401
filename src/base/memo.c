#include "base/memo.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

enum { ENTRIES = 2048 };

struct memo_entry {
    uint64_t hash;
    char *name; /* owned */
    char *text; /* owned */
    size_t size;
    void *item; /* owned; NULL: the entry is free */
};

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static uint64_t hash_text(uint64_t hash, const char *text, size_t size)
{
    uint64_t word;
    size_t i = 0;
    for (; i + sizeof(word) <= size; i += sizeof(word)) {
        memcpy(&word, text + i, sizeof(word));
        hash = mix(hash, word);
    }
    word = 0;
    memcpy(&word, text + i, size - i);
    return mix(hash, word ^ (uint64_t)size << 56);
}

static uint64_t hash_key(const char *name, const char *text, size_t size)
{
    return hash_text(hash_text(size, name, strlen(name)), text, size);
}

static void clear_entry(struct memo *memo, struct memo_entry *entry)
{
    if (!entry->item)
        return;
    memo->release(entry->item);
    mem_free(entry->name);
    mem_free(entry->text);
    *entry = (struct memo_entry){0};
}

void memo_begin(struct memo *memo, void (*release)(void *item))
{
    assert(!memo->entries && world_is_simulated());
    memo->entries = NEW_ARRAY(struct memo_entry, ENTRIES);
    memo->release = release;
}

void memo_end(struct memo *memo)
{
    for (size_t i = 0; i < ENTRIES; i++)
        clear_entry(memo, &memo->entries[i]);
    mem_free(memo->entries);
    *memo = (struct memo){0};
}

void *memo_find(const struct memo *memo, const char *name, const char *text, size_t size)
{
    if (!memo->entries)
        return NULL;
    uint64_t hash = hash_key(name, text, size);
    const struct memo_entry *entry = &memo->entries[hash % ENTRIES];
    bool is_it = entry->item && entry->hash == hash && entry->size == size &&
                 memcmp(entry->text, text, size) == 0 && text_equal(entry->name, name);
    return is_it ? entry->item : NULL;
}

void memo_keep(struct memo *memo, const char *name, const char *text, size_t size, void *take_item)
{
    assert(memo->entries && take_item);
    uint64_t hash = hash_key(name, text, size);
    struct memo_entry *entry = &memo->entries[hash % ENTRIES];
    clear_entry(memo, entry);
    *entry = (struct memo_entry){.hash = hash,
                                 .name = string_copy(name),
                                 .text = string_copy_n(text, size),
                                 .size = size,
                                 .item = take_item};
}
