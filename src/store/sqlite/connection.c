#include "store/sqlite/connection.h"

#include "base/teeth.h"
#include "store/sqlite/connection-private.h"
#include "store/sqlite/pages.h"
#include "store/sqlite/statements.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int connection_corrupt(const char *path, const char *what, struct error *err)
{
    return error_set(
        err, ERROR_CORRUPT,
        "%s: %s. Nothing was changed and nothing guessed. \"parley state check\" names all that "
        "is damaged, \"parley state repair\" keeps what is whole, and \"parley state restore\" "
        "brings a snapshot back",
        path, what);
}

static bool is_full(int system_error)
{
    return system_error == ENOSPC || system_error == EDQUOT || system_error == EFBIG;
}

/* SQLite keeps the cause of a failed statement, but not that of a failed commit: that may still be
 * in errno, which is cleared before each. */
static int system_cause(sqlite3 *database)
{
    int cause = errno;
    int kept = sqlite3_system_errno(database);
    return kept != 0 ? kept : cause;
}

int connection_fault(struct connection *connection, struct error *err)
{
    int cause = system_cause(connection->database);
    const char *path = connection->path;
    const char *message = sqlite3_errmsg(connection->database);
    int extended = sqlite3_extended_errcode(connection->database);
    if (extended == SQLITE_IOERR_DATA || extended == SQLITE_IOERR_CORRUPTFS)
        return connection_corrupt(path, "a page's checksum is wrong", err);
    switch (extended & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return connection_corrupt(path, message, err);
    case SQLITE_FULL:
        return error_set(
            err, ERROR_LIMIT,
            "%s: the disk is full, so nothing was written; make room, then run it again", path);
    case SQLITE_TOOBIG:
        return error_set(err, ERROR_LIMIT, "%s: a value is larger than the store can keep", path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(err, ERROR_BUSY, "%s: other processes did not let go of it", path);
    case SQLITE_NOMEM:
        return error_set(err, ERROR_LIMIT, "%s: out of memory; nothing was changed", path);
    default:
        break;
    }
    bool is_system = (extended & 0xff) == SQLITE_IOERR || (extended & 0xff) == SQLITE_CANTOPEN;
    if (is_system && is_full(cause))
        return error_set(err, ERROR_LIMIT, "%s: there is no more room for it (%s)", path,
                         strerror(cause));
    if (is_system && cause != 0)
        return error_set(err, ERROR_UNAVAILABLE, "%s: %s (%s)", path, message, strerror(cause));
    return error_set(err, ERROR_UNAVAILABLE, "%s: %s", path, message);
}

/* Whatever a damaged or foreign file says, its schema runs nothing of its own. */
static int set_up(struct connection *connection, struct error *err)
{
    sqlite3_db_config(connection->database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(connection->database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(connection->database, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    int r = connection_run(connection,
                           "PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; "
                           "PRAGMA mmap_size = 0; PRAGMA journal_size_limit = 67108864; "
                           "PRAGMA cell_size_check = ON;",
                           err);
    if (r == 0 && TOOTH(NO_SYNC))
        r = connection_run(connection, "PRAGMA synchronous = OFF", err);
    return r;
}

int connection_open(struct connection *connection, const char *path, int patience_ms,
                    struct error *err)
{
    *connection = (struct connection){.path = path};
    int rc = sqlite3_open_v2(path, &connection->database,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, pages_file_layer());
    if (rc != SQLITE_OK)
        return connection_fault(connection, err);
    sqlite3_extended_result_codes(connection->database, 1);
    sqlite3_busy_timeout(connection->database, patience_ms);
    return set_up(connection, err);
}

void connection_done(struct connection *connection)
{
    for (size_t i = 0; i < QUERY_COUNT; i++)
        sqlite3_finalize(connection->queries[i]);
    for (size_t i = 0; i < CHANGE_KIND_COUNT; i++) {
        sqlite3_finalize(connection->changes[i]);
        sqlite3_finalize(connection->updates[i]);
    }
    sqlite3_finalize(connection->find_chain);
    sqlite3_finalize(connection->put_chain);
    sqlite3_finalize(connection->find_plan);
    sqlite3_finalize(connection->last_audit);
    int rc = sqlite3_close(connection->database);
    assert(rc == SQLITE_OK);
    (void)rc;
    *connection = (struct connection){0};
}

int connection_run(struct connection *connection, const char *sql, struct error *err)
{
    errno = 0;
    if (sqlite3_exec(connection->database, sql, NULL, NULL, NULL) != SQLITE_OK)
        return connection_fault(connection, err);
    return 0;
}

/* The one answer, as the statement that holds it; *ret_statement is NULL when there is none. */
static int ask(struct connection *connection, const char *sql, sqlite3_stmt **ret_statement,
               struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(connection->database, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        *ret_statement = statement;
        return 0;
    }
    int r = rc == SQLITE_DONE ? 0 : connection_fault(connection, err);
    sqlite3_finalize(statement);
    *ret_statement = NULL;
    return r;
}

int connection_ask_number(struct connection *connection, const char *sql, int64_t *ret_number,
                          struct error *err)
{
    sqlite3_stmt *statement;
    int r = ask(connection, sql, &statement, err);
    if (r < 0)
        return r;
    *ret_number = statement ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return 0;
}

int connection_ask_text(struct connection *connection, const char *sql, char **ret_text,
                        struct error *err)
{
    sqlite3_stmt *statement;
    int r = ask(connection, sql, &statement, err);
    if (r < 0)
        return r;
    const char *text = statement ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    *ret_text = text ? string_copy(text) : NULL;
    sqlite3_finalize(statement);
    return 0;
}

int connection_prepare(struct connection *connection, const char *sql, sqlite3_stmt **statement,
                       struct error *err)
{
    if (!*statement && sqlite3_prepare_v3(connection->database, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                          statement, NULL) != SQLITE_OK)
        return connection_fault(connection, err);
    return 0;
}

int connection_bind(struct connection *connection, sqlite3_stmt *statement,
                    const struct store_row *row, struct error *err)
{
    assert((size_t)sqlite3_bind_parameter_count(statement) == row->n_cells);
    for (size_t i = 0; i < row->n_cells; i++) {
        const struct store_cell *cell = &row->cells[i];
        int column = (int)i + 1;
        int rc = !cell->is_text ? sqlite3_bind_int64(statement, column, cell->number)
                 : !cell->text
                     ? sqlite3_bind_null(statement, column)
                     : sqlite3_bind_text64(statement, column, cell->text, strlen(cell->text),
                                           SQLITE_STATIC, SQLITE_UTF8);
        if (rc != SQLITE_OK)
            return connection_fault(connection, err);
    }
    return 0;
}

void connection_release(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

/* No text of ours holds a NUL: a page that was lost does. A connection is used by one thread at a
 * time, so that a cell is looked up once, and asked without the locks of sqlite3_column_*(). */
static int read_row(struct connection *connection, sqlite3_stmt *statement, struct store_row *row,
                    struct error *err)
{
    row->n_cells = (size_t)sqlite3_column_count(statement);
    assert(row->n_cells <= CELLS_MAX);
    for (size_t i = 0; i < row->n_cells; i++) {
        sqlite3_value *value = sqlite3_column_value(statement, (int)i);
        struct store_cell *cell = &row->cells[i];
        *cell = (struct store_cell){.is_text = sqlite3_value_type(value) != SQLITE_INTEGER};
        if (!cell->is_text)
            cell->number = sqlite3_value_int64(value);
        else
            cell->text = (char *)sqlite3_value_text(value);
        if (cell->text && strlen(cell->text) != (size_t)sqlite3_value_bytes(value))
            return connection_corrupt(connection->path, "part of a text is missing", err);
    }
    return 0;
}

int connection_query(struct connection *connection, enum store_query query,
                     const struct store_row *parameters, store_visit *visit, void *argument,
                     struct error *err)
{
    sqlite3_stmt **statement = &connection->queries[query];
    int r = connection_prepare(connection, query_texts[query], statement, err);
    if (r < 0)
        return r;
    r = connection_bind(connection, *statement, parameters, err);
    struct store_cell cells[CELLS_MAX];
    struct store_row row = {.cells = cells};
    int rc = SQLITE_ROW;
    while (r == 0 && (rc = sqlite3_step(*statement)) == SQLITE_ROW) {
        r = read_row(connection, *statement, &row, err);
        if (r == 0)
            r = visit(argument, &row, err);
    }
    if (r == 0 && rc != SQLITE_DONE)
        r = connection_fault(connection, err);
    connection_release(*statement);
    return r;
}
