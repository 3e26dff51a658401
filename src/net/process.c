#include "net/process.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

struct search {
    const char *path;
    char folder[64]; /* of the descriptors of the process that is looked into */
    pid_t pid;
    int descriptor;
};

/* Negative ends a listing: here that something was found. */
enum { FOUND = -1 };

static int look_at_descriptor(void *argument, const char *name, struct error *err)
{
    const struct search *search = argument;
    CLEANUP(mem_freep) char *link = string_format("%s/%s", search->folder, name);
    char target[4096];
    ssize_t length = readlink(link, target, sizeof(target) - 1);
    (void)err;
    if (length < 0)
        return 0;
    target[length] = '\0';
    return text_equal(target, search->path) ? FOUND : 0;
}

static int look_at_process(void *argument, const char *name, struct error *err)
{
    struct search *search = argument;
    int64_t id;
    (void)err;
    if (!text_to_integer(name, &id) || id == getpid())
        return 0;
    /* First, so that what is found belongs to this process and to none that got its id later. */
    CLEANUP(close_descriptorp) int descriptor = pidfd_open((pid_t)id, 0);
    if (descriptor < 0)
        return 0;
    snprintf(search->folder, sizeof(search->folder), "/proc/%d/fd", (int)id);
    if (world_list_folder(search->folder, look_at_descriptor, search, NULL) != FOUND)
        return 0;
    search->pid = (pid_t)id;
    search->descriptor = take_descriptor(&descriptor);
    return FOUND;
}

int process_find_user(const char *path, pid_t *ret_pid, int *ret_descriptor, struct error *err)
{
    CLEANUP(mem_freep) char *real = NULL;
    int r = world_real_path(path, &real, err);
    if (r < 0)
        return r;
    struct search search = {.path = real, .descriptor = -1};
    (void)world_list_folder("/proc", look_at_process, &search, NULL);
    if (search.descriptor < 0)
        return error_set(err, ERROR_NOT_FOUND, "no process that we may look into has %s open",
                         path);
    *ret_pid = search.pid;
    *ret_descriptor = search.descriptor;
    return 0;
}

CO_FN int process_end(struct loop *loop, int descriptor, int64_t deadline, struct error *err)
{
    if (pidfd_send_signal(descriptor, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
        return error_set_errno(err, errno, "end the process");
    int r = loop_wait_fd(loop, descriptor, LOOP_READABLE, deadline, err);
    return r < 0 ? error_wrap(err, r, "wait for the end of the process") : 0;
}
