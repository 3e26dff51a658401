/*
 * The namespaces that the twin lives in. Without root a user namespace lies around the others, in
 * which the user keeps his id: PostgreSQL refuses to be root even if it is a pretended one.
 */
#include "twin/sandbox.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "net/namespaces.h"
#include "twin/guards.h"
#include "twin/seal.h"
#include "twin/service.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    uid_t user;
    gid_t group;
} users[2];

static int refuse(const char *what, int errno_value, struct error *err)
{
    CLEANUP(mem_freep) char *help = namespaces_explain_refusal();
    return error_set(err, ERROR_UNSUPPORTED, "the twin cannot %s: %s. %s", what,
                     namespaces_describe_error(errno_value), help);
}

static bool is_refused(unsigned long flags)
{
    long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    while (pid > 0 && waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return pid < 0;
}

/* Which of the namespaces, that were refused together, is refused by itself. */
static const char *find_refused(unsigned long for_users)
{
    static const struct {
        unsigned long flag;
        const char *what;
    } kinds[] = {{CLONE_NEWNS, "make a mount namespace"},
                 {CLONE_NEWNET, "make a network namespace"},
                 {CLONE_NEWPID, "make a process namespace"},
                 {CLONE_NEWIPC, "make an IPC namespace"},
                 {CLONE_NEWUTS, "make a host name namespace"}};
    if (for_users && is_refused(for_users))
        return "make a user namespace";
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
        if (is_refused(kinds[i].flag | for_users))
            return kinds[i].what;
    return "make its namespaces";
}

int sandbox_split(pid_t *ret_pid, struct error *err)
{
    struct rlimit no_core = {0};
    setrlimit(RLIMIT_CORE, &no_core);
    unsigned long flags =
        CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD;
    unsigned long for_users = geteuid() != 0 ? CLONE_NEWUSER : 0;
    long pid = syscall(SYS_clone, flags | for_users, 0, 0, 0, 0);
    if (pid < 0) {
        int errno_value = errno;
        return refuse(find_refused(for_users), errno_value, err);
    }
    *ret_pid = (pid_t)pid;
    return 0;
}

/*
 * The death signal is armed before anything is made, and the outer half is looked for after that:
 * if it died in between, its end of the link is closed.
 */
static int tie_to_outer(int link, struct error *err)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return error_set_errno(err, errno, "tie the two halves together");
    struct pollfd other = {.fd = link};
    if (poll(&other, 1, 0) < 0 || (other.revents & (POLLHUP | POLLERR)))
        return error_set(err, ERROR_CANCELLED, "the outer half ended");
    return 0;
}

static int write_text(const char *path, const char *text)
{
    CLEANUP(close_descriptorp) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        return -errno;
    return 0;
}

static int map_user(uid_t user, gid_t group, struct error *err)
{
    if (user == 0)
        return 0;
    CLEANUP(mem_freep) char *user_map = string_format("%u %u 1", user, user);
    CLEANUP(mem_freep) char *group_map = string_format("%u %u 1", group, group);
    int r = write_text("/proc/self/setgroups", "deny");
    if (r == 0)
        r = write_text("/proc/self/uid_map", user_map);
    if (r == 0)
        r = write_text("/proc/self/gid_map", group_map);
    return r < 0 ? refuse("map its user", -r, err) : 0;
}

static int mount_system(struct error *err)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return refuse("keep its mounts to itself", errno, err);
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return refuse("mount its own /proc", errno, err);
    if (mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") < 0)
        return refuse("mount its own /dev/shm", errno, err);
    if (mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") < 0)
        return refuse("mount its own /run", errno, err);
    return 0;
}

/* Makes path, a file or a folder, show what the descriptor stands for. */
static int show(int fd, const char *path, struct error *err)
{
    CLEANUP(mem_freep) char *source = string_format("/proc/self/fd/%d", fd);
    if (mount(source, path, NULL, MS_BIND, NULL) < 0)
        return error_set_errno(err, errno, "mount %s", path);
    return 0;
}

/* Below here every path is short, and stays when the folder lies below the old /run. */
static int show_state(int folder, int program, struct error *err)
{
    if (mkdir(SANDBOX_FOLDER, 0755) < 0 || mkdir(SANDBOX_STATE, 0700) < 0)
        return error_set_errno(err, errno, "make " SANDBOX_FOLDER);
    int r = show(folder, SANDBOX_STATE, err);
    if (r < 0)
        return r;
    CLEANUP(close_descriptorp)
    int target = open(SANDBOX_PROGRAM, O_RDONLY | O_CREAT | O_CLOEXEC, 0755);
    if (target < 0)
        return error_set_errno(err, errno, "make " SANDBOX_PROGRAM);
    return show(program, SANDBOX_PROGRAM, err);
}

int sandbox_furnish(const struct sandbox_origin *origin, int link, struct error *err)
{
    int r = tie_to_outer(link, err);
    if (r < 0 || (r = map_user(origin->user, origin->group, err)) < 0)
        return r;
    /* Both are opened before /run and /proc change, and in the new mount namespace, which is the
     * only one they can be mounted in. */
    CLEANUP(close_descriptorp)
    int folder = open(origin->state_folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return error_set_errno(err, errno, "open the state folder %s", origin->state_folder);
    CLEANUP(close_descriptorp) int program = open(origin->program, O_PATH | O_CLOEXEC);
    if (program < 0)
        return error_set_errno(err, errno, "open the program itself, %s", origin->program);
    umask(0);
    r = mount_system(err);
    if (r == 0)
        r = show_state(folder, program, err);
    umask(077);
    if (r < 0)
        return r;
    /*
     * Programs look their own host's name up when they start (Prometheus waits ten seconds for the
     * answer). This one every system knows without asking a name server, which nobody here could
     * reach.
     */
    if (sethostname("localhost", strlen("localhost")) < 0 || chdir("/") < 0)
        return error_set_errno(err, errno, "settle in the sandbox");
    return 0;
}

int sandbox_find_users(struct error *err)
{
    static const char *const names[] = {
        [PROCESS_NOBODY] = "nobody", [PROCESS_POSTGRES] = "postgres"};
    if (geteuid() != 0)
        return 0;
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        const struct passwd *entry = getpwnam(names[i]);
        /* Without the database's package its user is not needed either. */
        if (!entry && i == PROCESS_POSTGRES)
            entry = getpwnam("nobody");
        if (!entry || entry->pw_uid == 0)
            return error_set(err, ERROR_MISSING, "there is no user %s to run programs as",
                             names[i]);
        users[i].user = entry->pw_uid;
        users[i].group = entry->pw_gid;
    }
    return 0;
}

int sandbox_give(const char *path, enum process_user user, struct error *err)
{
    if (geteuid() != 0)
        return 0;
    assert(users[user].user != 0);
    if (lchown(path, users[user].user, users[user].group) < 0)
        return error_set_errno(err, errno, "change the owner of %s", path);
    return 0;
}

int sandbox_folder(const char *name, enum process_user user, char **ret_path, struct error *err)
{
    CLEANUP(mem_freep) char *stored = string_format(SANDBOX_STATE "/%s", name);
    CLEANUP(mem_freep) char *path = string_format(SANDBOX_FOLDER "/%s", name);
    if (mkdir(stored, 0700) < 0 && errno != EEXIST)
        return error_set_errno(err, errno, "make the folder %s of the state folder", name);
    int r = sandbox_give(stored, user, err);
    if (r < 0)
        return r;
    if (!service_is_same_folder(stored, path)) {
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return error_set_errno(err, errno, "make %s", path);
        if (mount(stored, path, NULL, MS_BIND, NULL) < 0)
            return error_set_errno(err, errno, "mount %s", path);
    }
    *ret_path = take_ptr(path);
    return 0;
}

int sandbox_drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};
    if (!GUARD(RIGHTS)) {
        sandbox_keep_capabilities();
        return 0;
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return -errno;
    if (syscall(SYS_capset, &header, none) < 0)
        return -errno;
    return 0;
}

void sandbox_nobody(uid_t *ret_user, gid_t *ret_group)
{
    *ret_user = users[PROCESS_NOBODY].user;
    *ret_group = users[PROCESS_NOBODY].group;
}

int sandbox_drop_privileges(enum process_user user)
{
    return sandbox_drop_to(users[user].user, users[user].group);
}

/* What is to be kept must be ambient to outlast the start of a program. */
static int keep_one(int capability)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct one[2] = {0};
    one[0].permitted = one[0].effective = one[0].inheritable = 1u << capability;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
        syscall(SYS_capset, &header, one) < 0 ||
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, (unsigned long)capability, 0, 0) < 0)
        return -errno;
    return 0;
}

int sandbox_drop_but(enum process_user user, int capability)
{
    uid_t uid = users[user].user;
    gid_t gid = users[user].group;
    if (capability == 0)
        return sandbox_drop_privileges(user);
    if (geteuid() == 0) {
        if (uid == 0 || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
            setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
            return -(errno ? errno : EPERM);
    }
    int r = keep_one(capability);
    return r < 0 ? r : seal_process();
}

int sandbox_drop_to(uid_t uid, gid_t gid)
{
    if (geteuid() == 0 && GUARD(USER)) {
        if (uid == 0 || setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
            setresuid(uid, uid, uid) < 0)
            return -(errno ? errno : EPERM);
    }
    int r = sandbox_drop_capabilities();
    return r < 0 ? r : seal_process();
}

void sandbox_keep_capabilities(void)
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
