/* Rows of the store's tables as the structs that its users know. */
#pragma once

#include "store/driver.h"

/*
 * Each fills a zero-initialised struct or gives a value; on failure the caller frees what was
 * filled. ERROR_CORRUPT when a cell holds what was never written there; place says in which store.
 */
int store_read_deployment(const struct store_row *row, const char *place,
                          struct store_deployment *ret_deployment, struct error *err);
int store_read_record(const struct store_row *row, const char *place, struct record *ret_record,
                      struct error *err);
int store_read_run(const struct store_row *row, const char *place, struct store_run *ret_run,
                   struct error *err);

/* The JSON in a cell. what names it in errors: "the plan". */
int store_read_json(const struct store_row *row, size_t column, const char *what, const char *place,
                    struct value **ret_value, struct error *err);

/* The step that a row's STEP_TEXT_* say, the first of them in this column. */
int store_read_step(const struct store_row *row, size_t first, const char *place,
                    struct value **ret_step, struct error *err);
