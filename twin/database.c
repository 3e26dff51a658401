/*
 * The module of databases: for each cluster of the machine a PostgreSQL primary and the replicas
 * that stream from it. Which host is the primary is operational state, kept in the state folder.
 */
#include "twin/database.h"

#include "base/text.h"
#include "base/world.h"
#include "twin/database-member.h"
#include "twin/database-template.h"
#include "twin/network.h"
#include "twin/service.h"

#include <assert.h>
#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    START_TIME = 20 * 1000 * 1000, /* microseconds; a server that crashed recovers first */
    STREAM_TIME = 20 * 1000 * 1000,
    QUERY_TIME = 5 * 1000 * 1000,
    POLL_PAUSE = 5 * 1000,
    PASSWORD_BYTES = 24,
    PASSWORD_LIMIT = 256,
    GIVEN_LIMIT = 1 << 16,
};

struct cluster {
    struct databases *module;
    char *resource;                        /* owned */
    const struct machine_database *wanted; /* borrowed from the module's machine */
    const struct machine_host *primary;    /* one of its hosts; NULL before it was chosen */
    struct database_member **members;      /* owned */
    size_t n_members;
    size_t members_capacity;
    char *application_password; /* owned, as the next; wiped in the end */
    char *given_password;       /* owned: the digest of that, when it was given */
    char *replication_password;
    char *archive;           /* owned; a folder */
    bool is_prepared;        /* roles and slots of this primary are as wanted */
    struct keeping *keeping; /* of data that was made now; owned, NULL: nothing is to be kept */
    uint32_t moved_ip;       /* the virtual address that stands somewhere; 0: none */
};

struct databases {
    struct twin *twin;
    struct database_programs programs;
    char *data_folder;        /* owned; the children's */
    char *config_folder;      /* owned; ours */
    char *secret_folder;      /* owned; ours, children do not see it */
    char *given_folder;       /* owned; texts that the driver gives, by uid and digest */
    struct machine *machine;  /* a reference */
    struct cluster **items;   /* owned */
    struct template_job *job; /* owned; NULL: no template was made in this life */
    size_t n_spares_wanted;   /* by the largest cluster that was made since the last job */
    size_t n_items;
    size_t capacity;
};

/* --- Files of a cluster --- */

static char *secret_path(const struct cluster *cluster, const char *kind)
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
    CLEANUP(mem_freep) char *path = secret_path(cluster, kind);
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

/* --- Members --- */

static struct database_member *find_member(const struct cluster *cluster, const char *host)
{
    for (size_t i = 0; i < cluster->n_members; i++)
        if (text_equal(cluster->members[i]->name, host))
            return cluster->members[i];
    return NULL;
}

static struct database_member *primary_of(const struct cluster *cluster)
{
    return find_member(cluster, cluster->primary->name);
}

/* NULL when the member is not wanted any more. */
static const struct machine_host *host_of(const struct cluster *cluster,
                                          const struct database_member *member)
{
    for (size_t i = 0; i < cluster->wanted->n_hosts; i++)
        if (text_equal(cluster->wanted->hosts[i]->name, member->name))
            return cluster->wanted->hosts[i];
    return NULL;
}

static void add_members(struct cluster *cluster)
{
    struct databases *module = cluster->module;
    for (size_t i = 0; i < cluster->wanted->n_hosts; i++) {
        const char *host = cluster->wanted->hosts[i]->name;
        if (find_member(cluster, host))
            continue;
        ARRAY_RESERVE(cluster->members, cluster->n_members, cluster->members_capacity);
        cluster->members[cluster->n_members++] =
            database_member_new(module->twin, &module->programs, module->data_folder,
                                module->config_folder, host, cluster->resource);
        cluster->is_prepared = false;
    }
}

static CO_FN void drop_member(struct cluster *cluster, size_t index)
{
    struct database_member *member = cluster->members[index];
    cluster->members[index] = cluster->members[--cluster->n_members];
    database_member_stop(member);
    database_member_erase(member);
    database_member_free(member);
}

static CO_FN void drop_unwanted_members(struct cluster *cluster)
{
    for (size_t i = cluster->n_members; i > 0; i--) {
        if (host_of(cluster, cluster->members[i - 1]))
            continue;
        drop_member(cluster, i - 1);
        cluster->is_prepared = false;
    }
}

/* --- Which one is the primary --- */

/* The one that was, else the first. It never changes here: that is an action somebody approves. */
static int choose_primary(struct cluster *cluster, struct error *err)
{
    CLEANUP(mem_freep) char *path = secret_path(cluster, "primary");
    CLEANUP(mem_freep) char *name = NULL;
    int r = world_read_file(path, PASSWORD_LIMIT, &name, NULL, NULL);
    if (r < 0)
        name = string_copy(cluster->wanted->hosts[0]->name);
    for (size_t i = 0; i < cluster->wanted->n_hosts; i++)
        if (text_equal(cluster->wanted->hosts[i]->name, name))
            cluster->primary = cluster->wanted->hosts[i];
    if (!cluster->primary)
        return error_set(err, ERROR_CONFLICT,
                         "%s, the primary, would be removed; promote a replica that stays first",
                         name);
    return r == 0 ? 0 : world_write_file(path, name, strlen(name), 0600, true, err);
}

/* --- Data --- */

static int make_archive(struct cluster *cluster, struct error *err)
{
    if (cluster->archive || !cluster->wanted->has_backup)
        return 0;
    CLEANUP(mem_freep) char *file = service_file_name(cluster->resource);
    cluster->archive = string_format("%s/archive-%s", cluster->module->data_folder, file);
    if (mkdir(cluster->archive, 0700) < 0 && errno != EEXIST)
        return error_set_errno(err, errno, "make the archive of the write-ahead log");
    return twin_give(cluster->archive, PROCESS_POSTGRES, err);
}

static struct database_maker maker_of(const struct databases *module)
{
    return (struct database_maker){
        .twin = module->twin, .programs = &module->programs, .folder = module->data_folder};
}

/*
 * Beside the start of the servers, their data is made durable: nothing was synced while it was
 * made. Nobody is told of the cluster before that is done, and a life that ends before makes the
 * data anew.
 */
struct keeping {
    struct cluster *cluster;
    struct error err;
    bool is_running;
    struct gate ended;
};

static CO_FN void keep_data(void *argument)
{
    struct keeping *keeping = argument;
    struct cluster *cluster = keeping->cluster;
    struct database_maker maker = maker_of(cluster->module);
    int r = database_data_sync(&maker, maker.folder, &keeping->err);
    for (size_t i = 0; r == 0 && i < cluster->n_members; i++)
        r = database_member_keep(cluster->members[i], &keeping->err);
    keeping->is_running = false;
    gate_open(cluster->module->twin->loop, &keeping->ended);
}

static void begin_keeping(struct cluster *cluster)
{
    struct keeping *keeping = NEW(struct keeping);
    keeping->cluster = cluster;
    keeping->is_running = true;
    cluster->keeping = keeping;
    loop_spawn(cluster->module->twin->loop, "keep", keep_data, keeping);
}

static CO_FN int end_keeping(struct cluster *cluster, struct error *err)
{
    struct keeping *keeping = cluster->keeping;
    if (!keeping)
        return 0;
    while (keeping->is_running)
        gate_wait(cluster->module->twin->loop, &keeping->ended, -1, NULL);
    cluster->keeping = NULL;
    int r = keeping->err.code ? error_move(err, &keeping->err) : 0;
    mem_free(keeping);
    return r;
}

/* Data that could not be kept is tried again by the next attempt. */
static CO_FN int await_kept(struct cluster *cluster, struct error *err)
{
    for (size_t i = 0; !cluster->keeping && i < cluster->n_members; i++)
        if (cluster->members[i]->is_made)
            begin_keeping(cluster);
    return end_keeping(cluster, err);
}

struct copying {
    struct cluster *cluster;
    const char *from; /* the folder whose data all members are copies of */
    struct error err; /* of the first that failed */
};

static CO_FN void copy_member(void *argument, size_t index)
{
    struct copying *copying = argument;
    struct cluster *cluster = copying->cluster;
    struct database_maker maker = maker_of(cluster->module);
    struct database_member *member = cluster->members[index];
    bool is_replica = member != primary_of(cluster);
    struct error err = {0};
    if (text_equal(copying->from, member->paths.folder))
        return;
    if (database_member_copy(member, &maker, copying->from, is_replica, &err) < 0 &&
        !copying->err.code)
        error_move(&copying->err, &err);
    error_done(&err);
}

static CO_FN int copy_members(struct cluster *cluster, const char *from, struct error *err)
{
    struct copying copying = {.cluster = cluster, .from = from};
    service_in_parallel(cluster->module->twin->loop, cluster->n_members, copy_member, &copying);
    return copying.err.code ? error_move(err, &copying.err) : 0;
}

/* Whether there was data for each of them in the cache; that is durable, but for where it lies. */
static bool take_members(struct cluster *cluster)
{
    struct database_maker maker = maker_of(cluster->module);
    int r = 0;
    for (size_t i = 0; r == 0 && i < cluster->n_members; i++)
        r = database_member_take(cluster->members[i], &maker,
                                 cluster->members[i] != primary_of(cluster), NULL);
    if (r == 0)
        r = service_sync_folder(maker.folder, NULL);
    for (size_t i = 0; r == 0 && i < cluster->n_members; i++)
        r = database_member_keep(cluster->members[i], NULL);
    return r == 0;
}

/* Nothing of the cluster was ever started: all members begin as the same data. */
static CO_FN int make_data(struct cluster *cluster, struct error *err)
{
    struct databases *module = cluster->module;
    struct database_maker maker = maker_of(module);
    struct database_member *primary = primary_of(cluster);
    if (module->n_spares_wanted < cluster->n_members)
        module->n_spares_wanted = cluster->n_members;
    if (take_members(cluster))
        return 0;
    CLEANUP(mem_freep) char *template = database_template_find(&maker);
    int r = template ? copy_members(cluster, template, NULL) : -ERROR_NOT_FOUND;
    if (r < 0) {
        r = database_member_create(primary, &maker, err);
        if (r == 0)
            r = copy_members(cluster, primary->paths.folder, err);
    }
    if (r == 0)
        begin_keeping(cluster);
    return r;
}

/* Data that is nowhere is made; data that is missing where it was is not made up. */
static CO_FN int ensure_data(struct cluster *cluster, struct error *err)
{
    if (database_member_has_data(primary_of(cluster)))
        return 0;
    for (size_t i = 0; i < cluster->n_members; i++)
        if (database_member_has_data(cluster->members[i]))
            return error_set(err, ERROR_CORRUPT,
                             "the data of the primary %s is gone, that of %s is there; promote it, "
                             "or destroy the cluster",
                             cluster->primary->name, cluster->members[i]->name);
    return make_data(cluster, err);
}

/* --- Starting --- */

static int configure(struct cluster *cluster, struct database_member *member,
                     struct database_config *config, bool *ret_changed, struct error *err)
{
    *config = (struct database_config){
        .database = cluster->wanted, .primary = cluster->primary, .archive = cluster->archive};
    config->host = host_of(cluster, member);
    return database_member_configure(member, config, cluster->replication_password, ret_changed,
                                     err);
}

/* A new port needs a new start; all else that changes here is read again. */
static CO_FN int bring_up(struct cluster *cluster, struct database_member *member,
                          struct error *err)
{
    struct database_config config;
    uint16_t port_before = member->port;
    bool changed;
    int r = configure(cluster, member, &config, &changed, err);
    if (r < 0)
        return r;
    if (member->process && member->port != port_before)
        database_member_stop(member);
    else if (member->process && changed)
        process_signal(member->process, SIGHUP);
    return database_member_start(member, world_monotonic_clock() + START_TIME, err);
}

/* Before the data is made: what is synced afterwards waits for all of that. */
static int configure_all(struct cluster *cluster, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < cluster->n_members; i++) {
        struct database_config config;
        bool changed;
        if (!cluster->members[i]->process && host_of(cluster, cluster->members[i]))
            r = configure(cluster, cluster->members[i], &config, &changed, err);
    }
    return r;
}

/*
 * Replicas that have data start beside their primary: until that lets them in they try in vain, and
 * then they are told to try again at once; see bring_up_replica().
 */
static int launch_all(struct cluster *cluster, struct error *err)
{
    int r = database_member_launch(primary_of(cluster), err);
    for (size_t i = 0; r == 0 && i < cluster->n_members; i++) {
        struct database_member *member = cluster->members[i];
        if (host_of(cluster, member) && database_member_has_data(member))
            r = database_member_launch(member, err);
    }
    return r;
}

/* --- Roles, database, slots --- */

static CO_FN int run_statement(struct cluster *cluster, const char *statement,
                               const char *parameter, struct error *err)
{
    return database_member_query(primary_of(cluster), statement, &parameter, parameter ? 1 : 0,
                                 world_monotonic_clock() + QUERY_TIME, NULL, err);
}

/* Whether a query gives any row. */
static CO_FN int has_row(struct cluster *cluster, const char *statement, const char *parameter,
                         bool *ret_has, struct error *err)
{
    CLEANUP(postgres_clear_resultp) PGresult *result = NULL;
    int r = database_member_query(primary_of(cluster), statement, &parameter, 1,
                                  world_monotonic_clock() + QUERY_TIME, &result, err);
    if (r == 0)
        *ret_has = PQntuples(result) > 0;
    return r;
}

/* One statement, hence one commit: roles, and a slot for each replica and for nobody else, since
 * one that nobody reads keeps the write-ahead log for ever. */
static const char prepare_format[] =
    "do $prepare$ begin "
    "if not exists (select from pg_roles where rolname = '" DATABASE_APPLICATION_ROLE "') then "
    "create role " DATABASE_APPLICATION_ROLE "; end if; "
    "if not exists (select from pg_roles where rolname = '" DATABASE_REPLICATION_ROLE "') then "
    "create role " DATABASE_REPLICATION_ROLE "; end if; "
    "alter role " DATABASE_APPLICATION_ROLE " login password '%1$s'; "
    "alter role " DATABASE_REPLICATION_ROLE " login replication password '%2$s'; "
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
        CLEANUP(mem_freep) char *slot = database_slot(cluster->wanted->hosts[i]);
        if (cluster->wanted->hosts[i] != cluster->primary)
            strbuf_addf(&slots, "%s%s", slots.length ? "," : "", slot);
    }
    return slots.length ? strbuf_take(&slots) : string_copy("");
}

/* The server is told what proves a password, never the password: statements may end in a log. */
static int write_prepare(struct cluster *cluster, char **ret_statement, struct error *err)
{
    struct postgres *postgres = primary_of(cluster)->postgres;
    CLEANUP(mem_freep) char *slots = list_slots(cluster);
    CLEANUP(mem_freep) char *application = NULL;
    CLEANUP(mem_freep) char *replication = NULL;
    int r = postgres_make_verifier(postgres, DATABASE_APPLICATION_ROLE,
                                   cluster->application_password, &application, err);
    if (r == 0)
        r = postgres_make_verifier(postgres, DATABASE_REPLICATION_ROLE,
                                   cluster->replication_password, &replication, err);
    if (r == 0)
        *ret_statement = string_format(prepare_format, application, replication, slots);
    return r;
}

static CO_FN int prepare_primary(struct cluster *cluster, struct error *err)
{
    CLEANUP(mem_freep) char *statement = NULL;
    bool exists = false;
    if (cluster->is_prepared)
        return 0;
    /* New data has the database; what an earlier program made may not. */
    int r =
        has_row(cluster, "select from pg_database where datname = $1", DATABASE_NAME, &exists, err);
    if (r == 0)
        r = write_prepare(cluster, &statement, err);
    if (r == 0)
        r = run_statement(cluster, statement, NULL, err);
    if (r == 0 && !exists)
        r = run_statement(cluster,
                          "create database " DATABASE_NAME " owner " DATABASE_APPLICATION_ROLE,
                          NULL, err);
    cluster->is_prepared = r == 0;
    return r;
}

/* --- Letting clients in --- */

static CO_FN int publish(struct cluster *cluster, struct error *err)
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

/* --- Replicas --- */

struct following {
    struct cluster *cluster;
    struct error err; /* of the first that failed */
};

static bool is_streaming(const struct cluster *cluster, const struct machine_host *host)
{
    CLEANUP(mem_freep) char *slot = database_slot(host);
    const struct database_replica *replica =
        database_member_find_replica(primary_of(cluster), slot);
    return replica && text_equal(replica->state, "streaming");
}

static CO_FN int bring_up_replica(struct cluster *cluster, struct database_member *member,
                                  struct error *err)
{
    if (!database_member_has_data(member)) {
        struct database_config config;
        bool changed;
        int r = configure(cluster, member, &config, &changed, err);
        if (r == 0)
            r = database_member_clone(member, &config, err);
        if (r < 0)
            return error_wrap(err, r, "replica %s", member->name);
    }
    int r = bring_up(cluster, member, err);
    /* It waits before it asks its primary again, but not after this. */
    if (r == 0 && !is_streaming(cluster, host_of(cluster, member)))
        process_signal(member->process, SIGHUP);
    return r;
}

static CO_FN void follow(void *argument, size_t index)
{
    struct following *following = argument;
    struct cluster *cluster = following->cluster;
    struct database_member *member = cluster->members[index];
    struct error err = {0};
    if (member == primary_of(cluster))
        return;
    if (bring_up_replica(cluster, member, &err) < 0 && !following->err.code)
        error_move(&following->err, &err);
    error_done(&err);
}

static size_t count_streaming(const struct cluster *cluster)
{
    size_t n = 0;
    for (size_t i = 0; i < cluster->wanted->n_hosts; i++)
        n += cluster->wanted->hosts[i] != cluster->primary &&
             is_streaming(cluster, cluster->wanted->hosts[i]);
    return n;
}

static CO_FN int await_streaming(struct cluster *cluster, struct error *err)
{
    int64_t deadline = world_monotonic_clock() + STREAM_TIME;
    size_t n_wanted = cluster->wanted->n_hosts - 1;
    while (database_member_look(primary_of(cluster), NULL) < 0 ||
           count_streaming(cluster) < n_wanted) {
        if (world_monotonic_clock() > deadline)
            return error_set(err, ERROR_TIMEOUT, "%zu of %zu replicas follow the primary %s",
                             count_streaming(cluster), n_wanted, cluster->primary->name);
        loop_sleep(cluster->module->twin->loop, POLL_PAUSE);
    }
    return 0;
}

/* --- Synchronous replication --- */

static CO_FN int set_standby_names(struct cluster *cluster, const char *names, struct error *err)
{
    CLEANUP(mem_freep)
    char *statement = string_format("alter system set synchronous_standby_names = '%s'", names);
    int r = run_statement(cluster, statement, NULL, err);
    return r < 0 ? r : run_statement(cluster, "select pg_reload_conf()", NULL, err);
}

static CO_FN int read_standby_names(struct cluster *cluster, char **ret_names, struct error *err)
{
    CLEANUP(postgres_clear_resultp) PGresult *result = NULL;
    int r = database_member_query(primary_of(cluster),
                                  "select current_setting('synchronous_standby_names')", NULL, 0,
                                  world_monotonic_clock() + QUERY_TIME, &result, err);
    if (r == 0)
        *ret_names = string_copy(PQgetvalue(result, 0, 0));
    return r;
}

static char *wanted_standby_names(const struct cluster *cluster)
{
    return cluster->wanted->is_synchronous
               ? database_standby_names(cluster->wanted, cluster->primary)
               : string_copy("");
}

static bool has_synchronous(const struct cluster *cluster)
{
    const struct database_member *primary = primary_of(cluster);
    for (size_t i = 0; i < primary->n_replicas; i++)
        if (text_equal(primary->replicas[i].sync_state, "quorum") ||
            text_equal(primary->replicas[i].sync_state, "sync"))
            return true;
    return false;
}

/*
 * Makes it so. Where commits wait for replicas already, or shall not any more, that is at once, so
 * that none waits for a replica that is about to go; else it is when one streams.
 */
static CO_FN int adjust_standby_names(struct cluster *cluster, bool one_streams, struct error *err)
{
    CLEANUP(mem_freep) char *names = NULL;
    CLEANUP(mem_freep) char *wanted = wanted_standby_names(cluster);
    int r = read_standby_names(cluster, &names, err);
    if (r < 0)
        return r;
    assert(names);
    if (text_equal(names, wanted) || (*wanted && !*names && !one_streams))
        return 0;
    return set_standby_names(cluster, wanted, err);
}

static CO_FN int await_synchronous(struct cluster *cluster, struct error *err)
{
    int64_t deadline = world_monotonic_clock() + STREAM_TIME;
    while (!has_synchronous(cluster)) {
        if (world_monotonic_clock() > deadline)
            return error_set(err, ERROR_TIMEOUT, "no replica of %s confirms commits",
                             cluster->primary->name);
        loop_sleep(cluster->module->twin->loop, POLL_PAUSE);
        int r = database_member_look(primary_of(cluster), err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- A cluster --- */

static CO_FN int converge_primary(struct cluster *cluster, struct error *err)
{
    int r = choose_primary(cluster, err);
    if (r == 0)
        r = ensure_application_password(cluster, err);
    if (r == 0)
        r = ensure_password(cluster, "replication", &cluster->replication_password, err);
    if (r == 0)
        r = make_archive(cluster, err);
    if (r < 0)
        return r;
    add_members(cluster);
    r = configure_all(cluster, err);
    if (r == 0)
        r = ensure_data(cluster, err);
    if (r == 0)
        r = launch_all(cluster, err);
    return r < 0 ? r : bring_up(cluster, primary_of(cluster), err);
}

static CO_FN int converge_replicas(struct cluster *cluster, struct error *err)
{
    struct following following = {.cluster = cluster};
    service_in_parallel(cluster->module->twin->loop, cluster->n_members, follow, &following);
    if (following.err.code)
        return error_move(err, &following.err);
    return await_streaming(cluster, err);
}

static CO_FN int converge_cluster(struct cluster *cluster, struct error *err)
{
    bool has_replicas = cluster->wanted->n_hosts > 1;
    int r = converge_primary(cluster, err);
    if (r == 0)
        r = adjust_standby_names(cluster, false, err);
    if (r < 0)
        return r;
    drop_unwanted_members(cluster);
    r = prepare_primary(cluster, err);
    if (r == 0)
        r = publish(cluster, err);
    if (r == 0 && has_replicas)
        r = converge_replicas(cluster, err);
    if (r == 0)
        r = adjust_standby_names(cluster, true, err);
    if (r == 0 && has_replicas && cluster->wanted->is_synchronous)
        r = await_synchronous(cluster, err);
    return r < 0 ? r : await_kept(cluster, err);
}

static CO_FN void stop_member(void *argument, size_t index)
{
    struct cluster *cluster = argument;
    database_member_stop(cluster->members[index]);
}

static CO_FN void stop_cluster(struct cluster *cluster)
{
    service_in_parallel(cluster->module->twin->loop, cluster->n_members, stop_member, cluster);
    if (cluster->moved_ip)
        network_move_address(cluster->module->twin->network, cluster->moved_ip, NULL, NULL);
    cluster->moved_ip = 0;
}

static CO_FN void cluster_free(struct cluster *cluster)
{
    stop_cluster(cluster);
    end_keeping(cluster, NULL);
    for (size_t i = 0; i < cluster->n_members; i++)
        database_member_free(cluster->members[i]);
    mem_free(cluster->members);
    forget_password(&cluster->application_password);
    forget_password(&cluster->replication_password);
    mem_free(cluster->given_password);
    mem_free(cluster->archive);
    mem_free(cluster->resource);
    mem_free(cluster);
}

static void remove_secret(const struct cluster *cluster, const char *kind)
{
    CLEANUP(mem_freep) char *path = secret_path(cluster, kind);
    unlink(path);
}

/* A destroyed cluster takes its data along; one that only cannot run now keeps it. */
static CO_FN void drop_cluster(struct databases *module, size_t index)
{
    struct cluster *cluster = module->items[index];
    struct machine_database gone = {.resource = cluster->resource};
    CLEANUP(mem_freep) char *access = NULL;
    module->items[index] = module->items[--module->n_items];
    stop_cluster(cluster);
    end_keeping(cluster, NULL);
    if (!twin_has_resource(module->twin, cluster->resource)) {
        while (cluster->n_members > 0)
            drop_member(cluster, cluster->n_members - 1);
        if (cluster->archive)
            service_remove_folder(cluster->archive);
        if (database_access_file(module->twin, &gone, &access, NULL) == 0)
            service_remove_folder(dirname(access));
        remove_secret(cluster, "application");
        remove_secret(cluster, "replication");
        remove_secret(cluster, "primary");
    }
    cluster_free(cluster);
}

/* --- The module --- */

static const struct machine_database *find_wanted(const struct machine *machine,
                                                  const char *resource)
{
    for (size_t i = 0; i < machine->n_databases; i++)
        if (text_equal(machine->databases[i]->resource, resource))
            return machine->databases[i];
    return NULL;
}

static struct cluster *find_cluster(const struct databases *module, const char *resource)
{
    for (size_t i = 0; i < module->n_items; i++)
        if (text_equal(module->items[i]->resource, resource))
            return module->items[i];
    return NULL;
}

static void adjust_list(struct databases *module)
{
    for (size_t i = 0; i < module->machine->n_databases; i++) {
        const struct machine_database *wanted = module->machine->databases[i];
        struct cluster *cluster = find_cluster(module, wanted->resource);
        if (!cluster) {
            cluster = NEW(struct cluster);
            cluster->module = module;
            cluster->resource = string_copy(wanted->resource);
            ARRAY_RESERVE(module->items, module->n_items, module->capacity);
            module->items[module->n_items++] = cluster;
        }
        cluster->wanted = wanted;
        cluster->primary = NULL;
    }
}

static CO_FN void drop_unwanted(struct databases *module)
{
    for (size_t i = module->n_items; i > 0; i--)
        if (!find_wanted(module->machine, module->items[i - 1]->resource))
            drop_cluster(module, i - 1);
}

struct convergence {
    struct databases *module;
    struct problems *problems;
};

static CO_FN void converge_one(void *argument, size_t index)
{
    struct convergence *convergence = argument;
    const struct machine_database *wanted = convergence->module->machine->databases[index];
    struct error err = {0};
    int r = converge_cluster(find_cluster(convergence->module, wanted->resource), &err);
    if (r < 0) {
        error_wrap(&err, r, "database %s", wanted->name);
        problems_add(convergence->problems, wanted->resource, &err);
    }
}

/* For the next cluster, when what is wanted now runs. */
static CO_FN void ensure_template(struct databases *module)
{
    struct database_maker maker = maker_of(module);
    if (module->n_spares_wanted == 0 || (module->job && !template_job_has_ended(module->job)))
        return;
    template_job_free(module->job);
    module->job = database_template_make(&maker, module->n_spares_wanted);
    module->n_spares_wanted = 0;
}

static CO_FN void converge_databases(void *argument, struct machine *wanted,
                                     struct problems *problems)
{
    struct databases *module = argument;
    CLEANUP(error_done) struct error err = {0};
    if (wanted->n_databases > 0 && !module->programs.postgres &&
        database_find_programs(&module->programs, &err) < 0) {
        for (size_t i = 0; i < wanted->n_databases; i++) {
            struct error copy = {0};
            error_set(&copy, err.code, "%s", error_message(&err));
            problems_add(problems, wanted->databases[i]->resource, &copy);
        }
        return;
    }
    struct machine *before = module->machine;
    module->machine = machine_ref(wanted);
    adjust_list(module);
    bool is_some_unwanted = module->n_items > wanted->n_databases;
    struct convergence convergence = {module, problems};
    service_in_parallel(module->twin->loop, wanted->n_databases, converge_one, &convergence);
    ensure_template(module);
    if (is_some_unwanted) {
        /* Workloads that use it end first. */
        twin_wait_for(module->twin, MODULE_WORKLOAD, wanted->generation);
        drop_unwanted(module);
    }
    machine_unref(before);
}

/* --- What is so --- */

static bool runs(const struct database_member *member)
{
    return member && member->process && process_state(member->process) == PROCESS_READY;
}

static struct value *describe_member(const struct cluster *cluster, const struct machine_host *host)
{
    struct value_builder fields = {0};
    const struct database_member *member = find_member(cluster, host->name);
    const struct database_member *primary = primary_of(cluster);
    CLEANUP(mem_freep) char *slot = database_slot(host);
    const struct database_replica *replica =
        primary ? database_member_find_replica(primary, slot) : NULL;
    value_builder_set_string(&fields, "name", host->name);
    value_builder_set_string(&fields, "address", host->address);
    value_builder_set_string(&fields, "role", host == cluster->primary ? "primary" : "replica");
    value_builder_set_string(&fields, "state",
                             member && member->process
                                 ? process_state_to_string(process_state(member->process))
                                 : "failed");
    service_report_restarts(&fields, member ? process_restarts(member->process) : 0);
    if (replica) {
        value_builder_set_string(&fields, "replication", replica->state);
        value_builder_set_string(&fields, "synchronous",
                                 text_equal(replica->sync_state, "async") ? "no" : "yes");
        value_builder_set(&fields, "lag_bytes", value_integer(replica->lag));
        value_builder_set(&fields, "lag_us", value_integer(replica->lag_us));
    }
    return value_builder_map(&fields);
}

static unsigned int count_restarts(const struct cluster *cluster)
{
    unsigned int n_restarts = 0;
    for (size_t i = 0; i < cluster->n_members; i++)
        n_restarts += process_restarts(cluster->members[i]->process);
    return n_restarts;
}

static const char *state_of(const struct cluster *cluster)
{
    const struct database_member *primary = primary_of(cluster);
    size_t n_replicas = cluster->wanted->n_hosts - 1;
    if (!primary || !primary->process)
        return "failed";
    if (!runs(primary))
        return process_state(primary->process) == PROCESS_STARTING ? "starting" : "failed";
    if (count_streaming(cluster) < n_replicas)
        return "degraded";
    return n_replicas > 0 && cluster->wanted->is_synchronous && !has_synchronous(cluster)
               ? "degraded"
               : "ready";
}

static void report_database(void *argument, const char *resource, struct value_builder *status,
                            struct value_builder *outputs)
{
    const struct cluster *cluster = find_cluster(argument, resource);
    struct value_builder members = {0};
    if (!cluster || !cluster->primary)
        return;
    const struct machine_database *wanted = cluster->wanted;
    const struct database_member *primary = primary_of(cluster);
    for (size_t i = 0; i < wanted->n_hosts; i++)
        value_builder_append(&members, describe_member(cluster, wanted->hosts[i]));
    value_builder_set_string(status, "state", state_of(cluster));
    service_report_restarts(status, count_restarts(cluster));
    value_builder_set_string(status, "primary", cluster->primary->name);
    value_builder_set_string(status, "replication",
                             wanted->is_synchronous ? "synchronous" : "asynchronous");
    value_builder_set(status, "members", value_builder_list(&members));
    value_builder_set_string(outputs, "endpoint",
                             wanted->ip ? wanted->address : cluster->primary->address);
    value_builder_set(outputs, "port", value_integer(wanted->port));
    if (primary && *primary->version) {
        value_builder_set_string(status, "engine_version", primary->version);
        value_builder_set_string(outputs, "engine_version", primary->version);
    }
}

static int open_databases(struct twin *twin, void **ret_module, struct error *err)
{
    CLEANUP(mem_freep) char *data_folder = NULL;
    CLEANUP(mem_freep) char *config_folder = NULL;
    CLEANUP(mem_freep) char *secret_folder = string_format("%s/secrets", twin->folder);
    int r = twin_folder(twin, "database", PROCESS_POSTGRES, &data_folder, err);
    if (r == 0)
        r = service_open_folder(twin, "database-config", &config_folder, err);
    if (r == 0)
        r = world_make_folder(secret_folder, 0700, err);
    if (r < 0)
        return r;
    struct databases *module = NEW(struct databases);
    module->twin = twin;
    module->data_folder = take_ptr(data_folder);
    module->config_folder = take_ptr(config_folder);
    module->secret_folder = take_ptr(secret_folder);
    module->given_folder = string_format("%s/given", twin->folder);
    struct database_maker maker = maker_of(module);
    database_template_clean(&maker);
    *ret_module = module;
    return 0;
}

static CO_FN void close_databases(void *argument)
{
    struct databases *module = argument;
    template_job_free(module->job);
    while (module->n_items > 0)
        cluster_free(module->items[--module->n_items]);
    mem_free(module->items);
    machine_unref(module->machine);
    database_programs_done(&module->programs);
    mem_free(module->data_folder);
    mem_free(module->config_folder);
    mem_free(module->secret_folder);
    mem_free(module->given_folder);
    mem_free(module);
}

const struct module_ops database_module = {
    .name = "database",
    .open = open_databases,
    .converge = converge_databases,
    .report = report_database,
    .close = close_databases,
};
