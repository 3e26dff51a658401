#include "twin/unpack.h"

#include "base/memory.h"
#include "base/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

int unpack_begin(const char *folder, const char *const *excludes, struct unpacking *ret_unpacking,
                 struct error *err)
{
    enum { MOST_EXCLUDES = 8 };
    /* Devices are the twin's business. Rights that files carry do not count there. */
    const char *arguments[16 + MOST_EXCLUDES] = {
        "tar", "-x", "-p", "-f", "-", "--numeric-owner", "--no-xattrs", "-C", folder, "--anchored"};
    size_t n = 0;
    int ends[2];
    while (arguments[n])
        n++;
    for (size_t i = 0; excludes && excludes[i] && i < MOST_EXCLUDES; i++)
        arguments[n++] = excludes[i];
    signal(SIGPIPE, SIG_IGN);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set_errno(err, errno, "make a pipe");
    pid_t pid = fork();
    if (pid < 0) {
        close_descriptor(ends[0]);
        close_descriptor(ends[1]);
        return error_set_errno(err, errno, "start tar");
    }
    if (pid == 0) {
        dup2(ends[0], STDIN_FILENO);
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execvp("tar", (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    close_descriptor(ends[0]);
    *ret_unpacking = (struct unpacking){pid, ends[1]};
    return 0;
}

int unpack_add(struct unpacking *unpacking, const void *bytes, size_t size, struct error *err)
{
    for (const char *next = bytes; size > 0;) {
        ssize_t n = write(unpacking->input, next, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, errno, "unpack an archive");
        next += n;
        size -= (size_t)n;
    }
    return 0;
}

int unpack_end(struct unpacking *unpacking, struct error *err)
{
    int status = 0;
    close_descriptor(take_descriptor(&unpacking->input));
    while (waitpid(unpacking->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return error_set(err, ERROR_MISSING, "the program tar is not installed");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return error_set(err, ERROR_SYSTEM, "tar could not unpack it; is the disk full?");
    return 0;
}
