#include "mcp/web.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "mcp/events.h"
#include "mcp/web-headers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SECOND_US = 1000 * 1000, STOP_SECONDS = 5 };

struct web {
    struct loop *loop;
    struct mcp_server *server;
    struct web_settings settings;
    struct http_server *http;
};

/* One request, from its headers to its answer. */
struct passage {
    struct web *web;
    struct http_request *request;
    struct rpc_message message;
    struct mcp_session session;
    struct mcp_exchange exchange;
    struct web_identity identity;
    bool is_streaming;
};

/* --- Answers --- */

static const struct http_header json_headers[] = {
    {"Content-Type", "application/json"}, {"Cache-Control", "no-store"}, {0}};

static void answer_text(struct http_request *request, unsigned int status, const char *text)
{
    http_answer(request, status, json_headers, text, strlen(text));
}

static void answer_fault(struct passage *passage, unsigned int status, struct rpc_fault *fault)
{
    CLEANUP(mem_freep) char *text = rpc_fault_text(passage->message.id, fault);
    answer_text(passage->request, status, text);
    rpc_fault_done(fault);
}

/* What is refused before it is a message: as JSON-RPC all the same, without an id. */
static void refuse(struct passage *passage, unsigned int status, const char *why)
{
    struct rpc_fault fault = {0};
    rpc_fail(&fault, RPC_INVALID_REQUEST, "%s", why);
    answer_fault(passage, status, &fault);
}

static void ask_for_token(struct passage *passage)
{
    static const struct http_header headers[] = {
        {"Content-Type", "application/json"}, {"WWW-Authenticate", "Bearer realm=\"parley\""}, {0}};
    struct rpc_fault fault = {0};
    rpc_fail(&fault, RPC_INVALID_REQUEST,
             "this server wants a token that it knows: Authorization: Bearer TOKEN");
    CLEANUP(mem_freep) char *text = rpc_fault_text(NULL, &fault);
    http_answer(passage->request, 401, headers, text, strlen(text));
    rpc_fault_done(&fault);
}

/* What Authorization: Bearer carries, NULL without one. */
static const char *token_of(const struct http_request *request)
{
    static const char scheme[] = "Bearer ";
    const char *header = http_request_header(request, "Authorization");
    bool is_bearer = header && strncasecmp(header, scheme, sizeof(scheme) - 1) == 0 &&
                     http_request_header_count(request, "Authorization") == 1;
    return is_bearer ? header + sizeof(scheme) - 1 : NULL;
}

/* Whether it came too often, and was answered so. */
static bool is_too_often(struct passage *passage, const struct web_identity *identity)
{
    const struct web_settings *settings = &passage->web->settings;
    struct http_request *request = passage->request;
    char seconds[24];
    int64_t wait = settings->admit
                       ? settings->admit(settings->argument, identity, http_request_peer(request),
                                         token_of(request) != NULL)
                       : 0;
    if (wait == 0)
        return false;
    snprintf(seconds, sizeof(seconds), "%" PRId64, (wait + SECOND_US - 1) / SECOND_US);
    const struct http_header headers[] = {
        {"Content-Type", "application/json"}, {"Retry-After", seconds}, {0}};
    struct rpc_fault fault = {0};
    rpc_fail(&fault, MCP_TOO_OFTEN,
             "too many requests of %s: nothing was done. Wait %s seconds, then send it again; "
             "run_show with wait_seconds waits for a run in one request",
             identity ? identity->principal : "this address", seconds);
    CLEANUP(mem_freep) char *text = rpc_fault_text(NULL, &fault);
    http_answer(request, 429, headers, text, strlen(text));
    rpc_fault_done(&fault);
    return true;
}

/* --- A stream: begun with the first message that comes before the answer --- */

static void begin_stream(struct passage *passage)
{
    static const struct http_header headers[] = {{"Content-Type", "text/event-stream"},
                                                 {"Cache-Control", "no-store"},
                                                 {"X-Accel-Buffering", "no"},
                                                 {0}};
    if (!passage->is_streaming)
        http_stream_begin(passage->request, 200, headers);
    passage->is_streaming = true;
}

static int write_event(struct passage *passage, const char *text)
{
    begin_stream(passage);
    CLEANUP(strbuf_done) struct strbuf event = {0};
    event_write(&event, text, strlen(text));
    return http_stream_write(passage->request, event.text, event.length, NULL);
}

static int send_message(void *argument, const char *text)
{
    return write_event(argument, text);
}

static unsigned int status_of(const struct passage *passage, const struct mcp_answer *answer)
{
    if (answer->fault == 0 || !passage->exchange.is_modern)
        return 200;
    if (answer->is_unknown)
        return 404;
    return answer->is_refused ? 400 : 200;
}

static void answer_initialize(struct passage *passage, const struct mcp_answer *answer)
{
    CLEANUP(mem_freep) char *id = mcp_session_text(passage->web->server, &passage->session);
    const struct http_header headers[] = {
        {"Content-Type", "application/json"}, {"Mcp-Session-Id", id}, {0}};
    http_answer(passage->request, 200, headers, answer->text, strlen(answer->text));
}

static void give_answer(struct passage *passage, const struct mcp_answer *answer)
{
    if (passage->is_streaming) {
        if (answer->text)
            (void)write_event(passage, answer->text);
        http_stream_end(passage->request);
    } else if (!answer->text) {
        http_answer(passage->request, 202, NULL, "", 0);
    } else if (answer->is_begun) {
        answer_initialize(passage, answer);
    } else {
        answer_text(passage->request, status_of(passage, answer), answer->text);
    }
}

/* --- Which client this is --- */

/*
 * A legacy client shows the session that it was given; one that shows none is taken as it is, with
 * nothing it can be asked. False: the session is none of ours, and was answered so.
 */
static bool find_session(struct passage *passage)
{
    const char *id = http_request_header(passage->request, "Mcp-Session-Id");
    const char *version = http_request_header(passage->request, "MCP-Protocol-Version");
    if (text_equal_or_null(passage->message.method, "initialize"))
        return true;
    if (id && !mcp_session_read(passage->web->server, id, &passage->session)) {
        refuse(passage, 404, "this session is not known: begin anew with initialize");
        return false;
    }
    passage->exchange.origin = id;
    if (id)
        return true;
    passage->session.is_begun = true;
    snprintf(passage->session.version, sizeof(passage->session.version), "%s",
             version ? version : "2025-03-26");
    return true;
}

static void note_gone(void *argument)
{
    struct passage *passage = argument;
    mcp_cancel_exchange(passage->web->server, &passage->exchange);
}

static void carry_out(struct passage *passage)
{
    struct mcp_answer answer;
    struct rpc_fault fault = {0};
    passage->exchange.is_modern = web_is_modern(passage->request, &passage->message);
    if (web_check_headers(passage->web->server, passage->request, &passage->message,
                          passage->exchange.is_modern, &fault) < 0) {
        answer_fault(passage, 400, &fault);
        return;
    }
    if (!passage->exchange.is_modern) {
        passage->exchange.session = &passage->session;
        if (!find_session(passage))
            return;
    }
    http_request_on_gone(passage->request, note_gone, passage);
    mcp_handle(passage->web->server, &passage->exchange, &passage->message, &answer);
    http_request_on_gone(passage->request, NULL, NULL);
    give_answer(passage, &answer);
    mcp_answer_done(&answer);
}

/* --- What is told without having been asked for --- */

/* A comment: what lies between us keeps the connection, and a token that was taken back is seen. */
static int keep_stream(void *argument)
{
    struct passage *passage = argument;
    struct web_identity now;
    const struct web_settings *settings = &passage->web->settings;
    if (!settings->authenticate(settings->argument, token_of(passage->request), &now))
        return -1;
    if (settings->release)
        settings->release(settings->argument, &now);
    begin_stream(passage);
    return http_stream_write(passage->request, ":\n\n", 3, NULL);
}

/* A legacy client that has a session asks with GET to be told what changes. */
static void tell_changes(struct passage *passage)
{
    CLEANUP(error_done) struct error err = {0};
    passage->exchange.session = &passage->session;
    if (!find_session(passage))
        return;
    http_request_on_gone(passage->request, note_gone, passage);
    int r = mcp_tell_changes(passage->web->server, &passage->exchange, &err);
    http_request_on_gone(passage->request, NULL, NULL);
    if (passage->is_streaming)
        http_stream_end(passage->request);
    else
        refuse(passage, 503, r < 0 ? error_message(&err) : "nothing can be told now");
    mcp_session_done(&passage->session);
}

static void take_message(struct passage *passage)
{
    struct rpc_fault fault = {0};
    struct http_request *request = passage->request;
    if (rpc_read(http_request_body(request), http_request_body_length(request), &passage->message,
                 &fault) < 0)
        answer_fault(passage, 400, &fault);
    else
        carry_out(passage);
    rpc_message_done(&passage->message);
    mcp_session_done(&passage->session);
}

static bool authenticate(struct passage *passage)
{
    const struct web_settings *settings = &passage->web->settings;
    return settings->authenticate(settings->argument, token_of(passage->request),
                                  &passage->identity);
}

/* Whether a GET is what a client of the legacy era listens with. */
static bool is_listening(const struct http_request *request)
{
    const char *version = http_request_header(request, "MCP-Protocol-Version");
    const char *accept = http_request_header(request, "Accept");
    return text_equal(http_request_method(request), "GET") &&
           http_request_header(request, "Mcp-Session-Id") &&
           !http_request_header(request, "Last-Event-ID") &&
           (!version || !text_equal(version, MCP_MODERN_VERSION)) && accept &&
           strstr(accept, "text/event-stream");
}

/* "https://HOST:PORT" as the client calls us, or what people do; the caller frees it. */
static char *base_of(const struct web *web, const struct http_request *request)
{
    if (web->settings.url)
        return string_copy(web->settings.url);
    return string_format("http%s://%s", http_request_is_tls(request) ? "s" : "",
                         http_request_header(request, "Host"));
}

/* Of a client that may come here. */
static void let_in(struct passage *passage, bool listens)
{
    struct web *web = passage->web;
    CLEANUP(mem_freep) char *base = base_of(web, passage->request);
    passage->exchange = (struct mcp_exchange){.principal = passage->identity.principal,
                                              .base = base,
                                              .caller = passage->identity.caller,
                                              .send = send_message,
                                              .keep = keep_stream,
                                              .argument = passage};
    if (is_too_often(passage, &passage->identity))
        ;
    else if (listens)
        tell_changes(passage);
    else
        take_message(passage);
    if (web->settings.release)
        web->settings.release(web->settings.argument, &passage->identity);
}

/* What has rules of its own for who may ask, and from where. */
static bool answer_other(const struct web *web, struct http_request *request)
{
    const struct web_settings *settings = &web->settings;
    return settings->answer_other && !web_check_host(request, settings->hosts) &&
           settings->answer_other(settings->argument, request);
}

static void handle(void *argument, struct http_request *request)
{
    static const struct http_header allow[] = {{"Allow", "POST"}, {0}};
    struct web *web = argument;
    struct passage passage = {.web = web, .request = request};
    const char *path = web->settings.path ? web->settings.path : "/mcp";
    if (answer_other(web, request))
        return;
    const char *why = web_check_origin(request, web->settings.hosts, web->settings.origins);
    bool listens = is_listening(request);
    if (why) {
        refuse(&passage, 403, why);
    } else if (!text_equal(http_request_path(request), path)) {
        refuse(&passage, 404, "there is nothing here but the MCP endpoint");
    } else if (!listens && !text_equal(http_request_method(request), "POST")) {
        http_answer(request, 405, allow, "", 0);
    } else if (!listens && (why = web_check_content(request)) != NULL) {
        refuse(&passage, text_starts_with(why, "Accept") ? 406 : 415, why);
    } else if (!authenticate(&passage)) {
        if (!is_too_often(&passage, NULL))
            ask_for_token(&passage);
    } else {
        let_in(&passage, listens);
    }
}

/* --- Its life --- */

int web_start(struct loop *loop, struct mcp_server *server, const struct web_settings *settings,
              struct web **ret_web, struct error *err)
{
    struct web *web = NEW(struct web);
    *web = (struct web){.loop = loop, .server = server, .settings = *settings};
    web->settings.http.handle = handle;
    web->settings.http.argument = web;
    int r = http_server_start(loop, &web->settings.http, &web->http, err);
    if (r < 0) {
        mem_free(web);
        return r;
    }
    *ret_web = web;
    return 0;
}

uint16_t web_port(const struct web *web)
{
    return http_server_port(web->http);
}

void web_stop(struct web *web)
{
    mcp_cancel_all(web->server);
    http_server_stop(web->http, world_monotonic_clock() + (int64_t)STOP_SECONDS * SECOND_US);
    mem_free(web);
}
