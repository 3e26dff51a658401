/* Texts with expressions in them. */
#include "model/expression.h"

#include "model/expression-internal.h"
#include "model/functions.h"

#include <string.h>

bool expression_is_in(const char *text)
{
    return strstr(text, "${") != NULL;
}

char *expression_escape(const char *text)
{
    struct strbuf escaped = {0};
    for (const char *found; (found = strstr(text, "${")); text = found + 2) {
        strbuf_add_n(&escaped, text, (size_t)(found - text));
        strbuf_add(&escaped, "$${");
    }
    strbuf_add(&escaped, text);
    return strbuf_take(&escaped);
}

/* A text as far as it was evaluated. */
struct template
{
    struct strbuf plain;  /* what is known of it */
    size_t n_written;     /* bytes of plain that are in origin already */
    struct strbuf origin; /* once something has no text yet: all before it, as a text with ${...} */
    bool has_unknown;
    bool has_secret;
};

/*
 * Appends a part to an origin. When a "$" that is only a "$" would meet what follows and change its
 * meaning, it becomes an expression of its own.
 */
static void add_part(struct strbuf *origin, const char *part)
{
    size_t n_dollars = 0;
    while (n_dollars < origin->length && origin->text[origin->length - 1 - n_dollars] == '$')
        n_dollars++;
    if (n_dollars > 0 && (*part == '$' || *part == '{')) {
        origin->length -= n_dollars;
        strbuf_add(origin, "${\"");
        strbuf_add_repeated(origin, '$', n_dollars);
        strbuf_add(origin, "\"}");
    }
    strbuf_add(origin, part);
}

/* Brings the origin up to what is known. */
static void write_known(struct template *template)
{
    if (template->n_written == template->plain.length)
        return;
    CLEANUP(mem_freep) char *known = expression_escape(template->plain.text + template->n_written);
    add_part(&template->origin, known);
    template->n_written = template->plain.length;
}

static int add_value(struct expression_parser *parser, struct template *template,
                     const struct value *value, const char *start, struct error *err)
{
    bool is_secret = value_kind(value) == VALUE_SECRET && *value_secret_origin(value);
    if (is_secret || value_kind(value) == VALUE_UNKNOWN) {
        template->has_secret = template->has_secret || is_secret;
        template->has_unknown = template->has_unknown || !is_secret;
        write_known(template);
        add_part(&template->origin, is_secret ? value_secret_origin(value) : value_text(value));
        return 0;
    }
    if (function_scalar_text(&template->plain, value))
        return 0;
    expression_fail(parser, start);
    return error_set(err, ERROR_INVALID, "a value of kind %s cannot be part of a text",
                     value_kind_to_string(value_kind(value)));
}

static int check_template_size(struct expression_parser *parser, const struct template *template,
                               const char *start, struct error *err)
{
    if (template->plain.length <= FUNCTION_MAX_TEXT && template->origin.length <= FUNCTION_MAX_TEXT)
        return 0;
    expression_fail(parser, start);
    return error_set(err, ERROR_LIMIT, "the text grows beyond %zu bytes", FUNCTION_MAX_TEXT);
}

/* Adds what stands before the next expression; parser->at is then at "${" or the end. */
static void add_plain(struct expression_parser *parser, struct template *template)
{
    for (;;) {
        size_t length = strcspn(parser->at, "$");
        strbuf_add_n(&template->plain, parser->at, length);
        parser->at += length;
        if (!*parser->at || strncmp(parser->at, "${", 2) == 0)
            return;
        bool is_escape = strncmp(parser->at, "$${", 3) == 0;
        strbuf_add(&template->plain, is_escape ? "${" : "$");
        parser->at += is_escape ? 3 : 1;
    }
}

/* Evaluates all of parser->text. A value that is all of the text is given as it is. */
static int evaluate_template(struct expression_parser *parser, struct template *template,
                             struct value **ret_value, struct error *err)
{
    for (;;) {
        add_plain(parser, template);
        if (!*parser->at)
            break;
        const char *start = parser->at;
        CLEANUP(value_unrefp) struct value *value = NULL;
        int r = expression_parse_braces(parser, &value, err);
        if (r < 0)
            return r;
        if (start == parser->text && !*parser->at) {
            *ret_value = take_ptr(value);
            return 0;
        }
        r = parser->found ? 0 : add_value(parser, template, value, start, err);
        if (r == 0)
            r = check_template_size(parser, template, start, err);
        if (r < 0)
            return r;
    }
    if (template->has_unknown || template->has_secret)
        write_known(template);
    if (template->has_unknown)
        *ret_value = value_unknown("string", strbuf_text(&template->origin));
    else if (template->has_secret)
        *ret_value = value_secret("", strbuf_text(&template->origin));
    else
        *ret_value = value_string_n(strbuf_text(&template->plain), template->plain.length);
    return 0;
}

static int run(struct expression_parser *parser, struct value **ret_value,
               struct expression_fault *ret_fault, struct error *err)
{
    struct template template = {0};
    parser->at = parser->text;
    int r = evaluate_template(parser, &template, ret_value, err);
    strbuf_done(&template.plain);
    strbuf_done(&template.origin);
    if (r < 0 && ret_fault)
        *ret_fault = parser->fault;
    return r;
}

int expression_evaluate(const char *text, reference_lookup lookup, void *argument,
                        struct value **ret_value, struct expression_fault *ret_fault,
                        struct error *err)
{
    struct expression_parser parser = {.text = text, .lookup = lookup, .argument = argument};
    return run(&parser, ret_value, ret_fault, err);
}

int expression_references(const char *text, reference_found found, void *argument,
                          struct expression_fault *ret_fault, struct error *err)
{
    struct expression_parser parser = {.text = text, .found = found, .argument = argument};
    CLEANUP(value_unrefp) struct value *value = NULL;
    return run(&parser, &value, ret_fault, err);
}

static int note_secret(void *argument, const struct reference *reference, struct error *err)
{
    bool *is_there = argument;
    (void)err;
    *is_there = *is_there || (!reference->type && strcmp(reference->root, "secret") == 0);
    return 0;
}

bool expression_needs_secret(const struct value *value)
{
    enum value_kind kind = value_kind(value);
    bool needs_secret = value_has_secret(value);
    if (needs_secret || !value_has_unknown(value))
        return needs_secret;
    if (kind == VALUE_UNKNOWN && strstr(value_text(value), "secret"))
        (void)expression_references(value_text(value), note_secret, &needs_secret, NULL, NULL);
    for (size_t i = 0; kind != VALUE_UNKNOWN && !needs_secret && i < value_count(value); i++)
        needs_secret = expression_needs_secret(value_at(value, i));
    return needs_secret;
}

static int resolve_items(struct value *value, reference_lookup lookup, void *argument,
                         struct value **ret_value, struct error *err)
{
    struct value_builder builder = {0};
    bool is_map = value_kind(value) == VALUE_MAP;
    for (size_t i = 0; i < value_count(value); i++) {
        struct value *item = NULL;
        int r = expression_resolve(value_at(value, i), lookup, argument, &item, err);
        if (r < 0) {
            value_builder_done(&builder);
            return r;
        }
        if (is_map)
            value_builder_set(&builder, value_key_at(value, i), item);
        else
            value_builder_append(&builder, item);
    }
    if (is_map)
        *ret_value = value_builder_map(&builder);
    else
        *ret_value = value_kind(value) == VALUE_SET ? value_builder_set_of(&builder)
                                                    : value_builder_list(&builder);
    return 0;
}

/* What is still unknown keeps the type it had. */
static int resolve_unknown(struct value *unknown, reference_lookup lookup, void *argument,
                           struct value **ret_value, struct error *err)
{
    struct value *value = NULL;
    int r = expression_evaluate(value_text(unknown), lookup, argument, &value, NULL, err);
    if (r < 0)
        return r;
    *ret_value = value;
    if (value_kind(value) == VALUE_UNKNOWN) {
        *ret_value = value_unknown(value_unknown_type(unknown), value_text(value));
        value_unref(value);
    }
    return 0;
}

int expression_resolve(struct value *value, reference_lookup lookup, void *argument,
                       struct value **ret_value, struct error *err)
{
    if (!value_has_unknown(value)) {
        *ret_value = value_ref(value);
        return 0;
    }
    if (value_kind(value) == VALUE_UNKNOWN)
        return resolve_unknown(value, lookup, argument, ret_value, err);
    return resolve_items(value, lookup, argument, ret_value, err);
}
