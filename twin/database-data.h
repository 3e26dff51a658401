/* The data that a cluster begins with: made by initdb, or copied. No password is in it. */
#pragma once

#include "twin/database-programs.h"
#include "twin/module.h"

/* Who makes it; all borrowed. */
struct database_maker {
    struct twin *twin;
    const struct database_programs *programs;
    const char *folder; /* the children's, which all data lies in */
    /* What runs now is put here, so that it can be killed. NULL: it runs to its end. */
    struct process **running;
    const bool *is_ending; /* nothing is begun any more; NULL: never */
};

/* Runs initdb. Nothing is synced, here and in what follows. */
CO_FN int database_data_begin(const struct database_maker *maker, const char *data,
                              struct error *err);
/* As that, and adds the roles and the database that every cluster has. */
CO_FN int database_data_create(const struct database_maker *maker, const char *data,
                               struct error *err);
/*
 * Copies FROM/data, which was never started, in two steps, to an empty folder of the children's:
 * first all but the databases, which is little, and names the end of the log. Then a server may
 * start on FROM/data while the databases are copied: what it changes there it writes to its log
 * first, whole pages, and the copy follows that log from that end on.
 */
CO_FN int database_data_copy_state(const struct database_maker *maker, const char *from,
                                   const char *data, struct error *err);
CO_FN int database_data_copy_databases(const struct database_maker *maker, const char *from,
                                       const char *data, struct error *err);
/* Copies FROM/data, of a server that does not run, to a path that does not exist yet. */
CO_FN int database_data_copy(const struct database_maker *maker, const char *from, const char *data,
                             struct error *err);
/* As that, but to folder/data. */
CO_FN int database_data_copy_into(const struct database_maker *maker, const char *from,
                                  const char *folder, struct error *err);
/* Makes all that was written below the folder survive a crash of the machine. */
CO_FN int database_data_sync(const struct database_maker *maker, const char *folder,
                             struct error *err);

/* As that, file by file: slower by far, but it can be killed in between. Folder is relative to
 * where. */
CO_FN int database_data_sync_files(const struct database_maker *maker, const char *where,
                                   const char *folder, struct error *err);

/* What the data depends on: that of other programs, or made otherwise, has another text. The
 * caller frees it; NULL when the programs are gone. */
char *database_data_describe(const struct database_maker *maker);
