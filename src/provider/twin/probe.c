/* What became of a step whose end nobody has seen: read from what is there now. */
#include "provider/twin/twin.h"

#include "base/text.h"
#include "model/json.h"
#include "provider/twin/client.h"
#include "provider/twin/image.h"
#include "provider/twin/unfinished.h"

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
    if (twin_is_promotion(action))
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

int twin_probe(struct provider *provider, struct call *call, const struct target *target,
               const struct attempt *attempt, enum probe_kind *ret_kind,
               struct outcome *ret_outcome, struct error *err)
{
    struct twin_provider *twin = twin_of(provider);
    struct live live = {0};
    char identity[UUID_TEXT_SIZE];
    bool is_gone;
    twin->seen_at = 0;
    if (attempt->step->kind == STEP_START)
        return probe_start(&twin->home, call, ret_kind, err);
    int r = twin_find_identity(twin, identity, err);
    if (r == 0)
        r = twin_read(provider, call, target, &live, err);
    if (r < 0)
        return r;
    *ret_kind = judge(attempt, &live);
    if (twin_is_image(target) && !live.is_present) /* nobody builds it any more */
        unfinished_drop(&twin->home, target->uid);
    if (attempt->step->kind == STEP_DELETE && *ret_kind == PROBE_DONE)
        r = twin_check_is_gone(&twin->home, call, target->uid, &is_gone, err);
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
