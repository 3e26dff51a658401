/* What a run records of what it made, changed, renamed, replaced, removed and came to know. */
#include "unit/apply-scene.h"

/* --- What is recorded --- */

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

TEST(a_run_starts_when_it_was_asked_for)
{
    make_web();
    struct job job;
    prepare(scene.plan, "run-1");
    CLEANUP(store_run_done) struct store_run asked = get_run("run-1");
    job_run(&job, VERB_APPLY, "run-1");
    CLEANUP(store_run_done) struct store_run done = get_run("run-1");
    CHECK(asked.status == RUN_PENDING && done.status == RUN_DONE);
    CHECK(done.started_at == asked.started_at && done.ended_at > asked.started_at);
    job_done(&job);
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

TEST(nothing_is_left)
{
    scene_done();
    CHECK(coroutine_count() == 0);
}
