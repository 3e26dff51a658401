/* Runs and their journals, read from their rows. */
#include "base/text.h"
#include "store/rows.h"
#include "store/store-private.h"

#include <assert.h>
#include <inttypes.h>

/* --- Runs --- */

struct runs {
    const struct store *store;
    struct store_run *items;
    size_t n_items;
    size_t capacity;
};

static int add_run(void *argument, const struct store_row *row, struct error *err)
{
    struct runs *found = argument;
    struct store_run run = {0};
    int r = store_read_run(row, found->store->place, &run, err);
    if (r < 0) {
        store_run_done(&run);
        return r;
    }
    ARRAY_RESERVE(found->items, found->n_items, found->capacity);
    found->items[found->n_items++] = run;
    return 0;
}

static void runs_done(struct runs *found)
{
    for (size_t i = 0; i < found->n_items; i++)
        store_run_done(&found->items[i]);
    mem_free(found->items);
}

int store_get_run(struct store *store, const char *id, struct store_run *ret_run, struct error *err)
{
    assert(id && ret_run);
    CLEANUP(runs_done) struct runs found = {.store = store};
    int r = store_query(store, QUERY_GET_RUN, PARAMETERS(cell_text(id)), add_run, &found, err);
    if (r < 0)
        return r;
    assert(found.n_items <= 1);
    if (found.n_items == 0)
        return error_set(err, ERROR_NOT_FOUND, "the store has no run %s", id);
    *ret_run = found.items[0];
    found.n_items = 0;
    return 0;
}

int store_list_runs(struct store *store, const char *deployment_uid, size_t limit,
                    struct store_run **ret_runs, size_t *ret_n, struct error *err)
{
    assert(ret_runs && ret_n);
    CLEANUP(runs_done) struct runs found = {.store = store};
    int r = deployment_uid ? store_query(store, QUERY_LIST_RUNS,
                                         PARAMETERS(cell_text(deployment_uid), cell_limit(limit)),
                                         add_run, &found, err)
                           : store_query(store, QUERY_LIST_ALL_RUNS, PARAMETERS(cell_limit(limit)),
                                         add_run, &found, err);
    if (r < 0)
        return r;
    assert(found.n_items <= limit);
    *ret_runs = take_ptr(found.items);
    *ret_n = found.n_items;
    found.n_items = 0;
    return 0;
}

/* --- Journals --- */

/* The fields of a row's body and what the store knows of it, which wins over equal names. */
static int add_journal_row(void *argument, const struct store_row *row, struct error *err)
{
    struct reading *reading = argument;
    CLEANUP(value_unrefp) struct value *body = NULL;
    int r = store_read_body(reading, row, JOURNAL_COLUMN_BODY, &body, err);
    if (r < 0)
        return r;
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(body); i++)
        value_builder_set(&fields, value_key_at(body, i), value_ref(value_at(body, i)));
    value_builder_set(&fields, "seq", value_integer(store_row_number(row, JOURNAL_COLUMN_SEQ)));
    value_builder_set(&fields, "time", value_integer(store_row_number(row, JOURNAL_COLUMN_TIME)));
    value_builder_set(&fields, "kind", value_string(store_row_text(row, JOURNAL_COLUMN_KIND)));
    value_builder_set(&fields, "run", value_string(store_row_text(row, JOURNAL_COLUMN_RUN)));
    if (!row->cells[JOURNAL_COLUMN_STEP].is_text)
        value_builder_set(&fields, "place",
                          value_integer(store_row_number(row, JOURNAL_COLUMN_STEP)));
    value_builder_append(&reading->rows, value_builder_map(&fields));
    return 0;
}

CO_FN static int check_run(struct store *store, const char *run_id, struct error *err)
{
    struct store_run run = {0};
    int r = store_get_run(store, run_id, &run, err);
    store_run_done(&run);
    return r;
}

int store_replay_journal(struct store *store, const char *run_id, int64_t after_seq, size_t limit,
                         struct value **ret_rows, struct error *err)
{
    assert(run_id && after_seq >= 0 && ret_rows);
    CLEANUP(value_unrefp) struct value *rows = NULL;
    int r = store_query_values(
        store, QUERY_READ_JOURNAL,
        PARAMETERS(cell_text(run_id), cell_integer(after_seq), cell_limit(limit)), add_journal_row,
        "a journal row", &rows, err);
    if (r == 0 && value_count(rows) == 0)
        r = check_run(store, run_id, err);
    if (r < 0)
        return r;
    assert(value_count(rows) <= limit);
    *ret_rows = take_ptr(rows);
    return 0;
}

CO_FN static int read_run_plan(struct store *store, const char *run_id, struct value **ret_plan,
                               struct error *err)
{
    struct store_run run = {0};
    int r = store_get_run(store, run_id, &run, err);
    if (r == 0)
        r = store_get_plan(store, run.plan_hash, ret_plan, err);
    store_run_done(&run);
    return r;
}

/* Of a step only what rows about it say: id, kind, address, type and stage. */
static int add_step_head(void *argument, const struct store_row *row, struct error *err)
{
    struct reading *reading = argument;
    const char *texts[STEP_TEXT_COUNT] = {[STEP_TEXT_BODY] = "{}"};
    struct value *step = NULL;
    if (!store_row_text(row, STEP_TEXT_LABEL))
        return store_add_step(argument, row, err);
    texts[STEP_TEXT_LABEL] = store_row_text(row, STEP_TEXT_LABEL);
    texts[STEP_TEXT_TYPE] = store_row_text(row, STEP_TEXT_TYPE);
    texts[STEP_TEXT_STAGE] = store_row_text(row, STEP_TEXT_STAGE);
    if (step_from_texts(texts, &step, NULL) < 0)
        return store_add_step(argument, row, err);
    value_builder_append(&reading->rows, step);
    return 0;
}

/* Steps of a run's plan that follow each other. */
struct step_heads {
    int64_t first;
    struct value *steps; /* owned; NULL is none */
};

static void step_heads_done(struct step_heads *heads)
{
    value_unref(heads->steps);
}

static struct value *head_at(const struct step_heads *heads, int64_t place)
{
    bool is_in = heads->steps && place >= heads->first &&
                 place - heads->first < (int64_t)value_count(heads->steps);
    return is_in ? value_at(heads->steps, (size_t)(place - heads->first)) : NULL;
}

/* Where they are not all there, what there is has no places that could be counted: then none. */
CO_FN static int read_heads(struct store *store, const char *run_id, int64_t first, int64_t n,
                            struct step_heads *heads, struct error *err)
{
    CLEANUP(value_unrefp) struct value *found = NULL;
    int r = store_query_values(store, QUERY_LIST_STEPS,
                               PARAMETERS(cell_text(run_id), cell_integer(first), cell_integer(n)),
                               add_step_head, "a step", &found, err);
    if (r < 0 || (int64_t)value_count(found) != n)
        return r;
    value_unref(heads->steps);
    *heads = (struct step_heads){first, take_ptr(found)};
    return 0;
}

/* Rows that follow each other are mostly of steps that do, too: these are read at once, unless
 * more than half of them would be for nothing. */
CO_FN static int read_heads_of(struct store *store, const char *run_id, const struct value *rows,
                               struct step_heads *heads, struct error *err)
{
    int64_t first = INT64_MAX;
    int64_t last = -1;
    for (size_t i = 0; i < value_count(rows); i++) {
        int64_t place = value_get_integer(value_at(rows, i), "place", -1);
        first = place >= 0 && place < first ? place : first;
        last = place > last ? place : last;
    }
    bool is_dense = last > first && last - first < (int64_t)value_count(rows);
    return is_dense ? read_heads(store, run_id, first, last - first + 1, heads, err) : 0;
}

/* A step of a run's plan. In plans of older programs they stand inside: that is read once for all
 * that are looked for. */
CO_FN static int find_head(struct store *store, const char *run_id, int64_t place,
                           struct step_heads *heads, struct value **ret_step, struct error *err)
{
    int r = head_at(heads, place) ? 0 : read_heads(store, run_id, place, 1, heads, err);
    if (r == 0 && !head_at(heads, place)) {
        CLEANUP(value_unrefp) struct value *plan = NULL;
        r = read_run_plan(store, run_id, &plan, err);
        value_unref(heads->steps);
        *heads = (struct step_heads){0};
        if (r == 0 && value_get(plan, "steps"))
            heads->steps = value_ref(value_get(plan, "steps"));
    }
    if (r < 0)
        return r;
    struct value *step = head_at(heads, place);
    if (!step)
        return error_set(err, ERROR_CORRUPT, "%s: the plan of run %s has no step %" PRId64,
                         store->place, run_id, place);
    *ret_step = value_ref(step);
    return 0;
}

/* The row with what the plan says of its step, instead of the step's place. */
static struct value *describe_row(const struct value *row, const struct value *step)
{
    static const char *const names[][2] = {
        {"id", "step"},   {"kind", "step_kind"}, {"address", "address"},
        {"type", "type"}, {"stage", "stage"},
    };
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(row); i++)
        if (!text_equal(value_key_at(row, i), "place"))
            value_builder_set(&fields, value_key_at(row, i), value_ref(value_at(row, i)));
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        value_builder_set_string(&fields, names[i][1], value_get_text(step, names[i][0]));
    return value_builder_map(&fields);
}

/* Puts what the plan says of their steps into rows of one run. */
CO_FN static int describe_rows(struct store *store, const char *run_id, const struct value *rows,
                               struct value **ret_rows, struct error *err)
{
    CLEANUP(step_heads_done) struct step_heads heads = {0};
    struct value_builder described = {0};
    int r = read_heads_of(store, run_id, rows, &heads, err);
    for (size_t i = 0; r == 0 && i < value_count(rows); i++) {
        struct value *row = value_at(rows, i);
        CLEANUP(value_unrefp) struct value *step = NULL;
        int64_t place = value_get_integer(row, "place", -1);
        if (place >= 0)
            r = find_head(store, run_id, place, &heads, &step, err);
        if (r == 0)
            value_builder_append(&described, step ? describe_row(row, step) : value_ref(row));
    }
    if (r < 0)
        value_builder_done(&described);
    else
        *ret_rows = value_builder_list(&described);
    return r;
}

int store_read_journal(struct store *store, const char *run_id, int64_t after_seq, size_t limit,
                       struct value **ret_rows, struct error *err)
{
    CLEANUP(value_unrefp) struct value *rows = NULL;
    int r = store_replay_journal(store, run_id, after_seq, limit, &rows, err);
    return r < 0 ? r : describe_rows(store, run_id, rows, ret_rows, err);
}

bool store_is_plain_row(const char *kind, const struct value *fields, bool *ret_has_ended)
{
    const char *outcome = value_get_text(fields, "outcome");
    *ret_has_ended = text_equal(kind, "result") && text_equal_or_null(outcome, "done") &&
                     !value_get(fields, "activates");
    return *ret_has_ended || text_equal(kind, "intent") || text_equal(kind, "handle");
}

struct tallying {
    struct reading reading;
    struct journal_tally tally;
};

static int tally_row(void *argument, const struct store_row *row, struct error *err)
{
    struct tallying *tallying = argument;
    CLEANUP(value_unrefp) struct value *body = NULL;
    const char *kind = store_row_text(row, JOURNAL_COLUMN_KIND);
    bool has_ended;
    tallying->tally.n_rows++;
    tallying->tally.last_seq = store_row_number(row, JOURNAL_COLUMN_SEQ);
    if (store_is_plain_row(kind, NULL, &has_ended))
        return 0; /* half of all rows need no parser */
    int r = store_read_body(&tallying->reading, row, JOURNAL_COLUMN_BODY, &body, err);
    if (r < 0)
        return r;
    if (!store_is_plain_row(kind, body, &has_ended))
        return add_journal_row(&tallying->reading, row, err);
    tallying->tally.n_ended += has_ended;
    return 0;
}

int store_tally_journal(struct store *store, const char *run_id, int64_t after_seq, size_t limit,
                        struct journal_tally *ret_tally, struct error *err)
{
    assert(run_id && after_seq >= 0 && ret_tally);
    struct tallying tallying = {.reading = {.store = store, .what = "a journal row"}};
    int r = store_query(store, QUERY_READ_JOURNAL,
                        PARAMETERS(cell_text(run_id), cell_integer(after_seq), cell_limit(limit)),
                        tally_row, &tallying, err);
    CLEANUP(value_unrefp) struct value *rows = value_builder_list(&tallying.reading.rows);
    if (r == 0 && tallying.tally.n_rows == 0)
        r = check_run(store, run_id, err);
    if (r == 0)
        r = describe_rows(store, run_id, rows, &tallying.tally.rows, err);
    if (r == 0)
        *ret_tally = tallying.tally;
    return r;
}
