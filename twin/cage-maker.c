/*
 * Makes cages. First it builds the view of the files that all cages begin with and turns it into
 * its own; then each cage is a child in namespaces of its own, which adds what cages do not share.
 */
#include "twin/cage-maker.h"

#include "base/memory.h"
#include "base/text.h"
#include "twin/guards.h"
#include "twin/passing.h"
#include "twin/sandbox.h"
#include "twin/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where the view is built, before it becomes "/". Every machine has it, and the sandbox its own. */
#define SITE "/run"
/* Of each /tmp and /dev/shm. What lies there is memory. */
#define ROOM "size=256m,nr_inodes=65536"
/* What only its owner could change is a mount that nobody can. */
#define SEALED (GUARD(READ_ONLY) ? MOUNT_ATTR_RDONLY : 0)

/* Programs, their libraries and settings: what every program of the machine finds. */
static const char *const system_folders[] = {
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/gnu",
};
static const char *const devices[] = {
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty",
};
/* Empty, until something is mounted on them. */
static const char *const other_folders[] = {
    "/proc", "/sys", "/tmp", "/run", "/dev/shm", "/var/cache", "/var/lib", "/var/log",
};
static const struct {
    const char *path;
    const char *target;
} links[] = {
    {"/dev/fd", "/proc/self/fd"},
    {"/dev/stdin", "/proc/self/fd/0"},
    {"/dev/stdout", "/proc/self/fd/1"},
    {"/dev/stderr", "/proc/self/fd/2"},
    {"/var/run", "/run"},
    {"/var/tmp", "/tmp"},
};

/* Where what /etc/resolv.conf leads to is kept, and what that is; "" when it needs no keeping. */
#define RESOLVER "/resolv.conf"
static char resolver[PATH_MAX];

bool cage_maker_shows(const char *path)
{
    for (size_t i = 0; i < ARRAY_LENGTH(system_folders); i++) {
        size_t length = strlen(system_folders[i]);
        if (strncmp(path, system_folders[i], length) == 0 && path[length] == '/')
            return true;
    }
    return false;
}

int cage_maker_make_way(const char *path, bool is_folder)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (access(path, F_OK) == 0)
        return 0;
    if (length >= sizeof(part))
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= length; i++) {
        bool is_last = path[i] == '\0';
        int r = 0;
        if (!is_last && path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (is_last && !is_folder) {
            r = open(part, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
            close_descriptor(r);
        } else {
            r = mkdir(part, 0755);
        }
        if (r < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

static int failed(struct cage_answer *answer, const char *what, const char *path)
{
    answer->errno_value = errno ? errno : EINVAL;
    snprintf(answer->what, sizeof(answer->what), "%s %s", what, path);
    return -1;
}

/* --- The view that all share --- */

/* Shows a file or folder of the machine at the site with all that is mounted below it. */
static int show(const char *path, uint64_t attributes, struct cage_answer *answer)
{
    char target[PATH_MAX];
    struct mount_attr wanted = {.attr_set = attributes};
    snprintf(target, sizeof(target), SITE "%s", path);
    if (mount(path, target, NULL, MS_BIND | MS_REC, NULL) < 0 ||
        mount_setattr(AT_FDCWD, target, AT_RECURSIVE, &wanted, sizeof(wanted)) < 0)
        return failed(answer, "show", path);
    return 0;
}

static int show_system_folder(const char *path, struct cage_answer *answer)
{
    char target[PATH_MAX], content[PATH_MAX];
    struct stat status;
    snprintf(target, sizeof(target), SITE "%s", path);
    if (lstat(path, &status) < 0)
        return 0;
    if (S_ISLNK(status.st_mode)) {
        ssize_t length = readlink(path, content, sizeof(content) - 1);
        content[length > 0 ? length : 0] = '\0';
        return symlink(content, target) < 0 ? failed(answer, "make the link", path) : 0;
    }
    if (!S_ISDIR(status.st_mode))
        return 0;
    if (mkdir(target, 0755) < 0)
        return failed(answer, "make", path);
    return show(path, SEALED | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, answer);
}

static int show_device(const char *path, struct cage_answer *answer)
{
    char target[PATH_MAX];
    snprintf(target, sizeof(target), SITE "%s", path);
    if (access(path, F_OK) < 0)
        return 0;
    CLEANUP(close_descriptorp) int fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return failed(answer, "make", path);
    return show(path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, answer);
}

static int make_folders(struct cage_answer *answer)
{
    if (mkdir(SITE "/dev", 0755) < 0 || mkdir(SITE "/var", 0755) < 0)
        return failed(answer, "make", "/dev and /var");
    for (size_t i = 0; i < ARRAY_LENGTH(other_folders); i++) {
        char target[PATH_MAX];
        snprintf(target, sizeof(target), SITE "%s", other_folders[i]);
        if (mkdir(target, 0755) < 0)
            return failed(answer, "make", other_folders[i]);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(links); i++) {
        char target[PATH_MAX];
        snprintf(target, sizeof(target), SITE "%s", links[i].path);
        if (symlink(links[i].target, target) < 0)
            return failed(answer, "make the link", links[i].path);
    }
    return 0;
}

/* Found before the site hides it. -1 when it needs no keeping, or is not there. */
static int take_resolver(void)
{
    int tree = -1;
    if (realpath("/etc/resolv.conf", resolver) && text_starts_with(resolver, "/run/"))
        tree = open_tree(AT_FDCWD, resolver, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        resolver[0] = '\0';
    return tree;
}

/* Kept aside for the /run of each cage. Without it names are not found there. */
static void keep_resolver(int tree)
{
    CLEANUP(close_descriptorp) int fd = -1;
    if (tree < 0)
        return;
    fd = open(SITE RESOLVER, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || move_mount(tree, "", AT_FDCWD, SITE RESOLVER, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        resolver[0] = '\0';
}

static void show_resolver(void)
{
    if (resolver[0] && cage_maker_make_way(resolver, false) == 0)
        mount(RESOLVER, resolver, NULL, MS_BIND | MS_RDONLY, NULL);
}

/* Who enters a cage comes to the root of its namespace of mounts, wherever ours is: in a chroot,
 * or where the system runs from its initial memory disk, that is another one. */
static int leave_chroot(void)
{
    CLEANUP(close_descriptorp) int mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    return mounts < 0 ? -1 : setns(mounts, CLONE_NEWNS);
}

/* The old view goes with its mounts: nothing leads back. The initial memory disk cannot go; it
 * stays below the new one. */
static int move_in(struct cage_answer *answer)
{
    struct mount_attr sealed = {.attr_set = SEALED | MOUNT_ATTR_NOSUID};
    CLEANUP(close_descriptorp) int site = open(SITE, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (site < 0 || leave_chroot() < 0 || fchdir(site) < 0)
        return failed(answer, "enter", "the new root");
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        if (umount2(".", MNT_DETACH) < 0)
            return failed(answer, "leave", "the old root");
    } else if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0) {
        return failed(answer, "change", "the root");
    }
    if (chdir("/") < 0 || mount_setattr(AT_FDCWD, "/", 0, &sealed, sizeof(sealed)) < 0)
        return failed(answer, "seal", "the new root");
    return 0;
}

static int build_view(struct cage_answer *answer)
{
    if (unshare(CLONE_NEWNS) < 0)
        return failed(answer, "make", "a mount namespace");
    if (!GUARD(VIEW))
        return 0;
    CLEANUP(close_descriptorp) int tree = take_resolver();
    if (mount("tmpfs", SITE, "tmpfs", MS_NOSUID, "mode=755,size=1m") < 0)
        return failed(answer, "mount", "a new root");
    keep_resolver(tree);
    if (make_folders(answer) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LENGTH(system_folders); i++)
        if (show_system_folder(system_folders[i], answer) < 0)
            return -1;
    for (size_t i = 0; i < ARRAY_LENGTH(devices); i++)
        if (show_device(devices[i], answer) < 0)
            return -1;
    /* An ordinary user may mount these anew only where he sees them already. */
    if (show("/proc", MOUNT_ATTR_RDONLY, answer) < 0)
        return -1;
    if (access("/sys/kernel", F_OK) == 0 && show("/sys", MOUNT_ATTR_RDONLY, answer) < 0)
        return -1;
    return move_in(answer);
}

/* --- One cage, in its first process --- */

static int furnish(struct cage_answer *answer)
{
    const unsigned long plain = MS_NOSUID | MS_NODEV;
    struct mount_attr sealed = {.attr_set = SEALED};
    if (mount("proc", "/proc", "proc", plain | MS_NOEXEC, NULL) < 0)
        return failed(answer, "mount", "its own /proc");
    if (GUARD(TEMPORARY) && mount("tmpfs", "/tmp", "tmpfs", plain, "mode=1777," ROOM) < 0)
        return failed(answer, "mount", "its own /tmp");
    if (GUARD(TEMPORARY) && mount("tmpfs", "/dev/shm", "tmpfs", plain, "mode=1777," ROOM) < 0)
        return failed(answer, "mount", "its own /dev/shm");
    /* Sealed as a mount and not as a file system, so that folders can be shown in it later. */
    if (mount("tmpfs", "/run", "tmpfs", plain, "mode=755,size=1m") < 0)
        return failed(answer, "mount", "its own /run");
    show_resolver();
    if (mount_setattr(AT_FDCWD, "/run", 0, &sealed, sizeof(sealed)) < 0)
        return failed(answer, "seal", "its own /run");
    /* This one tells of its own network alone. Without it there is nothing to tell. */
    if (mount("sysfs", "/sys", "sysfs", plain | MS_NOEXEC | MS_RDONLY, NULL) < 0 &&
        mount("tmpfs", "/sys", "tmpfs", plain | MS_RDONLY, "mode=755,size=4k") < 0)
        return failed(answer, "mount", "its own /sys");
    return 0;
}

/* What it needs no more it gives away, so that nobody in the cage gains by it. */
static int give_up_rights(struct cage_answer *answer)
{
    if (sandbox_drop_capabilities() < 0 || seal_process() < 0 ||
        (GUARD(FIRST_PROCESS) && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0))
        return failed(answer, "give up", "its rights");
    return 0;
}

/* Signals that it does not handle do not reach the first process of a namespace from within. */
static _Noreturn void idle(void)
{
    close_range(0, ~0U, 0);
    for (;;)
        pause();
}

static _Noreturn void begin_cage(int take_network, int take_report)
{
    struct cage_answer answer = {0};
    int r = !GUARD(NETWORK)     ? 0
            : take_network >= 0 ? setns(take_network, CLONE_NEWNET)
                                : unshare(CLONE_NEWNET);
    if (r < 0)
        failed(&answer, "enter", "its network");
    else if (furnish(&answer) == 0)
        give_up_rights(&answer);
    if (write(take_report, &answer, sizeof(answer)) != sizeof(answer) || answer.errno_value != 0)
        _exit(1);
    idle();
}

/* --- The maker --- */

/* On success the answer has errno_value 0, and *ret_life is the caller's to close. */
static void make_cage(int network, struct cage_answer *answer, int *ret_life)
{
    const unsigned long flags = (GUARD(MOUNTS) ? CLONE_NEWNS : 0) |
                                (GUARD(PROCESSES) ? CLONE_NEWPID : 0) |
                                (GUARD(MEMORY) ? CLONE_NEWIPC : 0) | CLONE_PIDFD | SIGCHLD;
    int report[2], life = -1;
    if (pipe2(report, O_CLOEXEC) < 0) {
        failed(answer, "make", "a pipe");
        return;
    }
    long pid = syscall(SYS_clone, flags, 0, &life, 0, 0);
    if (pid == 0)
        begin_cage(network, report[1]);
    close_descriptor(report[1]);
    if (pid < 0)
        failed(answer, "make", "its namespaces");
    else if (read(report[0], answer, sizeof(*answer)) != sizeof(*answer))
        failed(answer, "begin", "the cage: it ended at once");
    close_descriptor(report[0]);
    answer->pid = (pid_t)pid;
    if (answer->errno_value == 0)
        *ret_life = life;
    else
        close_descriptor(life);
}

int cage_maker_main(void)
{
    struct cage_answer failure = {0};
    umask(0);
    /* The kernel reaps the first processes of cages that have ended. */
    signal(SIGCHLD, SIG_IGN);
    build_view(&failure);
    int network;
    char request;
    while (passing_receive(STDIN_FILENO, &request, sizeof(request), &network, 0) > 0) {
        struct cage_answer answer = failure;
        int life = -1;
        if (failure.errno_value == 0)
            make_cage(network, &answer, &life);
        close_descriptor(network);
        int r = passing_send(STDIN_FILENO, &answer, sizeof(answer), life, 0);
        close_descriptor(life);
        if (r < 0)
            return 1;
    }
    return 0;
}
