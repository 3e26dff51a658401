/* The driver of the simulated remote systems, as a careful driver of such systems would be. */
#include "sim/remote.h"

#include "base/memory.h"
#include "base/teeth.h"
#include "base/text.h"
#include "base/world.h"
#include "sim/canaries.h"
#include "sim/oracle.h"
#include "sim/story.h"

#include <assert.h>
#include <string.h>

enum {
    PATIENCE_SECONDS = 6,      /* for an answer */
    OPERATION_SECONDS_MAX = 12 /* of the slow one */
};

struct simulated_provider {
    struct provider provider;
    struct process *process;
    struct remote *remote;
    const char *password; /* from its configuration: a canary */
};

static struct simulated_provider *simulated(struct provider *provider)
{
    return (struct simulated_provider *)provider;
}

static int64_t draw_latency(void)
{
    return random_between(&sim->latency, 1, 400) * 1000;
}

/* What a careless driver puts into its errors. */
static const char *told(const struct simulated_provider *own)
{
    return TOOTH(SECRET_IN_ERROR) ? own->password : "";
}

/* The way of a question that changes nothing; fails when no answer comes. */
static CO_FN int ask(struct simulated_provider *own, struct call *call, struct error *err)
{
    loop_sleep(call->loop, draw_latency());
    if (own->process->is_dead)
        return error_set(err, ERROR_UNAVAILABLE, "the process is dead");
    if (fault_takes(FAULT_UNREADABLE))
        return error_set(err, ERROR_UNAVAILABLE, "no answer%s", told(own));
    return 0;
}

static int configure(struct provider *provider, const struct value *config, const char *home,
                     struct error *err)
{
    (void)provider;
    (void)config;
    (void)home;
    (void)err;
    return 0;
}

static void close_provider(struct provider *provider)
{
    (void)provider;
}

static CO_FN int identify(struct provider *provider, struct call *call, char **ret_identity,
                          struct error *err)
{
    struct simulated_provider *own = simulated(provider);
    int r = ask(own, call, err);
    if (r < 0)
        return r;
    bool is_mistaken = own->remote->leads_elsewhere || fault_takes(FAULT_ACCOUNT);
    own->remote->was_mistaken |= is_mistaken;
    *ret_identity = remote_identity(own->remote, is_mistaken);
    return 0;
}

/* --- Reading --- */

static bool is_visible(const struct object *object)
{
    return object && object->visible_at <= sim->now;
}

/* By its id, else by our marker on it: a request that arrived twice makes another thing in place of
 * one that somebody has removed in between. */
static struct object *look(struct remote *remote, const struct target *target)
{
    struct object *object = remote_find_id(remote, target->provider_id);
    if (!object)
        object = remote_find_uid(remote, target->uid);
    if (!object && TOOTH(ADOPT_BY_NAME))
        object = remote_find_address(remote, target->address);
    return is_visible(object) ? object : NULL;
}

static struct value *outputs_of(const struct object *object)
{
    struct value_builder fields = {0};
    struct value *size = value_get(object->spec, "size");
    const char *colour = value_get_text(object->spec, "colour");
    CLEANUP(mem_freep)
    char *endpoint = string_format("%s.%s.example", object->id, colour ? colour : "plain");
    value_builder_set_string(&fields, "id", object->id);
    value_builder_set_string(&fields, "endpoint", endpoint);
    value_builder_set(&fields, "size", size ? value_ref(size) : value_null());
    return value_builder_map(&fields);
}

static CO_FN int read_object(struct provider *provider, struct call *call,
                             const struct target *target, struct live *ret_live, struct error *err)
{
    struct simulated_provider *own = simulated(provider);
    int r = ask(own, call, err);
    if (r < 0)
        return r;
    const struct object *object = look(own->remote, target);
    if (!object)
        return 0;
    ret_live->is_present = true;
    ret_live->spec = value_ref(object->spec);
    ret_live->outputs = outputs_of(object);
    ret_live->marker = *object->uid ? string_copy(object->uid) : NULL;
    if (target->provider_id && !text_equal(target->provider_id, object->id))
        ret_live->provider_id = string_copy(object->id);
    return 0;
}

/* What a list tells of a thing: two of the systems no more than its id and our mark on it. */
static struct value *describe(const struct remote *remote, const struct object *object)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "id", object->id);
    if (*object->uid)
        value_builder_set_string(&fields, "marker", object->uid);
    if (remote->settling == 0 && !remote->repeats_for) {
        value_builder_set_string(&fields, "name", object->address);
        value_builder_set(&fields, "spec", value_ref(object->spec));
        value_builder_set(&fields, "outputs", outputs_of(object));
    }
    return value_builder_map(&fields);
}

/* The visible one whose id comes next in the order of texts. */
static const struct object *next_listed(const struct remote *remote, const char *after)
{
    const struct object *next = NULL;
    for (const struct object *object = remote->objects; object; object = object->next)
        if (is_visible(object) && (!after || strcmp(object->id, after) > 0) &&
            (!next || strcmp(object->id, next->id) < 0))
            next = object;
    return next;
}

/* Short pages, so that things come and go between them. */
static CO_FN int list_objects(struct provider *provider, struct call *call,
                              const struct listing *listing, struct page *ret_page,
                              struct error *err)
{
    enum { PAGE_MAX = 4 };
    struct simulated_provider *own = simulated(provider);
    struct value_builder items = {0};
    int r = ask(own, call, err);
    if (r < 0)
        return r;
    const struct object *object = next_listed(own->remote, listing->after);
    for (size_t i = 0; object && i < PAGE_MAX && i < listing->limit; i++) {
        const struct object *next = next_listed(own->remote, object->id);
        value_builder_append(&items, describe(own->remote, object));
        if (next && (i + 1 == PAGE_MAX || i + 1 == listing->limit))
            ret_page->next = string_copy(object->id);
        object = next;
    }
    ret_page->items = value_builder_list(&items);
    sim_trace("process %d is told of %zu that are at %s", own->process->id,
              value_count(ret_page->items), own->remote->name);
    return 0;
}

/* --- Changing --- */

static struct request *new_request(struct simulated_provider *own, const struct target *target,
                                   const struct step *step, struct value *after)
{
    struct request *request = NEW(struct request);
    request->n_refs = 1;
    request->remote = own->remote;
    request->kind = step->kind;
    request->uid = string_copy(target->uid);
    request->address = string_copy(target->address);
    request->spec = after ? value_ref(after) : NULL;
    if (step->kind != STEP_CREATE) {
        const struct object *object = look(own->remote, target);
        const char *id = target->provider_id ? target->provider_id : object ? object->id : NULL;
        if (TOOTH(DELETE_BY_NAME) && remote_find_address(own->remote, target->address))
            id = remote_find_address(own->remote, target->address)->id;
        request->id = id ? string_copy(id) : NULL;
    }
    return request;
}

/* How long the request is under way; -1: it never arrives. */
static int64_t choose_way(struct request *request)
{
    bool may_repeat = request->kind != STEP_CREATE || request->remote->repeats;
    if (fault_takes(FAULT_LOSE_REQUEST))
        return -1;
    if (fault_takes(FAULT_REFUSE))
        request->is_refused = true;
    else if (request->kind != STEP_DELETE && fault_takes(FAULT_HALF))
        request->is_half = true;
    if (request->remote->late_seconds > 0 && fault_takes(FAULT_LATE))
        return random_between(&sim->latency, 1, request->remote->late_seconds) * SECOND;
    request->is_twice = may_repeat && !request->is_half && fault_takes(FAULT_TWICE);
    if (request->remote->is_slow)
        return random_between(&sim->latency, 1, OPERATION_SECONDS_MAX) * SECOND;
    return draw_latency();
}

/* A delete that found nothing to delete looks whether another thing has come in its place. */
static int look_behind(const struct request *request, struct outcome *ret_outcome)
{
    const struct object *other = remote_find_uid(request->remote, request->uid);
    if (!request->is_absent || !is_visible(other))
        return 0;
    return outcome_set(ret_outcome, OUTCOME_FAILED, ERROR_CONFLICT,
                       "it is gone, and %s carries its marker", other->id);
}

static int give_outcome(const struct request *request, struct outcome *ret_outcome)
{
    if (request->message)
        return outcome_set(ret_outcome, OUTCOME_FAILED, request->code, "%s", request->message);
    const struct object *object = remote_find_id(request->remote, request->id);
    if (request->kind == STEP_DELETE)
        return look_behind(request, ret_outcome);
    ret_outcome->provider_id = string_copy(request->id);
    if (request->is_half) {
        ret_outcome->live = object ? value_ref(object->spec) : value_ref(request->spec);
        return outcome_set(ret_outcome, OUTCOME_PARTLY, ERROR_UNAVAILABLE, "it stopped in between");
    }
    if (!object)
        return outcome_set(ret_outcome, OUTCOME_UNKNOWN, ERROR_UNAVAILABLE, "it went at once");
    ret_outcome->outputs = outputs_of(object);
    return 0;
}

/* Waits for the answer; the slow one's is asked for again and again, under its handle. */
static CO_FN int await_answer(struct simulated_provider *own, struct call *call,
                              struct request *request, bool is_lost, struct outcome *ret_outcome)
{
    int64_t patience = own->remote->is_slow ? OPERATION_SECONDS_MAX : PATIENCE_SECONDS;
    int64_t give_up = world_monotonic_clock() + patience * SECOND;
    if (call->deadline >= 0 && call->deadline < give_up)
        give_up = call->deadline;
    while (!request->is_done || is_lost) {
        if (own->process->is_dead || world_monotonic_clock() >= give_up || *call->is_cancelled)
            return outcome_set(ret_outcome, OUTCOME_UNKNOWN, ERROR_TIMEOUT, "no answer came");
        loop_sleep(call->loop, draw_latency());
    }
    loop_sleep(call->loop, draw_latency());
    sim_point(BOUNDARY_RESULT_LOST);
    if (own->process->is_dead)
        return outcome_set(ret_outcome, OUTCOME_UNKNOWN, ERROR_TIMEOUT, "the process is dead");
    return give_outcome(request, ret_outcome);
}

/* Nothing waits for the slow one before its handle is durable. */
static CO_FN int keep_handle(struct simulated_provider *own, struct call *call,
                             const struct target *target, struct error *err)
{
    if (!own->remote->is_slow || !call->journal_handle)
        return 0;
    loop_sleep(call->loop, draw_latency());
    CLEANUP(mem_freep) char *handle = string_format("operation-%s", target->uid);
    return call->journal_handle(call->argument, handle, err);
}

static CO_FN int apply_step(struct provider *provider, struct call *call,
                            const struct target *target, const struct step *step,
                            struct value *after, struct outcome *ret_outcome, struct error *err)
{
    struct simulated_provider *own = simulated(provider);
    oracle_call_begins(own->process, step);
    sim_point(BOUNDARY_INTENT_ONLY);
    if (own->process->is_dead)
        return error_set(err, ERROR_UNAVAILABLE, "the process is dead");
    if (fault_takes(FAULT_THROTTLE)) {
        call_put_off(call, random_between(&sim->latency, 1, 60) * SECOND);
        return error_set(err, ERROR_UNAVAILABLE, "too many calls");
    }
    CLEANUP(value_unrefp) struct value *sent = NULL;
    int r = after ? call_reveal(call, after, &sent, err) : 0;
    if (r < 0)
        return r;
    canaries_note(value_get_text(sent, "pass"));
    CLEANUP(request_freep) struct request *request = new_request(own, target, step, sent);
    int64_t way = choose_way(request);
    int64_t again = own->remote->again_seconds * SECOND;
    bool is_lost = way < 0 || fault_takes(FAULT_LOSE_ANSWER);
    oracle_sent(own->process, own->remote, target, step);
    sim_trace("process %d sends %s to %s%s", own->process->id, step->id, own->remote->name,
              way < 0   ? ", in vain"
              : is_lost ? ", and no answer comes"
                        : "");
    if (way >= 0)
        request_send(request, sim->now + way);
    if (request->is_twice)
        request_send(request, sim->now + way + random_between(&sim->latency, 0, again));
    sim_point(BOUNDARY_CALL_SENT);
    struct error lost = {0};
    if (!own->process->is_dead && keep_handle(own, call, target, &lost) < 0)
        return outcome_set_error(ret_outcome, OUTCOME_UNKNOWN, &lost);
    return await_answer(own, call, request, is_lost, ret_outcome);
}

/* --- What became of it --- */

/* Secrets are compared by their digests. */
static bool is_whole_as(const struct call *call, const struct object *object, struct value *after)
{
    struct value *pass = value_get(object->spec, "pass");
    CLEANUP(value_unrefp) struct value *handle = pass ? call_veil(call, pass) : NULL;
    CLEANUP(value_unrefp)
    struct value *spec =
        handle ? value_with(object->spec, "pass", value_ref(handle)) : value_ref(object->spec);
    CLEANUP(value_unrefp) struct value *bare = value_without_origins(after);
    return value_equal(spec, bare);
}

static void judge(const struct call *call, const struct attempt *attempt,
                  const struct object *object, enum probe_kind *ret_kind,
                  struct outcome *ret_outcome)
{
    if (attempt->step->kind == STEP_DELETE) {
        *ret_kind = object ? PROBE_NOT_DONE : PROBE_DONE;
        return;
    }
    bool is_whole = object && is_whole_as(call, object, attempt->after);
    *ret_kind = is_whole                                       ? PROBE_DONE
                : object && attempt->step->kind == STEP_CREATE ? PROBE_PARTLY
                                                               : PROBE_NOT_DONE;
    if (!object || *ret_kind == PROBE_NOT_DONE)
        return;
    ret_outcome->provider_id = string_copy(object->id);
    if (is_whole)
        ret_outcome->outputs = outputs_of(object);
    else
        ret_outcome->live = value_ref(object->spec);
}

static CO_FN int probe(struct provider *provider, struct call *call, const struct target *target,
                       const struct attempt *attempt, enum probe_kind *ret_kind,
                       struct outcome *ret_outcome, struct error *err)
{
    struct simulated_provider *own = simulated(provider);
    int r = ask(own, call, err);
    if (r < 0)
        return r;
    *ret_kind = PROBE_UNKNOWABLE;
    if (fault_takes(FAULT_UNKNOWABLE))
        return 0;
    judge(call, attempt, look(own->remote, target), ret_kind, ret_outcome);
    if (*ret_kind != PROBE_NOT_DONE)
        return 0;
    if (own->remote->is_slow && remote_has_operation(own->remote, target->uid)) {
        *ret_kind = PROBE_PENDING;
        return 0;
    }
    /* A change that was sent may be under way for so long; of a create the engine knows, which
     * waits for the settling time. */
    loop_sleep(call->loop, own->remote->late_seconds * SECOND);
    if (own->process->is_dead)
        return error_set(err, ERROR_UNAVAILABLE, "the process is dead");
    judge(call, attempt, look(own->remote, target), ret_kind, ret_outcome);
    return 0;
}

/* A dry run by a system that keeps all as it is sent. */
static CO_FN int propose(struct provider *provider, struct call *call, const struct target *target,
                         const struct step *step, struct value **ret_after,
                         struct diagnostics *diagnostics, struct error *err)
{
    (void)target;
    (void)diagnostics;
    int r = ask(simulated(provider), call, err);
    if (r == 0 && step->after && !value_has_unknown(step->after))
        *ret_after = value_ref(step->after);
    return r;
}

#define SIMULATED_OPS                                                                             \
    .driver = "fake", .instance_size = sizeof(struct simulated_provider), .configure = configure, \
    .close = close_provider, .identify = identify, .read = read_object, .apply = apply_step,      \
    .probe = probe

/* Whether it has dry runs, and whether it lists. */
static const struct provider_ops simulated_ops[2][2] = {
    {{SIMULATED_OPS}, {SIMULATED_OPS, .list = list_objects}},
    {{SIMULATED_OPS, .propose = propose},
     {SIMULATED_OPS, .propose = propose, .list = list_objects}},
};

/* Until then what is read may be as before a change, and what was sent for it may arrive. */
static int64_t settling_of(const struct remote *remote)
{
    int64_t late =
        remote->late_seconds > remote->again_seconds ? remote->late_seconds : remote->again_seconds;
    /* It counts from when a request left, which then was on its way for a while. */
    int64_t visible = remote->settling + SECOND;
    return visible > late * SECOND ? visible : late * SECOND;
}

struct provider *simulated_provider_new(struct process *process, struct remote *remote)
{
    struct provider *provider = mem_zeroed(1, sizeof(struct simulated_provider));
    provider->ops = &simulated_ops[story_has_dry_runs()][story_has_lists()];
    provider->name = string_copy(remote->instance);
    provider->loop = process->loop;
    provider->limits.settling_us = settling_of(remote);
    simulated(provider)->process = process;
    simulated(provider)->remote = remote;
    simulated(provider)->password = SIM_CANARY;
    return provider;
}

void provider_follow(struct process *process, struct remote *remote, struct remote *former)
{
    struct simulated_provider *own = map_get(&process->service->providers, remote->instance);
    if (own && own->remote == remote)
        own->remote = former;
}

void remotes_connect(struct process *process, struct service *service)
{
    for (size_t i = 0; i < REMOTES; i++)
        map_put(&service->providers, remotes[i].instance,
                simulated_provider_new(process, &remotes[i]));
}
