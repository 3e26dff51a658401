/* Listening: who is told what changes, in both eras. */
#include "mcp-listening.h"

static int read_nothing(struct mcp_call *call, const char *uri, struct mcp_result *result,
                        struct error *err)
{
    (void)call, (void)err;
    mcp_add_resource_text(result, uri, "text/plain", "");
    return 0;
}

static const struct mcp_resource resources[] = {
    {"test://a", "a", "A", "One.", "text/plain", false, read_nothing},
    {"test://of/{name}", "of", "Of", "Any.", "text/plain", true, read_nothing},
};
static const struct mcp_offer offer = {.name = "test",
                                       .title = "Test",
                                       .version = "1",
                                       .resources = resources,
                                       .n_resources = ARRAY_LENGTH(resources)};

#define META                                                                 \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"

static int keep(void *argument)
{
    struct listening *listening = argument;
    return listening->n_kept++ < listening->most_kept ? 0 : -1;
}

/* What it was sent since the last time. */
static void check_sent(struct listening *listening, const char *want)
{
    loop_sleep(listening->scene->loop, 1000);
    CHECK_TEXT(strbuf_text(&listening->sent), want);
    strbuf_clear(&listening->sent);
}

/* --- A watcher that counts --- */

static int n_began, n_ended;
static void count_began(void *argument)
{
    (void)argument;
    n_began++;
}
static void count_ended(void *argument)
{
    (void)argument;
    n_ended++;
}

struct play {
    struct scene scene;
    void (*act)(struct scene *scene);
};
static void perform(void *argument)
{
    struct play *play = argument;
    play->act(&play->scene);
}
static void run(void (*act)(struct scene *scene))
{
    struct play play = {.act = act};
    scene_begin(&play.scene, &offer);
    play.scene.is_inside = true;
    n_began = n_ended = 0;
    mcp_set_watcher(play.scene.server, &(struct mcp_watcher){count_began, count_ended, NULL});
    loop_spawn(play.scene.loop, "play", perform, &play);
    loop_run(play.scene.loop);
    end(&play.scene);
}

/* --- --- */

static void hear_modern(struct scene *scene)
{
    struct listening one;
    begin_listening(
        scene, &one,
        "{\"jsonrpc\":\"2.0\",\"id\":\"l\",\"method\":\"subscriptions/listen\",\"params\":{"
        "\"notifications\":{\"resourcesListChanged\":true,\"toolsListChanged\":false,"
        "\"resourceSubscriptions\":[\"test://of/x\",\"other://x\",7]}," META "}}");
    check_sent(&one, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\","
                     "\"params\":{\"_meta\":{"
                     "\"io.modelcontextprotocol/subscriptionId\":\"l\"},\"notifications\":{"
                     "\"resourceSubscriptions\":[\"test://of/x\"],"
                     "\"resourcesListChanged\":true}}}\n");
    CHECK(mcp_is_heard(scene->server) && n_began == 1 && n_ended == 0);
    mcp_announce(scene->server, MCP_TOOLS_CHANGED, NULL);
    mcp_announce(scene->server, MCP_RESOURCE_UPDATED, "test://a");
    check_sent(&one, "");
    mcp_announce(scene->server, MCP_RESOURCE_UPDATED, "test://of/x");
    mcp_announce(scene->server, MCP_RESOURCE_UPDATED, "test://of/x");
    mcp_announce(scene->server, MCP_RESOURCES_CHANGED, NULL);
    check_sent(&one, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\","
                     "\"params\":{\"_meta\":{"
                     "\"io.modelcontextprotocol/subscriptionId\":\"l\"},"
                     "\"uri\":\"test://of/x\"}}\n"
                     "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/list_changed\","
                     "\"params\":{\"_meta\":{"
                     "\"io.modelcontextprotocol/subscriptionId\":\"l\"}}}\n");
    end_listening(&one);
    CHECK(!mcp_is_heard(scene->server) && n_began == 1 && n_ended == 1);
}

TEST(who_listens_hears_what_it_asked_for_and_of_one_change_once)
{
    run(hear_modern);
}

static const char *subscribe(struct scene *scene, const char *method, const char *uri)
{
    static char text[512];
    snprintf(text, sizeof(text),
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{\"uri\":\"%s\"}}", method,
             uri);
    return ask(scene, text);
}

static void initialize(struct scene *scene)
{
    ask(scene, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
               "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}}}");
    check_part(scene->answer.text, "result.capabilities.resources",
               "{\"listChanged\":true,\"subscribe\":true}");
}

#define UPDATED_A                                                                              \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":" \
    "\"test://a\"}}\n"

static void hear_legacy(struct scene *scene)
{
    struct listening one, two;
    initialize(scene);
    check_part(subscribe(scene, "resources/subscribe", "test://a"), "result", "{}");
    CHECK(n_began == 0);
    begin_listening(scene, &one, NULL);
    check_part(subscribe(scene, "resources/subscribe", "test://of/y"), "result", "{}");
    CHECK(n_began == 2);
    mcp_announce(scene->server, MCP_RESOURCE_UPDATED, "test://of/z");
    mcp_announce(scene->server, MCP_RESOURCE_UPDATED, "test://a");
    check_sent(&one, UPDATED_A);
    check_part(subscribe(scene, "resources/unsubscribe", "test://of/y"), "result", "{}");
    mcp_announce(scene->server, MCP_RESOURCE_UPDATED, "test://of/y");
    mcp_announce(scene->server, MCP_TOOLS_CHANGED, NULL);
    check_sent(&one, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\","
                     "\"params\":{}}\n");
    /* A message is told on one stream alone: the newest. */
    begin_listening(scene, &two, NULL);
    CHECK(one.is_ended && !two.is_ended);
    mcp_announce(scene->server, MCP_RESOURCE_UPDATED, "test://a");
    check_sent(&two, UPDATED_A);
    check_sent(&one, "");
    end_listening(&one);
    end_listening(&two);
    /* What was subscribed to is known to the next stream. */
    begin_listening(scene, &one, NULL);
    mcp_announce(scene->server, MCP_RESOURCE_UPDATED, "test://a");
    check_sent(&one, UPDATED_A);
    end_listening(&one);
}

TEST(a_legacy_session_is_told_on_its_newest_stream_what_it_subscribed_to)
{
    run(hear_legacy);
}

static void subscribe_badly(struct scene *scene)
{
    initialize(scene);
    check_part(subscribe(scene, "resources/subscribe", "other://x"), "error.code", "-32602");
    check_part(scene->answer.text, "error.data.uri", "\"other://x\"");
    for (int i = 0; i < 256; i++) {
        char uri[32];
        snprintf(uri, sizeof(uri), "test://of/%d", i);
        check_part(subscribe(scene, "resources/subscribe", uri), "result", "{}");
    }
    check_part(subscribe(scene, "resources/subscribe", "test://a"), "error.code", "-32600");
    check_part(subscribe(scene, "resources/subscribe", "test://of/7"), "result", "{}");
    scene->exchange.origin = NULL;
    check_part(subscribe(scene, "resources/subscribe", "test://a"), "error.code", "-32600");
}

TEST(subscriptions_are_of_what_there_is_and_bounded)
{
    run(subscribe_badly);
}

static void be_many(struct scene *scene)
{
    enum { MOST = 16 };
    struct listening all[MOST], more, other;
    char origins[MOST][16];
    for (size_t i = 0; i < MOST; i++) {
        snprintf(origins[i], sizeof(origins[i]), "session %zu", i);
        scene->exchange.origin = origins[i];
        begin_listening(scene, &all[i], NULL);
    }
    scene->exchange.origin = "one more";
    begin_listening(scene, &more, NULL);
    CHECK(more.is_ended && more.r == -ERROR_LIMIT);
    scene->exchange.principal = "user:b";
    begin_listening(scene, &other, NULL);
    CHECK(!other.is_ended);
    for (size_t i = 0; i < MOST; i++)
        end_listening(&all[i]);
    end_listening(&more);
    end_listening(&other);
}

TEST(who_listens_too_often_is_refused_and_nobody_else)
{
    run(be_many);
}

static void lose_the_right(struct scene *scene)
{
    struct listening one;
    scene->exchange.keep = keep;
    begin_listening(scene, &one, NULL);
    CHECK(one.is_ended && one.n_kept == 1);
    end_listening(&one);
}

TEST(who_is_not_to_be_told_any_more_is_not)
{
    run(lose_the_right);
}
