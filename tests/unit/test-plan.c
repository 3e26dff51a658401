#include "harness.h"
#include "model/json.h"
#include "plan/plan.h"

#include <unistd.h>

/* A catalog of one made-up provider: what a plan must do follows from these few lines. */
static const char types[] = "types:\n"
                            "  acme:net:segment:\n"
                            "    description: A segment.\n"
                            "    stage: network\n"
                            "    properties:\n"
                            "      tag: {kind: integer, forcesReplacement: true}\n"
                            "      note: {kind: string, default: none}\n"
                            "    outputs:\n"
                            "      id: {type: string}\n"
                            "      tag: {type: integer, from: tag}\n"
                            "    unique: [[tag]]\n"
                            "    drivers: {fake: {fidelity: stand-in}}\n"
                            "    seconds: {create: 2, update: 1, delete: 1}\n"
                            "  acme:net:host:\n"
                            "    description: A host.\n"
                            "    stage: application\n"
                            "    irreversible: true\n"
                            "    properties:\n"
                            "      segment: {kind: string, references: [acme:net:segment]}\n"
                            "      label: {kind: string}\n"
                            "    outputs:\n"
                            "      id: {type: string}\n"
                            "      address: {type: string, changesWith: [segment]}\n"
                            "    drivers: {fake: {fidelity: stand-in}}\n"
                            "    seconds: {create: 3, update: 1, delete: 1}\n"
                            "  acme:net:rule:\n"
                            "    description: A rule.\n"
                            "    stage: security\n"
                            "    ordered: true\n"
                            "    properties:\n"
                            "      text: {kind: string}\n"
                            "      sequence: {kind: integer}\n"
                            "    drivers: {fake: {fidelity: stand-in}}\n"
                            "    seconds: {create: 1, update: 1, delete: 1}\n";

/* What one test plans with. */
struct scene {
    struct catalog *catalog;
    struct wanted wanted;
    struct records records;
    struct observation *observations;
    struct diagnostics diagnostics;
    struct plan *plan;
    bool is_destroy;
};

static struct catalog *read_catalog(void)
{
    char folder[] = "/tmp/parley-plan-XXXXXX";
    struct catalog *catalog = NULL;
    struct diagnostics diagnostics = {0};
    struct error err = {0};
    if (!mkdtemp(folder))
        return NULL;
    char *path = string_format("%s/acme.yaml", folder);
    FILE *file = fopen(path, "we");
    fputs(types, file);
    fclose(file);
    if (catalog_open(folder, &catalog, &diagnostics, &err) < 0) {
        struct strbuf text = {0};
        diagnostics_write(&diagnostics, NULL, NULL, &text);
        printf("# %s %s\n", error_message(&err), strbuf_text(&text));
        strbuf_done(&text);
    }
    diagnostics_done(&diagnostics);
    error_done(&err);
    unlink(path);
    rmdir(folder);
    mem_free(path);
    return catalog;
}

static struct value *read_json(const char *text)
{
    struct value *value = NULL;
    json_read(text, strlen(text), &value, NULL);
    return value;
}

static struct scene scene_new(void)
{
    return (struct scene){.catalog = read_catalog()};
}

static void scene_done(struct scene *scene)
{
    plan_free(scene->plan);
    diagnostics_done(&scene->diagnostics);
    records_done(&scene->records);
    wanted_done(&scene->wanted);
    mem_free(scene->observations);
    catalog_free(scene->catalog);
}

static struct resource *want(struct scene *scene, const char *type, const char *name,
                             const char *spec)
{
    struct resource *resource = wanted_add(&scene->wanted);
    resource->name = string_copy(name);
    resource->address = string_copy(name);
    resource->type = string_copy(type);
    resource->instance = string_copy("acme.default");
    resource->spec = read_json(spec);
    resource->origin = string_copy("document");
    return resource;
}

static struct record *record(struct scene *scene, const char *type, const char *address,
                             const char *spec, const char *outputs)
{
    struct record *record = record_new();
    record->address = string_copy(address);
    record->type = string_copy(type);
    record->instance = string_copy("acme.default");
    record->uid = string_format("uid-of-%s", address);
    record->generation = 1;
    value_unref(record->spec);
    record->spec = read_json(spec);
    value_unref(record->outputs);
    record->outputs = read_json(outputs);
    record->origin = string_copy("document");
    records_add(&scene->records, record);
    return record;
}

static int make(struct scene *scene)
{
    struct value *identities = read_json("{\"acme.default\":\"account 7\"}");
    struct plan_input input = {
        .catalog = scene->catalog,
        .wanted = &scene->wanted,
        .records = &scene->records,
        .observations = scene->observations,
        .deployment = "shop",
        .environment = "default",
        .deployment_uid = "d-1",
        .incarnation = 1,
        .records_version = 5,
        .revision = 4,
        .document = "text",
        .identities = identities,
        .is_destroy = scene->is_destroy,
    };
    struct error err = {0};
    plan_free(scene->plan);
    scene->plan = NULL;
    int r = plan_make(&input, &scene->plan, &scene->diagnostics, &err);
    if (r < 0)
        printf("# %s\n", error_message(&err));
    error_done(&err);
    value_unref(identities);
    return r;
}

/* "id (reason) <- what it waits for" of every step, a line each. */
static char *list_steps(const struct plan *plan)
{
    struct strbuf text = {0};
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct step *step = &plan->steps[i];
        strbuf_addf(&text, "%s (%s)", step->id, step_reason_to_string(step->reason));
        for (size_t k = 0; k < step->depends_on.n_items; k++)
            strbuf_addf(&text, "%s%s", k ? ", " : " <- ", step->depends_on.items[k]);
        strbuf_add(&text, "\n");
    }
    return strbuf_take(&text);
}

#define CHECK_STEPS(scene, want)                  \
    do {                                          \
        char *steps_ = list_steps((scene)->plan); \
        CHECK_TEXT(steps_, want);                 \
        mem_free(steps_);                         \
    } while (0)

TEST(what_is_wanted_and_not_recorded_is_created_after_what_it_refers_to)
{
    struct scene scene = scene_new();
    struct resource *host = want(&scene, "acme:net:host", "web", "{\"segment\":\"lan\"}");
    string_list_add(&host->depends_on, "lan");
    want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "create lan#4 (new)\n"
                        "create web#4 (new) <- create lan#4\n");
    CHECK(plan_critical_seconds(scene.plan) == 5);
    scene_done(&scene);
}

TEST(the_same_input_gives_the_same_hash_and_another_gives_another)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    CHECK(make(&scene) == 0);
    char *first = string_copy(scene.plan->hash);
    CHECK(make(&scene) == 0);
    CHECK_TEXT(scene.plan->hash, first);
    value_unref(scene.wanted.items[0].spec);
    scene.wanted.items[0].spec = read_json("{\"tag\":8}");
    CHECK(make(&scene) == 0);
    CHECK(strcmp(scene.plan->hash, first) != 0);
    mem_free(first);
    scene_done(&scene);
}

TEST(what_is_as_recorded_is_kept_and_nothing_is_stored_of_it)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{\"id\":\"x\"}");
    CHECK(make(&scene) == 0);
    CHECK(scene.plan->n_steps == 0 && scene.plan->counts[STEP_KEEP] == 1);
    scene_done(&scene);
}

TEST(a_changed_property_is_exactly_one_update_that_names_it)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":7,\"note\":\"new\"}");
    want(&scene, "acme:net:segment", "dmz", "{\"tag\":8}");
    record(&scene, "acme:net:segment", "dmz", "{\"tag\":8}", "{\"id\":\"x\"}");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7,\"note\":\"old\"}", "{\"id\":\"y\"}");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "update lan#1 (changed)\n");
    char *changed = json_text(scene.plan->steps[0].changed);
    CHECK_TEXT(changed, "[\"note\"]");
    mem_free(changed);
    scene_done(&scene);
}

TEST(a_removed_property_goes_back_to_its_default)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7,\"note\":\"old\"}", "{\"id\":\"y\"}");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "update lan#1 (changed)\n");
    scene_done(&scene);
}

TEST(a_removed_property_that_has_its_default_is_no_change)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7,\"note\":\"none\"}", "{\"id\":\"y\"}");
    CHECK(make(&scene) == 0);
    CHECK(scene.plan->n_steps == 0);
    scene_done(&scene);
}

TEST(what_cannot_change_in_place_is_destroyed_then_created_and_its_users_follow)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":9}");
    struct resource *host = want(&scene, "acme:net:host", "web", "{\"segment\":\"lan\"}");
    string_list_add(&host->depends_on, "lan");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{\"id\":\"y\"}");
    struct record *old =
        record(&scene, "acme:net:host", "web", "{\"segment\":\"lan\"}", "{\"id\":\"z\"}");
    string_list_add(&old->depends_on, "lan");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "delete lan#1 (replaced)\n"
                        "create lan#4 (replaced) <- delete lan#1\n"
                        "update web#1 (moved) <- create lan#4\n");
    CHECK(strcmp(scene.plan->steps[1].uid, "uid-of-lan") != 0);
    scene_done(&scene);
}

TEST(create_before_destroy_moves_users_before_the_old_one_goes)
{
    struct scene scene = scene_new();
    struct resource *lan = want(&scene, "acme:net:segment", "lan", "{\"tag\":9}");
    lan->lifecycle.create_before_destroy = true;
    struct resource *host = want(&scene, "acme:net:host", "web", "{\"segment\":\"lan\"}");
    string_list_add(&host->depends_on, "lan");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{\"id\":\"y\"}");
    struct record *old =
        record(&scene, "acme:net:host", "web", "{\"segment\":\"lan\"}", "{\"id\":\"z\"}");
    string_list_add(&old->depends_on, "lan");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "create lan#4 (replaced)\n"
                        "update web#1 (moved) <- create lan#4\n"
                        "delete lan#1 (replaced) <- create lan#4, update web#1\n");
    scene_done(&scene);
}

TEST(what_the_document_drops_goes_after_what_depended_on_it)
{
    struct scene scene = scene_new();
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{\"id\":\"y\"}");
    struct record *old =
        record(&scene, "acme:net:host", "web", "{\"segment\":\"lan\"}", "{\"id\":\"z\"}");
    string_list_add(&old->depends_on, "lan");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "delete web#1 (removed)\n"
                        "delete lan#1 (removed) <- delete web#1\n");
    CHECK(scene.plan->steps[0].irreversible && !scene.plan->steps[1].irreversible);
    scene.is_destroy = true;
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "delete web#1 (destroy)\n"
                        "delete lan#1 (destroy) <- delete web#1\n");
    scene_done(&scene);
}

TEST(a_user_moves_away_before_what_it_used_is_removed)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "new", "{\"tag\":8}");
    struct resource *host = want(&scene, "acme:net:host", "web", "{\"segment\":\"new\"}");
    string_list_add(&host->depends_on, "new");
    record(&scene, "acme:net:segment", "old", "{\"tag\":7}", "{\"id\":\"y\"}");
    struct record *old =
        record(&scene, "acme:net:host", "web", "{\"segment\":\"old\"}", "{\"id\":\"z\"}");
    string_list_add(&old->depends_on, "old");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "create new#4 (new)\n"
                        "update web#1 (changed) <- create new#4\n"
                        "delete old#1 (removed) <- update web#1\n");
    scene_done(&scene);
}

TEST(a_claim_that_must_be_unique_is_let_go_before_it_is_taken)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "new", "{\"tag\":7}");
    record(&scene, "acme:net:segment", "old", "{\"tag\":7}", "{\"id\":\"y\"}");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "delete old#1 (removed)\n"
                        "create new#4 (new) <- delete old#1\n");
    scene_done(&scene);
}

TEST(a_rename_destroys_nothing)
{
    struct scene scene = scene_new();
    struct resource *lan = want(&scene, "acme:net:segment", "office", "{\"tag\":7}");
    string_list_add(&lan->formerly, "lan");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{\"id\":\"y\"}");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "rename office#1 (renamed)\n");
    CHECK_TEXT(scene.plan->steps[0].former, "lan");
    CHECK_TEXT(scene.plan->steps[0].uid, "uid-of-lan");
    scene_done(&scene);
}

TEST(count_takes_over_what_had_no_key)
{
    struct scene scene = scene_new();
    struct resource *first = want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    first->key = value_integer(0);
    mem_free(first->address);
    first->address = string_copy("lan[0]");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{\"id\":\"y\"}");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "rename lan[0]#1 (renamed)\n");
    scene_done(&scene);
}

TEST(what_is_gone_outside_is_created_as_another_generation)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{\"id\":\"y\"}")->generation = 4;
    scene.observations = NEW_ARRAY(struct observation, 1);
    scene.observations[0].is_known = true;
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "create lan#5 (gone)\n");
    scene_done(&scene);
}

TEST(what_was_changed_outside_is_put_back)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":7,\"note\":\"ours\"}");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7,\"note\":\"ours\"}", "{\"id\":\"y\"}");
    struct value *seen = read_json("{\"tag\":7,\"note\":\"theirs\"}");
    scene.observations = NEW_ARRAY(struct observation, 1);
    scene.observations[0] = (struct observation){true, true, false, seen};
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "update lan#1 (drifted)\n");
    value_unref(seen);
    scene_done(&scene);
}

TEST(a_stopped_target_is_started_once_before_anything_else)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    want(&scene, "acme:net:segment", "dmz", "{\"tag\":8,\"note\":\"x\"}");
    record(&scene, "acme:net:segment", "dmz", "{\"tag\":8}", "{\"id\":\"y\"}");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{\"id\":\"y\"}");
    scene.observations = NEW_ARRAY(struct observation, 2);
    scene.observations[0] = scene.observations[1] = (struct observation){true, true, true, NULL};
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "start acme.default#0 (stopped)\n"
                        "update dmz#1 (changed) <- start acme.default#0\n");
    scene_done(&scene);
}

TEST(a_protected_resource_is_not_destroyed)
{
    struct scene scene = scene_new();
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{\"id\":\"y\"}")->protect = true;
    CHECK(make(&scene) == 0);
    CHECK(scene.diagnostics.n_errors == 1);
    CHECK(scene.diagnostics.items[0].code == DIAGNOSTIC_PROTECTED);
    scene_done(&scene);
}

TEST(what_an_earlier_run_finished_in_part_is_mended)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{\"id\":\"y\"}")->status =
        RECORD_PARTLY;
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "update lan#1 (partly)\n");
    scene_done(&scene);
}

TEST(a_deposed_generation_is_deleted)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":6}", "{\"id\":\"y\"}")->status =
        RECORD_DEPOSED;
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{\"id\":\"y\"}")->generation = 2;
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "delete lan#1 (deposed)\n");
    scene_done(&scene);
}

TEST(outputs_are_unknown_until_apply_and_known_from_records)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:host", "new", "{}");
    want(&scene, "acme:net:host", "old", "{}");
    want(
        &scene, "acme:net:segment", "lan",
        "{\"note\":{\"$unknown\":{\"origin\":\"${old.outputs.id} and ${new.outputs.id}\",\"type\":\"string\"}}}");
    string_list_add(&scene.wanted.items[2].depends_on, "new");
    string_list_add(&scene.wanted.items[2].depends_on, "old");
    record(&scene, "acme:net:host", "old", "{}", "{\"id\":\"i-7\",\"address\":\"10.0.0.1\"}");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "create new#4 (new)\n"
                        "create lan#4 (new) <- create new#4\n");
    struct value *note = value_get(scene.plan->steps[1].after, "note");
    CHECK(value_kind(note) == VALUE_UNKNOWN);
    CHECK(strstr(value_text(note), "i-7") && strstr(value_text(note), "${new.outputs.id}"));
    scene_done(&scene);
}

TEST(a_circle_is_named_as_a_path)
{
    struct scene scene = scene_new();
    string_list_add(&want(&scene, "acme:net:host", "a", "{}")->depends_on, "b");
    string_list_add(&want(&scene, "acme:net:host", "b", "{}")->depends_on, "a");
    CHECK(make(&scene) == -ERROR_INVALID);
    CHECK(scene.diagnostics.n_items == 1 && scene.diagnostics.items[0].code == DIAGNOSTIC_CYCLE);
    CHECK(strstr(scene.diagnostics.items[0].detail, "b -> a") ||
          strstr(scene.diagnostics.items[0].detail, "a -> b"));
    scene_done(&scene);
}

/* The sequence numbers of the steps and records, in document order. */
static int64_t sequence_of(const struct scene *scene, const char *address)
{
    for (size_t i = 0; i < scene->plan->n_steps; i++)
        if (strcmp(scene->plan->steps[i].address, address) == 0)
            return value_get_integer(scene->plan->steps[i].after, "sequence", -1);
    return -1;
}

TEST(ordered_types_get_sparse_numbers_in_document_order)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:rule", "first", "{\"text\":\"a\"}");
    want(&scene, "acme:net:rule", "second", "{\"text\":\"b\"}");
    CHECK(make(&scene) == 0);
    CHECK(sequence_of(&scene, "first") == 100 && sequence_of(&scene, "second") == 200);
    scene_done(&scene);
}

TEST(a_rule_put_between_two_changes_no_other)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:rule", "first", "{\"text\":\"a\"}");
    want(&scene, "acme:net:rule", "middle", "{\"text\":\"m\"}");
    want(&scene, "acme:net:rule", "second", "{\"text\":\"b\"}");
    record(&scene, "acme:net:rule", "first", "{\"text\":\"a\",\"sequence\":100}", "{}");
    record(&scene, "acme:net:rule", "second", "{\"text\":\"b\",\"sequence\":200}", "{}");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "create middle#4 (new)\n");
    CHECK(sequence_of(&scene, "middle") == 150);
    scene_done(&scene);
}

TEST(two_rules_that_change_places_change_one_number)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:rule", "second", "{\"text\":\"b\"}");
    want(&scene, "acme:net:rule", "first", "{\"text\":\"a\"}");
    record(&scene, "acme:net:rule", "first", "{\"text\":\"a\",\"sequence\":100}", "{}");
    record(&scene, "acme:net:rule", "second", "{\"text\":\"b\",\"sequence\":200}", "{}");
    CHECK(make(&scene) == 0);
    CHECK(scene.plan->n_steps == 1);
    scene_done(&scene);
}

TEST(a_saved_plan_survives_and_an_altered_one_is_refused)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":6}", "{\"id\":\"y\"}");
    CHECK(make(&scene) == 0);
    struct value *saved = plan_to_value(scene.plan);
    char *text = json_text(saved);
    struct value *again = read_json(text);
    struct plan *plan = NULL;
    CHECK(plan_from_value(again, &plan, NULL) == 0);
    CHECK_TEXT(plan->hash, scene.plan->hash);
    plan_free(plan);
    value_unref(again);
    char *place = strstr(text, "\"tag\":7");
    CHECK(place);
    place[6] = '8';
    again = read_json(text);
    struct error err = {0};
    CHECK(plan_from_value(again, &plan, &err) == -ERROR_CORRUPT);
    error_done(&err);
    value_unref(again);
    value_unref(saved);
    mem_free(text);
    scene_done(&scene);
}

TEST(a_step_may_only_fill_in_what_was_unknown)
{
    struct step step = {.address = (char *)"x"};
    step.after =
        read_json("{\"a\":1,\"b\":{\"$unknown\":{\"origin\":\"${y.id}\",\"type\":\"string\"}}}");
    struct value *fits = read_json("{\"a\":1,\"b\":\"known now\"}");
    struct value *differs = read_json("{\"a\":2,\"b\":\"known now\"}");
    struct value *grows = read_json("{\"a\":1,\"b\":\"known now\",\"c\":3}");
    CHECK(step_check_refinement(&step, fits, NULL) == 0);
    CHECK(step_check_refinement(&step, differs, NULL) == -ERROR_STALE);
    CHECK(step_check_refinement(&step, grows, NULL) == -ERROR_STALE);
    value_unref(step.after);
    value_unref(fits);
    value_unref(differs);
    value_unref(grows);
}
