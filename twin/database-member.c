#include "twin/database-member.h"

#include "base/text.h"
#include "base/world.h"
#include "twin/service.h"

#include <assert.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum {
    CONNECT_TIME = 2 * 1000 * 1000, /* microseconds */
    PROBE_TIME = 2 * 1000 * 1000,
    STOP_TIME = 5 * 1000 * 1000,
    CHECKPOINT_TIME = 300 * 1000 * 1000,
    LOCK_LIMIT = 4096
};

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
    mem_free(member->copied_because);
    mem_free(member->resource);
    mem_free(member);
}

void database_member_erase(struct database_member *member)
{
    assert(!member->process);
    service_remove_folder(member->paths.folder);
    service_remove_folder(member->paths.config);
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

int database_member_checkpoint(struct database_member *member, struct error *err)
{
    CLEANUP(postgres_freep) struct postgres *postgres = NULL;
    CLEANUP(error_done) struct error why = {0};
    int64_t deadline = world_monotonic_clock() + CHECKPOINT_TIME;
    int r = connect_to(member, DATABASE_SUPERUSER, deadline, &postgres, &why);
    if (r == 0)
        r = postgres_execute(postgres, "checkpoint", deadline, &why);
    return r < 0 ? error_set(err, ERROR_UNAVAILABLE, "%s has not made a checkpoint: %s",
                             member->name, error_message(&why))
                 : 0;
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
