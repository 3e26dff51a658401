/* The progress of many steps, in a time of the test's own: lines are counted. */
#include "base/memory.h"
#include "cli/bar.h"
#include "harness.h"

#define SECOND INT64_C(1000000)

enum { N = 100000 };

/* Lets all steps end evenly within so many seconds; the number of times that it was written. */
static size_t run(struct bar *bar, int64_t seconds, bool is_terminal)
{
    size_t n_written = 0;
    *bar = (struct bar){.n_steps = N};
    for (size_t i = 0; i <= N; i++) {
        bar->n_ended = i;
        n_written += bar_is_due(bar, SECOND + seconds * SECOND * (int64_t)i / N, is_terminal);
    }
    return n_written;
}

static bool says(const struct bar *bar, int64_t now, bool is_terminal, const char *want)
{
    struct strbuf buffer = {0};
    bar_write(bar, now, is_terminal, &buffer);
    bool is_so = strcmp(strbuf_text(&buffer), want) == 0;
    if (!is_so)
        printf("# %s\n", strbuf_text(&buffer));
    strbuf_done(&buffer);
    return is_so;
}

TEST(a_pipe_gets_a_hundred_lines_at_most_however_long_it_takes)
{
    struct bar bar;
    CHECK(run(&bar, 10000, false) == 100);
    CHECK(run(&bar, 100, false) <= 100 && run(&bar, 100, false) >= 50);
}

TEST(a_pipe_gets_no_more_than_a_line_a_second)
{
    struct bar bar;
    size_t n = run(&bar, 20, false);
    CHECK(n >= 10 && n <= 21);
    CHECK(run(&bar, 0, false) == 1); /* the end is told in any case */
}

TEST(a_terminal_sees_it_move_ten_times_a_second)
{
    struct bar bar;
    size_t n = run(&bar, 20, true);
    CHECK(n >= 100 && n <= 201);
}

TEST(counts_rate_and_time_left_are_those_of_the_last_seconds)
{
    struct bar bar = {.n_steps = 1000};
    (void)bar_is_due(&bar, 0, false);
    bar.n_ended = 500;
    (void)bar_is_due(&bar, 5 * SECOND, false); /* 100 a second, at first */
    bar.n_ended = 600;
    (void)bar_is_due(&bar, 10 * SECOND, false); /* then 20 a second */
    bar.n_ended = 640;
    CHECK(says(&bar, 12 * SECOND, false, "640/1000 steps (64 %), 20/s, 18 s left"));
    bar.n_failed = 2;
    bar.n_skipped = 30;
    CHECK(says(&bar, 12 * SECOND, true,
               "[###################...........] 640/1000 steps (64 %), 20/s, 18 s left, 2 failed, "
               "30 skipped"));
}

/* What failed or was skipped is tried again; what was done before has no part in the rate. */
TEST(after_a_resume_only_what_was_done_counts_and_the_rate_is_new)
{
    struct bar bar = {.n_steps = 1000, .n_ended = 700, .n_failed = 50, .n_skipped = 150};
    (void)bar_is_due(&bar, 0, false);
    bar_resume(&bar);
    CHECK(says(&bar, SECOND, false, "500/1000 steps (50 %)"));
    (void)bar_is_due(&bar, 2 * SECOND, false);
    bar.n_ended = 600;
    CHECK(says(&bar, 4 * SECOND, false, "600/1000 steps (60 %), 50/s, 8 s left"));
}

TEST(what_was_done_before_anybody_looked_was_not_shown)
{
    struct bar bar = {.n_steps = 1000, .n_ended = 1000};
    CHECK(bar_is_due(&bar, 0, false));
    bar.n_ended = 1002; /* two of them failed once, and are done */
    bar.n_failed = 2;
    bar_resume(&bar);
    CHECK(bar_is_due(&bar, 1, false) && bar.n_ended == 1000);
}

TEST(without_a_rate_nothing_is_made_up)
{
    struct bar bar = {.n_steps = 1000};
    bar.n_ended = 400; /* counted before anybody looked at the time */
    CHECK(says(&bar, 100 * SECOND, false, "400/1000 steps (40 %)"));
    bar.n_ended = 0;
    (void)bar_is_due(&bar, 0, false);
    CHECK(says(&bar, 3 * SECOND, false, "0/1000 steps (0 %)"));
    bar.n_ended = 1000;
    CHECK(says(&bar, 4 * SECOND, false, "1000/1000 steps (100 %), 250/s"));
    bar.n_ended = 1;
    CHECK(says(&bar, 100 * SECOND, false, "1/1000 steps (0 %), 0.0/s, 27.8 h left"));
}
