#include "model/resource.h"

#include "base/text.h"
#include "model/json.h"

#include <inttypes.h>
#include <string.h>

void string_list_done(struct string_list *list)
{
    for (size_t i = 0; i < list->n_items; i++)
        mem_free(list->items[i]);
    mem_free(list->items);
    *list = (struct string_list){0};
}

void string_list_add(struct string_list *list, const char *text)
{
    string_list_add_n(list, text, strlen(text));
}

void string_list_add_n(struct string_list *list, const char *text, size_t length)
{
    /* Most lists have one item, and there are many of them. */
    if (list->n_items == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 1;
        list->items = mem_resize(list->items, list->capacity, sizeof(char *));
    }
    list->items[list->n_items++] = string_copy_n(text, length);
}

bool string_list_has(const struct string_list *list, const char *text)
{
    for (size_t i = 0; i < list->n_items; i++)
        if (strcmp(list->items[i], text) == 0)
            return true;
    return false;
}

void string_list_copy(struct string_list *to, const struct string_list *from)
{
    for (size_t i = 0; i < from->n_items; i++)
        string_list_add(to, from->items[i]);
}

struct value *string_list_to_value(const struct string_list *list)
{
    struct value_builder builder = {0};
    for (size_t i = 0; i < list->n_items; i++)
        value_builder_append(&builder, value_string(list->items[i]));
    return value_builder_list(&builder);
}

void string_list_from_value(struct string_list *list, const struct value *value)
{
    bool has_items = value && (value_kind(value) == VALUE_LIST || value_kind(value) == VALUE_SET);
    for (size_t i = 0; has_items && i < value_count(value); i++) {
        const struct value *item = value_at(value, i);
        if (value_kind(item) == VALUE_STRING)
            string_list_add(list, value_text(item));
    }
}

char *address_format(const char *name, const struct value *key)
{
    if (!key)
        return string_copy(name);
    struct strbuf address = {0};
    strbuf_add(&address, name);
    strbuf_add_char(&address, '[');
    if (value_kind(key) == VALUE_INTEGER)
        strbuf_addf(&address, "%" PRId64, value_to_integer(key));
    else
        json_write_string(&address, value_text(key), value_text_length(key));
    strbuf_add_char(&address, ']');
    return strbuf_take(&address);
}

/* What stands between the brackets, or NULL when that can be no key. */
static struct value *parse_key(const char *text, size_t length)
{
    struct value *key = NULL;
    if (json_read(text, length, &key, NULL) < 0)
        return NULL;
    bool is_string = value_kind(key) == VALUE_STRING;
    bool is_count = value_kind(key) == VALUE_INTEGER && value_to_integer(key) >= 0;
    if (is_string || is_count)
        return key;
    value_unref(key);
    return NULL;
}

int address_parse(const char *address, char **ret_name, struct value **ret_key, struct error *err)
{
    size_t name_length = strcspn(address, "[");
    size_t length = strlen(address);
    CLEANUP(mem_freep) char *name = string_copy_n(address, name_length);
    CLEANUP(value_unrefp) struct value *key = NULL;
    bool has_key = address[name_length] == '[';
    if (has_key && address[length - 1] == ']' && length > name_length + 2)
        key = parse_key(address + name_length + 1, length - name_length - 2);
    /* Writing it again finds every other spelling of the same address: [02], [ 2 ], ["\u0061"]. */
    CLEANUP(mem_freep) char *again = address_format(name, key);
    if (!text_is_name(name) || has_key != (key != NULL) || strcmp(again, address) != 0)
        return error_set(err, ERROR_INVALID,
                         "\"%s\" is no address; write NAME, NAME[2] or NAME[\"key\"]", address);
    *ret_name = take_ptr(name);
    *ret_key = take_ptr(key);
    return 0;
}

static void resource_done(struct resource *resource)
{
    mem_free(resource->name);
    value_unref(resource->key);
    mem_free(resource->address);
    mem_free(resource->type);
    mem_free(resource->instance);
    value_unref(resource->spec);
    value_unref(resource->match);
    value_unref(resource->found);
    string_list_done(&resource->depends_on);
    string_list_done(&resource->formerly);
    string_list_done(&resource->lifecycle.ignore_changes);
    mem_free(resource->lifecycle.expires);
    mem_free(resource->origin);
    value_unref(resource->filled);
}

void wanted_done(struct wanted *wanted)
{
    for (size_t i = 0; i < wanted->n_items; i++)
        resource_done(&wanted->items[i]);
    mem_free(wanted->items);
    value_unref(wanted->outputs);
    string_list_done(&wanted->outputs_need);
    *wanted = (struct wanted){0};
}

void wanted_keep(struct wanted *wanted, const bool *is_kept)
{
    size_t n_kept = 0;
    for (size_t i = 0; i < wanted->n_items; i++) {
        if (is_kept[i])
            wanted->items[n_kept++] = wanted->items[i];
        else
            resource_done(&wanted->items[i]);
    }
    wanted->n_items = n_kept;
}

void wanted_reserve(struct wanted *wanted, size_t n_more)
{
    if (wanted->capacity - wanted->n_items >= n_more)
        return;
    wanted->capacity = wanted->n_items + n_more;
    wanted->items = mem_resize(wanted->items, wanted->capacity, sizeof(struct resource));
}

struct resource *wanted_add(struct wanted *wanted)
{
    ARRAY_RESERVE(wanted->items, wanted->n_items, wanted->capacity);
    struct resource *resource = &wanted->items[wanted->n_items++];
    *resource = (struct resource){0};
    return resource;
}
