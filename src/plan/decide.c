/* The pass that decides what each resource needs: nothing, a create, an update or a replacement. */
#include "plan/draft.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/expression.h"
#include "model/json.h"
#include "plan/compare.h"

#include <string.h>

/* Whether one of the schemas on the way to a path says that its change makes a new resource. */
static bool path_forces_replacement(const struct resource_type *type, const char *path)
{
    const struct schema *schema = &type->schema;
    while (schema && *path) {
        size_t length = strcspn(path, ".");
        CLEANUP(mem_freep) char *key = string_copy_n(path, length);
        schema = schema->kind == SCHEMA_OBJECT ? schema_field(schema, key) : schema->items;
        if (schema && schema->forces_replacement)
            return true;
        path += length + (path[length] == '.');
    }
    return false;
}

static bool forces_replacement(const struct pair *pair)
{
    for (size_t i = 0; i < pair->changed.n_items; i++)
        if (path_forces_replacement(pair->type, pair->changed.items[i]))
            return true;
    return false;
}

static void decide(struct pair *pair, enum decision decision, enum step_reason reason)
{
    pair->decision = decision;
    pair->reason = reason;
}

/* Whether it depends on others than the record says: a destroy goes by the record's order. */
static bool has_other_dependencies(const struct draft *draft, const struct pair *pair,
                                   const struct record *record)
{
    const struct string_list *wanted = &pair->wanted->depends_on;
    if (wanted->n_items != record->depends_on.n_items)
        return true;
    for (size_t i = 0; i < wanted->n_items; i++)
        if (!string_list_has(&record->depends_on, draft_recorded_name(draft, wanted->items[i])))
            return true;
    return false;
}

static struct value *live_spec(const struct observation *seen)
{
    return seen && seen->is_known ? seen->spec : NULL;
}

/* Gives the properties that are to be left alone the values that they have. */
static void keep_ignored(struct pair *pair, const struct record *record, struct value *live)
{
    const struct string_list *ignored = &pair->wanted->lifecycle.ignore_changes;
    struct value *canonical = NULL;
    if (ignored->n_items == 0)
        return;
    CLEANUP(value_unrefp)
    struct value *kept = spec_keep_ignored(pair->spec, live ? live : record->spec, ignored);
    if (type_canonical(pair->type, kept, &canonical, NULL) < 0)
        canonical = spec_keep_ignored(pair->spec, record->spec, ignored);
    value_unref(pair->spec);
    pair->spec = canonical;
}

/* Whether all that the document changes is so already where the resource is. */
static bool is_there_already(const struct pair *pair, struct value *asked, struct value *live)
{
    struct string_list missing = {0};
    compare_specs(pair->type, asked, live, &missing);
    bool is_there = !paths_touch(&pair->changed, &missing);
    string_list_done(&missing);
    return is_there;
}

/* Whether another thing than the recorded one carries the marker now. */
static bool is_another(const struct observation *seen)
{
    return seen && seen->provider_id;
}

/* What the kinds of differences come to. */
static enum step_reason judge_changes(const struct draft *draft, const struct pair *pair,
                                      const struct record *record, size_t n_by_document,
                                      size_t n_moved)
{
    if (record->status == RECORD_PARTLY)
        return STEP_REASON_PARTLY;
    if (is_another(draft_observation(draft, pair->record)) && n_by_document == 0)
        return STEP_REASON_FOUND;
    if (pair->is_drifted && n_by_document == 0)
        return STEP_REASON_DRIFTED;
    return n_moved > 0 && n_by_document == 0 ? STEP_REASON_MOVED : STEP_REASON_CHANGED;
}

/* What the system keeps in its own way, and still has as it was after it was applied, is no drift.
 */
static void drop_settled(const struct pair *pair, const struct record *record, struct value *live,
                         struct string_list *drifted)
{
    struct string_list since = {0};
    struct string_list kept = {0};
    if (!record->live || drifted->n_items == 0)
        return;
    compare_specs(pair->type, record->live, live, &since);
    for (size_t i = 0; i < drifted->n_items; i++) {
        const struct string_list one = {.items = &drifted->items[i], .n_items = 1};
        if (paths_touch(&one, &since))
            string_list_add(&kept, drifted->items[i]);
    }
    string_list_done(&since);
    string_list_done(drifted);
    *drifted = kept;
}

/* What the document changes of what is recorded; nothing where it wants the very same, which is so
 * of most. */
static void find_wanted_changes(struct pair *pair, const struct record *record)
{
    if (record->spec && value_equal(pair->spec, record->spec)) {
        pair->updated = value_ref(pair->spec);
        return;
    }
    compare_specs(pair->type, pair->spec, record->spec, &pair->changed);
    paths_drop(&pair->changed, &pair->wanted->lifecycle.ignore_changes);
    pair->updated = spec_with_defaults(pair->type, pair->spec, record->spec, &pair->defaulted);
}

/*
 * Fills in what differs, and returns why it is to change. Three states are compared: the record
 * says what the document changes, what was seen says what somebody else changed, and where what is
 * seen is as wanted already, only the record has to follow.
 */
static enum step_reason find_changes(const struct draft *draft, struct pair *pair,
                                     const struct record *record, const struct observation *seen)
{
    const struct lifecycle *lifecycle = &pair->wanted->lifecycle;
    struct value *live = live_spec(seen);
    struct string_list drifted = {0};
    struct string_list moved = {0};
    find_wanted_changes(pair, record);
    if (live)
        compare_live(pair->type, pair->spec, live, &drifted);
    if (live)
        drop_settled(pair, record, live, &drifted);
    paths_drop(&drifted, &lifecycle->ignore_changes);
    draft_find_moved(draft, pair, record, &moved);
    size_t n_by_document = pair->changed.n_items;
    pair->is_drifted = drifted.n_items > 0;
    bool is_there = n_by_document == 0 ||
                    (live && !seen->is_stopped && is_there_already(pair, pair->updated, live));
    pair->is_record_only = is_there && !pair->is_drifted && !is_another(seen) &&
                           moved.n_items == 0 && record->status == RECORD_CREATED;
    enum step_reason reason = judge_changes(draft, pair, record, n_by_document, moved.n_items);
    paths_add_missing(&pair->changed, &drifted);
    paths_add_missing(&pair->changed, &moved);
    string_list_done(&drifted);
    string_list_done(&moved);
    if (lifecycle->protect != record->protect)
        string_list_add(&pair->changed, "lifecycle.protect");
    if (has_other_dependencies(draft, pair, record))
        string_list_add(&pair->changed, "dependsOn");
    return reason;
}

/* Whether it is not the document that wants the change. */
static bool is_from_outside(enum step_reason reason)
{
    return reason == STEP_REASON_PARTLY || reason == STEP_REASON_DRIFTED ||
           reason == STEP_REASON_FOUND;
}

/* Never on the way to something else: what is found is adopted as it is, or changed in place. */
static void report_unlike(const struct draft *draft, const struct pair *pair)
{
    for (size_t i = 0; i < pair->changed.n_items; i++) {
        const char *path = pair->changed.items[i];
        if (!path_forces_replacement(pair->type, path))
            continue;
        struct value *live = value_at_path(pair->found->spec, path);
        CLEANUP(mem_freep) char *text = live ? json_text(live) : string_copy("not set");
        CLEANUP(mem_freep)
        char *help = string_format("let the document say what is there (%s: %s), or make another "
                                   "one under this name",
                                   path, text);
        diagnostics_add(draft->diagnostics, DIAGNOSTIC_ADOPTION, pair->wanted->position, help,
                        "%s is to be %s on %s, whose %s is another one and cannot change in place.",
                        pair->wanted->address, pair->found->provider_id, pair->wanted->instance,
                        path);
    }
}

/* What is there is to become the resource: what differs is told, and changed by an update. */
static void decide_found(const struct draft *draft, struct pair *pair)
{
    const struct string_list *ignored = &pair->wanted->lifecycle.ignore_changes;
    compare_live(pair->type, pair->spec, pair->found->spec, &pair->changed);
    paths_drop(&pair->changed, ignored);
    decide(pair, DECISION_ADOPT, pair->found->uid ? STEP_REASON_OURS : STEP_REASON_IMPORTED);
    report_unlike(draft, pair);
}

/* Whether the system that a resource is on is made anew, since what configures it is. */
static bool is_on_new_system(const struct draft *draft, const struct pair *pair)
{
    const struct string_list *roots =
        draft->input->roots ? map_get(draft->input->roots, pair->wanted->instance) : NULL;
    for (size_t k = 0; roots && k < roots->n_items; k++) {
        struct index_list one;
        size_t item;
        const struct index_list *found = draft_find(&draft->pairs_by_address, &draft->pairs_by_name,
                                                    roots->items[k], &one, &item);
        for (size_t i = 0; i < found->n_items; i++) {
            enum decision decision = draft->pairs[found->items[i]].decision;
            if (decision == DECISION_CREATE || decision == DECISION_REPLACE)
                return true;
        }
    }
    return false;
}

static void decide_recorded(const struct draft *draft, struct pair *pair)
{
    const struct record *record = draft_record(draft, pair->record);
    const struct observation *seen = draft_observation(draft, pair->record);
    if (seen && seen->is_known && !seen->is_present) {
        decide(pair, DECISION_CREATE, STEP_REASON_GONE);
        return;
    }
    if (!text_equal(record->type, pair->wanted->type) ||
        !text_equal(record->instance, pair->wanted->instance)) {
        decide(pair, DECISION_REPLACE, STEP_REASON_REPLACED);
        return;
    }
    if (is_on_new_system(draft, pair)) {
        decide(pair, DECISION_REPLACE, STEP_REASON_MOVED);
        return;
    }
    keep_ignored(pair, record, live_spec(seen));
    enum step_reason reason = find_changes(draft, pair, record, seen);
    if (forces_replacement(pair))
        decide(pair, DECISION_REPLACE, is_from_outside(reason) ? reason : STEP_REASON_REPLACED);
    else if (pair->changed.n_items > 0 || reason == STEP_REASON_PARTLY ||
             reason == STEP_REASON_FOUND)
        decide(pair, DECISION_UPDATE, reason);
    else
        decide(pair, DECISION_KEEP, STEP_REASON_SAME);
    if (pair->decision == DECISION_UPDATE) {
        value_unref(pair->spec);
        pair->spec = take_ptr(pair->updated);
    }
}

/* Whether an update of this pair changes a property that the output follows. */
static bool changes_output(const struct pair *pair, const struct type_output *output)
{
    if (!output->changes_with)
        return false;
    for (size_t i = 0; i < value_count(output->changes_with); i++)
        for (size_t k = 0; k < pair->changed.n_items; k++)
            if (path_covers(value_text(value_at(output->changes_with, i)), pair->changed.items[k]))
                return true;
    return false;
}

/* What a resource that stays has as an output: as it was seen just now, else as recorded. */
static struct value *present_output(const struct draft *draft, const struct pair *pair,
                                    const char *name)
{
    if (pair->found)
        return value_get(pair->found->outputs, name);
    const struct observation *seen = draft_observation(draft, pair->record);
    bool is_fresh = seen && seen->is_known && !seen->is_stopped;
    struct value *live = is_fresh ? value_get(seen->outputs, name) : NULL;
    return live && !value_is_null(live)
               ? live
               : value_get(draft_record(draft, pair->record)->outputs, name);
}

static struct value *planned_output(const struct draft *draft, const struct pair *pair,
                                    const struct type_output *output)
{
    if (pair->found && draft->input->only_adopts && value_get(pair->found->outputs, output->name))
        return value_ref(value_get(pair->found->outputs, output->name));
    if (output->from) {
        struct value *from = value_at_path(pair->spec, output->from);
        const struct schema *schema = schema_field(&pair->type->schema, output->from);
        if (!from && schema)
            from = schema->fallback;
        return from ? value_ref(from) : value_null();
    }
    bool is_adopted = pair->decision == DECISION_ADOPT;
    bool continues =
        pair->decision == DECISION_KEEP || pair->decision == DECISION_UPDATE || is_adopted;
    bool is_updated = is_adopted ? !draft->input->only_adopts
                                 : pair->decision == DECISION_UPDATE && !pair->is_record_only;
    bool changes = is_updated && changes_output(pair, output);
    struct value *present =
        continues && !changes ? present_output(draft, pair, output->name) : NULL;
    if (present)
        return value_ref(present);
    CLEANUP(mem_freep)
    char *origin = string_format("${%s.outputs.%s}", pair->wanted->address, output->name);
    return value_unknown(output->type, origin);
}

/* What dependents may already know of it. */
static void plan_outputs(struct draft *draft, const struct pair *pair)
{
    struct value_builder fields = {0};
    for (size_t i = 0; i < pair->type->n_outputs; i++)
        value_builder_set(&fields, pair->type->outputs[i].name,
                          planned_output(draft, pair, &pair->type->outputs[i]));
    outputs_set(&draft->outputs, pair->wanted->address, value_builder_map(&fields));
}

/* What exists already is taken as it was found, and stands in the plan so that apply can refer to
 * it. */
static int decide_existing(struct draft *draft, struct pair *pair)
{
    const struct resource *wanted = pair->wanted;
    if (!wanted->found) {
        diagnostics_add(draft->diagnostics, DIAGNOSTIC_EXISTING_UNMATCHED, wanted->position,
                        "check match:, or let Parley make it: remove existing: true",
                        "%s should exist already, and nobody looked for it.", wanted->address);
        return 0;
    }
    value_builder_set(&draft->existing, wanted->address, value_ref(wanted->found));
    pair->spec = value_ref(value_get(wanted->found, "spec"));
    decide(pair, DECISION_KEEP, STEP_REASON_SAME);
    outputs_set(&draft->outputs, wanted->address, value_ref(value_get(wanted->found, "outputs")));
    return 0;
}

static int decide_pair(struct draft *draft, struct pair *pair, struct error *err)
{
    if (pair->wanted->existing)
        return decide_existing(draft, pair);

    CLEANUP(value_unrefp) struct value *resolved = NULL;
    struct value *base = pair->spec ? pair->spec : pair->wanted->spec;
    int r = draft_resolve(draft, base, &resolved, err);
    if (r < 0)
        return error_wrap(err, r, "%s", pair->wanted->address);
    value_unref(take_ptr(pair->spec));
    r = type_canonical(pair->type, resolved, &pair->spec, err);
    if (r < 0)
        return error_wrap(err, r, "%s", pair->wanted->address);
    if (pair->found)
        decide_found(draft, pair);
    else if (pair->record == NONE)
        decide(pair, DECISION_CREATE, STEP_REASON_NEW);
    else
        decide_recorded(draft, pair);
    pair->create_before_destroy =
        pair->wanted->lifecycle.create_before_destroy || pair->type->creates_before_destroy;
    plan_outputs(draft, pair);
    return 0;
}

static void spread_to(struct pair *pair, const struct pair *from)
{
    if (!pair->create_before_destroy)
        pair->spread_by = from->spread_by ? from->spread_by : from->wanted->address;
    pair->create_before_destroy = true;
}

/* createBeforeDestroy spreads to what the resource depends on: the old one still needs it while
 * both are there. */
static void spread_create_before_destroy(struct draft *draft)
{
    struct map reached = {0};
    for (size_t n = draft->n_pairs; n-- > 0;) {
        const struct pair *pair = &draft->pairs[draft->order[n]];
        if (!pair->create_before_destroy)
            continue;
        for (size_t k = 0; k < pair->wanted->depends_on.n_items; k++) {
            const char *name = pair->wanted->depends_on.items[k];
            struct index_list one;
            size_t item;
            const struct index_list *found =
                draft_find(&draft->pairs_by_address, &draft->pairs_by_name, name, &one, &item);
            for (size_t i = 0; i < found->n_items && !map_has(&reached, name); i++)
                spread_to(&draft->pairs[found->items[i]], pair);
            map_put(&reached, name, &reached);
        }
    }
    map_done(&reached);
}

/* Resolves each resource with what is known of those before it, compares it and decides. */
int draft_decide(struct draft *draft, struct error *err)
{
    for (size_t n = 0; n < draft->n_pairs; n++) {
        struct pair *pair = &draft->pairs[draft->order[n]];
        int r = decide_pair(draft, pair, err);
        if (r < 0)
            return r;
    }
    spread_create_before_destroy(draft);
    value_unref(draft->plan->existing);
    draft->plan->existing = value_builder_map(&draft->existing);
    return 0;
}
