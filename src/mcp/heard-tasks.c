#include "mcp/heard-tasks.h"

#include "base/memory.h"
#include "base/text.h"

enum { MAX_HEARD = 64 }; /* ids that a listener names: those behind are not even looked for */

void heard_tasks_done(struct heard_tasks *tasks)
{
    for (size_t i = 0; i < tasks->n; i++) {
        mem_free(tasks->items[i].id);
        mem_free(tasks->items[i].uri);
        mem_free(tasks->items[i].told);
    }
    mem_free(tasks->items);
    *tasks = (struct heard_tasks){0};
}

/* What tasks/get says of it; NULL: there is no such task of the caller's. */
CO_FN static char *describe(struct mcp_call *call, const char *id)
{
    struct strbuf members = {0};
    struct rpc_fault fault = {0};
    int r = mcp_describe_task(call, id, &members, &fault);
    rpc_fault_done(&fault);
    if (r == 0)
        return strbuf_take(&members);
    strbuf_done(&members);
    return NULL;
}

static bool has(const struct heard_tasks *tasks, const char *id)
{
    for (size_t i = 0; i < tasks->n; i++)
        if (text_equal(tasks->items[i].id, id))
            return true;
    return false;
}

CO_FN static void take_id(struct mcp_call *call, const char *id, struct heard_tasks *tasks)
{
    CLEANUP(mem_freep) char *members = describe(call, id);
    const struct mcp_offer *offer = call->server->offer;
    if (!members || has(tasks, id))
        return;
    ARRAY_RESERVE(tasks->items, tasks->n, tasks->capacity);
    tasks->items[tasks->n++] = (struct heard_task){
        .id = string_copy(id),
        .uri = offer->find_task_uri ? offer->find_task_uri(id) : NULL,
        .is_stale = true,
    };
}

int heard_tasks_read(struct mcp_call *call, const struct value *wanted, struct heard_tasks *tasks,
                     struct value_builder *honoured, struct rpc_fault *fault)
{
    struct value_builder list = {0};
    if (!wanted || value_kind(wanted) != VALUE_LIST || !mcp_offers_tasks(call->server->offer))
        return 0;
    if (!mcp_knows_tasks(call))
        return mcp_refuse_client(MCP_TASKS, fault);
    for (size_t i = 0; i < value_count(wanted) && i < MAX_HEARD; i++)
        if (value_kind(value_at(wanted, i)) == VALUE_STRING)
            take_id(call, value_text(value_at(wanted, i)), tasks);
    for (size_t i = 0; i < tasks->n; i++)
        value_builder_append(&list, value_string(tasks->items[i].id));
    value_builder_set(honoured, "taskIds", value_builder_list(&list));
    return 0;
}

bool heard_tasks_note(struct heard_tasks *tasks, const char *id_or_null, const char *uri_or_null)
{
    bool has_such = false;
    for (size_t i = 0; i < tasks->n; i++) {
        struct heard_task *task = &tasks->items[i];
        if ((id_or_null && text_equal(task->id, id_or_null)) ||
            (uri_or_null && task->uri && text_equal(task->uri, uri_or_null)))
            has_such = task->is_stale = true;
    }
    return has_such;
}

bool heard_tasks_are_stale(const struct heard_tasks *tasks)
{
    for (size_t i = 0; i < tasks->n; i++)
        if (tasks->items[i].is_stale)
            return true;
    return false;
}

char *heard_tasks_take(struct mcp_call *call, struct heard_tasks *tasks)
{
    for (size_t i = 0; i < tasks->n; i++) {
        struct heard_task *task = &tasks->items[i];
        if (!task->is_stale)
            continue;
        task->is_stale = false;
        CLEANUP(mem_freep) char *members = describe(call, task->id);
        if (!members || text_equal_or_null(task->told, members))
            continue;
        mem_free(task->told);
        task->told = string_copy(members);
        return take_ptr(members);
    }
    return NULL;
}
