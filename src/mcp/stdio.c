/* The wire of a client that started us: a message is a line (2026-07-28, basic/transports/stdio).
 */
#include "mcp/stdio.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "mcp/rpc.h"
#include "net/channel.h"

/* A message has room for the largest document that Parley reads. */
enum { MAX_MESSAGE = 16 * 1024 * 1024, MAX_REQUESTS = 64, CANCEL_AGAIN_US = 100 * 1000 };

struct stdio {
    struct loop *loop;
    struct mcp_server *server;
    struct channel *channel;
    struct mcp_session session;
    const struct mcp_exchange *like;
    struct strbuf lines; /* what waits to be written */
    bool is_writing, is_broken, is_telling;
    size_t n_requests;
    struct gate changed; /* opened when a request ended, or a line was written */
};

/* A request that is carried out. */
struct request {
    struct stdio *stdio;
    struct rpc_message message;
    struct mcp_exchange exchange;
};

/* --- Writing: in the order of asking --- */

/* Whatever comes while a write is under way goes out with the next one, together. */
static void write_lines(void *argument)
{
    struct stdio *stdio = argument;
    while (stdio->lines.length > 0 && !stdio->is_broken) {
        CLEANUP(strbuf_done) struct strbuf lines = stdio->lines;
        stdio->lines = (struct strbuf){0};
        if (channel_send_lines(stdio->channel, strbuf_text(&lines), lines.length - 1, -1, NULL) < 0)
            stdio->is_broken = true;
    }
    stdio->is_writing = false;
    gate_open(stdio->loop, &stdio->changed);
}

/* Where several requests are under way, those that came together also answer together. */
static int write_line(struct stdio *stdio, const char *line)
{
    if (stdio->is_broken)
        return -1;
    strbuf_add(&stdio->lines, line);
    strbuf_add_char(&stdio->lines, '\n');
    bool was_writing = stdio->is_writing;
    stdio->is_writing = true;
    if (!was_writing && stdio->n_requests > 1)
        loop_spawn(stdio->loop, "write", write_lines, stdio);
    else if (!was_writing)
        write_lines(stdio);
    return stdio->is_broken ? -1 : 0;
}

static int send_line(void *argument, const char *text)
{
    return write_line(argument, text);
}

/* --- Requests --- */

static void carry_out(void *argument)
{
    struct request *request = argument;
    struct stdio *stdio = request->stdio;
    struct mcp_answer answer;
    mcp_handle(stdio->server, &request->exchange, &request->message, &answer);
    if (answer.text)
        write_line(stdio, answer.text);
    mcp_answer_done(&answer);
    rpc_message_done(&request->message);
    mem_free(request);
    stdio->n_requests--;
    gate_open(stdio->loop, &stdio->changed);
}

/* --- What a legacy client is told by itself, from the time on when it is ready for it --- */

static void tell_changes(void *argument)
{
    struct stdio *stdio = argument;
    struct mcp_exchange exchange = *stdio->like;
    exchange.session = &stdio->session;
    exchange.origin = "stdio";
    exchange.send = send_line;
    exchange.argument = stdio;
    (void)mcp_tell_changes(stdio->server, &exchange, NULL);
    stdio->is_telling = false;
    gate_open(stdio->loop, &stdio->changed);
}

static void begin_telling(struct stdio *stdio, const struct rpc_message *message)
{
    if (message->kind != RPC_NOTIFICATION ||
        !text_equal(message->method, "notifications/initialized") || stdio->is_telling ||
        !stdio->session.is_begun)
        return;
    stdio->is_telling = true;
    loop_spawn(stdio->loop, "tell changes", tell_changes, stdio);
}

static void take_message(struct stdio *stdio, struct rpc_message *take_message)
{
    begin_telling(stdio, take_message);
    struct request *request = NEW(struct request);
    request->stdio = stdio;
    request->message = *take_message;
    request->exchange = *stdio->like;
    request->exchange.session = &stdio->session;
    request->exchange.origin = "stdio";
    request->exchange.send = send_line;
    request->exchange.argument = stdio;
    stdio->n_requests++;
    /* A session is begun before what comes behind that is looked at. */
    if (take_message->kind != RPC_REQUEST || text_equal(take_message->method, "initialize"))
        carry_out(request);
    else
        loop_spawn(stdio->loop, "request", carry_out, request);
}

static void write_fault(struct stdio *stdio, const struct value *id, const struct rpc_fault *fault)
{
    CLEANUP(mem_freep) char *text = rpc_fault_text(id, fault);
    write_line(stdio, text);
}

static void refuse_line(struct stdio *stdio, const struct error *err)
{
    struct rpc_fault fault = {0};
    rpc_fail(&fault, RPC_INVALID_REQUEST, "%s", error_message(err));
    write_fault(stdio, NULL, &fault);
    rpc_fault_done(&fault);
}

static void take_line(struct stdio *stdio, const char *line, size_t length)
{
    struct rpc_message message;
    struct rpc_fault fault = {0};
    if (strspn(line, "\r\t ") == length)
        return;
    if (rpc_read(line, length, &message, &fault) == 0) {
        take_message(stdio, &message);
        return;
    }
    write_fault(stdio, message.id, &fault);
    rpc_message_done(&message);
    rpc_fault_done(&fault);
}

static void await_room(struct stdio *stdio, size_t most)
{
    while (stdio->n_requests > most || stdio->is_writing)
        gate_wait(stdio->loop, &stdio->changed, -1, NULL);
}

static int read_lines(struct stdio *stdio, struct error *err)
{
    for (;;) {
        CLEANUP(mem_freep) char *line = NULL;
        size_t length;
        int r = channel_receive(stdio->channel, -1, &line, &length, err);
        if (r == -ERROR_LIMIT)
            refuse_line(stdio, err);
        if (r < 0 || !line || stdio->is_broken)
            return r;
        take_line(stdio, line, length);
        await_room(stdio, MAX_REQUESTS - 1);
    }
}

/* Nobody waits any more. What has not begun yet can only be cancelled once it has. */
static void end_all(struct stdio *stdio)
{
    mcp_cancel_origin(stdio->server, "stdio");
    while (stdio->n_requests > 0 || stdio->is_writing || stdio->is_telling) {
        int64_t again = world_monotonic_clock() + CANCEL_AGAIN_US;
        gate_wait(stdio->loop, &stdio->changed, again, NULL);
        mcp_cancel_origin(stdio->server, "stdio");
    }
}

int mcp_serve_stdio(struct mcp_server *server, struct loop *loop, const struct mcp_exchange *like,
                    int take_input, int take_output, struct error *err)
{
    struct stdio stdio = {.loop = loop, .server = server, .like = like};
    stdio.channel = channel_new_pair(loop, take_input, take_output, MAX_MESSAGE);
    int r = read_lines(&stdio, err);
    end_all(&stdio);
    channel_free(stdio.channel);
    strbuf_done(&stdio.lines);
    mcp_session_done(&stdio.session);
    return r;
}
