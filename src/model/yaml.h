/*
 * YAML 1.2 with the core schema, as a tree that knows where everything stands. One document, string
 * keys, no tags but the core schema's, no merge keys; all limits are checked while reading.
 */
#pragma once

#include "model/diagnostic.h"
#include "model/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct yaml_limits {
    size_t bytes;        /* of the text */
    unsigned int depth;  /* of lists and maps in each other */
    size_t nodes;        /* with every alias counted as what it stands for */
    size_t aliases;      /* how often one is used */
    size_t alias_bytes;  /* of text that aliases repeat */
    size_t scalar_bytes; /* of one scalar */
};
#define YAML_DEFAULT_LIMITS                                                            \
    {                                                                                  \
        .bytes = (size_t)512 << 20, .depth = 200, .nodes = 10000000, .aliases = 10000, \
        .alias_bytes = (size_t)16 << 20, .scalar_bytes = (size_t)1 << 20               \
    }
extern const struct yaml_limits yaml_default_limits;

/*
 * kind is null, bool, integer, decimal, string, list or map. Nodes never change once they are in a
 * tree; one that aliases name stands in several places and has the position of its anchor.
 */
struct yaml_node {
    enum value_kind kind;
    unsigned int line, column; /* from 1 */
    unsigned int n_items;      /* items of a list, pairs of a map, bytes of a scalar's text */
    union {
        const char *text; /* of a scalar, as written, without quotes and escapes */
        const struct yaml_node *const *items;
        const struct yaml_pair *pairs; /* in the order of the text */
    };
    union {
        bool boolean;
        int64_t integer;
        double decimal;
    };
};

struct yaml_pair {
    const char *key;
    unsigned int line, column; /* of the key */
    const struct yaml_node *value;
};

struct strbuf;
struct yaml_tree;

/*
 * Reads size bytes of text; file names it in positions and is copied. Faults are added to
 * diagnostics. *ret_tree is NULL when the text is not well-formed or breaks a limit; with any other
 * fault (a key twice, an unknown tag) it is given with what could be understood. An empty text is
 * a null node.
 */
void yaml_read(const char *file, const char *text, size_t size, const struct yaml_limits *limits,
               struct yaml_tree **ret_tree, struct diagnostics *diagnostics);
void yaml_tree_free(struct yaml_tree *tree); /* accepts NULL */
DEFINE_CLEANUP(struct yaml_tree *, yaml_tree_free)
/* Frees all but the name of the file, which positions have borrowed: nobody asks for nodes any
 * more. Nothing happens to a tree that is remembered, which others read. */
void yaml_tree_drop_nodes(struct yaml_tree *tree);

/* From now on what was read without a fault is kept, and given again for the same file and text,
 * whatever the limits; or no longer. Only on a simulated machine (base/memo.h). */
void yaml_remember(bool is_on);

/* All below borrow; what they give lives as long as the tree. */
const struct yaml_node *yaml_root(const struct yaml_tree *tree);
const char *yaml_file(const struct yaml_tree *tree);
struct position yaml_position(const struct yaml_tree *tree, const struct yaml_node *node);
struct position yaml_key_position(const struct yaml_tree *tree, const struct yaml_pair *pair);

/* NULL when node is NULL, is no map or has no such key. */
const struct yaml_pair *yaml_find(const struct yaml_node *map, const char *key);
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);
/* The text of a string node that is a field of the map, else NULL. */
const char *yaml_get_text(const struct yaml_node *map, const char *key);

/*
 * What a path such as "services.web.ports[0]" leads to. When it leads nowhere, the deepest node on
 * the way, so that a fault has a place; *ret_pair (may be NULL) is the last pair gone through.
 */
const struct yaml_node *yaml_nearest(const struct yaml_node *node, const char *path,
                                     const struct yaml_pair **ret_pair);

/* Whether a text stands for itself without quotes, also within a list or map on one line. */
bool yaml_is_plain_text(const char *text);

/* Appends a text in double quotes, with escapes for all that cannot stand there. */
void yaml_write_quoted(struct strbuf *buffer, const char *text);

/* A new reference to the same content without positions. */
struct value *yaml_to_value(const struct yaml_node *node);

/* New nodes in a tree, for what is added to it; texts and arrays are copied, nodes are shared. */
const struct yaml_node *yaml_add_scalar(struct yaml_tree *tree, const struct value *scalar,
                                        unsigned int line, unsigned int column);
const struct yaml_node *yaml_add_list(struct yaml_tree *tree, const struct yaml_node *const *items,
                                      size_t n_items, unsigned int line, unsigned int column);
const struct yaml_node *yaml_add_map(struct yaml_tree *tree, const struct yaml_pair *pairs,
                                     size_t n_pairs, unsigned int line, unsigned int column);
