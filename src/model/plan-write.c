/* A plan as a value and as text, and what of it is approved: its hash. */
#include "model/plan.h"

#include "base/digest.h"
#include "base/memory.h"
#include "model/json.h"
#include "model/plan-internal.h"

#include <assert.h>
#include <string.h>

static struct value *value_or_null(struct value *value)
{
    return value ? value_ref(value) : value_null();
}

static struct value *summary_to_value(const struct plan *plan)
{
    struct value_builder fields = {0};
    /* Adoptions and actions are left out where there are none, as in plans from before them. */
    for (enum step_kind kind = 0; kind < STEP_KIND_COUNT; kind++)
        if ((kind != STEP_ADOPT && kind != STEP_ACT) || plan->counts[kind] > 0)
            value_builder_set(&fields, step_kind_to_string(kind),
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
static struct value *fields_before_steps(const struct plan *plan, bool is_hashed, bool has_document)
{
    struct value_builder fields = {0};
    value_builder_set(&fields, "format_version", value_integer(PLAN_FORMAT_VERSION));
    value_builder_set(&fields, "deployment", deployment_to_value(plan));
    if (has_document)
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

/* plan_to_value() as canonical JSON: without its braces in the middle, the fields are one map. */
static void write_plan(const struct plan *plan, bool is_hashed, const struct sink *sink)
{
    enum { PIECE = 1 << 16 };
    enum step_form form = is_hashed ? STEP_FORM_APPROVED : STEP_FORM_WHOLE;
    static const char steps[] = ",\"steps\":[";
    CLEANUP(value_unrefp) struct value *before = fields_before_steps(plan, is_hashed, true);
    CLEANUP(value_unrefp) struct value *behind = fields_behind_steps(plan);
    CLEANUP(mem_freep) char *head = json_text(before);
    CLEANUP(mem_freep) char *tail = json_text(behind);
    struct strbuf buffer = {0};
    sink->take(sink->argument, head, strlen(head) - 1);
    sink->take(sink->argument, steps, strlen(steps));
    for (size_t i = 0; i < plan->n_steps; i++) {
        strbuf_add(&buffer, i == 0 ? "" : ",");
        step_write(&buffer, &plan->steps[i], form);
        if (buffer.length >= PIECE || i + 1 == plan->n_steps) {
            sink->take(sink->argument, buffer.text, buffer.length);
            strbuf_clear(&buffer);
        }
    }
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

static struct value *head_to_value(const struct plan *plan, bool has_document)
{
    CLEANUP(value_unrefp) struct value *before = fields_before_steps(plan, false, has_document);
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
    CLEANUP(value_unrefp) struct value *head = head_to_value(plan, false);
    return json_text(head);
}

struct value *plan_to_value(const struct plan *plan)
{
    CLEANUP(value_unrefp) struct value *head = head_to_value(plan, true);
    struct value_builder steps = {0};
    for (size_t i = 0; i < plan->n_steps; i++)
        value_builder_append(&steps, step_to_value(&plan->steps[i]));
    return value_with(head, "steps", value_builder_list(&steps));
}
