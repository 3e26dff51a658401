/*
 * Requests that last longer than a client wants to wait: the extension
 * io.modelcontextprotocol/tasks. They live in this process alone; what must outlive it is a run,
 * which has a name of its own.
 */
#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "mcp/internal.h"
#include "model/json.h"

#include <string.h>

enum {
    MAX_TASKS = 256, /* of which each may hold what its tool gave */
    TTL_MS = 24 * 3600 * 1000,
    POLL_MS = 500,
    MAX_DEPTH = 64 /* of what a tool asks */
};

enum task_status { TASK_WORKING, TASK_ASKING, TASK_COMPLETED, TASK_FAILED, TASK_CANCELLED };
static const char *const status_names[] = {"working", "input_required", "completed", "failed",
                                           "cancelled"};

/* A tool that runs beside the request that called it, whether or not it becomes a task. */
struct task {
    char id[UUID_TEXT_SIZE];
    enum task_status status;
    bool is_task;  /* the client was, or is about to be, given its id */
    bool is_ended; /* the tool returned */
    int64_t created, updated;
    struct mcp_call call;
    struct mcp_call *waiter; /* the request, until it is answered */
    struct mcp_exchange exchange;
    char *principal, *client;
    struct value *id_of_call, *params, *arguments; /* references of what call borrows */
    struct value *pending;                         /* owned: what is asked and not answered yet */
    int outcome;                                   /* 0, -1 with fault, or MCP_ASKED */
    struct strbuf members;
    struct rpc_fault fault;
    struct task *next;
};

bool mcp_offers_tasks(const struct mcp_offer *offer)
{
    for (size_t i = 0; i < offer->n_tools; i++)
        if (offer->tools[i].tasking)
            return true;
    return offer->look_at_task != NULL;
}

/* --- Life --- */

static void touch(struct task *task, enum task_status status)
{
    task->status = status;
    task->updated = world_wall_clock();
    mcp_announce_task(task->call.server, task->id);
}

static struct task *make_task(struct mcp_call *call)
{
    struct task *task = NEW(struct task);
    uuid_random(task->id);
    task->created = task->updated = world_wall_clock();
    task->principal = string_copy(call->exchange->principal);
    task->client = string_copy(call->client);
    task->id_of_call = value_ref((struct value *)(uintptr_t)call->id);
    task->params = value_ref((struct value *)(uintptr_t)call->params);
    task->arguments = value_ref((struct value *)(uintptr_t)call->arguments);
    task->exchange = *call->exchange;
    task->exchange.principal = task->principal;
    task->call = (struct mcp_call){
        .server = call->server,
        .loop = call->loop,
        .exchange = &task->exchange,
        .tool = call->tool,
        .arguments = task->arguments,
        .client = task->client,
        .id = task->id_of_call,
        .is_modern = true,
        .method = "tools/call",
        .params = task->params,
        .meta = value_get(task->params, "_meta"),
        .state = call->state ? value_ref(call->state) : NULL,
        .progress = -1,
        .task = task,
    };
    task->waiter = call;
    task->next = call->server->tasks;
    call->server->tasks = task;
    return task;
}

static void free_task(struct task *task)
{
    struct task **at = &task->call.server->tasks;
    while (*at != task)
        at = &(*at)->next;
    *at = task->next;
    mcp_drop_call(&task->call);
    value_unref(task->id_of_call);
    value_unref(task->params);
    value_unref(task->arguments);
    value_unref(task->pending);
    mem_free(task->principal);
    mem_free(task->client);
    strbuf_done(&task->members);
    rpc_fault_done(&task->fault);
    mem_free(task);
}

static void cancel(struct task *task)
{
    task->call.is_cancelled = true;
    gate_open(task->call.loop, &task->call.woken);
}

/* What nobody may ask for any more goes; what still runs then is stopped first. */
static void sweep(struct mcp_server *server)
{
    int64_t oldest = world_wall_clock() - (int64_t)TTL_MS * 1000;
    for (struct task *task = server->tasks, *next; task; task = next) {
        next = task->next;
        if (!task->is_task || task->created >= oldest)
            continue;
        if (task->is_ended)
            free_task(task);
        else
            cancel(task);
    }
}

void mcp_end_tasks(struct mcp_server *server)
{
    for (struct task *task = server->tasks; task; task = task->next)
        cancel(task);
    while (server->tasks) {
        struct task *task = server->tasks;
        while (!task->is_ended)
            gate_wait(server->loop, &server->task_ended, -1, NULL);
        free_task(task);
    }
}

/* --- Running --- */

/* What was asked waits for tasks/update. Returns whether to go on. */
static bool await_answers(struct task *task)
{
    struct mcp_call *call = &task->call;
    CLEANUP(mem_freep) char *asked = string_format("{%s}", strbuf_text(&call->asked));
    if (json_read_foreign(asked, strlen(asked), MAX_DEPTH, &task->pending, NULL) < 0)
        return false;
    strbuf_clear(&call->asked);
    touch(task, TASK_ASKING);
    while (!call->is_cancelled && value_count(task->pending) > 0)
        gate_wait(call->loop, &call->woken, -1, NULL);
    value_unref(task->pending);
    task->pending = NULL;
    if (call->is_cancelled)
        return false;
    value_unref(call->state);
    call->state = call->new_state;
    call->new_state = NULL;
    return true;
}

static void run_task(void *argument)
{
    struct task *task = argument;
    do
        task->outcome = mcp_run_tool(&task->call, &task->members, &task->fault);
    while (task->outcome == MCP_ASKED && task->is_task && await_answers(task));
    if (task->is_task && task->status != TASK_CANCELLED)
        touch(task, task->outcome == 0  ? TASK_COMPLETED
                    : task->outcome < 0 ? TASK_FAILED
                                        : TASK_CANCELLED);
    task->is_ended = true;
    struct mcp_server *server = task->call.server;
    if (task->waiter)
        gate_open(server->loop, &task->waiter->woken);
    gate_open(server->loop, &server->task_ended);
}

bool mcp_become_task(struct mcp_call *call)
{
    struct task *task = call->task;
    size_t n_tasks = 0;
    if (!task || task->is_task)
        return task != NULL;
    sweep(call->server);
    for (const struct task *at = call->server->tasks; at; at = at->next)
        n_tasks += at->is_task;
    if (n_tasks >= MAX_TASKS)
        return false;
    task->is_task = true;
    /* The request ends here, and with it whatever was its transport's. */
    task->exchange.send = NULL;
    task->exchange.origin = NULL;
    task->exchange.caller = NULL;
    gate_open(call->loop, &task->waiter->woken);
    return true;
}

static void write_task(const struct task *task, enum task_status status, struct strbuf *members)
{
    char created[WORLD_TIME_SIZE], updated[WORLD_TIME_SIZE];
    world_format_time(task->created, created);
    world_format_time(task->updated, updated);
    strbuf_addf(members,
                "\"taskId\":\"%s\",\"status\":\"%s\",\"createdAt\":\"%s\",\"lastUpdatedAt\":\"%s\","
                "\"ttlMs\":%d,\"pollIntervalMs\":%d",
                task->id, status_names[status], created, updated, TTL_MS, POLL_MS);
}

static int take_outcome(struct task *task, struct strbuf *members, struct rpc_fault *fault)
{
    int outcome = task->outcome;
    if (outcome == MCP_ASKED)
        mcp_write_asked(&task->call, members);
    strbuf_add(members, strbuf_text(&task->members));
    *fault = task->fault;
    task->fault = (struct rpc_fault){0};
    free_task(task);
    return outcome < 0 ? -1 : 0;
}

int mcp_call_as_task(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    struct task *task = make_task(call);
    loop_spawn(call->loop, "task", run_task, task);
    while (!task->is_task && !task->is_ended) {
        gate_wait(call->loop, &call->woken, -1, NULL);
        if (call->is_cancelled && !task->is_task && !task->call.is_cancelled)
            cancel(task);
    }
    task->waiter = NULL;
    if (!task->is_task)
        return take_outcome(task, members, fault);
    strbuf_add(members, "\"resultType\":\"task\",");
    write_task(task, TASK_WORKING, members);
    return 0;
}

/* --- What a client asks about them --- */

static struct task *find_task(struct mcp_call *call, const char *id, struct rpc_fault *fault)
{
    if (!mcp_offers_tasks(call->server->offer)) {
        rpc_fail(fault, RPC_METHOD_NOT_FOUND, "nothing here is a task");
        return NULL;
    }
    if (!mcp_knows_tasks(call)) {
        mcp_refuse_client(MCP_TASKS, fault);
        return NULL;
    }
    sweep(call->server);
    for (struct task *task = call->server->tasks; id && task; task = task->next)
        if (task->is_task && text_equal(task->id, id) &&
            text_equal(task->principal, call->exchange->principal))
            return task;
    rpc_fail(fault, RPC_INVALID_PARAMS,
             "there is no such task: it is too old, another's, or of a server that has ended");
    return NULL;
}

bool mcp_has_task(const struct mcp_call *call, const char *id)
{
    for (const struct task *task = call->server->tasks; id && task; task = task->next)
        if (task->is_task && text_equal(task->id, id))
            return true;
    return false;
}

int mcp_get_task(struct mcp_call *call, const char *id, struct strbuf *members,
                 struct rpc_fault *fault)
{
    const struct task *task = find_task(call, id, fault);
    if (!task)
        return -1;
    write_task(task, task->status, members);
    if (task->status == TASK_COMPLETED) {
        strbuf_addf(members, ",\"result\":{%s}", strbuf_text(&task->members));
    } else if (task->status == TASK_FAILED) {
        strbuf_addf(members, ",\"error\":{\"code\":%d,\"message\":", task->fault.code);
        json_write_string(members, task->fault.message, strlen(task->fault.message));
        strbuf_add_char(members, '}');
        mcp_write_field(members, "statusMessage", task->fault.message);
    } else if (task->status == TASK_ASKING) {
        strbuf_add(members, ",\"inputRequests\":");
        json_write_foreign(members, task->pending);
    }
    return 0;
}

static void put(struct value **map, const char *key, struct value *value_or_null)
{
    struct value_builder none = {0};
    CLEANUP(value_unrefp) struct value *old = *map ? *map : value_builder_map(&none);
    *map = value_with(old, key, value_or_null);
}

int mcp_update_task(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    struct task *task = find_task(call, value_get_text(call->params, "taskId"), fault);
    const struct value *responses = value_get(call->params, "inputResponses");
    (void)members;
    if (!task)
        return -1;
    if (!responses || value_kind(responses) != VALUE_MAP)
        return rpc_fail(fault, RPC_INVALID_PARAMS, "tasks/update needs inputResponses");
    for (size_t i = 0; i < value_count(responses); i++) {
        const char *key = value_key_at(responses, i);
        struct value *response = value_at(responses, i);
        if (!value_get(task->pending, key) || value_kind(response) != VALUE_MAP)
            continue;
        put(&task->call.given, key, value_ref(response));
        put(&task->pending, key, NULL);
    }
    if (task->status == TASK_ASKING && value_count(task->pending) == 0) {
        touch(task, TASK_WORKING);
        gate_open(call->loop, &task->call.woken);
    }
    return 0;
}

int mcp_cancel_task(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    struct task *task = find_task(call, value_get_text(call->params, "taskId"), fault);
    (void)members;
    if (!task)
        return -1;
    if (!task->is_ended && task->status != TASK_CANCELLED) {
        touch(task, TASK_CANCELLED);
        cancel(task);
    }
    return 0;
}
