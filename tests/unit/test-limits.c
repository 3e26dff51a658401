/* How an instance may be called: counted, and in a time of the test's own, so that nothing waits.
 */
#include "contract/provider.h"

#include "base/text.h"
#include "provider/limits.h"

#define MS INT64_C(1000)
#define SECOND INT64_C(1000000)

/* --- A time of its own: a coroutine lets a millisecond pass in each turn of the loop --- */

static int64_t clock_us;
static size_t n_left; /* requests that have not ended */

static int64_t read_clock(void)
{
    return clock_us;
}

static void random_bytes(void *ret_bytes, size_t size)
{
    memset(ret_bytes, 7, size);
}

static const struct world_ops test_world = {
    .wall_clock = read_clock, .monotonic_clock = read_clock, .random = random_bytes};

static void tick(void *argument)
{
    while (n_left > 0) {
        clock_us += MS;
        loop_wake(argument, coroutine_self());
        coroutine_yield();
    }
}

/* --- A driver of its own, which notes when its calls begin and how many run together --- */

enum { MAX_CALLS = 200 };
static struct {
    int64_t begun[MAX_CALLS];   /* by the clock above */
    int64_t allowed[MAX_CALLS]; /* time left to each */
    size_t n_begun;
    size_t n_now, n_most;
    int64_t takes_us;
    size_t n_put_off; /* so many calls are put off yet */
    int64_t put_off_us;
    int64_t appears_at; /* reads find nothing before */
} seen;

static int quiet_configure(struct provider *provider, const struct value *config, const char *home,
                           struct error *err)
{
    (void)provider;
    (void)config;
    (void)home;
    (void)err;
    return 0;
}

static void quiet_close(struct provider *provider)
{
    (void)provider;
}

/* What every call does: it takes its time, and may be put off. */
static CO_FN bool note_call(struct call *call)
{
    seen.allowed[seen.n_begun] = call->deadline - clock_us;
    seen.begun[seen.n_begun++] = clock_us;
    seen.n_now++;
    if (seen.n_now > seen.n_most)
        seen.n_most = seen.n_now;
    if (seen.takes_us > 0)
        loop_sleep(call->loop, seen.takes_us);
    seen.n_now--;
    if (seen.n_put_off == 0)
        return true;
    seen.n_put_off--;
    call_put_off(call, seen.put_off_us);
    return false;
}

static CO_FN int quiet_read(struct provider *provider, struct call *call,
                            const struct target *target, struct live *ret_live, struct error *err)
{
    (void)provider;
    (void)target;
    if (!note_call(call))
        return error_set(err, ERROR_UNAVAILABLE, "too many calls");
    ret_live->is_present = clock_us >= seen.appears_at;
    if (!ret_live->is_present)
        return 0;
    ret_live->spec = from_json("{}");
    ret_live->outputs = from_json("{}");
    return 0;
}

static CO_FN int quiet_apply(struct provider *provider, struct call *call,
                             const struct target *target, const struct step *step,
                             struct value *after, struct outcome *ret_outcome, struct error *err)
{
    (void)provider;
    (void)target;
    (void)after;
    (void)err;
    if (!note_call(call))
        return outcome_set(ret_outcome, OUTCOME_FAILED, ERROR_UNAVAILABLE, "too many calls");
    if (step->kind == STEP_UPDATE && clock_us < seen.appears_at)
        return outcome_set(ret_outcome, OUTCOME_FAILED, ERROR_NOT_FOUND, "there is none");
    if (step->kind != STEP_DELETE)
        ret_outcome->outputs = from_json("{}");
    return 0;
}

static CO_FN int quiet_probe(struct provider *provider, struct call *call,
                             const struct target *target, const struct attempt *attempt,
                             enum probe_kind *ret_kind, struct outcome *ret_outcome,
                             struct error *err)
{
    (void)provider;
    (void)target;
    (void)attempt;
    (void)err;
    (void)note_call(call);
    bool is_there = clock_us >= seen.appears_at;
    *ret_kind = is_there ? PROBE_DONE : PROBE_NOT_DONE;
    if (is_there)
        ret_outcome->outputs = from_json("{}");
    return 0;
}

static const struct provider_ops quiet_ops = {
    .driver = "quiet",
    .instance_size = sizeof(struct provider),
    .configure = quiet_configure,
    .close = quiet_close,
    .read = quiet_read,
    .apply = quiet_apply,
    .probe = quiet_probe,
};

/* --- Asking it --- */

enum { MAX_REQUESTS = 40 };
static struct rig rig;
static struct request requests[MAX_REQUESTS];
static struct value *nothing;
static struct resource_type type = {.name = (char[]){"acme:thing:box"}};
static struct resource_type routes = {.name = (char[]){"acme:net:route"},
                                      .group = (char[]){"routes"}};
static struct resource_type routers = {.name = (char[]){"acme:net:router"},
                                       .group = (char[]){"routes"}};

/* What a test that ended early left behind goes first. */
static void set_up(const char *limits)
{
    static bool is_open;
    for (size_t i = 0; is_open && i < MAX_REQUESTS; i++)
        request_done(&requests[i]);
    if (is_open) {
        value_unref(nothing);
        rig_done(&rig);
    }
    world_replace(NULL);
    is_open = limits != NULL;
    if (!limits)
        return;
    rig_init(&rig, "core", NULL);
    provider_free(rig.provider);
    rig.provider = NEW(struct provider);
    rig.provider->ops = &quiet_ops;
    rig.provider->name = string_copy("quiet.default");
    rig.provider->loop = rig.loop;
    nothing = from_json("{}");
    CLEANUP(mem_freep) char *text = string_format("{\"limits\":%s}", limits);
    CLEANUP(value_unrefp) struct value *config = from_json(text);
    CLEANUP(value_unrefp) struct value *rest = NULL;
    struct error err = {0};
    if (limits_take(rig.provider, config, &rest, &err) < 0 || rest)
        printf("# %s\n", error_message(&err));
    error_done(&err);
    clock_us = 1000 * SECOND;
    memset(&seen, 0, sizeof(seen));
    world_replace(&test_world);
}

static void ask_main(void *argument)
{
    request_run(argument);
    n_left--;
}

/* The kind of step decides: reads for STEP_KEEP. */
static struct request *ask(size_t index, const struct resource_type *of, enum step_kind kind)
{
    struct request *request = &requests[index];
    request_done(request);
    *request = request_of(&rig, of, "box");
    request->verb = kind == STEP_KEEP ? READ : APPLY;
    request->step.kind = kind;
    request->after = kind == STEP_KEEP || kind == STEP_DELETE ? NULL : nothing;
    n_left++;
    loop_spawn(rig.loop, "request", ask_main, request);
    return request;
}

static void run(void)
{
    loop_spawn(rig.loop, "clock", tick, rig.loop);
    loop_run(rig.loop);
}

static size_t count_done(size_t n)
{
    size_t n_done = 0;
    for (size_t i = 0; i < n; i++)
        n_done +=
            requests[i].has_ended && requests[i].r == 0 && requests[i].outcome.kind == OUTCOME_DONE;
    return n_done;
}

TEST(calls_begin_no_faster_than_the_rate)
{
    enum { N = 25 };
    set_up("{\"rate\":\"10/second\"}");
    for (size_t i = 0; i < N; i++)
        ask(i, &type, i % 2 ? STEP_CREATE : STEP_KEEP);
    run();
    CHECK(count_done(N) == N && seen.n_begun == N);
    for (size_t i = 1; i < N; i++)
        CHECK(seen.begun[i] - seen.begun[i - 1] >= 100 * MS);
    CHECK(seen.begun[N - 1] - seen.begun[0] < 2 * 24 * 100 * MS);
}

TEST(changes_have_a_limit_of_their_own)
{
    enum { N = 12 };
    set_up("{\"changes\":2,\"concurrency\":5}");
    seen.takes_us = 20 * MS;
    for (size_t i = 0; i < N; i++)
        ask(i, &type, STEP_CREATE);
    run();
    CHECK(count_done(N) == N && seen.n_most == 2);
    set_up("{\"changes\":2,\"concurrency\":5}");
    seen.takes_us = 20 * MS;
    for (size_t i = 0; i < N; i++)
        ask(i, &type, STEP_KEEP);
    run();
    CHECK(count_done(N) == N && seen.n_most == 5);
}

TEST(changes_of_types_that_share_a_group_come_one_after_the_other)
{
    enum { N = 12 };
    set_up("{}");
    seen.takes_us = 20 * MS;
    for (size_t i = 0; i < N; i++)
        ask(i, i % 2 ? &routes : &routers, STEP_CREATE);
    run();
    CHECK(count_done(N) == N && seen.n_most == 1);
}

TEST(the_site_says_how_many_of_a_group_run_together)
{
    enum { N = 12 };
    set_up("{\"groups\":{\"routes\":3}}");
    seen.takes_us = 20 * MS;
    for (size_t i = 0; i < N; i++)
        ask(i, &routes, STEP_CREATE);
    run();
    CHECK(count_done(N) == N && seen.n_most == 3);
}

TEST(a_group_holds_up_neither_reads_nor_other_types)
{
    set_up("{}");
    seen.takes_us = 20 * MS;
    for (size_t i = 0; i < 12; i++)
        ask(i, i % 2 ? &routes : &type, i % 3 ? STEP_CREATE : STEP_KEEP);
    run();
    CHECK(count_done(12) == 12);
    /* Of the six about routes four are changes: the three that wait come later. */
    CHECK(seen.n_most == 9);
}

TEST(each_verb_has_its_own_time_limit)
{
    set_up("{\"time\":{\"read\":\"3s\",\"apply\":\"20m\"}}");
    ask(0, &type, STEP_KEEP);
    run();
    ask(0, &type, STEP_CREATE);
    run();
    CHECK(seen.n_begun == 2);
    CHECK(seen.allowed[0] == 3 * SECOND);
    CHECK(seen.allowed[1] == INT64_C(1200) * SECOND);
}

TEST(waiting_for_a_turn_takes_nothing_from_the_time_of_the_call)
{
    enum { N = 8 };
    set_up("{\"changes\":1,\"time\":{\"apply\":\"1s\"}}");
    seen.takes_us = 500 * MS;
    for (size_t i = 0; i < N; i++)
        ask(i, &type, STEP_CREATE);
    run();
    CHECK(count_done(N) == N);
    for (size_t i = 0; i < N; i++)
        CHECK(seen.allowed[i] == SECOND);
}

TEST(what_the_system_puts_off_is_called_again_when_it_said)
{
    set_up("{}");
    seen.n_put_off = 2;
    seen.put_off_us = 2 * SECOND;
    ask(0, &type, STEP_CREATE);
    run();
    CHECK(count_done(1) == 1 && seen.n_begun == 3);
    CHECK(seen.begun[1] - seen.begun[0] >= 2 * SECOND);
    CHECK(seen.begun[2] - seen.begun[1] >= 2 * SECOND);
    CHECK(rig.provider->n_put_off == 2 && rig.provider->n_begun == 3);
}

TEST(without_a_time_the_pause_grows)
{
    set_up("{}");
    seen.n_put_off = 4;
    ask(0, &type, STEP_KEEP);
    run();
    CHECK(count_done(1) == 1 && seen.n_begun == 5);
    for (size_t i = 2; i < 5; i++) {
        int64_t before = seen.begun[i - 1] - seen.begun[i - 2];
        CHECK(seen.begun[i] - seen.begun[i - 1] > before * 3 / 2);
    }
}

/* A read that is asked for while the create waits to be called again. */
static void read_later(void *argument)
{
    loop_sleep(rig.loop, SECOND);
    ask_main(argument);
}

TEST(while_one_call_is_put_off_no_other_begins)
{
    set_up("{}");
    seen.n_put_off = 1;
    seen.put_off_us = 3 * SECOND;
    ask(0, &type, STEP_CREATE);
    requests[1] = request_of(&rig, &type, "box");
    requests[1].verb = READ;
    n_left++;
    loop_spawn(rig.loop, "later", read_later, &requests[1]);
    run();
    CHECK(count_done(2) == 2 && seen.n_begun == 3);
    CHECK(seen.begun[1] - seen.begun[0] >= 3 * SECOND);
    CHECK(seen.begun[2] - seen.begun[0] >= 3 * SECOND);
}

TEST(a_call_is_given_up_after_so_many_attempts)
{
    set_up("{\"attempts\":3}");
    seen.n_put_off = 99;
    seen.put_off_us = SECOND;
    ask(0, &type, STEP_CREATE);
    run();
    CHECK(seen.n_begun == 3);
    CHECK(requests[0].r == 0 && requests[0].outcome.kind == OUTCOME_FAILED);
    CHECK(requests[0].outcome.code == ERROR_UNAVAILABLE);
    ask(1, &type, STEP_KEEP);
    run();
    CHECK(requests[1].r == -ERROR_UNAVAILABLE && seen.n_begun == 6);
}

TEST(a_call_is_not_put_off_beyond_its_deadline)
{
    set_up("{}");
    rig.patience_us = SECOND;
    seen.n_put_off = 99;
    seen.put_off_us = 5 * SECOND;
    int64_t start = clock_us;
    ask(0, &type, STEP_KEEP);
    run();
    CHECK(requests[0].r == -ERROR_UNAVAILABLE && seen.n_begun == 1);
    CHECK(clock_us - start < SECOND);
}

static void cancel_soon(void *argument)
{
    loop_sleep(argument, SECOND);
    rig.is_cancelled = true;
}

TEST(a_call_that_was_put_off_does_not_begin_again_when_cancelled)
{
    set_up("{}");
    seen.n_put_off = 99;
    seen.put_off_us = 60 * SECOND;
    int64_t start = clock_us;
    ask(0, &type, STEP_CREATE);
    loop_spawn(rig.loop, "cancel", cancel_soon, rig.loop);
    run();
    CHECK(requests[0].r == -ERROR_CANCELLED && seen.n_begun == 1);
    CHECK(clock_us - start < 2 * SECOND);
}

TEST(what_was_made_a_moment_ago_is_not_taken_for_absent)
{
    set_up("{\"settling\":\"5s\"}");
    seen.appears_at = clock_us + 3 * SECOND;
    ask(0, &type, STEP_KEEP)->target.changed_at = clock_us;
    run();
    CHECK(requests[0].r == 0 && requests[0].live.is_present);
    CHECK(clock_us >= seen.appears_at && seen.n_begun > 3);
}

TEST(once_it_had_time_to_settle_absent_is_absent)
{
    set_up("{\"settling\":\"5s\"}");
    seen.appears_at = clock_us + 100 * SECOND;
    int64_t start = clock_us;
    ask(0, &type, STEP_KEEP)->target.changed_at = clock_us;
    run();
    CHECK(requests[0].r == 0 && !requests[0].live.is_present);
    CHECK(clock_us - start >= 5 * SECOND && clock_us - start < 6 * SECOND);
    seen.n_begun = 0;
    clock_us += 25 * 3600 * SECOND;
    seen.appears_at = clock_us + 100 * SECOND;
    ask(1, &type, STEP_KEEP)->target.changed_at = start;
    run();
    CHECK(requests[1].r == 0 && !requests[1].live.is_present && seen.n_begun == 1);
}

TEST(a_wall_clock_that_jumped_forward_makes_nothing_absent)
{
    set_up("{\"settling\":\"5s\"}");
    int64_t made_at = clock_us;
    clock_us += 20 * 3600 * SECOND;
    seen.appears_at = clock_us + 3 * SECOND;
    ask(0, &type, STEP_KEEP)->target.changed_at = made_at;
    run();
    CHECK(requests[0].r == 0 && requests[0].live.is_present);
    CHECK(clock_us >= seen.appears_at);
}

TEST(without_the_time_to_wait_for_it_nobody_can_tell)
{
    set_up("{\"settling\":\"5s\"}");
    rig.patience_us = SECOND;
    seen.appears_at = clock_us + 3 * SECOND;
    ask(0, &type, STEP_KEEP)->target.changed_at = clock_us;
    run();
    CHECK(requests[0].r == -ERROR_UNAVAILABLE || requests[0].r == -ERROR_TIMEOUT);
}

TEST(what_was_made_a_moment_ago_can_be_changed_although_it_is_not_found_yet)
{
    set_up("{\"settling\":\"5s\"}");
    seen.appears_at = clock_us + 2 * SECOND;
    ask(0, &type, STEP_UPDATE)->target.changed_at = clock_us;
    run();
    CHECK(count_done(1) == 1 && clock_us >= seen.appears_at);
    seen.appears_at = clock_us + 100 * SECOND;
    ask(1, &type, STEP_UPDATE)->target.changed_at = clock_us;
    run();
    CHECK(requests[1].r == 0 && requests[1].outcome.kind == OUTCOME_FAILED);
}

TEST(what_was_sent_before_may_arrive_once_more_before_a_thing_is_touched_again)
{
    static const enum step_kind kinds[] = {STEP_UPDATE, STEP_DELETE};
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        set_up("{\"settling\":\"5s\"}");
        int64_t start = clock_us;
        ask(0, &type, kinds[i])->target.changed_at = start;
        run();
        CHECK(count_done(1) == 1 && seen.n_begun == 1);
        CHECK(clock_us - start >= 5 * SECOND && clock_us - start < 6 * SECOND);
    }
    set_up("{\"settling\":\"5s\"}");
    int64_t start = clock_us;
    rig.patience_us = SECOND;
    ask(0, &type, STEP_DELETE)->target.changed_at = start;
    ask(1, &type, STEP_CREATE);
    run();
    CHECK(requests[0].r == -ERROR_TIMEOUT && requests[1].r == 0 && seen.n_begun == 1);
}

static enum probe_kind probed;
static int64_t probe_sent_by;

static void probe_main(void *argument)
{
    struct request *request = argument;
    struct attempt attempt = {
        .step = &request->step, .after = request->after, .sent_by = probe_sent_by};
    struct call call = rig.call;
    (void)provider_probe(rig.provider, &call, &request->target, &attempt, &probed,
                         &request->outcome, NULL);
}

TEST(a_create_that_is_not_found_yet_is_pending)
{
    set_up("{\"settling\":\"5s\"}");
    seen.appears_at = INT64_MAX;
    requests[0] = request_of(&rig, &type, "box");
    requests[0].step.kind = STEP_CREATE;
    requests[0].after = nothing;
    probe_sent_by = clock_us;
    loop_spawn(rig.loop, "probe", probe_main, &requests[0]);
    loop_run(rig.loop);
    CHECK(probed == PROBE_PENDING);
    clock_us += 5 * SECOND;
    loop_spawn(rig.loop, "probe", probe_main, &requests[0]);
    loop_run(rig.loop);
    CHECK(probed == PROBE_NOT_DONE);
}

TEST(nothing_is_left)
{
    set_up(NULL);
    CHECK(coroutine_count() == 0);
}
