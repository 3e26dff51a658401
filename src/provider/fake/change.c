/* What a change does to the account. */
#include "provider/fake/change.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "model/functions.h"
#include "model/json.h"

#include <ctype.h>
#include <string.h>

/* Sets come back from a file as lists, so that equal means written alike; what a secret was made of
 * is not written. */
static bool is_written_alike(const struct value *a, const struct value *b)
{
    CLEANUP(value_unrefp) struct value *a_bare = value_without_origins((struct value *)a);
    CLEANUP(value_unrefp) struct value *b_bare = value_without_origins((struct value *)b);
    CLEANUP(mem_freep) char *a_text = json_text(a_bare);
    CLEANUP(mem_freep) char *b_text = json_text(b_bare);
    return text_equal(a_text, b_text);
}

/* As an account that normalises writes a text: in small letters, without spaces around it. */
static struct value *normal_text(const struct value *value)
{
    const char *text = value_text(value);
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    CLEANUP(mem_freep) char *copy = string_copy_n(text, length);
    for (char *c = copy; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return value_string(copy);
}

/* The properties as the account keeps them. */
static struct value *kept_spec(const struct fake_character *character, const struct value *spec)
{
    struct value_builder kept = {0};
    for (size_t i = 0; i < value_count(spec); i++) {
        struct value *value = value_at(spec, i);
        bool is_normal = character->is_normalising && value_kind(value) == VALUE_STRING;
        value_builder_set(&kept, value_key_at(spec, i),
                          is_normal ? normal_text(value) : value_ref(value));
    }
    return value_builder_map(&kept);
}

struct value *fake_dry_run(const struct fake_character *character, const struct value *defaults,
                           const struct value *after)
{
    struct value *kept = kept_spec(character, after);
    for (size_t i = 0; defaults && i < value_count(defaults); i++) {
        const char *key = value_key_at(defaults, i);
        if (value_get(kept, key))
            continue;
        struct value *more = value_with(kept, key, value_ref(value_at(defaults, i)));
        value_unref(kept);
        kept = more;
    }
    return kept;
}

bool fake_is_like(const struct fake_character *character, const struct value *defaults,
                  const struct value *spec, const struct value *after)
{
    CLEANUP(value_unrefp) struct value *kept = fake_dry_run(character, defaults, after);
    return is_written_alike(spec, kept);
}

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

void fake_set_made(const struct value *resource, const struct value *after, struct outcome *outcome)
{
    struct value *spec = value_get(resource, "spec");
    if (!is_written_alike(spec, after))
        outcome->live = value_ref(spec);
    outcome->provider_id = string_copy(value_get_text(resource, "provider_id"));
    outcome->outputs = value_ref(value_get(resource, "outputs"));
}

static int refuse_name(const struct fake_change *change, const struct value *former,
                       struct outcome *ret_outcome)
{
    return outcome_set(ret_outcome, OUTCOME_FAILED, ERROR_EXISTS, "the name %s is taken by %s",
                       change->target->address, value_get_text(former, "provider_id"));
}

/* What the account says to a change of something that it finds, or does not find, there. */
static bool is_refused(const struct fake_change *change, const struct value *former,
                       struct outcome *ret_outcome)
{
    const struct target *target = change->target;
    const char *marker = former ? value_get_text(former, "uid") : NULL;
    if (change->step->kind == STEP_UPDATE && !former)
        outcome_set(ret_outcome, OUTCOME_FAILED, ERROR_NOT_FOUND, "%s is not there",
                    target->address);
    else if (change->step->kind == STEP_CREATE && former && !target->provider_id &&
             fake_repeat_of(target->type) == FAKE_NATURAL &&
             !text_equal_or_null(marker, target->uid))
        refuse_name(change, former, ret_outcome);
    else
        return false;
    return true;
}

static int put(const struct fake_change *change, const struct value *spec, struct value *former,
               struct value **ret_resource, struct error *err)
{
    struct fake_put put = {
        .target = change->target,
        .former = former,
        .spec = (struct value *)spec,
        .ready_us = change->character->is_asynchronous ? change->character->latency_us : 0,
        .visible_us = change->character->settling_us,
        .is_staged = change->character->is_staged,
    };
    return fake_account_put(change->account, &put, ret_resource, err);
}

/* Makes the resource like after, or only half of it. */
static int make(const struct fake_change *change, struct outcome *ret_outcome, struct error *err)
{
    CLEANUP(value_unrefp) struct value *former = NULL;
    CLEANUP(value_unrefp) struct value *resource = NULL;
    bool is_half = change->event->failure == FAKE_HALF;
    int r = fake_account_find(change->account, change->target, &former, err);
    if (r < 0 || is_refused(change, former, ret_outcome))
        return r;
    CLEANUP(value_unrefp)
    struct value *kept = fake_dry_run(change->character, change->defaults, change->after);
    CLEANUP(value_unrefp)
    struct value *spec = is_half ? half_of(kept, value_get(former, "spec")) : value_ref(kept);
    r = put(change, spec, former, &resource, err);
    if (r < 0)
        return r;
    if (is_half) {
        ret_outcome->provider_id = string_copy(value_get_text(resource, "provider_id"));
        ret_outcome->live = value_ref(spec);
        return outcome_set(ret_outcome, OUTCOME_PARTLY, ERROR_UNAVAILABLE,
                           "the fake was told to stop in the middle");
    }
    fake_set_made(resource, change->after, ret_outcome);
    if (change->character->is_staged)
        ret_outcome->kind = OUTCOME_STAGED;
    return 0;
}

/* Whether another thing has come in the place of what is to be deleted. */
static bool has_other(const struct fake_change *change, struct outcome *ret_outcome)
{
    CLEANUP(value_unrefp) struct value *other = NULL;
    if (fake_account_find_other(change->account, change->target, &other, NULL) < 0 || !other)
        return false;
    outcome_set(ret_outcome, OUTCOME_FAILED, ERROR_CONFLICT,
                "%s is gone, and %s carries its marker; plan again", change->target->provider_id,
                value_get_text(other, "provider_id"));
    return true;
}

/* What is not found may only not be seen yet: then nobody may call it gone. */
static int unmake(const struct fake_change *change, struct call *call, struct outcome *ret_outcome,
                  struct error *err)
{
    const struct target *target = change->target;
    bool is_staged = change->character->is_staged;
    CLEANUP(value_unrefp) struct value *resource = NULL;
    int r = fake_account_find(change->account, target, &resource, err);
    if (r == 0 && resource)
        r = fake_account_remove(change->account, resource, is_staged, err);
    else if (r == 0 && provider_is_settling(change->provider, target->changed_at)) {
        call_put_off(call, 100000);
        return outcome_set(ret_outcome, OUTCOME_FAILED, ERROR_UNAVAILABLE,
                           "%s is not found, and was made so shortly ago that it may be there",
                           target->address);
    }
    if (r == 0 && !resource && has_other(change, ret_outcome))
        return 0;
    if (r == 0 && is_staged && fake_account_waits(change->account, target, resource))
        ret_outcome->kind = OUTCOME_STAGED;
    return r;
}

static int turn(const struct fake_change *change, struct outcome *ret_outcome, struct error *err)
{
    CLEANUP(value_unrefp) struct value *resource = NULL;
    int r = fake_account_find(change->account, change->target, &resource, err);
    if (r == 0 && !resource)
        r = error_set(err, ERROR_NOT_FOUND, "%s is not there", change->target->address);
    if (r == 0)
        r = fake_account_turn(change->account, resource, value_get_text(change->after, "member"),
                              err);
    if (r == 0)
        fake_set_made(resource, value_get(resource, "spec"), ret_outcome);
    return r;
}

/* As an API that repeats the request in its answer. */
static int refuse_with_request(const struct fake_change *change, const struct call *call,
                               struct error *err)
{
    CLEANUP(value_unrefp) struct value *request = NULL;
    CLEANUP(value_unrefp) struct value *encoded = NULL;
    CLEANUP(value_unrefp)
    struct value *whole = value_with(change->after, "credential",
                                     change->credential ? value_ref(change->credential) : NULL);
    int r = call_reveal(call, whole, &request, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep) char *text = json_text(request);
    struct value *const plain[] = {value_string(text)};
    r = function_call(function_find("base64encode"), plain, 1, &encoded, err);
    value_unref(plain[0]);
    return r < 0 ? r
                 : error_set(err, ERROR_DENIED, "the fake was told to refuse %s (%s)", text,
                             value_text(encoded));
}

void fake_carry_out(const struct fake_change *change, struct call *call,
                    struct outcome *ret_outcome)
{
    struct error err = {0};
    int r;
    if (change->event->failure == FAKE_ECHO && change->after)
        r = refuse_with_request(change, call, &err);
    else if (change->event->failure == FAKE_REFUSE)
        r = error_set(&err, ERROR_DENIED, "the fake was told to refuse");
    else if (change->step->kind == STEP_START)
        r = fake_account_start(change->account, &err);
    else if (change->step->kind == STEP_ACT)
        r = turn(change, ret_outcome, &err);
    else if (change->step->kind == STEP_DELETE)
        r = unmake(change, call, ret_outcome, &err);
    else
        r = make(change, ret_outcome, &err);
    if (r < 0)
        outcome_set_error(ret_outcome, OUTCOME_FAILED, &err);
}

/* --- Somebody else --- */

static int change_by_hand(const struct fake_account *account, const struct target *target,
                          struct value *resource, const struct value *set, struct error *err)
{
    CLEANUP(value_unrefp) struct value *spec = value_ref(value_get(resource, "spec"));
    for (size_t i = 0; set && i < value_count(set); i++) {
        struct value *more = value_with(spec, value_key_at(set, i), value_ref(value_at(set, i)));
        value_unref(spec);
        spec = more;
    }
    CLEANUP(value_unrefp) struct value *changed = NULL;
    struct fake_put put = {.target = target, .former = resource, .spec = spec};
    return fake_account_put(account, &put, &changed, err);
}

int fake_meddle(const struct fake_account *account, const struct target *target,
                const struct fake_event *event, struct error *err)
{
    CLEANUP(value_unrefp) struct value *resource = NULL;
    if (event->failure == FAKE_FOREIGN_EDIT)
        return fake_account_stage_foreign(account, event->edits, err);
    bool is_about_it = event->failure == FAKE_LOSE || event->failure == FAKE_CHANGE;
    if (!is_about_it)
        return 0;
    int r = fake_account_find(account, target, &resource, err);
    if (r < 0 || !resource)
        return r;
    return event->failure == FAKE_LOSE ? fake_account_remove(account, resource, false, err)
                                       : change_by_hand(account, target, resource, event->set, err);
}
