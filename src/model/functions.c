#include "model/functions.h"

#include "base/text.h"
#include "model/functions-internal.h"
#include "model/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct function functions[] = {
#define FUNCTION_ROW(name, min, max, structural) {#name, min, max, structural, function_##name},
    FUNCTIONS(FUNCTION_ROW)
#undef FUNCTION_ROW
};

const struct function *function_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(functions); i++)
        if (text_equal(functions[i].name, name))
            return &functions[i];
    return NULL;
}

const char *function_nearest(const char *name)
{
    const char *names[ARRAY_LENGTH(functions)];
    for (size_t i = 0; i < ARRAY_LENGTH(functions); i++)
        names[i] = functions[i].name;
    return text_nearest(name, names, ARRAY_LENGTH(names));
}

static int check_count(const struct function *function, size_t n_arguments, struct error *err)
{
    if (n_arguments < function->min_arguments)
        return error_set(err, ERROR_INVALID, "%s() needs at least %zu argument(s), it has %zu",
                         function->name, function->min_arguments, n_arguments);
    if (n_arguments > function->max_arguments)
        return error_set(err, ERROR_INVALID, "%s() takes at most %zu argument(s), it has %zu",
                         function->name, function->max_arguments, n_arguments);
    return 0;
}

int function_call(const struct function *function, struct value *const *arguments,
                  size_t n_arguments, struct value **ret_value, struct error *err)
{
    int r = check_count(function, n_arguments, err);
    if (r < 0)
        return r;
    r = function->call(arguments, n_arguments, ret_value, err);
    return r < 0 ? error_wrap(err, r, "%s()", function->name) : 0;
}

bool function_scalar_text(struct strbuf *buffer, const struct value *scalar)
{
    switch (value_kind(scalar)) {
    case VALUE_NULL:
        return true;
    case VALUE_STRING:
        strbuf_add_n(buffer, value_text(scalar), value_text_length(scalar));
        return true;
    case VALUE_INTEGER:
        strbuf_addf(buffer, "%" PRId64, value_to_integer(scalar));
        return true;
    case VALUE_BOOL:
    case VALUE_DECIMAL:
        json_write(buffer, scalar);
        return true;
    default:
        return false;
    }
}

static int wrong_argument(size_t index, const char *wanted, const struct value *is,
                          struct error *err)
{
    return error_set(err, ERROR_INVALID, "argument %zu must be %s; it is of kind %s", index + 1,
                     wanted, value_kind_to_string(value_kind(is)));
}

int argument_text(struct value *const *arguments, size_t index, char **ret_text, struct error *err)
{
    struct strbuf text = {0};
    if (value_is_null(arguments[index]) || !function_scalar_text(&text, arguments[index])) {
        strbuf_done(&text);
        return wrong_argument(index, "a text", arguments[index], err);
    }
    *ret_text = strbuf_take(&text);
    return 0;
}

int argument_integer(struct value *const *arguments, size_t index, int64_t *ret_integer,
                     struct error *err)
{
    const struct value *argument = arguments[index];
    enum value_kind kind = value_kind(argument);
    if (kind == VALUE_INTEGER) {
        *ret_integer = value_to_integer(argument);
        return 0;
    }
    if (kind == VALUE_DECIMAL) {
        double decimal = value_to_decimal(argument);
        if (fabs(decimal) < 9007199254740992.0 && decimal == (double)(int64_t)decimal) {
            *ret_integer = (int64_t)decimal;
            return 0;
        }
    }
    if (kind == VALUE_STRING && text_to_integer(value_text(argument), ret_integer))
        return 0;
    return wrong_argument(index, "an integer", argument, err);
}

int argument_is_list(struct value *const *arguments, size_t index, struct error *err)
{
    enum value_kind kind = value_kind(arguments[index]);
    if (kind == VALUE_LIST || kind == VALUE_SET)
        return 0;
    return wrong_argument(index, "a list", arguments[index], err);
}

int argument_is_map(struct value *const *arguments, size_t index, struct error *err)
{
    if (value_kind(arguments[index]) == VALUE_MAP)
        return 0;
    return wrong_argument(index, "a map", arguments[index], err);
}

int check_text_size(const struct strbuf *buffer, size_t length, struct error *err)
{
    if (length <= FUNCTION_MAX_TEXT && buffer->length + length <= FUNCTION_MAX_TEXT)
        return 0;
    return error_set(err, ERROR_LIMIT, "the text is longer than %zu bytes", FUNCTION_MAX_TEXT);
}

int check_item_count(size_t n_items, struct error *err)
{
    if (n_items <= FUNCTION_MAX_ITEMS)
        return 0;
    return error_set(err, ERROR_LIMIT, "the list has more than %d items", FUNCTION_MAX_ITEMS);
}

int give_text(struct strbuf *take_buffer, struct value **ret_value, struct error *err)
{
    int r = check_text_size(take_buffer, 0, err);
    if (r == 0)
        *ret_value = value_string_n(strbuf_text(take_buffer), take_buffer->length);
    strbuf_done(take_buffer);
    return r;
}
