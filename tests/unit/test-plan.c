#include "base/text.h"
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
                            "    seconds: {create: 1, update: 1, delete: 1}\n"
                            "  acme:net:rack:\n"
                            "    description: A rack.\n"
                            "    stage: network\n"
                            "    properties:\n"
                            "      place: {kind: integer}\n"
                            "      kind: {kind: string, forcesReplacement: true}\n"
                            "    unique: [[place]]\n"
                            "    drivers: {fake: {fidelity: stand-in}}\n"
                            "    seconds: {create: 1, update: 1, delete: 1}\n"
                            "  acme:net:pool:\n"
                            "    description: A pool.\n"
                            "    stage: application\n"
                            "    properties:\n"
                            "      hosts: {kind: list, oneOrList: true, items: {kind: string, "
                            "references: [acme:net:host]}}\n"
                            "      home: {kind: string, references: [acme:net:segment], "
                            "forcesReplacement: true}\n"
                            "      range: {kind: cidr}\n"
                            "      secret: {kind: string, secret: true}\n"
                            "      labels: {kind: map, items: string}\n"
                            "      tags: {kind: map, items: {kind: string, default: x}}\n"
                            "      health:\n"
                            "        kind: object\n"
                            "        fields:\n"
                            "          path: {kind: string}\n"
                            "          every: {kind: duration, default: 10s}\n"
                            "          kind: {kind: string, forcesReplacement: true}\n"
                            "      rules:\n"
                            "        kind: list\n"
                            "        items:\n"
                            "          kind: object\n"
                            "          fields: {port: {kind: integer}, note: {kind: string}}\n"
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
    struct string_list targets;
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
    string_list_done(&scene->targets);
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
        .targets = scene->targets.n_items > 0 ? &scene->targets : NULL,
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

/*
 * The shelf must be gone before it can be made anew, and the old host, which stands on it, before
 * that; the web host leaves the old one for the new shelf. Something must give way: it is said.
 */
TEST(what_cannot_be_left_in_time_goes_nevertheless_and_that_is_said)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:rack", "shelf", "{\"kind\":\"new\"}");
    struct resource *web = want(&scene, "acme:net:host", "web", "{\"label\":\"new\"}");
    string_list_add(&web->depends_on, "shelf");
    struct record *old = record(&scene, "acme:net:host", "old", "{}", "{\"id\":\"o\"}");
    string_list_add(&old->depends_on, "shelf");
    record(&scene, "acme:net:rack", "shelf", "{\"kind\":\"old\"}", "{}");
    struct record *was =
        record(&scene, "acme:net:host", "web", "{\"label\":\"old\"}", "{\"id\":\"w\"}");
    string_list_add(&was->depends_on, "old");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "delete old#1 (removed)\n"
                        "delete shelf#1 (replaced) <- delete old#1\n"
                        "create shelf#4 (replaced) <- delete shelf#1\n"
                        "update web#1 (changed) <- create shelf#4\n");
    CHECK(scene.diagnostics.n_errors == 0 && scene.diagnostics.n_items == 1);
    CHECK(scene.diagnostics.items[0].code == DIAGNOSTIC_LEFT_TOO_LATE);
    CHECK(scene.diagnostics.items[0].severity == DIAGNOSTIC_WARNING);
    scene_done(&scene);
}

enum { N_POOLS = 7 };

/* Pools that depend on pools before them in some order. Returns which depend on which. */
static void draw_graph(bool ret_needs[N_POOLS][N_POOLS])
{
    int order[N_POOLS];
    for (int i = 0; i < N_POOLS; i++) {
        int k = rand() % (i + 1);
        order[i] = order[k];
        order[k] = i;
    }
    memset(ret_needs, 0, sizeof(bool[N_POOLS][N_POOLS]));
    for (int i = 1; i < N_POOLS; i++)
        for (int k = 0; k < i; k++)
            ret_needs[order[i]][order[k]] = rand() % 3 == 0;
}

static void add_needs(struct string_list *list, const bool needs[N_POOLS])
{
    for (int i = 0; i < N_POOLS; i++)
        if (needs[i]) {
            char name[] = {'p', (char)('0' + i), '\0'};
            string_list_add(list, name);
        }
}

/* What is not there is not depended on. */
static void drop_missing(bool needs[N_POOLS][N_POOLS], const bool is_there[N_POOLS])
{
    for (int i = 0; i < N_POOLS; i++)
        for (int k = 0; k < N_POOLS; k++)
            needs[i][k] = needs[i][k] && is_there[i] && is_there[k];
}

/* Another kind makes it anew, other labels change it. */
static char *draw_spec(void)
{
    return string_format("{\"health\":{\"kind\":\"%d\"},\"labels\":{\"a\":\"%d\"}}", rand() % 2,
                         rand() % 2);
}

static void draw_change(struct scene *scene)
{
    bool wanted[N_POOLS][N_POOLS];
    bool recorded[N_POOLS][N_POOLS];
    bool is_wanted[N_POOLS];
    bool is_recorded[N_POOLS];
    draw_graph(wanted);
    draw_graph(recorded);
    for (int i = 0; i < N_POOLS; i++) {
        is_wanted[i] = rand() % 4 > 0;
        is_recorded[i] = rand() % 4 > 0;
    }
    drop_missing(wanted, is_wanted);
    drop_missing(recorded, is_recorded);
    for (int i = 0; i < N_POOLS; i++) {
        char name[] = {'p', (char)('0' + i), '\0'};
        CLEANUP(mem_freep) char *was = draw_spec();
        CLEANUP(mem_freep) char *is = draw_spec();
        if (is_recorded[i])
            add_needs(&record(scene, "acme:net:pool", name, was, "{}")->depends_on, recorded[i]);
        if (!is_wanted[i])
            continue;
        struct resource *resource = want(scene, "acme:net:pool", name, is);
        add_needs(&resource->depends_on, wanted[i]);
        resource->lifecycle.create_before_destroy = rand() % 5 == 0;
    }
}

TEST(every_change_between_two_documents_without_circles_has_an_order)
{
    enum { N_ROUNDS = 1000 };
    struct catalog *catalog = read_catalog();
    srand(11);
    int n_warned = 0;
    for (int round = 0; round < N_ROUNDS; round++) {
        struct scene scene = {.catalog = catalog};
        draw_change(&scene);
        int r = make(&scene);
        bool is_planned = r == 0 && scene.diagnostics.n_errors == 0;
        n_warned += scene.diagnostics.n_items > 0;
        if (!is_planned)
            printf("# round %d: %s\n", round,
                   scene.diagnostics.n_items ? scene.diagnostics.items[0].detail : "no plan");
        scene.catalog = NULL;
        scene_done(&scene);
        CHECK(is_planned);
    }
    catalog_free(catalog);
    printf("# %d of %d changes cannot let all leave in time\n", n_warned, N_ROUNDS);
    CHECK(n_warned > 0);
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
    scene.observations[0] =
        (struct observation){.is_known = true, .is_present = true, .spec = seen};
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "update lan#1 (drifted)\n");
    value_unref(seen);
    scene_done(&scene);
}

/* Plans one pool: as wanted, as recorded, as seen (NULL: nobody looked); the paths that differ. */
/* was: what was there after the record was applied; NULL: as recorded. */
static char *differences_since(const char *wanted, const char *recorded, const char *was,
                               const char *seen)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:pool", "web", wanted);
    struct record *web = record(&scene, "acme:net:pool", "web", recorded, "{}");
    web->live = was ? read_json(was) : NULL;
    struct value *live = seen ? read_json(seen) : NULL;
    scene.observations = NEW_ARRAY(struct observation, 1);
    if (seen)
        scene.observations[0] =
            (struct observation){.is_known = true, .is_present = true, .spec = live};
    struct strbuf text = {0};
    if (make(&scene) < 0)
        strbuf_add(&text, "fault");
    for (size_t i = 0; scene.plan && i < scene.plan->n_steps; i++) {
        const struct step *step = &scene.plan->steps[i];
        CLEANUP(mem_freep)
        char *changed = step->changed ? json_text(step->changed) : string_copy("");
        strbuf_addf(&text, "%s%s%s (%s) %s", i ? "; " : "", step_kind_to_string(step->kind),
                    step->record_only ? " record" : "", step_reason_to_string(step->reason),
                    changed);
    }
    value_unref(live);
    scene_done(&scene);
    return strbuf_take(&text);
}

static char *differences(const char *wanted, const char *recorded, const char *seen)
{
    return differences_since(wanted, recorded, NULL, seen);
}

TEST(what_a_system_keeps_in_its_own_way_is_drift_only_once_it_is_another)
{
    static const struct {
        const char *wanted, *recorded, *was, *seen, *want;
    } cases[] = {
        /* As it was after it was applied: written otherwise, not given back, or only in part. */
        {"{\"labels\":{\"a\":\"A\"}}", "{\"labels\":{\"a\":\"A\"}}", "{\"labels\":{\"a\":\"a\"}}",
         "{\"labels\":{\"a\":\"a\"}}", ""},
        {"{\"range\":\"10.0.0.0/8\"}", "{\"range\":\"10.0.0.0/8\"}", "{}", "{}", ""},
        {"{\"health\":{\"path\":\"/X\",\"every\":\"1m\"}}",
         "{\"health\":{\"path\":\"/X\",\"every\":\"1m\"}}",
         "{\"health\":{\"path\":\"/x\",\"every\":\"60s\"}}",
         "{\"health\":{\"path\":\"/x\",\"every\":\"1m0s\"},\"range\":\"10.0.0.0/8\"}", ""},
        /* Another one since then, in one property of two, or given back to what was asked for. */
        {"{\"labels\":{\"a\":\"A\",\"b\":\"B\"}}", "{\"labels\":{\"a\":\"A\",\"b\":\"B\"}}",
         "{\"labels\":{\"a\":\"a\",\"b\":\"b\"}}", "{\"labels\":{\"a\":\"a\",\"b\":\"x\"}}",
         "update (drifted) [\"labels.b\"]"},
        {"{\"range\":\"10.0.0.0/8\"}", "{\"range\":\"10.0.0.0/8\"}", "{}",
         "{\"range\":\"10.9.0.0/16\"}", "update (drifted) [\"range\"]"},
        {"{\"labels\":{\"a\":\"A\"}}", "{\"labels\":{\"a\":\"A\"}}", "{\"labels\":{\"a\":\"a\"}}",
         "{\"labels\":{\"a\":\"A\"}}", ""},
        {"{\"labels\":{\"a\":\"A\"}}", "{\"labels\":{\"a\":\"A\"}}", "{\"labels\":{\"a\":\"a\"}}",
         "{}", "update (drifted) [\"labels\"]"},
        /* The document changes it, or follows the system's way: then only the record does. */
        {"{\"labels\":{\"a\":\"B\"}}", "{\"labels\":{\"a\":\"A\"}}", "{\"labels\":{\"a\":\"a\"}}",
         "{\"labels\":{\"a\":\"a\"}}", "update (changed) [\"labels.a\"]"},
        {"{\"labels\":{\"a\":\"a\"}}", "{\"labels\":{\"a\":\"A\"}}", "{\"labels\":{\"a\":\"a\"}}",
         "{\"labels\":{\"a\":\"a\"}}", "update record (changed) [\"labels.a\"]"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char *got =
            differences_since(cases[i].wanted, cases[i].recorded, cases[i].was, cases[i].seen);
        if (strcmp(got, cases[i].want) != 0)
            printf("# wanted %s, was %s, seen %s\n", cases[i].wanted, cases[i].was, cases[i].seen);
        CHECK_TEXT(got, cases[i].want);
        mem_free(got);
    }
}

TEST(three_states_are_compared_property_by_property)
{
    static const struct {
        const char *wanted, *recorded, *seen, *want;
    } cases[] = {
        /* What was never set is not managed, wherever it shows up. */
        {"{}", "{}", "{\"range\":\"10.0.0.0/8\"}", ""},
        {"{\"health\":{\"path\":\"/\"}}", "{\"health\":{\"path\":\"/\"}}",
         "{\"health\":{\"path\":\"/\",\"every\":\"1m\"}}", ""},
        {"{\"rules\":[{\"port\":1}]}", "{\"rules\":[{\"port\":1}]}",
         "{\"rules\":[{\"port\":1,\"note\":\"theirs\"}]}", ""},
        /* The keys of a map are. */
        {"{\"labels\":{\"a\":\"1\"}}", "{\"labels\":{\"a\":\"1\"}}",
         "{\"labels\":{\"a\":\"1\",\"b\":\"2\"}}", "update (drifted) [\"labels.b\"]"},
        /* Removed goes back to the default, at any depth, also within lists. */
        {"{\"health\":{}}", "{\"health\":{\"every\":\"1m\"}}", NULL,
         "update (changed) [\"health.every\"]"},
        {"{\"health\":{}}", "{\"health\":{\"every\":\"10s\"}}", NULL, ""},
        {"{\"rules\":[{\"port\":1}]}", "{\"rules\":[{\"port\":1,\"note\":\"x\"}]}", NULL,
         "update (changed) [\"rules\"]"},
        {"{\"labels\":{}}", "{\"labels\":{\"a\":\"1\"}}", NULL, "update (changed) [\"labels.a\"]"},
        {"{\"tags\":{}}", "{\"tags\":{\"a\":\"x\"}}", NULL, "update (changed) [\"tags.a\"]"},
        /* What an API writes in its own way is no difference. */
        {"{\"health\":{\"every\":\"60s\"}}", "{\"health\":{\"every\":\"1m\"}}",
         "{\"health\":{\"every\":\"1m0s\"}}", ""},
        {"{\"health\":{\"every\":\"10s\"}}", "{\"health\":{\"every\":\"10s\"}}", "{\"health\":{}}",
         ""},
        /* What was set and is not there any more was removed outside; a secret is not given back.
         */
        {"{\"range\":\"10.0.0.0/8\"}", "{\"range\":\"10.0.0.0/8\"}", "{}",
         "update (drifted) [\"range\"]"},
        {"{\"secret\":\"s\"}", "{\"secret\":\"s\"}", "{}", ""},
        /* Both at once are told as one. */
        {"{\"range\":\"10.0.0.0/8\",\"labels\":{\"a\":\"2\"}}",
         "{\"range\":\"10.0.0.0/8\",\"labels\":{\"a\":\"1\"}}",
         "{\"range\":\"10.9.0.0/16\",\"labels\":{\"a\":\"1\"}}",
         "update (changed) [\"labels.a\",\"range\"]"},
        /* The document follows what is there already: nothing happens outside. */
        {"{\"labels\":{\"a\":\"2\"}}", "{\"labels\":{\"a\":\"1\"}}", "{\"labels\":{\"a\":\"2\"}}",
         "update record (changed) [\"labels.a\"]"},
        {"{}", "{\"range\":\"10.0.0.0/8\"}", "{}", "update record (changed) [\"range\"]"},
        {"{}", "{\"range\":\"10.0.0.0/8\"}", "{\"range\":\"10.0.0.0/8\"}",
         "update (changed) [\"range\"]"},
        /* A field below can force a replacement, whoever changed it. */
        {"{\"health\":{\"kind\":\"tcp\"}}", "{\"health\":{\"kind\":\"http\"}}", NULL,
         "delete (replaced) ; create (replaced) [\"health.kind\"]"},
        {"{\"health\":{\"kind\":\"tcp\"}}", "{\"health\":{\"kind\":\"tcp\"}}",
         "{\"health\":{\"kind\":\"http\"}}",
         "delete (replaced) ; create (drifted) [\"health.kind\"]"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char *got = differences(cases[i].wanted, cases[i].recorded, cases[i].seen);
        if (strcmp(got, cases[i].want) != 0)
            printf("# wanted %s, recorded %s, seen %s\n", cases[i].wanted, cases[i].recorded,
                   cases[i].seen ? cases[i].seen : "nothing");
        CHECK_TEXT(got, cases[i].want);
        mem_free(got);
    }
}

TEST(an_update_asks_for_the_default_of_what_was_removed)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:pool", "web", "{\"health\":{\"path\":\"/\"}}");
    record(&scene, "acme:net:pool", "web",
           "{\"health\":{\"path\":\"/\",\"every\":\"1m\"},\"range\":\"10.0.0.0/8\"}", "{}");
    CHECK(make(&scene) == 0);
    char *after = json_text(scene.plan->steps[0].after);
    CHECK_TEXT(after, "{\"health\":{\"every\":\"10s\",\"path\":\"/\"}}");
    CHECK(scene.plan->steps[0].defaulted.n_items == 1);
    CHECK_TEXT(scene.plan->steps[0].defaulted.items[0], "health.every");
    mem_free(after);
    scene_done(&scene);
}

TEST(what_is_ignored_keeps_the_value_that_it_has_now)
{
    struct scene scene = scene_new();
    struct resource *pool =
        want(&scene, "acme:net:pool", "web",
             "{\"range\":\"10.0.0.0/8\",\"health\":{\"every\":\"1m\"},\"labels\":{\"a\":\"2\"}}");
    string_list_add(&pool->lifecycle.ignore_changes, "range");
    string_list_add(&pool->lifecycle.ignore_changes, "health.every");
    record(&scene, "acme:net:pool", "web", "{\"range\":\"10.1.0.0/16\",\"labels\":{\"a\":\"1\"}}",
           "{}");
    CHECK(make(&scene) == 0);
    char *after = json_text(scene.plan->steps[0].after);
    CHECK_TEXT(after, "{\"labels\":{\"a\":\"2\"},\"range\":\"10.1.0.0/16\"}");
    mem_free(after);
    struct value *live = read_json("{\"range\":\"10.2.0.0/16\",\"labels\":{\"a\":\"1\"}}");
    scene.observations = NEW_ARRAY(struct observation, 1);
    scene.observations[0] =
        (struct observation){.is_known = true, .is_present = true, .spec = live};
    CHECK(make(&scene) == 0);
    char *changed = json_text(scene.plan->steps[0].changed);
    CHECK_TEXT(changed, "[\"labels.a\"]");
    CHECK_TEXT(value_get_text(scene.plan->steps[0].after, "range"), "10.2.0.0/16");
    mem_free(changed);
    value_unref(live);
    scene_done(&scene);
}

TEST(what_is_ignored_may_be_what_the_type_does_not_allow)
{
    struct scene scene = scene_new();
    struct resource *pool = want(&scene, "acme:net:pool", "web", "{\"range\":\"10.0.0.0/8\"}");
    string_list_add(&pool->lifecycle.ignore_changes, "range");
    record(&scene, "acme:net:pool", "web", "{\"range\":\"10.0.0.0/8\"}", "{}");
    struct value *live = read_json("{\"range\":\"no CIDR at all\"}");
    scene.observations = NEW_ARRAY(struct observation, 1);
    scene.observations[0] =
        (struct observation){.is_known = true, .is_present = true, .spec = live};
    CHECK(make(&scene) == 0);
    CHECK(scene.plan->n_steps == 0);
    value_unref(live);
    scene_done(&scene);
}

TEST(a_former_name_of_another_type_or_instance_is_another_resource)
{
    struct scene scene = scene_new();
    struct resource *lan = want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    string_list_add(&lan->formerly, "old");
    struct record *old = record(&scene, "acme:net:segment", "old", "{\"tag\":7}", "{}");
    mem_free(old->instance);
    old->instance = string_copy("acme.other");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "create lan#4 (new)\n"
                        "delete old#1 (removed)\n");
    scene_done(&scene);
}

TEST(a_record_is_continued_by_one_resource_only)
{
    struct scene scene = scene_new();
    string_list_add(&want(&scene, "acme:net:segment", "one", "{\"tag\":7}")->formerly, "lan");
    string_list_add(&want(&scene, "acme:net:segment", "two", "{\"tag\":8}")->formerly, "lan");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{}");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "rename one#1 (renamed)\n"
                        "create two#4 (new)\n");
    scene_done(&scene);
}

TEST(what_was_renamed_is_changed_and_referred_to_under_its_new_name)
{
    struct scene scene = scene_new();
    struct resource *lan = want(&scene, "acme:net:segment", "lan", "{\"tag\":7,\"note\":\"new\"}");
    string_list_add(&lan->formerly, "old");
    struct resource *host = want(&scene, "acme:net:host", "web", "{\"segment\":\"lan\"}");
    string_list_add(&host->depends_on, "lan");
    record(&scene, "acme:net:segment", "old", "{\"tag\":7}", "{}");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "rename lan#1 (renamed)\n"
                        "update lan#1 (changed) <- rename lan#1\n"
                        "create web#4 (new) <- rename lan#1, update lan#1\n");
    scene_done(&scene);
}

TEST(create_before_destroy_spreads_along_a_chain)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":9}");
    struct resource *host = want(&scene, "acme:net:host", "web", "{\"segment\":\"lan\"}");
    string_list_add(&host->depends_on, "lan");
    struct resource *pool = want(&scene, "acme:net:pool", "all", "{\"hosts\":[\"web\"]}");
    string_list_add(&pool->depends_on, "web");
    pool->lifecycle.create_before_destroy = true;
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{}");
    CHECK(make(&scene) == 0);
    const struct step *delete = plan_find_step(scene.plan, "delete lan#1");
    CHECK(delete &&string_list_has(&delete->depends_on, "create lan#4"));
    scene_done(&scene);
}

TEST(what_is_known_of_a_stopped_target_is_no_proof)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:host", "web", "{\"label\":\"new\"}");
    struct resource *rule =
        want(&scene, "acme:net:rule", "rule",
             "{\"text\":{\"$unknown\":{\"origin\":\"${web.address}\",\"type\":\"string\"}}}");
    string_list_add(&rule->depends_on, "web");
    record(&scene, "acme:net:host", "web", "{\"label\":\"old\"}", "{\"address\":\"10.0.0.1\"}");
    struct value *spec = read_json("{\"label\":\"new\"}");
    struct value *outputs = read_json("{\"address\":\"0.0.0.0\"}");
    scene.observations = NEW_ARRAY(struct observation, 1);
    scene.observations[0] = (struct observation){
        .is_known = true, .is_present = true, .is_stopped = true, .spec = spec, .outputs = outputs};
    CHECK(make(&scene) == 0);
    const struct step *update = plan_find_step(scene.plan, "update web#1");
    const struct step *create = plan_find_step(scene.plan, "create rule#4");
    CHECK(update && !update->record_only);
    CHECK(create);
    CHECK_TEXT(value_get_text(create->after, "text"), "10.0.0.1");
    value_unref(spec);
    value_unref(outputs);
    scene_done(&scene);
}

TEST(an_old_generation_goes_although_it_was_protected_and_a_rename_keeps_the_protection)
{
    struct scene scene = scene_new();
    struct resource *lan = want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    lan->lifecycle.protect = true;
    string_list_add(&lan->formerly, "old");
    record(&scene, "acme:net:segment", "old", "{\"tag\":7}", "{}")->protect = true;
    struct record *deposed = record(&scene, "acme:net:segment", "old", "{\"tag\":6}", "{}");
    deposed->generation = 0;
    deposed->status = RECORD_DEPOSED;
    deposed->protect = true;
    CHECK(make(&scene) == 0);
    CHECK(scene.diagnostics.n_errors == 0);
    const struct step *rename = plan_find_step(scene.plan, "rename lan#1");
    CHECK(rename && rename->protect && plan_find_step(scene.plan, "delete old#0"));
    CHECK(scene.plan->n_steps == 2);
    scene_done(&scene);
}

TEST(what_is_unknown_yet_is_no_drift)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:host", "new", "{}");
    struct resource *host =
        want(&scene, "acme:net:host", "web",
             "{\"label\":{\"$unknown\":{\"origin\":\"${new.id}\",\"type\":\"string\"}}}");
    string_list_add(&host->depends_on, "new");
    record(&scene, "acme:net:host", "web", "{\"label\":\"recorded\"}", "{}");
    struct value *live = read_json("{\"label\":\"recorded\",\"segment\":\"theirs\"}");
    scene.observations = NEW_ARRAY(struct observation, 1);
    scene.observations[0] =
        (struct observation){.is_known = true, .is_present = true, .spec = live};
    CHECK(make(&scene) == 0);
    const struct step *update = plan_find_step(scene.plan, "update web#1");
    CHECK(update && update->reason == STEP_REASON_CHANGED);
    CHECK(update && !value_get(update->before, "segment"));
    value_unref(live);
    scene_done(&scene);
}

TEST(only_what_changes_is_called_back_to_its_default)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:pool", "web", "{\"health\":{\"path\":\"/new\"}}");
    record(&scene, "acme:net:pool", "web", "{\"health\":{\"path\":\"/\",\"every\":\"10s\"}}", "{}");
    CHECK(make(&scene) == 0);
    CHECK(scene.plan->n_steps == 1 && scene.plan->steps[0].defaulted.n_items == 0);
    scene_done(&scene);
}

TEST(a_rename_says_what_the_record_depends_on)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    struct resource *host = want(&scene, "acme:net:host", "web", "{\"segment\":\"lan\"}");
    string_list_add(&host->depends_on, "lan");
    string_list_add(&host->formerly, "old");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{}");
    struct record *old = record(&scene, "acme:net:host", "old", "{\"segment\":\"lan\"}", "{}");
    string_list_add(&old->depends_on, "lan");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "rename web#1 (renamed)\n");
    CHECK(string_list_has(&scene.plan->steps[0].resources, "lan"));
    scene_done(&scene);
}

TEST(where_no_number_fits_between_all_are_numbered_anew)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:rule", "first", "{\"text\":\"a\"}");
    want(&scene, "acme:net:rule", "middle", "{\"text\":\"m\"}");
    want(&scene, "acme:net:rule", "second", "{\"text\":\"b\"}");
    record(&scene, "acme:net:rule", "first", "{\"text\":\"a\",\"sequence\":100}", "{}");
    record(&scene, "acme:net:rule", "second", "{\"text\":\"b\",\"sequence\":101}", "{}");
    CHECK(make(&scene) == 0);
    const struct step *middle = plan_find_step(scene.plan, "create middle#4");
    const struct step *second = plan_find_step(scene.plan, "update second#1");
    CHECK(middle && value_get_integer(middle->after, "sequence", 0) == 200);
    CHECK(second && value_get_integer(second->after, "sequence", 0) == 300);
    scene_done(&scene);
}

TEST(a_target_among_what_is_ordered_gets_its_place_whoever_must_move_for_it)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:rule", "first", "{\"text\":\"another\"}");
    want(&scene, "acme:net:rule", "middle", "{\"text\":\"m\"}");
    want(&scene, "acme:net:rule", "second", "{\"text\":\"b\"}");
    want(&scene, "acme:net:rule", "third", "{\"text\":\"new\"}");
    record(&scene, "acme:net:rule", "first", "{\"text\":\"a\",\"sequence\":100}", "{}");
    record(&scene, "acme:net:rule", "second", "{\"text\":\"b\",\"sequence\":101}", "{}");
    string_list_add(&scene.targets, "middle");
    CHECK(make(&scene) == 0);
    CHECK(scene.plan->n_steps == 2);
    CHECK(plan_find_step(scene.plan, "create middle#4"));
    CHECK(plan_find_step(scene.plan, "update second#1"));
    const struct value *left_out = value_get(scene.plan->partial, "left_out");
    CHECK(value_get_integer(left_out, "create", 0) == 1);
    CHECK(value_get_integer(left_out, "update", 0) == 1);
    scene_done(&scene);
}

/* Ten of "m", and ten of "u" of which each depends on all of "m". */
static void want_layers(struct scene *scene)
{
    for (size_t i = 0; i < 20; i++) {
        CLEANUP(mem_freep) char *address = string_format("%s[%zu]", i < 10 ? "m" : "u", i % 10);
        struct resource *resource =
            want(scene, "acme:net:segment", i < 10 ? "m" : "u", "{\"tag\":7}");
        mem_free(resource->address);
        resource->address = string_copy(address);
        resource->key = value_integer((int64_t)(i % 10));
        if (i >= 10)
            string_list_add(&resource->depends_on, "m");
    }
}

static void record_layers(struct scene *scene)
{
    for (size_t i = 0; i < 20; i++) {
        CLEANUP(mem_freep) char *address = string_format("%s[%zu]", i < 10 ? "m" : "u", i % 10);
        struct record *known = record(scene, "acme:net:segment", address, "{\"tag\":7}", "{}");
        if (i >= 10)
            string_list_add(&known->depends_on, "m");
    }
}

/* Whether a group has ten steps of this kind, and ten others wait for it and nothing else. */
static bool has_group(const struct plan *plan, const char *id, const char *members,
                      const char *users)
{
    if (plan->n_groups != 1 || !text_equal(plan->groups[0].id, id))
        return false;
    const struct string_list *ids = &plan->groups[0].depends_on;
    size_t n_users = 0;
    for (size_t i = 0; i < ids->n_items; i++)
        if (!text_starts_with(ids->items[i], members))
            return false;
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct string_list *depends_on = &plan->steps[i].depends_on;
        bool is_user = text_starts_with(plan->steps[i].id, users);
        n_users += is_user;
        if (depends_on->n_items != is_user || (is_user && !text_equal(depends_on->items[0], id)))
            return false;
    }
    return ids->n_items == 10 && n_users == 10;
}

TEST(many_that_wait_for_many_wait_for_a_group)
{
    struct scene scene = scene_new();
    want_layers(&scene);
    CHECK(make(&scene) == 0);
    CHECK(scene.plan->n_steps == 20);
    CHECK(has_group(scene.plan, "all of m", "create m[", "create u["));
    CHECK(plan_critical_seconds(scene.plan) > 1.5 * scene.plan->steps[0].seconds);
    CLEANUP(mem_freep) char *text = plan_text(scene.plan);
    CLEANUP(value_unrefp) struct value *saved = read_json(text);
    CLEANUP(plan_freep) struct plan *again = NULL;
    CHECK(plan_from_value(saved, &again, NULL) == 0);
    CHECK(has_group(again, "all of m", "create m[", "create u["));
    scene_done(&scene);
}

TEST(what_many_used_goes_after_all_of_them)
{
    struct scene scene = scene_new();
    record_layers(&scene);
    CHECK(make(&scene) == 0);
    CHECK(scene.plan->n_steps == 20);
    CHECK(has_group(scene.plan, "users of m", "delete u[", "delete m["));
    scene_done(&scene);
}

TEST(a_group_that_is_there_already_is_in_no_plan)
{
    struct scene scene = scene_new();
    want_layers(&scene);
    record_layers(&scene);
    CHECK(make(&scene) == 0);
    CHECK(scene.plan->n_steps == 0 && scene.plan->n_groups == 0);
    scene_done(&scene);
}

TEST(a_target_that_waits_for_a_group_comes_with_all_of_it)
{
    struct scene scene = scene_new();
    want_layers(&scene);
    string_list_add(&scene.targets, "u[3]");
    CHECK(make(&scene) == 0);
    CHECK(scene.plan->n_steps == 11 && scene.plan->n_groups == 1);
    scene_done(&scene);
    scene = scene_new();
    want_layers(&scene);
    string_list_add(&scene.targets, "m[3]");
    CHECK(make(&scene) == 0);
    CHECK(scene.plan->n_steps == 1 && scene.plan->n_groups == 0);
    scene_done(&scene);
}

TEST(a_number_of_the_users_own_is_left_alone)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:rule", "first", "{\"text\":\"a\",\"sequence\":7}");
    want(&scene, "acme:net:rule", "second", "{\"text\":\"b\"}");
    CHECK(make(&scene) == 0);
    const struct step *first = plan_find_step(scene.plan, "create first#4");
    const struct step *second = plan_find_step(scene.plan, "create second#4");
    CHECK(first && value_get_integer(first->after, "sequence", 0) == 7);
    CHECK(second && value_get_integer(second->after, "sequence", 0) == 100);
    scene_done(&scene);
}

/* A record of a host in lan that was bound to this uid of it. */
static struct record *host_in_lan(struct scene *scene, const char *bound)
{
    struct resource *host = want(scene, "acme:net:host", "web", "{\"segment\":\"lan\"}");
    string_list_add(&host->depends_on, "lan");
    struct record *old = record(scene, "acme:net:host", "web", "{\"segment\":\"lan\"}",
                                "{\"address\":\"10.0.0.1\"}");
    string_list_add(&old->depends_on, "lan");
    old->bound = read_json(bound);
    return old;
}

TEST(a_reference_that_leads_to_another_generation_is_pointed_there)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{\"id\":\"y\"}");
    struct record *old = host_in_lan(&scene, "{\"lan\":[\"uid-of-lan\"]}");
    CHECK(make(&scene) == 0);
    CHECK(scene.plan->n_steps == 0);
    /* An earlier run made lan anew and failed before it came to web. */
    value_unref(old->bound);
    old->bound = read_json("{\"lan\":[\"uid-before\"]}");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "update web#1 (moved)\n");
    scene_done(&scene);
}

TEST(what_still_leads_to_a_deposed_generation_is_moved_before_that_goes)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":9}");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{}")->status = RECORD_DEPOSED;
    struct record *new = record(&scene, "acme:net:segment", "lan", "{\"tag\":9}", "{\"id\":\"y\"}");
    new->generation = 2;
    mem_free(new->uid);
    new->uid = string_copy("uid-2-of-lan");
    host_in_lan(&scene, "{\"lan\":[\"uid-of-lan\"]}");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "update web#1 (moved)\n"
                        "delete lan#1 (deposed) <- update web#1\n");
    scene_done(&scene);
}

/* What is below is made anew, destroy first: with it goes all that was made on it. */
TEST(what_is_new_or_comes_too_late_does_not_hold_a_deposed_generation)
{
    for (int is_there = 0; is_there < 2; is_there++) {
        struct scene scene = scene_new();
        want(&scene, "acme:net:segment", "below", "{\"tag\":2}");
        string_list_add(&want(&scene, "acme:net:segment", "lan", "{\"tag\":9}")->depends_on,
                        "below");
        record(&scene, "acme:net:segment", "below", "{\"tag\":1}", "{}");
        struct record *old = record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{}");
        old->status = RECORD_DEPOSED;
        string_list_add(&old->depends_on, "below");
        struct record *new = record(&scene, "acme:net:segment", "lan", "{\"tag\":8}", "{}");
        new->generation = 2;
        mem_free(new->uid);
        new->uid = string_copy("uid-2-of-lan");
        string_list_add(&new->depends_on, "below");
        if (is_there)
            host_in_lan(&scene, "{\"lan\":[\"uid-of-lan\"]}");
        else
            string_list_add(
                &want(&scene, "acme:net:host", "web", "{\"segment\":\"lan\"}")->depends_on, "lan");
        CHECK(make(&scene) == 0 && scene.diagnostics.n_errors == 0);
        const struct step *gone = plan_find_step(scene.plan, "delete lan#1");
        CHECK(gone && gone->depends_on.n_items == 0);
        scene_done(&scene);
    }
}

TEST(a_rename_onto_a_deposed_generation_waits_until_that_is_gone)
{
    struct scene scene = scene_new();
    struct resource *lan = want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    string_list_add(&lan->formerly, "old");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":6}", "{}")->status = RECORD_DEPOSED;
    record(&scene, "acme:net:segment", "old", "{\"tag\":7}", "{}");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "delete lan#1 (deposed)\n"
                        "rename lan#1 (renamed) <- delete lan#1\n");
    scene_done(&scene);
}

TEST(a_reference_that_moves_makes_anew_what_cannot_follow)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":9}");
    struct resource *pool = want(&scene, "acme:net:pool", "web", "{\"home\":\"lan\"}");
    string_list_add(&pool->depends_on, "lan");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{}");
    struct record *old = record(&scene, "acme:net:pool", "web", "{\"home\":\"lan\"}", "{}");
    string_list_add(&old->depends_on, "lan");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "delete web#1 (replaced)\n"
                        "delete lan#1 (replaced) <- delete web#1\n"
                        "create lan#4 (replaced) <- delete lan#1\n"
                        "create web#4 (replaced) <- create lan#4, delete web#1\n");
    scene_done(&scene);
}

TEST(an_output_that_follows_a_reference_is_unknown_when_that_moves)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":9}");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{}");
    host_in_lan(&scene, "{\"lan\":[\"uid-of-lan\"]}");
    struct resource *rule = want(
        &scene, "acme:net:rule", "rule",
        "{\"text\":{\"$unknown\":{\"origin\":\"${web.outputs.address}\",\"type\":\"string\"}}}");
    string_list_add(&rule->depends_on, "web");
    CHECK(make(&scene) == 0);
    const struct step *step = plan_find_step(scene.plan, "create rule#4");
    CHECK(step && value_kind(value_get(step->after, "text")) == VALUE_UNKNOWN);
    scene_done(&scene);
}

TEST(a_dependency_without_a_reference_moves_nobody)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":9}");
    struct resource *host = want(&scene, "acme:net:host", "web", "{\"label\":\"x\"}");
    string_list_add(&host->depends_on, "lan");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{}");
    struct record *old = record(&scene, "acme:net:host", "web", "{\"label\":\"x\"}", "{}");
    string_list_add(&old->depends_on, "lan");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "delete lan#1 (replaced)\n"
                        "create lan#4 (replaced) <- delete lan#1\n");
    scene_done(&scene);
}

TEST(who_leaves_a_resource_that_is_made_anew_first_leaves_before_the_old_one_goes)
{
    struct scene scene = scene_new();
    struct resource *lan = want(&scene, "acme:net:segment", "lan", "{\"tag\":9}");
    lan->lifecycle.create_before_destroy = true;
    want(&scene, "acme:net:host", "web", "{\"label\":\"x\"}");
    record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{}");
    struct record *old = record(&scene, "acme:net:host", "web", "{\"segment\":\"lan\"}", "{}");
    string_list_add(&old->depends_on, "lan");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "create lan#4 (replaced)\n"
                        "update web#1 (changed)\n"
                        "delete lan#1 (replaced) <- create lan#4, update web#1\n");
    scene_done(&scene);
}

TEST(a_claim_that_an_update_lets_go_of_is_taken_after_it)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:rack", "new", "{\"place\":7}");
    want(&scene, "acme:net:rack", "old", "{\"place\":8}");
    record(&scene, "acme:net:rack", "old", "{\"place\":7}", "{}");
    CHECK(make(&scene) == 0);
    CHECK_STEPS(&scene, "update old#1 (changed)\n"
                        "create new#4 (new) <- update old#1\n");
    scene_done(&scene);
}

TEST(an_overlap_of_what_only_one_can_have_is_a_fault)
{
    struct scene scene = scene_new();
    struct resource *rack = want(&scene, "acme:net:rack", "a", "{\"place\":7,\"kind\":\"new\"}");
    rack->lifecycle.create_before_destroy = true;
    record(&scene, "acme:net:rack", "a", "{\"place\":7,\"kind\":\"old\"}", "{}");
    CHECK(make(&scene) == 0);
    CHECK(scene.diagnostics.n_errors == 1);
    CHECK(scene.diagnostics.items[0].code == DIAGNOSTIC_DUPLICATE_UNIQUE);
    diagnostics_done(&scene.diagnostics);
    scene.diagnostics = (struct diagnostics){0};
    /* With another place both can stand for a while. */
    value_unref(rack->spec);
    scene.wanted.items[0].spec = read_json("{\"place\":8,\"kind\":\"new\"}");
    CHECK(make(&scene) == 0);
    CHECK(scene.diagnostics.n_errors == 0);
    CHECK_STEPS(&scene, "create a#4 (replaced)\n"
                        "delete a#1 (replaced) <- create a#4\n");
    scene_done(&scene);
}

TEST(an_output_is_taken_as_it_was_seen_and_else_as_recorded)
{
    struct scene scene = scene_new();
    want(&scene, "acme:net:host", "web", "{}");
    struct resource *rule = want(
        &scene, "acme:net:rule", "rule",
        "{\"text\":{\"$unknown\":{\"origin\":\"${web.id} ${web.address}\",\"type\":\"string\"}}}");
    string_list_add(&rule->depends_on, "web");
    record(&scene, "acme:net:host", "web", "{}", "{\"id\":\"i-1\",\"address\":\"10.0.0.1\"}");
    struct value *spec = read_json("{}");
    struct value *outputs = read_json("{\"address\":\"10.0.0.2\"}");
    scene.observations = NEW_ARRAY(struct observation, 1);
    scene.observations[0] = (struct observation){
        .is_known = true, .is_present = true, .spec = spec, .outputs = outputs};
    CHECK(make(&scene) == 0);
    CHECK_TEXT(value_get_text(scene.plan->steps[0].after, "text"), "i-1 10.0.0.2");
    value_unref(spec);
    value_unref(outputs);
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
    scene.observations[0] = scene.observations[1] =
        (struct observation){.is_known = true, .is_present = true, .is_stopped = true};
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

TEST(what_nobody_can_tell_of_is_planned_by_what_was_seen_or_stops_the_plan)
{
    static const struct {
        struct observation seen;
        const char *want;
        size_t n_faults;
    } cases[] = {
        {{.is_known = false}, NULL, 1},
        {{.is_known = true, .is_present = true}, "update lan#1 (partly)\n", 0},
        {{.is_known = true, .is_present = false}, "create lan#4 (partly)\n", 0},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct scene scene = scene_new();
        want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
        record(&scene, "acme:net:segment", "lan", "{\"tag\":7}", "{}")->status = RECORD_UNKNOWN;
        scene.observations = NEW_ARRAY(struct observation, 1);
        scene.observations[0] = cases[i].seen;
        CHECK(make(&scene) == 0);
        CHECK(scene.diagnostics.n_errors == cases[i].n_faults);
        if (cases[i].n_faults)
            CHECK(scene.diagnostics.items[0].code == DIAGNOSTIC_UNKNOWABLE);
        else
            CHECK_STEPS(&scene, cases[i].want);
        scene_done(&scene);
    }
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

static int read_with(const struct value *saved, const char *key, const char *json)
{
    CLEANUP(value_unrefp) struct value *other = value_with(saved, key, read_json(json));
    struct plan *plan = NULL;
    int r = plan_read_unsealed(other, &plan, NULL);
    plan_free(plan);
    return r;
}

TEST(a_saved_plan_with_a_strange_part_is_refused)
{
    static const char *const strange[] = {
        "{}", "[]", "{\"targets\": [], \"left_out\": []}", "{\"targets\": [1], \"left_out\": {}}",
        "{\"targets\": [\"a\"], \"left_out\": {\"create\": \"1\"}}"};
    struct scene scene = scene_new();
    want(&scene, "acme:net:segment", "lan", "{\"tag\":7}");
    want(&scene, "acme:net:segment", "wan", "{\"tag\":8}");
    string_list_add(&scene.targets, "lan");
    CHECK(make(&scene) == 0);
    CLEANUP(value_unrefp) struct value *saved = plan_to_value(scene.plan);
    CHECK(read_with(saved, "partial", "{\"targets\":[\"lan\"],\"left_out\":{\"create\":1}}") == 0);
    for (size_t i = 0; i < ARRAY_LENGTH(strange); i++)
        CHECK(read_with(saved, "partial", strange[i]) == -ERROR_INVALID);
    CHECK(read_with(saved, "knowledge", "[]") == -ERROR_INVALID);
    scene_done(&scene);
}

/* The text, and what is hashed, are written piece by piece; the value is what they mean. */
TEST(a_plan_written_piece_by_piece_is_the_canonical_text_of_its_value)
{
    struct scene scene = scene_new();
    static const char *const names[] = {"lan", "wan"};
    for (size_t n = 0; n <= ARRAY_LENGTH(names); n++) {
        CHECK(make(&scene) == 0 && scene.plan->n_steps == n);
        CLEANUP(value_unrefp) struct value *value = plan_to_value(scene.plan);
        CLEANUP(mem_freep) char *want_text = json_text(value);
        CLEANUP(mem_freep) char *text = plan_text(scene.plan);
        CHECK_TEXT(text, want_text);
        if (n < ARRAY_LENGTH(names))
            want(&scene, "acme:net:segment", names[n], n ? "{\"tag\":8}" : "{\"tag\":7}");
    }
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
