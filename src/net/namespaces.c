#include "net/namespaces.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define OR_AS_ROOT " Or run parley as root."
/* Tried with Docker 20.10; AppArmor was not. */
#define OPEN_CONTAINER(options)                                                                \
    "Start this container with " options                                                       \
    " (where the machine has AppArmor, with --security-opt apparmor=unconfined, too), or run " \
    "parley outside of it."
#define FOR_ROOT OPEN_CONTAINER("--cap-add SYS_ADMIN --cap-add NET_ADMIN")
#define FOR_USERS \
    OPEN_CONTAINER("--security-opt seccomp=unconfined --security-opt systempaths=unconfined")

/* mount_setattr(2), by which a program's view of the files is made read-only, is of this one. */
enum { OLDEST_MAJOR = 5, OLDEST_MINOR = 12 };

static bool find_old_kernel(struct namespaces_obstacle *obstacle)
{
    struct utsname system;
    char *end;
    if (uname(&system) < 0)
        return false;
    unsigned long major = strtoul(system.release, &end, 10);
    unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    if (major > OLDEST_MAJOR || (major == OLDEST_MAJOR && minor >= OLDEST_MINOR))
        return false;
    obstacle->detail = string_format("The twin needs Linux %d.%d, and this is Linux %s.",
                                     OLDEST_MAJOR, OLDEST_MINOR, system.release);
    obstacle->help = string_copy("Install a newer kernel.");
    obstacle->is_certain = true;
    return true;
}

static bool is_in_container(void)
{
    return world_file_exists("/.dockerenv") || world_file_exists("/run/.containerenv") ||
           world_file_exists("/run/systemd/container");
}

/* Root without a capability, as in most containers. */
static bool find_missing_capability(struct namespaces_obstacle *obstacle)
{
    static const struct {
        unsigned int number;
        const char *name;
    } needed[] = {{CAP_SYS_ADMIN, "SYS_ADMIN"}, {CAP_NET_ADMIN, "NET_ADMIN"}};
    CLEANUP(mem_freep) char *text = NULL;
    if (world_read_file("/proc/self/status", 65536, &text, NULL, NULL) < 0)
        return false;
    const char *line = strstr(text, "\nCapEff:");
    uint64_t held = line ? strtoull(line + strlen("\nCapEff:"), NULL, 16) : UINT64_MAX;
    for (size_t i = 0; i < ARRAY_LENGTH(needed); i++) {
        if (held & UINT64_C(1) << needed[i].number)
            continue;
        obstacle->detail = string_format("The twin needs namespaces and networks of its own, and "
                                         "this root user may not make any: it lacks the "
                                         "capability CAP_%s.",
                                         needed[i].name);
        obstacle->help = is_in_container()
                             ? string_copy(FOR_ROOT)
                             : string_format("Give it the capability CAP_%s.", needed[i].name);
        obstacle->is_certain = true;
        return true;
    }
    return false;
}

/* A setting that refuses namespaces. */
struct setting {
    const char *path;
    const char *refusing; /* the content that refuses */
    const char *kind;     /* of namespaces */
    const char *help;
    bool is_for_users; /* it keeps nobody but ordinary users from it */
    const char *but;   /* by what it is given all the same; NULL: by nothing */
};

#define NONE_OF(kind, file)                                                                       \
    {                                                                                             \
        "/proc/sys/user/" file, "0", kind, "As root: sysctl -w user." file "=10000.", false, NULL \
    }

static const struct setting settings[] = {
    {"/proc/sys/user/max_user_namespaces", "0", "user",
     "As root: sysctl -w user.max_user_namespaces=10000." OR_AS_ROOT, true, NULL},
    {"/proc/sys/kernel/unprivileged_userns_clone", "0", "user",
     "As root: sysctl -w kernel.unprivileged_userns_clone=1." OR_AS_ROOT, true, NULL},
    NONE_OF("mount", "max_mnt_namespaces"),
    NONE_OF("network", "max_net_namespaces"),
    NONE_OF("process", "max_pid_namespaces"),
    NONE_OF("IPC", "max_ipc_namespaces"),
    NONE_OF("host name", "max_uts_namespaces"),
    /* The last, since it is not certain. */
    {"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "user",
     "As root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or give parley-twin "
     "an AppArmor profile with \"userns,\"." OR_AS_ROOT,
     true, " but by a profile of AppArmor"},
};

static bool find_setting(bool is_root, struct namespaces_obstacle *obstacle)
{
    for (size_t i = 0; i < ARRAY_LENGTH(settings); i++) {
        const struct setting *setting = &settings[i];
        CLEANUP(mem_freep) char *text = NULL;
        if ((is_root && setting->is_for_users) ||
            world_read_file(setting->path, 64, &text, NULL, NULL) < 0)
            continue;
        text[strcspn(text, "\n")] = '\0';
        if (!text_equal(text, setting->refusing))
            continue;
        obstacle->detail = string_format(
            "The twin needs %s namespaces, and this machine gives none%s%s: %s is %s.",
            setting->kind, setting->is_for_users ? " to an ordinary user" : "",
            setting->but ? setting->but : "", setting->path, text);
        obstacle->help = string_copy(setting->help);
        obstacle->is_certain = !setting->but;
        return true;
    }
    return false;
}

bool namespaces_find_obstacle(struct namespaces_obstacle *ret_obstacle)
{
    bool is_root = geteuid() == 0;
    return find_old_kernel(ret_obstacle) || (is_root && find_missing_capability(ret_obstacle)) ||
           find_setting(is_root, ret_obstacle);
}

void namespaces_obstacle_done(struct namespaces_obstacle *obstacle)
{
    mem_free(obstacle->detail);
    mem_free(obstacle->help);
    *obstacle = (struct namespaces_obstacle){0};
}

const char *namespaces_describe_error(int errno_value)
{
    return errno_value == ENOSPC ? "this machine gives no more of them (the settings "
                                   "user.max_*_namespaces, of this user namespace or one around it)"
                                 : strerror(errno_value);
}

char *namespaces_explain_refusal(void)
{
    struct namespaces_obstacle obstacle = {0};
    if (namespaces_find_obstacle(&obstacle)) {
        mem_free(obstacle.detail);
        return obstacle.help;
    }
    if (is_in_container())
        return string_copy(geteuid() == 0 ? FOR_ROOT : FOR_USERS);
    return string_copy("A security module or the settings of a container forbid it: run parley "
                       "outside of that, or as root with CAP_SYS_ADMIN and CAP_NET_ADMIN.");
}
