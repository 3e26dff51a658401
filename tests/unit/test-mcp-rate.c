/* How often each may come, at times that the test says. */
#include "mcp/rate.h"

#include "base/text.h"
#include "harness.h"

static const int64_t SECOND = 1000000;

TEST(a_burst_is_taken_at_once_and_comes_back_evenly)
{
    struct rate *rate = rate_new(60, 3);
    int64_t now = 5 * SECOND;
    for (int i = 0; i < 3; i++)
        CHECK(rate_take(rate, "a", 1, now) == 0);
    CHECK(rate_take(rate, "a", 1, now) == SECOND);
    CHECK(rate_take(rate, "a", 1, now + SECOND / 4) == 3 * SECOND / 4);
    CHECK(rate_take(rate, "a", 1, now + SECOND) == 0);
    CHECK(rate_take(rate, "a", 1, now + SECOND) == SECOND);
    /* It is never fuller than full, however long nobody came. */
    now += INT64_C(31536000) * SECOND;
    for (int i = 0; i < 3; i++)
        CHECK(rate_take(rate, "a", 1, now) == 0);
    CHECK(rate_take(rate, "a", 1, now) == SECOND);
    rate_free(rate);
}

TEST(each_has_a_bucket_of_its_own)
{
    struct rate *rate = rate_new(60, 1);
    CHECK(rate_take(rate, "a", 1, 0) == 0 && rate_take(rate, "b", 1, 0) == 0);
    CHECK(rate_take(rate, "a", 1, 0) == SECOND && rate_take(rate, "b", 1, 0) == SECOND);
    rate_free(rate);
}

TEST(what_costs_more_takes_more_and_at_most_a_full_bucket)
{
    struct rate *rate = rate_new(60, 10);
    CHECK(rate_take(rate, "a", 8, 0) == 0);
    CHECK(rate_take(rate, "a", 8, 0) == 6 * SECOND);
    CHECK(rate_take(rate, "a", 2, 0) == 0);
    CHECK(rate_take(rate, "b", 1000, 0) == 0);
    CHECK(rate_take(rate, "b", 1, 0) == SECOND);
    rate_free(rate);
}

TEST(no_limit_is_none)
{
    struct rate *rate = rate_new(0, 1);
    for (int i = 0; i < 1000; i++)
        CHECK(rate_take(rate, "a", 1, 0) == 0);
    rate_free(rate);
}

TEST(of_very_many_names_the_first_are_forgotten)
{
    struct rate *rate = rate_new(60, 1);
    CHECK(rate_take(rate, "first", 1, 0) == 0);
    CHECK(rate_take(rate, "first", 1, 0) > 0);
    for (int i = 0; i < 5000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "address %d", i);
        CHECK(rate_take(rate, name, 1, 0) == 0);
    }
    CHECK(rate_take(rate, "first", 1, 0) == 0);
    CHECK(rate_take(rate, "address 4999", 1, 0) > 0);
    rate_free(rate);
}
