/* What somebody with the database's file in hand may do. */
#pragma once

#include "contract/store-folder.h"

#include <sqlite3.h>

/* Runs SQL as a program would that knows how the file is written, but not the chain; prints why it
 * failed. */
static inline bool run_sql(const char *sql)
{
    sqlite3 *database = NULL;
    int rc =
        sqlite3_open_v2(path_of("parley.db"), &database, SQLITE_OPEN_READWRITE, "parley-pages");
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(database, sql, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        printf("# %s: %s\n", sql, sqlite3_errmsg(database));
    sqlite3_close(database);
    return rc == SQLITE_OK;
}
