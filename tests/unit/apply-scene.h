/*
 * What the tests of apply/ share: a home with a store in memory, a fake account and the core, plans
 * built by hand, runs of them, and what there is afterwards. apply-watch.h has the watchers.
 */
#pragma once

#include "unit/apply-watch.h"

#include <ftw.h>

/* --- Setting up --- */

static inline int remove_entry(const char *path, const struct stat *status, int kind,
                               struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

static inline void scene_done(void)
{
    if (!scene.loop)
        return;
    plan_free(scene.plan);
    records_done(&scene.records);
    store_deployment_done(&scene.deployment);
    provider_free(scene.fake);
    provider_free(scene.core);
    store_close(&scene.store->store);
    store_close(scene.memory);
    loop_free(scene.loop);
    coroutine_pool_done();
    catalog_free(scene.catalog);
    strbuf_done(&scene.calls);
    strbuf_done(&scene.events);
    strbuf_done(&scene.faults);
    map_done(&scene.open);
    map_done(&scene.seen);
    nftw(scene.home, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    memset(&scene, 0, sizeof(scene));
}

static inline void say(int r, struct error *err)
{
    if (r < 0)
        fault("%s", error_message(err));
    error_done(err);
}

static inline void read_catalog(void)
{
    struct diagnostics diagnostics = {0};
    struct error err = {0};
    CLEANUP(mem_freep) char *folder = string_format("%s/catalog", scene.home);
    CLEANUP(mem_freep) char *path = string_format("%s/acme.yaml", folder);
    int r = world_make_folder(folder, 0700, &err);
    if (r == 0)
        r = world_write_file(path, scene_types, strlen(scene_types), 0600, false, &err);
    if (r == 0)
        r = catalog_open(folder, &scene.catalog, &diagnostics, &err);
    say(r, &err);
    if (!scene.catalog)
        fault("the catalog has faults");
    diagnostics_done(&diagnostics);
}

/* Opens the fake with other settings (JSON or NULL), as another process would. */
static inline void open_fake(const char *settings)
{
    struct error err = {0};
    CLEANUP(value_unrefp) struct value *config = settings ? from_json(settings) : NULL;
    provider_free(scene.fake);
    scene.fake = NULL;
    say(provider_new(scene.loop, "acme.default", "fake", config, scene.home, &scene.fake, &err),
        &err);
    scene.fake_ops = fake_provider_ops;
    scene.fake_ops.apply = watched_apply;
    scene.fake_ops.probe = watched_probe;
    scene.fake_ops.commit = watched_activation;
    scene.fake->ops = &scene.fake_ops;
}

/* What a test that ended early left behind goes first. */
static inline void scene_begin(void)
{
    struct error err = {0};
    scene_done();
    snprintf(scene.home, sizeof(scene.home), "%s/parley-apply-XXXXXX", temporary_folder());
    if (!mkdtemp(scene.home))
        abort();
    scene.loop = loop_new();
    scene.memory = store_open_memory(scene.loop);
    scene.store = NEW(struct watched_store);
    scene.store->store.ops = &watched_ops;
    scene.store->store.loop = scene.loop;
    scene.store->store.place = string_copy("memory");
    memcpy(scene.store->store.id, store_id(scene.memory), UUID_TEXT_SIZE);
    read_catalog();
    open_fake(NULL);
    say(provider_new(scene.loop, "core.default", "core", NULL, scene.home, &scene.core, &err),
        &err);
}

/* --- Plans by hand --- */

static inline const struct record *find_generation(const char *address, int64_t generation)
{
    for (size_t i = 0; i < scene.records.n_items; i++)
        if (text_equal(scene.records.items[i]->address, address) &&
            scene.records.items[i]->generation == generation)
            return scene.records.items[i];
    return NULL;
}

/* A new plan, made from the records as refresh() found them. */
static inline void plan_begin(void)
{
    plan_free(scene.plan);
    scene.plan = plan_new();
    scene.plan->deployment = string_copy("shop");
    scene.plan->environment = string_copy("default");
    scene.plan->deployment_uid = string_copy(DEPLOYMENT);
    scene.plan->incarnation = 1;
    scene.plan->records_version = scene.records_version;
    if (scene.deployment.head_revision > 0) {
        struct value_builder parents = {0};
        value_builder_append(&parents, value_integer(scene.deployment.head_revision));
        value_unref(scene.plan->parents);
        scene.plan->parents = value_builder_list(&parents);
    }
    scene.plan->document = string_copy("deployment: {name: shop}\n");
    scene.plan->document_digest = string_copy("digest-of-document");
    scene.plan->catalog_digest = string_copy(catalog_digest(scene.catalog));
}

static inline struct step *add_step(enum step_kind kind, const char *address, int64_t generation)
{
    const struct record *record = find_generation(address, generation);
    struct step *step = plan_add_step(scene.plan);
    step->id = string_format("%s %s#%" PRId64, step_kind_to_string(kind), address, generation);
    step->kind = kind;
    step->reason = STEP_REASON_NEW;
    step->address = string_copy(address);
    step->generation = generation;
    step->type = string_copy(record ? record->type : BOX);
    step->instance = string_copy(record ? record->instance : "acme.default");
    step->uid =
        record ? string_copy(record->uid) : string_format("%s-%" PRId64, address, generation);
    step->provider_id = record && record->provider_id ? string_copy(record->provider_id) : NULL;
    step->origin = string_copy("document");
    step->stage = STAGE_APPLICATION;
    step->before = record ? value_ref(record->spec) : NULL;
    if (kind == STEP_UPDATE || kind == STEP_RENAME)
        string_list_copy(&step->resources, &record->depends_on);
    return step;
}

static inline struct step *create_next(const char *address, int64_t generation, const char *spec)
{
    struct step *step = add_step(STEP_CREATE, address, generation);
    value_unref(step->before);
    step->before = NULL;
    step->after = from_json(spec);
    return step;
}

static inline struct step *create(const char *address, const char *spec)
{
    return create_next(address, 1, spec);
}

static inline struct step *create_data(const char *address, const char *spec)
{
    struct step *step = create(address, spec);
    mem_free(step->type);
    step->type = string_copy(DATA);
    mem_free(step->instance);
    step->instance = string_copy("core.default");
    return step;
}

static inline struct step *update(const char *address, const char *spec)
{
    struct step *step = add_step(STEP_UPDATE, address, 1);
    step->reason = STEP_REASON_CHANGED;
    step->after = from_json(spec);
    step->changed = value_list(NULL, 0);
    return step;
}

static inline struct step *drop(const char *address)
{
    struct step *step = add_step(STEP_DELETE, address, 1);
    step->reason = STEP_REASON_REMOVED;
    return step;
}

static inline struct step *rename_from(const char *former, const char *address)
{
    struct step *step = add_step(STEP_RENAME, former, 1);
    step->reason = STEP_REASON_RENAMED;
    step->former = step->address;
    step->address = string_copy(address);
    value_unref(step->before);
    step->before = NULL;
    mem_free(step->id);
    step->id = string_format("rename %s#1", address);
    return step;
}

/* Lets a step wait for another; a create or update then depends on its resource. */
static inline void wait_for(struct step *step, const char *id)
{
    string_list_add(&step->depends_on, id);
    if (!text_starts_with(id, "create ") || !step->after)
        return;
    const char *from = id + strlen("create ");
    CLEANUP(mem_freep) char *address = string_copy_n(from, strcspn(from, "#"));
    if (!string_list_has(&step->resources, address))
        string_list_add(&step->resources, address);
}

/* The least there is: a new home and a plan that makes one box. */
static inline void make_web(void)
{
    scene_begin();
    plan_begin();
    create("web", "{\"colour\":\"red\",\"size\":3}");
}

/* --- Runs --- */

enum verb { VERB_APPLY, VERB_RESUME, VERB_SETTLE };

struct job {
    enum verb verb;
    const struct plan *plan;
    struct store_run run;
    size_t n_open;
    int r;
    bool has_ended;
    struct error err;
};

static inline void job_done(struct job *job)
{
    store_run_done(&job->run);
    error_done(&job->err);
    memset(job, 0, sizeof(*job));
}

static inline void job_main(void *argument)
{
    struct job *job = argument;
    struct apply_context context = {
        .loop = scene.loop,
        .store = &scene.store->store,
        .catalog = scene.catalog,
        .home = scene.home,
        .find_provider = scene_find_provider,
        .event = scene_event,
        .is_cancelled = &scene.is_cancelled,
        .cancelled = scene.says_cancelled ? &scene.cancelled : NULL,
        .approved_until = scene.approved_until,
    };
    if (job->verb == VERB_APPLY)
        job->r = apply_plan(&context, job->plan, &job->run, &job->err);
    else if (job->verb == VERB_RESUME)
        job->r = apply_resume(&context, job->plan, &job->run, &job->err);
    else
        job->r = apply_settle(&context, job->plan, &job->run, &job->n_open, &job->err);
    job->has_ended = true;
}

struct preparation {
    const struct plan *plan;
    const char *run_id;
};

/* What service/ stores before a run: its deployment, plan and row. */
static inline void prepare_main(void *argument)
{
    const struct preparation *preparation = argument;
    const struct plan *plan = preparation->plan;
    struct store_deployment known = {0};
    struct error err = {0};
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(mem_freep) char *text = plan_text(plan);
    CLEANUP(value_unrefp) struct value *outputs = from_json("{}");
    if (store_find_deployment(scene.memory, "shop", "default", &known, NULL) < 0) {
        struct store_deployment fresh = {.uid = (char[]){DEPLOYMENT},
                                         .name = (char[]){"shop"},
                                         .environment = (char[]){"default"},
                                         .incarnation = 1,
                                         .outputs = outputs};
        store_batch_put_deployment(batch, &fresh);
    }
    store_deployment_done(&known);
    struct store_run run = {.id = (char *)preparation->run_id,
                            .deployment_uid = (char[]){DEPLOYMENT},
                            .plan_hash = (char *)plan->hash,
                            .principal = (char[]){"user:1000"},
                            .words = (char[]){"up shop.yaml"},
                            .status = RUN_PENDING,
                            .started_at = world_wall_clock()};
    store_batch_put_plan(batch, plan->hash, DEPLOYMENT, text, NULL);
    store_batch_put_run(batch, &run);
    say(store_commit(scene.memory, batch, NULL, &err), &err);
}

struct question {
    const char *run_id;
    struct store_run *ret_run;
};

static inline void get_run_main(void *argument)
{
    struct question *question = argument;
    struct error err = {0};
    say(store_get_run(scene.memory, question->run_id, question->ret_run, &err), &err);
}

static inline struct store_run get_run(const char *run_id)
{
    struct store_run run = {0};
    struct question question = {.run_id = run_id, .ret_run = &run};
    loop_spawn(scene.loop, "get run", get_run_main, &question);
    loop_run(scene.loop);
    return run;
}

static inline enum run_status status_of(const char *run_id)
{
    struct store_run run = get_run(run_id);
    enum run_status status = run.status;
    store_run_done(&run);
    return status;
}

/* Seals the plan and stores it with a pending run, as it is just before a run's process begins. */
static inline void prepare(struct plan *plan, const char *run_id)
{
    struct preparation preparation = {.plan = plan, .run_id = run_id};
    plan_seal(plan);
    loop_spawn(scene.loop, "prepare", prepare_main, &preparation);
    loop_run(scene.loop);
}

/* A verb on a run that is in the store; begins with the next turn of the loop. */
static inline void job_start(struct job *job, enum verb verb, const struct plan *plan,
                             const char *run_id)
{
    *job = (struct job){.verb = verb, .plan = plan, .run = get_run(run_id)};
    watch_run(run_id);
    loop_spawn(scene.loop, "job", job_main, job);
}

static inline void job_run(struct job *job, enum verb verb, const char *run_id)
{
    job_start(job, verb, scene.plan, run_id);
    loop_run(scene.loop);
}

static inline void refresh_main(void *argument)
{
    (void)argument;
    struct error err = {0};
    records_done(&scene.records);
    memset(&scene.records, 0, sizeof(scene.records));
    store_deployment_done(&scene.deployment);
    memset(&scene.deployment, 0, sizeof(scene.deployment));
    int r = store_find_deployment(scene.memory, "shop", "default", &scene.deployment, &err);
    if (r == 0)
        r = store_load_records(scene.memory, DEPLOYMENT, &scene.records, &err);
    say(r, &err);
    scene.records_version = scene.deployment.records_version;
}

/* Reads the records, for checks and for the next plan. */
static inline void refresh(void)
{
    loop_spawn(scene.loop, "refresh", refresh_main, NULL);
    loop_run(scene.loop);
}

/* Carries the plan out under a run of that id; true when it came to its end as wanted. */
static inline bool ends_as(const char *run_id, enum run_status want)
{
    struct job job;
    prepare(scene.plan, run_id);
    job_run(&job, VERB_APPLY, run_id);
    bool is_so = job.has_ended && job.r == 0 && job.run.status == want && status_of(run_id) == want;
    if (!is_so)
        printf("# run %s: %d %s %s %s\n", run_id, job.r, run_status_to_string(job.run.status),
               job.err.message ? job.err.message : "", job.run.message ? job.run.message : "");
    job_done(&job);
    refresh();
    return is_so;
}

static inline bool resume_ends_as(const char *run_id, enum run_status want)
{
    struct job job;
    job_run(&job, VERB_RESUME, run_id);
    bool is_so = job.has_ended && job.r == 0 && job.run.status == want && status_of(run_id) == want;
    if (!is_so)
        printf("# resume %s: %d %s %s %s\n", run_id, job.r, run_status_to_string(job.run.status),
               job.err.message ? job.err.message : "", job.run.message ? job.run.message : "");
    job_done(&job);
    refresh();
    return is_so;
}

/* --- What there is afterwards --- */

static inline int note_file(void *argument, const char *name, struct error *err)
{
    struct strbuf *text = argument;
    CLEANUP(mem_freep)
    char *path = string_format("%s/fake/acme.default/%s", scene.home, name);
    CLEANUP(mem_freep) char *content = NULL;
    CLEANUP(value_unrefp) struct value *resource = NULL;
    if (!text_ends_with(name, ".json"))
        return 0;
    int r = world_read_file(path, 1 << 20, &content, NULL, err);
    if (r == 0)
        r = json_read(content, strlen(content), &resource, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep) char *spec = json_text(value_get(resource, "spec"));
    strbuf_addf(text, "%.*s %s\n", (int)strlen(name) - 5, name, spec);
    return 0;
}

/* "UID SPEC" of each resource that the fake has, a line each. The caller frees it. */
static inline char *list_files(void)
{
    struct strbuf text = {0};
    struct error err = {0};
    CLEANUP(mem_freep) char *folder = string_format("%s/fake/acme.default", scene.home);
    int r = world_list_folder(folder, note_file, &text, &err);
    say(r == -ERROR_NOT_FOUND ? 0 : r, &err);
    error_done(&err);
    return strbuf_take(&text);
}

/* "ADDRESS#GENERATION STATUS SPEC" of each record, a line each. The caller frees it. */
static inline char *list_records(void)
{
    struct strbuf text = {0};
    for (size_t i = 0; i < scene.records.n_items; i++) {
        const struct record *record = scene.records.items[i];
        CLEANUP(mem_freep) char *spec = json_text(record->spec);
        strbuf_addf(&text, "%s#%" PRId64 " %s %s\n", record->address, record->generation,
                    record_status_to_string(record->status), spec);
    }
    return strbuf_take(&text);
}

static inline int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "UID SPEC" of each record of the fake, as list_files() has it. The caller frees it. */
static inline char *list_recorded_files(void)
{
    struct strbuf text = {0};
    char **lines = NEW_ARRAY(char *, scene.records.n_items + 1);
    size_t n = 0;
    for (size_t i = 0; i < scene.records.n_items; i++) {
        const struct record *record = scene.records.items[i];
        if (!text_equal(record->instance, "acme.default"))
            continue;
        CLEANUP(mem_freep) char *spec = json_text(record->spec);
        lines[n++] = string_format("%s %s\n", record->uid, spec);
    }
    qsort(lines, n, sizeof(lines[0]), compare_lines);
    for (size_t i = 0; i < n; i++) {
        strbuf_add(&text, lines[i]);
        mem_free(lines[i]);
    }
    mem_free(lines);
    return strbuf_take(&text);
}

/* Every record's resource is there as recorded, and nothing else is. */
static inline bool records_equal_files(void)
{
    CLEANUP(mem_freep) char *files = list_files();
    CLEANUP(mem_freep) char *recorded = list_recorded_files();
    bool is_same = text_equal(files, recorded);
    if (!is_same)
        printf("# there is\n%s# recorded is\n%s", files, recorded);
    return is_same;
}

static inline size_t count_in(const struct strbuf *text, const char *line)
{
    size_t n = 0;
    const char *at = strbuf_text(text);
    while ((at = strstr(at, line))) {
        n++;
        at += strlen(line);
    }
    return n;
}

#define CHECK_NO_FAULTS() CHECK_TEXT(strbuf_text(&scene.faults), "")
#define CHECK_RECORDS(want)              \
    do {                                 \
        char *records_ = list_records(); \
        CHECK_TEXT(records_, want);      \
        mem_free(records_);              \
    } while (0)
#define CHECK_FILES(want)            \
    do {                             \
        char *files_ = list_files(); \
        CHECK_TEXT(files_, want);    \
        mem_free(files_);            \
    } while (0)
