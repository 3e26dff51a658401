/*
 * The indexes by which the store in a folder finds who has a thing: every record that is written
 * pays for them, hence they are made where somebody asks, and not before.
 */
#include "contract/store-sql.h"

#include <sys/resource.h>

#define OWN "d0000000-0000-8000-8000-000000000009"
#define UID "11111111-2222-8333-8444-555555555555"

enum { N_ASKING = 8 };

/* As a program that does not know of them: 0 to 2, -1 when it cannot be told. */
static int count_indexes(void)
{
    sqlite3 *database = NULL;
    sqlite3_stmt *statement = NULL;
    int n = -1;
    if (sqlite3_open_v2(path_of("parley.db"), &database, SQLITE_OPEN_READWRITE, "parley-pages") ==
            SQLITE_OK &&
        sqlite3_prepare_v2(database,
                           "SELECT count(*) FROM sqlite_schema WHERE type = 'index' "
                           "AND tbl_name = 'records' AND sql IS NOT NULL",
                           -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        n = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return n;
}

static bool is_told_by(struct store *asked, const char *mark, const char *want)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *owner = NULL;
    bool is_answer =
        is_done(store_find_owner(asked, OWN, "core.default", "x", mark, &owner, &err), &err);
    return is_answer && strcmp(owner ? owner : "-", want) == 0;
}

static uint64_t count_syncs(void)
{
    uint64_t n_commits;
    uint64_t n_syncs;
    store_count_syncs(store, &n_commits, &n_syncs);
    return n_syncs;
}

static void ask_twice(void)
{
    CHECK(count_indexes() == 0);
    CHECK(is_told_by(store, UID, "box[0] of web@default"));
    CHECK(count_indexes() == 2);
    uint64_t n_syncs = count_syncs();
    CHECK(is_told_by(store, UID, "box[0] of web@default"));
    CHECK(count_syncs() == n_syncs);
}

static void ask_again(void)
{
    uint64_t n_syncs = count_syncs();
    CHECK(is_told_by(store, UID, "box[0] of web@default"));
    CHECK(count_syncs() == n_syncs);
}

FOLDER_TEST(they_are_made_for_who_asks_first_and_stay)
{
    CHECK(open_store());
    int end = run_on_loop(ask_twice);
    close_store();
    CHECK(end == 0);
    CHECK(open_store());
    end = run_on_loop(ask_again);
    close_store();
    CHECK(end == 0 && count_indexes() == 2);
}

/* --- Several who ask first --- */

static struct asking {
    struct store *store;
    bool is_told;
} askings[N_ASKING];

static void ask(void *argument)
{
    struct asking *asking = argument;
    asking->is_told = is_told_by(asking->store, UID, "box[0] of web@default");
}

FOLDER_TEST(all_who_ask_first_at_the_same_time_are_told)
{
    struct store *others[2] = {0};
    CHECK(open_store());
    bool is_open = store_open_sqlite(loop, folder, false, &others[0], NULL) == 0 &&
                   store_open_sqlite(loop, folder, false, &others[1], NULL) == 0;
    for (int i = 0; is_open && i < N_ASKING; i++) {
        askings[i] = (struct asking){.store = i % 3 == 0 ? store : others[i % 3 - 1]};
        loop_spawn(loop, "ask", ask, &askings[i]);
    }
    loop_run(loop);
    store_close(others[0]);
    store_close(others[1]);
    close_store();
    CHECK(is_open && count_indexes() == 2);
    for (int i = 0; i < N_ASKING; i++)
        CHECK(askings[i].is_told);
}

/* --- What stands in their way --- */

static void write_and_ask(void)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CHECK(is_told_by(store, UID, "box[0] of web@default"));
    CHECK(is_told_by(store, OWN, "-"));
    store_batch_remove_record(batch, DEPLOYMENT, "box[0]", 1);
    CHECK(commit_error(batch) == ERROR_LIMIT);
    CHECK(is_told_by(store, UID, "box[0] of web@default"));
}

static int ask_without_room(void *argument)
{
    (void)argument;
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    if (!open_store())
        return 1;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = 4096;
    setrlimit(RLIMIT_FSIZE, &limit);
    int end = run_on_loop(write_and_ask);
    close_store();
    return end;
}

FOLDER_TEST(where_there_is_no_room_for_them_the_answer_is_the_same)
{
    CHECK(run_in_child(ask_without_room, NULL) == 0);
    CHECK(count_indexes() == 0);
}

static void find_by_mark(void)
{
    CHECK(is_told_by(store, UID, "box[0] of web@default"));
}

/* Of two, one may be lost: with a store that another program put in order. */
FOLDER_TEST(one_that_is_missing_comes_back)
{
    CHECK(open_store());
    int end = run_on_loop(find_by_mark);
    close_store();
    CHECK(end == 0 && run_sql("DROP INDEX records_of_mark") && count_indexes() == 1);
    CHECK(open_store());
    end = run_on_loop(find_by_mark);
    close_store();
    CHECK(end == 0 && count_indexes() == 2);
}
