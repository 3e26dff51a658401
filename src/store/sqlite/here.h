/*
 * Which databases this process has open. POSIX locks, by which SQLite keeps processes apart, belong
 * to the process and the file: whoever opens a file that SQLite has locked, and closes it, takes
 * all locks of the process from it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* A database file, whatever its path. */
struct here_file {
    dev_t device;
    ino_t number;
    bool is_noted;
};
/* Notes that the database is open once more, so that here_has() knows. */
void here_add(const char *database, struct here_file *ret_file);
void here_remove(struct here_file *file); /* does nothing for one that is not noted */
bool here_has(const char *database);
