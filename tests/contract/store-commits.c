/*
 * What every driver of the store promises of a commit (store.h): on which conditions, all or
 * nothing, beside others, and in which time. PARLEY_TEST_SUBJECT says which driver is held to it.
 */
#include "contract/store.h"

#include <time.h>

/* --- Conditions --- */

STORE_TEST(the_epoch_is_taken_over_in_single_steps)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    store_batch_check_epoch(batch, DEPLOYMENT, 0);
    store_batch_take_epoch(batch, DEPLOYMENT, 1);
    store_batch_check_epoch(batch, DEPLOYMENT, 1);
    CHECK(commits(batch, NULL));
    store_batch_take_epoch(batch, DEPLOYMENT, 1);
    CHECK(commit_error(batch) == ERROR_STALE);
    store_batch_take_epoch(batch, DEPLOYMENT, 3);
    CHECK(commit_error(batch) == ERROR_STALE);
    store_batch_take_epoch(batch, DEPLOYMENT, 2);
    CHECK(commits(batch, NULL));
    store_batch_check_epoch(batch, DEPLOYMENT, 1);
    add_record(batch, "a", 1, "1");
    CHECK(commit_error(batch) == ERROR_STALE);
    store_batch_check_epoch(batch, DEPLOYMENT, 2);
    add_record(batch, "a", 1, "2");
    CHECK(commits(batch, NULL));
    CLEANUP(mem_freep) char *records = list_records();
    CHECK_TEXT(records, "a#1=2");
    CLEANUP(store_deployment_done) struct store_deployment deployment = find_deployment();
    CHECK(deployment.epoch == 2);
}

STORE_TEST(a_deployment_that_is_not_there_has_epoch_and_version_0)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    store_batch_check_epoch(batch, DEPLOYMENT, 0);
    store_batch_check_version(batch, DEPLOYMENT, 0);
    CHECK(commits(batch, NULL));
    store_batch_check_epoch(batch, DEPLOYMENT, 1);
    CHECK(commit_error(batch) == ERROR_STALE);
    store_batch_check_version(batch, DEPLOYMENT, 1);
    CHECK(commit_error(batch) == ERROR_STALE);
    store_batch_take_epoch(batch, DEPLOYMENT, 1);
    CHECK(commit_error(batch) == ERROR_STALE);
}

STORE_TEST(a_run_that_has_another_status_or_is_not_there_is_stale)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    store_batch_check_run(batch, RUN, RUN_RUNNING);
    CHECK(commit_error(batch) == ERROR_STALE);
    CHECK(begin_run());
    store_batch_check_run(batch, RUN, RUN_PENDING);
    add_record(batch, "a", 1, "1");
    CHECK(commit_error(batch) == ERROR_STALE);
    store_batch_check_run(batch, RUN, RUN_RUNNING);
    add_record(batch, "a", 1, "1");
    CHECK(commits(batch, NULL));
    CLEANUP(mem_freep) char *records = list_records();
    CHECK_TEXT(records, "a#1=1");
}

STORE_TEST(approvals_that_were_used_or_refused_since_are_seen)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp) struct value *yes = from_json("{\"principal\":\"a\",\"link\":\"1\"}");
    CLEANUP(value_unrefp) struct value *no = from_json("{\"principal\":\"b\",\"link\":\"2\"}");
    add_plan(batch, PLAN);
    store_batch_add_approval(batch, PLAN, yes);
    CHECK(commits(batch, NULL));
    /* A further yes does not matter. */
    store_batch_check_approvals(batch, PLAN, 0);
    store_batch_check_link(batch, PLAN, "2");
    CHECK(commits(batch, NULL));
    store_batch_check_link(batch, PLAN, "1");
    CHECK(commit_error(batch) == ERROR_EXISTS);
    store_batch_add_refusal(batch, PLAN, no);
    CHECK(commits(batch, NULL));
    store_batch_check_approvals(batch, PLAN, 1);
    CHECK(commit_error(batch) == ERROR_APPROVAL_NEEDED);
    store_batch_check_link(batch, PLAN, "2");
    CHECK(commit_error(batch) == ERROR_EXISTS);
    store_batch_check_approvals(batch, PLAN, 2);
    store_batch_use_approvals(batch, PLAN, RUN);
    CHECK(commits(batch, NULL));
    store_batch_check_approvals(batch, PLAN, 2);
    CHECK(commit_error(batch) == ERROR_APPROVAL_NEEDED);
    store_batch_check_approvals(batch, PLAN, 3);
    CHECK(commits(batch, NULL));
}

/* A run of DEPLOYMENT that is to adopt "x" on aws.west, in this state. */
static bool put_adopting_run(enum run_status status, bool has_texts)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    struct store_run run = {.id = (char[]){RUN},
                            .deployment_uid = (char[]){DEPLOYMENT},
                            .plan_hash = (char[]){PLAN},
                            .status = status,
                            .epoch = 1};
    add_deployment(batch, DEPLOYMENT, "web", 1);
    store_batch_put_plan(batch, PLAN, DEPLOYMENT, "{}", NULL);
    add_step_body(batch, PLAN, 0,
                  "{\"instance\":\"aws.west\",\"kind\":\"update\","
                  "\"provider_id\":\"y\"}");
    char *texts[STEP_TEXT_COUNT] = {
        [STEP_TEXT_BODY] = string_copy(has_texts ? "{\"provider_id\":\"x\"}"
                                                 : "{\"instance\":\"aws.west\",\"kind\":"
                                                   "\"adopt\",\"provider_id\":\"x\"}"),
        [STEP_TEXT_LABEL] = has_texts ? string_copy("adopt a#1") : NULL,
        [STEP_TEXT_INSTANCE] = has_texts ? string_copy("aws.west") : NULL,
    };
    add_step(batch, PLAN, 1, texts);
    store_batch_put_run(batch, &run);
    return commits(batch, NULL);
}

static bool is_adoptable(const char *uid, const char *instance, const char *id)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    struct error err = {0};
    store_batch_check_adoptable(batch, uid, instance, id);
    int r = store_commit(store, batch, NULL, &err);
    CHECK(r == 0 || (r == -ERROR_EXISTS && strstr(error_message(&err), id)));
    error_done(&err);
    return r == 0;
}

static void check_adopting(bool has_texts)
{
    static const char other[] = "d0000000-0000-8000-8000-000000000002";
    CHECK(is_adoptable(other, "aws.west", "x"));
    CHECK(put_adopting_run(RUN_PENDING, has_texts));
    CHECK(is_adoptable(other, "aws.west", "x"));
    CHECK(put_adopting_run(RUN_RUNNING, has_texts));
    CHECK(!is_adoptable(other, "aws.west", "x"));
    CHECK(is_adoptable(DEPLOYMENT, "aws.west", "x"));
    CHECK(is_adoptable(other, "aws.east", "x"));
    CHECK(is_adoptable(other, "aws.west", "y"));
    CHECK(put_adopting_run(RUN_FAILED, has_texts));
    CHECK(is_adoptable(other, "aws.west", "x"));
}

STORE_TEST(what_a_run_that_is_under_way_adopts_no_other_deployment_may)
{
    check_adopting(true);
}

/* Of a plan that an older program stored. */
STORE_TEST(what_a_run_of_an_older_plan_adopts_no_other_deployment_may)
{
    check_adopting(false);
}

STORE_TEST(what_a_deployment_has_recorded_no_other_may_adopt)
{
    static const char other[] = "d0000000-0000-8000-8000-000000000002";
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(record_freep) struct record *record = record_new();
    record->address = string_copy("web");
    record->type = string_copy("core:data:value");
    record->instance = string_copy("aws.west");
    record->uid = string_copy("11111111-2222-8333-8444-555555555555");
    record->provider_id = string_copy("x");
    record->spec = from_json("{}");
    record->generation = 1;
    add_deployment(batch, DEPLOYMENT, "web", 1);
    store_batch_put_record(batch, DEPLOYMENT, record);
    CHECK(commits(batch, NULL));
    CHECK(!is_adoptable(other, "aws.west", "x"));
    CHECK(is_adoptable(DEPLOYMENT, "aws.west", "x"));
    CHECK(is_adoptable(other, "aws.east", "x"));
    store_batch_remove_record(batch, DEPLOYMENT, "web", 1);
    CHECK(commits(batch, NULL));
    CHECK(is_adoptable(other, "aws.west", "x"));
}

STORE_TEST(a_version_that_has_moved_on_is_stale)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    store_batch_check_version(batch, DEPLOYMENT, 0);
    add_record(batch, "a", 1, "1");
    CHECK(commits(batch, NULL));
    store_batch_check_version(batch, DEPLOYMENT, 0);
    add_record(batch, "a", 1, "2");
    CHECK(commit_error(batch) == ERROR_STALE);
    store_batch_check_version(batch, DEPLOYMENT, 1);
    add_record(batch, "a", 1, "3");
    CHECK(commits(batch, NULL));
    CLEANUP(mem_freep) char *records = list_records();
    CHECK_TEXT(records, "a#1=3");
}

/* One of each change, so that a refusal at the end has everything to undo. */
static void add_everything(struct store_batch *batch)
{
    CLEANUP(value_unrefp) struct value *fields = from_json("{\"document\":\"x\"}");
    add_deployment(batch, "new", "new", 1);
    CLEANUP(value_unrefp) struct value *outputs = from_json("{\"changed\":true}");
    struct store_deployment changed = {.uid = (char[]){DEPLOYMENT},
                                       .name = (char[]){"web"},
                                       .environment = (char[]){"default"},
                                       .incarnation = 1,
                                       .is_destroyed = true,
                                       .outputs = outputs};
    store_batch_put_deployment(batch, &changed);
    store_batch_take_epoch(batch, DEPLOYMENT, 2);
    store_batch_add_revision(batch, DEPLOYMENT, fields);
    store_batch_put_plan(batch, "ffffff0000", DEPLOYMENT, "{}", NULL);
    store_batch_add_approval(batch, PLAN, fields);
    add_run(batch, "new-run");
    struct store_run ended = {.id = (char[]){RUN},
                              .deployment_uid = (char[]){DEPLOYMENT},
                              .plan_hash = (char[]){PLAN},
                              .status = RUN_DONE};
    store_batch_put_run(batch, &ended);
    add_record(batch, "kept", 1, "99");
    add_record(batch, "new", 1, "99");
    store_batch_remove_record(batch, DEPLOYMENT, "removed", 1);
    add_journal(batch, RUN, "{}");
}

/* All that can be read of the samples, as one text. */
static char *snapshot(void)
{
    struct strbuf text = {0};
    CLEANUP(mem_freep) char *records = list_records();
    CLEANUP(mem_freep) char *runs = list_runs(NULL, 100);
    CLEANUP(store_deployment_done) struct store_deployment deployment = find_deployment();
    strbuf_addf(&text, "%s / %s / %d %" PRId64 " %" PRId64 " %" PRId64 " ", records, runs,
                deployment.is_destroyed, deployment.epoch, deployment.head_revision,
                deployment.records_version);
    json_write(&text, deployment.outputs);
    CLEANUP(value_unrefp) struct value *approvals = NULL;
    CLEANUP(value_unrefp) struct value *plan = NULL;
    CLEANUP(value_unrefp) struct value *rows = read_journal(RUN, 0, 100);
    (void)store_list_approvals(store, PLAN, &approvals, NULL);
    json_write(&text, approvals);
    CLEANUP(store_run_done) struct store_run run = {0};
    (void)store_get_run(store, RUN, &run, NULL);
    CLEANUP(store_deployment_done) struct store_deployment other = {0};
    strbuf_addf(&text, " / %s %zu %d %d", run_status_to_string(run.status), value_count(rows),
                store_get_plan(store, "ffffff", &plan, NULL),
                store_find_deployment(store, "new", "default", &other, NULL));
    return strbuf_take(&text);
}

STORE_TEST(a_refused_batch_changes_nothing_wherever_it_was_refused)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_record(batch, "kept", 1, "1");
    add_record(batch, "removed", 1, "2");
    store_batch_take_epoch(batch, DEPLOYMENT, 1);
    CHECK(commits(batch, NULL));
    CLEANUP(mem_freep) char *before = snapshot();
    add_everything(batch);
    store_batch_check_epoch(batch, DEPLOYMENT, 1);
    CHECK(commit_error(batch) == ERROR_STALE);
    CLEANUP(mem_freep) char *after = snapshot();
    CHECK_TEXT(after, before);
    store_batch_check_version(batch, DEPLOYMENT, 7);
    add_everything(batch);
    CHECK(commit_error(batch) == ERROR_STALE);
    CLEANUP(mem_freep) char *later = snapshot();
    CHECK_TEXT(later, before);
    add_everything(batch);
    CHECK(commits(batch, NULL));
    CLEANUP(mem_freep) char *changed = snapshot();
    CHECK(strcmp(changed, before) != 0);
}

STORE_TEST(the_version_is_another_after_a_commit_and_the_same_without_one)
{
    int64_t versions[4] = {0};
    CHECK(store_get_version(store, &versions[0], NULL) == 0);
    CHECK(begin_run());
    CHECK(store_get_version(store, &versions[1], NULL) == 0);
    mem_free(snapshot());
    CHECK(store_get_version(store, &versions[2], NULL) == 0);
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_record(batch, "a", 1, "1");
    CHECK(commits(batch, NULL));
    CHECK(store_get_version(store, &versions[3], NULL) == 0);
    CHECK(versions[1] != versions[0] && versions[2] == versions[1] && versions[3] != versions[2]);
}

STORE_TEST(a_batch_is_empty_after_a_commit_and_can_be_filled_again)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_record(batch, "a", 1, "1");
    store_batch_check_epoch(batch, DEPLOYMENT, 9);
    CHECK(commit_error(batch) == ERROR_STALE);
    CHECK(commits(batch, NULL));
    add_record(batch, "b", 1, "1");
    CHECK(commits(batch, NULL));
    CHECK(commits(batch, NULL));
    CLEANUP(mem_freep) char *records = list_records();
    CHECK_TEXT(records, "b#1=1");
    store_batch_free(NULL);
}

/* --- Many at once --- */

enum { N_COMMITTERS = 200, N_ROWS = 2 * N_COMMITTERS };

struct committer {
    int number;
    int r;
    int64_t last_seq;
};

/* Each third is refused: the others must not notice. */
static void commit_one(void *argument)
{
    struct committer *committer = argument;
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(mem_freep) char *address = string_format("n[%d]", committer->number);
    add_record(batch, address, 1, "1");
    add_journal(batch, RUN, "{}");
    add_journal(batch, RUN, "{}");
    if (committer->number % 3 == 0)
        store_batch_check_epoch(batch, DEPLOYMENT, 9);
    committer->r = store_commit(store, batch, &committer->last_seq, NULL);
}

STORE_TEST(commits_of_many_coroutines_do_not_disturb_each_other)
{
    CHECK(begin_run());
    struct committer committers[N_COMMITTERS];
    for (int i = 0; i < N_COMMITTERS; i++) {
        committers[i] = (struct committer){.number = i, .r = 1};
        loop_spawn(loop, "committer", commit_one, &committers[i]);
    }
    bool has_ended = false;
    while (!has_ended) {
        loop_sleep(loop, 1000);
        has_ended = true;
        for (int i = 0; i < N_COMMITTERS; i++)
            has_ended = has_ended && committers[i].r <= 0;
    }
    size_t n_good = 0;
    bool is_taken[N_ROWS + 2] = {false};
    for (int i = 0; i < N_COMMITTERS; i++) {
        CHECK(committers[i].r == (i % 3 == 0 ? -ERROR_STALE : 0));
        if (committers[i].r < 0)
            continue;
        n_good++;
        int64_t seq = committers[i].last_seq;
        CHECK(seq >= 2 && seq <= N_ROWS && !is_taken[seq] && !is_taken[seq - 1]);
        is_taken[seq] = is_taken[seq - 1] = true;
    }
    struct records records = {0};
    CHECK(store_load_records(store, DEPLOYMENT, &records, NULL) == 0);
    size_t n_records = records.n_items;
    records_done(&records);
    CHECK(n_records == n_good);
    CLEANUP(store_deployment_done) struct store_deployment deployment = find_deployment();
    CHECK(deployment.records_version == (int64_t)n_good);
    uint64_t n_commits;
    uint64_t n_syncs;
    store_count_syncs(store, &n_commits, &n_syncs);
    CHECK(n_commits == N_COMMITTERS + 1);
    printf("# %d commits, %d syncs\n", (int)n_commits, (int)n_syncs);
    CHECK(!is_sqlite() || n_syncs <= n_commits / 4);
}

/* Processor seconds of this process to commit and load n records and n journal rows. */
static double time_rows(const char *prefix, int n)
{
    clock_t start = clock();
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp) struct value *body = from_json("{\"step\":\"create a#1\"}");
    for (int i = 0; i < n; i++) {
        char address[32];
        snprintf(address, sizeof(address), "%s%08d", prefix, i);
        add_record(batch, address, 1, "{\"value\":[1,2,3]}");
        store_batch_journal(batch, RUN, "intent", body);
    }
    CHECK(commits(batch, NULL));
    struct records records = {0};
    CHECK(store_load_records(store, DEPLOYMENT, &records, NULL) == 0);
    size_t n_records = records.n_items;
    records_done(&records);
    CHECK(n_records >= (size_t)n);
    for (int64_t seq = 0, n_read = 1; n_read > 0;) {
        CLEANUP(value_unrefp) struct value *rows = read_journal(RUN, seq, 1000);
        CHECK(rows);
        n_read = (int64_t)value_count(rows);
        if (n_read > 0)
            seq = value_get_integer(value_at(rows, value_count(rows) - 1), "seq", 0);
    }
    return (double)(clock() - start) / CLOCKS_PER_SEC;
}

STORE_TEST(time_grows_with_the_number_of_rows_and_not_faster)
{
    int n = 20000 / thinning();
    CHECK(begin_run());
    double few = time_rows("a", n);
    double many = time_rows("b", 5 * n);
    printf("# %d records and rows: %.2f s, %d: %.2f s\n", n, few, 5 * n, many);
    CHECK(many < few * 12);
}
