/* The module of databases: PostgreSQL primaries and the replicas that follow them. */
#pragma once

#include "twin/module.h"

/*
 * The file with the libpq conninfo by which workloads reach a database; only their user reads it.
 * It is there once the database was made. The caller frees *ret_path.
 */
int database_access_file(struct twin *twin, const struct machine_database *database,
                         char **ret_path, struct error *err);
