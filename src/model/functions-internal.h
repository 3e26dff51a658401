/* What the files of functions share: the table's prototypes and how arguments are taken. */
#pragma once

#include "model/functions.h"

#include <stdint.h>

/* Name, fewest and most arguments, whether it is structural. */
#define FUNCTIONS(X)                \
    X(base64encode, 1, 1, false)    \
    X(cidrhost, 2, 2, false)        \
    X(cidrnetmask, 1, 1, false)     \
    X(cidrsubnet, 3, 3, false)      \
    X(coalesce, 1, SIZE_MAX, false) \
    X(concat, 1, SIZE_MAX, true)    \
    X(contains, 2, 2, false)        \
    X(distinct, 1, 1, false)        \
    X(element, 2, 2, true)          \
    X(flatten, 1, 1, false)         \
    X(format, 1, SIZE_MAX, false)   \
    X(join, 1, SIZE_MAX, false)     \
    X(jsonencode, 1, 1, false)      \
    X(keys, 1, 1, true)             \
    X(length, 1, 1, true)           \
    X(lookup, 2, 3, true)           \
    X(lower, 1, 1, false)           \
    X(max, 1, SIZE_MAX, false)      \
    X(merge, 1, SIZE_MAX, true)     \
    X(min, 1, SIZE_MAX, false)      \
    X(range, 1, 3, false)           \
    X(replace, 3, 3, false)         \
    X(sort, 1, 1, false)            \
    X(split, 2, 2, false)           \
    X(substr, 3, 3, false)          \
    X(title, 1, 1, false)           \
    X(tonumber, 1, 1, false)        \
    X(tostring, 1, 1, false)        \
    X(trimspace, 1, 1, false)       \
    X(upper, 1, 1, false)           \
    X(values, 1, 1, true)

#define FUNCTION_PROTOTYPE(name, min, max, structural)                      \
    int function_##name(struct value *const *arguments, size_t n_arguments, \
                        struct value **ret_value, struct error *err);
FUNCTIONS(FUNCTION_PROTOTYPE)
#undef FUNCTION_PROTOTYPE

/*
 * One argument as what a function needs, index from 0. Scalars become texts and texts numbers, as
 * in Terraform. ERROR_INVALID names the argument by its place.
 */
int argument_text(struct value *const *arguments, size_t index, char **ret_text, struct error *err);
int argument_integer(struct value *const *arguments, size_t index, int64_t *ret_integer,
                     struct error *err);
int argument_is_list(struct value *const *arguments, size_t index, struct error *err);
int argument_is_map(struct value *const *arguments, size_t index, struct error *err);

/* Takes the text out of the buffer as a value; ERROR_LIMIT when it is too long. */
int give_text(struct strbuf *take_buffer, struct value **ret_value, struct error *err);
/* As text is added piece by piece: whether length bytes more are within the limit. */
int check_text_size(const struct strbuf *buffer, size_t length, struct error *err);
int check_item_count(size_t n_items, struct error *err);
