/* Processes that are no children of ours. */
#pragma once

#include "net/loop.h"

#include <sys/types.h>

/*
 * Finds a process, other than this one, that has a file open: *ret_pid is its id, and
 * *ret_descriptor stands for just that process, also once it has ended and its id is another's.
 * ERROR_NOT_FOUND when there is none among those that we may look into.
 */
int process_find_user(const char *path, pid_t *ret_pid, int *ret_descriptor, struct error *err);

/* Kills it and waits until it is gone; one that has ended already is no error. */
CO_FN int process_end(struct loop *loop, int descriptor, int64_t deadline, struct error *err);
