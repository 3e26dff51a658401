/*
 * Makes files durable while the loop goes on: a thread waits for the disk. Where there can be none,
 * or time is virtual, the program stands still as it does in fsync(2).
 */
#pragma once

#include "net/loop.h"

struct disk;

struct disk *disk_new(struct loop *loop);
/* Nothing is being synced any more. Accepts NULL. */
void disk_free(struct disk *disk);

/* As files_sync(), of a file or a folder. One at a time. Returns 0 or a negative errno. */
CO_FN int disk_sync(struct disk *disk, int fd);
