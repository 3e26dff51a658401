#include "sim/disk.h"

#include "base/files.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "sim/sim.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    SECTOR = 512,
    FIRST_FD = 1 << 24,
    FDS_MAX = 256,
    SMALL_FILE = 8 * 1024,
    LARGE_FILE = 4096 * 1024, /* a database grows into it without being copied */
};

/* A write since the last sync; one without bytes cuts the file off at offset. */
struct unsynced {
    size_t offset;
    size_t size;
    char *bytes; /* owned; NULL: a truncate */
};

struct content {
    char *bytes; /* owned */
    size_t size;
    size_t capacity;
};

struct inode {
    uint64_t number;
    size_t n_refs;
    struct content now;
    struct content durable;
    struct unsynced *unsynced; /* owned, oldest first */
    size_t n_unsynced;
    size_t unsynced_capacity;
    const void *lock_holder; /* the descriptor that has the OFD lock */
    void *attachment;
};

enum change_kind { NAME_MADE, NAME_REMOVED };

/* A change of a name since the last sync of the folder; a rename is two at once. */
struct change {
    char *path;          /* owned */
    struct inode *inode; /* NULL: the name is gone */
    bool is_first_half;
};

struct descriptor {
    struct inode *inode; /* NULL: a folder */
    const void *process; /* NULL: closed */
    size_t offset;
    bool is_append;
};

static struct {
    struct map names;   /* path -> inode */
    struct map durable; /* the same, as it would be after a power loss */
    struct change *changes;
    size_t n_changes;
    size_t changes_capacity;
    struct descriptor descriptors[FDS_MAX];
    uint64_t n_inodes; /* so far */
    bool is_full;
    bool is_broken;
} disk;

static struct {
    struct map files; /* path -> owned content */
} image;

/* --- Content --- */

static void content_reserve(struct content *content, size_t size)
{
    if (size <= content->capacity)
        return;
    size_t capacity = size <= SMALL_FILE ? SMALL_FILE : LARGE_FILE;
    while (capacity < size)
        capacity *= 2;
    content->bytes = mem_resize(content->bytes, capacity, 1);
    content->capacity = capacity;
}

static void content_resize(struct content *content, size_t size)
{
    content_reserve(content, size);
    if (size > content->size)
        memset(content->bytes + content->size, 0, size - content->size);
    content->size = size;
}

static void content_put(struct content *content, const char *bytes, size_t size, size_t offset)
{
    if (size == 0)
        return;
    if (offset > content->size)
        content_resize(content, offset);
    content_reserve(content, offset + size);
    memcpy(content->bytes + offset, bytes, size);
    if (offset + size > content->size)
        content->size = offset + size;
}

static void content_copy(struct content *to, const struct content *from)
{
    content_reserve(to, from->size);
    to->size = from->size;
    if (from->size > 0)
        memcpy(to->bytes, from->bytes, from->size);
}

static void forget_unsynced(struct inode *inode)
{
    for (size_t i = 0; i < inode->n_unsynced; i++)
        mem_free(inode->unsynced[i].bytes);
    inode->n_unsynced = 0;
}

struct inode *inode_ref(struct inode *inode)
{
    inode->n_refs++;
    return inode;
}

void inode_unref(struct inode *inode)
{
    if (!inode || --inode->n_refs > 0)
        return;
    forget_unsynced(inode);
    assert(!inode->attachment);
    mem_free(inode->unsynced);
    mem_free(inode->now.bytes);
    mem_free(inode->durable.bytes);
    mem_free(inode);
}

size_t inode_size(const struct inode *inode)
{
    return inode->now.size;
}

void **inode_attachment(struct inode *inode)
{
    return &inode->attachment;
}

size_t inode_read(const struct inode *inode, void *ret_bytes, size_t size, size_t offset)
{
    if (offset >= inode->now.size)
        return 0;
    size_t n = inode->now.size - offset < size ? inode->now.size - offset : size;
    memcpy(ret_bytes, inode->now.bytes + offset, n);
    return n;
}

static void note_unsynced(struct inode *inode, const void *bytes, size_t size, size_t offset)
{
    ARRAY_RESERVE(inode->unsynced, inode->n_unsynced, inode->unsynced_capacity);
    inode->unsynced[inode->n_unsynced++] =
        (struct unsynced){offset, size, bytes ? mem_copy(bytes, size) : NULL};
}

int inode_write(struct inode *inode, const void *bytes, size_t size, size_t offset)
{
    if (!sim_disk_step("write"))
        return -EIO;
    if (disk.is_broken)
        return -EIO;
    if (disk.is_full && offset + size > inode->now.size)
        return -ENOSPC;
    note_unsynced(inode, bytes, size, offset);
    content_put(&inode->now, bytes, size, offset);
    return 0;
}

int inode_truncate(struct inode *inode, size_t size)
{
    if (!sim_disk_step("truncate") || disk.is_broken)
        return -EIO;
    note_unsynced(inode, NULL, 0, size);
    content_resize(&inode->now, size);
    return 0;
}

int inode_sync(struct inode *inode)
{
    if (!sim_disk_step("sync") || disk.is_broken)
        return -EIO;
    for (size_t i = 0; i < inode->n_unsynced; i++) {
        const struct unsynced *write = &inode->unsynced[i];
        if (write->bytes)
            content_put(&inode->durable, write->bytes, write->size, write->offset);
        else
            content_resize(&inode->durable, write->offset);
    }
    forget_unsynced(inode);
    return 0;
}

/* Some of a write's sectors reach the disk. */
static void tear(struct inode *inode, const struct unsynced *write, struct random *random)
{
    for (size_t at = 0; at < write->size;) {
        size_t end = (write->offset + at) / SECTOR * SECTOR + SECTOR - write->offset;
        size_t n = (end < write->size ? end : write->size) - at;
        if (random_chance(random, 50))
            content_put(&inode->durable, write->bytes + at, n, write->offset + at);
        at += n;
    }
}

/* Of what was not synced, each write is there, lost, or torn. */
static void lose_unsynced(struct inode *inode, struct random *random)
{
    unsigned int kept = (unsigned int)random_below(random, 4) * 33;
    for (size_t i = 0; i < inode->n_unsynced; i++) {
        const struct unsynced *write = &inode->unsynced[i];
        bool is_kept = random_chance(random, kept);
        if (!write->bytes && is_kept)
            content_resize(&inode->durable, write->offset);
        else if (write->bytes && is_kept)
            content_put(&inode->durable, write->bytes, write->size, write->offset);
        else if (write->bytes && random_chance(random, 30))
            tear(inode, write, random);
    }
    forget_unsynced(inode);
    content_copy(&inode->now, &inode->durable);
}

/* --- Names --- */

static void put_name(struct map *names, const char *path, struct inode *inode)
{
    if (inode)
        inode_ref(inode);
    inode_unref(inode ? map_put(names, path, inode) : map_remove(names, path));
}

static void change_name(const char *path, struct inode *inode, bool is_first_half)
{
    ARRAY_RESERVE(disk.changes, disk.n_changes, disk.changes_capacity);
    disk.changes[disk.n_changes++] =
        (struct change){string_copy(path), inode ? inode_ref(inode) : NULL, is_first_half};
    put_name(&disk.names, path, inode);
}

struct inode *disk_find(const char *path)
{
    return map_get(&disk.names, path);
}

struct inode *disk_create(const char *path)
{
    struct inode *inode = NEW(struct inode);
    inode->number = ++disk.n_inodes;
    inode_ref(inode);
    change_name(path, inode, false);
    inode_unref(inode);
    return inode;
}

int disk_remove(const char *path)
{
    if (!disk_find(path))
        return -ENOENT;
    if (!sim_disk_step("remove"))
        return -EIO;
    change_name(path, NULL, false);
    return 0;
}

void disk_lose_file(const char *path)
{
    if (disk_find(path))
        change_name(path, NULL, false);
}

void disk_lose_files(const char *prefix)
{
    struct string_list paths = {0};
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&disk.names, &cursor)))
        if (text_starts_with(entry->key, prefix))
            string_list_add(&paths, entry->key);
    for (size_t i = 0; i < paths.n_items; i++)
        change_name(paths.items[i], NULL, false);
    string_list_done(&paths);
}

static bool content_has(const struct content *content, const char *text)
{
    return content->size > 0 && memmem(content->bytes, content->size, text, strlen(text));
}

const char *disk_find_text(const char *text)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&disk.names, &cursor))) {
        const struct inode *inode = entry->value;
        if (content_has(&inode->now, text) || content_has(&inode->durable, text))
            return entry->key;
    }
    return NULL;
}

static void keep_changes(size_t n)
{
    for (size_t i = 0; i < disk.n_changes; i++) {
        if (i < n)
            put_name(&disk.durable, disk.changes[i].path, disk.changes[i].inode);
        mem_free(disk.changes[i].path);
        inode_unref(disk.changes[i].inode);
    }
    disk.n_changes = 0;
}

int disk_sync_names(void)
{
    if (!sim_disk_step("sync of the folder") || disk.is_broken)
        return -EIO;
    keep_changes(disk.n_changes);
    return 0;
}

static void forget_names(struct map *names)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(names, &cursor)))
        inode_unref(entry->value);
    map_done(names);
}

void disk_lose_power(struct random *random)
{
    size_t kept = (size_t)random_below(random, disk.n_changes + 1);
    if (kept > 0 && disk.changes[kept - 1].is_first_half)
        kept--;
    keep_changes(kept);
    forget_names(&disk.names);
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&disk.durable, &cursor))) {
        put_name(&disk.names, entry->key, entry->value);
        lose_unsynced(entry->value, random);
    }
}

/* --- The calls of the system --- */

static struct descriptor *descriptor_of(int fd)
{
    assert(fd >= FIRST_FD && fd < FIRST_FD + FDS_MAX);
    return &disk.descriptors[fd - FIRST_FD];
}

static int new_descriptor(struct inode *inode, int flags)
{
    int i = 0;
    while (disk.descriptors[i].process)
        i++;
    assert(i < FDS_MAX);
    disk.descriptors[i] = (struct descriptor){.inode = inode ? inode_ref(inode) : NULL,
                                              .process = sim_process(),
                                              .is_append = flags & O_APPEND};
    return FIRST_FD + i;
}

static int disk_open(const char *path, int flags, unsigned int mode)
{
    (void)mode;
    if (sim_is_dead())
        return -EIO;
    if (flags & O_DIRECTORY)
        return new_descriptor(NULL, flags);
    struct inode *inode = disk_find(path);
    if (inode && (flags & O_CREAT) && (flags & O_EXCL))
        return -EEXIST;
    if (!inode && !(flags & O_CREAT))
        return -ENOENT;
    if (!inode && disk.is_full)
        return -ENOSPC;
    if (!inode)
        inode = disk_create(path);
    else if ((flags & O_TRUNC) && inode_truncate(inode, 0) < 0)
        return -EIO;
    return new_descriptor(inode, flags);
}

int disk_hand_over(int fd, const void *process)
{
    struct descriptor *from = descriptor_of(fd);
    int copy = new_descriptor(from->inode, from->is_append ? O_APPEND : 0);
    struct descriptor *to = descriptor_of(copy);
    to->process = process;
    if (from->inode->lock_holder == from)
        from->inode->lock_holder = to;
    return copy;
}

static void disk_close(int fd)
{
    if (fd < FIRST_FD) {
        close(fd);
        return;
    }
    struct descriptor *descriptor = descriptor_of(fd);
    if (descriptor->inode && descriptor->inode->lock_holder == descriptor)
        descriptor->inode->lock_holder = NULL;
    inode_unref(descriptor->inode);
    *descriptor = (struct descriptor){0};
}

void disk_close_all(const void *process)
{
    for (size_t i = 0; i < FDS_MAX; i++) {
        struct descriptor *descriptor = &disk.descriptors[i];
        if (descriptor->process == process && descriptor->inode &&
            descriptor->inode->lock_holder == descriptor)
            descriptor->inode->lock_holder = NULL;
    }
}

static int64_t disk_read_at(int fd, void *ret_bytes, size_t size, int64_t offset)
{
    if (sim_is_dead())
        return -EIO;
    return (int64_t)inode_read(descriptor_of(fd)->inode, ret_bytes, size, (size_t)offset);
}

static int64_t disk_read(int fd, void *ret_bytes, size_t size)
{
    struct descriptor *descriptor = descriptor_of(fd);
    int64_t n = disk_read_at(fd, ret_bytes, size, (int64_t)descriptor->offset);
    if (n > 0)
        descriptor->offset += (size_t)n;
    return n;
}

static int64_t disk_write(int fd, const void *bytes, size_t size)
{
    struct descriptor *descriptor = descriptor_of(fd);
    if (descriptor->is_append)
        descriptor->offset = inode_size(descriptor->inode);
    int r = inode_write(descriptor->inode, bytes, size, descriptor->offset);
    if (r < 0)
        return r;
    descriptor->offset += size;
    return (int64_t)size;
}

static int disk_sync(int fd)
{
    struct descriptor *descriptor = descriptor_of(fd);
    return descriptor->inode ? inode_sync(descriptor->inode) : disk_sync_names();
}

static void fill_status(const struct inode *inode, struct stat *ret_status)
{
    *ret_status = (struct stat){
        .st_mode = S_IFREG | 0600,
        .st_ino = inode->number,
        .st_size = (off_t)inode_size(inode),
        .st_nlink = 1,
    };
}

static int disk_look_at(const char *path, struct stat *ret_status)
{
    const struct inode *inode = disk_find(path);
    if (sim_is_dead())
        return -EIO;
    if (!inode)
        return -ENOENT;
    fill_status(inode, ret_status);
    return 0;
}

static int disk_look_at_open(int fd, struct stat *ret_status)
{
    if (sim_is_dead())
        return -EIO;
    fill_status(descriptor_of(fd)->inode, ret_status);
    return 0;
}

/* Folders are there always: only files are kept by name. */
static int disk_may_access(const char *path, int mode)
{
    if (sim_is_dead())
        return -EIO;
    bool is_folder = mode & X_OK;
    return is_folder || disk_find(path) ? 0 : -ENOENT;
}

static int disk_rename(const char *from, const char *to)
{
    struct inode *inode = disk_find(from);
    if (!inode)
        return -ENOENT;
    if (!sim_disk_step("rename"))
        return -EIO;
    change_name(to, inode, true);
    change_name(from, NULL, false);
    return 0;
}

static int disk_make_folder(const char *path, unsigned int mode)
{
    (void)path;
    (void)mode;
    return sim_is_dead() ? -EIO : -EEXIST;
}

static int disk_lock(int fd)
{
    struct descriptor *descriptor = descriptor_of(fd);
    if (sim_is_dead())
        return -EIO;
    if (descriptor->inode->lock_holder && descriptor->inode->lock_holder != descriptor)
        return -EAGAIN;
    descriptor->inode->lock_holder = descriptor;
    return 0;
}

static int disk_is_locked(int fd)
{
    const struct descriptor *descriptor = descriptor_of(fd);
    if (sim_is_dead())
        return -EIO;
    return descriptor->inode->lock_holder && descriptor->inode->lock_holder != descriptor;
}

/* It is held only while no other process has a turn. */
static int disk_lock_folder(int fd)
{
    (void)fd;
    return sim_is_dead() ? -EIO : 0;
}

static const struct files_ops disk_ops = {
    .open = disk_open,
    .close = disk_close,
    .read = disk_read,
    .read_at = disk_read_at,
    .write = disk_write,
    .sync = disk_sync,
    .look_at = disk_look_at,
    .look_at_open = disk_look_at_open,
    .may_access = disk_may_access,
    .rename = disk_rename,
    .remove = disk_remove,
    .make_folder = disk_make_folder,
    .lock = disk_lock,
    .is_locked = disk_is_locked,
    .lock_folder = disk_lock_folder,
};

void disk_set_full(bool is_full)
{
    disk.is_full = is_full;
}

void disk_set_broken(bool is_broken)
{
    disk.is_broken = is_broken;
}

void disk_begin(void)
{
    files_replace(&disk_ops);
}

void disk_take_image(void)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&disk.names, &cursor))) {
        struct content *content = NEW(struct content);
        content_copy(content, &((struct inode *)entry->value)->now);
        map_put(&image.files, entry->key, content);
    }
}

/* Under a name that may have been another file's. */
static void put_durable(const char *path, const struct content *content)
{
    struct inode *inode = disk_create(path);
    content_copy(&inode->now, content);
    content_copy(&inode->durable, content);
    keep_changes(disk.n_changes);
}

void disk_put_image(void)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&image.files, &cursor)))
        put_durable(entry->key, entry->value);
}

void disk_save(const char *path, const char *text)
{
    put_durable(path, &(struct content){.bytes = (char *)text, .size = strlen(text)});
}

void disk_done(void)
{
    for (int i = 0; i < FDS_MAX; i++)
        if (disk.descriptors[i].process)
            disk_close(FIRST_FD + i);
    keep_changes(0);
    forget_names(&disk.names);
    forget_names(&disk.durable);
    mem_free(disk.changes);
    memset(&disk, 0, sizeof(disk));
    files_replace(NULL);
}
