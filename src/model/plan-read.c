/* A plan read from its value: every field is checked, and that its hash is the one it states. */
#include "model/plan.h"

#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "model/plan-internal.h"

#include <string.h>

/* Reads fields of a map; the first fault is kept and makes the rest of no matter. */
struct reader {
    const struct value *map;
    const char *what; /* "plan", "step 3" */
    int result;
    struct error *err;
};

static struct value *read_field(struct reader *reader, const char *key, enum value_kind kind,
                                bool is_optional)
{
    struct value *field = value_get(reader->map, key);
    if (reader->result < 0 || (is_optional && value_is_null(field)))
        return NULL;
    if (field && value_kind(field) == kind)
        return field;
    reader->result = error_set(reader->err, ERROR_INVALID, "%s: \"%s\" must be a %s", reader->what,
                               key, value_kind_to_string(kind));
    return NULL;
}

static char *read_text(struct reader *reader, const char *key, bool is_optional)
{
    struct value *field = read_field(reader, key, VALUE_STRING, is_optional);
    return field ? string_copy(value_text(field)) : NULL;
}

static int64_t read_integer(struct reader *reader, const char *key)
{
    struct value *field = read_field(reader, key, VALUE_INTEGER, false);
    return field ? value_to_integer(field) : 0;
}

static bool read_bool(struct reader *reader, const char *key, bool is_optional)
{
    struct value *field = read_field(reader, key, VALUE_BOOL, is_optional);
    return field && value_to_bool(field);
}

static struct value *read_value(struct reader *reader, const char *key, enum value_kind kind,
                                bool is_optional)
{
    struct value *field = read_field(reader, key, kind, is_optional);
    return field ? value_ref(field) : NULL;
}

static int read_word(struct reader *reader, const char *key, int count,
                     int (*from_string)(const char *))
{
    struct value *field = read_field(reader, key, VALUE_STRING, false);
    if (!field)
        return 0;
    int word = from_string(value_text(field));
    if (word < count)
        return word;
    reader->result =
        error_set(reader->err, ERROR_INVALID, "%s: \"%s\" has the unknown value \"%s\"",
                  reader->what, key, value_text(field));
    return 0;
}

static int kind_word(const char *text)
{
    return (int)step_kind_from_string(text);
}

static int reason_word(const char *text)
{
    return (int)step_reason_from_string(text);
}

static int stage_word(const char *text)
{
    return (int)stage_from_string(text);
}

static void read_strings(struct reader *reader, const char *key, bool is_optional,
                         struct string_list *list)
{
    string_list_from_value(list, read_field(reader, key, VALUE_LIST, is_optional));
}

/* All items of a list, or fields of a map, are of one kind. */
static void check_items(struct reader *reader, const char *key, const struct value *items,
                        enum value_kind kind)
{
    for (size_t i = 0; items && reader->result == 0 && i < value_count(items); i++)
        if (value_kind(value_at(items, i)) != kind)
            reader->result =
                error_set(reader->err, ERROR_INVALID, "%s: an item of \"%s\" is of another kind",
                          reader->what, key);
}

static void check_partial(struct reader *reader, const struct value *partial)
{
    struct reader inner = {partial, "partial", 0, reader->err};
    if (!partial || reader->result < 0)
        return;
    const struct value *targets = read_field(&inner, "targets", VALUE_LIST, false);
    const struct value *left_out = read_field(&inner, "left_out", VALUE_MAP, false);
    check_items(&inner, "targets", targets, VALUE_STRING);
    check_items(&inner, "left_out", left_out, VALUE_INTEGER);
    reader->result = inner.result;
}

int step_check_states(const struct step *step, size_t number, struct error *err)
{
    bool is_adoption = step->kind == STEP_ADOPT;
    bool is_action = step->kind == STEP_ACT;
    bool needs_after =
        step->kind == STEP_CREATE || step->kind == STEP_UPDATE || is_adoption || is_action;
    bool needs_before =
        step->kind == STEP_UPDATE || step->kind == STEP_DELETE || is_adoption || is_action;
    if ((needs_after && !step->after) || (needs_before && !step->before))
        return error_set(err, ERROR_INVALID, "plan, step %zu: a step of kind %s lacks its state",
                         number, step_kind_to_string(step->kind));
    if (is_action &&
        (!value_get_text(step->after, "action") || !value_get_text(step->after, "member")))
        return error_set(err, ERROR_INVALID,
                         "plan, step %zu: an action lacks \"action\" or \"member\" in \"after\"",
                         number);
    if (is_adoption && !step->provider_id)
        return error_set(err, ERROR_INVALID, "plan, step %zu: an adoption lacks \"provider_id\"",
                         number);
    if (step->kind == STEP_RENAME && !step->former)
        return error_set(err, ERROR_INVALID, "plan, step %zu: a rename lacks \"former\"", number);
    return 0;
}

/* Of what the store leaves out, as STEP_FORM_STORED does, absence says the rest. */
int step_from_value(const struct value *value, size_t number, struct step *step, struct error *err)
{
    CLEANUP(mem_freep) char *what = string_format("plan, step %zu", number);
    struct reader reader = {value, what, 0, err};
    step->id = read_text(&reader, "id", false);
    step->kind = (enum step_kind)read_word(&reader, "kind", STEP_KIND_COUNT, kind_word);
    step->reason = (enum step_reason)read_word(&reader, "reason", STEP_REASON_COUNT, reason_word);
    step->address = read_text(&reader, "address", false);
    step->former = read_text(&reader, "former", true);
    step->type = read_text(&reader, "type", false);
    step->instance = read_text(&reader, "instance", false);
    step->uid = read_text(&reader, "uid", false);
    step->provider_id = read_text(&reader, "provider_id", true);
    step->origin = read_text(&reader, "origin", false);
    step->generation = read_integer(&reader, "generation");
    step->stage = (enum stage)read_word(&reader, "stage", STAGE_COUNT, stage_word);
    step->replaces = read_bool(&reader, "replaces", true);
    step->protect = read_bool(&reader, "protect", true);
    step->irreversible = read_bool(&reader, "irreversible", true);
    step->record_only = read_bool(&reader, "record_only", true);
    step->before = read_value(&reader, "before", VALUE_MAP, true);
    step->after = read_value(&reader, "after", VALUE_MAP, true);
    step->proposed = read_value(&reader, "proposed", VALUE_MAP, true);
    step->filled = read_value(&reader, "filled", VALUE_MAP, true);
    step->live = read_value(&reader, "live", VALUE_MAP, true);
    step->changed = read_value(&reader, "changed", VALUE_LIST, true);
    check_items(&reader, "changed", step->changed, VALUE_STRING);
    read_strings(&reader, "defaulted", true, &step->defaulted);
    step->reverts = read_value(&reader, "reverts", VALUE_LIST, true);
    read_strings(&reader, "resources", true, &step->resources);
    read_strings(&reader, "depends_on", true, &step->depends_on);
    const struct value *seconds = value_get(value, "seconds");
    if (seconds && (value_kind(seconds) == VALUE_DECIMAL || value_kind(seconds) == VALUE_INTEGER))
        step->seconds = value_to_decimal(seconds);
    step->note = read_text(&reader, "note", true);
    return reader.result < 0 ? reader.result : step_check_states(step, number, err);
}

static int deployment_from_value(struct plan *plan, const struct value *value, struct error *err)
{
    struct reader reader = {value, "plan, deployment", 0, err};
    plan->deployment = read_text(&reader, "name", false);
    plan->environment = read_text(&reader, "environment", false);
    plan->deployment_uid = read_text(&reader, "uid", false);
    plan->incarnation = read_integer(&reader, "incarnation");
    plan->records_version = read_integer(&reader, "records_version");
    plan->is_production = read_bool(&reader, "production", false);
    return reader.result;
}

static int header_from_value(struct plan *plan, struct reader *reader)
{
    plan->document = read_text(reader, "document", true);
    plan->document_digest = read_text(reader, "document_digest", true);
    plan->given = read_text(reader, "given", true);
    char *source = read_text(reader, "source", true);
    if (source) {
        mem_free(plan->source);
        plan->source = source;
    }
    struct value *parents = read_value(reader, "parents", VALUE_LIST, true);
    if (parents) {
        value_unref(plan->parents);
        plan->parents = parents;
    }
    plan->catalog_digest = read_text(reader, "catalog_digest", false);
    plan->is_destroy = read_bool(reader, "destroy", false);
    value_unref(plan->identities);
    plan->identities = read_value(reader, "identities", VALUE_MAP, false);
    value_unref(plan->variables);
    plan->variables = read_value(reader, "variables", VALUE_MAP, false);
    value_unref(plan->existing);
    plan->existing = read_value(reader, "existing", VALUE_MAP, false);
    struct value *pending = read_value(reader, "pending", VALUE_MAP, true);
    if (pending) {
        value_unref(plan->pending);
        plan->pending = pending;
    }
    plan->reads = read_value(reader, "reads", VALUE_MAP, true);
    plan->secrets = read_value(reader, "secrets", VALUE_MAP, true);
    plan->credentials = read_value(reader, "credentials", VALUE_MAP, true);
    plan->partial = read_value(reader, "partial", VALUE_MAP, true);
    check_partial(reader, plan->partial);
    plan->knowledge = read_value(reader, "knowledge", VALUE_MAP, true);
    plan->outputs = read_value(reader, "outputs", VALUE_MAP, true);
    plan->changes_outputs = read_bool(reader, "changes_outputs", false);
    const struct value *summary = read_field(reader, "summary", VALUE_MAP, false);
    for (enum step_kind kind = 0; kind < STEP_KIND_COUNT; kind++)
        plan->counts[kind] = (size_t)value_get_integer(summary, step_kind_to_string(kind), 0);
    return reader->result;
}

static int steps_from_value(struct plan *plan, const struct value *steps, struct error *err)
{
    plan_reserve_steps(plan, value_count(steps));
    for (size_t i = 0; i < value_count(steps); i++) {
        int r = step_from_value(value_at(steps, i), i + 1, plan_add_step(plan), err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Plans without groups have no such field. */
static int groups_from_value(struct plan *plan, const struct value *groups, struct error *err)
{
    bool is_list = groups && value_kind(groups) == VALUE_LIST;
    for (size_t i = 0; is_list && i < value_count(groups); i++) {
        struct reader reader = {value_at(groups, i), "plan, groups", 0, err};
        CLEANUP(mem_freep) char *id = read_text(&reader, "id", false);
        struct string_list depends_on = {0};
        read_strings(&reader, "depends_on", false, &depends_on);
        if (reader.result == 0)
            plan_add_group(plan, id, &depends_on);
        string_list_done(&depends_on);
        if (reader.result < 0)
            return reader.result;
    }
    return groups && !is_list ? error_set(err, ERROR_INVALID, "plan: \"groups\" must be a list")
                              : 0;
}

/* Codes of notes are not needed again: they are shown as what they say. */
static void notes_from_value(struct plan *plan, const struct value *notes)
{
    if (!notes || value_kind(notes) != VALUE_LIST)
        return;
    for (size_t i = 0; i < value_count(notes); i++) {
        const char *detail = value_get_text(value_at(notes, i), "detail");
        if (detail)
            diagnostics_note(&plan->notes, DIAGNOSTIC_NOTE, DIAGNOSTIC_STAND_IN,
                             (struct position){0}, value_get_text(value_at(notes, i), "help"), "%s",
                             detail);
    }
}

/* All but its steps; it has no hash yet. */
static int read_head(const struct value *value, struct plan **ret_plan, struct error *err)
{
    struct reader reader = {value, "plan", 0, err};
    int64_t version = read_integer(&reader, "format_version");
    if (reader.result == 0 && version > PLAN_FORMAT_VERSION)
        return error_set(
            err, ERROR_UNSUPPORTED,
            "the plan has format %lld; this program reads up to %d: use a newer parley",
            (long long)version, PLAN_FORMAT_VERSION);
    const struct value *deployment = read_field(&reader, "deployment", VALUE_MAP, false);
    CLEANUP(plan_freep) struct plan *plan = plan_new();
    int r = header_from_value(plan, &reader);
    if (r < 0 || (r = deployment_from_value(plan, deployment, err)) < 0 ||
        (r = groups_from_value(plan, value_get(value, "groups"), err)) < 0)
        return r;
    notes_from_value(plan, value_get(value, "notes"));
    *ret_plan = take_ptr(plan);
    return 0;
}

int plan_read_unsealed(const struct value *value, struct plan **ret_plan, struct error *err)
{
    struct reader reader = {value, "plan", 0, err};
    CLEANUP(plan_freep) struct plan *plan = NULL;
    const struct value *steps = read_field(&reader, "steps", VALUE_LIST, false);
    if (reader.result < 0)
        return reader.result;
    int r = read_head(value, &plan, err);
    if (r < 0 || (r = steps_from_value(plan, steps, err)) < 0)
        return r;
    plan_seal(plan);
    *ret_plan = take_ptr(plan);
    return 0;
}

int plan_read_head(const struct value *value, struct plan **ret_plan, struct error *err)
{
    struct reader reader = {value, "plan", 0, err};
    CLEANUP(plan_freep) struct plan *plan = NULL;
    const struct value *stated = read_field(&reader, "hash", VALUE_STRING, false);
    if (reader.result < 0)
        return reader.result;
    if (value_text_length(stated) >= sizeof(plan->hash))
        return error_set(err, ERROR_INVALID, "the plan states a hash that is none");
    int r = read_head(value, &plan, err);
    if (r < 0)
        return r;
    memcpy(plan->hash, value_text(stated), value_text_length(stated) + 1);
    *ret_plan = take_ptr(plan);
    return 0;
}

static int check_hash(const struct plan *plan, const char *stated, struct error *err)
{
    if (text_equal(stated, plan->hash))
        return 0;
    return error_set(
        err, ERROR_CORRUPT,
        "the plan was altered after it was made, so nothing was changed; make it anew with "
        "\"parley plan\": its content has the hash %.12s, but it says %.12s",
        plan->hash, stated);
}

int plan_check_hash(struct plan *plan, struct error *err)
{
    char stated[DIGEST_HEX_SIZE];
    memcpy(stated, plan->hash, sizeof(stated));
    plan_seal(plan);
    return check_hash(plan, stated, err);
}

int plan_from_value(const struct value *value, struct plan **ret_plan, struct error *err)
{
    struct reader reader = {value, "plan", 0, err};
    const struct value *stated = read_field(&reader, "hash", VALUE_STRING, false);
    CLEANUP(plan_freep) struct plan *plan = NULL;
    if (reader.result < 0)
        return reader.result;
    int r = plan_read_unsealed(value, &plan, err);
    if (r < 0 || (r = check_hash(plan, value_text(stated), err)) < 0)
        return r;
    *ret_plan = take_ptr(plan);
    return 0;
}
