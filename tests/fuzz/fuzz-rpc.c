/*
 * Lines of any bytes to a server of the Model Context Protocol, as one client of either era: what
 * asks for an answer gets one, nothing else does, every answer is a JSON-RPC message, and nothing
 * is under way once the client is gone.
 */
#include "base/memory.h"
#include "base/text.h"
#include "fuzz/fuzz.h"
#include "mcp/server.h"
#include "model/json.h"

#include <string.h>

/* --- A small offer: a tool with every kind of argument that asks its client and keeps a state ---
 */

static int greet(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    struct value *answer = NULL;
    struct value_builder state = {0};
    mcp_progress(call, 1, 2, "half");
    mcp_log(call, "info", "greets");
    if (!mcp_state(call)) {
        value_builder_set_string(&state, "round", "first");
        mcp_keep_state(call, value_builder_map(&state));
    }
    int r = mcp_ask(call, "name", "elicitation/create", "{\"message\":\"Who?\"}", &answer, err);
    if (r == 0)
        mcp_add_text(result, "hello");
    return r;
}

static int read_thing(struct mcp_call *call, const char *uri, struct mcp_result *result,
                      struct error *err)
{
    (void)call;
    if (strstr(uri, "none"))
        return error_set(err, ERROR_NOT_FOUND, "there is none");
    mcp_add_resource_text(result, uri, "text/plain", uri);
    return 0;
}

static int prompt(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    (void)call, (void)err;
    mcp_add_prompt_text(result, "do it");
    return 0;
}

static void complete(struct mcp_call *call, const char *name, const char *argument,
                     const char *typed, struct value_builder *values)
{
    (void)call, (void)name, (void)argument;
    value_builder_append(values, value_string(typed));
}

static const struct mcp_input inputs[] = {
    {.name = "text", .is_required = true, .description = "A text.", .choices = "a|b"},
    {.name = "number", .kind = MCP_INTEGER, .lowest = 1, .highest = 3, .description = "A number."},
    {.name = "flag", .kind = MCP_FLAG, .description = "A flag."},
    {.name = "texts", .kind = MCP_TEXTS, .description = "Texts."},
    {.name = "settings", .kind = MCP_SETTINGS, .description = "Settings."},
    {0}};
static const struct mcp_tool tools[] = {
    {.name = "greet", .title = "Greet", .description = "Greets.", .inputs = inputs, .call = greet}};
static const struct mcp_resource resources[] = {
    {"t://all", "all", "All", "All.", "text/plain", false, read_thing},
    {"t://one/{name}", "one", "One", "One.", "text/plain", true, read_thing}};
static const struct mcp_argument arguments[] = {{"what", "What.", true}, {0}};
static const struct mcp_prompt prompts[] = {{"do", "Do", "Does.", arguments, prompt}};
static const struct mcp_offer offer = {.name = "test",
                                       .title = "Test",
                                       .version = "1",
                                       .tools = tools,
                                       .n_tools = 1,
                                       .resources = resources,
                                       .n_resources = 2,
                                       .prompts = prompts,
                                       .n_prompts = 1,
                                       .complete = complete};

/* --- One client --- */

struct scene {
    struct loop *loop;
    struct mcp_server *server;
    struct mcp_session session;
    const char *text;
    size_t size;
};

struct line {
    struct scene *scene;
    struct rpc_message message;
    struct mcp_exchange exchange;
};

/* Reads back what the server writes; what it asks is answered at once. */
static int take_sent(void *argument, const char *text)
{
    struct scene *scene = argument;
    struct rpc_message message;
    struct rpc_fault fault = {0};
    MUST(rpc_read(text, strlen(text), &message, &fault) == 0 && message.kind != RPC_RESPONSE);
    if (message.kind == RPC_REQUEST) {
        struct rpc_message given;
        struct mcp_answer answer;
        struct mcp_exchange exchange = {.session = &scene->session, .principal = "user:a"};
        CLEANUP(mem_freep) char *reply = rpc_result_text(message.id, "\"action\":\"accept\"");
        MUST(rpc_read(reply, strlen(reply), &given, &fault) == 0);
        mcp_handle(scene->server, &exchange, &given, &answer);
        MUST(!answer.text);
        rpc_message_done(&given);
    }
    rpc_message_done(&message);
    return 0;
}

static void check_answer(const struct rpc_message *asked, const char *text)
{
    struct rpc_message answer;
    struct rpc_fault fault = {0};
    MUST((text != NULL) == (asked->kind == RPC_REQUEST));
    if (!text)
        return;
    MUST(rpc_read(text, strlen(text), &answer, &fault) == 0 && answer.kind == RPC_RESPONSE);
    MUST(value_equal(answer.id, asked->id) && !strchr(text, '\n'));
    rpc_message_done(&answer);
}

static void carry_out(void *argument)
{
    struct line *line = argument;
    struct mcp_answer answer;
    mcp_handle(line->scene->server, &line->exchange, &line->message, &answer);
    check_answer(&line->message, answer.text);
    mcp_answer_done(&answer);
    rpc_message_done(&line->message);
    mem_free(line);
}

static void refuse(struct rpc_message *message, struct rpc_fault *fault)
{
    CLEANUP(mem_freep) char *text = rpc_fault_text(message->id, fault);
    CLEANUP(value_unrefp) struct value *value = NULL;
    MUST(fault->code == RPC_PARSE_ERROR || fault->code == RPC_INVALID_REQUEST);
    MUST(json_read_foreign(text, strlen(text), 64, &value, NULL) == 0 && !strchr(text, '\n'));
    rpc_fault_done(fault);
    rpc_message_done(message);
}

static void take_line(struct scene *scene, const char *text, size_t size)
{
    struct line *line = NEW(struct line);
    struct rpc_fault fault = {0};
    line->scene = scene;
    line->exchange = (struct mcp_exchange){.session = &scene->session,
                                           .principal = "user:a",
                                           .origin = "test",
                                           .send = take_sent,
                                           .argument = scene};
    if (rpc_read(text, size, &line->message, &fault) < 0) {
        refuse(&line->message, &fault);
        mem_free(line);
        return;
    }
    loop_spawn(scene->loop, "line", carry_out, line);
}

static void leave(void *argument)
{
    struct scene *scene = argument;
    mcp_cancel_origin(scene->server, "test");
}

static void take_lines(void *argument)
{
    struct scene *scene = argument;
    enum { MOST_LINES = 20 };
    const char *at = scene->text, *end = at + scene->size;
    for (int i = 0; i < MOST_LINES && at < end; i++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((stop ? stop : end) - at);
        /* As a channel gives it: with a zero behind. */
        CLEANUP(mem_freep) char *line = mem_zeroed(1, size + 1);
        memcpy(line, at, size);
        take_line(scene, line, size);
        at += size + 1;
    }
    loop_spawn(scene->loop, "leave", leave, scene);
}

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    static const unsigned char key[32] = {1};
    struct scene scene = {.loop = loop_new(), .text = (const char *)text, .size = size};
    scene.server = mcp_server_new(scene.loop, &offer, key);
    loop_spawn(scene.loop, "lines", take_lines, &scene);
    loop_run(scene.loop);
    MUST(mcp_count_calls(scene.server) == 0);
    mcp_session_done(&scene.session);
    mcp_server_free(scene.server);
    loop_free(scene.loop);
    coroutine_pool_done();
    return 0;
}
