/* A client that listens beside the one of mcp-scene.h. */
#pragma once

#include "mcp-scene.h"

/* A client that has said something, and what it was sent. */
struct listening {
    struct scene *scene;
    struct mcp_exchange exchange;
    struct rpc_message message;
    struct mcp_answer answer;
    struct strbuf sent;
    bool is_legacy, is_ended;
    int n_kept, most_kept; /* how often it was asked whether it is to be told still */
    int r;
};

static inline int take_line(void *argument, const char *text)
{
    struct listening *listening = argument;
    strbuf_addf(&listening->sent, "%s\n", text);
    return 0;
}

static inline void listen_main(void *argument)
{
    struct listening *listening = argument;
    struct mcp_server *server = listening->scene->server;
    if (listening->is_legacy)
        listening->r = mcp_tell_changes(server, &listening->exchange, NULL);
    else
        mcp_handle(server, &listening->exchange, &listening->message, &listening->answer);
    listening->is_ended = true;
}

/* Begins to listen; text is the request, NULL for a legacy client. */
static inline void begin_listening(struct scene *scene, struct listening *listening,
                                   const char *text)
{
    struct rpc_fault fault = {0};
    *listening =
        (struct listening){.scene = scene, .is_legacy = !text, .exchange = scene->exchange};
    listening->exchange.send = take_line;
    listening->exchange.argument = listening;
    if (text) {
        listening->exchange.is_modern = true;
        CHECK(rpc_read(text, strlen(text), &listening->message, &fault) == 0);
    }
    loop_spawn(scene->loop, "listen", listen_main, listening);
    loop_sleep(scene->loop, 1000);
}

static inline void end_listening(struct listening *listening)
{
    struct scene *scene = listening->scene;
    mcp_cancel_exchange(scene->server, &listening->exchange);
    while (!listening->is_ended)
        loop_sleep(scene->loop, 1000);
    mcp_answer_done(&listening->answer);
    rpc_message_done(&listening->message);
    strbuf_done(&listening->sent);
}
