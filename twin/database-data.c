#include "twin/database-data.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "twin/database-config.h"
#include "twin/service.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    CREATE_TIME = 60 * 1000 * 1000, /* microseconds */
    SYNC_TIME = 120 * 1000 * 1000,
    OUTPUT_LIMIT = 256 * 1024,
    VERSION_LIMIT = 64,
    ASIDE = 19 /* the niceness of what nobody waits for */
};

/* What initdb is told. Segments of 4 MB: each member begins with one, and has to write it whole. */
#define INITDB_OPTIONS                                                                           \
    "--no-sync", "--no-locale", "--no-instructions", "--encoding=UTF8", "--wal-segsize=4", "-U", \
        DATABASE_SUPERUSER, "--auth-local=peer", "--auth-host=scram-sha-256"

static const char *const initdb_options[] = {INITDB_OPTIONS};

/* The roles get their passwords when a cluster is started; before that nobody can be them. */
#define CREATE_ROLES                                   \
    "create role " DATABASE_APPLICATION_ROLE " login", \
        "create role " DATABASE_REPLICATION_ROLE " login replication"
#define CREATE_DATABASE "create database " DATABASE_NAME " owner " DATABASE_APPLICATION_ROLE

static const char *const statements[] = {CREATE_ROLES, CREATE_DATABASE};

/* A server for one user, which takes a statement a line; $0 is it, $1 the data. */
static const char script[] = "data=$1; shift; printf '%s\\n' \"$@\" | "
                             "\"$0\" --single -F -c exit_on_error=true -D \"$data\" template1";

/* Everything in data but base; its arguments are the first of cp's. */
static const char copy_state[] =
    "for entry in data/*; do [ \"$entry\" = data/base ] || set -- \"$@\" \"$entry\"; done; "
    "exec cp -R --reflink=auto \"$@\"";

/* --- Making and copying --- */

/* It sees and may change the folder that all data lies in, and the one that it runs in. */
static CO_FN int run(const struct database_maker *maker, const char *name, const char *folder,
                     const char *const *arguments, int64_t time, struct error *err)
{
    /* With a time zone given, initdb does not look through all there are; ours is in our own file.
     */
    static const char *const environment[] = {"TZ=UTC", NULL};
    struct process *process;
    int status;
    const char *const written[] = {maker->folder, folder, NULL};
    struct process_spec spec = {.name = name,
                                .folder = folder,
                                .files.written = written,
                                .arguments = arguments,
                                .environment = environment,
                                .user = PROCESS_POSTGRES};
    int64_t deadline = world_monotonic_clock() + time;
    if (maker->is_ending && *maker->is_ending)
        return error_set(err, ERROR_CANCELLED, "the twin ends");
    if (!maker->running)
        return process_run(maker->twin->processes, &spec, OUTPUT_LIMIT, deadline, NULL, err);
    spec.stop_signal = SIGKILL;
    spec.niceness = ASIDE;
    int r = process_start(maker->twin->processes, &spec, &process, err);
    if (r < 0)
        return r;
    *maker->running = process;
    r = process_wait_end(process, deadline, &status, err);
    *maker->running = NULL;
    if (r == 0 && status != 0)
        r = error_set(err, ERROR_UNAVAILABLE, "%s failed", name);
    process_stop(process);
    return r;
}

/* Since version 15 a database is made by writing it to the log, unless told otherwise: data that
 * nobody uses yet is better copied. */
static const char *strategy_of(const char *data)
{
    CLEANUP(mem_freep) char *path = string_format("%s/PG_VERSION", data);
    CLEANUP(mem_freep) char *version = NULL;
    if (world_read_file(path, VERSION_LIMIT, &version, NULL, NULL) < 0 ||
        strtol(version, NULL, 10) < 15)
        return "";
    return " strategy file_copy";
}

CO_FN int database_data_begin(const struct database_maker *maker, const char *data,
                              struct error *err)
{
    const char *initdb[] = {maker->programs->initdb, INITDB_OPTIONS, "-D", data, NULL};
    return run(maker, "initdb", NULL, initdb, CREATE_TIME, err);
}

/* Adds the roles and the database that every cluster has. */
static CO_FN int fill(const struct database_maker *maker, const char *data, struct error *err)
{
    CLEANUP(mem_freep)
    char *create_database = string_format(CREATE_DATABASE "%s", strategy_of(data));
    const char *arguments[] = {"/bin/sh", "-c",         script,          maker->programs->postgres,
                               data,      CREATE_ROLES, create_database, NULL};
    return run(maker, "initdb", NULL, arguments, CREATE_TIME, err);
}

CO_FN int database_data_create(const struct database_maker *maker, const char *data,
                               struct error *err)
{
    int r = database_data_begin(maker, data, err);
    return r < 0 ? r : fill(maker, data, err);
}

CO_FN int database_data_copy_state(const struct database_maker *maker, const char *from,
                                   const char *data, struct error *err)
{
    const char *arguments[] = {"/bin/sh", "-c", copy_state, "cp", "-t", data, NULL};
    return run(maker, "cp", from, arguments, CREATE_TIME, err);
}

CO_FN int database_data_copy_databases(const struct database_maker *maker, const char *from,
                                       const char *data, struct error *err)
{
    const char *arguments[] = {"cp", "-R", "--reflink=auto", "data/base", data, NULL};
    return run(maker, "cp", from, arguments, CREATE_TIME, err);
}

CO_FN int database_data_copy(const struct database_maker *maker, const char *from, const char *data,
                             struct error *err)
{
    const char *arguments[] = {"cp", "-R", "--reflink=auto", "data", data, NULL};
    return run(maker, "cp", from, arguments, CREATE_TIME, err);
}

CO_FN int database_data_copy_into(const struct database_maker *maker, const char *from,
                                  const char *folder, struct error *err)
{
    CLEANUP(mem_freep) char *source = string_format("%s/data", from);
    const char *arguments[] = {"cp", "-R", "--reflink=auto", source, ".", NULL};
    return run(maker, "cp", folder, arguments, CREATE_TIME, err);
}

/* One call for the whole file system: thousands of files one by one take a hundred times as long.
 */
CO_FN int database_data_sync(const struct database_maker *maker, const char *folder,
                             struct error *err)
{
    const char *arguments[] = {"sync", "-f", ".", NULL};
    return run(maker, "sync", folder, arguments, SYNC_TIME, err);
}

CO_FN int database_data_sync_files(const struct database_maker *maker, const char *where,
                                   const char *folder, struct error *err)
{
    const char *arguments[] = {"find", folder, "-exec", "sync", "{}", "+", NULL};
    return run(maker, "sync", where, arguments, SYNC_TIME, err);
}

char *database_data_describe(const struct database_maker *maker)
{
    struct strbuf text = {0};
    struct stat status;
    if (stat(maker->programs->initdb, &status) < 0)
        return NULL;
    strbuf_addf(&text, "1 %s %" PRId64 " %" PRId64, maker->programs->initdb,
                (int64_t)status.st_mtim.tv_sec, (int64_t)status.st_size);
    for (size_t i = 0; i < ARRAY_LENGTH(initdb_options); i++)
        strbuf_addf(&text, " %s", initdb_options[i]);
    for (size_t i = 0; i < ARRAY_LENGTH(statements); i++)
        strbuf_addf(&text, "; %s", statements[i]);
    return strbuf_take(&text);
}
