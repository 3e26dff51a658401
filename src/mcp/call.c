/* What a tool has in hand: telling the client how far it is, and asking it for something. */
#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "mcp/internal.h"
#include "model/json.h"

#include <string.h>

enum { SECOND_US = 1000 * 1000, STATE_SECONDS = 3600, ANSWER_SECONDS = 600 };

void mcp_begin_call(struct mcp_call *call)
{
    call->next = call->server->calls;
    call->server->calls = call;
    call->server->n_calls++;
}

void mcp_end_call(struct mcp_call *call)
{
    struct mcp_call **at = &call->server->calls;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    call->server->n_calls--;
    mcp_drop_call(call);
}

void mcp_drop_call(struct mcp_call *call)
{
    strbuf_done(&call->asked);
    value_unref(call->state);
    value_unref(call->new_state);
    value_unref(call->given);
    value_builder_done(&call->answers);
}

/* --- Telling --- */

static void tell(struct mcp_call *call, const char *method, struct value_builder *fields)
{
    CLEANUP(value_unrefp) struct value *params = value_builder_map(fields);
    CLEANUP(mem_freep) char *params_text = json_text(params);
    CLEANUP(mem_freep) char *text = rpc_notification_text(method, params_text);
    struct mcp_exchange *exchange = call->exchange;
    if (exchange->send && exchange->send(exchange->argument, text) < 0)
        call->is_cancelled = true;
}

void mcp_progress(struct mcp_call *call, double progress, double total, const char *message)
{
    struct value *token = value_get(call->meta, "progressToken");
    if (!token || progress <= call->progress)
        return;
    struct value_builder fields = {0};
    call->progress = progress;
    value_builder_set(&fields, "progressToken", value_ref(token));
    value_builder_set(&fields, "progress", value_decimal(progress));
    if (total > 0)
        value_builder_set(&fields, "total", value_decimal(total));
    value_builder_set_string(&fields, "message", message);
    tell(call, "notifications/progress", &fields);
}

static bool wants_log(const struct mcp_call *call)
{
    return call->is_modern ? value_get(call->meta, META_LOG_LEVEL) != NULL : true;
}

void mcp_log(struct mcp_call *call, const char *level, const char *text)
{
    if (!wants_log(call))
        return;
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "level", level);
    value_builder_set_string(&fields, "logger", call->server->offer->name);
    value_builder_set_string(&fields, "data", text);
    tell(call, "notifications/message", &fields);
}

/* --- What the client can be asked --- */

bool mcp_has_form(const struct value *capabilities)
{
    const struct value *elicitation = value_get(capabilities, "elicitation");
    return elicitation && (value_get(elicitation, "form") || !value_get(elicitation, "url"));
}

bool mcp_client_can(const struct mcp_call *call, const char *capability)
{
    const struct mcp_session *session = call->exchange->session;
    const struct value *capabilities = value_get(call->meta, META_CAPABILITIES);
    if (call->is_modern)
        return text_equal(capability, "elicitation") ? mcp_has_form(capabilities)
                                                     : value_get(capabilities, capability) != NULL;
    if (!session)
        return false;
    return text_equal(capability, "elicitation") ? session->can_elicit
           : text_equal(capability, "sampling")  ? session->can_sample
                                                 : session->can_list_roots;
}

bool mcp_knows_tasks(const struct mcp_call *call)
{
    const struct value *capabilities = value_get(call->meta, META_CAPABILITIES);
    return call->is_modern && value_get(value_get(capabilities, "extensions"), MCP_TASKS) != NULL;
}

static const char *capability_of(const char *method)
{
    return text_starts_with(method, "elicitation/") ? "elicitation"
           : text_starts_with(method, "sampling/")  ? "sampling"
                                                    : "roots";
}

bool mcp_can_ask(const struct mcp_call *call, const char *method)
{
    return mcp_client_can(call, capability_of(method)) &&
           (call->is_modern || call->exchange->send != NULL);
}

bool mcp_can_open(const struct mcp_call *call)
{
    const struct mcp_session *session = call->exchange->session;
    const struct value *capabilities = value_get(call->meta, META_CAPABILITIES);
    if (call->is_modern)
        return value_get(value_get(capabilities, "elicitation"), "url") != NULL;
    return session && session->can_open && call->exchange->send != NULL;
}

/* Which of the two ways is in the params. */
static bool can_be_asked(const struct mcp_call *call, const char *method)
{
    return mcp_can_ask(call, method) ||
           (text_equal(method, "elicitation/create") && mcp_can_open(call));
}

/* --- Asking a modern client: the request ends, and comes again with the answers --- */

static void note_question(struct mcp_call *call, const char *key, const char *method,
                          const char *params)
{
    if (call->asked.length)
        strbuf_add_char(&call->asked, ',');
    json_write_string(&call->asked, key, strlen(key));
    strbuf_addf(&call->asked, ":{\"method\":\"%s\",\"params\":%s}", method, params);
}

static struct value *find_answer(const struct mcp_call *call, const char *key)
{
    struct value *answer = value_get(call->given, key);
    if (!answer)
        answer = value_get(value_get(call->params, "inputResponses"), key);
    return answer && value_kind(answer) == VALUE_MAP ? answer : NULL;
}

/* --- Asking a legacy client: a request of ours on the same wire --- */

static int await_answer(struct mcp_call *call, struct question *question, struct error *err)
{
    int64_t deadline = world_monotonic_clock() + (int64_t)ANSWER_SECONDS * SECOND_US;
    int r = 0;
    while (r == 0 && !question->result && !call->is_cancelled)
        r = gate_wait(call->loop, &call->woken, deadline, NULL);
    if (question->result)
        return 0;
    if (call->is_cancelled)
        return error_set(err, ERROR_CANCELLED, "the client took its request back");
    return error_set(err, ERROR_TIMEOUT, "nobody answered within %d minutes", ANSWER_SECONDS / 60);
}

static int send_question(struct mcp_call *call, struct question *question, const char *method,
                         const char *params, struct error *err)
{
    CLEANUP(mem_freep) char *text = rpc_request_text(question->id, method, params);
    if (call->exchange->send(call->exchange->argument, text) < 0)
        return error_set(err, ERROR_CANCELLED, "the client is gone");
    return await_answer(call, question, err);
}

static int ask_legacy(struct mcp_call *call, const char *method, const char *params,
                      struct value **ret_answer, struct error *err)
{
    struct question question = {.call = call};
    struct mcp_server *server = call->server;
    uuid_random(question.id);
    question.next = server->questions;
    server->questions = &question;
    int r = send_question(call, &question, method, params, err);
    struct question **at = &server->questions;
    while (*at != &question)
        at = &(*at)->next;
    *at = question.next;
    if (r == 0 && value_is_null(question.result))
        r = error_set(err, ERROR_UNSUPPORTED, "the client answered %s with an error", method);
    if (r == 0) {
        value_builder_append(&call->answers, question.result);
        *ret_answer = question.result;
    } else {
        value_unref(question.result);
    }
    return r;
}

void mcp_take_response(struct mcp_server *server, const struct mcp_exchange *exchange,
                       const struct rpc_message *message)
{
    for (struct question *at = server->questions; at; at = at->next) {
        bool is_asked = !at->result && value_kind(message->id) == VALUE_STRING &&
                        text_equal(value_text(message->id), at->id) &&
                        text_equal(at->call->exchange->principal, exchange->principal);
        if (!is_asked)
            continue;
        at->result = message->result ? value_ref(message->result) : value_null();
        gate_open(server->loop, &at->call->woken);
        return;
    }
}

int mcp_ask(struct mcp_call *call, const char *key, const char *method, const char *params,
            struct value **ret_answer, struct error *err)
{
    if (!can_be_asked(call, method))
        return error_set(err, ERROR_UNSUPPORTED, "the client cannot be asked with %s", method);
    if (!call->is_modern)
        return ask_legacy(call, method, params, ret_answer, err);
    bool was_asked = !call->new_state || call->state;
    *ret_answer = was_asked ? find_answer(call, key) : NULL;
    if (*ret_answer)
        return 0;
    note_question(call, key, method, params);
    return MCP_ASKED;
}

/* --- State that the client keeps --- */

void mcp_keep_state(struct mcp_call *call, struct value *take_state)
{
    value_unref(call->new_state);
    call->new_state = take_state;
}

const struct value *mcp_state(const struct mcp_call *call)
{
    return call->is_modern ? call->state : NULL;
}

/* What a state is good for: this principal, this request with these arguments. */
static char *purpose_of(const struct mcp_call *call)
{
    struct strbuf text = {0};
    char digest[DIGEST_HEX_SIZE];
    const char *name = value_get_text(call->params, "name");
    strbuf_addf(&text, "%s\n%s\n%s\n", call->exchange->principal, call->method, name ? name : "");
    const struct value *arguments = value_get(call->params, "arguments");
    if (arguments)
        json_write(&text, arguments);
    digest_hex(text.text, text.length, digest);
    strbuf_done(&text);
    return string_copy(digest);
}

int mcp_take_state(struct mcp_call *call, struct rpc_fault *fault)
{
    const struct value *sealed = value_get(call->params, "requestState");
    if (!sealed || !call->is_modern)
        return 0;
    CLEANUP(mem_freep)
    char *text =
        value_kind(sealed) == VALUE_STRING ? mcp_unseal(call->server, value_text(sealed)) : NULL;
    CLEANUP(value_unrefp) struct value *kept = NULL;
    CLEANUP(mem_freep) char *purpose = purpose_of(call);
    if (!text || json_read(text, strlen(text), &kept, NULL) < 0 ||
        !text_equal_or_null(value_get_text(kept, "purpose"), purpose))
        return rpc_fail(fault, RPC_INVALID_PARAMS,
                        "requestState is not what this server gave for this request: send it back "
                        "exactly as it came, with the same arguments");
    if (value_get_integer(kept, "expires", 0) < world_wall_clock())
        return rpc_fail(fault, RPC_INVALID_PARAMS,
                        "requestState has expired: send the request anew, without it");
    call->state = value_ref(value_get(kept, "state"));
    return 0;
}

void mcp_write_asked(struct mcp_call *call, struct strbuf *members)
{
    strbuf_add(members, "\"resultType\":\"input_required\"");
    if (call->asked.length)
        strbuf_addf(members, ",\"inputRequests\":{%s}", strbuf_text(&call->asked));
    if (!call->new_state)
        return;
    struct value_builder fields = {0};
    CLEANUP(mem_freep) char *purpose = purpose_of(call);
    value_builder_set_string(&fields, "purpose", purpose);
    value_builder_set(&fields, "expires",
                      value_integer(world_wall_clock() + (int64_t)STATE_SECONDS * SECOND_US));
    value_builder_set(&fields, "state", value_ref(call->new_state));
    CLEANUP(value_unrefp) struct value *kept = value_builder_map(&fields);
    CLEANUP(mem_freep) char *text = json_text(kept);
    CLEANUP(mem_freep) char *sealed = mcp_seal(call->server, text);
    strbuf_addf(members, ",\"requestState\":\"%s\"", sealed);
}
