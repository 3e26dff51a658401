#include "service/run-socket.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "net/channel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MAX_FOLLOWERS = 64,
    SECOND = 1000000,
    SEND_SECONDS = 10,
    CLOSE_SECONDS = 5,
};

struct value *run_event_of_row(const struct value *row)
{
    return value_with(row, "format", value_integer(1));
}

/* An event as it is sent. */
struct told {
    char *line; /* owned */
    int64_t seq;
    bool is_plain; /* those who count do without it */
    bool is_ended; /* of a plain one: a step ended well */
};

/* One door that follows. */
struct follower_link {
    struct run_server *server;
    struct channel *channel; /* owned */
    size_t n_sent;
    bool counts;
    int64_t after; /* what has a smaller seq, or this one, it knows already */
    bool is_gone;
};

struct run_server {
    struct loop *loop;
    struct channel_server *listener; /* owned */
    struct told *lines;              /* owned: every event so far */
    size_t n_lines;
    size_t capacity;
    struct gate told; /* opened with each new line, and at the end */
    struct gate left; /* opened when a follower leaves */
    size_t n_followers;
    bool is_closing;
    struct run_asked asked;
};

/* A folder that only we can enter: somebody else's in its place is refused. */
static int check_folder(const char *folder, struct error *err)
{
    struct stat status;
    if (lstat(folder, &status) < 0)
        return error_set(err, ERROR_NOT_FOUND, "%s: no such folder", folder);
    if (!S_ISDIR(status.st_mode) || status.st_uid != getuid() || (status.st_mode & 077) != 0)
        return error_set(
            err, ERROR_DENIED,
            "%s must be a folder of yours with mode 0700; set XDG_RUNTIME_DIR to another place",
            folder);
    return 0;
}

/* The caller frees it. */
static char *socket_folder(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    return runtime && *runtime ? string_format("%s/parley", runtime)
                               : string_format("/tmp/parley-%u", (unsigned)getuid());
}

int run_socket_path(const char *run_id, bool create, char **ret_path, struct error *err)
{
    CLEANUP(mem_freep) char *folder = socket_folder();
    int r = create ? world_make_folder(folder, 0700, err) : 0;
    if (r < 0 || (r = check_folder(folder, err)) < 0)
        return r;
    *ret_path = string_format("%s/run-%.13s.sock", folder, run_id);
    return 0;
}

/* {"ask": "cancel"}, {"ask": "abort"} or {"ask": "counts"}; anything else is not for us. */
static void take_request(struct follower_link *link, const char *line, size_t length)
{
    struct run_server *server = link->server;
    CLEANUP(value_unrefp) struct value *request = NULL;
    if (json_read(line, length, &request, NULL) < 0)
        return;
    const char *ask = value_get_text(request, "ask");
    if (ask && text_equal(ask, "cancel"))
        server->asked.cancel(server->asked.argument);
    else if (ask && text_equal(ask, "abort"))
        server->asked.abort();
    else if (ask && text_equal(ask, "counts")) {
        link->counts = true;
        link->after = value_get_integer(request, "after", 0);
    }
}

static void receive_main(void *argument)
{
    struct follower_link *link = argument;
    for (;;) {
        char *line = NULL;
        size_t length = 0;
        int r = channel_receive(link->channel, -1, &line, &length, NULL);
        if (r < 0 || !line)
            break;
        take_request(link, line, length);
        mem_free(line);
    }
    link->is_gone = true;
    gate_open(link->server->loop, &link->server->told);
    gate_open(link->server->loop, &link->server->left);
}

static CO_FN bool send_text(struct follower_link *link, const char *line)
{
    int64_t deadline = world_monotonic_clock() + (int64_t)SEND_SECONDS * SECOND;
    return channel_send(link->channel, line, strlen(line), deadline, NULL) == 0;
}

/* Passes over the plain lines that come next; the caller frees what is to be sent instead of them,
 * NULL: nothing. */
static char *count_plain(struct follower_link *link)
{
    struct run_server *server = link->server;
    size_t n_ended = 0;
    int64_t seq = 0;
    for (; link->n_sent < server->n_lines && server->lines[link->n_sent].is_plain; link->n_sent++) {
        const struct told *told = &server->lines[link->n_sent];
        n_ended += told->is_ended && told->seq > link->after;
        seq = told->seq;
    }
    return n_ended == 0 ? NULL
                        : string_format("{\"kind\":\"tally\",\"ended\":%zu,\"seq\":%lld}", n_ended,
                                        (long long)seq);
}

static CO_FN bool send_lines(struct follower_link *link)
{
    struct run_server *server = link->server;
    while (link->n_sent < server->n_lines) {
        CLEANUP(mem_freep) char *tally = link->counts ? count_plain(link) : NULL;
        if (tally && !send_text(link, tally))
            return false;
        if (tally || link->n_sent == server->n_lines)
            continue;
        if (!send_text(link, server->lines[link->n_sent].line))
            return false;
        link->n_sent++;
    }
    return true;
}

/* Sends what there is from the first line on, then what comes, until the follower or the run is
 * gone. */
static void serve(void *argument, struct channel *take_channel)
{
    struct run_server *server = argument;
    struct follower_link link = {.server = server, .channel = take_channel};
    server->n_followers++;
    loop_spawn(server->loop, "run request", receive_main, &link);
    while (!link.is_gone && send_lines(&link)) {
        if (server->is_closing && link.n_sent == server->n_lines)
            break;
        (void)gate_wait(server->loop, &server->told, -1, NULL);
    }
    channel_shut(link.channel);
    while (!link.is_gone)
        (void)gate_wait(server->loop, &server->left, -1, NULL);
    channel_free(link.channel);
    server->n_followers--;
    gate_open(server->loop, &server->left);
}

static int sweep_one(void *argument, const char *name, struct error *err)
{
    const char *folder = argument;
    (void)err;
    if (!text_starts_with(name, "run-") || !text_ends_with(name, ".sock"))
        return 0;
    CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, name);
    (void)channel_remove_dead(path, NULL);
    return 0;
}

void run_sweep_sockets(void)
{
    CLEANUP(mem_freep) char *folder = socket_folder();
    if (!world_is_simulated() && check_folder(folder, NULL) == 0)
        (void)world_list_folder(folder, sweep_one, folder, NULL);
}

int run_server_open(struct loop *loop, const char *run_id, const struct run_asked *asked,
                    struct run_server **ret_server, struct error *err)
{
    CLEANUP(mem_freep) char *path = NULL;
    int r = run_socket_path(run_id, true, &path, err);
    if (r < 0)
        return r;
    run_sweep_sockets();
    struct run_server *server = NEW(struct run_server);
    server->loop = loop;
    server->asked = *asked;
    r = channel_listen(loop, path, RUN_LINE_LIMIT, MAX_FOLLOWERS, serve, server, &server->listener,
                       err);
    if (r < 0) {
        mem_free(server);
        return r;
    }
    *ret_server = server;
    return 0;
}

void run_server_tell(struct run_server *server, const struct value *event)
{
    const char *kind = value_get_text(event, "kind");
    bool is_ended = false;
    bool is_plain = kind && store_is_plain_row(kind, event, &is_ended);
    ARRAY_RESERVE(server->lines, server->n_lines, server->capacity);
    server->lines[server->n_lines++] = (struct told){
        .line = json_text(event),
        .seq = value_get_integer(event, "seq", 0),
        .is_plain = is_plain,
        .is_ended = is_ended,
    };
    gate_open(server->loop, &server->told);
}

void run_server_close(struct run_server *server)
{
    if (!server)
        return;
    int64_t patience = world_monotonic_clock() + (int64_t)CLOSE_SECONDS * SECOND;
    server->is_closing = true;
    gate_open(server->loop, &server->told);
    while (server->n_followers > 0)
        if (gate_wait(server->loop, &server->left, patience, NULL) < 0)
            break;
    channel_server_free(server->listener);
    if (server->n_followers > 0)
        return; /* Somebody does not read: the process ends anyway, and the store has it all. */
    for (size_t i = 0; i < server->n_lines; i++)
        mem_free(server->lines[i].line);
    mem_free(server->lines);
    mem_free(server);
}
