/* The pass that limits a plan to targets and what they need. What it leaves out stays as it is and
 * is in the next plan: each step that is kept comes with all that it waits for. */
#include "plan/draft.h"

#include "base/memory.h"
#include "base/text.h"

#include <string.h>

struct selection {
    struct draft *draft; /* borrowed */
    bool *kept;          /* owned: for each step */
    size_t *open;        /* owned: steps whose needs were not looked at yet */
    size_t n_open;
    bool *groups;          /* owned: for each group whether a step that is kept waits for it */
    struct map by_id;      /* step id -> index + 1; behind the steps, those of groups */
    struct map by_address; /* address -> owned struct index_list */
    struct map by_row; /* "TYPE INSTANCE" -> owned struct index_list: what gets another number */
};

static void keep(struct selection *selection, size_t index)
{
    if (selection->kept[index])
        return;
    selection->kept[index] = true;
    selection->open[selection->n_open++] = index;
}

/* Whether its place among others of an ordered type is new. */
static bool is_numbered(const struct draft *draft, const struct step *step)
{
    const struct resource_type *type = catalog_find(draft->input->catalog, step->type);
    if (!type || !type->is_ordered || !step->after)
        return false;
    bool is_another = step->kind == STEP_CREATE;
    for (size_t i = 0; step->changed && i < value_count(step->changed); i++)
        is_another = is_another || text_equal(value_text(value_at(step->changed, i)), "sequence");
    return is_another;
}

static char *row_of(const struct step *step)
{
    return string_format("%s %s", step->type, step->instance);
}

static void index_steps(struct selection *selection)
{
    const struct plan *plan = selection->draft->plan;
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct step *step = &plan->steps[i];
        map_put(&selection->by_id, step->id, (void *)(i + 1));
        draft_index(&selection->by_address, step->address, i);
        if (step->kind == STEP_UPDATE && is_numbered(selection->draft, step)) {
            CLEANUP(mem_freep) char *row = row_of(step);
            draft_index(&selection->by_row, row, i);
        }
    }
    for (size_t i = 0; i < plan->n_groups; i++)
        map_put(&selection->by_id, plan->groups[i].id, (void *)(plan->n_steps + i + 1));
}

/* Whether a target is this address, or the name of the counted resource that it is of. */
static bool covers(const char *target, const char *address)
{
    size_t length = strlen(target);
    return text_starts_with(address, target) && strchr("[", address[length]);
}

static bool is_target(const struct draft *draft, const char *address)
{
    const struct string_list *targets = draft->input->targets;
    for (size_t i = 0; address && i < targets->n_items; i++)
        if (covers(targets->items[i], address))
            return true;
    return false;
}

static bool is_known(const struct draft *draft, const char *target)
{
    for (size_t i = 0; i < draft->n_pairs; i++)
        if (covers(target, draft->pairs[i].wanted->address))
            return true;
    for (size_t i = 0; i < draft->input->records->n_items; i++)
        if (covers(target, draft_record(draft, i)->address))
            return true;
    return false;
}

/* All that are not there are named at once. */
static int check_targets(const struct draft *draft, struct error *err)
{
    const struct string_list *targets = draft->input->targets;
    struct strbuf missing = {0};
    int r = 0;
    for (size_t i = 0; i < targets->n_items; i++)
        if (!is_known(draft, targets->items[i]))
            strbuf_addf(&missing, "%s\"%s\"", missing.length ? ", " : "", targets->items[i]);
    if (missing.length > 0)
        r = error_set(err, ERROR_NOT_FOUND,
                      "neither the document nor what is recorded of %s has a resource %s to limit "
                      "the plan to",
                      draft->input->deployment, strbuf_text(&missing));
    strbuf_done(&missing);
    return r;
}

static void keep_all(struct selection *selection, const struct index_list *list)
{
    for (size_t i = 0; list && i < list->n_items; i++)
        keep(selection, list->items[i]);
}

/* The steps with these ids, and all of the groups. */
static void keep_named(struct selection *selection, const struct string_list *ids)
{
    const struct plan *plan = selection->draft->plan;
    for (size_t i = 0; i < ids->n_items; i++) {
        size_t place = (size_t)map_get(&selection->by_id, ids->items[i]);
        if (place == 0)
            continue;
        if (place <= plan->n_steps) {
            keep(selection, place - 1);
            continue;
        }
        size_t group = place - 1 - plan->n_steps;
        bool is_new = !selection->groups[group];
        selection->groups[group] = true;
        if (is_new)
            keep_named(selection, &plan->groups[group].depends_on);
    }
}

/*
 * What a step waits for; of a replacement the other half, so that none is left half done; and of an
 * ordered type all that is numbered anew, so that its place is where the document has it.
 */
static void keep_needs(struct selection *selection, size_t index)
{
    const struct step *step = &selection->draft->plan->steps[index];
    keep_named(selection, &step->depends_on);
    if (step->replaces)
        keep_all(selection, map_get(&selection->by_address, step->address));
    if (is_numbered(selection->draft, step)) {
        CLEANUP(mem_freep) char *row = row_of(step);
        keep_all(selection, map_get(&selection->by_row, row));
    }
}

static struct value *count_left_out(const struct selection *selection)
{
    const struct plan *plan = selection->draft->plan;
    size_t counts[STEP_KIND_COUNT] = {0};
    struct value_builder fields = {0};
    for (size_t i = 0; i < plan->n_steps; i++)
        counts[plan->steps[i].kind] += !selection->kept[i];
    for (enum step_kind kind = 0; kind < STEP_KIND_COUNT; kind++)
        if (counts[kind] > 0)
            value_builder_set(&fields, step_kind_to_string(kind),
                              value_integer((int64_t)counts[kind]));
    return value_builder_map(&fields);
}

/* A plan that would be no other without targets is a whole one. */
static void cut(struct selection *selection)
{
    struct plan *plan = selection->draft->plan;
    CLEANUP(value_unrefp) struct value *left_out = count_left_out(selection);
    struct value_builder fields = {0};
    if (value_count(left_out) == 0)
        return;
    value_builder_set(&fields, "targets", string_list_to_value(selection->draft->input->targets));
    value_builder_set(&fields, "left_out", value_ref(left_out));
    plan->partial = value_builder_map(&fields);
    plan_keep_groups(plan, selection->groups);
    plan_keep_steps(plan, selection->kept);
}

static void selection_done(struct selection *selection)
{
    draft_index_done(&selection->by_address);
    draft_index_done(&selection->by_row);
    map_done(&selection->by_id);
    mem_free(selection->kept);
    mem_free(selection->groups);
    mem_free(selection->open);
}

/* Keeps the steps of the targets and all they wait for. */
int draft_target(struct draft *draft, struct error *err)
{
    const struct plan *plan = draft->plan;
    if (!draft->input->targets || draft->input->targets->n_items == 0)
        return 0;
    int r = check_targets(draft, err);
    if (r < 0)
        return r;
    struct selection selection = {.draft = draft};
    selection.kept = NEW_ARRAY(bool, plan->n_steps);
    selection.open = NEW_ARRAY(size_t, plan->n_steps);
    selection.groups = NEW_ARRAY(bool, plan->n_groups);
    index_steps(&selection);
    for (size_t i = 0; i < plan->n_steps; i++)
        if (is_target(draft, plan->steps[i].address) || is_target(draft, plan->steps[i].former))
            keep(&selection, i);
    while (selection.n_open > 0)
        keep_needs(&selection, selection.open[--selection.n_open]);
    cut(&selection);
    selection_done(&selection);
    return 0;
}
