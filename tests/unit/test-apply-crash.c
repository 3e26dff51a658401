/*
 * What a run promises when it dies, when a commit fails and when a call goes wrong: at each point
 * in turn, until a run gets through. Afterwards the state is valid and a resume reaches the same
 * end as an undisturbed run (DESIGN section 6).
 */
#include "unit/apply-scene.h"

/* --- A plan with everything in it --- */

/* What is there before: boxes that will be changed, renamed, replaced both ways, and removed. */
static bool furnish(void)
{
    scene_begin();
    plan_begin();
    create("change", "{\"colour\":\"red\",\"size\":1}");
    create("gone", "{\"size\":2}");
    create("old", "{\"size\":3}");
    create("first", "{\"size\":4}");
    create("last", "{\"size\":5}");
    wait_for(create("user", "{\"note\":\"fake-last-1\"}"), "create last#1");
    create_data("seed", "{\"value\":\"sown\"}");
    if (!ends_as("run-0", RUN_DONE))
        return false;
    strbuf_clear(&scene.calls);
    strbuf_clear(&scene.events);
    scene.store->n_commits = 0;
    scene.n_applies = 0;
    return true;
}

static void plan_replacements(void)
{
    struct step *step = drop("first");
    step->replaces = true;
    step = create_next("first", 2, "{\"size\":40}");
    step->replaces = true;
    wait_for(step, "delete first#1");
    create_next("last", 2, "{\"size\":50}")->replaces = true;
    step =
        update("user", "{\"note\":{\"$unknown\":{\"type\":\"string\",\"origin\":\"${last.id}\"}}}");
    wait_for(step, "create last#2");
    step = drop("last");
    step->replaces = true;
    string_list_add(&step->depends_on, "create last#2");
    string_list_add(&step->depends_on, "update user#1");
}

static void plan_everything(void)
{
    plan_begin();
    update("change", "{\"colour\":\"blue\",\"size\":1}");
    drop("gone");
    rename_from("old", "renamed");
    plan_replacements();
    create("new", "{\"note\":{\"$unknown\":{\"type\":\"string\",\"origin\":\"${seed.value}\"}}}");
    struct step *step = create_data(
        "wire", "{\"value\":{\"$unknown\":{\"type\":\"any\",\"origin\":\"${new.id}\"}}}");
    wait_for(step, "create new#1");
    step = create("tail",
                  "{\"note\":{\"$unknown\":{\"type\":\"string\",\"origin\":\"${wire.value}!\"}}"
                  ",\"size\":7}");
    wait_for(step, "create wire#1");
    scene.plan->outputs =
        from_json("{\"tail\":{\"$unknown\":{\"type\":\"string\",\"origin\":\"${tail.id}\"}}}");
}

static const char everything[] = "change#1 created {\"colour\":\"blue\",\"size\":1}\n"
                                 "first#2 created {\"size\":40}\n"
                                 "last#2 created {\"size\":50}\n"
                                 "new#1 created {\"note\":\"sown\"}\n"
                                 "renamed#1 created {\"size\":3}\n"
                                 "seed#1 created {\"value\":\"sown\"}\n"
                                 "tail#1 created {\"note\":\"fake-new-1!\",\"size\":7}\n"
                                 "user#1 created {\"note\":\"fake-last-2\"}\n"
                                 "wire#1 created {\"value\":\"fake-new-1\"}\n";

static bool is_all_there(void)
{
    CLEANUP(mem_freep) char *records = list_records();
    CLEANUP(mem_freep) char *outputs = json_text(scene.deployment.outputs);
    bool is_so = text_equal(records, everything) && records_equal_files() &&
                 text_equal(outputs, "{\"tail\":\"fake-tail-1\"}") &&
                 scene.deployment.head_revision == 2;
    if (!is_so)
        printf("# records\n%s# outputs %s, revision %" PRId64 "\n", records, outputs,
               scene.deployment.head_revision);
    return is_so;
}

TEST(an_undisturbed_run_reaches_the_end)
{
    CHECK(furnish());
    plan_everything();
    CHECK(ends_as("run-1", RUN_DONE));
    CHECK(is_all_there());
    CHECK_NO_FAULTS();
}

/* Applies, or resumes what began, until the run is done; false when that takes too often. */
static bool reaches_the_end(const char *run_id, size_t at_most)
{
    for (size_t i = 0; i < at_most && status_of(run_id) != RUN_DONE; i++) {
        struct job job;
        bool has_begun = status_of(run_id) != RUN_PENDING;
        job_run(&job, has_begun ? VERB_RESUME : VERB_APPLY, run_id);
        if (job.r < 0)
            printf("# %s %s: %s\n", has_begun ? "resume" : "apply", run_id,
                   error_message(&job.err));
        job_done(&job);
    }
    refresh();
    return status_of(run_id) == RUN_DONE;
}

/* What a state that a run left at any point must be: every record's resource is known to the fake,
 * or has an open intent. */
static bool is_valid(const char *run_id)
{
    CLEANUP(value_unrefp) struct value *rows = read_journal(run_id);
    refresh();
    for (size_t i = 0; i < value_count(rows); i++) {
        const char *step = value_get_text(value_at(rows, i), "step");
        if (is_row(value_at(rows, i), "result", step ? step : "") && !has_row(rows, "intent", step))
            fault("%s has a result without an intent", step);
    }
    return scene.faults.length == 0;
}

static void say_where(const char *what, size_t n)
{
    printf("# %s %zu: calls\n%s# faults %s\n", what, n, strbuf_text(&scene.calls),
           strbuf_text(&scene.faults));
}

/* Lets the Nth commit of a run go wrong so. False when a promise was broken; *ret_n_reached is
 * whether there was an Nth. */
static bool survives_commit(size_t n, enum death death, bool *ret_is_reached)
{
    struct job job;
    if (!furnish())
        return false;
    plan_everything();
    prepare(scene.plan, "run-1");
    scene.latency_us = 300;
    scene.store->die_at = n;
    scene.store->death = death;
    job_run(&job, VERB_APPLY, "run-1");
    *ret_is_reached = scene.store->n_commits >= n;
    bool has_ended = job.has_ended && coroutine_count() == 0;
    bool is_told = death == DEATH_ONCE || job.r < 0 || !*ret_is_reached;
    job_done(&job);
    scene.store->die_at = 0;
    scene.is_dead = false;
    return has_ended && is_told && is_valid("run-1") && reaches_the_end("run-1", 3) &&
           is_all_there() && scene.faults.length == 0;
}

static void check_every_commit(enum death death, const char *what)
{
    size_t n = 1;
    for (bool is_reached = true; is_reached && n < 200; n++) {
        bool is_so = survives_commit(n, death, &is_reached);
        if (!is_so)
            say_where(what, n);
        CHECK(is_so);
    }
    printf("# %s: %zu\n", what, n - 2);
    CHECK(n > 6 && n < 200);
}

TEST(a_run_that_dies_before_any_of_its_commits_is_resumed)
{
    check_every_commit(DEATH_BEFORE, "died before commit");
}

TEST(a_run_that_dies_after_any_of_its_commits_is_resumed)
{
    check_every_commit(DEATH_AFTER, "died after commit");
}

TEST(any_commit_may_fail_once)
{
    check_every_commit(DEATH_ONCE, "failed commit");
}

/* A resume may die like a run. */
static bool survives_resume(size_t first, size_t second, bool *ret_is_reached)
{
    struct job job;
    if (!furnish())
        return false;
    plan_everything();
    prepare(scene.plan, "run-1");
    scene.latency_us = 300;
    scene.store->die_at = first;
    scene.store->death = DEATH_AFTER;
    job_run(&job, VERB_APPLY, "run-1");
    job_done(&job);
    scene.is_dead = false;
    scene.store->n_commits = 0;
    scene.store->die_at = second;
    scene.store->death = second % 2 ? DEATH_BEFORE : DEATH_AFTER;
    job_run(&job, VERB_RESUME, "run-1");
    *ret_is_reached = scene.store->n_commits >= second;
    job_done(&job);
    scene.store->die_at = 0;
    scene.is_dead = false;
    return is_valid("run-1") && reaches_the_end("run-1", 3) && is_all_there() &&
           scene.faults.length == 0;
}

TEST(a_resume_that_dies_at_any_commit_is_resumed)
{
    static const size_t firsts[] = {1, 2, 3, 5};
    for (size_t i = 0; i < ARRAY_LENGTH(firsts); i++) {
        bool is_reached = true;
        size_t n = 1;
        for (; is_reached && n < 100; n++) {
            bool is_so = survives_resume(firsts[i], n, &is_reached);
            if (!is_so)
                say_where("second death", n);
            CHECK(is_so);
        }
        CHECK(n > 2 && n < 100);
    }
}

/* --- Every call goes wrong once --- */

static bool survives_call(size_t n, enum trouble trouble, bool *ret_is_reached)
{
    struct job job;
    if (!furnish())
        return false;
    plan_everything();
    prepare(scene.plan, "run-1");
    scene.trouble_at = n;
    scene.trouble = trouble;
    job_run(&job, VERB_APPLY, "run-1");
    *ret_is_reached = scene.n_applies >= n;
    bool has_ended = job.has_ended && job.r == 0 && job.run.status != RUN_RUNNING;
    job_done(&job);
    return has_ended && is_valid("run-1") && reaches_the_end("run-1", 2) && is_all_there() &&
           scene.faults.length == 0;
}

TEST(any_call_may_go_wrong_in_any_way)
{
    for (enum trouble trouble = TROUBLE_UNREACHABLE; trouble < TROUBLE_COUNT; trouble++) {
        bool is_reached = true;
        size_t n = 1;
        for (; is_reached && n < 100; n++) {
            bool is_so = survives_call(n, trouble, &is_reached);
            if (!is_so)
                say_where("call", n);
            CHECK(is_so);
        }
        printf("# trouble %d: %zu calls\n", (int)trouble, n - 2);
        CHECK(n > 8 && n < 100);
    }
}

/* --- Handles and what is pending --- */

TEST(what_was_pending_when_the_run_died_is_waited_for_and_not_repeated)
{
    struct job job;
    scene_begin();
    open_fake("{\"asynchronous\":true,\"latency\":\"150ms\"}");
    plan_begin();
    create("web", "{\"size\":1}");
    wait_for(create("app", "{\"size\":2}"), "create web#1");
    prepare(scene.plan, "run-1");
    /* The lease, the intent, the handle; then it is dead. */
    scene.store->die_at = 3;
    scene.store->death = DEATH_AFTER;
    job_run(&job, VERB_APPLY, "run-1");
    job_done(&job);
    CLEANUP(value_unrefp) struct value *rows = read_journal("run-1");
    CHECK(has_row(rows, "handle", "create web#1"));
    scene.is_dead = false;
    scene.store->die_at = 0;
    CHECK(reaches_the_end("run-1", 1));
    CHECK(count_in(&scene.calls, "create web\n") == 1);
    CHECK(count_in(&scene.calls, "probe web\n") >= 1);
    CHECK(scene.records.n_items == 2 && records_equal_files());
    CHECK_NO_FAULTS();
}

/* --- Settling without going on --- */

static bool dies_in_the_middle(size_t n)
{
    struct job job;
    if (!furnish())
        return false;
    plan_everything();
    prepare(scene.plan, "run-1");
    scene.store->die_at = n;
    scene.store->death = DEATH_BEFORE;
    job_run(&job, VERB_APPLY, "run-1");
    bool is_so = job.r < 0 && status_of("run-1") == RUN_RUNNING;
    job_done(&job);
    scene.store->die_at = 0;
    scene.is_dead = false;
    return is_so;
}

TEST(settling_writes_down_what_became_of_a_dead_run_and_changes_nothing_outside)
{
    for (size_t n = 3; n < 6; n++) {
        struct job job;
        CHECK(dies_in_the_middle(n));
        CLEANUP(mem_freep) char *before = list_files();
        size_t n_applies = scene.n_applies;
        job_run(&job, VERB_SETTLE, "run-1");
        bool is_so = job.r == 0 && job.n_open == 0;
        enum run_status status = job.run.status;
        job_done(&job);
        CHECK(is_so);
        CHECK(status == RUN_PARTLY || status == RUN_FAILED || status == RUN_DONE);
        CHECK(status_of("run-1") == status);
        refresh();
        CHECK(scene.n_applies == n_applies);
        CHECK_FILES(before);
        CHECK(records_equal_files());
        CHECK_NO_FAULTS();
    }
}

TEST(after_settling_a_new_plan_or_a_resume_can_go_on)
{
    for (int is_resume = 0; is_resume < 2; is_resume++) {
        struct job job;
        CHECK(dies_in_the_middle(3));
        job_run(&job, VERB_SETTLE, "run-1");
        job_done(&job);
        refresh();
        if (is_resume) {
            CHECK(reaches_the_end("run-1", 1));
            CHECK(is_all_there());
        } else {
            plan_begin();
            create("another", "{}");
            CHECK(ends_as("run-2", RUN_DONE));
            CHECK(records_equal_files());
        }
        CHECK_NO_FAULTS();
    }
}

TEST(settling_counts_what_could_not_be_told_and_leaves_it_open)
{
    struct job job;
    scene_begin();
    plan_begin();
    create("web", "{\"size\":1}");
    create("app", "{\"size\":1}");
    prepare(scene.plan, "run-1");
    scene.store->die_at = 3;
    scene.store->death = DEATH_BEFORE;
    job_run(&job, VERB_APPLY, "run-1");
    job_done(&job);
    scene.store->die_at = 0;
    scene.is_dead = false;
    scene.unknowable = "web";
    job_run(&job, VERB_SETTLE, "run-1");
    size_t n_open = job.n_open;
    int r = job.r;
    job_done(&job);
    CHECK(r == 0 && n_open == 1);
    CHECK(scene.n_applies == 2);
    scene.unknowable = NULL;
    CHECK(reaches_the_end("run-1", 2));
    CHECK(scene.n_applies == 2 && records_equal_files() && scene.records.n_items == 2);
    CHECK_NO_FAULTS();
}

/* A thousand intents may be open when a run dies; to settle them costs what it cost to begin them.
 */
TEST(many_open_intents_are_settled_in_few_commits)
{
    enum { N = 500 };
    for (int is_resume = 0; is_resume < 2; is_resume++) {
        struct job job;
        scene_begin();
        scene.is_quick = true;
        plan_begin();
        for (size_t i = 0; i < N; i++) {
            CLEANUP(mem_freep) char *address = string_format("n%zu", i);
            create(address, "{\"size\":1}");
        }
        prepare(scene.plan, "run-1");
        scene.store->die_at = 6;
        scene.store->death = DEATH_BEFORE;
        job_run(&job, VERB_APPLY, "run-1");
        bool is_dead = job.r < 0;
        job_done(&job);
        scene.store->die_at = 0;
        scene.is_dead = false;
        scene.store->n_commits = 0;
        job_run(&job, is_resume ? VERB_RESUME : VERB_SETTLE, "run-1");
        bool is_settled = job.r == 0 && job.n_open == 0;
        job_done(&job);
        refresh();
        printf("# %zu commits\n", scene.store->n_commits);
        CHECK(is_dead && is_settled);
        CHECK(records_equal_files());
        CHECK(scene.records.n_items == (is_resume ? N : scene.n_applies));
        CHECK(scene.store->n_commits <= 3 + 2 * N / 64);
        CHECK_NO_FAULTS();
    }
}

/* Somebody took a file of the catalog away while the run was dead. */
TEST(what_has_no_type_any_more_cannot_be_told_and_stays_open)
{
    struct job job;
    struct catalog *reduced = NULL;
    struct diagnostics diagnostics = {0};
    CHECK(dies_in_the_middle(3));
    CHECK(catalog_open(NULL, &reduced, &diagnostics, NULL) == 0);
    struct catalog *whole = scene.catalog;
    scene.catalog = reduced;
    job_run(&job, VERB_SETTLE, "run-1");
    size_t n_open = job.n_open;
    int r = job.r;
    job_done(&job);
    scene.catalog = whole;
    catalog_free(reduced);
    CHECK(r == 0 && n_open > 0);
    CHECK(reaches_the_end("run-1", 1));
    CHECK(is_all_there());
    CHECK_NO_FAULTS();
}

TEST(a_resume_that_is_cancelled_can_be_resumed)
{
    struct job job;
    CHECK(dies_in_the_middle(3));
    scene.is_cancelled = true;
    job_run(&job, VERB_RESUME, "run-1");
    enum run_status status = job.r == 0 ? job.run.status : RUN_STATUS_COUNT;
    job_done(&job);
    CHECK(status == RUN_CANCELLED && status_of("run-1") == RUN_CANCELLED);
    scene.is_cancelled = false;
    CHECK(reaches_the_end("run-1", 1));
    CHECK(is_all_there());
    CHECK_NO_FAULTS();
}

TEST(a_run_after_which_another_came_is_not_resumed)
{
    struct job job;
    CHECK(dies_in_the_middle(3));
    struct plan *dead = scene.plan;
    scene.plan = NULL;
    job_start(&job, VERB_SETTLE, dead, "run-1");
    loop_run(scene.loop);
    job_done(&job);
    refresh();
    plan_begin();
    create("another", "{}");
    bool is_done = ends_as("run-2", RUN_DONE);
    CLEANUP(mem_freep) char *before = list_records();
    size_t n_applies = scene.n_applies;
    job_start(&job, VERB_RESUME, dead, "run-1");
    loop_run(scene.loop);
    bool is_stale = job.r == -ERROR_STALE && job.err.message;
    job_done(&job);
    plan_free(dead);
    refresh();
    CHECK(is_done && is_stale);
    CHECK(scene.n_applies == n_applies);
    CHECK_RECORDS(before);
    CHECK_NO_FAULTS();
}

TEST(nothing_is_left)
{
    scene_done();
    CHECK(coroutine_count() == 0);
}
