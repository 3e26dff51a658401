/* The supervisor: what both halves do from their start to their end. */
#include "twin/supervise.h"

#include "base/strbuf.h"
#include "base/world.h"
#include "twin/autoscaler.h"
#include "twin/cgroup.h"
#include "twin/converge.h"
#include "twin/door.h"
#include "twin/events.h"
#include "twin/firewall-log.h"
#include "twin/leftovers.h"
#include "twin/measure.h"
#include "twin/name-server.h"
#include "twin/network.h"
#include "twin/outer.h"
#include "twin/sandbox.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOCK_FILE "lock"

enum {
    GOING_TIME = 10 * 1000 * 1000, /* what a killed twin's last processes may take to go */
    KNOCK_NS = 20 * 1000 * 1000,
};

struct inner {
    struct twin twin;
    struct door *door;
    struct name_server *names;
    struct firewall_log *firewall_log;
    struct autoscaler *autoscaler;
    struct gate ending;
    bool is_ending;
    bool wipe;
    int exit_code;
};

static int complain(const struct error *err)
{
    fprintf(stderr, "parley-twin: %s\n", error_message(err));
    return 1;
}

static void end(void *argument, bool wipe)
{
    struct inner *inner = argument;
    inner->is_ending = true;
    inner->wipe = inner->wipe || wipe;
    gate_open(inner->twin.loop, &inner->ending);
}

static void asked_to_end(void *argument)
{
    end(argument, false);
}

static void connected(void *argument, int take_fd)
{
    struct inner *inner = argument;
    if (inner->door)
        door_accept(inner->door, take_fd);
    else
        close_descriptor(take_fd);
}

/* Removes what a folder holds; links are not followed. */
static void empty_folder(int take_folder, bool is_top)
{
    DIR *entries = fdopendir(take_folder);
    if (!entries) {
        close_descriptor(take_folder);
        return;
    }
    for (struct dirent *entry; (entry = readdir(entries));) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
            (is_top && strcmp(name, LOCK_FILE) == 0))
            continue;
        int below = openat(take_folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below >= 0)
            empty_folder(below, false);
        unlinkat(take_folder, name, below >= 0 ? AT_REMOVEDIR : 0);
    }
    closedir(entries);
}

/* Without it all is well but for names, which programs then look for in the machine's own file. */
static void announce_names(void)
{
    struct error err = {0};
    if (name_server_announce(&err) < 0)
        complain(&err);
    error_done(&err);
}

/* A kernel without it still decides; it just does not tell. */
static void follow_firewall(struct inner *inner)
{
    struct error err = {0};
    if (firewall_log_new(&inner->twin, &inner->firewall_log, &err) < 0)
        complain(&err);
    error_done(&err);
}

static void limit_programs(struct twin *twin, const struct manifest *manifest)
{
    struct cgroups *cgroups = cgroups_find(manifest->identity);
    if (cgroups)
        processes_limit_by(twin->processes, cgroups);
}

static int start(struct inner *inner, struct error *err)
{
    struct twin *twin = &inner->twin;
    struct manifest *manifest;
    int r = manifest_load(twin->folder, &manifest, err);
    if (r < 0)
        return r;
    leftovers_remove(manifest, twin->folder);
    r = network_new(&twin->network, err);
    if (r == 0)
        r = processes_new(twin->loop, twin->network, SANDBOX_LOGS, &twin->processes, err);
    if (r < 0) {
        manifest_free(manifest);
        return r;
    }
    limit_programs(twin, manifest);
    announce_names();
    r = converge_new(twin, manifest, &twin->converge, err);
    twin->measure = measure_new(twin);
    twin->tell_measures = measure_write_metrics;
    twin->events = events_new(twin, twin->folder);
    twin->note = events_note;
    if (r == 0)
        r = name_server_new(twin, &inner->names, err);
    if (r == 0) {
        follow_firewall(inner);
        inner->autoscaler = autoscaler_new(twin);
    }
    return r;
}

static CO_FN void stop(struct inner *inner)
{
    struct twin *twin = &inner->twin;
    door_free(inner->door);
    inner->door = NULL;
    autoscaler_free(inner->autoscaler);
    name_server_free(inner->names);
    firewall_log_free(inner->firewall_log);
    bool is_empty = twin->converge && converge_is_empty(twin->converge);
    /* What has no memory of its own, or is not wanted any more, need not be asked to end. */
    if (twin->processes && twin->converge)
        processes_kill(twin->processes, inner->wipe || is_empty);
    events_free(twin->events);
    converge_free(twin->converge);
    measure_free(twin->measure);
    processes_free(twin->processes);
    network_free(twin->network);
    outer_free(twin->outer);
    if (is_empty) {
        CLEANUP(manifest_freep) struct manifest *nothing = manifest_new();
        leftovers_remove(nothing, twin->folder);
    }
    if (inner->wipe)
        empty_folder(open(twin->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), true);
}

static void live(void *argument)
{
    struct inner *inner = argument;
    struct door_events events = {.ended = end, .argument = inner};
    struct error err = {0};
    if (start(inner, &err) < 0) {
        inner->exit_code = complain(&err);
    } else {
        inner->door = door_new(&inner->twin, &events);
        printf("ready\n");
        fflush(stdout);
        while (!inner->is_ending)
            gate_wait(inner->twin.loop, &inner->ending, -1, NULL);
    }
    error_done(&err);
    stop(inner);
}

static int run_inner(const char *folder, pid_t pid, int link)
{
    struct inner inner = {
        .twin = {.loop = loop_new(),
                 .folder = SANDBOX_STATE,
                 .shown_folder = folder,
                 .program = SANDBOX_PROGRAM,
                 .pid = pid},
    };
    struct outer_events events = {
        .connected = connected, .asked_to_end = asked_to_end, .argument = &inner};
    signal(SIGPIPE, SIG_IGN);
    inner.twin.outer = outer_new(inner.twin.loop, link, &events);
    loop_spawn(inner.twin.loop, "inner", live, &inner);
    loop_run(inner.twin.loop);
    loop_free(inner.twin.loop);
    coroutine_pool_done();
    return inner.exit_code;
}

/* The inner half learns its own id from the outer one, which alone knows it. */
static int enter_inner(const struct sandbox_origin *origin, int link)
{
    struct error err = {0};
    pid_t pid;
    if (sandbox_furnish(origin, link, &err) < 0 || sandbox_find_users(&err) < 0) {
        int code = complain(&err);
        error_done(&err);
        return code;
    }
    if (recv(link, &pid, sizeof(pid), 0) != sizeof(pid))
        return 1;
    return run_inner(origin->state_folder, pid, link);
}

/* What the outer half owns besides the inner one. */
struct outside {
    const char *folder;
    const char *socket_path;
    int lock;
    int listener;
    int links[2];
};

/*
 * Both halves hold the lock, so that a twin whose outer half was killed keeps it until its last
 * process is gone: a moment that is waited for.
 */
static int lock_folder(struct outside *outside, struct error *err)
{
    CLEANUP(mem_freep) char *lock = string_format("%s/" LOCK_FILE, outside->folder);
    int64_t deadline = world_monotonic_clock() + GOING_TIME;
    for (;;) {
        struct error problem = {0};
        int r = world_lock_file(lock, &outside->lock, &problem);
        if (r != -ERROR_BUSY)
            return r < 0 ? error_move(err, &problem) : 0;
        error_done(&problem);
        if (world_monotonic_clock() >= deadline)
            return error_set(err, ERROR_BUSY,
                             "another supervisor runs the twin of %s; end the process that holds "
                             "%s",
                             outside->folder, lock);
        nanosleep(&(struct timespec){.tv_nsec = KNOCK_NS}, NULL);
    }
}

static int open_outside(struct outside *outside, struct error *err)
{
    int r = lock_folder(outside, err);
    if (r == 0)
        r = outer_open_socket(outside->socket_path, &outside->listener, err);
    if (r == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, outside->links) < 0)
        r = error_set_errno(err, errno, "make the link between the halves");
    return r;
}

static void close_outside(struct outside *outside)
{
    if (outside->listener >= 0)
        unlink(outside->socket_path);
    close_descriptor(outside->lock);
    close_descriptor(outside->listener);
    close_descriptor(outside->links[0]);
    close_descriptor(outside->links[1]);
}

static int split(struct outside *outside, struct error *err)
{
    CLEANUP(mem_freep) char *program = NULL;
    pid_t pid = -1;
    int r = world_program_path(&program, err);
    struct sandbox_origin origin = {
        .state_folder = outside->folder, .program = program, .user = geteuid(), .group = getegid()};
    if (r == 0)
        r = sandbox_split(&pid, err);
    if (r < 0)
        return complain(err);
    if (pid == 0) {
        close_descriptor(outside->listener);
        close_descriptor(outside->links[0]);
        exit(enter_inner(&origin, outside->links[1]));
    }
    close_descriptor(outside->links[1]);
    outside->links[1] = -1;
    /* When this fails the inner half is dead already. */
    (void)!send(outside->links[0], &pid, sizeof(pid), MSG_NOSIGNAL);
    return outer_run(outside->listener, outside->links[0], pid);
}

int supervise(const char *folder, const char *socket_path, const char *identity)
{
    struct outside outside = {
        .socket_path = socket_path, .lock = -1, .listener = -1, .links = {-1, -1}};
    struct error err = {0};
    char real_folder[PATH_MAX];
    sigset_t handled;
    sigemptyset(&handled);
    sigaddset(&handled, SIGTERM);
    sigaddset(&handled, SIGINT);
    sigaddset(&handled, SIGHUP);
    sigprocmask(SIG_BLOCK, &handled, NULL);
    int r = world_make_folder(folder, 0700, &err);
    if (r == 0 && !realpath(folder, real_folder))
        r = error_set_errno(&err, errno, "find %s", folder);
    outside.folder = real_folder;
    if (r == 0)
        r = open_outside(&outside, &err);
    if (r == 0 && identity)
        r = manifest_begin(real_folder, identity, &err);
    int code = r < 0 ? complain(&err) : split(&outside, &err);
    close_outside(&outside);
    error_done(&err);
    return code;
}
