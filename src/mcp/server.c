#include "mcp/server.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "mcp/methods.h"
#include "model/json.h"

#include <stdio.h>
#include <string.h>

/* Lists change with the program alone: a client may keep them for an hour. */
enum { LIST_TTL_MS = 3600 * 1000, MAX_SCHEMA_DEPTH = 64 };

/* --- Its life --- */

static char *make_identity(const struct mcp_offer *offer, bool has_icon)
{
    struct strbuf buffer = {0};
    strbuf_add_char(&buffer, '{');
    mcp_write_field(&buffer, "name", offer->name);
    mcp_write_field(&buffer, "title", offer->title);
    mcp_write_field(&buffer, "version", offer->version);
    if (has_icon)
        mcp_write_icon(offer, offer->name, &buffer);
    strbuf_add_char(&buffer, '}');
    return strbuf_take(&buffer);
}

char *mcp_capabilities_text(const struct mcp_offer *offer, bool is_modern)
{
    struct strbuf buffer = {0};
    strbuf_add(&buffer, "{\"tools\":{\"listChanged\":true}");
    if (offer->n_resources)
        strbuf_add(&buffer, ",\"resources\":{\"listChanged\":true,\"subscribe\":true}");
    if (offer->n_prompts)
        strbuf_add(&buffer, ",\"prompts\":{\"listChanged\":true}");
    if (offer->complete)
        strbuf_add(&buffer, ",\"completions\":{}");
    if (is_modern && mcp_offers_tasks(offer))
        strbuf_add(&buffer, ",\"extensions\":{\"" MCP_TASKS "\":{}}");
    if (!is_modern && offer->look_at_task)
        strbuf_add(&buffer, ",\"tasks\":{\"list\":{},\"cancel\":{},"
                            "\"requests\":{\"tools\":{\"call\":{}}}}");
    strbuf_add(&buffer, ",\"logging\":{}}");
    return strbuf_take(&buffer);
}

static struct value *read_schema(const struct mcp_tool *tool)
{
    struct value *schema = NULL;
    const char *text = tool->inputs ? NULL : tool->input_schema;
    if (text)
        (void)json_read_foreign(text, strlen(text), MAX_SCHEMA_DEPTH, &schema, NULL);
    return schema;
}

const struct value *mcp_schema_of(const struct mcp_server *server, const char *tool)
{
    const struct mcp_tool *found = mcp_find_tool(server, tool);
    return found ? server->schemas[found - server->offer->tools] : NULL;
}

struct mcp_server *mcp_server_new(struct loop *loop, const struct mcp_offer *offer,
                                  const unsigned char *key)
{
    struct mcp_server *server = NEW(struct mcp_server);
    server->loop = loop;
    server->offer = offer;
    if (key)
        memcpy(server->key, key, sizeof(server->key));
    else
        world_random(server->key, sizeof(server->key));
    uuid_random(server->instance);
    server->identity = make_identity(offer, false);
    server->portrait = make_identity(offer, true);
    server->capabilities = mcp_capabilities_text(offer, true);
    server->tool_texts = NEW_ARRAY(char *, offer->n_tools);
    server->schemas = NEW_ARRAY(struct value *, offer->n_tools);
    for (size_t i = 0; i < offer->n_tools; i++) {
        server->tool_texts[i] = mcp_tool_text(&offer->tools[i]);
        server->schemas[i] = read_schema(&offer->tools[i]);
    }
    return server;
}

void mcp_server_free(struct mcp_server *server)
{
    if (!server)
        return;
    for (size_t i = 0; i < server->offer->n_tools; i++) {
        mem_free(server->tool_texts[i]);
        value_unref(server->schemas[i]);
    }
    mcp_forget_subscribers(server);
    map_done(&server->cancelled_tasks);
    mem_free(server->tool_texts);
    mem_free(server->schemas);
    mem_free(server->identity);
    mem_free(server->portrait);
    mem_free(server->capabilities);
    sodium_memzero(server->key, sizeof(server->key));
    mem_free(server);
}

size_t mcp_count_calls(const struct mcp_server *server)
{
    return server->n_calls;
}

const struct mcp_tool *mcp_find_tool(const struct mcp_server *server, const char *name)
{
    for (size_t i = 0; i < server->offer->n_tools; i++)
        if (text_equal(server->offer->tools[i].name, name))
            return &server->offer->tools[i];
    return NULL;
}

void mcp_answer_done(struct mcp_answer *answer)
{
    mem_free(answer->text);
    *answer = (struct mcp_answer){0};
}

/* --- A request --- */

bool mcp_is_modern(const struct rpc_message *message)
{
    return value_get(value_get(message->params, "_meta"), META_VERSION) ||
           text_equal_or_null(message->method, "server/discover");
}

/* Every modern request says which version it is of and what its client can do. */
static int check_meta(const struct mcp_call *call, struct rpc_fault *fault)
{
    const char *version = value_get_text(call->meta, META_VERSION);
    const struct value *capabilities = value_get(call->meta, META_CAPABILITIES);
    if (!version)
        return rpc_fail(fault, RPC_INVALID_PARAMS, "params._meta needs \"" META_VERSION "\"");
    if (!text_equal(version, MCP_MODERN_VERSION))
        return mcp_refuse_version(version, fault);
    if (!capabilities || value_kind(capabilities) != VALUE_MAP)
        return rpc_fail(fault, RPC_INVALID_PARAMS, "params._meta needs \"" META_CAPABILITIES "\"");
    return 0;
}

/* What every modern result says beside its own. */
static void close_result(const struct mcp_call *call, const struct method *method,
                         struct strbuf *members)
{
    if (!text_starts_with(strbuf_text(members), "\"resultType\""))
        strbuf_addf(members, "%s\"resultType\":\"complete\"", members->length ? "," : "");
    if (method->flags & (METHOD_KEPT | METHOD_LOOKED_AT))
        strbuf_addf(members, ",\"ttlMs\":%d,\"cacheScope\":\"%s\"",
                    method->flags & METHOD_KEPT ? LIST_TTL_MS : 0,
                    call->server->offer->has_tool ? "private" : "public");
    strbuf_add(members, ",\"_meta\":{\"" META_SERVER "\":");
    strbuf_add(members,
               method->flags & METHOD_INTRODUCES ? call->server->portrait : call->server->identity);
    if (method->flags & METHOD_LISTENS) {
        strbuf_add(members, ",\"" META_SUBSCRIPTION "\":");
        json_write(members, call->id);
    }
    strbuf_add_char(members, '}');
}

static int answer_request(struct mcp_call *call, struct strbuf *members, struct mcp_answer *answer,
                          struct rpc_fault *fault)
{
    answer->is_refused = call->is_modern && check_meta(call, fault) < 0;
    if (answer->is_refused)
        return -1;
    const struct method *method = mcp_find_method(call->method, call->is_modern);
    if (!method) {
        answer->is_unknown = true;
        return rpc_fail(fault, RPC_METHOD_NOT_FOUND, "there is no method %.100s%s", call->method,
                        call->is_modern ? " in " MCP_MODERN_VERSION : "");
    }
    int r = method->answer(call, members, fault);
    if (r == 0 && call->is_modern)
        close_result(call, method, members);
    answer->is_unknown = r < 0 && fault->code == RPC_METHOD_NOT_FOUND;
    answer->is_refused = r < 0 && fault->code == MCP_MISSING_CAPABILITY;
    answer->is_begun = r == 0 && (method->flags & METHOD_BEGINS);
    return r;
}

static void handle_request(struct mcp_server *server, struct mcp_exchange *exchange,
                           const struct rpc_message *message, struct mcp_answer *answer)
{
    struct value *meta = value_get(message->params, "_meta");
    struct strbuf members = {0};
    struct rpc_fault fault = {0};
    struct mcp_session *session = exchange->session;
    bool is_begun = session && (session->is_begun || text_equal(message->method, "initialize"));
    struct mcp_call call = {
        .server = server,
        .loop = server->loop,
        .exchange = exchange,
        .id = message->id,
        .method = message->method,
        .params = message->params,
        .meta = meta,
        .is_modern = exchange->is_modern || mcp_is_modern(message) || !is_begun,
        .progress = -1,
    };
    CLEANUP(mem_freep)
    char *client = call.is_modern ? mcp_client_name(value_get(meta, META_CLIENT)) : NULL;
    call.client = client ? client : session && session->client ? session->client : "";
    mcp_begin_call(&call);
    if (answer_request(&call, &members, answer, &fault) < 0) {
        answer->fault = fault.code;
        answer->text = rpc_fault_text(message->id, &fault);
    } else {
        answer->text = rpc_result_text(message->id, strbuf_text(&members));
    }
    mcp_end_call(&call);
    strbuf_done(&members);
    rpc_fault_done(&fault);
}

/* --- Cancelling --- */

static void cancel(struct mcp_server *server, struct mcp_call *call)
{
    call->is_cancelled = true;
    gate_open(server->loop, &call->woken);
}

void mcp_cancel_all(struct mcp_server *server)
{
    for (struct mcp_call *call = server->calls; call; call = call->next)
        cancel(server, call);
}

void mcp_cancel_exchange(struct mcp_server *server, const struct mcp_exchange *exchange)
{
    for (struct mcp_call *call = server->calls; call; call = call->next)
        if (call->exchange == exchange)
            cancel(server, call);
}

void mcp_cancel_origin(struct mcp_server *server, const char *origin)
{
    for (struct mcp_call *call = server->calls; call; call = call->next)
        if (text_equal_or_null(call->exchange->origin, origin))
            cancel(server, call);
}

static void cancel_request(struct mcp_server *server, const struct mcp_exchange *exchange,
                           const struct value *id)
{
    for (struct mcp_call *call = server->calls; id && exchange->origin && call; call = call->next)
        if (call->id && call->exchange->origin &&
            text_equal(call->exchange->origin, exchange->origin) && value_equal(call->id, id))
            cancel(server, call);
}

void mcp_handle(struct mcp_server *server, struct mcp_exchange *exchange,
                const struct rpc_message *message, struct mcp_answer *ret_answer)
{
    *ret_answer = (struct mcp_answer){0};
    switch (message->kind) {
    case RPC_REQUEST:
        handle_request(server, exchange, message, ret_answer);
        break;
    case RPC_NOTIFICATION:
        if (text_equal(message->method, "notifications/cancelled"))
            cancel_request(server, exchange, value_get(message->params, "requestId"));
        break;
    case RPC_RESPONSE:
        mcp_take_response(server, exchange, message);
        break;
    }
}
