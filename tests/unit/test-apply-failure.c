/* What a run does when a call fails, gets no answer, or was done in part (DESIGN section 6). */
#include "unit/apply-scene.h"

TEST(after_a_failure_independent_branches_go_on_and_dependents_are_skipped)
{
    static const enum trouble troubles[] = {TROUBLE_UNREACHABLE, TROUBLE_REFUSE};
    for (size_t i = 0; i < ARRAY_LENGTH(troubles); i++) {
        scene_begin();
        plan_begin();
        create("bad", "{}");
        wait_for(create("child", "{}"), "create bad#1");
        wait_for(create("grandchild", "{}"), "create child#1");
        create("good", "{}");
        wait_for(create("friend", "{}"), "create good#1");
        scene.trouble_at = 1;
        scene.trouble = troubles[i];
        CHECK(ends_as("run-1", RUN_PARTLY));
        CHECK_RECORDS("friend#1 created {}\ngood#1 created {}\n");
        CHECK(records_equal_files());
        CHECK(strstr(strbuf_text(&scene.events), "result create bad#1 failed\n"));
        CHECK(strstr(strbuf_text(&scene.events), "skipped create child#1"));
        CHECK(strstr(strbuf_text(&scene.events), "skipped create grandchild#1"));
        CHECK(resume_ends_as("run-1", RUN_DONE));
        CHECK(scene.records.n_items == 5 && records_equal_files());
        CHECK(count_in(&scene.calls, "create good\n") == 1);
        CHECK_NO_FAULTS();
    }
}

/* Ten members that ten users wait for, as one group (plan.h). */
static void make_group(void)
{
    struct string_list members = {0};
    plan_begin();
    for (size_t i = 0; i < 10; i++) {
        CLEANUP(mem_freep) char *member = string_format("m%zu", i);
        CLEANUP(mem_freep) char *user = string_format("u%zu", i);
        string_list_add(&members, create(member, "{}")->id);
        wait_for(create(user, "{}"), "all of m");
    }
    wait_for(create("last", "{}"), "create u9#1");
    plan_add_group(scene.plan, "all of m", &members);
}

TEST(who_waits_for_a_group_begins_when_all_of_it_is_durable)
{
    scene_begin();
    scene.latency_us = 1000;
    make_group();
    CHECK(ends_as("run-1", RUN_DONE));
    CHECK(scene.records.n_items == 21 && records_equal_files());
    const char *calls = strbuf_text(&scene.calls);
    const char *first_user = strstr(calls, "create u");
    CHECK(first_user && strstr(first_user, "create last\n"));
    for (size_t i = 0; i < 10; i++) {
        CLEANUP(mem_freep) char *member = string_format("create m%zu\n", i);
        const char *at = strstr(calls, member);
        CHECK(at && at < first_user);
    }
    CHECK_NO_FAULTS();
}

TEST(who_waits_for_a_group_is_skipped_when_one_of_it_fails)
{
    scene_begin();
    make_group();
    scene.trouble_at = 4;
    scene.trouble = TROUBLE_REFUSE;
    CHECK(ends_as("run-1", RUN_PARTLY));
    CHECK(scene.records.n_items == 9 && !strstr(strbuf_text(&scene.calls), "create u"));
    for (size_t i = 0; i < 10; i++) {
        CLEANUP(mem_freep) char *user = string_format("skipped create u%zu#1", i);
        CHECK(strstr(strbuf_text(&scene.events), user));
    }
    CHECK(strstr(strbuf_text(&scene.events), "skipped create last#1"));
    CHECK(resume_ends_as("run-1", RUN_DONE));
    CHECK(scene.records.n_items == 21 && records_equal_files());
    CHECK_NO_FAULTS();
}

TEST(a_run_that_changed_nothing_has_failed)
{
    make_web();
    wait_for(create("app", "{}"), "create web#1");
    scene.trouble_at = 1;
    scene.trouble = TROUBLE_REFUSE;
    CHECK(ends_as("run-1", RUN_FAILED));
    CHECK_RECORDS("");
    CHECK_FILES("");
}

TEST(a_system_that_the_site_does_not_have_fails_its_steps_only)
{
    make_web();
    struct step *app = create("app", "{}");
    mem_free(app->instance);
    app->instance = string_copy("acme.west");
    CHECK(ends_as("run-1", RUN_PARTLY));
    CHECK_RECORDS("web#1 created {\"colour\":\"red\",\"size\":3}\n");
    CLEANUP(value_unrefp) struct value *rows = read_journal("run-1");
    CLEANUP(mem_freep) char *text = json_text(rows);
    CHECK(strstr(text, "acme.west"));
}

TEST(a_type_that_the_catalog_no_longer_has_fails_its_steps_and_says_so)
{
    for (int is_delete = 0; is_delete < 2; is_delete++) {
        make_web();
        create("app", "{}");
        CHECK(ends_as("run-1", RUN_DONE));
        plan_begin();
        drop("app");
        struct step *step = is_delete ? drop("web") : update("web", "{\"size\":4}");
        mem_free(step->type);
        step->type = string_copy("acme:thing:gone");
        CHECK(ends_as("run-2", RUN_PARTLY));
        CLEANUP(value_unrefp) struct value *rows = read_journal("run-2");
        CLEANUP(mem_freep) char *text = json_text(rows);
        CHECK(strstr(text, "no type acme:thing:gone"));
        CHECK_RECORDS("web#1 created {\"colour\":\"red\",\"size\":3}\n");
        CHECK_NO_FAULTS();
    }
}

TEST(a_create_whose_answer_is_lost_is_probed_and_not_repeated)
{
    make_web();
    wait_for(create("app", "{}"), "create web#1");
    scene.trouble_at = 1;
    scene.trouble = TROUBLE_LOSE_ANSWER;
    CHECK(ends_as("run-1", RUN_DONE));
    CHECK_TEXT(strbuf_text(&scene.calls), "create web\nprobe web\ncreate app\n");
    CHECK_TEXT(scene.records.items[1]->provider_id, "fake-web-1");
    CHECK(value_get_integer(scene.records.items[1]->outputs, "size", 0) == 3);
    CHECK(records_equal_files());
    CHECK_NO_FAULTS();
}

TEST(a_create_whose_request_is_lost_is_probed_before_anything_else)
{
    make_web();
    scene.trouble_at = 1;
    scene.trouble = TROUBLE_LOSE_REQUEST;
    prepare(scene.plan, "run-1");
    struct job job;
    job_run(&job, VERB_APPLY, "run-1");
    bool is_ended = job.r == 0 && job.run.status != RUN_RUNNING;
    job_done(&job);
    CHECK(is_ended);
    CHECK(text_starts_with(strbuf_text(&scene.calls), "create web\nprobe web\n"));
    if (status_of("run-1") != RUN_DONE)
        CHECK(resume_ends_as("run-1", RUN_DONE));
    refresh();
    CHECK(records_equal_files());
    CHECK_NO_FAULTS();
}

TEST(what_cannot_be_told_stops_its_branch_and_is_never_guessed)
{
    make_web();
    wait_for(create("app", "{}"), "create web#1");
    create("aside", "{}");
    scene.unknowable = "web";
    scene.trouble_at = 1;
    scene.trouble = TROUBLE_LOSE_ANSWER;
    CHECK(ends_as("run-1", RUN_PARTLY));
    CHECK(strstr(strbuf_text(&scene.events), "result create web#1 unknown\n"));
    CHECK(strstr(strbuf_text(&scene.events), "skipped create app#1"));
    /* Whoever plans next finds that nobody could tell. */
    CHECK_RECORDS("aside#1 created {}\nweb#1 unknown {\"colour\":\"red\",\"size\":3}\n");
    /* It still cannot be told: it stays untouched. */
    CHECK(resume_ends_as("run-1", RUN_PARTLY));
    CHECK(count_in(&scene.calls, "create web\n") == 1);
    CHECK(count_in(&scene.calls, "create app\n") == 0);
    scene.unknowable = NULL;
    CHECK(resume_ends_as("run-1", RUN_DONE));
    CHECK(count_in(&scene.calls, "create web\n") == 1);
    CHECK(count_in(&scene.calls, "create aside\n") == 1);
    CHECK(records_equal_files() && scene.records.n_items == 3);
    CHECK_NO_FAULTS();
}

TEST(a_probe_that_gets_no_answer_is_asked_again)
{
    make_web();
    open_fake("{\"fail\":{\"verb\":\"probe\",\"how\":\"unreachable\",\"count\":2}}");
    scene.trouble_at = 1;
    scene.trouble = TROUBLE_LOSE_ANSWER;
    CHECK(ends_as("run-1", RUN_DONE));
    CHECK_TEXT(strbuf_text(&scene.calls), "create web\nprobe web\nprobe web\nprobe web\n");
    CHECK(records_equal_files());
    CHECK_NO_FAULTS();
}

TEST(a_delete_that_was_done_in_part_is_recorded_so)
{
    make_web();
    CHECK(ends_as("run-1", RUN_DONE));
    plan_begin();
    drop("web");
    scene.trouble_at = 2;
    scene.trouble = TROUBLE_HALF;
    CHECK(ends_as("run-2", RUN_PARTLY));
    CHECK_RECORDS("web#1 partly {\"colour\":\"red\",\"size\":3}\n");
    CHECK(resume_ends_as("run-2", RUN_DONE));
    CHECK_RECORDS("");
    CHECK_FILES("");
}

/* The dependents of one failure may be a chain of any length. */
TEST(a_long_chain_behind_a_failure_is_skipped_in_one_row)
{
    enum { N = 5000 };
    scene_begin();
    plan_begin();
    create("bad", "{}");
    scene.is_quick = true;
    for (size_t i = 0; i < N; i++) {
        CLEANUP(mem_freep) char *address = string_format("n%zu", i);
        CLEANUP(mem_freep) char *before = string_format("create n%zu#1", i - 1);
        wait_for(create_data(address, "{\"value\":1}"), i ? before : "create bad#1");
    }
    scene.trouble_at = 1;
    scene.trouble = TROUBLE_REFUSE;
    CHECK(ends_as("run-1", RUN_FAILED));
    CLEANUP(value_unrefp) struct value *rows = read_journal("run-1");
    /* Its start, the step's intent and result, what waits for it, its end. */
    CHECK(value_count(rows) == 5);
    const struct value *skips = value_at(rows, 3);
    CHECK_TEXT(value_get_text(skips, "kind"), "skipped");
    CHECK_TEXT(value_get_text(skips, "because"), "create bad#1");
    CHECK(value_get_integer(skips, "count", 0) == N);
    CHECK(value_get_integer(value_at(rows, 4), "skipped", 0) == N);
    CHECK(resume_ends_as("run-1", RUN_DONE));
    CHECK(scene.records.n_items == N + 1);
    CHECK_NO_FAULTS();
}

TEST(what_was_done_in_part_is_recorded_as_it_is_there)
{
    make_web();
    create("aside", "{}");
    scene.trouble_at = 1;
    scene.trouble = TROUBLE_HALF;
    CHECK(ends_as("run-1", RUN_PARTLY));
    CHECK_RECORDS("aside#1 created {}\nweb#1 partly {\"colour\":\"red\"}\n");
    CHECK(records_equal_files());
    CHECK_TEXT(scene.records.items[1]->provider_id, "fake-web-1");
    strbuf_clear(&scene.calls);
    CHECK(resume_ends_as("run-1", RUN_DONE));
    /* Another create would make another one where the system knows no key. */
    CHECK_TEXT(strbuf_text(&scene.calls), "update web\n");
    CHECK_RECORDS("aside#1 created {}\nweb#1 created {\"colour\":\"red\",\"size\":3}\n");
    CHECK(records_equal_files());
    CHECK_NO_FAULTS();
}

TEST(a_lost_answer_to_an_update_or_delete_is_probed_too)
{
    static const enum trouble troubles[] = {TROUBLE_LOSE_ANSWER, TROUBLE_LOSE_REQUEST};
    for (size_t i = 0; i < 4; i++) {
        make_web();
        CHECK(ends_as("run-1", RUN_DONE));
        plan_begin();
        if (i < 2)
            update("web", "{\"colour\":\"blue\",\"size\":3}");
        else
            drop("web");
        scene.trouble = troubles[i % 2];
        scene.trouble_at = 2;
        struct job job;
        prepare(scene.plan, "run-2");
        job_run(&job, VERB_APPLY, "run-2");
        job_done(&job);
        CHECK(strstr(strbuf_text(&scene.calls), "probe web\n"));
        if (status_of("run-2") != RUN_DONE)
            CHECK(resume_ends_as("run-2", RUN_DONE));
        refresh();
        CHECK_RECORDS(i < 2 ? "web#1 created {\"colour\":\"blue\",\"size\":3}\n" : "");
        CHECK(records_equal_files());
        CHECK_NO_FAULTS();
    }
}

TEST(nothing_is_left)
{
    scene_done();
    CHECK(coroutine_count() == 0);
}
