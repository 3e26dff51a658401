/*
 * Tasks that are kept outside of this process, so that any later client finds them by their ids:
 * the extension of 2026-07-28, and the tasks of 2025-11-25. What they are is the offer's; here is
 * how they are told. Only that a client wants to wait no longer is remembered here, until the
 * server ends: what the task waits for goes on.
 */
#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "mcp/internal.h"
#include "model/json.h"

enum { POLL_MS = 1000, MOST_LISTED = 50, MOST_CANCELLED = 1000 };

#define RELATED "io.modelcontextprotocol/related-task"

/* --- Whether a request may end with one --- */

static const struct value *asked_for(const struct mcp_call *call)
{
    const struct value *task = value_get(call->params, "task");
    return task && value_kind(task) == VALUE_MAP ? task : NULL;
}

static bool is_of_2025_11_25(const struct mcp_call *call)
{
    const struct mcp_session *session = call->exchange->session;
    return !call->is_modern && session && text_equal(session->version, MCP_LEGACY_VERSION);
}

bool mcp_wants_task(const struct mcp_call *call, bool goes_on)
{
    if (!call->server->offer->look_at_task)
        return false;
    return call->is_modern ? goes_on && mcp_knows_tasks(call)
                           : is_of_2025_11_25(call) && asked_for(call);
}

int mcp_check_task(const struct mcp_call *call, struct rpc_fault *fault)
{
    if (!is_of_2025_11_25(call) || !asked_for(call) || call->tool->is_lasting)
        return 0;
    return rpc_fail(fault, RPC_METHOD_NOT_FOUND, "%s is no task: call it without \"task\"",
                    call->tool->name);
}

/* --- Who wants to wait no longer --- */

static char *key_of(const struct mcp_call *call, const char *id)
{
    return string_format("%s\n%s", call->exchange->principal, id);
}

static bool is_cancelled(const struct mcp_call *call, const char *id)
{
    CLEANUP(mem_freep) char *key = key_of(call, id);
    return map_has(&call->server->cancelled_tasks, key);
}

/* Of very many the oldest go on. */
static void remember_cancelled(struct mcp_call *call, const char *id)
{
    struct map *cancelled = &call->server->cancelled_tasks;
    CLEANUP(mem_freep) char *key = key_of(call, id);
    size_t cursor = 0;
    if (cancelled->n_live >= MOST_CANCELLED)
        map_remove(cancelled, map_next(cancelled, &cursor)->key);
    map_put(cancelled, key, call->server);
}

static void forget_cancelled(struct mcp_call *call, const char *id)
{
    CLEANUP(mem_freep) char *key = key_of(call, id);
    map_remove(&call->server->cancelled_tasks, key);
}

/* --- How it is told --- */

static const char *status_of(const struct mcp_call *call, const struct mcp_lasting *task)
{
    return task->has_ended ? "completed" : is_cancelled(call, task->id) ? "cancelled" : "working";
}

/* It is kept for as long as what it is about: there is no end to name. */
static void write_task(const struct mcp_call *call, const struct mcp_lasting *task,
                       struct strbuf *members)
{
    char created[WORLD_TIME_SIZE], updated[WORLD_TIME_SIZE];
    const char *unit = call->is_modern ? "Ms" : "";
    world_format_time(task->created, created);
    world_format_time(task->updated, updated);
    strbuf_addf(members,
                "\"taskId\":\"%s\",\"status\":\"%s\",\"createdAt\":\"%s\",\"lastUpdatedAt\":\"%s\","
                "\"ttl%s\":null,\"pollInterval%s\":%d",
                task->id, status_of(call, task), created, updated, unit, unit, POLL_MS);
}

void mcp_write_lasting(struct mcp_call *call, const struct mcp_lasting *task,
                       struct strbuf *members)
{
    forget_cancelled(call, task->id);
    strbuf_add(members, call->is_modern ? "\"resultType\":\"task\"," : "\"task\":{");
    write_task(call, task, members);
    if (!call->is_modern)
        strbuf_add_char(members, '}');
}

/* --- What a client asks about them --- */

static const char *id_of(const struct mcp_call *call)
{
    return value_get_text(call->params, "taskId");
}

CO_FN static int look(struct mcp_call *call, const char *id, struct mcp_lasting *ret_task,
                      char **ret_result, struct rpc_fault *fault)
{
    CLEANUP(error_done) struct error err = {0};
    struct mcp_result result = {0};
    if (!call->server->offer->look_at_task)
        return rpc_fail(fault, RPC_METHOD_NOT_FOUND, "nothing here is a task");
    if (call->is_modern && !mcp_knows_tasks(call))
        return mcp_refuse_client(MCP_TASKS, fault);
    int r = id ? call->server->offer->look_at_task(call, id, ret_task, ret_result ? &result : NULL,
                                                   &err)
               : -ERROR_NOT_FOUND;
    if (r == 0 && ret_result && ret_task->has_ended) {
        struct strbuf members = {0};
        mcp_write_tool_result(&result, &members);
        *ret_result = strbuf_take(&members);
    }
    mcp_result_done(&result);
    if (r == -ERROR_NOT_FOUND)
        return rpc_fail(fault, RPC_INVALID_PARAMS, "there is no such task of yours");
    return r < 0 ? rpc_fail(fault, RPC_INTERNAL_ERROR, "%s", error_message(&err)) : 0;
}

/* Those of this process are of the modern era alone. */
static bool is_of_process(const struct mcp_call *call, const char *id)
{
    return call->is_modern && (mcp_has_task(call, id) || !call->server->offer->look_at_task);
}

int mcp_describe_task(struct mcp_call *call, const char *id, struct strbuf *members,
                      struct rpc_fault *fault)
{
    struct mcp_lasting task = {0};
    CLEANUP(mem_freep) char *result = NULL;
    if (is_of_process(call, id))
        return mcp_get_task(call, id, members, fault);
    if (look(call, id, &task, call->is_modern ? &result : NULL, fault) < 0)
        return -1;
    write_task(call, &task, members);
    if (result)
        strbuf_addf(members, ",\"result\":{%s}", result);
    return 0;
}

int mcp_get_lasting(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    return mcp_describe_task(call, id_of(call), members, fault);
}

int mcp_cancel_lasting(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    struct mcp_lasting task = {0};
    if (is_of_process(call, id_of(call)))
        return mcp_cancel_task(call, members, fault);
    if (look(call, id_of(call), &task, NULL, fault) < 0)
        return -1;
    bool is_over = task.has_ended || is_cancelled(call, task.id);
    if (!call->is_modern && is_over)
        return rpc_fail(fault, RPC_INVALID_PARAMS, "the task is %s already",
                        status_of(call, &task));
    if (!is_over) {
        remember_cancelled(call, task.id);
        mcp_announce_task(call->server, task.id);
    }
    if (!call->is_modern)
        write_task(call, &task, members);
    return 0;
}

/* 2025-11-25: waits for the end, and answers as the tool would have. */
int mcp_await_lasting(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    for (;;) {
        struct mcp_lasting task = {0};
        CLEANUP(mem_freep) char *result = NULL;
        if (look(call, id_of(call), &task, &result, fault) < 0)
            return -1;
        if (result) {
            strbuf_addf(members, "%s,\"_meta\":{\"" RELATED "\":{\"taskId\":\"%s\"}}", result,
                        task.id);
            return 0;
        }
        if (is_cancelled(call, task.id) || call->is_cancelled)
            return rpc_fail(fault, RPC_INVALID_PARAMS, "the task was cancelled: it has no result");
        gate_wait(call->loop, &call->woken, world_monotonic_clock() + (int64_t)POLL_MS * 1000,
                  NULL);
    }
}

int mcp_list_lasting(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    struct mcp_lasting tasks[MOST_LISTED + 1];
    size_t n = 0;
    CLEANUP(error_done) struct error err = {0};
    CLEANUP(mem_freep) char *after = NULL;
    const struct mcp_offer *offer = call->server->offer;
    if (!offer->list_tasks)
        return rpc_fail(fault, RPC_METHOD_NOT_FOUND, "nothing here is a task");
    if (mcp_read_cursor(call, &after, fault) < 0)
        return -1;
    int r = offer->list_tasks(call, after, tasks, ARRAY_LENGTH(tasks), &n, &err);
    if (r < 0)
        return rpc_fail(fault, r == -ERROR_NOT_FOUND ? RPC_INVALID_PARAMS : RPC_INTERNAL_ERROR,
                        "%s", error_message(&err));
    strbuf_add(members, "\"tasks\":[");
    for (size_t i = 0; i < n && i < MOST_LISTED; i++) {
        strbuf_add(members, i ? ",{" : "{");
        write_task(call, &tasks[i], members);
        strbuf_add_char(members, '}');
    }
    strbuf_add_char(members, ']');
    if (n > MOST_LISTED)
        mcp_write_cursor(call, tasks[MOST_LISTED - 1].id, members);
    return 0;
}
