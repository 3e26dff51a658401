/*
 * The functions of expressions, named and meant as Terraform's. Pure: the same arguments always
 * give the same result. What differs: letters are changed between upper and lower case in ASCII
 * only, replace() knows no regular expressions, jsonencode() writes the canonical form of RFC 8785.
 */
#pragma once

#include "base/error.h"
#include "model/value.h"

#include <stdbool.h>
#include <stddef.h>

/* What a function may give; more is an error. */
#define FUNCTION_MAX_TEXT ((size_t)1 << 20)
#define FUNCTION_MAX_ITEMS 1000000

struct function {
    const char *name;
    size_t min_arguments;
    size_t max_arguments; /* SIZE_MAX: any number */
    /* Never looks into the items of its lists and maps, which may thus be unknown. */
    bool is_structural;
    /* Gives a new reference. ERROR_INVALID when it cannot work with its arguments, ERROR_LIMIT when
     * the result would be too large. */
    int (*call)(struct value *const *arguments, size_t n_arguments, struct value **ret_value,
                struct error *err);
};

/* NULL when there is none of that name. */
const struct function *function_find(const char *name);
/* The nearest name, or NULL. */
const char *function_nearest(const char *name);

/*
 * Calls one with arguments that have no unknown, or none outside of items when it is structural.
 * Errors name the function.
 */
int function_call(const struct function *function, struct value *const *arguments,
                  size_t n_arguments, struct value **ret_value, struct error *err);

/* Appends a null, bool, number or string as it stands in a text; null is nothing. False for other
 * kinds. */
bool function_scalar_text(struct strbuf *buffer, const struct value *scalar);
