/* Concurrency, rate, time limits and back-off of an instance. Knows no driver. */
#include "provider/limits.h"

#include "base/strbuf.h"
#include "base/teeth.h"
#include "base/text.h"
#include "base/world.h"
#include "catalog/literal.h"

#include <assert.h>
#include <string.h>

#define SECOND INT64_C(1000000)
#define DEFAULT_TIME_US (600 * SECOND)
#define DEFAULT_ATTEMPTS 8
#define FIRST_BACK_OFF_US (SECOND / 2)
#define LONGEST_BACK_OFF_US (60 * SECOND)
#define LOOK_AROUND_US (SECOND / 20) /* how long a wait goes on before it looks at is_cancelled */

/* --- Reading them --- */

static int refuse(struct error *err, const char *key, const char *want)
{
    return error_set(err, ERROR_INVALID, "limits: \"%s\" must be %s", key, want);
}

static int read_count(const struct value *value, const char *key, int64_t *ret_count,
                      struct error *err)
{
    if (value_kind(value) != VALUE_INTEGER || value_to_integer(value) < 1)
        return refuse(err, key, "a whole number from 1 on");
    *ret_count = value_to_integer(value);
    return 0;
}

static int read_size(const struct value *value, const char *key, size_t *ret_size,
                     struct error *err)
{
    int64_t count = 0;
    int r = read_count(value, key, &count, err);
    if (r == 0)
        *ret_size = (size_t)count;
    return r;
}

static int read_time(const struct value *value, const char *key, int64_t *ret_us, struct error *err)
{
    CLEANUP(value_unrefp)
    struct value *duration =
        value_kind(value) == VALUE_STRING ? literal_duration(value_text(value)) : NULL;
    if (!duration)
        return refuse(err, key, "a duration such as 500ms, 30s or 10m");
    *ret_us = (int64_t)(literal_duration_seconds(value_text(duration)) * (double)SECOND);
    return 0;
}

static int read_rate(const struct value *value, struct provider_limits *limits, struct error *err)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"/second", 1}, {"/minute", 60}, {"/hour", 3600}};
    CLEANUP(value_unrefp)
    struct value *rate = value_kind(value) == VALUE_STRING ? literal_rate(value_text(value)) : NULL;
    const char *text = rate ? value_text(rate) : "";
    for (size_t i = 0; i < ARRAY_LENGTH(units); i++) {
        if (!text_ends_with(text, units[i].unit))
            continue;
        CLEANUP(mem_freep)
        char *number = string_copy_n(text, strlen(text) - strlen(units[i].unit));
        int64_t calls;
        if (!text_to_integer(number, &calls) || calls < 1)
            break;
        limits->calls_a_second = (double)calls / units[i].seconds;
        return 0;
    }
    return refuse(err, "rate", "such as 20/second or 100/minute");
}

static int read_times(const struct value *value, struct provider_limits *limits, struct error *err)
{
    if (value_kind(value) != VALUE_MAP)
        return refuse(err, "time", "a map of verbs and durations");
    for (size_t i = 0; i < value_count(value); i++) {
        const char *key = value_key_at(value, i);
        enum provider_verb verb = provider_verb_from_string(key);
        if (verb == PROVIDER_VERB_COUNT)
            return error_set(err, ERROR_INVALID, "limits: time: there is no verb \"%s\"", key);
        int r = read_time(value_at(value, i), key, &limits->time_us[verb], err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The place of the group of that name; a new one lets one call run at a time. */
static size_t need_group(struct provider *provider, const char *name)
{
    for (size_t i = 0; i < provider->n_groups; i++)
        if (text_equal(provider->groups[i].name, name))
            return i;
    provider->groups =
        mem_resize(provider->groups, provider->n_groups + 1, sizeof(provider->groups[0]));
    provider->groups[provider->n_groups] =
        (struct provider_group){.name = string_copy(name), .limit = 1};
    return provider->n_groups++;
}

static int read_groups(struct provider *provider, const struct value *value, struct error *err)
{
    if (value_kind(value) != VALUE_MAP)
        return refuse(err, "groups", "a map of groups and numbers");
    for (size_t i = 0; i < value_count(value); i++) {
        const char *name = value_key_at(value, i);
        size_t index = need_group(provider, name);
        int r = read_size(value_at(value, i), name, &provider->groups[index].limit, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_limit(struct provider *provider, const char *key, const struct value *value,
                      struct error *err)
{
    struct provider_limits *limits = &provider->limits;
    if (text_equal(key, "concurrency"))
        return read_size(value, key, &limits->concurrency, err);
    if (text_equal(key, "changes"))
        return read_size(value, key, &limits->changes, err);
    if (text_equal(key, "groups"))
        return read_groups(provider, value, err);
    if (text_equal(key, "rate"))
        return read_rate(value, limits, err);
    if (text_equal(key, "attempts"))
        return read_count(value, key, &limits->attempts, err);
    if (text_equal(key, "settling"))
        return read_time(value, key, &limits->settling_us, err);
    if (text_equal(key, "time"))
        return read_times(value, limits, err);
    return error_set(err, ERROR_INVALID,
                     "limits: there is no \"%s\"; there are concurrency, changes, groups, rate, "
                     "attempts, settling and time",
                     key);
}

int limits_take(struct provider *provider, const struct value *config, struct value **ret_config,
                struct error *err)
{
    provider->limits = provider->ops->limits;
    const struct value *limits = value_get(config, "limits");
    if (limits && value_kind(limits) != VALUE_MAP)
        return error_set(err, ERROR_INVALID, "limits: must be a map");
    for (size_t i = 0; limits && i < value_count(limits); i++) {
        int r = read_limit(provider, value_key_at(limits, i), value_at(limits, i), err);
        if (r < 0)
            return r;
    }
    struct value *rest = config ? value_with(config, "limits", NULL) : NULL;
    if (limits && value_count(rest) == 0)
        value_unref(take_ptr(rest));
    *ret_config = rest;
    return 0;
}

void limits_done(struct provider *provider)
{
    for (size_t i = 0; i < provider->n_groups; i++)
        mem_free(provider->groups[i].name);
    mem_free(provider->groups);
}

/* --- A call's turn --- */

void call_put_off(struct call *call, int64_t delay_us)
{
    call->is_put_off = true;
    call->put_off_us = delay_us;
}

bool provider_is_settling(const struct provider *provider, int64_t changed_at)
{
    return provider->limits.settling_us > 0 && changed_at > 0 && !TOOTH(NO_SETTLING) &&
           world_wall_clock() < changed_at + provider->limits.settling_us;
}

static bool may_begin(const struct call *call)
{
    return !*call->is_cancelled && !(call->is_stopping && *call->is_stopping);
}

static bool is_change(const struct calling *calling)
{
    return calling->verb == PROVIDER_APPLY || calling->verb == PROVIDER_COMMIT;
}

static bool has_room(const struct calling *calling)
{
    const struct provider *provider = calling->provider;
    const struct provider_limits *limits = &provider->limits;
    if (limits->concurrency > 0 && provider->n_calls >= limits->concurrency)
        return false;
    if (!is_change(calling))
        return true;
    if (limits->changes > 0 && provider->n_changes >= limits->changes)
        return false;
    const struct provider_group *group =
        calling->has_group ? &provider->groups[calling->group] : NULL;
    return !group || group->n_calls < group->limit;
}

/* When the instance takes its next call. */
static int64_t next_turn(const struct provider *provider)
{
    return provider->put_off_until > provider->next_call ? provider->put_off_until
                                                         : provider->next_call;
}

/* Waits for room and for the instance's next turn, whichever is missing. */
static CO_FN int await_turn(struct calling *calling, struct error *err)
{
    struct provider *provider = calling->provider;
    const struct call *asked = calling->asked;
    for (;;) {
        int64_t now = world_monotonic_clock();
        if (!may_begin(asked))
            return error_set(err, ERROR_CANCELLED, "%s: cancelled before the call began",
                             provider->name);
        if (asked->deadline >= 0 && now >= asked->deadline)
            return error_set(err, ERROR_TIMEOUT, "%s: no time was left to begin the call",
                             provider->name);
        int64_t turn = next_turn(provider);
        bool is_free = has_room(calling);
        if (is_free && turn <= now)
            return 0;
        int64_t until = now + LOOK_AROUND_US;
        if (is_free && turn < until)
            until = turn;
        if (asked->deadline >= 0 && asked->deadline < until)
            until = asked->deadline;
        (void)gate_wait(provider->loop, &provider->room, until, NULL);
    }
}

static void take_turn(struct calling *calling)
{
    struct provider *provider = calling->provider;
    if (provider->limits.calls_a_second > 0)
        provider->next_call =
            world_monotonic_clock() + (int64_t)((double)SECOND / provider->limits.calls_a_second);
    provider->n_begun++;
    provider->n_calls++;
    provider->n_changes += is_change(calling);
    if (calling->has_group)
        provider->groups[calling->group].n_calls++;
}

static int64_t time_limit(const struct provider_limits *limits, enum provider_verb verb)
{
    if (limits->time_us[verb])
        return limits->time_us[verb];
    return limits->call_us ? limits->call_us : DEFAULT_TIME_US;
}

CO_FN int calling_begin(struct calling *calling, struct error *err)
{
    struct provider *provider = calling->provider;
    const struct call *asked = calling->asked;
    assert(asked->is_cancelled && asked->loop == provider->loop);
    const char *group = calling->type ? calling->type->group : NULL;
    calling->has_group = is_change(calling) && group;
    if (calling->has_group)
        calling->group = need_group(provider, group);
    int r;
    do {
        r = await_turn(calling, err);
        if (r == 0 && asked->may_begin)
            r = asked->may_begin(asked->argument, err);
        if (r < 0)
            return r;
        /* It may have waited, too. */
    } while (!has_room(calling) || next_turn(provider) > world_monotonic_clock());
    take_turn(calling);
    int64_t end = world_monotonic_clock() + time_limit(&provider->limits, calling->verb);
    calling->given = *asked;
    calling->given.deadline = asked->deadline >= 0 && asked->deadline < end ? asked->deadline : end;
    calling->given.is_put_off = false;
    calling->n_attempts++;
    return 0;
}

void calling_end(struct calling *calling)
{
    struct provider *provider = calling->provider;
    provider->n_calls--;
    provider->n_changes -= is_change(calling);
    if (calling->has_group)
        provider->groups[calling->group].n_calls--;
    gate_open(provider->loop, &provider->room);
}

/* The system's own wish, else twice as long each time. */
static int64_t back_off(const struct calling *calling)
{
    if (calling->given.put_off_us > 0)
        return calling->given.put_off_us;
    int64_t delay = FIRST_BACK_OFF_US;
    for (int64_t i = 1; i < calling->n_attempts && delay < LONGEST_BACK_OFF_US; i++)
        delay *= 2;
    return delay < LONGEST_BACK_OFF_US ? delay : LONGEST_BACK_OFF_US;
}

bool calling_is_put_off(struct calling *calling, struct error *err)
{
    struct provider *provider = calling->provider;
    const struct call *asked = calling->asked;
    int64_t attempts = provider->limits.attempts ? provider->limits.attempts : DEFAULT_ATTEMPTS;
    if (!calling->given.is_put_off)
        return false;
    provider->n_put_off++;
    int64_t delay = back_off(calling);
    int64_t turn = world_monotonic_clock() + delay;
    if (turn > provider->put_off_until)
        provider->put_off_until = turn;
    if (calling->n_attempts >= attempts || (asked->deadline >= 0 && turn >= asked->deadline))
        return false;
    CLEANUP(mem_freep)
    char *message = string_format("%s asks to be called again in %lld ms", provider->name,
                                  (long long)(delay / 1000));
    if (asked->progress)
        asked->progress(asked->argument, message);
    if (err)
        error_done(err);
    return true;
}

CO_FN bool calling_wait(struct calling *calling, int64_t delay_us)
{
    const struct call *asked = calling->asked;
    int64_t end = world_monotonic_clock() + delay_us;
    for (;;) {
        int64_t now = world_monotonic_clock();
        if (now >= end)
            return true;
        if (!may_begin(asked) || (asked->deadline >= 0 && now >= asked->deadline))
            return false;
        loop_sleep(asked->loop, end - now < LOOK_AROUND_US ? end - now : LOOK_AROUND_US);
    }
}
