/* Replicas that follow their primary, and commits that wait for them. */
#include "twin/database-private.h"

#include "base/text.h"
#include "base/world.h"
#include "twin/service.h"

#include <assert.h>
#include <signal.h>

enum {
    STREAM_TIME = 20 * 1000 * 1000, /* microseconds */
    CATCH_UP_TIME = 300 * 1000 * 1000,
    QUERY_TIME = 5 * 1000 * 1000,
    POLL_PAUSE = 5 * 1000,
};

/* --- Replicas --- */

struct following {
    struct cluster *cluster;
    struct error err; /* of the first that failed */
};

static bool is_in_state(const struct cluster *cluster, const char *host, const char *state)
{
    CLEANUP(mem_freep) char *slot = database_slot(host);
    const struct database_replica *replica =
        database_member_find_replica(database_primary(cluster), slot);
    return replica && text_equal(replica->state, state);
}

bool database_is_streaming(const struct cluster *cluster, const char *host)
{
    return is_in_state(cluster, host, "streaming");
}

bool database_is_catching_up(const struct cluster *cluster, const char *host)
{
    return is_in_state(cluster, host, "catchup");
}

void database_note_copy(struct cluster *cluster, struct database_member *member, const char *why)
{
    CLEANUP(mem_freep)
    char *message = string_format("its data is copied anew from %s, the primary: %s",
                                  cluster->primary->name, why);
    struct event event = {
        .kind = "copied-anew", .program = member->name, .host = member->name, .message = message};
    service_note(cluster->module->twin, &event);
    mem_free(member->copied_because);
    member->copied_because = string_copy(why);
}

/*
 * Data of one that was the primary may have what the primary of now has not: that is taken out of
 * it, or, where it cannot be, all is made anew, which is said.
 *
 * Without a checkpoint since its promotion the primary seems to have no history of its own yet. One
 * that does not come to an end is no reason to give up the data: a copy of all begins with a
 * checkpoint, too.
 */
static CO_FN int rewind_or_copy(struct cluster *cluster, struct database_member *member,
                                const struct database_config *config, struct error *err)
{
    CLEANUP(error_done) struct error why = {0};
    int r = database_member_checkpoint(database_primary(cluster), err);
    if (r < 0 || database_member_rewind(member, config, &why) == 0)
        return r;
    database_note_copy(cluster, member, error_message(&why));
    return database_member_clone(member, config, err);
}

/* Makes data for it where there is none, or none that follows the primary. */
static CO_FN int make_follow(struct cluster *cluster, struct database_member *member,
                             struct error *err)
{
    struct database_config config;
    bool changed;
    bool has_data = database_member_has_data(member);
    if (has_data && database_member_was_replica(member))
        return 0;
    int r = database_configure(cluster, member, &config, &changed, err);
    if (r < 0 || has_data)
        return r < 0 ? r : rewind_or_copy(cluster, member, &config, err);
    if (!member->copied_because && database_member_has_remains(member))
        database_note_copy(cluster, member, "what it had is not whole, its making was cut off");
    return database_member_clone(member, &config, err);
}

static CO_FN int bring_up_replica(struct cluster *cluster, struct database_member *member,
                                  struct error *err)
{
    int r = make_follow(cluster, member, err);
    if (r < 0)
        return error_wrap(err, r, "replica %s", member->name);
    r = database_bring_up(cluster, member, err);
    /* It waits before it asks its primary again, but not after this. */
    if (r == 0 && !database_is_streaming(cluster, member->name))
        process_signal(member->process, SIGHUP);
    return r;
}

static CO_FN void follow(void *argument, size_t index)
{
    struct following *following = argument;
    struct cluster *cluster = following->cluster;
    struct database_member *member = cluster->members[index];
    struct error err = {0};
    int r = 0;
    if (member == database_primary(cluster))
        r = database_serve(cluster, &err);
    else if (!database_is_fenced(cluster, member->name))
        r = bring_up_replica(cluster, member, &err);
    if (r < 0 && !following->err.code)
        error_move(&following->err, &err);
    error_done(&err);
}

size_t database_count_streaming(const struct cluster *cluster)
{
    size_t n = 0;
    for (size_t i = 0; i < cluster->wanted->n_hosts; i++)
        n += cluster->wanted->hosts[i] != cluster->primary &&
             !database_is_fenced(cluster, cluster->wanted->hosts[i]->name) &&
             database_is_streaming(cluster, cluster->wanted->hosts[i]->name);
    return n;
}

/* Who is on its way needs as long as there is much to send. */
static bool is_any_catching_up(const struct cluster *cluster)
{
    for (size_t i = 0; i < cluster->wanted->n_hosts; i++)
        if (database_is_catching_up(cluster, cluster->wanted->hosts[i]->name))
            return true;
    return false;
}

static CO_FN int await_streaming(struct cluster *cluster, struct error *err)
{
    int64_t begin = world_monotonic_clock();
    size_t n_wanted = database_count_replicas(cluster);
    while (database_member_look(database_primary(cluster), NULL) < 0 ||
           database_count_streaming(cluster) < n_wanted) {
        int64_t time = is_any_catching_up(cluster) ? CATCH_UP_TIME : STREAM_TIME;
        if (world_monotonic_clock() > begin + time)
            return error_set(err, ERROR_TIMEOUT, "%zu of %zu replicas follow the primary %s",
                             database_count_streaming(cluster), n_wanted, cluster->primary->name);
        if (database_must_hurry(cluster->module))
            return error_set(err, ERROR_CANCELLED, "what is asked for now goes first");
        loop_sleep(cluster->module->twin->loop, POLL_PAUSE);
    }
    return 0;
}

int database_converge_replicas(struct cluster *cluster, struct error *err)
{
    struct following following = {.cluster = cluster};
    service_in_parallel(cluster->module->twin->loop, cluster->n_members, follow, &following);
    if (following.err.code)
        return error_move(err, &following.err);
    return await_streaming(cluster, err);
}

/* --- Synchronous replication --- */

static CO_FN int set_standby_names(struct cluster *cluster, const char *names, struct error *err)
{
    CLEANUP(mem_freep)
    char *statement = string_format("alter system set synchronous_standby_names = '%s'", names);
    int r = database_run_statement(cluster, statement, NULL, err);
    return r < 0 ? r : database_run_statement(cluster, "select pg_reload_conf()", NULL, err);
}

static CO_FN int read_standby_names(struct cluster *cluster, char **ret_names, struct error *err)
{
    CLEANUP(postgres_clear_resultp) PGresult *result = NULL;
    int r = database_member_query(database_primary(cluster),
                                  "select current_setting('synchronous_standby_names')", NULL, 0,
                                  world_monotonic_clock() + QUERY_TIME, &result, err);
    if (r == 0)
        *ret_names = string_copy(PQgetvalue(result, 0, 0));
    return r;
}

char *database_wanted_standby_names(const struct cluster *cluster)
{
    return cluster->wanted->is_synchronous
               ? database_standby_names(cluster->wanted, cluster->primary, &cluster->fenced)
               : string_copy("");
}

bool database_has_synchronous(const struct cluster *cluster)
{
    const struct database_member *primary = database_primary(cluster);
    for (size_t i = 0; i < primary->n_replicas; i++)
        if (text_equal(primary->replicas[i].sync_state, "quorum") ||
            text_equal(primary->replicas[i].sync_state, "sync"))
            return true;
    return false;
}

int database_adjust_standby_names(struct cluster *cluster, bool one_streams, struct error *err)
{
    CLEANUP(mem_freep) char *names = NULL;
    CLEANUP(mem_freep) char *wanted = database_wanted_standby_names(cluster);
    int r = read_standby_names(cluster, &names, err);
    if (r < 0)
        return r;
    assert(names);
    if (text_equal(names, wanted) || (*wanted && !*names && !one_streams))
        return 0;
    return set_standby_names(cluster, wanted, err);
}

int database_await_synchronous(struct cluster *cluster, struct error *err)
{
    int64_t deadline = world_monotonic_clock() + STREAM_TIME;
    while (!database_has_synchronous(cluster)) {
        if (world_monotonic_clock() > deadline)
            return error_set(err, ERROR_TIMEOUT, "no replica of %s confirms commits",
                             cluster->primary->name);
        if (database_must_hurry(cluster->module))
            return error_set(err, ERROR_CANCELLED, "what is asked for now goes first");
        loop_sleep(cluster->module->twin->loop, POLL_PAUSE);
        int r = database_member_look(database_primary(cluster), err);
        if (r < 0)
            return r;
    }
    return 0;
}
