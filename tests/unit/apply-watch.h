/*
 * The scene of the tests of apply/, and its watchers: they stand in front of the store and of the
 * fake, and what they see that breaks a promise (a call without its intent, a step before what it
 * waits for, a repeated create) is kept in scene.faults. Both can die at a chosen point.
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
    struct map seen;      /* "intent create web#1" and the like of its rows */
    int64_t seen_seq;     /* of the last of them */
    void (*on_event)(const struct value *event);
    bool is_cancelled;
    bool says_cancelled; /* whoever cancels opens the gate */
    struct gate cancelled;
    int64_t approved_until;
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

static inline struct value *read_journal_after(const char *run_id, int64_t seq)
{
    struct value *rows = NULL;
    struct error err = {0};
    if (store_read_journal(scene.memory, run_id, seq, 1000000, &rows, &err) < 0) {
        fault("read the journal: %s", error_message(&err));
        rows = value_list(NULL, 0);
    }
    error_done(&err);
    return rows;
}

static inline struct value *read_journal(const char *run_id)
{
    return read_journal_after(run_id, 0);
}

static inline bool has_row(const struct value *rows, const char *kind, const char *step)
{
    for (size_t i = 0; i < value_count(rows); i++)
        if (is_row(value_at(rows, i), kind, step))
            return true;
    return false;
}

/* Looks into the journal of another run, or of none (NULL). */
static inline void watch_run(const char *run_id)
{
    scene.run_id = run_id;
    scene.seen_seq = 0;
    map_done(&scene.seen);
}

static inline void see(const char *what, const char *step)
{
    CLEANUP(mem_freep) char *key = string_format("%s %s", what, step);
    map_put(&scene.seen, key, NULL);
}

/* Reads what was written since the last look: a run of many steps is watched row by row. */
static inline void look_on(void)
{
    CLEANUP(value_unrefp) struct value *rows = read_journal_after(scene.run_id, scene.seen_seq);
    for (size_t i = 0; i < value_count(rows); i++) {
        const struct value *row = value_at(rows, i);
        const char *step = value_get_text(row, "step");
        const char *outcome = value_get_text(row, "outcome");
        int64_t seq = value_get_integer(row, "seq", 0);
        scene.seen_seq = seq > scene.seen_seq ? seq : scene.seen_seq;
        if (!step)
            continue;
        see(value_get_text(row, "kind"), step);
        if (is_row(row, "result", step) && outcome && text_equal(outcome, "done"))
            see("done", step);
    }
}

static inline bool was_seen(const char *what, const char *step)
{
    CLEANUP(mem_freep) char *key = string_format("%s %s", what, step);
    return map_has(&scene.seen, key);
}

/* --- The fake, watched --- */

/* What a step waits for, and what is in the groups that it waits for, has a row. */
static inline void look_for_done(const char *step, const struct string_list *depends_on)
{
    for (size_t i = 0; i < depends_on->n_items; i++) {
        const struct step_group *group = NULL;
        for (size_t k = 0; k < scene.plan->n_groups && !group; k++)
            if (text_equal(scene.plan->groups[k].id, depends_on->items[i]))
                group = &scene.plan->groups[k];
        if (group)
            look_for_done(step, &group->depends_on);
        else if (!was_seen("done", depends_on->items[i]))
            fault("%s began before %s was durably done", step, depends_on->items[i]);
    }
}

static inline void look_into_journal(const struct step *step)
{
    if (!scene.run_id || scene.is_quick || scene.is_dead)
        return;
    look_on();
    if (!was_seen("intent", step->id))
        fault("%s was called without a durable intent", step->id);
    look_for_done(step->id, &step->depends_on);
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
        look_on();
        if (!was_seen("handle", watched->step->id))
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

static inline int watched_activation(struct provider *provider, struct call *call,
                                     const struct activation *activation,
                                     struct outcome *ret_outcome, struct error *err)
{
    if (scene.is_dead)
        return outcome_set(ret_outcome, OUTCOME_UNKNOWN, ERROR_TIMEOUT, "the process is dead");
    strbuf_addf(&scene.calls, "commit\n");
    if (scene.run_id) {
        look_on();
        if (!was_seen("intent", "commit acme.default"))
            fault("a commit was called without a durable intent");
    }
    return fake_provider_ops.commit(provider, call, activation, ret_outcome, err);
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

/* One row is about all that wait for a step that failed. */
static inline void note_skips(const struct value *event)
{
    const struct value *first = value_get(event, "first");
    int64_t n = value_get_integer(event, "count", 0);
    if (n < 1 || value_count(first) != (n < 200 ? (size_t)n : 200))
        fault("%" PRId64 " are skipped and %zu named", n, value_count(first));
    for (size_t i = 0; i < value_count(first); i++)
        strbuf_addf(&scene.events, "skipped %s\n", value_get_text(value_at(first, i), "step"));
}

static inline void scene_event(void *argument, const struct value *event)
{
    (void)argument;
    int64_t seq = value_get_integer(event, "seq", 0);
    if (seq > scene.last_seq)
        fault("event %" PRId64 " was told before it was durable", seq);
    if (seq > 0 && !scene.is_quick && text_equal(value_get_text(event, "kind"), "skipped")) {
        note_skips(event);
    } else if (seq > 0 && !scene.is_quick) {
        const char *step = value_get_text(event, "step");
        const char *outcome = value_get_text(event, "outcome");
        strbuf_addf(&scene.events, "%s%s%s%s%s\n", value_get_text(event, "kind"), step ? " " : "",
                    step ? step : "", outcome ? " " : "", outcome ? outcome : "");
    }
    if (scene.on_event)
        scene.on_event(event);
}
