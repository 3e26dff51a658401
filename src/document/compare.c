/* Documents compared as trees: which places differ. */
#include "base/text.h"
#include "document/merge-internal.h"

#include <string.h>

static bool is_same_scalar(const struct yaml_node *a, const struct yaml_node *b)
{
    switch (a->kind) {
    case VALUE_NULL:
        return true;
    case VALUE_BOOL:
        return a->boolean == b->boolean;
    case VALUE_INTEGER:
        return a->integer == b->integer;
    default:
        return a->n_items == b->n_items && memcmp(a->text, b->text, a->n_items) == 0;
    }
}

static bool is_same_map(const struct yaml_node *a, const struct yaml_node *b)
{
    for (size_t i = 0; i < a->n_items; i++) {
        bool is_aligned = text_equal(a->pairs[i].key, b->pairs[i].key);
        const struct yaml_node *other =
            is_aligned ? b->pairs[i].value : yaml_get(b, a->pairs[i].key);
        if (!other || !merge_is_same(a->pairs[i].value, other))
            return false;
    }
    return true;
}

bool merge_is_same(const struct yaml_node *a, const struct yaml_node *b)
{
    if (!a || !b || a == b)
        return a == b;
    if (a->kind != b->kind)
        return false;
    if (a->kind != VALUE_LIST && a->kind != VALUE_MAP)
        return is_same_scalar(a, b);
    if (a->n_items != b->n_items)
        return false;
    if (a->kind == VALUE_MAP)
        return is_same_map(a, b);
    for (size_t i = 0; i < a->n_items; i++)
        if (!merge_is_same(a->items[i], b->items[i]))
            return false;
    return true;
}

struct yaml_tree *merge_read(const char *text)
{
    struct diagnostics faults = {0};
    struct yaml_tree *tree = NULL;
    yaml_read("", text, strlen(text), &yaml_default_limits, &tree, &faults);
    if (tree && diagnostics_has_errors(&faults)) {
        yaml_tree_free(tree);
        tree = NULL;
    }
    diagnostics_done(&faults);
    return tree;
}

/* --- Lists whose items have names --- */

const char *merge_item_name(const struct yaml_node *item)
{
    static const char *const keys[] = {"name", "id", "key"};
    if (item->kind == VALUE_LIST)
        return NULL;
    if (item->kind != VALUE_MAP)
        return item->text;
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++)
        if (yaml_get_text(item, keys[i]))
            return yaml_get_text(item, keys[i]);
    return NULL;
}

bool merge_index_list(const struct yaml_node *list, struct map *ret_index)
{
    *ret_index = (struct map){0};
    for (size_t i = 0; list && i < list->n_items; i++) {
        const char *name = merge_item_name(list->items[i]);
        if (!name || map_has(ret_index, name)) {
            map_done(ret_index);
            return false;
        }
        map_put(ret_index, name, (void *)(i + 1));
    }
    return true;
}

const struct yaml_node *merge_item(const struct yaml_node *list, const struct map *index,
                                   const char *name)
{
    size_t at = (size_t)map_get(index, name);
    return at ? list->items[at - 1] : NULL;
}

/* --- Places --- */

char *merge_item_step(const char *name)
{
    return string_format("[%s]", name);
}

char *merge_place_text(const struct value *place)
{
    struct strbuf text = {0};
    for (size_t i = 0; i < value_count(place); i++) {
        const char *step = value_text(value_at(place, i));
        strbuf_addf(&text, "%s%s", i == 0 || step[0] == '[' ? "" : ".", step);
    }
    return strbuf_take(&text);
}

static const struct yaml_node *find_item(const struct yaml_node *list, const char *step)
{
    for (size_t i = 0; list->kind == VALUE_LIST && i < list->n_items; i++) {
        const char *name = merge_item_name(list->items[i]);
        size_t length = name ? strlen(name) : 0;
        if (name && strncmp(step + 1, name, length) == 0 && text_equal(step + 1 + length, "]"))
            return list->items[i];
    }
    return NULL;
}

const struct yaml_node *merge_find(const struct yaml_tree *tree, const struct value *place)
{
    const struct yaml_node *node = yaml_root(tree);
    for (size_t i = 0; node && i < value_count(place); i++) {
        const char *step = value_text(value_at(place, i));
        const struct yaml_node *by_key = yaml_get(node, step);
        node = by_key ? by_key : step[0] == '[' ? find_item(node, step) : NULL;
    }
    return node;
}

const char *merge_place_resource(const struct value *place, size_t *ret_length)
{
    if (value_count(place) < 3 || !text_equal(value_text(value_at(place, 1)), "resources"))
        return NULL;
    const char *step = value_text(value_at(place, 2));
    size_t length = strlen(step);
    if (length < 3 || step[0] != '[')
        return NULL;
    *ret_length = length - 2;
    return step + 1;
}

/* --- Comparing --- */

struct comparison {
    void (*found)(void *argument, const struct value *place, const struct yaml_node *before,
                  const struct yaml_node *after);
    void *argument;
    struct merge_steps steps;
};

void merge_push(struct merge_steps *steps, char *take_step)
{
    ARRAY_RESERVE(steps->items, steps->n_items, steps->capacity);
    steps->items[steps->n_items++] = take_step;
}

void merge_pop(struct merge_steps *steps)
{
    mem_free(steps->items[--steps->n_items]);
}

struct value *merge_place(const struct merge_steps *steps)
{
    struct value_builder place = {0};
    for (size_t i = 0; i < steps->n_items; i++)
        value_builder_append(&place, value_string(steps->items[i]));
    return value_builder_list(&place);
}

bool merge_is_revision(const struct merge_steps *steps, const char *key)
{
    return steps->n_items == 1 && text_equal(steps->items[0], "deployment") &&
           text_equal(key, "revision");
}

static void compare(struct comparison *comparison, const struct yaml_node *before,
                    const struct yaml_node *after);

static void compare_step(struct comparison *comparison, char *take_step,
                         const struct yaml_node *before, const struct yaml_node *after)
{
    merge_push(&comparison->steps, take_step);
    compare(comparison, before, after);
    merge_pop(&comparison->steps);
}

static void compare_maps(struct comparison *comparison, const struct yaml_node *before,
                         const struct yaml_node *after)
{
    for (size_t i = 0; i < before->n_items; i++) {
        const char *key = before->pairs[i].key;
        if (!merge_is_revision(&comparison->steps, key))
            compare_step(comparison, string_copy(key), before->pairs[i].value,
                         yaml_get(after, key));
    }
    for (size_t i = 0; i < after->n_items; i++) {
        const char *key = after->pairs[i].key;
        if (!merge_is_revision(&comparison->steps, key) && !yaml_get(before, key))
            compare_step(comparison, string_copy(key), NULL, after->pairs[i].value);
    }
}

/* Whether an item was this one, under a name that it says it had. */
static bool was_formerly(const struct yaml_node *item, const char *name)
{
    const struct yaml_node *formerly = yaml_get(item, "formerly");
    if (!formerly || formerly->kind != VALUE_LIST)
        return formerly && formerly->kind == VALUE_STRING && text_equal(formerly->text, name);
    for (size_t i = 0; i < formerly->n_items; i++)
        if (formerly->items[i]->kind == VALUE_STRING && text_equal(formerly->items[i]->text, name))
            return true;
    return false;
}

/* Whether the item says that it was this other one. One that goes back to the name that the other
 * had before is no new name of it. */
static bool is_renamed(const struct yaml_node *before, const struct yaml_node *after)
{
    return after->kind == VALUE_MAP && was_formerly(after, merge_item_name(before)) &&
           !(before->kind == VALUE_MAP && was_formerly(before, merge_item_name(after)));
}

/* The one of a list of new items that an old item is now, or NULL; and the other way round. */
static const struct yaml_node *find_new(const struct yaml_node *after, const struct map *old,
                                        const struct yaml_node *item)
{
    for (size_t i = 0; i < after->n_items; i++)
        if (!map_has(old, merge_item_name(after->items[i])) && is_renamed(item, after->items[i]))
            return after->items[i];
    return NULL;
}

static const struct yaml_node *list_resources(const struct yaml_tree *tree)
{
    const struct yaml_node *list = yaml_get(yaml_get(yaml_root(tree), "deployment"), "resources");
    return list && list->kind == VALUE_LIST ? list : NULL;
}

const char *merge_find_name(const struct yaml_tree *before, const struct yaml_tree *after,
                            const char *name)
{
    const struct yaml_node *from = list_resources(before);
    const struct yaml_node *to = list_resources(after);
    struct map old = {0};
    struct map new = {0};
    const char *found = NULL;
    if (!from || !to || !merge_index_list(from, &old))
        return NULL;
    const struct yaml_node *item = merge_item(from, &old, name);
    if (item && merge_index_list(to, &new)) {
        const struct yaml_node *now = merge_item(to, &new, name);
        now = now ? now : find_new(to, &old, item);
        found = now ? merge_item_name(now) : NULL;
    }
    map_done(&old);
    map_done(&new);
    return found;
}

static bool has_old(const struct yaml_node *before, const struct map *new,
                    const struct yaml_node *item)
{
    for (size_t i = 0; yaml_get(item, "formerly") && i < before->n_items; i++)
        if (!map_has(new, merge_item_name(before->items[i])) && is_renamed(before->items[i], item))
            return true;
    return false;
}

/* False when the items have no names of their own. An item with a new name is compared with what it
 * was before. */
static bool compare_lists(struct comparison *comparison, const struct yaml_node *before,
                          const struct yaml_node *after)
{
    struct map old = {0};
    struct map new = {0};
    if (!merge_index_list(before, &old))
        return false;
    bool is_named = merge_index_list(after, &new);
    for (size_t i = 0; is_named && i < before->n_items; i++) {
        const char *name = merge_item_name(before->items[i]);
        const struct yaml_node *now = merge_item(after, &new, name);
        compare_step(comparison, merge_item_step(name), before->items[i],
                     now ? now : find_new(after, &old, before->items[i]));
    }
    for (size_t i = 0; is_named && i < after->n_items; i++) {
        const char *name = merge_item_name(after->items[i]);
        if (!map_has(&old, name) && !has_old(before, &new, after->items[i]))
            compare_step(comparison, merge_item_step(name), NULL, after->items[i]);
    }
    map_done(&old);
    map_done(&new);
    return is_named;
}

static void compare(struct comparison *comparison, const struct yaml_node *before,
                    const struct yaml_node *after)
{
    if (merge_is_same(before, after))
        return;
    bool is_both = before && after && before->kind == after->kind;
    if (is_both && before->kind == VALUE_MAP) {
        compare_maps(comparison, before, after);
        return;
    }
    if (is_both && before->kind == VALUE_LIST && compare_lists(comparison, before, after))
        return;
    CLEANUP(value_unrefp) struct value *place = merge_place(&comparison->steps);
    comparison->found(comparison->argument, place, before, after);
}

void document_compare(const struct yaml_tree *before, const struct yaml_tree *after,
                      void (*found)(void *argument, const struct value *place,
                                    const struct yaml_node *before, const struct yaml_node *after),
                      void *argument)
{
    struct comparison comparison = {.found = found, .argument = argument};
    compare(&comparison, yaml_root(before), yaml_root(after));
    mem_free(comparison.steps.items);
}
