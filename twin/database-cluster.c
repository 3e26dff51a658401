/* How a cluster of PostgreSQL becomes what is wanted of it. Its replication, its data and who may
 * come in have files of their own. */
#include "twin/database-private.h"

#include "base/text.h"
#include "base/world.h"
#include "twin/service.h"

#include <signal.h>
#include <string.h>

enum {
    START_TIME = 20 * 1000 * 1000, /* microseconds; a server that crashed recovers first */
    LOOK_TIME = 50 * 1000,         /* after which a wait may end early */
    NAME_LIMIT = 256,              /* bytes of a host's name in a file */
};

/* --- Members --- */

struct database_member *database_find_member(const struct cluster *cluster, const char *host)
{
    for (size_t i = 0; i < cluster->n_members; i++)
        if (text_equal(cluster->members[i]->name, host))
            return cluster->members[i];
    return NULL;
}

struct database_member *database_primary(const struct cluster *cluster)
{
    return database_find_member(cluster, cluster->primary->name);
}

const struct machine_host *database_host_of(const struct cluster *cluster,
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
        if (database_find_member(cluster, host))
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
        if (database_host_of(cluster, cluster->members[i - 1]))
            continue;
        drop_member(cluster, i - 1);
        cluster->is_prepared = false;
    }
}

/* --- Which one is the primary --- */

/* The one that was, else the first. It never changes here: that is an action somebody approves. */
static int choose_primary(struct cluster *cluster, struct error *err)
{
    CLEANUP(mem_freep) char *path = database_secret_path(cluster, "primary");
    CLEANUP(mem_freep) char *name = NULL;
    int r = world_read_file(path, NAME_LIMIT, &name, NULL, NULL);
    if (r < 0)
        name = string_copy(cluster->wanted->hosts[0]->name);
    for (size_t i = 0; i < cluster->wanted->n_hosts; i++)
        if (text_equal(cluster->wanted->hosts[i]->name, name))
            cluster->primary = cluster->wanted->hosts[i];
    if (!cluster->primary)
        return error_set(err, ERROR_CONFLICT,
                         "%s, the primary, would be removed; promote a replica that stays first",
                         name);
    database_load_fenced(cluster);
    return r == 0 ? 0 : world_write_file(path, name, strlen(name), 0600, true, err);
}

/* --- Starting --- */

int database_configure(struct cluster *cluster, struct database_member *member,
                       struct database_config *config, bool *ret_changed, struct error *err)
{
    *config = (struct database_config){
        .database = cluster->wanted, .primary = cluster->primary, .archive = cluster->archive};
    config->host = database_host_of(cluster, member);
    return database_member_configure(member, config, cluster->replication_password, ret_changed,
                                     err);
}

int database_await_ready(struct cluster *cluster, struct database_member *member, struct error *err)
{
    int64_t deadline = world_monotonic_clock() + START_TIME;
    for (;;) {
        int64_t now = world_monotonic_clock();
        int64_t until = now + LOOK_TIME < deadline ? now + LOOK_TIME : deadline;
        int r = process_wait_ready(member->process, until, err);
        if (r != -ERROR_TIMEOUT || until == deadline)
            return r;
        error_done(err);
        if (database_must_hurry(cluster->module))
            return error_set(err, ERROR_CANCELLED, "what is asked for now goes first");
    }
}

/* A new port needs a new start; all else that changes here is read again. */
int database_bring_up(struct cluster *cluster, struct database_member *member, struct error *err)
{
    struct database_config config;
    uint16_t port_before = member->port;
    bool changed;
    int r = database_configure(cluster, member, &config, &changed, err);
    if (r < 0)
        return r;
    if (member->process && member->port != port_before)
        database_member_stop(member);
    else if (member->process && changed)
        process_signal(member->process, SIGHUP);
    r = database_member_launch(member, err);
    return r < 0 ? r : database_await_ready(cluster, member, err);
}

/* Before the data is made: what is synced afterwards waits for all of that. */
static int configure_all(struct cluster *cluster, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < cluster->n_members; i++) {
        struct database_config config;
        bool changed;
        if (!cluster->members[i]->process && database_host_of(cluster, cluster->members[i]))
            r = database_configure(cluster, cluster->members[i], &config, &changed, err);
    }
    return r;
}

/*
 * Replicas that have data start beside their primary: until that lets them in they try in vain, and
 * then they are told to try again at once; see bring_up_replica().
 */
static int launch_all(struct cluster *cluster, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < cluster->n_members; i++) {
        struct database_member *member = cluster->members[i];
        bool is_primary = member == database_primary(cluster);
        if (!database_host_of(cluster, member) || database_is_fenced(cluster, member->name))
            continue;
        if (is_primary || (database_member_has_data(member) && database_member_was_replica(member)))
            r = database_member_launch(member, err);
    }
    return r;
}

/* --- A cluster --- */

static CO_FN int converge_primary(struct cluster *cluster, struct error *err)
{
    int r = choose_primary(cluster, err);
    if (r == 0)
        r = database_ensure_passwords(cluster, err);
    if (r == 0)
        r = database_make_archive(cluster, err);
    if (r < 0)
        return r;
    add_members(cluster);
    bool is_fenced = database_is_fenced(cluster, cluster->primary->name);
    r = configure_all(cluster, err);
    if (r == 0 && !is_fenced)
        r = database_ensure_data(cluster, err);
    if (r == 0)
        r = launch_all(cluster, err);
    if (r == 0)
        database_begin_keeping(cluster);
    if (r == 0 && !cluster->is_prepared)
        r = database_make_verifiers(cluster, err);
    if (r == 0 && is_fenced)
        r = error_set(err, ERROR_CONFLICT,
                      "%s, the primary, is fenced; promote a replica, or let it rejoin",
                      cluster->primary->name);
    if (r == 0)
        r = database_bring_up(cluster, database_primary(cluster), err);
    /* A life before this one may have ended while it was promoted. */
    return r == 0 && database_primary(cluster)->is_replica ? database_ensure_promoted(cluster, err)
                                                           : r;
}

int database_converge_cluster(struct cluster *cluster, struct error *err)
{
    int r = converge_primary(cluster, err);
    bool has_replicas = r == 0 && database_count_replicas(cluster) > 0;
    if (r == 0)
        r = database_adjust_standby_names(cluster, false, err);
    if (r < 0)
        return r;
    drop_unwanted_members(cluster);
    r = database_prepare_primary(cluster, err);
    if (r == 0)
        r = has_replicas ? database_converge_replicas(cluster, err) : database_serve(cluster, err);
    if (r == 0)
        r = database_adjust_standby_names(cluster, true, err);
    if (r == 0 && has_replicas && cluster->wanted->is_synchronous)
        r = database_await_synchronous(cluster, err);
    return r < 0 ? r : database_await_kept(cluster, err);
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

void database_cluster_free(struct cluster *cluster)
{
    stop_cluster(cluster);
    database_end_keeping(cluster, NULL);
    for (size_t i = 0; i < cluster->n_members; i++)
        database_member_free(cluster->members[i]);
    mem_free(cluster->members);
    database_forget_passwords(cluster);
    string_list_done(&cluster->fenced);
    mem_free(cluster->archive);
    mem_free(cluster->resource);
    mem_free(cluster);
}

/* A destroyed cluster takes its data along; one that only cannot run now keeps it. */
void database_drop_cluster(struct databases *module, size_t index)
{
    struct cluster *cluster = module->items[index];
    module->items[index] = module->items[--module->n_items];
    stop_cluster(cluster);
    database_end_keeping(cluster, NULL);
    if (!twin_has_resource(module->twin, cluster->resource)) {
        while (cluster->n_members > 0)
            drop_member(cluster, cluster->n_members - 1);
        if (cluster->archive)
            service_remove_folder(cluster->archive);
        database_remove_access(cluster);
    }
    database_cluster_free(cluster);
}
