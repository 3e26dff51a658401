/* Verbs are asked, and described as data. */
#include "service/verbs.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "service/allowed.h"

#include <assert.h>

size_t verb_count_inputs(const struct verb *verb)
{
    size_t n = 0;
    while (n < VERB_MAX_INPUTS && verb->inputs[n].name)
        n++;
    return n;
}

const char *verb_effect_to_string(enum verb_effect effect)
{
    static const char *const names[] = {
        [VERB_READ] = "read",   [VERB_PLAN] = "plan", [VERB_APPROVE] = "approve",
        [VERB_APPLY] = "apply", [VERB_STOP] = "stop", [VERB_ADMINISTER] = "administer",
        [VERB_OWN] = "own",
    };
    assert(effect < VERB_EFFECT_COUNT);
    return names[effect];
}

/* --- Asking --- */

static const struct verb_input *find_input(const struct verb *verb, const char *name)
{
    for (size_t i = 0; i < verb_count_inputs(verb); i++)
        if (text_equal(verb->inputs[i].name, name))
            return &verb->inputs[i];
    return NULL;
}

static bool is_list_of_texts(const struct value *value)
{
    if (value_kind(value) != VALUE_LIST)
        return false;
    for (size_t i = 0; i < value_count(value); i++)
        if (value_kind(value_at(value, i)) != VALUE_STRING)
            return false;
    return true;
}

static bool is_map_of_texts(const struct value *value)
{
    if (value_kind(value) != VALUE_MAP)
        return false;
    for (size_t i = 0; i < value_count(value); i++)
        if (value_kind(value_at(value, i)) != VALUE_STRING)
            return false;
    return true;
}

static bool is_of_kind(const struct value *value, enum input_kind kind)
{
    switch (kind) {
    case INPUT_TEXT:
        return value_kind(value) == VALUE_STRING && value_text_length(value) > 0;
    case INPUT_FLAG:
        return value_kind(value) == VALUE_BOOL;
    case INPUT_LIST:
        return is_list_of_texts(value);
    default:
        return is_map_of_texts(value);
    }
}

static void check_field(const struct verb *verb, const char *name, const struct value *value,
                        struct strbuf *faults)
{
    static const char *const kinds[] = {
        [INPUT_TEXT] = "a text that is not empty",
        [INPUT_FLAG] = "true or false",
        [INPUT_LIST] = "a list of texts",
        [INPUT_MAP] = "a map of texts",
    };
    const struct verb_input *field = find_input(verb, name);
    if (!field)
        strbuf_addf(faults, "; it has no field \"%s\"", name);
    else if (!is_of_kind(value, field->kind))
        strbuf_addf(faults, "; \"%s\" must be %s", name, kinds[field->kind]);
}

static int check_input(const struct verb *verb, const struct value *input, struct error *err)
{
    struct strbuf faults = {0};
    for (size_t i = 0; i < value_count(input); i++)
        check_field(verb, value_key_at(input, i), value_at(input, i), &faults);
    for (size_t i = 0; i < verb_count_inputs(verb); i++)
        if (verb->inputs[i].is_required && !value_get(input, verb->inputs[i].name))
            strbuf_addf(&faults, "; \"%s\" is missing: %s", verb->inputs[i].name,
                        verb->inputs[i].summary);
    int r = 0;
    if (faults.length > 0)
        r = error_set(err, ERROR_INVALID, "%s: %s", verb->name, strbuf_text(&faults) + 2);
    strbuf_done(&faults);
    return r;
}

int verb_check(struct service *service, const struct verb *verb, const char *asked,
               struct error *err)
{
    struct error denial = {0};
    int r = verb_check_allowed(verb, &service->caller, service->site, &denial);
    return r < 0 ? allowed_refuse(service, verb->effect, asked, &denial, err) : 0;
}

int verb_run(struct service *service, const struct verb *verb, const struct verb_call *call,
             struct verb_answer *ret_answer, struct error *err)
{
    assert(value_kind(call->input) == VALUE_MAP);
    int r = verb_check(service, verb, verb->name, err);
    if (r < 0 || (r = check_input(verb, call->input, err)) < 0)
        return r;
    r = verb->run(service, call, ret_answer, err);
    assert((r == 0) == (ret_answer->value || ret_answer->plan));
    return r;
}

void verb_answer_done(struct verb_answer *answer)
{
    value_unref(answer->value);
    plan_free(answer->plan);
    value_unref(answer->edit);
    diagnostics_done(&answer->diagnostics);
    mem_free(answer->text);
    *answer = (struct verb_answer){0};
}

const struct value *verb_answer_value(struct verb_answer *answer)
{
    if (!answer->value && answer->plan)
        answer->value = plan_to_value(answer->plan);
    return answer->value;
}

/* --- As data --- */

static struct value *input_schema(const struct verb_input *input)
{
    static const char *const types[] = {[INPUT_TEXT] = "string",
                                        [INPUT_FLAG] = "boolean",
                                        [INPUT_LIST] = "array",
                                        [INPUT_MAP] = "object"};
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "type", types[input->kind]);
    value_builder_set_string(&fields, "description", input->summary);
    if (input->kind == INPUT_TEXT)
        value_builder_set(&fields, "minLength", value_integer(1));
    if (input->kind == INPUT_MAP || input->kind == INPUT_LIST) {
        struct value_builder item = {0};
        value_builder_set_string(&item, "type", "string");
        value_builder_set(&fields, input->kind == INPUT_MAP ? "additionalProperties" : "items",
                          value_builder_map(&item));
    }
    return value_builder_map(&fields);
}

struct value *verb_input_schema(const struct verb *verb)
{
    struct value_builder properties = {0};
    struct value_builder required = {0};
    struct value_builder schema = {0};
    for (size_t i = 0; i < verb_count_inputs(verb); i++) {
        const struct verb_input *input = &verb->inputs[i];
        value_builder_set(&properties, input->name, input_schema(input));
        if (input->is_required)
            value_builder_append(&required, value_string(input->name));
    }
    value_builder_set_string(&schema, "type", "object");
    value_builder_set(&schema, "properties", value_builder_map(&properties));
    value_builder_set(&schema, "required", value_builder_list(&required));
    value_builder_set(&schema, "additionalProperties", value_bool(false));
    return value_builder_map(&schema);
}

static struct value *diagnostic_to_value(const struct diagnostic *diagnostic)
{
    static const char *const severities[] = {
        [DIAGNOSTIC_ERROR] = "error", [DIAGNOSTIC_WARNING] = "warning", [DIAGNOSTIC_NOTE] = "note"};
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "severity", severities[diagnostic->severity]);
    value_builder_set_string(&fields, "code", diagnostic_code_to_string(diagnostic->code));
    value_builder_set_string(&fields, "summary", diagnostic_code_summary(diagnostic->code));
    value_builder_set_string(&fields, "detail", diagnostic->detail);
    value_builder_set_string(&fields, "help", diagnostic->help);
    value_builder_set_string(&fields, "file", diagnostic->file);
    if (diagnostic->line > 0) {
        value_builder_set(&fields, "line", value_integer(diagnostic->line));
        value_builder_set(&fields, "column", value_integer(diagnostic->column));
    }
    return value_builder_map(&fields);
}

struct value *diagnostics_to_value(const struct diagnostics *diagnostics)
{
    struct value_builder list = {0};
    for (size_t i = 0; i < diagnostics->n_items; i++)
        value_builder_append(&list, diagnostic_to_value(&diagnostics->items[i]));
    return value_builder_list(&list);
}
