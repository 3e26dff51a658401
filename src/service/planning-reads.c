/* What is asked of the systems but for what is recorded: who they are, what waits there, and what
 * they say of a plan. */
#include "base/memory.h"
#include "service/instances.h"
#include "service/planning.h"
#include "service/questions.h"

/* One question to each instance, whose answers are a map by its name. */
struct inquiry {
    struct planning *planning;     /* borrowed */
    const struct string_list *own; /* borrowed: uids of what is recorded */
    struct string_list instances;
    struct value_builder answers;
    struct map seen;
};

static void inquiry_add(struct inquiry *inquiry, const char *instance)
{
    if (map_has(&inquiry->seen, instance))
        return;
    map_put(&inquiry->seen, instance, NULL);
    string_list_add(&inquiry->instances, instance);
}

/* Asks all of them; *ret_answers is the map. */
static CO_FN int inquiry_ask(struct inquiry *inquiry, question ask, struct value **ret_answers,
                             struct error *err)
{
    struct questions questions = {.service = inquiry->planning->service};
    for (size_t i = 0; i < inquiry->instances.n_items; i++)
        questions_add(&questions, inquiry->instances.items[i], ask, inquiry, i);
    int r = questions_ask(&questions, err);
    *ret_answers = value_builder_map(&inquiry->answers);
    string_list_done(&inquiry->instances);
    map_done(&inquiry->seen);
    return r;
}

static CO_FN int ask_identity(struct questions *questions, void *argument, size_t index,
                              struct error *err)
{
    struct inquiry *inquiry = argument;
    struct service *service = questions->service;
    const char *instance = inquiry->instances.items[index];
    struct provider *provider;
    if (!instances_is_ready(service, instance))
        return 0;
    int r = service_find_provider(service, instance, &provider, err);
    if (r < 0 || provider_is_internal(provider))
        return r;
    struct call call = questions_call(questions);
    CLEANUP(mem_freep) char *identity = NULL;
    r = provider_identify(provider, &call, &identity, err);
    if (r == 0)
        value_builder_set_string(&inquiry->answers, instance, identity);
    return r;
}

int planning_identify(struct planning *planning, struct error *err)
{
    struct inquiry inquiry = {.planning = planning};
    const struct wanted *wanted = &planning->loaded.wanted;
    for (size_t i = 0; i < wanted->n_items; i++)
        inquiry_add(&inquiry, wanted->items[i].instance);
    for (size_t i = 0; i < planning->records.n_items; i++)
        inquiry_add(&inquiry, planning->records.items[i]->instance);
    return inquiry_ask(&inquiry, ask_identity, &planning->identities, err);
}

static CO_FN int ask_pending(struct questions *questions, void *argument, size_t index,
                             struct error *err)
{
    struct inquiry *inquiry = argument;
    const char *instance = inquiry->instances.items[index];
    struct provider *provider;
    struct value *foreign = NULL;
    int r = service_find_provider(questions->service, instance, &provider, err);
    if (r < 0 || !provider_has_commit(provider))
        return r;
    struct call call = questions_call(questions);
    r = provider_pending(provider, &call, inquiry->own, &foreign, err);
    if (r == 0)
        value_builder_set(&inquiry->answers, instance, foreign);
    return r;
}

int planning_find_pending(struct planning *planning, struct error *err)
{
    struct string_list own = {0};
    struct inquiry inquiry = {.planning = planning, .own = &own};
    for (size_t i = 0; i < planning->records.n_items; i++)
        string_list_add(&own, planning->records.items[i]->uid);
    for (size_t i = 0; i < value_count(planning->identities); i++)
        inquiry_add(&inquiry, value_key_at(planning->identities, i));
    int r = inquiry_ask(&inquiry, ask_pending, &planning->pending, err);
    string_list_done(&own);
    return r;
}

/* --- What they say of a plan --- */

struct proposing {
    struct planning *planning; /* borrowed */
    struct plan *plan;         /* borrowed */
    struct call call;          /* for drivers that answer at once */
    struct diagnostics *said;  /* owned: for each step */
    bool is_changed;
};

static CO_FN int propose_step(struct proposing *proposing, const struct call *call, size_t index,
                              struct error *err)
{
    struct service *service = proposing->planning->service;
    struct step *step = &proposing->plan->steps[index];
    struct provider *provider;
    const struct resource_type *type;
    CLEANUP(value_unrefp) struct value *after = NULL;
    CLEANUP(value_unrefp) struct value *references = value_builder_map(&(struct value_builder){0});
    int r = service_find_provider(service, step->instance, &provider, err);
    if (r < 0 || (r = service_find_type(service, step->type, step->address, &type, err)) < 0)
        return r;
    struct target target = {
        .type = type,
        .uid = step->uid,
        .address = step->address,
        .deployment = proposing->plan->deployment,
        .provider_id = step->provider_id,
        .generation = step->generation,
        .references = references,
    };
    r = provider_propose(provider, call, &target, step, &after, &proposing->said[index], err);
    if (r < 0)
        return error_wrap(err, r, "check %s", step->address);
    if (after)
        plan_note_proposal(service->catalog, step, after);
    proposing->is_changed = proposing->is_changed || after;
    return 0;
}

static CO_FN int ask_proposal(struct questions *questions, void *argument, size_t index,
                              struct error *err)
{
    struct call call = questions_call(questions);
    return propose_step(argument, &call, index, err);
}

/* Where the driver has no opinion there is nothing to wait for. */
static CO_FN int add_proposal(struct proposing *proposing, struct questions *questions,
                              size_t index, struct error *err)
{
    const struct step *step = &proposing->plan->steps[index];
    struct provider *provider;
    if (step->kind == STEP_START || step->kind == STEP_FORGET || step->kind == STEP_ADOPT ||
        step->kind == STEP_ACT || step->record_only ||
        !planning_knows_system(proposing->plan, step->instance))
        return 0;
    int r = service_find_provider(questions->service, step->instance, &provider, err);
    if (r < 0)
        return r;
    if (provider_has_propose(provider)) {
        questions_add(questions, step->instance, ask_proposal, proposing, index);
        return 0;
    }
    return propose_step(proposing, &proposing->call, index, err);
}

/* In the order of the steps, whoever answered first. */
static void gather_said(struct proposing *proposing, struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < proposing->plan->n_steps; i++) {
        struct diagnostics *said = &proposing->said[i];
        for (size_t k = 0; k < said->n_items; k++)
            diagnostics_note(
                diagnostics, said->items[k].severity, said->items[k].code,
                (struct position){said->items[k].file, said->items[k].line, said->items[k].column},
                said->items[k].help, "%s", said->items[k].detail);
        diagnostics_done(said);
    }
    mem_free(proposing->said);
}

int planning_propose(struct planning *planning, struct plan *plan, struct diagnostics *diagnostics,
                     struct error *err)
{
    struct questions questions = {.service = planning->service};
    struct proposing proposing = {.planning = planning, .plan = plan};
    int r = 0;
    proposing.call = service_read_call(planning->service);
    proposing.said = NEW_ARRAY(struct diagnostics, plan->n_steps);
    for (size_t i = 0; r == 0 && i < plan->n_steps; i++)
        r = add_proposal(&proposing, &questions, i, err);
    if (r == 0)
        r = questions_ask(&questions, err);
    questions_done(&questions);
    gather_said(&proposing, diagnostics);
    if (r == 0 && proposing.is_changed)
        plan_seal(plan);
    return r;
}
