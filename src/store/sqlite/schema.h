/* The tables and their versions. */
#pragma once

#include "store/sqlite/connection.h"

/*
 * Brings the tables of a database to the version of this program; those of a new one are made.
 * ERROR_UNSUPPORTED when they are of a newer version. Waits for others who do the same.
 */
int schema_migrate(struct connection *connection, struct error *err);
/* Of the tables as they are; fails as schema_migrate() when this program does not know it. */
int schema_read_version(struct connection *connection, int64_t *ret_version, struct error *err);
/* That of this program. */
int64_t schema_newest_version(void);

/*
 * SQL that makes the indexes by which is found who has a thing, by its own id or by the mark it
 * carries; nothing where they are. Neither comes in any order, so that each record costs two pages
 * more once they are there: they are no part of the tables, and most stores never need them.
 * Whoever lacks them reads all records and is told the same.
 */
extern const char schema_index_owners[];
