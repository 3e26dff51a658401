/* A failed CHECK jumps out of the test, so none stands inside a coroutine or a callback: they leave
 * their answers behind. */
#include "net/disk.h"

#include "base/files.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/world.h"
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { MEBIBYTE = 1024 * 1024, N_MEBIBYTES = 16 };

struct work {
    struct loop *loop;
    struct disk *disk;
    int fds[3];
    int answers[3];
    size_t n_turns; /* of the loop, while the files are synced */
    bool is_done;
};

static CO_FN void sync_all(void *argument)
{
    struct work *work = argument;
    for (size_t i = 0; i < ARRAY_LENGTH(work->fds); i++)
        work->answers[i] = disk_sync(work->disk, work->fds[i]);
    work->is_done = true;
}

static CO_FN void count_turns(void *argument)
{
    struct work *work = argument;
    while (!work->is_done) {
        work->n_turns++;
        loop_sleep(work->loop, 0);
    }
}

static int make_file(const char *folder)
{
    CLEANUP(mem_freep) char *path = string_format("%s/large", folder);
    static char content[MEBIBYTE];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (size_t i = 0; i < N_MEBIBYTES; i++)
        if (write(fd, content, MEBIBYTE) != MEBIBYTE)
            return -1;
    return fd;
}

TEST(the_loop_goes_on_while_files_and_folders_are_synced)
{
    CLEANUP(mem_freep) char *folder = string_copy("/tmp/parley-disk-XXXXXX");
    CHECK(mkdtemp(folder));
    struct work work = {.loop = loop_new()};
    work.disk = disk_new(work.loop);
    work.fds[0] = make_file(folder);
    work.fds[1] = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    work.fds[2] = -1;
    CHECK(work.fds[0] >= 0 && work.fds[1] >= 0);
    loop_spawn(work.loop, "sync", sync_all, &work);
    loop_spawn(work.loop, "count", count_turns, &work);
    loop_run(work.loop);
    CHECK(work.is_done);
    CHECK(work.answers[0] == 0 && work.answers[1] == 0);
    CHECK(work.answers[2] == -EBADF);
    CHECK(work.n_turns > 1);
    close_descriptor(work.fds[0]);
    close_descriptor(work.fds[1]);
    disk_free(work.disk);
    loop_free(work.loop);
    disk_free(NULL);
    coroutine_pool_done();
    CLEANUP(mem_freep) char *path = string_format("%s/large", folder);
    unlink(path);
    rmdir(folder);
}

static int fail_to_sync(int fd)
{
    (void)fd;
    return -EIO;
}

static CO_FN void sync_first(void *argument)
{
    struct work *work = argument;
    work->answers[0] = disk_sync(work->disk, STDOUT_FILENO);
    work->is_done = true;
}

TEST(a_disk_that_fails_is_told)
{
    const struct files_ops failing = {.sync = fail_to_sync};
    struct work work = {.loop = loop_new()};
    work.disk = disk_new(work.loop);
    files_replace(&failing);
    loop_spawn(work.loop, "sync", sync_first, &work);
    loop_run(work.loop);
    disk_free(work.disk);
    files_replace(NULL);
    CHECK(work.is_done && work.answers[0] == -EIO);
    loop_free(work.loop);
    coroutine_pool_done();
}

static int64_t no_time(void)
{
    return 1;
}

static void no_wait(int64_t deadline)
{
    (void)deadline;
}

static CO_FN void sync_nothing(void *argument)
{
    struct work *work = argument;
    work->answers[0] = disk_sync(work->disk, -1);
    work->is_done = true;
}

TEST(in_a_world_that_is_simulated_nothing_happens_beside)
{
    const struct world_ops world = {.monotonic_clock = no_time, .wait = no_wait};
    world_replace(&world);
    struct work work = {.loop = loop_new()};
    work.disk = disk_new(work.loop);
    loop_spawn(work.loop, "sync", sync_nothing, &work);
    loop_run(work.loop);
    world_replace(NULL);
    CHECK(work.is_done && work.answers[0] == -EBADF);
    disk_free(work.disk);
    loop_free(work.loop);
    coroutine_pool_done();
}
