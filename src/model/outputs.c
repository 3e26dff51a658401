#include "model/outputs.h"

#include "base/text.h"
#include "model/resource.h"

#include <string.h>

void outputs_done(struct outputs *outputs)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&outputs->by_address, &cursor)))
        value_unref(entry->value);
    cursor = 0;
    while ((entry = map_next(&outputs->groups, &cursor))) {
        string_list_done(entry->value);
        mem_free(entry->value);
    }
    map_done(&outputs->by_address);
    map_done(&outputs->groups);
}

void outputs_expect(struct outputs *outputs, const char *name, const struct value *key)
{
    CLEANUP(mem_freep) char *address = address_format(name, key);
    if (map_has(&outputs->by_address, address))
        return;
    map_put(&outputs->by_address, address, NULL);
    if (!key)
        return;
    struct string_list *group = map_get(&outputs->groups, name);
    if (!group) {
        group = NEW(struct string_list);
        map_put(&outputs->groups, name, group);
    }
    string_list_add(group, address);
}

void outputs_set(struct outputs *outputs, const char *address, struct value *take_values)
{
    value_unref(map_put(&outputs->by_address, address, take_values));
}

struct value *outputs_get(const struct outputs *outputs, const char *address)
{
    return map_get(&outputs->by_address, address);
}

/* "${x.attr}" and "${x.outputs.attr}" are the same (DESIGN section 18). */
static const char *output_path(const char *path)
{
    if (text_equal(path, "outputs"))
        return "";
    return text_starts_with(path, "outputs.") ? path + strlen("outputs.") : path;
}

static int look_up_one(const struct outputs *outputs, const char *address, const char *path,
                       struct value **ret_value, struct error *err)
{
    struct value *values = outputs_get(outputs, address);
    *ret_value = NULL;
    if (!values)
        return 0;
    struct value *found = value_at_path(values, output_path(path));
    if (!found)
        return error_set(err, ERROR_NOT_FOUND, "%s has no output \"%s\"", address,
                         output_path(path));
    if (!value_has_unknown(found))
        *ret_value = value_ref(found);
    return 0;
}

static int look_up_group(const struct outputs *outputs, const struct string_list *group,
                         const char *path, struct value **ret_value, struct error *err)
{
    struct value_builder list = {0};
    for (size_t i = 0; i < group->n_items; i++) {
        struct value *item = NULL;
        int r = look_up_one(outputs, group->items[i], path, &item, err);
        if (r < 0 || !item) {
            value_builder_done(&list);
            *ret_value = NULL;
            return r;
        }
        value_builder_append(&list, item);
    }
    *ret_value = value_builder_list(&list);
    return 0;
}

int outputs_lookup(void *argument, const struct reference *reference, struct value **ret_value,
                   struct error *err)
{
    const struct outputs *outputs = argument;
    if (!reference->type && !reference->key && text_equal(reference->root, "secret")) {
        CLEANUP(mem_freep) char *origin = string_format("${secret.%s}", reference->path);
        *ret_value = value_secret("", origin);
        return 0;
    }
    CLEANUP(mem_freep)
    char *address = reference->key ? string_format("%s[%s]", reference->root, reference->key)
                                   : string_copy(reference->root);
    const struct string_list *group =
        reference->key ? NULL : map_get(&outputs->groups, reference->root);
    if (group)
        return look_up_group(outputs, group, reference->path, ret_value, err);
    if (!map_has(&outputs->by_address, address))
        return error_set(err, ERROR_NOT_FOUND, "there is no resource \"%s\"", address);
    return look_up_one(outputs, address, reference->path, ret_value, err);
}
