/* What only one resource of an instance can have (a VLAN's tag): who lets go of it, who takes it.
 */
#include "plan/draft.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/json.h"

/* "TYPE INSTANCE VALUES" of a claim, or NULL when the spec does not make it. */
static char *claim_key(const struct resource_type *type, const char *instance,
                       const struct value *spec, const struct value *properties)
{
    struct strbuf key = {0};
    strbuf_addf(&key, "%s %s", type->name, instance);
    for (size_t i = 0; i < value_count(properties); i++) {
        const char *name = value_text(value_at(properties, i));
        const struct value *value = value_at_path((struct value *)spec, name);
        if (!value || value_has_unknown(value)) {
            strbuf_done(&key);
            return NULL;
        }
        CLEANUP(mem_freep) char *text = json_text(value);
        strbuf_addf(&key, " %s=%s", name, text);
    }
    return strbuf_take(&key);
}

/* Calls visit for each claim that one spec makes and the other, which may be NULL, does not. */
static void walk_claims(const struct draft *draft, size_t index, const struct value *spec,
                        const struct value *other,
                        void (*visit)(struct map *claims, struct graph *graph, const char *key,
                                      size_t index),
                        struct map *claims, struct graph *graph)
{
    const struct step *step = &draft->plan->steps[index];
    const struct resource_type *type = catalog_find(draft->input->catalog, step->type);
    for (size_t i = 0; type && type->unique && i < value_count(type->unique); i++) {
        const struct value *properties = value_at(type->unique, i);
        CLEANUP(mem_freep) char *key = claim_key(type, step->instance, spec, properties);
        CLEANUP(mem_freep)
        char *kept = other ? claim_key(type, step->instance, other, properties) : NULL;
        if (key && !text_equal_or_null(kept, key))
            visit(claims, graph, key, index);
    }
}

static void note_release(struct map *claims, struct graph *graph, const char *key, size_t index)
{
    (void)graph;
    map_put(claims, key, (void *)(index + 1));
}

static void wait_for_release(struct map *claims, struct graph *graph, const char *key, size_t index)
{
    size_t release = (size_t)map_get(claims, key);
    if (release && release - 1 != index)
        graph_add_edge(graph, release - 1, index);
}

/* The two halves of one replacement, of which the new one comes first: report_overlaps() judges. */
static bool is_overlap(const struct draft *draft, const struct step *step)
{
    size_t index = (size_t)map_get(&draft->pairs_by_address, step->address);
    return step->replaces && index && draft->pairs[index - 1].create_before_destroy;
}

static void report_overlap(struct draft *draft, const struct pair *pair,
                           const struct value *properties)
{
    struct strbuf names = {0};
    for (size_t i = 0; i < value_count(properties); i++)
        strbuf_addf(&names, "%s%s", i ? " and " : "", value_text(value_at(properties, i)));
    const char *address = pair->wanted->address;
    const char *cause = pair->spread_by ? pair->spread_by : address;
    CLEANUP(mem_freep)
    char *help = string_format("give %s another %s, or take createBeforeDestroy from %s", address,
                               strbuf_text(&names), cause);
    CLEANUP(mem_freep)
    char *why =
        pair->spread_by
            ? string_format(", since %s depends on it and has createBeforeDestroy", pair->spread_by)
            : string_copy("");
    diagnostics_add(
        draft->diagnostics, DIAGNOSTIC_DUPLICATE_UNIQUE, pair->wanted->position, help,
        "%s is to be made anew before its old generation goes%s, but both would have the "
        "same %s, which only one resource of %s can.",
        address, why, strbuf_text(&names), pair->wanted->instance);
    strbuf_done(&names);
}

/* A replacement that comes first while the old one still has what only one can have. */
static void report_overlaps(struct draft *draft)
{
    const struct plan *plan = draft->plan;
    for (size_t i = 0; i < draft->n_pairs; i++) {
        const struct pair *pair = &draft->pairs[i];
        if (pair->remove == NONE || !pair->create_before_destroy || !pair->type->unique)
            continue;
        const struct step *create = &plan->steps[pair->put];
        const struct step *delete = &plan->steps[pair->remove];
        const struct resource_type *type = catalog_find(draft->input->catalog, delete->type);
        for (size_t k = 0; k < value_count(pair->type->unique); k++) {
            const struct value *properties = value_at(pair->type->unique, k);
            CLEANUP(mem_freep)
            char *new = claim_key(pair->type, create->instance, create->after, properties);
            CLEANUP(mem_freep)
            char *old = type ? claim_key(type, delete->instance, delete->before, properties) : NULL;
            if (new &&text_equal_or_null(old, new)) {
                report_overlap(draft, pair, properties);
                break;
            }
        }
    }
}

void draft_link_claims(struct draft *draft, struct graph *graph)
{
    struct map released = {0};
    const struct plan *plan = draft->plan;
    report_overlaps(draft);
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct step *step = &plan->steps[i];
        bool is_release = step->kind == STEP_DELETE || step->kind == STEP_UPDATE;
        if (is_release && !(step->kind == STEP_DELETE && is_overlap(draft, step)))
            walk_claims(draft, i, step->before, step->after, note_release, &released, graph);
    }
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct step *step = &plan->steps[i];
        if (step->kind == STEP_CREATE || step->kind == STEP_UPDATE)
            walk_claims(draft, i, step->after, NULL, wait_for_release, &released, graph);
    }
    map_done(&released);
}
