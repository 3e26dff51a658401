/* The other side of the twin's socket. Without a loop: a command line that may block. */
#include "twin/client.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "model/json.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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

static int find_inner(const char *socket_path, pid_t *ret_pid, struct error *err)
{
    CLEANUP(mem_freep) char *line = NULL;
    CLEANUP(value_unrefp) struct value *answer = NULL;
    int r = ask(socket_path, "{\"id\":1,\"verb\":\"status\"}", &line, err);
    if (r == 0)
        r = json_read(line, strlen(line), &answer, err);
    if (r < 0)
        return r;
    *ret_pid = (pid_t)value_get_integer(answer, "pid", 0);
    return *ret_pid > 0 ? 0 : error_set(err, ERROR_UNAVAILABLE, "the twin has no process");
}

/*
 * All are opened before the first is entered: the mount namespace hides the old /proc. The user
 * namespace comes first, since it gives the right to enter the others.
 */
static int enter_sandbox(pid_t pid, struct error *err)
{
    static const char *const names[] = {"user", "mnt", "pid", "ipc", "uts", "net"};
    int fds[ARRAY_LENGTH(names)];
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
    return 0;
}

static int enter_host(const char *host, struct error *err)
{
    if (strchr(host, '/'))
        return error_set(err, ERROR_INVALID, "%s is not the name of a host", host);
    CLEANUP(mem_freep) char *path = string_format("/run/netns/%s", host);
    CLEANUP(close_descriptorp) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return error_set(err, ERROR_NOT_FOUND, "the twin has no host %s", host);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        return error_set_errno(err, errno, "enter %s", host);
    return 0;
}

/* Capabilities of a user namespace are lost at exec unless they are ambient. */
static void keep_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct held[2];
    if (geteuid() == 0 || syscall(SYS_capget, &header, held) < 0)
        return;
    held[0].inheritable = held[0].permitted;
    held[1].inheritable = held[1].permitted;
    if (syscall(SYS_capset, &header, held) < 0)
        return;
    for (unsigned long capability = 0; capability < 64; capability++)
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
}

static int run(char *const *arguments)
{
    /* Only children are in the pid namespace that was entered. */
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        keep_capabilities();
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

int client_execute(const char *socket_path, const char *host, char *const *arguments)
{
    struct error err = {0};
    pid_t pid = 0;
    int code;
    if (find_inner(socket_path, &pid, &err) < 0 || enter_sandbox(pid, &err) < 0 ||
        enter_host(host, &err) < 0)
        code = complain(&err);
    else
        code = run(arguments);
    /* What runs at a normal exit is not made for a process between two sets of namespaces. */
    _exit(code);
}
