/* The other side of the twin's socket. Without a loop: a command line that may block. */
#include "twin/client.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "model/json.h"
#include "net/program.h"
#include "twin/network.h"
#include "twin/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int complain(struct error *err)
{
    fprintf(stderr, "parley-twin: %s\n", error_message(err));
    error_done(err);
    return 1;
}

static int open_connection(const char *path, FILE **ret_stream, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(err, ERROR_INVALID, "the socket path %s is too long", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    CLEANUP(close_descriptorp) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return error_set_errno(err, errno, "no twin answers on %s", path);
    FILE *stream = fdopen(fd, "r");
    if (!stream)
        return error_set_errno(err, errno, "open a stream");
    /* The stream closes it from now on. */
    (void)take_descriptor(&fd);
    *ret_stream = stream;
    return 0;
}

/* The greeting comes first; the line after it is the answer. The caller frees it. */
static int read_answer(FILE *stream, char **ret_line, struct error *err)
{
    for (unsigned int i = 0; i < 2; i++) {
        char *line = NULL;
        size_t capacity = 0;
        ssize_t length = getline(&line, &capacity, stream);
        if (length <= 0 || i == 1) {
            if (length > 0)
                *ret_line = line;
            else
                mem_free(line);
            return length > 0 ? 0 : error_set(err, ERROR_UNAVAILABLE, "the twin did not answer");
        }
        mem_free(line);
    }
    return 0;
}

static int ask(const char *socket_path, const char *request, char **ret_line, struct error *err)
{
    FILE *stream = NULL;
    int r = open_connection(socket_path, &stream, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep) char *line = string_format("%s\n", request);
    size_t length = strlen(line), sent = 0;
    while (sent < length) {
        ssize_t n = send(fileno(stream), line + sent, length - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            break;
        sent += n > 0 ? (size_t)n : 0;
    }
    r = read_answer(stream, ret_line, err);
    fclose(stream);
    return r;
}

int client_request(const char *socket_path, const char *request)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *line = NULL;
    if (ask(socket_path, request, &line, &err) < 0)
        return complain(&err);
    fputs(line, stdout);
    CLEANUP(value_unrefp) struct value *answer = NULL;
    if (json_read(line, strlen(line), &answer, &err) < 0)
        return complain(&err);
    return value_get_bool(answer, "ok", false) ? 0 : 1;
}

/* The first processes of the sandbox, as the machine counts, and of the host's cage, as the sandbox
 * counts; 0 for the router, which has none. */
struct inside {
    pid_t sandbox;
    pid_t cage;
};

static int find_inside(const char *socket_path, const char *host, struct inside *ret_inside,
                       struct error *err)
{
    CLEANUP(value_unrefp) struct value *request = NULL;
    CLEANUP(value_unrefp) struct value *answer = NULL;
    CLEANUP(mem_freep) char *line = NULL;
    struct value_builder fields = {0};
    value_builder_set(&fields, "id", value_integer(1));
    value_builder_set_string(&fields, "verb", "enter");
    value_builder_set_string(&fields, "host", host);
    request = value_builder_map(&fields);
    CLEANUP(mem_freep) char *text = json_text(request);
    int r = ask(socket_path, text, &line, err);
    if (r == 0)
        r = json_read(line, strlen(line), &answer, err);
    if (r < 0)
        return r;
    const struct value *error = value_get(answer, "error");
    if (error)
        return error_set(err, ERROR_NOT_FOUND, "%s", value_get_text(error, "message"));
    ret_inside->sandbox = (pid_t)value_get_integer(answer, "pid", 0);
    ret_inside->cage = (pid_t)value_get_integer(answer, "cage", 0);
    return ret_inside->sandbox > 0 ? 0
                                   : error_set(err, ERROR_UNAVAILABLE, "the twin has no process");
}

/*
 * All are opened before the first is entered: the mount namespace hides the old /proc. The user
 * namespace comes first, since it gives the right to enter the others.
 */
static int enter_sandbox(pid_t pid, struct error *err)
{
    static const char *const names[] = {"user", "mnt", "pid", "ipc", "uts", "net"};
    int fds[ARRAY_LENGTH(names)];
    CLEANUP(mem_freep) char *root_path = string_format("/proc/%d/root", (int)pid);
    CLEANUP(close_descriptorp) int root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_set_errno(err, errno, "open the twin's root %s", root_path);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        CLEANUP(mem_freep) char *path = string_format("/proc/%d/ns/%s", (int)pid, names[i]);
        fds[i] = open(path, O_RDONLY | O_CLOEXEC);
        if (fds[i] < 0)
            return error_set_errno(err, errno, "open the twin's namespace %s", path);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        /* As root there is no user namespace of its own; one cannot enter where one is. */
        if (setns(fds[i], 0) < 0 && !(i == 0 && errno == EINVAL))
            return error_set_errno(err, errno, "enter the twin's namespace %s", names[i]);
        close_descriptor(fds[i]);
    }
    /* A twin in a chroot has its /proc and /run there. */
    if (fchdir(root) < 0 || chroot(".") < 0)
        return error_set_errno(err, errno, "enter the twin's root");
    return 0;
}

/* The router has no cage, only a network. */
static int enter_router(struct error *err)
{
    CLEANUP(close_descriptorp) int fd = open("/run/netns/" NETWORK_ROUTER, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        return error_set_errno(err, errno, "enter the " NETWORK_ROUTER);
    return 0;
}

/* From within the sandbox, whose /proc counts as its first process does. */
static int enter_cage(pid_t pid, const char *host, struct error *err)
{
    static const char *const names[] = {"pid", "ipc", "net", "mnt"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        CLEANUP(mem_freep) char *path = string_format("/proc/%d/ns/%s", (int)pid, names[i]);
        CLEANUP(close_descriptorp) int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || setns(fd, 0) < 0)
            return error_set_errno(err, errno, "enter the namespace %s of %s", names[i], host);
    }
    return 0;
}

static int run(char *const *arguments, bool as_instance)
{
    /* Only children are in the pid namespace that was entered. */
    pid_t pid = fork();
    if (pid == 0) {
        int r = 0;
        if (as_instance)
            r = sandbox_drop_privileges(PROCESS_NOBODY);
        else
            sandbox_keep_capabilities();
        if (r < 0) {
            fprintf(stderr, "parley-twin: give up the rights: %s\n", strerror(-r));
            _exit(127);
        }
        /* Last, because a change of user takes it away. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* Most of what one looks at networks with is in nobody's PATH but root's. */
        CLEANUP(mem_freep) char *folders = program_folders();
        setenv("PATH", folders, 1);
        execvp(arguments[0], arguments);
        fprintf(stderr, "parley-twin: %s: %s\n", arguments[0], strerror(errno));
        _exit(127);
    }
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (pid < 0)
        return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int client_execute(const char *socket_path, const char *host, char *const *arguments,
                   bool as_instance)
{
    struct error err = {0};
    struct inside inside = {0};
    int code;
    if (find_inside(socket_path, host, &inside, &err) < 0 ||
        enter_sandbox(inside.sandbox, &err) < 0 || (as_instance && sandbox_find_users(&err) < 0) ||
        (inside.cage ? enter_cage(inside.cage, host, &err) : enter_router(&err)) < 0)
        code = complain(&err);
    else
        code = run(arguments, as_instance);
    /* What runs at a normal exit is not made for a process between two sets of namespaces. */
    _exit(code);
}
