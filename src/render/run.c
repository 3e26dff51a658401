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

/* One row is about all that wait for a step that failed, and names the first of them; made keeps
 * what is made of it. */
static void note_skips(const struct value *row, struct map *steps, struct value_builder *made)
{
    const struct value *first = value_get(row, "first");
    for (size_t i = 0; i < value_count(first); i++) {
        struct value_builder fields = {0};
        const char *step = value_get_text(value_at(first, i), "step");
        value_builder_set_string(&fields, "kind", "skipped");
        value_builder_set_string(&fields, "step", step);
        value_builder_set_string(&fields, "step_kind",
                                 value_get_text(value_at(first, i), "step_kind"));
        value_builder_set_string(&fields, "because", value_get_text(row, "because"));
        struct value *skipped = value_builder_map(&fields);
        value_builder_append(made, skipped);
        map_put(steps, step, skipped);
    }
}

static void write_steps(const struct value *journal, struct strbuf *buffer)
{
    struct map steps = {0};
    struct value_builder made = {0};
    int64_t n_planned = 0;
    for (size_t i = 0; i < value_count(journal); i++) {
        const struct value *row = value_at(journal, i);
        const char *step = value_get_text(row, "step");
        if (step)
            map_put(&steps, step, (void *)row);
        else if (text_equal_or_null(value_get_text(row, "kind"), "skipped"))
            note_skips(row, &steps, &made);
        else
            n_planned = value_get_integer(row, "steps", n_planned);
    }
    size_t n_rows = 0, cursor = 0;
    const struct value **rows = NEW_ARRAY(const struct value *, steps.n_live);
    for (const struct map_entry *entry; (entry = map_next(&steps, &cursor));)
        rows[n_rows++] = entry->value;
    strbuf_addf(buffer, "\nSteps (%lld):\n", (long long)n_planned);
    render_rows(&step_view, rows, n_rows, buffer);
    if ((int64_t)n_rows < n_planned)
        strbuf_addf(buffer, "  %lld not begun\n", (long long)n_planned - (long long)n_rows);
    mem_free(rows);
    map_done(&steps);
    value_builder_done(&made);
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
