/* What a run promises while nothing dies (DESIGN section 6, apply.h). */
#include "unit/apply-scene.h"

/* --- What is recorded --- */

static void make_web(void)
{
    scene_begin();
    plan_begin();
    create("web", "{\"colour\":\"red\",\"size\":3}");
}

TEST(a_create_is_made_once_and_recorded_as_it_was_made)
{
    make_web();
    struct step *web = &scene.plan->steps[0];
    web->protect = true;
    string_list_add(&web->resources, "lan");
    CHECK(ends_as("run-1", RUN_DONE));
    CHECK_TEXT(strbuf_text(&scene.calls), "create web\n");
    CHECK_FILES("web-1 {\"colour\":\"red\",\"size\":3}\n");
    CHECK_RECORDS("web#1 created {\"colour\":\"red\",\"size\":3}\n");
    const struct record *record = scene.records.items[0];
    CHECK_TEXT(record->type, BOX);
    CHECK_TEXT(record->instance, "acme.default");
    CHECK_TEXT(record->uid, "web-1");
    CHECK_TEXT(record->provider_id, "fake-web-1");
    CHECK_TEXT(record->origin, "document");
    CHECK_TEXT(value_get_text(record->outputs, "id"), "fake-web-1");
    CHECK(value_get_integer(record->outputs, "size", 0) == 3);
    CHECK(record->protect && string_list_has(&record->depends_on, "lan"));
    CHECK(record->created_at > 0 && record->updated_at >= record->created_at);
    CHECK_NO_FAULTS();
}

TEST(a_run_is_kept_up_to_date_in_the_store)
{
    make_web();
    int64_t before = world_wall_clock();
    CHECK(ends_as("run-1", RUN_DONE));
    CLEANUP(store_run_done) struct store_run run = get_run("run-1");
    CHECK(run.epoch == 1 && scene.deployment.epoch == 1);
    CHECK(run.started_at >= before && run.ended_at >= run.started_at);
    CHECK(!run.message);
    CHECK(scene.deployment.records_version >= 1 && !scene.deployment.is_destroyed);
}

struct revision {
    struct value *value;
    int r;
};

static void get_revision(void *argument)
{
    struct revision *revision = argument;
    revision->r = store_get_revision(scene.memory, DEPLOYMENT, 0, &revision->value, NULL);
}

TEST(the_applied_document_becomes_a_revision)
{
    make_web();
    CHECK(ends_as("run-1", RUN_DONE));
    CHECK(scene.deployment.head_revision == 1);
    struct revision revision = {0};
    loop_spawn(scene.loop, "revision", get_revision, &revision);
    loop_run(scene.loop);
    CLEANUP(value_unrefp) struct value *value = revision.value;
    CHECK(revision.r == 0);
    CHECK_TEXT(value_get_text(value, "document"), "deployment: {name: shop}\n");
    CHECK_TEXT(value_get_text(value, "plan"), scene.plan->hash);
    CHECK_TEXT(value_get_text(value, "run"), "run-1");
    CHECK_TEXT(value_get_text(value, "principal"), "user:1000");
    CHECK_TEXT(value_get_text(value, "words"), "up shop.yaml");
}

TEST(an_update_changes_the_spec_and_keeps_what_it_is)
{
    make_web();
    CHECK(ends_as("run-1", RUN_DONE));
    int64_t created_at = scene.records.items[0]->created_at;
    plan_begin();
    update("web", "{\"colour\":\"blue\",\"size\":4}");
    CHECK(ends_as("run-2", RUN_DONE));
    CHECK_RECORDS("web#1 created {\"colour\":\"blue\",\"size\":4}\n");
    const struct record *record = scene.records.items[0];
    CHECK(record->created_at == created_at);
    CHECK_TEXT(record->uid, "web-1");
    CHECK_TEXT(record->provider_id, "fake-web-1");
    CHECK(value_get_integer(record->outputs, "size", 0) == 4);
    CHECK(scene.deployment.epoch == 2 && records_equal_files());
    CHECK_NO_FAULTS();
}

TEST(what_is_deleted_leaves_no_record)
{
    make_web();
    CHECK(ends_as("run-1", RUN_DONE));
    plan_begin();
    drop("web");
    CHECK(ends_as("run-2", RUN_DONE));
    CHECK_RECORDS("");
    CHECK_FILES("");
}

TEST(a_destroyed_deployment_is_marked_as_gone)
{
    make_web();
    CHECK(ends_as("run-1", RUN_DONE));
    plan_begin();
    scene.plan->is_destroy = true;
    mem_free(scene.plan->document);
    scene.plan->document = NULL;
    drop("web");
    CHECK(ends_as("run-2", RUN_DONE));
    CHECK_RECORDS("");
    CHECK(scene.deployment.is_destroyed);
}

TEST(a_destroy_that_failed_in_part_is_no_destroyed_deployment)
{
    make_web();
    create("app", "{}");
    CHECK(ends_as("run-1", RUN_DONE));
    plan_begin();
    scene.plan->is_destroy = true;
    mem_free(scene.plan->document);
    scene.plan->document = NULL;
    drop("web");
    drop("app");
    scene.trouble = TROUBLE_REFUSE;
    scene.trouble_at = scene.n_applies + 1;
    CHECK(ends_as("run-2", RUN_PARTLY));
    CHECK(!scene.deployment.is_destroyed && scene.records.n_items == 1);
    CHECK(resume_ends_as("run-2", RUN_DONE));
    CHECK(scene.deployment.is_destroyed && scene.records.n_items == 0);
}

TEST(a_rename_moves_the_record_and_touches_nothing_outside)
{
    make_web();
    CHECK(ends_as("run-1", RUN_DONE));
    strbuf_clear(&scene.calls);
    plan_begin();
    rename_from("web", "front");
    CHECK(ends_as("run-2", RUN_DONE));
    CHECK_RECORDS("front#1 created {\"colour\":\"red\",\"size\":3}\n");
    CHECK_TEXT(scene.records.items[0]->uid, "web-1");
    CHECK_TEXT(strbuf_text(&scene.calls), "");
    CHECK(records_equal_files());
}

TEST(who_depends_on_what_is_renamed_knows_its_new_name)
{
    make_web();
    wait_for(create("app", "{}"), "create web#1");
    CHECK(ends_as("run-1", RUN_DONE));
    plan_begin();
    rename_from("web", "front");
    CHECK(ends_as("run-2", RUN_DONE));
    CHECK(scene.records.items[0]->depends_on.n_items == 1);
    CHECK_TEXT(scene.records.items[0]->depends_on.items[0], "front");
}

TEST(a_renamed_resource_can_be_changed_in_the_same_run)
{
    make_web();
    CHECK(ends_as("run-1", RUN_DONE));
    plan_begin();
    struct step *change = update("web", "{\"colour\":\"blue\",\"size\":3}");
    mem_free(change->address);
    mem_free(change->id);
    change->address = string_copy("front");
    change->id = string_copy("update front#1");
    string_list_add(&change->depends_on, "rename front#1");
    rename_from("web", "front");
    struct step first = scene.plan->steps[1];
    scene.plan->steps[1] = scene.plan->steps[0];
    scene.plan->steps[0] = first;
    CHECK(ends_as("run-2", RUN_DONE));
    CHECK_RECORDS("front#1 created {\"colour\":\"blue\",\"size\":3}\n");
    CHECK(records_equal_files());
    CHECK_NO_FAULTS();
}

TEST(data_of_the_core_is_recorded_and_has_outputs)
{
    scene_begin();
    plan_begin();
    create_data("answer", "{\"value\":{\"is\":42}}");
    CHECK(ends_as("run-1", RUN_DONE));
    CHECK_RECORDS("answer#1 created {\"value\":{\"is\":42}}\n");
    CHECK_TEXT(value_get_text(scene.records.items[0]->outputs, "id"), "answer-1");
    CHECK(value_get_integer(value_get(scene.records.items[0]->outputs, "value"), "is", 0) == 42);
    CHECK_FILES("");
}

TEST(a_plan_without_steps_comes_to_its_end)
{
    scene_begin();
    plan_begin();
    CHECK(ends_as("run-1", RUN_DONE));
    CHECK_RECORDS("");
}

/* --- What becomes known on the way --- */

TEST(unknown_values_are_filled_in_with_the_outputs_of_this_run_and_of_earlier_ones)
{
    make_web();
    CHECK(ends_as("run-1", RUN_DONE));
    plan_begin();
    create_data("answer", "{\"value\":\"forty\"}");
    struct step *app = create(
        "app",
        "{\"note\":{\"$unknown\":{\"type\":\"string\",\"origin\":\"${answer.value}-${web.id}\"}"
        "},\"size\":{\"$unknown\":{\"type\":\"integer\",\"origin\":\"${web.size}\"}}}");
    wait_for(app, "create answer#1");
    scene.plan->outputs = from_json(
        "{\"known\":1,\"url\":{\"$unknown\":{\"type\":\"string\",\"origin\":\"${app.id}/\"}}}");
    CHECK(ends_as("run-2", RUN_DONE));
    CHECK_RECORDS("answer#1 created {\"value\":\"forty\"}\n"
                  "app#1 created {\"note\":\"forty-fake-web-1\",\"size\":3}\n"
                  "web#1 created {\"colour\":\"red\",\"size\":3}\n");
    CLEANUP(mem_freep) char *outputs = json_text(scene.deployment.outputs);
    CHECK_TEXT(outputs, "{\"known\":1,\"url\":\"fake-app-1/\"}");
    CHECK(records_equal_files());
    CHECK_NO_FAULTS();
}

static int (*passed_on_apply)(struct provider *provider, struct call *call,
                              const struct target *target, const struct step *step,
                              struct value *after, struct outcome *ret_outcome, struct error *err);

static int note_references(struct provider *provider, struct call *call,
                           const struct target *target, const struct step *step,
                           struct value *after, struct outcome *ret_outcome, struct error *err)
{
    CLEANUP(mem_freep) char *text = json_text(target->references);
    strbuf_addf(&scene.calls, "%s %s %s\n", target->deployment, target->uid, text);
    return passed_on_apply(provider, call, target, step, after, ret_outcome, err);
}

TEST(a_driver_is_told_where_references_lead)
{
    make_web();
    struct step *lid = create("app", "{\"lid\":\"web\"}");
    wait_for(lid, "create web#1");
    passed_on_apply = scene.fake_ops.apply;
    scene.fake_ops.apply = note_references;
    CHECK(ends_as("run-1", RUN_DONE));
    CHECK(strstr(strbuf_text(&scene.calls), "shop web-1 {}\n"));
    CHECK(strstr(strbuf_text(&scene.calls),
                 "shop app-1 {\"lid\":[{\"address\":\"web\",\"outputs\":{\"endpoint\":"));
    CHECK(strstr(strbuf_text(&scene.calls), "\"uid\":\"web-1\"}]}\n"));
}

/* The catalog does not allow what the output turned out to be: nobody approved that. */
TEST(what_turns_out_not_to_be_what_was_approved_is_not_done)
{
    static const char *const specs[] = {
        "{\"colour\":{\"$unknown\":{\"type\":\"string\",\"origin\":\"${answer.value}\"}}}",
        "{\"size\":{\"$unknown\":{\"type\":\"integer\",\"origin\":\"${answer.value}\"}}}",
        "{\"note\":{\"$unknown\":{\"type\":\"string\",\"origin\":\"${answer.value.missing}\"}}}",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(specs); i++) {
        scene_begin();
        plan_begin();
        create_data("answer", "{\"value\":\"green\"}");
        wait_for(create("web", specs[i]), "create answer#1");
        wait_for(create("after", "{}"), "create web#1");
        create("aside", "{}");
        CHECK(ends_as("run-1", RUN_PARTLY));
        CHECK_TEXT(strbuf_text(&scene.calls), "create aside\n");
        CHECK(strstr(strbuf_text(&scene.events), "result create web#1 failed\n"));
        CHECK(strstr(strbuf_text(&scene.events), "skipped create after#1"));
        CHECK_RECORDS("answer#1 created {\"value\":\"green\"}\naside#1 created {}\n");
        CHECK_NO_FAULTS();
    }
}

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

/* --- Failures --- */

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
    CHECK_RECORDS("aside#1 created {}\n");
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
    CHECK(ends_as("run-2", RUN_FAILED));
    CHECK_RECORDS("web#1 partly {\"colour\":\"red\",\"size\":3}\n");
    CHECK(resume_ends_as("run-2", RUN_DONE));
    CHECK_RECORDS("");
    CHECK_FILES("");
}

/* The dependents of one failure may be a chain of any length. */
TEST(a_long_chain_behind_a_failure_is_skipped)
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
    CHECK(resume_ends_as("run-1", RUN_DONE));
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

/* --- Replacements and other systems --- */

TEST(the_old_generation_is_deposed_until_it_is_gone)
{
    make_web();
    CHECK(ends_as("run-1", RUN_DONE));
    plan_begin();
    create_next("web", 2, "{\"colour\":\"blue\"}")->replaces = true;
    struct step *old = drop("web");
    old->replaces = true;
    string_list_add(&old->depends_on, "create web#2");
    scene.trouble_at = 3;
    scene.trouble = TROUBLE_REFUSE;
    CHECK(ends_as("run-2", RUN_PARTLY));
    CHECK_RECORDS("web#1 deposed {\"colour\":\"red\",\"size\":3}\n"
                  "web#2 created {\"colour\":\"blue\"}\n");
    CHECK(records_equal_files());
    CHECK(resume_ends_as("run-2", RUN_DONE));
    CHECK_RECORDS("web#2 created {\"colour\":\"blue\"}\n");
    CHECK_FILES("web-2 {\"colour\":\"blue\"}\n");
    CHECK_NO_FAULTS();
}

TEST(what_was_gone_and_is_made_anew_has_one_record)
{
    make_web();
    CHECK(ends_as("run-1", RUN_DONE));
    CLEANUP(mem_freep)
    char *path = string_format("%s/fake/acme.default/web-1.json", scene.home);
    CHECK(world_remove_file(path, NULL) == 0);
    plan_begin();
    create_next("web", 2, "{\"colour\":\"red\"}")->reason = STEP_REASON_GONE;
    CHECK(ends_as("run-2", RUN_DONE));
    CHECK_RECORDS("web#2 created {\"colour\":\"red\"}\n");
    CHECK(records_equal_files());
}

TEST(dependents_of_a_replacement_see_the_new_generation)
{
    make_web();
    struct step *app = create("app", "{\"note\":\"fake-web-1\",\"lid\":\"web\"}");
    wait_for(app, "create web#1");
    CHECK(ends_as("run-1", RUN_DONE));
    plan_begin();
    create_next("web", 2, "{\"colour\":\"blue\"}")->replaces = true;
    app = update("app", "{\"note\":{\"$unknown\":{\"type\":\"string\",\"origin\":\"${web.id}\"}},"
                        "\"lid\":\"web\"}");
    wait_for(app, "create web#2");
    struct step *old = drop("web");
    old->replaces = true;
    string_list_add(&old->depends_on, "update app#1");
    passed_on_apply = scene.fake_ops.apply;
    scene.fake_ops.apply = note_references;
    CHECK(ends_as("run-2", RUN_DONE));
    CHECK_RECORDS("app#1 created {\"lid\":\"web\",\"note\":\"fake-web-2\"}\n"
                  "web#2 created {\"colour\":\"blue\"}\n");
    CHECK(strstr(strbuf_text(&scene.calls), "\"uid\":\"web-2\"}]}\n"));
    CHECK(records_equal_files());
}

TEST(a_stopped_system_is_started_before_anything_else)
{
    make_web();
    CHECK(ends_as("run-1", RUN_DONE));
    CLEANUP(mem_freep)
    char *path = string_format("%s/fake/acme.default/stopped", scene.home);
    CHECK(world_write_file(path, "", 0, 0600, false, NULL) == 0);
    plan_begin();
    struct step *start = add_step(STEP_START, "acme.default", 0);
    start->reason = STEP_REASON_STOPPED;
    struct step *change = update("web", "{\"colour\":\"blue\"}");
    string_list_add(&change->depends_on, "start acme.default#0");
    CHECK(ends_as("run-2", RUN_DONE));
    CHECK(!world_file_exists(path));
    CHECK_RECORDS("web#1 created {\"colour\":\"blue\"}\n");
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
    scene.on_event = NULL;
    scene.is_cancelled = false;
    CHECK(resume_ends_as("run-1", RUN_DONE));
    CHECK(count_in(&scene.calls, "create slow\n") == 1);
    CHECK(records_equal_files() && scene.records.n_items == 1);
    CHECK_NO_FAULTS();
}

TEST(a_call_that_waits_for_room_does_not_begin_when_cancelled)
{
    scene_begin();
    open_fake("{\"latency\":\"100ms\"}");
    scene.fake_ops.concurrency = 2;
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

/* --- Leases and what has moved on --- */

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

TEST(nothing_is_left)
{
    scene_done();
    CHECK(coroutine_count() == 0);
}
