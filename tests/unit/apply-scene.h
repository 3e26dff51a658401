/*
 * What the tests of apply/ share: a home with a store in memory, a fake account and the core, plans
 * built by hand, and runs of them. The store and the fake are watched from within: what they see
 * that breaks a promise (a call without its intent, a step before what it waits for, a repeated
 * create) is kept in scene.faults. Both can die at a chosen point.
 */
#pragma once

#include "harness.h"

#include "apply/apply.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "provider/core/core.h"
#include "provider/fake/fake.h"
#include "store/driver.h"

#include <ftw.h>
#include <inttypes.h>
#include <unistd.h>

#define DEPLOYMENT "d0000000-0000-8000-8000-000000000001"
#define BOX "acme:thing:box"
#define DATA "core:data:value"

static const char scene_types[] = "types:\n"
                                  "  acme:thing:box:\n"
                                  "    description: A box.\n"
                                  "    stage: application\n"
                                  "    properties:\n"
                                  "      colour: {kind: string, allowed: [red, blue]}\n"
                                  "      size: {kind: integer}\n"
                                  "      note: {kind: string}\n"
                                  "      lid: {kind: string, references: [acme:thing:box]}\n"
                                  "    outputs:\n"
                                  "      id: {type: string}\n"
                                  "      size: {type: integer, from: size}\n"
                                  "      endpoint: {type: string}\n"
                                  "    drivers: {fake: {fidelity: stand-in}}\n"
                                  "    repeat: key\n"
                                  "    seconds: {create: 1, update: 1, delete: 1}\n";

/* How a call of the fake, or a commit of the store, goes wrong. */
enum trouble {
    TROUBLE_NONE,
    TROUBLE_UNREACHABLE,
    TROUBLE_REFUSE,
    TROUBLE_LOSE_REQUEST,
    TROUBLE_LOSE_ANSWER,
    TROUBLE_HALF,
    TROUBLE_COUNT
};

enum death {
    DEATH_NONE,
    DEATH_BEFORE, /* the process dies before the commit */
    DEATH_AFTER,  /* right after it */
    DEATH_ONCE    /* it lives on: only this commit fails */
};

/* The store as apply/ sees it: in front of the real one. */
struct watched_store {
    struct store store;
    size_t n_commits;
    size_t die_at; /* the number of the commit, 0: never */
    enum death death;
};

static struct scene {
    char home[64];
    struct loop *loop;
    struct catalog *catalog;
    struct store *memory;
    struct watched_store *store;
    struct provider *fake;
    struct provider *core;
    struct provider_ops fake_ops; /* the fake's, with our watchers in front */
    struct plan *plan;
    struct records records; /* as refresh() found them */
    int64_t records_version;
    struct store_deployment deployment;
    struct strbuf calls;  /* "create web\n" for each call of the fake */
    struct strbuf events; /* "KIND STEP OUTCOME\n" of the durable ones */
    struct strbuf faults; /* promises that were broken */
    struct map open;      /* step ids whose last call has an unknown outcome and was not probed */
    const char *run_id;   /* whose journal the watchers look into; NULL: they do not look */
    void (*on_event)(const struct value *event);
    bool is_cancelled;
    bool is_dead;
    bool is_quick; /* too many steps to look at each */
    int64_t latency_us;
    int64_t last_seq; /* of all that was committed */
    size_t n_applies;
    size_t n_running;
    size_t n_ran_together;  /* at most */
    const char *unknowable; /* of this address no probe can tell; NULL: of none */
    size_t trouble_at;      /* the number of the call, 0: never */
    enum trouble trouble;
} scene;

__attribute__((format(printf, 1, 2))) static inline void fault(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (scene.faults.length < 2000) {
        strbuf_addv(&scene.faults, format, arguments);
        strbuf_add(&scene.faults, "; ");
    }
    va_end(arguments);
}

static inline struct value *from_json(const char *text)
{
    struct error err = {0};
    struct value *value = NULL;
    if (json_read(text, strlen(text), &value, &err) < 0)
        fault("%s: %s", text, error_message(&err));
    error_done(&err);
    return value;
}

/* --- The store, watched --- */

static inline int watched_read(struct store *store, enum store_query query,
                               const struct store_row *parameters, store_visit *visit,
                               void *argument, struct error *err)
{
    (void)store;
    if (scene.is_dead)
        return error_set(err, ERROR_UNAVAILABLE, "the process is dead");
    return scene.memory->ops->read(scene.memory, query, parameters, visit, argument, err);
}

static inline int watched_commit(struct store *store, const struct store_batch *batch,
                                 int64_t *ret_last_seq, struct error *err)
{
    struct watched_store *watched = (struct watched_store *)store;
    if (scene.is_dead)
        return error_set(err, ERROR_UNAVAILABLE, "the process is dead");
    bool is_now = ++watched->n_commits == watched->die_at;
    scene.is_dead = is_now && watched->death != DEATH_ONCE;
    if (is_now && watched->death != DEATH_AFTER)
        return error_set(err, ERROR_UNAVAILABLE, "the disk does not answer");
    int r = scene.memory->ops->commit(scene.memory, batch, ret_last_seq, err);
    if (r == 0 && *ret_last_seq > 0)
        scene.last_seq = *ret_last_seq;
    if (r == 0 && is_now)
        return error_set(err, ERROR_UNAVAILABLE, "the process is dead");
    return r;
}

static inline void watched_close(struct store *store)
{
    store_free(store);
}

static const struct store_ops watched_ops = {
    .driver = "watched", .read = watched_read, .commit = watched_commit, .close = watched_close};

/* --- What stands in the journal, as the fake looks into it --- */

static inline bool is_row(const struct value *row, const char *kind, const char *step)
{
    const char *row_kind = value_get_text(row, "kind");
    const char *row_step = value_get_text(row, "step");
    return row_kind && row_step && text_equal(row_kind, kind) && text_equal(row_step, step);
}

static inline struct value *read_journal(const char *run_id)
{
    struct value *rows = NULL;
    struct error err = {0};
    if (store_read_journal(scene.memory, run_id, 0, 1000000, &rows, &err) < 0) {
        fault("read the journal: %s", error_message(&err));
        rows = value_list(NULL, 0);
    }
    error_done(&err);
    return rows;
}

static inline bool has_row(const struct value *rows, const char *kind, const char *step)
{
    for (size_t i = 0; i < value_count(rows); i++)
        if (is_row(value_at(rows, i), kind, step))
            return true;
    return false;
}

static inline bool is_done_in(const struct value *rows, const char *step)
{
    for (size_t i = 0; i < value_count(rows); i++) {
        const struct value *row = value_at(rows, i);
        const char *outcome = value_get_text(row, "outcome");
        if (is_row(row, "result", step) && outcome && text_equal(outcome, "done"))
            return true;
    }
    return false;
}

/* --- The fake, watched --- */

static inline void look_into_journal(const struct step *step)
{
    if (!scene.run_id || scene.is_quick || scene.is_dead)
        return;
    CLEANUP(value_unrefp) struct value *rows = read_journal(scene.run_id);
    if (!has_row(rows, "intent", step->id))
        fault("%s was called without a durable intent", step->id);
    for (size_t i = 0; i < step->depends_on.n_items; i++)
        if (!is_done_in(rows, step->depends_on.items[i]))
            fault("%s began before %s was durably done", step->id, step->depends_on.items[i]);
}

/* Passes a handle on, and looks whether it is durable then. */
struct watched_call {
    const struct call *call;
    const struct step *step;
};

static inline int watched_handle(void *argument, const char *handle, struct error *err)
{
    struct watched_call *watched = argument;
    int r = watched->call->journal_handle(watched->call->argument, handle, err);
    if (r == 0 && scene.run_id && !scene.is_dead) {
        CLEANUP(value_unrefp) struct value *rows = read_journal(scene.run_id);
        if (!has_row(rows, "handle", watched->step->id))
            fault("the handle of %s was not durable", watched->step->id);
    }
    return r;
}

static inline struct value *half_spec(const struct value *after)
{
    struct value_builder half = {0};
    value_builder_set(&half, value_key_at(after, 0), value_ref(value_at(after, 0)));
    return value_builder_map(&half);
}

static inline int apply_half(struct provider *provider, struct call *call,
                             const struct target *target, const struct step *step,
                             struct value *after, struct outcome *ret_outcome, struct error *err)
{
    CLEANUP(value_unrefp) struct value *half = half_spec(after);
    struct outcome full = {0};
    int r = fake_provider_ops.apply(provider, call, target, step, half, &full, err);
    if (r < 0)
        return r;
    ret_outcome->provider_id = take_ptr(full.provider_id);
    outcome_done(&full);
    ret_outcome->live = value_ref(half);
    return outcome_set(ret_outcome, OUTCOME_PARTLY, ERROR_UNAVAILABLE, "only half of it went well");
}

static inline int apply_with_trouble(struct provider *provider, struct call *call,
                                     const struct target *target, const struct step *step,
                                     struct value *after, struct outcome *ret_outcome,
                                     struct error *err)
{
    enum trouble trouble = scene.n_applies == scene.trouble_at ? scene.trouble : TROUBLE_NONE;
    switch (trouble) {
    case TROUBLE_UNREACHABLE:
        return error_set(err, ERROR_UNAVAILABLE, "nobody there");
    case TROUBLE_REFUSE:
        return outcome_set(ret_outcome, OUTCOME_FAILED, ERROR_DENIED, "it was refused");
    case TROUBLE_LOSE_REQUEST:
        return outcome_set(ret_outcome, OUTCOME_UNKNOWN, ERROR_TIMEOUT, "no answer");
    case TROUBLE_HALF:
        if (after)
            return apply_half(provider, call, target, step, after, ret_outcome, err);
        return outcome_set(ret_outcome, OUTCOME_PARTLY, ERROR_UNAVAILABLE, "it began and stopped");
    default:
        break;
    }
    int r = fake_provider_ops.apply(provider, call, target, step, after, ret_outcome, err);
    if (r == 0 && trouble == TROUBLE_LOSE_ANSWER) {
        outcome_done(ret_outcome);
        return outcome_set(ret_outcome, OUTCOME_UNKNOWN, ERROR_TIMEOUT, "no answer");
    }
    return r;
}

/* Lets half of the latency pass; what dies in between has no effect any more. */
static inline bool survives_a_while(void)
{
    if (scene.latency_us > 0)
        loop_sleep(scene.loop, scene.latency_us / 2);
    return !scene.is_dead;
}

static inline int watched_apply(struct provider *provider, struct call *call,
                                const struct target *target, const struct step *step,
                                struct value *after, struct outcome *ret_outcome, struct error *err)
{
    scene.n_applies++;
    if (scene.is_dead)
        return outcome_set(ret_outcome, OUTCOME_UNKNOWN, ERROR_TIMEOUT, "the process is dead");
    look_into_journal(step);
    if (step->kind == STEP_START && (target->type || target->uid[0] != '\0'))
        fault("a start is about the whole instance");
    if (map_has(&scene.open, step->id))
        fault("%s was repeated blindly", step->id);
    if (!scene.is_quick)
        strbuf_addf(&scene.calls, "%s %s\n", step_kind_to_string(step->kind), target->address);
    map_put(&scene.open, step->id, NULL);
    scene.n_running++;
    if (scene.n_running > scene.n_ran_together)
        scene.n_ran_together = scene.n_running;
    struct watched_call watched = {.call = call, .step = step};
    struct call passed_on = *call;
    passed_on.journal_handle = call->journal_handle ? watched_handle : NULL;
    passed_on.argument = &watched;
    passed_on.progress = NULL;
    int r = 0;
    if (!survives_a_while()) {
        r = outcome_set(ret_outcome, OUTCOME_UNKNOWN, ERROR_TIMEOUT, "the process is dead");
    } else {
        r = apply_with_trouble(provider, &passed_on, target, step, after, ret_outcome, err);
        (void)survives_a_while();
    }
    scene.n_running--;
    if (!scene.is_dead && (r < 0 || ret_outcome->kind != OUTCOME_UNKNOWN))
        map_remove(&scene.open, step->id);
    return r;
}

static inline int watched_probe(struct provider *provider, struct call *call,
                                const struct target *target, const struct attempt *attempt,
                                enum probe_kind *ret_kind, struct outcome *ret_outcome,
                                struct error *err)
{
    if (!scene.is_quick)
        strbuf_addf(&scene.calls, "probe %s\n", target->address);
    if (scene.unknowable && text_equal(scene.unknowable, target->address)) {
        *ret_kind = PROBE_UNKNOWABLE;
        return 0;
    }
    int r = fake_provider_ops.probe(provider, call, target, attempt, ret_kind, ret_outcome, err);
    if (r == 0 && *ret_kind != PROBE_PENDING && *ret_kind != PROBE_UNKNOWABLE)
        map_remove(&scene.open, attempt->step->id);
    return r;
}

static inline int scene_find_provider(void *argument, const char *instance,
                                      struct provider **ret_provider, struct error *err)
{
    (void)argument;
    if (!text_equal(instance, "acme.default") && !text_equal(instance, "core.default"))
        return error_set(err, ERROR_NOT_FOUND, "the site has no instance %s", instance);
    *ret_provider = text_equal(instance, "acme.default") ? scene.fake : scene.core;
    return 0;
}

static inline void scene_event(void *argument, const struct value *event)
{
    (void)argument;
    int64_t seq = value_get_integer(event, "seq", 0);
    if (seq > scene.last_seq)
        fault("event %" PRId64 " was told before it was durable", seq);
    if (seq > 0 && !scene.is_quick) {
        const char *step = value_get_text(event, "step");
        const char *outcome = value_get_text(event, "outcome");
        strbuf_addf(&scene.events, "%s%s%s%s%s\n", value_get_text(event, "kind"), step ? " " : "",
                    step ? step : "", outcome ? " " : "", outcome ? outcome : "");
    }
    if (scene.on_event)
        scene.on_event(event);
}

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
    scene.fake->ops = &scene.fake_ops;
}

/* What a test that ended early left behind goes first. */
static inline void scene_begin(void)
{
    struct error err = {0};
    scene_done();
    snprintf(scene.home, sizeof(scene.home), "/tmp/parley-apply-XXXXXX");
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
    CLEANUP(value_unrefp) struct value *value = plan_to_value(plan);
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
    store_batch_put_plan(batch, plan->hash, DEPLOYMENT, value);
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
    scene.run_id = run_id;
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
