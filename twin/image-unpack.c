/* `tar` does it: what a container's archive may hold is its business, and every Debian has it. */
#include "twin/image-unpack.h"

#include "base/strbuf.h"
#include "twin/service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Starts it; *ret_input is where the archive is written to. */
static int start_tar(const char *folder, pid_t *ret_pid, int *ret_input, struct error *err)
{
    int ends[2];
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
        /* Devices are the twin's business. Rights that files carry do not count there. */
        execlp("tar", "tar", "-x", "-p", "-f", "-", "--numeric-owner", "--no-xattrs", "--anchored",
               "--exclude=dev", "--exclude=dev/*", "-C", folder, (char *)NULL);
        _exit(127);
    }
    close_descriptor(ends[0]);
    *ret_pid = pid;
    *ret_input = ends[1];
    return 0;
}

static int pass_on(void *argument, const char *bytes, size_t size, struct error *err)
{
    const int *fd = argument;
    while (size > 0) {
        ssize_t n = write(*fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, errno, "unpack the image");
        bytes += n;
        size -= (size_t)n;
    }
    return 0;
}

static int end_tar(pid_t pid, struct error *err)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return error_set(err, ERROR_MISSING, "the program tar is not installed");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return error_set(err, ERROR_SYSTEM, "tar could not unpack the image; is the disk full?");
    return 0;
}

/* An image's own link must not lead what we make elsewhere. */
static int make_folder(int root, const char *name, struct error *err)
{
    struct stat status;
    if (fstatat(root, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(status.st_mode))
        unlinkat(root, name, 0);
    if (mkdirat(root, name, 0755) < 0 && errno != EEXIST)
        return error_set_errno(err, errno, "make /%s in the image", name);
    return 0;
}

static int make_file(int folder, const char *name, struct error *err)
{
    struct stat status;
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(status.st_mode))
        unlinkat(folder, name, 0);
    CLEANUP(close_descriptorp)
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    return fd < 0 ? error_set_errno(err, errno, "make /etc/%s in the image", name) : 0;
}

/* What the twin mounts there: the image itself is read-only by then. */
static int make_places(const char *path, struct error *err)
{
    static const char *const folders[] = {"proc", "sys", "dev", "tmp", "run", "etc"};
    CLEANUP(close_descriptorp) int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_set_errno(err, errno, "open %s", path);
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LENGTH(folders); i++)
        r = make_folder(root, folders[i], err);
    if (r < 0)
        return r;
    CLEANUP(close_descriptorp)
    int settings = openat(root, "etc", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (settings < 0)
        return error_set_errno(err, errno, "open /etc in the image");
    r = make_file(settings, "hosts", err);
    if (r == 0)
        r = make_file(settings, "resolv.conf", err);
    /* Whoever reports it as made must find it after a loss of power. */
    if (r == 0 && syncfs(root) < 0)
        r = error_set_errno(err, errno, "sync %s", path);
    return r;
}

int image_unpack(struct engine *engine, const char *container, const char *folder,
                 const char *partial, struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("/containers/%s/export", container);
    CLEANUP(close_descriptorp) int input = -1;
    pid_t pid = -1;
    service_remove_folder(partial);
    if (mkdir(partial, 0755) < 0)
        return error_set_errno(err, errno, "make %s", partial);
    signal(SIGPIPE, SIG_IGN);
    int r = start_tar(partial, &pid, &input, err);
    if (r < 0)
        return r;
    struct engine_request request = {
        .method = "GET", .path = path, .take = pass_on, .argument = &input};
    struct error problem = {0};
    r = engine_ask(engine, &request, NULL, &problem);
    close_descriptor(take_descriptor(&input));
    int ended = end_tar(pid, r < 0 ? NULL : &problem);
    if (r < 0 || ended < 0) {
        service_remove_folder(partial);
        return error_move(err, &problem);
    }
    r = make_places(partial, err);
    if (r == 0)
        service_remove_folder(folder);
    if (r == 0 && rename(partial, folder) < 0)
        r = error_set_errno(err, errno, "put the image to %s", folder);
    return r;
}
