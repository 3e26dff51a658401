/* In front of the real store: tells the oracle what became durable, and is where faults strike
 * around a commit. */
#include "sim/oracle.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "sim/story.h"

#include <string.h>

struct watched_store {
    struct store store;
    struct store *inner; /* owned */
    struct process *process;
};

static CO_FN int watched_read(struct store *store, enum store_query query,
                              const struct store_row *parameters, store_visit *visit,
                              void *argument, struct error *err)
{
    struct watched_store *watched = (struct watched_store *)store;
    if (watched->process->is_dead)
        return error_set(err, ERROR_UNAVAILABLE, "the process is dead");
    return watched->inner->ops->read(watched->inner, query, parameters, visit, argument, err);
}

static CO_FN int64_t records_version(struct store *store)
{
    struct store_deployment deployment = {0};
    int64_t version = 0;
    if (store_find_deployment(store, SIM_DEPLOYMENT, "default", &deployment, NULL) == 0)
        version = deployment.records_version;
    store_deployment_done(&deployment);
    return version;
}

static CO_FN int watched_commit(struct store *store, const struct store_batch *batch,
                                int64_t *ret_last_seq, struct error *err)
{
    struct watched_store *watched = (struct watched_store *)store;
    bool has_intent = batch_has_row(batch, "intent");
    bool has_result = batch_has_row(batch, "result");
    if (has_intent && !has_result)
        sim_point(BOUNDARY_NO_INTENT);
    if (watched->process->is_dead)
        return error_set(err, ERROR_UNAVAILABLE, "the process is dead");
    bool is_start = batch_has_row(batch, "started");
    int64_t version = is_start ? records_version(watched->inner) : 0;
    int64_t begun_at = sim->now;
    int r = watched->inner->ops->commit(watched->inner, batch, ret_last_seq, err);
    if (watched->process->is_dead) {
        oracle_interrupted(batch);
        return r < 0 ? r : error_set(err, ERROR_UNAVAILABLE, "the process is dead");
    }
    if (r < 0) {
        sim_trace("process %d cannot commit: %s", watched->process->id, error_message(err));
        return r;
    }
    sim_trace("process %d commits %zu changes%s%s", watched->process->id, batch->n_changes,
              has_intent ? ", intents" : "", has_result ? ", results" : "");
    oracle_committed(watched->process, batch, begun_at);
    if (is_start)
        oracle_run_started(watched->process, version);
    if (has_result)
        sim_point(BOUNDARY_RESULT_DURABLE);
    if (watched->process->is_dead)
        return error_set(err, ERROR_UNAVAILABLE, "the process is dead");
    return 0;
}

static void watched_close(struct store *store)
{
    store_close(((struct watched_store *)store)->inner);
    store_free(store);
}

static const struct store_ops watched_ops = {
    .driver = "watched", .read = watched_read, .commit = watched_commit, .close = watched_close};

struct store *watch_store(struct store *take_store)
{
    struct watched_store *watched = NEW(struct watched_store);
    watched->store.ops = &watched_ops;
    watched->store.loop = take_store->loop;
    watched->store.place = string_copy(take_store->place);
    memcpy(watched->store.id, take_store->id, sizeof(watched->store.id));
    watched->inner = take_store;
    watched->process = sim->current;
    return &watched->store;
}
