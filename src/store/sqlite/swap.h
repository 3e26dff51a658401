/* Another database file in the place of the store's, whose own files stay beside it. */
#pragma once

#include "store/sqlite/files.h"

/* Copies a file, or as much of it as there is; mode 0600, synced. */
int swap_copy(const char *from, const char *to, struct error *err);

/*
 * Keeps all others from opening the database, and sees that nobody has it open (ERROR_BUSY), until
 * *ret_fd is closed; -1 when there is no such file.
 */
int swap_lock(const struct store_files *files, int *ret_fd, struct error *err);

/*
 * Puts the database of a finished file, which has no log, in the store's place: its files are
 * renamed to *ret_kept (owned; NULL when there were none) and then that one takes the name. A crash
 * in between leaves a store that is missing, which is told, and the finished file: swap_finish()
 * goes on with it.
 */
int swap_in(const struct store_files *files, const char *draft, const char *id, char **ret_kept,
            struct error *err);
/* Goes on with a swap that a crash ended; *ret_is_done tells whether there was one. */
int swap_finish(const struct store_files *files, bool *ret_is_done, struct error *err);
