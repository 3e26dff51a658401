/* The audit chain: what was done is in it, and nothing of that changes unnoticed (audit.h). */
#include "contract/store-sql.h"

#include "base/digest.h"
#include "store/audit.h"

static void add_end(struct store_batch *batch, const char *id, enum run_status status)
{
    struct store_run run = {.id = (char *)id,
                            .deployment_uid = (char[]){DEPLOYMENT},
                            .plan_hash = (char[]){PLAN},
                            .status = status,
                            .epoch = 1,
                            .started_at = 3000,
                            .ended_at = 4000};
    store_batch_put_run(batch, &run);
}

/* An approved plan, a run of it with three rows, a revision and the run's end: five entries. */
static void do_something(void)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp) struct value *approval = from_json("{\"principal\":\"user:1000\"}");
    CLEANUP(value_unrefp)
    struct value *revision =
        from_json("{\"document\":\"a: 1\",\"digest\":\"d1\",\"run\":\"" RUN "\"}");
    add_deployment(batch, DEPLOYMENT, "web", 1);
    add_plan(batch, PLAN);
    store_batch_add_approval(batch, PLAN, approval);
    CHECK(commits(batch, NULL));
    add_run(batch, RUN);
    add_journal(batch, RUN, "{\"n\":1}");
    CHECK(commits(batch, NULL));
    CLEANUP(value_unrefp) struct value *second = from_json("{\"n\":2}");
    store_batch_journal_step(batch, RUN, "result", 0, second);
    store_batch_add_revision(batch, DEPLOYMENT, revision);
    add_journal(batch, RUN, "{\"n\":3}");
    add_end(batch, RUN, RUN_DONE);
    CHECK(commits(batch, NULL));
    CLEANUP(value_unrefp) struct value *fields = from_json("{\"what\":\"a look\"}");
    store_batch_audit(batch, "note", fields);
    CHECK(commits(batch, NULL));
}

static struct value *read_audit(int64_t after, size_t limit)
{
    struct error err = {0};
    struct value *entries = NULL;
    CHECK(is_done(store_read_audit(store, after, limit, &entries, &err), &err));
    return entries;
}

static struct value *verify(const char *expected)
{
    struct error err = {0};
    struct value *report = NULL;
    CHECK(is_done(store_verify_audit(store, expected, &report, &err), &err));
    return report;
}

static bool has_no_faults(void)
{
    CLEANUP(value_unrefp) struct value *report = verify(NULL);
    return is_json(value_get(report, "faults"), "[]");
}

STORE_TEST(what_was_done_is_in_the_chain_in_its_order)
{
    static const char *const kinds[] = {"approval", "run", "revision", "run", "note"};
    do_something();
    CLEANUP(value_unrefp) struct value *entries = read_audit(0, 100);
    CHECK(value_count(entries) == ARRAY_LENGTH(kinds));
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        const struct value *entry = value_at(entries, i);
        CHECK(value_get_integer(entry, "number", 0) == (int64_t)i + 1);
        CHECK_TEXT(value_get_text(entry, "kind"), kinds[i]);
    }
    CHECK_TEXT(value_get_text(value_at(entries, 0), "plan"), PLAN);
    CHECK_TEXT(value_get_text(value_at(entries, 0), "principal"), "user:1000");
    CHECK_TEXT(value_get_text(value_at(entries, 1), "status"), "running");
    CHECK_TEXT(value_get_text(value_at(entries, 1), "words"), "up web.yaml");
    CHECK_TEXT(value_get_text(value_at(entries, 2), "document"), "d1");
    CHECK_TEXT(value_get_text(value_at(entries, 3), "status"), "done");
    CHECK(value_get_integer(value_at(entries, 3), "rows", 0) == 3);
    CHECK_TEXT(value_get_text(value_at(entries, 4), "what"), "a look");
}

STORE_TEST(entries_are_read_page_by_page)
{
    do_something();
    CLEANUP(value_unrefp) struct value *page = read_audit(2, 2);
    CHECK(value_count(page) == 2);
    CHECK(value_get_integer(value_at(page, 0), "number", 0) == 3);
    CLEANUP(value_unrefp) struct value *rest = read_audit(5, 10);
    CHECK(value_count(rest) == 0);
    int64_t last = 0;
    struct error err = {0};
    CHECK(is_done(store_last_audit(store, &last, &err), &err) && last == 5);
}

/* As audit.h has it, without the code that wrote it: anybody with a SHA-256 can do the same. */
static void digest_lines(struct strbuf *take_lines, char ret_digest[DIGEST_HEX_SIZE])
{
    digest_hex(strbuf_text(take_lines), take_lines->length, ret_digest);
    strbuf_done(take_lines);
}

static void add_line(struct strbuf *lines, const struct value *entry, const char *key)
{
    strbuf_addf(lines, "%" PRId64 "\n", value_get_integer(entry, key, 0));
}

static void add_body_line(struct strbuf *lines, const struct value *entry, const char *const *known,
                          size_t n_known)
{
    struct value *body = value_ref((struct value *)entry);
    for (size_t i = 0; i < n_known; i++) {
        struct value *less = value_with(body, known[i], NULL);
        value_unref(body);
        body = less;
    }
    CLEANUP(mem_freep) char *text = json_text(body);
    strbuf_addf(lines, "%s\n", text);
    value_unref(body);
}

STORE_TEST(each_digest_is_the_one_that_the_header_describes)
{
    static const char *const of_entry[] = {"number", "time", "kind", "digest", "rows", "head"};
    static const char *const of_row[] = {"seq", "time", "kind", "run", "place"};
    char run_head[DIGEST_HEX_SIZE];
    char head[DIGEST_HEX_SIZE];
    do_something();
    CLEANUP(value_unrefp) struct value *rows = NULL;
    CHECK(store_replay_journal(store, RUN, 0, 10, &rows, NULL) == 0 && value_count(rows) == 3);
    snprintf(run_head, sizeof(run_head), "%s", RUN);
    for (size_t i = 0; i < value_count(rows); i++) {
        struct strbuf lines = {0};
        strbuf_addf(&lines, "%s\n", run_head);
        add_line(&lines, value_at(rows, i), "time");
        strbuf_addf(&lines, "%s\n", value_get_text(value_at(rows, i), "kind"));
        add_body_line(&lines, value_at(rows, i), of_row, ARRAY_LENGTH(of_row));
        if (value_get(value_at(rows, i), "place"))
            add_line(&lines, value_at(rows, i), "place");
        digest_lines(&lines, run_head);
    }
    CLEANUP(value_unrefp) struct value *entries = read_audit(0, 100);
    CHECK_TEXT(value_get_text(value_at(entries, 3), "head"), run_head);
    snprintf(head, sizeof(head), "%s", store_id(store));
    for (size_t i = 0; i < value_count(entries); i++) {
        const struct value *entry = value_at(entries, i);
        struct strbuf lines = {0};
        strbuf_addf(&lines, "%s\n", head);
        add_line(&lines, entry, "time");
        strbuf_addf(&lines, "%s\n", value_get_text(entry, "kind"));
        add_body_line(&lines, entry, of_entry, ARRAY_LENGTH(of_entry));
        add_line(&lines, entry, "rows");
        if (value_get_text(entry, "head"))
            strbuf_addf(&lines, "%s\n", value_get_text(entry, "head"));
        digest_lines(&lines, head);
        CHECK_TEXT(value_get_text(entry, "digest"), head);
    }
}

STORE_TEST(a_refused_batch_adds_nothing)
{
    do_something();
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp) struct value *fields = from_json("{}");
    store_batch_audit(batch, "note", fields);
    add_journal(batch, RUN, "{}");
    add_journal(batch, "nobody", "{}");
    CHECK(commit_error(batch) == ERROR_NOT_FOUND);
    CHECK(has_no_faults());
    store_batch_audit(batch, "note", fields);
    CHECK(commits(batch, NULL));
    CLEANUP(value_unrefp) struct value *entries = read_audit(5, 10);
    CHECK(value_count(entries) == 1 && value_get_integer(value_at(entries, 0), "number", 0) == 6);
    CHECK(has_no_faults());
}

STORE_TEST(a_store_without_anything_is_whole)
{
    CLEANUP(value_unrefp) struct value *report = verify(NULL);
    CHECK(is_json(report, "{\"entries\":0,\"faults\":[],\"head\":null,\"rows\":0,\"runs\":0,"
                          "\"unchained\":0}"));
}

STORE_TEST(what_nobody_touched_is_whole_also_while_a_run_goes_on)
{
    do_something();
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_run(batch, "r2");
    add_journal(batch, "r2", "{}");
    CHECK(commits(batch, NULL));
    add_journal(batch, "r2", "{}");
    CHECK(commits(batch, NULL));
    CLEANUP(value_unrefp) struct value *report = verify(NULL);
    CHECK(is_json(value_get(report, "faults"), "[]"));
    CHECK(value_get_integer(report, "entries", 0) == 6);
    CHECK(value_get_integer(report, "runs", 0) == 2);
    CHECK(value_get_integer(report, "rows", 0) == 5);
}

STORE_TEST(a_digest_that_was_noted_is_looked_for)
{
    struct error err = {0};
    struct value *none = NULL;
    do_something();
    CLEANUP(value_unrefp) struct value *entries = read_audit(0, 10);
    CLEANUP(mem_freep)
    char *prefix = string_copy_n(value_get_text(value_at(entries, 1), "digest"), 12);
    CLEANUP(value_unrefp) struct value *found = verify(prefix);
    CHECK(is_json(value_get(found, "faults"), "[]"));
    CLEANUP(value_unrefp) struct value *missed = verify("0123456789abcdef");
    CHECK(value_count(value_get(missed, "faults")) == 1);
    CHECK(store_verify_audit(store, "12345", &none, &err) == -ERROR_INVALID && !none);
    error_done(&err);
}

/* --- What somebody with the file in hand may do (SQLite) --- */

static char *first_fault; /* owned; NULL: none */

static void note_first_fault(void)
{
    CLEANUP(value_unrefp) struct value *report = verify(NULL);
    const struct value *faults = value_get(report, "faults");
    mem_free(first_fault);
    first_fault = value_count(faults) > 0 ? string_copy(value_text(value_at(faults, 0))) : NULL;
}

static const struct {
    const char *sql;
    const char *fault; /* how the first one begins; NULL: none */
} alterations[] = {
    {"UPDATE journal SET body = '{}' WHERE seq = 2", "the first 3 rows of the journal of run " RUN},
    {"UPDATE journal SET time = time - 1 WHERE seq = 1",
     "the first 3 rows of the journal of run " RUN},
    {"DELETE FROM journal WHERE seq = 1", "the journal of run " RUN " has 2 rows"},
    {"DELETE FROM journal WHERE seq = 3", "the journal of run " RUN " has 2 rows"},
    {"UPDATE journal SET step = 1 WHERE seq = 2", "the first 3 rows of the journal of run " RUN},
    {"UPDATE journal SET step = 1 WHERE seq = 3", "the first 3 rows of the journal of run " RUN},
    {"INSERT INTO journal SELECT 9, run, time, kind, body, step FROM journal WHERE seq = 3",
     "the journal of run " RUN " has 4 rows"},
    {"UPDATE journal SET seq = 7 WHERE seq = 2", "the first 3 rows of the journal of run " RUN},
    {"UPDATE audit SET body = replace(body, 'user:1000', 'user:0') WHERE number = 1",
     "entry 1 is not"},
    {"UPDATE audit SET time = 0 WHERE number = 5", "entry 5 is not"},
    {"DELETE FROM audit WHERE number = 2", "entries 2 to 2 are not there"},
    {"UPDATE audit SET head = 'x' WHERE number = 4", "entry 4 is not"},
    {"UPDATE runs SET status = 'failed'", "run " RUN " is failed and was written as done"},
    {"DELETE FROM journal; DELETE FROM runs", "run " RUN " was written and is not there"},
    {"DELETE FROM audit WHERE number = 5", NULL}, /* its end: only who noted a digest sees that */
};

FOLDER_TEST_IF(is_sqlite(), what_is_altered_with_the_file_in_hand_is_noticed)
{
    for (size_t i = 0; i < ARRAY_LENGTH(alterations); i++) {
        remove_folder();
        CHECK(mkdir(folder, 0700) == 0);
        CHECK(open_store());
        int end = run_on_loop(do_something);
        close_store();
        CHECK(end == 0 && run_sql(alterations[i].sql) && open_store());
        end = run_on_loop(note_first_fault);
        close_store();
        bool is_right =
            end == 0 && (!alterations[i].fault
                             ? !first_fault
                             : first_fault && text_starts_with(first_fault, alterations[i].fault));
        if (!is_right)
            printf("# %s: %s\n", alterations[i].sql, first_fault ? first_fault : "nothing");
        CHECK(is_right);
    }
    mem_free(first_fault);
    first_fault = NULL;
}

static void check_older(void)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp) struct value *before = verify(NULL);
    CHECK(is_json(before, "{\"entries\":0,\"faults\":[],\"head\":null,\"rows\":0,\"runs\":1,"
                          "\"unchained\":3}"));
    add_journal(batch, RUN, "{}");
    add_end(batch, RUN, RUN_FAILED);
    CHECK(commits(batch, NULL));
    CLEANUP(value_unrefp) struct value *after = verify(NULL);
    CHECK(is_json(value_get(after, "faults"), "[]"));
    CHECK(value_get_integer(after, "rows", 0) == 1 &&
          value_get_integer(after, "unchained", 0) == 3);
}

/* Before what was forgotten could be looked up. */
#define NO_FORGOTTEN                                           \
    "DROP TABLE forgotten; "                                   \
    "DROP TABLE makers; ALTER TABLE runs DROP COLUMN client; " \
    "ALTER TABLE deployments DROP COLUMN accounts; "

/* What came after the steps' rows. */
#define NO_TEXTS                                   \
    "ALTER TABLE steps DROP COLUMN label; "        \
    "ALTER TABLE steps DROP COLUMN reason; "       \
    "ALTER TABLE steps DROP COLUMN type; "         \
    "ALTER TABLE steps DROP COLUMN instance; "     \
    "ALTER TABLE steps DROP COLUMN uid; "          \
    "ALTER TABLE steps DROP COLUMN origin; "       \
    "ALTER TABLE steps DROP COLUMN stage; "        \
    "ALTER TABLE steps DROP COLUMN after; "        \
    "ALTER TABLE steps DROP COLUMN before; "       \
    "ALTER TABLE steps DROP COLUMN resources; "    \
    "ALTER TABLE steps DROP COLUMN depends_on; "   \
    "DROP TABLE remains; "                         \
    "ALTER TABLE plans DROP COLUMN document; "     \
    "ALTER TABLE revisions DROP COLUMN document; " \
    "ALTER TABLE revisions DROP COLUMN given; " NO_FORGOTTEN

/* As the program before the chains left it. */
FOLDER_TEST_IF(is_sqlite(), a_store_of_before_the_chains_gets_them_from_then_on)
{
    remove_folder();
    CHECK(mkdir(folder, 0700) == 0);
    CHECK(open_store());
    int end = run_on_loop(do_something);
    close_store();
    CHECK(
        end == 0 &&
        run_sql(
            NO_TEXTS
            "ALTER TABLE journal DROP COLUMN step; DROP TABLE steps; DROP TABLE secrets; DROP TABLE audit; ALTER TABLE runs DROP COLUMN chain; "
            "ALTER TABLE runs DROP COLUMN chained; "
            "ALTER TABLE runs DROP COLUMN unchained; PRAGMA user_version = 3"));
    CHECK(open_store());
    end = run_on_loop(check_older);
    close_store();
    CHECK(end == 0);
}

static void begin_older(void)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_journal(batch, RUN, "{\"step\":\"create a#1\"}");
    CHECK(commits(batch, NULL));
}

static void go_on_with_older(void)
{
    CHECK(has_no_faults());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp) struct value *body = from_json("{}");
    store_batch_journal_step(batch, RUN, "result", 0, body);
    CHECK(commits(batch, NULL));
    CHECK(has_no_faults());
    CLEANUP(value_unrefp) struct value *rows = read_journal(RUN, 0, 10);
    CHECK(value_count(rows) == 2);
    for (size_t i = 0; i < 2; i++)
        CHECK_TEXT(value_get_text(value_at(rows, i), "step"), "create a#1");
}

/* As the program left it whose rows named their steps themselves. */
FOLDER_TEST_IF(is_sqlite(), a_journal_of_before_rows_had_places_goes_on_in_its_chain)
{
    remove_folder();
    CHECK(mkdir(folder, 0700) == 0);
    CHECK(open_store());
    int end = run_on_loop(begin_older);
    close_store();
    CHECK(end == 0 &&
          run_sql(NO_TEXTS "ALTER TABLE journal DROP COLUMN step; PRAGMA user_version = 6"));
    CHECK(open_store());
    end = run_on_loop(go_on_with_older);
    close_store();
    CHECK(end == 0);
}

static void begin_with_texts(void)
{
    CHECK(begin_run());
    CLEANUP(value_unrefp)
    struct value *revision =
        from_json("{\"document\":\"a: 1\\n\",\"given\":\"a:\",\"digest\":\"d\"}");
    CLEANUP(value_unrefp) struct value *bare = from_json("{\"document\":null,\"digest\":\"e\"}");
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    store_batch_add_revision(batch, DEPLOYMENT, revision);
    store_batch_add_revision(batch, DEPLOYMENT, bare);
    store_batch_put_plan(batch, "0123456789", DEPLOYMENT, "{\"steps\":[]}", "a: 2\n");
    CHECK(commits(batch, NULL));
}

static void check_texts(void)
{
    CLEANUP(value_unrefp) struct value *revision = NULL, *plan = NULL, *list = NULL;
    CHECK(store_get_revision(store, DEPLOYMENT, 1, &revision, NULL) == 0);
    CHECK_TEXT(value_get_text(revision, "document"), "a: 1\n");
    CHECK_TEXT(value_get_text(revision, "given"), "a:");
    CHECK_TEXT(value_get_text(revision, "digest"), "d");
    CHECK(store_list_revisions(store, DEPLOYMENT, 0, 9, &list, NULL) == 0);
    CHECK(value_count(list) == 2);
    for (size_t i = 0; i < 2; i++)
        CHECK(!value_get(value_at(list, i), "document") && !value_get(value_at(list, i), "given"));
    CHECK(store_get_plan(store, "0123456789", &plan, NULL) == 0);
    CHECK_TEXT(value_get_text(plan, "document"), "a: 2\n");
    CHECK(has_no_faults());
}

/* As the program left it that wrote documents into what is known about them. */
FOLDER_TEST_IF(is_sqlite(), documents_of_before_they_stood_apart_are_found)
{
    remove_folder();
    CHECK(mkdir(folder, 0700) == 0);
    CHECK(open_store());
    int end = run_on_loop(begin_with_texts);
    if (end == 0)
        end = run_on_loop(check_texts);
    close_store();
    CHECK(end == 0 && run_sql("UPDATE plans SET body = json_set(body, '$.document', document); "
                              "UPDATE revisions SET body = json_set(body, '$.document', document, "
                              "'$.given', given); " NO_TEXTS "PRAGMA user_version = 7"));
    CHECK(open_store());
    end = run_on_loop(check_texts);
    close_store();
    CHECK(end == 0);
}

/* Runs that let go of something: the steps of the first stand in its plan's body, those of the
 * second in bodies of their own, those of the third in columns. */
static void begin_letting_go(void)
{
    static const char step[] = "{\"kind\":\"forget\",\"address\":\"%s\",\"type\":\"a:b:c\","
                               "\"instance\":\"a.b\",\"uid\":\"u\",\"provider_id\":\"%s\","
                               "\"generation\":2}";
    static const char *const runs[][2] = {
        {"r1", "0123456789"}, {"r2", "1123456789"}, {"r3", "2123456789"}};
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(mem_freep) char *first = string_format(step, "old", "first");
    CLEANUP(mem_freep) char *second = string_format(step, "web", "second");
    CLEANUP(mem_freep) char *body = string_format("{\"steps\":[%s]}", first);
    char *columns[STEP_TEXT_COUNT] = {[STEP_TEXT_BODY] = string_copy("{\"provider_id\":\"third\"}"),
                                      [STEP_TEXT_LABEL] = string_copy("forget web#2"),
                                      [STEP_TEXT_TYPE] = string_copy("a:b:c"),
                                      [STEP_TEXT_INSTANCE] = string_copy("a.b"),
                                      [STEP_TEXT_UID] = string_copy("u")};
    add_deployment(batch, DEPLOYMENT, "web", 1);
    store_batch_put_plan(batch, runs[0][1], DEPLOYMENT, body, NULL);
    store_batch_put_plan(batch, runs[1][1], DEPLOYMENT, "{}", NULL);
    add_step_body(batch, runs[1][1], 0, "{\"kind\":\"create\",\"address\":\"web\"}");
    add_step_body(batch, runs[1][1], 1, second);
    store_batch_put_plan(batch, runs[2][1], DEPLOYMENT, "{}", "a: 1\n");
    add_step(batch, runs[2][1], 0, columns);
    for (size_t i = 0; i < ARRAY_LENGTH(runs); i++) {
        struct store_run run = {.id = (char *)runs[i][0],
                                .deployment_uid = (char[]){DEPLOYMENT},
                                .plan_hash = (char *)runs[i][1],
                                .status = RUN_DONE,
                                .epoch = 1};
        store_batch_put_run(batch, &run);
    }
    CHECK(commits(batch, NULL));
}

static void check_letting_go(void)
{
    static const struct {
        const char *address;
        bool with_documents;
        const char *want;
    } rows[] = {{"old", false, "first"}, {"web", false, "second"}, {"web", true, "third"}};
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct store_forgotten found = {0};
        CHECK(store_find_forgotten(store, DEPLOYMENT, rows[i].address, rows[i].with_documents,
                                   &found, NULL) == 0);
        CHECK_TEXT(found.provider_id, rows[i].want);
        CHECK_TEXT(found.type, "a:b:c");
        CHECK_TEXT(found.instance, "a.b");
        CHECK_TEXT(found.uid, "u");
        CHECK(found.generation == 2);
        store_forgotten_done(&found);
    }
    CHECK(has_no_faults());
}

/* As the program left it that looked for what was forgotten in the plans of runs. */
FOLDER_TEST_IF(is_sqlite(), what_was_forgotten_before_there_was_an_index_is_in_it)
{
    remove_folder();
    CHECK(mkdir(folder, 0700) == 0);
    CHECK(open_store());
    int end = run_on_loop(begin_letting_go);
    close_store();
    CHECK(end == 0 && run_sql(NO_FORGOTTEN "PRAGMA user_version = 10"));
    CHECK(open_store());
    end = run_on_loop(check_letting_go);
    close_store();
    CHECK(end == 0);
}
