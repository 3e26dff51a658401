/* A cloud of files, with the failures and the slowness of a real one. */
#include "provider/fake/fake.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "provider/fake/account.h"
#include "provider/fake/failure.h"

#include <assert.h>
#include <string.h>

#define LOOK_AROUND_US 10000 /* how long a wait goes on before it looks at is_cancelled */

struct fake_provider {
    struct provider provider;
    struct fake_account account;
    int64_t latency_us;
    bool is_asynchronous;
    struct fake_rules rules;
};

static struct fake_provider *fake_of(struct provider *provider)
{
    return (struct fake_provider *)provider;
}

/* --- Settings --- */

/* "20ms", "2s". */
static int read_latency(const struct value *value, int64_t *ret_us, struct error *err)
{
    const char *text = value_kind(value) == VALUE_STRING ? value_text(value) : "";
    bool is_milliseconds = text_ends_with(text, "ms");
    size_t unit = is_milliseconds ? 2 : 1;
    size_t length = strlen(text);
    CLEANUP(mem_freep) char *digits = string_copy_n(text, length > unit ? length - unit : 0);
    int64_t number;
    if ((!is_milliseconds && !text_ends_with(text, "s")) || !text_to_integer(digits, &number) ||
        number < 0 || number > 3600000)
        return error_set(err, ERROR_INVALID, "latency: \"%s\" is no duration such as 20ms or 2s",
                         text);
    *ret_us = number * (is_milliseconds ? 1000 : 1000000);
    return 0;
}

static int read_setting(struct fake_provider *fake, const char *key, const struct value *value,
                        struct error *err)
{
    if (text_equal(key, "latency"))
        return read_latency(value, &fake->latency_us, err);
    if (text_equal(key, "asynchronous") && value_kind(value) == VALUE_BOOL) {
        fake->is_asynchronous = value_to_bool(value);
        return 0;
    }
    if (text_equal(key, "account") && value_kind(value) == VALUE_STRING) {
        mem_free(fake->account.name);
        fake->account.name = string_copy(value_text(value));
        return 0;
    }
    if (text_equal(key, "fail"))
        return 0;
    return error_set(err, ERROR_INVALID,
                     "the driver fake has no such setting \"%s\"; it has account, latency, "
                     "asynchronous (true or false) and fail",
                     key);
}

static int fake_configure(struct provider *provider, const struct value *config, const char *home,
                          struct error *err)
{
    struct fake_provider *fake = fake_of(provider);
    fake->account.name = string_copy(provider->name);
    for (size_t i = 0; config && i < value_count(config); i++) {
        int r = read_setting(fake, value_key_at(config, i), value_at(config, i), err);
        if (r < 0)
            return r;
    }
    if (!fake_account_is_name(fake->account.name))
        return error_set(err, ERROR_INVALID,
                         "account: \"%s\" cannot be the name of a folder; use letters, digits, "
                         "hyphens, underscores and dots",
                         fake->account.name);
    fake->account.folder = string_format("%s/fake/%s", home, fake->account.name);
    fake->account.settle_us = fake->is_asynchronous ? fake->latency_us : 0;
    CLEANUP(mem_freep) char *count_file = string_format("%s/failures", fake->account.folder);
    return fake_rules_read(value_get(config, "fail"), count_file, &fake->rules, err);
}

static void fake_close(struct provider *provider)
{
    struct fake_provider *fake = fake_of(provider);
    fake_rules_done(&fake->rules);
    mem_free(fake->account.folder);
    mem_free(fake->account.name);
}

/* --- How it answers --- */

/* Sets come back from a file as lists, so that equal means written alike. */
static bool is_written_alike(const struct value *a, const struct value *b)
{
    CLEANUP(mem_freep) char *a_text = json_text(a);
    CLEANUP(mem_freep) char *b_text = json_text(b);
    return text_equal(a_text, b_text);
}

/* Lets time pass for a call, as long as it may: ERROR_TIMEOUT or ERROR_CANCELLED before the end. */
static CO_FN int travel(const struct call *call, int64_t duration_us, struct error *err)
{
    int64_t end = world_monotonic_clock() + duration_us;
    for (;;) {
        int64_t now = world_monotonic_clock();
        if (*call->is_cancelled)
            return error_set(err, ERROR_CANCELLED, "cancelled while it waited for an answer");
        if (now >= call->deadline)
            return error_set(err, ERROR_TIMEOUT, "no answer within the time limit");
        if (now >= end)
            return 0;
        int64_t until = end < call->deadline ? end : call->deadline;
        loop_sleep(call->loop, until - now < LOOK_AROUND_US ? until - now : LOOK_AROUND_US);
    }
}

static CO_FN int hang(const struct call *call, struct error *err)
{
    return travel(call, INT64_MAX / 2, err);
}

static int next_failure(struct fake_provider *fake, enum fake_verb verb, const char *address,
                        enum fake_failure *ret_failure, struct error *err)
{
    if (fake->rules.n_items == 0) {
        *ret_failure = FAKE_NO_FAILURE;
        return 0;
    }
    int r = world_make_folder(fake->account.folder, 0700, err);
    return r < 0 ? r : fake_rules_next(&fake->rules, verb, address, ret_failure, err);
}

/* What every question goes through before it is answered. */
static CO_FN int ask(struct fake_provider *fake, const struct call *call, enum fake_verb verb,
                     const char *address, struct error *err)
{
    enum fake_failure failure;
    int r = next_failure(fake, verb, address, &failure, err);
    if (r < 0)
        return r;
    if (failure == FAKE_UNREACHABLE || failure == FAKE_REFUSE)
        return error_set(err, ERROR_UNAVAILABLE, "the fake was told to %s",
                         failure == FAKE_REFUSE ? "refuse" : "be unreachable");
    if (failure == FAKE_HANG)
        return hang(call, err);
    return travel(call, fake->latency_us, err);
}

static CO_FN int fake_identify(struct provider *provider, struct call *call, char **ret_identity,
                               struct error *err)
{
    struct fake_provider *fake = fake_of(provider);
    int r = ask(fake, call, FAKE_IDENTIFY, "", err);
    if (r == 0)
        *ret_identity = string_format("fake:%s", fake->account.name);
    return r;
}

static CO_FN int fake_read(struct provider *provider, struct call *call,
                           const struct target *target, struct live *ret_live, struct error *err)
{
    struct fake_provider *fake = fake_of(provider);
    CLEANUP(value_unrefp) struct value *resource = NULL;
    int r = ask(fake, call, FAKE_READ, target->address, err);
    if (r == 0)
        r = fake_account_load(&fake->account, target, &resource, err);
    if (r < 0 || !resource)
        return r;
    bool is_ready = value_get_integer(resource, "ready_at", 0) <= world_wall_clock();
    struct value_builder status = {0};
    value_builder_set_string(&status, "state", is_ready ? "ready" : "starting");
    ret_live->is_present = true;
    ret_live->is_stopped = fake_account_is_stopped(&fake->account);
    ret_live->spec = value_ref(value_get(resource, "spec"));
    ret_live->outputs = value_ref(value_get(resource, "outputs"));
    ret_live->status = value_builder_map(&status);
    return 0;
}

/* --- What it does --- */

/* The first half of a spec's properties, on top of what is there. */
static struct value *half_of(const struct value *after, const struct value *before)
{
    struct value_builder half = {0};
    for (size_t i = 0; before && i < value_count(before); i++)
        value_builder_set(&half, value_key_at(before, i), value_ref(value_at(before, i)));
    for (size_t i = 0; i < (value_count(after) + 1) / 2; i++)
        value_builder_set(&half, value_key_at(after, i), value_ref(value_at(after, i)));
    return value_builder_map(&half);
}

static void set_made(const struct value *resource, struct outcome *outcome)
{
    outcome->provider_id = string_copy(value_get_text(resource, "provider_id"));
    outcome->outputs = value_ref(value_get(resource, "outputs"));
}

/* Makes the resource like after, or only half of it. */
static int put(const struct fake_provider *fake, const struct target *target,
               const struct step *step, struct value *after, bool is_half,
               struct outcome *ret_outcome, struct error *err)
{
    CLEANUP(value_unrefp) struct value *former = NULL;
    CLEANUP(value_unrefp) struct value *resource = NULL;
    int r = fake_account_load(&fake->account, target, &former, err);
    if (r < 0)
        return r;
    if (step->kind == STEP_UPDATE && !former)
        return outcome_set(ret_outcome, OUTCOME_FAILED, ERROR_NOT_FOUND, "%s is not there",
                           target->address);
    CLEANUP(value_unrefp)
    struct value *spec = is_half ? half_of(after, value_get(former, "spec")) : value_ref(after);
    r = fake_account_store(&fake->account, target, spec, err);
    if (r == 0)
        r = fake_account_load(&fake->account, target, &resource, err);
    if (r < 0)
        return r;
    if (!is_half) {
        set_made(resource, ret_outcome);
        return 0;
    }
    ret_outcome->provider_id = string_copy(value_get_text(resource, "provider_id"));
    ret_outcome->live = value_ref(spec);
    return outcome_set(ret_outcome, OUTCOME_PARTLY, ERROR_UNAVAILABLE,
                       "the fake was told to stop in the middle");
}

/* The effect itself. When it fails, nothing was changed. */
static void carry_out(const struct fake_provider *fake, const struct target *target,
                      const struct step *step, struct value *after, enum fake_failure failure,
                      struct outcome *ret_outcome)
{
    struct error err = {0};
    int r;
    if (failure == FAKE_REFUSE)
        r = error_set(&err, ERROR_DENIED, "the fake was told to refuse");
    else if (step->kind == STEP_START)
        r = fake_account_start(&fake->account, &err);
    else if (step->kind == STEP_DELETE)
        r = fake_account_remove(&fake->account, target, &err);
    else
        r = put(fake, target, step, after, failure == FAKE_HALF, ret_outcome, &err);
    if (r < 0)
        outcome_set_error(ret_outcome, OUTCOME_FAILED, &err);
}

/* The request's way there; fails when it did not arrive. */
static CO_FN int send_request(const struct fake_provider *fake, const struct call *call,
                              enum fake_failure failure, struct error *err)
{
    if (failure == FAKE_LOSE_REQUEST)
        return error_set(err, ERROR_TIMEOUT, "the connection ended before the answer");
    if (failure == FAKE_HANG)
        return hang(call, err);
    return travel(call, fake->is_asynchronous ? 0 : fake->latency_us / 2, err);
}

/* The answer's way back; fails when it did not arrive. */
static CO_FN int receive_answer(const struct fake_provider *fake, const struct call *call,
                                const struct target *target, enum fake_failure failure,
                                struct error *err)
{
    if (failure == FAKE_LOSE_ANSWER)
        return error_set(err, ERROR_TIMEOUT, "the connection ended before the answer");
    if (fake->is_asynchronous && call->journal_handle) {
        CLEANUP(mem_freep) char *handle = string_format("operation-%s", target->uid);
        int r = call->journal_handle(call->argument, handle, err);
        if (r < 0)
            return r;
    }
    if (failure == FAKE_HANG_AFTER)
        return hang(call, err);
    return travel(call, fake->is_asynchronous ? fake->latency_us : fake->latency_us / 2, err);
}

static enum fake_verb verb_of(enum step_kind kind)
{
    switch (kind) {
    case STEP_CREATE:
        return FAKE_CREATE;
    case STEP_UPDATE:
        return FAKE_UPDATE;
    case STEP_DELETE:
        return FAKE_DELETE;
    default:
        assert(kind == STEP_START);
        return FAKE_START;
    }
}

static CO_FN int fake_apply(struct provider *provider, struct call *call,
                            const struct target *target, const struct step *step,
                            struct value *after, struct outcome *ret_outcome, struct error *err)
{
    struct fake_provider *fake = fake_of(provider);
    enum fake_failure failure;
    int r = next_failure(fake, verb_of(step->kind), target->address, &failure, err);
    if (r < 0)
        return r;
    if (failure == FAKE_UNREACHABLE)
        return error_set(err, ERROR_UNAVAILABLE, "the fake was told to be unreachable");
    if (step->kind != STEP_START && fake_account_is_stopped(&fake->account))
        return error_set(err, ERROR_UNAVAILABLE, "the account %s is stopped", fake->account.name);
    struct error lost = {0};
    r = send_request(fake, call, failure, &lost);
    if (r == 0) {
        carry_out(fake, target, step, after, failure, ret_outcome);
        r = receive_answer(fake, call, target, failure, &lost);
    }
    if (r < 0) {
        outcome_done(ret_outcome);
        outcome_set_error(ret_outcome, OUTCOME_UNKNOWN, &lost);
    }
    return 0;
}

/* --- What became of it --- */

static enum probe_kind judge(const struct attempt *attempt, const struct value *resource)
{
    if (resource && value_get_integer(resource, "ready_at", 0) > world_wall_clock())
        return PROBE_PENDING;
    if (attempt->step->kind == STEP_DELETE)
        return resource ? PROBE_NOT_DONE : PROBE_DONE;
    if (!resource)
        return PROBE_NOT_DONE;
    const struct value *spec = value_get(resource, "spec");
    if (is_written_alike(spec, attempt->after))
        return PROBE_DONE;
    if (attempt->step->kind == STEP_UPDATE && is_written_alike(spec, attempt->step->before))
        return PROBE_NOT_DONE;
    return PROBE_PARTLY;
}

static CO_FN int fake_probe(struct provider *provider, struct call *call,
                            const struct target *target, const struct attempt *attempt,
                            enum probe_kind *ret_kind, struct outcome *ret_outcome,
                            struct error *err)
{
    struct fake_provider *fake = fake_of(provider);
    CLEANUP(value_unrefp) struct value *resource = NULL;
    int r = ask(fake, call, FAKE_PROBE, target->address, err);
    if (r < 0)
        return r;
    if (attempt->step->kind == STEP_START) {
        *ret_kind = fake_account_is_stopped(&fake->account) ? PROBE_NOT_DONE : PROBE_DONE;
        return 0;
    }
    r = fake_account_load(&fake->account, target, &resource, err);
    if (r < 0)
        return r;
    *ret_kind = judge(attempt, resource);
    if (*ret_kind == PROBE_DONE && resource)
        set_made(resource, ret_outcome);
    if (*ret_kind == PROBE_PARTLY)
        ret_outcome->live = value_ref(value_get(resource, "spec"));
    return 0;
}

const struct provider_ops fake_provider_ops = {
    .driver = "fake",
    .instance_size = sizeof(struct fake_provider),
    .configure = fake_configure,
    .close = fake_close,
    .identify = fake_identify,
    .read = fake_read,
    .apply = fake_apply,
    .probe = fake_probe,
    .limits = {.call_us = INT64_C(60) * 1000000},
};
