/*
 * Children by fork and exec. A pipe that exec closes tells how that went, so that a missing program
 * is an error of ours and not the status of a child. Between fork and exec there are only system
 * calls: memory for all else is made before.
 */
#include "net/child.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/world.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum start_stage { STAGE_DESCRIPTORS, STAGE_FOLDER, STAGE_PREPARE, STAGE_PARENT, STAGE_PROGRAM };

/* What the child says through the pipe when it does not get as far as the program. */
struct start_failure {
    enum start_stage stage;
    int errno_value;
};

/* All that the child needs between fork and exec. */
struct start {
    const struct child_spec *spec; /* borrowed */
    char **paths;                  /* owned: where to look for the program, in order */
    size_t n_paths;
    const char **environment; /* owned array of borrowed lines */
    int null_fd;
    int failure_fd; /* the write end */
    pid_t parent;
};

static void start_done(struct start *start)
{
    for (size_t i = 0; i < start->n_paths; i++)
        mem_free(start->paths[i]);
    mem_free(start->paths);
    mem_free(start->environment);
    close_descriptor(start->null_fd);
    close_descriptor(start->failure_fd);
}

static void find_paths(struct start *start, const char *program)
{
    size_t capacity = 0;
    if (strchr(program, '/')) {
        ARRAY_RESERVE(start->paths, start->n_paths, capacity);
        start->paths[start->n_paths++] = string_copy(program);
        return;
    }
    const char *folder = getenv("PATH");
    if (!folder)
        folder = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for (;;) {
        size_t length = strcspn(folder, ":");
        ARRAY_RESERVE(start->paths, start->n_paths, capacity);
        start->paths[start->n_paths++] =
            string_format("%.*s/%s", length ? (int)length : 1, length ? folder : ".", program);
        if (folder[length] == '\0')
            return;
        folder += length + 1;
    }
}

static bool is_replaced(const char *line, const char *const *additions)
{
    size_t length = strcspn(line, "=");
    for (; additions && *additions; additions++)
        if (strncmp(*additions, line, length) == 0 && (*additions)[length] == '=')
            return true;
    return false;
}

/* Ours, without what the additions replace. */
static void make_environment(struct start *start, const struct child_spec *spec)
{
    const char *const *additions = spec->environment;
    size_t n = 0, capacity = 0;
    for (char **line = spec->own_environment ? NULL : environ; line && *line; line++) {
        if (is_replaced(*line, additions))
            continue;
        ARRAY_RESERVE(start->environment, n, capacity);
        start->environment[n++] = *line;
    }
    for (; additions && *additions; additions++) {
        ARRAY_RESERVE(start->environment, n, capacity);
        start->environment[n++] = *additions;
    }
    ARRAY_RESERVE(start->environment, n, capacity);
    start->environment[n] = NULL;
}

/* --- In the child --- */

static _Noreturn void give_up(const struct start *start, enum start_stage stage)
{
    struct start_failure failure = {stage, errno};
    while (write(start->failure_fd, &failure, sizeof(failure)) < 0 && errno == EINTR)
        continue;
    _exit(127);
}

/* First all of them out of the way of 0, 1 and 2, which they may be themselves, crosswise. */
static void place_descriptors(struct start *start)
{
    const struct child_spec *spec = start->spec;
    int wanted[] = {spec->input, spec->output, spec->errors};
    int failure_fd = fcntl(start->failure_fd, F_DUPFD_CLOEXEC, 3);
    if (failure_fd < 0)
        give_up(start, STAGE_DESCRIPTORS);
    start->failure_fd = failure_fd;
    for (int i = 0; i < 3; i++) {
        wanted[i] = fcntl(wanted[i] < 0 ? start->null_fd : wanted[i], F_DUPFD_CLOEXEC, 3);
        if (wanted[i] < 0)
            give_up(start, STAGE_DESCRIPTORS);
    }
    for (int i = 0; i < 3; i++)
        if (dup2(wanted[i], i) < 0)
            give_up(start, STAGE_DESCRIPTORS);
}

/* An ignored signal would stay so in the program, and a handler of ours is no good here. */
static void reset_signals(void)
{
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
            signal(number, SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Tries each path, as a shell does: one that may not be run does not hide one that may, and a
 * folder of PATH that may not be entered has no program.
 */
static _Noreturn void become_program(const struct start *start)
{
    bool is_looked_up = !strchr(start->spec->arguments[0], '/');
    int reason = ENOENT;
    for (size_t i = 0; i < start->n_paths; i++) {
        execve(start->paths[i], (char *const *)(uintptr_t)start->spec->arguments,
               (char *const *)(uintptr_t)start->environment);
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
            give_up(start, STAGE_PROGRAM);
        if (errno == EACCES && (!is_looked_up || access(start->paths[i], F_OK) == 0))
            reason = EACCES;
    }
    errno = reason;
    give_up(start, STAGE_PROGRAM);
}

static _Noreturn void run_child(struct start *start)
{
    const struct child_spec *spec = start->spec;
    reset_signals();
    place_descriptors(start);
    if (spec->own_session)
        setsid();
    else if (spec->own_group)
        setpgid(0, 0);
    if (spec->folder && chdir(spec->folder) < 0)
        give_up(start, STAGE_FOLDER);
    errno = 0;
    if (spec->prepare && spec->prepare(spec->prepare_argument) != 0)
        give_up(start, STAGE_PREPARE);
    /* Last, because a change of user takes it away. Who is orphaned already would wait for ever. */
    if (spec->dies_with_us && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != start->parent))
        give_up(start, STAGE_PARENT);
    become_program(start);
}

/* --- In the parent --- */

/* No handler of ours may run in the child before it has reset them. */
static pid_t fork_child(struct start *start)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = start->spec->fork ? start->spec->fork(start->spec->fork_argument) : fork();
    if (pid == 0)
        run_child(start);
    int reason = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = reason;
    return pid;
}

static int explain_failure(const struct child_spec *spec, const struct start_failure *failure,
                           struct error *err)
{
    const char *program = spec->arguments[0];
    int reason = failure->errno_value;
    switch (failure->stage) {
    case STAGE_FOLDER:
        if (reason == ENOENT)
            return error_set(err, ERROR_NOT_FOUND, "start %s: there is no folder %s", program,
                             spec->folder);
        return error_set_errno(err, reason, "start %s in %s", program, spec->folder);
    case STAGE_PREPARE:
        if (reason == 0)
            return error_set(err, ERROR_SYSTEM, "start %s: it could not be prepared", program);
        return error_set_errno(err, reason, "prepare the start of %s", program);
    case STAGE_PROGRAM:
        if (reason == ENOENT)
            return error_set(err, ERROR_NOT_FOUND, "there is no program %s%s", program,
                             strchr(program, '/') ? "" : " in PATH");
        if (reason == EACCES)
            return error_set(err, ERROR_DENIED, "%s may not be run as a program", program);
        break;
    case STAGE_DESCRIPTORS:
    case STAGE_PARENT:
        break;
    }
    return error_set_errno(err, reason, "start %s", program);
}

/* Reads to the end of the pipe: nothing in it means that the program runs. */
static int await_program(const struct child_spec *spec, int fd, pid_t pid, struct error *err)
{
    struct start_failure failure;
    ssize_t n;
    do {
        n = read(fd, &failure, sizeof(failure));
    } while (n < 0 && errno == EINTR);
    if (n == 0)
        return 0;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    if (n != sizeof(failure))
        return error_set(err, ERROR_SYSTEM, "start %s: no word from the child", spec->arguments[0]);
    return explain_failure(spec, &failure, err);
}

int child_start(const struct child_spec *spec, pid_t *ret_pid, struct error *err)
{
    assert(spec->arguments && spec->arguments[0]);
    CLEANUP(start_done)
    struct start start = {.spec = spec, .failure_fd = -1, .parent = getpid()};
    start.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (start.null_fd < 0)
        return error_set_errno(err, errno, "open /dev/null");
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set_errno(err, errno, "make a pipe to start %s", spec->arguments[0]);
    CLEANUP(close_descriptorp) int read_end = ends[0];
    start.failure_fd = ends[1];
    find_paths(&start, spec->arguments[0]);
    make_environment(&start, spec);
    pid_t pid = fork_child(&start);
    if (pid < 0)
        return error_set_errno(err, errno, "start %s", spec->arguments[0]);
    close_descriptor(take_descriptor(&start.failure_fd));
    int r = await_program(spec, read_end, pid, err);
    if (r < 0)
        return r;
    *ret_pid = pid;
    return 0;
}

/* Sleeps for a little where there are no process descriptors: before Linux 5.3, and in valgrind. */
static CO_FN int look_later(struct loop *loop, int64_t deadline, struct error *err)
{
    enum { LOOK_AGAIN_US = 2000 };
    if (deadline >= 0 && world_monotonic_clock() >= deadline)
        return error_set(err, ERROR_TIMEOUT, "it still runs at the deadline");
    loop_sleep(loop, LOOK_AGAIN_US);
    return 0;
}

CO_FN int child_wait(struct loop *loop, pid_t pid, int64_t deadline, int *ret_status,
                     struct error *err)
{
    CLEANUP(close_descriptorp) int fd = pidfd_open(pid, 0);
    for (;;) {
        int status;
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid) {
            *ret_status = status;
            return 0;
        }
        if (ended < 0 && errno != EINTR)
            return error_set(err, ERROR_NOT_FOUND, "process %d is no child of ours", (int)pid);
        int r = fd >= 0 ? loop_wait_fd(loop, fd, LOOP_READABLE, deadline, err)
                        : look_later(loop, deadline, err);
        if (r < 0)
            return error_wrap(err, r, "wait for the end of process %d", (int)pid);
    }
}

/* What child_run() knows of the output so far. */
struct collection {
    struct loop *loop;
    int fd;
    struct watch *watch; /* NULL after the end of the output */
    struct strbuf output;
    size_t limit;
    bool is_kept;
    bool is_too_long;
    bool has_ended; /* and was reaped: pid may be another's by now */
    pid_t pid;
};

static void collection_done(struct collection *collection)
{
    loop_unwatch(collection->watch);
    close_descriptor(collection->fd);
    strbuf_done(&collection->output);
}

/* The group, and the child itself in case it has left it. */
static void kill_all(pid_t pid)
{
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
}

/* Takes what is there now; false when there is nothing more for now or for ever. */
static bool collect_some(struct collection *collection)
{
    char bytes[16384];
    ssize_t n = read(collection->fd, bytes, sizeof(bytes));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (n <= 0) {
        loop_unwatch(take_ptr(collection->watch));
        return false;
    }
    if (!collection->is_kept || collection->is_too_long)
        return true;
    if ((size_t)n > collection->limit - collection->output.length) {
        collection->is_too_long = true;
        if (!collection->has_ended)
            kill_all(collection->pid);
        return true;
    }
    strbuf_add_n(&collection->output, bytes, (size_t)n);
    return true;
}

static void output_arrived(void *argument, int events)
{
    (void)events;
    collect_some(argument);
}

/* What lies in the pipe at the end of the child; its children may go on writing for ever. */
static void collect_rest(struct collection *collection)
{
    enum { MOST_READS = 64 }; /* a pipe of 1 MiB, the most that an ordinary user can have */
    for (int i = 0; i < MOST_READS && collection->watch && collect_some(collection); i++)
        continue;
}

static int begin_collection(struct collection *collection, const struct child_spec *spec,
                            struct error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set_errno(err, errno, "make a pipe for the output of %s", spec->arguments[0]);
    collection->fd = ends[0];
    CLEANUP(close_descriptorp) int write_end = ends[1];
    fcntl(collection->fd, F_SETFL, O_NONBLOCK);
    struct child_spec piped = *spec;
    piped.output = piped.errors = write_end;
    piped.own_group = true;
    int r = child_start(&piped, &collection->pid, err);
    if (r < 0)
        return r;
    collection->watch =
        loop_watch(collection->loop, collection->fd, LOOP_READABLE, output_arrived, collection);
    return 0;
}

CO_FN int child_run(struct loop *loop, const struct child_spec *spec, size_t limit,
                    int64_t deadline, int *ret_status, char **ret_output, struct error *err)
{
    CLEANUP(collection_done)
    struct collection collection = {
        .loop = loop, .fd = -1, .limit = limit, .is_kept = ret_output != NULL};
    int r = begin_collection(&collection, spec, err);
    if (r < 0)
        return r;
    int status;
    r = child_wait(loop, collection.pid, deadline, &status, NULL);
    if (r < 0) {
        kill_all(collection.pid);
        child_wait(loop, collection.pid, -1, &status, NULL);
        return error_set(err, ERROR_TIMEOUT, "%s had not ended at its deadline and was killed",
                         spec->arguments[0]);
    }
    collection.has_ended = true;
    collect_rest(&collection);
    if (collection.is_too_long)
        return error_set(err, ERROR_LIMIT, "%s printed more than %zu bytes and was killed",
                         spec->arguments[0], limit);
    *ret_status = status;
    if (ret_output)
        *ret_output = strbuf_take(&collection.output);
    return 0;
}

int child_become(const char *const *arguments, struct error *err)
{
    execvp(arguments[0], (char *const *)arguments);
    if (errno == ENOENT)
        return error_set(err, ERROR_NOT_FOUND, "there is no program %s", arguments[0]);
    return error_set_errno(err, errno, "start %s", arguments[0]);
}

int child_make_input(const void *content, size_t size, int *ret_descriptor, struct error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set_errno(err, errno, "make a pipe");
    CLEANUP(close_descriptorp) int output = ends[0];
    CLEANUP(close_descriptorp) int input = ends[1];
    /* It is all written before anybody reads. */
    int room = fcntl(input, F_GETPIPE_SZ);
    if (room < 0 || (size > (size_t)room && fcntl(input, F_SETPIPE_SZ, (int)size) < 0))
        return error_set(err, ERROR_LIMIT, "a pipe has no room for %zu bytes", size);
    for (size_t n = 0; n < size;) {
        ssize_t written = write(input, (const char *)content + n, size - n);
        if (written < 0 && errno != EINTR)
            return error_set_errno(err, errno, "write to a pipe");
        n += written > 0 ? (size_t)written : 0;
    }
    *ret_descriptor = take_descriptor(&output);
    return 0;
}
