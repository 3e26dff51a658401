#include "model/value.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * The count of references, then what the kind needs. Containers hold their items inline; behind a
 * map's items come pointers to its keys, and behind these the keys' texts. has_unknown and
 * has_secret are worked out once, at birth.
 */
struct value {
    unsigned int references;
    unsigned char kind;
    bool has_unknown;
    bool has_secret;
    union {
        bool boolean;
        int64_t integer;
        double decimal;
        size_t count; /* items of a container, bytes of a text */
    };
    union {
        struct value *items[0];
        char text[0];
    };
};

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

/* A map's keys: pointers that lie behind the items, to texts that lie behind the pointers. */
static char **map_keys(const struct value *map)
{
    return (char **)(map->items + map->count);
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

/* keys_size: how long the texts of a map's keys are, with their NULs. */
static struct value *container_new(enum value_kind kind, struct value *const *items, size_t n_items,
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
    return container_new(VALUE_LIST, take_items, n_items, 0);
}

static int compare_items(const void *a, const void *b)
{
    return value_compare(*(struct value *const *)a, *(struct value *const *)b);
}

struct value *value_set(struct value *const *take_items, size_t n_items)
{
    struct value *set = container_new(VALUE_SET, take_items, n_items, 0);
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

void value_builder_done(struct value_builder *builder)
{
    for (size_t i = 0; i < builder->n_items; i++)
        value_unref(builder->items[i]);
    mem_free(builder->items);
    mem_free(builder->key_starts);
    strbuf_done(&builder->keys);
    *builder = (struct value_builder){0};
}

void value_builder_append(struct value_builder *builder, struct value *take_item)
{
    assert(take_item);
    ARRAY_RESERVE(builder->items, builder->n_items, builder->capacity);
    builder->items[builder->n_items++] = take_item;
}

void value_builder_set_n(struct value_builder *builder, const char *key, size_t length,
                         struct value *take_item)
{
    ARRAY_RESERVE(builder->key_starts, builder->n_items, builder->keys_capacity);
    builder->key_starts[builder->n_items] = builder->keys.length;
    strbuf_add_n(&builder->keys, key, length);
    strbuf_add_char(&builder->keys, '\0');
    value_builder_append(builder, take_item);
}

void value_builder_set(struct value_builder *builder, const char *key, struct value *take_item)
{
    value_builder_set_n(builder, key, strlen(key), take_item);
}

void value_builder_set_string(struct value_builder *builder, const char *key,
                              const char *text_or_null)
{
    value_builder_set(builder, key, text_or_null ? value_string(text_or_null) : value_null());
}

static struct value *builder_finish(struct value_builder *builder, enum value_kind kind)
{
    struct value *value = kind == VALUE_SET ? value_set(builder->items, builder->n_items)
                                            : value_list(builder->items, builder->n_items);
    builder->n_items = 0;
    value_builder_done(builder);
    return value;
}

struct value *value_builder_list(struct value_builder *builder)
{
    return builder_finish(builder, VALUE_LIST);
}

struct value *value_builder_set_of(struct value_builder *builder)
{
    return builder_finish(builder, VALUE_SET);
}

/*
 * The order of UTF-16 code units, by the first byte of UTF-8 that differs: characters above U+FFFF,
 * which begin with 0xf0 or more, are surrogates there and come before U+E000, which begins with
 * 0xee. All else is ordered as its bytes are.
 */
static unsigned int utf16_rank(unsigned char byte)
{
    if (byte >= 0xf0)
        return byte - 2u;
    return byte >= 0xee ? byte + 0x100u : byte;
}

/* The order of keys in RFC 8785, section 3.2.3. Both are well-formed. */
static int compare_keys(const char *a, const char *b)
{
    const unsigned char *left = (const unsigned char *)a;
    const unsigned char *right = (const unsigned char *)b;
    while (*left && *left == *right) {
        left++;
        right++;
    }
    unsigned int left_rank = utf16_rank(*left), right_rank = utf16_rank(*right);
    return (left_rank > right_rank) - (left_rank < right_rank);
}

static const char *key_of(const struct value_builder *builder, size_t i)
{
    return builder->keys.text + builder->key_starts[i];
}

struct field {
    const char *key; /* of two equal ones, the later one lies behind the other */
    size_t key_start;
    struct value *item;
};

static int compare_fields(const void *a, const void *b)
{
    const struct field *left = a;
    const struct field *right = b;
    int order = compare_keys(left->key, right->key);
    return order != 0 ? order : (left->key > right->key) - (left->key < right->key);
}

/* Sorts by key; fields of equal keys stay in their order. */
static void sort_many(struct value_builder *builder)
{
    size_t n_items = builder->n_items;
    struct field *fields = NEW_ARRAY(struct field, n_items);
    for (size_t i = 0; i < n_items; i++)
        fields[i] = (struct field){key_of(builder, i), builder->key_starts[i], builder->items[i]};
    qsort(fields, n_items, sizeof(fields[0]), compare_fields);
    for (size_t i = 0; i < n_items; i++) {
        builder->key_starts[i] = fields[i].key_start;
        builder->items[i] = fields[i].item;
    }
    mem_free(fields);
}

/* The same in place: most maps are small, and most of them are sorted already. */
static void sort_few(struct value_builder *builder)
{
    for (size_t i = 1; i < builder->n_items; i++) {
        size_t key_start = builder->key_starts[i];
        const char *key = builder->keys.text + key_start;
        struct value *item = builder->items[i];
        size_t place = i;
        for (; place > 0 && compare_keys(key_of(builder, place - 1), key) > 0; place--) {
            builder->key_starts[place] = builder->key_starts[place - 1];
            builder->items[place] = builder->items[place - 1];
        }
        builder->key_starts[place] = key_start;
        builder->items[place] = item;
    }
}

/* Of sorted fields the last one of each key. */
static size_t drop_replaced(struct value_builder *builder)
{
    size_t kept = 0;
    for (size_t i = 0; i < builder->n_items; i++) {
        if (i + 1 < builder->n_items && strcmp(key_of(builder, i), key_of(builder, i + 1)) == 0) {
            value_unref(builder->items[i]);
        } else {
            builder->key_starts[kept] = builder->key_starts[i];
            builder->items[kept++] = builder->items[i];
        }
    }
    return kept;
}

struct value *value_builder_map(struct value_builder *builder)
{
    enum { FEW = 32 };
    if (builder->n_items <= FEW)
        sort_few(builder);
    else
        sort_many(builder);
    size_t kept = drop_replaced(builder);
    struct value *map = container_new(VALUE_MAP, builder->items, kept, builder->keys.length);
    char *texts = (char *)(map->items + 2 * kept);
    if (kept > 0)
        memcpy(texts, builder->keys.text, builder->keys.length);
    for (size_t i = 0; i < kept; i++)
        map_keys(map)[i] = texts + builder->key_starts[i];
    builder->n_items = 0;
    value_builder_done(builder);
    return map;
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

size_t value_index_of(const struct value *map, const char *key)
{
    assert(map->kind == VALUE_MAP);
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
