/*
 * Files call by call, as the operating system has them: for world.c and for the store, which must
 * say itself what is synced when. Everyone else takes the whole operations of world.h.
 *
 * A call that fails returns the negated errno; none is ended early by a signal. Descriptors are
 * O_CLOEXEC and closed by close_descriptor().
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* What stands behind the calls; files_replace() swaps it. */
struct files_ops {
    int (*open)(const char *path, int flags, unsigned int mode);
    void (*close)(int fd);
    int64_t (*read)(int fd, void *ret_bytes, size_t size);
    int64_t (*read_at)(int fd, void *ret_bytes, size_t size, int64_t offset);
    int64_t (*write)(int fd, const void *bytes, size_t size);
    int (*sync)(int fd);
    int (*look_at)(const char *path, struct stat *ret_status);
    int (*look_at_open)(int fd, struct stat *ret_status);
    int (*may_access)(const char *path, int mode);
    int (*rename)(const char *from, const char *to);
    int (*remove)(const char *path);
    int (*make_folder)(const char *path, unsigned int mode);
    int (*lock)(int fd);
    int (*is_locked)(int fd);
    int (*lock_folder)(int fd);
};

/* The ops in use from now on; NULL goes back to the real ones. ops is borrowed. */
void files_replace(const struct files_ops *ops);

int files_open(const char *path, int flags, unsigned int mode);
/* For close_descriptor() alone. */
void files_close(int fd);
int64_t files_read(int fd, void *ret_bytes, size_t size);
int64_t files_read_at(int fd, void *ret_bytes, size_t size, int64_t offset);
/* Writes all of it. */
int files_write(int fd, const void *bytes, size_t size);
/* Makes a file's content durable, or the names in a folder. */
int files_sync(int fd);
/* Does not follow a link at the end. */
int files_look_at(const char *path, struct stat *ret_status);
int files_look_at_open(int fd, struct stat *ret_status);
/* As access(2). */
int files_may_access(const char *path, int mode);
int files_rename(const char *from, const char *to);
int files_remove(const char *path);
int files_make_folder(const char *path, unsigned int mode);
/* Takes the exclusive OFD lock of a file; -EAGAIN when somebody has it. */
int files_lock(int fd);
/* 1 when somebody has it, else 0. */
int files_is_locked(int fd);
/* Locks a folder against others who do the same (flock); -EWOULDBLOCK when somebody has. */
int files_lock_folder(int fd);
