/* The wrappers around drivers: both sides of the contract are asserted here, once for all. */
#include "provider/provider.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/teeth.h"
#include "base/text.h"
#include "base/world.h"
#include "provider/guard.h"
#include "provider/limits.h"

#include <assert.h>
#include <string.h>

#define LARGEST_JUMP_US (INT64_C(24) * 3600 * 1000000) /* of a wall clock */
#define SETTLING_PAUSE_US 100000 /* between two reads of what may not be there yet */

static const char *const verbs[PROVIDER_VERB_COUNT] = {
    [PROVIDER_IDENTIFY] = "identify", [PROVIDER_LIST] = "list",
    [PROVIDER_READ] = "read",         [PROVIDER_PROPOSE] = "propose",
    [PROVIDER_DESCRIBE] = "describe", [PROVIDER_APPLY] = "apply",
    [PROVIDER_PROBE] = "probe",       [PROVIDER_PENDING] = "pending",
    [PROVIDER_COMMIT] = "commit",
};

static const char *const outcome_kinds[OUTCOME_KIND_COUNT] = {
    [OUTCOME_DONE] = "done",     [OUTCOME_STAGED] = "staged",   [OUTCOME_FAILED] = "failed",
    [OUTCOME_PARTLY] = "partly", [OUTCOME_UNKNOWN] = "unknown",
};

static const char *const probe_kinds[PROBE_KIND_COUNT] = {
    [PROBE_NOT_DONE] = "not-done", [PROBE_DONE] = "done",     [PROBE_PARTLY] = "partly",
    [PROBE_PENDING] = "pending",   [PROBE_STAGED] = "staged", [PROBE_UNKNOWABLE] = "unknowable",
};

const char *provider_verb_to_string(enum provider_verb verb)
{
    assert((unsigned int)verb < PROVIDER_VERB_COUNT);
    return verbs[verb];
}

enum provider_verb provider_verb_from_string(const char *text)
{
    for (size_t i = 0; i < PROVIDER_VERB_COUNT; i++)
        if (text_equal(verbs[i], text))
            return (enum provider_verb)i;
    return PROVIDER_VERB_COUNT;
}

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
    assert(kind > OUTCOME_STAGED && code != ERROR_NONE && !outcome->message);
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
    mem_free(live->marker);
    mem_free(live->provider_id);
    *live = (struct live){0};
}

void page_done(struct page *page)
{
    value_unref(page->items);
    mem_free(page->next);
    *page = (struct page){0};
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
        return error_wrap(err, r, "provider %s", name);
    if (config && !is_map(config))
        return error_set(err, ERROR_INVALID, "provider %s: its settings must be a map", name);
    assert(ops->instance_size >= sizeof(struct provider) && ops->configure && ops->close);
    assert(ops->apply && ops->is_internal == !ops->identify);
    assert(!ops->commit == !ops->pending);
    assert(ops->is_internal == !ops->read && ops->is_internal == !ops->probe);
    CLEANUP(provider_freep) struct provider *provider = mem_zeroed(1, ops->instance_size);
    provider->ops = ops;
    provider->name = string_copy(name);
    provider->loop = loop;
    CLEANUP(value_unrefp) struct value *settings = NULL;
    r = limits_take(provider, config, &settings, err);
    /* A driver closes what was configured, also when that failed. */
    int configured = ops->configure(provider, settings, home, r < 0 ? NULL : err);
    if (r < 0 || (r = configured) < 0)
        return error_wrap(err, r, "provider %s", name);
    *ret_provider = take_ptr(provider);
    return 0;
}

void provider_free(struct provider *provider)
{
    if (!provider)
        return;
    assert(provider->n_calls == 0);
    provider->ops->close(provider);
    limits_done(provider);
    mem_free(provider->name);
    mem_free(provider);
}

bool provider_has_commit(const struct provider *provider)
{
    return provider->ops->commit != NULL;
}

bool provider_is_internal(const struct provider *provider)
{
    return provider->ops->is_internal;
}

/* --- Calls --- */

/* Returns r, with the instance's name in front of the error when there is one. */
static int say_who(const struct provider *provider, int r, struct error *err)
{
    assert(r <= 0);
    return r < 0 ? error_wrap(err, r, "%s", provider->name) : 0;
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
    struct calling calling = {.provider = provider, .asked = call, .verb = PROVIDER_IDENTIFY};
    char *identity = NULL;
    int r;
    do {
        if ((r = calling_begin(&calling, err)) < 0)
            return r;
        r = provider->ops->identify(provider, &calling.given, &identity, err);
        calling_end(&calling);
        assert((r == 0) == (identity != NULL));
    } while (r < 0 && calling_is_put_off(&calling, err));
    if (r == 0)
        *ret_identity = identity;
    return say_who(provider, guard_error(call, r, err), err);
}

bool provider_has_list(const struct provider *provider)
{
    return provider->ops->list != NULL;
}

/* Always true; asserts the parts one by one. */
static bool assert_page(const struct listing *listing, const struct page *page)
{
    assert(page->items && value_kind(page->items) == VALUE_LIST);
    assert(value_count(page->items) <= listing->limit);
    assert(!page->next || !text_equal_or_null(listing->after, page->next));
    for (size_t i = 0; i < value_count(page->items); i++)
        assert(value_get_text(value_at(page->items, i), "id"));
    return true;
}

CO_FN int provider_list(struct provider *provider, const struct call *call,
                        const struct listing *listing, struct page *ret_page, struct error *err)
{
    assert(provider->ops->list && listing->type && listing->limit > 0);
    struct calling calling = {
        .provider = provider, .asked = call, .verb = PROVIDER_LIST, .type = listing->type};
    struct page page = {0};
    int r;
    do {
        if ((r = calling_begin(&calling, err)) < 0)
            return r;
        r = provider->ops->list(provider, &calling.given, listing, &page, err);
        calling_end(&calling);
        assert(r == 0 ? assert_page(listing, &page) : !page.items && !page.next);
    } while (r < 0 && calling_is_put_off(&calling, err));
    if (r == 0) {
        guard_page(call, listing->type, &page);
        *ret_page = page;
    }
    return say_who(provider, guard_error(call, r, err), err);
}

/*
 * Whether an answer may still be as it was before the last change. A wall clock may jump: what was
 * answered over the whole time of settling by the other clock is believed, whatever it says.
 */
static bool is_settling_since(const struct provider *provider, int64_t changed_at,
                              int64_t first_answer)
{
    return provider_is_settling(provider, changed_at) &&
           world_monotonic_clock() < first_answer + provider->limits.settling_us;
}

/*
 * Whether what is absent may only not be seen yet. When the wall clock jumps forward the time of
 * settling seems to be over: within a day of the last change absence is believed only once it was
 * answered over that time by the other clock.
 */
static bool may_be_unseen(const struct provider *provider, int64_t changed_at, int64_t first_answer)
{
    return provider->limits.settling_us > 0 && changed_at > 0 && !TOOTH(NO_SETTLING) &&
           world_wall_clock() < changed_at + provider->limits.settling_us + LARGEST_JUMP_US &&
           world_monotonic_clock() < first_answer + provider->limits.settling_us;
}

static CO_FN int read_once(struct calling *calling, const struct target *target, struct live *live,
                           struct error *err)
{
    struct provider *provider = calling->provider;
    int r;
    do {
        if ((r = calling_begin(calling, err)) < 0)
            return r;
        r = provider->ops->read(provider, &calling->given, target, live, err);
        calling_end(calling);
        assert(r == 0 || (!live->spec && !live->outputs && !live->status && !live->marker));
        assert(!live->provider_id || (live->is_present && target->provider_id));
        assert(r < 0 || live->is_present == is_map(live->spec));
        assert(r < 0 || live->is_present == is_map(live->outputs));
    } while (r < 0 && calling_is_put_off(calling, err));
    return say_who(provider, guard_error(calling->asked, r, err), err);
}

CO_FN int provider_read(struct provider *provider, const struct call *call,
                        const struct target *target, struct live *ret_live, struct error *err)
{
    assert(!provider->ops->is_internal);
    assert_target(target);
    struct calling calling = {
        .provider = provider, .asked = call, .verb = PROVIDER_READ, .type = target->type};
    int64_t first_answer = 0;
    for (;;) {
        struct live live = {0};
        int r = read_once(&calling, target, &live, err);
        if (r < 0)
            return r;
        if (first_answer == 0)
            first_answer = world_monotonic_clock();
        if (live.is_present || !may_be_unseen(provider, target->changed_at, first_answer)) {
            guard_live(call, target->type, &live);
            *ret_live = live;
            return 0;
        }
        live_done(&live);
        if (!calling_wait(&calling, SETTLING_PAUSE_US))
            return error_set(err, ERROR_UNAVAILABLE,
                             "%s: %s was changed so shortly ago that nobody can tell yet whether "
                             "it is there",
                             provider->name, target->address);
    }
}

const struct provider_action *provider_find_action(const struct provider *provider,
                                                   const char *type, const char *name,
                                                   char **ret_names)
{
    const struct provider_action *found = NULL;
    struct strbuf names = {0};
    for (const struct provider_action *action = provider->ops->actions; action && action->name;
         action++) {
        if (action->type && !text_equal(action->type, type))
            continue;
        strbuf_addf(&names, "%s%s", names.length ? ", " : "", action->name);
        if (!found && (!name || text_equal(action->name, name)))
            found = action;
    }
    if (ret_names)
        *ret_names = string_copy(strbuf_text(&names));
    strbuf_done(&names);
    return found;
}

static bool takes_a_spec(enum step_kind kind)
{
    return kind == STEP_CREATE || kind == STEP_UPDATE;
}

/* With a map of what is wanted, and an answer that has outputs. */
static bool takes_a_map(enum step_kind kind)
{
    return takes_a_spec(kind) || kind == STEP_ACT;
}

static void assert_step(const struct target *target, const struct step *step,
                        const struct value *after)
{
    assert(takes_a_map(step->kind) || step->kind == STEP_DELETE || step->kind == STEP_START);
    assert(takes_a_map(step->kind) == is_map(after));
    assert(!after || !value_has_unknown(after));
    if (step->kind != STEP_START)
        assert_target(target);
}

/* Always true; asserts the parts one by one. */
static bool assert_outcome(const struct provider *provider, const struct step *step,
                           const struct outcome *outcome)
{
    assert((unsigned int)outcome->kind < OUTCOME_KIND_COUNT);
    assert(outcome->kind != OUTCOME_STAGED || provider->ops->commit);
    bool is_done = outcome->kind == OUTCOME_DONE || outcome->kind == OUTCOME_STAGED;
    assert(is_done == (outcome->code == ERROR_NONE) && is_done == !outcome->message);
    assert(is_map(outcome->outputs) == (is_done && takes_a_map(step->kind)));
    assert(outcome->kind != OUTCOME_PARTLY || is_map(outcome->live) || !takes_a_spec(step->kind));
    return true;
}

/* Whether what was made a moment ago is not found yet: then it is asked for again. */
static bool is_not_there_yet(const struct provider *provider, const struct target *target,
                             const struct step *step, const struct outcome *outcome,
                             int64_t first_answer)
{
    return step->kind == STEP_UPDATE && outcome->kind == OUTCOME_FAILED &&
           outcome->code == ERROR_NOT_FOUND &&
           is_settling_since(provider, target->changed_at, first_answer);
}

/*
 * What was sent for a thing before may arrive once more: it would make again what was deleted, or
 * take back a change. Whatever comes next is sent after that time.
 */
static CO_FN int await_settled(struct calling *calling, const struct target *target,
                               const struct step *step, struct error *err)
{
    int64_t since = world_monotonic_clock();
    bool is_next = step->kind == STEP_UPDATE || step->kind == STEP_DELETE;
    while (is_next && is_settling_since(calling->provider, target->changed_at, since))
        if (!calling_wait(calling, SETTLING_PAUSE_US))
            return error_set(err, ERROR_TIMEOUT,
                             "%s was changed so shortly ago that it must not be touched yet",
                             target->address);
    return 0;
}

CO_FN int provider_apply(struct provider *provider, const struct call *call,
                         const struct target *target, const struct step *step, struct value *after,
                         struct outcome *ret_outcome, struct error *err)
{
    assert_step(target, step, after);
    struct calling calling = {
        .provider = provider, .asked = call, .verb = PROVIDER_APPLY, .type = target->type};
    struct outcome outcome = {0};
    int64_t first_answer = 0;
    bool is_again;
    int r = await_settled(&calling, target, step, err);
    if (r < 0)
        return say_who(provider, guard_error(call, r, err), err);
    do {
        outcome_done(&outcome);
        if ((r = calling_begin(&calling, err)) < 0)
            return r;
        r = provider->ops->apply(provider, &calling.given, target, step, after, &outcome, err);
        calling_end(&calling);
        assert(r < 0 || assert_outcome(provider, step, &outcome));
        is_again = (r < 0 || outcome.kind == OUTCOME_FAILED) && calling_is_put_off(&calling, err);
        if (first_answer == 0)
            first_answer = world_monotonic_clock();
        if (r == 0 && !is_again && is_not_there_yet(provider, target, step, &outcome, first_answer))
            is_again = calling_wait(&calling, SETTLING_PAUSE_US);
    } while (is_again);
    guard_outcome(call, target->type, &outcome);
    if (r == 0)
        *ret_outcome = outcome;
    return say_who(provider, guard_error(call, r, err), err);
}

/* What was made is not found yet, perhaps. */
static bool may_appear(const struct provider *provider, const struct attempt *attempt)
{
    return attempt->sent_by > 0 && !TOOTH(NO_SETTLING) &&
           world_monotonic_clock() < attempt->sent_by + provider->limits.settling_us;
}

/*
 * What a driver's answer is worth: what is not found shortly after a change may be there, and that
 * a create without any key, or whose token is forgotten, was not done is nothing that could be
 * known.
 */
static enum probe_kind believe(const struct provider *provider, const struct target *target,
                               const struct attempt *attempt, enum probe_kind kind)
{
    enum step_kind step = attempt->step->kind;
    bool is_absent = kind == PROBE_NOT_DONE;
    if (step == STEP_CREATE && is_absent && may_appear(provider, attempt))
        return PROBE_PENDING;
    if (step == STEP_UPDATE && is_absent &&
        is_settling_since(provider, target->changed_at, attempt->sent_by))
        return PROBE_PENDING;
    if (step == STEP_DELETE && kind == PROBE_DONE &&
        is_settling_since(provider, target->changed_at, attempt->sent_by))
        return PROBE_PENDING;
    const char *repeat = step == STEP_CREATE ? target->type->repeat : NULL;
    bool is_keyless = repeat && text_equal(repeat, "none");
    bool is_forgotten = repeat && text_equal(repeat, "token") && attempt->token_at > 0 &&
                        world_wall_clock() >= attempt->token_at + target->type->token_us;
    return is_absent && !attempt->handle && (is_keyless || is_forgotten) ? PROBE_UNKNOWABLE : kind;
}

CO_FN int provider_probe(struct provider *provider, const struct call *call,
                         const struct target *target, const struct attempt *attempt,
                         enum probe_kind *ret_kind, struct outcome *ret_outcome, struct error *err)
{
    assert(!provider->ops->is_internal);
    assert_step(target, attempt->step, attempt->after);
    struct calling calling = {
        .provider = provider, .asked = call, .verb = PROVIDER_PROBE, .type = target->type};
    enum probe_kind kind = PROBE_KIND_COUNT;
    struct outcome outcome = {0};
    int r;
    do {
        if ((r = calling_begin(&calling, err)) < 0)
            return r;
        r = provider->ops->probe(provider, &calling.given, target, attempt, &kind, &outcome, err);
        calling_end(&calling);
    } while (r < 0 && calling_is_put_off(&calling, err));
    if (r < 0)
        return say_who(provider, guard_error(call, r, err), err);
    assert((unsigned int)kind < PROBE_KIND_COUNT);
    bool is_done = kind == PROBE_DONE || kind == PROBE_STAGED;
    assert(is_map(outcome.outputs) == (is_done && takes_a_map(attempt->step->kind)));
    guard_outcome(call, target->type, &outcome);
    *ret_kind = believe(provider, target, attempt, kind);
    *ret_outcome = outcome;
    return 0;
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

bool provider_has_propose(const struct provider *provider)
{
    return provider->ops->propose != NULL;
}

CO_FN int provider_propose(struct provider *provider, const struct call *call,
                           const struct target *target, const struct step *step,
                           struct value **ret_after, struct diagnostics *diagnostics,
                           struct error *err)
{
    assert(diagnostics);
    *ret_after = NULL;
    if (step->kind == STEP_CREATE)
        add_stand_in(provider, target, diagnostics);
    if (!provider->ops->propose)
        return 0;
    struct calling calling = {
        .provider = provider, .asked = call, .verb = PROVIDER_PROPOSE, .type = target->type};
    size_t n_before = diagnostics->n_items;
    struct value *after = NULL;
    int r;
    do {
        if ((r = calling_begin(&calling, err)) < 0)
            return r;
        r = provider->ops->propose(provider, &calling.given, target, step, &after, diagnostics,
                                   err);
        calling_end(&calling);
        assert(!after || (r == 0 && takes_a_spec(step->kind) && is_map(after)));
    } while (r < 0 && diagnostics->n_items == n_before && calling_is_put_off(&calling, err));
    guard_spec(call, target->type, &after);
    *ret_after = after;
    return say_who(provider, guard_error(call, r, err), err);
}

CO_FN int provider_pending(struct provider *provider, const struct call *call,
                           const struct string_list *own, struct value **ret_foreign,
                           struct error *err)
{
    assert(provider->ops->pending);
    struct calling calling = {.provider = provider, .asked = call, .verb = PROVIDER_PENDING};
    struct value *foreign = NULL;
    int r;
    do {
        if ((r = calling_begin(&calling, err)) < 0)
            return r;
        r = provider->ops->pending(provider, &calling.given, own, &foreign, err);
        calling_end(&calling);
        assert((r == 0) == (foreign != NULL));
    } while (r < 0 && calling_is_put_off(&calling, err));
    if (r == 0) {
        guard_texts(call, &foreign);
        *ret_foreign = foreign;
    }
    return say_who(provider, guard_error(call, r, err), err);
}

CO_FN int provider_commit(struct provider *provider, const struct call *call,
                          const struct activation *activation, struct outcome *ret_outcome,
                          struct error *err)
{
    assert(provider->ops->commit && activation->own && activation->foreign);
    struct calling calling = {.provider = provider, .asked = call, .verb = PROVIDER_COMMIT};
    struct outcome outcome = {0};
    int r;
    do {
        outcome_done(&outcome);
        if ((r = calling_begin(&calling, err)) < 0)
            return r;
        r = provider->ops->commit(provider, &calling.given, activation, &outcome, err);
        calling_end(&calling);
        assert(outcome.kind != OUTCOME_STAGED && outcome.kind != OUTCOME_PARTLY);
        assert((outcome.kind == OUTCOME_DONE) == (outcome.code == ERROR_NONE));
    } while ((r < 0 || outcome.kind == OUTCOME_FAILED) && calling_is_put_off(&calling, err));
    guard_outcome(call, NULL, &outcome);
    if (r == 0)
        *ret_outcome = outcome;
    return say_who(provider, guard_error(call, r, err), err);
}

CO_FN void provider_conclude(struct provider *provider, struct call *call)
{
    if (provider->ops->conclude)
        provider->ops->conclude(provider, call);
}

CO_FN int provider_describe(struct provider *provider, const struct call *call,
                            const struct string_list *uids, struct value **ret_sections,
                            struct error *err)
{
    if (!provider->ops->describe) {
        *ret_sections = value_list(NULL, 0);
        return 0;
    }
    struct calling calling = {.provider = provider, .asked = call, .verb = PROVIDER_DESCRIBE};
    struct value *sections = NULL;
    int r;
    do {
        if ((r = calling_begin(&calling, err)) < 0)
            return r;
        r = provider->ops->describe(provider, &calling.given, uids, &sections, err);
        calling_end(&calling);
        assert((r == 0) == (sections != NULL));
    } while (r < 0 && calling_is_put_off(&calling, err));
    if (r == 0) {
        guard_texts(call, &sections);
        *ret_sections = sections;
    }
    return say_who(provider, guard_error(call, r, err), err);
}
