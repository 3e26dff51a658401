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
