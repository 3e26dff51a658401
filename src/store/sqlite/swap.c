#include "store/sqlite/swap.h"

#include "base/files.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/world.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    COPY_SIZE = 1 << 16,
    /* https://sqlite.org/fileformat2.html#the_lock_byte_page: who has the file open in WAL mode
     * holds a shared lock on this range for all that time. */
    LOCK_AT = 0x40000002,
    LOCK_SIZE = 510,
};

static char *finished_path(const struct store_files *files)
{
    return string_format("%s.finished", files->database);
}

static int copy_all(int from, int to)
{
    char bytes[COPY_SIZE];
    for (;;) {
        int64_t n = files_read(from, bytes, sizeof(bytes));
        if (n <= 0)
            return n < 0 ? (int)n : files_sync(to);
        int r = files_write(to, bytes, (size_t)n);
        if (r < 0)
            return r;
    }
}

int swap_copy(const char *from, const char *to, struct error *err)
{
    int r = store_files_make_empty(to, err);
    if (r < 0)
        return r;
    CLEANUP(close_descriptorp) int source = files_open(from, O_RDONLY, 0);
    if (source < 0)
        return store_files_error(source, "read", from, err);
    CLEANUP(close_descriptorp) int target = files_open(to, O_WRONLY, 0);
    r = target < 0 ? target : copy_all(source, target);
    return r < 0 ? store_files_error(r, "write", to, err) : 0;
}

int swap_lock(const struct store_files *files, int *ret_fd, struct error *err)
{
    CLEANUP(close_descriptorp) int fd = files_open(files->database, O_RDWR | O_NOFOLLOW, 0);
    if (fd == -ENOENT) {
        *ret_fd = -1;
        return 0;
    }
    if (fd < 0)
        return store_files_error(fd, "open", files->database, err);
    struct flock range = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_AT, .l_len = LOCK_SIZE};
    if (fcntl(fd, F_OFD_SETLK, &range) < 0)
        return error_set(err, ERROR_BUSY,
                         "%s: another process has the store open; end the commands and runs that "
                         "use it first",
                         files->database);
    *ret_fd = take_descriptor(&fd);
    return 0;
}

/* A name that is free, for what was there before. */
static char *find_name(const struct store_files *files)
{
    for (int i = 1;; i++) {
        char *name = string_format("%s.old-%d", files->database, i);
        CLEANUP(mem_freep) char *log = string_format("%s-wal", name);
        if (!world_file_exists(name) && !world_file_exists(log))
            return name;
        mem_free(name);
    }
}

static int move(const char *from, const char *to, struct error *err)
{
    int r = files_rename(from, to);
    return r < 0 && r != -ENOENT ? store_files_error(r, "rename", from, err) : 0;
}

/* The index of a log that is no more must not be taken for that of the next. */
static int remove_index(const struct store_files *files, struct error *err)
{
    CLEANUP(mem_freep) char *index = string_format("%s-shm", files->database);
    return world_remove_file(index, err);
}

/* The database goes first: a log without one is told as a loss, one without its log is not. */
static int move_away(const struct store_files *files, const char *kept, struct error *err)
{
    CLEANUP(mem_freep) char *log = string_format("%s-wal", kept);
    int r = move(files->database, kept, err);
    if (r == 0)
        r = store_files_sync_folder(files->folder, err);
    if (r == 0)
        r = move(files->log, log, err);
    return r;
}

static int take_place(const struct store_files *files, const char *finished, struct error *err)
{
    int r = remove_index(files, err);
    if (r == 0)
        r = move(finished, files->database, err);
    return r < 0 ? r : store_files_sync_folder(files->folder, err);
}

int swap_in(const struct store_files *files, const char *draft, const char *id, char **ret_kept,
            struct error *err)
{
    CLEANUP(mem_freep) char *finished = finished_path(files);
    bool was_there = world_file_exists(files->database) || world_file_exists(files->log);
    CLEANUP(mem_freep) char *kept = find_name(files);
    int r = move(draft, finished, err);
    if (r == 0)
        r = store_files_sync_folder(files->folder, err);
    if (r == 0)
        r = store_files_write_marker(files, id, err);
    if (r == 0)
        r = move_away(files, kept, err);
    if (r == 0)
        r = take_place(files, finished, err);
    if (r < 0)
        return r;
    *ret_kept = was_there ? take_ptr(kept) : NULL;
    return 0;
}

int swap_finish(const struct store_files *files, bool *ret_is_done, struct error *err)
{
    CLEANUP(mem_freep) char *finished = finished_path(files);
    *ret_is_done = !world_file_exists(files->database) && world_file_exists(finished);
    if (!*ret_is_done)
        return world_remove_file(finished, err);
    CLEANUP(mem_freep) char *kept = find_name(files);
    CLEANUP(mem_freep) char *log = string_format("%s-wal", kept);
    int r = move(files->log, log, err);
    return r < 0 ? r : take_place(files, finished, err);
}
