/* The protocol without a wire: messages, both eras, what clients keep for us. */
#include "mcp-scene.h"

/* --- A server with one tool, one prompt and one resource --- */

static int say(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    const char *text = value_get_text(call->arguments, "text");
    if (strcmp(text, "fail") == 0)
        return error_set(err, ERROR_BUSY, "the tool is busy");
    mcp_progress(call, 0, 2, "none");
    mcp_progress(call, 1, 2, "half");
    mcp_progress(call, 1, 2, "again");
    mcp_add_text(result, text);
    return 0;
}

static int greet(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    struct value *answer = NULL;
    struct value_builder state = {0};
    const struct value *kept = mcp_state(call);
    value_builder_set_string(&state, "round", kept ? "second" : "first");
    mcp_keep_state(call, value_builder_map(&state));
    int r = mcp_ask(call, "name", "elicitation/create", "{\"message\":\"Who?\"}", &answer, err);
    if (r == 0)
        mcp_add_text(result, value_get_text(value_get(answer, "content"), "name"));
    return r;
}

static int ask_two(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    struct value *one = NULL, *two = NULL;
    int first = mcp_ask(call, "one", "elicitation/create", "{\"message\":\"1?\"}", &one, err);
    int second = mcp_ask(call, "two", "elicitation/create", "{\"message\":\"2?\"}", &two, err);
    if (first || second)
        return first < 0 ? first : second < 0 ? second : MCP_ASKED;
    mcp_add_text(result, value_get_text(value_get(one, "content"), "name"));
    mcp_add_text(result, value_get_text(value_get(two, "content"), "name"));
    return 0;
}

static int read_bytes(struct mcp_call *call, const char *uri, struct mcp_result *result,
                      struct error *err)
{
    (void)call, (void)err;
    mcp_add_resource_bytes(result, uri, "image/png", "\0\xff\n", 3);
    return 0;
}

static const struct mcp_input say_inputs[] = {
    {.name = "text", .is_required = true, .description = "What to say."},
    {.name = "times", .kind = MCP_INTEGER, .lowest = 1, .highest = 3, .description = "How often."},
    {.name = "tone", .choices = "low|high", .description = "How."},
    {0}};
static const struct mcp_input no_inputs[] = {{0}};
static const struct mcp_tool tools[] = {
    {.name = "say", .title = "Say", .description = "Says it.", .inputs = say_inputs, .call = say},
    {.name = "greet",
     .title = "Greet",
     .description = "Greets.",
     .inputs = no_inputs,
     .call = greet,
     .needs = "elicitation"},
    {.name = "ask_two",
     .title = "Ask two",
     .description = "Asks for two things.",
     .inputs = no_inputs,
     .call = ask_two},
};
static const struct mcp_resource resources[] = {
    {"test://bytes", "bytes", "Bytes", "No text.", "image/png", false, read_bytes}};
static const struct mcp_offer offer = {.name = "test",
                                       .title = "Test",
                                       .version = "1",
                                       .tools = tools,
                                       .n_tools = 3,
                                       .resources = resources,
                                       .n_resources = 1};

static void begin(struct scene *scene)
{
    scene_begin(scene, &offer);
}

/* --- JSON-RPC --- */

TEST(what_is_no_message_is_told_so_with_its_number)
{
    struct scene scene;
    begin(&scene);
    check_part(ask(&scene, "{"), "error.code", "-32700");
    check_part(ask(&scene, "[]"), "error.code", "-32600");
    check_part(ask(&scene, "{\"id\":1,\"method\":\"ping\"}"), "error.code", "-32600");
    check_part(ask(&scene, "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}"), "error.code",
               "-32600");
    check_part(ask(&scene, "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}"), "error.code",
               "-32600");
    check_part(ask(&scene, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\",\"params\":[]}"),
               "error.code", "-32600");
    check_part(scene.answer.text, "id", "3");
    check_part(ask(&scene, "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{},\"error\":{}}"),
               "error.code", "-32600");
    end(&scene);
}

TEST(a_secret_cannot_be_handed_in)
{
    struct rpc_message message;
    struct rpc_fault fault = {0};
    const char *text =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"a\":{\"$secret\":\"x\"}}}";
    CHECK(rpc_read(text, strlen(text), &message, &fault) == 0);
    CHECK(!value_has_secret(message.params));
    CHECK_TEXT(value_get_text(value_get(message.params, "a"), "$secret"), "x");
    rpc_message_done(&message);
}

/* --- The modern era --- */

TEST(a_modern_request_says_all_about_itself)
{
    struct scene scene;
    begin(&scene);
    scene.exchange.is_modern = true;
    check_part(ask(&scene, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}"),
               "error.code", "-32602");
    const char *tools_list = ask_modern(&scene, "tools/list", "", "{}");
    check_part(tools_list, "result.resultType", "\"complete\"");
    check_part(tools_list, "result.cacheScope", "\"public\"");
    check_part(tools_list, "result.tools[0].name", "\"say\"");
    check_part(
        tools_list, "result.tools[0].annotations",
        "{\"destructiveHint\":false,\"idempotentHint\":false,\"openWorldHint\":false,\"readOnlyHint\":false}");
    check_part(tools_list, "result.tools[0].inputSchema.required", "[\"text\"]");
    check_part(tools_list, "result.tools[0].inputSchema.properties.tone.enum",
               "[\"low\",\"high\"]");
    for (size_t i = 0; i < 5; i++) {
        static const char *const removed[] = {"initialize", "ping", "logging/setLevel",
                                              "resources/subscribe", "no/such"};
        check_part(ask_modern(&scene, removed[i], "", "{}"), "error.code", "-32601");
        CHECK(scene.answer.is_unknown);
    }
    end(&scene);
}

TEST(a_version_that_is_not_spoken_is_refused_with_those_that_are)
{
    struct scene scene;
    begin(&scene);
    const char *text = ask(
        &scene,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{"
        "\"io.modelcontextprotocol/protocolVersion\":\"v999\",\"io.modelcontextprotocol/clientCapabilities\":{}}}}");
    check_part(text, "error.code", "-32022");
    check_part(text, "error.data.requested", "\"v999\"");
    check_part(text, "error.data.supported[0]", "\"2026-07-28\"");
    end(&scene);
}

TEST(arguments_that_do_not_fit_are_all_named_in_the_first_text)
{
    struct scene scene;
    begin(&scene);
    const char *text =
        ask_modern(&scene, "tools/call",
                   "\"name\":\"say\",\"arguments\":{\"times\":9,\"tone\":\"x\",\"more\":1}", "{}");
    check_part(text, "result.isError", "true");
    CHECK(strstr(text, "text: is missing"));
    CHECK(strstr(text, "times: must be from 1 to 3"));
    CHECK(strstr(text, "tone: must be one of low|high"));
    CHECK(strstr(text, "more: is none of its arguments"));
    check_part(ask_modern(&scene, "tools/call", "\"name\":\"nope\"", "{}"), "error.code", "-32602");
    end(&scene);
}

TEST(a_failure_says_what_and_what_to_do_and_has_no_structured_content)
{
    struct scene scene;
    begin(&scene);
    const char *text = ask_modern(&scene, "tools/call",
                                  "\"name\":\"say\",\"arguments\":{\"text\":\"fail\"}", "{}");
    check_part(text, "result.isError", "true");
    check_part(text, "result.structuredContent", "(nothing)");
    CHECK(strstr(text, "the tool is busy\\nWhat to do: "));
    end(&scene);
}

TEST(progress_is_told_before_the_answer_to_who_wants_it)
{
    struct scene scene;
    begin(&scene);
    ask_modern(&scene, "tools/call", "\"name\":\"say\",\"arguments\":{\"text\":\"hello\"}", "{}");
    check_part(scene.answer.text, "result.content[0].text", "\"hello\"");
    CLEANUP(mem_freep)
    char *first = string_copy_n(strbuf_text(&scene.sent), strcspn(strbuf_text(&scene.sent), "\n"));
    const char *second = strbuf_text(&scene.sent) + strlen(first) + 1;
    check_part(first, "params",
               "{\"message\":\"none\",\"progress\":0,\"progressToken\":7,\"total\":2}");
    check_part(second, "params",
               "{\"message\":\"half\",\"progress\":1,\"progressToken\":7,\"total\":2}");
    end(&scene);
}

TEST(a_tool_that_needs_more_than_the_client_can_is_refused_with_what_it_needs)
{
    struct scene scene;
    begin(&scene);
    const char *text = ask_modern(&scene, "tools/call", "\"name\":\"greet\"", "{}");
    check_part(text, "error.code", "-32021");
    check_part(text, "error.data.requiredCapabilities", "{\"elicitation\":{}}");
    end(&scene);
}

/* The request again, with an answer and the state, which may be changed on the way. */
static const char *answer_greet(struct scene *scene, const char *state, const char *name)
{
    static char params[4096];
    snprintf(params, sizeof(params),
             "\"name\":\"%s\",\"requestState\":\"%s\",\"inputResponses\":{\"name\":{\"action\":"
             "\"accept\",\"content\":{\"name\":\"Ada\"}}}",
             name, state);
    return ask_modern(scene, "tools/call", params, "{\"elicitation\":{}}");
}

TEST(a_client_is_asked_and_brings_the_state_back_as_it_was)
{
    struct scene scene;
    begin(&scene);
    const char *text =
        ask_modern(&scene, "tools/call", "\"name\":\"greet\"", "{\"elicitation\":{}}");
    check_part(text, "result.resultType", "\"input_required\"");
    check_part(text, "result.inputRequests.name.method", "\"elicitation/create\"");
    CLEANUP(value_unrefp) struct value *state = part(text, "result.requestState");
    CLEANUP(mem_freep) char *changed = string_copy(value_text(state));
    check_part(answer_greet(&scene, value_text(state), "greet"), "result.content[0].text",
               "\"Ada\"");
    changed[strlen(changed) / 2] ^= 1;
    check_part(answer_greet(&scene, changed, "greet"), "error.code", "-32602");
    check_part(answer_greet(&scene, value_text(state), "say"), "error.code", "-32602");
    scene.exchange.principal = "user:b";
    check_part(answer_greet(&scene, value_text(state), "greet"), "error.code", "-32602");
    end(&scene);
}

TEST(several_things_are_asked_for_at_once)
{
    struct scene scene;
    begin(&scene);
    const char *text =
        ask_modern(&scene, "tools/call", "\"name\":\"ask_two\"", "{\"elicitation\":{}}");
    check_part(text, "result.inputRequests.one.params.message", "\"1?\"");
    check_part(text, "result.inputRequests.two.params.message", "\"2?\"");
    text = ask_modern(&scene, "tools/call",
                      "\"name\":\"ask_two\",\"inputResponses\":{\"one\":{\"content\":{\"name\":"
                      "\"a\"}},\"two\":{\"content\":{\"name\":\"b\"}}}",
                      "{\"elicitation\":{}}");
    check_part(text, "result.content[0].text", "\"a\"");
    check_part(text, "result.content[1].text", "\"b\"");
    end(&scene);
}

TEST(what_is_no_text_is_read_as_base64)
{
    struct scene scene;
    begin(&scene);
    check_part(ask_modern(&scene, "resources/read", "\"uri\":\"test://bytes\"", "{}"),
               "result.contents",
               "[{\"blob\":\"AP8K\",\"mimeType\":\"image/png\",\"uri\":\"test://bytes\"}]");
    end(&scene);
}

/* --- The legacy era --- */

TEST(a_legacy_client_is_asked_one_thing_after_another_and_no_answer_is_lost)
{
    struct scene scene;
    begin(&scene);
    ask(&scene, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
                "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"elicitation\":{}}}}");
    scene.answers = true;
    const char *text = ask(&scene, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\","
                                   "\"params\":{\"name\":\"ask_two\"}}");
    check_part(text, "result.content[0].text", "\"answer 1\"");
    check_part(text, "result.content[1].text", "\"answer 2\"");
    end(&scene);
}

TEST(a_legacy_client_gets_its_version_or_our_newest)
{
    struct scene scene;
    begin(&scene);
    static const char *const wanted[][2] = {{"2024-11-05", "\"2024-11-05\""},
                                            {"2025-06-18", "\"2025-06-18\""},
                                            {"2025-11-25", "\"2025-11-25\""},
                                            {"1.0", "\"2025-11-25\""}};
    for (size_t i = 0; i < 4; i++) {
        char text[512];
        snprintf(
            text, sizeof(text),
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
            "\"protocolVersion\":\"%s\",\"capabilities\":{\"elicitation\":{}},\"clientInfo\":{\"name\":\"c\",\"version\":\"2\"}}}",
            wanted[i][0]);
        check_part(ask(&scene, text), "result.protocolVersion", wanted[i][1]);
    }
    CHECK(scene.session.can_elicit && !scene.session.can_sample);
    CHECK_TEXT(scene.session.client, "c 2");
    check_part(ask(&scene, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}"), "result", "{}");
    check_part(ask(&scene, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}"),
               "result.resultType", "(nothing)");
    CHECK(!ask(&scene, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}"));
    end(&scene);
}

TEST(a_session_is_kept_by_the_client_and_comes_back_as_it_was)
{
    struct scene scene;
    struct mcp_session session = {.is_begun = true, .version = "2025-06-18", .can_sample = true},
                       again;
    begin(&scene);
    session.client = string_copy("c 1");
    CLEANUP(mem_freep) char *text = mcp_session_text(scene.server, &session);
    for (const char *at = text; *at; at++)
        CHECK(*at > 0x20 && *at < 0x7f);
    CHECK(mcp_session_read(scene.server, text, &again));
    CHECK(again.can_sample && !again.can_elicit);
    CHECK_TEXT(again.version, "2025-06-18");
    mcp_session_done(&again);
    text[5] = text[5] == 'A' ? 'B' : 'A';
    CHECK(!mcp_session_read(scene.server, text, &again));
    CHECK(!mcp_session_read(scene.server, "", &again));
    mcp_session_done(&session);
    end(&scene);
}
