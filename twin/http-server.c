#include "twin/http-server.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 1024,
    HEAD_TIME = 10 * 1000 * 1000, /* microseconds, from its first byte to its last */
    BODY_TIME = 60 * 1000 * 1000, /* as many as a slow line needs */
    SEND_TIME = 10 * 1000 * 1000,
    LINGER_TIME = 500 * 1000,
    ACCEPT_PAUSE = 50 * 1000
};

struct connection {
    struct http_server *server;
    struct http_stream stream;
    struct connection *next;
    struct connection **link; /* what points to this one */
    bool is_idle;             /* waits for the first byte of a request */
};

struct http_server {
    struct loop *loop;
    struct http_service service;
    int fd;              /* owned */
    struct watch *watch; /* NULL while no connection is accepted */
    struct timer *pause;
    struct connection *connections;
    size_t n_connections;
    struct gate ended; /* opened when a connection ends */
    bool is_closing;
};

static void accept_ready(void *argument, int events);

/* Accepts while there is room. */
static void adjust_watch(struct http_server *server)
{
    bool wanted = !server->is_closing && !server->pause &&
                  server->n_connections < server->service.max_connections;
    if (wanted && !server->watch)
        server->watch = loop_watch(server->loop, server->fd, LOOP_READABLE, accept_ready, server);
    if (!wanted && server->watch) {
        loop_unwatch(server->watch);
        server->watch = NULL;
    }
}

/* --- One connection --- */

static int code_of(enum error_code code)
{
    switch (code) {
    case ERROR_LIMIT:
        return 431;
    case ERROR_TIMEOUT:
        return 408;
    case ERROR_UNSUPPORTED:
        return 501;
    default:
        return 400;
    }
}

static CO_FN int send_answer(struct connection *connection, const struct http_answer *answer,
                             bool is_head, bool keeps_open)
{
    CLEANUP(strbuf_done) struct strbuf out = {0};
    strbuf_addf(&out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n",
                answer->code, http_reason(answer->code), answer->content_type, answer->body.length,
                keeps_open ? "" : "Connection: close\r\n");
    if (!is_head)
        strbuf_add_n(&out, strbuf_text(&answer->body), answer->body.length);
    return http_write(&connection->stream, out.text, out.length,
                      world_monotonic_clock() + SEND_TIME, NULL);
}

/* Says why a message is refused and waits for the other side to read it: a close with unread bytes
 * would take the answer away. */
static CO_FN void refuse(struct connection *connection, int code, const struct error *why)
{
    CLEANUP(strbuf_done) struct strbuf body = {0};
    char sink[4096];
    int64_t deadline = world_monotonic_clock() + LINGER_TIME;
    int fd = connection->stream.fd;
    strbuf_addf(&body, "%s\n", error_message(why));
    struct http_answer answer = {code, "text/plain; charset=utf-8", body};
    if (send_answer(connection, &answer, false, false) < 0 || shutdown(fd, SHUT_WR) < 0)
        return;
    while (loop_wait_fd(connection->server->loop, fd, LOOP_READABLE, deadline, NULL) == 0)
        if (recv(fd, sink, sizeof(sink), 0) <= 0)
            return;
}

static CO_FN int continue_if_asked(struct connection *connection, const struct http_head *head)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!head->expects_continue || (!head->is_chunked && head->length == 0))
        return 0;
    return http_write(&connection->stream, go_on, strlen(go_on),
                      world_monotonic_clock() + SEND_TIME, NULL);
}

/* Returns whether another request may follow. */
static CO_FN bool answer_request(struct connection *connection, struct http_head *head,
                                 const struct strbuf *body)
{
    struct http_server *server = connection->server;
    char *query = strchr(head->target, '?');
    if (query)
        *query++ = '\0';
    struct http_request request = {.method = head->method,
                                   .path = head->target,
                                   .query = query ? query : "",
                                   .body = strbuf_text(body),
                                   .body_size = body->length};
    struct http_answer answer = {200, "text/plain; charset=utf-8", {0}};
    server->service.answer(server->service.argument, &request, &answer);
    bool keeps_open = head->keeps_open && !server->is_closing;
    int r = send_answer(connection, &answer, text_equal(head->method, "HEAD"), keeps_open);
    strbuf_done(&answer.body);
    return r == 0 && keeps_open;
}

/* Reads a request and answers it. Returns whether another may follow. */
static CO_FN bool serve_request(struct connection *connection)
{
    CLEANUP(http_head_done) struct http_head head = {0};
    CLEANUP(strbuf_done) struct strbuf body = {0};
    CLEANUP(error_done) struct error err = {0};
    int64_t deadline = world_monotonic_clock() + HEAD_TIME;
    int r = http_read_request(&connection->stream, deadline, &head, &err);
    if (r < 0 && r != -ERROR_UNAVAILABLE && r != -ERROR_SYSTEM)
        refuse(connection, code_of(err.code), &err);
    if (r < 0 || head.is_end || continue_if_asked(connection, &head) < 0)
        return false;
    deadline = world_monotonic_clock() + BODY_TIME;
    r = http_read_body(&connection->stream, &head, HTTP_BODY_LIMIT, deadline, &body, &err);
    if (r == -ERROR_LIMIT || r == -ERROR_INVALID || r == -ERROR_TIMEOUT)
        refuse(connection, r == -ERROR_LIMIT ? 413 : code_of(err.code), &err);
    return r == 0 && answer_request(connection, &head, &body);
}

/* Whether the first byte of a request came in time; it may be there already. */
static CO_FN bool await_request(struct connection *connection)
{
    struct http_stream *stream = &connection->stream;
    if (stream->in.length > stream->used)
        return true;
    if (connection->server->is_closing)
        return false;
    connection->is_idle = true;
    int r = loop_wait_fd(stream->loop, stream->fd, LOOP_READABLE,
                         world_monotonic_clock() + connection->server->service.idle_us, NULL);
    connection->is_idle = false;
    return r == 0;
}

static void connection_free(struct connection *connection)
{
    struct http_server *server = connection->server;
    *connection->link = connection->next;
    if (connection->next)
        connection->next->link = connection->link;
    server->n_connections--;
    http_stream_done(&connection->stream);
    mem_free(connection);
    adjust_watch(server);
    gate_open(server->loop, &server->ended);
}

static CO_FN void serve_connection(void *argument)
{
    struct connection *connection = argument;
    while (await_request(connection) && serve_request(connection))
        ;
    connection_free(connection);
}

/* --- The server --- */

static void add_connection(struct http_server *server, int take_fd)
{
    struct connection *connection = NEW(struct connection);
    int yes = 1;
    setsockopt(take_fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    connection->server = server;
    http_stream_init(&connection->stream, server->loop, take_fd);
    connection->next = server->connections;
    connection->link = &server->connections;
    if (connection->next)
        connection->next->link = &connection->next;
    server->connections = connection;
    server->n_connections++;
    loop_spawn(server->loop, "http", serve_connection, connection);
}

static void pause_ends(void *argument)
{
    struct http_server *server = argument;
    server->pause = NULL;
    adjust_watch(server);
}

static void accept_ready(void *argument, int events)
{
    struct http_server *server = argument;
    (void)events;
    while (server->n_connections < server->service.max_connections) {
        int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            add_connection(server, fd);
            continue;
        }
        /* Out of descriptors: the connection stays in the queue, so look again a little later. */
        if (errno == EMFILE || errno == ENFILE)
            server->pause = loop_timer(server->loop, ACCEPT_PAUSE, pause_ends, server);
        break;
    }
    adjust_watch(server);
}

struct http_server *http_server_new(struct loop *loop, int take_fd,
                                    const struct http_service *service)
{
    assert(service->max_connections > 0 && service->idle_us > 0);
    struct http_server *server = NEW(struct http_server);
    server->loop = loop;
    server->service = *service;
    server->fd = take_fd;
    adjust_watch(server);
    return server;
}

/* Those who wait on it see the end of the stream. */
static void cut(struct http_server *server, bool only_idle)
{
    for (struct connection *each = server->connections; each; each = each->next)
        if (each->is_idle || !only_idle)
            shutdown(each->stream.fd, only_idle ? SHUT_RD : SHUT_RDWR);
}

void http_server_free(struct http_server *server, int64_t deadline)
{
    if (!server)
        return;
    server->is_closing = true;
    loop_timer_cancel(server->pause);
    server->pause = NULL;
    adjust_watch(server);
    close_descriptor(server->fd);
    cut(server, true);
    while (server->connections && gate_wait(server->loop, &server->ended, deadline, NULL) == 0)
        ;
    cut(server, false);
    while (server->connections)
        gate_wait(server->loop, &server->ended, -1, NULL);
    mem_free(server);
}

int http_listen(uint32_t ip, uint16_t port, int *ret_fd, struct error *err)
{
    CLEANUP(close_descriptorp)
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set_errno(err, errno, "make a socket");
    int yes = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, BACKLOG) < 0)
        return error_set_errno(err, errno, "listen on port %u", port);
    *ret_fd = take_descriptor(&fd);
    return 0;
}
