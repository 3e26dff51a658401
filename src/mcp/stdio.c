/* The wire of a client that started us: a message is a line (2026-07-28, basic/transports/stdio).
 */
#include "mcp/stdio.h"

#include "base/memory.h"
#include "base/text.h"
#include "mcp/rpc.h"
#include "net/channel.h"

/* A message has room for the largest document that Parley reads. */
enum { MAX_MESSAGE = 16 * 1024 * 1024, MAX_REQUESTS = 64 };

struct stdio {
    struct loop *loop;
    struct mcp_server *server;
    struct channel *channel;
    struct mcp_session session;
    const struct mcp_exchange *like;
    char **lines; /* owned: what waits to be written */
    size_t n_lines, capacity;
    bool is_writing, is_broken;
    size_t n_requests;
    struct gate changed; /* opened when a request ended, or a line was written */
};

/* A request that is carried out. */
struct request {
    struct stdio *stdio;
    struct rpc_message message;
    struct mcp_exchange exchange;
};

/* --- Writing: in the order of asking, by whoever finds nobody at it --- */

static void write_lines(struct stdio *stdio)
{
    stdio->is_writing = true;
    for (size_t i = 0; i < stdio->n_lines; i++) {
        CLEANUP(mem_freep) char *line = stdio->lines[i];
        if (!stdio->is_broken && channel_send(stdio->channel, line, strlen(line), -1, NULL) < 0)
            stdio->is_broken = true;
    }
    stdio->n_lines = 0;
    stdio->is_writing = false;
    gate_open(stdio->loop, &stdio->changed);
}

static int write_line(struct stdio *stdio, char *take_line)
{
    ARRAY_RESERVE(stdio->lines, stdio->n_lines, stdio->capacity);
    stdio->lines[stdio->n_lines++] = take_line;
    if (!stdio->is_writing)
        write_lines(stdio);
    return stdio->is_broken ? -1 : 0;
}

static int send_line(void *argument, const char *text)
{
    return write_line(argument, string_copy(text));
}

/* --- Requests --- */

static void carry_out(void *argument)
{
    struct request *request = argument;
    struct stdio *stdio = request->stdio;
    struct mcp_answer answer;
    mcp_handle(stdio->server, &request->exchange, &request->message, &answer);
    if (answer.text)
        write_line(stdio, take_ptr(answer.text));
    mcp_answer_done(&answer);
    rpc_message_done(&request->message);
    mem_free(request);
    stdio->n_requests--;
    gate_open(stdio->loop, &stdio->changed);
}

static void take_message(struct stdio *stdio, struct rpc_message *take_message)
{
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

static void refuse_line(struct stdio *stdio, const struct error *err)
{
    struct rpc_fault fault = {0};
    rpc_fail(&fault, RPC_INVALID_REQUEST, "%s", error_message(err));
    write_line(stdio, rpc_fault_text(NULL, &fault));
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
    write_line(stdio, rpc_fault_text(message.id, &fault));
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

int mcp_serve_stdio(struct mcp_server *server, struct loop *loop, const struct mcp_exchange *like,
                    int take_input, int take_output, struct error *err)
{
    struct stdio stdio = {.loop = loop, .server = server, .like = like};
    stdio.channel = channel_new_pair(loop, take_input, take_output, MAX_MESSAGE);
    int r = read_lines(&stdio, err);
    mcp_cancel_origin(server, "stdio");
    await_room(&stdio, 0);
    channel_free(stdio.channel);
    mem_free(stdio.lines);
    mcp_session_done(&stdio.session);
    return r;
}
