#include "store/sqlite/sums.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

enum { PAIR = 8, WORD = 4, BYTE_VALUES = 256 };

static uint32_t word_at(const unsigned char *bytes, bool is_big_endian)
{
    uint32_t word;
    memcpy(&word, bytes, sizeof(word));
    return is_big_endian ? be32toh(word) : le32toh(word);
}

void sums_add(struct sums *sums, bool is_big_endian, const unsigned char *bytes, size_t size)
{
    assert(size % PAIR == 0);
    for (size_t i = 0; i < size; i += PAIR) {
        sums->first += word_at(bytes + i, is_big_endian) + sums->second;
        sums->second += word_at(bytes + i + WORD, is_big_endian) + sums->first;
    }
}

/* What a pair of zeros makes of a difference between sums. */
static struct sums carry(struct sums sums)
{
    sums.first += sums.second;
    sums.second += sums.first;
    return sums;
}

/* The search for one byte of one word: what one more in the word does to the sums at the end. */
struct search {
    bool is_big_endian;
    const unsigned char *bytes;
    struct sums missing;
    size_t n_found;
    struct flip found;
};

static void try_word(struct search *search, size_t place, struct sums effect)
{
    for (size_t i = 0; i < WORD; i++) {
        size_t at = place + (search->is_big_endian ? WORD - 1 - i : i);
        uint32_t now = search->bytes[at];
        for (uint32_t was = 0; was < BYTE_VALUES; was++) {
            uint32_t difference = (was - now) << (8 * i);
            if (was == now || difference * effect.first != search->missing.first ||
                difference * effect.second != search->missing.second)
                continue;
            search->found = (struct flip){at, (unsigned char)was};
            search->n_found++;
        }
    }
}

size_t sums_find_flip(struct sums start, bool is_big_endian, const unsigned char *bytes,
                      size_t size, struct sums want, struct flip *ret_flip)
{
    struct sums now = start;
    sums_add(&now, is_big_endian, bytes, size);
    struct search search = {
        .is_big_endian = is_big_endian,
        .bytes = bytes,
        .missing = {want.first - now.first, want.second - now.second},
    };
    struct sums effect_of_first = {1, 1};
    struct sums effect_of_second = {0, 1};
    for (size_t place = size; place > 0; place -= PAIR) {
        try_word(&search, place - PAIR, effect_of_first);
        try_word(&search, place - WORD, effect_of_second);
        effect_of_first = carry(effect_of_first);
        effect_of_second = carry(effect_of_second);
    }
    *ret_flip = search.found;
    return search.n_found;
}
