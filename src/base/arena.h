/* Memory that is taken piece by piece and given back as a whole: a tree's nodes live and die
 * together. */
#pragma once

#include <stddef.h>

/* Zero-initialise it. */
struct arena {
    struct arena_block *blocks; /* owned, the newest first */
    size_t used;                /* bytes of the newest one */
};

void arena_done(struct arena *arena);

/* Zeroed memory, aligned for every type, that lives as long as the arena. */
void *arena_take(struct arena *arena, size_t count, size_t size);
/* A copy of length bytes with a NUL behind. */
char *arena_copy_text(struct arena *arena, const char *text, size_t length);
