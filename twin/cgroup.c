#include "twin/cgroup.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FOLDER "parley"

enum {
    PERIOD_US = 100000,
    MOUNTS_LIMIT = 1 << 20,
    ENDING_TRIES = 50,           /* of what ends with us, */
    ENDING_NS = 10 * 1000 * 1000 /* this far apart */
};

static const char *const controllers[CGROUP_COUNT] = {"cpu", "memory", "pids"};

/* Where one controller's groups lie. */
struct hierarchy {
    char *mount; /* owned; NULL: this machine has none */
    char *home;  /* owned; MOUNT/parley/TWIN */
    bool is_unified;
};

struct cgroups {
    struct hierarchy hierarchies[CGROUP_COUNT];
};

static int write_file(const char *folder, const char *name, const char *text)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, name);
    CLEANUP(close_descriptorp) int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* --- Hierarchies --- */

static bool has_word(const char *words, const char *separators, const char *word)
{
    size_t length = strlen(word);
    while (*words) {
        words += strspn(words, separators);
        size_t n = strcspn(words, separators);
        if (n == length && strncmp(words, word, n) == 0)
            return true;
        words += n;
    }
    return false;
}

static bool serves(const char *mount, const char *controller)
{
    char text[1024];
    CLEANUP(mem_freep) char *path = string_format("%s/cgroup.controllers", mount);
    CLEANUP(close_descriptorp) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    return has_word(text, " \n", controller);
}

/* "ID PARENT DEVICE ROOT POINT OPTIONS [MORE ...] - TYPE SOURCE SUPEROPTIONS". A mount whose name
 * has a blank is none of those that are looked for. */
static void take_mount(struct cgroups *cgroups, const char *line, const char *twin)
{
    char point[256], type[32], options[256];
    const char *rest = strstr(line, " - ");
    if (!rest || sscanf(line, "%*s %*s %*s %*s %255s", point) != 1 ||
        sscanf(rest, " - %31s %*s %255s", type, options) != 2)
        return;
    bool is_unified = text_equal(type, "cgroup2");
    if (!is_unified && !text_equal(type, "cgroup"))
        return;
    for (size_t i = 0; i < CGROUP_COUNT; i++) {
        struct hierarchy *hierarchy = &cgroups->hierarchies[i];
        if (hierarchy->mount ||
            !(is_unified ? serves(point, controllers[i]) : has_word(options, ",", controllers[i])))
            continue;
        hierarchy->mount = string_copy(point);
        hierarchy->home = string_format("%s/" FOLDER "/%s", point, twin);
        hierarchy->is_unified = is_unified;
    }
}

/* Returns whether nothing is left. */
static bool sweep(const struct hierarchy *hierarchy)
{
    DIR *entries = hierarchy->home ? opendir(hierarchy->home) : NULL;
    if (!entries)
        return true;
    for (struct dirent *entry; (entry = readdir(entries));)
        if (entry->d_name[0] != '.' && entry->d_type == DT_DIR)
            unlinkat(dirfd(entries), entry->d_name, AT_REMOVEDIR);
    closedir(entries);
    if (rmdir(hierarchy->home) < 0 && errno != ENOENT)
        return false;
    /* Other twins may have theirs beside it. */
    CLEANUP(mem_freep) char *parent = string_format("%s/" FOLDER, hierarchy->mount);
    rmdir(parent);
    return true;
}

static bool sweep_all(const struct cgroups *cgroups)
{
    bool is_gone = true;
    for (size_t i = 0; i < CGROUP_COUNT; i++)
        is_gone = sweep(&cgroups->hierarchies[i]) && is_gone;
    return is_gone;
}

struct cgroups *cgroups_new(const char *mounts, const char *twin)
{
    struct cgroups *cgroups = NEW(struct cgroups);
    while (*mounts) {
        size_t length = strcspn(mounts, "\n");
        CLEANUP(mem_freep) char *line = string_copy_n(mounts, length);
        take_mount(cgroups, line, twin);
        mounts += length + (mounts[length] == '\n');
    }
    sweep_all(cgroups);
    return cgroups;
}

struct cgroups *cgroups_find(const char *twin)
{
    CLEANUP(mem_freep) char *mounts = NULL;
    if (geteuid() != 0 ||
        world_read_file("/proc/self/mountinfo", MOUNTS_LIMIT, &mounts, NULL, NULL) < 0)
        return NULL;
    return cgroups_new(mounts, twin);
}

void cgroups_free(struct cgroups *cgroups)
{
    if (!cgroups)
        return;
    for (unsigned int i = 0; i < ENDING_TRIES && !sweep_all(cgroups); i++)
        nanosleep(&(struct timespec){.tv_nsec = ENDING_NS}, NULL);
    for (size_t i = 0; i < CGROUP_COUNT; i++) {
        mem_free(cgroups->hierarchies[i].mount);
        mem_free(cgroups->hierarchies[i].home);
    }
    mem_free(cgroups);
}

/* --- Groups --- */

static int64_t quota_of(const struct machine_quota *quota, enum cgroup_controller controller)
{
    return controller == CGROUP_CPU      ? quota->cpu_milli
           : controller == CGROUP_MEMORY ? quota->memory
                                         : quota->processes;
}

bool cgroup_is_needed(const struct machine_quota *quota)
{
    return quota->cpu_milli > 0 || quota->memory > 0 || quota->processes > 0;
}

/* Folders of version 2 hand the controller on to those below them. */
static int make_folder(const struct hierarchy *hierarchy, const char *controller,
                       const char *folder, const char *above)
{
    CLEANUP(mem_freep) char *wish = string_format("+%s", controller);
    int r = hierarchy->is_unified ? write_file(above, "cgroup.subtree_control", wish) : 0;
    if (r == 0 && mkdir(folder, 0755) < 0 && errno != EEXIST)
        r = -errno;
    return r;
}

static int set_cpu(const struct hierarchy *hierarchy, const char *group, int64_t milli)
{
    int64_t quota = milli * PERIOD_US / 1000;
    CLEANUP(mem_freep)
    char *period = string_format("%d", PERIOD_US);
    CLEANUP(mem_freep)
    char *quota_text = milli > 0 ? string_format("%lld", (long long)quota)
                                 : string_copy(hierarchy->is_unified ? "max" : "-1");
    CLEANUP(mem_freep) char *both = string_format("%s %s", quota_text, period);
    if (hierarchy->is_unified)
        return write_file(group, "cpu.max", both);
    int r = write_file(group, "cpu.cfs_period_us", period);
    return r < 0 ? r : write_file(group, "cpu.cfs_quota_us", quota_text);
}

static int set_quota(const struct hierarchy *hierarchy, enum cgroup_controller controller,
                     const char *group, int64_t quota)
{
    bool is_memory = controller == CGROUP_MEMORY;
    if (controller == CGROUP_CPU)
        return set_cpu(hierarchy, group, quota);
    const char *file = !is_memory              ? "pids.max"
                       : hierarchy->is_unified ? "memory.max"
                                               : "memory.limit_in_bytes";
    CLEANUP(mem_freep)
    char *text = quota > 0 ? string_format("%lld", (long long)quota)
                           : string_copy(is_memory && !hierarchy->is_unified ? "-1" : "max");
    return write_file(group, file, text);
}

static int make_group(const struct hierarchy *hierarchy, enum cgroup_controller controller,
                      const char *group)
{
    const char *name = controllers[controller];
    CLEANUP(mem_freep) char *parent = string_format("%s/" FOLDER, hierarchy->mount);
    int r = make_folder(hierarchy, name, parent, hierarchy->mount);
    if (r == 0)
        r = make_folder(hierarchy, name, hierarchy->home, parent);
    return r < 0 ? r : make_folder(hierarchy, name, group, hierarchy->home);
}

/* A group without a limit is made, too, so that the program is in it when it gets one. */
static int limit(const struct hierarchy *hierarchy, enum cgroup_controller controller,
                 const char *program, int64_t quota, struct error *err)
{
    CLEANUP(mem_freep) char *group = NULL;
    int r = hierarchy->mount ? 0 : -ENODEV;
    if (r == 0) {
        group = string_format("%s/%s", hierarchy->home, program);
        r = make_group(hierarchy, controller, group);
    }
    if (r == 0)
        r = set_quota(hierarchy, controller, group, quota);
    if (r == 0 || quota == 0)
        return 0;
    return error_set(err, ERROR_UNSUPPORTED, "cannot limit %s of %s by control groups: %s",
                     controllers[controller], program, strerror(-r));
}

int cgroup_make(struct cgroups *cgroups, const char *program, const struct machine_quota *quota,
                struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < CGROUP_COUNT; i++)
        r = limit(&cgroups->hierarchies[i], i, program, quota_of(quota, i), err);
    return r;
}

void cgroup_remove(struct cgroups *cgroups, const char *program)
{
    for (size_t i = 0; i < CGROUP_COUNT; i++) {
        if (!cgroups->hierarchies[i].home)
            continue;
        CLEANUP(mem_freep)
        char *group = string_format("%s/%s", cgroups->hierarchies[i].home, program);
        rmdir(group);
    }
}

/* --- Into a group --- */

int cgroup_open(const struct cgroups *cgroups, const char *program, struct cgroup_door *ret_door,
                struct error *err)
{
    for (size_t i = 0; i < CGROUP_COUNT; i++) {
        if (!cgroups->hierarchies[i].home)
            continue;
        CLEANUP(mem_freep)
        char *path = string_format("%s/%s/cgroup.procs", cgroups->hierarchies[i].home, program);
        ret_door->descriptors[i] = open(path, O_WRONLY | O_CLOEXEC);
        if (ret_door->descriptors[i] < 0 && errno != ENOENT)
            return error_set_errno(err, errno, "open %s", path);
    }
    return 0;
}

void cgroup_close(struct cgroup_door *door)
{
    for (size_t i = 0; i < CGROUP_COUNT; i++)
        close_descriptor(door->descriptors[i]);
    *door = CGROUP_CLOSED;
}

int cgroup_enter(const struct cgroup_door *door)
{
    for (size_t i = 0; i < CGROUP_COUNT; i++)
        if (door->descriptors[i] >= 0 && write(door->descriptors[i], "0", 1) < 0)
            return -errno;
    return 0;
}
