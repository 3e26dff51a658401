/* SplitMix64: small, quick, and every state is a good one. */
#include "sim/random.h"

#include <assert.h>
#include <string.h>

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

struct random random_stream(uint64_t seed, const char *name, uint64_t number)
{
    uint64_t state = mix(seed + UINT64_C(0x9e3779b97f4a7c15));
    for (; *name; name++)
        state = mix(state ^ (uint64_t)(unsigned char)*name);
    return (struct random){mix(state + number * UINT64_C(0x9e3779b97f4a7c15))};
}

uint64_t random_next(struct random *random)
{
    random->state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(random->state);
}

uint64_t random_below(struct random *random, uint64_t limit)
{
    assert(limit > 0);
    return random_next(random) % limit;
}

int64_t random_between(struct random *random, int64_t low, int64_t high)
{
    assert(low <= high);
    return low + (int64_t)random_below(random, (uint64_t)(high - low) + 1);
}

bool random_chance(struct random *random, unsigned int percent)
{
    return random_below(random, 100) < percent;
}

void random_fill(struct random *random, void *ret_bytes, size_t size)
{
    unsigned char *bytes = ret_bytes;
    while (size > 0) {
        uint64_t word = random_next(random);
        size_t n = size < sizeof(word) ? size : sizeof(word);
        memcpy(bytes, &word, n);
        bytes += n;
        size -= n;
    }
}
