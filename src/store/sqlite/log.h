/*
 * SQLite's write-ahead log as a crash left it. SQLite takes whatever comes before the first frame
 * that does not fit for the whole log, which is right for a transaction that was being written, and
 * silently loses later ones where a disk damaged an earlier one.
 */
#pragma once

#include <stdbool.h>

/*
 * Whether transactions that were durable lie behind a frame that does not fit. The newest two
 * cannot be told from one that was never finished. False when there is no log or it cannot be read,
 * which SQLite then says itself. Others may be writing.
 */
bool log_is_damaged(const char *path);
