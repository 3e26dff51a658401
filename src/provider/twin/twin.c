/* Carries steps to the twin and reads it back, whether its supervisor runs or not. */
#include "provider/twin/twin.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "provider/twin/client.h"
#include "provider/twin/files.h"
#include "provider/twin/given.h"
#include "provider/twin/image.h"
#include "provider/twin/unfinished.h"

#include <assert.h>
#include <string.h>

/* How often a change is sent again when the supervisor dies of it, or ends just then. */
#define ATTEMPTS 3
#define SIGHT_US 200000 /* how long a look at the manifest counts */

static int twin_configure(struct provider *provider, const struct value *config, const char *home,
                          struct error *err)
{
    struct twin_provider *twin = twin_of(provider);
    for (size_t i = 0; config && i < value_count(config); i++) {
        const char *engine = value_get_text(config, "engine");
        if (!text_equal(value_key_at(config, i), "engine") || !engine)
            return error_set(err, ERROR_INVALID, "the driver twin has no setting \"%s\"; remove it",
                             value_key_at(config, i));
        int r = twin_image_check_engine(engine, err);
        if (r < 0)
            return r;
        twin->engine = string_copy(engine);
    }
    return twin_home_init(&twin_of(provider)->home, home, err);
}

static void twin_close(struct provider *provider)
{
    twin_home_done(&twin_of(provider)->home);
    value_unref(twin_of(provider)->manifest);
    mem_free(twin_of(provider)->engine);
    channel_free(twin_of(provider)->held);
}

/*
 * That there is no manifest is never taken from an older look: another instance may have begun the
 * twin since, and the identity of a next one would be derived from a history that has this one in
 * it.
 */
int twin_see_manifest(struct twin_provider *twin, struct value **ret_manifest, struct error *err)
{
    int64_t now = world_monotonic_clock();
    if (!twin->manifest || twin->seen_at == 0 || now - twin->seen_at > SIGHT_US) {
        struct value *manifest = NULL;
        int r = twin_home_read(&twin->home, &manifest, err);
        if (r < 0)
            return r;
        value_unref(twin->manifest);
        twin->manifest = manifest;
        twin->seen_at = now;
    }
    *ret_manifest = twin->manifest ? value_ref(twin->manifest) : NULL;
    return 0;
}

static int find_identity(struct twin_provider *twin, char ret_identity[UUID_TEXT_SIZE],
                         struct error *err)
{
    CLEANUP(value_unrefp) struct value *manifest = NULL;
    int r = twin_see_manifest(twin, &manifest, err);
    return r < 0 ? r : twin_home_identify(&twin->home, manifest, ret_identity, err);
}

static CO_FN int twin_identify(struct provider *provider, struct call *call, char **ret_identity,
                               struct error *err)
{
    (void)call;
    char identity[UUID_TEXT_SIZE];
    int r = find_identity(twin_of(provider), identity, err);
    if (r == 0)
        *ret_identity = string_format("twin:%s", identity);
    return r;
}

/* What was made on a twin that is gone must not be read as absent from the one there is now. */
static int check_identity(struct twin_provider *twin, const struct target *target,
                          char ret_identity[UUID_TEXT_SIZE], struct error *err)
{
    int r = find_identity(twin, ret_identity, err);
    if (r < 0 || !target->provider_id)
        return r;
    size_t length = UUID_TEXT_SIZE - 1;
    if (strncmp(target->provider_id, ret_identity, length) == 0 &&
        target->provider_id[length] == '/')
        return 0;
    return error_set(err, ERROR_UNAVAILABLE,
                     "%s was made on another twin, whose folder %s is gone or was replaced; put "
                     "that folder back, or, when it was removed on purpose, begin anew in another "
                     "home: parley --home FOLDER up FILE",
                     target->address, twin->home.folder);
}

/* --- Reading --- */

/* What of the outputs is a property: all that is known while nobody runs. */
static struct value *outputs_of_spec(const struct resource_type *type, struct value *spec)
{
    struct value_builder outputs = {0};
    for (size_t i = 0; i < type->n_outputs; i++) {
        struct value *value =
            type->outputs[i].from ? value_at_path(spec, type->outputs[i].from) : NULL;
        if (value)
            value_builder_set(&outputs, type->outputs[i].name, value_ref(value));
    }
    return value_builder_map(&outputs);
}

/* The manifest's resource as a new reference. That there is none is never said by an older look. */
static int find_stopped(struct twin_provider *twin, const char *uid, struct value **ret_resource,
                        struct error *err)
{
    *ret_resource = NULL;
    for (int look = 0; look < 2 && !*ret_resource; look++) {
        CLEANUP(value_unrefp) struct value *manifest = NULL;
        if (look > 0)
            twin->seen_at = 0;
        int r = twin_see_manifest(twin, &manifest, err);
        if (r < 0)
            return r;
        struct value *resource = twin_manifest_find(manifest, uid);
        *ret_resource = resource ? value_ref(resource) : NULL;
    }
    return 0;
}

static int read_stopped(struct twin_provider *twin, const struct target *target,
                        struct live *ret_live, struct error *err)
{
    CLEANUP(value_unrefp) struct value *resource = NULL;
    int r = find_stopped(twin, target->uid, &resource, err);
    if (!resource)
        return r;
    struct value_builder status = {0};
    value_builder_set_string(&status, "state", "stopped");
    ret_live->is_present = true;
    ret_live->is_stopped = true;
    ret_live->spec = value_ref(value_get(resource, "spec"));
    ret_live->outputs = outputs_of_spec(target->type, ret_live->spec);
    ret_live->status = value_builder_map(&status);
    return 0;
}

static bool is_map(const struct value *value)
{
    return value && value_kind(value) == VALUE_MAP;
}

/* The supervisor's description of one resource, borrowed from its answer. */
static CO_FN int get(const struct twin_home *home, const struct call *call, const char *uid,
                     struct twin_answer *answer, struct value **ret_resource, struct error *err)
{
    struct value_builder request = twin_request("get");
    value_builder_set_string(&request, "uid", uid);
    CLEANUP(value_unrefp) struct value *message = value_builder_map(&request);
    int r = twin_ask(home, call, message, answer, err);
    if (r < 0)
        return r;
    struct value *resource = value_get(answer->value, "resource");
    bool is_present = value_get_bool(resource, "present", false);
    if (!is_map(resource) || (is_present && (!is_map(value_get(resource, "spec")) ||
                                             !is_map(value_get(resource, "outputs")) ||
                                             !is_map(value_get(resource, "status")))))
        return error_set(err, ERROR_UNAVAILABLE, "what the twin says is not understood");
    *ret_resource = is_present ? resource : NULL;
    return 0;
}

static CO_FN int twin_read(struct provider *provider, struct call *call,
                           const struct target *target, struct live *ret_live, struct error *err)
{
    struct twin_provider *twin = twin_of(provider);
    struct twin_answer answer = {0};
    struct value *resource = NULL;
    char identity[UUID_TEXT_SIZE];
    struct error problem = {0};
    int r = check_identity(twin, target, identity, err);
    if (r < 0)
        return r;
    r = get(&twin->home, call, target->uid, &answer, &resource, &problem);
    if (r == -ERROR_NOT_FOUND) {
        error_done(&problem);
        r = read_stopped(twin, target, ret_live, &problem);
    } else if (r == 0 && resource) {
        ret_live->is_present = true;
        ret_live->spec = value_ref(value_get(resource, "spec"));
        ret_live->outputs = value_ref(value_get(resource, "outputs"));
        ret_live->status = value_ref(value_get(resource, "status"));
    }
    twin_answer_done(&answer);
    if (r == 0 && twin_is_image(target))
        r = twin_image_look(twin, call, target, ret_live, &problem);
    return r < 0 ? error_move(err, &problem) : 0;
}

/* --- Changing --- */

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
    for (size_t i = 0; is_map(problems) && i < value_count(problems); i++) {
        const char *message = value_get_text(value_at(problems, i), "message");
        tell(call, message ? message : "something does not run again");
    }
}

static int set_made(const struct value *answer, const struct target *target, const char *identity,
                    struct outcome *ret_outcome)
{
    struct value *outputs = value_get(answer, "outputs");
    if (!is_map(outputs))
        return outcome_set(ret_outcome, OUTCOME_UNKNOWN, ERROR_UNAVAILABLE,
                           "what the twin says is not understood");
    ret_outcome->provider_id = string_format("%s/%s", identity, target->uid);
    ret_outcome->outputs = value_ref(outputs);
    return 0;
}

/* Whether there surely is nothing to delete, so that nothing need be started for it. */
static CO_FN int check_is_gone(const struct twin_home *home, const struct call *call,
                               const char *uid, bool *ret_is_gone, struct error *err)
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

static CO_FN void twin_conclude(struct provider *provider, struct call *call)
{
    struct twin_provider *twin = twin_of(provider);
    bool has_changed = twin->has_asked;
    twin->has_asked = false;
    twin_let_go(call, take_ptr(twin->held));
    if (has_changed)
        twin_see_out(&twin->home, call);
}

static bool is_promotion(const char *action)
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
        is_promotion(value_get_text(after, "action")) && text_equal_or_null(primary, member);
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
    int r = find_identity(twin, identity, err);
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

static CO_FN int twin_apply(struct provider *provider, struct call *call,
                            const struct target *target, const struct step *step,
                            struct value *after, struct outcome *ret_outcome, struct error *err)
{
    struct twin_provider *twin = twin_of(provider);
    CLEANUP(value_unrefp) struct value *before = NULL;
    CLEANUP(value_unrefp) struct value *built = NULL;
    char identity[UUID_TEXT_SIZE];
    bool is_gone = false;
    bool is_image = step->kind != STEP_START && step->kind != STEP_ACT && twin_is_image(target);
    struct call shorter = without_a_build(call);
    int r = check_identity(twin, target, identity, err);
    if (r == 0 && step->kind == STEP_DELETE)
        r = check_is_gone(&twin->home, &shorter, target->uid, &is_gone, err);
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

/* --- What became of it --- */

/* Sets come back as lists, so that equal means written alike. */
static bool is_written_alike(const struct value *a, const struct value *b)
{
    CLEANUP(mem_freep) char *a_text = json_text(a);
    CLEANUP(mem_freep) char *b_text = b ? json_text(b) : string_copy("");
    return text_equal(a_text, b_text);
}

static const struct value *find_member(const struct value *status, const char *name)
{
    const struct value *members = value_get(status, "members");
    for (size_t i = 0; members && name && i < value_count(members); i++)
        if (text_equal_or_null(value_get_text(value_at(members, i), "name"), name))
            return value_at(members, i);
    return NULL;
}

/* What is not seen to be done may be asked for once more: no action does harm by that. */
static enum probe_kind judge_action(const struct attempt *attempt, const struct live *live)
{
    const char *action = value_get_text(attempt->after, "action");
    const char *name = value_get_text(attempt->after, "member");
    const struct value *member = find_member(live->status, name);
    const char *state = value_get_text(member, "state");
    bool is_primary = text_equal_or_null(value_get_text(live->status, "primary"), name);
    bool is_ready = text_equal_or_null(state, "ready");
    bool is_done = false;
    if (is_promotion(action))
        is_done = is_primary && is_ready;
    else if (text_equal(action, "rejoin"))
        is_done = is_ready && (is_primary || value_get(member, "replication"));
    else if (text_equal(action, "resume"))
        is_done = text_equal_or_null(state, "serving");
    else
        is_done = text_equal_or_null(state, "fenced") || text_equal_or_null(state, "drained");
    return is_done && !live->is_stopped ? PROBE_DONE : PROBE_NOT_DONE;
}

static enum probe_kind judge(const struct attempt *attempt, const struct live *live)
{
    if (attempt->step->kind == STEP_ACT)
        return judge_action(attempt, live);
    if (attempt->step->kind == STEP_DELETE)
        return live->is_present ? PROBE_NOT_DONE : PROBE_DONE;
    if (!live->is_present)
        return PROBE_NOT_DONE;
    if (!is_written_alike(live->spec, attempt->after)) {
        bool is_as_before = attempt->step->kind == STEP_UPDATE &&
                            is_written_alike(live->spec, attempt->step->before);
        return is_as_before ? PROBE_NOT_DONE : PROBE_PARTLY;
    }
    const char *state = value_get_text(live->status, "state");
    if (text_equal_or_null(state, "starting"))
        return PROBE_PENDING;
    bool is_well = !live->is_stopped && !text_equal_or_null(state, "failed");
    return is_well ? PROBE_DONE : PROBE_PARTLY;
}

static CO_FN int probe_start(const struct twin_home *home, const struct call *call,
                             enum probe_kind *ret_kind, struct error *err)
{
    bool is_running = false;
    int r = twin_is_running(home, call, &is_running, err);
    if (r == 0)
        *ret_kind = is_running ? PROBE_DONE : PROBE_NOT_DONE;
    return r;
}

static CO_FN int twin_probe(struct provider *provider, struct call *call,
                            const struct target *target, const struct attempt *attempt,
                            enum probe_kind *ret_kind, struct outcome *ret_outcome,
                            struct error *err)
{
    struct twin_provider *twin = twin_of(provider);
    struct live live = {0};
    char identity[UUID_TEXT_SIZE];
    bool is_gone;
    twin->seen_at = 0;
    if (attempt->step->kind == STEP_START)
        return probe_start(&twin->home, call, ret_kind, err);
    int r = find_identity(twin, identity, err);
    if (r == 0)
        r = twin_read(provider, call, target, &live, err);
    if (r < 0)
        return r;
    *ret_kind = judge(attempt, &live);
    if (twin_is_image(target) && !live.is_present) /* nobody builds it any more */
        unfinished_drop(&twin->home, target->uid);
    if (attempt->step->kind == STEP_DELETE && *ret_kind == PROBE_DONE)
        r = check_is_gone(&twin->home, call, target->uid, &is_gone, err);
    if (r < 0) {
        live_done(&live);
        return r;
    }
    if (live.is_present)
        ret_outcome->provider_id = string_format("%s/%s", identity, target->uid);
    if (*ret_kind == PROBE_DONE && live.is_present)
        ret_outcome->outputs = value_ref(live.outputs);
    if (*ret_kind == PROBE_PARTLY)
        ret_outcome->live = value_ref(live.spec);
    live_done(&live);
    return 0;
}

static const char drain_note[] =
    "Load balancers send it nothing new; what it has been sent has 30 seconds to end, then it is cut. "
    "It runs on, and stays out until it is resumed.";
static const char resume_note[] =
    "Load balancers send it requests again, as soon as it passes their checks.";

static const struct provider_action actions[] = {
    {"aws:rds:cluster", "promote",
     "The primary that was is stopped first, and stays out until it rejoins; where no other replica "
     "is left, no one confirms commits until then.",
     0.5},
    {"aws:rds:cluster", "promote-with-loss",
     "What the primary that was has confirmed and this replica has not received is lost for good, and "
     "nobody can tell how much that is. The primary is stopped first, if it still runs, and stays out "
     "until it rejoins.",
     0.5},
    {"aws:rds:cluster", "fence",
     "It is killed, with whatever its clients do, and stays out until it rejoins. Nobody takes a "
     "primary's place by itself.",
     0.1},
    {"aws:rds:cluster", "drain",
     "It takes no new clients; those who are there have 30 seconds to end what they do. Then it is "
     "stopped, and stays out until it rejoins.",
     5},
    {"aws:rds:cluster", "rejoin",
     "What it has written and the primary has not is taken out of it; where that cannot be, its data "
     "is copied anew, and status and events say why.",
     2},
    {"aws:autoscaling:group", "drain", drain_note, 1},
    {"aws:autoscaling:group", "resume", resume_note, 0.1},
    {"aws:ec2:instances", "drain", drain_note, 1},
    {"aws:ec2:instances", "resume", resume_note, 0.1},
    {0}};

const struct provider_ops twin_provider_ops = {
    .driver = "twin",
    .instance_size = sizeof(struct twin_provider),
    .configure = twin_configure,
    .close = twin_close,
    .identify = twin_identify,
    .read = twin_read,
    .apply = twin_apply,
    .probe = twin_probe,
    .propose = twin_propose,
    .describe = twin_describe,
    .conclude = twin_conclude,
    .actions = actions,
    .limits = {.concurrency = 12,
               .call_us = INT64_C(120) * 1000000,
               .time_us = {[PROVIDER_APPLY] = INT64_C(1800) * 1000000}},
};
