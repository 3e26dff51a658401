/*
 * The simulated disk: files in memory that know what of them would survive a loss of power. A
 * process that dies leaves everything it wrote; a machine that loses its power keeps what was
 * synced, and of the rest any part: writes are lost, reordered and torn at sectors.
 *
 * Names work as on a journalling file system: a power loss keeps a beginning of the unsynced
 * creations, renames and removals, and a sync of a folder keeps all of them.
 */
#pragma once

#include "sim/random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inode;

/* The disk's own calls, for the database's file layer. Codes are 0 or a negated errno. */

/* NULL when there is no such file. Borrowed: take a reference to keep it. */
struct inode *disk_find(const char *path);
/* Makes an empty file. */
struct inode *disk_create(const char *path);
struct inode *inode_ref(struct inode *inode);
void inode_unref(struct inode *inode);
int disk_remove(const char *path);

size_t inode_size(const struct inode *inode);
/* How many bytes were there to read. */
size_t inode_read(const struct inode *inode, void *ret_bytes, size_t size, size_t offset);
int inode_write(struct inode *inode, const void *bytes, size_t size, size_t offset);
int inode_truncate(struct inode *inode, size_t size);
int inode_sync(struct inode *inode);
int disk_sync_names(void);

/* What the database's file layer keeps with a file: its locks and shared memory. Not durable. */
void **inode_attachment(struct inode *inode);

/* An empty disk whose files_ops are in place; and its end. */
void disk_begin(void);
void disk_done(void);
/* A file as somebody has saved it, durable. */
void disk_save(const char *path, const char *text);
/* Keeps the files that there are, for disk_put_image(), until the program ends. */
void disk_take_image(void);
/* Puts them there, durable; nothing when none were kept. */
void disk_put_image(void);
/* Takes away what was not synced, or what random leaves of it. All descriptors are gone. */
void disk_lose_power(struct random *random);
/* A child's copy of a descriptor: a lock is the child's from now on. It closes it. */
int disk_hand_over(int fd, const void *process);
/* Closes what a dead process had open: its locks are free. */
void disk_close_all(const void *process);
/* While it is full, what needs room fails with ENOSPC; while it is broken, writes and syncs with
 * EIO. */
void disk_set_full(bool is_full);
void disk_set_broken(bool is_broken);
/* Somebody removes a file, or all whose paths begin so, behind everyone's back. */
void disk_lose_file(const char *path);
void disk_lose_files(const char *prefix);
/* A file that has this text somewhere, or NULL. Borrowed. */
const char *disk_find_text(const char *text);
