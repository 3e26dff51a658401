/* Questions to several systems at the same time: who waits for whom is counted, never timed. */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "harness.h"
#include "model/json.h"
#include "service/questions.h"

enum { N = 40 };

/* What the questions of one test see of each other. */
static struct {
    struct loop *loop;
    size_t n_now, n_most;
    size_t n_done;
    struct gate all_done; /* opens with the last one that is not slow */
    bool slow_was_last;
    bool asked[2 * N];
    int r;
    struct error err;
} seen;

static void answered(size_t index)
{
    seen.n_now--;
    seen.asked[index] = true;
    if (++seen.n_done == N)
        gate_open(seen.loop, &seen.all_done);
}

static CO_FN int ask(struct questions *questions, void *argument, size_t index, struct error *err)
{
    (void)questions;
    (void)argument;
    (void)err;
    if (++seen.n_now > seen.n_most)
        seen.n_most = seen.n_now;
    loop_sleep(seen.loop, 1000);
    answered(index);
    return 0;
}

/* Its answer comes only after all others, which a queue would never see. */
static CO_FN int ask_slow(struct questions *questions, void *argument, size_t index,
                          struct error *err)
{
    (void)questions;
    (void)argument;
    (void)index;
    if (seen.n_done < N &&
        gate_wait(seen.loop, &seen.all_done, world_monotonic_clock() + 60000000, err) < 0)
        return -ERROR_TIMEOUT;
    seen.slow_was_last = seen.n_done == N;
    return 0;
}

/* Fails at once, or waits until it is cancelled. */
static CO_FN int ask_failing(struct questions *questions, void *argument, size_t index,
                             struct error *err)
{
    struct call call = questions_call(questions);
    seen.asked[index] = true;
    if (argument)
        return error_set(err, ERROR_UNAVAILABLE, "%s", (const char *)argument);
    while (!*call.is_cancelled)
        loop_sleep(seen.loop, 1000);
    return error_set(err, ERROR_CANCELLED, "cancelled");
}

/* Leaves what it could not tell to others. */
static CO_FN int ask_and_add(struct questions *questions, void *argument, size_t index,
                             struct error *err)
{
    (void)argument;
    (void)index;
    (void)err;
    for (size_t i = 0; i < N; i++)
        questions_add(questions, "acme.lab", ask, NULL, i);
    return 0;
}

static void ask_all(void *argument)
{
    seen.r = questions_ask(argument, &seen.err);
}

/* Runs them on a loop of their own. */
static void run(struct service *service, struct questions *questions)
{
    loop_spawn(service->loop, "test", ask_all, questions);
    loop_run(service->loop);
}

static struct service begin(void)
{
    memset(&seen, 0, sizeof(seen));
    seen.loop = loop_new();
    return (struct service){.loop = seen.loop};
}

static void end(struct service *service)
{
    provider_free(map_remove(&service->providers, "acme.lab"));
    map_done(&service->providers);
    error_done(&seen.err);
    loop_free(seen.loop);
    coroutine_pool_done();
}

static void limit(struct service *service, const char *settings)
{
    CLEANUP(value_unrefp) struct value *config = NULL;
    struct provider *provider = NULL;
    CHECK(json_read(settings, strlen(settings), &config, NULL) == 0);
    CHECK(provider_new(service->loop, "acme.lab", "fake", config, "/nowhere", &provider, NULL) ==
          0);
    map_put(&service->providers, "acme.lab", provider);
}

TEST(a_slow_instance_holds_up_no_other)
{
    struct service service = begin();
    struct questions questions = {.service = &service};
    questions_add(&questions, "acme.slow", ask_slow, NULL, 0);
    for (size_t i = 0; i < N; i++)
        questions_add(&questions, "acme.lab", ask, NULL, i);
    run(&service, &questions);
    CHECK(seen.r == 0 && seen.slow_was_last);
    for (size_t i = 0; i < N; i++)
        CHECK(seen.asked[i]);
    end(&service);
}

TEST(one_instance_is_asked_several_at_a_time_and_not_all)
{
    struct service service = begin();
    struct questions questions = {.service = &service};
    for (size_t i = 0; i < N; i++)
        questions_add(&questions, "acme.lab", ask, NULL, i);
    run(&service, &questions);
    CHECK(seen.r == 0 && seen.n_done == N);
    CHECK(seen.n_most > 1 && seen.n_most < N);
    end(&service);
}

TEST(no_more_are_under_way_than_the_limits_of_the_instance_say)
{
    struct service service = begin();
    struct questions questions = {.service = &service};
    limit(&service, "{\"limits\": {\"concurrency\": 3}}");
    for (size_t i = 0; i < N; i++)
        questions_add(&questions, "acme.lab", ask, NULL, i);
    run(&service, &questions);
    CHECK(seen.r == 0 && seen.n_done == N && seen.n_most == 3);
    end(&service);
}

TEST(hundreds_of_instances_are_asked_with_a_bounded_number_of_coroutines)
{
    enum { N_LANES = 600 };
    static char names[N_LANES][16];
    struct service service = begin();
    struct questions questions = {.service = &service};
    for (size_t i = 0; i < N_LANES; i++) {
        snprintf(names[i], sizeof(names[i]), "acme.i%zu", i);
        questions_add(&questions, names[i], ask, NULL, i % N);
    }
    run(&service, &questions);
    CHECK(seen.r == 0 && seen.n_done == N_LANES && seen.n_most <= COROUTINE_LIMIT / 2);
    end(&service);
}

TEST(a_fault_ends_what_is_under_way_and_the_first_one_added_is_told)
{
    struct service service = begin();
    struct questions questions = {.service = &service};
    questions_add(&questions, "acme.slow", ask_failing, NULL, 0);
    questions_add(&questions, "acme.lab", ask_failing, (char[]){"the first"}, 1);
    questions_add(&questions, "acme.lab", ask_failing, (char[]){"the second"}, 2);
    for (size_t i = 3; i < N; i++)
        questions_add(&questions, "acme.late", ask_failing, NULL, i);
    run(&service, &questions);
    CHECK(seen.r == -ERROR_UNAVAILABLE);
    CHECK_TEXT(error_message(&seen.err), "the first");
    CHECK(!seen.asked[N - 1]); /* beyond what began at once, none begins */
    end(&service);
}

TEST(a_question_may_leave_others_to_be_asked)
{
    struct service service = begin();
    struct questions questions = {.service = &service};
    questions_add(&questions, "acme.lab", ask_and_add, NULL, 0);
    run(&service, &questions);
    CHECK(seen.r == 0 && seen.n_done == N && seen.n_most > 1);
    end(&service);
}

TEST(nothing_to_ask_is_answered_at_once)
{
    struct service service = begin();
    struct questions questions = {.service = &service};
    run(&service, &questions);
    CHECK(seen.r == 0);
    end(&service);
}
