/*
 * What every driver of the store promises to those who do not want all (store.h): of the rows of a
 * journal those that only say that a step begins or ended well are numbers, and the others are
 * there as they are; records are there page by page. PARLEY_TEST_SUBJECT says which driver is held
 * to it.
 */
#include "contract/store.h"

static struct journal_tally tally_after(int64_t seq, size_t limit)
{
    struct journal_tally tally = {0};
    struct error err = {0};
    CHECK(is_done(store_tally_journal(store, RUN, seq, limit, &tally, &err), &err));
    return tally;
}

static void add_row(struct store_batch *batch, const char *kind, const char *body)
{
    CLEANUP(value_unrefp) struct value *fields = from_json(body);
    store_batch_journal(batch, RUN, kind, fields);
}

STORE_TEST(plain_rows_are_counted_and_the_others_told)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    static const struct {
        const char *kind;
        const char *body;
        bool is_told;
    } rows[] = {
        {"started", "{}", true},
        {"intent", "{\"token\":\"t\"}", false},
        {"handle", "{\"handle\":\"h\"}", false},
        {"result", "{\"outcome\":\"done\",\"took_us\":7}", false},
        {"result", "{\"outcome\":\"done\"}", false},
        {"result", "{\"message\":\"no\",\"outcome\":\"failed\"}", true},
        {"result", "{\"outcome\":\"staged\"}", true},
        {"result", "{\"activates\":[\"a\"],\"outcome\":\"done\"}", true},
        {"skipped", "{\"because\":\"a\"}", true},
        {"finished", "{\"done\":2}", true},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        add_row(batch, rows[i].kind, rows[i].body);
    int64_t last;
    CHECK(commits(batch, &last));
    struct journal_tally tally = tally_after(0, 100);
    CHECK(tally.n_rows == ARRAY_LENGTH(rows) && tally.n_ended == 2 && tally.last_seq == last);
    size_t n_told = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        const struct value *row = value_at(tally.rows, n_told);
        n_told += rows[i].is_told;
        CHECK(!rows[i].is_told || (text_equal(value_get_text(row, "kind"), rows[i].kind) &&
                                   value_get_integer(row, "seq", 0) ==
                                       last + 1 + (int64_t)i - (int64_t)ARRAY_LENGTH(rows)));
    }
    CHECK(value_count(tally.rows) == n_told);
    value_unref(tally.rows);
}

STORE_TEST(page_by_page_it_comes_to_the_same)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    for (int i = 0; i < 25; i++) {
        add_row(batch, "intent", "{}");
        add_row(batch, "result", i % 5 ? "{\"outcome\":\"done\"}" : "{\"outcome\":\"failed\"}");
    }
    CHECK(commits(batch, NULL));
    size_t n_rows = 0;
    size_t n_ended = 0;
    size_t n_told = 0;
    struct journal_tally tally = {0};
    do {
        tally = tally_after(tally.last_seq, 7);
        n_rows += tally.n_rows;
        n_ended += tally.n_ended;
        n_told += value_count(tally.rows);
        value_unref(tally.rows);
    } while (tally.n_rows == 7);
    CHECK(n_rows == 50 && n_ended == 20 && n_told == 5);
}

STORE_TEST(without_rows_there_is_nothing_and_without_the_run_an_error)
{
    struct journal_tally tally = {0};
    CHECK(store_tally_journal(store, RUN, 0, 10, &tally, NULL) == -ERROR_NOT_FOUND);
    CHECK(begin_run());
    tally = tally_after(0, 10);
    CHECK(tally.n_rows == 0 && tally.n_ended == 0 && tally.last_seq == 0);
    CHECK(value_count(tally.rows) == 0);
    value_unref(tally.rows);
}

STORE_TEST(records_are_listed_by_name_and_in_pages)
{
    static const char *const addresses[] = {"a",           "many",      "many[0]", "many[10]",
                                            "many[\"x\"]", "many-more", "manya",   "z"};
    static const struct {
        const char *name;
        size_t n_before;
        size_t limit;
        const char *want;
    } cases[] = {
        {"many", 0, 9, "many[\"x\"] many[0] many[10] "},
        {"many", 1, 1, "many[0] "},
        {"many", 3, 9, ""},
        {"man", 0, 9, ""},
        {NULL, 0, 3, "a many many-more "},
        {NULL, 6, SIZE_MAX, "manya z "},
        {NULL, 8, 9, ""},
    };
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    for (size_t i = 0; i < ARRAY_LENGTH(addresses); i++)
        add_record(batch, addresses[i], 1, "{}");
    CHECK(commits(batch, NULL));
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct records records = {0};
        struct strbuf found = {0};
        int r = store_list_records(store, DEPLOYMENT, cases[i].name, cases[i].n_before,
                                   cases[i].limit, &records, NULL);
        for (size_t k = 0; r == 0 && k < records.n_items; k++)
            strbuf_addf(&found, "%s ", records.items[k]->address);
        bool is_same = r == 0 && strcmp(strbuf_text(&found), cases[i].want) == 0;
        if (!is_same)
            printf("# %zu: %s\n", i, strbuf_text(&found));
        records_done(&records);
        strbuf_done(&found);
        CHECK(is_same);
    }
}
