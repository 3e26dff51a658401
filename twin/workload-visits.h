/*
 * What the built-in workload keeps in its database: one table, a row for each workload that was
 * visited, a count in it. Visits that arrive while a write is under way share the next one, so that
 * one connection carries thousands a second and each visit is committed before it is answered.
 */
#pragma once

#include "base/error.h"
#include "base/memory.h"
#include "net/loop.h"

#include <stdint.h>

struct visits;

/*
 * conninfo_file holds a libpq conninfo; it is read at each connection, so that it may come later or
 * change. All arguments are borrowed and outlive the visits.
 */
struct visits *visits_new(struct loop *loop, const char *conninfo_file, const char *name);
/* Nobody may be waiting on it. Accepts NULL. */
CO_FN void visits_free(struct visits *visits);

struct visits_count {
    int64_t visits; /* of all workloads of this database, this one included */
    int64_t rows;   /* how many workloads were ever visited */
};

/*
 * Counts one visit and reads the sums back. ERROR_UNAVAILABLE when the database does not answer,
 * ERROR_TIMEOUT past the deadline: the visit may have been counted then.
 */
CO_FN int visits_add(struct visits *visits, int64_t deadline, struct visits_count *ret_count,
                     struct error *err);

/*
 * Whether a visit can be served: the database answers, or is busy with what is not stuck yet. A
 * commit waits for two disks, and counts as stuck after ten seconds.
 */
CO_FN int visits_check(struct visits *visits, int64_t deadline, struct error *err);
