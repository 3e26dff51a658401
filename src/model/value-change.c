/* Values made of others, item by item. */
#include "model/value.h"

static bool is_container(const struct value *value)
{
    enum value_kind kind = value_kind(value);
    return kind == VALUE_LIST || kind == VALUE_SET || kind == VALUE_MAP;
}

static int change_items(struct value *value, value_changer change, void *argument,
                        struct value **ret_value, struct error *err)
{
    enum value_kind kind = value_kind(value);
    struct value_builder builder = {0};
    for (size_t i = 0; i < value_count(value); i++) {
        struct value *item = NULL;
        int r = value_change(value_at(value, i), change, argument, &item, err);
        if (r < 0) {
            value_builder_done(&builder);
            return r;
        }
        if (item && kind == VALUE_MAP)
            value_builder_set(&builder, value_key_at(value, i), item);
        else if (item)
            value_builder_append(&builder, item);
    }
    *ret_value = kind == VALUE_MAP   ? value_builder_map(&builder)
                 : kind == VALUE_SET ? value_builder_set_of(&builder)
                                     : value_builder_list(&builder);
    return 0;
}

int value_change(struct value *value, value_changer change, void *argument,
                 struct value **ret_value, struct error *err)
{
    struct value *changed = NULL;
    int r = change(argument, value, &changed, err);
    if (r < 0)
        return r;
    if (r > 0)
        *ret_value = NULL;
    else if (changed)
        *ret_value = changed;
    else if (is_container(value))
        return change_items(value, change, argument, ret_value, err);
    else
        *ret_value = value_ref(value);
    return 0;
}

static int drop_origin(void *argument, struct value *value, struct value **ret_value,
                       struct error *err)
{
    (void)argument;
    (void)err;
    if (!value_has_secret(value))
        *ret_value = value_ref(value);
    else if (value_kind(value) == VALUE_SECRET)
        *ret_value = value_secret(value_text(value), "");
    return 0;
}

struct value *value_without_origins(struct value *value)
{
    struct value *bare = NULL;
    (void)value_change(value, drop_origin, NULL, &bare, NULL);
    return bare;
}

static int leave_out_secret(void *argument, struct value *value, struct value **ret_value,
                            struct error *err)
{
    (void)argument;
    (void)err;
    if (!value_has_secret(value))
        *ret_value = value_ref(value);
    return value_kind(value) == VALUE_SECRET;
}

struct value *value_without_secrets(struct value *value)
{
    struct value *rest = NULL;
    (void)value_change(value, leave_out_secret, NULL, &rest, NULL);
    return rest;
}

struct value *value_with_origins(struct value *value, const struct value *like)
{
    enum value_kind kind = value_kind(value);
    struct value_builder builder = {0};
    if (!value_has_secret(value) || !like || value_kind(like) != kind)
        return value_ref(value);
    if (kind == VALUE_SECRET)
        return value_ref(value_equal(value, like) ? (struct value *)like : value);
    for (size_t i = 0; i < value_count(value); i++) {
        bool is_map = kind == VALUE_MAP;
        const struct value *other = is_map ? value_get(like, value_key_at(value, i))
                                    : i < value_count(like) ? value_at(like, i)
                                                            : NULL;
        struct value *item = value_with_origins(value_at(value, i), other);
        if (is_map)
            value_builder_set(&builder, value_key_at(value, i), item);
        else
            value_builder_append(&builder, item);
    }
    return kind == VALUE_MAP   ? value_builder_map(&builder)
           : kind == VALUE_SET ? value_builder_set_of(&builder)
                               : value_builder_list(&builder);
}
