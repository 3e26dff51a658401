/*
 * Makes autoscaling groups as large as their load wants, within their min and max, so that the
 * processors of their hosts are about targetCPU percent busy. A host has one processor, or as much
 * as the services on it may use together when all of them are limited.
 *
 * A group grows, at most to twice its size at once, as soon as its load over the last seconds asks
 * for it, and shrinks when all of its load during the last cooldown would have fitted into less:
 * a cooldown after the load has gone.
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

enum {
    AUTOSCALER_SAMPLES = 20,     /* of one window of 15 looks, a second apart */
    AUTOSCALER_MOST_HOSTS = 100, /* as the catalog has it; a larger group does not shrink */
};

/* What is known of a group. Zero-initialise it. */
struct autoscaler_state {
    unsigned int n_hosts;
    int64_t begun_at;       /* since then it is known what was needed; 0: nothing is */
    unsigned int shrunk_to; /* what was decided last */
    /* What its hosts had used, and when: the first began the window that ends with the last. */
    struct autoscaler_sample {
        int64_t at, used_us;
    } samples[AUTOSCALER_SAMPLES];
    size_t n_samples;
    /* For each number of hosts, the begin of the newest window that needed so many. */
    int64_t needed_at[AUTOSCALER_MOST_HOSTS + 1];
};

/*
 * Tells how many hosts a group is to have, from a look at it: how many it has, and what its hosts
 * have used since ever, in microseconds of processors of which it has n_processors. Pure.
 */
unsigned int autoscaler_decide(struct autoscaler_state *state,
                               const struct autoscaler_limits *limits, int64_t now,
                               unsigned int n_hosts, double n_processors, int64_t used_us,
                               double *ret_load);
