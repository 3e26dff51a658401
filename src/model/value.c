#include "model/value.h"

#include "model/value-private.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {
    [VALUE_NULL] = "null",       [VALUE_BOOL] = "bool",     [VALUE_INTEGER] = "integer",
    [VALUE_DECIMAL] = "decimal", [VALUE_STRING] = "string", [VALUE_LIST] = "list",
    [VALUE_SET] = "set",         [VALUE_MAP] = "map",       [VALUE_UNKNOWN] = "unknown",
    [VALUE_SECRET] = "secret",
};

const char *value_kind_to_string(enum value_kind kind)
{
    assert(kind < VALUE_KIND_COUNT);
    return kind_names[kind];
}

static struct value *value_new(enum value_kind kind, size_t extra)
{
    struct value *value = mem_zeroed(1, sizeof(struct value) + extra);
    value->references = 1;
    value->kind = (unsigned char)kind;
    value->has_unknown = kind == VALUE_UNKNOWN;
    value->has_secret = kind == VALUE_SECRET;
    return value;
}

/* There is one of each of these, which is never freed: its owner is this file. */
struct value *value_null(void)
{
    static struct value null = {.references = 1, .kind = VALUE_NULL};
    return value_ref(&null);
}

struct value *value_bool(bool boolean)
{
    static struct value no = {.references = 1, .kind = VALUE_BOOL};
    static struct value yes = {.references = 1, .kind = VALUE_BOOL, .boolean = true};
    return value_ref(boolean ? &yes : &no);
}

struct value *value_integer(int64_t integer)
{
    struct value *value = value_new(VALUE_INTEGER, 0);
    value->integer = integer;
    return value;
}

struct value *value_decimal(double decimal)
{
    assert(isfinite(decimal));
    struct value *value = value_new(VALUE_DECIMAL, 0);
    value->decimal = decimal;
    return value;
}

static struct value *text_new(enum value_kind kind, const char *text, size_t length, size_t extra)
{
    struct value *value = value_new(kind, length + 1 + extra);
    memcpy(value->text, text, length);
    value->count = length;
    return value;
}

struct value *value_string(const char *text)
{
    return text_new(VALUE_STRING, text, strlen(text), 0);
}

struct value *value_string_n(const char *text, size_t length)
{
    return text_new(VALUE_STRING, text, length, 0);
}

/* The second text lies behind the first and its NUL. */
static struct value *text_pair_new(enum value_kind kind, const char *text, const char *second)
{
    size_t length = strlen(second);
    struct value *value = text_new(kind, text, strlen(text), length + 1);
    memcpy(value->text + value->count + 1, second, length);
    return value;
}

static const char *second_text(const struct value *value)
{
    return value->text + value->count + 1;
}

struct value *value_unknown(const char *type, const char *origin)
{
    return text_pair_new(VALUE_UNKNOWN, origin, type);
}

struct value *value_secret(const char *digest, const char *origin)
{
    return text_pair_new(VALUE_SECRET, digest, origin);
}

struct value *value_ref(struct value *value)
{
    value->references++;
    return value;
}

static bool is_container(const struct value *value)
{
    return value->kind == VALUE_LIST || value->kind == VALUE_SET || value->kind == VALUE_MAP;
}

void value_unref(struct value *value)
{
    if (!value || --value->references > 0)
        return;
    if (is_container(value))
        for (size_t i = 0; i < value->count; i++)
            value_unref(value->items[i]);
    mem_free(value);
}

struct value *value_container_new(enum value_kind kind, struct value *const *items, size_t n_items,
                                  size_t keys_size)
{
    size_t pointers = kind == VALUE_MAP ? 2 * n_items : n_items;
    struct value *value = value_new(kind, pointers * sizeof(void *) + keys_size);
    value->count = n_items;
    for (size_t i = 0; i < n_items; i++) {
        value->items[i] = items[i];
        value->has_unknown = value->has_unknown || items[i]->has_unknown;
        value->has_secret = value->has_secret || items[i]->has_secret;
    }
    return value;
}

struct value *value_list(struct value *const *take_items, size_t n_items)
{
    return value_container_new(VALUE_LIST, take_items, n_items, 0);
}

static int compare_items(const void *a, const void *b)
{
    return value_compare(*(struct value *const *)a, *(struct value *const *)b);
}

struct value *value_set(struct value *const *take_items, size_t n_items)
{
    struct value *set = value_container_new(VALUE_SET, take_items, n_items, 0);
    if (n_items)
        qsort(set->items, n_items, sizeof(struct value *), compare_items);
    size_t kept = 0;
    for (size_t i = 0; i < n_items; i++) {
        if (kept > 0 && value_compare(set->items[kept - 1], set->items[i]) == 0)
            value_unref(set->items[i]);
        else
            set->items[kept++] = set->items[i];
    }
    set->count = kept;
    return set;
}

enum value_kind value_kind(const struct value *value)
{
    return (enum value_kind)value->kind;
}

bool value_is_null(const struct value *value)
{
    return !value || value->kind == VALUE_NULL;
}

bool value_to_bool(const struct value *value)
{
    assert(value->kind == VALUE_BOOL);
    return value->boolean;
}

int64_t value_to_integer(const struct value *value)
{
    assert(value->kind == VALUE_INTEGER);
    return value->integer;
}

double value_to_decimal(const struct value *value)
{
    assert(value->kind == VALUE_DECIMAL || value->kind == VALUE_INTEGER);
    return value->kind == VALUE_DECIMAL ? value->decimal : (double)value->integer;
}

static bool is_text(const struct value *value)
{
    return value->kind == VALUE_STRING || value->kind == VALUE_UNKNOWN ||
           value->kind == VALUE_SECRET;
}

const char *value_text(const struct value *value)
{
    assert(is_text(value));
    return value->text;
}

size_t value_text_length(const struct value *value)
{
    assert(is_text(value));
    return value->count;
}

const char *value_unknown_type(const struct value *value)
{
    assert(value->kind == VALUE_UNKNOWN);
    return second_text(value);
}

const char *value_secret_origin(const struct value *value)
{
    assert(value->kind == VALUE_SECRET);
    return second_text(value);
}

size_t value_count(const struct value *value)
{
    assert(is_container(value));
    return value->count;
}

struct value *value_at(const struct value *value, size_t index)
{
    assert(is_container(value) && index < value->count);
    return value->items[index];
}

const char *value_key_at(const struct value *map, size_t index)
{
    assert(map->kind == VALUE_MAP && index < map->count);
    return map_keys(map)[index];
}

/* One by one: most differ in their first byte already. */
static size_t find_among_few(const struct value *map, const char *key)
{
    char *const *keys = map_keys(map);
    for (size_t i = 0; i < map->count; i++)
        if (*keys[i] == *key && strcmp(keys[i], key) == 0)
            return i;
    return map->count;
}

size_t value_index_of(const struct value *map, const char *key)
{
    enum { FEW = 8 };
    assert(map->kind == VALUE_MAP);
    if (map->count <= FEW)
        return find_among_few(map, key);
    size_t low = 0;
    size_t high = map->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_keys(map_keys(map)[middle], key);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return map->count;
}

struct value *value_get(const struct value *map, const char *key)
{
    if (!map || map->kind != VALUE_MAP)
        return NULL;
    size_t index = value_index_of(map, key);
    return index < map->count ? map->items[index] : NULL;
}

const char *value_get_text(const struct value *map, const char *key)
{
    const struct value *field = value_get(map, key);
    return field && field->kind == VALUE_STRING ? field->text : NULL;
}

int64_t value_get_integer(const struct value *map, const char *key, int64_t fallback)
{
    const struct value *field = value_get(map, key);
    return field && field->kind == VALUE_INTEGER ? field->integer : fallback;
}

bool value_get_bool(const struct value *map, const char *key, bool fallback)
{
    const struct value *field = value_get(map, key);
    return field && field->kind == VALUE_BOOL ? field->boolean : fallback;
}

/* Reads "[N]" at *cursor and steps behind it. */
static struct value *follow_index(struct value *value, const char **cursor)
{
    char *end;
    unsigned long index = strtoul(*cursor + 1, &end, 10);
    if (end == *cursor + 1 || *end != ']')
        return NULL;
    *cursor = end + 1;
    bool has_items = value->kind == VALUE_LIST || value->kind == VALUE_SET;
    return has_items && index < value->count ? value->items[index] : NULL;
}

struct value *value_at_path(struct value *value, const char *path)
{
    while (value && *path) {
        if (*path == '[') {
            value = follow_index(value, &path);
            continue;
        }
        if (*path == '.')
            path++;
        size_t length = strcspn(path, ".[");
        CLEANUP(mem_freep) char *key = string_copy_n(path, length);
        value = value_get(value, key);
        path += length;
    }
    return value;
}

struct value *value_with(const struct value *map, const char *key, struct value *take_item)
{
    assert(map->kind == VALUE_MAP);
    struct value_builder builder = {0};
    for (size_t i = 0; i < map->count; i++)
        if (strcmp(map_keys(map)[i], key) != 0)
            value_builder_set(&builder, map_keys(map)[i], value_ref(map->items[i]));
    if (take_item)
        value_builder_set(&builder, key, take_item);
    return value_builder_map(&builder);
}

bool value_equal(const struct value *a, const struct value *b)
{
    return a == b || value_compare(a, b) == 0;
}

static int compare_sizes(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

static int compare_texts(const struct value *a, const struct value *b)
{
    size_t shorter = a->count < b->count ? a->count : b->count;
    int order = memcmp(a->text, b->text, shorter);
    if (order == 0)
        order = compare_sizes(a->count, b->count);
    bool counts_second = a->kind == VALUE_UNKNOWN || (a->kind == VALUE_SECRET && a->count == 0);
    if (order == 0 && counts_second)
        order = strcmp(second_text(a), second_text(b));
    return order;
}

static int compare_containers(const struct value *a, const struct value *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        int order = a->kind == VALUE_MAP ? compare_keys(map_keys(a)[i], map_keys(b)[i]) : 0;
        if (order == 0)
            order = value_compare(a->items[i], b->items[i]);
        if (order != 0)
            return order;
    }
    return compare_sizes(a->count, b->count);
}

int value_compare(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    switch ((enum value_kind)a->kind) {
    case VALUE_BOOL:
        return (int)a->boolean - (int)b->boolean;
    case VALUE_INTEGER:
        return (a->integer > b->integer) - (a->integer < b->integer);
    case VALUE_DECIMAL:
        return (a->decimal > b->decimal) - (a->decimal < b->decimal);
    case VALUE_STRING:
    case VALUE_UNKNOWN:
    case VALUE_SECRET:
        return compare_texts(a, b);
    case VALUE_LIST:
    case VALUE_SET:
    case VALUE_MAP:
        return compare_containers(a, b);
    case VALUE_NULL:
    case VALUE_KIND_COUNT:
        break;
    }
    return 0;
}

bool value_has_unknown(const struct value *value)
{
    return value->has_unknown;
}

bool value_has_secret(const struct value *value)
{
    return value->has_secret;
}
