/* What the tests of the protocol share: a server on a loop, one message after the other. */
#pragma once

#include "mcp/server.h"

#include "base/memory.h"
#include "harness.h"
#include "model/json.h"

#include <sodium.h>

struct scene {
    struct loop *loop;
    struct mcp_server *server;
    struct mcp_session session;
    struct mcp_exchange exchange;
    const char *text;
    struct mcp_answer answer;
    struct strbuf sent;
    bool answers; /* what it is asked, as a legacy client does */
    int n_answers;
    bool is_inside; /* whoever asks is a coroutine on the loop */
};

static inline int take_sent(void *argument, const char *text)
{
    struct scene *scene = argument;
    struct rpc_message message, response;
    struct rpc_fault fault = {0};
    char answer[256];
    strbuf_addf(&scene->sent, "%s\n", text);
    if (!scene->answers)
        return 0;
    CHECK(rpc_read(text, strlen(text), &message, &fault) == 0 && message.kind == RPC_REQUEST);
    snprintf(answer, sizeof(answer),
             "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"action\":\"accept\",\"content\":{"
             "\"name\":\"answer %d\"}}}",
             value_text(message.id), ++scene->n_answers);
    CHECK(rpc_read(answer, strlen(answer), &response, &fault) == 0);
    struct mcp_answer none;
    mcp_handle(scene->server, &scene->exchange, &response, &none);
    CHECK(!none.text);
    rpc_message_done(&response);
    rpc_message_done(&message);
    return 0;
}

static inline void handle(void *argument)
{
    struct scene *scene = argument;
    struct rpc_message message;
    struct rpc_fault fault = {0};
    if (rpc_read(scene->text, strlen(scene->text), &message, &fault) == 0)
        mcp_handle(scene->server, &scene->exchange, &message, &scene->answer);
    else
        scene->answer.text = rpc_fault_text(message.id, &fault);
    rpc_message_done(&message);
    rpc_fault_done(&fault);
}

static inline void scene_begin(struct scene *scene, const struct mcp_offer *offer)
{
    *scene = (struct scene){.loop = loop_new()};
    scene->server = mcp_server_new(scene->loop, offer, NULL);
    scene->exchange = (struct mcp_exchange){.session = &scene->session,
                                            .principal = "user:a",
                                            .origin = "test",
                                            .send = take_sent,
                                            .argument = scene};
}

static inline void end(struct scene *scene)
{
    mcp_answer_done(&scene->answer);
    mcp_session_done(&scene->session);
    mcp_server_free(scene->server);
    strbuf_done(&scene->sent);
    loop_free(scene->loop);
    coroutine_pool_done();
}

/* What is answered to a text; borrowed until the next. */
static inline const char *ask(struct scene *scene, const char *text)
{
    mcp_answer_done(&scene->answer);
    scene->text = text;
    if (scene->is_inside) {
        handle(scene);
    } else {
        loop_spawn(scene->loop, "handle", handle, scene);
        loop_run(scene->loop);
    }
    return scene->answer.text;
}

/* A modern request: members of params beside _meta, and capabilities. */
static inline const char *ask_modern(struct scene *scene, const char *method, const char *params,
                                     const char *capabilities)
{
    static char text[8192];
    snprintf(text, sizeof(text),
             "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"%s\",\"params\":{%s%s\"_meta\":{"
             "\"progressToken\":7,\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
             "\"io.modelcontextprotocol/clientCapabilities\":%s}}}",
             method, params, *params ? "," : "", capabilities);
    return ask(scene, text);
}

static inline struct value *part(const char *text, const char *path)
{
    CLEANUP(value_unrefp) struct value *value = NULL;
    CHECK(text && json_read_foreign(text, strlen(text), 64, &value, NULL) == 0);
    struct value *found = value_at_path(value, path);
    return found ? value_ref(found) : NULL;
}

static inline void check_part(const char *text, const char *path, const char *want)
{
    CLEANUP(value_unrefp) struct value *found = part(text, path);
    CLEANUP(mem_freep) char *got = found ? json_text(found) : string_copy("(nothing)");
    CHECK_TEXT(got, want);
}

static __attribute__((constructor)) void start_sodium(void)
{
    (void)!sodium_init();
}
