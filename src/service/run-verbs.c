/* The verbs about runs: list, show, cancel. */
#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "net/channel.h"
#include "service/run-remains.h"
#include "service/run-socket.h"
#include "service/service.h"

#include <string.h>

enum { SECOND = 1000000, SEND_SECONDS = 5, PAGE = 1000, MAX_RUNS = 200, LOOK_AGAIN_US = 20000 };

static struct value *run_to_value(const struct store_run *run)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "id", run->id);
    value_builder_set_string(&fields, "plan", run->plan_hash);
    value_builder_set_string(&fields, "principal", run->principal);
    value_builder_set_string(&fields, "client", run->client);
    value_builder_set_string(&fields, "words", run->words);
    value_builder_set_string(&fields, "status", run_status_to_string(run->status));
    value_builder_set(&fields, "started_at", value_integer(run->started_at));
    value_builder_set(&fields, "ended_at", value_integer(run->ended_at));
    value_builder_set_string(&fields, "message", run->message);
    return value_builder_map(&fields);
}

/* Who approved the plan of a run, and how surely that was a person. */
CO_FN static struct value *approved_by(struct service *service, const struct store_run *run)
{
    CLEANUP(value_unrefp) struct value *approvals = NULL;
    struct value_builder list = {0};
    if (store_list_approvals(service->store, run->plan_hash, &approvals, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < value_count(approvals); i++) {
        struct value_builder fields = {0};
        const struct value *approval = value_at(approvals, i);
        if (value_get(approval, "decision"))
            continue;
        value_builder_set_string(&fields, "principal", value_get_text(approval, "principal"));
        value_builder_set_string(&fields, "level", value_get_text(approval, "level"));
        value_builder_append(&list, value_builder_map(&fields));
    }
    return value_builder_list(&list);
}

/* So many of the newest runs, but for those that are skipped. */
static int list_runs(struct service *service, const char *word, size_t n_skipped, size_t limit,
                     struct value **ret_runs, struct error *err)
{
    struct store_deployment deployment = {0};
    int r = word ? service_find_deployment(service, word, &deployment, err)
                 : service_need_store(service, false, err);
    if (r < 0)
        return r;
    struct store_run *runs = NULL;
    size_t n = 0;
    r = store_list_runs(service->store, deployment.uid, n_skipped + limit, &runs, &n, err);
    struct value_builder list = {0};
    for (size_t i = 0; i < n; i++) {
        if (i >= n_skipped) {
            unbegun_settle(service, &runs[i]);
            CLEANUP(value_unrefp) struct value *row = run_to_value(&runs[i]);
            struct value *approvals = approved_by(service, &runs[i]);
            value_builder_append(&list, approvals ? value_with(row, "approvals", approvals)
                                                  : value_ref(row));
        }
        store_run_done(&runs[i]);
    }
    mem_free(runs);
    store_deployment_done(&deployment);
    if (r < 0)
        value_builder_done(&list);
    else
        *ret_runs = value_builder_list(&list);
    return r;
}

int service_list_runs(struct service *service, const char *word, size_t page,
                      struct value **ret_runs, struct error *err)
{
    return list_runs(service, word, (page - 1) * SERVICE_PAGE_ROWS, SERVICE_PAGE_ROWS, ret_runs,
                     err);
}

int service_complete_run_id(struct service *service, const char *prefix, char **ret_id,
                            struct error *err)
{
    CLEANUP(value_unrefp) struct value *runs = NULL;
    const char *found = NULL;
    int r = service_need_store(service, false, err);
    if (r == 0 && strlen(prefix) == UUID_TEXT_SIZE - 1) {
        *ret_id = string_copy(prefix);
        return 0;
    }
    if (r < 0 || (r = list_runs(service, NULL, 0, MAX_RUNS, &runs, err)) < 0)
        return r;
    for (size_t i = 0; i < value_count(runs); i++) {
        const char *id = value_get_text(value_at(runs, i), "id");
        if (strlen(prefix) < 6 || !text_starts_with(id, prefix))
            continue;
        if (found)
            return error_set(err, ERROR_CONFLICT, "several runs begin with %s", prefix);
        found = id;
    }
    if (!found)
        return error_set(
            err, ERROR_NOT_FOUND,
            "there is no run %s among the last %d; \"parley run list\" shows them, and "
            "an older one is found by its whole id",
            prefix, MAX_RUNS);
    *ret_id = string_copy(found);
    return 0;
}

int service_show_run(struct service *service, const char *run_id, struct value **ret_run,
                     struct error *err)
{
    CLEANUP(mem_freep) char *id = NULL;
    struct store_run run = {0};
    int r = service_complete_run_id(service, run_id, &id, err);
    if (r < 0 || (r = store_get_run(service->store, id, &run, err)) < 0)
        return r;
    unbegun_settle(service, &run);
    CLEANUP(value_unrefp) struct value *row = run_to_value(&run);
    store_run_done(&run);
    struct value_builder all = {0};
    int64_t seq = 0;
    for (size_t n = PAGE; r == 0 && n == PAGE;) {
        CLEANUP(value_unrefp) struct value *rows = NULL;
        r = store_read_journal(service->store, id, seq, PAGE, &rows, err);
        n = r == 0 ? value_count(rows) : 0;
        for (size_t i = 0; i < n; i++)
            value_builder_append(&all, run_event_of_row(value_at(rows, i)));
        if (n > 0)
            seq = value_get_integer(value_at(rows, n - 1), "seq", seq);
    }
    struct value *journal = value_builder_list(&all);
    *ret_run = value_with(row, "journal", journal);
    return r;
}

/* Whether its end is in the store, though its process may still be about to go. */
static int check_under_way(struct service *service, const char *id, bool *ret_is_pending,
                           struct error *err)
{
    struct store_run run = {0};
    int r = store_get_run(service->store, id, &run, err);
    if (r == 0 && run.ended_at)
        r = error_set(err, ERROR_NOT_FOUND, "the run %.8s is not under way", id);
    *ret_is_pending = run.status == RUN_PENDING;
    store_run_done(&run);
    return r;
}

/* The process of a run that is pending is about to listen. */
CO_FN static int reach_run(struct service *service, const char *id, int64_t deadline,
                           struct channel **ret_channel, struct error *err)
{
    CLEANUP(mem_freep) char *path = NULL;
    bool is_pending = false;
    int r = run_socket_path(id, true, &path, err);
    while (r == 0) {
        struct error fault = {0};
        r = check_under_way(service, id, &is_pending, err);
        if (r < 0)
            break;
        r = channel_connect(service->loop, path, RUN_LINE_LIMIT, deadline, ret_channel, &fault);
        if (r != -ERROR_NOT_FOUND)
            return r < 0 ? error_move(err, &fault) : 0;
        error_done(&fault);
        if (!is_pending || world_monotonic_clock() >= deadline)
            return error_set(err, ERROR_NOT_FOUND, "the run %.8s is not under way", id);
        loop_sleep(service->loop, LOOK_AGAIN_US);
        r = 0;
    }
    return r;
}

int service_cancel_run(struct service *service, const char *run_id, struct error *err)
{
    static const char line[] = "{\"ask\":\"cancel\"}";
    CLEANUP(mem_freep) char *id = NULL;
    CLEANUP(channel_freep) struct channel *channel = NULL;
    int64_t deadline = world_monotonic_clock() + (int64_t)SEND_SECONDS * SECOND;
    int r = service_complete_run_id(service, run_id, &id, err);
    if (r < 0 || (r = reach_run(service, id, deadline, &channel, err)) < 0)
        return r;
    return channel_send(channel, line, sizeof(line) - 1, deadline, err);
}
