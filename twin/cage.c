/*
 * The supervisor's side of cages: asks the maker for them, and leads children in. A child is forked
 * into the cage's process namespace, so that it is the supervisor's own child all the same, and
 * enters the other namespaces itself.
 */
#include "twin/cage.h"

#include "base/text.h"
#include "net/child.h"
#include "net/loop.h"
#include "net/program.h"
#include "twin/cage-maker.h"
#include "twin/guards.h"
#include "twin/network.h"
#include "twin/passing.h"
#include "twin/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

/* Seconds; one that does not answer by then is replaced. */
enum { MAKER_TIME = 30 };

struct cage {
    char *name; /* of the host, or of the program */
    bool is_of_host;
    pid_t pid;
    int life;
    struct stat network; /* what its network was, to see when the host was made anew */
};

struct cages {
    struct loop *loop;
    struct network *network;
    int own_processes;     /* our process namespace */
    int maker;             /* the socket to it; -1 while there is none */
    struct watch *answers; /* of the maker; NULL while there is none */
    struct cage *items;
    size_t n_items, capacity;
    struct cage *foreseen; /* those that the maker was asked for, in order */
    size_t n_foreseen, foreseen_capacity;
};

int cages_new(struct loop *loop, struct network *network, struct cages **ret_cages,
              struct error *err)
{
    int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (own < 0)
        return error_set_errno(err, errno, "open our process namespace");
    struct cages *cages = NEW(struct cages);
    cages->loop = loop;
    cages->network = network;
    cages->own_processes = own;
    cages->maker = -1;
    *ret_cages = cages;
    return 0;
}

static void end_cage(struct cages *cages, struct cage *cage)
{
    pidfd_send_signal(cage->life, SIGKILL, NULL, 0);
    close_descriptor(cage->life);
    mem_free(cage->name);
    *cage = cages->items[--cages->n_items];
}

/* What it was asked for does not come any more, and is made by the next one when it is needed. */
static void dismiss_maker(struct cages *cages)
{
    loop_unwatch(cages->answers);
    cages->answers = NULL;
    close_descriptor(cages->maker);
    cages->maker = -1;
    while (cages->n_foreseen > 0)
        mem_free(cages->foreseen[--cages->n_foreseen].name);
}

void cages_free(struct cages *cages)
{
    if (!cages)
        return;
    while (cages->n_items > 0)
        end_cage(cages, &cages->items[0]);
    mem_free(cages->items);
    dismiss_maker(cages);
    mem_free(cages->foreseen);
    close_descriptor(cages->own_processes);
    mem_free(cages);
}

/* --- The maker --- */

static int keep_capabilities(void *argument)
{
    (void)argument;
    sandbox_keep_capabilities();
    return 0;
}

static void answered(void *argument, int events);

/* It ends with its socket; whoever reaps orphans reaps it. */
static int start_maker(struct cages *cages, struct error *err)
{
    static const char *const arguments[] = {SANDBOX_PROGRAM, "cages", NULL};
    const struct timeval patience = {.tv_sec = MAKER_TIME};
    int ends[2];
    pid_t pid;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set_errno(err, errno, "make a socket");
    CLEANUP(close_descriptorp) int ours = ends[0];
    CLEANUP(close_descriptorp) int theirs = ends[1];
    struct child_spec child = {.arguments = arguments,
                               .own_environment = !GUARDS_ARE_SWITCHED,
                               .folder = "/",
                               .input = theirs,
                               .output = -1,
                               .errors = STDERR_FILENO,
                               .own_session = true,
                               .prepare = keep_capabilities};
    setsockopt(ours, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    int r = child_start(&child, &pid, err);
    if (r < 0)
        return error_wrap(err, r, "start what makes cages");
    cages->maker = take_descriptor(&ours);
    cages->answers = loop_watch(cages->loop, cages->maker, LOOP_READABLE, answered, cages);
    return 0;
}

/* Returns 0 or a negative errno; then *ret_answer says nothing. */
static int receive_answer(const struct cages *cages, int flags, struct cage_answer *ret_answer,
                          int *ret_life)
{
    int r = passing_receive(cages->maker, ret_answer, sizeof(*ret_answer), ret_life, flags);
    if (r <= 0)
        return r < 0 ? r : -ECONNRESET;
    return ret_answer->errno_value == 0 && *ret_life < 0 ? -EPROTO : 0;
}

static void add(struct cages *cages, struct cage take_cage)
{
    ARRAY_RESERVE(cages->items, cages->n_items, cages->capacity);
    cages->items[cages->n_items++] = take_cage;
}

/* Whether the host is the one that it was. */
static bool is_same_network(const struct cages *cages, const struct cage *cage)
{
    struct stat status;
    int network = network_namespace(cages->network, cage->name);
    return network >= 0 && fstat(network, &status) == 0 && status.st_ino == cage->network.st_ino;
}

/* Takes the answer about the first that was foreseen. Returns 0 or a negative errno. */
static int take_foreseen(struct cages *cages, int flags)
{
    struct cage_answer answer = {0};
    int life = -1;
    int r = receive_answer(cages, flags, &answer, &life);
    if (r < 0)
        return r;
    struct cage cage = cages->foreseen[0];
    cages->n_foreseen--;
    memmove(cages->foreseen, cages->foreseen + 1, cages->n_foreseen * sizeof(cage));
    cage.pid = answer.pid;
    cage.life = life;
    add(cages, cage);
    if (answer.errno_value != 0 || !is_same_network(cages, &cage))
        end_cage(cages, &cages->items[cages->n_items - 1]);
    return 0;
}

/* Nothing that was not asked for may come: this is also how the maker's death shows. */
static void answered(void *argument, int events)
{
    struct cages *cages = argument;
    (void)events;
    int r = cages->n_foreseen > 0 ? take_foreseen(cages, MSG_DONTWAIT) : -ECONNRESET;
    if (r < 0 && r != -EAGAIN)
        dismiss_maker(cages);
}

/* Answers come in the order of the questions. */
static int take_all_foreseen(struct cages *cages)
{
    int r = 0;
    while (r == 0 && cages->n_foreseen > 0)
        r = take_foreseen(cages, 0);
    return r;
}

/* One that has died since the last time is replaced. */
static int ask_maker(struct cages *cages, int network, struct cage_answer *ret_answer,
                     int *ret_life, struct error *err)
{
    static const char request = 1;
    int problem = 0;
    for (unsigned int i = 0; i < 2; i++) {
        int r = cages->maker < 0 ? start_maker(cages, err) : 0;
        if (r < 0)
            return r;
        problem = take_all_foreseen(cages);
        if (problem == 0)
            problem = passing_send(cages->maker, &request, sizeof(request), network, 0);
        if (problem == 0)
            problem = receive_answer(cages, 0, ret_answer, ret_life);
        if (problem == 0)
            return 0;
        dismiss_maker(cages);
    }
    return error_set_errno(err, -problem, "have a cage made");
}

/* --- Cages --- */

/* Going back must not fail: every later child would land in the cage. */
static void come_back(const struct cages *cages)
{
    if (setns(cages->own_processes, CLONE_NEWPID) < 0)
        abort();
}

static bool has_ended(const struct cage *cage)
{
    struct pollfd life = {.fd = cage->life, .events = POLLIN};
    return poll(&life, 1, 0) > 0;
}

static int make(struct cages *cages, const char *name, bool is_of_host, int network,
                const struct stat *status, struct error *err)
{
    struct cage_answer answer = {0};
    int life = -1;
    int r = ask_maker(cages, network, &answer, &life, err);
    if (r < 0)
        return error_wrap(err, r, "the cage of %s", name);
    if (answer.errno_value != 0)
        return error_set(err, ERROR_UNSUPPORTED, "the cage of %s: cannot %s: %s", name, answer.what,
                         strerror(answer.errno_value));
    add(cages, (struct cage){.name = string_copy(name),
                             .is_of_host = is_of_host,
                             .pid = answer.pid,
                             .life = life,
                             .network = *status});
    return 0;
}

static struct cage *find(struct cages *cages, const char *host)
{
    for (size_t i = 0; i < cages->n_items; i++)
        if (cages->items[i].is_of_host && text_equal(cages->items[i].name, host))
            return &cages->items[i];
    return NULL;
}

static bool is_foreseen(const struct cages *cages, const char *host)
{
    for (size_t i = 0; i < cages->n_foreseen; i++)
        if (text_equal(cages->foreseen[i].name, host))
            return true;
    return false;
}

void cages_foresee(struct cages *cages, const char *host)
{
    static const char request = 1;
    struct stat status;
    int network = network_namespace(cages->network, host);
    if (network < 0 || fstat(network, &status) < 0 || find(cages, host) || is_foreseen(cages, host))
        return;
    if ((cages->maker < 0 && start_maker(cages, NULL) < 0) ||
        passing_send(cages->maker, &request, sizeof(request), network, MSG_DONTWAIT) < 0)
        return;
    ARRAY_RESERVE(cages->foreseen, cages->n_foreseen, cages->foreseen_capacity);
    cages->foreseen[cages->n_foreseen++] =
        (struct cage){.name = string_copy(host), .is_of_host = true, .life = -1, .network = status};
}

/* Cages of hosts that are gone have ended with them. */
static void forget_ended(struct cages *cages)
{
    for (size_t i = cages->n_items; i > 0; i--)
        if (has_ended(&cages->items[i - 1]))
            end_cage(cages, &cages->items[i - 1]);
}

static int get(struct cages *cages, const char *host, const char *name, struct cage **ret_cage,
               struct error *err)
{
    int network = network_namespace(cages->network, host);
    struct stat status = {0};
    if (host && network < 0)
        return error_set(err, ERROR_NOT_FOUND, "there is no host %s to run %s in", host, name);
    if (network >= 0 && fstat(network, &status) < 0)
        return error_set_errno(err, errno, "look at the network of %s", name);
    while (host && is_foreseen(cages, host) && take_foreseen(cages, 0) == 0)
        continue;
    forget_ended(cages);
    name = host ? host : name;
    struct cage *cage = host ? find(cages, host) : NULL;
    if (cage && cage->network.st_ino != status.st_ino) {
        end_cage(cages, cage);
        cage = NULL;
    }
    if (!cage) {
        int r = make(cages, name, host != NULL, network, &status, err);
        if (r < 0)
            return r;
    }
    *ret_cage = cage ? cage : &cages->items[cages->n_items - 1];
    return 0;
}

bool cage_begins_with(const struct cages *cages, pid_t pid)
{
    for (size_t i = 0; i < cages->n_items; i++)
        if (cages->items[i].pid == pid)
            return true;
    return false;
}

int cage_find(struct cages *cages, const char *host, pid_t *ret_pid, struct error *err)
{
    struct cage *cage;
    int r = get(cages, host, "a command", &cage, err);
    if (r == 0)
        *ret_pid = cage->pid;
    return r;
}

/* A process that ends has no memory from the beginning of its end: some kernels let nobody in then,
 * others only let nobody begin there. */
static bool is_ending(const struct cage *cage)
{
    CLEANUP(mem_freep) char *path = string_format("/proc/%d/statm", (int)cage->pid);
    CLEANUP(close_descriptorp) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char first[2];
    return fd >= 0 && read(fd, first, sizeof(first)) == sizeof(first) && first[0] == '0' &&
           first[1] == ' ' && !has_ended(cage);
}

CO_FN int cage_await_end(struct cages *cages, const char *host, int64_t deadline, struct error *err)
{
    const struct cage *cage = host ? find(cages, host) : NULL;
    if (!cage || !is_ending(cage))
        return 0;
    /* The cage may be forgotten meanwhile. */
    CLEANUP(close_descriptorp) int life = fcntl(cage->life, F_DUPFD_CLOEXEC, 0);
    if (life < 0)
        return error_set_errno(err, errno, "wait for the end of what ran in %s", host);
    int r = loop_wait_fd(cages->loop, life, LOOP_READABLE, deadline, err);
    return r < 0 ? error_wrap(err, r, "wait for the end of what ran in %s", host) : 0;
}

/* A program of the user's own may lie anywhere, behind a link that lies anywhere. */
static void find_program(struct cage_door *door, const char *program)
{
    char target[PATH_MAX];
    char *path = NULL;
    if (strchr(program, '/'))
        path = string_copy(program);
    else if (!program_find(program, &path))
        return;
    if (realpath(path, target) && !cage_maker_shows(target) && !text_equal(target, path))
        door->programs[1] = string_copy(target);
    if (!cage_maker_shows(path))
        door->programs[0] = path;
    else
        mem_free(path);
}

int cage_open(struct cage_door *door, const char *program, struct error *err)
{
    struct cage *cage;
    int r = get(door->cages, door->host, door->name, &cage, err);
    if (r < 0)
        return r;
    door->pid = cage->pid;
    door->life = cage->life;
    if (!door->root)
        find_program(door, program);
    return 0;
}

void cage_close(struct cage_door *door)
{
    struct cages *cages = door->cages;
    for (size_t i = cages->n_items; i > 0 && door->pid > 0; i--)
        if (!cages->items[i - 1].is_of_host && cages->items[i - 1].pid == door->pid)
            end_cage(cages, &cages->items[i - 1]);
    door->pid = 0;
    mem_free(door->programs[0]);
    mem_free(door->programs[1]);
    door->programs[0] = door->programs[1] = NULL;
}

char *cage_own_proc(const struct cage_door *door)
{
    return string_format("/proc/%d/root/proc", (int)door->pid);
}

/* --- Into a cage --- */

pid_t cage_fork(void *argument)
{
    const struct cage_door *door = argument;
    if (setns(door->life, CLONE_NEWPID) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        return 0;
    int reason = errno;
    come_back(door->cages);
    errno = reason;
    return pid;
}
