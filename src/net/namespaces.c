#include "net/namespaces.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"

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
        return true;
    }
    return false;
}

/* Settings that keep an ordinary user from making namespaces. */
static bool find_setting(struct namespaces_obstacle *obstacle)
{
    static const struct {
        const char *path;
        const char *refusing; /* the content that refuses */
        const char *help;
    } settings[] = {
        {"/proc/sys/user/max_user_namespaces", "0",
         "As root: sysctl -w user.max_user_namespaces=10000." OR_AS_ROOT},
        {"/proc/sys/kernel/unprivileged_userns_clone", "0",
         "As root: sysctl -w kernel.unprivileged_userns_clone=1." OR_AS_ROOT},
        {"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
         "As root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or give parley-twin "
         "an AppArmor profile with \"userns,\"." OR_AS_ROOT},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(settings); i++) {
        CLEANUP(mem_freep) char *text = NULL;
        if (world_read_file(settings[i].path, 64, &text, NULL, NULL) < 0)
            continue;
        text[strcspn(text, "\n")] = '\0';
        if (!text_equal(text, settings[i].refusing))
            continue;
        obstacle->detail = string_format("The twin needs user namespaces, and this machine gives "
                                         "none to an ordinary user: %s is %s.",
                                         settings[i].path, text);
        obstacle->help = string_copy(settings[i].help);
        return true;
    }
    return false;
}

bool namespaces_find_obstacle(struct namespaces_obstacle *ret_obstacle)
{
    return find_old_kernel(ret_obstacle) ||
           (geteuid() == 0 ? find_missing_capability(ret_obstacle) : find_setting(ret_obstacle));
}

void namespaces_obstacle_done(struct namespaces_obstacle *obstacle)
{
    mem_free(obstacle->detail);
    mem_free(obstacle->help);
    *obstacle = (struct namespaces_obstacle){0};
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
