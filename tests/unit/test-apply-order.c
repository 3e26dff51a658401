/* In which order a run does things, what is durable before what, and how it is cancelled. */
#include "unit/apply-scene.h"

/* --- The order of things --- */

TEST(a_step_begins_only_after_the_results_it_waits_for_are_durable)
{
    scene_begin();
    scene.latency_us = 2000;
    plan_begin();
    create("a", "{}");
    create("b", "{}");
    wait_for(create("c", "{}"), "create a#1");
    struct step *d = create("d", "{}");
    wait_for(d, "create b#1");
    wait_for(d, "create c#1");
    struct step *e = create_data("e", "{\"value\":1}");
    wait_for(e, "create d#1");
    wait_for(create("f", "{}"), "create e#1");
    CHECK(ends_as("run-1", RUN_DONE));
    CHECK(scene.n_applies == 5 && scene.records.n_items == 6);
    CHECK(records_equal_files());
    CHECK_NO_FAULTS();
}

TEST(what_does_not_wait_for_each_other_runs_at_the_same_time)
{
    scene_begin();
    scene.latency_us = 20000;
    plan_begin();
    for (size_t i = 0; i < 10; i++) {
        CLEANUP(mem_freep) char *address = string_format("box-%zu", i);
        create(address, "{}");
    }
    CHECK(ends_as("run-1", RUN_DONE));
    CHECK(scene.n_ran_together == 10);
    CHECK_NO_FAULTS();
}

/* DESIGN section 6, points 3 and 5: intents of all ready steps share a commit. */
TEST(thousands_of_steps_take_few_commits)
{
    enum { N = 2000, DEPTH = 10 };
    for (int is_core = 0; is_core < 2; is_core++) {
        scene_begin();
        plan_begin();
        scene.is_quick = true;
        for (size_t i = 0; i < N; i++) {
            CLEANUP(mem_freep) char *address = string_format("n%zu", i);
            struct step *step =
                is_core ? create_data(address, "{\"value\":1}") : create(address, "{\"size\":1}");
            CLEANUP(mem_freep) char *before = string_format("create n%zu#1", i - N / DEPTH);
            if (i >= N / DEPTH)
                wait_for(step, before);
        }
        CHECK(ends_as("run-1", RUN_DONE));
        CHECK(scene.records.n_items == N);
        CHECK(scene.n_applies == (is_core ? 0 : N));
        uint64_t n_commits, n_syncs;
        store_count_syncs(&scene.store->store, &n_commits, &n_syncs);
        printf("# %s: %" PRIu64 " commits\n", is_core ? "core" : "fake", n_commits);
        /* Results of calls come in rounds of what runs at the same time. */
        CHECK((int)n_commits <= 2 * DEPTH + N / (is_core ? 500 : 64) + 6);
        CHECK_NO_FAULTS();
    }
}

TEST(events_that_are_durable_are_the_rows_of_the_journal)
{
    make_web();
    wait_for(create("app", "{}"), "create web#1");
    CHECK(ends_as("run-1", RUN_DONE));
    CLEANUP(value_unrefp) struct value *rows = NULL;
    rows = read_journal("run-1");
    struct strbuf want = {0};
    for (size_t i = 0; i < value_count(rows); i++) {
        const struct value *row = value_at(rows, i);
        const char *step = value_get_text(row, "step");
        const char *outcome = value_get_text(row, "outcome");
        strbuf_addf(&want, "%s%s%s%s%s\n", value_get_text(row, "kind"), step ? " " : "",
                    step ? step : "", outcome ? " " : "", outcome ? outcome : "");
    }
    CLEANUP(mem_freep) char *text = strbuf_take(&want);
    CHECK_TEXT(strbuf_text(&scene.events), text);
    CHECK(strstr(text, "intent create web#1\n") && strstr(text, "result create web#1 done\n"));
    CHECK_NO_FAULTS();
}

/* --- Handles --- */

TEST(a_handle_is_durable_before_it_is_waited_on)
{
    make_web();
    open_fake("{\"asynchronous\":true,\"latency\":\"30ms\"}");
    CHECK(ends_as("run-1", RUN_DONE));
    CLEANUP(value_unrefp) struct value *rows = read_journal("run-1");
    CHECK(has_row(rows, "handle", "create web#1"));
    CHECK_TEXT(strbuf_text(&scene.events), "started\nintent create web#1\nhandle create web#1\n"
                                           "result create web#1 done\nfinished\n");
    CLEANUP(mem_freep) char *text = json_text(rows);
    CHECK(strstr(text, "operation-web-1"));
    CHECK(records_equal_files());
    CHECK_NO_FAULTS();
}

/* --- Cancelling --- */

static void cancel_at_first_result(const struct value *event)
{
    if (text_equal(value_get_text(event, "kind"), "result"))
        scene.is_cancelled = true;
}

TEST(when_cancelled_nothing_new_begins_and_what_runs_ends)
{
    scene_begin();
    scene.latency_us = 20000;
    plan_begin();
    create_data("quick", "{\"value\":1}");
    create("slow", "{}");
    wait_for(create("later", "{}"), "create quick#1");
    wait_for(create("last", "{}"), "create slow#1");
    scene.on_event = cancel_at_first_result;
    CHECK(ends_as("run-1", RUN_CANCELLED));
    CHECK(scene.n_running == 0 && coroutine_count() == 0);
    CHECK(count_in(&scene.calls, "create later\n") == 0);
    CHECK(count_in(&scene.calls, "create last\n") == 0);
    CHECK(records_equal_files());
    scene.on_event = NULL;
    scene.is_cancelled = false;
    CHECK(resume_ends_as("run-1", RUN_DONE));
    CHECK(scene.records.n_items == 4 && records_equal_files());
    CHECK(count_in(&scene.calls, "create slow\n") <= 1);
    CHECK_NO_FAULTS();
}

TEST(what_a_cancelled_run_does_not_begin_has_no_rows)
{
    enum { N_BEHIND = 300 };
    scene_begin();
    plan_begin();
    create("first", "{}");
    wait_for(create("second", "{}"), "create first#1");
    for (size_t i = 0; i < N_BEHIND; i++) {
        CLEANUP(mem_freep) char *name = string_format("r%zu", i);
        wait_for(create(name, "{}"), "create second#1");
    }
    scene.on_event = cancel_at_first_result;
    CHECK(ends_as("run-1", RUN_CANCELLED));
    CHECK(count_in(&scene.events, "skipped ") == 0);
    CLEANUP(value_unrefp) struct value *rows = read_journal("run-1");
    /* Its start, both steps' intents and results, its end. */
    CHECK(value_count(rows) == 6);
    const struct value *end = value_at(rows, value_count(rows) - 1);
    CHECK_TEXT(value_get_text(end, "kind"), "finished");
    CHECK(value_get_integer(end, "skipped", 0) + value_get_integer(end, "failed", 0) ==
          N_BEHIND + 1);
    scene.on_event = NULL;
    scene.is_cancelled = false;
    CHECK(resume_ends_as("run-1", RUN_DONE));
    CHECK(scene.records.n_items == N_BEHIND + 2 && records_equal_files());
    CHECK_NO_FAULTS();
}

static void cancel_soon(void *argument)
{
    (void)argument;
    loop_sleep(scene.loop, 20000);
    scene.is_cancelled = true;
}

/* DESIGN section 6: the first Ctrl-C lets running calls finish ... */
TEST(a_call_that_runs_when_cancelled_finishes_and_is_recorded)
{
    struct job job;
    scene_begin();
    open_fake("{\"latency\":\"100ms\"}");
    plan_begin();
    create("slow", "{}");
    wait_for(create("last", "{}"), "create slow#1");
    prepare(scene.plan, "run-1");
    job_start(&job, VERB_APPLY, scene.plan, "run-1");
    loop_spawn(scene.loop, "cancel", cancel_soon, NULL);
    loop_run(scene.loop);
    enum run_status status = job.run.status;
    job_done(&job);
    refresh();
    CHECK(status == RUN_CANCELLED);
    CHECK(strstr(strbuf_text(&scene.events), "result create slow#1 done\n"));
    CHECK_RECORDS("slow#1 created {}\n");
    CHECK_TEXT(strbuf_text(&scene.calls), "create slow\n");
    CHECK_NO_FAULTS();
}

static void cancel_at_handle(const struct value *event)
{
    if (text_equal(value_get_text(event, "kind"), "handle"))
        scene.is_cancelled = true;
}

/* ... or journals their handle and detaches. */
TEST(a_long_operation_is_detached_from_when_cancelled)
{
    scene_begin();
    open_fake("{\"asynchronous\":true,\"latency\":\"2s\"}");
    plan_begin();
    create("slow", "{}");
    scene.on_event = cancel_at_handle;
    int64_t start = world_monotonic_clock();
    CHECK(ends_as("run-1", RUN_CANCELLED));
    CHECK(world_monotonic_clock() - start < 1500000);
    CHECK(strstr(strbuf_text(&scene.events), "handle create slow#1\n"));
    /* It is told as that, not as a call that never began. */
    CLEANUP(value_unrefp) struct value *rows = read_journal("run-1");
    const char *message = NULL;
    for (size_t i = 0; i < value_count(rows); i++)
        if (is_row(value_at(rows, i), "result", "create slow#1"))
            message = value_get_text(value_at(rows, i), "message");
    CHECK(message && strstr(message, "detached") && strstr(message, "operation-slow-1"));
    struct store_run row = get_run("run-1");
    bool is_noted = row.message && strstr(row.message, "go on by themselves");
    store_run_done(&row);
    CHECK(is_noted);
    scene.on_event = NULL;
    scene.is_cancelled = false;
    CHECK(resume_ends_as("run-1", RUN_DONE));
    CHECK(count_in(&scene.calls, "create slow\n") == 1);
    CHECK(records_equal_files() && scene.records.n_items == 1);
    CHECK_NO_FAULTS();
}

static void cancel_once_it_is_slow(void *argument)
{
    (void)argument;
    while (!strstr(strbuf_text(&scene.events), "handle create slow#1\n"))
        loop_sleep(scene.loop, 1000);
    loop_sleep(scene.loop, 20000);
    scene.is_cancelled = true;
    gate_open(scene.loop, &scene.cancelled);
}

/* A run that is told looks no more by itself: it would wait for the operation's end. */
TEST(a_run_that_waits_hears_that_it_is_cancelled)
{
    struct job job;
    scene_begin();
    scene.says_cancelled = true;
    open_fake("{\"asynchronous\":true,\"latency\":\"60s\"}");
    plan_begin();
    create("slow", "{}");
    prepare(scene.plan, "run-1");
    int64_t start = world_monotonic_clock();
    job_start(&job, VERB_APPLY, scene.plan, "run-1");
    loop_spawn(scene.loop, "cancel", cancel_once_it_is_slow, NULL);
    loop_run(scene.loop);
    enum run_status status = job.run.status;
    job_done(&job);
    CHECK(status == RUN_CANCELLED);
    CHECK(world_monotonic_clock() - start < 50000000);
    scene.says_cancelled = scene.is_cancelled = false;
    CHECK_NO_FAULTS();
}

TEST(a_call_that_waits_for_room_does_not_begin_when_cancelled)
{
    scene_begin();
    open_fake("{\"latency\":\"100ms\"}");
    scene.fake->limits.concurrency = 2;
    plan_begin();
    for (size_t i = 0; i < 10; i++) {
        CLEANUP(mem_freep) char *address = string_format("box-%zu", i);
        create(address, "{}");
    }
    prepare(scene.plan, "run-1");
    struct job job;
    job_start(&job, VERB_APPLY, scene.plan, "run-1");
    loop_spawn(scene.loop, "cancel", cancel_soon, NULL);
    loop_run(scene.loop);
    enum run_status status = job.run.status;
    job_done(&job);
    refresh();
    CHECK(status == RUN_CANCELLED && scene.n_applies == 2);
    CHECK(scene.records.n_items == 2 && records_equal_files());
    scene.is_cancelled = false;
    CHECK(resume_ends_as("run-1", RUN_DONE));
    CHECK(scene.records.n_items == 10 && scene.n_applies == 10);
    CHECK_NO_FAULTS();
}

TEST(a_run_cancelled_before_it_begins_does_nothing)
{
    make_web();
    scene.is_cancelled = true;
    CHECK(ends_as("run-1", RUN_CANCELLED));
    CHECK_TEXT(strbuf_text(&scene.calls), "");
    CHECK_RECORDS("");
    scene.is_cancelled = false;
    CHECK(resume_ends_as("run-1", RUN_DONE));
    CHECK(records_equal_files() && scene.records.n_items == 1);
}

TEST(nothing_is_left)
{
    scene_done();
    CHECK(coroutine_count() == 0);
}
