/*
 * What a client keeps for a server of the Model Context Protocol and brings back: only what the
 * server sealed opens, and any one byte of it changed does not; what is in a seal of its own is
 * read as a session or as the state of a request, or refused, whatever it is.
 */
#include "base/memory.h"
#include "base/text.h"
#include "fuzz/fuzz.h"
#include "mcp/internal.h"
#include "model/json.h"

#include <string.h>

static int never(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    (void)call, (void)err;
    mcp_add_text(result, "called");
    return 0;
}

static const struct mcp_input no_inputs[] = {{0}};
static const struct mcp_tool tools[] = {
    {.name = "t", .title = "T", .description = "T.", .inputs = no_inputs, .call = never}};
static const struct mcp_offer offer = {
    .name = "test", .title = "Test", .version = "1", .tools = tools, .n_tools = 1};

enum { MOST_SEALED = 65536 };

struct scene {
    struct mcp_server *server;
    const char *state;
};

/* A request with that state: there is an answer, and a state that is none is refused. */
static void ask(void *argument)
{
    struct scene *scene = argument;
    struct strbuf text = {0};
    struct rpc_message message;
    struct rpc_fault fault = {0};
    struct mcp_answer answer;
    struct mcp_exchange exchange = {.principal = "user:a"};
    strbuf_add(&text,
               "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":"
               "\"t\",\"_meta\":{\"" META_VERSION "\":\"" MCP_MODERN_VERSION
               "\",\"" META_CAPABILITIES "\":{}},\"requestState\":");
    json_write_string(&text, scene->state, strlen(scene->state));
    strbuf_add(&text, "}}");
    if (rpc_read(strbuf_text(&text), text.length, &message, &fault) == 0) {
        mcp_handle(scene->server, &exchange, &message, &answer);
        /* Nobody but the server makes one for this request, and none was made. */
        MUST(answer.text && answer.fault == RPC_INVALID_PARAMS);
        mcp_answer_done(&answer);
    }
    rpc_message_done(&message);
    rpc_fault_done(&fault);
    strbuf_done(&text);
}

static void ask_with(struct loop *loop, struct mcp_server *server, const char *state)
{
    struct scene scene = {server, state};
    loop_spawn(loop, "ask", ask, &scene);
    loop_run(loop);
}

static void check_session(const struct mcp_server *server, const char *sealed)
{
    struct mcp_session session = {0};
    if (!mcp_session_read(server, sealed, &session))
        return;
    CLEANUP(mem_freep) char *again = mcp_session_text(server, &session);
    struct mcp_session other = {0};
    MUST(mcp_session_read(server, again, &other));
    MUST(text_equal(session.version, other.version) && text_equal(session.client, other.client) &&
         session.can_elicit == other.can_elicit);
    mcp_session_done(&session);
    mcp_session_done(&other);
}

/* One byte of a seal is another: it opens no more. */
static void check_changed(const struct mcp_server *server, char *sealed, uint8_t where,
                          uint8_t what)
{
    size_t at = where * strlen(sealed) / 256;
    char before = sealed[at], other = (char)what;
    if (other == before || !other)
        other = (char)(before == 'A' ? 'B' : 'A');
    sealed[at] = other;
    CLEANUP(mem_freep) char *text = mcp_unseal(server, sealed);
    MUST(!text);
    sealed[at] = before;
}

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    static const unsigned char key[32] = {1};
    if (size < 2)
        return 0;
    CLEANUP(mem_freep) char *plain = string_copy_n((const char *)text + 2, size - 2);
    struct loop *loop = loop_new();
    struct mcp_server *server = mcp_server_new(loop, &offer, key);
    CLEANUP(mem_freep) char *forged = mcp_unseal(server, plain);
    MUST(!forged);
    CLEANUP(mem_freep) char *sealed = mcp_seal(server, plain);
    CLEANUP(mem_freep) char *opened = mcp_unseal(server, sealed);
    /* What is too long to be brought back is not opened. */
    MUST(opened ? text_equal(opened, plain) : strlen(sealed) > MOST_SEALED);
    check_changed(server, sealed, text[0], text[1]);
    check_session(server, plain);
    check_session(server, sealed);
    ask_with(loop, server, plain);
    ask_with(loop, server, sealed);
    mcp_server_free(server);
    loop_free(loop);
    coroutine_pool_done();
    return 0;
}
