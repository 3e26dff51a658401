#include "store/audit.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "store/driver.h"
#include "store/rows.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FAULTS_MAX = 100, PAGE = 1000, EXPECTED_MIN = 12, TRIES = 5 };

void store_chain(const char *before, const struct store_row *parts,
                 char ret_digest[DIGEST_HEX_SIZE])
{
    CLEANUP(strbuf_done) struct strbuf content = {0};
    strbuf_add(&content, before);
    strbuf_add_char(&content, '\n');
    for (size_t i = 0; i < parts->n_cells; i++) {
        const struct store_cell *part = &parts->cells[i];
        if (part->is_text && !part->text)
            continue;
        if (part->is_text)
            strbuf_add(&content, part->text);
        else
            strbuf_add_integer(&content, part->number);
        strbuf_add_char(&content, '\n');
    }
    digest_hex(content.text, content.length, ret_digest);
}

/* Parameters of a query; the texts are borrowed. */
#define NUMBER_CELL(n) \
    {                  \
        .number = (n)  \
    }
#define TEXT_CELL(t)                         \
    {                                        \
        .is_text = true, .text = (char *)(t) \
    }

/* --- Reading --- */

struct reading {
    const struct store *store;
    struct value_builder entries;
};

static int add_entry(void *argument, const struct store_row *row, struct error *err)
{
    struct reading *reading = argument;
    CLEANUP(value_unrefp) struct value *body = NULL;
    int r = store_read_json(row, AUDIT_COLUMN_BODY, "an entry of the audit", reading->store->place,
                            &body, err);
    if (r < 0)
        return r;
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(body); i++)
        value_builder_set(&fields, value_key_at(body, i), value_ref(value_at(body, i)));
    value_builder_set(&fields, "number", value_integer(store_row_number(row, AUDIT_COLUMN_NUMBER)));
    value_builder_set(&fields, "time", value_integer(store_row_number(row, AUDIT_COLUMN_TIME)));
    value_builder_set_string(&fields, "kind", store_row_text(row, AUDIT_COLUMN_KIND));
    value_builder_set_string(&fields, "digest", store_row_text(row, AUDIT_COLUMN_DIGEST));
    if (store_row_text(row, AUDIT_COLUMN_HEAD)) {
        value_builder_set(&fields, "rows", value_integer(store_row_number(row, AUDIT_COLUMN_ROWS)));
        value_builder_set_string(&fields, "head", store_row_text(row, AUDIT_COLUMN_HEAD));
    }
    value_builder_append(&reading->entries, value_builder_map(&fields));
    return 0;
}

CO_FN static int query_audit(struct store *store, int64_t after_number, size_t limit,
                             store_visit *visit, void *argument, struct error *err)
{
    struct store_cell cells[] = {NUMBER_CELL(after_number), NUMBER_CELL((int64_t)limit)};
    return store_query(store, QUERY_READ_AUDIT, &(struct store_row){cells, ARRAY_LENGTH(cells)},
                       visit, argument, err);
}

int store_read_audit(struct store *store, int64_t after_number, size_t limit,
                     struct value **ret_entries, struct error *err)
{
    assert(after_number >= 0 && limit <= INT64_MAX && ret_entries);
    struct reading reading = {.store = store};
    int r = query_audit(store, after_number, limit, add_entry, &reading, err);
    if (r < 0)
        value_builder_done(&reading.entries);
    else
        *ret_entries = value_builder_list(&reading.entries);
    return r;
}

static int take_number(void *argument, const struct store_row *row, struct error *err)
{
    (void)err;
    *(int64_t *)argument = store_row_number(row, 0);
    return 0;
}

int store_last_audit(struct store *store, int64_t *ret_number, struct error *err)
{
    *ret_number = 0;
    return store_query(store, QUERY_LAST_AUDIT, &(struct store_row){0}, take_number, ret_number,
                       err);
}

/* --- Verifying --- */

/* What an entry says of a run's chain. */
struct seal {
    int64_t n_rows;
    char *head;   /* owned */
    char *status; /* owned */
};

/* The seals of one run, in the order of the entries. */
struct seals {
    struct seal *items; /* owned */
    size_t n_items;
    size_t capacity;
};

struct verifying {
    struct store *store;
    const char *expected; /* NULL once it was found */
    int64_t n_entries;
    char head[DIGEST_HEX_SIZE];
    struct map seals; /* run id -> owned struct seals */
    size_t n_runs;
    int64_t n_rows;
    int64_t n_unchained;
    struct value_builder faults;
};

/* A run's journal as it is read. */
struct following {
    struct verifying *verifying;
    const struct store_run *run;
    const struct seals *seals; /* NULL: none */
    size_t next_seal;
    int64_t n_skipped;
    int64_t n_rows;
    char head[DIGEST_HEX_SIZE];
};

static void verifying_done(struct verifying *verifying)
{
    size_t cursor = 0;
    for (struct map_entry *entry; (entry = map_next(&verifying->seals, &cursor));) {
        struct seals *seals = entry->value;
        for (size_t i = 0; i < seals->n_items; i++) {
            mem_free(seals->items[i].head);
            mem_free(seals->items[i].status);
        }
        mem_free(seals->items);
        mem_free(seals);
    }
    map_done(&verifying->seals);
    value_builder_done(&verifying->faults);
}

static void add_fault(struct verifying *verifying, char *take_text)
{
    if (verifying->faults.n_items < FAULTS_MAX)
        value_builder_append(&verifying->faults, value_string(take_text));
    else if (verifying->faults.n_items == FAULTS_MAX)
        value_builder_append(&verifying->faults, value_string("and more"));
    mem_free(take_text);
}

static void add_seal(struct verifying *verifying, const struct store_row *row,
                     const struct value *body)
{
    const char *run_id = value_get_text(body, "run");
    const char *head = store_row_text(row, AUDIT_COLUMN_HEAD);
    if (!run_id || !head)
        return;
    struct seals *seals = map_get(&verifying->seals, run_id);
    if (!seals) {
        seals = NEW(struct seals);
        map_put(&verifying->seals, run_id, seals);
    }
    const char *status = value_get_text(body, "status");
    ARRAY_RESERVE(seals->items, seals->n_items, seals->capacity);
    seals->items[seals->n_items++] = (struct seal){
        .n_rows = store_row_number(row, AUDIT_COLUMN_ROWS),
        .head = string_copy(head),
        .status = status ? string_copy(status) : NULL,
    };
}

static int verify_entry(void *argument, const struct store_row *row, struct error *err)
{
    struct verifying *verifying = argument;
    CLEANUP(value_unrefp) struct value *body = NULL;
    int64_t number = store_row_number(row, AUDIT_COLUMN_NUMBER);
    const char *digest = store_row_text(row, AUDIT_COLUMN_DIGEST);
    int r = store_read_json(row, AUDIT_COLUMN_BODY, "an entry of the audit",
                            verifying->store->place, &body, err);
    if (r < 0)
        return r;
    if (number != verifying->n_entries + 1)
        add_fault(verifying, string_format("entries %" PRId64 " to %" PRId64 " are not there",
                                           verifying->n_entries + 1, number - 1));
    struct store_row parts = {row->cells + AUDIT_COLUMN_TIME,
                              AUDIT_COLUMN_DIGEST - AUDIT_COLUMN_TIME};
    char want[DIGEST_HEX_SIZE];
    store_chain(verifying->head, &parts, want);
    if (!text_equal(digest, want))
        add_fault(verifying,
                  string_format("entry %" PRId64 " is not the one that was written after entry "
                                "%" PRId64,
                                number, number - 1));
    if (verifying->expected && text_starts_with(digest, verifying->expected))
        verifying->expected = NULL;
    /* What follows is judged by what stands here: one alteration is one fault. */
    snprintf(verifying->head, sizeof(verifying->head), "%s", digest);
    verifying->n_entries = number;
    add_seal(verifying, row, body);
    return 0;
}

/* The seals that were set when this many rows were there. */
static void check_seals(struct following *following)
{
    const struct seals *seals = following->seals;
    for (; seals && following->next_seal < seals->n_items &&
           seals->items[following->next_seal].n_rows <= following->n_rows;
         following->next_seal++) {
        const struct seal *seal = &seals->items[following->next_seal];
        if (seal->n_rows != following->n_rows || !text_equal(seal->head, following->head))
            add_fault(following->verifying,
                      string_format("the first %" PRId64 " rows of the journal of run %s are not "
                                    "those that were written",
                                    seal->n_rows, following->run->id));
    }
}

static int follow_row(void *argument, const struct store_row *row, struct error *err)
{
    struct following *following = argument;
    (void)err;
    if (following->n_skipped < following->run->n_unchained) {
        following->n_skipped++;
        return 0;
    }
    /* One that goes on has written more meanwhile. */
    if (following->run->status == RUN_RUNNING && following->n_rows == following->run->n_chained)
        return 0;
    struct store_row parts = {row->cells + JOURNAL_COLUMN_TIME,
                              JOURNAL_COLUMN_COUNT - JOURNAL_COLUMN_TIME};
    char before[DIGEST_HEX_SIZE];
    memcpy(before, following->head, sizeof(before));
    store_chain(before, &parts, following->head);
    following->n_rows++;
    check_seals(following);
    return 0;
}

static void judge_run(struct following *following)
{
    const struct store_run *run = following->run;
    const struct seals *seals = following->seals;
    struct verifying *verifying = following->verifying;
    if (following->n_rows != run->n_chained || !text_equal(following->head, run->chain))
        add_fault(verifying, string_format("the journal of run %s has %" PRId64 " rows that are "
                                           "not the %" PRId64 " that were written",
                                           run->id, following->n_rows, run->n_chained));
    else if (seals && following->next_seal < seals->n_items)
        add_fault(verifying, string_format("the journal of run %s lacks rows at its end", run->id));
    if (!seals && run->n_unchained == 0 && run->n_chained > 0)
        add_fault(verifying, string_format("run %s is in no entry", run->id));
    if (!seals)
        return;
    const char *status = seals->items[seals->n_items - 1].status;
    if (!text_equal_or_null(status, run_status_to_string(run->status)))
        add_fault(verifying,
                  string_format("run %s is %s and was written as %s", run->id,
                                run_status_to_string(run->status), status ? status : "nothing"));
}

CO_FN static int verify_run(struct verifying *verifying, const struct store_run *run,
                            struct error *err)
{
    struct following following = {.verifying = verifying, .run = run};
    following.seals = map_get(&verifying->seals, run->id);
    snprintf(following.head, sizeof(following.head), "%s", run->id);
    check_seals(&following);
    struct store_cell cells[] = {TEXT_CELL(run->id), NUMBER_CELL(0), NUMBER_CELL(INT64_MAX)};
    int r =
        store_query(verifying->store, QUERY_READ_JOURNAL,
                    &(struct store_row){cells, ARRAY_LENGTH(cells)}, follow_row, &following, err);
    if (r < 0)
        return r;
    judge_run(&following);
    verifying->n_runs++;
    verifying->n_rows += following.n_rows;
    verifying->n_unchained += run->n_unchained;
    return 0;
}

/* Takes the seals of each run it finds: those that stay are of runs that are not there. */
CO_FN static int verify_runs(struct verifying *verifying, struct error *err)
{
    struct store_run *runs = NULL;
    struct map found = {0};
    size_t n = 0;
    int r = store_list_runs(verifying->store, NULL, INT64_MAX, &runs, &n, err);
    for (size_t i = 0; i < n; i++) {
        if (r == 0)
            r = verify_run(verifying, &runs[i], err);
        map_put(&found, runs[i].id, verifying);
        store_run_done(&runs[i]);
    }
    mem_free(runs);
    size_t cursor = 0;
    for (struct map_entry *entry; r == 0 && (entry = map_next(&verifying->seals, &cursor));)
        if (!map_has(&found, entry->key))
            add_fault(verifying, string_format("run %s was written and is not there", entry->key));
    map_done(&found);
    return r;
}

CO_FN static int verify_entries(struct verifying *verifying, struct error *err)
{
    int64_t before;
    int r;
    do {
        before = verifying->n_entries;
        r = query_audit(verifying->store, before, PAGE, verify_entry, verifying, err);
    } while (r == 0 && verifying->n_entries > before);
    return r;
}

static struct value *report_of(struct verifying *verifying)
{
    struct value_builder report = {0};
    value_builder_set(&report, "entries", value_integer(verifying->n_entries));
    value_builder_set(&report, "head",
                      verifying->n_entries > 0 ? value_string(verifying->head) : value_null());
    value_builder_set(&report, "runs", value_integer((int64_t)verifying->n_runs));
    value_builder_set(&report, "rows", value_integer(verifying->n_rows));
    value_builder_set(&report, "unchained", value_integer(verifying->n_unchained));
    value_builder_set(&report, "faults", value_builder_list(&verifying->faults));
    return value_builder_map(&report);
}

static int check_expected(const char *expected, struct error *err)
{
    if (!expected || (strlen(expected) >= EXPECTED_MIN &&
                      strspn(expected, "0123456789abcdef") == strlen(expected)))
        return 0;
    return error_set(err, ERROR_INVALID,
                     "\"%s\" is no digest of an entry: at least %d of its digits 0-9 and a-f are "
                     "needed",
                     expected, EXPECTED_MIN);
}

/* *ret_is_still: nothing came in between, so that entries and runs are of one moment. */
CO_FN static int verify_once(struct verifying *verifying, bool *ret_is_still, struct error *err)
{
    int64_t last = 0;
    snprintf(verifying->head, sizeof(verifying->head), "%s", store_id(verifying->store));
    int r = verify_entries(verifying, err);
    if (r == 0)
        r = verify_runs(verifying, err);
    if (r == 0)
        r = store_last_audit(verifying->store, &last, err);
    *ret_is_still = last == verifying->n_entries;
    return r;
}

int store_verify_audit(struct store *store, const char *expected, struct value **ret_report,
                       struct error *err)
{
    assert(ret_report);
    bool is_still = false;
    int r = check_expected(expected, err);
    for (int i = 0; r == 0 && !is_still && i < TRIES; i++) {
        CLEANUP(verifying_done)
        struct verifying verifying = {.store = store, .expected = expected};
        r = verify_once(&verifying, &is_still, err);
        if (r < 0 || (!is_still && i < TRIES - 1))
            continue;
        if (verifying.expected)
            add_fault(&verifying,
                      string_format("no entry has the digest %s: the chain was cut off or written "
                                    "anew, or it is of another store",
                                    expected));
        *ret_report = report_of(&verifying);
    }
    return r;
}
