/*
 * How often each of many may do something: a bucket for each name, which is filled evenly up to a
 * burst and taken from. It knows no clock: who asks says when.
 */
#pragma once

#include <stdint.h>

struct rate;
/* So many a minute, and at most burst at once; 0 a minute: no limit. */
struct rate *rate_new(int64_t per_minute, int64_t burst);
void rate_free(struct rate *rate); /* accepts NULL */
/* Takes cost at the time now (microseconds, of a clock that only grows): 0; or how long to wait
 * until that much is there, and nothing is taken. A cost above the burst takes what a full one has.
 */
int64_t rate_take(struct rate *rate, const char *name, int64_t cost, int64_t now);
