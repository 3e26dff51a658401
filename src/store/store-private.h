/* What the readers of the contract's own side have in common. */
#pragma once

#include "store/driver.h"
#include "store/store.h"

/* A parameter; the text is borrowed. */
static inline struct store_cell cell_text(const char *text)
{
    return (struct store_cell){.is_text = true, .text = (char *)text};
}

static inline struct store_cell cell_integer(int64_t number)
{
    return (struct store_cell){.number = number};
}

static inline struct store_cell cell_limit(size_t limit)
{
    return cell_integer(limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
}

#define PARAMETERS(...)                                            \
    (&(const struct store_row){(struct store_cell[]){__VA_ARGS__}, \
                               ARRAY_LENGTH(((struct store_cell[]){__VA_ARGS__}))})

/* Collects one value of each row. */
struct reading {
    const struct store *store;
    const char *what; /* a row in errors: "a plan" */
    struct value_builder rows;
};

/* The list of what visit, whose argument is a struct reading, makes of the rows of a query. */
CO_FN int store_query_values(struct store *store, enum store_query kind,
                             const struct store_row *parameters, store_visit *visit,
                             const char *what, struct value **ret_list, struct error *err);

/* The body of a row: one JSON cell. */
int store_read_body(const struct reading *reading, const struct store_row *row, size_t column,
                    struct value **ret_body, struct error *err);
/* A row that is nothing but its body, and one that is a step: visit. */
int store_add_body(void *argument, const struct store_row *row, struct error *err);
int store_add_step(void *argument, const struct store_row *row, struct error *err);
