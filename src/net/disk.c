#include "net/disk.h"

#include "base/files.h"
#include "base/memory.h"
#include "base/world.h"

#include <assert.h>
#include <pthread.h>

struct disk {
    struct loop *loop;
    pthread_t thread;
    bool has_thread; /* else files are synced on the loop's own */
    struct gate answered;
    bool is_busy;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    int fd; /* to be synced; -1: nothing is asked for */
    int answer;
    bool is_ending;
};

/* Waits for a file that is to be synced; -1 when it is time to end. */
static int take_file(struct disk *disk)
{
    pthread_mutex_lock(&disk->lock);
    while (disk->fd < 0 && !disk->is_ending)
        pthread_cond_wait(&disk->changed, &disk->lock);
    int fd = disk->fd;
    disk->fd = -1;
    pthread_mutex_unlock(&disk->lock);
    return fd;
}

static void tell(void *argument)
{
    struct disk *disk = argument;
    disk->is_busy = false;
    gate_open(disk->loop, &disk->answered);
    loop_expect(disk->loop, -1);
}

static void *sync_files(void *argument)
{
    struct disk *disk = argument;
    for (int fd; (fd = take_file(disk)) >= 0;) {
        int answer = files_sync(fd);
        pthread_mutex_lock(&disk->lock);
        disk->answer = answer;
        pthread_mutex_unlock(&disk->lock);
        loop_call_from_thread(disk->loop, tell, disk);
    }
    return NULL;
}

struct disk *disk_new(struct loop *loop)
{
    struct disk *disk = NEW(struct disk);
    disk->loop = loop;
    disk->fd = -1;
    pthread_mutex_init(&disk->lock, NULL);
    pthread_cond_init(&disk->changed, NULL);
    disk->has_thread =
        !world_is_simulated() && loop_start_thread(&disk->thread, sync_files, disk) == 0;
    return disk;
}

static void ask(struct disk *disk, int fd, bool is_ending)
{
    pthread_mutex_lock(&disk->lock);
    disk->fd = fd;
    disk->is_ending = is_ending;
    pthread_cond_signal(&disk->changed);
    pthread_mutex_unlock(&disk->lock);
}

void disk_free(struct disk *disk)
{
    if (!disk)
        return;
    assert(!disk->is_busy);
    ask(disk, -1, true);
    if (disk->has_thread)
        pthread_join(disk->thread, NULL);
    pthread_cond_destroy(&disk->changed);
    pthread_mutex_destroy(&disk->lock);
    mem_free(disk);
}

int disk_sync(struct disk *disk, int fd)
{
    assert(!disk->is_busy);
    if (!disk->has_thread || fd < 0)
        return files_sync(fd);
    disk->is_busy = true;
    loop_expect(disk->loop, 1);
    ask(disk, fd, false);
    while (disk->is_busy)
        gate_wait(disk->loop, &disk->answered, -1, NULL);
    pthread_mutex_lock(&disk->lock);
    int answer = disk->answer;
    pthread_mutex_unlock(&disk->lock);
    return answer;
}
