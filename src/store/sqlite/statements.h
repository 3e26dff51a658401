/* What the store asks and changes, as SQL: parameters and columns are as driver.h says. */
#pragma once

#include "store/driver.h"

extern const char *const query_texts[QUERY_COUNT];
extern const char *const change_texts[CHANGE_KIND_COUNT];

/* What is changed when it is there; else change_texts adds it. One statement for both takes SQLite
 * several times as long to prepare, and every process prepares its own. NULL for most. */
extern const char *const update_texts[CHANGE_KIND_COUNT];
