/* Tasks: requests that end before what they asked for does. */
#include "mcp-listening.h"

static int work(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    bool is_quick = value_get_bool(call->arguments, "quick", false);
    bool is_task = !is_quick && mcp_become_task(call);
    while (is_task && !call->is_cancelled)
        gate_wait(call->loop, &call->woken, -1, NULL);
    if (is_task)
        return error_set(err, ERROR_CANCELLED, "it was cancelled");
    mcp_add_text(result, "worked");
    return 0;
}

static int ask_two(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    struct value *one = NULL, *two = NULL;
    mcp_become_task(call);
    int first = mcp_ask(call, "one", "elicitation/create", "{\"message\":\"1?\"}", &one, err);
    int second = mcp_ask(call, "two", "elicitation/create", "{\"message\":\"2?\"}", &two, err);
    if (first || second)
        return first < 0 ? first : second < 0 ? second : MCP_ASKED;
    mcp_add_text(result, value_get_text(value_get(one, "content"), "name"));
    mcp_add_text(result, value_get_text(value_get(two, "content"), "name"));
    return 0;
}

static int ask_first(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    struct value *answer = NULL;
    int r = mcp_ask(call, "name", "elicitation/create", "{\"message\":\"Who?\"}", &answer, err);
    if (r)
        return r;
    mcp_become_task(call);
    mcp_add_text(result, value_get_text(value_get(answer, "content"), "name"));
    return 0;
}

static int fail(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    mcp_become_task(call);
    result->is_fault = value_get_bool(call->arguments, "fault", false);
    return error_set(err, ERROR_BUSY, "the tool is busy");
}

static const struct mcp_input work_inputs[] = {
    {.name = "quick", .kind = MCP_FLAG, .description = "Whether it is done at once."}, {0}};
static const struct mcp_input fail_inputs[] = {
    {.name = "fault", .kind = MCP_FLAG, .description = "Whether the request fails."}, {0}};
static const struct mcp_input no_inputs[] = {{0}};
#define MAY .tasking = MCP_MAY_BE_TASK
static const struct mcp_tool tools[] = {
    {.name = "work", .description = "Works.", .inputs = work_inputs, .call = work, MAY},
    {.name = "ask_two", .description = "Asks twice.", .inputs = no_inputs, .call = ask_two, MAY},
    {.name = "ask_first", .description = "Asks.", .inputs = no_inputs, .call = ask_first, MAY},
    {.name = "fail", .description = "Fails.", .inputs = fail_inputs, .call = fail, MAY},
    {.name = "only",
     .description = "Is a task.",
     .inputs = no_inputs,
     .call = fail,
     .tasking = MCP_ONLY_TASK},
};
static const struct mcp_offer offer = {.name = "test",
                                       .title = "Test",
                                       .version = "1",
                                       .tools = tools,
                                       .n_tools = ARRAY_LENGTH(tools)};

#define KNOWS "{\"elicitation\":{},\"extensions\":{\"io.modelcontextprotocol/tasks\":{}}}"

/* --- The client --- */

static char *text_of(const char *answer, const char *path)
{
    CLEANUP(value_unrefp) struct value *found = part(answer, path);
    CHECK(found && value_kind(found) == VALUE_STRING);
    return string_copy(value_text(found));
}

/* Calls a tool that becomes a task; the caller frees its id. */
static char *begin_task(struct scene *scene, const char *params)
{
    const char *answer = ask_modern(scene, "tools/call", params, KNOWS);
    check_part(answer, "result.resultType", "\"task\"");
    check_part(answer, "result.status", "\"working\"");
    check_part(answer, "result.task", "(nothing)");
    check_part(answer, "result.requestState", "(nothing)");
    check_part(answer, "result.inputRequests", "(nothing)");
    return text_of(answer, "result.taskId");
}

static const char *about(struct scene *scene, const char *method, const char *id, const char *more)
{
    CLEANUP(mem_freep) char *params = string_format("\"taskId\":\"%s\"%s", id, more);
    return ask_modern(scene, method, params, KNOWS);
}

static const char *look(struct scene *scene, const char *id)
{
    return about(scene, "tasks/get", id, "");
}

/* Looks until it works no longer. */
static const char *look_at_end(struct scene *scene, const char *id)
{
    for (;;) {
        CLEANUP(mem_freep) char *status = text_of(look(scene, id), "result.status");
        if (strcmp(status, "working") != 0)
            return scene->answer.text;
        loop_sleep(scene->loop, 1000);
    }
}

/* Runs what a client does on the loop, since tools wait there. */
struct play {
    struct scene scene;
    void (*act)(struct scene *scene);
};

static void perform(void *argument)
{
    struct play *play = argument;
    play->act(&play->scene);
    mcp_end_tasks(play->scene.server);
}

static void run(void (*act)(struct scene *scene))
{
    struct play play = {.act = act};
    scene_begin(&play.scene, &offer);
    play.scene.is_inside = true;
    loop_spawn(play.scene.loop, "play", perform, &play);
    loop_run(play.scene.loop);
    end(&play.scene);
}

/* --- --- */

static void cancel_work(struct scene *scene)
{
    CLEANUP(mem_freep) char *id = begin_task(scene, "\"name\":\"work\"");
    check_part(look(scene, id), "result.status", "\"working\"");
    check_part(scene->answer.text, "result.resultType", "\"complete\"");
    check_part(scene->answer.text, "result.ttlMs", "86400000");
    for (int i = 0; i < 2; i++) {
        check_part(about(scene, "tasks/cancel", id, ""), "result.resultType", "\"complete\"");
        check_part(scene->answer.text, "result.status", "(nothing)");
        check_part(look(scene, id), "result.status", "\"cancelled\"");
        check_part(scene->answer.text, "result.result", "(nothing)");
    }
}

TEST(a_task_works_until_it_is_cancelled_and_stays_to_be_seen)
{
    run(cancel_work);
}

static void answer_one_by_one(struct scene *scene)
{
    CLEANUP(mem_freep) char *id = begin_task(scene, "\"name\":\"ask_two\"");
    check_part(look(scene, id), "result.status", "\"input_required\"");
    check_part(scene->answer.text, "result.inputRequests.one.method", "\"elicitation/create\"");
    check_part(scene->answer.text, "result.inputRequests.two.params.message", "\"2?\"");
    about(scene, "tasks/update", id,
          ",\"inputResponses\":{\"one\":{\"content\":{\"name\":\"a\"}},\"other\":{},\"two\":7}");
    check_part(scene->answer.text, "result.resultType", "\"complete\"");
    check_part(look(scene, id), "result.status", "\"input_required\"");
    check_part(scene->answer.text, "result.inputRequests.one", "(nothing)");
    check_part(scene->answer.text, "result.inputRequests.two.params.message", "\"2?\"");
    about(scene, "tasks/update", id,
          ",\"inputResponses\":{\"two\":{\"content\":{\"name\":\"b\"}},\"one\":{}}");
    check_part(look_at_end(scene, id), "result.status", "\"completed\"");
    check_part(scene->answer.text, "result.result.content[0].text", "\"a\"");
    check_part(scene->answer.text, "result.result.content[1].text", "\"b\"");
}

TEST(what_a_task_asks_is_answered_one_by_one)
{
    run(answer_one_by_one);
}

static void ask_before(struct scene *scene)
{
    check_part(ask_modern(scene, "tools/call", "\"name\":\"ask_first\"", KNOWS),
               "result.resultType", "\"input_required\"");
    check_part(scene->answer.text, "result.taskId", "(nothing)");
    CLEANUP(mem_freep)
    char *id = begin_task(scene, "\"name\":\"ask_first\",\"inputResponses\":{\"name\":{"
                                 "\"content\":{\"name\":\"Ada\"}}}");
    check_part(look_at_end(scene, id), "result.result.content[0].text", "\"Ada\"");
}

TEST(what_is_asked_before_it_is_a_task_is_asked_of_the_request)
{
    run(ask_before);
}

static void end_badly(struct scene *scene)
{
    CLEANUP(mem_freep) char *tool = begin_task(scene, "\"name\":\"fail\"");
    CLEANUP(mem_freep)
    char *request = begin_task(scene, "\"name\":\"fail\",\"arguments\":{\"fault\":true}");
    check_part(look_at_end(scene, tool), "result.status", "\"completed\"");
    check_part(scene->answer.text, "result.result.isError", "true");
    check_part(look_at_end(scene, request), "result.status", "\"failed\"");
    check_part(scene->answer.text, "result.error.code", "-32603");
    check_part(scene->answer.text, "result.error.message", "\"the tool is busy\"");
    check_part(scene->answer.text, "result.statusMessage", "\"the tool is busy\"");
    check_part(scene->answer.text, "result.result", "(nothing)");
}

TEST(a_tool_that_fails_is_completed_and_a_request_that_fails_is_failed)
{
    run(end_badly);
}

static void be_another(struct scene *scene)
{
    CLEANUP(mem_freep) char *id = begin_task(scene, "\"name\":\"work\"");
    scene->exchange.principal = "user:b";
    for (int i = 0; i < 3; i++) {
        static const char *const methods[] = {"tasks/get", "tasks/update", "tasks/cancel"};
        check_part(about(scene, methods[i], id, ",\"inputResponses\":{}"), "error.code", "-32602");
        check_part(ask_modern(scene, methods[i], "\"taskId\":\"x\"", "{}"), "error.code", "-32021");
        check_part(scene->answer.text, "error.data.requiredCapabilities.extensions",
                   "{\"io.modelcontextprotocol/tasks\":{}}");
    }
    scene->exchange.principal = "user:a";
    check_part(look(scene, id), "result.status", "\"working\"");
}

TEST(a_task_is_nobody_elses)
{
    run(be_another);
}

static void know_no_tasks(struct scene *scene)
{
    check_part(ask_modern(scene, "tools/call", "\"name\":\"work\"", "{}"), "result.content[0].text",
               "\"worked\"");
    check_part(ask_modern(scene, "tools/call", "\"name\":\"only\"", "{}"), "error.code", "-32021");
    check_part(
        ask_modern(scene, "tools/call", "\"name\":\"work\",\"arguments\":{\"quick\":true}", KNOWS),
        "result.content[0].text", "\"worked\"");
    check_part(scene->answer.text, "result.resultType", "\"complete\"");
    check_part(ask_modern(scene, "server/discover", "", "{}"), "result.capabilities.extensions",
               "{\"io.modelcontextprotocol/tasks\":{}}");
}

TEST(who_knows_no_tasks_gets_none)
{
    run(know_no_tasks);
}

/* --- Being told of them --- */

static void listen_to(struct scene *scene, struct listening *listening, const char *ids,
                      const char *capabilities)
{
    CLEANUP(mem_freep)
    char *text = string_format(
        "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"subscriptions/listen\",\"params\":{"
        "\"notifications\":{\"taskIds\":[%s]},\"_meta\":{"
        "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
        "\"io.modelcontextprotocol/clientCapabilities\":%s}}}",
        ids, capabilities);
    begin_listening(scene, listening, text);
}

/* The line that it was sent last. */
static const char *newest(const struct listening *listening)
{
    const char *text = strbuf_text(&listening->sent), *line = text;
    for (const char *end; (end = strchr(line, '\n')) && end[1];)
        line = end + 1;
    return line;
}

/* Waits for the newest that was told to have this status. */
static void await_told(struct listening *listening, const char *status)
{
    for (;;) {
        CLEANUP(value_unrefp)
        struct value *told = part(newest(listening), "params.status");
        if (told && strcmp(value_text(told), status) == 0)
            break;
        loop_sleep(listening->scene->loop, 1000);
    }
    check_part(newest(listening), "method", "\"notifications/tasks\"");
    CLEANUP(value_unrefp) struct value *params = part(newest(listening), "params");
    CHECK(value_to_integer(value_get(value_get(params, "_meta"),
                                     "io.modelcontextprotocol/subscriptionId")) == 9);
}

static void hear_of_tasks(struct scene *scene)
{
    struct listening one;
    CLEANUP(mem_freep) char *asking = begin_task(scene, "\"name\":\"ask_two\"");
    CLEANUP(mem_freep)
    char *ids = string_format("\"%s\",\"x\",7,\"%s\"", asking, asking);
    listen_to(scene, &one, ids, KNOWS);
    await_told(&one, "input_required");
    check_part(newest(&one), "params.inputRequests.one.method", "\"elicitation/create\"");
    about(scene, "tasks/update", asking,
          ",\"inputResponses\":{\"one\":{\"content\":{\"name\":\"a\"}},"
          "\"two\":{\"content\":{\"name\":\"b\"}}}");
    await_told(&one, "completed");
    check_part(newest(&one), "params.result.content[1].text", "\"b\"");
    end_listening(&one);
}

TEST(who_listens_to_a_task_is_told_what_a_look_would_show)
{
    run(hear_of_tasks);
}

static void hear_of_others(struct scene *scene)
{
    struct listening one;
    CLEANUP(mem_freep) char *id = begin_task(scene, "\"name\":\"work\"");
    CLEANUP(mem_freep) char *ids = string_format("\"%s\"", id);
    scene->exchange.principal = "user:b";
    listen_to(scene, &one, ids, KNOWS);
    check_part(newest(&one), "params.notifications", "{\"taskIds\":[]}");
    end_listening(&one);
    scene->exchange.principal = "user:a";
    listen_to(scene, &one, ids, "{}");
    check_part(one.answer.text, "error.code", "-32021");
    check_part(one.answer.text, "error.data.requiredCapabilities.extensions",
               "{\"io.modelcontextprotocol/tasks\":{}}");
    end_listening(&one);
}

TEST(nobody_hears_of_anothers_task_nor_who_does_not_say_that_it_knows_tasks)
{
    run(hear_of_others);
}

/* --- --- */

static void begin_many(struct scene *scene)
{
    for (int i = 0; i < 256; i++)
        mem_free(begin_task(scene, "\"name\":\"work\""));
    check_part(ask_modern(scene, "tools/call", "\"name\":\"work\"", KNOWS),
               "result.content[0].text", "\"worked\"");
}

TEST(tasks_are_bounded)
{
    run(begin_many);
}
