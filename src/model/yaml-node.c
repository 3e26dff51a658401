/* Ways through a YAML tree. */
#include "model/yaml.h"

#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct yaml_pair *find_n(const struct yaml_node *map, const char *key, size_t length)
{
    if (!map || map->kind != VALUE_MAP)
        return NULL;
    for (size_t i = 0; i < map->n_items; i++) {
        const char *candidate = map->pairs[i].key;
        if (strncmp(candidate, key, length) == 0 && candidate[length] == '\0')
            return &map->pairs[i];
    }
    return NULL;
}

const struct yaml_pair *yaml_find(const struct yaml_node *map, const char *key)
{
    if (!map || map->kind != VALUE_MAP)
        return NULL;
    for (size_t i = 0; i < map->n_items; i++)
        if (text_equal(map->pairs[i].key, key))
            return &map->pairs[i];
    return NULL;
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
    const struct yaml_pair *pair = yaml_find(map, key);
    return pair ? pair->value : NULL;
}

const char *yaml_get_text(const struct yaml_node *map, const char *key)
{
    const struct yaml_node *node = yaml_get(map, key);
    return node && node->kind == VALUE_STRING ? node->text : NULL;
}

/* Reads "[N]" at *cursor and steps behind it; NULL when there is no such item. */
static const struct yaml_node *follow_index(const struct yaml_node *list, const char **cursor)
{
    char *end;
    unsigned long index = strtoul(*cursor + 1, &end, 10);
    if (end == *cursor + 1 || *end != ']')
        return NULL;
    *cursor = end + 1;
    return list->kind == VALUE_LIST && index < list->n_items ? list->items[index] : NULL;
}

static const struct yaml_node *follow_key(const struct yaml_node *map, const char **cursor,
                                          const struct yaml_pair **ret_pair)
{
    if (**cursor == '.')
        (*cursor)++;
    size_t length = strcspn(*cursor, ".[");
    const struct yaml_pair *pair = find_n(map, *cursor, length);
    *cursor += length;
    if (!pair)
        return NULL;
    if (ret_pair)
        *ret_pair = pair;
    return pair->value;
}

const struct yaml_node *yaml_nearest(const struct yaml_node *node, const char *path,
                                     const struct yaml_pair **ret_pair)
{
    while (node && *path) {
        const struct yaml_node *next =
            *path == '[' ? follow_index(node, &path) : follow_key(node, &path, ret_pair);
        if (!next)
            break;
        node = next;
    }
    return node;
}

/* 3.0 is 3, as it is in JSON. */
static struct value *number_to_value(double decimal)
{
    if (fabs(decimal) <= 9007199254740992.0 && decimal == (double)(int64_t)decimal)
        return value_integer((int64_t)decimal);
    return value_decimal(decimal);
}

static struct value *list_to_value(const struct yaml_node *node)
{
    struct value_builder builder = {0};
    for (size_t i = 0; i < node->n_items; i++)
        value_builder_append(&builder, yaml_to_value(node->items[i]));
    return value_builder_list(&builder);
}

static struct value *map_to_value(const struct yaml_node *node)
{
    struct value_builder builder = {0};
    for (size_t i = 0; i < node->n_items; i++)
        value_builder_set(&builder, node->pairs[i].key, yaml_to_value(node->pairs[i].value));
    return value_builder_map(&builder);
}

struct value *yaml_to_value(const struct yaml_node *node)
{
    switch (node->kind) {
    case VALUE_BOOL:
        return value_bool(node->boolean);
    case VALUE_INTEGER:
        return value_integer(node->integer);
    case VALUE_DECIMAL:
        return number_to_value(node->decimal);
    case VALUE_STRING:
        return value_string_n(node->text, node->n_items);
    case VALUE_LIST:
        return list_to_value(node);
    case VALUE_MAP:
        return map_to_value(node);
    case VALUE_NULL:
    case VALUE_SET:
    case VALUE_UNKNOWN:
    case VALUE_SECRET:
    case VALUE_KIND_COUNT:
        break;
    }
    return value_null();
}
