/*
 * Where everything stands in a YAML text, byte by byte: what an edit of the text needs and the tree
 * of yaml.h leaves out. Private to model/.
 */
#pragma once

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>

enum yaml_span_kind { YAML_SPAN_SCALAR, YAML_SPAN_LIST, YAML_SPAN_MAP, YAML_SPAN_ALIAS };

/* A byte range of the text: from start up to and without end. */
struct yaml_span {
    enum yaml_span_kind kind;
    bool is_flow;  /* a list or map in brackets */
    bool is_block; /* a scalar after "|" or ">" */
    /* With anchor and tag. Of a list or map on lines of its own: from its first part to its last;
     * of a scalar after "|": to its last line's end. A value that is left out has no bytes. */
    size_t start, end;
    unsigned int column; /* of start, from 0: where its keys or dashes stand */
    size_t n_items;
    const struct yaml_span **items; /* of a list, and the values of a map */
    const struct yaml_span **keys;  /* of a map */
    const char *text;               /* of a key: what it says */
};

/*
 * The root of a text that yaml_read() takes; everything lives in the arena. NULL when it does not
 * take it, or when there is nothing in it.
 */
const struct yaml_span *yaml_read_spans(struct arena *arena, const char *text, size_t size);

/* The value of a key; its index in *ret_index (may be NULL). NULL when it is no map or has none. */
const struct yaml_span *yaml_span_get(const struct yaml_span *map, const char *key,
                                      size_t *ret_index);
