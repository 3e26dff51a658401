/*
 * Loaded before the program under test: counts the blocks of memory it asks for and how often it
 * waits for the disk, and at its end adds a line "BLOCKS SYNCS" to the file that $PARLEY_COUNTS
 * names. Children count for themselves.
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): libc's names are reserved */

static atomic_ulong n_blocks;
static atomic_ulong n_syncs;

void *malloc(size_t size)
{
    static void *(*next)(size_t);
    if (!next)
        next = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    atomic_fetch_add(&n_blocks, 1);
    return next(size);
}

void *calloc(size_t count, size_t size)
{
    static void *(*next)(size_t, size_t);
    if (!next)
        next = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
    atomic_fetch_add(&n_blocks, 1);
    return next(count, size);
}

void *realloc(void *block, size_t size)
{
    static void *(*next)(void *, size_t);
    if (!next)
        next = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
    atomic_fetch_add(&n_blocks, 1);
    return next(block, size);
}

int fsync(int fd)
{
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    atomic_fetch_add(&n_syncs, 1);
    return next(fd);
}

int fdatasync(int fd)
{
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    atomic_fetch_add(&n_syncs, 1);
    return next(fd);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("PARLEY_COUNTS");
    unsigned long blocks = atomic_load(&n_blocks);
    unsigned long syncs = atomic_load(&n_syncs);
    FILE *file = path ? fopen(path, "ae") : NULL;
    if (!file)
        return;
    fprintf(file, "%lu %lu\n", blocks, syncs);
    fclose(file);
}
