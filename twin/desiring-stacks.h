/* The parts of a stack that have files of their own. For desired-*.c only. */
#pragma once

#include "twin/desiring.h"

/* The health check of a service, if it has one. */
int desire_check(struct desiring *desiring, const struct value *service, const char *name,
                 struct machine_check *check);
/* The volumes and the memory that a service finds among its files. */
int desire_mounts(struct desiring *desiring, const struct value *service, const char *name,
                  struct machine_workload *workload);
/*
 * What the services of the current stack need of each other, which are the machine's workloads from
 * this one on; puts them in an order in which each can be started.
 */
int desire_needs(struct desiring *desiring, size_t first);
