/* A connection's own side: statements that are prepared once and run many times. */
#pragma once

#include "store/sqlite/connection.h"

enum { CELLS_MAX = 20 /* of a row */ };

/* Into *statement, unless it is there already; the connection owns it. */
int connection_prepare(struct connection *connection, const char *sql, sqlite3_stmt **statement,
                       struct error *err);
/* A row's cells as its parameters. The texts of the row must live until the statement is reset. */
int connection_bind(struct connection *connection, sqlite3_stmt *statement,
                    const struct store_row *row, struct error *err);
/* Ready for its next use. */
void connection_release(sqlite3_stmt *statement);
