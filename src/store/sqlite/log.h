/*
 * SQLite's write-ahead log as a crash left it. SQLite takes whatever comes before the first frame
 * that does not fit for the whole log, which is right for a transaction that was being written, and
 * silently loses later ones where a disk damaged an earlier one.
 */
#pragma once

#include <stdbool.h>

/*
 * Whether transactions that were durable are missing or lie behind a frame that does not fit. Known
 * by what lies behind, by a frame that one byte keeps from fitting, and by SQLite's index of the
 * log, where the crash left it. Without that index, damage in the newest transaction, and more than
 * a byte of it in the one before, cannot be told from one that was never finished.
 *
 * False when there is no log or it cannot be read, which SQLite then says itself. Others may be
 * writing.
 */
bool log_is_damaged(const char *path);

/* Puts bytes right that keep frames, or the head, from fitting; returns how many. Nobody may have
 * it open. */
int log_mend(const char *path);
