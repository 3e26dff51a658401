#include "twin/limiter-program.h"

#include "base/strbuf.h"
#include "base/world.h"
#include "net/loop.h"
#include "twin/limiter-frame.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BACKLOG = 1024,
    LENGTH_SIZE = 4,
    READ_SIZE = 16 * 1024,
    UNSENT_LIMIT = 1024 * 1024, /* of answers that one connection does not read */
    ACCEPT_PAUSE = 50 * 1000    /* microseconds */
};

struct limiter {
    struct loop *loop;
    struct limiter_counts counts;
    int fd; /* owned; listens */
    struct watch *watch;
    struct timer *pause; /* while there are no descriptors left */
    struct connection *connections;
};

struct connection {
    struct limiter *limiter;
    struct connection *next;
    struct connection **link; /* what points to this one */
    int fd;                   /* owned */
    struct watch *watch;
    struct strbuf in;
    struct strbuf out;
    bool is_ending; /* once its answers are sent */
};

/* --- One connection --- */

static void connection_free(struct connection *connection)
{
    *connection->link = connection->next;
    if (connection->next)
        connection->next->link = connection->link;
    loop_unwatch(connection->watch);
    close_descriptor(connection->fd);
    strbuf_done(&connection->in);
    strbuf_done(&connection->out);
    mem_free(connection);
}

static void drop_front(struct strbuf *buffer, size_t n)
{
    if (n == 0)
        return;
    memmove(buffer->text, buffer->text + n, buffer->length - n);
    buffer->length -= n;
}

/* Answers all frames that are there as a whole. Returns whether all of them were good. */
static bool answer_frames(struct connection *connection)
{
    const struct strbuf *in = &connection->in;
    int64_t now = world_monotonic_clock();
    size_t used = 0;
    while (!connection->is_ending && in->length - used >= LENGTH_SIZE) {
        const uint8_t *bytes = (const uint8_t *)in->text + used;
        size_t size =
            (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
        if (size > LIMITER_FRAME_LIMIT)
            return false;
        if (in->length - used - LENGTH_SIZE < size)
            break;
        if (limiter_answer(&connection->limiter->counts, bytes + LENGTH_SIZE, size, now,
                           &connection->out, &connection->is_ending, NULL) < 0)
            return false;
        used += LENGTH_SIZE + size;
    }
    drop_front(&connection->in, used);
    return connection->out.length <= UNSENT_LIMIT;
}

/* Each returns whether the connection is still of use. */
static bool receive(struct connection *connection)
{
    char bytes[READ_SIZE];
    ssize_t n = recv(connection->fd, bytes, sizeof(bytes), 0);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    strbuf_add_n(&connection->in, bytes, (size_t)n);
    return answer_frames(connection);
}

static bool transmit(struct connection *connection)
{
    struct strbuf *out = &connection->out;
    while (out->length > 0) {
        ssize_t n = send(connection->fd, out->text, out->length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        drop_front(out, (size_t)n);
    }
    return !connection->is_ending;
}

static void connection_ready(void *argument, int events)
{
    struct connection *connection = argument;
    bool is_of_use = !(events & LOOP_READABLE) || receive(connection);
    if (!is_of_use || !transmit(connection)) {
        connection_free(connection);
        return;
    }
    loop_watch_change(connection->watch,
                      LOOP_READABLE | (connection->out.length > 0 ? LOOP_WRITABLE : 0));
}

/* --- All of them --- */

static void add_connection(struct limiter *limiter, int take_fd)
{
    struct connection *connection = NEW(struct connection);
    connection->limiter = limiter;
    connection->fd = take_fd;
    connection->next = limiter->connections;
    connection->link = &limiter->connections;
    if (connection->next)
        connection->next->link = &connection->next;
    limiter->connections = connection;
    connection->watch =
        loop_watch(limiter->loop, take_fd, LOOP_READABLE, connection_ready, connection);
}

static void pause_ends(void *argument)
{
    struct limiter *limiter = argument;
    limiter->pause = NULL;
    loop_watch_change(limiter->watch, LOOP_READABLE);
}

static void accept_ready(void *argument, int events)
{
    struct limiter *limiter = argument;
    (void)events;
    int fd = accept4(limiter->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        add_connection(limiter, fd);
    } else if (errno == EMFILE || errno == ENFILE) {
        /* The connection stays in the queue, so look again a little later. */
        loop_watch_change(limiter->watch, 0);
        limiter->pause = loop_timer(limiter->loop, ACCEPT_PAUSE, pause_ends, limiter);
    }
}

/* The socket is there with its listener, at once. */
static int listen_at(const char *path, int *ret_fd, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP(close_descriptorp)
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set_errno(err, errno, "make a socket");
    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(err, ERROR_INVALID, "the path %s is too long for a socket", path);
    memcpy(address.sun_path, path, strlen(path));
    unlink(path);
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0600) < 0 ||
        listen(fd, BACKLOG) < 0)
        return error_set_errno(err, errno, "listen at %s", path);
    *ret_fd = take_descriptor(&fd);
    return 0;
}

static void asked_to_end(void *argument, int number)
{
    struct limiter *limiter = argument;
    (void)number;
    loop_stop(limiter->loop);
}

static void serve(struct limiter *limiter)
{
    struct loop *loop = limiter->loop;
    struct signal_watch *term = loop_watch_signal(loop, SIGTERM, asked_to_end, limiter);
    struct signal_watch *interrupt = loop_watch_signal(loop, SIGINT, asked_to_end, limiter);
    limiter->watch = loop_watch(loop, limiter->fd, LOOP_READABLE, accept_ready, limiter);
    loop_run(loop);
    while (limiter->connections)
        connection_free(limiter->connections);
    loop_timer_cancel(limiter->pause);
    loop_unwatch(limiter->watch);
    loop_unwatch_signal(term);
    loop_unwatch_signal(interrupt);
}

int limiter_main(const char *socket_path)
{
    CLEANUP(error_done) struct error err = {0};
    struct limiter limiter = {.fd = -1};
    if (listen_at(socket_path, &limiter.fd, &err) < 0) {
        fprintf(stderr, "limiter: %s\n", error_message(&err));
        return 1;
    }
    limiter.loop = loop_new();
    serve(&limiter);
    close_descriptor(limiter.fd);
    limiter_counts_done(&limiter.counts);
    loop_free(limiter.loop);
    return 0;
}
