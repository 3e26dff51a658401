/* One run at a time for each deployment, and none from a plan that the records have left behind. */
#include "unit/apply-scene.h"

#include <time.h>

TEST(a_plan_made_from_older_records_is_refused_and_nothing_is_changed)
{
    make_web();
    CHECK(ends_as("run-1", RUN_DONE));
    int64_t version = scene.records_version;
    strbuf_clear(&scene.calls);
    plan_begin();
    scene.plan->records_version = version - 1;
    update("web", "{\"colour\":\"blue\"}");
    prepare(scene.plan, "run-2");
    struct job job;
    job_run(&job, VERB_APPLY, "run-2");
    bool is_stale = job.r == -ERROR_STALE && job.err.message;
    bool is_as_before = job.run.status == RUN_PENDING && job.run.epoch == 0;
    job_done(&job);
    refresh();
    CHECK(is_stale && is_as_before && status_of("run-2") == RUN_PENDING);
    CHECK_TEXT(strbuf_text(&scene.calls), "");
    CHECK_RECORDS("web#1 created {\"colour\":\"red\",\"size\":3}\n");
    CHECK(scene.deployment.epoch == 1 && scene.records_version == version);
    CHECK(scene.deployment.head_revision == 1);
    CLEANUP(value_unrefp) struct value *rows = read_journal("run-2");
    CHECK(value_count(rows) == 0);
    /* Its lease is free again. */
    plan_begin();
    update("web", "{\"colour\":\"blue\"}");
    CHECK(ends_as("run-3", RUN_DONE));
}

/* A revision that came to nothing leaves no record of another version. */
TEST(a_plan_that_does_not_know_the_newest_revision_is_refused)
{
    make_web();
    CHECK(ends_as("run-1", RUN_DONE));
    plan_begin();
    update("web", "{\"colour\":\"blue\"}");
    value_unref(scene.plan->parents);
    scene.plan->parents = value_builder_list(&(struct value_builder){0});
    prepare(scene.plan, "run-2");
    struct job job;
    job_run(&job, VERB_APPLY, "run-2");
    bool is_stale = job.r == -ERROR_STALE && job.err.message;
    job_done(&job);
    refresh();
    CHECK(is_stale && status_of("run-2") == RUN_PENDING && scene.deployment.head_revision == 1);
}

struct two {
    struct job job;
    struct job late;
    struct plan *plan;
    enum verb verb;
};

/* While the first run is in the middle of a call, somebody else tries. */
static void try_in_between(void *argument)
{
    struct two *two = argument;
    loop_sleep(scene.loop, 20000);
    two->late.verb = two->verb;
    job_main(&two->late);
}

TEST(while_a_run_is_under_way_no_other_begins_resumes_or_settles)
{
    static const enum verb verbs[] = {VERB_APPLY, VERB_RESUME, VERB_SETTLE};
    for (size_t i = 0; i < ARRAY_LENGTH(verbs); i++) {
        make_web();
        scene.latency_us = 100000;
        prepare(scene.plan, "run-1");
        struct plan *first_plan = scene.plan;
        scene.plan = NULL;
        plan_begin();
        create("other", "{}");
        prepare(scene.plan, "run-2");
        const char *late_run = verbs[i] == VERB_APPLY ? "run-2" : "run-1";
        const struct plan *late_plan = verbs[i] == VERB_APPLY ? scene.plan : first_plan;
        struct two two = {.verb = verbs[i], .late = {.plan = late_plan, .run = get_run(late_run)}};
        job_start(&two.job, VERB_APPLY, first_plan, "run-1");
        loop_spawn(scene.loop, "late", try_in_between, &two);
        loop_run(scene.loop);
        bool is_so = two.late.r == -ERROR_BUSY && two.late.err.message && two.job.r == 0 &&
                     two.job.run.status == RUN_DONE;
        job_done(&two.job);
        job_done(&two.late);
        plan_free(first_plan);
        refresh();
        CHECK(is_so);
        CHECK_TEXT(strbuf_text(&scene.calls), "create web\n");
        CHECK_RECORDS("web#1 created {\"colour\":\"red\",\"size\":3}\n");
        CHECK(scene.deployment.epoch == 1);
        CHECK_NO_FAULTS();
    }
}

/* Another machine believes the run dead and takes its lease. */
static void take_over(void *argument)
{
    struct error *err = argument;
    loop_sleep(scene.loop, 20000);
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    store_batch_take_epoch(batch, DEPLOYMENT, 2);
    (void)store_commit(scene.memory, batch, NULL, err);
}

TEST(a_run_whose_lease_was_taken_over_writes_nothing_and_begins_nothing)
{
    make_web();
    wait_for(create("app", "{}"), "create web#1");
    scene.latency_us = 100000;
    prepare(scene.plan, "run-1");
    struct job job;
    struct error err = {0};
    job_start(&job, VERB_APPLY, scene.plan, "run-1");
    loop_spawn(scene.loop, "take over", take_over, &err);
    loop_run(scene.loop);
    bool is_taken = err.code == ERROR_NONE;
    bool is_refused = job.has_ended && job.r == -ERROR_STALE;
    job_done(&job);
    error_done(&err);
    refresh();
    CHECK(is_taken && is_refused);
    CHECK_TEXT(strbuf_text(&scene.calls), "create web\n");
    CHECK_RECORDS("");
    CLEANUP(value_unrefp) struct value *rows = read_journal("run-1");
    CHECK(!has_row(rows, "result", "create web#1"));
    CHECK(status_of("run-1") == RUN_RUNNING && scene.deployment.epoch == 2);
    CHECK_NO_FAULTS();
}

TEST(a_lease_is_a_file_in_the_home_and_free_after_the_run)
{
    make_web();
    CLEANUP(mem_freep) char *path = apply_lease_path(scene.home, DEPLOYMENT);
    CHECK(text_starts_with(path, scene.home));
    CHECK(ends_as("run-1", RUN_DONE));
    int fd = -1;
    CHECK(world_lock_file(path, &fd, NULL) == 0);
    close_descriptor(fd);
}

/* --- A pause between the intent and the call --- */

static int64_t clock_ahead;

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t late_clock(void)
{
    return read_clock(CLOCK_BOOTTIME) + clock_ahead;
}

static int64_t wall_clock(void)
{
    return read_clock(CLOCK_REALTIME);
}

static void draw(void *ret_bytes, size_t size)
{
    static unsigned char next;
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)ret_bytes)[i] = next++;
}

static const struct world_ops late_world = {
    .wall_clock = wall_clock, .monotonic_clock = late_clock, .random = draw};

/* As another run does that found the lock free. */
static void take_the_epoch(void)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    int64_t seq = 0;
    store_batch_take_epoch(batch, DEPLOYMENT, 2);
    if (scene.memory->ops->commit(scene.memory, batch, &seq, NULL) < 0)
        fault("nobody could take over");
}

static bool is_first_intent(const struct value *event)
{
    static const char want[] = "intent";
    const char *kind = value_get_text(event, "kind");
    return kind && text_equal(kind, want);
}

static void pause_after_intent(const struct value *event)
{
    if (is_first_intent(event))
        clock_ahead += INT64_C(3600) * 1000000;
}

static void pause_and_lose(const struct value *event)
{
    pause_after_intent(event);
    if (is_first_intent(event))
        take_the_epoch();
}

static void lose_lock_file(const struct value *event)
{
    if (!is_first_intent(event))
        return;
    CLEANUP(mem_freep) char *path = apply_lease_path(scene.home, DEPLOYMENT);
    if (world_remove_file(path, NULL) < 0)
        fault("the lock file stays");
}

static void end_pause(void)
{
    world_replace(NULL);
    clock_ahead = 0;
}

/* How many commits a run needs, with what happens at its events. */
static size_t count_commits(void (*on_event)(const struct value *event))
{
    make_web();
    world_replace(&late_world);
    scene.on_event = on_event;
    bool is_done = ends_as("run-1", RUN_DONE);
    end_pause();
    CHECK(is_done);
    CHECK_TEXT(strbuf_text(&scene.calls), "create web\n");
    CHECK_NO_FAULTS();
    return scene.store->n_commits;
}

TEST(after_a_pause_the_lease_is_asked_for_again_before_the_call)
{
    size_t n_undisturbed = count_commits(NULL);
    CHECK(count_commits(pause_after_intent) == n_undisturbed + 1);
}

TEST(after_a_pause_in_which_another_run_took_over_no_call_begins)
{
    static void (*const ways[])(const struct value *event) = {pause_and_lose, lose_lock_file};
    for (size_t i = 0; i < ARRAY_LENGTH(ways); i++) {
        make_web();
        world_replace(&late_world);
        scene.on_event = ways[i];
        struct job job;
        prepare(scene.plan, "run-1");
        job_run(&job, VERB_APPLY, "run-1");
        end_pause();
        bool is_stopped = job.has_ended && (i > 0 || job.r == -ERROR_STALE);
        job_done(&job);
        CHECK(is_stopped);
        CHECK_TEXT(strbuf_text(&scene.calls), "");
        CHECK_NO_FAULTS();
    }
}

/* Whoever found the run without a process ended it; then its process begins after all. */
static void end_pending(void *argument)
{
    struct store_run run = {0};
    if (store_get_run(scene.memory, "run-1", &run, NULL) < 0)
        fault("there is no run");
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    (void)argument;
    store_batch_check_run(batch, run.id, RUN_PENDING);
    run.status = RUN_FAILED;
    store_batch_put_run(batch, &run);
    if (store_commit(scene.memory, batch, NULL, NULL) < 0)
        fault("the run was not pending");
    store_run_done(&run);
}

TEST(a_run_that_was_ended_before_it_began_does_nothing)
{
    make_web();
    struct job job;
    prepare(scene.plan, "run-1");
    job = (struct job){.verb = VERB_APPLY, .plan = scene.plan, .run = get_run("run-1")};
    loop_spawn(scene.loop, "end", end_pending, NULL);
    loop_run(scene.loop);
    loop_spawn(scene.loop, "job", job_main, &job);
    loop_run(scene.loop);
    bool is_stale = job.has_ended && job.r == -ERROR_STALE;
    job_done(&job);
    CHECK(is_stale && status_of("run-1") == RUN_FAILED);
    CHECK_TEXT(strbuf_text(&scene.calls), "");
    CHECK_NO_FAULTS();
}

TEST(an_approval_that_expired_lets_no_run_begin_or_go_on)
{
    make_web();
    struct job job;
    prepare(scene.plan, "run-1");
    scene.approved_until = world_wall_clock();
    job_run(&job, VERB_APPLY, "run-1");
    bool is_refused = job.r == -ERROR_APPROVAL_NEEDED;
    job_done(&job);
    CHECK(is_refused && status_of("run-1") == RUN_PENDING);
    CHECK_TEXT(strbuf_text(&scene.calls), "");
    scene.approved_until = world_wall_clock() + INT64_C(3600) * 1000000;
    scene.trouble = TROUBLE_REFUSE;
    scene.trouble_at = 1;
    job_run(&job, VERB_APPLY, "run-1");
    bool has_failed = job.r == 0 && job.run.status == RUN_FAILED;
    job_done(&job);
    scene.approved_until = world_wall_clock();
    job_run(&job, VERB_RESUME, "run-1");
    is_refused = job.r == -ERROR_APPROVAL_NEEDED;
    job_done(&job);
    CHECK(has_failed && is_refused && scene.n_applies == 1);
    CHECK_NO_FAULTS();
}

TEST(nothing_is_left)
{
    scene_done();
    CHECK(coroutine_count() == 0);
}
