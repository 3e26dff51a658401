#include "twin/cage-mounts.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* What may be made in a folder of the system, so that a volume can be shown below it. */
#define ROOM "mode=755,size=256k"

int cage_mounts_take(const struct cage_files *files, struct cage_trees *ret_trees)
{
    if (files->n_mounts > CAGE_MOUNTS_LIMIT)
        return -E2BIG;
    for (size_t i = 0; i < files->n_mounts; i++) {
        const struct cage_mount *mount = &files->mounts[i];
        struct mount_attr wanted = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                                (mount->is_read_only ? MOUNT_ATTR_RDONLY : 0)};
        ret_trees->items[i] = -1;
        if (!mount->source)
            continue;
        ret_trees->items[i] = open_tree(AT_FDCWD, mount->source,
                                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
        if (ret_trees->items[i] < 0 ||
            mount_setattr(ret_trees->items[i], "", AT_EMPTY_PATH, &wanted, sizeof(wanted)) < 0)
            return -errno;
    }
    return 0;
}

/*
 * A folder of the system cannot be changed, nor may it: it is covered by one that has all that is
 * in it, and room for more.
 */
static int cover(int folder, const char *path)
{
    char lower[PATH_MAX], upper[PATH_MAX], work[PATH_MAX], options[3 * PATH_MAX + 64], seen[64];
    struct mount_attr plain = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    if ((size_t)snprintf(lower, sizeof(lower), "%s/lower", path) >= sizeof(lower) ||
        (size_t)snprintf(upper, sizeof(upper), "%s/upper", path) >= sizeof(upper) ||
        (size_t)snprintf(work, sizeof(work), "%s/work", path) >= sizeof(work) ||
        strpbrk(path, ",:\\"))
        return -ENAMETOOLONG;
    snprintf(seen, sizeof(seen), "/proc/self/fd/%d", folder);
    snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work);
    if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, ROOM) < 0 || mkdir(lower, 0755) < 0 ||
        mkdir(upper, 0755) < 0 || mkdir(work, 0755) < 0 ||
        mount(seen, lower, NULL, MS_BIND, NULL) < 0 ||
        mount("overlay", path, "overlay", MS_NOSUID | MS_NODEV, options) < 0 ||
        mount_setattr(AT_FDCWD, path, 0, &plain, sizeof(plain)) < 0)
        return -errno;
    return 0;
}

/* A part of a path: its name, and whether it is a file. */
struct part {
    char name[NAME_MAX + 1];
    bool is_file;
};

static int make_part(int folder, const struct part *part)
{
    if (!part->is_file)
        return mkdirat(folder, part->name, 0755);
    int fd = openat(folder, part->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd >= 0)
        close_descriptor(fd);
    return fd < 0 ? -1 : 0;
}

/* Opens a part of a path that is no link, makes it when it is missing. */
static int open_part(int folder, const struct part *part)
{
    const int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
    struct stat status;
    int fd = openat(folder, part->name, flags);
    if (fd < 0 && errno == ENOENT && make_part(folder, part) == 0)
        fd = openat(folder, part->name, flags);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (part->is_file ? S_ISREG(status.st_mode) : S_ISDIR(status.st_mode))
        return fd;
    close_descriptor(fd);
    return S_ISLNK(status.st_mode) ? -ELOOP : part->is_file ? -EISDIR : -ENOTDIR;
}

/* Folders that were covered; they can be changed until all is in its place. */
struct covers {
    int items[CAGE_MOUNTS_LIMIT];
    size_t n_items;
};

static int seal_covers(const struct covers *covers)
{
    struct mount_attr sealed = {.attr_set = MOUNT_ATTR_RDONLY};
    int r = 0;
    for (size_t i = 0; i < covers->n_items; i++) {
        if (mount_setattr(covers->items[i], "", AT_EMPTY_PATH, &sealed, sizeof(sealed)) < 0)
            r = -errno;
        close_descriptor(covers->items[i]);
    }
    return r;
}

/* The part after a path that ends at length; the folder is covered when nothing can be made there.
 */
static int step_into(int *folder, const char *target, size_t length, const struct part *part,
                     struct covers *covers)
{
    char path[PATH_MAX];
    int next = open_part(*folder, part);
    if (next != -EROFS || length == 0)
        return next;
    snprintf(path, sizeof(path), "%.*s", (int)length, target);
    int r = cover(*folder, path);
    if (r < 0)
        return r;
    close_descriptor(*folder);
    *folder = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*folder < 0)
        return -errno;
    covers->items[covers->n_items++] = fcntl(*folder, F_DUPFD_CLOEXEC, 0);
    return open_part(*folder, part);
}

/* The folder, or file, at a path, part by part. */
static int open_target(const char *target, bool is_file, struct covers *covers)
{
    struct part part;
    int folder = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (const char *rest = target; folder >= 0 && *rest == '/';) {
        size_t size = strcspn(rest + 1, "/");
        if (size == 0 || size >= sizeof(part.name)) {
            close_descriptor(folder);
            return -EINVAL;
        }
        memcpy(part.name, rest + 1, size);
        part.name[size] = '\0';
        part.is_file = is_file && rest[size + 1] == '\0';
        int next = step_into(&folder, target, (size_t)(rest - target), &part, covers);
        close_descriptor(folder);
        folder = next;
        rest += size + 1;
    }
    return folder;
}

static int place(const struct cage_mount *mount_wanted, int tree, struct covers *covers)
{
    char path[64], options[64];
    struct stat status;
    bool is_file = tree >= 0 && fstat(tree, &status) == 0 && S_ISREG(status.st_mode);
    int target = open_target(mount_wanted->target, is_file, covers);
    if (target < 0)
        return target;
    int r = 0;
    if (tree >= 0) {
        r = move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    } else {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", target);
        snprintf(options, sizeof(options), "mode=1777,nr_inodes=65536,size=%lld",
                 (long long)mount_wanted->size);
        r = mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options);
    }
    r = r < 0 ? -errno : 0;
    close_descriptor(target);
    return r;
}

int cage_mounts_place(const struct cage_files *files, const struct cage_trees *trees)
{
    struct covers covers = {.n_items = 0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < files->n_mounts; i++)
        r = place(&files->mounts[i], trees->items[i], &covers);
    int sealed = seal_covers(&covers);
    return r < 0 ? r : sealed;
}
