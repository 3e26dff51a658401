/*
 * Quotas of programs by the kernel's control groups (cgroups(7); the kernel's documents
 * admin-guide/cgroup-v1 and admin-guide/cgroup-v2), of either version. A program has a group of its
 * own, parley/TWIN/PROGRAM in each hierarchy that it needs. Only root may make them.
 */
#pragma once

#include "base/error.h"
#include "base/memory.h"
#include "twin/machine.h"

enum cgroup_controller { CGROUP_CPU, CGROUP_MEMORY, CGROUP_PIDS, CGROUP_COUNT };

struct cgroups;

/*
 * Finds the hierarchies of a list of mounts (proc(5), /proc/PID/mountinfo), and removes what an
 * earlier twin of that name has left in them.
 */
struct cgroups *cgroups_new(const char *mounts, const char *twin);
/* As that, of what is mounted here. NULL for an ordinary user, who has none of his own. */
struct cgroups *cgroups_find(const char *twin);
/* Removes the twin's groups; their programs have ended, or are about to. Accepts NULL. */
void cgroups_free(struct cgroups *cgroups);
DEFINE_CLEANUP(struct cgroups *, cgroups_free)

bool cgroup_is_needed(const struct machine_quota *quota);
/*
 * Makes the group of a program, or changes it while the program runs. ERROR_UNSUPPORTED names what
 * cannot be limited here, and why.
 */
int cgroup_make(struct cgroups *cgroups, const char *program, const struct machine_quota *quota,
                struct error *err);
/* One whose last process is still ending stays until the next call of anything here. */
void cgroup_remove(struct cgroups *cgroups, const char *program);

/* The way of a child into a group that is there. Closed with cgroup_close(), also after a failure.
 */
struct cgroup_door {
    int descriptors[CGROUP_COUNT];
};
#define CGROUP_CLOSED ((struct cgroup_door){{-1, -1, -1}})
int cgroup_open(const struct cgroups *cgroups, const char *program, struct cgroup_door *ret_door,
                struct error *err);
void cgroup_close(struct cgroup_door *door);
/* In that child, as root still. System calls only. Returns 0 or a negative errno. */
int cgroup_enter(const struct cgroup_door *door);
