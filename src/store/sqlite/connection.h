/*
 * A connection to the database, and what is asked over it in SQL. One thread at a time uses it. No
 * function here waits on the loop.
 */
#pragma once

#include "store/driver.h"

#include <sqlite3.h>

#define CONNECTION_APPLICATION_ID 0x50726c79 /* "Prly" */

/* The journal of the run that the batch under way writes into: what the run's row will say of it.
 */
struct journal_chain {
    char run[UUID_TEXT_SIZE]; /* empty: none */
    int64_t run_row;
    char digest[DIGEST_HEX_SIZE];
    int64_t n_new; /* rows that the run's row does not count yet */
};

struct connection {
    sqlite3 *database;                        /* owned */
    const char *path;                         /* borrowed: of the database file, for errors */
    sqlite3_stmt *queries[QUERY_COUNT];       /* owned; NULL until first asked */
    sqlite3_stmt *changes[CHANGE_KIND_COUNT]; /* owned; the same */
    sqlite3_stmt *updates[CHANGE_KIND_COUNT]; /* owned; the same, of those that have one */
    sqlite3_stmt *find_chain;                 /* owned; the same */
    sqlite3_stmt *put_chain;                  /* owned; the same */
    sqlite3_stmt *find_plan;                  /* owned; the same */
    sqlite3_stmt *last_audit;                 /* owned; the same */
    struct journal_chain chain;
};

/*
 * Opens a database file that is there; path must outlive the connection. patience_ms: how long to
 * wait, blocking, for other processes before ERROR_BUSY.
 */
int connection_open(struct connection *connection, const char *path, int patience_ms,
                    struct error *err);
/* Accepts one that was never or only half opened. */
void connection_done(struct connection *connection);

/* Runs SQL without parameters or answers. */
int connection_run(struct connection *connection, const char *sql, struct error *err);
/* The first column of the first row; 0 or NULL (which the caller frees) when there is none. */
int connection_ask_number(struct connection *connection, const char *sql, int64_t *ret_number,
                          struct error *err);
int connection_ask_text(struct connection *connection, const char *sql, char **ret_text,
                        struct error *err);

/* As store_ops.read, but without waiting: -ERROR_BUSY comes before the first row or not at all. */
int connection_query(struct connection *connection, enum store_query query,
                     const struct store_row *parameters, store_visit *visit, void *argument,
                     struct error *err);

/*
 * Carries out the changes of a batch within the transaction under way. *ret_seq is set by its
 * journal rows. On failure some may be done: the caller takes them back.
 */
int connection_change(struct connection *connection, const struct store_batch *batch,
                      int64_t *ret_seq, struct error *err);

/* The error for the newest failure of the connection. */
int connection_fault(struct connection *connection, struct error *err);
/* ERROR_CORRUPT with what was found and what can be done. */
int connection_corrupt(const char *path, const char *what, struct error *err);
