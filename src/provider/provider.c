/* The wrappers around drivers: both sides of the contract are asserted here, once for all. */
#include "provider/provider.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"

#include <assert.h>
#include <string.h>

#define DEFAULT_CALL_LIMIT_US (INT64_C(600) * 1000000)

static const char *const outcome_kinds[OUTCOME_KIND_COUNT] = {
    [OUTCOME_DONE] = "done",
    [OUTCOME_FAILED] = "failed",
    [OUTCOME_PARTLY] = "partly",
    [OUTCOME_UNKNOWN] = "unknown",
};

static const char *const probe_kinds[PROBE_KIND_COUNT] = {
    [PROBE_NOT_DONE] = "not-done",     [PROBE_DONE] = "done",
    [PROBE_PARTLY] = "partly",         [PROBE_PENDING] = "pending",
    [PROBE_UNKNOWABLE] = "unknowable",
};

const char *outcome_kind_to_string(enum outcome_kind kind)
{
    assert((unsigned int)kind < OUTCOME_KIND_COUNT);
    return outcome_kinds[kind];
}

enum outcome_kind outcome_kind_from_string(const char *text)
{
    for (size_t i = 0; i < OUTCOME_KIND_COUNT; i++)
        if (text_equal(outcome_kinds[i], text))
            return (enum outcome_kind)i;
    return OUTCOME_KIND_COUNT;
}

const char *probe_kind_to_string(enum probe_kind kind)
{
    assert((unsigned int)kind < PROBE_KIND_COUNT);
    return probe_kinds[kind];
}

void outcome_done(struct outcome *outcome)
{
    mem_free(outcome->provider_id);
    value_unref(outcome->outputs);
    value_unref(outcome->live);
    mem_free(outcome->message);
    *outcome = (struct outcome){0};
}

int outcome_set(struct outcome *outcome, enum outcome_kind kind, enum error_code code,
                const char *format, ...)
{
    assert(kind != OUTCOME_DONE && code != ERROR_NONE && !outcome->message);
    struct strbuf message = {0};
    va_list arguments;
    va_start(arguments, format);
    strbuf_addv(&message, format, arguments);
    va_end(arguments);
    outcome->kind = kind;
    outcome->code = code;
    outcome->message = strbuf_take(&message);
    return 0;
}

int outcome_set_error(struct outcome *outcome, enum outcome_kind kind, struct error *take_err)
{
    assert(take_err->code != ERROR_NONE);
    outcome_set(outcome, kind, take_err->code, "%s", error_message(take_err));
    error_done(take_err);
    return 0;
}

void live_done(struct live *live)
{
    value_unref(live->spec);
    value_unref(live->outputs);
    value_unref(live->status);
    *live = (struct live){0};
}

static bool is_map(const struct value *value)
{
    return value && value_kind(value) == VALUE_MAP;
}

/* --- Instances --- */

static int find_driver_or_fail(const char *name, const struct provider_ops **ret_ops,
                               struct error *err)
{
    *ret_ops = provider_find_driver(name);
    if (*ret_ops)
        return 0;
    size_t n;
    const char *const *names = provider_driver_names(&n);
    const char *nearest = text_nearest(name, names, n);
    CLEANUP(mem_freep)
    char *guess = nearest ? string_format("; did you mean \"%s\"?", nearest) : string_copy("");
    return error_set(err, ERROR_NOT_FOUND, "there is no driver \"%s\"%s", name, guess);
}

int provider_new(struct loop *loop, const char *name, const char *driver,
                 const struct value *config, const char *home, struct provider **ret_provider,
                 struct error *err)
{
    assert(loop && name && driver && home && ret_provider);
    const struct provider_ops *ops;
    int r = find_driver_or_fail(driver, &ops, err);
    if (r < 0)
        return error_wrap(err, "provider %s", name);
    if (config && !is_map(config))
        return error_set(err, ERROR_INVALID, "provider %s: its settings must be a map", name);
    assert(ops->instance_size >= sizeof(struct provider) && ops->configure && ops->close);
    assert(ops->apply && ops->is_internal == !ops->identify);
    assert(ops->is_internal == !ops->read && ops->is_internal == !ops->probe);
    CLEANUP(provider_freep) struct provider *provider = mem_zeroed(1, ops->instance_size);
    provider->ops = ops;
    provider->name = string_copy(name);
    provider->loop = loop;
    r = ops->configure(provider, config, home, err);
    if (r < 0)
        return error_wrap(err, "provider %s", name);
    *ret_provider = take_ptr(provider);
    return 0;
}

void provider_free(struct provider *provider)
{
    if (!provider)
        return;
    assert(provider->n_calls == 0);
    provider->ops->close(provider);
    mem_free(provider->name);
    mem_free(provider);
}

bool provider_is_internal(const struct provider *provider)
{
    return provider->ops->is_internal;
}

/* --- Calls --- */

static bool may_begin(const struct call *call)
{
    return !*call->is_cancelled && !(call->is_stopping && *call->is_stopping);
}

/*
 * Waits for room and gives the call as the driver sees it. Who waits looks at is_cancelled when a
 * call ends: those under way look at it too, so that it never takes longer than one of them.
 */
static CO_FN int begin_call(struct provider *provider, const struct call *call,
                            struct call *ret_call, struct error *err)
{
    assert(call->is_cancelled && call->loop == provider->loop);
    const struct provider_ops *ops = provider->ops;
    while (ops->concurrency > 0 && provider->n_calls >= ops->concurrency && may_begin(call)) {
        int r = gate_wait(provider->loop, &provider->room, call->deadline, err);
        if (r < 0)
            return error_wrap(err, "%s: wait for its other calls", provider->name);
    }
    if (!may_begin(call))
        return error_set(err, ERROR_CANCELLED, "%s: cancelled before the call began",
                         provider->name);
    int64_t now = world_monotonic_clock();
    if (call->deadline >= 0 && now >= call->deadline)
        return error_set(err, ERROR_TIMEOUT, "%s: no time was left to begin the call",
                         provider->name);
    int64_t limit = now + (ops->call_limit_us ? ops->call_limit_us : DEFAULT_CALL_LIMIT_US);
    *ret_call = *call;
    ret_call->deadline = call->deadline >= 0 && call->deadline < limit ? call->deadline : limit;
    provider->n_calls++;
    return 0;
}

/* Returns r, with the instance's name in front of the error when there is one. */
static int end_call(struct provider *provider, int r, struct error *err)
{
    assert(r <= 0);
    provider->n_calls--;
    gate_open(provider->loop, &provider->room);
    return r < 0 ? error_wrap(err, "%s", provider->name) : 0;
}

static void assert_target(const struct target *target)
{
    assert(target->type && target->uid && target->uid[0] != '\0');
    assert(target->address && target->deployment && is_map(target->references));
}

CO_FN int provider_identify(struct provider *provider, const struct call *call, char **ret_identity,
                            struct error *err)
{
    assert(!provider->ops->is_internal);
    struct call limited;
    int r = begin_call(provider, call, &limited, err);
    if (r < 0)
        return r;
    char *identity = NULL;
    r = provider->ops->identify(provider, &limited, &identity, err);
    assert((r == 0) == (identity != NULL));
    if (r == 0)
        *ret_identity = identity;
    return end_call(provider, r, err);
}

CO_FN int provider_read(struct provider *provider, const struct call *call,
                        const struct target *target, struct live *ret_live, struct error *err)
{
    assert(!provider->ops->is_internal);
    assert_target(target);
    struct call limited;
    int r = begin_call(provider, call, &limited, err);
    if (r < 0)
        return r;
    struct live live = {0};
    r = provider->ops->read(provider, &limited, target, &live, err);
    assert(r == 0 || (!live.spec && !live.outputs && !live.status));
    assert(r < 0 || live.is_present == is_map(live.spec));
    assert(r < 0 || live.is_present == is_map(live.outputs));
    if (r == 0)
        *ret_live = live;
    return end_call(provider, r, err);
}

static bool takes_a_spec(enum step_kind kind)
{
    return kind == STEP_CREATE || kind == STEP_UPDATE;
}

static void assert_step(const struct target *target, const struct step *step,
                        const struct value *after)
{
    assert(takes_a_spec(step->kind) || step->kind == STEP_DELETE || step->kind == STEP_START);
    assert(takes_a_spec(step->kind) == is_map(after));
    assert(!after || !value_has_unknown(after));
    if (step->kind != STEP_START)
        assert_target(target);
}

static void assert_outcome(const struct step *step, const struct outcome *outcome)
{
    assert((unsigned int)outcome->kind < OUTCOME_KIND_COUNT);
    bool is_done = outcome->kind == OUTCOME_DONE;
    assert(is_done == (outcome->code == ERROR_NONE) && is_done == !outcome->message);
    assert(is_map(outcome->outputs) == (is_done && takes_a_spec(step->kind)));
    assert(outcome->kind != OUTCOME_PARTLY || is_map(outcome->live) || !takes_a_spec(step->kind));
}

CO_FN int provider_apply(struct provider *provider, const struct call *call,
                         const struct target *target, const struct step *step, struct value *after,
                         struct outcome *ret_outcome, struct error *err)
{
    assert_step(target, step, after);
    struct call limited;
    int r = begin_call(provider, call, &limited, err);
    if (r < 0)
        return r;
    struct outcome outcome = {0};
    r = provider->ops->apply(provider, &limited, target, step, after, &outcome, err);
    if (r == 0) {
        assert_outcome(step, &outcome);
        *ret_outcome = outcome;
    }
    return end_call(provider, r, err);
}

CO_FN int provider_probe(struct provider *provider, const struct call *call,
                         const struct target *target, const struct attempt *attempt,
                         enum probe_kind *ret_kind, struct outcome *ret_outcome, struct error *err)
{
    assert(!provider->ops->is_internal);
    assert_step(target, attempt->step, attempt->after);
    struct call limited;
    int r = begin_call(provider, call, &limited, err);
    if (r < 0)
        return r;
    enum probe_kind kind = PROBE_KIND_COUNT;
    struct outcome outcome = {0};
    r = provider->ops->probe(provider, &limited, target, attempt, &kind, &outcome, err);
    if (r == 0) {
        assert((unsigned int)kind < PROBE_KIND_COUNT);
        assert(is_map(outcome.outputs) ==
               (kind == PROBE_DONE && takes_a_spec(attempt->step->kind)));
        *ret_kind = kind;
        *ret_outcome = outcome;
    }
    return end_call(provider, r, err);
}

/* What the catalog says of this driver's service to the type, where it is not the real thing. */
static void add_stand_in(const struct provider *provider, const struct target *target,
                         struct diagnostics *diagnostics)
{
    const struct type_driver *driver = type_find_driver(target->type, provider->ops->driver);
    if (!driver || !text_equal(driver->fidelity, "stand-in") || !driver->note)
        return;
    diagnostics_note(diagnostics, DIAGNOSTIC_NOTE, DIAGNOSTIC_STAND_IN, (struct position){0}, NULL,
                     "%s: %s", target->address, driver->note);
}

CO_FN int provider_propose(struct provider *provider, const struct call *call,
                           const struct target *target, const struct step *step,
                           struct diagnostics *diagnostics, struct error *err)
{
    assert(diagnostics);
    if (step->kind == STEP_CREATE)
        add_stand_in(provider, target, diagnostics);
    if (!provider->ops->propose)
        return 0;
    struct call limited;
    int r = begin_call(provider, call, &limited, err);
    if (r < 0)
        return r;
    r = provider->ops->propose(provider, &limited, target, step, diagnostics, err);
    return end_call(provider, r, err);
}

CO_FN int provider_describe(struct provider *provider, const struct call *call,
                            const struct string_list *uids, struct value **ret_sections,
                            struct error *err)
{
    if (!provider->ops->describe) {
        *ret_sections = value_list(NULL, 0);
        return 0;
    }
    struct call limited;
    int r = begin_call(provider, call, &limited, err);
    if (r < 0)
        return r;
    struct value *sections = NULL;
    r = provider->ops->describe(provider, &limited, uids, &sections, err);
    assert((r == 0) == (sections != NULL));
    if (r == 0)
        *ret_sections = sections;
    return end_call(provider, r, err);
}
