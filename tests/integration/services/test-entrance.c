/* Host ports and the relay behind them. */
#include "base/world.h"
#include "harness.h"
#include "loopback.h"
#include "twin/http-server.h"
#include "twin/relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TARGET_PORT = 8090 };

/* --- Another side that sends everything back, in a process of its own. --- */

static int listen_on(uint32_t ip, uint16_t port)
{
    int fd = -1;
    if (http_listen(ip, port, &fd, NULL) < 0)
        abort();
    return fd;
}

/* Echoes until the other side ends, then says goodbye and ends. */
static void echo(int fd)
{
    char bytes[4096];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
        for (ssize_t sent = 0; sent < n;)
            sent += send(fd, bytes + sent, (size_t)(n - sent), MSG_NOSIGNAL);
    send(fd, "bye", 3, MSG_NOSIGNAL);
    close(fd);
}

static pid_t start_echo(uint32_t ip)
{
    int listener = listen_on(ip, TARGET_PORT);
    pid_t pid = fork();
    if (pid == 0) {
        struct pollfd wait = {.fd = listener, .events = POLLIN};
        for (;;) {
            poll(&wait, 1, -1);
            int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0 && fork() == 0) {
                echo(fd);
                _exit(0);
            }
            close_descriptor(fd);
            while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
        }
    }
    close(listener);
    return pid;
}

/* --- A client on the loop --- */

static CO_FN int connect_to(struct loop *loop, uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int64_t deadline = world_monotonic_clock() + 2000000;
    return http_connect(loop, fd, INADDR_LOOPBACK, port, deadline, NULL) < 0 ? -1 : fd;
}

static CO_FN bool send_all(struct loop *loop, int fd, size_t size)
{
    char bytes[10000];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    while (size > 0) {
        ssize_t n = send(fd, bytes, size < sizeof(bytes) ? size : sizeof(bytes), MSG_NOSIGNAL);
        if (n < 0 && (errno != EAGAIN || loop_wait_fd(loop, fd, LOOP_WRITABLE,
                                                      world_monotonic_clock() + 5000000, NULL) < 0))
            return false;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* What came until the end of the stream; -1 when that did not come in time. */
static CO_FN ssize_t receive_all(struct loop *loop, int fd, char *ret_last, size_t size)
{
    char bytes[10000];
    ssize_t total = 0;
    memset(ret_last, 0, size);
    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
        if (n == 0)
            return total;
        if (n < 0 && errno != EAGAIN)
            return -1;
        if (n > 0 && (size_t)n >= size - 1)
            memcpy(ret_last, bytes + n - (ssize_t)(size - 1), size - 1);
        total += n > 0 ? n : 0;
        if (n < 0 &&
            loop_wait_fd(loop, fd, LOOP_READABLE, world_monotonic_clock() + 5000000, NULL) < 0)
            return -1;
    }
}

struct sender {
    struct loop *loop;
    int fd;
    size_t size;
    bool is_good;
    bool has_ended;
};

static CO_FN void run_sender(void *argument)
{
    struct sender *sender = argument;
    sender->is_good = send_all(sender->loop, sender->fd, sender->size);
    shutdown(sender->fd, SHUT_WR);
    sender->has_ended = true;
}

/* --- The module --- */

struct platform {
    struct machine *machine;
    struct machine_entrance entrance;
    struct machine_entrance *entrances[1];
    uint32_t target;
};

static void make_platform(struct loopback *loopback, struct platform *platform)
{
    struct machine *machine = machine_new();
    char address[MACHINE_ADDRESS_SIZE];
    *platform = (struct platform){.machine = machine, .target = loopback->base + 9};
    machine_address_to_text(platform->target, address);
    platform->entrance = (struct machine_entrance){.resource = "uid-front",
                                                   .name = "front",
                                                   .from = MACHINE_OUTSIDE,
                                                   .address = machine_text(machine, "%s", address),
                                                   .port = TARGET_PORT};
    platform->entrances[0] = &platform->entrance;
    machine->entrances = platform->entrances;
    machine->n_entrances = 1;
}

static uint16_t port_of(void *module)
{
    struct value_builder status = {0}, outputs = {0};
    entrance_module.report(module, "uid-front", &status, &outputs);
    CLEANUP(value_unrefp) struct value *map = value_builder_map(&status);
    value_builder_done(&outputs);
    return (uint16_t)value_get_integer(map, "host_port", 0);
}

static CO_FN void relay_bytes(struct loopback *loopback, void *argument)
{
    struct outcome *outcome = argument;
    struct loop *loop = loopback->twin.loop;
    struct problems problems = {0};
    struct platform platform;
    void *module;
    char last[4];
    make_platform(loopback, &platform);
    pid_t echo_pid = start_echo(platform.target);
    HOLDS(outcome, entrance_module.open(&loopback->twin, &module, NULL) == 0);
    entrance_module.converge(module, platform.machine, &problems);
    HOLDS(outcome, loopback_print_problems(&problems) == 0);
    int fd = connect_to(loop, port_of(module));
    HOLDS(outcome, fd >= 0);
    /* Much more than any buffer holds, and what comes after our end of the stream. */
    struct sender sender = {.loop = loop, .fd = fd, .size = 20000000};
    loop_spawn(loop, "sender", run_sender, &sender);
    ssize_t received = receive_all(loop, fd, last, sizeof(last));
    printf("# %zd bytes came back, the last are %s\n", received, last);
    HOLDS(outcome, sender.has_ended && sender.is_good);
    HOLDS(outcome, received == 20000000 + 3);
    HOLDS(outcome, strcmp(last, "bye") == 0);
    close(fd);
    /* Nobody listens there any more: the client sees the end at once. */
    kill(echo_pid, SIGKILL);
    loop_sleep(loop, 50000);
    fd = connect_to(loop, port_of(module));
    HOLDS(outcome, fd < 0 || receive_all(loop, fd, last, sizeof(last)) <= 0);
    close_descriptor(fd);
    entrance_module.close(module);
    problems_done(&problems);
    machine_unref(platform.machine);
}

TEST(every_byte_and_each_end_reaches_the_other_side)
{
    struct outcome outcome = {0};
    loopback_run(relay_bytes, &outcome);
    CHECK(outcome.is_good);
}

static CO_FN void move_on_from_taken_port(struct loopback *loopback, void *argument)
{
    struct outcome *outcome = argument;
    struct problems problems = {0};
    struct platform platform;
    void *module;
    int taken = -1;
    uint16_t port = 0;
    make_platform(loopback, &platform);
    HOLDS(outcome, outer_listen(NULL, 0, &taken, &port, NULL) == 0);
    platform.entrance.preferred = port;
    HOLDS(outcome, entrance_module.open(&loopback->twin, &module, NULL) == 0);
    entrance_module.converge(module, platform.machine, &problems);
    HOLDS(outcome, loopback_print_problems(&problems) == 0);
    HOLDS(outcome, port_of(module) != 0 && port_of(module) != port);
    platform.machine->n_entrances = 0;
    entrance_module.converge(module, platform.machine, &problems);
    HOLDS(outcome, port_of(module) == 0);
    close(taken);
    entrance_module.close(module);
    problems_done(&problems);
    machine_unref(platform.machine);
}

TEST(a_taken_port_is_replaced_by_a_free_one_and_a_removed_entrance_is_gone)
{
    struct outcome outcome = {0};
    loopback_run(move_on_from_taken_port, &outcome);
    CHECK(outcome.is_good);
}

/* --- The relay's own limits --- */

static int open_to_target(void *argument, int *ret_fd, struct error *err)
{
    const uint32_t *ip = argument;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(TARGET_PORT), .sin_addr.s_addr = htonl(*ip)};
    (void)err;
    *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    connect(*ret_fd, (const struct sockaddr *)&address, sizeof(address));
    return 0;
}

static CO_FN void limit_connections(struct loopback *loopback, void *argument)
{
    struct outcome *outcome = argument;
    struct loop *loop = loopback->twin.loop;
    uint32_t target = loopback->base + 9;
    struct relay_spec spec = {3, 200000, 100000, open_to_target, &target};
    int fds[5], listener = -1;
    uint16_t port = 0;
    char last[4];
    pid_t echo_pid = start_echo(target);
    HOLDS(outcome, outer_listen(NULL, 0, &listener, &port, NULL) == 0);
    struct relay *relay = relay_new(loop, listener, &spec);
    for (size_t i = 0; i < 5; i++)
        fds[i] = connect_to(loop, port);
    loop_sleep(loop, 50000);
    HOLDS(outcome, relay_count(relay) == 3);
    close(fds[0]);
    loop_sleep(loop, 50000);
    HOLDS(outcome, relay_count(relay) == 3 && relay_total(relay) == 4);
    /* Those that carry nothing are closed. */
    HOLDS(outcome, receive_all(loop, fds[1], last, sizeof(last)) == 0);
    for (size_t i = 1; i < 5; i++)
        close(fds[i]);
    relay_free(relay);
    kill(echo_pid, SIGKILL);
}

TEST(connections_beyond_the_limit_wait_and_idle_ones_are_closed)
{
    struct outcome outcome = {0};
    loopback_run(limit_connections, &outcome);
    CHECK(outcome.is_good);
}
