/* The workers of one HAProxy: whether one that a reload has replaced is out of the way. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Whether a process exists and has a TCP socket that takes connections. */
bool balancer_worker_listens(pid_t worker);
