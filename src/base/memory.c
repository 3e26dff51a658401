#include "base/memory.h"

#include "base/files.h"
#include "base/world.h"

#include <assert.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static bool wipes_freed;
static _Thread_local bool locks_new;

static _Noreturn void out_of_memory(size_t size)
{
    fprintf(stderr, "parley: out of memory (%zu bytes); what was under way is in the journal\n",
            size);
    abort();
}

static void lock_pages(uintptr_t address, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = address / page * page;
    size_t length = (address + size - start + page - 1) / page * page;
    (void)madvise((void *)start, length, MADV_DONTDUMP);
    (void)mlock((void *)start, length);
}

static void *lock_if_on(void *block, size_t size)
{
    if (locks_new)
        lock_pages((uintptr_t)block, size);
    return block;
}

void *mem_zeroed(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size ? size : 1);
    if (!block)
        out_of_memory(size);
    return lock_if_on(block, (count ? count : 1) * (size ? size : 1));
}

/* For what is overwritten at once. */
static void *mem_raw(size_t size)
{
    void *block = malloc(size ? size : 1);
    if (!block)
        out_of_memory(size);
    return lock_if_on(block, size ? size : 1);
}

void *mem_resize(void *block, size_t count, size_t size)
{
    assert(size > 0);
    if (count > SIZE_MAX / size)
        out_of_memory(SIZE_MAX);
    size_t n = count ? count * size : 1;
    /* Where it moves, realloc() leaves the old bytes behind. */
    void *resized = wipes_freed || !block ? malloc(n) : realloc(block, n);
    if (!resized)
        out_of_memory(n);
    lock_if_on(resized, n);
    if (wipes_freed && block) {
        size_t old = malloc_usable_size(block);
        memcpy(resized, block, old < n ? old : n);
        mem_free(block);
    }
    return resized;
}

void *mem_copy(const void *block, size_t size)
{
    void *copy = mem_raw(size);
    if (size)
        memcpy(copy, block, size);
    return copy;
}

char *string_copy(const char *text)
{
    return string_copy_n(text, strlen(text));
}

char *string_copy_n(const char *text, size_t length)
{
    char *copy = mem_raw(length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

void mem_free(void *block)
{
    if (wipes_freed && block)
        explicit_bzero(block, malloc_usable_size(block));
    free(block);
}

void mem_wipe_freed(void)
{
    wipes_freed = true;
}

void mem_keep_freed(void)
{
    assert(world_is_simulated());
    wipes_freed = false;
}

bool mem_lock_new(bool is_on)
{
    bool was_on = locks_new;
    locks_new = is_on && !world_is_simulated();
    return was_on;
}

bool mem_can_lock(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *block = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool can_lock = block != MAP_FAILED && mlock(block, page) == 0;
    if (block != MAP_FAILED)
        munmap(block, page);
    return can_lock;
}

void mem_wipe(void *block, size_t size)
{
    explicit_bzero(block, size);
}

void close_descriptor(int fd)
{
    if (fd >= 0)
        files_close(fd);
}
