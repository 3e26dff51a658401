/*
 * What was made of a text, kept for when the same text comes again. For the simulator, whose many
 * processes read the same texts in one: it keeps secrets, too, and has one thread.
 */
#pragma once

#include <stddef.h>

/* Zero-initialised it keeps nothing. */
struct memo {
    struct memo_entry *entries; /* owned; NULL: it keeps nothing */
    void (*release)(void *item);
};

/* From now on it keeps; only on a simulated machine. release() gets what it keeps no longer. */
void memo_begin(struct memo *memo, void (*release)(void *item));
void memo_end(struct memo *memo);
/* What is kept for the text of this name, which the memo owns; NULL: nothing. */
void *memo_find(const struct memo *memo, const char *name, const char *text, size_t size);
/* Keeps it for that text, which is copied, in place of another. It must have begun. */
void memo_keep(struct memo *memo, const char *name, const char *text, size_t size, void *take_item);
