/* The store's files in their folder: made as a whole, and never taken for what they are not. */
#pragma once

#include "base/digest.h"
#include "store/sqlite/connection.h"

#include <stdbool.h>

/* All owned. */
struct store_files {
    char *folder;
    char *database; /* FOLDER/parley.db */
    char *log;      /* what SQLite puts beside it: commits that are not in it yet */
    char *marker; /* FOLDER/parley.id: the store's id, so that a database that is gone is missed */
};

void store_files_init(struct store_files *files, const char *folder);
void store_files_done(struct store_files *files);

/* Sees that there is a database that may be opened, making it when create; errors as
 * store_open_sqlite(). */
int store_files_prepare(const struct store_files *files, bool create, struct error *err);

/*
 * After opening: that the database is ours, of a version this program knows (older ones are
 * migrated), and the one its marker names.
 */
int store_files_check(const struct store_files *files, struct connection *connection,
                      char ret_id[UUID_TEXT_SIZE], struct error *err);
