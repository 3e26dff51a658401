/* Functions on lists and maps. */
#include "model/functions-internal.h"

#include "base/map.h"
#include "model/json.h"

#include <stdlib.h>
#include <string.h>

static size_t count_characters(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

int function_length(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                    struct error *err)
{
    (void)n_arguments;
    const struct value *argument = arguments[0];
    switch (value_kind(argument)) {
    case VALUE_LIST:
    case VALUE_SET:
    case VALUE_MAP:
        *ret_value = value_integer((int64_t)value_count(argument));
        return 0;
    case VALUE_STRING:
        *ret_value = value_integer((int64_t)count_characters(value_text(argument)));
        return 0;
    default:
        return error_set(err, ERROR_INVALID, "a value of kind %s has no length",
                         value_kind_to_string(value_kind(argument)));
    }
}

int function_concat(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                    struct error *err)
{
    struct value_builder builder = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < n_arguments; i++) {
        r = argument_is_list(arguments, i, err);
        if (r == 0)
            r = check_item_count(builder.n_items + value_count(arguments[i]), err);
        for (size_t k = 0; r == 0 && k < value_count(arguments[i]); k++)
            value_builder_append(&builder, value_ref(value_at(arguments[i], k)));
    }
    if (r < 0) {
        value_builder_done(&builder);
        return r;
    }
    *ret_value = value_builder_list(&builder);
    return 0;
}

int function_contains(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                      struct error *err)
{
    (void)n_arguments;
    int r = argument_is_list(arguments, 0, err);
    if (r < 0)
        return r;
    bool is_in = false;
    for (size_t i = 0; !is_in && i < value_count(arguments[0]); i++)
        is_in = value_equal(value_at(arguments[0], i), arguments[1]);
    *ret_value = value_bool(is_in);
    return 0;
}

int function_keys(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                  struct error *err)
{
    (void)n_arguments;
    int r = argument_is_map(arguments, 0, err);
    if (r < 0)
        return r;
    struct value_builder builder = {0};
    for (size_t i = 0; i < value_count(arguments[0]); i++)
        value_builder_append(&builder, value_string(value_key_at(arguments[0], i)));
    *ret_value = value_builder_list(&builder);
    return 0;
}

int function_values(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                    struct error *err)
{
    (void)n_arguments;
    int r = argument_is_map(arguments, 0, err);
    if (r < 0)
        return r;
    struct value_builder builder = {0};
    for (size_t i = 0; i < value_count(arguments[0]); i++)
        value_builder_append(&builder, value_ref(value_at(arguments[0], i)));
    *ret_value = value_builder_list(&builder);
    return 0;
}

int function_merge(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                   struct error *err)
{
    struct value_builder builder = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < n_arguments; i++) {
        const struct value *map = arguments[i];
        if (value_is_null(map))
            continue;
        r = argument_is_map(arguments, i, err);
        for (size_t k = 0; r == 0 && k < value_count(map); k++)
            value_builder_set(&builder, value_key_at(map, k), value_ref(value_at(map, k)));
    }
    if (r < 0) {
        value_builder_done(&builder);
        return r;
    }
    *ret_value = value_builder_map(&builder);
    return 0;
}

int function_lookup(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                    struct error *err)
{
    CLEANUP(mem_freep) char *key = NULL;
    int r = argument_is_map(arguments, 0, err);
    if (r == 0)
        r = argument_text(arguments, 1, &key, err);
    if (r < 0)
        return r;
    struct value *found = value_get(arguments[0], key);
    if (!found && n_arguments < 3)
        return error_set(err, ERROR_INVALID, "the map has no key \"%.80s\"", key);
    *ret_value = value_ref(found ? found : arguments[2]);
    return 0;
}

int function_element(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                     struct error *err)
{
    (void)n_arguments;
    int64_t index = 0;
    int r = argument_is_list(arguments, 0, err);
    if (r == 0)
        r = argument_integer(arguments, 1, &index, err);
    if (r < 0)
        return r;
    int64_t n_items = (int64_t)value_count(arguments[0]);
    if (n_items == 0)
        return error_set(err, ERROR_INVALID, "the list is empty");
    index %= n_items;
    *ret_value = value_ref(value_at(arguments[0], (size_t)(index < 0 ? index + n_items : index)));
    return 0;
}

int function_coalesce(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                      struct error *err)
{
    for (size_t i = 0; i < n_arguments; i++) {
        const struct value *argument = arguments[i];
        bool is_empty = value_kind(argument) == VALUE_STRING && value_text_length(argument) == 0;
        if (value_is_null(argument) || is_empty)
            continue;
        *ret_value = value_ref(arguments[i]);
        return 0;
    }
    return error_set(err, ERROR_INVALID, "every argument is null or empty");
}

static int flatten_into(struct value_builder *builder, const struct value *list, struct error *err)
{
    for (size_t i = 0; i < value_count(list); i++) {
        struct value *item = value_at(list, i);
        int r = check_item_count(builder->n_items + 1, err);
        if (r == 0 && (value_kind(item) == VALUE_LIST || value_kind(item) == VALUE_SET))
            r = flatten_into(builder, item, err);
        else if (r == 0)
            value_builder_append(builder, value_ref(item));
        if (r < 0)
            return r;
    }
    return 0;
}

int function_flatten(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                     struct error *err)
{
    (void)n_arguments;
    struct value_builder builder = {0};
    int r = argument_is_list(arguments, 0, err);
    if (r == 0)
        r = flatten_into(&builder, arguments[0], err);
    if (r < 0) {
        value_builder_done(&builder);
        return r;
    }
    *ret_value = value_builder_list(&builder);
    return 0;
}

int function_distinct(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                      struct error *err)
{
    (void)n_arguments;
    int r = argument_is_list(arguments, 0, err);
    if (r < 0)
        return r;
    struct value_builder builder = {0};
    struct map seen = {0};
    for (size_t i = 0; i < value_count(arguments[0]); i++) {
        struct value *item = value_at(arguments[0], i);
        CLEANUP(mem_freep) char *text = json_text(item);
        if (map_put(&seen, text, item))
            continue;
        value_builder_append(&builder, value_ref(item));
    }
    map_done(&seen);
    *ret_value = value_builder_list(&builder);
    return 0;
}

static int compare_items(const void *a, const void *b)
{
    return value_compare(*(struct value *const *)a, *(struct value *const *)b);
}

int function_sort(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                  struct error *err)
{
    (void)n_arguments;
    int r = argument_is_list(arguments, 0, err);
    if (r < 0)
        return r;
    size_t n_items = value_count(arguments[0]);
    struct value_builder builder = {0};
    for (size_t i = 0; r == 0 && i < n_items; i++) {
        struct value *item = value_at(arguments[0], i);
        if (value_kind(item) != VALUE_STRING)
            r = error_set(err, ERROR_INVALID, "item %zu is of kind %s; only texts are sorted", i,
                          value_kind_to_string(value_kind(item)));
        else
            value_builder_append(&builder, value_ref(item));
    }
    if (r < 0) {
        value_builder_done(&builder);
        return r;
    }
    if (builder.items)
        qsort(builder.items, n_items, sizeof(struct value *), compare_items);
    *ret_value = value_builder_list(&builder);
    return 0;
}

/* start, limit and step from one, two or three arguments. */
static int read_range(struct value *const *arguments, size_t n_arguments, int64_t numbers[3],
                      struct error *err)
{
    int r = 0;
    if (n_arguments == 1)
        r = argument_integer(arguments, 0, &numbers[1], err);
    for (size_t i = 0; r == 0 && n_arguments > 1 && i < n_arguments; i++)
        r = argument_integer(arguments, i, &numbers[i], err);
    if (r < 0)
        return r;
    bool goes_down = numbers[1] < numbers[0];
    if (n_arguments < 3)
        numbers[2] = goes_down ? -1 : 1;
    if (numbers[2] == 0 || (numbers[0] != numbers[1] && goes_down != (numbers[2] < 0)))
        return error_set(err, ERROR_INVALID, "the step does not lead from start to limit");
    return 0;
}

int function_range(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                   struct error *err)
{
    int64_t numbers[3] = {0};
    int r = read_range(arguments, n_arguments, numbers, err);
    if (r < 0)
        return r;
    struct value_builder builder = {0};
    for (int64_t n = numbers[0]; numbers[2] > 0 ? n < numbers[1] : n > numbers[1];) {
        r = check_item_count(builder.n_items + 1, err);
        if (r < 0) {
            value_builder_done(&builder);
            return r;
        }
        value_builder_append(&builder, value_integer(n));
        if (__builtin_add_overflow(n, numbers[2], &n))
            break;
    }
    *ret_value = value_builder_list(&builder);
    return 0;
}
