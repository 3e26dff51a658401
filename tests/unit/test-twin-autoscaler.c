#include "harness.h"
#include "twin/autoscaler.h"

#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)

static const struct autoscaler_limits two_to_ten = {
    .least = 2, .most = 10, .target = 0.7, .cooldown_us = 5 * MINUTE};

/* A group whose hosts are equally busy, looked at once a second. */
struct group {
    struct autoscaler_state state;
    unsigned int n_hosts;
    int64_t now, used;
};

/* Lets so much time pass at that load of each host, and follows what is decided. */
static void pass(struct group *group, const struct autoscaler_limits *limits, int64_t time,
                 double load)
{
    double found;
    for (int64_t end = group->now + time; group->now < end;) {
        group->now += SECOND;
        group->used += (int64_t)(load * group->n_hosts * SECOND);
        unsigned int wanted = autoscaler_decide(&group->state, limits, group->now, group->n_hosts,
                                                group->n_hosts, group->used, &found);
        /* The sum is of the hosts that are there. */
        if (wanted < group->n_hosts)
            group->used = group->used * wanted / group->n_hosts;
        group->n_hosts = wanted;
    }
}

TEST(a_busy_group_grows_until_its_load_is_what_is_wanted)
{
    struct group group = {.n_hosts = 2, .now = SECOND};
    /* The work of two hosts, on however many there are. */
    for (unsigned int i = 0; i < 600; i++)
        pass(&group, &two_to_ten, SECOND, 2.0 / group.n_hosts);
    CHECK(group.n_hosts == 3);
}

TEST(it_never_leaves_what_was_approved)
{
    struct group group = {.n_hosts = 2, .now = SECOND};
    pass(&group, &two_to_ten, 30 * MINUTE, 1.0);
    CHECK(group.n_hosts == 10);
    pass(&group, &two_to_ten, 60 * MINUTE, 0);
    CHECK(group.n_hosts == 2);
}

TEST(it_at_most_doubles_at_once)
{
    struct group group = {.n_hosts = 2, .now = SECOND};
    const struct autoscaler_limits eager = {
        .least = 1, .most = 100, .target = 0.1, .cooldown_us = 5 * MINUTE};
    pass(&group, &eager, 20 * SECOND, 1.0);
    CHECK(group.n_hosts == 4);
}

TEST(a_little_more_or_less_than_wanted_changes_nothing)
{
    struct group group = {.n_hosts = 5, .now = SECOND};
    pass(&group, &two_to_ten, 30 * MINUTE, 0.75);
    CHECK(group.n_hosts == 5);
    pass(&group, &two_to_ten, 30 * MINUTE, 0.65);
    CHECK(group.n_hosts == 5);
}

TEST(hosts_go_only_after_a_whole_cooldown_of_less_load)
{
    struct group group = {.n_hosts = 6, .now = SECOND};
    pass(&group, &two_to_ten, 4 * MINUTE, 0.1);
    CHECK(group.n_hosts == 6);
    /* Busy for a moment: the cooldown begins anew. */
    pass(&group, &two_to_ten, 30 * SECOND, 0.7);
    pass(&group, &two_to_ten, 4 * MINUTE, 0.1);
    CHECK(group.n_hosts == 6);
    pass(&group, &two_to_ten, 2 * MINUTE, 0.1);
    CHECK(group.n_hosts == 2);
}

/* Load is measured over 15 seconds, or a quarter of the cooldown: so exactly is it known when it
 * ended. */
TEST(hosts_go_a_cooldown_after_the_load_however_long_that_is)
{
    static const struct {
        int64_t cooldown, exact;
    } cases[] = {{4 * SECOND, SECOND},
                 {12 * SECOND, 3 * SECOND},
                 {40 * SECOND, 10 * SECOND},
                 {5 * MINUTE, 15 * SECOND}};
    for (size_t i = 0; i < 4; i++) {
        struct group group = {.n_hosts = 8, .now = SECOND};
        const struct autoscaler_limits limits = {
            .least = 1, .most = 8, .target = 0.5, .cooldown_us = cases[i].cooldown};
        pass(&group, &limits, 10 * MINUTE, 1.0);
        CHECK(group.n_hosts == 8);
        pass(&group, &limits, cases[i].cooldown - cases[i].exact, 0.01);
        CHECK(group.n_hosts == 8);
        pass(&group, &limits, 2 * cases[i].exact + SECOND, 0.01);
        CHECK(group.n_hosts == 1);
    }
}

TEST(hosts_stay_for_the_busiest_time_of_the_cooldown)
{
    struct group group = {.n_hosts = 8, .now = SECOND};
    pass(&group, &two_to_ten, 2 * MINUTE, 0.1);
    pass(&group, &two_to_ten, 30 * SECOND, 0.4); /* would be five hosts */
    pass(&group, &two_to_ten, 3 * MINUTE, 0.1);
    CHECK(group.n_hosts == 5);
}

TEST(a_number_that_somebody_else_changed_is_measured_from_then_on)
{
    struct group group = {.n_hosts = 2, .now = SECOND};
    pass(&group, &two_to_ten, 14 * SECOND, 1.0);
    group.n_hosts = 4;
    pass(&group, &two_to_ten, 14 * SECOND, 1.0);
    CHECK(group.n_hosts == 4);
    pass(&group, &two_to_ten, 2 * SECOND, 1.0);
    CHECK(group.n_hosts == 6);
}

TEST(a_group_of_none_stays_so)
{
    struct group group = {.n_hosts = 0, .now = SECOND};
    const struct autoscaler_limits from_none = {
        .least = 0, .most = 3, .target = 0.5, .cooldown_us = MINUTE};
    pass(&group, &from_none, 10 * MINUTE, 1.0);
    CHECK(group.n_hosts == 0);
}
