/*
 * The thread that writes. Batches queue up; all that are there become one transaction, hence one
 * sync; the answers come back on the loop.
 */
#pragma once

#include "store/sqlite/connection.h"

struct writer;

/*
 * Starts the thread, whose connection take_connection is from now on, also on failure. *n_syncs
 * grows, on the loop, by each sync that was made; it must outlive the writer.
 */
int writer_new(struct loop *loop, struct connection *take_connection, uint64_t *n_syncs,
               struct writer **ret_writer, struct error *err);
/* Ends the thread and closes the connection. Accepts NULL. Nobody may be waiting. */
void writer_free(struct writer *writer);

/* As store_ops.commit. */
CO_FN int writer_commit(struct writer *writer, const struct store_batch *batch,
                        int64_t *ret_last_seq, struct error *err);
