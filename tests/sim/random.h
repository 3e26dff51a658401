/* Numbers that a seed decides. Streams of one seed are independent: what one takes moves no other.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

/* The stream of a seed with this name and number. */
struct random random_stream(uint64_t seed, const char *name, uint64_t number);
uint64_t random_next(struct random *random);
/* From 0 to below limit, which is above 0. */
uint64_t random_below(struct random *random, uint64_t limit);
/* From low to high, both included. */
int64_t random_between(struct random *random, int64_t low, int64_t high);
bool random_chance(struct random *random, unsigned int percent);
void random_fill(struct random *random, void *ret_bytes, size_t size);
