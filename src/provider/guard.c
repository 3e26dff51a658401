#include "provider/guard.h"

#include "base/memory.h"
#include "secret/derive.h"
#include "secret/redact.h"

#include <assert.h>
#include <string.h>

static void replace(struct value **value, struct value *take_other)
{
    value_unref(*value);
    *value = take_other;
}

static struct value *veil_secrets(const struct call *call, const struct schema *schema,
                                  struct value *value);

/* A field as it may be known; NULL to leave it out. */
static struct value *veil_field(const struct call *call, const struct schema *schema,
                                struct value *value)
{
    if (schema && schema->is_secret)
        return call->secrets ? secrets_veil(call->secrets, value) : NULL;
    return schema ? veil_secrets(call, schema, value) : value_ref(value);
}

/* A value whose secret parts are handles. */
static struct value *veil_secrets(const struct call *call, const struct schema *schema,
                                  struct value *value)
{
    enum value_kind kind = value_kind(value);
    struct value_builder builder = {0};
    bool is_map = kind == VALUE_MAP;
    if (!schema_has_secrets(schema) || (!is_map && kind != VALUE_LIST && kind != VALUE_SET))
        return value_ref(value);
    for (size_t i = 0; i < value_count(value); i++) {
        const char *key = is_map ? value_key_at(value, i) : NULL;
        const struct schema *inner = schema->kind == SCHEMA_OBJECT
                                         ? (is_map ? schema_field(schema, key) : NULL)
                                         : schema->items;
        struct value *item = veil_field(call, inner, value_at(value, i));
        if (item && is_map)
            value_builder_set(&builder, key, item);
        else if (item)
            value_builder_append(&builder, item);
    }
    return is_map              ? value_builder_map(&builder)
           : kind == VALUE_SET ? value_builder_set_of(&builder)
                               : value_builder_list(&builder);
}

void guard_spec(const struct call *call, const struct resource_type *type, struct value **spec)
{
    if (!*spec)
        return;
    if (type && type->has_secrets)
        replace(spec, veil_secrets(call, &type->schema, *spec));
    replace(spec, secrets_redact_value(call->secrets, *spec));
}

/* Whether an output has the value of a property that is always secret. */
static bool is_secret_output(const struct resource_type *type, const char *name)
{
    const struct type_output *output = type_find_output(type, name);
    const struct schema *schema = &type->schema;
    const char *path = output && output->from ? output->from : "";
    while (*path && schema && !schema->is_secret) {
        size_t length = strcspn(path, ".[");
        CLEANUP(mem_freep) char *key = string_copy_n(path, length);
        schema = schema->kind == SCHEMA_OBJECT ? schema_field(schema, key) : schema->items;
        path += length + (path[length] == '.');
        if (*path == '[')
            break;
    }
    return schema && schema->is_secret;
}

static void guard_outputs(const struct call *call, const struct resource_type *type,
                          struct value **outputs)
{
    if (!*outputs)
        return;
    for (size_t i = 0; type && type->has_secrets && i < value_count(*outputs); i++) {
        const char *name = value_key_at(*outputs, i);
        if (!is_secret_output(type, name))
            continue;
        struct value *veiled = call->secrets ? secrets_veil(call->secrets, value_at(*outputs, i))
                                             : value_secret("", "");
        replace(outputs, value_with(*outputs, name, veiled));
    }
    replace(outputs, secrets_redact_value(call->secrets, *outputs));
}

void guard_texts(const struct call *call, struct value **value)
{
    if (*value)
        replace(value, secrets_redact_texts(call->secrets, *value));
}

void guard_live(const struct call *call, const struct resource_type *type, struct live *live)
{
    guard_spec(call, type, &live->spec);
    guard_outputs(call, type, &live->outputs);
    guard_texts(call, &live->status);
}

static struct value *guard_item(const struct call *call, const struct resource_type *type,
                                const struct value *item)
{
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(item); i++) {
        const char *key = value_key_at(item, i);
        struct value *value = value_ref(value_at(item, i));
        if (value_kind(value) == VALUE_MAP && strcmp(key, "spec") == 0)
            guard_spec(call, type, &value);
        else if (value_kind(value) == VALUE_MAP && strcmp(key, "outputs") == 0)
            guard_outputs(call, type, &value);
        else
            guard_texts(call, &value);
        value_builder_set(&fields, key, value);
    }
    return value_builder_map(&fields);
}

void guard_page(const struct call *call, const struct resource_type *type, struct page *page)
{
    struct value_builder items = {0};
    if (!call->secrets && !type->has_secrets)
        return;
    for (size_t i = 0; i < value_count(page->items); i++)
        value_builder_append(&items, guard_item(call, type, value_at(page->items, i)));
    replace(&page->items, value_builder_list(&items));
}

void guard_outcome(const struct call *call, const struct resource_type *type,
                   struct outcome *outcome)
{
    guard_spec(call, type, &outcome->live);
    guard_outputs(call, type, &outcome->outputs);
    char *message = outcome->message ? secrets_redact(call->secrets, outcome->message) : NULL;
    if (!message)
        return;
    mem_free(outcome->message);
    outcome->message = message;
}

int guard_error(const struct call *call, int r, struct error *err)
{
    CLEANUP(mem_freep)
    char *message = r < 0 && err ? secrets_redact(call->secrets, error_message(err)) : NULL;
    if (!message)
        return r;
    enum error_code code = err->code;
    error_done(err);
    return error_set(err, code, "%s", message);
}

int call_reveal(const struct call *call, struct value *value, struct value **ret_value,
                struct error *err)
{
    assert(value);
    if (!value_has_secret(value)) {
        *ret_value = value_ref(value);
        return 0;
    }
    if (!call->secrets)
        return error_set(err, ERROR_NOT_FOUND, "the secrets that it needs are not at hand");
    return secrets_reveal(call->secrets, value, ret_value, err);
}

struct value *call_veil(const struct call *call, struct value *text)
{
    return call->secrets ? secrets_veil(call->secrets, text) : NULL;
}
