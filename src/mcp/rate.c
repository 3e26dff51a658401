#include "mcp/rate.h"

#include "base/map.h"
#include "base/memory.h"

/* Of more names the one that came first is forgotten, and so has a full bucket again. */
enum { MOST_NAMES = 4096, MINUTE_US = 60 * 1000 * 1000 };

struct bucket {
    int64_t level; /* in millionths of a sixtieth, so that a microsecond adds per_minute */
    int64_t at;
};

struct rate {
    int64_t per_minute, burst;
    struct map buckets; /* name -> owned struct bucket */
};

struct rate *rate_new(int64_t per_minute, int64_t burst)
{
    struct rate *rate = NEW(struct rate);
    *rate = (struct rate){.per_minute = per_minute, .burst = burst};
    return rate;
}

void rate_free(struct rate *rate)
{
    size_t cursor = 0;
    if (!rate)
        return;
    for (struct map_entry *entry; (entry = map_next(&rate->buckets, &cursor)) != NULL;)
        mem_free(entry->value);
    map_done(&rate->buckets);
    mem_free(rate);
}

static int64_t brim(const struct rate *rate)
{
    return rate->burst * MINUTE_US;
}

static void fill(const struct rate *rate, struct bucket *bucket, int64_t now)
{
    int64_t missing = (brim(rate) - bucket->level) / rate->per_minute;
    if (now - bucket->at > missing)
        bucket->level = brim(rate);
    else
        bucket->level += (now - bucket->at) * rate->per_minute;
    bucket->at = now;
}

static struct bucket *find_bucket(struct rate *rate, const char *name, int64_t now)
{
    struct bucket *bucket = map_get(&rate->buckets, name);
    size_t cursor = 0;
    if (bucket)
        return bucket;
    if (rate->buckets.n_live >= MOST_NAMES)
        mem_free(map_remove(&rate->buckets, map_next(&rate->buckets, &cursor)->key));
    bucket = NEW(struct bucket);
    *bucket = (struct bucket){brim(rate), now};
    map_put(&rate->buckets, name, bucket);
    return bucket;
}

int64_t rate_take(struct rate *rate, const char *name, int64_t cost, int64_t now)
{
    if (rate->per_minute <= 0)
        return 0;
    struct bucket *bucket = find_bucket(rate, name, now);
    int64_t wanted = (cost < rate->burst ? cost : rate->burst) * MINUTE_US;
    fill(rate, bucket, now);
    if (bucket->level < wanted)
        return (wanted - bucket->level + rate->per_minute - 1) / rate->per_minute;
    bucket->level -= wanted;
    return 0;
}
