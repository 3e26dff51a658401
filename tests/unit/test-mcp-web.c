/* The protocol over HTTP: who may come, what headers must say, sessions that lie with the client.
 */
#include "mcp/web.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- A server with a tool that says what it is told, and one that asks --- */

static int echo(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    (void)err;
    mcp_progress(call, 1, 1, "said");
    mcp_add_text(result, value_get_text(call->arguments, "message"));
    return 0;
}

static int place(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    (void)call, (void)err;
    mcp_add_text(result, "placed");
    return 0;
}

static int greet(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    struct value *answer = NULL;
    int r = mcp_ask(call, "name", "elicitation/create", "{\"message\":\"Who?\"}", &answer, err);
    if (r == 0)
        mcp_add_text(result, value_get_text(value_get(answer, "content"), "name"));
    return r;
}

static const struct mcp_input echo_inputs[] = {
    {.name = "message", .is_required = true, .description = "What to say."}, {0}};
static const struct mcp_input no_inputs[] = {{0}};
static const struct mcp_tool tools[] = {
    {.name = "echo",
     .title = "Echo",
     .description = "Says it.",
     .inputs = echo_inputs,
     .call = echo},
    {.name = "greet",
     .title = "Greet",
     .description = "Greets.",
     .inputs = no_inputs,
     .call = greet},
    {.name = "place",
     .title = "Place",
     .description = "Has arguments that headers repeat.",
     .input_schema = "{\"type\":\"object\",\"properties\":{"
                     "\"message\":{\"type\":\"string\",\"x-mcp-header\":\"Message\"},"
                     "\"size\":{\"type\":\"object\",\"properties\":{"
                     "\"count\":{\"type\":\"integer\",\"x-mcp-header\":\"Count\"},"
                     "\"big\":{\"type\":\"boolean\",\"x-mcp-header\":\"Big\"}}}}}",
     .call = place},
};
static const struct mcp_offer offer = {
    .name = "test", .title = "Test", .version = "1", .tools = tools, .n_tools = 3};

static bool authenticate(void *argument, const char *token, struct web_identity *ret_identity)
{
    (void)argument;
    if (!token || !text_equal(token, "open-sesame"))
        return false;
    *ret_identity = (struct web_identity){.principal = "token:a"};
    return true;
}

/* --- One exchange after the other, each on a connection of its own --- */

struct scene {
    struct loop *loop;
    struct mcp_server *server;
    struct web *web;
    struct web_settings settings;
    const char *request; /* borrowed; NULL: ends the server */
    struct strbuf reply;
    /* While the reply is read: what to send on a second connection once it has this text. */
    const char *trigger;
    char *(*make_second)(const char *reply);
    struct strbuf second_reply;
};

static int connect_to(struct scene *scene)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(web_port(scene->web)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno == EINPROGRESS)
        loop_wait_fd(scene->loop, fd, LOOP_WRITABLE, -1, NULL);
    return fd;
}

static void exchange(struct scene *scene, const char *request, struct strbuf *reply, bool is_first)
{
    char part[4096];
    int fd = connect_to(scene);
    (void)!write(fd, request, strlen(request));
    for (;;) {
        ssize_t n = read(fd, part, sizeof(part));
        if (n == 0 || (n < 0 && errno != EAGAIN))
            break;
        if (n < 0)
            loop_wait_fd(scene->loop, fd, LOOP_READABLE, -1, NULL);
        else
            strbuf_add_n(reply, part, (size_t)n);
        if (is_first && scene->trigger && strstr(strbuf_text(reply), scene->trigger)) {
            CLEANUP(mem_freep) char *second = scene->make_second(strbuf_text(reply));
            scene->trigger = NULL;
            exchange(scene, second, &scene->second_reply, false);
        }
    }
    close(fd);
}

static void act(void *argument)
{
    struct scene *scene = argument;
    if (scene->request)
        exchange(scene, scene->request, &scene->reply, true);
    /* The server is on the loop as long as it serves: it is ended so that the loop ends. */
    web_stop(scene->web);
    scene->web = NULL;
}

static void start(struct scene *scene)
{
    struct error err = {0};
    CHECK(web_start(scene->loop, scene->server, &scene->settings, &scene->web, &err) == 0);
}

static void begin(struct scene *scene)
{
    *scene = (struct scene){.loop = loop_new(), .settings.authenticate = authenticate};
    scene->server = mcp_server_new(scene->loop, &offer, NULL);
}

static void end(struct scene *scene)
{
    mcp_server_free(scene->server);
    strbuf_done(&scene->reply);
    strbuf_done(&scene->second_reply);
    loop_free(scene->loop);
    coroutine_pool_done();
}

/* The whole reply to a whole request; borrowed until the next. */
static const char *send_raw(struct scene *scene, const char *request)
{
    strbuf_clear(&scene->reply);
    scene->request = request;
    start(scene);
    loop_spawn(scene->loop, "act", act, scene);
    loop_run(scene->loop);
    return strbuf_text(&scene->reply);
}

#define USUAL                                                                         \
    "Host: localhost\r\nContent-Type: application/json\r\nAccept: application/json, " \
    "text/event-stream\r\nConnection: close\r\n"
#define TOKEN "Authorization: Bearer open-sesame\r\n"

static char *post_text(const char *headers, const char *body)
{
    return string_format("POST /mcp HTTP/1.1\r\n%sContent-Length: %zu\r\n\r\n%s", headers,
                         strlen(body), body);
}

static const char *post(struct scene *scene, const char *headers, const char *body)
{
    CLEANUP(mem_freep) char *request = post_text(headers, body);
    return send_raw(scene, request);
}

static bool has(const char *reply, const char *text)
{
    bool found = strstr(reply, text) != NULL;
    if (!found)
        printf("# no \"%s\" in:\n# %.600s\n", text, reply);
    return found;
}

#define MODERN_META                                                          \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"
#define MODERN "MCP-Protocol-Version: 2026-07-28\r\n"
#define CALL_ECHO                                                                            \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"," \
    "\"arguments\":{\"message\":\"hello\"}," MODERN_META "}}"
#define PING "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"

static __attribute__((constructor)) void start_sodium(void)
{
    (void)!sodium_init();
}

TEST(a_modern_call_is_answered_as_json)
{
    struct scene scene;
    begin(&scene);
    const char *reply =
        post(&scene, USUAL TOKEN MODERN "Mcp-Method: tools/call\r\nmcp-name: echo \r\n", CALL_ECHO);
    CHECK(has(reply, "HTTP/1.1 200") && has(reply, "Content-Type: application/json"));
    CHECK(has(reply, "{\"type\":\"text\",\"text\":\"hello\"}") &&
          has(reply, "\"resultType\":\"complete\""));
    end(&scene);
}

TEST(headers_that_are_missing_or_say_something_else_are_refused)
{
    static const char *const wrong[] = {
        USUAL TOKEN MODERN "Mcp-Name: echo\r\n",
        USUAL TOKEN MODERN "Mcp-Method: tools/call\r\n",
        USUAL TOKEN MODERN "Mcp-Method: tools/list\r\nMcp-Name: echo\r\n",
        USUAL TOKEN MODERN "Mcp-Method: tools/call\r\nMcp-Name: Echo\r\n",
        USUAL TOKEN MODERN "Mcp-Method: tools/call\r\nMcp-Name: echo\r\nMcp-Name: echo\r\n",
        USUAL TOKEN MODERN "Mcp-Method: tools/call\r\nMcp-Name: =?base64?!?=\r\n",
        USUAL TOKEN "Mcp-Method: tools/call\r\nMcp-Name: echo\r\n",
    };
    struct scene scene;
    begin(&scene);
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        const char *reply = post(&scene, wrong[i], CALL_ECHO);
        CHECK(has(reply, "HTTP/1.1 400") && has(reply, "-32020") && has(reply, "\"id\":1"));
    }
    const char *reply = post(
        &scene, USUAL TOKEN MODERN "Mcp-Method: tools/call\r\nMcp-Name: =?base64?ZWNobw==?=\r\n",
        CALL_ECHO);
    CHECK(has(reply, "HTTP/1.1 200"));
    end(&scene);
}

TEST(arguments_that_headers_repeat_say_the_same)
{
#define PLACE USUAL TOKEN MODERN "Mcp-Method: tools/call\r\nMcp-Name: place\r\n"
    static const struct {
        const char *headers, *arguments, *want;
    } cases[] = {
        {PLACE, "{}", "placed"},
        {PLACE "mcp-param-message: hi\r\n", "{\"message\":\"hi\"}", "placed"},
        {PLACE "Mcp-Param-Message: =?base64?w6Q=?=\r\n", "{\"message\":\"\303\244\"}", "placed"},
        {PLACE "Mcp-Param-Message: =?base64?w6Q=\r\n", "{\"message\":\"=?base64?w6Q=\"}", "placed"},
        {PLACE "Mcp-Param-Count: 7\r\nMcp-Param-Big: true\r\n",
         "{\"size\":{\"count\":7,\"big\":true}}", "placed"},
        {PLACE, "{\"message\":null}", "placed"},
        {PLACE, "{\"message\":\"hi\"}", "-32020"},
        {PLACE "Mcp-Param-Message: Hi\r\n", "{\"message\":\"hi\"}", "-32020"},
        {PLACE "Mcp-Param-Message: hi\r\nMcp-Param-Message: hi\r\n", "{\"message\":\"hi\"}",
         "-32020"},
        {PLACE "Mcp-Param-Message: =?base64?w6Q?=\r\n", "{\"message\":\"\303\244\"}", "-32020"},
        {PLACE "Mcp-Param-Message: hi\r\n", "{}", "-32020"},
        {PLACE "Mcp-Param-Count: 8\r\n", "{\"size\":{\"count\":7}}", "-32020"},
        {PLACE, "{\"size\":{\"big\":false}}", "-32020"},
    };
    struct scene scene;
    begin(&scene);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(mem_freep)
        char *body = string_format("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\","
                                   "\"params\":{\"name\":\"place\",\"arguments\":%s,%s}}",
                                   cases[i].arguments, MODERN_META);
        const char *reply = post(&scene, cases[i].headers, body);
        CHECK(has(reply, cases[i].want));
        CHECK(has(reply, cases[i].want[0] == '-' ? "HTTP/1.1 400" : "HTTP/1.1 200"));
    }
    end(&scene);
}

TEST(a_method_that_is_none_is_404_and_a_message_that_is_none_400)
{
    struct scene scene;
    begin(&scene);
    CHECK(
        has(post(&scene, USUAL TOKEN MODERN "Mcp-Method: ping\r\n",
                 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{" MODERN_META "}}"),
            "HTTP/1.1 404"));
    CHECK(has(post(&scene, USUAL TOKEN MODERN "Mcp-Method: tools/list\r\n",
                   "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}"),
              "HTTP/1.1 400"));
    CHECK(has(post(&scene, USUAL TOKEN, "{"), "HTTP/1.1 400"));
    end(&scene);
}

TEST(without_a_token_that_is_known_nothing_is_answered)
{
    static const char *const wrong[] = {
        "", "Authorization: Bearer wrong\r\n", "Authorization: Basic open-sesame\r\n",
        "Authorization: Bearer open-sesame\r\nAuthorization: Bearer x\r\n"};
    struct scene scene;
    begin(&scene);
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        CLEANUP(mem_freep) char *headers = string_format("%s%s", USUAL, wrong[i]);
        const char *reply = post(&scene, headers, PING);
        CHECK(has(reply, "HTTP/1.1 401") && has(reply, "WWW-Authenticate: Bearer"));
    }
    end(&scene);
}

TEST(a_page_or_name_from_elsewhere_is_refused)
{
    static const char *const heads[][2] = {
        {"Host: evil.example\r\n", "403"},
        {"Host: localhost:99\r\nOrigin: http://evil.example\r\n", "403"},
        {"Host: localhost.evil.example\r\n", "403"},
        {"Host: 127.0.0.1:80\r\nOrigin: null\r\n", "403"},
        {"Host: [::1]:80\r\n", "200"},
        {"Host: 127.0.0.1\r\nOrigin: http://localhost:3000\r\n", "200"},
    };
    struct scene scene;
    begin(&scene);
    for (size_t i = 0; i < ARRAY_LENGTH(heads); i++) {
        CLEANUP(mem_freep)
        char *headers = string_format("%sContent-Type: application/json\r\nConnection: close\r\n%s",
                                      heads[i][0], TOKEN);
        CLEANUP(mem_freep) char *want = string_format("HTTP/1.1 %s", heads[i][1]);
        CHECK(has(post(&scene, headers, PING), want));
    }
    end(&scene);
}

TEST(only_posted_json_on_the_one_path_is_taken)
{
    struct scene scene;
    begin(&scene);
    CHECK(has(send_raw(&scene, "GET /mcp HTTP/1.1\r\n" USUAL TOKEN "\r\n"), "HTTP/1.1 405"));
    CHECK(has(strbuf_text(&scene.reply), "Allow: POST"));
    CHECK(has(send_raw(&scene, "DELETE /mcp HTTP/1.1\r\n" USUAL TOKEN "\r\n"), "HTTP/1.1 405"));
    CHECK(has(send_raw(&scene, "POST /other HTTP/1.1\r\n" USUAL TOKEN "Content-Length: 0\r\n\r\n"),
              "HTTP/1.1 404"));
    CHECK(has(post(&scene,
                   "Host: localhost\r\nConnection: close\r\nContent-Type: text/plain\r\n" TOKEN,
                   PING),
              "HTTP/1.1 415"));
    CHECK(has(
        post(
            &scene,
            "Host: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nAccept: text/html\r\n" TOKEN,
            PING),
        "HTTP/1.1 406"));
    end(&scene);
}

TEST(a_session_lies_with_the_client_and_survives_a_restart)
{
    struct scene scene;
    begin(&scene);
    const char *reply = post(
        &scene, USUAL TOKEN,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}");
    CHECK(has(reply, "\"protocolVersion\":\"2025-06-18\""));
    const char *id = strstr(reply, "Mcp-Session-Id: ");
    CHECK(id);
    CLEANUP(mem_freep) char *line = string_copy_n(id, strcspn(id, "\r"));
    /* Each post has a new HTTP server: what is kept is kept by the client. */
    CLEANUP(mem_freep)
    char *headers =
        string_format("%s%sMCP-Protocol-Version: 2025-11-25\r\n%s\r\n", USUAL, TOKEN, line);
    CHECK(has(post(&scene, headers, PING), "\"result\":{}"));
    line[20] = line[20] == 'A' ? 'B' : 'A';
    CLEANUP(mem_freep) char *forged = string_format("%s%s%s\r\n", USUAL, TOKEN, line);
    CHECK(has(post(&scene, forged, PING), "HTTP/1.1 404"));
    CHECK(has(
        post(&scene, USUAL TOKEN, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}"),
        "HTTP/1.1 202"));
    CHECK(has(post(&scene, USUAL TOKEN "MCP-Protocol-Version: 1999-01-01\r\n", PING),
              "HTTP/1.1 400"));
    end(&scene);
}

TEST(what_comes_before_the_answer_comes_as_events)
{
    struct scene scene;
    begin(&scene);
    const char *reply = post(
        &scene, USUAL TOKEN,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"message\":\"hi\"},\"_meta\":{\"progressToken\":\"p\"}}}");
    CHECK(has(reply, "Content-Type: text/event-stream") && has(reply, "X-Accel-Buffering: no"));
    const char *progress = strstr(reply, "notifications/progress"),
               *answer = strstr(reply, "\"text\":\"hi\"");
    CHECK(progress && answer && progress < answer);
    end(&scene);
}

/* The answer to the question that came as an event. */
static char *answer_question(const char *reply)
{
    const char *id = strstr(reply, "\"id\":\"");
    CLEANUP(mem_freep) char *number = string_copy_n(id + 6, strcspn(id + 6, "\""));
    CLEANUP(mem_freep)
    char *body = string_format(
        "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"action\":\"accept\",\"content\":{\"name\":\"Ada\"}}}",
        number);
    return post_text(USUAL TOKEN, body);
}

TEST(a_legacy_client_is_asked_on_the_stream_and_answers_on_another_connection)
{
    struct scene scene;
    begin(&scene);
    const char *reply = post(
        &scene, USUAL TOKEN,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"elicitation\":{}},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}");
    const char *id = strstr(reply, "Mcp-Session-Id: ");
    CHECK(id);
    CLEANUP(mem_freep) char *line = string_copy_n(id, strcspn(id, "\r"));
    CLEANUP(mem_freep) char *headers = string_format("%s%s%s\r\n", USUAL, TOKEN, line);
    scene.trigger = "elicitation/create";
    scene.make_second = answer_question;
    reply = post(
        &scene, headers,
        "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"greet\"}}");
    CHECK(has(strbuf_text(&scene.second_reply), "HTTP/1.1 202"));
    CHECK(has(reply, "{\"type\":\"text\",\"text\":\"Ada\"}"));
    end(&scene);
}
