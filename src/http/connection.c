/*
 * Connections: accepted by us, so that limits and addresses are ours; served by the daemon; ended
 * by shutting the socket down, which the daemon then finds closed.
 */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "http/http-private.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

/* What the daemon has read ahead, and TLS has deciphered, epoll knows nothing of. Others get their
 * turn after a few rounds. */
void server_run_daemon(struct http_server *server)
{
    enum { ROUNDS = 8 };
    MHD_UNSIGNED_LONG_LONG timeout = 0;
    for (int i = 0; i < ROUNDS; i++) {
        MHD_run(server->daemon);
        if (MHD_get_timeout(server->daemon, &timeout) != MHD_YES || timeout > 0)
            return;
    }
    server_plan_run(server);
}

static void run_planned(void *argument)
{
    struct http_server *server = argument;
    server->is_run_planned = false;
    server->counts.n_wakeups++;
    server_run_daemon(server);
    gate_open(server->loop, &server->changed);
}

void server_plan_run(struct http_server *server)
{
    if (server->is_run_planned)
        return;
    server->is_run_planned = true;
    loop_spawn(server->loop, "http", run_planned, server);
}

/* --- Deadlines: one timer for all connections. It may ring too early, never too late. --- */

static void deadlines_ring(void *argument)
{
    struct http_server *server = argument;
    server->deadline_timer = NULL;
    server->armed_deadline = INT64_MAX;
    server->counts.n_wakeups++;
    server_see_deadlines(server);
}

static void arm(struct http_server *server, int64_t deadline)
{
    /* Many deadlines close to each other ring once. */
    enum { GRAIN_US = 50 * 1000 };
    if (deadline >= server->armed_deadline)
        return;
    int64_t delay = deadline - world_monotonic_clock() + GRAIN_US;
    loop_timer_cancel(server->deadline_timer);
    server->armed_deadline = deadline;
    server->deadline_timer =
        loop_timer(server->loop, delay > 0 ? delay : 0, deadlines_ring, server);
}

void server_see_deadlines(struct http_server *server)
{
    int64_t now = world_monotonic_clock(), next = INT64_MAX;
    for (struct connection *at = server->first; at; at = at->next) {
        if (at->deadline <= now) {
            server->counts.n_cut++;
            connection_cut(at);
        } else if (at->deadline < next) {
            next = at->deadline;
        }
    }
    if (next < INT64_MAX)
        arm(server, next);
}

void connection_set_deadline(struct connection *connection, int64_t deadline)
{
    connection->deadline = deadline;
    arm(connection->server, deadline);
}

void connection_wait(struct connection *connection, int64_t timeout_us)
{
    connection->since = world_monotonic_clock();
    connection_set_deadline(connection, connection->since + timeout_us);
}

/* --- Their ends --- */

static void lose(struct connection *connection)
{
    connection->is_gone = true;
    if (connection->request)
        request_lose(connection->request);
}

void connection_cut(struct connection *connection)
{
    connection->deadline = INT64_MAX;
    shutdown(connection->fd, SHUT_RDWR);
    lose(connection);
}

void server_see_hangups(struct http_server *server)
{
    struct epoll_event events[64];
    int n;
    while ((n = epoll_wait(server->hangup_fd, events, (int)ARRAY_LENGTH(events), 0)) > 0)
        for (int i = 0; i < n; i++)
            lose(events[i].data.ptr);
}

/* --- Their beginnings --- */

static void write_address(const struct sockaddr *address, char ret_text[INET6_ADDRSTRLEN])
{
    const void *bytes = &((const struct sockaddr_in *)address)->sin_addr;
    if (address->sa_family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)address)->sin6_addr;
    if (!inet_ntop(address->sa_family, bytes, ret_text, INET6_ADDRSTRLEN))
        ret_text[0] = '\0';
}

static void connection_begin(struct http_server *server, struct MHD_Connection *mhd,
                             struct connection **ret_connection)
{
    struct connection *connection = NEW(struct connection);
    connection->server = server;
    connection->mhd = mhd;
    connection->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    write_address(MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr,
                  connection->address);
    connection->link = &server->first;
    connection->next = server->first;
    if (connection->next)
        connection->next->link = &connection->next;
    server->first = connection;
    server->counts.n_connections++;
    /* Only a close wakes this one: requests cost it nothing. */
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = connection};
    epoll_ctl(server->hangup_fd, EPOLL_CTL_ADD, connection->fd, &event);
    connection_wait(connection, server->settings.header_timeout_us);
    *ret_connection = connection;
}

static void connection_end(struct connection *connection)
{
    struct http_server *server = connection->server;
    assert(!connection->request);
    epoll_ctl(server->hangup_fd, EPOLL_CTL_DEL, connection->fd, NULL);
    *connection->link = connection->next;
    if (connection->next)
        connection->next->link = connection->link;
    server->counts.n_connections--;
    mem_free(connection);
    gate_open(server->loop, &server->changed);
}

void connection_notify(void *server, struct MHD_Connection *mhd, void **context,
                       enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        connection_begin(server, mhd, (struct connection **)context);
    } else if (*context) {
        connection_end(*context);
        *context = NULL;
    }
}

/*
 * Makes room for one more from this address: who has waited longest for a request is cut, so that
 * idle and slow clients cannot keep others out. False when all are busy.
 */
static bool make_room(struct http_server *server, const char *address)
{
    struct connection *of_all = NULL, *of_address = NULL;
    size_t n = 0, n_same = 0;
    for (struct connection *at = server->first; at; at = at->next) {
        if (at->is_gone)
            continue;
        bool is_same = text_equal(at->address, address), is_waiting = !at->request;
        n++;
        n_same += is_same;
        if (is_waiting && (!of_all || at->since < of_all->since))
            of_all = at;
        if (is_waiting && is_same && (!of_address || at->since < of_address->since))
            of_address = at;
    }
    bool is_same_full = n_same >= server->settings.max_per_address;
    if (n < server->settings.max_connections && !is_same_full)
        return true;
    struct connection *victim = is_same_full ? of_address : of_all;
    server->counts.n_refused++;
    if (!victim)
        return false;
    connection_cut(victim);
    return true;
}

static void refuse(const struct http_server *server, int take_fd)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                                 "Content-Length: 0\r\nConnection: close\r\n\r\n";
    if (!server->is_tls)
        (void)!send(take_fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(take_fd);
}

static void accept_again(void *argument)
{
    struct http_server *server = argument;
    server->accept_timer = NULL;
    server->counts.n_wakeups++;
    for (size_t i = 0; i < server->n_listeners; i++)
        loop_watch_change(server->listeners[i].watch, LOOP_READABLE);
}

/* No descriptor or no memory is free: clients wait in the system's queue meanwhile. */
static void accept_later(struct http_server *server)
{
    const int64_t pause_us = 100000;
    for (size_t i = 0; i < server->n_listeners; i++)
        loop_watch_change(server->listeners[i].watch, 0);
    if (!server->accept_timer)
        server->accept_timer = loop_timer(server->loop, pause_us, accept_again, server);
}

static void accept_ready(void *argument, int events)
{
    enum { MAX_AT_ONCE = 16 };
    struct listener *listener = argument;
    struct http_server *server = listener->server;
    (void)events;
    server->counts.n_wakeups++;
    for (int i = 0; i < MAX_AT_ONCE; i++) {
        struct sockaddr_storage address = {0};
        socklen_t size = sizeof(address);
        char text[INET6_ADDRSTRLEN];
        int fd =
            accept4(listener->fd, (struct sockaddr *)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
            accept_later(server);
        if (fd < 0)
            return;
        write_address((struct sockaddr *)&address, text);
        if (make_room(server, text))
            MHD_add_connection(server->daemon, fd, (struct sockaddr *)&address, size);
        else
            refuse(server, fd);
    }
}

void server_add_listener(struct http_server *server, int take_fd)
{
    assert(server->n_listeners < MAX_LISTENERS);
    struct listener *listener = &server->listeners[server->n_listeners++];
    *listener = (struct listener){.server = server, .fd = take_fd};
    listener->watch = loop_watch(server->loop, take_fd, LOOP_READABLE, accept_ready, listener);
}

void server_remove_listeners(struct http_server *server)
{
    while (server->n_listeners > 0) {
        struct listener *listener = &server->listeners[--server->n_listeners];
        loop_unwatch(listener->watch);
        close(listener->fd);
    }
}
