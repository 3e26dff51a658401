/*
 * The three-way merge: what changed from base to head becomes edits of the file. Edits within an
 * item come before those that move items, so that every index holds when its edit is made.
 */
#include "document/merge.h"

#include "base/text.h"
#include "document/merge-internal.h"
#include "model/resource.h"
#include "model/yaml-edit.h"

#include <assert.h>
#include <string.h>

/* The same place in the three documents; NULL where there is nothing. */
struct triple {
    const struct yaml_node *base, *head, *file;
};

struct merger {
    struct merge *merge;
    struct merge_steps names;  /* the place, for people */
    struct value_builder path; /* the same in the file, for edits */
    struct yaml_edit *edits;   /* owned, with their paths */
    size_t n_edits;
    size_t capacity;
};

void merge_done(struct merge *merge)
{
    for (size_t i = 0; i < merge->n_taken; i++)
        value_unref(merge->taken[i]);
    for (size_t i = 0; i < merge->n_conflicts; i++)
        value_unref(merge->conflicts[i].place);
    mem_free(merge->taken);
    mem_free(merge->conflicts);
    mem_free(merge->text);
    *merge = (struct merge){0};
}

/* --- What is found --- */

static void enter(struct merger *merger, char *take_name, struct value *take_step)
{
    merge_push(&merger->names, take_name);
    value_builder_append(&merger->path, take_step);
}

static void leave(struct merger *merger)
{
    merge_pop(&merger->names);
    value_unref(merger->path.items[--merger->path.n_items]);
}

static void add_edit(struct merger *merger, enum yaml_edit_kind kind,
                     const struct yaml_node *content, const char *after)
{
    struct value_builder path = {0};
    for (size_t i = 0; i < merger->path.n_items; i++)
        value_builder_append(&path, value_ref(merger->path.items[i]));
    ARRAY_RESERVE(merger->edits, merger->n_edits, merger->capacity);
    merger->edits[merger->n_edits++] = (struct yaml_edit){
        .kind = kind, .path = value_builder_list(&path), .content = content, .after = after};
    struct merge *merge = merger->merge;
    ARRAY_RESERVE(merge->taken, merge->n_taken, merge->capacity);
    merge->taken[merge->n_taken++] = merge_place(&merger->names);
}

/* holders: what the thing is in, for a place when it is gone itself. */
static void add_conflict(struct merger *merger, const struct triple *here,
                         const struct triple *holders)
{
    struct merge *merge = merger->merge;
    const struct yaml_node *in_file = here->file ? here->file : holders->file;
    const struct yaml_node *in_head = here->head ? here->head : holders->head;
    assert(in_file && in_head);
    ARRAY_RESERVE(merge->conflicts, merge->n_conflicts, merge->conflict_capacity);
    merge->conflicts[merge->n_conflicts++] = (struct merge_conflict){
        .place = merge_place(&merger->names),
        .line = in_file->line,
        .column = in_file->column,
        .head_line = in_head->line,
        .is_gone = !here->file,
        .is_head_gone = !here->head,
    };
}

/* --- Merging --- */

static bool is_kind(const struct yaml_node *node, enum value_kind kind)
{
    return node && node->kind == kind;
}

static void merge_maps(struct merger *merger, const struct triple *maps);
static bool merge_lists(struct merger *merger, const struct triple *lists);

/* One thing that the merger has entered. after: the key that stands before it in the head. */
static void merge_node(struct merger *merger, const struct triple *here,
                       const struct triple *holders, const char *after)
{
    if (merge_is_same(here->base, here->head) || merge_is_same(here->head, here->file))
        return;
    if (is_kind(here->head, VALUE_MAP) && is_kind(here->file, VALUE_MAP)) {
        merge_maps(merger, here);
        return;
    }
    if (is_kind(here->head, VALUE_LIST) && is_kind(here->file, VALUE_LIST) &&
        merge_lists(merger, here))
        return;
    if (!merge_is_same(here->base, here->file))
        add_conflict(merger, here, holders);
    else if (here->head)
        add_edit(merger, YAML_EDIT_SET, here->head, after);
    else
        add_edit(merger, YAML_EDIT_REMOVE, NULL, NULL);
}

static void merge_key(struct merger *merger, const struct triple *maps, const char *key,
                      const char *after)
{
    if (merge_is_revision(&merger->names, key))
        return;
    struct triple here = {yaml_get(maps->base, key), yaml_get(maps->head, key),
                          yaml_get(maps->file, key)};
    enter(merger, string_copy(key), value_string(key));
    merge_node(merger, &here, maps, after);
    leave(merger);
}

static void merge_maps(struct merger *merger, const struct triple *maps)
{
    for (size_t i = 0; i < maps->head->n_items; i++)
        merge_key(merger, maps, maps->head->pairs[i].key,
                  i > 0 ? maps->head->pairs[i - 1].key : NULL);
    for (size_t i = 0; is_kind(maps->base, VALUE_MAP) && i < maps->base->n_items; i++)
        if (!yaml_get(maps->head, maps->base->pairs[i].key))
            merge_key(merger, maps, maps->base->pairs[i].key, NULL);
}

/* The three lists by their items' names. */
struct indices {
    struct map base, head, file;
};

static void indices_done(struct indices *indices)
{
    map_done(&indices->base);
    map_done(&indices->head);
    map_done(&indices->file);
}

/* Whether the items that all three have stand in the same order in two of them. */
static bool is_same_order(const struct yaml_node *a, const struct map *a_index,
                          const struct yaml_node *b, const struct map *third)
{
    size_t last = 0;
    for (size_t i = 0; i < b->n_items; i++) {
        const char *name = merge_item_name(b->items[i]);
        size_t at = (size_t)map_get(a_index, name);
        if (!at || !map_has(third, name))
            continue;
        if (at < last)
            return false;
        last = at;
    }
    return a != NULL;
}

static void merge_item_at(struct merger *merger, const struct triple *lists,
                          const struct triple *here, const char *name, size_t index)
{
    enter(merger, merge_item_step(name), value_integer((int64_t)index));
    merge_node(merger, here, lists, NULL);
    leave(merger);
}

/* Changes within items, and what cannot be merged; additions and removals come later. */
static void merge_items(struct merger *merger, const struct triple *lists,
                        const struct indices *indices)
{
    for (size_t i = 0; i < lists->head->n_items; i++) {
        const char *name = merge_item_name(lists->head->items[i]);
        struct triple here = {merge_item(lists->base, &indices->base, name), lists->head->items[i],
                              merge_item(lists->file, &indices->file, name)};
        if (here.file || here.base)
            merge_item_at(merger, lists, &here, name,
                          (size_t)map_get(&indices->file, name) - (here.file != NULL));
    }
}

static void remove_items(struct merger *merger, const struct triple *lists,
                         const struct indices *indices, struct string_list *order)
{
    for (size_t i = lists->file->n_items; i-- > 0;) {
        const char *name = merge_item_name(lists->file->items[i]);
        struct triple here = {merge_item(lists->base, &indices->base, name),
                              merge_item(lists->head, &indices->head, name), lists->file->items[i]};
        if (here.head || !here.base)
            continue;
        size_t n_before = merger->n_edits;
        merge_item_at(merger, lists, &here, name, i);
        if (merger->n_edits == n_before)
            continue;
        assert(i < order->n_items && order->items);
        mem_free(order->items[i]);
        memmove(&order->items[i], &order->items[i + 1],
                (order->n_items - i - 1) * sizeof(order->items[0]));
        order->n_items--;
    }
}

/* Where an item of the head goes: behind the nearest before it that the file has, too. */
static size_t find_index(const struct string_list *order, const struct yaml_node *head, size_t at)
{
    while (at-- > 0) {
        const char *name = merge_item_name(head->items[at]);
        for (size_t i = 0; i < order->n_items; i++)
            if (text_equal(order->items[i], name))
                return i + 1;
    }
    return 0;
}

static void add_items(struct merger *merger, const struct triple *lists,
                      const struct indices *indices, struct string_list *order)
{
    for (size_t i = 0; i < lists->head->n_items; i++) {
        const char *name = merge_item_name(lists->head->items[i]);
        if (map_has(&indices->base, name) || map_has(&indices->file, name))
            continue;
        size_t index = find_index(order, lists->head, i);
        enter(merger, merge_item_step(name), value_integer((int64_t)index));
        add_edit(merger, YAML_EDIT_INSERT, lists->head->items[i], NULL);
        leave(merger);
        string_list_add(order, name);
        char *added = order->items[order->n_items - 1];
        memmove(&order->items[index + 1], &order->items[index],
                (order->n_items - 1 - index) * sizeof(order->items[0]));
        order->items[index] = added;
    }
}

/* False when they must be taken as a whole: items without names, or in another order. */
static bool merge_lists(struct merger *merger, const struct triple *lists)
{
    struct indices indices = {0};
    const struct yaml_node *base = is_kind(lists->base, VALUE_LIST) ? lists->base : NULL;
    bool is_named = merge_index_list(base, &indices.base) &&
                    merge_index_list(lists->head, &indices.head) &&
                    merge_index_list(lists->file, &indices.file);
    bool is_merged =
        is_named && (!base || is_same_order(base, &indices.base, lists->head, &indices.file) ||
                     is_same_order(lists->file, &indices.file, lists->head, &indices.base));
    if (is_merged) {
        struct string_list order = {0};
        for (size_t i = 0; i < lists->file->n_items; i++)
            string_list_add(&order, merge_item_name(lists->file->items[i]));
        struct triple here = {base, lists->head, lists->file};
        merge_items(merger, &here, &indices);
        remove_items(merger, &here, &indices, &order);
        add_items(merger, &here, &indices, &order);
        string_list_done(&order);
    }
    indices_done(&indices);
    return is_merged;
}

/* --- The whole --- */

static int make_edits(const struct merger *merger, const char *file, struct merge *merge,
                      struct error *err)
{
    CLEANUP(mem_freep) char *text = string_copy(file);
    for (size_t i = 0; i < merger->n_edits; i++) {
        int r = yaml_edit_text(&text, &merger->edits[i], err);
        if (r < 0)
            return r;
    }
    merge->text = take_ptr(text);
    return 0;
}

int document_merge(const char *base, const char *head, const char *file, struct merge *ret_merge,
                   struct error *err)
{
    *ret_merge = (struct merge){0};
    CLEANUP(yaml_tree_freep) struct yaml_tree *base_tree = merge_read(base);
    CLEANUP(yaml_tree_freep) struct yaml_tree *head_tree = merge_read(head);
    CLEANUP(yaml_tree_freep) struct yaml_tree *file_tree = merge_read(file);
    if (!base_tree || !head_tree || !file_tree)
        return error_set(err, ERROR_INVALID, "a document that is to be merged has faults");
    struct merger merger = {.merge = ret_merge};
    struct triple roots = {yaml_root(base_tree), yaml_root(head_tree), yaml_root(file_tree)};
    merge_node(&merger, &roots, &roots, NULL);
    int r = ret_merge->n_conflicts > 0 ? 0 : make_edits(&merger, file, ret_merge, err);
    for (size_t i = 0; i < merger.n_edits; i++)
        value_unref((struct value *)merger.edits[i].path);
    mem_free(merger.edits);
    mem_free(merger.names.items);
    value_builder_done(&merger.path);
    if (r < 0)
        merge_done(ret_merge);
    return r;
}
