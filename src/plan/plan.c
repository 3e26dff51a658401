#include "plan/plan.h"

#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "model/json.h"
#include "plan/draft.h"

#include <string.h>

static const struct {
    const char *name;
    int (*run)(struct draft *draft, struct error *err);
} passes[] = {
    {"match", draft_match},   {"order", draft_order},   {"sequence", draft_sequence},
    {"decide", draft_decide}, {"doubt", draft_doubt},   {"add steps", draft_add_steps},
    {"link", draft_link},     {"target", draft_target},
};

const struct record *draft_record(const struct draft *draft, size_t index)
{
    return draft->input->records->items[index];
}

const struct observation *draft_observation(const struct draft *draft, size_t index)
{
    return draft->input->observations ? &draft->input->observations[index] : NULL;
}

const char *draft_provider_id(const struct draft *draft, size_t index)
{
    const struct observation *seen = draft_observation(draft, index);
    return seen && seen->provider_id ? seen->provider_id : draft_record(draft, index)->provider_id;
}

void draft_index_done(struct map *lists)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(lists, &cursor))) {
        mem_free(((struct index_list *)entry->value)->items);
        mem_free(entry->value);
    }
    map_done(lists);
}

static void draft_done(struct draft *draft)
{
    for (size_t i = 0; i < draft->n_pairs; i++) {
        value_unref(draft->pairs[i].spec);
        value_unref(draft->pairs[i].updated);
        string_list_done(&draft->pairs[i].changed);
        string_list_done(&draft->pairs[i].defaulted);
    }
    mem_free(draft->pairs);
    mem_free(draft->order);
    mem_free(draft->removals);
    mem_free(draft->pair_of);
    map_done(&draft->pairs_by_address);
    map_done(&draft->records_by_address);
    draft_index_done(&draft->pairs_by_name);
    draft_index_done(&draft->records_by_name);
    outputs_done(&draft->outputs);
    value_builder_done(&draft->existing);
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(draft->bindings, &cursor)))
        value_unref(entry->value);
    map_done(draft->bindings);
}

static struct plan *start_plan(const struct plan_input *input)
{
    struct plan *plan = plan_new();
    plan->deployment = string_copy(input->deployment);
    plan->environment = string_copy(input->environment);
    plan->deployment_uid = string_copy(input->deployment_uid);
    plan->incarnation = input->incarnation;
    plan->records_version = input->records_version;
    plan->catalog_digest = string_copy(catalog_digest(input->catalog));
    plan->is_destroy = input->is_destroy;
    plan->is_production = input->is_production;
    value_unref(plan->identities);
    plan->identities = value_ref(input->identities);
    plan->reads = input->reads ? value_ref(input->reads) : NULL;
    plan->secrets = input->secrets ? value_ref(input->secrets) : NULL;
    plan->credentials = input->credentials ? value_ref(input->credentials) : NULL;
    if (input->variables) {
        value_unref(plan->variables);
        plan->variables = value_ref(input->variables);
    }
    if (input->given)
        plan->given = string_copy(input->given);
    if (input->source) {
        mem_free(plan->source);
        plan->source = string_copy(input->source);
    }
    if (input->parents) {
        value_unref(plan->parents);
        plan->parents = value_ref(input->parents);
    }
    if (input->document) {
        char digest[DIGEST_HEX_SIZE];
        digest_hex(input->document, strlen(input->document), digest);
        plan->document = string_copy(input->document);
        plan->document_digest = string_copy(digest);
    }
    return plan;
}

static int run_passes(struct draft *draft, struct error *err)
{
    for (size_t i = 0; i < ARRAY_LENGTH(passes); i++) {
        int r = passes[i].run(draft, err);
        if (r < 0)
            return r;
        if (draft->input->trace)
            draft->input->trace(draft->input->trace_argument, passes[i].name, draft->plan);
    }
    return 0;
}

/* Whether the deployment's outputs will be others; a destroy and a new deployment have none to
 * compare. */
static bool changes_outputs(const struct plan_input *input, const struct plan *plan)
{
    if (input->is_destroy || input->forget || input->action || input->only_adopts ||
        !input->outputs)
        return false;
    size_t n_planned = plan->outputs ? value_count(plan->outputs) : 0;
    if (n_planned == 0 || value_count(input->outputs) == 0)
        return n_planned != value_count(input->outputs);
    /* As text: what was kept has lists for sets and texts for integers beyond 2^53. */
    CLEANUP(mem_freep) char *planned = json_text(plan->outputs);
    CLEANUP(mem_freep) char *kept = json_text(input->outputs);
    return !text_equal(planned, kept);
}

/* What others have staged where this plan changes something. */
static void take_pending(const struct plan_input *input, struct plan *plan)
{
    struct value_builder pending = {0};
    for (size_t i = 0; input->pending && i < plan->n_steps; i++) {
        const char *instance = plan->steps[i].instance;
        struct value *foreign = value_get(input->pending, instance);
        if (step_has_effect(&plan->steps[i]) && foreign && value_count(foreign) > 0)
            value_builder_set(&pending, instance, value_ref(foreign));
    }
    value_unref(plan->pending);
    plan->pending = value_builder_map(&pending);
}

int draft_resolve(const struct draft *draft, struct value *value, struct value **ret_value,
                  struct error *err)
{
    const struct plan_input *input = draft->input;
    CLEANUP(value_unrefp) struct value *resolved = NULL;
    int r = expression_resolve(value, outputs_lookup, (void *)&draft->outputs, &resolved, err);
    if (r < 0)
        return r;
    if (value_has_secret(resolved) && input->complete_secrets)
        return input->complete_secrets(input->secrets_argument, resolved, ret_value, err);
    *ret_value = take_ptr(resolved);
    return 0;
}

int plan_make(const struct plan_input *input, struct plan **ret_plan,
              struct diagnostics *diagnostics, struct error *err)
{
    CLEANUP(plan_freep) struct plan *plan = start_plan(input);
    struct map bindings = {0};
    struct draft draft = {
        .input = input, .diagnostics = diagnostics, .plan = plan, .bindings = &bindings};
    int r = run_passes(&draft, err);
    if (r == 0 && input->wanted->outputs)
        r = draft_resolve(&draft, input->wanted->outputs, &plan->outputs, err);
    draft_done(&draft);
    if (r < 0)
        return r;
    /* What a partial plan leaves out may be part of them: they stay, and the next plan changes
     * them. */
    if (plan->partial) {
        value_unref(plan->outputs);
        plan->outputs = input->outputs ? value_ref((struct value *)input->outputs) : NULL;
    }
    take_pending(input, plan);
    plan->changes_outputs = changes_outputs(input, plan);
    plan_seal(plan);
    *ret_plan = take_ptr(plan);
    return 0;
}
