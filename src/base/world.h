/*
 * The world outside the program: time, random numbers and files. Everything else asks here, so that
 * a test or the simulator can be the world. The loop (net/) owns sockets and children. What the
 * file operations are made of can be replaced by files.h.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What stands behind the functions below; world_replace() swaps it. */
struct world_ops {
    int64_t (*wall_clock)(void);      /* microseconds since 1970, UTC */
    int64_t (*monotonic_clock)(void); /* microseconds; also runs while suspended, never jumps */
    void (*random)(void *ret_bytes, size_t size);
    /*
     * NULL in the real world. Where they are set, no time passes by itself, nothing but timers
     * wakes the loop, and no thread but its own does any work.
     */
    void (*wait)(int64_t deadline);
    size_t (*choose)(size_t n);
};

/* The ops in use from now on; NULL goes back to the real ones. ops is borrowed. */
void world_replace(const struct world_ops *ops);

int64_t world_wall_clock(void);
int64_t world_monotonic_clock(void);
void world_random(void *ret_bytes, size_t size);

/* Whether time is virtual: then somebody moves it on when the loop would wait. */
bool world_is_simulated(void);
/* Lets the time until a reading of the monotonic clock pass; INT64_MAX: until something happens
 * that no timer of ours knows of. Only in a simulated world. */
void world_wait(int64_t deadline);
/* Which of n that could go on now goes first; 0 in the real world. */
size_t world_choose(size_t n);

/* Writes "2026-01-20T08:30:00Z" (UTC, whole seconds) for a wall clock reading. */
#define WORLD_TIME_SIZE 32
void world_format_time(int64_t wall_clock, char ret_text[WORLD_TIME_SIZE]);

/*
 * Reads a whole file of at most limit bytes; the caller frees *ret_text with mem_free(). A NUL
 * follows the content; *ret_size (may be NULL) leaves it out. ERROR_NOT_FOUND when there is none,
 * ERROR_LIMIT when it is larger: nothing of a file that is too large is read.
 */
int world_read_file(const char *path, size_t limit, char **ret_text, size_t *ret_size,
                    struct error *err);

/* Opens a file to read it piece by piece. ERROR_NOT_FOUND when there is none. */
int world_open_file(const char *path, int *ret_fd, struct error *err);
/* At most size bytes from offset on; *ret_n is 0 at the end of what is there now. */
int world_read_part(int fd, int64_t offset, size_t size, void *ret_bytes, size_t *ret_n,
                    struct error *err);

/*
 * Replaces a file as a whole: a reader, or the next start after a crash, sees the old content or
 * the new one, never a part. Synced to disk when durable.
 */
int world_write_file(const char *path, const void *content, size_t size, unsigned int mode,
                     bool durable, struct error *err);

/*
 * The same, durable, where sync() does what files_sync() does: for who would not stand still
 * meanwhile. Nobody else writes the file until it returns.
 */
int world_write_file_by(const char *path, const void *content, size_t size, unsigned int mode,
                        int (*sync)(void *argument, int fd), void *argument, struct error *err);

/* Opens a file for appending, made when missing, and gives its descriptor. */
int world_open_append(const char *path, unsigned int mode, int *ret_fd, struct error *err);

/* Makes a folder and those above it; one that is there already keeps its mode. */
int world_make_folder(const char *path, unsigned int mode, struct error *err);

bool world_file_exists(const char *path);
/*
 * Calls found() with each name in a folder, in the order of their bytes, until it fails.
 * ERROR_NOT_FOUND when there is no such folder.
 */
int world_list_folder(const char *path,
                      int (*found)(void *argument, const char *name, struct error *err),
                      void *argument, struct error *err);
/* Removes a file; one that is not there is no error. */
int world_remove_file(const char *path, struct error *err);

/*
 * The absolute path without links, dots and double slashes; what of it does not exist yet is taken
 * as it is. The caller frees *ret_path.
 */
int world_real_path(const char *path, char **ret_path, struct error *err);
/* The program that runs now, as an absolute path; the caller frees *ret_path. */
int world_program_path(char **ret_path, struct error *err);

/* Opens a file for a child to write what it prints to, emptied, with mode 0600. */
int world_open_log(const char *path, int *ret_fd, struct error *err);

/*
 * Takes the exclusive OFD lock of a file, made when missing, and gives its descriptor; closing it
 * frees the lock, and so does the death of the holder. ERROR_BUSY when somebody has it.
 */
int world_lock_file(const char *path, int *ret_fd, struct error *err);
/* Whether the file behind a descriptor is still the one of that name. */
bool world_file_is(const char *path, int fd);
/* Whether somebody has it, without taking it even for an instant; false when there is no such file.
 */
bool world_file_is_locked(const char *path);
