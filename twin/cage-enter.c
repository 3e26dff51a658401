/* The child's side of cages: what it takes along, and its way in. System calls only. */
#include "twin/cage.h"

#include "twin/cage-maker.h"
#include "twin/cage-mounts.h"
#include "twin/guards.h"
#include "twin/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FILES_LIMIT = 16 };

/* What a child takes with it into the cage. */
struct luggage {
    struct stat status;
    const char *path;
    int tree; /* a mount of its own that is nowhere yet */
    bool is_written;
};

static int pack(struct luggage *luggage, const char *path, bool is_written)
{
    struct mount_attr wanted = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                            (is_written ? 0 : MOUNT_ATTR_RDONLY)};
    luggage->path = path;
    luggage->is_written = is_written;
    luggage->tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (luggage->tree < 0 || fstat(luggage->tree, &luggage->status) < 0 ||
        mount_setattr(luggage->tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &wanted, sizeof(wanted)) < 0)
        return -errno;
    return 0;
}

static int pack_all(struct luggage *luggage, size_t *n, const char *const *paths, bool is_written)
{
    for (; paths && *paths; paths++) {
        if (*n == FILES_LIMIT)
            return -E2BIG;
        int r = pack(&luggage[(*n)++], *paths, is_written);
        if (r < 0)
            return r;
    }
    return 0;
}

/* An earlier program of the cage may have brought it; a folder that was made anew is another one.
 */
static bool is_there(const struct luggage *luggage)
{
    struct stat status;
    struct statvfs volume;
    return stat(luggage->path, &status) == 0 && status.st_ino == luggage->status.st_ino &&
           status.st_dev == luggage->status.st_dev &&
           (!luggage->is_written ||
            (statvfs(luggage->path, &volume) == 0 && !(volume.f_flag & ST_RDONLY)));
}

static int unpack(const struct luggage *luggage)
{
    if (is_there(luggage))
        return 0;
    umount2(luggage->path, MNT_DETACH); /* what it replaces, if anything */
    int r = cage_maker_make_way(luggage->path, S_ISDIR(luggage->status.st_mode));
    if (r < 0)
        return r;
    return move_mount(luggage->tree, "", AT_FDCWD, luggage->path, MOVE_MOUNT_F_EMPTY_PATH) < 0
               ? -errno
               : 0;
}

/* The folders that show nothing but what was given; "/" is shared, hence only names get there. */
static int seal_roots(bool is_sealed)
{
    struct mount_attr change = {0};
    if (is_sealed && !GUARD(READ_ONLY))
        return 0;
    *(is_sealed ? &change.attr_set : &change.attr_clr) = MOUNT_ATTR_RDONLY;
    if (mount_setattr(AT_FDCWD, "/", 0, &change, sizeof(change)) < 0 ||
        mount_setattr(AT_FDCWD, "/run", 0, &change, sizeof(change)) < 0)
        return -errno;
    return 0;
}

static int unpack_all(const struct luggage *luggage, size_t n)
{
    size_t n_there = 0;
    while (n_there < n && is_there(&luggage[n_there]))
        n_there++;
    if (n_there == n)
        return 0;
    int r = seal_roots(false);
    for (size_t i = n_there; r == 0 && i < n; i++)
        r = unpack(&luggage[i]);
    int sealed = seal_roots(true);
    return r < 0 ? r : sealed;
}

/* Leaves the mounts of the cage to the other programs: what comes now is for this one alone. */
static int place_mounts(const struct cage_door *door, const struct cage_trees *trees)
{
    if (door->files.n_mounts == 0)
        return 0;
    if (unshare(CLONE_NEWNS) < 0)
        return -errno;
    int r = seal_roots(false);
    if (r == 0)
        r = cage_mounts_place(&door->files, trees);
    int sealed = seal_roots(true);
    return r < 0 ? r : sealed;
}

/* Where a root is put together, before it becomes "/". Every cage has it, and nothing in it. */
#define ROOT_SITE "/var/lib"

/* Shows something of the cage below the new root, where the image has a place for it. */
static int keep_below_root(const char *path)
{
    char target[PATH_MAX];
    CLEANUP(close_descriptorp)
    int tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0)
        return errno == ENOENT ? 0 : -errno;
    snprintf(target, sizeof(target), ROOT_SITE "%s", path);
    return move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

/*
 * In the cage: makes the tree "/" for this process and what it starts alone, with the cage's own
 * /proc, /tmp and so on in it. What was "/" is gone with its mounts.
 */
static int change_root(int tree)
{
    static const char *const kept[] = {
        "/proc", "/sys", "/dev", "/tmp", "/run", "/etc/hosts", "/etc/resolv.conf"};
    int r = 0;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        move_mount(tree, "", AT_FDCWD, ROOT_SITE, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    for (size_t i = 0; r == 0 && i < ARRAY_LENGTH(kept); i++)
        r = keep_below_root(kept[i]);
    if (r < 0)
        return r;
    if (chdir(ROOT_SITE) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

int cage_enter(const struct cage_door *door)
{
    static const char *const all[] = {SANDBOX_FOLDER, NULL};
    const char *const programs[] = {door->programs[0], door->programs[1], NULL};
    struct luggage luggage[FILES_LIMIT] = {0};
    struct cage_trees trees;
    size_t n = 0;
    struct luggage root = {0};
    int r = cage_mounts_take(&door->files, &trees);
    if (r == 0 && door->root)
        r = pack(&root, door->root, false);
    if (r == 0)
        r = pack_all(luggage, &n, door->programs[0] ? programs : programs + 1, false);
    if (r == 0)
        r = pack_all(luggage, &n, door->files.read, false);
    if (r == 0)
        r = pack_all(luggage, &n, GUARD(OWN_FILES) ? door->files.written : all, true);
    if (r < 0)
        return r;
    if (setns(door->life, CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET) < 0)
        return -errno;
    mode_t mask = umask(0);
    r = unpack_all(luggage, n);
    if (r == 0 && door->root)
        r = change_root(root.tree);
    if (r == 0)
        r = place_mounts(door, &trees);
    umask(mask);
    if (r == 0 && chdir(door->folder ? door->folder : "/") < 0)
        r = -errno;
    return r;
}
