/* The workers of one HAProxy: whether one that a reload has replaced is out of the way. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Whether a process exists, by its id in the /proc at that path, and has a TCP socket that takes
 * connections. */
bool balancer_worker_listens(const char *proc, pid_t worker);
