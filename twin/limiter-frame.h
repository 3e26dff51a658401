/*
 * The frames in which HAProxy asks whether a request is within a limit: the stream processing
 * offload protocol (SPOP) 2.0, as far as that takes. Pure: it reads no socket and no clock.
 */
#pragma once

#include "base/error.h"
#include "base/strbuf.h"
#include "twin/limiter-count.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest frame, without the four bytes of its length. */
enum { LIMITER_FRAME_LIMIT = 16380 };

/* The variable that the answer sets, after the agent's prefix: seconds until the address may ask
 * again, 0 when it may now. */
#define LIMITER_VARIABLE "wait"

/*
 * Reads one frame (without its length) and appends the answer (with its length) to out.
 * *ret_is_last tells that the connection ends after it. ERROR_INVALID for what is no such frame:
 * nothing is appended, and the connection is of no use any more.
 */
int limiter_answer(struct limiter_counts *counts, const uint8_t *frame, size_t size, int64_t now,
                   struct strbuf *out, bool *ret_is_last, struct error *err);
