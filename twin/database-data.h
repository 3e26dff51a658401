/* The data that a cluster begins with: made by initdb, or copied. No password is in it. */
#pragma once

#include "twin/module.h"

/* Where PostgreSQL's programs are; found once. */
struct database_programs {
    char *postgres; /* owned, as all */
    char *initdb;
    char *base_backup;
    char *rewind;
};

/* Who makes it; all borrowed. */
struct database_maker {
    struct twin *twin;
    const struct database_programs *programs;
    const char *folder; /* the children's, which all data lies in */
    /* What runs now is put here, so that it can be killed. NULL: it runs to its end. */
    struct process **running;
    const bool *is_ending; /* nothing is begun any more; NULL: never */
};

/* Runs initdb. Nothing is synced, here and in the next two. */
CO_FN int database_data_begin(const struct database_maker *maker, const char *data,
                              struct error *err);
/* Adds the roles and the database that every cluster has. */
CO_FN int database_data_fill(const struct database_maker *maker, const char *data,
                             struct error *err);
/* Both. */
CO_FN int database_data_create(const struct database_maker *maker, const char *data,
                               struct error *err);
/*
 * Copies of FROM/data, which has begun, what fill does not change, and that is most of it: so it
 * may be filled meanwhile. data is an empty folder of the children's.
 */
CO_FN int database_data_copy_early(const struct database_maker *maker, const char *from,
                                   const char *data, struct error *err);
/* Copies the rest, and whatever is newer in FROM/data than what was copied early. */
CO_FN int database_data_copy_rest(const struct database_maker *maker, const char *from,
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
