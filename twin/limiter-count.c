#include "twin/limiter-count.h"

#include "base/memory.h"

struct window {
    int64_t begin;
    int64_t length;
    int64_t n_requests;
};

static bool has_ended(const struct window *window, int64_t now)
{
    return now - window->begin >= window->length;
}

void limiter_counts_done(struct limiter_counts *counts)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&counts->windows, &cursor)))
        mem_free(entry->value);
    map_done(&counts->windows);
}

/* Makes room at once for a quarter of all, so that it is seldom done. */
static void forget_some(struct limiter_counts *counts, int64_t now)
{
    struct map kept = {0};
    size_t cursor = 0, n_open = 0, n_seen = 0;
    struct map_entry *entry;
    while ((entry = map_next(&counts->windows, &cursor)))
        n_open += !has_ended(entry->value, now);
    size_t room = LIMITER_WINDOWS - LIMITER_WINDOWS / 4;
    size_t n_dropped = n_open > room ? n_open - room : 0;
    for (cursor = 0; (entry = map_next(&counts->windows, &cursor));) {
        bool is_open = !has_ended(entry->value, now);
        n_seen += is_open;
        if (is_open && n_seen > n_dropped)
            map_put(&kept, entry->key, entry->value);
        else
            mem_free(entry->value);
    }
    map_done(&counts->windows);
    counts->windows = kept;
}

static struct window *begin_window(struct limiter_counts *counts, const char *whom, int64_t now)
{
    if (counts->windows.n_live >= LIMITER_WINDOWS)
        forget_some(counts, now);
    struct window *window = NEW(struct window);
    window->begin = now;
    map_put(&counts->windows, whom, window);
    return window;
}

int64_t limiter_counts_add(struct limiter_counts *counts, const char *whom, int64_t limit,
                           int64_t window_us, int64_t now)
{
    struct window *window = map_get(&counts->windows, whom);
    /* A limit that was changed counts what came so far. */
    if (window)
        window->length = window_us;
    if (window && has_ended(window, now)) {
        mem_free(map_remove(&counts->windows, whom));
        window = NULL;
    }
    if (!window)
        window = begin_window(counts, whom, now);
    window->length = window_us;
    if (window->n_requests >= limit)
        return window->begin + window_us - now;
    window->n_requests++;
    return 0;
}
