/*
 * The thread that writes. Batches queue up; all that are there become one transaction, hence one
 * sync; the answers come back on the loop.
 */
#pragma once

#include "store/sqlite/files.h"

struct writer;

/*
 * Thread and connection come with the first batch: who only reads has neither. *n_syncs grows, on
 * the loop, by each commit that was synced. shared, on a simulated machine, is a connection that
 * writes in place of its own once it is open; NULL: none. All must outlive the writer.
 */
struct writer *writer_new(struct loop *loop, const struct store_files *files,
                          struct connection *shared, uint64_t *n_syncs);
/* Before the first batch: there is no store yet, and it is made with that one. id is what it will
 * have, and must outlive the writer. */
void writer_make_store(struct writer *writer, const char *id);
/* Ends the thread and closes the connection. Accepts NULL. Nobody may be waiting. */
void writer_free(struct writer *writer);

/* As store_ops.commit. */
CO_FN int writer_commit(struct writer *writer, const struct store_batch *batch,
                        int64_t *ret_last_seq, struct error *err);
/* The same with SQL that has no parameters and gives no answer. */
CO_FN int writer_run(struct writer *writer, const char *sql, struct error *err);
