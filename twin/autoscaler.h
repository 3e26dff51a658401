/*
 * Makes autoscaling groups as large as their load wants, within their min and max, so that the
 * processors of their hosts are about targetCPU percent busy. A host has one processor, or as much
 * as the services on it may use together when all of them are limited.
 *
 * A group grows, at most to twice its size at once, as soon as its load over the last seconds asks
 * for it, and shrinks when all of its load during a whole cooldown would have fitted into less.
 * Each change is an event; the document's min and max are never left, and a group of none stays so.
 */
#pragma once

#include "twin/module.h"

struct autoscaler;

struct autoscaler *autoscaler_new(struct twin *twin);
/* Waits until it has ended. Accepts NULL. */
CO_FN void autoscaler_free(struct autoscaler *autoscaler);

/* --- For tests --- */

/* What a group is to be like. */
struct autoscaler_limits {
    unsigned int least, most;
    double target; /* a share: 0.7 */
    int64_t cooldown_us;
};

/* What is known of a group. Zero-initialise it. */
struct autoscaler_state {
    unsigned int n_hosts;
    int64_t begun_at; /* of what is measured now */
    int64_t used_at_begin;
    int64_t fits_since; /* since when its load would fit into less; 0: it does not */
    unsigned int fits_into;
};

/*
 * Tells how many hosts a group is to have, from a look at it: how many it has, and what its hosts
 * have used since ever, in microseconds of processors of which it has n_processors. Pure.
 */
unsigned int autoscaler_decide(struct autoscaler_state *state,
                               const struct autoscaler_limits *limits, int64_t now,
                               unsigned int n_hosts, double n_processors, int64_t used_us,
                               double *ret_load);
