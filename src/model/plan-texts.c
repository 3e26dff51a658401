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

/* Texts one behind the other in a buffer, which may move until all are there. */
struct texts {
    struct strbuf *buffer;
    size_t starts[STEP_TEXT_COUNT];
    bool is_made[STEP_TEXT_COUNT];
};

static void begin_text(struct texts *texts, enum step_text text)
{
    texts->starts[text] = texts->buffer->length;
    texts->is_made[text] = true;
}

static void end_text(const struct texts *texts)
{
    strbuf_add_char(texts->buffer, '\0');
}

/* The id of a step that says its kind, address and generation. */
static bool has_label(const struct step *step, struct strbuf *buffer)
{
    strbuf_clear(buffer);
    strbuf_add(buffer, step_kind_to_string(step->kind));
    strbuf_add_char(buffer, ' ');
    strbuf_add(buffer, step->address);
    strbuf_add_char(buffer, '#');
    strbuf_add_integer(buffer, step->generation);
    bool is_label = strcmp(buffer->text, step->id) == 0;
    strbuf_clear(buffer);
    return is_label;
}

static void add_body(struct texts *texts, const struct step *step, enum step_form form)
{
    begin_text(texts, STEP_TEXT_BODY);
    step_write(texts->buffer, step, form);
    end_text(texts);
}

static void add_value(struct texts *texts, enum step_text text, const struct value *value)
{
    if (!value)
        return;
    begin_text(texts, text);
    json_write(texts->buffer, value);
    end_text(texts);
}

static void join_lines(struct texts *texts, enum step_text text, const struct string_list *list)
{
    if (list->n_items == 0)
        return;
    begin_text(texts, text);
    for (size_t i = 0; i < list->n_items; i++) {
        if (i > 0)
            strbuf_add_char(texts->buffer, '\n');
        strbuf_add(texts->buffer, list->items[i]);
    }
    end_text(texts);
}

static void take_made(const struct texts *texts, const char *ret_texts[STEP_TEXT_COUNT])
{
    for (size_t i = 0; i < STEP_TEXT_COUNT; i++)
        if (texts->is_made[i])
            ret_texts[i] = texts->buffer->text + texts->starts[i];
}

void plan_step_texts(const struct plan *plan, size_t i, struct strbuf *buffer,
                     const char *ret_texts[STEP_TEXT_COUNT])
{
    assert(i < plan->n_steps);
    const struct step *step = &plan->steps[i];
    struct texts texts = {.buffer = buffer};
    bool has_columns =
        has_label(step, buffer) && fits_lines(&step->resources) && fits_lines(&step->depends_on);
    memset(ret_texts, 0, STEP_TEXT_COUNT * sizeof(ret_texts[0]));
    add_body(&texts, step, has_columns ? STEP_FORM_REST : STEP_FORM_STORED);
    if (has_columns) {
        ret_texts[STEP_TEXT_LABEL] = step->id;
        ret_texts[STEP_TEXT_REASON] = step_reason_to_string(step->reason);
        ret_texts[STEP_TEXT_TYPE] = step->type;
        ret_texts[STEP_TEXT_INSTANCE] = step->instance;
        ret_texts[STEP_TEXT_UID] = step->uid;
        ret_texts[STEP_TEXT_ORIGIN] = step->origin;
        ret_texts[STEP_TEXT_STAGE] = stage_to_string(step->stage);
        add_value(&texts, STEP_TEXT_AFTER, step->after);
        add_value(&texts, STEP_TEXT_BEFORE, step->before);
        join_lines(&texts, STEP_TEXT_RESOURCES, &step->resources);
        join_lines(&texts, STEP_TEXT_DEPENDS_ON, &step->depends_on);
    }
    take_made(&texts, ret_texts);
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
static int read_body(struct value_builder *fields, const char *text, struct error *err)
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
        r = read_body(&fields, texts[STEP_TEXT_BODY], err);
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

static void read_lines(struct string_list *list, const char *text)
{
    for (const char *end; text; text = *end ? end + 1 : NULL) {
        end = strchrnul(text, '\n');
        string_list_add_n(list, text, (size_t)(end - text));
    }
}

static bool read_state(const char *text, struct value **ret_value)
{
    if (!text)
        return true;
    return json_read(text, strlen(text), ret_value, NULL) == 0 &&
           value_kind(*ret_value) == VALUE_MAP;
}

/* As add_label(). */
static bool read_label(const char *label, struct step *step)
{
    const char *hash = strrchr(label, '#');
    size_t length = strcspn(label, " ");
    char *end = NULL;
    step->generation = hash ? strtoll(hash + 1, &end, 10) : 0;
    if (!label[length] || !hash || hash < label + length || end == hash + 1 || *end)
        return false;
    CLEANUP(mem_freep) char *kind = string_copy_n(label, length);
    step->kind = step_kind_from_string(kind);
    step->id = string_copy(label);
    step->address = string_copy_n(label + length + 1, (size_t)(hash - label) - length - 1);
    return step->kind < STEP_KIND_COUNT;
}

/*
 * What most steps are, without a value in between. False for any other, also for one with a fault;
 * the step may then be half read.
 */
static bool read_common(const char *const texts[STEP_TEXT_COUNT], struct step *step)
{
    static const enum step_text needed[] = {STEP_TEXT_LABEL,    STEP_TEXT_REASON, STEP_TEXT_TYPE,
                                            STEP_TEXT_INSTANCE, STEP_TEXT_UID,    STEP_TEXT_ORIGIN,
                                            STEP_TEXT_STAGE};
    for (size_t i = 0; i < ARRAY_LENGTH(needed); i++)
        if (!texts[needed[i]])
            return false;
    if (strcmp(texts[STEP_TEXT_BODY], "{}") != 0 || !read_label(texts[STEP_TEXT_LABEL], step))
        return false;
    step->reason = step_reason_from_string(texts[STEP_TEXT_REASON]);
    step->stage = stage_from_string(texts[STEP_TEXT_STAGE]);
    step->type = string_copy(texts[STEP_TEXT_TYPE]);
    step->instance = string_copy(texts[STEP_TEXT_INSTANCE]);
    step->uid = string_copy(texts[STEP_TEXT_UID]);
    step->origin = string_copy(texts[STEP_TEXT_ORIGIN]);
    read_lines(&step->resources, texts[STEP_TEXT_RESOURCES]);
    read_lines(&step->depends_on, texts[STEP_TEXT_DEPENDS_ON]);
    return step->reason < STEP_REASON_COUNT && step->stage < STAGE_COUNT &&
           read_state(texts[STEP_TEXT_AFTER], &step->after) &&
           read_state(texts[STEP_TEXT_BEFORE], &step->before);
}

int plan_read_step(struct plan *plan, const char *const texts[STEP_TEXT_COUNT], struct error *err)
{
    CLEANUP(value_unrefp) struct value *value = NULL;
    struct error fault = {0};
    struct step *step = plan_add_step(plan);
    if (read_common(texts, step))
        return step_check_states(step, plan->n_steps, err);
    step_done(step);
    *step = (struct step){0};
    if (step_from_texts(texts, &value, &fault) == 0)
        return step_from_value(value, plan->n_steps, step, err);
    int r = error_set(err, ERROR_CORRUPT, "a step cannot be read: %s", error_message(&fault));
    error_done(&fault);
    return r;
}
