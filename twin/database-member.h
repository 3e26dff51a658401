/* One PostgreSQL server of a cluster: its files, its process, and what it says of itself. */
#pragma once

#include "twin/database-config.h"
#include "twin/database-data.h"
#include "twin/postgres.h"

#include <stdbool.h>

/* The paths of one server; owned. */
struct database_paths {
    char *folder; /* the children's: sockets and, in it, the data */
    char *data;
    char *config; /* ours: a folder of the files below */
    char *settings;
    char *hba;
    char *ident;
    char *password; /* readable by the children's user only */
};

/* What a server counts of the application's database. */
enum database_figure {
    DATABASE_CONNECTIONS, /* now */
    DATABASE_COMMITS,     /* since its statistics began, as the next */
    DATABASE_ROLLBACKS,
    DATABASE_DEADLOCKS,
    DATABASE_FIGURE_COUNT
};

struct database_member {
    struct twin *twin;
    const struct database_programs *programs; /* borrowed */
    char *name;                               /* owned; of its host */
    struct database_paths paths;
    char *archive; /* owned; the folder that its log is archived to, or NULL */
    uint16_t port;
    bool is_begun;             /* all but the databases was copied for it */
    bool is_made;              /* its data was made in this life of ours and is not durable yet */
    struct process *process;   /* owned; NULL while it was not started */
    struct postgres *postgres; /* owned; the supervisor's own connection, NULL without one */
    bool is_asking;            /* somebody uses that connection now */
    bool is_warm;              /* see database_member_warm() */
    struct gate asked;         /* opened when nobody does any more */
    char *version;             /* owned; "15.13", "" before it was asked */
    char *copied_because; /* owned; why its data was copied anew in this life; NULL: it was not */
    char *resource;       /* owned; the uid of the cluster that its data belongs to */
    bool is_replica;      /* as it said last, as what follows */
    int64_t figures[DATABASE_FIGURE_COUNT];
    struct database_replica *replicas; /* owned; those that follow it */
    size_t n_replicas;
};

/* Who follows a primary. */
struct database_replica {
    char *slot;       /* owned; see database_slot() */
    char *state;      /* owned; "streaming", "startup", "catchup" ... */
    char *sync_state; /* owned; "async", "sync", "quorum" ... */
    int64_t lag;      /* bytes that it has not replayed */
    int64_t lag_us;   /* how long the newest that it replayed took to get there; 0: all is there */
};
/* NULL when that one does not follow it. */
const struct database_replica *database_member_find_replica(const struct database_member *member,
                                                            const char *slot);

/* The folders are made by the module: files for the children to write, and for us only. */
struct database_member *database_member_new(struct twin *twin,
                                            const struct database_programs *programs,
                                            const char *data_folder, const char *config_folder,
                                            const char *host, const char *resource);
/* Stops it; its data stays. Accepts NULL. */
CO_FN void database_member_free(struct database_member *member);
/* Removes its files; it must not run any more. */
void database_member_erase(struct database_member *member);

/* Whether whole data of its cluster is there. */
bool database_member_has_data(const struct database_member *member);
/* Where there is none: whether there is some that is not whole, since a life before this one ended
 * while it was copied or rewound. */
bool database_member_has_remains(const struct database_member *member);
/* Makes the data of an empty cluster: no roles, and not the database of workloads. */
CO_FN int database_member_begin(struct database_member *member, const struct database_maker *maker,
                                struct error *err);
/* Copies FROM/data for a replica, see database_data_copy_state(): what goes before the first start
 * there, and what may go beside it. */
CO_FN int database_member_copy_state(struct database_member *member,
                                     const struct database_maker *maker, const char *from,
                                     struct error *err);
CO_FN int database_member_copy_databases(struct database_member *member,
                                         const struct database_maker *maker, const char *from,
                                         struct error *err);
/* Copies FROM/data that was never started, for a primary or a replica. */
CO_FN int database_member_copy(struct database_member *member, const struct database_maker *maker,
                               const char *from, bool is_replica, struct error *err);
/* As that, with data that was copied before; ERROR_NOT_FOUND when there is none. */
int database_member_take(struct database_member *member, const struct database_maker *maker,
                         bool is_replica, struct error *err);
/*
 * Lets commits wait for these replicas, see synchronous_standby_names, from its first start on: by
 * the file that "alter system" would write.
 */
int database_member_confirm(struct database_member *member, const char *standby_names, bool durable,
                            struct error *err);
/* Notes that data which was made now is durable: until then, the next life makes it anew. */
int database_member_keep(struct database_member *member, struct error *err);
/* Whether its data, where it has some, follows a primary. */
bool database_member_was_replica(const struct database_member *member);
/*
 * Makes data that was a primary's follow the one that runs: what it wrote and that one has not is
 * taken out; database_member_configure() comes first. On failure it has no data any more.
 */
CO_FN int database_member_rewind(struct database_member *member,
                                 const struct database_config *config, struct error *err);
/* Makes a replica of a primary that runs; database_member_configure() comes first. */
CO_FN int database_member_clone(struct database_member *member,
                                const struct database_config *config, struct error *err);

/*
 * Writes its files and starts it, or lets it read them again when they changed. password is the
 * replication role's.
 */
int database_member_configure(struct database_member *member, struct database_config *config,
                              const char *password, bool *ret_changed, struct error *err);
/* Starts it when it does not run; launch does not wait until it answers. */
int database_member_launch(struct database_member *member, struct error *err);
CO_FN int database_member_start(struct database_member *member, int64_t deadline,
                                struct error *err);
/* Stops it and does not free it. */
CO_FN void database_member_stop(struct database_member *member);
/* As that, but lets clients in no more and gives those that are there until then to end. */
CO_FN void database_member_drain(struct database_member *member, int64_t deadline);

/* Asks what it is and who follows it; also done every second while it runs. */
CO_FN int database_member_look(struct database_member *member, struct error *err);

/*
 * Comes to the database that workloads use, once for each start. Who comes first reads the catalog
 * and leaves what it found in a file for all others: several who come at once would each read it.
 * That it cannot is no failure.
 */
CO_FN void database_member_warm(struct database_member *member);

/*
 * Has it write out all that it holds in memory, and waits for that. On a busy server it may take
 * minutes: it is asked for at a connection of its own, so that nobody else waits. ERROR_UNAVAILABLE
 * when that did not come to an end.
 */
CO_FN int database_member_checkpoint(struct database_member *member, struct error *err);

/* Runs one statement as superuser; see postgres_query(). */
CO_FN int database_member_query(struct database_member *member, const char *statement,
                                const char *const *parameters, size_t n_parameters,
                                int64_t deadline, PGresult **ret_result, struct error *err);
