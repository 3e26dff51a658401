/*
 * What somebody asks of a cluster that is no configuration: which server is the primary, and which
 * is kept out. What was asked is written down before it is done, so that a life which ends in the
 * middle is followed by one that goes on; see database_ensure_promoted().
 */
#include "twin/database-private.h"

#include "base/text.h"
#include "base/world.h"
#include "twin/service.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum {
    NAME_LIMIT = 64 * 1024,       /* bytes of hosts' names in a file */
    SETTINGS_LIMIT = 1024 * 1024, /* of what the server was told by "alter system" */
    ASK_TIME = 2 * 1000 * 1000,   /* microseconds */
    PROMOTE_TIME = 20 * 1000 * 1000,
    PROMOTE_PAUSE = 2 * 1000,
    DRAIN_TIME = 30 * 1000 * 1000,
    GOING_TIME = 30 * 1000 * 1000, /* of what was killed, which may wait for the disk */
};

/* --- Who is kept out --- */

bool database_is_fenced(const struct cluster *cluster, const char *host)
{
    return string_list_has(&cluster->fenced, host);
}

void database_load_fenced(struct cluster *cluster)
{
    CLEANUP(mem_freep) char *path = database_secret_path(cluster, "fenced");
    CLEANUP(mem_freep) char *names = NULL;
    string_list_done(&cluster->fenced);
    if (world_read_file(path, NAME_LIMIT, &names, NULL, NULL) < 0)
        return;
    for (char *name = names; *name; name += strspn(name, "\n")) {
        size_t length = strcspn(name, "\n");
        CLEANUP(mem_freep) char *host = string_copy_n(name, length);
        string_list_add(&cluster->fenced, host);
        name += length;
    }
}

static int save_fenced(struct cluster *cluster, struct error *err)
{
    CLEANUP(mem_freep) char *path = database_secret_path(cluster, "fenced");
    CLEANUP(strbuf_done) struct strbuf names = {0};
    for (size_t i = 0; i < cluster->fenced.n_items; i++)
        strbuf_addf(&names, "%s\n", cluster->fenced.items[i]);
    return world_write_file(path, strbuf_text(&names), names.length, 0600, true, err);
}

static int note_fenced(struct cluster *cluster, const char *host, struct error *err)
{
    if (database_is_fenced(cluster, host))
        return 0;
    string_list_add(&cluster->fenced, host);
    return save_fenced(cluster, err);
}

static int forget_fenced(struct cluster *cluster, const char *host, struct error *err)
{
    struct string_list left = {0};
    for (size_t i = 0; i < cluster->fenced.n_items; i++)
        if (!text_equal(cluster->fenced.items[i], host))
            string_list_add(&left, cluster->fenced.items[i]);
    string_list_done(&cluster->fenced);
    cluster->fenced = left;
    return save_fenced(cluster, err);
}

size_t database_count_replicas(const struct cluster *cluster)
{
    size_t n = 0;
    for (size_t i = 0; i < cluster->wanted->n_hosts; i++)
        n += cluster->wanted->hosts[i] != cluster->primary &&
             !database_is_fenced(cluster, cluster->wanted->hosts[i]->name);
    return n;
}

/* --- Fence and drain --- */

/* Whoever it has told that it is the primary, it is no more: the kernel ends all that runs there,
 * the server's children, too. */
static CO_FN void kill_member(struct database_member *member)
{
    pid_t cage = 0;
    if (!member->process)
        return;
    if (processes_enter(member->twin->processes, member->name, &cage, NULL) == 0 && cage > 0)
        kill(cage, SIGKILL);
    database_member_stop(member);
}

/* From here on commits wait for those only that are left. */
static CO_FN int let_commits_go_on(struct cluster *cluster, struct error *err)
{
    cluster->is_prepared = false;
    return database_is_fenced(cluster, cluster->primary->name)
               ? 0
               : database_adjust_standby_names(cluster, true, err);
}

static CO_FN int fence(struct cluster *cluster, struct database_member *member, struct error *err)
{
    int r = note_fenced(cluster, member->name, err);
    if (r < 0)
        return r;
    kill_member(member);
    return let_commits_go_on(cluster, err);
}

/* Of a replica nobody waits for any more; then new clients are refused, and those who are there
 * may end what they do. */
static CO_FN int drain(struct cluster *cluster, struct database_member *member, struct error *err)
{
    int r = note_fenced(cluster, member->name, err);
    if (r == 0)
        r = let_commits_go_on(cluster, err);
    if (r == 0)
        database_member_drain(member, world_monotonic_clock() + DRAIN_TIME);
    return r;
}

/* --- Promote --- */

/* The place in the log up to which a replica has received it; fails where it is none. */
static CO_FN int ask_received(struct database_member *member, uint64_t *ret_place,
                              struct error *err)
{
    CLEANUP(postgres_clear_resultp) PGresult *result = NULL;
    int64_t place = 0;
    int r = database_member_query(
        member,
        "select greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn "
        "where pg_is_in_recovery()",
        NULL, 0, world_monotonic_clock() + ASK_TIME, &result, err);
    if (r == 0 && (PQntuples(result) == 0 || !text_to_integer(PQgetvalue(result, 0, 0), &place)))
        r = error_set(err, ERROR_CONFLICT, "%s is no replica", member->name);
    if (r == 0)
        *ret_place = (uint64_t)place;
    return r;
}

/* What was confirmed is on one of the replicas: on the one that has received the most. */
static CO_FN int check_furthest(struct cluster *cluster, struct database_member *member,
                                struct error *err)
{
    uint64_t place = 0;
    int r = ask_received(member, &place, err);
    for (size_t i = 0; r == 0 && i < cluster->n_members; i++) {
        struct database_member *other = cluster->members[i];
        uint64_t other_place = 0;
        if (other == member || other == database_primary(cluster) ||
            database_is_fenced(cluster, other->name))
            continue;
        r = ask_received(other, &other_place, err);
        if (r < 0)
            return error_wrap(err, r,
                              "nobody can tell whether %s has what was confirmed, since %s does "
                              "not answer; fence that one first",
                              member->name, other->name);
        if (other_place > place)
            r = error_set(err, ERROR_CONFLICT,
                          "%s has received more than %s; promote that one, so that nothing is lost",
                          other->name, member->name);
    }
    return r;
}

/*
 * Whether commits of the primary had to be on a replica: as its own settings say, which outlive it.
 * They are those of its last "alter system", one a line.
 */
static bool were_commits_confirmed(const struct database_member *primary)
{
    CLEANUP(mem_freep) char *path = string_format("%s/postgresql.auto.conf", primary->paths.data);
    CLEANUP(mem_freep) char *text = NULL;
    if (world_read_file(path, SETTINGS_LIMIT, &text, NULL, NULL) < 0)
        return false;
    const char *line = strstr(text, "\nsynchronous_standby_names = 'ANY 1 (");
    return line != NULL;
}

static int check_promotion(struct cluster *cluster, const struct database_member *member,
                           struct error *err)
{
    const struct database_member *primary = database_primary(cluster);
    if (database_is_fenced(cluster, member->name))
        return error_set(err, ERROR_CONFLICT,
                         "%s is fenced: it may lack what was written since; let it rejoin first",
                         member->name);
    if (cluster->wanted->is_synchronous && !were_commits_confirmed(primary))
        return error_set(err, ERROR_CONFLICT,
                         "commits of %s are not known to be confirmed by a replica, so %s may lack "
                         "some; wait until status says ready, or, if %s is lost, take the loss: "
                         "promote-with-loss",
                         primary->name, member->name, primary->name);
    return 0;
}

/* It follows nobody: what waits for a replica then, and what not, is known before its first commit.
 */
static CO_FN int set_own_standby_names(struct cluster *cluster, struct database_member *member,
                                       struct error *err)
{
    CLEANUP(mem_freep)
    char *names = cluster->wanted->is_synchronous
                      ? database_standby_names(cluster->wanted, cluster->primary, &cluster->fenced)
                      : string_copy("");
    CLEANUP(mem_freep)
    char *statement = string_format("alter system set synchronous_standby_names = '%s'", names);
    int64_t deadline = world_monotonic_clock() + ASK_TIME;
    int r = database_member_query(member, statement, NULL, 0, deadline, NULL, err);
    return r < 0 ? r
                 : database_member_query(member, "select pg_reload_conf()", NULL, 0, deadline, NULL,
                                         err);
}

static CO_FN int ask_recovery(struct database_member *member, bool *ret_is_replica,
                              struct error *err)
{
    CLEANUP(postgres_clear_resultp) PGresult *result = NULL;
    int r = database_member_query(member, "select pg_is_in_recovery()", NULL, 0,
                                  world_monotonic_clock() + ASK_TIME, &result, err);
    if (r == 0)
        *ret_is_replica = text_equal(PQgetvalue(result, 0, 0), "t");
    return r;
}

int database_ensure_promoted(struct cluster *cluster, struct error *err)
{
    struct database_member *member = database_primary(cluster);
    int64_t deadline = world_monotonic_clock() + PROMOTE_TIME;
    bool is_replica = false;
    int r = ask_recovery(member, &is_replica, err);
    if (r < 0 || !is_replica)
        return r;
    cluster->is_prepared = false;
    r = set_own_standby_names(cluster, member, err);
    /* It does not wait: PostgreSQL itself would look only every tenth of a second. */
    if (r == 0)
        r = database_member_query(member, "select pg_promote(false)", NULL, 0, deadline, NULL, err);
    while (r == 0 && is_replica) {
        if (world_monotonic_clock() > deadline)
            return error_set(err, ERROR_TIMEOUT, "%s does not become the primary", member->name);
        loop_sleep(member->twin->loop, PROMOTE_PAUSE);
        r = ask_recovery(member, &is_replica, err);
    }
    return r;
}

static int note_primary(struct cluster *cluster, const struct machine_host *host, struct error *err)
{
    CLEANUP(mem_freep) char *path = database_secret_path(cluster, "primary");
    int r = world_write_file(path, host->name, strlen(host->name), 0600, true, err);
    if (r == 0)
        cluster->primary = host;
    return r;
}

/* Those of the others that can still be asked how much they have received. */
static CO_FN void bring_up_others(struct cluster *cluster, const struct database_member *member)
{
    for (size_t i = 0; i < cluster->n_members; i++) {
        struct database_member *other = cluster->members[i];
        if (other != member && other != database_primary(cluster) &&
            database_host_of(cluster, other) && !database_is_fenced(cluster, other->name) &&
            database_member_has_data(other))
            database_bring_up(cluster, other, NULL);
    }
}

/* Whether none of those that answer has received more. */
static CO_FN int check_best_left(struct cluster *cluster, struct database_member *member,
                                 struct error *err)
{
    uint64_t place = 0, other_place = 0;
    int r = ask_received(member, &place, err);
    for (size_t i = 0; r == 0 && i < cluster->n_members; i++) {
        struct database_member *other = cluster->members[i];
        if (other != member && other != database_primary(cluster) &&
            !database_is_fenced(cluster, other->name) &&
            ask_received(other, &other_place, NULL) == 0 && other_place > place)
            r = error_set(err, ERROR_CONFLICT,
                          "%s has received more than %s; promote that one, so that less is lost",
                          other->name, member->name);
    }
    return r;
}

/*
 * For when the primary's data is lost, or nobody can tell what was confirmed: what no replica that
 * answers has received is given up. One that was kept out may lack even more; it takes no part
 * unless it is the one that is named.
 */
static CO_FN int promote_with_loss(struct cluster *cluster, struct database_member *member,
                                   struct error *err)
{
    struct database_member *former = database_primary(cluster);
    if (member == former)
        return error_set(err, ERROR_CONFLICT, "%s is the primary", member->name);
    int r = forget_fenced(cluster, member->name, err);
    if (r == 0)
        r = database_bring_up(cluster, member, err);
    if (r < 0)
        return r;
    bring_up_others(cluster, member);
    r = check_best_left(cluster, member, err);
    if (r == 0)
        r = note_fenced(cluster, former->name, err);
    if (r < 0)
        return r;
    kill_member(former);
    r = note_primary(cluster, database_host_of(cluster, member), err);
    if (r == 0)
        r = database_ensure_promoted(cluster, err);
    return r < 0 ? r : database_publish(cluster, err);
}

/* The one that was is kept out before another one is: never are there two. */
static CO_FN int promote(struct cluster *cluster, struct database_member *member, struct error *err)
{
    struct database_member *former = database_primary(cluster);
    uint64_t ignored;
    bool was_fenced = database_is_fenced(cluster, former->name);
    int r = 0;
    if (member == former && was_fenced)
        return error_set(err, ERROR_CONFLICT, "%s, the primary, is fenced; let it rejoin",
                         member->name);
    if (member != former)
        r = check_promotion(cluster, member, err);
    /* A life of ours that has just begun may not have come to it yet. */
    if (r == 0)
        r = database_bring_up(cluster, member, err);
    if (r == 0 && member == former)
        r = database_ensure_promoted(cluster, err);
    if (r < 0 || member == former)
        return r < 0 ? r : database_publish(cluster, err);
    r = ask_received(member, &ignored, err);
    if (r == 0)
        r = note_fenced(cluster, former->name, err);
    if (r < 0)
        return r;
    kill_member(former);
    r = check_furthest(cluster, member, err);
    if (r < 0) {
        /* Nothing was changed but that it was away for a moment. */
        if (!was_fenced)
            forget_fenced(cluster, former->name, NULL);
        return r;
    }
    r = note_primary(cluster, database_host_of(cluster, member), err);
    if (r == 0)
        r = database_ensure_promoted(cluster, err);
    return r < 0 ? r : database_publish(cluster, err);
}

/* --- Rejoin --- */

/* Whether a replica runs and gets nothing of its primary, which answers. */
static CO_FN bool is_left_behind(struct cluster *cluster, struct database_member *member)
{
    struct database_member *primary = database_primary(cluster);
    return member != primary && member->process &&
           process_state(member->process) == PROCESS_READY &&
           database_member_look(primary, NULL) == 0 &&
           !database_is_streaming(cluster, member->name) &&
           !database_is_catching_up(cluster, member->name);
}

/*
 * What brings up replicas also takes care of the data of one that was the primary; see
 * database-replication.c. A replica that has received what the primary never had cannot follow it:
 * that one is made anew.
 */
static CO_FN int rejoin(struct cluster *cluster, struct database_member *member, struct error *err)
{
    bool is_primary = member == database_primary(cluster);
    if (!is_primary && database_is_fenced(cluster, cluster->primary->name))
        return error_set(err, ERROR_CONFLICT,
                         "%s, the primary, is fenced itself: there is nothing to join",
                         cluster->primary->name);
    int r = processes_await_end(member->twin->processes, member->name,
                                world_monotonic_clock() + GOING_TIME, err);
    if (r == 0)
        r = forget_fenced(cluster, member->name, err);
    cluster->is_prepared = false;
    if (r == 0)
        r = database_converge_cluster(cluster, err);
    if (r != -ERROR_TIMEOUT || !is_left_behind(cluster, member))
        return r;
    database_note_copy(cluster, member, error_message(err));
    error_done(err);
    kill_member(member);
    database_member_erase(member);
    return database_converge_cluster(cluster, err);
}

/* --- What is asked for --- */

static const struct {
    const char *name;
    CO_FN int (*act)(struct cluster *cluster, struct database_member *member, struct error *err);
} actions[] = {{"promote", promote},
               {"promote-with-loss", promote_with_loss},
               {"fence", fence},
               {"rejoin", rejoin},
               {"drain", drain}};

static CO_FN int act(struct databases *module, const struct module_action *action,
                     struct error *err)
{
    struct cluster *cluster = database_find_cluster(module, action->resource);
    size_t i = 0;
    if (!cluster || !cluster->primary)
        return error_set(err, ERROR_UNAVAILABLE, "the database does not stand yet");
    while (i < ARRAY_LENGTH(actions) && !text_equal(actions[i].name, action->name))
        i++;
    if (i == ARRAY_LENGTH(actions))
        return error_set(
            err, ERROR_UNSUPPORTED,
            "a database has no action \"%.40s\", but promote, promote-with-loss, fence, "
            "rejoin and drain",
            action->name);
    struct database_member *member = database_find_member(cluster, action->member);
    if (!member || !database_host_of(cluster, member))
        return error_set(err, ERROR_NOT_FOUND, "%s has no server %.80s", cluster->wanted->name,
                         action->member);
    return actions[i].act(cluster, member, err);
}

int database_act(void *argument, const struct module_action *action, struct error *err)
{
    struct databases *module = argument;
    database_begin(module, true);
    int r = act(module, action, err);
    database_end(module);
    /* What follows from it for all others is made so beside the answer. */
    twin_wake(module->twin, MODULE_DATABASE);
    return r;
}
