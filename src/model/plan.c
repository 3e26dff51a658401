#include "model/plan.h"

#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "model/plan-internal.h"

#include <assert.h>
#include <string.h>

static const char *const kind_names[] = {
    [STEP_CREATE] = "create", [STEP_UPDATE] = "update", [STEP_DELETE] = "delete",
    [STEP_RENAME] = "rename", [STEP_START] = "start",   [STEP_FORGET] = "forget",
    [STEP_ADOPT] = "adopt",   [STEP_ACT] = "act",       [STEP_KEEP] = "keep",
};

static const struct {
    const char *wire;
    const char *sentence;
} reasons[] = {
#define STEP_REASON_ROW(name, wire, sentence) [STEP_REASON_##name] = {wire, sentence},
    STEP_REASONS(STEP_REASON_ROW)
#undef STEP_REASON_ROW
};

static const struct {
    const char *name;
    const char *title;
} stages[] = {
    [STAGE_NETWORK] = {"network", "Network Foundation"},
    [STAGE_SECURITY] = {"security", "Security & Access"},
    [STAGE_INFRASTRUCTURE] = {"infrastructure", "Infrastructure"},
    [STAGE_APPLICATION] = {"application", "Application Layer"},
    [STAGE_MONITORING] = {"monitoring", "Monitoring"},
};

const char *step_kind_to_string(enum step_kind kind)
{
    assert(kind < STEP_KIND_COUNT);
    return kind_names[kind];
}

enum step_kind step_kind_from_string(const char *text)
{
    enum step_kind kind = 0;
    while (kind < STEP_KIND_COUNT && !text_equal(kind_names[kind], text))
        kind++;
    return kind;
}

const char *step_reason_to_string(enum step_reason reason)
{
    assert(reason < STEP_REASON_COUNT);
    return reasons[reason].wire;
}

const char *step_reason_sentence(enum step_reason reason)
{
    assert(reason < STEP_REASON_COUNT);
    return reasons[reason].sentence;
}

enum step_reason step_reason_from_string(const char *text)
{
    enum step_reason reason = 0;
    while (reason < STEP_REASON_COUNT && !text_equal(reasons[reason].wire, text))
        reason++;
    return reason;
}

const char *stage_to_string(enum stage stage)
{
    assert(stage < STAGE_COUNT);
    return stages[stage].name;
}

const char *stage_title(enum stage stage)
{
    assert(stage < STAGE_COUNT);
    return stages[stage].title;
}

enum stage stage_from_string(const char *text)
{
    enum stage stage = 0;
    while (stage < STAGE_COUNT && !text_equal(stages[stage].name, text))
        stage++;
    return stage;
}

bool step_has_effect(const struct step *step)
{
    switch (step->kind) {
    case STEP_CREATE:
    case STEP_UPDATE:
    case STEP_DELETE:
    case STEP_START:
    case STEP_ACT:
        return !step->record_only;
    default:
        return false;
    }
}

void step_done(struct step *step)
{
    mem_free(step->id);
    mem_free(step->address);
    mem_free(step->former);
    mem_free(step->type);
    mem_free(step->instance);
    mem_free(step->uid);
    mem_free(step->provider_id);
    mem_free(step->origin);
    mem_free(step->note);
    value_unref(step->before);
    value_unref(step->after);
    value_unref(step->live);
    value_unref(step->changed);
    value_unref(step->proposed);
    value_unref(step->filled);
    string_list_done(&step->defaulted);
    value_unref(step->reverts);
    string_list_done(&step->resources);
    string_list_done(&step->depends_on);
}

static void group_done(struct step_group *group)
{
    mem_free(group->id);
    string_list_done(&group->depends_on);
}

struct plan *plan_new(void)
{
    struct plan *plan = NEW(struct plan);
    plan->identities = value_builder_map(&(struct value_builder){0});
    plan->variables = value_builder_map(&(struct value_builder){0});
    plan->existing = value_builder_map(&(struct value_builder){0});
    plan->pending = value_builder_map(&(struct value_builder){0});
    plan->source = string_copy("file");
    plan->parents = value_builder_list(&(struct value_builder){0});
    return plan;
}

void plan_free(struct plan *plan)
{
    if (!plan)
        return;
    for (size_t i = 0; i < plan->n_steps; i++)
        step_done(&plan->steps[i]);
    mem_free(plan->steps);
    for (size_t i = 0; i < plan->n_groups; i++)
        group_done(&plan->groups[i]);
    mem_free(plan->groups);
    mem_free(plan->deployment);
    mem_free(plan->environment);
    mem_free(plan->deployment_uid);
    mem_free(plan->document);
    mem_free(plan->document_digest);
    mem_free(plan->catalog_digest);
    mem_free(plan->given);
    mem_free(plan->source);
    value_unref(plan->parents);
    value_unref(plan->identities);
    value_unref(plan->variables);
    value_unref(plan->existing);
    value_unref(plan->reads);
    value_unref(plan->secrets);
    value_unref(plan->credentials);
    value_unref(plan->knowledge);
    value_unref(plan->partial);
    value_unref(plan->pending);
    value_unref(plan->outputs);
    diagnostics_done(&plan->notes);
    mem_free(plan);
}

void plan_reserve_steps(struct plan *plan, size_t n_more)
{
    if (plan->capacity - plan->n_steps >= n_more)
        return;
    plan->capacity = plan->n_steps + n_more;
    plan->steps = mem_resize(plan->steps, plan->capacity, sizeof(struct step));
}

struct step *plan_add_step(struct plan *plan)
{
    ARRAY_RESERVE(plan->steps, plan->n_steps, plan->capacity);
    struct step *step = &plan->steps[plan->n_steps++];
    *step = (struct step){0};
    return step;
}

void plan_keep_steps(struct plan *plan, const bool *kept)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->n_steps; i++) {
        if (kept[i])
            plan->steps[n++] = plan->steps[i];
        else
            step_done(&plan->steps[i]);
    }
    plan->n_steps = n;
}

void plan_keep_groups(struct plan *plan, const bool *kept)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->n_groups; i++) {
        if (kept[i])
            plan->groups[n++] = plan->groups[i];
        else
            group_done(&plan->groups[i]);
    }
    plan->n_groups = n;
}

void plan_add_group(struct plan *plan, const char *id, struct string_list *take_depends_on)
{
    ARRAY_RESERVE(plan->groups, plan->n_groups, plan->groups_capacity);
    plan->groups[plan->n_groups++] = (struct step_group){string_copy(id), *take_depends_on};
    *take_depends_on = (struct string_list){0};
}

struct step *plan_find_step(const struct plan *plan, const char *id)
{
    for (size_t i = 0; i < plan->n_steps; i++)
        if (text_equal(plan->steps[i].id, id))
            return &plan->steps[i];
    return NULL;
}

size_t plan_count_steps(const struct plan *plan)
{
    size_t n = 0;
    for (enum step_kind kind = 0; kind < STEP_KIND_COUNT; kind++)
        n += kind == STEP_KEEP ? 0 : plan->counts[kind];
    return n;
}

/* The latest end of those that are named and known. */
static double latest_end(const struct map *ends, const struct string_list *names)
{
    double latest = 0;
    for (size_t i = 0; i < names->n_items; i++) {
        const double *end = map_get(ends, names->items[i]);
        if (end && *end > latest)
            latest = *end;
    }
    return latest;
}

/* Finds when the groups among these end, whose ends are not known yet. */
static void end_groups(const struct plan *plan, struct map *ends, const struct map *groups,
                       double *group_ends, const struct string_list *names)
{
    for (size_t i = 0; i < names->n_items; i++) {
        const struct step_group *group = map_get(groups, names->items[i]);
        if (!group || map_get(ends, group->id))
            continue;
        double *end = &group_ends[group - plan->groups];
        *end = latest_end(ends, &group->depends_on);
        map_put_borrowed(ends, group->id, end);
    }
}

/* Steps are sorted, so one walk is enough: each ends its own time after the latest of those it
 * waits for. */
double plan_critical_seconds(const struct plan *plan)
{
    struct map ends = {0};
    struct map groups = {0};
    double *seconds = NEW_ARRAY(double, plan->n_steps);
    double *group_ends = NEW_ARRAY(double, plan->n_groups);
    double latest = 0;
    for (size_t i = 0; i < plan->n_groups; i++)
        map_put_borrowed(&groups, plan->groups[i].id, &plan->groups[i]);
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct step *step = &plan->steps[i];
        end_groups(plan, &ends, &groups, group_ends, &step->depends_on);
        seconds[i] = latest_end(&ends, &step->depends_on) + step->seconds;
        map_put_borrowed(&ends, step->id, &seconds[i]);
        if (seconds[i] > latest)
            latest = seconds[i];
    }
    map_done(&ends);
    map_done(&groups);
    mem_free(seconds);
    mem_free(group_ends);
    return latest;
}

static int check_refined(const char *path, const struct value *approved,
                         const struct value *resolved, struct error *err);

static int check_refined_items(const char *path, const struct value *approved,
                               const struct value *resolved, struct error *err)
{
    bool is_map = value_kind(approved) == VALUE_MAP;
    for (size_t i = 0; i < value_count(approved); i++) {
        const char *key = is_map ? value_key_at(approved, i) : "";
        if (is_map && strcmp(key, value_key_at(resolved, i)) != 0)
            return error_set(err, ERROR_STALE, "%s: the fields are not the approved ones", path);
        CLEANUP(mem_freep)
        char *inner =
            is_map ? string_format("%s.%s", path, key) : string_format("%s[%zu]", path, i);
        int r = check_refined(inner, value_at(approved, i), value_at(resolved, i), err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_refined(const char *path, const struct value *approved,
                         const struct value *resolved, struct error *err)
{
    if (value_kind(approved) == VALUE_UNKNOWN)
        return 0;
    bool is_container = value_kind(approved) == VALUE_LIST || value_kind(approved) == VALUE_MAP;
    if (is_container && value_kind(resolved) == value_kind(approved) &&
        value_count(resolved) == value_count(approved))
        return check_refined_items(path, approved, resolved, err);
    if (value_kind(approved) == VALUE_SET && value_has_unknown(approved))
        return 0;
    if (value_equal(approved, resolved))
        return 0;
    return error_set(err, ERROR_STALE, "%s is not what was approved", path);
}

int step_check_refinement(const struct step *step, const struct value *resolved, struct error *err)
{
    assert(step->after);
    return check_refined(step->address, step->after, resolved, err);
}
