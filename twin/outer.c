/*
 * The outer half of the twin, and the link between the halves: a socket pair of messages, one byte
 * that says what, a few that say which, and at most one descriptor beside them.
 */
#include "twin/outer.h"
#include "twin/passing.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BACKLOG = 64 };

enum message_kind {
    MESSAGE_CONNECTION, /* outward in: a connection, its descriptor beside it */
    MESSAGE_LISTEN,     /* inward out: open this port; outward in: its listener, or an errno */
    MESSAGE_END,        /* outward in: somebody wants the twin to end */
};

struct message {
    uint8_t kind;
    uint16_t port;
    int32_t errno_value;
};

static bool somebody_answers(const struct sockaddr_un *address)
{
    CLEANUP(close_descriptorp) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
}

int outer_open_socket(const char *path, int *ret_fd, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(err, ERROR_INVALID,
                         "the socket path %s is longer than %zu characters; use a shorter one",
                         path, sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (somebody_answers(&address))
        return error_set(err, ERROR_BUSY, "another supervisor answers on %s", path);
    if (unlink(path) < 0 && errno != ENOENT)
        return error_set_errno(err, errno, "remove the old socket %s", path);
    CLEANUP(close_descriptorp) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set_errno(err, errno, "make a socket");
    mode_t mask = umask(0177);
    int r = bind(fd, (struct sockaddr *)&address, sizeof(address));
    int errno_value = errno;
    umask(mask);
    if (r < 0)
        return error_set_errno(err, errno_value, "make the socket %s", path);
    if (listen(fd, BACKLOG) < 0)
        return error_set_errno(err, errno, "listen on %s", path);
    *ret_fd = take_descriptor(&fd);
    return 0;
}

/*
 * Only here are user ids those of the machine: seen from inside a user namespace, all others look
 * like one and the same.
 */
static void hand_in_connection(int listener, int link)
{
    CLEANUP(close_descriptorp) int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
        peer.uid != geteuid())
        return;
    struct message message = {.kind = MESSAGE_CONNECTION};
    passing_send(link, &message, sizeof(message), fd, MSG_DONTWAIT);
}

static int open_port(uint16_t port, int *ret_fd, uint16_t *ret_port)
{
    CLEANUP(close_descriptorp)
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    socklen_t size = sizeof(address);
    int on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return errno;
    *ret_port = ntohs(address.sin_port);
    *ret_fd = take_descriptor(&fd);
    return 0;
}

/* Returns whether the inner half is still there. */
static bool serve_inner(int link)
{
    struct message request = {0};
    CLEANUP(close_descriptorp) int unwanted = -1;
    int r = passing_receive(link, &request, sizeof(request), &unwanted, MSG_DONTWAIT);
    if (r == -EAGAIN || r == -EINTR)
        return true;
    if (r <= 0 || request.kind != MESSAGE_LISTEN)
        return false;
    struct message answer = {.kind = MESSAGE_LISTEN};
    CLEANUP(close_descriptorp) int fd = -1;
    answer.errno_value = open_port(request.port, &fd, &answer.port);
    return passing_send(link, &answer, sizeof(answer), fd, 0) == 0;
}

static void end_inner(int signals, int link, pid_t inner, unsigned int *n_times)
{
    struct signalfd_siginfo info;
    if (read(signals, &info, sizeof(info)) != sizeof(info))
        return;
    struct message message = {.kind = MESSAGE_END};
    if (++*n_times > 1 || passing_send(link, &message, sizeof(message), -1, MSG_DONTWAIT) < 0)
        kill(inner, SIGKILL);
}

static int collect(pid_t inner)
{
    int status = 0;
    while (waitpid(inner, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    fprintf(stderr, "parley-twin: the inner half was killed by signal %d\n", WTERMSIG(status));
    return 1;
}

int outer_run(int listener, int link, pid_t inner)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGHUP);
    CLEANUP(close_descriptorp) int signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    CLEANUP(close_descriptorp) int life = (int)syscall(SYS_pidfd_open, inner, 0);
    struct pollfd sources[] = {
        {life, POLLIN, 0}, {link, POLLIN, 0}, {signals, POLLIN, 0}, {listener, POLLIN, 0}};
    unsigned int n_times = 0;
    assert(signals >= 0 && life >= 0);
    for (;;) {
        if (poll(sources, ARRAY_LENGTH(sources), -1) < 0 && errno != EINTR)
            break;
        if (sources[0].revents)
            break;
        if (sources[1].revents && !serve_inner(link))
            sources[1].fd = -1;
        if (sources[2].revents)
            end_inner(signals, link, inner, &n_times);
        if (sources[3].revents)
            hand_in_connection(listener, link);
    }
    return collect(inner);
}

/* One coroutine that waits for the answer to its request; answers come in the order of requests. */
struct listen_request {
    struct coroutine *coroutine;
    struct listen_request *next;
    struct message answer;
    int fd;
    bool is_answered;
};

struct outer {
    struct loop *loop;
    int link;
    struct watch *watch;
    struct outer_events events;
    struct listen_request *first; /* borrowed: they are on the stacks of their coroutines */
};

static void answer_first(struct outer *outer, const struct message *answer, int fd)
{
    struct listen_request *request = outer->first;
    if (!request) {
        close_descriptor(fd);
        return;
    }
    outer->first = request->next;
    request->answer = *answer;
    request->fd = fd;
    request->is_answered = true;
    loop_wake(outer->loop, request->coroutine);
}

static void link_ready(void *argument, int events)
{
    (void)events;
    struct outer *outer = argument;
    struct message message = {0};
    int fd = -1;
    int r = passing_receive(outer->link, &message, sizeof(message), &fd, MSG_DONTWAIT);
    if (r == -EAGAIN || r == -EINTR)
        return;
    /* The death signal is on its way already. */
    if (r <= 0)
        _exit(1);
    if (message.kind == MESSAGE_CONNECTION && fd >= 0)
        outer->events.connected(outer->events.argument, fd);
    else if (message.kind == MESSAGE_LISTEN)
        answer_first(outer, &message, fd);
    else if (message.kind == MESSAGE_END)
        outer->events.asked_to_end(outer->events.argument);
}

struct outer *outer_new(struct loop *loop, int take_link, const struct outer_events *events)
{
    struct outer *outer = NEW(struct outer);
    outer->loop = loop;
    outer->link = take_link;
    outer->events = *events;
    outer->watch = loop_watch(loop, take_link, LOOP_READABLE, link_ready, outer);
    return outer;
}

void outer_free(struct outer *outer)
{
    if (!outer)
        return;
    assert(!outer->first);
    loop_unwatch(outer->watch);
    close_descriptor(outer->link);
    mem_free(outer);
}

CO_FN int outer_listen(struct outer *outer, uint16_t port, int *ret_fd, uint16_t *ret_port,
                       struct error *err)
{
    struct listen_request request = {.coroutine = coroutine_self(), .fd = -1};
    struct message message = {.kind = MESSAGE_LISTEN, .port = port};
    int r = passing_send(outer->link, &message, sizeof(message), -1, 0);
    if (r < 0)
        return error_set_errno(err, -r, "ask for port %u", port);
    struct listen_request **last = &outer->first;
    while (*last)
        last = &(*last)->next;
    *last = &request;
    while (!request.is_answered)
        coroutine_yield();
    if (request.answer.errno_value == EADDRINUSE)
        return error_set(err, ERROR_EXISTS, "port %u of this machine is taken", port);
    if (request.answer.errno_value != 0 || request.fd < 0)
        return error_set_errno(err, request.answer.errno_value, "listen on port %u", port);
    *ret_fd = request.fd;
    *ret_port = request.answer.port;
    return 0;
}
