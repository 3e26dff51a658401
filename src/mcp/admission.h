/*
 * Who comes too often: each principal has a rate, and each address from which nobody comes that is
 * known. A token that is known always opens, however many wrong ones came from its address.
 * Refusals are in the audit chain, one entry for many.
 */
#pragma once

#include "mcp/pool.h"

/* What is usual: requests of a principal in a minute. */
enum { ADMISSION_RATE = 6000 };

struct admission;
/* rate: of a principal in a minute, a sixth of it at once; 0: what is usual, negative: no limit.
 * as: in whose name refusals are noted. All borrowed. */
struct admission *admission_new(struct loop *loop, struct pool *pool, const struct caller *as,
                                int64_t rate);
/* Writes what is left and frees it. */
CO_FN void admission_end(struct admission *admission);
/* 0: it may come. Else how many microseconds to wait. */
int64_t admission_take_principal(struct admission *admission, const char *principal);
/* The same before it is known who comes; a wrong token costs more than none. */
int64_t admission_take_stranger(struct admission *admission, const char *address, bool shows_token);
