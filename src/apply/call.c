/* One step's call: what it needs, the driver's verb, and what became of it. */
#include "apply/run.h"

#include "base/memory.h"
#include "base/teeth.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"

#include <assert.h>

enum { SECOND = 1000000 };
/* How long a pending operation, or one that nobody can tell of, is asked about again. */
static const int64_t probe_patience = INT64_C(300) * SECOND;

static void fail(struct node *node, enum outcome_kind kind, struct error *take_error)
{
    outcome_done(&node->outcome);
    node->outcome = (struct outcome){
        .kind = kind, .code = take_error->code, .message = string_copy(error_message(take_error))};
    error_done(take_error);
}

static void refuse_secret(void *argument, const char *path, enum diagnostic_code code,
                          const char *help, const char *detail)
{
    struct error *err = argument;
    (void)path;
    (void)help;
    if (code == DIAGNOSTIC_MISPLACED_SECRET && err->code == ERROR_NONE)
        error_set(err, ERROR_DENIED, "%s", detail);
}

static int resolve_spec(struct node *node, const struct resource_type *type, struct error *err)
{
    const struct step *step = run_step(node);
    CLEANUP(value_unrefp) struct value *resolved = NULL;
    int r = run_resolve(node->run, step->after, &resolved, err);
    if (r < 0)
        return r;
    if (value_has_unknown(resolved))
        return error_set(err, ERROR_STALE,
                         "what it needs is still unknown although all before it is done");
    r = step_check_refinement(step, resolved, err);
    if (r < 0)
        return r;
    CLEANUP(value_unrefp) struct value *canonical = NULL;
    r = type_canonical(type, resolved, &canonical, err);
    if (r < 0)
        return r;
    /* What was not known when the document was checked may turn out to be one. */
    struct error shown = {0};
    type_check_secrets(type, canonical, refuse_secret, &shown);
    if (shown.code != ERROR_NONE)
        return error_move(err, &shown);
    node->after = take_ptr(canonical);
    return 0;
}

/* What an action is asked for holds nothing that is not known yet. */
static int resolve_after(struct node *node, const struct resource_type *type, struct error *err)
{
    if (run_step(node)->kind != STEP_ACT)
        return resolve_spec(node, type, err);
    node->after = value_ref(run_step(node)->after);
    return 0;
}

bool node_prepare(struct node *node)
{
    struct error err = {0};
    const struct step *step = run_step(node);
    const struct resource_type *type = catalog_find(node->run->context->catalog, step->type);
    if (step->kind == STEP_RENAME || step->kind == STEP_START || step->kind == STEP_FORGET ||
        step->kind == STEP_ADOPT)
        return true;
    if (!type)
        error_set(&err, ERROR_NOT_FOUND,
                  "the catalog has no type %s any more; put its file back beside the site",
                  step->type);
    else if (!step->after || node->after || resolve_after(node, type, &err) == 0)
        return true;
    fail(node, OUTCOME_FAILED, &err);
    return false;
}

static struct value *describe_referent(struct run *run, const char *address)
{
    struct value_builder fields = {0};
    struct value *outputs = outputs_get(&run->outputs, address);
    value_builder_set_string(&fields, "address", address);
    value_builder_set_string(&fields, "uid", map_get(&run->uids, address));
    value_builder_set(&fields, "outputs", outputs ? value_ref(outputs) : value_null());
    return value_builder_map(&fields);
}

/* Items of one list come one after the other and share its path. */
struct reference_collector {
    struct run *run;
    struct value_builder references;
    struct value_builder list; /* of the path below, while it lasts */
    char *path;                /* owned; NULL before the first */
};

static void end_path(struct reference_collector *collector)
{
    if (!collector->path)
        return;
    value_builder_set(&collector->references, collector->path,
                      value_builder_list(&collector->list));
    mem_free(take_ptr(collector->path));
}

/* Adds path -> list of what the names lead to: one resource, or all of a counted one. */
static int collect_reference(void *argument, const char *path, const char *name,
                             const struct schema *schema, struct error *err)
{
    (void)schema;
    (void)err;
    struct reference_collector *collector = argument;
    struct run *run = collector->run;
    const struct string_list *group = map_get(&run->outputs.groups, name);
    if (!text_equal_or_null(collector->path, path)) {
        end_path(collector);
        collector->path = string_copy(path);
    }
    if (!group)
        value_builder_append(&collector->list, describe_referent(run, name));
    for (size_t i = 0; group && i < group->n_items; i++)
        value_builder_append(&collector->list, describe_referent(run, group->items[i]));
    return 0;
}

static struct value *find_references(struct node *node, const struct resource_type *type)
{
    struct reference_collector collector = {.run = node->run};
    if (type && node->after && run_step(node)->kind != STEP_ACT)
        (void)type_references(type, node->after, collect_reference, &collector, NULL);
    end_path(&collector);
    return value_builder_map(&collector.references);
}

static int journal_handle(void *argument, const char *handle, struct error *err)
{
    struct node *node = argument;
    mem_free(node->handle);
    node->handle = string_copy(handle);
    int r = run_commit_handle(node, err);
    node->is_detached = *node->run->context->is_cancelled;
    return r;
}

static int check_lease(void *argument, struct error *err)
{
    struct node *node = argument;
    return run_check_lease(node->run, err);
}

static void tell_progress(void *argument, const char *message)
{
    run_tell_progress(argument, message);
}

/* The instance's own limits hold: waiting for its turn is no fault of the step. */
static struct call make_call(struct node *node)
{
    return (struct call){
        .loop = node->run->context->loop,
        .deadline = -1,
        .is_cancelled = node->run->context->is_cancelled,
        .secrets = node->run->context->secrets,
        .journal_handle = journal_handle,
        .progress = tell_progress,
        .argument = node,
    };
}

/*
 * The step as its call is to be made; borrows all from it. What a create has made in part, in this
 * run or before a resume, is finished by an update: another create might make another thing.
 */
static struct step step_to_call(const struct node *node)
{
    struct step step = *run_step(node);
    const struct record *record = run_find_record(node->run, step.address, step.generation);
    if (step.kind != STEP_CREATE || !record || record->status != RECORD_PARTLY)
        return step;
    step.kind = STEP_UPDATE;
    step.provider_id = record->provider_id;
    return step;
}

/* What a call is about. *ret_references backs the target and is the caller's to unref. */
static struct target make_target(struct node *node, const struct step *step,
                                 struct value **ret_references)
{
    bool is_start = step->kind == STEP_START;
    const struct resource_type *type =
        is_start ? NULL : catalog_find(node->run->context->catalog, step->type);
    const struct record *record = run_find_record(node->run, step->address, step->generation);
    *ret_references = find_references(node, type);
    return (struct target){
        .type = type,
        .uid = is_start ? "" : step->uid,
        .address = step->address,
        .deployment = node->run->plan->deployment,
        .provider_id = step->provider_id,
        .token = node->token,
        .generation = step->generation,
        .changed_at = record ? record->updated_at : 0,
        .references = *ret_references,
    };
}

/* Asks until there is an answer; an operation that is still under way is waited for. */
static enum probe_kind probe_patiently(struct node *node, struct provider *provider,
                                       const struct target *target, const struct step *step,
                                       struct error *err)
{
    int64_t patience = world_monotonic_clock() + probe_patience;
    int64_t pause = SECOND / 10;
    for (;;) {
        struct call call = make_call(node);
        struct attempt attempt = {.step = step,
                                  .after = node->after,
                                  .handle = node->handle,
                                  .began_at = node->began_at,
                                  .sent_by = node->sent_by,
                                  .token_at = node->token_at};
        enum probe_kind kind = PROBE_UNKNOWABLE;
        outcome_done(&node->outcome);
        error_done(err);
        int r = provider_probe(provider, &call, target, &attempt, &kind, &node->outcome, err);
        if (r == 0 && kind != PROBE_PENDING)
            return kind;
        if (world_monotonic_clock() > patience || (r < 0 && *node->run->context->is_cancelled))
            return PROBE_UNKNOWABLE;
        loop_sleep(node->run->context->loop, pause);
        pause = pause < INT64_C(5) * SECOND ? pause * 2 : pause;
    }
}

bool node_probe(struct node *node)
{
    struct error err = {0};
    const struct step step = step_to_call(node);
    if (step.kind == STEP_ADOPT)
        return false; /* it only looks: it may look again */
    if (!node_prepare(node)) {
        node->outcome.kind = OUTCOME_UNKNOWN;
        return true;
    }
    struct provider *provider = run_provider(node->run, step.instance, &err);
    if (!provider) {
        fail(node, OUTCOME_UNKNOWN, &err);
        return true;
    }
    CLEANUP(value_unrefp) struct value *references = NULL;
    struct target target = make_target(node, &step, &references);
    enum probe_kind kind = probe_patiently(node, provider, &target, &step, &err);
    switch (kind) {
    case PROBE_DONE:
        node->outcome.kind = OUTCOME_DONE;
        break;
    case PROBE_STAGED:
        node->outcome.kind = OUTCOME_STAGED;
        break;
    case PROBE_PARTLY:
        node->outcome.kind = OUTCOME_PARTLY;
        break;
    case PROBE_NOT_DONE:
        break;
    default:
        if (err.code == ERROR_NONE)
            error_set(&err, ERROR_UNAVAILABLE, "%s cannot tell whether this was carried out",
                      step.instance);
        fail(node, OUTCOME_UNKNOWN, &err);
        break;
    }
    error_done(&err);
    return kind != PROBE_NOT_DONE;
}

/* What the record says of it is what is there, as far as the document manages it. */
static int take_adopted(struct node *node, const struct resource_type *type, struct live *live,
                        struct error *err)
{
    const struct step *step = run_step(node);
    if (!live->is_present || live->provider_id)
        return error_set(err, ERROR_NOT_FOUND, "%s is not there any more: plan again",
                         step->provider_id);
    CLEANUP(value_unrefp) struct value *seen = type_managed_part(type, live->spec, live->spec);
    CLEANUP(value_unrefp) struct value *part = type_managed_part(type, step->after, seen);
    CLEANUP(mem_freep) char *is = json_text(seen);
    CLEANUP(mem_freep) char *was = json_text(step->before);
    if (!text_equal(is, was))
        return error_set(err, ERROR_STALE,
                         "%s is not as the plan saw it any more: plan again, and look at what "
                         "changed",
                         step->provider_id);
    value_unref(take_ptr(node->after));
    if (type_canonical(type, part, &node->after, NULL) < 0)
        node->after = value_ref(part);
    node->outcome = (struct outcome){.kind = OUTCOME_DONE,
                                     .provider_id = string_copy(step->provider_id),
                                     .outputs = value_ref(live->outputs)};
    return 0;
}

/* Looks again at what the plan saw: it is adopted as it was approved, or not at all. */
static void adopt(struct node *node, struct provider *provider, const struct target *target,
                  struct call *call)
{
    struct error err = {0};
    struct live live = {0};
    int r = provider_read(provider, call, target, &live, &err);
    if (r == 0)
        r = take_adopted(node, target->type, &live, &err);
    live_done(&live);
    if (r < 0)
        fail(node, OUTCOME_FAILED, &err);
}

/* Who it is must be as approved, as far as that was known. */
static int check_system(struct node *node, struct provider *provider, struct call *call,
                        const struct value *approved, struct error *err)
{
    CLEANUP(mem_freep) char *identity = NULL;
    if (value_kind(approved) != VALUE_STRING)
        return 0;
    int r = provider_identify(provider, call, &identity, err);
    if (r == 0 && !text_equal(identity, value_text(approved)))
        r = error_set(err, ERROR_STALE, "%s is %s by now, but the plan was made for %s; plan again",
                      run_step(node)->instance, identity, value_text(approved));
    return r;
}

/*
 * Of a system that was not there when the plan was made nobody has asked what it makes of a step:
 * it is asked now, and what it would not have as approved is not done.
 */
static int check_refined(struct node *node, struct provider *provider, struct call *call,
                         const struct target *target, const struct step *step, struct error *err)
{
    struct step asked = *step;
    struct diagnostics diagnostics = {0};
    CLEANUP(value_unrefp) struct value *after = NULL;
    asked.after = node->after;
    int r = provider_propose(provider, call, target, &asked, &after, &diagnostics, err);
    for (size_t i = 0; r == 0 && i < diagnostics.n_items; i++)
        if (diagnostics.items[i].severity == DIAGNOSTIC_ERROR)
            r = error_set(err, ERROR_STALE, "%s; plan again", diagnostics.items[i].detail);
    if (r == 0 && after && !schema_equal(&target->type->schema, node->after, after))
        r = error_set(err, ERROR_STALE,
                      "%s would not have %s as it was approved; plan again to see what it makes of "
                      "it",
                      step->instance, step->address);
    diagnostics_done(&diagnostics);
    return r;
}

/* Before anything is sent to a system that resources configure. */
static int check_configured(struct node *node, struct provider *provider, struct call *call,
                            const struct target *target, const struct step *step, struct error *err)
{
    const struct value *approved = value_get(node->run->plan->identities, step->instance);
    if (!approved || !node->run->context->configure)
        return 0;
    if (value_kind(approved) == VALUE_STRING)
        return node->run->context->is_configured(node->run->context->argument, step->instance)
                   ? check_system(node, provider, call, approved, err)
                   : 0;
    bool is_put = step->kind == STEP_CREATE || step->kind == STEP_UPDATE;
    return is_put ? check_refined(node, provider, call, target, step, err) : 0;
}

void node_call(struct node *node)
{
    struct error err = {0};
    const struct step step = step_to_call(node);
    node->started_at = world_monotonic_clock();
    if (step.kind == STEP_RENAME || step.kind == STEP_FORGET || step.record_only) {
        node->outcome.kind = OUTCOME_DONE;
        return;
    }
    struct provider *provider = run_provider(node->run, step.instance, &err);
    if (!provider) {
        fail(node, OUTCOME_FAILED, &err);
        return;
    }
    CLEANUP(value_unrefp) struct value *references = NULL;
    struct target target = make_target(node, &step, &references);
    struct call call = make_call(node);
    call.is_cancelled = &node->is_detached;
    call.is_stopping = node->run->context->is_cancelled;
    /* What has no effect outside begins nothing: its commit fails where the lease is not ours. */
    call.may_begin = provider_is_internal(provider) ? NULL : check_lease;
    outcome_done(&node->outcome);
    if (step.kind == STEP_ADOPT) {
        adopt(node, provider, &target, &call);
        return;
    }
    if (check_configured(node, provider, &call, &target, &step, &err) < 0 ||
        provider_apply(provider, &call, &target, &step, node->after, &node->outcome, &err) < 0)
        fail(node, OUTCOME_FAILED, &err);
    /* The process may have been stopped between the intent and the call: only now is it certain. */
    node->sent_by = world_monotonic_clock();
    if (node->outcome.kind == OUTCOME_UNKNOWN && node->is_detached && node->handle) {
        mem_free(node->outcome.message);
        node->outcome.message = string_format(
            "detached: it goes on by itself as %s; \"parley resume\" looks at what became of it",
            node->handle);
        return;
    }
    if (TOOTH(TIMEOUT_IS_FAILURE) && node->outcome.kind == OUTCOME_UNKNOWN)
        node->outcome.kind = OUTCOME_FAILED;
    if (node->outcome.kind == OUTCOME_UNKNOWN && !node_probe(node)) {
        error_set(&err, ERROR_TIMEOUT,
                  "no answer came, and it was not carried out; resume tries it again");
        fail(node, OUTCOME_FAILED, &err);
    }
}
