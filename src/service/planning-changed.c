/* Which resources a plan has to look at when its cost is to follow the change, and what it knows of
 * the rest. */
#include "base/memory.h"
#include "base/text.h"
#include "service/planning.h"

#include <string.h>

/* How often what was read may change what is to be read; after that all is. */
enum { MAX_ROUNDS = 4 };

static const char *const refresh_names[PLAN_REFRESH_COUNT] = {
    [PLAN_REFRESH_NONE] = "none",
    [PLAN_REFRESH_FULL] = "full",
    [PLAN_REFRESH_CHANGED] = "changed",
};

const char *plan_refresh_to_string(enum plan_refresh refresh)
{
    return refresh_names[refresh];
}

int plan_refresh_from_string(const char *text, enum plan_refresh *ret_refresh, struct error *err)
{
    *ret_refresh = PLAN_REFRESH_FULL;
    for (enum plan_refresh i = 0; text && i < PLAN_REFRESH_COUNT; i++)
        if (text_equal(refresh_names[i], text)) {
            *ret_refresh = i;
            return 0;
        }
    return text ? error_set(err, ERROR_INVALID,
                            "refresh is \"full\", \"changed\" or \"none\", not \"%s\"", text)
                : 0;
}

/* --- What is chosen --- */

struct choice {
    const struct planning *planning; /* borrowed */
    bool *chosen;                    /* owned: for each record */
    struct map steps;                /* addresses with a step */
    size_t n_new;
};

static void choose(struct choice *choice, size_t index)
{
    choice->n_new += !choice->chosen[index];
    choice->chosen[index] = true;
}

/* Whether a dependency, an address or the name of a counted resource, is of what has a step. */
static bool has_step(const struct choice *choice, const char *dependency)
{
    return map_has(&choice->steps, dependency);
}

static bool depends_on_step(const struct choice *choice, const struct record *record)
{
    for (size_t i = 0; i < record->depends_on.n_items; i++)
        if (has_step(choice, record->depends_on.items[i]))
            return true;
    return false;
}

/* The addresses of a plan's steps, and the names of what they are counted under. */
static void note_steps(struct choice *choice, const struct plan *plan)
{
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct step *step = &plan->steps[i];
        CLEANUP(mem_freep)
        char *name = string_copy_n(step->address, strcspn(step->address, "["));
        map_put(&choice->steps, step->address, NULL);
        map_put(&choice->steps, name, NULL);
        if (step->former)
            map_put(&choice->steps, step->former, NULL);
    }
}

/* One record of each system that is changed and otherwise not looked at says whether it stands. */
static void choose_witnesses(struct choice *choice, const struct plan *plan)
{
    const struct records *records = &choice->planning->records;
    struct map without = {0};
    for (size_t i = 0; i < plan->n_steps; i++)
        if (step_has_effect(&plan->steps[i]))
            map_put(&without, plan->steps[i].instance, NULL);
    for (size_t i = 0; i < records->n_items; i++)
        if (choice->chosen[i])
            map_remove(&without, records->items[i]->instance);
    for (size_t i = 0; i < records->n_items && without.n_live > 0; i++) {
        if (!map_has(&without, records->items[i]->instance))
            continue;
        choose(choice, i);
        map_remove(&without, records->items[i]->instance);
    }
    map_done(&without);
}

static void choose_by_plan(struct choice *choice, const struct plan *plan)
{
    const struct records *records = &choice->planning->records;
    note_steps(choice, plan);
    for (size_t i = 0; i < records->n_items; i++) {
        const struct record *record = records->items[i];
        if (map_has(&choice->steps, record->address) || record->status != RECORD_CREATED ||
            depends_on_step(choice, record))
            choose(choice, i);
    }
    choose_witnesses(choice, plan);
}

static void choose_all(struct choice *choice)
{
    for (size_t i = 0; i < choice->planning->records.n_items; i++)
        choose(choice, i);
}

/* Faults are told when the plan itself is made. */
static struct plan *try_plan(const struct planning *planning, const struct plan_input *input)
{
    struct plan_input tried = *input;
    struct diagnostics ignored = {0};
    struct plan *plan = NULL;
    struct error err = {0};
    tried.observations = planning->observations;
    tried.trace = NULL;
    if (plan_make(&tried, &plan, &ignored, &err) < 0)
        error_done(&err);
    diagnostics_done(&ignored);
    return plan;
}

int planning_observe_changed(struct planning *planning, const struct plan_input *input,
                             struct error *err)
{
    struct choice choice = {.planning = planning};
    int r = 0;
    choice.chosen = NEW_ARRAY(bool, planning->records.n_items);
    for (int round = 1; r == 0; round++) {
        CLEANUP(plan_freep) struct plan *plan = try_plan(planning, input);
        choice.n_new = 0;
        if (plan && round < MAX_ROUNDS)
            choose_by_plan(&choice, plan);
        else if (plan)
            choose_all(&choice);
        if (choice.n_new == 0)
            break;
        r = planning_observe(planning, choice.chosen, err);
    }
    map_done(&choice.steps);
    mem_free(choice.chosen);
    return r;
}

/* --- What is known --- */

struct value *planning_tell_knowledge(const struct planning *planning, enum plan_refresh refresh)
{
    struct service *service = planning->service;
    struct value_builder fields = {0};
    int64_t oldest = 0;
    size_t n_unread = 0;
    for (size_t i = 0; i < planning->records.n_items; i++) {
        const struct record *record = planning->records.items[i];
        const struct provider *provider = map_get(&service->providers, record->instance);
        bool is_read = planning->observations && planning->observations[i].is_known;
        if (is_read || (provider && provider_is_internal(provider)))
            continue;
        n_unread++;
        if (oldest == 0 || record->updated_at < oldest)
            oldest = record->updated_at;
    }
    value_builder_set_string(&fields, "refresh", plan_refresh_to_string(refresh));
    value_builder_set(&fields, "read", value_integer((int64_t)planning->knowledge.n_read));
    value_builder_set(&fields, "calls", value_integer((int64_t)planning->knowledge.n_calls));
    value_builder_set(&fields, "unread", value_integer((int64_t)n_unread));
    value_builder_set(&fields, "oldest", n_unread > 0 ? value_integer(oldest) : value_null());
    return value_builder_map(&fields);
}
