#include "mcp/door.h"

#include "auth/tokens.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "mcp/admission.h"
#include "mcp/stdio.h"
#include "mcp/tools.h"
#include "mcp/watch.h"
#include "mcp/web.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PEM = 1024 * 1024, SECOND_US = 1000 * 1000 };

/* --- Over standard input and output --- */

/*
 * Standard input and output are the client's alone: nothing that we start or link may write a word
 * to them. Where they were is /dev/null, and what is printed goes to standard error.
 */
static int take_stream(int number, int instead, struct error *err)
{
    int fd = fcntl(number, F_DUPFD_CLOEXEC, 3);
    if (fd < 0 || dup2(instead, number) < 0)
        return error_set_errno(err, errno, "take standard %s over", number ? "output" : "input");
    return fd;
}

static int take_streams(int *ret_input, int *ret_output, struct error *err)
{
    int null = -1;
    int r = world_open_file("/dev/null", &null, err);
    if (r < 0)
        return r;
    *ret_input = take_stream(STDIN_FILENO, null, err);
    *ret_output = *ret_input < 0 ? -1 : take_stream(STDOUT_FILENO, STDERR_FILENO, err);
    close(null);
    return *ret_output < 0 ? -ERROR_SYSTEM : 0;
}

static int serve_streams(struct loop *loop, struct pool *pool, struct error *err)
{
    struct caller who = {0};
    int input, output;
    /* Reads the site: what is wrong with it is said before anything is promised. */
    int r = pool_find_owner(pool, &who, NULL, err);
    if (r < 0 || (r = take_streams(&input, &output, err)) < 0) {
        caller_done(&who);
        return r;
    }
    struct looks *looks = looks_new(loop, pool, &who, "looks", SECOND_US);
    struct mcp_caller caller = {.pool = pool, .looks = looks, .who = &who, .may_read_files = true};
    struct mcp_exchange like = {.principal = who.principal, .caller = &caller};
    struct mcp_server *server = mcp_server_new(loop, tools_offer(), NULL);
    struct watch *watch = watch_new(loop, pool, &who, server);
    r = mcp_serve_stdio(server, loop, &like, input, output, err);
    watch_end(watch);
    mcp_server_free(server);
    looks_end(looks);
    caller_done(&who);
    return r;
}

int door_serve_stdio(struct loop *loop, const struct service_options *options, struct error *err)
{
    struct pool *pool = pool_new(loop, options);
    int r = serve_streams(loop, pool, err);
    pool_free(pool);
    return r;
}

/* --- Over HTTP --- */

struct web_door {
    struct loop *loop;
    struct pool *pool;
    struct looks *looks;
    struct admission *admission;
    struct tokens *tokens;      /* owned */
    struct approval_page *page; /* owned */
    unsigned char
        key[SECRET_KEY_SIZE]; /* of what clients keep for us: the next start has it, too */
    struct gate asked_to_end;
    bool ends;
};

/* A caller for one request. */
struct guest {
    struct mcp_caller caller;
    struct caller who;
};

static bool authenticate(void *argument, const char *token, struct web_identity *ret_identity)
{
    struct web_door *door = argument;
    struct caller who = {0};
    if (!token || tokens_find(door->tokens, token, &who, NULL) < 0)
        return false;
    struct guest *guest = NEW(struct guest);
    guest->who = who;
    guest->caller = (struct mcp_caller){
        .pool = door->pool, .looks = door->looks, .who = &guest->who, .page = door->page};
    *ret_identity = (struct web_identity){guest->who.principal, &guest->caller};
    return true;
}

static void release(void *argument, struct web_identity *identity)
{
    struct mcp_caller *caller = identity->caller;
    struct guest *guest = (struct guest *)((char *)caller - offsetof(struct guest, caller));
    (void)argument;
    caller_done(&guest->who);
    mem_free(guest);
}

static bool answer_page(void *argument, struct http_request *request)
{
    return page_answer(((struct web_door *)argument)->page, request);
}

/* Once it is known how often who may come. */
static int open_page(struct web_door *door, const char *url, struct error *err)
{
    unsigned char key[SECRET_KEY_SIZE];
    int r = pool_derive_key(door->pool, "page", key, err);
    if (r == 0)
        door->page = page_new(door->pool, door->tokens, door->admission, key, url);
    sodium_memzero(key, sizeof(key));
    return r;
}

static int64_t admit(void *argument, const struct web_identity *identity, const char *peer,
                     bool shows_token)
{
    struct web_door *door = argument;
    return identity ? admission_take_principal(door->admission, identity->principal)
                    : admission_take_stranger(door->admission, peer, shows_token);
}

static bool is_loopback(const char *address)
{
    return !address || text_equal(address, "::1") || text_starts_with(address, "127.");
}

static void take_signal(void *argument, int number)
{
    struct web_door *door = argument;
    (void)number;
    door->ends = true;
    gate_open(door->loop, &door->asked_to_end);
}

static int serve_until_asked(struct web_door *door, const struct web_settings *settings,
                             const char *address, const struct caller *owner, struct error *err)
{
    struct web *web = NULL;
    struct mcp_server *server = mcp_server_new(door->loop, tools_offer(), door->key);
    struct watch *watch = watch_new(door->loop, door->pool, owner, server);
    int r = web_start(door->loop, server, settings, &web, err);
    if (r == 0) {
        const char *shown = address ? address : "127.0.0.1";
        struct signal_watch *interrupt = loop_watch_signal(door->loop, SIGINT, take_signal, door);
        struct signal_watch *end = loop_watch_signal(door->loop, SIGTERM, take_signal, door);
        bool is_bracketed = strchr(shown, ':') != NULL;
        fprintf(stderr, "parley: serving MCP on http%s://%s%s%s:%u/mcp\n",
                settings->http.certificate ? "s" : "", is_bracketed ? "[" : "", shown,
                is_bracketed ? "]" : "", (unsigned int)web_port(web));
        while (!door->ends)
            gate_wait(door->loop, &door->asked_to_end, -1, NULL);
        web_stop(web);
        loop_unwatch_signal(interrupt);
        loop_unwatch_signal(end);
    }
    watch_end(watch);
    mcp_server_free(server);
    return r;
}

static int read_pem(const char *path, char **ret_text, struct error *err)
{
    return path ? world_read_file(path, MAX_PEM, ret_text, NULL, err) : 0;
}

static int check_safety(const struct door_place *place, const char *address, struct error *err)
{
    if ((place->certificate != NULL) != (place->key != NULL))
        return error_set(err, ERROR_INVALID, "--certificate and --key belong together");
    if (!is_loopback(address) && !place->certificate)
        return error_set(
            err, ERROR_INVALID,
            "on %s tokens would cross the network in the clear: give --certificate FILE "
            "and --key FILE, or listen on 127.0.0.1",
            address);
    return 0;
}

/* Reads the site, too: what is wrong with it is said before anything is promised. */
static int find_tokens(struct web_door *door, const char *given, struct caller *owner,
                       struct error *err)
{
    CLEANUP(mem_freep) char *home = NULL;
    int r = pool_find_owner(door->pool, owner, &home, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep)
    char *path = given ? string_copy(given) : string_format("%s/tokens.yaml", home);
    CLEANUP(value_unrefp) struct value *list = NULL;
    r = tokens_list(path, &list, err);
    if (r == -ERROR_NOT_FOUND)
        return error_wrap(err, r,
                          "over the network nobody is let in without a token; \"parley token "
                          "new NAME --role planner\" makes one");
    if (r == 0)
        door->tokens = tokens_new(path);
    return r;
}

/* What options and site say together; options come first. */
static void choose_place(const struct door_place *given, const struct site_server *site,
                         struct door_place *ret_place)
{
    /* Certificate and key are one thing. */
    bool is_tls_given = given->certificate || given->key;
    *ret_place = *given;
    ret_place->listen = given->listen  ? given->listen
                        : site->listen ? site->listen
                                       : "127.0.0.1:7420";
    ret_place->tokens = given->tokens ? given->tokens : site->tokens.path;
    ret_place->certificate = is_tls_given ? given->certificate : site->certificate.path;
    ret_place->key = is_tls_given ? given->key : site->key.path;
    if (given->rate == 0)
        ret_place->rate = site->requests;
}

/* A file that the site names cannot be read: then its line says where that stands. */
static int blame_site(const struct site_server *site, const char *path, int r, struct error *err)
{
    const struct server_file *files[] = {&site->tokens, &site->certificate, &site->key};
    for (size_t i = 0; r < 0 && path && i < ARRAY_LENGTH(files); i++)
        if (files[i]->path && text_equal(files[i]->path, path))
            return error_wrap(err, r, "%s:%u", site->file, files[i]->line);
    return r;
}

static int serve_at(struct web_door *door, const struct door_place *place,
                    const struct site_server *site, struct caller *owner, struct error *err)
{
    CLEANUP(mem_freep) char *address = NULL;
    CLEANUP(mem_freep) char *certificate = NULL;
    CLEANUP(mem_freep) char *key = NULL;
    const char *const hosts[] = {place->host, NULL};
    struct web_settings settings = {
        .authenticate = authenticate,
        .release = release,
        .admit = admit,
        .answer_other = answer_page,
        .argument = door,
        .hosts = place->host ? hosts : (const char *const *)site->hosts,
        .url = site->url,
        .http = {.max_connections = (size_t)site->connections, .max_body = (size_t)site->body},
    };
    if (!site_server_read_place(place->listen, &address, &settings.http.port))
        return error_set(err, ERROR_INVALID,
                         "--listen takes ADDRESS:PORT, such as 127.0.0.1:7420, not \"%s\"",
                         place->listen);
    int r = check_safety(place, address, err);
    if (r < 0 ||
        (r = blame_site(site, place->tokens, find_tokens(door, place->tokens, owner, err), err)) <
            0 ||
        (r = pool_derive_key(door->pool, "mcp", door->key, err)) < 0 ||
        (r = blame_site(site, place->certificate, read_pem(place->certificate, &certificate, err),
                        err)) < 0 ||
        (r = blame_site(site, place->key, read_pem(place->key, &key, err), err)) < 0)
        return r;
    settings.http.address = address;
    settings.http.certificate = certificate;
    settings.http.key = key;
    door->looks = looks_new(door->loop, door->pool, owner, "looks", SECOND_US);
    door->admission = admission_new(door->loop, door->pool, owner, place->rate);
    if ((r = open_page(door, site->url, err)) == 0)
        r = serve_until_asked(door, &settings, address, owner, err);
    admission_end(door->admission);
    looks_end(door->looks);
    if (key)
        sodium_memzero(key, strlen(key));
    return r;
}

static int serve_web(struct web_door *door, const struct door_place *given, struct caller *owner,
                     struct error *err)
{
    CLEANUP(site_server_done) struct site_server site = {0};
    struct door_place place;
    int r = pool_find_server(door->pool, &site, err);
    if (r < 0)
        return r;
    choose_place(given, &site, &place);
    return serve_at(door, &place, &site, owner, err);
}

int door_serve_web(struct loop *loop, const struct service_options *options,
                   const struct door_place *place, struct error *err)
{
    struct caller owner = {0};
    struct web_door door = {.loop = loop, .pool = pool_new(loop, options)};
    int r = serve_web(&door, place, &owner, err);
    page_free(door.page);
    tokens_free(door.tokens);
    sodium_memzero(door.key, sizeof(door.key));
    caller_done(&owner);
    pool_free(door.pool);
    return r;
}
