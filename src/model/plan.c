#include "model/plan.h"

#include "base/digest.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "model/json.h"

#include <assert.h>
#include <string.h>

static const char *const kind_names[] = {
    [STEP_CREATE] = "create", [STEP_UPDATE] = "update", [STEP_DELETE] = "delete",
    [STEP_RENAME] = "rename", [STEP_START] = "start",   [STEP_FORGET] = "forget",
    [STEP_ADOPT] = "adopt",   [STEP_KEEP] = "keep",
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
        return !step->record_only;
    default:
        return false;
    }
}

static void step_done(struct step *step)
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
        map_put(ends, group->id, end);
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
        map_put(&groups, plan->groups[i].id, &plan->groups[i]);
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct step *step = &plan->steps[i];
        end_groups(plan, &ends, &groups, group_ends, &step->depends_on);
        seconds[i] = latest_end(&ends, &step->depends_on) + step->seconds;
        map_put(&ends, step->id, &seconds[i]);
        if (seconds[i] > latest)
            latest = seconds[i];
    }
    map_done(&ends);
    map_done(&groups);
    mem_free(seconds);
    mem_free(group_ends);
    return latest;
}

static struct value *value_or_null(struct value *value)
{
    return value ? value_ref(value) : value_null();
}

/* The name and key that the address of a step is made of, as fields of their own (DESIGN section
 * 17). */
static void set_name_and_key(struct value_builder *fields, const char *address)
{
    char *name = NULL;
    struct value *key = NULL;
    if (address_parse(address, &name, &key, NULL) < 0)
        name = string_copy(address);
    value_builder_set_string(fields, "name", name);
    value_builder_set(fields, "key", key ? key : value_null());
    mem_free(name);
}

/* What is approved: everything but durations and notes. */
static void set_approved_fields(struct value_builder *fields, const struct step *step)
{
    value_builder_set_string(fields, "id", step->id);
    value_builder_set_string(fields, "kind", kind_names[step->kind]);
    value_builder_set_string(fields, "reason", reasons[step->reason].wire);
    set_name_and_key(fields, step->address);
    value_builder_set_string(fields, "address", step->address);
    value_builder_set_string(fields, "former", step->former);
    value_builder_set_string(fields, "type", step->type);
    value_builder_set_string(fields, "instance", step->instance);
    value_builder_set_string(fields, "uid", step->uid);
    value_builder_set_string(fields, "provider_id", step->provider_id);
    value_builder_set_string(fields, "origin", step->origin);
    value_builder_set(fields, "generation", value_integer(step->generation));
    value_builder_set_string(fields, "stage", stages[step->stage].name);
    value_builder_set(fields, "replaces", value_bool(step->replaces));
    value_builder_set(fields, "protect", value_bool(step->protect));
    value_builder_set(fields, "irreversible", value_bool(step->irreversible));
    value_builder_set(fields, "before", value_or_null(step->before));
    value_builder_set(fields, "after", value_or_null(step->after));
    value_builder_set(fields, "changed", value_or_null(step->changed));
    value_builder_set(fields, "reverts", value_or_null(step->reverts));
    value_builder_set(fields, "resources", string_list_to_value(&step->resources));
    value_builder_set(fields, "depends_on", string_list_to_value(&step->depends_on));
    /* Left out where they say nothing, so that plans from before them keep their hashes. */
    if (step->record_only)
        value_builder_set(fields, "record_only", value_bool(true));
    if (step->proposed)
        value_builder_set(fields, "proposed", value_ref(step->proposed));
    if (step->live)
        value_builder_set(fields, "live", value_ref(step->live));
    if (step->defaulted.n_items > 0)
        value_builder_set(fields, "defaulted", string_list_to_value(&step->defaulted));
}

static struct value *step_to_value(const struct step *step, bool is_hashed)
{
    struct value_builder fields = {0};
    set_approved_fields(&fields, step);
    if (!is_hashed) {
        value_builder_set(&fields, "seconds", value_decimal(step->seconds));
        value_builder_set_string(&fields, "note", step->note);
    }
    return value_builder_map(&fields);
}

static struct value *summary_to_value(const struct plan *plan)
{
    struct value_builder fields = {0};
    /* Adoptions are left out where there are none, as in plans from before them. */
    for (enum step_kind kind = 0; kind < STEP_KIND_COUNT; kind++)
        if (kind != STEP_ADOPT || plan->counts[kind] > 0)
            value_builder_set(&fields, kind_names[kind],
                              value_integer((int64_t)plan->counts[kind]));
    return value_builder_map(&fields);
}

static struct value *deployment_to_value(const struct plan *plan)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "name", plan->deployment);
    value_builder_set_string(&fields, "environment", plan->environment);
    value_builder_set_string(&fields, "uid", plan->deployment_uid);
    value_builder_set(&fields, "incarnation", value_integer(plan->incarnation));
    value_builder_set(&fields, "records_version", value_integer(plan->records_version));
    value_builder_set(&fields, "production", value_bool(plan->is_production));
    return value_builder_map(&fields);
}

static struct value *notes_to_value(const struct diagnostics *notes)
{
    struct value_builder list = {0};
    for (size_t i = 0; i < notes->n_items; i++) {
        struct value_builder fields = {0};
        value_builder_set_string(&fields, "code", diagnostic_code_to_string(notes->items[i].code));
        value_builder_set_string(&fields, "detail", notes->items[i].detail);
        value_builder_set_string(&fields, "help", notes->items[i].help);
        value_builder_append(&list, value_builder_map(&fields));
    }
    return value_builder_list(&list);
}

static struct value *groups_to_value(const struct plan *plan)
{
    struct value_builder list = {0};
    for (size_t i = 0; i < plan->n_groups; i++) {
        struct value_builder fields = {0};
        value_builder_set_string(&fields, "id", plan->groups[i].id);
        value_builder_set(&fields, "depends_on", string_list_to_value(&plan->groups[i].depends_on));
        value_builder_append(&list, value_builder_map(&fields));
    }
    return value_builder_list(&list);
}

/* The fields of a plan on both sides of "steps", in the order of their keys. */
static struct value *fields_before_steps(const struct plan *plan, bool is_hashed)
{
    struct value_builder fields = {0};
    value_builder_set(&fields, "format_version", value_integer(PLAN_FORMAT_VERSION));
    value_builder_set(&fields, "deployment", deployment_to_value(plan));
    value_builder_set_string(&fields, "document", plan->document);
    value_builder_set_string(&fields, "document_digest", plan->document_digest);
    value_builder_set_string(&fields, "given", plan->given);
    value_builder_set_string(&fields, "source", plan->source);
    value_builder_set(&fields, "parents", value_ref(plan->parents));
    value_builder_set_string(&fields, "catalog_digest", plan->catalog_digest);
    if (plan->credentials && value_count(plan->credentials) > 0)
        value_builder_set(&fields, "credentials", value_ref(plan->credentials));
    value_builder_set(&fields, "destroy", value_bool(plan->is_destroy));
    if (plan->n_groups > 0)
        value_builder_set(&fields, "groups", groups_to_value(plan));
    value_builder_set(&fields, "identities", value_ref(plan->identities));
    value_builder_set(&fields, "existing", value_ref(plan->existing));
    if (value_count(plan->pending) > 0)
        value_builder_set(&fields, "pending", value_ref(plan->pending));
    if (plan->reads && value_count(plan->reads) > 0)
        value_builder_set(&fields, "reads", value_ref(plan->reads));
    if (plan->secrets && value_count(plan->secrets) > 0)
        value_builder_set(&fields, "secrets", value_ref(plan->secrets));
    if (plan->partial)
        value_builder_set(&fields, "partial", value_ref(plan->partial));
    value_builder_set(&fields, "outputs", value_or_null(plan->outputs));
    value_builder_set(&fields, "changes_outputs", value_bool(plan->changes_outputs));
    if (!is_hashed) {
        value_builder_set_string(&fields, "hash", plan->hash);
        value_builder_set(&fields, "notes", notes_to_value(&plan->notes));
        if (plan->knowledge)
            value_builder_set(&fields, "knowledge", value_ref(plan->knowledge));
    }
    return value_builder_map(&fields);
}

static struct value *fields_behind_steps(const struct plan *plan)
{
    struct value_builder fields = {0};
    value_builder_set(&fields, "summary", summary_to_value(plan));
    value_builder_set(&fields, "variables", value_ref(plan->variables));
    return value_builder_map(&fields);
}

/* Who takes the pieces of a text, one after the other. */
struct sink {
    void (*take)(void *argument, const char *text, size_t length);
    void *argument;
};

static void write_step(const struct step *step, bool is_hashed, bool is_first,
                       struct strbuf *buffer, const struct sink *sink)
{
    CLEANUP(value_unrefp) struct value *value = step_to_value(step, is_hashed);
    buffer->length = 0;
    strbuf_add(buffer, is_first ? "" : ",");
    json_write(buffer, value);
    sink->take(sink->argument, buffer->text, buffer->length);
}

/* plan_to_value() as canonical JSON: without its braces in the middle, the fields are one map. */
static void write_plan(const struct plan *plan, bool is_hashed, const struct sink *sink)
{
    static const char steps[] = ",\"steps\":[";
    CLEANUP(value_unrefp) struct value *before = fields_before_steps(plan, is_hashed);
    CLEANUP(value_unrefp) struct value *behind = fields_behind_steps(plan);
    CLEANUP(mem_freep) char *head = json_text(before);
    CLEANUP(mem_freep) char *tail = json_text(behind);
    struct strbuf buffer = {0};
    sink->take(sink->argument, head, strlen(head) - 1);
    sink->take(sink->argument, steps, strlen(steps));
    for (size_t i = 0; i < plan->n_steps; i++)
        write_step(&plan->steps[i], is_hashed, i == 0, &buffer, sink);
    sink->take(sink->argument, "],", 2);
    sink->take(sink->argument, tail + 1, strlen(tail) - 1);
    strbuf_done(&buffer);
}

static void add_to_digest(void *argument, const char *text, size_t length)
{
    digest_add(argument, text, length);
}

static void add_to_text(void *argument, const char *text, size_t length)
{
    strbuf_add_n(argument, text, length);
}

void plan_seal(struct plan *plan)
{
    size_t kept = plan->counts[STEP_KEEP];
    memset(plan->counts, 0, sizeof(plan->counts));
    plan->counts[STEP_KEEP] = kept;
    for (size_t i = 0; i < plan->n_steps; i++)
        plan->counts[plan->steps[i].kind]++;
    struct digest *digest = digest_begin();
    write_plan(plan, true, &(struct sink){add_to_digest, digest});
    digest_end(digest, plan->hash);
}

char *plan_text(const struct plan *plan)
{
    struct strbuf text = {0};
    write_plan(plan, false, &(struct sink){add_to_text, &text});
    return strbuf_take(&text);
}

static struct value *head_to_value(const struct plan *plan)
{
    CLEANUP(value_unrefp) struct value *before = fields_before_steps(plan, false);
    CLEANUP(value_unrefp) struct value *behind = fields_behind_steps(plan);
    const struct value *parts[] = {before, behind};
    struct value_builder fields = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(parts); i++)
        for (size_t k = 0; k < value_count(parts[i]); k++)
            value_builder_set(&fields, value_key_at(parts[i], k), value_ref(value_at(parts[i], k)));
    return value_builder_map(&fields);
}

char *plan_head_text(const struct plan *plan)
{
    CLEANUP(value_unrefp) struct value *head = head_to_value(plan);
    return json_text(head);
}

char *plan_step_text(const struct plan *plan, size_t i)
{
    assert(i < plan->n_steps);
    CLEANUP(value_unrefp) struct value *step = step_to_value(&plan->steps[i], false);
    return json_text(step);
}

struct value *plan_to_value(const struct plan *plan)
{
    CLEANUP(value_unrefp) struct value *head = head_to_value(plan);
    struct value_builder steps = {0};
    for (size_t i = 0; i < plan->n_steps; i++)
        value_builder_append(&steps, step_to_value(&plan->steps[i], false));
    return value_with(head, "steps", value_builder_list(&steps));
}

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

static bool read_bool(struct reader *reader, const char *key)
{
    struct value *field = read_field(reader, key, VALUE_BOOL, false);
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

static void read_strings(struct reader *reader, const char *key, struct string_list *list)
{
    string_list_from_value(list, read_field(reader, key, VALUE_LIST, false));
}

/* What the kind of a step promises about its states. */
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

static void check_states(struct reader *reader, const struct step *step)
{
    bool is_adoption = step->kind == STEP_ADOPT;
    bool needs_after = step->kind == STEP_CREATE || step->kind == STEP_UPDATE || is_adoption;
    bool needs_before = step->kind == STEP_UPDATE || step->kind == STEP_DELETE || is_adoption;
    if (reader->result == 0 && ((needs_after && !step->after) || (needs_before && !step->before)))
        reader->result =
            error_set(reader->err, ERROR_INVALID, "%s: a step of kind %s lacks its state",
                      reader->what, kind_names[step->kind]);
    if (reader->result == 0 && is_adoption && !step->provider_id)
        reader->result = error_set(reader->err, ERROR_INVALID,
                                   "%s: an adoption lacks \"provider_id\"", reader->what);
    if (reader->result == 0 && step->kind == STEP_RENAME && !step->former)
        reader->result =
            error_set(reader->err, ERROR_INVALID, "%s: a rename lacks \"former\"", reader->what);
}

static int step_from_value(const struct value *value, size_t number, struct step *step,
                           struct error *err)
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
    step->replaces = read_bool(&reader, "replaces");
    step->protect = read_bool(&reader, "protect");
    step->irreversible = read_bool(&reader, "irreversible");
    step->record_only = value_get_bool(value, "record_only", false);
    step->before = read_value(&reader, "before", VALUE_MAP, true);
    step->after = read_value(&reader, "after", VALUE_MAP, true);
    step->proposed = read_value(&reader, "proposed", VALUE_MAP, true);
    step->live = read_value(&reader, "live", VALUE_MAP, true);
    step->changed = read_value(&reader, "changed", VALUE_LIST, true);
    check_items(&reader, "changed", step->changed, VALUE_STRING);
    if (value_get(value, "defaulted"))
        read_strings(&reader, "defaulted", &step->defaulted);
    step->reverts = read_value(&reader, "reverts", VALUE_LIST, true);
    read_strings(&reader, "resources", &step->resources);
    read_strings(&reader, "depends_on", &step->depends_on);
    const struct value *seconds = value_get(value, "seconds");
    if (seconds && (value_kind(seconds) == VALUE_DECIMAL || value_kind(seconds) == VALUE_INTEGER))
        step->seconds = value_to_decimal(seconds);
    step->note = read_text(&reader, "note", true);
    check_states(&reader, step);
    return reader.result;
}

static int deployment_from_value(struct plan *plan, const struct value *value, struct error *err)
{
    struct reader reader = {value, "plan, deployment", 0, err};
    plan->deployment = read_text(&reader, "name", false);
    plan->environment = read_text(&reader, "environment", false);
    plan->deployment_uid = read_text(&reader, "uid", false);
    plan->incarnation = read_integer(&reader, "incarnation");
    plan->records_version = read_integer(&reader, "records_version");
    plan->is_production = read_bool(&reader, "production");
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
    plan->is_destroy = read_bool(reader, "destroy");
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
    plan->changes_outputs = read_bool(reader, "changes_outputs");
    const struct value *summary = read_field(reader, "summary", VALUE_MAP, false);
    plan->counts[STEP_KEEP] = (size_t)value_get_integer(summary, kind_names[STEP_KEEP], 0);
    return reader->result;
}

static int steps_from_value(struct plan *plan, const struct value *steps, struct error *err)
{
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
        read_strings(&reader, "depends_on", &depends_on);
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

int plan_read_unsealed(const struct value *value, struct plan **ret_plan, struct error *err)
{
    struct reader reader = {value, "plan", 0, err};
    int64_t version = read_integer(&reader, "format_version");
    if (reader.result == 0 && version > PLAN_FORMAT_VERSION)
        return error_set(
            err, ERROR_UNSUPPORTED,
            "the plan has format %lld; this program reads up to %d: use a newer parley",
            (long long)version, PLAN_FORMAT_VERSION);
    const struct value *deployment = read_field(&reader, "deployment", VALUE_MAP, false);
    const struct value *steps = read_field(&reader, "steps", VALUE_LIST, false);
    CLEANUP(plan_freep) struct plan *plan = plan_new();
    int r = header_from_value(plan, &reader);
    if (r < 0 || (r = deployment_from_value(plan, deployment, err)) < 0 ||
        (r = steps_from_value(plan, steps, err)) < 0 ||
        (r = groups_from_value(plan, value_get(value, "groups"), err)) < 0)
        return r;
    notes_from_value(plan, value_get(value, "notes"));
    plan_seal(plan);
    *ret_plan = take_ptr(plan);
    return 0;
}

int plan_from_value(const struct value *value, struct plan **ret_plan, struct error *err)
{
    struct reader reader = {value, "plan", 0, err};
    const struct value *stated = read_field(&reader, "hash", VALUE_STRING, false);
    CLEANUP(plan_freep) struct plan *plan = NULL;
    if (reader.result < 0)
        return reader.result;
    int r = plan_read_unsealed(value, &plan, err);
    if (r < 0)
        return r;
    if (!text_equal(value_text(stated), plan->hash))
        return error_set(
            err, ERROR_CORRUPT,
            "the plan was altered after it was made, so nothing was changed; make it anew with "
            "\"parley plan\": its content has the hash %.12s, but it says %.12s",
            plan->hash, value_text(stated));
    *ret_plan = take_ptr(plan);
    return 0;
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
