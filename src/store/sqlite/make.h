/*
 * A store where there was none. It is made under another name with all that it begins with, synced
 * once, and then gets its name: it is there as a whole or not at all, and its first commit needs no
 * log.
 */
#pragma once

#include "store/sqlite/files.h"

/* Writes what a new database begins with, each commit in a transaction of its own. When it fails
 * there will be no store. */
typedef int make_fill(void *argument, struct connection *connection, struct error *err);

/*
 * Gives the id that the store in this folder will have, whoever makes it: all who ask before that
 * are told the same. Makes the folder. Where somebody has made it by now, *ret_is_there, and ret_id
 * is untouched.
 */
int make_agree(const struct store_files *files, bool *ret_is_there, char ret_id[UUID_TEXT_SIZE],
               struct error *err);

/* Makes the store, durably; does nothing where somebody has made it by now. id is what was agreed
 * on or NULL, whether anything was or not; fill may be NULL. */
int make_store(const struct store_files *files, const char *id, make_fill *fill, void *argument,
               struct error *err);

/* A database with that id and nothing else in it, under a name where none was. */
int make_database(const char *path, const char *id, struct error *err);
