/* Starting, listening and stopping. */
#include "http/server.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "http/http-private.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void set_defaults(struct http_settings *settings)
{
    const int64_t second = 1000000;
#define DEFAULT(name, value)          \
    do {                              \
        if (!settings->name)          \
            settings->name = (value); \
    } while (0)
    DEFAULT(max_body, HTTP_MAX_BODY);
    DEFAULT(max_headers, HTTP_MAX_HEADERS);
    DEFAULT(max_connections, HTTP_MAX_CONNECTIONS);
    DEFAULT(max_per_address, settings->max_connections);
    DEFAULT(max_requests, HTTP_MAX_REQUESTS);
    DEFAULT(max_buffered, HTTP_MAX_BUFFERED);
    DEFAULT(header_timeout_us, HTTP_HEADER_SECONDS * second);
    DEFAULT(body_timeout_us, HTTP_BODY_SECONDS * second);
    DEFAULT(idle_timeout_us, HTTP_IDLE_SECONDS * second);
    DEFAULT(stall_timeout_us, HTTP_STALL_SECONDS * second);
#undef DEFAULT
}

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t address_size(const union address *address)
{
    return address->any.sa_family == AF_INET ? sizeof(address->v4) : sizeof(address->v6);
}

static bool read_address(const char *text, uint16_t port, union address *ret_address)
{
    union address address = {0};
    if (inet_pton(AF_INET, text, &address.v4.sin_addr) == 1) {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons(port);
    } else if (inet_pton(AF_INET6, text, &address.v6.sin6_addr) == 1) {
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons(port);
    } else {
        return false;
    }
    *ret_address = address;
    return true;
}

/* Returns a listening descriptor or -1 with errno. */
static int listen_on(const union address *address)
{
    const int on = 1;
    CLEANUP(close_descriptorp)
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (address->any.sa_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
        bind(fd, &address->any, address_size(address)) < 0 || listen(fd, SOMAXCONN) < 0) {
        int reason = errno;
        close_descriptor(take_descriptor(&fd));
        errno = reason;
        return -1;
    }
    return take_descriptor(&fd);
}

static uint16_t port_of(int fd)
{
    union address address = {0};
    socklen_t size = sizeof(address);
    getsockname(fd, &address.any, &size);
    return ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
}

static int listen_once(struct http_server *server, const char *text, uint16_t port,
                       struct error *err)
{
    union address address;
    if (!read_address(text, port, &address))
        return error_set(err, ERROR_INVALID,
                         "\"%s\" is no numeric address to listen on: give one such as 127.0.0.1 "
                         "or ::1",
                         text);
    int fd = listen_on(&address);
    if (fd < 0 && errno == EADDRINUSE)
        return error_set(err, ERROR_BUSY,
                         "port %u of %s is taken by another program: stop it or choose another "
                         "port",
                         port, text);
    if (fd < 0)
        return error_set_errno(err, errno, "listen on port %u of %s", port, text);
    server->port = port_of(fd);
    server_add_listener(server, fd);
    return 0;
}

/* Both loopback addresses on one port. A free port of the first may be taken on the second: then
 * another one is tried. Without IPv6 the first alone is right. */
static int listen_on_loopback(struct http_server *server, uint16_t port, struct error *err)
{
    enum { TRIES = 16 };
    int r = 0;
    for (int i = 0; i < TRIES; i++) {
        struct error second = {0};
        r = listen_once(server, "127.0.0.1", port, err);
        if (r < 0)
            return r;
        r = listen_once(server, "::1", server->port, &second);
        if (r >= 0 || second.code != ERROR_BUSY) {
            error_done(&second);
            return 0;
        }
        server_remove_listeners(server);
        r = error_move(err, &second);
        if (port)
            return r;
    }
    return r;
}

static void ready(void *argument, int events)
{
    struct http_server *server = argument;
    (void)events;
    server->counts.n_wakeups++;
    server_run_daemon(server);
}

static void hangups_ready(void *argument, int events)
{
    struct http_server *server = argument;
    (void)events;
    server->counts.n_wakeups++;
    server_see_hangups(server);
}

/* The target is taken as it came: nothing is unescaped. */
static size_t keep_escapes(void *argument, struct MHD_Connection *mhd, char *text)
{
    (void)argument;
    (void)mhd;
    return strlen(text);
}

static int start_daemon(struct http_server *server, const struct http_settings *settings,
                        struct error *err)
{
    /* Those that are cut to make room are the daemon's until its next turn. */
    enum { EXTRA_MEMORY = 8 * 1024, EXTRA_CONNECTIONS = 64 };
    static const char priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
    unsigned int flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)settings->certificate},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)settings->key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)priorities},
        {MHD_OPTION_END, 0, NULL},
    };
    if (server->is_tls)
        flags |= MHD_USE_TLS;
    else
        tls[0].option = MHD_OPTION_END;
    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, request_continued, server, MHD_OPTION_ARRAY, tls,
        MHD_OPTION_NOTIFY_CONNECTION, connection_notify, server, MHD_OPTION_NOTIFY_COMPLETED,
        request_completed, server, MHD_OPTION_URI_LOG_CALLBACK, request_started, server,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_CONNECTION_LIMIT,
        2 * (unsigned int)server->settings.max_connections + EXTRA_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, 0U, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        2 * server->settings.max_headers + EXTRA_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_END);
    if (!server->daemon && server->is_tls)
        return error_set(err, ERROR_INVALID,
                         "certificate and key cannot be used for TLS: both must be PEM text and "
                         "belong together");
    if (!server->daemon)
        return error_set(err, ERROR_SYSTEM, "the HTTP server does not start");
    int fd = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    server->daemon_watch = loop_watch(server->loop, fd, LOOP_READABLE, ready, server);
    return 0;
}

static void free_server(struct http_server *server)
{
    server_remove_listeners(server);
    loop_unwatch(server->daemon_watch);
    loop_unwatch(server->hangup_watch);
    loop_timer_cancel(server->deadline_timer);
    loop_timer_cancel(server->accept_timer);
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    close_descriptor(server->hangup_fd);
    mem_free(server);
}
DEFINE_CLEANUP(struct http_server *, free_server)

int http_server_start(struct loop *loop, const struct http_settings *settings,
                      struct http_server **ret_server, struct error *err)
{
    assert(settings->handle && !settings->certificate == !settings->key);
    CLEANUP(free_serverp) struct http_server *server = NEW(struct http_server);
    server->loop = loop;
    server->settings = *settings;
    server->is_tls = settings->certificate != NULL;
    server->armed_deadline = INT64_MAX;
    set_defaults(&server->settings);
    server->settings.certificate = server->settings.key = server->settings.address = NULL;
    server->hangup_fd = epoll_create1(EPOLL_CLOEXEC);
    if (server->hangup_fd < 0)
        return error_set_errno(err, errno, "watch for clients that hang up");
    int r = late_load(err);
    if (r >= 0)
        r = start_daemon(server, settings, err);
    if (r >= 0 && settings->address)
        r = listen_once(server, settings->address, settings->port, err);
    else if (r >= 0)
        r = listen_on_loopback(server, settings->port, err);
    if (r < 0)
        return r;
    server->hangup_watch =
        loop_watch(loop, server->hangup_fd, LOOP_READABLE, hangups_ready, server);
    *ret_server = take_ptr(server);
    return 0;
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

struct http_counts http_server_count(const struct http_server *server)
{
    return server->counts;
}

/* Waits until nothing is left; false past the deadline. */
CO_FN static bool wait_until_empty(struct http_server *server, int64_t deadline)
{
    while (server->counts.n_connections > 0 || server->counts.n_requests > 0 ||
           server->is_run_planned)
        if (gate_wait(server->loop, &server->changed, deadline, NULL) < 0)
            return false;
    return true;
}

void http_server_stop(struct http_server *server, int64_t deadline)
{
    server->is_stopping = true;
    server_remove_listeners(server);
    for (struct connection *at = server->first; at; at = at->next)
        if (!at->request || at->request->state < REQUEST_RUNNING)
            connection_cut(at);
    if (!wait_until_empty(server, deadline)) {
        for (struct connection *at = server->first; at; at = at->next)
            connection_cut(at);
        wait_until_empty(server, -1);
    }
    free_server(server);
}
