/*
 * What every driver of the store promises to keep (store.h). The environment variable
 * PARLEY_TEST_SUBJECT says which one is held to it.
 */
#include "contract/store.h"

#include "base/digest.h"
#include "base/world.h"

/* --- A new store --- */

STORE_TEST(a_new_store_has_an_id_and_is_empty)
{
    struct error err = {0};
    CHECK(strlen(store_id(store)) == UUID_TEXT_SIZE - 1);
    struct store_deployment *deployments = NULL;
    struct store_run *runs = NULL;
    size_t n = 1;
    CHECK(is_done(store_list_deployments(store, &deployments, &n, &err), &err));
    CHECK(n == 0);
    mem_free(deployments);
    CHECK(is_done(store_list_runs(store, NULL, 10, &runs, &n, &err), &err));
    CHECK(n == 0);
    mem_free(runs);
    CLEANUP(mem_freep) char *records = list_records();
    CHECK_TEXT(records, "");
}

STORE_TEST(what_was_never_put_is_not_found_and_named)
{
    struct error err = {0};
    struct store_deployment deployment;
    struct store_run run;
    struct value *value = NULL;
    CHECK(store_find_deployment(store, "web", "default", &deployment, &err) == -ERROR_NOT_FOUND);
    CHECK(strstr(err.message, "web") && strstr(err.message, "default"));
    CHECK(store_get_revision(store, DEPLOYMENT, 0, &value, &err) == -ERROR_NOT_FOUND);
    CHECK(strstr(err.message, DEPLOYMENT));
    CHECK(store_get_plan(store, PLAN, &value, &err) == -ERROR_NOT_FOUND);
    CHECK(strstr(err.message, PLAN));
    CHECK(store_get_run(store, RUN, &run, &err) == -ERROR_NOT_FOUND);
    CHECK(strstr(err.message, RUN));
    CHECK(store_read_journal(store, RUN, 0, 10, &value, &err) == -ERROR_NOT_FOUND);
    CHECK(strstr(err.message, RUN) && value == NULL);
    error_done(&err);
}

/* --- Deployments --- */

STORE_TEST(a_deployment_comes_back_as_it_was_put)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_deployment(batch, DEPLOYMENT, "web", 3);
    CHECK(commits(batch, NULL));
    CLEANUP(store_deployment_done) struct store_deployment deployment = find_deployment();
    CHECK_TEXT(deployment.uid, DEPLOYMENT);
    CHECK_TEXT(deployment.name, "web");
    CHECK_TEXT(deployment.environment, "default");
    CHECK(deployment.incarnation == 3 && !deployment.is_destroyed);
    CHECK(is_json(deployment.outputs, "{\"url\":\"https://a\"}"));
    CHECK(deployment.created_at == 1000 && deployment.updated_at == 2000);
    CHECK(deployment.records_version == 0 && deployment.head_revision == 0);
    CHECK(deployment.epoch == 0);
}

STORE_TEST(putting_a_deployment_again_keeps_what_the_store_counts)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CHECK(begin_run());
    CLEANUP(value_unrefp) struct value *revision = from_json("{}");
    store_batch_take_epoch(batch, DEPLOYMENT, 1);
    store_batch_add_revision(batch, DEPLOYMENT, revision);
    add_record(batch, "a", 1, "1");
    CHECK(commits(batch, NULL));
    CLEANUP(store_deployment_done) struct store_deployment before = find_deployment();
    before.is_destroyed = true;
    before.epoch = before.head_revision = before.records_version = 77;
    before.updated_at = 9000;
    store_batch_put_deployment(batch, &before);
    CHECK(commits(batch, NULL));
    CLEANUP(store_deployment_done) struct store_deployment after = find_deployment();
    CHECK(after.is_destroyed && after.updated_at == 9000);
    CHECK(after.epoch == 1 && after.head_revision == 1 && after.records_version == 1);
}

STORE_TEST(the_newest_incarnation_of_a_name_is_found_and_listed)
{
    static const struct {
        const char *uid;
        const char *name;
        int64_t incarnation;
    } put[] = {
        {"u3", "web", 3}, {"u1", "web", 1}, {"u2", "web", 2}, {"z1", "zoo", 1}, {"a1", "api", 1}};
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    for (size_t i = 0; i < ARRAY_LENGTH(put); i++)
        add_deployment(batch, put[i].uid, put[i].name, put[i].incarnation);
    CHECK(commits(batch, NULL));
    CLEANUP(store_deployment_done) struct store_deployment found = find_deployment();
    CHECK_TEXT(found.uid, "u3");
    struct error err = {0};
    struct store_deployment *items = NULL;
    size_t n = 0;
    CHECK(is_done(store_list_deployments(store, &items, &n, &err), &err));
    CHECK(n == 3);
    CHECK_TEXT(items[0].uid, "a1");
    CHECK_TEXT(items[1].uid, "u3");
    CHECK_TEXT(items[2].uid, "z1");
    for (size_t i = 0; i < n; i++)
        store_deployment_done(&items[i]);
    mem_free(items);
}

STORE_TEST(environments_keep_deployments_of_one_name_apart)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_deployment(batch, DEPLOYMENT, "web", 1);
    CHECK(commits(batch, NULL));
    struct store_deployment found;
    CHECK(store_find_deployment(store, "web", "production", &found, NULL) == -ERROR_NOT_FOUND);
}

STORE_TEST(nobody_takes_the_name_of_another_deployment)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_deployment(batch, DEPLOYMENT, "web", 1);
    CHECK(commits(batch, NULL));
    add_deployment(batch, "other", "web", 1);
    CHECK(commit_error(batch) == ERROR_EXISTS);
    add_deployment(batch, DEPLOYMENT, "web", 2);
    CHECK(commit_error(batch) == ERROR_EXISTS);
    add_deployment(batch, DEPLOYMENT, "api", 1);
    CHECK(commit_error(batch) == ERROR_EXISTS);
    CLEANUP(store_deployment_done) struct store_deployment found = find_deployment();
    CHECK_TEXT(found.uid, DEPLOYMENT);
}

/* --- Records --- */

STORE_TEST(a_record_comes_back_as_it_was_put)
{
    CHECK(begin_run());
    CLEANUP(value_unrefp)
    struct value *whole = from_json(
        "{\"address\":\"web[\\\"a\\\"]\",\"bound\":{\"base\":[\"u-1\"]},\"created_at\":1768897800000000,"
        "\"depends_on\":[\"base\",\"net[0]\"],\"generation\":3,\"instance\":\"aws.west\",\"live\":{\"a\":[1]},"
        "\"origin\":\"pattern x\",\"outputs\":{\"id\":\"i-1\"},\"protect\":true,"
        "\"provider_id\":\"sg-1\",\"spec\":{\"a\":[1,2.5,null,true]},\"status\":\"partly\","
        "\"type\":\"aws:ec2:instances\",\"uid\":\"u\",\"updated_at\":1768897800000001}");
    CLEANUP(record_freep) struct record *record = NULL;
    CHECK(record_from_value(whole, &record, NULL) == 0);
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    store_batch_put_record(batch, DEPLOYMENT, record);
    CHECK(commits(batch, NULL));
    struct records records = {0};
    CHECK(store_load_records(store, DEPLOYMENT, &records, NULL) == 0);
    CHECK(records.n_items == 1);
    CLEANUP(value_unrefp) struct value *again = record_to_value(records.items[0]);
    records_done(&records);
    CHECK(value_equal(again, whole));
}

STORE_TEST(what_a_record_may_lack_stays_missing)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(record_freep) struct record *record = record_new();
    record->address = string_copy("a");
    record->type = string_copy("core:data:value");
    record->instance = string_copy("core.default");
    record->uid = string_copy("u");
    store_batch_put_record(batch, DEPLOYMENT, record);
    CHECK(commits(batch, NULL));
    struct records records = {0};
    CHECK(store_load_records(store, DEPLOYMENT, &records, NULL) == 0);
    const struct record *found = records.items[0];
    bool is_bare = !found->provider_id && !found->origin && !found->spec &&
                   found->depends_on.n_items == 0 && value_count(found->outputs) == 0;
    records_done(&records);
    CHECK(is_bare);
}

STORE_TEST(records_come_sorted_by_address_and_generation)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_record(batch, "b", 2, "1");
    add_record(batch, "web[10]", 1, "2");
    add_record(batch, "a", 1, "3");
    add_record(batch, "web[9]", 1, "4");
    add_record(batch, "b", 1, "5");
    add_record(batch, "web", 1, "6");
    CHECK(commits(batch, NULL));
    CLEANUP(mem_freep) char *records = list_records();
    CHECK_TEXT(records, "a#1=3 b#1=5 b#2=1 web#1=6 web[10]#1=2 web[9]#1=4");
}

/* The records of one address as "#GENERATION=SPEC", and how many there are in all. */
static char *describe_records(const char *address)
{
    CLEANUP(strbuf_done) struct strbuf text = {0};
    struct records records = {0};
    size_t n = 0;
    CHECK(store_find_records(store, DEPLOYMENT, address, &records, NULL) == 0);
    for (size_t i = 0; i < records.n_items; i++) {
        strbuf_addf(&text, "#%" PRId64 "=", records.items[i]->generation);
        json_write(&text, records.items[i]->spec);
    }
    records_done(&records);
    CHECK(store_count_records(store, DEPLOYMENT, &n, NULL) == 0);
    strbuf_addf(&text, " of %zu", n);
    return strbuf_take(&text);
}

STORE_TEST(instances_are_listed_once)
{
    struct string_list instances = {0};
    CHECK(begin_run());
    CHECK(store_list_instances(store, DEPLOYMENT, &instances, NULL) == 0);
    CHECK(instances.n_items == 0);
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    for (int i = 0; i < 3; i++)
        add_record(batch, i == 0 ? "a" : i == 1 ? "b" : "c", 1, "1");
    CHECK(commits(batch, NULL));
    CHECK(store_list_instances(store, DEPLOYMENT, &instances, NULL) == 0);
    CHECK(instances.n_items == 1);
    struct records records = {0};
    CHECK(store_load_records(store, DEPLOYMENT, &records, NULL) == 0);
    CHECK_TEXT(instances.items[0], records.items[0]->instance);
    records_done(&records);
    string_list_done(&instances);
}

STORE_TEST(one_resource_is_found_without_the_others)
{
    static const char *const cases[][2] = {
        {"web", "#1=4#2=1 of 4"}, {"web[0]", "#1=2 of 4"}, {"we", " of 4"}, {"", " of 4"}};
    CHECK(begin_run());
    CLEANUP(mem_freep) char *before = describe_records("web");
    CHECK_TEXT(before, " of 0");
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_record(batch, "web", 2, "1");
    add_record(batch, "web[0]", 1, "2");
    add_record(batch, "webs", 1, "3");
    add_record(batch, "web", 1, "4");
    CHECK(commits(batch, NULL));
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(mem_freep) char *found = describe_records(cases[i][0]);
        CHECK_TEXT(found, cases[i][1]);
    }
}

STORE_TEST(records_are_replaced_removed_and_renamed)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_record(batch, "a", 1, "1");
    add_record(batch, "b", 1, "2");
    add_record(batch, "c", 1, "3");
    CHECK(commits(batch, NULL));
    add_record(batch, "a", 1, "4");
    store_batch_remove_record(batch, DEPLOYMENT, "b", 1);
    store_batch_remove_record(batch, DEPLOYMENT, "c", 1);
    add_record(batch, "d", 1, "3");
    CHECK(commits(batch, NULL));
    CLEANUP(mem_freep) char *records = list_records();
    CHECK_TEXT(records, "a#1=4 d#1=3");
}

STORE_TEST(two_records_swap_their_names_in_one_batch)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_record(batch, "a", 1, "1");
    add_record(batch, "b", 1, "2");
    CHECK(commits(batch, NULL));
    store_batch_remove_record(batch, DEPLOYMENT, "a", 1);
    store_batch_remove_record(batch, DEPLOYMENT, "b", 1);
    add_record(batch, "b", 1, "1");
    add_record(batch, "a", 1, "2");
    CHECK(commits(batch, NULL));
    CLEANUP(mem_freep) char *records = list_records();
    CHECK_TEXT(records, "a#1=2 b#1=1");
}

STORE_TEST(removing_what_is_not_there_is_stale_and_changes_nothing)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_record(batch, "a", 1, "1");
    CHECK(commits(batch, NULL));
    add_record(batch, "a", 1, "2");
    add_record(batch, "b", 1, "3");
    store_batch_remove_record(batch, DEPLOYMENT, "a", 2);
    CHECK(commit_error(batch) == ERROR_STALE);
    store_batch_remove_record(batch, DEPLOYMENT, "a", 1);
    store_batch_remove_record(batch, DEPLOYMENT, "a", 1);
    CHECK(commit_error(batch) == ERROR_STALE);
    CLEANUP(mem_freep) char *records = list_records();
    CHECK_TEXT(records, "a#1=1");
    CLEANUP(store_deployment_done) struct store_deployment deployment = find_deployment();
    CHECK(deployment.records_version == 1);
}

STORE_TEST(the_version_grows_by_one_for_each_commit_that_changes_a_record)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_record(batch, "a", 1, "1");
    add_record(batch, "b", 1, "1");
    CHECK(commits(batch, NULL));
    store_batch_remove_record(batch, DEPLOYMENT, "a", 1);
    CHECK(commits(batch, NULL));
    add_journal(batch, RUN, "{}");
    CHECK(commits(batch, NULL));
    CLEANUP(store_deployment_done) struct store_deployment deployment = find_deployment();
    CHECK(deployment.records_version == 2);
}

STORE_TEST(deployments_do_not_see_each_others_records)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_deployment(batch, "other", "api", 1);
    add_record(batch, "a", 1, "1");
    CHECK(commits(batch, NULL));
    struct records records = {0};
    CHECK(store_load_records(store, "other", &records, NULL) == 0);
    CHECK(records.n_items == 0);
    store_batch_remove_record(batch, "other", "a", 1);
    CHECK(commit_error(batch) == ERROR_STALE);
}

/* --- What refers to something needs it --- */

STORE_TEST(what_refers_to_nothing_is_refused)
{
    CLEANUP(value_unrefp) struct value *fields = from_json("{}");
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_record(batch, "a", 1, "1");
    CHECK(commit_error(batch) == ERROR_NOT_FOUND);
    store_batch_add_revision(batch, DEPLOYMENT, fields);
    CHECK(commit_error(batch) == ERROR_NOT_FOUND);
    store_batch_add_approval(batch, PLAN, fields);
    CHECK(commit_error(batch) == ERROR_NOT_FOUND);
    add_journal(batch, RUN, "{}");
    CHECK(commit_error(batch) == ERROR_NOT_FOUND);
    add_plan(batch, PLAN);
    add_run(batch, RUN);
    CHECK(commit_error(batch) == ERROR_NOT_FOUND);
    add_deployment(batch, DEPLOYMENT, "web", 1);
    add_run(batch, RUN);
    CHECK(commit_error(batch) == ERROR_NOT_FOUND);
}

/* --- Revisions --- */

STORE_TEST(revisions_are_numbered_and_the_newest_is_the_head)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    static const char *const documents[] = {NULL, "a: 1\n", "", "\"c\"\\"};
    int64_t before = world_wall_clock();
    for (int i = 1; i <= 3; i++) {
        CLEANUP(value_unrefp) struct value *empty = from_json("{\"digest\":\"d\"}");
        CLEANUP(value_unrefp)
        struct value *fields = value_with(empty, "document", value_string(documents[i]));
        store_batch_add_revision(batch, DEPLOYMENT, fields);
        if (i != 2)
            CHECK(commits(batch, NULL));
    }
    for (int64_t i = 0; i <= 3; i++) {
        CLEANUP(value_unrefp) struct value *revision = NULL;
        CHECK(store_get_revision(store, DEPLOYMENT, i, &revision, NULL) == 0);
        int64_t number = i == 0 ? 3 : i;
        CHECK(value_get_integer(revision, "number", 0) == number);
        CHECK_TEXT(value_get_text(revision, "document"), documents[number]);
        CHECK_TEXT(value_get_text(revision, "digest"), "d");
        int64_t created_at = value_get_integer(revision, "created_at", 0);
        CHECK(created_at >= before && created_at <= world_wall_clock());
    }
    struct value *none = NULL;
    CHECK(store_get_revision(store, DEPLOYMENT, 4, &none, NULL) == -ERROR_NOT_FOUND);
    CLEANUP(store_deployment_done) struct store_deployment deployment = find_deployment();
    CHECK(deployment.head_revision == 3);
}

STORE_TEST(revisions_are_listed_newest_first_and_without_their_texts)
{
    static const struct {
        int64_t below;
        size_t limit;
        int64_t first;
        size_t n;
    } cases[] = {{0, 10, 3, 3}, {0, 2, 3, 2}, {3, 10, 2, 2}, {1, 10, 0, 0}, {99, 1, 3, 1}};
    CHECK(begin_run());
    for (int i = 1; i <= 3; i++) {
        CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
        CLEANUP(value_unrefp)
        struct value *fields =
            from_json("{\"document\":\"long\",\"given\":\"short\",\"digest\":\"d\"}");
        store_batch_add_revision(batch, DEPLOYMENT, fields);
        CHECK(commits(batch, NULL));
    }
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(value_unrefp) struct value *list = NULL;
        CHECK(store_list_revisions(store, DEPLOYMENT, cases[i].below, cases[i].limit, &list,
                                   NULL) == 0);
        CHECK(value_count(list) == cases[i].n);
        for (size_t k = 0; k < value_count(list); k++) {
            const struct value *revision = value_at(list, k);
            CHECK(value_get_integer(revision, "number", 0) == cases[i].first - (int64_t)k);
            CHECK_TEXT(value_get_text(revision, "digest"), "d");
            CHECK(!value_get(revision, "document") && !value_get(revision, "given"));
        }
    }
    CLEANUP(value_unrefp) struct value *none = NULL;
    CHECK(store_list_revisions(store, "nobody", 0, 10, &none, NULL) == 0);
    CHECK(value_count(none) == 0);
}

/* --- Plans and approvals --- */

static enum error_code plan_error(const char *prefix)
{
    struct error err = {0};
    struct value *plan = NULL;
    int r = store_get_plan(store, prefix, &plan, &err);
    enum error_code code = err.message && r == -(int)err.code ? err.code : ERROR_NONE;
    error_done(&err);
    value_unref(plan);
    return code;
}

STORE_TEST(a_plan_is_found_by_the_beginning_of_its_hash)
{
    static const char other[] = "aaaaaabbbbbbccccccddddddeeeeeeffffff0000001111112222223333335555";
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp) struct value *mine = from_json("{\"a\":1,\"steps\":[]}");
    CLEANUP(value_unrefp) struct value *yours = from_json("{\"a\":2,\"steps\":[]}");
    store_batch_put_plan(batch, PLAN, DEPLOYMENT, "{\"a\":1,\"steps\":[]}", NULL);
    CHECK(commits(batch, NULL));
    CLEANUP(value_unrefp) struct value *by_prefix = NULL;
    CHECK(store_get_plan(store, "aaaaaa", &by_prefix, NULL) == 0);
    CHECK(value_equal(by_prefix, mine));
    store_batch_put_plan(batch, other, DEPLOYMENT, "{\"a\":2,\"steps\":[]}", NULL);
    CHECK(commits(batch, NULL));
    CHECK(plan_error("aaaaaa") == ERROR_CONFLICT);
    CLEANUP(value_unrefp) struct value *by_hash = NULL;
    CHECK(store_get_plan(store, other, &by_hash, NULL) == 0);
    CHECK(value_equal(by_hash, yours));
    CHECK(plan_error("aaaaab") == ERROR_NOT_FOUND && plan_error("ffffff") == ERROR_NOT_FOUND);
}

STORE_TEST(a_plan_comes_back_with_its_steps_in_their_order)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    store_batch_put_plan(batch, "0123456789", DEPLOYMENT, "{\"a\":1}", NULL);
    for (size_t i = 0; i < 3; i++) {
        CLEANUP(mem_freep) char *step = string_format("{\"step\":%zu}", 2 - i);
        add_step_body(batch, "0123456789", 2 - i, step);
    }
    store_batch_put_plan(batch, "abcdef0000", DEPLOYMENT, "{}", NULL);
    CHECK(commits(batch, NULL));
    CLEANUP(value_unrefp) struct value *plan = NULL;
    CHECK(store_get_plan(store, "012345", &plan, NULL) == 0);
    CHECK(is_json(plan, "{\"a\":1,\"steps\":[{\"step\":0},{\"step\":1},{\"step\":2}]}"));
    CLEANUP(value_unrefp) struct value *empty = NULL;
    CHECK(store_get_plan(store, "abcdef", &empty, NULL) == 0);
    CHECK(is_json(empty, "{\"steps\":[]}"));
}

STORE_TEST(steps_of_a_plan_that_is_stored_stay_as_they_are_and_those_of_none_are_refused)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    for (int i = 1; i <= 2; i++) {
        CLEANUP(mem_freep) char *step = string_format("{\"try\":%d}", i);
        store_batch_put_plan(batch, "0123456789", DEPLOYMENT, "{}", NULL);
        add_step_body(batch, "0123456789", 0, step);
        CHECK(commits(batch, NULL));
    }
    CLEANUP(value_unrefp) struct value *plan = NULL;
    CHECK(store_get_plan(store, "0123456789", &plan, NULL) == 0);
    CHECK(is_json(plan, "{\"steps\":[{\"try\":1}]}"));
    add_step_body(batch, "9999999999", 0, "{}");
    CHECK(commit_error(batch) == ERROR_NOT_FOUND);
}

STORE_TEST(a_step_comes_back_from_its_texts)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    char *texts[STEP_TEXT_COUNT] = {
        [STEP_TEXT_BODY] = string_copy("{\"note\":\"n\"}"),
        [STEP_TEXT_LABEL] = string_copy("update web[\"a#b c\"]#12"),
        [STEP_TEXT_REASON] = string_copy("changed"),
        [STEP_TEXT_TYPE] = string_copy("core:data:value"),
        [STEP_TEXT_INSTANCE] = string_copy("core.default"),
        [STEP_TEXT_UID] = string_copy("u"),
        [STEP_TEXT_ORIGIN] = string_copy("document"),
        [STEP_TEXT_STAGE] = string_copy("network"),
        [STEP_TEXT_AFTER] = string_copy("{\"v\":2}"),
        [STEP_TEXT_BEFORE] = string_copy("{\"v\":1}"),
        [STEP_TEXT_RESOURCES] = string_copy("a\nb"),
        [STEP_TEXT_DEPENDS_ON] = string_copy("create a#1"),
    };
    store_batch_put_plan(batch, "0123456789", DEPLOYMENT, "{}", NULL);
    add_step(batch, "0123456789", 0, texts);
    CHECK(commits(batch, NULL));
    CLEANUP(value_unrefp) struct value *plan = NULL;
    CHECK(store_get_plan(store, "0123456789", &plan, NULL) == 0);
    CHECK(is_json(plan, "{\"steps\":[{\"address\":\"web[\\\"a#b c\\\"]\",\"after\":{\"v\":2},"
                        "\"before\":{\"v\":1},\"depends_on\":[\"create a#1\"],"
                        "\"generation\":12,\"id\":\"update web[\\\"a#b c\\\"]#12\","
                        "\"instance\":\"core.default\",\"kind\":\"update\",\"note\":\"n\","
                        "\"origin\":\"document\",\"reason\":\"changed\","
                        "\"resources\":[\"a\",\"b\"],\"stage\":\"network\","
                        "\"type\":\"core:data:value\",\"uid\":\"u\"}]}"));
}

/* As older programs stored it. */
STORE_TEST(a_plan_may_have_its_steps_inside)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    store_batch_put_plan(batch, "0123456789", DEPLOYMENT, "{\"steps\":[{\"b\":1}]}", NULL);
    CHECK(commits(batch, NULL));
    CLEANUP(value_unrefp) struct value *plan = NULL;
    CHECK(store_get_plan(store, "0123456789", &plan, NULL) == 0);
    CHECK(is_json(plan, "{\"steps\":[{\"b\":1}]}"));
}

STORE_TEST(what_is_no_prefix_of_a_hash_is_said_to_be_none)
{
    static const char too_long[] = PLAN "0";
    static const char *const bad[] = {"",       "aaaaa",  "AAAAAA", "aaaaa%",
                                      "aaaaa_", "aaaaag", "aaaaa'", too_long};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        CHECK(plan_error(bad[i]) == ERROR_INVALID);
}

STORE_TEST(a_plan_that_is_stored_stays_as_it_is)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp) struct value *first = from_json("{\"a\":1,\"steps\":[]}");
    store_batch_put_plan(batch, PLAN, DEPLOYMENT, "{\"a\":1,\"steps\":[]}", NULL);
    store_batch_put_plan(batch, PLAN, DEPLOYMENT, "{\"a\":2,\"steps\":[]}", NULL);
    CHECK(commits(batch, NULL));
    store_batch_put_plan(batch, PLAN, DEPLOYMENT, "{\"a\":2,\"steps\":[]}", NULL);
    CHECK(commits(batch, NULL));
    CLEANUP(value_unrefp) struct value *found = NULL;
    CHECK(store_get_plan(store, PLAN, &found, NULL) == 0);
    CHECK(value_equal(found, first));
}

STORE_TEST(approvals_are_listed_in_their_order)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp) struct value *first = from_json("{\"principal\":\"z\"}");
    CLEANUP(value_unrefp) struct value *second = from_json("{\"principal\":\"a\"}");
    CLEANUP(value_unrefp) struct value *none = NULL;
    CHECK(store_list_approvals(store, PLAN, &none, NULL) == 0);
    CHECK(is_json(none, "[]"));
    add_plan(batch, PLAN);
    store_batch_add_approval(batch, PLAN, first);
    CHECK(commits(batch, NULL));
    store_batch_add_approval(batch, PLAN, second);
    CHECK(commits(batch, NULL));
    CLEANUP(value_unrefp) struct value *both = NULL;
    CHECK(store_list_approvals(store, PLAN, &both, NULL) == 0);
    CHECK(is_json(both, "[{\"principal\":\"z\"},{\"principal\":\"a\"}]"));
}

STORE_TEST(makers_of_a_plan_are_listed_once_each_in_their_order)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp) struct value *first = from_json("{\"principal\":\"z\"}");
    CLEANUP(value_unrefp) struct value *second = from_json("{\"principal\":\"a\"}");
    CLEANUP(value_unrefp) struct value *none = NULL;
    CHECK(store_list_makers(store, PLAN, &none, NULL) == 0);
    CHECK(is_json(none, "[]"));
    store_batch_add_maker(batch, PLAN, first);
    CHECK(store_commit(store, batch, NULL, NULL) == -ERROR_NOT_FOUND);
    store_batch_free(take_ptr(batch));
    batch = store_batch_new();
    add_plan(batch, PLAN);
    store_batch_add_maker(batch, PLAN, first);
    store_batch_add_maker(batch, PLAN, second);
    store_batch_add_maker(batch, PLAN, first);
    CHECK(commits(batch, NULL));
    store_batch_add_maker(batch, PLAN, first);
    CHECK(commits(batch, NULL));
    CLEANUP(value_unrefp) struct value *both = NULL;
    CHECK(store_list_makers(store, PLAN, &both, NULL) == 0);
    CHECK(is_json(both, "[{\"principal\":\"z\"},{\"principal\":\"a\"}]"));
}

/* --- Runs --- */

STORE_TEST(every_status_of_a_run_has_a_name_that_leads_back)
{
    for (enum run_status status = 0; status < RUN_STATUS_COUNT; status++)
        CHECK(run_status_from_string(run_status_to_string(status)) == status);
    CHECK(run_status_from_string("lost") == RUN_STATUS_COUNT);
}

STORE_TEST(a_run_comes_back_as_it_was_put_last)
{
    CHECK(begin_run());
    CLEANUP(store_run_done) struct store_run run = {0};
    CHECK(store_get_run(store, RUN, &run, NULL) == 0);
    CHECK_TEXT(run.id, RUN);
    CHECK_TEXT(run.deployment_uid, DEPLOYMENT);
    CHECK_TEXT(run.plan_hash, PLAN);
    CHECK_TEXT(run.principal, "user:1000");
    CHECK_TEXT(run.words, "up web.yaml");
    CHECK_TEXT(run.client, "a client 1.0");
    CHECK(run.status == RUN_RUNNING && run.epoch == 1);
    CHECK(run.started_at == 3000 && run.ended_at == 0 && run.message == NULL);
    run.status = RUN_FAILED;
    run.ended_at = 4000;
    run.message = string_copy("it broke");
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    store_batch_put_run(batch, &run);
    CHECK(commits(batch, NULL));
    CLEANUP(store_run_done) struct store_run again = {0};
    CHECK(store_get_run(store, RUN, &again, NULL) == 0);
    CHECK(again.status == RUN_FAILED && again.ended_at == 4000);
    CHECK_TEXT(again.message, "it broke");
}

STORE_TEST(runs_are_listed_newest_first)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_deployment(batch, DEPLOYMENT, "web", 1);
    add_deployment(batch, "other", "api", 1);
    add_plan(batch, PLAN);
    add_run(batch, "r1");
    add_run(batch, "r2");
    struct store_run elsewhere = {
        .id = (char[]){"r3"}, .deployment_uid = (char[]){"other"}, .plan_hash = (char[]){PLAN}};
    store_batch_put_run(batch, &elsewhere);
    add_run(batch, "r4");
    add_run(batch, "r1");
    CHECK(commits(batch, NULL));
    static const struct {
        const char *deployment_uid;
        size_t limit;
        const char *want;
    } cases[] = {{NULL, 10, "r4 r3 r2 r1"},    {NULL, SIZE_MAX, "r4 r3 r2 r1"},
                 {NULL, 2, "r4 r3"},           {NULL, 0, ""},
                 {DEPLOYMENT, 10, "r4 r2 r1"}, {DEPLOYMENT, 1, "r4"},
                 {"other", 10, "r3"},          {"nobody", 10, ""}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(mem_freep) char *got = list_runs(cases[i].deployment_uid, cases[i].limit);
        CHECK_TEXT(got, cases[i].want);
    }
}

/* --- Journals --- */

STORE_TEST(journal_rows_say_what_and_when)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    int64_t before = world_wall_clock();
    add_journal(batch, RUN, "{\"step\":\"create a#1\",\"kind\":\"lost\",\"after\":{\"b\":[1]}}");
    int64_t seq = 0;
    CHECK(commits(batch, &seq));
    CLEANUP(value_unrefp) struct value *rows = read_journal(RUN, 0, 10);
    CHECK(rows && value_count(rows) == 1);
    struct value *row = value_at(rows, 0);
    int64_t time = value_get_integer(row, "time", 0);
    CHECK(time >= before && time <= world_wall_clock());
    CLEANUP(value_unrefp) struct value *timeless = value_with(row, "time", NULL);
    CLEANUP(value_unrefp) struct value *rest = value_with(timeless, "seq", NULL);
    CHECK(value_get_integer(row, "seq", 0) == seq && seq > 0);
    CHECK(is_json(rest, "{\"after\":{\"b\":[1]},\"kind\":\"intent\",\"run\":\"" RUN
                        "\",\"step\":\"create a#1\"}"));
}

static const char a_step[] = "{\"id\":\"update b#2\",\"kind\":\"update\",\"address\":\"b\","
                             "\"type\":\"core:data:value\",\"stage\":\"network\",\"uid\":\"u\"}";

/* A plan with two steps, in rows or, as older programs kept them, inside; and a run of it. */
static bool begin_run_of_steps(bool has_rows)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(mem_freep)
    char *whole = string_format("{\"steps\":[{\"id\":\"create a#1\"},%s]}", a_step);
    add_deployment(batch, DEPLOYMENT, "web", 1);
    store_batch_put_plan(batch, PLAN, DEPLOYMENT, has_rows ? "{}" : whole, NULL);
    if (has_rows) {
        add_step_body(batch, PLAN, 0, "{\"id\":\"create a#1\"}");
        add_step_body(batch, PLAN, 1, a_step);
    }
    add_run(batch, RUN);
    return commits(batch, NULL);
}

static void check_step_row(bool has_rows)
{
    CHECK(begin_run_of_steps(has_rows));
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp) struct value *body = from_json("{\"outcome\":\"done\"}");
    store_batch_journal_step(batch, RUN, "result", 1, body);
    CHECK(commits(batch, NULL));
    CLEANUP(value_unrefp) struct value *rows = read_journal(RUN, 0, 10);
    CHECK(rows && value_count(rows) == 1);
    CLEANUP(value_unrefp) struct value *timeless = value_with(value_at(rows, 0), "time", NULL);
    CLEANUP(value_unrefp) struct value *rest = value_with(timeless, "seq", NULL);
    CHECK(is_json(rest, "{\"address\":\"b\",\"kind\":\"result\",\"outcome\":\"done\",\"run\":\"" RUN
                        "\",\"stage\":\"network\",\"step\":\"update b#2\","
                        "\"step_kind\":\"update\",\"type\":\"core:data:value\"}"));
    CLEANUP(value_unrefp) struct value *kept = NULL;
    CHECK(store_replay_journal(store, RUN, 0, 10, &kept, NULL) == 0 && value_count(kept) == 1);
    CHECK(value_get_integer(value_at(kept, 0), "place", -1) == 1);
    CHECK(!value_get(value_at(kept, 0), "step"));
}

STORE_TEST(a_row_about_a_step_is_read_with_what_the_plan_says_of_it)
{
    check_step_row(true);
}

STORE_TEST(a_row_about_a_step_of_an_older_plan_is_read_the_same)
{
    check_step_row(false);
}

STORE_TEST(steps_of_rows_that_follow_each_other_are_read_at_once)
{
    enum { N_STEPS = 300 };
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp) struct value *body = from_json("{}");
    add_deployment(batch, DEPLOYMENT, "web", 1);
    store_batch_put_plan(batch, PLAN, DEPLOYMENT, "{}", NULL);
    for (int i = 0; i < N_STEPS; i++) {
        CLEANUP(mem_freep) char *step = string_format("{\"id\":\"create a%d#1\"}", i);
        add_step_body(batch, PLAN, i, step);
    }
    add_run(batch, RUN);
    CHECK(commits(batch, NULL));
    /* Backwards, twice each. */
    for (int i = 0; i < N_STEPS; i++) {
        store_batch_journal_step(batch, RUN, "intent", (size_t)(N_STEPS - 1 - i), body);
        store_batch_journal_step(batch, RUN, "result", (size_t)(N_STEPS - 1 - i), body);
    }
    int64_t last;
    CHECK(commits(batch, &last));
    uint64_t n_before = store_count_reads(store);
    CLEANUP(value_unrefp) struct value *rows = read_journal(RUN, 0, 1000);
    CHECK(store_count_reads(store) - n_before <= 3);
    CHECK(rows && value_count(rows) == (size_t)2 * N_STEPS);
    for (int i = 0; rows && i < 2 * N_STEPS; i++) {
        CLEANUP(mem_freep) char *want = string_format("create a%d#1", N_STEPS - 1 - i / 2);
        CHECK_TEXT(value_get_text(value_at(rows, (size_t)i), "step"), want);
    }
    store_batch_journal_step(batch, RUN, "result", 7, body);
    store_batch_journal_step(batch, RUN, "result", 299, body);
    CHECK(commits(batch, NULL));
    CLEANUP(value_unrefp) struct value *apart = read_journal(RUN, last, 1000);
    CHECK(apart && value_count(apart) == 2);
    CHECK_TEXT(value_get_text(value_at(apart, 0), "step"), "create a7#1");
    CHECK_TEXT(value_get_text(value_at(apart, 1), "step"), "create a299#1");
}

STORE_TEST(a_row_about_a_step_that_the_plan_lacks_is_damage)
{
    CHECK(begin_run_of_steps(true));
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp) struct value *body = from_json("{}");
    store_batch_journal_step(batch, RUN, "result", 2, body);
    CHECK(commits(batch, NULL));
    CLEANUP(value_unrefp) struct value *rows = NULL;
    struct error err = {0};
    CHECK(store_read_journal(store, RUN, 0, 10, &rows, &err) == -ERROR_CORRUPT && !rows);
    error_done(&err);
}

STORE_TEST(the_rows_of_one_batch_are_consecutive_up_to_its_last_seq)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    int64_t last = 0;
    for (size_t n = 1; n <= 5; n++) {
        for (size_t i = 0; i < n; i++)
            add_journal(batch, RUN, "{}");
        int64_t before = last;
        CHECK(commits(batch, &last));
        CHECK(last == before + (int64_t)n);
        CLEANUP(value_unrefp) struct value *rows = read_journal(RUN, before, 100);
        CHECK(rows && value_count(rows) == n);
        for (size_t i = 0; i < n; i++)
            CHECK(value_get_integer(value_at(rows, i), "seq", 0) == before + 1 + (int64_t)i);
    }
}

STORE_TEST(a_commit_without_journal_rows_has_no_last_seq)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_journal(batch, RUN, "{}");
    CHECK(commits(batch, NULL));
    add_record(batch, "a", 1, "1");
    int64_t last = -1;
    CHECK(commits(batch, &last));
    CHECK(last == 0);
    last = -1;
    CHECK(commits(batch, &last));
    CHECK(last == 0);
}

STORE_TEST(a_refused_batch_leaves_no_gap_in_the_journal)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    int64_t first = 0;
    int64_t second = 0;
    add_journal(batch, RUN, "{}");
    CHECK(commits(batch, &first));
    add_journal(batch, RUN, "{}");
    add_journal(batch, "nobody", "{}");
    CHECK(commit_error(batch) == ERROR_NOT_FOUND);
    add_journal(batch, RUN, "{}");
    CHECK(commits(batch, &second));
    CHECK(second == first + 1);
}

STORE_TEST(a_journal_is_read_page_by_page_and_without_other_runs)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_run(batch, "other");
    add_run(batch, "silent");
    for (int i = 0; i < 25; i++) {
        CLEANUP(mem_freep) char *body = string_format("{\"n\":%d}", i);
        add_journal(batch, RUN, body);
        add_journal(batch, "other", "{}");
    }
    CHECK(commits(batch, NULL));
    int64_t seq = 0;
    int n = 0;
    for (;;) {
        CLEANUP(value_unrefp) struct value *rows = read_journal(RUN, seq, 10);
        CHECK(rows);
        for (size_t i = 0; i < value_count(rows); i++) {
            CHECK(value_get_integer(value_at(rows, i), "n", -1) == n++);
            CHECK(value_get_integer(value_at(rows, i), "seq", 0) > seq);
            seq = value_get_integer(value_at(rows, i), "seq", 0);
        }
        if (value_count(rows) < 10)
            break;
    }
    CHECK(n == 25);
    CLEANUP(value_unrefp) struct value *silent = read_journal("silent", 0, 10);
    CHECK(silent && value_count(silent) == 0);
    CLEANUP(value_unrefp) struct value *beyond = read_journal(RUN, INT64_MAX, 10);
    CHECK(beyond && value_count(beyond) == 0);
}

/* --- What was forgotten --- */

static void add_forgotten(struct store_batch *batch, const char *run, const char *id,
                          int64_t generation, bool has_document)
{
    CLEANUP(record_freep) struct record *record = record_new();
    record->address = string_copy("web");
    record->type = string_copy("core:data:value");
    record->instance = string_copy("core.default");
    record->uid = string_copy("11111111-2222-8333-8444-555555555555");
    record->provider_id = id ? string_copy(id) : NULL;
    record->generation = generation;
    store_batch_add_forgotten(batch, run, record, has_document);
}

/* "ID#GENERATION" of what was forgotten last, or "none". The caller frees it. */
static char *last_forgotten(const char *address, bool with_documents)
{
    struct store_forgotten found = {0};
    int r = store_find_forgotten(store, DEPLOYMENT, address, with_documents, &found, NULL);
    char *text = r == -ERROR_NOT_FOUND
                     ? string_copy("none")
                     : string_format("%s#%d", found.provider_id ? found.provider_id : "-",
                                     (int)found.generation);
    store_forgotten_done(&found);
    return text;
}

STORE_TEST(what_was_forgotten_last_is_found_by_its_address)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    bool has_some = true;
    CHECK(begin_run());
    add_run(batch, "second");
    CHECK(commits(batch, NULL));
    CHECK(store_has_forgotten(store, DEPLOYMENT, &has_some, NULL) == 0 && !has_some);
    CHECK(store_has_forgotten(store, "nobody", &has_some, NULL) == 0 && !has_some);
    /* The order of runs decides, then the generation; not that of the rows. */
    add_forgotten(batch, "second", "b2", 2, false);
    add_forgotten(batch, "second", "b1", 1, false);
    add_forgotten(batch, RUN, "a7", 7, false);
    CHECK(commits(batch, NULL));
    add_forgotten(batch, "nobody", "x", 9, false);
    CHECK(store_commit(store, batch, NULL, NULL) == -ERROR_NOT_FOUND);
    CHECK(store_has_forgotten(store, DEPLOYMENT, &has_some, NULL) == 0 && has_some);
    CLEANUP(mem_freep) char *newest = last_forgotten("web", false);
    CLEANUP(mem_freep) char *other = last_forgotten("other", true);
    CHECK_TEXT(newest, "b2#2");
    CHECK_TEXT(other, "none");
    add_forgotten(batch, "second", NULL, 3, true);
    CHECK(commits(batch, NULL));
    CLEANUP(mem_freep) char *without = last_forgotten("web", false);
    CLEANUP(mem_freep) char *with = last_forgotten("web", true);
    CHECK_TEXT(without, "b2#2");
    CHECK_TEXT(with, "-#3");
}

/* --- Remains --- */

STORE_TEST(what_was_given_up_is_listed_with_its_deployment_in_order)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(value_unrefp) struct value *first = from_json("{\"run\":\"r1\",\"left\":[]}");
    CLEANUP(value_unrefp) struct value *second = from_json("{\"run\":\"r2\"}");
    CLEANUP(value_unrefp) struct value *before = NULL, *after = NULL, *nobody = NULL;
    CHECK(begin_run());
    CHECK(store_list_remains(store, DEPLOYMENT, &before, NULL) == 0 && value_count(before) == 0);
    store_batch_add_remains(batch, DEPLOYMENT, first);
    CHECK(commits(batch, NULL));
    store_batch_add_remains(batch, DEPLOYMENT, second);
    CHECK(commits(batch, NULL));
    store_batch_add_remains(batch, "nobody", second);
    CHECK(store_commit(store, batch, NULL, NULL) == -ERROR_NOT_FOUND);
    CHECK(store_list_remains(store, "nobody", &nobody, NULL) == 0 && value_count(nobody) == 0);
    CHECK(store_list_remains(store, DEPLOYMENT, &after, NULL) == 0 && value_count(after) == 2);
    CHECK_TEXT(value_get_text(value_at(after, 0), "run"), "r1");
    CHECK(value_get(value_at(after, 0), "left") &&
          value_get_integer(value_at(after, 0), "created_at", 0) > 0);
    CHECK_TEXT(value_get_text(value_at(after, 1), "run"), "r2");
}

/* --- Secrets --- */

/* The sealed text, "none", or the error. */
static char *find_secret(const char *uid, const char *name, const char *form)
{
    struct error err = {0};
    char *sealed = NULL;
    int r = store_find_secret(store, uid, name, form, &sealed, &err);
    if (r == -ERROR_NOT_FOUND)
        sealed = string_copy("none");
    else if (r < 0)
        sealed = string_copy(error_message(&err));
    error_done(&err);
    return sealed;
}

STORE_TEST(a_secret_that_is_there_stays_and_goes_with_its_deployment)
{
    static const struct {
        const char *uid, *name, *form, *want;
    } rows[] = {{"u1", "db", "a", "v1:first"},
                {"u1", "db", "b", "v1:other"},
                {"u1", "no", "a", "none"},
                {"u2", "db", "a", "v1:two"}};
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    store_batch_put_secret(batch, "u1", "db", "a", "v1:first");
    CHECK(commits(batch, NULL));
    store_batch_put_secret(batch, "u1", "db", "a", "v1:second");
    store_batch_put_secret(batch, "u1", "db", "b", "v1:other");
    store_batch_put_secret(batch, "u2", "db", "a", "v1:two");
    CHECK(commits(batch, NULL));
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        CLEANUP(mem_freep) char *sealed = find_secret(rows[i].uid, rows[i].name, rows[i].form);
        CHECK_TEXT(sealed, rows[i].want);
    }
    CLEANUP(value_unrefp) struct value *listed = NULL;
    CLEANUP(value_unrefp) struct value *nothing = NULL;
    CHECK(store_list_secrets(store, "u1", &listed, NULL) == 0 && value_count(listed) == 2);
    CHECK_TEXT(value_get_text(value_at(listed, 0), "form"), "a");
    CHECK_TEXT(value_get_text(value_at(listed, 1), "form"), "b");
    CHECK_TEXT(value_get_text(value_at(listed, 1), "name"), "db");
    CHECK(value_get_integer(value_at(listed, 0), "created_at", 0) > 0);
    CHECK(store_list_secrets(store, "nobody", &nothing, NULL) == 0 && value_count(nothing) == 0);
    store_batch_remove_secrets(batch, "u1");
    store_batch_remove_secrets(batch, "nobody");
    CHECK(commits(batch, NULL));
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        CLEANUP(mem_freep) char *sealed = find_secret(rows[i].uid, rows[i].name, rows[i].form);
        CHECK_TEXT(sealed, strcmp(rows[i].uid, "u2") == 0 ? "v1:two" : "none");
    }
}

/* --- Values --- */

STORE_TEST(values_of_every_kind_survive)
{
    static const char *const samples[] = {
        "null",
        "true",
        "0",
        "-9007199254740993",
        "1.5",
        "\"\"",
        "[]",
        "{}",
        "[[{\"a\":[null]}]]",
        "\"\xf0\x9f\x98\x80 \\u0001 \\\" \\\\ ' ; --\"",
        "{\"$secret\":\"abc\"}",
        "{\"$unknown\":{\"origin\":\"${a.id}\",\"type\":\"string\"}}",
        "{\"$$secret\":\"abc\"}",
        "{\"\":1}",
    };
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    for (size_t i = 0; i < ARRAY_LENGTH(samples); i++) {
        CLEANUP(mem_freep) char *spec = string_format("{\"value\":%s}", samples[i]);
        add_record(batch, "a", 1, spec);
        CHECK(commits(batch, NULL));
        CLEANUP(mem_freep) char *records = list_records();
        CLEANUP(value_unrefp) struct value *value = from_json(spec);
        CLEANUP(mem_freep) char *canonical = json_text(value);
        CLEANUP(mem_freep) char *want = string_format("a#1=%s", canonical);
        CHECK_TEXT(records, want);
    }
}

STORE_TEST(a_large_value_survives)
{
    CHECK(begin_run());
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    struct strbuf spec = {0};
    strbuf_add(&spec, "\"");
    strbuf_add_repeated(&spec, 'x', (size_t)8000000 / (size_t)thinning());
    strbuf_add(&spec, "\"");
    CLEANUP(mem_freep) char *text = strbuf_take(&spec);
    add_record(batch, "a", 1, text);
    CHECK(commits(batch, NULL));
    CLEANUP(mem_freep) char *records = list_records();
    CHECK(strlen(records) == strlen("a#1=") + strlen(text));
}
