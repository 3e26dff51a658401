#include "twin/database-member.h"

#include "base/text.h"
#include "base/world.h"
#include "twin/database-template.h"
#include "twin/service.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CLONE_TIME = 300 * 1000 * 1000, /* microseconds */
    CONNECT_TIME = 2 * 1000 * 1000,
    PROBE_TIME = 2 * 1000 * 1000,
    STOP_TIME = 5 * 1000 * 1000,
    OUTPUT_LIMIT = 64 * 1024,
    LOCK_LIMIT = 4096
};

/* Where Debian keeps each version. */
static const char versions_folder[] = "/usr/lib/postgresql";

/* --- Programs --- */

void database_programs_done(struct database_programs *programs)
{
    mem_free(programs->postgres);
    mem_free(programs->initdb);
    mem_free(programs->base_backup);
    mem_free(programs->rewind);
    *programs = (struct database_programs){0};
}

/* The folder of the newest version that can make a cluster, or NULL. The caller frees it. */
static char *find_newest(void)
{
    DIR *versions = opendir(versions_folder);
    struct dirent *entry;
    int64_t newest = 0, version;
    while (versions && (entry = readdir(versions))) {
        CLEANUP(mem_freep)
        char *initdb = string_format("%s/%s/bin/initdb", versions_folder, entry->d_name);
        if (text_to_integer(entry->d_name, &version) && version > newest &&
            access(initdb, X_OK) == 0)
            newest = version;
    }
    if (versions)
        closedir(versions);
    return newest ? string_format("%s/%lld/bin", versions_folder, (long long)newest) : NULL;
}

int database_find_programs(struct database_programs *ret_programs, struct error *err)
{
    struct database_programs programs = {0};
    CLEANUP(mem_freep) char *folder = find_newest();
    if (folder) {
        programs.postgres = string_format("%s/postgres", folder);
        programs.initdb = string_format("%s/initdb", folder);
        programs.base_backup = string_format("%s/pg_basebackup", folder);
        programs.rewind = string_format("%s/pg_rewind", folder);
    } else {
        int r = service_find_program("postgres", "postgresql", &programs.postgres, err);
        if (r == 0)
            r = service_find_program("initdb", "postgresql", &programs.initdb, err);
        if (r == 0)
            r = service_find_program("pg_basebackup", "postgresql", &programs.base_backup, err);
        if (r == 0)
            r = service_find_program("pg_rewind", "postgresql", &programs.rewind, err);
        if (r < 0) {
            database_programs_done(&programs);
            return r;
        }
    }
    *ret_programs = programs;
    return 0;
}

/* --- A member --- */

struct database_member *database_member_new(struct twin *twin,
                                            const struct database_programs *programs,
                                            const char *data_folder, const char *config_folder,
                                            const char *host, const char *resource)
{
    CLEANUP(mem_freep) char *file = service_file_name(host);
    struct database_member *member = NEW(struct database_member);
    member->twin = twin;
    member->programs = programs;
    member->name = string_copy(host);
    member->version = string_copy("");
    member->resource = string_copy(resource);
    member->paths = (struct database_paths){
        .folder = string_format("%s/%s", data_folder, file),
        .data = string_format("%s/%s/data", data_folder, file),
        .config = string_format("%s/%s", config_folder, file),
        .settings = string_format("%s/%s/settings", config_folder, file),
        .hba = string_format("%s/%s/hba", config_folder, file),
        .ident = string_format("%s/%s/ident", config_folder, file),
        .password = string_format("%s/%s/password", config_folder, file),
    };
    return member;
}

static void paths_done(struct database_paths *paths)
{
    mem_free(paths->folder);
    mem_free(paths->data);
    mem_free(paths->config);
    mem_free(paths->settings);
    mem_free(paths->hba);
    mem_free(paths->ident);
    mem_free(paths->password);
}

static void clear_replicas(struct database_member *member)
{
    for (size_t i = 0; i < member->n_replicas; i++) {
        mem_free(member->replicas[i].slot);
        mem_free(member->replicas[i].state);
        mem_free(member->replicas[i].sync_state);
    }
    mem_free(member->replicas);
    member->replicas = NULL;
    member->n_replicas = 0;
}

/* Waits until nobody uses the supervisor's connection, and closes it. */
static CO_FN void close_connection(struct database_member *member)
{
    while (member->is_asking)
        gate_wait(member->twin->loop, &member->asked, -1, NULL);
    postgres_free(member->postgres);
    member->postgres = NULL;
}

void database_member_stop(struct database_member *member)
{
    process_stop(member->process);
    member->process = NULL;
    close_connection(member);
}

void database_member_drain(struct database_member *member, int64_t deadline)
{
    if (member->process) {
        process_begin_stop(member->process, SIGTERM);
        close_connection(member);
        process_wait_stopped(member->process, deadline);
    }
    database_member_stop(member);
}

void database_member_free(struct database_member *member)
{
    if (!member)
        return;
    database_member_stop(member);
    clear_replicas(member);
    paths_done(&member->paths);
    mem_free(member->name);
    mem_free(member->archive);
    mem_free(member->version);
    mem_free(member->resource);
    mem_free(member);
}

void database_member_erase(struct database_member *member)
{
    assert(!member->process);
    service_remove_folder(member->paths.folder);
    service_remove_folder(member->paths.config);
}

/* Only data with this file beside it is whole, since a copy may have been cut off; and it may be
 * that of a cluster of the same name that was destroyed. */
static char *complete_file(const struct database_member *member)
{
    return string_format("%s/complete", member->paths.folder);
}

bool database_member_has_data(const struct database_member *member)
{
    CLEANUP(mem_freep) char *path = complete_file(member);
    CLEANUP(mem_freep) char *resource = NULL;
    return member->is_made || (world_read_file(path, OUTPUT_LIMIT, &resource, NULL, NULL) == 0 &&
                               text_equal(resource, member->resource));
}

/* --- Making its data --- */

static CO_FN int run(struct database_member *member, const char *host, const char *const *arguments,
                     int64_t time, struct error *err)
{
    const char *program = strrchr(arguments[0], '/');
    CLEANUP(mem_freep)
    char *name = string_format("%s.%s", member->name, program ? program + 1 : arguments[0]);
    const char *const read[] = {member->paths.config, NULL};
    const char *const written[] = {member->paths.folder, NULL};
    struct process_spec spec = {.name = name,
                                .host = host,
                                .files = {.read = read, .written = written},
                                .arguments = arguments,
                                .user = PROCESS_POSTGRES};
    return process_run(member->twin->processes, &spec, OUTPUT_LIMIT, world_monotonic_clock() + time,
                       NULL, err);
}

/* An empty folder of the server's own; what an interrupted attempt left goes first. */
static int make_folder(struct database_member *member, struct error *err)
{
    member->is_made = false;
    service_remove_folder(member->paths.folder);
    if (mkdir(member->paths.folder, 0700) < 0)
        return error_set_errno(err, errno, "make the folder of database %s", member->name);
    return twin_give(member->paths.folder, PROCESS_POSTGRES, err);
}

int database_member_keep(struct database_member *member, struct error *err)
{
    if (!member->is_made)
        return 0;
    CLEANUP(mem_freep) char *path = complete_file(member);
    int r = world_write_file(path, member->resource, strlen(member->resource), 0600, true, err);
    if (r == 0)
        r = twin_give(path, PROCESS_POSTGRES, err);
    member->is_made = r < 0;
    return r;
}

int database_member_begin(struct database_member *member, const struct database_maker *maker,
                          struct error *err)
{
    int r = make_folder(member, err);
    if (r == 0)
        r = database_data_begin(maker, member->paths.data, err);
    member->is_made = r == 0;
    return r;
}

/* Into its data, while it does not run. */
static int write_data(struct database_member *member, const char *name, const char *text,
                      bool durable, struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", member->paths.data, name);
    int r = world_write_file(path, text, strlen(text), 0600, durable, err);
    return r < 0 ? r : twin_give(path, PROCESS_POSTGRES, err);
}

static int make_replica(struct database_member *member, bool durable, struct error *err)
{
    return write_data(member, "standby.signal", "", durable, err);
}

int database_member_confirm(struct database_member *member, const char *standby_names, bool durable,
                            struct error *err)
{
    CLEANUP(mem_freep)
    char *text = string_format("# Do not edit this file manually!\n"
                               "# It will be overwritten by the ALTER SYSTEM command.\n"
                               "synchronous_standby_names = '%s'\n",
                               standby_names);
    return write_data(member, "postgresql.auto.conf", text, durable, err);
}

bool database_member_was_replica(const struct database_member *member)
{
    CLEANUP(mem_freep) char *signal_file = string_format("%s/standby.signal", member->paths.data);
    return world_file_exists(signal_file);
}

int database_member_copy(struct database_member *member, const struct database_maker *maker,
                         const char *from, bool is_replica, struct error *err)
{
    int r = make_folder(member, err);
    if (r == 0)
        r = database_data_copy(maker, from, member->paths.data, err);
    if (r == 0 && is_replica)
        r = make_replica(member, false, err);
    member->is_made = r == 0;
    return r;
}

int database_member_copy_state(struct database_member *member, const struct database_maker *maker,
                               const char *from, struct error *err)
{
    int r = make_folder(member, err);
    if (r == 0 && mkdir(member->paths.data, 0700) < 0)
        r = error_set_errno(err, errno, "make the data of database %s", member->name);
    if (r == 0)
        r = twin_give(member->paths.data, PROCESS_POSTGRES, err);
    if (r == 0)
        r = database_data_copy_state(maker, from, member->paths.data, err);
    member->is_begun = r == 0;
    return r;
}

int database_member_copy_databases(struct database_member *member,
                                   const struct database_maker *maker, const char *from,
                                   struct error *err)
{
    int r = database_data_copy_databases(maker, from, member->paths.data, err);
    if (r == 0)
        r = make_replica(member, false, err);
    member->is_made = r == 0;
    return r;
}

int database_member_take(struct database_member *member, const struct database_maker *maker,
                         bool is_replica, struct error *err)
{
    int r = make_folder(member, err);
    if (r == 0 && !database_template_take(maker, member->paths.data))
        r = error_set(err, ERROR_NOT_FOUND, "there is no spare data");
    if (r == 0 && is_replica)
        r = make_replica(member, true, err);
    member->is_made = r == 0;
    return r;
}

/* What copies or rewinds has synced what it did. */
static int keep_replica(struct database_member *member, struct error *err)
{
    int r = make_replica(member, true, err);
    member->is_made = r == 0;
    return r < 0 ? r : database_member_keep(member, err);
}

int database_member_clone(struct database_member *member, const struct database_config *config,
                          struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf primary = {0};
    CLEANUP(mem_freep) char *slot = database_slot(config->host->name);
    database_write_primary(&primary, config);
    const char *arguments[] = {member->programs->base_backup,
                               "--wal-method=stream",
                               "--checkpoint=fast",
                               "--slot",
                               slot,
                               "--dbname",
                               strbuf_text(&primary),
                               "-D",
                               member->paths.data,
                               NULL};
    int r = make_folder(member, err);
    if (r == 0)
        r = run(member, member->name, arguments, CLONE_TIME, err);
    return r < 0 ? r : keep_replica(member, err);
}

int database_member_rewind(struct database_member *member, const struct database_config *config,
                           struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf source = {0};
    CLEANUP(mem_freep) char *settings = string_format("--config-file=%s", member->paths.settings);
    CLEANUP(mem_freep) char *complete = complete_file(member);
    CLEANUP(mem_freep) char *data_lock = string_format("%s/postmaster.pid", member->paths.data);
    database_write_primary(&source, config);
    strbuf_add(&source, " dbname=" DATABASE_SUPERUSER);
    const char *arguments[] = {member->programs->rewind,
                               "--target-pgdata",
                               member->paths.data,
                               "--source-server",
                               strbuf_text(&source),
                               settings,
                               NULL};
    assert(!member->process);
    /* While it is under way the data is neither the one nor the other. */
    if (unlink(complete) < 0 && errno != ENOENT)
        return error_set_errno(err, errno, "change the data of %s", member->name);
    int r = service_sync_folder(member->paths.folder, err);
    unlink(data_lock);
    if (r == 0)
        r = run(member, member->name, arguments, CLONE_TIME, err);
    return r < 0 ? r : keep_replica(member, err);
}

/* --- Its configuration --- */

static int write_file(const char *path, const struct strbuf *text, bool *changed, struct error *err)
{
    bool is_new = false;
    int r = service_write(path, strbuf_text(text), &is_new, err);
    *changed |= is_new;
    return r;
}

static int write_password(struct database_member *member, const char *password, struct error *err)
{
    CLEANUP(mem_freep)
    char *line = string_format("*:*:*:" DATABASE_REPLICATION_ROLE ":%s\n", password);
    int r = service_write_secret(member->paths.password, line, PROCESS_POSTGRES, err);
    mem_wipe(line, strlen(line));
    return r;
}

int database_member_configure(struct database_member *member, struct database_config *config,
                              const char *password, bool *ret_changed, struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf settings = {0};
    CLEANUP(strbuf_done) struct strbuf hba = {0};
    CLEANUP(strbuf_done) struct strbuf ident = {0};
    const struct passwd *self = getpwuid(geteuid());
    bool changed = false;
    if (!self)
        return error_set(err, ERROR_UNSUPPORTED,
                         "PostgreSQL cannot run for user %u, who has no name (add the user to "
                         "/etc/passwd)",
                         (unsigned int)geteuid());
    config->socket_folder = member->paths.folder;
    config->hba_file = member->paths.hba;
    config->ident_file = member->paths.ident;
    config->password_file = member->paths.password;
    config->system_user = self->pw_name;
    database_write_settings(&settings, config);
    database_write_hba(&hba, config);
    database_write_ident(&ident, config);
    mem_free(member->archive);
    member->archive = config->archive ? string_copy(config->archive) : NULL;
    int r = service_make_folder(member->paths.config, err);
    if (r == 0)
        r = write_password(member, password, err);
    if (r == 0)
        r = write_file(member->paths.settings, &settings, &changed, err);
    if (r == 0)
        r = write_file(member->paths.hba, &hba, &changed, err);
    if (r == 0)
        r = write_file(member->paths.ident, &ident, &changed, err);
    if (r < 0)
        return r;
    member->port = config->database->port;
    *ret_changed = changed;
    return 0;
}

/* --- The supervisor's connection --- */

/* What the supervisor does must not wait for a replica that is not there. */
static CO_FN int connect_to(struct database_member *member, const char *database, int64_t deadline,
                            struct postgres **ret_postgres, struct error *err)
{
    CLEANUP(mem_freep)
    char *conninfo = string_format("host=%s port=%u user=" DATABASE_SUPERUSER
                                   " dbname=%s application_name=supervisor "
                                   "options='-c synchronous_commit=local'",
                                   member->paths.folder, member->port, database);
    int64_t latest = world_monotonic_clock() + CONNECT_TIME;
    return postgres_connect(member->twin->loop, conninfo, deadline < latest ? deadline : latest,
                            ret_postgres, err);
}

void database_member_warm(struct database_member *member)
{
    struct postgres *postgres = NULL;
    int64_t deadline = world_monotonic_clock() + CONNECT_TIME;
    if (!member->is_warm && connect_to(member, DATABASE_NAME, deadline, &postgres, NULL) == 0)
        postgres_free(postgres);
    member->is_warm = true;
}

static CO_FN int ensure_connection(struct database_member *member, int64_t deadline,
                                   struct error *err)
{
    if (member->postgres && postgres_is_usable(member->postgres))
        return 0;
    postgres_free(member->postgres);
    member->postgres = NULL;
    return connect_to(member, DATABASE_SUPERUSER, deadline, &member->postgres, err);
}

int database_member_query(struct database_member *member, const char *statement,
                          const char *const *parameters, size_t n_parameters, int64_t deadline,
                          PGresult **ret_result, struct error *err)
{
    while (member->is_asking) {
        int waited = gate_wait(member->twin->loop, &member->asked, deadline, err);
        if (waited < 0)
            return waited;
    }
    member->is_asking = true;
    int r = ensure_connection(member, deadline, err);
    if (r == 0)
        r = postgres_query(member->postgres, statement, parameters, n_parameters, deadline,
                           ret_result, err);
    member->is_asking = false;
    gate_open(member->twin->loop, &member->asked);
    return r;
}

static CO_FN int look_at_server(struct database_member *member, int64_t deadline, struct error *err)
{
    CLEANUP(postgres_clear_resultp) PGresult *result = NULL;
    int r = database_member_query(
        member,
        "select pg_is_in_recovery(), split_part(current_setting('server_version'), ' ', 1), "
        "coalesce(sum(numbackends), 0)::bigint, coalesce(sum(xact_commit), 0)::bigint, "
        "coalesce(sum(xact_rollback), 0)::bigint, coalesce(sum(deadlocks), 0)::bigint "
        "from pg_stat_database where datname = '" DATABASE_NAME "'",
        NULL, 0, deadline, &result, err);
    if (r < 0)
        return r;
    member->is_replica = text_equal(PQgetvalue(result, 0, 0), "t");
    mem_free(member->version);
    member->version = string_copy(PQgetvalue(result, 0, 1));
    for (int i = 0; i < DATABASE_FIGURE_COUNT; i++)
        text_to_integer(PQgetvalue(result, 0, 2 + i), &member->figures[i]);
    return 0;
}

static CO_FN int look_at_replicas(struct database_member *member, int64_t deadline,
                                  struct error *err)
{
    CLEANUP(postgres_clear_resultp) PGresult *result = NULL;
    int r = database_member_query(
        member,
        "select application_name, state, sync_state, "
        "coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::bigint, "
        "coalesce(extract(epoch from replay_lag) * 1000000, 0)::bigint "
        "from pg_stat_replication",
        NULL, 0, deadline, &result, err);
    if (r < 0)
        return r;
    clear_replicas(member);
    member->n_replicas = (size_t)PQntuples(result);
    member->replicas = NEW_ARRAY(struct database_replica, member->n_replicas);
    for (size_t i = 0; i < member->n_replicas; i++) {
        struct database_replica *replica = &member->replicas[i];
        replica->slot = string_copy(PQgetvalue(result, (int)i, 0));
        replica->state = string_copy(PQgetvalue(result, (int)i, 1));
        replica->sync_state = string_copy(PQgetvalue(result, (int)i, 2));
        text_to_integer(PQgetvalue(result, (int)i, 3), &replica->lag);
        text_to_integer(PQgetvalue(result, (int)i, 4), &replica->lag_us);
    }
    return 0;
}

const struct database_replica *database_member_find_replica(const struct database_member *member,
                                                            const char *slot)
{
    for (size_t i = 0; i < member->n_replicas; i++)
        if (text_equal(member->replicas[i].slot, slot))
            return &member->replicas[i];
    return NULL;
}

int database_member_look(struct database_member *member, struct error *err)
{
    int64_t deadline = world_monotonic_clock() + PROBE_TIME;
    int r = look_at_server(member, deadline, err);
    if (r == 0 && !member->is_replica)
        r = look_at_replicas(member, deadline, err);
    if (r < 0 || member->is_replica)
        clear_replicas(member);
    return r;
}

/* Its own file says so in the eighth line. Whoever comes before gets a process that sends him away.
 */
static bool is_serving(const struct database_member *member)
{
    CLEANUP(mem_freep) char *path = string_format("%s/postmaster.pid", member->paths.data);
    CLEANUP(mem_freep) char *text = NULL;
    if (world_read_file(path, LOCK_LIMIT, &text, NULL, NULL) < 0)
        return false;
    const char *line = text;
    for (int i = 1; line && i < 8; i++)
        line = (line = strchr(line, '\n')) ? line + 1 : NULL;
    return line && text_starts_with(line, "ready");
}

static CO_FN int probe(void *argument, struct error *err)
{
    struct database_member *member = argument;
    bool is_starting = member->process && process_state(member->process) == PROCESS_STARTING;
    if (is_starting && !is_serving(member))
        return error_set(err, ERROR_UNAVAILABLE, "the database system is starting up");
    return database_member_look(member, err);
}

/* --- Its process --- */

int database_member_launch(struct database_member *member, struct error *err)
{
    CLEANUP(mem_freep) char *config = string_format("config_file=%s", member->paths.settings);
    CLEANUP(mem_freep) char *data_lock = string_format("%s/postmaster.pid", member->paths.data);
    CLEANUP(mem_freep)
    char *socket_lock = string_format("%s/.s.PGSQL.%u.lock", member->paths.folder, member->port);
    const char *arguments[] = {
        member->programs->postgres, "-D", member->paths.data, "-c", config, NULL};
    const char *const read[] = {member->paths.config, NULL};
    const char *const written[] = {member->paths.folder, member->archive, NULL};
    struct process_spec spec = {.name = member->name,
                                .host = member->name,
                                .files = {.read = read, .written = written},
                                .arguments = arguments,
                                .user = PROCESS_POSTGRES,
                                .stop_signal = SIGINT,
                                .stop_grace_us = STOP_TIME,
                                .is_restarted = true,
                                .probe = probe,
                                .argument = member};
    if (member->process)
        return 0;
    /* Nobody else can run this data, and the process id in an old life's files may now be that of
     * somebody else. */
    unlink(data_lock);
    unlink(socket_lock);
    member->is_warm = false;
    return process_start(member->twin->processes, &spec, &member->process, err);
}

int database_member_start(struct database_member *member, int64_t deadline, struct error *err)
{
    int r = database_member_launch(member, err);
    return r < 0 ? r : process_wait_ready(member->process, deadline, err);
}
