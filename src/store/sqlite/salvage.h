/* The rows of a damaged database that can still be read, taken over into a new one. */
#pragma once

#include "store/sqlite/connection.h"

/*
 * Takes all rows of from over into to, which is new and of the same version. What cannot be read,
 * and what then refers to nothing, is left out and named in lost (texts). Rows are found by the
 * tables' own trees: what was deleted does not come back.
 */
int salvage_rows(struct connection *from, struct connection *to, struct value_builder *lost,
                 struct error *err);
