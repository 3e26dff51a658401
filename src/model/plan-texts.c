/* A step as texts, as the store keeps it, and back. */
#include "base/memory.h"
#include "model/json.h"
#include "model/plan-internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Whether the items, a line each, are those items again. */
static bool fits_lines(const struct string_list *list)
{
    for (size_t i = 0; i < list->n_items; i++)
        if (!list->items[i][0] || strchr(list->items[i], '\n'))
            return false;
    return true;
}

/* The id of a step that says its kind, address and generation. */
static char *make_label(const struct step *step)
{
    struct strbuf label = {0};
    strbuf_add(&label, step_kind_to_string(step->kind));
    strbuf_add_char(&label, ' ');
    strbuf_add(&label, step->address);
    strbuf_add_char(&label, '#');
    strbuf_add_integer(&label, step->generation);
    return strbuf_take(&label);
}

static char *copy_or_null(const char *text)
{
    return text ? string_copy(text) : NULL;
}

static char *json_or_null(const struct value *value)
{
    return value ? json_text(value) : NULL;
}

static char *join_lines(const struct string_list *list)
{
    struct strbuf lines = {0};
    for (size_t i = 0; i < list->n_items; i++) {
        if (i > 0)
            strbuf_add_char(&lines, '\n');
        strbuf_add(&lines, list->items[i]);
    }
    return list->n_items > 0 ? strbuf_take(&lines) : NULL;
}

static char *body_text(const struct step *step, enum step_form form)
{
    struct strbuf body = {0};
    step_write(&body, step, form);
    return strbuf_take(&body);
}

void plan_step_texts(const struct plan *plan, size_t i, char *ret_texts[STEP_TEXT_COUNT])
{
    assert(i < plan->n_steps);
    const struct step *step = &plan->steps[i];
    CLEANUP(mem_freep) char *label = make_label(step);
    memset(ret_texts, 0, STEP_TEXT_COUNT * sizeof(ret_texts[0]));
    if (strcmp(label, step->id) != 0 || !fits_lines(&step->resources) ||
        !fits_lines(&step->depends_on)) {
        ret_texts[STEP_TEXT_BODY] = body_text(step, STEP_FORM_STORED);
        return;
    }
    ret_texts[STEP_TEXT_BODY] = body_text(step, STEP_FORM_REST);
    ret_texts[STEP_TEXT_LABEL] = take_ptr(label);
    ret_texts[STEP_TEXT_REASON] = string_copy(step_reason_to_string(step->reason));
    ret_texts[STEP_TEXT_TYPE] = copy_or_null(step->type);
    ret_texts[STEP_TEXT_INSTANCE] = copy_or_null(step->instance);
    ret_texts[STEP_TEXT_UID] = copy_or_null(step->uid);
    ret_texts[STEP_TEXT_ORIGIN] = copy_or_null(step->origin);
    ret_texts[STEP_TEXT_STAGE] = string_copy(stage_to_string(step->stage));
    ret_texts[STEP_TEXT_AFTER] = json_or_null(step->after);
    ret_texts[STEP_TEXT_BEFORE] = json_or_null(step->before);
    ret_texts[STEP_TEXT_RESOURCES] = join_lines(&step->resources);
    ret_texts[STEP_TEXT_DEPENDS_ON] = join_lines(&step->depends_on);
}

static int add_json(struct value_builder *fields, const char *key, const char *text,
                    struct error *err)
{
    struct value *value = NULL;
    int r = text ? json_read(text, strlen(text), &value, err) : 0;
    if (r == 0 && value)
        value_builder_set(fields, key, value);
    return r;
}

static void add_lines(struct value_builder *fields, const char *key, const char *text)
{
    struct value_builder list = {0};
    if (!text)
        return;
    for (const char *end; text; text = *end ? end + 1 : NULL) {
        end = strchrnul(text, '\n');
        value_builder_append(&list, value_string_n(text, (size_t)(end - text)));
    }
    value_builder_set(fields, key, value_builder_list(&list));
}

/* kind, address and generation from "KIND ADDRESS#GENERATION". */
static int add_label(struct value_builder *fields, const char *label, struct error *err)
{
    const char *space = strchr(label, ' ');
    const char *hash = strrchr(label, '#');
    char *end = NULL;
    long long generation = hash ? strtoll(hash + 1, &end, 10) : 0;
    if (!space || !hash || hash < space || end == hash + 1 || *end)
        return error_set(err, ERROR_CORRUPT, "\"%s\" is no step's id", label);
    value_builder_set(fields, "address", value_string_n(space + 1, (size_t)(hash - space - 1)));
    value_builder_set(fields, "generation", value_integer(generation));
    value_builder_set(fields, "id", value_string(label));
    value_builder_set(fields, "kind", value_string_n(label, (size_t)(space - label)));
    return 0;
}

/* All that stands in the body, too. */
static int add_body(struct value_builder *fields, const char *text, struct error *err)
{
    CLEANUP(value_unrefp) struct value *body = NULL;
    if (strcmp(text, "{}") == 0)
        return 0;
    int r = json_read(text, strlen(text), &body, err);
    if (r < 0)
        return r;
    if (value_kind(body) != VALUE_MAP)
        return error_set(err, ERROR_CORRUPT, "the step is no map");
    for (size_t i = 0; i < value_count(body); i++)
        value_builder_set(fields, value_key_at(body, i), value_ref(value_at(body, i)));
    return 0;
}

int step_from_texts(const char *const texts[STEP_TEXT_COUNT], struct value **ret_step,
                    struct error *err)
{
    static const struct {
        const char *key;
        enum step_text text;
    } plain[] = {{"instance", STEP_TEXT_INSTANCE}, {"origin", STEP_TEXT_ORIGIN},
                 {"reason", STEP_TEXT_REASON},     {"stage", STEP_TEXT_STAGE},
                 {"type", STEP_TEXT_TYPE},         {"uid", STEP_TEXT_UID}};
    struct value_builder fields = {0};
    if (!texts[STEP_TEXT_LABEL])
        return json_read(texts[STEP_TEXT_BODY], strlen(texts[STEP_TEXT_BODY]), ret_step, err);
    int r = add_label(&fields, texts[STEP_TEXT_LABEL], err);
    if (r == 0)
        r = add_json(&fields, "after", texts[STEP_TEXT_AFTER], err);
    if (r == 0)
        r = add_json(&fields, "before", texts[STEP_TEXT_BEFORE], err);
    if (r == 0)
        r = add_body(&fields, texts[STEP_TEXT_BODY], err);
    if (r < 0) {
        value_builder_done(&fields);
        return r;
    }
    add_lines(&fields, "depends_on", texts[STEP_TEXT_DEPENDS_ON]);
    add_lines(&fields, "resources", texts[STEP_TEXT_RESOURCES]);
    for (size_t i = 0; i < ARRAY_LENGTH(plain); i++)
        if (texts[plain[i].text])
            value_builder_set(&fields, plain[i].key, value_string(texts[plain[i].text]));
    *ret_step = value_builder_map(&fields);
    return 0;
}
