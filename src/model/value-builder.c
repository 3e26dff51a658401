/* Lists, sets and maps, collected item by item. */
#include "model/value.h"

#include "model/value-private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

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
    struct value *map = value_container_new(VALUE_MAP, builder->items, kept, builder->keys.length);
    char *texts = (char *)(map->items + 2 * kept);
    if (kept > 0)
        memcpy(texts, builder->keys.text, builder->keys.length);
    for (size_t i = 0; i < kept; i++)
        map_keys(map)[i] = texts + builder->key_starts[i];
    builder->n_items = 0;
    value_builder_done(builder);
    return map;
}
