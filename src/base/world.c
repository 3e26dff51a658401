#include "base/world.h"

#include "base/files.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/teeth.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t real_wall_clock(void)
{
    return read_clock(CLOCK_REALTIME);
}

static int64_t real_monotonic_clock(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

static void real_random(void *ret_bytes, size_t size)
{
    unsigned char *bytes = ret_bytes;
    while (size > 0) {
        ssize_t n = getrandom(bytes, size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            abort();
        bytes += n;
        size -= (size_t)n;
    }
}

static const struct world_ops real_ops = {
    .wall_clock = real_wall_clock,
    .monotonic_clock = real_monotonic_clock,
    .random = real_random,
};

static const struct world_ops *world = &real_ops;

void world_replace(const struct world_ops *ops)
{
    world = ops ? ops : &real_ops;
}

int64_t world_wall_clock(void)
{
    return world->wall_clock();
}

int64_t world_monotonic_clock(void)
{
    return world->monotonic_clock();
}

void world_random(void *ret_bytes, size_t size)
{
    world->random(ret_bytes, size);
}

bool world_is_simulated(void)
{
    return world->wait != NULL;
}

void world_wait(int64_t deadline)
{
    world->wait(deadline);
}

size_t world_choose(size_t n)
{
    return world->choose ? world->choose(n) : 0;
}

void world_format_time(int64_t wall_clock, char ret_text[WORLD_TIME_SIZE])
{
    time_t seconds = (time_t)(wall_clock / 1000000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(ret_text, WORLD_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

static int open_for_reading(const char *path, size_t limit, int *ret_fd, size_t *ret_hint,
                            struct error *err)
{
    CLEANUP(close_descriptorp) int fd = files_open(path, O_RDONLY, 0);
    if (fd == -ENOENT)
        return error_set(err, ERROR_NOT_FOUND, "%s: no such file", path);
    if (fd < 0)
        return error_set_errno(err, -fd, "open %s", path);
    struct stat status;
    int r = files_look_at_open(fd, &status);
    if (r < 0)
        return error_set_errno(err, -r, "look at %s", path);
    if (S_ISDIR(status.st_mode))
        return error_set(err, ERROR_INVALID, "%s is a folder, not a file", path);
    if (S_ISREG(status.st_mode) && (uint64_t)status.st_size > limit)
        return error_set(err, ERROR_LIMIT, "%s has %lld bytes; the limit is %zu", path,
                         (long long)status.st_size, limit);
    *ret_hint = S_ISREG(status.st_mode) ? (size_t)status.st_size : 0;
    *ret_fd = take_descriptor(&fd);
    return 0;
}

int world_read_file(const char *path, size_t limit, char **ret_text, size_t *ret_size,
                    struct error *err)
{
    CLEANUP(close_descriptorp) int fd = -1;
    size_t capacity = 0;
    int r = open_for_reading(path, limit, &fd, &capacity, err);
    if (r < 0)
        return r;
    capacity = capacity < 4096 ? 4096 : capacity + 1;
    CLEANUP(mem_freep) char *text = mem_zeroed(capacity + 1, 1);
    size_t size = 0;
    for (;;) {
        int64_t n = files_read(fd, text + size, capacity - size);
        if (n < 0)
            return error_set_errno(err, (int)-n, "read %s", path);
        if (n == 0)
            break;
        size += (size_t)n;
        if (size > limit)
            return error_set(err, ERROR_LIMIT, "%s is larger than the limit of %zu bytes", path,
                             limit);
        if (size == capacity) {
            capacity *= 2;
            text = mem_resize(text, capacity + 1, 1);
        }
    }
    text[size] = '\0';
    if (ret_size)
        *ret_size = size;
    *ret_text = take_ptr(text);
    return 0;
}

static int sync_nothing(void *argument, int fd)
{
    (void)argument, (void)fd;
    return 0;
}

static int sync_now(void *argument, int fd)
{
    (void)argument;
    return files_sync(fd);
}

static int sync_folder_of(const char *path, int (*sync)(void *argument, int fd), void *argument)
{
    CLEANUP(mem_freep) char *copy = string_copy(path);
    CLEANUP(close_descriptorp) int fd = files_open(dirname(copy), O_RDONLY | O_DIRECTORY, 0);
    return fd < 0 ? fd : sync(argument, fd);
}

int world_write_file(const char *path, const void *content, size_t size, unsigned int mode,
                     bool durable, struct error *err)
{
    return world_write_file_by(path, content, size, mode, durable ? sync_now : sync_nothing, NULL,
                               err);
}

int world_write_file_by(const char *path, const void *content, size_t size, unsigned int mode,
                        int (*sync)(void *argument, int fd), void *argument, struct error *err)
{
    CLEANUP(mem_freep)
    char *draft =
        TOOTH(WRITE_IN_PLACE) ? string_copy(path) : string_format("%s.%d.new", path, (int)getpid());
    CLEANUP(close_descriptorp) int fd = files_open(draft, O_WRONLY | O_CREAT | O_TRUNC, mode);
    if (fd < 0)
        return error_set_errno(err, -fd, "create a file beside %s", path);
    int r = files_write(fd, content, size);
    if (r == 0)
        r = sync(argument, fd);
    if (r == 0 && !TOOTH(WRITE_IN_PLACE))
        r = files_rename(draft, path);
    if (r < 0) {
        (void)files_remove(draft);
        return error_set_errno(err, -r, "write %s", path);
    }
    if (sync != sync_nothing && (r = sync_folder_of(path, sync, argument)) < 0)
        return error_set_errno(err, -r, "sync the folder of %s", path);
    return 0;
}

int world_make_folder(const char *path, unsigned int mode, struct error *err)
{
    CLEANUP(mem_freep) char *part = string_copy(path);
    for (char *slash = part + 1;; slash++) {
        if (*slash != '/' && *slash != '\0')
            continue;
        char kept = *slash;
        *slash = '\0';
        int r = files_make_folder(part, mode);
        if (r < 0 && r != -EEXIST)
            return error_set_errno(err, -r, "create the folder %s", part);
        *slash = kept;
        if (kept == '\0')
            return 0;
    }
}

int world_open_append(const char *path, unsigned int mode, int *ret_fd, struct error *err)
{
    int fd = files_open(path, O_WRONLY | O_CREAT | O_APPEND, mode);
    if (fd < 0)
        return error_set_errno(err, -fd, "open %s", path);
    *ret_fd = fd;
    return 0;
}

int world_open_file(const char *path, int *ret_fd, struct error *err)
{
    size_t hint;
    return open_for_reading(path, SIZE_MAX, ret_fd, &hint, err);
}

int world_read_part(int fd, int64_t offset, size_t size, void *ret_bytes, size_t *ret_n,
                    struct error *err)
{
    int64_t n = files_read_at(fd, ret_bytes, size, offset);
    if (n < 0)
        return error_set_errno(err, (int)-n, "read a file");
    *ret_n = (size_t)n;
    return 0;
}

bool world_file_exists(const char *path)
{
    return files_may_access(path, F_OK) == 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in an open folder, sorted; the caller frees them and the array. */
static int read_folder(DIR *folder, char ***ret_names, size_t *ret_n)
{
    char **names = NULL;
    size_t n = 0;
    size_t capacity = 0;
    errno = 0;
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        ARRAY_RESERVE(names, n, capacity);
        names[n++] = string_copy(entry->d_name);
    }
    int errno_value = errno;
    if (n > 0)
        qsort(names, n, sizeof(names[0]), compare_names);
    *ret_names = names;
    *ret_n = n;
    return errno_value;
}

int world_list_folder(const char *path,
                      int (*found)(void *argument, const char *name, struct error *err),
                      void *argument, struct error *err)
{
    char **names = NULL;
    size_t n = 0;
    DIR *folder = opendir(path);
    if (!folder)
        return errno == ENOENT ? error_set(err, ERROR_NOT_FOUND, "there is no folder %s", path)
                               : error_set_errno(err, errno, "open the folder %s", path);
    int errno_value = read_folder(folder, &names, &n);
    closedir(folder);
    int r = errno_value ? error_set_errno(err, errno_value, "read the folder %s", path) : 0;
    for (size_t i = 0; i < n; i++) {
        if (r == 0)
            r = found(argument, names[i], err);
        mem_free(names[i]);
    }
    mem_free(names);
    return r;
}

int world_remove_file(const char *path, struct error *err)
{
    int r = files_remove(path);
    return r < 0 && r != -ENOENT ? error_set_errno(err, -r, "remove %s", path) : 0;
}

int world_lock_file(const char *path, int *ret_fd, struct error *err)
{
    CLEANUP(close_descriptorp) int fd = files_open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        return error_set_errno(err, -fd, "open the lock file %s", path);
    int r = files_lock(fd);
    if (r == -EAGAIN)
        return error_set(err, ERROR_BUSY, "%s is locked by another process", path);
    if (r < 0)
        return error_set_errno(err, -r, "lock %s", path);
    *ret_fd = take_descriptor(&fd);
    return 0;
}

bool world_file_is(const char *path, int fd)
{
    struct stat named;
    struct stat opened;
    return files_look_at(path, &named) == 0 && files_look_at_open(fd, &opened) == 0 &&
           named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

bool world_file_is_locked(const char *path)
{
    CLEANUP(close_descriptorp) int fd = files_open(path, O_RDWR, 0);
    return fd >= 0 && files_is_locked(fd) > 0;
}

int world_real_path(const char *path, char **ret_path, struct error *err)
{
    char *resolved = realpath(path, NULL);
    if (resolved) {
        *ret_path = string_copy(resolved);
        free(resolved);
        return 0;
    }
    if (errno != ENOENT || strcmp(path, ".") == 0) {
        error_set_errno(err, errno, "find the real path of %s", path);
        return -ERROR_SYSTEM;
    }
    const char *slash = strrchr(path, '/');
    const char *last = slash ? slash + 1 : path;
    CLEANUP(mem_freep)
    char *above =
        slash ? string_copy_n(path, slash == path ? 1 : (size_t)(slash - path)) : string_copy(".");
    CLEANUP(mem_freep) char *parent = NULL;
    int r = world_real_path(above, &parent, err);
    if (r < 0)
        return r;
    bool is_plain = *last != '\0' && strcmp(last, ".") != 0;
    *ret_path = is_plain ? string_format("%s/%s", strcmp(parent, "/") == 0 ? "" : parent, last)
                         : take_ptr(parent);
    return 0;
}

int world_program_path(char **ret_path, struct error *err)
{
    if (world_file_exists("/proc/self/exe"))
        return world_real_path("/proc/self/exe", ret_path, err);
    /* Without a /proc: as it was started, which holds as long as nobody changes the folder. */
    const char *started_as = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    return world_real_path(started_as ? started_as : "", ret_path, err);
}

int world_open_log(const char *path, int *ret_fd, struct error *err)
{
    int fd = files_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    if (fd < 0)
        return error_set_errno(err, -fd, "open the log %s", path);
    *ret_fd = fd;
    return 0;
}
