/* One run as people read it: what became of each of its steps. */
#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "render/render.h"

/* What the last row of a step's journal says. */
static const char *state_of(const struct value *row)
{
    const char *kind = value_get_text(row, "kind");
    const char *outcome = value_get_text(row, "outcome");
    if (text_equal(kind, "result") && outcome)
        return outcome;
    return text_equal(kind, "skipped") ? "skipped" : "begun";
}

static const char *kind_of(const struct value *row)
{
    return value_get_text(row, "step_kind");
}

static bool is_done(const struct value *row)
{
    return text_equal(state_of(row), "done");
}

static void write_step(const struct value *row, struct strbuf *buffer)
{
    const char *why = value_get_text(row, "message");
    const char *because = value_get_text(row, "because");
    strbuf_addf(buffer, "  %-10s %s", state_of(row), value_get_text(row, "step"));
    if (value_get(row, "took_us"))
        strbuf_addf(buffer, "  %.1f s", (double)value_get_integer(row, "took_us", 0) / 1e6);
    strbuf_add(buffer, "\n");
    if (why || because)
        strbuf_addf(buffer, "             %s%s\n", why ? "" : "because: ", why ? why : because);
}

static const struct row_view step_view = {state_of, kind_of, is_done, write_step};

/* What a journal says of the steps of its run. */
struct told {
    struct map steps;          /* id -> its newest row, borrowed */
    struct value_builder made; /* rows that stand in no journal but in one of several steps */
    struct strbuf more;        /* lines about steps that no row names */
    int64_t n_more;            /* how many those are */
    int64_t n_planned;
};

static void told_done(struct told *told)
{
    map_done(&told->steps);
    value_builder_done(&told->made);
    strbuf_done(&told->more);
}

static void note_skip(struct told *told, const struct value *step, const char *because)
{
    struct value_builder fields = {0};
    const char *id = value_get_text(step, "step");
    value_builder_set_string(&fields, "kind", "skipped");
    value_builder_set_string(&fields, "step", id);
    value_builder_set_string(&fields, "step_kind", value_get_text(step, "step_kind"));
    value_builder_set_string(&fields, "because", because);
    struct value *skipped = value_builder_map(&fields);
    value_builder_append(&told->made, skipped);
    map_put(&told->steps, id, skipped);
}

/* One row is about all that wait for a step that failed, and names the first of them. */
static void note_skips(struct told *told, const struct value *row)
{
    const struct value *first = value_get(row, "first");
    const char *because = value_get_text(row, "because");
    size_t n_named = first ? value_count(first) : 0;
    int64_t n_more = value_get_integer(row, "count", 0) - (int64_t)n_named;
    for (size_t i = 0; i < n_named; i++)
        note_skip(told, value_at(first, i), because);
    if (n_more <= 0)
        return;
    told->n_more += n_more;
    strbuf_addf(&told->more, "  %-10s %lld more\n             because: %s\n", "skipped",
                (long long)n_more, because);
}

/* What waited before a resume may begin after it. */
static void forget_skips(struct told *told)
{
    struct map kept = {0};
    size_t cursor = 0;
    for (const struct map_entry *entry; (entry = map_next(&told->steps, &cursor));)
        if (!text_equal(state_of(entry->value), "skipped"))
            map_put(&kept, entry->key, entry->value);
    map_done(&told->steps);
    told->steps = kept;
    strbuf_clear(&told->more);
    told->n_more = 0;
}

static void note_row(struct told *told, const struct value *row)
{
    const char *step = value_get_text(row, "step");
    const char *kind = value_get_text(row, "kind");
    if (step) {
        map_put(&told->steps, step, (void *)row);
    } else if (text_equal_or_null(kind, "skipped")) {
        note_skips(told, row);
    } else {
        told->n_planned = value_get_integer(row, "steps", told->n_planned);
    }
    if (text_equal_or_null(kind, "resumed"))
        forget_skips(told);
}

static void write_steps(const struct value *journal, struct strbuf *buffer)
{
    CLEANUP(told_done) struct told told = {0};
    for (size_t i = 0; i < value_count(journal); i++)
        note_row(&told, value_at(journal, i));
    size_t n_rows = 0, cursor = 0;
    const struct value **rows = NEW_ARRAY(const struct value *, told.steps.n_live);
    for (const struct map_entry *entry; (entry = map_next(&told.steps, &cursor));)
        rows[n_rows++] = entry->value;
    strbuf_addf(buffer, "\nSteps (%lld):\n", (long long)told.n_planned);
    render_rows(&step_view, rows, n_rows, buffer);
    strbuf_add(buffer, strbuf_text(&told.more));
    int64_t n_not_begun = told.n_planned - (int64_t)n_rows - told.n_more;
    if (n_not_begun > 0)
        strbuf_addf(buffer, "  %lld not begun\n", (long long)n_not_begun);
    mem_free(rows);
}

void render_run(const struct value *run, struct strbuf *buffer)
{
    strbuf_addf(buffer, "Run %s: %s\n  %s\n  %s, ", value_get_text(run, "id"),
                value_get_text(run, "status"), value_get_text(run, "words"),
                value_get_text(run, "principal"));
    render_time(run, "started_at", buffer);
    strbuf_add(buffer, " to ");
    render_time(run, "ended_at", buffer);
    strbuf_addf(buffer, ", plan %.12s\n", value_get_text(run, "plan"));
    if (value_get_text(run, "message"))
        strbuf_addf(buffer, "  %s\n", value_get_text(run, "message"));
    write_steps(value_get(run, "journal"), buffer);
}
