/*
 * How much of its limit each address has used up. Pure: it is told the time.
 *
 * A window begins with the first request of an address and lasts as long as the limit says: so many
 * requests may come in it, and the next one has to wait for its end.
 */
#pragma once

#include "base/map.h"

#include <stddef.h>
#include <stdint.h>

/* Beyond so many windows those that have ended are forgotten, and then the oldest ones. */
enum { LIMITER_WINDOWS = 100 * 1000 };

/* Zero-initialise it. */
struct limiter_counts {
    struct map windows; /* by whom, in the order in which they began */
};

void limiter_counts_done(struct limiter_counts *counts);

/*
 * Counts a request of whom, which names the limit and the address. Returns 0 when it is within the
 * limit, else the microseconds until the window ends. now is a monotonic clock, in microseconds.
 */
int64_t limiter_counts_add(struct limiter_counts *counts, const char *whom, int64_t limit,
                           int64_t window_us, int64_t now);
