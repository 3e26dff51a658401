/*
 * The audit chain: who approved, ran and changed what, so that nothing can be altered, taken out or
 * put in afterwards without being noticed (DESIGN section 8).
 *
 * Each row of a run's journal goes into the run's chain: SHA-256 of the digest before it (the run's
 * id before the first), the row's time, kind and body, and where it is about a step of the run's
 * plan that step's number, from 0, each with a line feed behind it. Each approval, each new state
 * of a run, each revision and what store_batch_audit() was given is an entry of the store's chain:
 * of the digest before it (the store's id before the first), its time, kind and body, the number of
 * rows in its run's chain (0 when it is about none) and that chain's digest (left out then). The
 * numbers of the entries have no gap.
 *
 * Who may write the store's file may write all of it anew. A digest that was noted elsewhere then
 * is no more in the chain: that is what to ask for.
 */
#pragma once

#include "base/error.h"
#include "model/value.h"
#include "store/store.h"

/*
 * The entries after a number, oldest first, at most limit: a list of {number, time, kind, digest,
 * ...fields}, and of those about a run {rows, head}; a field that has one of these names is lost.
 */
CO_FN int store_read_audit(struct store *store, int64_t after_number, size_t limit,
                           struct value **ret_entries, struct error *err);
/* The number of the newest entry; 0 before the first. */
CO_FN int store_last_audit(struct store *store, int64_t *ret_number, struct error *err);

/*
 * Goes over all chains. What does not fit is an answer, not an error: *ret_report is {entries, head
 * (the newest digest, null when there is none), runs, rows (of journals, in chains), unchained
 * (rows of older programs), faults: [text]}. expected (may be NULL) is a digest, or at least 12
 * digits of it, that one of the entries must have.
 */
CO_FN int store_verify_audit(struct store *store, const char *expected, struct value **ret_report,
                             struct error *err);
