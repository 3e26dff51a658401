/* A cloud of files, with the characters, the failures and the slowness of real ones. */
#include "provider/fake/fake.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "provider/fake/account.h"
#include "provider/fake/change.h"
#include "provider/fake/failure.h"
#include "provider/fake/settings.h"

#include <assert.h>
#include <string.h>

#define LOOK_AROUND_US 10000 /* how long a wait goes on before it looks at is_cancelled */

struct fake_provider {
    struct provider provider;
    struct fake_account account;
    struct fake_settings settings;
    struct fake_rules rules;
};

static struct fake_provider *fake_of(struct provider *provider)
{
    return (struct fake_provider *)provider;
}

static const struct fake_character *character_of(const struct fake_provider *fake,
                                                 const struct target *target)
{
    return fake_settings_find(&fake->settings, target->address);
}

/* The longest time to settle: what the engine must reckon with. */
static int64_t longest_settling(const struct fake_settings *settings)
{
    int64_t longest = settings->character.settling_us;
    for (size_t i = 0; i < settings->n_exceptions; i++)
        if (settings->exceptions[i].character.settling_us > longest)
            longest = settings->exceptions[i].character.settling_us;
    return longest;
}

static int fake_configure(struct provider *provider, const struct value *config, const char *home,
                          struct error *err)
{
    struct fake_provider *fake = fake_of(provider);
    int r = fake_settings_read(config, &fake->settings, err);
    if (r < 0)
        return r;
    const char *account = fake->settings.account;
    fake->account.name = string_copy(account ? account : provider->name);
    if (!fake_account_is_name(fake->account.name))
        return error_set(err, ERROR_INVALID,
                         "account: \"%s\" cannot be the name of a folder; use letters, digits, "
                         "hyphens, underscores and dots",
                         fake->account.name);
    fake->account.folder = string_format("%s/fake/%s", home, fake->account.name);
    fake->account.token_us = fake->settings.token_us;
    if (provider->limits.settling_us == 0)
        provider->limits.settling_us = longest_settling(&fake->settings);
    CLEANUP(mem_freep) char *count_file = string_format("%s/failures", fake->account.folder);
    return fake_rules_read(value_get(config, "fail"), count_file, &fake->rules, err);
}

static void fake_close(struct provider *provider)
{
    struct fake_provider *fake = fake_of(provider);
    fake_rules_done(&fake->rules);
    fake_settings_done(&fake->settings);
    mem_free(fake->account.name);
    mem_free(fake->account.folder);
}

/* --- How it answers --- */

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

/* What happens to this call, and what somebody else does before it. target may be NULL. */
static int next_event(struct fake_provider *fake, const struct call *call, enum fake_verb verb,
                      const struct target *target, struct fake_event *ret_event, struct error *err)
{
    *ret_event = (struct fake_event){.failure = FAKE_NO_FAILURE};
    fake->account.secrets = call->secrets;
    int r = fake_account_let_in(&fake->account, fake->settings.credential, err);
    if (r < 0 || fake->rules.n_items == 0)
        return r;
    r = world_make_folder(fake->account.folder, 0700, err);
    if (r == 0)
        r = fake_rules_next(&fake->rules, verb, target ? target->address : "", ret_event, err);
    return r < 0 ? r : fake_meddle(&fake->account, target, ret_event, err);
}

/* What every question goes through before it is answered. */
static CO_FN int ask(struct fake_provider *fake, struct call *call, enum fake_verb verb,
                     const struct target *target, struct fake_event *ret_event, struct error *err)
{
    int r = next_event(fake, call, verb, target, ret_event, err);
    if (r < 0)
        return r;
    switch (ret_event->failure) {
    case FAKE_UNREACHABLE:
        return error_set(err, ERROR_UNAVAILABLE, "the fake was told to be unreachable");
    case FAKE_REFUSE:
        return error_set(err, ERROR_UNAVAILABLE, "the fake was told to refuse");
    case FAKE_THROTTLE:
        call_put_off(call, ret_event->retry_after_us);
        return error_set(err, ERROR_UNAVAILABLE, "too many calls");
    case FAKE_HANG:
        return hang(call, err);
    default:
        return travel(
            call, fake_settings_find(&fake->settings, target ? target->address : "")->latency_us,
            err);
    }
}

static CO_FN int fake_identify(struct provider *provider, struct call *call, char **ret_identity,
                               struct error *err)
{
    struct fake_provider *fake = fake_of(provider);
    struct fake_event event;
    int r = ask(fake, call, FAKE_IDENTIFY, NULL, &event, err);
    if (r == 0)
        *ret_identity = event.failure == FAKE_WRONG_ACCOUNT
                            ? string_copy("fake:somebody-else")
                            : string_format("fake:%s", fake->account.name);
    return r;
}

static CO_FN int fake_list(struct provider *provider, struct call *call,
                           const struct listing *listing, struct page *ret_page, struct error *err)
{
    struct fake_provider *fake = fake_of(provider);
    struct fake_event event;
    int r = ask(fake, call, FAKE_LIST, NULL, &event, err);
    if (r == 0 && event.failure == FAKE_CANNOT_TELL)
        r = error_set(err, ERROR_UNAVAILABLE, "nobody can tell what is there");
    return r < 0 ? r : fake_account_list(&fake->account, listing, ret_page, err);
}

/* Whether there is any way to find the resource: its id, or what its type is found by. */
static bool can_be_found(const struct target *target)
{
    enum fake_repeat repeat = fake_repeat_of(target->type);
    return target->provider_id ||
           (repeat == FAKE_TOKEN ? target->token != NULL : repeat != FAKE_NONE);
}

/* Each resource has two sides, of which one is up; the action "turn" says which. */
static const char *side_up(const struct value *resource)
{
    const char *up = value_get_text(resource, "up");
    return up ? up : "front";
}

static void describe_sides(const struct value *resource, struct value_builder *status)
{
    static const char *const sides[] = {"front", "back"};
    struct value_builder members = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(sides); i++) {
        struct value_builder member = {0};
        bool is_up = text_equal(sides[i], side_up(resource));
        value_builder_set_string(&member, "name", sides[i]);
        value_builder_set_string(&member, "role", is_up ? "primary" : "replica");
        value_builder_set_string(&member, "state", "ready");
        value_builder_append(&members, value_builder_map(&member));
    }
    value_builder_set(status, "members", value_builder_list(&members));
    value_builder_set_string(status, "primary", side_up(resource));
}

static CO_FN int fake_read(struct provider *provider, struct call *call,
                           const struct target *target, struct live *ret_live, struct error *err)
{
    struct fake_provider *fake = fake_of(provider);
    CLEANUP(value_unrefp) struct value *resource = NULL;
    struct fake_event event;
    int r = ask(fake, call, FAKE_READ, target, &event, err);
    if (r == 0 && (event.failure == FAKE_CANNOT_TELL || !can_be_found(target)))
        return error_set(err, ERROR_UNAVAILABLE, "nobody can tell whether %s is there",
                         target->address);
    if (r == 0)
        r = fake_account_find(&fake->account, target, &resource, err);
    bool is_other = r == 0 && !resource;
    if (is_other)
        r = fake_account_find_other(&fake->account, target, &resource, err);
    if (r < 0 || !resource)
        return r;
    const char *type = value_get_text(resource, "type");
    if (type && !text_equal(type, target->type->name))
        return error_set(err, ERROR_CONFLICT, "%s is a %s", value_get_text(resource, "provider_id"),
                         type);
    if (is_other)
        ret_live->provider_id = string_copy(value_get_text(resource, "provider_id"));
    bool is_ready = value_get_integer(resource, "ready_at", 0) <= world_wall_clock();
    bool is_waiting = fake_account_waits(&fake->account, target, resource);
    struct value_builder status = {0};
    value_builder_set_string(&status, "state",
                             is_waiting ? "staged"
                             : is_ready ? "ready"
                                        : "starting");
    describe_sides(resource, &status);
    ret_live->is_present = true;
    ret_live->is_stopped = fake_account_is_stopped(&fake->account);
    ret_live->spec = value_ref(value_get(resource, "spec"));
    ret_live->outputs = value_ref(value_get(resource, "outputs"));
    ret_live->status = value_builder_map(&status);
    const char *marker = value_get_text(resource, "uid");
    ret_live->marker = marker ? string_copy(marker) : NULL;
    return 0;
}

/* --- What it would do --- */

/* A name that nobody else can have, and that somebody has. */
static void check_name(struct fake_provider *fake, const struct target *target,
                       const struct step *step, const struct value *former,
                       struct diagnostics *diagnostics)
{
    const char *marker = former ? value_get_text(former, "uid") : NULL;
    const char *id = former ? value_get_text(former, "provider_id") : NULL;
    bool is_ours = marker && text_equal(marker, target->uid);
    if (step->kind != STEP_CREATE || step->replaces || !former || is_ours ||
        fake_repeat_of(target->type) != FAKE_NATURAL)
        return;
    CLEANUP(mem_freep)
    char *help = string_format("take it over with --import %s=%s, or choose another name",
                               target->address, id);
    diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, (struct position){0}, help,
                    "%s: the name is taken on %s, by %s.", target->address, fake->provider.name,
                    id);
}

static CO_FN int fake_propose(struct provider *provider, struct call *call,
                              const struct target *target, const struct step *step,
                              struct value **ret_after, struct diagnostics *diagnostics,
                              struct error *err)
{
    struct fake_provider *fake = fake_of(provider);
    CLEANUP(value_unrefp) struct value *former = NULL;
    struct fake_event event;
    if (step->kind != STEP_CREATE && step->kind != STEP_UPDATE)
        return 0;
    int r = next_event(fake, call, FAKE_PROPOSE, target, &event, err);
    if (r < 0)
        return r;
    if (event.failure == FAKE_UNREACHABLE)
        return error_set(err, ERROR_UNAVAILABLE, "the fake was told to be unreachable");
    if (event.failure == FAKE_THROTTLE) {
        call_put_off(call, event.retry_after_us);
        return error_set(err, ERROR_UNAVAILABLE, "too many calls");
    }
    if (event.failure == FAKE_REFUSE) {
        diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, (struct position){0}, NULL,
                        "%s: %s would refuse this.", target->address, provider->name);
        return 0;
    }
    if (can_be_found(target) && (r = fake_account_find(&fake->account, target, &former, err)) < 0)
        return r;
    check_name(fake, target, step, former, diagnostics);
    *ret_after = fake_dry_run(character_of(fake, target), fake->settings.defaults, step->after);
    return 0;
}

/* --- What it does --- */

/* The request's way there; fails when it did not arrive. */
static CO_FN int send_request(const struct fake_character *character, const struct call *call,
                              enum fake_failure failure, struct error *err)
{
    if (failure == FAKE_LOSE_REQUEST)
        return error_set(err, ERROR_TIMEOUT, "the connection ended before the answer");
    if (failure == FAKE_HANG)
        return hang(call, err);
    return travel(call, character->is_asynchronous ? 0 : character->latency_us / 2, err);
}

/* A handle leads to the resource whatever the type: it names the id that was given. */
static char *make_handle(const struct target *target, const struct outcome *outcome)
{
    bool is_ours = fake_repeat_of(target->type) == FAKE_KEY || !outcome->provider_id;
    return string_format("operation-%s", is_ours ? target->uid : outcome->provider_id);
}

/* The answer's way back; fails when it did not arrive. */
static CO_FN int receive_answer(const struct fake_change *change, const struct call *call,
                                const struct outcome *outcome, struct error *err)
{
    const struct fake_character *character = change->character;
    enum fake_failure failure = change->event->failure;
    if (failure == FAKE_LOSE_ANSWER)
        return error_set(err, ERROR_TIMEOUT, "the connection ended before the answer");
    if (character->is_asynchronous && call->journal_handle) {
        CLEANUP(mem_freep) char *handle = make_handle(change->target, outcome);
        int r = call->journal_handle(call->argument, handle, err);
        if (r < 0)
            return r;
    }
    if (failure == FAKE_HANG_AFTER)
        return hang(call, err);
    int64_t rest = character->latency_us / (character->is_asynchronous ? 1 : 2);
    return travel(call, rest, err);
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
    case STEP_ACT:
        return FAKE_ACT;
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
    struct fake_event event;
    int r = next_event(fake, call, verb_of(step->kind), target, &event, err);
    if (r < 0)
        return r;
    if (event.failure == FAKE_UNREACHABLE)
        return error_set(err, ERROR_UNAVAILABLE, "the fake was told to be unreachable");
    if (step->kind != STEP_START && fake_account_is_stopped(&fake->account))
        return error_set(err, ERROR_UNAVAILABLE, "the account %s is stopped", fake->account.name);
    if (event.failure == FAKE_THROTTLE) {
        call_put_off(call, event.retry_after_us);
        return outcome_set(ret_outcome, OUTCOME_FAILED, ERROR_UNAVAILABLE, "too many calls");
    }
    struct fake_change change = {&fake->account,
                                 character_of(fake, target),
                                 provider,
                                 target,
                                 step,
                                 after,
                                 &event,
                                 fake->settings.credential,
                                 fake->settings.defaults};
    struct error lost = {0};
    r = send_request(change.character, call, event.failure, &lost);
    if (r == 0) {
        fake_carry_out(&change, call, ret_outcome);
        r = receive_answer(&change, call, ret_outcome, &lost);
    }
    if (r < 0) {
        outcome_done(ret_outcome);
        outcome_set_error(ret_outcome, OUTCOME_UNKNOWN, &lost);
    }
    return 0;
}

/* --- What became of it --- */

static enum probe_kind judge(const struct fake_provider *fake, const struct target *target,
                             const struct attempt *attempt, const struct value *resource)
{
    if (resource && value_get_integer(resource, "ready_at", 0) > world_wall_clock())
        return PROBE_PENDING;
    if (attempt->step->kind == STEP_DELETE)
        return resource ? PROBE_NOT_DONE : PROBE_DONE;
    if (!resource)
        return PROBE_NOT_DONE;
    if (attempt->step->kind == STEP_ACT)
        return text_equal(side_up(resource), value_get_text(attempt->after, "member"))
                   ? PROBE_DONE
                   : PROBE_NOT_DONE;
    const struct value *spec = value_get(resource, "spec");
    const struct fake_character *character = character_of(fake, target);
    const struct value *defaults = fake->settings.defaults;
    if (fake_is_like(character, defaults, spec, attempt->after))
        return PROBE_DONE;
    if (attempt->step->kind == STEP_UPDATE &&
        fake_is_like(character, defaults, spec, attempt->step->before))
        return PROBE_NOT_DONE;
    return PROBE_PARTLY;
}

/* Where it may be found: a handle names the id that nobody could know otherwise. */
static struct target find_target(const struct target *target, const struct attempt *attempt)
{
    struct target found = *target;
    if (!found.provider_id && attempt->handle && text_starts_with(attempt->handle, "operation-"))
        found.provider_id = attempt->handle + strlen("operation-");
    return found;
}

/* A token that the account has forgotten tells nothing. */
static bool is_forgotten(const struct fake_account *account, const struct target *target,
                         const struct attempt *attempt)
{
    return fake_repeat_of(target->type) == FAKE_TOKEN && !target->provider_id &&
           world_wall_clock() - attempt->token_at > account->token_us;
}

static CO_FN int fake_probe(struct provider *provider, struct call *call,
                            const struct target *target, const struct attempt *attempt,
                            enum probe_kind *ret_kind, struct outcome *ret_outcome,
                            struct error *err)
{
    struct fake_provider *fake = fake_of(provider);
    CLEANUP(value_unrefp) struct value *resource = NULL;
    struct fake_event event;
    int r = ask(fake, call, FAKE_PROBE, target, &event, err);
    if (r < 0)
        return r;
    if (attempt->step->kind == STEP_START) {
        *ret_kind = fake_account_is_stopped(&fake->account) ? PROBE_NOT_DONE : PROBE_DONE;
        return 0;
    }
    struct target found = find_target(target, attempt);
    *ret_kind = PROBE_UNKNOWABLE;
    if (event.failure == FAKE_CANNOT_TELL || !can_be_found(&found) ||
        is_forgotten(&fake->account, &found, attempt))
        return 0;
    r = fake_account_find(&fake->account, &found, &resource, err);
    if (r < 0)
        return r;
    const char *marker = resource ? value_get_text(resource, "uid") : NULL;
    if (!found.provider_id && marker && !text_equal(marker, target->uid))
        value_unref(take_ptr(resource)); /* somebody else's has the name */
    if (!resource && attempt->step->kind == STEP_DELETE)
        r = fake_account_find_other(&fake->account, &found, &resource, err);
    if (r < 0)
        return r;
    *ret_kind = judge(fake, target, attempt, resource);
    bool is_waiting = fake_account_waits(&fake->account, &found, resource);
    if (*ret_kind == PROBE_DONE && resource)
        fake_set_made(resource,
                      attempt->step->kind == STEP_ACT ? value_get(resource, "spec")
                                                      : attempt->after,
                      ret_outcome);
    if (*ret_kind == PROBE_DONE && is_waiting)
        *ret_kind = PROBE_STAGED;
    if (*ret_kind == PROBE_PARTLY)
        ret_outcome->live = value_ref(value_get(resource, "spec"));
    return 0;
}

/* --- What waits for an activation --- */

static CO_FN int fake_pending(struct provider *provider, struct call *call,
                              const struct string_list *own, struct value **ret_foreign,
                              struct error *err)
{
    struct fake_provider *fake = fake_of(provider);
    struct fake_event event;
    int r = ask(fake, call, FAKE_PENDING, NULL, &event, err);
    return r < 0 ? r : fake_account_list_foreign(&fake->account, own, ret_foreign, err);
}

/* Whether others have staged only what was approved. */
static int check_foreign(const struct fake_account *account, const struct activation *activation,
                         struct error *err)
{
    CLEANUP(value_unrefp) struct value *foreign = NULL;
    int r = fake_account_list_foreign(account, activation->own, &foreign, err);
    for (size_t i = 0; r == 0 && i < value_count(foreign); i++) {
        bool is_approved = false;
        for (size_t k = 0; k < value_count(activation->foreign); k++)
            is_approved =
                is_approved || value_equal(value_at(foreign, i), value_at(activation->foreign, k));
        if (!is_approved)
            r = error_set(err, ERROR_CONFLICT,
                          "it would activate what somebody else staged and the plan does not "
                          "show: %s; plan again",
                          value_text(value_at(foreign, i)));
    }
    return r;
}

static CO_FN int fake_commit(struct provider *provider, struct call *call,
                             const struct activation *activation, struct outcome *ret_outcome,
                             struct error *err)
{
    struct fake_provider *fake = fake_of(provider);
    const struct fake_character *character = &fake->settings.character;
    struct fake_event event;
    int r = next_event(fake, call, FAKE_COMMIT, NULL, &event, err);
    if (r < 0)
        return r;
    if (event.failure == FAKE_UNREACHABLE)
        return error_set(err, ERROR_UNAVAILABLE, "the fake was told to be unreachable");
    if (event.failure == FAKE_REFUSE)
        return outcome_set(ret_outcome, OUTCOME_FAILED, ERROR_DENIED,
                           "the fake was told to refuse");
    if (event.failure == FAKE_THROTTLE) {
        call_put_off(call, event.retry_after_us);
        return outcome_set(ret_outcome, OUTCOME_FAILED, ERROR_UNAVAILABLE, "too many calls");
    }
    struct error lost = {0};
    r = send_request(character, call, event.failure, &lost);
    if (r < 0)
        return outcome_set_error(ret_outcome, OUTCOME_UNKNOWN, &lost);
    r = check_foreign(&fake->account, activation, &lost);
    if (r == 0)
        r = fake_account_activate(&fake->account, &lost);
    if (r < 0)
        return outcome_set_error(ret_outcome, OUTCOME_FAILED, &lost);
    if (event.failure == FAKE_LOSE_ANSWER)
        r = error_set(&lost, ERROR_TIMEOUT, "the connection ended before the answer");
    else if (event.failure == FAKE_HANG_AFTER)
        r = hang(call, &lost);
    else
        r = travel(call, character->latency_us / 2, &lost);
    return r < 0 ? outcome_set_error(ret_outcome, OUTCOME_UNKNOWN, &lost) : 0;
}

static const char *const credentials[] = {"credential", NULL};

static const struct provider_action actions[] = {
    {NULL, "turn", "The side that was up is down then.", 1}, {0}};

const struct provider_ops fake_provider_ops = {
    .driver = "fake",
    .instance_size = sizeof(struct fake_provider),
    .configure = fake_configure,
    .close = fake_close,
    .identify = fake_identify,
    .list = fake_list,
    .read = fake_read,
    .propose = fake_propose,
    .apply = fake_apply,
    .probe = fake_probe,
    .pending = fake_pending,
    .commit = fake_commit,
    .actions = actions,
    .limits = {.call_us = INT64_C(60) * 1000000},
    .credentials = credentials,
};
