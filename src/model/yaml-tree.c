/* The tree of a YAML document: its memory, what is added to it, and who reads it again. */
#include "model/yaml.h"

#include "base/memo.h"
#include "base/memory.h"
#include "base/text.h"
#include "model/json.h"
#include "model/yaml-internal.h"

#include <string.h>

enum {
    /* Keys of a document are mostly the same words: so many are kept once. */
    MAX_SHARED_KEYS = 4096,
    MAX_SHARED_KEY_LENGTH = 32,
    /* Maps of up to so many keys are searched for a key given twice by looking at each. */
    FEW_KEYS = 16,
};

const char *yaml_keep_key(struct yaml_tree *tree, const char *key, size_t length)
{
    if (length > MAX_SHARED_KEY_LENGTH)
        return arena_copy_text(&tree->arena, key, length);
    char *kept = map_get_n(&tree->keys, key, length);
    if (kept)
        return kept;
    kept = arena_copy_text(&tree->arena, key, length);
    if (tree->keys.n_live < MAX_SHARED_KEYS)
        map_put_borrowed(&tree->keys, kept, kept);
    return kept;
}

void yaml_find_duplicates(const struct yaml_pair *pairs, size_t n_pairs, yaml_duplicate_fn *report,
                          void *context)
{
    if (n_pairs <= FEW_KEYS) {
        for (size_t i = 1; i < n_pairs; i++)
            for (size_t k = 0; k < i; k++)
                if (pairs[i].key == pairs[k].key || text_equal(pairs[i].key, pairs[k].key)) {
                    report(context, &pairs[i], &pairs[k]);
                    break;
                }
        return;
    }
    struct map seen = {0};
    for (size_t i = 0; i < n_pairs; i++) {
        const struct yaml_pair *earlier = map_get(&seen, pairs[i].key);
        if (earlier)
            report(context, &pairs[i], earlier);
        else
            map_put(&seen, pairs[i].key, (void *)&pairs[i]);
    }
    map_done(&seen);
}

void yaml_tree_empty(struct yaml_tree *tree)
{
    arena_done(&tree->arena);
    map_done(&tree->keys);
    tree->root = NULL;
}

void yaml_tree_drop_nodes(struct yaml_tree *tree)
{
    if (tree->n_refs == 0)
        yaml_tree_empty(tree);
}

void yaml_tree_free(struct yaml_tree *tree)
{
    if (!tree || tree->n_refs-- > 0)
        return;
    yaml_tree_empty(tree);
    mem_free(tree->file);
    mem_free(tree);
}

const struct yaml_node *yaml_root(const struct yaml_tree *tree)
{
    return tree->root;
}

const char *yaml_file(const struct yaml_tree *tree)
{
    return tree->file;
}

struct position yaml_position(const struct yaml_tree *tree, const struct yaml_node *node)
{
    return (struct position){tree->file, node->line, node->column};
}

struct position yaml_key_position(const struct yaml_tree *tree, const struct yaml_pair *pair)
{
    return (struct position){tree->file, pair->line, pair->column};
}

const struct yaml_node *yaml_add_list(struct yaml_tree *tree, const struct yaml_node *const *items,
                                      size_t n_items, unsigned int line, unsigned int column)
{
    const struct yaml_node **copy = arena_take(&tree->arena, n_items, sizeof(struct yaml_node *));
    if (n_items)
        memcpy(copy, items, n_items * sizeof(struct yaml_node *));
    struct yaml_node *node = arena_take(&tree->arena, 1, sizeof(struct yaml_node));
    *node = (struct yaml_node){.kind = VALUE_LIST,
                               .line = line,
                               .column = column,
                               .n_items = (unsigned int)n_items,
                               .items = copy};
    return node;
}

const struct yaml_node *yaml_add_pending_list(struct yaml_tree *tree,
                                              const struct yaml_pair *pending, size_t n_items,
                                              unsigned int line, unsigned int column)
{
    const struct yaml_node **items = arena_take(&tree->arena, n_items, sizeof(struct yaml_node *));
    for (size_t i = 0; i < n_items; i++)
        items[i] = pending[i].value;
    struct yaml_node *node = arena_take(&tree->arena, 1, sizeof(struct yaml_node));
    *node = (struct yaml_node){.kind = VALUE_LIST,
                               .line = line,
                               .column = column,
                               .n_items = (unsigned int)n_items,
                               .items = items};
    return node;
}

const struct yaml_node *yaml_add_map(struct yaml_tree *tree, const struct yaml_pair *pairs,
                                     size_t n_pairs, unsigned int line, unsigned int column)
{
    struct yaml_pair *copy = arena_take(&tree->arena, n_pairs, sizeof(pairs[0]));
    for (size_t i = 0; i < n_pairs; i++)
        copy[i] = pairs[i];
    struct yaml_node *node = arena_take(&tree->arena, 1, sizeof(struct yaml_node));
    *node = (struct yaml_node){.kind = VALUE_MAP,
                               .line = line,
                               .column = column,
                               .n_items = (unsigned int)n_pairs,
                               .pairs = copy};
    return node;
}

const struct yaml_node *yaml_add_scalar(struct yaml_tree *tree, const struct value *scalar,
                                        unsigned int line, unsigned int column)
{
    struct yaml_node *node = arena_take(&tree->arena, 1, sizeof(struct yaml_node));
    *node = (struct yaml_node){
        .kind = scalar ? value_kind(scalar) : VALUE_NULL, .line = line, .column = column};
    CLEANUP(mem_freep) char *written = NULL;
    switch (node->kind) {
    case VALUE_BOOL:
        node->boolean = value_to_bool(scalar);
        break;
    case VALUE_INTEGER:
        node->integer = value_to_integer(scalar);
        break;
    case VALUE_DECIMAL:
        node->decimal = value_to_decimal(scalar);
        break;
    case VALUE_STRING:
        break;
    default:
        node->kind = VALUE_NULL;
        break;
    }
    if (node->kind != VALUE_STRING)
        written = scalar ? json_text(scalar) : string_copy("null");
    const char *text = written ? written : value_text(scalar);
    node->n_items = (unsigned int)strlen(text);
    node->text = arena_copy_text(&tree->arena, text, node->n_items);
    return node;
}

void yaml_read_anew(const char *file, const char *text, size_t size,
                    const struct yaml_limits *limits, struct yaml_tree **ret_tree,
                    struct diagnostics *diagnostics)
{
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = NEW(struct yaml_tree);
    tree->file = string_copy(file);
    int r = 0;
    if (size > limits->bytes || !yaml_read_plain(text, size, limits, tree)) {
        yaml_tree_empty(tree);
        r = yaml_read_events(text, size, limits, tree, diagnostics);
    }
    map_done(&tree->keys);
    *ret_tree = r < 0 ? NULL : take_ptr(tree);
}

static struct memo known;

static void release_tree(void *item)
{
    yaml_tree_free(item);
}

void yaml_remember(bool is_on)
{
    if (is_on)
        memo_begin(&known, release_tree);
    else
        memo_end(&known);
}

/* Nodes never change: whoever adds to a tree leaves what was read as it is. */
void yaml_read(const char *file, const char *text, size_t size, const struct yaml_limits *limits,
               struct yaml_tree **ret_tree, struct diagnostics *diagnostics)
{
    struct yaml_tree *tree = memo_find(&known, file, text, size);
    if (tree) {
        tree->n_refs++;
        *ret_tree = tree;
        return;
    }
    size_t n_before = diagnostics->n_items;
    yaml_read_anew(file, text, size, limits, ret_tree, diagnostics);
    /* What has faults is read again, so that they are told again. */
    if (*ret_tree && diagnostics->n_items == n_before && known.entries) {
        (*ret_tree)->n_refs++;
        memo_keep(&known, file, text, size, *ret_tree);
    }
}
