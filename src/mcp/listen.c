/* Those who listen for what changes (2026-07-28: subscriptions/listen). */
#include "base/memory.h"
#include "base/text.h"
#include "mcp/internal.h"
#include "model/json.h"

#include <string.h>

/* A listener that does not keep up is told of a change once: more would say nothing new. */
enum { MAX_WAITING = 256 };

struct listener {
    struct mcp_call *call;
    bool topics[MCP_RESOURCE_UPDATED + 1];
    const struct value *uris; /* borrowed list: the resources that it wants to hear of; or NULL */
    char **waiting;           /* owned texts */
    size_t n_waiting, capacity;
    struct listener *next;
};

static const struct {
    const char *wanted, *method;
} topics[] = {
    [MCP_TOOLS_CHANGED] = {"toolsListChanged", "notifications/tools/list_changed"},
    [MCP_PROMPTS_CHANGED] = {"promptsListChanged", "notifications/prompts/list_changed"},
    [MCP_RESOURCES_CHANGED] = {"resourcesListChanged", "notifications/resources/list_changed"},
    [MCP_RESOURCE_UPDATED] = {"resourceSubscriptions", "notifications/resources/updated"},
};

/* The text of params, with the mark of the subscription. */
static char *tagged(const struct listener *listener, struct value_builder *fields)
{
    struct value_builder meta = {0};
    value_builder_set(&meta, META_SUBSCRIPTION,
                      value_ref((struct value *)(uintptr_t)listener->call->id));
    value_builder_set(fields, "_meta", value_builder_map(&meta));
    CLEANUP(value_unrefp) struct value *params = value_builder_map(fields);
    return json_text(params);
}

static bool has_uri(const struct listener *listener, const char *uri)
{
    for (size_t i = 0; listener->uris && i < value_count(listener->uris); i++) {
        const struct value *item = value_at(listener->uris, i);
        if (value_kind(item) == VALUE_STRING && text_equal(value_text(item), uri))
            return true;
    }
    return false;
}

static bool is_waiting(const struct listener *listener, const char *text)
{
    for (size_t i = 0; i < listener->n_waiting; i++)
        if (text_equal(listener->waiting[i], text))
            return true;
    return false;
}

void mcp_announce(struct mcp_server *server, enum mcp_topic topic, const char *uri)
{
    for (struct listener *at = server->listeners; at; at = at->next) {
        if (!at->topics[topic] || (uri && !has_uri(at, uri)))
            continue;
        struct value_builder fields = {0};
        value_builder_set_string(&fields, "uri", uri);
        CLEANUP(mem_freep) char *params = tagged(at, &fields);
        char *text = rpc_notification_text(topics[topic].method, params);
        if (at->n_waiting >= MAX_WAITING || is_waiting(at, text)) {
            mem_free(text);
            continue;
        }
        ARRAY_RESERVE(at->waiting, at->n_waiting, at->capacity);
        at->waiting[at->n_waiting++] = text;
        gate_open(server->loop, &at->call->woken);
    }
}

/* What it wants, of what there is. */
static void read_wanted(struct listener *listener, struct value_builder *honoured)
{
    const struct value *wanted = value_get(listener->call->params, "notifications");
    for (size_t i = 0; i < MCP_RESOURCE_UPDATED; i++) {
        listener->topics[i] = value_get_bool(wanted, topics[i].wanted, false);
        if (listener->topics[i])
            value_builder_set(honoured, topics[i].wanted, value_bool(true));
    }
    struct value *uris = value_get(wanted, topics[MCP_RESOURCE_UPDATED].wanted);
    if (!uris || value_kind(uris) != VALUE_LIST)
        return;
    listener->uris = uris;
    listener->topics[MCP_RESOURCE_UPDATED] = true;
    value_builder_set(honoured, topics[MCP_RESOURCE_UPDATED].wanted, value_ref(uris));
}

static int acknowledge(struct listener *listener)
{
    struct value_builder honoured = {0}, fields = {0};
    struct mcp_exchange *exchange = listener->call->exchange;
    read_wanted(listener, &honoured);
    value_builder_set(&fields, "notifications", value_builder_map(&honoured));
    CLEANUP(mem_freep) char *params = tagged(listener, &fields);
    CLEANUP(mem_freep)
    char *text = rpc_notification_text("notifications/subscriptions/acknowledged", params);
    return exchange->send(exchange->argument, text);
}

/* Sends what waits, in order; more may come meanwhile. */
static int send_waiting(struct listener *listener)
{
    struct mcp_exchange *exchange = listener->call->exchange;
    while (listener->n_waiting > 0) {
        CLEANUP(mem_freep) char *text = listener->waiting[0];
        listener->n_waiting--;
        memmove(listener->waiting, listener->waiting + 1,
                listener->n_waiting * sizeof(*listener->waiting));
        if (exchange->send(exchange->argument, text) < 0)
            return -1;
    }
    return 0;
}

static void serve(struct listener *listener)
{
    struct mcp_call *call = listener->call;
    if (acknowledge(listener) < 0)
        return;
    while (!call->is_cancelled && send_waiting(listener) == 0)
        if (!call->is_cancelled && listener->n_waiting == 0)
            gate_wait(call->loop, &call->woken, -1, NULL);
}

int mcp_listen(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    struct listener listener = {.call = call, .next = call->server->listeners};
    (void)members;
    if (!call->exchange->send)
        return rpc_fail(fault, RPC_INVALID_REQUEST, "there is no way to tell this client anything");
    call->server->listeners = &listener;
    serve(&listener);
    struct listener **at = &call->server->listeners;
    while (*at != &listener)
        at = &(*at)->next;
    *at = listener.next;
    for (size_t i = 0; i < listener.n_waiting; i++)
        mem_free(listener.waiting[i]);
    mem_free(listener.waiting);
    return 0;
}
