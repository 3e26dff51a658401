/*
 * The store in a folder as files: looked at, put right, copied and put back. For the commands that
 * care for a store which may be damaged; everything else opens it (store.h).
 *
 * All of this reads or writes the whole store and blocks the thread for that long.
 */
#pragma once

#include "base/digest.h"
#include "base/error.h"
#include "model/value.h"

/*
 * Looks at every page and every row. Changes nothing, also while others use it. Fails only when
 * nothing could be looked at; damage is an answer: *ret_report is a map {id (null when it cannot be
 * read), rows: {TABLE: number}, faults: [text]}.
 */
int store_examine(const char *folder, struct value **ret_report, struct error *err);

/*
 * Puts a damaged store right as far as that can be proved: a page or a frame of the log in which
 * one byte is wrong is mended, as its checksum says; else the rows that can still be read are taken
 * over into a new file. Nothing is made up, and the old files stay beside the new one.
 *
 * *ret_report is a map {mended: [text], lost: [text], kept: path of the old file or null}; all of
 * them are empty when there was nothing to do. ERROR_BUSY while another process has the store open;
 * ERROR_CORRUPT, and nothing is changed, when too little can be read.
 */
int store_repair(const char *folder, struct value **ret_report, struct error *err);

/*
 * Writes a copy of the store as it is at one moment to a file, which has mode 0600; others may use
 * the store meanwhile. ERROR_EXISTS when the file is there, ERROR_CORRUPT when the store is
 * damaged: a damaged one makes no snapshot.
 */
int store_snapshot(const char *folder, const char *path, struct error *err);

/*
 * Copies a snapshot to FOLDER/parley.db, in a folder that has no store, and looks at every page and
 * row of it: ERROR_CORRUPT when it is damaged, ERROR_INVALID when it is no snapshot.
 */
int store_unpack(const char *path, const char *folder, struct error *err);

/*
 * Puts a snapshot's file in the place of the store's, which stays beside it under another name; it
 * may be damaged or gone. *ret_kept (owned) is that name, NULL when there was none. ERROR_BUSY as
 * store_repair(); ERROR_CONFLICT when the folder's marker names another store than the snapshot.
 */
int store_put_back(const char *path, const char *folder, char **ret_kept, struct error *err);
/* Removes what store_unpack() made and opening it left, and the folder. */
void store_remove_unpacked(const char *folder);
