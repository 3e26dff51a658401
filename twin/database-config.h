/* The files of one PostgreSQL server as text. Pure: it reads no file and starts nothing. */
#pragma once

#include "base/strbuf.h"
#include "model/resource.h"
#include "twin/machine.h"

#include <stddef.h>

/* Roles and the database that every cluster has. The superuser, postgres, has no password: only the
 * supervisor's own user can be it, over the socket in the state folder. */
#define DATABASE_NAME "application"
#define DATABASE_APPLICATION_ROLE "application"
#define DATABASE_REPLICATION_ROLE "replicator"
#define DATABASE_SUPERUSER "postgres"

/* One server of a cluster; all borrowed. */
struct database_config {
    const struct machine_database *database;
    const struct machine_host *host;
    const struct machine_host *primary;
    const char *socket_folder;
    const char *hba_file;
    const char *ident_file;
    const char *password_file; /* of the replication role, for a replica */
    const char *archive;       /* folder for the write-ahead log; NULL without backup */
    const char *system_user;   /* the supervisor's own, by name */
};

void database_write_settings(struct strbuf *out, const struct database_config *config);
void database_write_hba(struct strbuf *out, const struct database_config *config);
void database_write_ident(struct strbuf *out, const struct database_config *config);

/* How a replica finds its primary: libpq's conninfo, without the password. */
void database_write_primary(struct strbuf *out, const struct database_config *config);
/* How a workload finds the cluster. */
void database_write_access(struct strbuf *out, const struct machine_database *database,
                           const struct machine_host *primary, const char *password);

/* What a host is called in replication, its slot and its application_name: a host's name has
 * dashes, a slot's has none. The caller frees it. */
char *database_slot(const char *host);

/* ANY 1 (db_1, db_2): one of these replicas must have a commit before it counts; who is fenced is
 * none of them. "" without any. The caller frees it. */
char *database_standby_names(const struct machine_database *database,
                             const struct machine_host *primary, const struct string_list *fenced);
