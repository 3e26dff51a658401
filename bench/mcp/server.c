/*
 * The server that bench/mcp/run.py measures: the product's protocol, HTTP, tokens and audit of
 * looks, with one tool that says what it is told, as the servers beside it have. Usage:
 * mcp-bench-server HOME (prints its port and a token), or mcp-bench-server HOME --stdio.
 */
#include "auth/tokens.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "mcp/looks.h"
#include "mcp/stdio.h"
#include "mcp/web.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

struct bench {
    struct loop *loop;
    struct pool *pool;
    struct looks *looks;
    struct caller owner;
    struct mcp_server *server;
    struct web *web;
    const char *home;
    struct tokens *tokens;
    bool is_stdio;
};

static int echo(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    (void)err;
    mcp_add_text(result, value_get_text(call->arguments, "message"));
    return 0;
}

static void called(struct mcp_call *call, const struct mcp_result *result)
{
    struct bench *bench = call->exchange->caller;
    (void)result;
    looks_note(bench->looks, call->exchange->principal, call->client, call->tool->name, "");
}

static const struct mcp_input inputs[] = {
    {.name = "message", .is_required = true, .description = "What to say."}, {0}};
static const struct mcp_tool tools[] = {{.name = "echo",
                                         .title = "Echo",
                                         .description = "Echo the message",
                                         .inputs = inputs,
                                         .call = echo}};
static const struct mcp_offer offer = {
    .name = "bench", .version = "1", .tools = tools, .n_tools = 1, .called = called};

static bool authenticate(void *argument, const char *shown, struct web_identity *ret_identity)
{
    struct bench *bench = argument;
    struct caller who = {0};
    if (!shown || tokens_find(bench->tokens, shown, &who, NULL) < 0)
        return false;
    caller_done(&who);
    *ret_identity = (struct web_identity){bench->owner.principal, bench};
    return true;
}

static int serve_web(struct bench *bench, struct error *err)
{
    static struct web_settings settings;
    CLEANUP(mem_freep) char *path = string_format("%s/bench-tokens.yaml", bench->home);
    CLEANUP(mem_freep) char *token = NULL;
    (void)world_remove_file(path, NULL);
    int r = tokens_add(path, "bench", ROLE(ROLE_VIEWER), NULL, &token, err);
    if (r < 0)
        return r;
    bench->tokens = tokens_new(path);
    settings = (struct web_settings){.authenticate = authenticate, .argument = bench};
    settings.http.max_connections = 4096;
    settings.http.max_requests = 2048;
    r = web_start(bench->loop, bench->server, &settings, &bench->web, err);
    if (r == 0) {
        printf("%d %s\n", web_port(bench->web), token);
        fflush(stdout);
    }
    return r;
}

static int serve_stdio(struct bench *bench, struct error *err)
{
    struct mcp_exchange like = {.principal = bench->owner.principal, .caller = bench};
    int r = mcp_serve_stdio(bench->server, bench->loop, &like, STDIN_FILENO, STDOUT_FILENO, err);
    looks_end(bench->looks);
    return r;
}

static void bench_main(void *argument)
{
    struct bench *bench = argument;
    struct error err = {0};
    int r = pool_find_owner(bench->pool, &bench->owner, NULL, &err);
    bench->looks = looks_new(bench->loop, bench->pool, &bench->owner, "looks", 1000000);
    bench->server = mcp_server_new(bench->loop, &offer, NULL);
    if (r == 0)
        r = bench->is_stdio ? serve_stdio(bench, &err) : serve_web(bench, &err);
    if (r < 0) {
        fprintf(stderr, "mcp-bench-server: %s\n", error_message(&err));
        _exit(1);
    }
}

int main(int argc, char **argv)
{
    struct bench bench = {
        .loop = loop_new(), .home = argc > 1 ? argv[1] : NULL, .is_stdio = argc > 2};
    struct service_options options = {.home = bench.home};
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2 || sodium_init() < 0)
        return 1;
    bench.pool = pool_new(bench.loop, &options);
    loop_spawn(bench.loop, "bench", bench_main, &bench);
    loop_run(bench.loop);
    return 0;
}
