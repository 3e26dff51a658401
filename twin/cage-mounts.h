/* What one program alone finds in its cage: see struct cage_mount. For cage.c only. */
#pragma once

#include "twin/cage.h"

enum { CAGE_MOUNTS_LIMIT = 64 };

/* Mounts that are nowhere yet; -1 for memory. */
struct cage_trees {
    int items[CAGE_MOUNTS_LIMIT];
};

/* Where the folders are seen, before the cage is entered. Returns 0 or a negative errno. */
int cage_mounts_take(const struct cage_files *files, struct cage_trees *ret_trees);
/*
 * In the cage, in a mount namespace of one's own in which "/" may be changed. No link is followed
 * on the way to a target. Returns 0 or a negative errno.
 */
int cage_mounts_place(const struct cage_files *files, const struct cage_trees *trees);
