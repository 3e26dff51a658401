#include "twin/balancer-servers.h"

#include "base/text.h"
#include "base/world.h"

#include <string.h>

enum {
    COMMAND_TIME = 2 * 1000 * 1000, /* microseconds */
    CHECK_TIME = 3 * 1000 * 1000,   /* until a new server's first check has ended */
    UP_TIME = 10 * 1000 * 1000,     /* until somebody takes over from the last one that goes */
    DRAIN_TIME = 30 * 1000 * 1000,  /* for requests that are under way; docs/twin.md names it */
    CLOSE_TIME = 2 * 1000 * 1000,   /* for connections that were cut, or idle */
    POLL_PAUSE = 5 * 1000
};

/* --- Which there are --- */

void balancer_servers_done(struct balancer_servers *servers)
{
    for (size_t i = 0; i < servers->n_items; i++) {
        mem_free(servers->items[i].backend);
        mem_free(servers->items[i].name);
        mem_free(servers->items[i].address);
    }
    mem_free(servers->items);
    *servers = (struct balancer_servers){0};
}

static void add(struct balancer_servers *servers, const char *backend,
                const struct balancer_server *server)
{
    ARRAY_RESERVE(servers->items, servers->n_items, servers->capacity);
    servers->items[servers->n_items++] = (struct balancer_server){
        .backend = string_copy(backend),
        .name = string_copy(server->name),
        .address = string_copy(server->address),
        .port = server->port,
    };
}

struct balancer_servers balancer_servers_copy(const struct balancer_servers *servers)
{
    struct balancer_servers copy = {0};
    for (size_t i = 0; i < servers->n_items; i++)
        add(&copy, servers->items[i].backend, &servers->items[i]);
    return copy;
}

struct collector {
    struct balancer_servers *servers;
    const struct balancer_config *config;
};

static void collect(void *argument, const struct machine_backend *backend)
{
    struct collector *collector = argument;
    struct balancer_servers *servers = collector->servers;
    CLEANUP(mem_freep) char *name = balancer_backend_name(collector->config, backend);
    for (size_t i = 0; i < backend->n_servers; i++) {
        const struct machine_host *host = backend->servers[i];
        struct balancer_server server = {
            .name = (char *)(uintptr_t)host->name,
            .address = (char *)(uintptr_t)host->address,
            .port = balancer_server_port(collector->config, backend),
        };
        add(servers, name, &server);
    }
}

struct balancer_servers balancer_servers_of(const struct balancer_config *config)
{
    struct balancer_servers servers = {0};
    struct collector collector = {&servers, config};
    balancer_each_backend(config, collect, &collector);
    return servers;
}

static bool has_server(const struct balancer_servers *servers, const struct balancer_server *server)
{
    for (size_t i = 0; i < servers->n_items; i++)
        if (text_equal(servers->items[i].backend, server->backend) &&
            text_equal(servers->items[i].name, server->name) &&
            text_equal(servers->items[i].address, server->address) &&
            servers->items[i].port == server->port)
            return true;
    return false;
}

static bool has_name(const struct balancer_servers *servers, const struct balancer_server *server)
{
    for (size_t i = 0; i < servers->n_items; i++)
        if (text_equal(servers->items[i].backend, server->backend) &&
            text_equal(servers->items[i].name, server->name))
            return true;
    return false;
}

/* --- Commands --- */

CO_FN int balancer_control_ask(struct balancer_control *control, const char *command,
                               char **ret_answer, struct error *err)
{
    return balancer_command(control->loop, control->socket, command,
                            world_monotonic_clock() + COMMAND_TIME, ret_answer, err);
}

CO_FN int balancer_control_look(struct balancer_control *control, struct error *err)
{
    CLEANUP(mem_freep) char *answer = NULL;
    struct balancer_statistics statistics = {0};
    int r = balancer_control_ask(control, "show stat", &answer, err);
    if (r == 0)
        r = balancer_parse_statistics(answer, &statistics, err);
    if (r < 0)
        return r;
    balancer_statistics_done(&control->statistics);
    control->statistics = statistics;
    return 0;
}

/* A command that says something only when it fails or, politely, when it is done. */
static CO_FN int change(struct balancer_control *control, const char *verb,
                        const struct balancer_server *server, const char *rest, struct error *err)
{
    CLEANUP(mem_freep)
    char *text = string_format("%s %s/%s%s", verb, server->backend, server->name, rest);
    CLEANUP(mem_freep) char *answer = NULL;
    int r = balancer_control_ask(control, text, &answer, err);
    if (r < 0)
        return r;
    if (*answer && !strstr(answer, "New server registered") && !strstr(answer, "Server deleted"))
        return error_set(err, ERROR_CONFLICT, "HAProxy answers to \"%s\": %s", text, answer);
    return 0;
}

static CO_FN const struct balancer_line *look_at(struct balancer_control *control,
                                                 const struct balancer_server *server)
{
    if (balancer_control_look(control, NULL) < 0)
        return NULL;
    return balancer_find_line(&control->statistics, server->backend, server->name);
}

/* --- They come and go --- */

/* HAProxy takes a new server for one that is up; it gets requests when a check has told. */
static CO_FN void await_check(struct balancer_control *control,
                              const struct balancer_server *server)
{
    int64_t deadline = world_monotonic_clock() + CHECK_TIME;
    const struct balancer_line *line;
    while (world_monotonic_clock() < deadline && (line = look_at(control, server)) &&
           !balancer_line_is_checked(line))
        loop_sleep(control->loop, POLL_PAUSE);
}

static CO_FN int add_server(struct balancer_control *control, const struct balancer_server *server,
                            struct error *err)
{
    CLEANUP(mem_freep)
    char *rest = string_format(" %s:%u " BALANCER_SERVER_OPTIONS, server->address, server->port);
    int r = change(control, "add server", server, rest, err);
    if (r == 0)
        r = change(control, "enable health", server, "", err);
    if (r == 0)
        r = change(control, "set server", server, " state drain", err);
    if (r < 0)
        return r;
    await_check(control, server);
    if (balancer_is_held(control->holds, server->name, server->port))
        return 0;
    return change(control, "set server", server, " state ready", err);
}

static CO_FN int64_t sessions_of(struct balancer_control *control,
                                 const struct balancer_server *server)
{
    const struct balancer_line *line = look_at(control, server);
    return line ? line->sessions : 0;
}

/* Waits until it has ended what it had. */
static CO_FN void await_drained(struct balancer_control *control,
                                const struct balancer_server *server, int64_t deadline)
{
    while (sessions_of(control, server) > 0 && world_monotonic_clock() < deadline)
        loop_sleep(control->loop, POLL_PAUSE);
}

/* One that gets no new requests ends those it has, and goes; what lasts too long is cut. */
static CO_FN int remove_server(struct balancer_control *control,
                               const struct balancer_server *server, int64_t deadline,
                               struct error *err)
{
    await_drained(control, server, deadline);
    deadline = world_monotonic_clock() + CLOSE_TIME;
    int r = change(control, "set server", server, " state maint", err);
    if (r == 0)
        r = change(control, "shutdown sessions server", server, "", err);
    if (r == 0)
        r = change(control, "del server", server, "", err);
    /* Idle connections to it are closed a little later. */
    while (r == -ERROR_CONFLICT && world_monotonic_clock() < deadline) {
        loop_sleep(control->loop, POLL_PAUSE);
        r = change(control, "del server", server, "", err);
    }
    return r;
}

/* One that has moved is asked at its new place from now on, and ends what it has at the old one. */
static CO_FN int move_server(struct balancer_control *control, const struct balancer_server *server,
                             struct error *err)
{
    CLEANUP(mem_freep)
    char *text = string_format("set server %s/%s addr %s port %u", server->backend, server->name,
                               server->address, server->port);
    CLEANUP(mem_freep) char *answer = NULL;
    int r = balancer_control_ask(control, text, &answer, err);
    if (r == 0 && !strstr(answer, "changed from") && !strstr(answer, "no need to change"))
        r = error_set(err, ERROR_CONFLICT, "HAProxy answers to \"%s\": %s", text, answer);
    return r;
}

/* Whether somebody but this one takes requests in its backend. */
static bool has_others(const struct balancer_control *control,
                       const struct balancer_servers *servers, const struct balancer_server *server)
{
    for (size_t i = 0; i < servers->n_items; i++) {
        const struct balancer_server *other = &servers->items[i];
        const struct balancer_line *line =
            balancer_find_line(&control->statistics, other->backend, other->name);
        if (text_equal(other->backend, server->backend) && !text_equal(other->name, server->name) &&
            line && balancer_line_is_sound(line))
            return true;
    }
    return false;
}

static bool has_backend(const struct balancer_servers *servers, const char *backend)
{
    for (size_t i = 0; i < servers->n_items; i++)
        if (text_equal(servers->items[i].backend, backend))
            return true;
    return false;
}

/* Whether one that goes takes requests, and others stay or come of which none does. */
static bool leaves_nobody(const struct balancer_control *control,
                          const struct balancer_servers *running,
                          const struct balancer_servers *wanted)
{
    for (size_t i = 0; i < running->n_items; i++) {
        const struct balancer_server *server = &running->items[i];
        const struct balancer_line *line =
            balancer_find_line(&control->statistics, server->backend, server->name);
        if (!has_name(wanted, server) && has_backend(wanted, server->backend) && line &&
            balancer_line_is_sound(line) && !has_others(control, wanted, server))
            return true;
    }
    return false;
}

/* What runs on those that come may have begun just now, and have failed its first check. */
static CO_FN void await_successors(struct balancer_control *control,
                                   const struct balancer_servers *running,
                                   const struct balancer_servers *wanted)
{
    int64_t deadline = world_monotonic_clock() + UP_TIME;
    while (balancer_control_look(control, NULL) == 0 && leaves_nobody(control, running, wanted) &&
           world_monotonic_clock() < deadline)
        loop_sleep(control->loop, POLL_PAUSE);
}

/* All that go do so at the same time: no request of one waits for those of another. */
static CO_FN int remove_unwanted(struct balancer_control *control,
                                 const struct balancer_servers *running,
                                 const struct balancer_servers *wanted, struct error *err)
{
    int64_t deadline = world_monotonic_clock() + DRAIN_TIME;
    int r = 0;
    for (size_t i = 0; r == 0 && i < running->n_items; i++)
        if (!has_name(wanted, &running->items[i]))
            r = change(control, "set server", &running->items[i], " state drain", err);
    for (size_t i = 0; r == 0 && i < running->n_items; i++)
        if (!has_name(wanted, &running->items[i]))
            r = remove_server(control, &running->items[i], deadline, err);
    return r;
}

/* Where all are replaced, somebody must be there before the last one goes. */
CO_FN int balancer_servers_change(struct balancer_control *control,
                                  const struct balancer_servers *running,
                                  const struct balancer_servers *wanted, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < wanted->n_items; i++) {
        const struct balancer_server *server = &wanted->items[i];
        if (!has_name(running, server))
            r = add_server(control, server, err);
        else if (!has_server(running, server))
            r = move_server(control, server, err);
    }
    if (r < 0)
        return r;
    await_successors(control, running, wanted);
    return remove_unwanted(control, running, wanted, err);
}

/* A server by its host and port, in any backend. */
static bool is_at(const struct balancer_server *server, const char *host, uint16_t port)
{
    return text_equal(server->name, host) && (port == 0 || server->port == port);
}

CO_FN void balancer_servers_drain(struct balancer_control *control,
                                  const struct balancer_servers *running, const char *host,
                                  uint16_t port)
{
    int64_t deadline = world_monotonic_clock() + DRAIN_TIME;
    for (size_t i = 0; i < running->n_items; i++) {
        const struct balancer_server *server = &running->items[i];
        if (!is_at(server, host, port) || balancer_control_look(control, NULL) < 0 ||
            !has_others(control, running, server) ||
            change(control, "set server", server, " state drain", NULL) < 0)
            continue;
        await_drained(control, server, deadline);
    }
}

CO_FN void balancer_servers_resume(struct balancer_control *control,
                                   const struct balancer_servers *running, const char *host,
                                   uint16_t port)
{
    for (size_t i = 0; i < running->n_items; i++)
        if (is_at(&running->items[i], host, port) &&
            !balancer_is_held(control->holds, host, running->items[i].port))
            change(control, "set server", &running->items[i], " state ready", NULL);
}

CO_FN void balancer_servers_hold(struct balancer_control *control,
                                 const struct balancer_servers *running, const char *host,
                                 uint16_t port)
{
    for (size_t i = 0; i < running->n_items; i++)
        if (is_at(&running->items[i], host, port))
            change(control, "set server", &running->items[i], " state drain", NULL);
}

CO_FN bool balancer_servers_have_others(struct balancer_control *control,
                                        const struct balancer_servers *running, const char *host,
                                        bool *ret_is_asked)
{
    for (size_t i = 0; i < running->n_items; i++) {
        if (!is_at(&running->items[i], host, 0))
            continue;
        *ret_is_asked = true;
        if (balancer_control_look(control, NULL) < 0 ||
            !has_others(control, running, &running->items[i]))
            return false;
    }
    return true;
}

CO_FN void balancer_servers_await_idle(struct balancer_control *control,
                                       const struct balancer_servers *running, const char *host,
                                       uint16_t port)
{
    int64_t deadline = world_monotonic_clock() + DRAIN_TIME;
    for (size_t i = 0; i < running->n_items; i++) {
        if (!is_at(&running->items[i], host, port))
            continue;
        await_drained(control, &running->items[i], deadline);
        if (sessions_of(control, &running->items[i]) > 0)
            change(control, "shutdown sessions server", &running->items[i], "", NULL);
    }
}

/* --- What a start is told --- */

static bool serves(const struct balancer_control *control, const struct balancer_server *server)
{
    const struct balancer_line *line =
        balancer_find_line(&control->statistics, server->backend, server->name);
    return line && balancer_line_is_up(line);
}

/* Whether one of the servers of a backend serves that are in the second list, too, if there is one.
 */
static bool has_serving(const struct balancer_control *control, const char *backend,
                        const struct balancer_servers *servers,
                        const struct balancer_servers *others)
{
    for (size_t i = 0; i < servers->n_items; i++)
        if (text_equal(servers->items[i].backend, backend) && serves(control, &servers->items[i]) &&
            (!others || has_server(others, &servers->items[i])))
            return true;
    return false;
}

/* The fields that this leaves open are those of agents, names and service records. */
static void write_state(struct strbuf *out, const struct balancer_server *server, bool begins_up,
                        bool is_held)
{
    enum { DRAINS = 8 }; /* one of the bits of srv_admin_state */
    strbuf_addf(out, "1 %s 1 %s %s %d %d 1 1 0 1 0 %d 6 0 0 0 - %u - 0 0 - - 0\n", server->backend,
                server->name, server->address, begins_up ? 2 : 0, is_held ? DRAINS : 0,
                begins_up ? 1 : 0, server->port);
}

void balancer_servers_write_states(struct strbuf *out, const struct balancer_control *control,
                                   const struct balancer_servers *running,
                                   const struct balancer_servers *wanted)
{
    strbuf_add(out, "1\n"
                    "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state "
                    "srv_uweight srv_iweight srv_time_since_last_change srv_check_status "
                    "srv_check_result srv_check_health srv_check_state srv_agent_state "
                    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl "
                    "srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n");
    for (size_t i = 0; i < wanted->n_items; i++) {
        const struct balancer_server *server = &wanted->items[i];
        bool loses_all = has_serving(control, server->backend, running, NULL) &&
                         !has_serving(control, server->backend, running, wanted);
        write_state(out, server, has_server(running, server) ? serves(control, server) : loses_all,
                    balancer_is_held(control->holds, server->name, server->port));
    }
}
