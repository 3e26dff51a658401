/*
 * Those who listen for what changes: 2026-07-28 with subscriptions/listen, whose answer is the end
 * of listening; before that with resources/subscribe, and are told on the session's own stream.
 */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "mcp/heard-tasks.h"
#include "model/json.h"

#include <string.h>

enum {
    MAX_WAITING = 256, /* a listener that does not keep up is told of a change once */
    MAX_LISTENERS = 128,
    MAX_OF_ONE = 16, /* listeners of a principal */
    MAX_URIS = 256,  /* of a listener: what is more is not honoured */
    MAX_SUBSCRIBERS = 256,
    KEEP_US = 15 * 1000 * 1000
};

/* What a client of the legacy era subscribed to; it outlives the streams that tell it. */
struct subscriber {
    char *origin, *principal; /* owned */
    char **uris;              /* owned */
    size_t n_uris, capacity;
    struct listener *listener; /* NULL while nothing tells it */
    struct subscriber *next;
};

struct listener {
    struct mcp_call *call;
    bool topics[MCP_RESOURCE_UPDATED + 1];
    struct value *uris;            /* owned list: the resources that it wants to hear of; or NULL */
    struct subscriber *subscriber; /* the same of the legacy era; or NULL */
    struct heard_tasks tasks;
    char **waiting; /* owned texts */
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

/* --- Who finds out --- */

void mcp_set_watcher(struct mcp_server *server, const struct mcp_watcher *watcher)
{
    server->watcher = *watcher;
}

bool mcp_is_heard(const struct mcp_server *server)
{
    return server->listeners != NULL;
}

void mcp_visit_heard(const struct mcp_server *server,
                     void (*visit)(void *argument, const char *uri), void *argument)
{
    for (const struct listener *at = server->listeners; at; at = at->next) {
        for (size_t i = 0; at->uris && i < value_count(at->uris); i++)
            visit(argument, value_text(value_at(at->uris, i)));
        for (size_t i = 0; i < at->tasks.n; i++)
            if (at->tasks.items[i].uri)
                visit(argument, at->tasks.items[i].uri);
        for (size_t i = 0; at->subscriber && i < at->subscriber->n_uris; i++)
            visit(argument, at->subscriber->uris[i]);
    }
}

CO_FN static void tell_began(struct mcp_server *server)
{
    if (server->watcher.began)
        server->watcher.began(server->watcher.argument);
}

/* --- What waits to be told --- */

/* The text of params, with the mark of the subscription where there are such. */
static char *tagged(const struct listener *listener, struct value_builder *fields)
{
    struct value_builder meta = {0};
    if (listener->call->is_modern) {
        value_builder_set(&meta, META_SUBSCRIPTION,
                          value_ref((struct value *)(uintptr_t)listener->call->id));
        value_builder_set(fields, "_meta", value_builder_map(&meta));
    }
    CLEANUP(value_unrefp) struct value *params = value_builder_map(fields);
    return json_text(params);
}

static size_t find_uri(const struct subscriber *subscriber, const char *uri)
{
    size_t i = 0;
    while (i < subscriber->n_uris && !text_equal(subscriber->uris[i], uri))
        i++;
    return i;
}

static bool has_uri(const struct listener *listener, const char *uri)
{
    for (size_t i = 0; listener->uris && i < value_count(listener->uris); i++)
        if (text_equal(value_text(value_at(listener->uris, i)), uri))
            return true;
    return listener->subscriber &&
           find_uri(listener->subscriber, uri) < listener->subscriber->n_uris;
}

static bool is_waiting(const struct listener *listener, const char *text)
{
    for (size_t i = 0; i < listener->n_waiting; i++)
        if (text_equal(listener->waiting[i], text))
            return true;
    return false;
}

void mcp_announce_task(struct mcp_server *server, const char *id)
{
    for (struct listener *at = server->listeners; at; at = at->next)
        if (heard_tasks_note(&at->tasks, id, NULL))
            gate_open(server->loop, &at->call->woken);
}

void mcp_announce(struct mcp_server *server, enum mcp_topic topic, const char *uri)
{
    for (struct listener *at = server->listeners; at; at = at->next) {
        if (uri && heard_tasks_note(&at->tasks, NULL, uri))
            gate_open(server->loop, &at->call->woken);
        if (!at->topics[topic] || (uri && !has_uri(at, uri)))
            continue;
        struct value_builder fields = {0};
        if (uri)
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

/* Tells of the tasks that are others than what was told of them last. */
static int send_tasks(struct listener *listener)
{
    struct mcp_call *call = listener->call;
    while (!call->is_cancelled && heard_tasks_are_stale(&listener->tasks)) {
        CLEANUP(mem_freep) char *members = heard_tasks_take(call, &listener->tasks);
        if (!members)
            continue;
        CLEANUP(mem_freep) char *id = json_text(call->id);
        CLEANUP(mem_freep)
        char *params = string_format("{%s,\"_meta\":{\"" META_SUBSCRIPTION "\":%s}}", members, id);
        CLEANUP(mem_freep) char *text = rpc_notification_text("notifications/tasks", params);
        if (call->exchange->send(call->exchange->argument, text) < 0)
            return -1;
    }
    return 0;
}

/* Until it is cancelled or gone. */
static void serve(struct listener *listener)
{
    struct mcp_call *call = listener->call;
    const struct mcp_exchange *exchange = call->exchange;
    int64_t next_look = world_monotonic_clock() + KEEP_US;
    while (!call->is_cancelled && send_waiting(listener) == 0 && send_tasks(listener) == 0) {
        if (call->is_cancelled || listener->n_waiting > 0)
            continue;
        gate_wait(call->loop, &call->woken, exchange->keep ? next_look : -1, NULL);
        if (!exchange->keep || world_monotonic_clock() < next_look)
            continue;
        if (exchange->keep(exchange->argument) < 0)
            return;
        next_look = world_monotonic_clock() + KEEP_US;
    }
}

/* --- Its life --- */

static bool is_full(const struct mcp_call *call)
{
    size_t n = 0;
    for (const struct listener *at = call->server->listeners; at; at = at->next)
        n += text_equal(at->call->exchange->principal, call->exchange->principal);
    return n >= MAX_OF_ONE || call->server->n_listeners >= MAX_LISTENERS;
}

static void add_listener(struct listener *listener)
{
    struct mcp_server *server = listener->call->server;
    listener->next = server->listeners;
    server->listeners = listener;
    server->n_listeners++;
    tell_began(server);
}

static void remove_listener(struct listener *listener)
{
    struct mcp_server *server = listener->call->server;
    struct listener **at = &server->listeners;
    while (*at != listener)
        at = &(*at)->next;
    *at = listener->next;
    server->n_listeners--;
    for (size_t i = 0; i < listener->n_waiting; i++)
        mem_free(listener->waiting[i]);
    mem_free(listener->waiting);
    value_unref(listener->uris);
    heard_tasks_done(&listener->tasks);
    if (server->watcher.ended)
        server->watcher.ended(server->watcher.argument);
}

/* --- 2026-07-28 --- */

/* Of the resources that a client names those that there can be. */
static struct value *read_uris(const struct mcp_offer *offer, const struct value *wanted)
{
    struct value_builder list = {0};
    size_t n = 0;
    if (!wanted || value_kind(wanted) != VALUE_LIST)
        return NULL;
    for (size_t i = 0; i < value_count(wanted) && n < MAX_URIS; i++) {
        struct value *item = value_at(wanted, i);
        if (value_kind(item) != VALUE_STRING || !mcp_find_resource(offer, value_text(item)))
            continue;
        value_builder_append(&list, value_ref(item));
        n++;
    }
    return value_builder_list(&list);
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
    const char *field = topics[MCP_RESOURCE_UPDATED].wanted;
    listener->uris = read_uris(listener->call->server->offer, value_get(wanted, field));
    listener->topics[MCP_RESOURCE_UPDATED] = listener->uris != NULL;
    if (listener->uris)
        value_builder_set(honoured, field, value_ref(listener->uris));
}

static int acknowledge(struct listener *listener, struct value_builder *honoured)
{
    struct value_builder fields = {0};
    struct mcp_exchange *exchange = listener->call->exchange;
    value_builder_set(&fields, "notifications", value_builder_map(honoured));
    CLEANUP(mem_freep) char *params = tagged(listener, &fields);
    CLEANUP(mem_freep)
    char *text = rpc_notification_text("notifications/subscriptions/acknowledged", params);
    return exchange->send(exchange->argument, text);
}

static int refuse_more(struct rpc_fault *fault)
{
    return rpc_fail(fault, RPC_INVALID_REQUEST,
                    "too many listen already: end another subscription first");
}

int mcp_listen(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    struct listener listener = {.call = call};
    struct value_builder honoured = {0};
    const struct value *wanted = value_get(call->params, "notifications");
    (void)members;
    if (!call->exchange->send)
        return rpc_fail(fault, RPC_INVALID_REQUEST, "there is no way to tell this client anything");
    if (is_full(call))
        return refuse_more(fault);
    int r = heard_tasks_read(call, value_get(wanted, "taskIds"), &listener.tasks, &honoured, fault);
    /* Looking at tasks waits, and others may have come meanwhile. */
    if (r == 0 && is_full(call))
        r = refuse_more(fault);
    if (r < 0) {
        heard_tasks_done(&listener.tasks);
        value_builder_done(&honoured);
        return r;
    }
    read_wanted(&listener, &honoured);
    add_listener(&listener);
    if (acknowledge(&listener, &honoured) == 0)
        serve(&listener);
    remove_listener(&listener);
    return 0;
}

/* --- Before --- */

static void free_subscriber(struct subscriber *subscriber)
{
    for (size_t i = 0; i < subscriber->n_uris; i++)
        mem_free(subscriber->uris[i]);
    mem_free(subscriber->uris);
    mem_free(subscriber->origin);
    mem_free(subscriber->principal);
    mem_free(subscriber);
}

void mcp_forget_subscribers(struct mcp_server *server)
{
    while (server->subscribers) {
        struct subscriber *subscriber = server->subscribers;
        server->subscribers = subscriber->next;
        free_subscriber(subscriber);
    }
}

/* The oldest of too many goes, of those that nobody tells anything. */
static void make_room(struct mcp_server *server)
{
    size_t n = 0;
    struct subscriber **oldest = NULL;
    for (struct subscriber **at = &server->subscribers; *at; at = &(*at)->next, n++)
        if (!(*at)->listener)
            oldest = at;
    if (n < MAX_SUBSCRIBERS || !oldest)
        return;
    struct subscriber *gone = *oldest;
    *oldest = gone->next;
    free_subscriber(gone);
}

static struct subscriber *find_subscriber(struct mcp_server *server,
                                          const struct mcp_exchange *exchange, bool makes)
{
    for (struct subscriber *at = server->subscribers; at; at = at->next)
        if (text_equal(at->origin, exchange->origin) &&
            text_equal(at->principal, exchange->principal))
            return at;
    if (!makes)
        return NULL;
    make_room(server);
    struct subscriber *subscriber = NEW(struct subscriber);
    *subscriber = (struct subscriber){.origin = string_copy(exchange->origin),
                                      .principal = string_copy(exchange->principal),
                                      .next = server->subscribers};
    server->subscribers = subscriber;
    return subscriber;
}

/* The URI that a request is about, and whether a session says whose it is. */
static const char *read_uri(struct mcp_call *call, struct rpc_fault *fault)
{
    const char *uri = value_get_text(call->params, "uri");
    if (!uri)
        rpc_fail(fault, RPC_INVALID_PARAMS, "%s needs a uri", call->method);
    else if (!mcp_find_resource(call->server->offer, uri))
        mcp_refuse_uri(uri, "there is no such resource", fault);
    else if (!call->exchange->origin)
        rpc_fail(fault, RPC_INVALID_REQUEST,
                 "only a session has subscriptions: begin one with initialize");
    else
        return uri;
    return NULL;
}

int mcp_subscribe(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    const char *uri = read_uri(call, fault);
    (void)members;
    if (!uri)
        return -1;
    struct subscriber *subscriber = find_subscriber(call->server, call->exchange, true);
    if (find_uri(subscriber, uri) < subscriber->n_uris)
        return 0;
    if (subscriber->n_uris >= MAX_URIS)
        return rpc_fail(fault, RPC_INVALID_REQUEST, "a session has at most %d subscriptions",
                        MAX_URIS);
    ARRAY_RESERVE(subscriber->uris, subscriber->n_uris, subscriber->capacity);
    subscriber->uris[subscriber->n_uris++] = string_copy(uri);
    if (subscriber->listener)
        tell_began(call->server);
    return 0;
}

int mcp_unsubscribe(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault)
{
    const char *uri = read_uri(call, fault);
    (void)members;
    if (!uri)
        return -1;
    struct subscriber *subscriber = find_subscriber(call->server, call->exchange, false);
    size_t i = subscriber ? find_uri(subscriber, uri) : 0;
    if (!subscriber || i == subscriber->n_uris)
        return 0;
    mem_free(subscriber->uris[i]);
    subscriber->uris[i] = subscriber->uris[--subscriber->n_uris];
    return 0;
}

/*
 * A session lies with its client and survives us, what it subscribed to does not: it is told to
 * look at all anew and to subscribe again, once, rather than to wait for what will not come.
 */
static void tell_forgotten(struct listener *listener)
{
    static const char *const lines[][2] = {
        {"notifications/resources/list_changed", "{}"},
        {"notifications/message",
         "{\"level\":\"warning\",\"data\":\"The server was started anew and knows no subscription of "
         "before: read again what you look at, and subscribe to it anew.\"}"},
    };
    const struct mcp_exchange *exchange = listener->call->exchange;
    if (!exchange->session || !exchange->session->is_of_before ||
        find_subscriber(listener->call->server, exchange, false))
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        ARRAY_RESERVE(listener->waiting, listener->n_waiting, listener->capacity);
        listener->waiting[listener->n_waiting++] = rpc_notification_text(lines[i][0], lines[i][1]);
    }
}

/* As one that is told, in place of another stream of the same session. */
static void take_over(struct listener *listener)
{
    struct mcp_server *server = listener->call->server;
    struct subscriber *subscriber = find_subscriber(server, listener->call->exchange, true);
    if (subscriber->listener) {
        struct mcp_call *former = subscriber->listener->call;
        subscriber->listener->subscriber = NULL;
        former->is_cancelled = true;
        gate_open(server->loop, &former->woken);
    }
    subscriber->listener = listener;
    listener->subscriber = subscriber;
}

int mcp_tell_changes(struct mcp_server *server, struct mcp_exchange *exchange, struct error *err)
{
    struct mcp_call call = {
        .server = server, .loop = server->loop, .exchange = exchange, .method = "", .progress = -1};
    struct listener listener = {.call = &call};
    if (is_full(&call))
        return error_set(err, ERROR_LIMIT, "too many listen already");
    mcp_begin_call(&call);
    for (size_t i = 0; i < ARRAY_LENGTH(listener.topics); i++)
        listener.topics[i] = true;
    tell_forgotten(&listener);
    take_over(&listener);
    add_listener(&listener);
    if (!exchange->keep || exchange->keep(exchange->argument) == 0)
        serve(&listener);
    if (listener.subscriber)
        listener.subscriber->listener = NULL;
    remove_listener(&listener);
    mcp_end_call(&call);
    return 0;
}
