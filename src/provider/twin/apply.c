/* Carries steps to the twin: starts its supervisor where it must, and tells how each ended. */
#include "provider/twin/twin.h"

#include "base/text.h"
#include "base/world.h"
#include "provider/twin/client.h"
#include "provider/twin/files.h"
#include "provider/twin/given.h"
#include "provider/twin/image.h"
#include "provider/twin/unfinished.h"

#include <string.h>

/* How often a change is sent again when the supervisor dies of it, or ends just then. */
#define ATTEMPTS 3

/* Property path -> the uids it leads to. */
static struct value *uids_of_references(const struct value *references)
{
    struct value_builder map = {0};
    for (size_t i = 0; i < value_count(references); i++) {
        const struct value *referents = value_at(references, i);
        struct value_builder uids = {0};
        for (size_t k = 0; k < value_count(referents); k++) {
            const char *uid = value_get_text(value_at(referents, k), "uid");
            if (uid)
                value_builder_append(&uids, value_string(uid));
        }
        value_builder_set(&map, value_key_at(references, i), value_builder_list(&uids));
    }
    return value_builder_map(&map);
}

static struct value *describe_resource(const struct target *target, struct value *after,
                                       struct value *built)
{
    struct value_builder resource = {0};
    value_builder_set_string(&resource, "uid", target->uid);
    value_builder_set_string(&resource, "name", target->address);
    value_builder_set_string(&resource, "type", target->type->name);
    value_builder_set(&resource, "spec", value_ref(after));
    value_builder_set(&resource, "references", uids_of_references(target->references));
    value_builder_set(&resource, "generation", value_integer(target->generation));
    if (built)
        value_builder_set(&resource, "built", value_ref(built));
    return value_builder_map(&resource);
}

static struct value *request_of(const struct target *target, const struct step *step,
                                struct value *after, struct value *built)
{
    const char *verb = step->kind == STEP_START    ? "commit"
                       : step->kind == STEP_ACT    ? "act"
                       : step->kind == STEP_DELETE ? "delete"
                                                   : "put";
    struct value_builder request = twin_request(verb);
    if (step->kind == STEP_DELETE || step->kind == STEP_ACT)
        value_builder_set_string(&request, "uid", target->uid);
    if (step->kind == STEP_ACT) {
        value_builder_set_string(&request, "action", value_get_text(after, "action"));
        value_builder_set_string(&request, "member", value_get_text(after, "member"));
    } else if (step->kind == STEP_DELETE) {
        return value_builder_map(&request);
    } else if (step->kind != STEP_START)
        value_builder_set(&request, "resource", describe_resource(target, after, built));
    return value_builder_map(&request);
}

/* Whether a change that failed so may be sent again: the supervisor is gone, or is about to go. */
static CO_FN bool has_gone(const struct twin_home *home, const struct call *call, int r,
                           const struct twin_answer *answer)
{
    bool is_running = false;
    if (r == -ERROR_NOT_FOUND && !answer->was_sent)
        return true;
    if (r == -ERROR_UNAVAILABLE && !answer->was_answered)
        return answer->was_sent;
    return r == -ERROR_UNAVAILABLE && twin_is_running(home, call, &is_running, NULL) == 0 &&
           !is_running;
}

/* A change on its way; all borrowed. */
struct sending {
    const struct value *request;
    const char *uid;
    struct value *after; /* NULL when there is none */
};

/*
 * Starts the supervisor when it must, and sends the change. All changes are level-driven and bear
 * the uid, so that one whose answer was lost with the supervisor can be sent again to the next one.
 * On failure *ret_is_open tells whether the change may have been made nevertheless.
 */
static CO_FN int change(const struct twin_home *home, const struct call *call, const char *identity,
                        const struct sending *sending, struct twin_answer *ret_answer,
                        bool *ret_is_open, struct error *err)
{
    *ret_is_open = false;
    for (int attempt = 1;; attempt++) {
        struct error problem = {0};
        twin_answer_done(ret_answer);
        int r = twin_start(home, call, identity, &problem);
        if (r == 0)
            r = twin_home_remember(home, identity, &problem);
        if (r == 0)
            r = twin_give(home, call, sending->uid, sending->after, &problem);
        if (r == 0)
            r = twin_copy_files(home, call, sending->uid, sending->after, &problem);
        if (r == 0)
            r = twin_ask(home, call, sending->request, ret_answer, &problem);
        if (ret_answer->was_sent)
            *ret_is_open = !ret_answer->was_answered;
        if (r == 0)
            return 0;
        if (attempt == ATTEMPTS || !has_gone(home, call, r, ret_answer))
            return error_move(err, &problem);
        error_done(&problem);
    }
}

static void tell(const struct call *call, const char *text)
{
    if (call->progress)
        call->progress(call->argument, text);
}

/* What does not run again is no reason not to change it: the steps after this one may mend it. */
static void tell_problems(const struct call *call, const struct value *problems)
{
    for (size_t i = 0; twin_is_map(problems) && i < value_count(problems); i++) {
        const char *message = value_get_text(value_at(problems, i), "message");
        tell(call, message ? message : "something does not run again");
    }
}

static int set_made(const struct value *answer, const struct target *target, const char *identity,
                    struct outcome *ret_outcome)
{
    struct value *outputs = value_get(answer, "outputs");
    if (!twin_is_map(outputs))
        return outcome_set(ret_outcome, OUTCOME_UNKNOWN, ERROR_UNAVAILABLE,
                           "what the twin says is not understood");
    ret_outcome->provider_id = string_format("%s/%s", identity, target->uid);
    ret_outcome->outputs = value_ref(outputs);
    return 0;
}

int twin_check_is_gone(const struct twin_home *home, const struct call *call, const char *uid,
                       bool *ret_is_gone, struct error *err)
{
    bool is_running = false;
    CLEANUP(value_unrefp) struct value *manifest = NULL;
    int r = twin_is_running(home, call, &is_running, err);
    if (r == 0 && !is_running)
        r = twin_home_read(home, &manifest, err);
    if (r < 0)
        return r;
    *ret_is_gone = !is_running && !twin_manifest_find(manifest, uid);
    if (*ret_is_gone && manifest && value_count(value_get(manifest, "resources")) == 0)
        twin_clear(home, call);
    return 0;
}

/* How a change ended that failed; *take_err is emptied. */
static int set_failed(const struct twin_answer *answer, bool is_open, struct error *take_err,
                      struct outcome *ret_outcome, struct error *err)
{
    if (is_open)
        return outcome_set_error(ret_outcome, OUTCOME_UNKNOWN, take_err);
    if (answer->was_answered)
        return outcome_set_error(ret_outcome, OUTCOME_FAILED, take_err);
    return error_move(err, take_err);
}

/*
 * Before the first change of a run, so that a rule, a port or a path that others still use is not
 * gone before they are led elsewhere. What does not run has nobody who uses anything.
 */
static CO_FN void hold(struct twin_provider *twin, const struct call *call)
{
    while (twin->is_asking)
        gate_wait(call->loop, &twin->asked, -1, NULL);
    if (twin->has_asked)
        return;
    twin->has_asked = twin->is_asking = true;
    twin_hold(&twin->home, call, &twin->held);
    twin->is_asking = false;
    gate_open(call->loop, &twin->asked);
}

void twin_conclude(struct provider *provider, struct call *call)
{
    struct twin_provider *twin = twin_of(provider);
    bool has_changed = twin->has_asked;
    twin->has_asked = false;
    twin_let_go(call, take_ptr(twin->held));
    if (has_changed)
        twin_see_out(&twin->home, call);
}

bool twin_is_promotion(const char *action)
{
    return text_equal(action, "promote") || text_equal(action, "promote-with-loss");
}

/* Who had which part when it was approved must have it still: an action on a primary is another
 * thing than one on a replica. */
static CO_FN int check_primary(struct provider *provider, struct call *call,
                               const struct target *target, const struct step *step,
                               const struct value *after, struct error *err)
{
    const char *approved = value_get_text(step->before, "primary");
    const char *member = value_get_text(after, "member");
    struct live live = {0};
    int r = twin_read(provider, call, target, &live, err);
    const char *primary = r == 0 ? value_get_text(live.status, "primary") : NULL;
    bool is_done =
        twin_is_promotion(value_get_text(after, "action")) && text_equal_or_null(primary, member);
    if (primary && approved && !is_done && !text_equal(primary, approved))
        r = error_set(err, ERROR_STALE, "the primary of %s is %s by now, not %s; plan again",
                      target->address, primary, approved);
    live_done(&live);
    return r;
}

/* What is not there any more, or not yet, does not take long: a build may. */
#define CHANGE_US (INT64_C(120) * 1000000)

static struct call without_a_build(const struct call *call)
{
    struct call shorter = *call;
    int64_t deadline = world_monotonic_clock() + CHANGE_US;
    if (call->deadline < 0 || call->deadline > deadline)
        shorter.deadline = deadline;
    return shorter;
}

/* An image's engine comes first where something goes: the twin knows of it until it is gone. */
static CO_FN bool prepare_image(struct twin_provider *twin, struct call *call,
                                const struct target *target, const struct step *step,
                                struct value *after, struct value **ret_before,
                                struct value **ret_built, struct outcome *ret_outcome)
{
    struct error problem = {0};
    *ret_before = twin_image_find(twin, target->uid);
    if (!*ret_before)
        *ret_before = unfinished_find(&twin->home, target->uid);
    if (step->kind != STEP_DELETE)
        return twin_image_build(twin, call, target, step, after, ret_built, ret_outcome);
    int r =
        *ret_before ? twin_image_remove(twin, call, target->uid, *ret_before, NULL, &problem) : 0;
    if (r < 0)
        outcome_set_error(ret_outcome, OUTCOME_FAILED, &problem);
    return r == 0;
}

/* What was built before is used no more. That it stays is no failure of the change. */
static CO_FN void tidy_image(struct twin_provider *twin, struct call *call,
                             const struct target *target, const struct value *before,
                             const struct value *built)
{
    CLEANUP(error_done) struct error problem = {0};
    bool is_real = value_get_text(built, "id") != NULL;
    const struct value *engine = is_real ? built : before;
    if (engine &&
        twin_image_remove(twin, call, target->uid, engine, is_real ? built : NULL, &problem) < 0)
        tell(call, error_message(&problem));
}

/* A new image is there, also where the twin did not take it over. */
static int keep_built(const struct value *before, const struct value *built, int r,
                      struct outcome *outcome, struct error *err)
{
    bool is_new = value_get_text(built, "id") && !(before && value_get_text(before, "id"));
    if (!is_new)
        return r;
    if (r < 0)
        return outcome_set_error(outcome, OUTCOME_PARTLY, err);
    if (outcome->kind == OUTCOME_FAILED)
        outcome->kind = OUTCOME_PARTLY;
    return 0;
}

/* Sends the change to the supervisor, and tells how it ended. */
static CO_FN int carry_out(struct twin_provider *twin, const struct call *call,
                           const struct target *target, const struct step *step,
                           struct value *after, struct value *built, struct outcome *ret_outcome,
                           struct error *err)
{
    const struct twin_home *home = &twin->home;
    char identity[UUID_TEXT_SIZE];
    CLEANUP(value_unrefp) struct value *request = request_of(target, step, after, built);
    struct twin_answer answer = {0};
    struct error problem = {0};
    bool is_open;
    int r = twin_find_identity(twin, identity, err);
    if (r < 0)
        return r;
    struct sending sending = {request, target->uid, after};
    r = change(home, call, identity, &sending, &answer, &is_open, &problem);
    twin->seen_at = 0;
    if (r == 0 && step->kind != STEP_START && step->kind != STEP_ACT) {
        twin_take_back(home, target->uid, after);
        twin_remove_files(home, call, target->uid, after);
    }
    if (r < 0)
        r = set_failed(&answer, is_open, &problem, ret_outcome, err);
    else if (after)
        r = set_made(answer.value, target, identity, ret_outcome);
    else
        tell_problems(call, value_get(answer.value, "problems"));
    if (after && answer.value && step->kind != STEP_ACT)
        twin_tell_parts(call, target->type->name, answer.value);
    twin_answer_done(&answer);
    return r;
}

int twin_apply(struct provider *provider, struct call *call, const struct target *target,
               const struct step *step, struct value *after, struct outcome *ret_outcome,
               struct error *err)
{
    struct twin_provider *twin = twin_of(provider);
    CLEANUP(value_unrefp) struct value *before = NULL;
    CLEANUP(value_unrefp) struct value *built = NULL;
    char identity[UUID_TEXT_SIZE];
    bool is_gone = false;
    bool is_image = step->kind != STEP_START && step->kind != STEP_ACT && twin_is_image(target);
    struct call shorter = without_a_build(call);
    int r = twin_check_identity(twin, target, identity, err);
    if (r == 0 && step->kind == STEP_DELETE)
        r = twin_check_is_gone(&twin->home, &shorter, target->uid, &is_gone, err);
    if (r == 0 && step->kind == STEP_ACT)
        r = check_primary(provider, &shorter, target, step, after, err);
    if (r < 0 || (is_gone && !is_image))
        return r;
    if (is_image && !prepare_image(twin, call, target, step, after, &before, &built, ret_outcome))
        return 0;
    if (is_gone)
        return 0;
    if (step->kind != STEP_ACT)
        hold(twin, call);
    shorter = without_a_build(call);
    r = carry_out(twin, &shorter, target, step, after, built, ret_outcome, err);
    if (is_image && after && r == 0 && ret_outcome->kind == OUTCOME_DONE)
        tidy_image(twin, call, target, before, built);
    return is_image && after ? keep_built(before, built, r, ret_outcome, err) : r;
}
