#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

static int checked(int result)
{
    return result < 0 ? -errno : result;
}

static int real_open(const char *path, int flags, unsigned int mode)
{
    return checked(open(path, flags | O_CLOEXEC, (mode_t)mode));
}

static void real_close(int fd)
{
    close(fd);
}

static int64_t real_read(int fd, void *ret_bytes, size_t size)
{
    ssize_t n;
    do
        n = read(fd, ret_bytes, size);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int64_t real_read_at(int fd, void *ret_bytes, size_t size, int64_t offset)
{
    ssize_t n;
    do
        n = pread(fd, ret_bytes, size, offset);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int64_t real_write(int fd, const void *bytes, size_t size)
{
    ssize_t n;
    do
        n = write(fd, bytes, size);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int real_sync(int fd)
{
    return checked(fsync(fd));
}

static int real_look_at(const char *path, struct stat *ret_status)
{
    return checked(lstat(path, ret_status));
}

static int real_look_at_open(int fd, struct stat *ret_status)
{
    return checked(fstat(fd, ret_status));
}

static int real_may_access(const char *path, int mode)
{
    return checked(access(path, mode));
}

static int real_rename(const char *from, const char *to)
{
    return checked(rename(from, to));
}

static int real_remove(const char *path)
{
    return checked(unlink(path));
}

static int real_make_folder(const char *path, unsigned int mode)
{
    return checked(mkdir(path, (mode_t)mode));
}

static int real_lock(int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int r = checked(fcntl(fd, F_OFD_SETLK, &whole));
    return r == -EACCES ? -EAGAIN : r;
}

static int real_is_locked(int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int r = checked(fcntl(fd, F_OFD_GETLK, &whole));
    return r < 0 ? r : whole.l_type != F_UNLCK;
}

static int real_lock_folder(int fd)
{
    int r;
    do
        r = checked(flock(fd, LOCK_EX | LOCK_NB));
    while (r == -EINTR);
    return r;
}

static const struct files_ops real_ops = {
    .open = real_open,
    .close = real_close,
    .read = real_read,
    .read_at = real_read_at,
    .write = real_write,
    .sync = real_sync,
    .look_at = real_look_at,
    .look_at_open = real_look_at_open,
    .may_access = real_may_access,
    .rename = real_rename,
    .remove = real_remove,
    .make_folder = real_make_folder,
    .lock = real_lock,
    .is_locked = real_is_locked,
    .lock_folder = real_lock_folder,
};

static const struct files_ops *files = &real_ops;

void files_replace(const struct files_ops *ops)
{
    files = ops ? ops : &real_ops;
}

int files_open(const char *path, int flags, unsigned int mode)
{
    return files->open(path, flags, mode);
}

void files_close(int fd)
{
    files->close(fd);
}

int64_t files_read(int fd, void *ret_bytes, size_t size)
{
    return files->read(fd, ret_bytes, size);
}

int64_t files_read_at(int fd, void *ret_bytes, size_t size, int64_t offset)
{
    return files->read_at(fd, ret_bytes, size, offset);
}

int files_write(int fd, const void *bytes, size_t size)
{
    const char *rest = bytes;
    while (size > 0) {
        int64_t n = files->write(fd, rest, size);
        if (n < 0)
            return (int)n;
        rest += n;
        size -= (size_t)n;
    }
    return 0;
}

int files_sync(int fd)
{
    return files->sync(fd);
}

int files_look_at(const char *path, struct stat *ret_status)
{
    return files->look_at(path, ret_status);
}

int files_look_at_open(int fd, struct stat *ret_status)
{
    return files->look_at_open(fd, ret_status);
}

int files_may_access(const char *path, int mode)
{
    return files->may_access(path, mode);
}

int files_rename(const char *from, const char *to)
{
    return files->rename(from, to);
}

int files_remove(const char *path)
{
    return files->remove(path);
}

int files_make_folder(const char *path, unsigned int mode)
{
    return files->make_folder(path, mode);
}

int files_lock(int fd)
{
    return files->lock(fd);
}

int files_is_locked(int fd)
{
    return files->is_locked(fd);
}

int files_lock_folder(int fd)
{
    return files->lock_folder(fd);
}
