/*
 * SQLite's file layer over the simulated disk, with its locks and shared memory. It is SQLite's
 * default from vfs_register() on, so that the store's own layer lies over it as it lies over the
 * real one.
 */
#pragma once

/* Once, before the store is first opened. */
void vfs_register(void);

/* Frees what a dead process held, and keeps its unwinding away from the shared memory of others. */
void vfs_forget(const void *process);
/* Once it has unwound. */
void vfs_forgotten(void);
