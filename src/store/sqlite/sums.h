/*
 * The sums that stand in each frame of SQLite's write-ahead log
 * (https://sqlite.org/fileformat2.html#checksum_algorithm). They are linear, so that they tell not
 * only that a byte is wrong but often also which one it is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sums {
    uint32_t first;
    uint32_t second;
};

/* Goes on with size bytes, a multiple of 8, as 32-bit words of that order. */
void sums_add(struct sums *sums, bool is_big_endian, const unsigned char *bytes, size_t size);

/* A byte that is another than it was. */
struct flip {
    size_t place;
    unsigned char byte; /* what it was */
};

/*
 * Finds the bytes of which the change of one alone makes the sums over all, begun at start, come
 * out as want. Returns how many there are; only a single one, *ret_flip, is proved. The topmost
 * byte of a word moves few bits of the sums and is often one of several. Where more than one byte
 * is wrong, one is found by chance once in 2^40.
 */
size_t sums_find_flip(struct sums start, bool is_big_endian, const unsigned char *bytes,
                      size_t size, struct sums want, struct flip *ret_flip);
