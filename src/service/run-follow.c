/* A run is followed by a door: over its socket while it lives, from the journal otherwise. */
#include "apply/apply.h"
#include "base/memory.h"
#include "base/world.h"
#include "model/json.h"
#include "net/channel.h"
#include "net/child.h"
#include "service/run-remains.h"
#include "service/run-socket.h"
#include "service/service.h"

#include <string.h>

enum {
    SECOND = 1000000,
    CONNECT_SECONDS = 10,
    GONE_SECONDS = 3,
    SEND_SECONDS = 5,
    PAGE = 1000,
    COUNTED_PAGE = 10000,
};

struct following {
    struct service *service;
    struct follower *follower;
    struct channel *channel; /* owned; NULL while there is none */
    int64_t last_seq;
    int asked;        /* the cancel level the run was told of */
    const char *path; /* borrowed: of the run's socket */
    int asked_apart;  /* the same while there is no channel */
};

static const char *line_to_ask(int cancel_level)
{
    return cancel_level > 1 ? "{\"ask\":\"abort\"}" : "{\"ask\":\"cancel\"}";
}

/* What is asked while the past is still read is not kept waiting until that is done. */
static CO_FN void ask_apart(struct following *following)
{
    struct loop *loop = following->service->loop;
    int level = following->follower->cancel_level;
    CLEANUP(channel_freep) struct channel *channel = NULL;
    int64_t deadline = world_monotonic_clock() + (int64_t)CONNECT_SECONDS * SECOND;
    if (level <= following->asked_apart ||
        channel_connect(loop, following->path, RUN_LINE_LIMIT, deadline, &channel, NULL) < 0)
        return;
    const char *line = line_to_ask(level);
    if (channel_send(channel, line, strlen(line), deadline, NULL) == 0)
        following->asked_apart = level;
}

static void pass_on(struct following *following, const struct value *event)
{
    int64_t seq = value_get_integer(event, "seq", 0);
    if (seq > 0 && seq <= following->last_seq)
        return;
    if (seq > 0)
        following->last_seq = seq;
    following->follower->sink(following->follower->argument, event);
}

static void pass_on_rows(struct following *following, const struct value *rows)
{
    for (size_t i = 0; i < value_count(rows); i++) {
        CLEANUP(value_unrefp) struct value *event = run_event_of_row(value_at(rows, i));
        pass_on(following, event);
    }
}

static int pass_on_page(struct following *following, bool *ret_is_last, struct error *err)
{
    CLEANUP(value_unrefp) struct value *rows = NULL;
    int r = store_read_journal(following->service->store, following->follower->run_id,
                               following->last_seq, PAGE, &rows, err);
    if (r < 0)
        return r;
    pass_on_rows(following, rows);
    *ret_is_last = value_count(rows) < PAGE;
    return 0;
}

/* For who counts. */
static int pass_on_tally(struct following *following, bool *ret_is_last, struct error *err)
{
    const struct follower *follower = following->follower;
    struct journal_tally tally = {0};
    int r = store_tally_journal(following->service->store, follower->run_id, following->last_seq,
                                COUNTED_PAGE, &tally, err);
    if (r < 0)
        return r;
    if (tally.n_ended > 0) {
        struct value_builder fields = {0};
        value_builder_set_string(&fields, "kind", "tally");
        value_builder_set(&fields, "ended", value_integer((int64_t)tally.n_ended));
        value_builder_set(&fields, "stored", value_bool(true));
        CLEANUP(value_unrefp) struct value *event = value_builder_map(&fields);
        follower->sink(follower->argument, event);
    }
    pass_on_rows(following, tally.rows);
    value_unref(tally.rows);
    if (tally.n_rows > 0)
        following->last_seq = tally.last_seq;
    *ret_is_last = tally.n_rows < COUNTED_PAGE;
    return 0;
}

/* What the store knows beyond what was told. It may be much: others have their turns meanwhile. */
static int pass_on_stored(struct following *following, struct error *err)
{
    for (;;) {
        bool is_last;
        int r = following->follower->counts ? pass_on_tally(following, &is_last, err)
                                            : pass_on_page(following, &is_last, err);
        if (r < 0 || is_last)
            return r;
        loop_sleep(following->service->loop, 0);
        ask_apart(following);
    }
}

static int read_status(struct following *following, enum run_status *ret_status,
                       int64_t *ret_ended_at, struct error *err)
{
    struct store_run run = {0};
    int r = store_get_run(following->service->store, following->follower->run_id, &run, err);
    if (r < 0)
        return r;
    *ret_status = run.status;
    *ret_ended_at = run.ended_at;
    if (run.ended_at && run.message && run.epoch == 0)
        r = error_set(err, ERROR_STALE, "%s", run.message);
    store_run_done(&run);
    return r;
}

/* Tells the run when the door was asked to cancel. */
static void ask_main(void *argument)
{
    struct following *following = argument;
    struct follower *follower = following->follower;
    while (following->channel) {
        if (follower->is_left)
            channel_shut(following->channel);
        else if (follower->cancel_level > following->asked) {
            following->asked = follower->cancel_level;
            const char *line = line_to_ask(following->asked);
            int64_t deadline = world_monotonic_clock() + (int64_t)SEND_SECONDS * SECOND;
            (void)channel_send(following->channel, line, strlen(line), deadline, NULL);
            continue;
        }
        (void)gate_wait(following->service->loop, &follower->changed, -1, NULL);
    }
    following->asked = -1;
    gate_open(following->service->loop, &follower->changed);
}

static void receive_events(struct following *following)
{
    for (;;) {
        char *line = NULL;
        size_t length = 0;
        if (channel_receive(following->channel, -1, &line, &length, NULL) < 0 || !line)
            return;
        CLEANUP(value_unrefp) struct value *event = NULL;
        if (json_read(line, length, &event, NULL) == 0)
            pass_on(following, event);
        mem_free(line);
    }
}

/* What was told already is not counted again. */
static CO_FN void ask_to_count(struct following *following)
{
    CLEANUP(mem_freep)
    char *line =
        string_format("{\"ask\":\"counts\",\"after\":%lld}", (long long)following->last_seq);
    int64_t deadline = world_monotonic_clock() + (int64_t)SEND_SECONDS * SECOND;
    (void)channel_send(following->channel, line, strlen(line), deadline, NULL);
}

/* Follows by the socket while there is one. */
static void follow_socket(struct following *following)
{
    struct loop *loop = following->service->loop;
    int64_t deadline = world_monotonic_clock() + (int64_t)CONNECT_SECONDS * SECOND;
    struct channel *channel = NULL;
    if (channel_connect(loop, following->path, RUN_LINE_LIMIT, deadline, &channel, NULL) < 0)
        return;
    following->channel = channel;
    following->asked = 0;
    if (following->follower->counts)
        ask_to_count(following);
    loop_spawn(loop, "ask", ask_main, following);
    receive_events(following);
    following->channel = NULL;
    gate_open(loop, &following->follower->changed);
    while (following->asked >= 0)
        (void)gate_wait(loop, &following->follower->changed, -1, NULL);
    channel_free(channel);
}

/* Whether somebody holds the lease of the run's deployment. */
static bool is_lease_held(struct service *service, const char *run_id)
{
    struct store_run run = {0};
    if (store_get_run(service->store, run_id, &run, NULL) < 0)
        return false;
    CLEANUP(mem_freep) char *path = apply_lease_path(service->home, run.deployment_uid);
    store_run_done(&run);
    return world_file_is_locked(path);
}

/* Whether the process that we started still runs; its end is seen once. */
static bool is_our_process_alive(struct service *service)
{
    int status;
    if (service->run_process <= 0)
        return false;
    if (child_wait(service->loop, service->run_process, world_monotonic_clock(), &status, NULL) < 0)
        return true;
    service->run_process = 0;
    service->run_end = status;
    return false;
}

/* A run that was killed cannot remove its socket, nor say that it never began. */
static void clean_up_after(struct service *service, const char *run_id)
{
    struct store_run run = {0};
    run_sweep_sockets();
    if (store_get_run(service->store, run_id, &run, NULL) == 0)
        unbegun_settle(service, &run);
    store_run_done(&run);
}

/*
 * Until the run's end is in the store. A run that we started is dead when its process is; another
 * one when nobody has held its lease for a while, since it may only be about to take it.
 */
int service_follow_run(struct service *service, struct follower *follower,
                       enum run_status *ret_status, struct error *err)
{
    struct following following = {.service = service, .follower = follower};
    CLEANUP(mem_freep) char *path = NULL;
    int r = service_need_store(service, false, err);
    if (r < 0 || (r = run_socket_path(follower->run_id, true, &path, err)) < 0)
        return r;
    following.path = path;
    /* A run that is resumed tells only what comes: what it did before is in the store alone. */
    if ((r = pass_on_stored(&following, err)) < 0)
        return r;
    bool is_ours = service->run_process > 0;
    int64_t last_seen = world_monotonic_clock();
    for (;;) {
        int64_t ended_at = 0;
        bool is_alive = is_our_process_alive(service);
        follow_socket(&following);
        if ((r = pass_on_stored(&following, err)) < 0 ||
            (r = read_status(&following, ret_status, &ended_at, err)) < 0)
            return r;
        if (follower->is_left && !ended_at)
            return 0;
        if (!is_alive && ended_at) {
            clean_up_after(service, follower->run_id);
            return 0;
        }
        if (is_alive || run_is_held(service, follower->run_id) ||
            is_lease_held(service, follower->run_id))
            last_seen = world_monotonic_clock();
        else if (is_ours || world_monotonic_clock() - last_seen > (int64_t)GONE_SECONDS * SECOND) {
            clean_up_after(service, follower->run_id);
            return run_tell_death(service, follower->run_id, err);
        }
        loop_sleep(service->loop, SECOND / 200);
    }
}
