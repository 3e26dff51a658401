#include "sim/vfs.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "sim/disk.h"
#include "sim/sim.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <string.h>

enum { REGIONS_MAX = 64, HOLDERS_MAX = 32 };

struct file;

/* Beside a database: who has which lock, and the memory of its log's index. */
struct shared {
    size_t n_refs;
    struct file *holders[HOLDERS_MAX]; /* those that are open */
    char *regions[REGIONS_MAX];        /* owned */
    size_t region_size;
    char *kept[REGIONS_MAX]; /* owned: as a process left them when it died; see vfs_forget() */
};

struct file {
    sqlite3_file base;
    struct inode *inode;
    struct shared *shared; /* of a database; NULL for others */
    const void *process;
    int level;               /* SQLITE_LOCK_* */
    unsigned int shm_shared; /* bits of the slots */
    unsigned int shm_exclusive;
    bool has_memory;
    bool syncs_name;   /* its first sync makes its name durable */
    char *delete_name; /* owned: removed at the close; NULL: not */
};

/* All that are alive, for those who die. */
static struct shared *all_shared[8];

static struct file *file_of(sqlite3_file *file)
{
    return (struct file *)file;
}

static bool is_dead(const struct file *file)
{
    return sim_process_is_dead(file->process);
}

static int result_of(int r)
{
    errno = r < 0 ? -r : 0;
    return r == 0 ? SQLITE_OK : r == -ENOSPC ? SQLITE_FULL : SQLITE_IOERR;
}

/* --- Files --- */

static void drop_memory(struct shared *shared)
{
    for (size_t i = 0; i < REGIONS_MAX; i++)
        mem_free(take_ptr(shared->regions[i]));
}

static void leave(struct file *file)
{
    struct shared *shared = file->shared;
    bool is_last_user = true;
    for (size_t i = 0; i < HOLDERS_MAX; i++) {
        if (shared->holders[i] == file)
            shared->holders[i] = NULL;
        is_last_user = is_last_user && !(shared->holders[i] && shared->holders[i]->has_memory);
    }
    if (is_last_user)
        drop_memory(shared);
    if (--shared->n_refs > 0)
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(all_shared); i++)
        if (all_shared[i] == shared)
            all_shared[i] = NULL;
    *inode_attachment(file->inode) = NULL;
    for (size_t i = 0; i < REGIONS_MAX; i++)
        mem_free(shared->kept[i]);
    mem_free(shared);
}

static int vfs_close(sqlite3_file *base)
{
    struct file *file = file_of(base);
    if (file->shared)
        leave(file);
    if (file->delete_name && !is_dead(file))
        (void)disk_remove(file->delete_name);
    mem_free(file->delete_name);
    inode_unref(file->inode);
    return SQLITE_OK;
}

static int vfs_read(sqlite3_file *base, void *buffer, int amount, sqlite3_int64 offset)
{
    struct file *file = file_of(base);
    if (is_dead(file))
        return SQLITE_IOERR_READ;
    size_t n = inode_read(file->inode, buffer, (size_t)amount, (size_t)offset);
    if (n == (size_t)amount)
        return SQLITE_OK;
    memset((char *)buffer + n, 0, (size_t)amount - n);
    return SQLITE_IOERR_SHORT_READ;
}

static int vfs_write(sqlite3_file *base, const void *buffer, int amount, sqlite3_int64 offset)
{
    int rc = result_of(inode_write(file_of(base)->inode, buffer, (size_t)amount, (size_t)offset));
    return rc == SQLITE_IOERR ? SQLITE_IOERR_WRITE : rc;
}

static int vfs_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    int rc = result_of(inode_truncate(file_of(base)->inode, (size_t)size));
    return rc == SQLITE_OK ? rc : SQLITE_IOERR_TRUNCATE;
}

static int vfs_sync(sqlite3_file *base, int flags)
{
    struct file *file = file_of(base);
    (void)flags;
    int r = inode_sync(file->inode);
    if (r == 0 && file->syncs_name)
        r = disk_sync_names();
    file->syncs_name = file->syncs_name && r < 0;
    return r == 0 ? SQLITE_OK : SQLITE_IOERR_FSYNC;
}

static int vfs_file_size(sqlite3_file *base, sqlite3_int64 *ret_size)
{
    struct file *file = file_of(base);
    *ret_size = (sqlite3_int64)inode_size(file->inode);
    return is_dead(file) ? SQLITE_IOERR_FSTAT : SQLITE_OK;
}

/* --- Locks of a database (https://sqlite.org/lockingv3.html) --- */

static int highest_other(const struct file *file, size_t *ret_n_shared)
{
    int highest = SQLITE_LOCK_NONE;
    *ret_n_shared = 0;
    for (size_t i = 0; i < HOLDERS_MAX; i++) {
        const struct file *other = file->shared->holders[i];
        if (!other || other == file)
            continue;
        *ret_n_shared += other->level >= SQLITE_LOCK_SHARED;
        highest = other->level > highest ? other->level : highest;
    }
    return highest;
}

static int vfs_lock(sqlite3_file *base, int level)
{
    struct file *file = file_of(base);
    size_t n_shared;
    if (is_dead(file))
        return SQLITE_IOERR_LOCK;
    if (!file->shared || level <= file->level)
        return SQLITE_OK;
    int highest = highest_other(file, &n_shared);
    if (level == SQLITE_LOCK_SHARED && highest >= SQLITE_LOCK_PENDING)
        return SQLITE_BUSY;
    if (level > SQLITE_LOCK_SHARED && highest >= SQLITE_LOCK_RESERVED)
        return SQLITE_BUSY;
    if (level == SQLITE_LOCK_EXCLUSIVE && n_shared > 0) {
        file->level = SQLITE_LOCK_PENDING;
        return SQLITE_BUSY;
    }
    file->level = level;
    return SQLITE_OK;
}

static int vfs_unlock(sqlite3_file *base, int level)
{
    struct file *file = file_of(base);
    if (file->level > level)
        file->level = level;
    return SQLITE_OK;
}

static int vfs_check_reserved(sqlite3_file *base, int *ret_is_reserved)
{
    struct file *file = file_of(base);
    size_t n_shared;
    *ret_is_reserved = file->shared && highest_other(file, &n_shared) >= SQLITE_LOCK_RESERVED;
    return is_dead(file) ? SQLITE_IOERR_CHECKRESERVEDLOCK : SQLITE_OK;
}

static int vfs_file_control(sqlite3_file *base, int operation, void *argument)
{
    (void)base;
    (void)operation;
    (void)argument;
    return SQLITE_NOTFOUND;
}

static int vfs_sector_size(sqlite3_file *base)
{
    (void)base;
    return 4096;
}

static int vfs_characteristics(sqlite3_file *base)
{
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* --- The shared memory of a log's index --- */

static int vfs_shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **ret)
{
    struct file *file = file_of(base);
    struct shared *shared = file->shared;
    *ret = NULL;
    if (is_dead(file))
        return SQLITE_IOERR_SHMMAP;
    assert(region < REGIONS_MAX);
    file->has_memory = true;
    if (!shared->regions[region] && extend)
        shared->regions[region] = mem_zeroed(1, (size_t)size);
    shared->region_size = (size_t)size;
    *ret = shared->regions[region];
    return SQLITE_OK;
}

static int vfs_shm_lock(sqlite3_file *base, int offset, int n, int flags)
{
    struct file *file = file_of(base);
    unsigned int mask = ((1U << n) - 1) << offset;
    if (flags & SQLITE_SHM_UNLOCK) {
        file->shm_shared &= ~mask;
        file->shm_exclusive &= ~mask;
        return SQLITE_OK;
    }
    if (is_dead(file))
        return SQLITE_IOERR_SHMLOCK;
    for (size_t i = 0; i < HOLDERS_MAX; i++) {
        const struct file *other = file->shared->holders[i];
        if (!other || other == file)
            continue;
        unsigned int held = other->shm_exclusive;
        if (flags & SQLITE_SHM_EXCLUSIVE)
            held |= other->shm_shared;
        if (held & mask)
            return SQLITE_BUSY;
    }
    if (flags & SQLITE_SHM_EXCLUSIVE)
        file->shm_exclusive |= mask;
    else
        file->shm_shared |= mask;
    return SQLITE_OK;
}

static void vfs_shm_barrier(sqlite3_file *base)
{
    (void)base;
}

static int vfs_shm_unmap(sqlite3_file *base, int delete_flag)
{
    struct file *file = file_of(base);
    (void)delete_flag;
    file->has_memory = false;
    file->shm_shared = file->shm_exclusive = 0;
    for (size_t i = 0; i < HOLDERS_MAX; i++)
        if (file->shared->holders[i] && file->shared->holders[i]->has_memory)
            return SQLITE_OK;
    drop_memory(file->shared);
    return SQLITE_OK;
}

static const struct sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = vfs_close,
    .xRead = vfs_read,
    .xWrite = vfs_write,
    .xTruncate = vfs_truncate,
    .xSync = vfs_sync,
    .xFileSize = vfs_file_size,
    .xLock = vfs_lock,
    .xUnlock = vfs_unlock,
    .xCheckReservedLock = vfs_check_reserved,
    .xFileControl = vfs_file_control,
    .xSectorSize = vfs_sector_size,
    .xDeviceCharacteristics = vfs_characteristics,
    .xShmMap = vfs_shm_map,
    .xShmLock = vfs_shm_lock,
    .xShmBarrier = vfs_shm_barrier,
    .xShmUnmap = vfs_shm_unmap,
};

/* --- Death --- */

/* The kernel frees the locks of the dead at once. What they do to the memory while they unwind did
 * not happen: the others get it back as it was. */
void vfs_forget(const void *process)
{
    for (size_t s = 0; s < ARRAY_LENGTH(all_shared); s++) {
        struct shared *shared = all_shared[s];
        for (size_t i = 0; shared && i < HOLDERS_MAX; i++) {
            struct file *file = shared->holders[i];
            if (!file || file->process != process)
                continue;
            file->level = SQLITE_LOCK_NONE;
            file->shm_shared = file->shm_exclusive = 0;
        }
        for (size_t i = 0; shared && i < REGIONS_MAX; i++)
            if (shared->regions[i] && !shared->kept[i])
                shared->kept[i] = mem_copy(shared->regions[i], shared->region_size);
    }
}

void vfs_forgotten(void)
{
    for (size_t s = 0; s < ARRAY_LENGTH(all_shared); s++) {
        struct shared *shared = all_shared[s];
        for (size_t i = 0; shared && i < REGIONS_MAX; i++) {
            if (shared->kept[i] && shared->regions[i])
                memcpy(shared->regions[i], shared->kept[i], shared->region_size);
            mem_free(take_ptr(shared->kept[i]));
        }
    }
}

/* --- The layer --- */

static struct shared *share(struct inode *inode)
{
    struct shared **shared = (struct shared **)inode_attachment(inode);
    if (*shared)
        return *shared;
    *shared = NEW(struct shared);
    size_t free_slot = 0;
    while (all_shared[free_slot])
        free_slot++;
    assert(free_slot < ARRAY_LENGTH(all_shared));
    all_shared[free_slot] = *shared;
    return *shared;
}

static void join(struct file *file)
{
    file->shared = share(file->inode);
    file->shared->n_refs++;
    size_t i = 0;
    while (file->shared->holders[i])
        i++;
    assert(i < HOLDERS_MAX);
    file->shared->holders[i] = file;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                    int *ret_flags)
{
    struct file *file = file_of(base);
    (void)vfs;
    memset(file, 0, sizeof(*file));
    if (sim_is_dead())
        return SQLITE_CANTOPEN;
    struct inode *inode = name ? disk_find(name) : NULL;
    if (!inode && !(flags & SQLITE_OPEN_CREATE))
        return SQLITE_CANTOPEN;
    /* As the real layer: whoever may have made a journal makes its name durable, too. */
    file->syncs_name =
        (flags & SQLITE_OPEN_CREATE) && (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL));
    if (!inode && !sim_disk_step("create"))
        return SQLITE_CANTOPEN;
    file->inode = inode_ref(inode ? inode : disk_create(name));
    file->process = sim_process();
    if (flags & SQLITE_OPEN_DELETEONCLOSE)
        file->delete_name = string_copy(name);
    if (flags & SQLITE_OPEN_MAIN_DB)
        join(file);
    file->base.pMethods = &methods;
    if (ret_flags)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    (void)vfs;
    int r = disk_remove(name);
    if (r == -ENOENT)
        return SQLITE_IOERR_DELETE_NOENT;
    if (r == 0 && sync_folder)
        r = disk_sync_names();
    return r == 0 ? SQLITE_OK : SQLITE_IOERR_DELETE;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret_is_so)
{
    (void)vfs;
    (void)flags;
    const struct inode *inode = disk_find(name);
    *ret_is_so = inode && (flags != SQLITE_ACCESS_EXISTS || inode_size(inode) > 0);
    return sim_is_dead() ? SQLITE_IOERR_ACCESS : SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *name, int size, char *ret_path)
{
    (void)vfs;
    sqlite3_snprintf(size, ret_path, "%s", name);
    return SQLITE_OK;
}

static int vfs_randomness(sqlite3_vfs *vfs, int size, char *ret_bytes)
{
    (void)vfs;
    world_random(ret_bytes, (size_t)size);
    return size;
}

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    sim_sleep(microseconds);
    return microseconds;
}

static int vfs_time(sqlite3_vfs *vfs, sqlite3_int64 *ret_time)
{
    (void)vfs;
    *ret_time = INT64_C(210866760000000) + world_wall_clock() / 1000;
    return SQLITE_OK;
}

static int vfs_old_time(sqlite3_vfs *vfs, double *ret_time)
{
    sqlite3_int64 milliseconds;
    vfs_time(vfs, &milliseconds);
    *ret_time = (double)milliseconds / 86400000.0;
    return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *ret_text)
{
    (void)vfs;
    if (size > 0)
        *ret_text = '\0';
    return errno;
}

static sqlite3_vfs layer = {
    .iVersion = 2,
    .szOsFile = sizeof(struct file),
    .mxPathname = 512,
    .zName = "simulated",
    .xOpen = vfs_open,
    .xDelete = vfs_delete,
    .xAccess = vfs_access,
    .xFullPathname = vfs_full_path,
    .xRandomness = vfs_randomness,
    .xSleep = vfs_sleep,
    .xCurrentTime = vfs_old_time,
    .xCurrentTimeInt64 = vfs_time,
    .xGetLastError = vfs_last_error,
};

void vfs_register(void)
{
    sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    int rc = sqlite3_vfs_register(&layer, 1);
    assert(rc == SQLITE_OK);
    (void)rc;
}
