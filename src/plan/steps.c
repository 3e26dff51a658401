/* The pass that turns decisions into steps. */
#include "plan/draft.h"

#include "base/memory.h"
#include "base/text.h"
#include "plan/compare.h"

#include <string.h>

static char *text_or_null(const char *text)
{
    return text ? string_copy(text) : NULL;
}

static size_t last_step(const struct draft *draft)
{
    return draft->plan->n_steps - 1;
}

static struct step *add_step(struct draft *draft, enum step_kind kind, enum step_reason reason,
                             const char *address, int64_t generation)
{
    struct step *step = plan_add_step(draft->plan);
    step->id =
        string_format("%s %s#%lld", step_kind_to_string(kind), address, (long long)generation);
    step->kind = kind;
    step->reason = reason;
    step->address = string_copy(address);
    step->generation = generation;
    return step;
}

/* What a pattern filled in of what the step makes or changes; NULL when that is nothing, or when
 * the pattern added the whole resource. */
static struct value *note_filled(const struct step *step, const struct pair *pair)
{
    const struct value *filled = pair->wanted->filled;
    struct value_builder noted = {0};
    for (size_t i = 0; filled && i < value_count(filled); i++) {
        const char *path = value_key_at(filled, i);
        const char *origin = value_text(value_at(filled, i));
        bool is_touched = step->kind == STEP_CREATE;
        for (size_t k = 0; !is_touched && k < pair->changed.n_items; k++)
            is_touched = path_covers(path, pair->changed.items[k]) ||
                         path_covers(pair->changed.items[k], path);
        if (is_touched && !text_equal(origin, pair->wanted->origin))
            value_builder_set_string(&noted, path, origin);
    }
    CLEANUP(value_unrefp) struct value *map = value_builder_map(&noted);
    return value_count(map) > 0 ? take_ptr(map) : NULL;
}

static void set_wanted_fields(struct step *step, const struct pair *pair)
{
    step->type = string_copy(pair->wanted->type);
    step->instance = string_copy(pair->wanted->instance);
    step->origin = string_copy(pair->wanted->origin);
    step->stage = pair->type->stage;
    step->protect = pair->wanted->lifecycle.protect;
    step->after = value_ref(pair->spec);
    step->filled = note_filled(step, pair);
    string_list_copy(&step->resources, &pair->wanted->depends_on);
}

static void add_create(struct draft *draft, struct pair *pair)
{
    int64_t generation = draft_next_generation(draft, pair);
    struct step *step =
        add_step(draft, STEP_CREATE, pair->reason, pair->wanted->address, generation);
    set_wanted_fields(step, pair);
    step->uid = draft_derive_uid(draft, pair->wanted->address, generation);
    step->replaces = pair->decision == DECISION_REPLACE;
    if (step->replaces)
        step->changed = string_list_to_value(&pair->changed);
    step->seconds = pair->type->seconds[0];
    pair->put = last_step(draft);
}

/* What the record keeps of what is there, when nothing is done to it. */
static struct value *keep_live(const struct draft *draft, const struct pair *pair)
{
    const struct record *record = draft_record(draft, pair->record);
    const struct observation *seen = draft_observation(draft, pair->record);
    if (!seen || !seen->is_known || !seen->spec)
        return record->live ? value_ref(record->live) : NULL;
    if (schema_equal(&pair->type->schema, pair->spec, seen->spec))
        return NULL;
    return type_managed_part(pair->type, pair->spec, seen->spec);
}

static void add_update(struct draft *draft, struct pair *pair)
{
    const struct record *record = draft_record(draft, pair->record);
    struct step *step =
        add_step(draft, STEP_UPDATE, pair->reason, pair->wanted->address, record->generation);
    set_wanted_fields(step, pair);
    step->uid = string_copy(record->uid);
    step->provider_id = text_or_null(draft_provider_id(draft, pair->record));
    const struct observation *seen = draft_observation(draft, pair->record);
    step->before = value_ref(pair->is_drifted ? seen->spec : record->spec);
    step->changed = string_list_to_value(&pair->changed);
    string_list_copy(&step->defaulted, &pair->defaulted);
    step->record_only = pair->is_record_only;
    step->live = step->record_only ? keep_live(draft, pair) : NULL;
    step->seconds = pair->type->seconds[1];
    pair->put = last_step(draft);
}

/* A step about what was found: that it is adopted, or changed after that. */
static void add_step_of_found(struct draft *draft, struct pair *pair, enum step_kind kind,
                              double seconds)
{
    const struct resource_type *type = pair->type;
    struct value *live = pair->found->spec;
    struct step *step = add_step(draft, kind, pair->reason, pair->wanted->address,
                                 draft_adopted_generation(draft, pair));
    set_wanted_fields(step, pair);
    step->uid = draft_adopted_uid(draft, pair);
    step->provider_id = string_copy(pair->found->provider_id);
    /* What may be secret is not copied into a plan. */
    step->before = type_managed_part(type, live, live);
    step->changed = string_list_to_value(&pair->changed);
    step->seconds = seconds;
    pair->put = last_step(draft);
}

/* What differs is changed by a step of its own, after the record is there. */
static void add_adopt(struct draft *draft, struct pair *pair)
{
    add_step_of_found(draft, pair, STEP_ADOPT, 1);
    pair->adopt = pair->put;
    if (pair->changed.n_items > 0 && !draft->input->only_adopts)
        add_step_of_found(draft, pair, STEP_UPDATE, pair->type->seconds[1]);
}

static void add_rename(struct draft *draft, struct pair *pair)
{
    const struct record *record = draft_record(draft, pair->record);
    struct step *step = add_step(draft, STEP_RENAME, STEP_REASON_RENAMED, pair->wanted->address,
                                 record->generation);
    step->former = string_copy(pair->former);
    step->type = string_copy(record->type);
    step->instance = string_copy(record->instance);
    step->uid = string_copy(record->uid);
    step->provider_id = text_or_null(record->provider_id);
    step->origin = string_copy(pair->wanted->origin);
    step->stage = pair->type->stage;
    step->protect = record->protect;
    string_list_copy(&step->resources, &pair->wanted->depends_on);
    pair->rename = last_step(draft);
}

static void report_protected(struct draft *draft, const struct record *record,
                             struct position position)
{
    diagnostics_add(draft->diagnostics, DIAGNOSTIC_PROTECTED, position,
                    "apply a revision with lifecycle.protect: false first; then it can go",
                    "%s is protected and this plan would destroy it.", record->address);
}

/* For what is done to what a record stands for, whatever the document says of it. */
static struct step *add_step_of_record(struct draft *draft, enum step_kind kind,
                                       enum step_reason reason, const struct record *record,
                                       const char *provider_id)
{
    const struct resource_type *type = catalog_find(draft->input->catalog, record->type);
    struct step *step = add_step(draft, kind, reason, record->address, record->generation);
    step->type = string_copy(record->type);
    step->instance = string_copy(record->instance);
    step->uid = string_copy(record->uid);
    step->provider_id = text_or_null(provider_id);
    step->origin = string_copy(record->origin);
    step->stage = type ? type->stage : STAGE_INFRASTRUCTURE;
    string_list_copy(&step->resources, &record->depends_on);
    return step;
}

static void add_delete(struct draft *draft, size_t index, enum step_reason reason,
                       struct position position)
{
    const struct record *record = draft_record(draft, index);
    const struct resource_type *type = catalog_find(draft->input->catalog, record->type);
    if (record->protect && record->status != RECORD_DEPOSED)
        report_protected(draft, record, position);
    struct step *step =
        add_step_of_record(draft, STEP_DELETE, reason, record, draft_provider_id(draft, index));
    step->irreversible = type && type->is_irreversible;
    step->replaces = reason == STEP_REASON_REPLACED;
    step->before = value_ref(record->spec);
    step->seconds = type ? type->seconds[2] : 1;
    draft->removals[index] = last_step(draft);
}

/* What goes is what is there, not what was applied. */
static void show_live(struct draft *draft, const struct pair *pair)
{
    struct step *step = &draft->plan->steps[pair->remove];
    value_unref(step->before);
    step->before = value_ref(draft_observation(draft, pair->record)->spec);
}

static void add_pair_steps(struct draft *draft, struct pair *pair)
{
    if (pair->wanted->existing || (draft->input->only_adopts && !pair->found))
        return;
    if (pair->former)
        add_rename(draft, pair);
    switch (pair->decision) {
    case DECISION_KEEP:
        if (!pair->former)
            draft->plan->counts[STEP_KEEP]++;
        return;
    case DECISION_CREATE:
        add_create(draft, pair);
        return;
    case DECISION_UPDATE:
        add_update(draft, pair);
        return;
    case DECISION_ADOPT:
        add_adopt(draft, pair);
        return;
    case DECISION_REPLACE:
        add_delete(draft, pair->record, STEP_REASON_REPLACED, pair->wanted->position);
        pair->remove = last_step(draft);
        if (pair->is_drifted)
            show_live(draft, pair);
        add_create(draft, pair);
        return;
    }
}

static void add_forget(struct draft *draft, size_t index, enum step_reason reason)
{
    const struct record *record = draft_record(draft, index);
    struct step *step = add_step_of_record(draft, STEP_FORGET, reason, record, record->provider_id);
    step->before = record->spec ? value_ref(record->spec) : NULL;
    draft->removals[index] = last_step(draft);
}

static void add_removals(struct draft *draft)
{
    const struct records *records = draft->input->records;
    for (size_t i = records->n_items; i-- > 0;) {
        if (draft->pair_of[i] != NONE)
            continue;
        if (draft->input->released && map_has(draft->input->released, records->items[i]->uid)) {
            add_forget(draft, i, STEP_REASON_RELEASED);
            continue;
        }
        bool is_expired =
            draft->input->expired && map_has(draft->input->expired, records->items[i]->address);
        enum step_reason reason = records->items[i]->status == RECORD_DEPOSED ? STEP_REASON_DEPOSED
                                  : draft->input->is_destroy                  ? STEP_REASON_DESTROY
                                  : is_expired                                ? STEP_REASON_EXPIRED
                                                                              : STEP_REASON_REMOVED;
        add_delete(draft, i, reason, (struct position){0});
    }
}

static bool is_stopped(const struct draft *draft, size_t index)
{
    const struct observation *seen = draft_observation(draft, index);
    return seen && seen->is_known && seen->is_stopped;
}

/* One start for each system that is stopped, however many of its instances and resources say so. */
static void add_starts(struct draft *draft)
{
    const struct records *records = draft->input->records;
    struct map started = {0};
    for (size_t i = 0; i < records->n_items; i++) {
        const char *instance = records->items[i]->instance;
        const char *identity = value_get_text(draft->input->identities, instance);
        if (!is_stopped(draft, i) || map_has(&started, identity ? identity : instance))
            continue;
        map_put(&started, identity ? identity : instance, NULL);
        struct step *step = add_step(draft, STEP_START, STEP_REASON_STOPPED, instance, 0);
        step->type = string_copy("");
        step->instance = string_copy(instance);
        step->uid = string_copy("");
        step->origin = string_copy("document");
        step->stage = STAGE_NETWORK;
        step->seconds = 1;
    }
    map_done(&started);
}

static bool is_forgotten_address(const struct draft *draft, const char *address)
{
    const struct string_list *forget = draft->input->forget;
    CLEANUP(mem_freep) char *name = string_copy_n(address, strcspn(address, "["));
    return string_list_has(forget, address) || string_list_has(forget, name);
}

static bool is_forgotten(const struct draft *draft, const struct record *record)
{
    return is_forgotten_address(draft, record->address);
}

/* Who refers to what is let go keeps doing so, and cannot be changed without it. */
static void note_users(struct draft *draft, const struct record *record)
{
    for (size_t i = 0; i < record->depends_on.n_items; i++)
        if (is_forgotten_address(draft, record->depends_on.items[i]))
            diagnostics_note(&draft->plan->notes, DIAGNOSTIC_WARNING, DIAGNOSTIC_REFERRED_TO,
                             (struct position){0},
                             "forget that, too, or let it refer to something else first",
                             "%s refers to %s and stays: nothing here will know any more what it "
                             "leads to.",
                             record->address, record->depends_on.items[i]);
}

/* Lets go of all generations of an address: nothing happens outside. */
static void add_forgets(struct draft *draft)
{
    const struct records *records = draft->input->records;
    for (size_t i = 0; i < records->n_items; i++) {
        if (is_forgotten(draft, records->items[i]))
            add_forget(draft, i, STEP_REASON_FORGOTTEN);
    }
    for (size_t i = 0; i < records->n_items; i++)
        if (!is_forgotten(draft, records->items[i]))
            note_users(draft, records->items[i]);
}

static void add_action(struct draft *draft)
{
    const struct records *records = draft->input->records;
    const struct planned_action *action = draft->input->action;
    for (size_t i = 0; i < records->n_items; i++) {
        const struct record *record = records->items[i];
        if (!text_equal(record->address, action->address) || record->status == RECORD_DEPOSED)
            continue;
        struct step *step =
            add_step_of_record(draft, STEP_ACT, STEP_REASON_ASKED, record, record->provider_id);
        step->protect = record->protect;
        step->before = value_ref(action->before);
        step->after = value_ref(action->after);
        step->note = text_or_null(action->note);
        step->seconds = action->seconds;
    }
}

static size_t count_changed(const struct draft *draft)
{
    size_t n = 0;
    for (size_t i = 0; i < draft->n_pairs; i++)
        n += draft->pairs[i].decision != DECISION_KEEP;
    return n;
}

/* Adds starts, then what each wanted resource needs, then the removals. */
int draft_add_steps(struct draft *draft, struct error *err)
{
    (void)err;
    if (draft->input->forget)
        add_forgets(draft);
    if (draft->input->action)
        add_action(draft);
    if (draft->input->forget || draft->input->action)
        return 0;
    if (!draft->input->is_destroy && !draft->input->only_adopts)
        add_starts(draft);
    plan_reserve_steps(draft->plan, count_changed(draft));
    for (size_t n = 0; n < draft->n_pairs; n++)
        add_pair_steps(draft, &draft->pairs[draft->order[n]]);
    if (!draft->input->only_adopts)
        add_removals(draft);
    return 0;
}
