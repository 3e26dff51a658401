/*
 * The tasks that a listener wants to hear of (the extension io.modelcontextprotocol/tasks): what is
 * told of one is what tasks/get would say, and is told once for each thing that it says.
 */
#pragma once

#include "mcp/internal.h"

struct heard_task {
    char *id, *uri; /* owned; uri: of the resource that changes with it, or NULL */
    char *told;     /* owned: what was told last; NULL: nothing yet */
    bool is_stale;  /* it may be another by now */
};
/* Zero-initialise it. */
struct heard_tasks {
    struct heard_task *items;
    size_t n, capacity;
};
void heard_tasks_done(struct heard_tasks *tasks);

/*
 * Takes those of the wanted ids that are tasks of the caller's; all are stale at first. Sets the
 * list of them in honoured. A fault when the client does not say that it knows tasks.
 */
CO_FN int heard_tasks_read(struct mcp_call *call, const struct value *wanted,
                           struct heard_tasks *tasks, struct value_builder *honoured,
                           struct rpc_fault *fault);
/* Makes those stale that have this id or this URI. Returns whether there are such. */
bool heard_tasks_note(struct heard_tasks *tasks, const char *id_or_null, const char *uri_or_null);
bool heard_tasks_are_stale(const struct heard_tasks *tasks);
/* The members of the next task that is to be told of; NULL: there is none. The caller frees it. */
CO_FN char *heard_tasks_take(struct mcp_call *call, struct heard_tasks *tasks);
