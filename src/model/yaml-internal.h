/* What the files of YAML share. */
#pragma once

#include "base/arena.h"
#include "base/map.h"
#include "model/yaml.h"

struct yaml_tree {
    size_t n_refs; /* of those who remember it besides its owner */
    struct arena arena;
    struct map keys; /* key -> its one copy in the arena */
    char *file;      /* owned */
    const struct yaml_node *root;
};

/* As yaml_read(), whatever is remembered. */
void yaml_read_anew(const char *file, const char *text, size_t size,
                    const struct yaml_limits *limits, struct yaml_tree **ret_tree,
                    struct diagnostics *diagnostics);

/*
 * Reads the most common form of YAML into an empty tree (yaml-plain.c). False when the text is not
 * of that form, has a fault or breaks a limit; the tree is then to be emptied with
 * yaml_tree_empty(), and read otherwise. What it reads is what libyaml would have made of it,
 * positions too.
 */
bool yaml_read_plain(const char *text, size_t size, const struct yaml_limits *limits,
                     struct yaml_tree *tree);
/* The same by libyaml, whatever the form: it alone tells faults. Returns -1 when there is no tree.
 */
int yaml_read_events(const char *text, size_t size, const struct yaml_limits *limits,
                     struct yaml_tree *tree, struct diagnostics *diagnostics);
void yaml_tree_empty(struct yaml_tree *tree);

/* Tells of each pair whose key an earlier one has. */
typedef void yaml_duplicate_fn(void *context, const struct yaml_pair *pair,
                               const struct yaml_pair *earlier);
void yaml_find_duplicates(const struct yaml_pair *pairs, size_t n_pairs, yaml_duplicate_fn *report,
                          void *context);

/* A list of the values of pairs. */
const struct yaml_node *yaml_add_pending_list(struct yaml_tree *tree,
                                              const struct yaml_pair *pending, size_t n_items,
                                              unsigned int line, unsigned int column);

/* The copy of a key that lives as long as the tree: the same one for the same short word. */
const char *yaml_keep_key(struct yaml_tree *tree, const char *key, size_t length);

/*
 * The core schema of YAML 1.2 (chapter 10.3). Gives a scalar its kind and content from its text,
 * its tag (NULL: none) and whether it stands without quotes. When that cannot be, *ret_fault is
 * half a sentence that says why, the result its code, and the node stays a string.
 */
enum diagnostic_code yaml_resolve_scalar(struct yaml_node *node, bool is_plain, const char *tag,
                                         const char **ret_fault);

/* --- Writing (yaml-write.c) --- */

struct yaml_layout {
    const char *line_end; /* borrowed: "\n" or "\r\n" */
};

/* On one line; is_quoted: all texts in quotes, as in JSON. */
void yaml_write_flow(struct strbuf *buffer, const struct yaml_node *node, bool is_quoted);
/* Whether it is written on one line also where lists and maps have lines of their own. */
bool yaml_is_short(const struct yaml_node *node);
/* On lines of its own, which begin with indent spaces; the caller has written those of the first,
 * and ends the last. */
void yaml_write_block(const struct yaml_layout *layout, struct strbuf *buffer,
                      const struct yaml_node *node, unsigned int indent);
/* "key: value" in the same way, where the key stands at indent. */
void yaml_write_pair(const struct yaml_layout *layout, struct strbuf *buffer,
                     const struct yaml_pair *pair, unsigned int indent);
