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
    char *marker_draft; /* what becomes the marker; of a store that is not made yet, see make.h */
};

void store_files_init(struct store_files *files, const char *folder);
void store_files_done(struct store_files *files);

/* Whether there is a database, which may then be opened; errors as store_open_sqlite(). */
int store_files_look(const struct store_files *files, bool *ret_is_there, struct error *err);
/* The same where there must be one: ERROR_NOT_FOUND. */
int store_files_need(const struct store_files *files, struct error *err);

/*
 * After opening: that the database is ours, of a version this program knows (older ones are
 * migrated), and the one its marker names.
 */
int store_files_check(const struct store_files *files, struct connection *connection,
                      char ret_id[UUID_TEXT_SIZE], struct error *err);

/* The same of a store that must have this id: ERROR_CONFLICT when it has another. */
int store_files_check_same(const struct store_files *files, struct connection *connection,
                           const char *id, struct error *err);

/* Switches the log on, which somebody may have switched off with another program. */
int store_files_use_log(struct connection *connection, struct error *err);

/* --- The parts of these, for who looks at a store that may be damaged --- */

/* ERROR_CORRUPT when something is there that belongs to a database, which is not. */
int store_files_check_missing(const struct store_files *files, struct error *err);
int store_files_check_application(const struct store_files *files, struct connection *connection,
                                  struct error *err);
/* The id that the database itself states. */
int store_files_read_id(const struct store_files *files, struct connection *connection,
                        char ret_id[UUID_TEXT_SIZE], struct error *err);
/* A marker that is missing is made; ERROR_CORRUPT when it names another store. */
int store_files_check_marker(const struct store_files *files, const char *id, struct error *err);
int store_files_write_marker(const struct store_files *files, const char *id, struct error *err);
/* The first half of that: it is there, and synced, under its other name. */
int store_files_draft_marker(const struct store_files *files, const char *id, struct error *err);
/* Gives a file its name, durably; one that cannot get it is removed. */
int store_files_name(const struct store_files *files, const char *draft, const char *path,
                     struct error *err);

/* One maker at a time: the folder itself is locked, so that no lock file stays behind. Closing the
 * descriptor lets go. */
int store_files_lock(const char *folder, int *ret_fd, struct error *err);
/* That the files in a folder, or a file, may be changed. */
int store_files_check_access(const char *path, int mode, struct error *err);
/* An empty file of the right mode, which SQLite's own files beside it take over. */
int store_files_make_empty(const char *path, struct error *err);
/* The same with this content. */
int store_files_write_new(const char *path, const char *content, bool durable, struct error *err);
int store_files_sync_folder(const char *folder, struct error *err);
/* A failed call's negated errno, as the code its cause deserves. */
int store_files_error(int r, const char *verb, const char *path, struct error *err);
