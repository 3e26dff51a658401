/* How far a run of many steps is: one line that a terminal overwrites, or a line now and then.
 * Pure: the time is handed in. Private to cli/. */
#pragma once

#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bar_mark {
    int64_t at; /* world_monotonic_clock() */
    size_t n_ended;
};

/* Zero-initialise it but for n_steps. */
struct bar {
    size_t n_steps;
    size_t n_ended; /* with those that failed or were skipped */
    size_t n_failed;
    size_t n_skipped;
    struct bar_mark older, newer; /* the rate is that since the older one */
    bool is_begun;
    struct bar_mark shown; /* when it was written last */
};

/* What was not done is tried again; what was done before says nothing of the rate from now on. */
void bar_resume(struct bar *bar);
/*
 * Whether it is to be written at this time: on a terminal ten times a second, elsewhere once a
 * second at most and not before another hundredth of the steps has ended, so that there are never
 * more than about a hundred lines. Then it counts as written.
 */
bool bar_is_due(struct bar *bar, int64_t now, bool is_terminal);
/* "52341/100000 steps (52 %), 8123/s, 6 s left, 2 failed", on a terminal behind a bar. */
void bar_write(const struct bar *bar, int64_t now, bool is_terminal, struct strbuf *buffer);
