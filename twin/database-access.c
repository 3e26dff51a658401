/* Who may come in to a cluster: its passwords, its roles, and where workloads find it. */
#include "twin/database-private.h"

#include "base/text.h"
#include "base/world.h"
#include "twin/network.h"
#include "twin/service.h"

#include <libgen.h>
#include <string.h>
#include <unistd.h>

enum {
    QUERY_TIME = 5 * 1000 * 1000, /* microseconds */
    PASSWORD_BYTES = 24,
    PASSWORD_LIMIT = 256,
    GIVEN_LIMIT = 1 << 16,
};

/* --- Files of a cluster --- */

char *database_secret_path(const struct cluster *cluster, const char *kind)
{
    CLEANUP(mem_freep) char *file = service_file_name(cluster->resource);
    return string_format("%s/%s.%s", cluster->module->secret_folder, file, kind);
}

int database_access_file(struct twin *twin, const struct machine_database *database,
                         char **ret_path, struct error *err)
{
    CLEANUP(mem_freep) char *folder = NULL;
    int r = service_open_folder(twin, "access", &folder, err);
    if (r < 0)
        return r;
    /* A folder of its own, since who is shown it is to see no other's. */
    CLEANUP(mem_freep) char *file = service_file_name(database->resource);
    CLEANUP(mem_freep) char *own = string_format("%s/%s.access", folder, file);
    r = service_make_folder(own, err);
    if (r == 0)
        *ret_path = string_format("%s/conninfo", own);
    return r;
}

static char *random_password(void)
{
    unsigned char bytes[PASSWORD_BYTES];
    struct strbuf text = {0};
    world_random(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        strbuf_addf(&text, "%02x", bytes[i]);
    mem_wipe(bytes, sizeof(bytes));
    return strbuf_take(&text);
}

/* Passwords are born here and stay in the state folder. */
static int ensure_password(struct cluster *cluster, const char *kind, char **ret_password,
                           struct error *err)
{
    if (*ret_password)
        return 0;
    CLEANUP(mem_freep) char *path = database_secret_path(cluster, kind);
    int r = world_read_file(path, PASSWORD_LIMIT, ret_password, NULL, NULL);
    if (r == 0)
        return 0;
    *ret_password = random_password();
    return world_write_file(path, *ret_password, strlen(*ret_password), 0600, true, err);
}

static void forget_password(char **password)
{
    if (*password)
        mem_wipe(*password, strlen(*password));
    mem_free(*password);
    *password = NULL;
}

/* What was given, or one that is born here; roles are made anew when it is another one. */
static int ensure_application_password(struct cluster *cluster, struct error *err)
{
    const char *given = cluster->wanted->password;
    if (!text_equal_or_null(cluster->given_password, given)) {
        forget_password(&cluster->application_password);
        mem_free(cluster->given_password);
        cluster->given_password = given ? string_copy(given) : NULL;
        cluster->is_prepared = false;
    }
    if (!given)
        return ensure_password(cluster, "application", &cluster->application_password, err);
    if (cluster->application_password)
        return 0;
    CLEANUP(mem_freep)
    char *path = string_format("%s/%s.%s", cluster->module->given_folder, cluster->resource, given);
    int r = world_read_file(path, GIVEN_LIMIT, &cluster->application_password, NULL, err);
    return r < 0 ? error_wrap(err, r,
                              "the password that was given is not there any more; apply it "
                              "again")
                 : 0;
}

int database_ensure_passwords(struct cluster *cluster, struct error *err)
{
    int r = ensure_application_password(cluster, err);
    return r < 0 ? r : ensure_password(cluster, "replication", &cluster->replication_password, err);
}

void database_forget_passwords(struct cluster *cluster)
{
    forget_password(&cluster->application_password);
    forget_password(&cluster->replication_password);
    database_forget_verifiers(cluster);
    mem_free(cluster->given_password);
    cluster->given_password = NULL;
}

static void remove_secret(const struct cluster *cluster, const char *kind)
{
    CLEANUP(mem_freep) char *path = database_secret_path(cluster, kind);
    unlink(path);
}

void database_remove_access(const struct cluster *cluster)
{
    struct machine_database gone = {.resource = cluster->resource};
    CLEANUP(mem_freep) char *access = NULL;
    if (database_access_file(cluster->module->twin, &gone, &access, NULL) == 0)
        service_remove_folder(dirname(access));
    remove_secret(cluster, "application");
    remove_secret(cluster, "replication");
    remove_secret(cluster, "primary");
    remove_secret(cluster, "fenced");
}

/* --- Roles, database, slots --- */

int database_run_statement(struct cluster *cluster, const char *statement, const char *parameter,
                           struct error *err)
{
    return database_member_query(database_primary(cluster), statement, &parameter,
                                 parameter ? 1 : 0, world_monotonic_clock() + QUERY_TIME, NULL,
                                 err);
}

/* Whether a query gives any row. */
static CO_FN int has_row(struct cluster *cluster, const char *statement, const char *parameter,
                         bool *ret_has, struct error *err)
{
    CLEANUP(postgres_clear_resultp) PGresult *result = NULL;
    int r = database_member_query(database_primary(cluster), statement, &parameter, 1,
                                  world_monotonic_clock() + QUERY_TIME, &result, err);
    if (r == 0)
        *ret_has = PQntuples(result) > 0;
    return r;
}

/*
 * One statement, hence one commit: roles, and a slot for each replica and for nobody else, since
 * one that nobody reads keeps the write-ahead log for ever. By the functions pg_rewind reads files
 * of the data, all of which whoever replicates has anyway.
 */
static const char prepare_format[] =
    "do $prepare$ begin "
    "if not exists (select from pg_roles where rolname = '" DATABASE_APPLICATION_ROLE "') then "
    "create role " DATABASE_APPLICATION_ROLE "; end if; "
    "if not exists (select from pg_roles where rolname = '" DATABASE_REPLICATION_ROLE "') then "
    "create role " DATABASE_REPLICATION_ROLE "; end if; "
    "alter role " DATABASE_APPLICATION_ROLE " login password '%1$s'; "
    "alter role " DATABASE_REPLICATION_ROLE " login replication password '%2$s'; "
    "grant execute on function pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), "
    "pg_read_binary_file(text), pg_read_binary_file(text, bigint, bigint, boolean) "
    "to " DATABASE_REPLICATION_ROLE "; "
    "perform pg_create_physical_replication_slot(slot, true) "
    "from unnest('{%3$s}'::name[]) slot "
    "where not exists (select from pg_replication_slots where slot_name = slot); "
    "perform pg_drop_replication_slot(slot_name) from pg_replication_slots "
    "where not active and slot_name <> all ('{%3$s}'::name[]); "
    "end $prepare$";

/* A slot's name needs no quotes; see database_slot(). */
static char *list_slots(const struct cluster *cluster)
{
    struct strbuf slots = {0};
    for (size_t i = 0; i < cluster->wanted->n_hosts; i++) {
        const struct machine_host *host = cluster->wanted->hosts[i];
        CLEANUP(mem_freep) char *slot = database_slot(host->name);
        if (host != cluster->primary && !database_is_fenced(cluster, host->name))
            strbuf_addf(&slots, "%s%s", slots.length ? "," : "", slot);
    }
    return slots.length ? strbuf_take(&slots) : string_copy("");
}

int database_make_verifiers(struct cluster *cluster, struct error *err)
{
    database_forget_verifiers(cluster);
    int r = postgres_make_verifier(DATABASE_APPLICATION_ROLE, cluster->application_password,
                                   &cluster->application_verifier, err);
    return r < 0 ? r
                 : postgres_make_verifier(DATABASE_REPLICATION_ROLE, cluster->replication_password,
                                          &cluster->replication_verifier, err);
}

void database_forget_verifiers(struct cluster *cluster)
{
    mem_free(cluster->application_verifier);
    mem_free(cluster->replication_verifier);
    cluster->application_verifier = cluster->replication_verifier = NULL;
}

/* The server is told what proves a password, never the password: statements may end in a log. */
static int write_prepare(struct cluster *cluster, char **ret_statement, struct error *err)
{
    CLEANUP(mem_freep) char *slots = list_slots(cluster);
    int r = cluster->replication_verifier ? 0 : database_make_verifiers(cluster, err);
    if (r == 0)
        *ret_statement = string_format(prepare_format, cluster->application_verifier,
                                       cluster->replication_verifier, slots);
    return r;
}

int database_prepare_primary(struct cluster *cluster, struct error *err)
{
    CLEANUP(mem_freep) char *statement = NULL;
    if (cluster->is_prepared)
        return 0;
    int r = write_prepare(cluster, &statement, err);
    return r < 0 ? r : database_run_statement(cluster, statement, NULL, err);
}

/* A template has it. */
static CO_FN int ensure_database(struct cluster *cluster, struct error *err)
{
    bool exists = false;
    int r =
        has_row(cluster, "select from pg_database where datname = $1", DATABASE_NAME, &exists, err);
    if (r < 0 || exists)
        return r;
    return database_run_statement(
        cluster, "create database " DATABASE_NAME " owner " DATABASE_APPLICATION_ROLE, NULL, err);
}

/* --- Letting clients in --- */

int database_publish(struct cluster *cluster, struct error *err)
{
    const struct machine_database *wanted = cluster->wanted;
    struct twin *twin = cluster->module->twin;
    CLEANUP(strbuf_done) struct strbuf access = {0};
    CLEANUP(mem_freep) char *path = NULL;
    int r = 0;
    if (cluster->moved_ip && cluster->moved_ip != wanted->ip)
        r = network_move_address(twin->network, cluster->moved_ip, NULL, err);
    if (r == 0 && wanted->ip)
        r = network_move_address(twin->network, wanted->ip, cluster->primary->name, err);
    if (r == 0)
        r = database_access_file(twin, wanted, &path, err);
    if (r < 0)
        return r;
    cluster->moved_ip = wanted->ip;
    database_write_access(&access, wanted, cluster->primary, cluster->application_password);
    r = service_write_secret(path, strbuf_text(&access), PROCESS_NOBODY, err);
    mem_wipe(access.text, access.capacity);
    return r;
}

int database_serve(struct cluster *cluster, struct error *err)
{
    int r = cluster->is_prepared ? 0 : ensure_database(cluster, err);
    if (r < 0)
        return r;
    cluster->is_prepared = true;
    database_forget_verifiers(cluster);
    r = database_publish(cluster, err);
    if (r == 0)
        database_member_warm(database_primary(cluster));
    return r;
}
