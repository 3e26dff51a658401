#include "base/arena.h"

#include "base/memory.h"

#include <assert.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>

/* Blocks grow, because many an arena stays small. */
enum { LARGE = 8 * 1024, FIRST_BLOCK = LARGE, BLOCK_MAX = 64 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t size;
    alignas(max_align_t) char bytes[];
};

void arena_done(struct arena *arena)
{
    for (struct arena_block *block = arena->blocks; block;) {
        struct arena_block *next = block->next;
        mem_free(block);
        block = next;
    }
    *arena = (struct arena){0};
}

static struct arena_block *block_new(size_t size)
{
    struct arena_block *block = mem_zeroed(1, sizeof(struct arena_block) + size);
    block->size = size;
    return block;
}

/* The newest block decides. */
static size_t next_size(const struct arena *arena)
{
    if (!arena->blocks)
        return FIRST_BLOCK;
    return arena->blocks->size < BLOCK_MAX / 2 ? 2 * arena->blocks->size : BLOCK_MAX;
}

/* A large piece gets a block of its own, put behind the newest one, which stays in use. */
static void *take_large(struct arena *arena, size_t size)
{
    struct arena_block *block = block_new(size);
    if (arena->blocks) {
        block->next = arena->blocks->next;
        arena->blocks->next = block;
    } else {
        arena->blocks = block;
        arena->used = size;
    }
    return block->bytes;
}

static void *take_bytes(struct arena *arena, size_t size, size_t alignment)
{
    if (size > LARGE)
        return take_large(arena, size);
    size_t start = (arena->used + alignment - 1) / alignment * alignment;
    if (!arena->blocks || start + size > arena->blocks->size) {
        struct arena_block *block = block_new(next_size(arena));
        block->next = arena->blocks;
        arena->blocks = block;
        start = 0;
    }
    arena->used = start + size;
    return arena->blocks->bytes + start;
}

void *arena_take(struct arena *arena, size_t count, size_t size)
{
    assert(size == 0 || count <= SIZE_MAX / 2 / size);
    return take_bytes(arena, count * size, alignof(max_align_t));
}

char *arena_copy_text(struct arena *arena, const char *text, size_t length)
{
    char *copy = take_bytes(arena, length + 1, 1);
    if (length)
        memcpy(copy, text, length);
    return copy;
}
