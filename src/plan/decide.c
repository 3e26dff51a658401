/* The pass that decides what each resource needs: nothing, a create, an update or a replacement. */
#include "plan/draft.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/expression.h"

#include <string.h>

/* What a property counts as when it is not set: the type's default, else NULL. */
static const struct value *effective(const struct schema *schema, const struct value *value)
{
    if (value && !value_is_null(value))
        return value;
    return schema ? schema->fallback : NULL;
}

static bool are_equal(const struct schema *schema, const struct value *wanted,
                      const struct value *other)
{
    wanted = effective(schema, wanted);
    other = effective(schema, other);
    if (!wanted || !other)
        return wanted == other;
    static const struct schema any = {.kind = SCHEMA_ANY};
    return schema_equal(schema ? schema : &any, wanted, other);
}

static bool is_map(const struct value *value)
{
    return value && value_kind(value) == VALUE_MAP;
}

static const struct schema *inner_schema(const struct schema *schema, const char *key)
{
    if (!schema)
        return NULL;
    return schema->kind == SCHEMA_OBJECT ? schema_field(schema, key) : schema->items;
}

static void add_differences(const struct schema *schema, const char *path,
                            const struct value *wanted, const struct value *other,
                            struct string_list *paths);

static void add_field_difference(const struct schema *schema, const char *path, const char *key,
                                 const struct value *wanted, const struct value *other,
                                 struct string_list *paths)
{
    CLEANUP(mem_freep) char *inner = *path ? string_format("%s.%s", path, key) : string_copy(key);
    add_differences(inner_schema(schema, key), inner, wanted, other, paths);
}

/* Adds the paths at which two values differ, as deep as both are maps. */
static void add_differences(const struct schema *schema, const char *path,
                            const struct value *wanted, const struct value *other,
                            struct string_list *paths)
{
    if (!is_map(wanted) || !is_map(other)) {
        if (!are_equal(schema, wanted, other))
            string_list_add(paths, path);
        return;
    }
    for (size_t i = 0; i < value_count(wanted); i++) {
        const char *key = value_key_at(wanted, i);
        add_field_difference(schema, path, key, value_at(wanted, i), value_get(other, key), paths);
    }
    for (size_t i = 0; i < value_count(other); i++) {
        const char *key = value_key_at(other, i);
        if (!value_get(wanted, key))
            add_field_difference(schema, path, key, NULL, value_at(other, i), paths);
    }
}

/* Adds the paths that the document manages and whose live value is another. */
static void add_drift(const struct schema *schema, const struct value *wanted,
                      const struct value *live, struct string_list *paths)
{
    for (size_t i = 0; i < value_count(wanted); i++) {
        const char *key = value_key_at(wanted, i);
        const struct value *seen = value_get(live, key);
        if (seen)
            add_field_difference(schema, "", key, value_at(wanted, i), seen, paths);
    }
}

/* Whether path is at or below one of those to be ignored. */
static bool is_ignored(const struct string_list *ignored, const char *path)
{
    for (size_t i = 0; i < ignored->n_items; i++) {
        const char *prefix = ignored->items[i];
        size_t length = strlen(prefix);
        if (text_starts_with(path, prefix) && (path[length] == '\0' || path[length] == '.'))
            return true;
    }
    return false;
}

static void drop_ignored(struct string_list *paths, const struct string_list *ignored)
{
    struct string_list kept = {0};
    for (size_t i = 0; i < paths->n_items; i++)
        if (!is_ignored(ignored, paths->items[i]) && !string_list_has(&kept, paths->items[i]))
            string_list_add(&kept, paths->items[i]);
    string_list_done(paths);
    *paths = kept;
}

/* The property that a path begins with. */
static const struct schema *top_schema(const struct resource_type *type, const char *path)
{
    CLEANUP(mem_freep) char *key = string_copy_n(path, strcspn(path, ".["));
    return schema_field(&type->schema, key);
}

static bool forces_replacement(const struct pair *pair)
{
    for (size_t i = 0; i < pair->changed.n_items; i++) {
        const struct schema *schema = top_schema(pair->type, pair->changed.items[i]);
        if (schema && schema->forces_replacement)
            return true;
    }
    return false;
}

/* Whether something it refers to gets a new identity: then it must be pointed there, even if its
 * words are the same. */
static bool has_moved_reference(const struct draft *draft, const struct pair *pair)
{
    for (size_t k = 0; k < pair->wanted->depends_on.n_items; k++) {
        struct index_list one;
        size_t item;
        const struct index_list *found = draft_find(&draft->pairs_by_address, &draft->pairs_by_name,
                                                    pair->wanted->depends_on.items[k], &one, &item);
        for (size_t i = 0; i < found->n_items; i++) {
            const struct pair *other = &draft->pairs[found->items[i]];
            if (other->record != NONE &&
                (other->decision == DECISION_REPLACE || other->decision == DECISION_CREATE))
                return true;
        }
    }
    return false;
}

static void decide(struct pair *pair, enum decision decision, enum step_reason reason)
{
    pair->decision = decision;
    pair->reason = reason;
}

/* The name under which the record knows a dependency: that before a rename which is in this plan,
 * too. */
static const char *recorded_name(const struct draft *draft, const char *dependency)
{
    size_t index = (size_t)map_get(&draft->pairs_by_address, dependency);
    const char *former = index ? draft->pairs[index - 1].former : NULL;
    return former ? former : dependency;
}

/* Whether it depends on others than the record says: a destroy goes by the record's order. */
static bool has_other_dependencies(const struct draft *draft, const struct pair *pair,
                                   const struct record *record)
{
    const struct string_list *wanted = &pair->wanted->depends_on;
    if (wanted->n_items != record->depends_on.n_items)
        return true;
    for (size_t i = 0; i < wanted->n_items; i++)
        if (!string_list_has(&record->depends_on, recorded_name(draft, wanted->items[i])))
            return true;
    return false;
}

/* Fills in what differs from the record, or, when nothing does, from what was seen; returns why it
 * is to change. */
static enum step_reason find_changes(const struct draft *draft, struct pair *pair,
                                     const struct record *record, const struct observation *seen)
{
    const struct lifecycle *lifecycle = &pair->wanted->lifecycle;
    enum step_reason reason = STEP_REASON_CHANGED;
    add_differences(&pair->type->schema, "", pair->spec, record->spec, &pair->changed);
    drop_ignored(&pair->changed, &lifecycle->ignore_changes);
    if (pair->changed.n_items == 0 && seen && seen->is_known && seen->spec) {
        add_drift(&pair->type->schema, pair->spec, seen->spec, &pair->changed);
        drop_ignored(&pair->changed, &lifecycle->ignore_changes);
        if (pair->changed.n_items > 0)
            reason = STEP_REASON_DRIFTED;
    }
    if (lifecycle->protect != record->protect)
        string_list_add(&pair->changed, "lifecycle.protect");
    if (has_other_dependencies(draft, pair, record))
        string_list_add(&pair->changed, "dependsOn");
    return record->status == RECORD_PARTLY ? STEP_REASON_PARTLY : reason;
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
    enum step_reason reason = find_changes(draft, pair, record, seen);
    if (forces_replacement(pair))
        decide(pair, DECISION_REPLACE,
               reason == STEP_REASON_PARTLY ? reason : STEP_REASON_REPLACED);
    else if (pair->changed.n_items > 0 || reason == STEP_REASON_PARTLY)
        decide(pair, DECISION_UPDATE, reason);
    else if (has_moved_reference(draft, pair))
        decide(pair, DECISION_UPDATE, STEP_REASON_MOVED);
    else
        decide(pair, DECISION_KEEP, STEP_REASON_SAME);
}

/* Whether an update of this pair changes a property that the output follows. */
static bool changes_output(const struct pair *pair, const struct type_output *output)
{
    if (!output->changes_with)
        return false;
    for (size_t i = 0; i < value_count(output->changes_with); i++) {
        const char *property = value_text(value_at(output->changes_with, i));
        size_t length = strlen(property);
        for (size_t k = 0; k < pair->changed.n_items; k++) {
            const char *path = pair->changed.items[k];
            if (text_starts_with(path, property) && strchr(".[", path[length]))
                return true;
        }
    }
    return false;
}

static struct value *planned_output(const struct draft *draft, const struct pair *pair,
                                    const struct type_output *output)
{
    if (output->from) {
        struct value *from = value_get(pair->spec, output->from);
        const struct schema *schema = schema_field(&pair->type->schema, output->from);
        if (!from && schema)
            from = schema->fallback;
        return from ? value_ref(from) : value_null();
    }
    bool continues = pair->decision == DECISION_KEEP || pair->decision == DECISION_UPDATE;
    struct value *recorded =
        continues ? value_get(draft_record(draft, pair->record)->outputs, output->name) : NULL;
    if (recorded && !(pair->decision == DECISION_UPDATE && changes_output(pair, output)))
        return value_ref(recorded);
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
    struct plan *plan = draft->plan;
    struct value *existing = value_with(plan->existing, wanted->address, value_ref(wanted->found));
    value_unref(plan->existing);
    plan->existing = existing;
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
    int r = expression_resolve(base, outputs_lookup, &draft->outputs, &resolved, err);
    if (r < 0)
        return error_wrap(err, r, "%s", pair->wanted->address);
    value_unref(take_ptr(pair->spec));
    r = type_canonical(pair->type, resolved, &pair->spec, err);
    if (r < 0)
        return error_wrap(err, r, "%s", pair->wanted->address);
    if (pair->record == NONE)
        decide(pair, DECISION_CREATE, STEP_REASON_NEW);
    else
        decide_recorded(draft, pair);
    pair->create_before_destroy = pair->wanted->lifecycle.create_before_destroy;
    plan_outputs(draft, pair);
    return 0;
}

/* createBeforeDestroy spreads to what the resource depends on: the old one still needs it while
 * both are there. */
static void spread_create_before_destroy(struct draft *draft)
{
    for (size_t n = draft->n_pairs; n-- > 0;) {
        const struct pair *pair = &draft->pairs[draft->order[n]];
        if (!pair->create_before_destroy)
            continue;
        for (size_t k = 0; k < pair->wanted->depends_on.n_items; k++) {
            struct index_list one;
            size_t item;
            const struct index_list *found =
                draft_find(&draft->pairs_by_address, &draft->pairs_by_name,
                           pair->wanted->depends_on.items[k], &one, &item);
            for (size_t i = 0; i < found->n_items; i++)
                draft->pairs[found->items[i]].create_before_destroy = true;
        }
    }
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
    return 0;
}
