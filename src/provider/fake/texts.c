/* Secrets in the files of an account, where their texts stand, and in values, where none does. */
#include "provider/fake/files.h"

#define TEXT_KEY "$text"

static int to_text(void *argument, struct value *value, struct value **ret_value, struct error *err)
{
    struct value *text = NULL;
    struct value_builder marked = {0};
    if (!value_has_secret(value))
        *ret_value = value_ref(value);
    if (value_kind(value) != VALUE_SECRET)
        return 0;
    int r = call_reveal(argument, value, &text, err);
    if (r < 0)
        return r;
    value_builder_set(&marked, TEXT_KEY, text);
    *ret_value = value_builder_map(&marked);
    return 0;
}

static int to_secret(void *argument, struct value *value, struct value **ret_value,
                     struct error *err)
{
    (void)err;
    bool is_marked = value_kind(value) == VALUE_MAP && value_count(value) == 1;
    struct value *text = is_marked ? value_get(value, TEXT_KEY) : NULL;
    if (!text)
        return 0;
    *ret_value = call_veil(argument, text);
    return *ret_value ? 0 : 1;
}

int fake_texts_write(const struct fake_account *account, struct value *spec,
                     struct value **ret_spec, struct error *err)
{
    struct call call = {.secrets = account->secrets};
    return value_change(spec, to_text, &call, ret_spec, err);
}

struct value *fake_texts_read(const struct fake_account *account, struct value *resource)
{
    struct call call = {.secrets = account->secrets};
    struct value *spec = NULL;
    (void)value_change(value_get(resource, "spec"), to_secret, &call, &spec, NULL);
    return value_with(resource, "spec", spec);
}
