#include "net/disk.h"

#include "base/files.h"
#include "base/memory.h"
#include "base/world.h"

#include <assert.h>
#include <errno.h>
#include <linux/aio_abi.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

struct disk {
    struct loop *loop;
    aio_context_t context; /* 0: the kernel has none for us */
    int done_fd;           /* counts what was synced */
    bool is_busy;
};

struct disk *disk_new(struct loop *loop)
{
    struct disk *disk = NEW(struct disk);
    disk->loop = loop;
    disk->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (disk->done_fd < 0 || world_is_simulated() || syscall(SYS_io_setup, 1, &disk->context) < 0)
        disk->context = 0;
    return disk;
}

void disk_free(struct disk *disk)
{
    if (!disk)
        return;
    assert(!disk->is_busy);
    if (disk->context)
        syscall(SYS_io_destroy, disk->context);
    close_descriptor(disk->done_fd);
    mem_free(disk);
}

/* Whether the kernel took it; not every file system has this. */
static bool begin(struct disk *disk, int fd)
{
    struct iocb order = {
        .aio_lio_opcode = IOCB_CMD_FSYNC,
        .aio_fildes = (uint32_t)fd,
        .aio_flags = IOCB_FLAG_RESFD,
        .aio_resfd = (uint32_t)disk->done_fd,
    };
    struct iocb *orders[] = {&order};
    return disk->context && syscall(SYS_io_submit, disk->context, 1, orders) == 1;
}

int disk_sync(struct disk *disk, int fd)
{
    assert(!disk->is_busy);
    if (!begin(disk, fd))
        return files_sync(fd);
    disk->is_busy = true;
    struct io_event event = {0};
    uint64_t n_done;
    loop_wait_fd(disk->loop, disk->done_fd, LOOP_READABLE, -1, NULL);
    (void)!read(disk->done_fd, &n_done, sizeof(n_done));
    long n_events;
    do
        n_events = syscall(SYS_io_getevents, disk->context, 1, 1, &event, NULL);
    while (n_events < 0 && errno == EINTR);
    disk->is_busy = false;
    return n_events == 1 ? (int)event.res : files_sync(fd);
}
