#include "cli/bar.h"

#define SECOND INT64_C(1000000)
#define WINDOW_US (5 * SECOND) /* the rate is that of the last five to ten seconds */

enum { WIDTH = 30 };

static void set_marks(struct bar *bar, int64_t now)
{
    const struct bar_mark mark = {now, bar->n_ended};
    if (!bar->is_begun) {
        bar->is_begun = true;
        bar->older = bar->newer = mark;
        bar->shown = (struct bar_mark){.at = now}; /* nothing, however much was done before */
    }
    if (now - bar->newer.at >= WINDOW_US) {
        bar->older = bar->newer;
        bar->newer = mark;
    }
}

void bar_resume(struct bar *bar)
{
    bar->n_ended -= bar->n_failed + bar->n_skipped;
    bar->n_failed = bar->n_skipped = 0;
    bar->is_begun = false;
}

bool bar_is_due(struct bar *bar, int64_t now, bool is_terminal)
{
    set_marks(bar, now);
    int64_t pause = is_terminal ? SECOND / 10 : SECOND;
    size_t n_new = bar->n_ended - bar->shown.n_ended;
    bool is_more = is_terminal || n_new * 100 >= bar->n_steps;
    bool is_last = bar->n_ended == bar->n_steps && n_new > 0;
    if (!is_last && (!is_more || now - bar->shown.at < pause))
        return false;
    bar->shown = (struct bar_mark){now, bar->n_ended};
    return true;
}

static void write_time(double seconds, struct strbuf *buffer)
{
    if (seconds < 120)
        strbuf_addf(buffer, "%.0f s", seconds);
    else if (seconds < 7200)
        strbuf_addf(buffer, "%.0f min", seconds / 60);
    else
        strbuf_addf(buffer, "%.1f h", seconds / 3600);
}

static void write_rate(const struct bar *bar, int64_t now, struct strbuf *buffer)
{
    double seconds = (double)(now - bar->older.at) / (double)SECOND;
    double rate =
        bar->is_begun && seconds > 0 ? (double)(bar->n_ended - bar->older.n_ended) / seconds : 0;
    if (rate <= 0)
        return;
    strbuf_addf(buffer, rate < 10 ? ", %.1f/s" : ", %.0f/s", rate);
    if (bar->n_ended == bar->n_steps)
        return;
    strbuf_add(buffer, ", ");
    write_time((double)(bar->n_steps - bar->n_ended) / rate, buffer);
    strbuf_add(buffer, " left");
}

void bar_write(const struct bar *bar, int64_t now, bool is_terminal, struct strbuf *buffer)
{
    size_t n_steps = bar->n_steps > 0 ? bar->n_steps : 1;
    size_t n_full = bar->n_ended * WIDTH / n_steps;
    if (is_terminal) {
        strbuf_add(buffer, "[");
        strbuf_add_repeated(buffer, '#', n_full);
        strbuf_add_repeated(buffer, '.', WIDTH - n_full);
        strbuf_add(buffer, "] ");
    }
    strbuf_addf(buffer, "%zu/%zu steps (%zu %%)", bar->n_ended, bar->n_steps,
                bar->n_ended * 100 / n_steps);
    write_rate(bar, now, buffer);
    if (bar->n_failed > 0)
        strbuf_addf(buffer, ", %zu failed", bar->n_failed);
    if (bar->n_skipped > 0)
        strbuf_addf(buffer, ", %zu skipped", bar->n_skipped);
}
