#include "contract/provider.h"

#include "base/text.h"

static struct resource_type value_type = {.name = (char[]){"core:data:value"}};
static struct resource_type box_type = {.name = (char[]){"acme:thing:box"}};
static struct rig rig;

/* What a test that ended early left behind goes first. */
static void set_up(const char *driver, const char *config)
{
    static bool is_open;
    if (is_open)
        rig_done(&rig);
    is_open = driver != NULL;
    if (driver)
        rig_init(&rig, driver, config);
}

TEST(kinds_survive_their_names)
{
    for (int i = 0; i < OUTCOME_KIND_COUNT; i++) {
        enum outcome_kind kind = (enum outcome_kind)i;
        CHECK(outcome_kind_from_string(outcome_kind_to_string(kind)) == kind);
    }
    CHECK(outcome_kind_from_string("perhaps") == OUTCOME_KIND_COUNT);
    for (int i = 0; i < PROBE_KIND_COUNT; i++)
        CHECK(probe_kind_to_string((enum probe_kind)i));
    for (int i = 0; i < PROVIDER_VERB_COUNT; i++) {
        enum provider_verb verb = (enum provider_verb)i;
        CHECK(provider_verb_from_string(provider_verb_to_string(verb)) == verb);
    }
    CHECK(provider_verb_from_string("guess") == PROVIDER_VERB_COUNT);
}

TEST(every_driver_of_the_registry_is_found_by_its_name)
{
    size_t n;
    const char *const *names = provider_driver_names(&n);
    CHECK(n > 0);
    for (size_t i = 0; i < n; i++)
        CHECK_TEXT(provider_find_driver(names[i])->driver, names[i]);
    CHECK(!provider_find_driver("nonesuch"));
}

TEST(an_unknown_driver_is_reported_with_the_nearest_one)
{
    set_up("core", NULL);
    struct error err = {0};
    CHECK(rig_open(&rig, "fakee", NULL, &err) == -ERROR_NOT_FOUND);
    CHECK_TEXT(err.message, "provider acme.default: there is no driver \"fakee\"; did you mean "
                            "\"fake\"?");
    error_done(&err);
}

TEST(wrong_settings_are_named)
{
    static const struct {
        const char *driver;
        const char *config;
        const char *want;
    } cases[] = {
        {"core", "{\"x\":1}", "\"x\""},
        {"fake", "{\"x\":1}", "\"x\""},
        {"fake", "[]", "must be a map"},
        {"fake", "{\"latency\":\"20\"}", "\"20\" is no duration"},
        {"fake", "{\"latency\":\"-1s\"}", "\"-1s\" is no duration"},
        {"fake", "{\"latency\":20}", "is no duration"},
        {"fake", "{\"asynchronous\":\"yes\"}", "\"asynchronous\""},
        {"fake", "{\"account\":\"../x\"}", "\"../x\" cannot be the name of a folder"},
        {"fake", "{\"limits\":7}", "limits: must be a map"},
        {"fake", "{\"limits\":{\"speed\":1}}", "limits: there is no \"speed\""},
        {"core", "{\"limits\":{\"concurrency\":0}}", "\"concurrency\" must be a whole number"},
        {"fake", "{\"limits\":{\"changes\":\"1\"}}", "\"changes\" must be a whole number"},
        {"fake", "{\"limits\":{\"attempts\":-1}}", "\"attempts\" must be a whole number"},
        {"fake", "{\"limits\":{\"groups\":3}}", "\"groups\" must be a map"},
        {"fake", "{\"limits\":{\"groups\":{\"routes\":0}}}", "\"routes\" must be"},
        {"fake", "{\"limits\":{\"rate\":\"fast\"}}", "\"rate\" must be such as 20/second"},
        {"fake", "{\"limits\":{\"rate\":20}}", "\"rate\" must be such as 20/second"},
        {"fake", "{\"limits\":{\"settling\":5}}", "\"settling\" must be a duration"},
        {"fake", "{\"limits\":{\"time\":\"5s\"}}", "\"time\" must be a map"},
        {"fake", "{\"limits\":{\"time\":{\"look\":\"5s\"}}}", "there is no verb \"look\""},
        {"fake", "{\"limits\":{\"time\":{\"read\":\"soon\"}}}", "\"read\" must be a duration"},
        {"fake", "{\"fail\":{}}", "must say how"},
        {"fake", "{\"fail\":[7]}", "a rule is a map"},
        {"fake", "{\"fail\":{\"how\":\"refused\"}}", "did you mean refuse"},
        {"fake", "{\"fail\":{\"how\":\"refuse\",\"verb\":\"make\"}}", "\"make\" is no verb"},
        {"fake", "{\"fail\":{\"how\":\"refuse\",\"when\":1}}", "no such \"when\""},
        {"fake", "{\"fail\":{\"how\":\"half\",\"verb\":\"read\"}}", "read cannot half"},
        {"fake", "{\"fail\":{\"how\":\"cannot-tell\",\"verb\":\"create\"}}",
         "create cannot cannot-tell"},
        {"fake", "{\"fail\":{\"how\":\"lose\",\"verb\":\"identify\"}}", "identify cannot lose"},
        {"fake", "{\"fail\":{\"how\":\"foreign-edit\"}}", "foreign-edit needs edits"},
        {"fake", "{\"fail\":{\"how\":\"throttle\",\"retryAfter\":2}}", "retryAfter: \"\" is no"},
        {"fake", "{\"staged\":1}", "\"staged\""},
        {"fake", "{\"tokens\":\"long\"}", "tokens: \"long\" is no duration"},
        {"fake", "{\"resources\":[]}", "resources: must be a map"},
        {"fake", "{\"resources\":{\"web\":{\"settle\":\"1s\"}}}", "resources: web"},
    };
    set_up("core", NULL);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct error err = {0};
        int r = rig_open(&rig, cases[i].driver, cases[i].config, &err);
        bool is_named = err.message && strstr(err.message, cases[i].want);
        if (!is_named)
            printf("# %s: %s\n", cases[i].config, error_message(&err));
        error_done(&err);
        CHECK(r == -ERROR_INVALID);
        CHECK(is_named);
    }
}

TEST(a_core_value_gives_its_value_and_its_uid)
{
    set_up("core", NULL);
    CHECK(provider_is_internal(rig.provider));
    struct request request = request_of(&rig, &value_type, "answer");
    CLEANUP(value_unrefp) struct value *spec = from_json("{\"value\":{\"a\":[1,true]}}");
    request_apply(&request, STEP_CREATE, spec);
    CLEANUP(mem_freep)
    char *outputs = json_text(request.outcome.outputs);
    request_done(&request);
    CHECK_TEXT(outputs, "{\"id\":\"answer\",\"value\":{\"a\":[1,true]}}");
}

TEST(a_core_value_without_a_value_gives_null)
{
    set_up("core", NULL);
    struct request request = request_of(&rig, &value_type, "answer");
    CLEANUP(value_unrefp) struct value *spec = from_json("{}");
    request_apply(&request, STEP_CREATE, spec);
    CLEANUP(mem_freep) char *outputs = json_text(request.outcome.outputs);
    request_done(&request);
    CHECK_TEXT(outputs, "{\"id\":\"answer\",\"value\":null}");
}

TEST(core_refuses_a_type_that_it_does_not_serve)
{
    set_up("core", NULL);
    struct request request = request_of(&rig, &box_type, "box");
    CLEANUP(value_unrefp) struct value *spec = from_json("{}");
    request_apply(&request, STEP_CREATE, spec);
    int r = request.r;
    CLEANUP(mem_freep) char *message = string_copy(error_message(&request.err));
    request_done(&request);
    CHECK(r == -ERROR_UNSUPPORTED);
    CHECK_TEXT(message, "acme.default: the driver core serves core:data:value, not "
                        "acme:thing:box");
}

TEST(nothing_is_proposed_or_described_by_a_driver_without_an_opinion)
{
    set_up("core", NULL);
    struct request request = request_of(&rig, &value_type, "answer");
    request.verb = PROPOSE;
    request_make(&request);
    bool is_silent = request.r == 0 && request.diagnostics.n_items == 0;
    request.verb = DESCRIBE;
    request_make(&request);
    is_silent = is_silent && request.r == 0 && value_count(request.sections) == 0;
    request_done(&request);
    CHECK(is_silent);
}

/* A driver of the test's own: at most two calls at a time, and no longer than half a second each.
 */
static size_t n_now;
static size_t n_most;
static int64_t longest_us;
static int64_t pause_us;

static int slow_configure(struct provider *provider, const struct value *config, const char *home,
                          struct error *err)
{
    (void)provider;
    (void)config;
    (void)home;
    (void)err;
    return 0;
}

static void slow_close(struct provider *provider)
{
    (void)provider;
}

static CO_FN int slow_read(struct provider *provider, struct call *call,
                           const struct target *target, struct live *ret_live, struct error *err)
{
    (void)provider;
    (void)target;
    (void)ret_live;
    n_now++;
    n_most = n_now > n_most ? n_now : n_most;
    int64_t left_us = call->deadline - world_monotonic_clock();
    longest_us = left_us > longest_us ? left_us : longest_us;
    loop_sleep(call->loop, pause_us);
    n_now--;
    return *call->is_cancelled ? error_set(err, ERROR_CANCELLED, "cancelled") : 0;
}

static const struct provider_ops slow_ops = {
    .driver = "slow",
    .instance_size = sizeof(struct provider),
    .configure = slow_configure,
    .close = slow_close,
    .read = slow_read,
    .limits = {.concurrency = 2, .call_us = 500000},
};

/* Swaps the driver below an open instance. */
static void set_up_slow(struct request *requests, size_t n)
{
    set_up("fake", NULL);
    provider_free(rig.provider);
    rig.provider = NEW(struct provider);
    rig.provider->ops = &slow_ops;
    rig.provider->limits = slow_ops.limits;
    rig.provider->name = string_copy("slow.default");
    rig.provider->loop = rig.loop;
    n_most = 0;
    longest_us = 0;
    pause_us = 2000;
    for (size_t i = 0; i < n; i++) {
        requests[i] = request_of(&rig, &box_type, "box");
        requests[i].verb = READ;
        request_send(&requests[i]);
    }
}

TEST(no_more_calls_are_under_way_than_the_driver_takes)
{
    static struct request requests[9];
    set_up_slow(requests, ARRAY_LENGTH(requests));
    loop_run(rig.loop);
    for (size_t i = 0; i < ARRAY_LENGTH(requests); i++)
        CHECK(requests[i].has_ended && requests[i].r == 0);
    CHECK(n_most == 2);
}

TEST(a_call_is_held_to_the_time_limit_of_the_driver)
{
    static struct request requests[1];
    set_up_slow(requests, ARRAY_LENGTH(requests));
    loop_run(rig.loop);
    CHECK(longest_us > 0 && longest_us <= 500000);
}

TEST(those_that_wait_for_room_do_not_begin_past_their_deadline)
{
    static struct request requests[9];
    set_up_slow(requests, ARRAY_LENGTH(requests));
    rig.patience_us = 60000;
    pause_us = 40000;
    loop_run(rig.loop);
    size_t n_too_late = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(requests); i++) {
        n_too_late += requests[i].r == -ERROR_TIMEOUT;
        request_done(&requests[i]);
    }
    CHECK(n_too_late >= 3 && n_too_late < ARRAY_LENGTH(requests));
}

static void cancel_all(void *argument)
{
    (void)argument;
    rig.is_cancelled = true;
}

TEST(those_that_wait_for_room_do_not_begin_when_cancelled)
{
    static struct request requests[9];
    set_up_slow(requests, ARRAY_LENGTH(requests));
    loop_spawn(rig.loop, "cancel", cancel_all, NULL);
    loop_run(rig.loop);
    size_t n_cancelled = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(requests); i++) {
        n_cancelled += requests[i].r == -ERROR_CANCELLED;
        request_done(&requests[i]);
    }
    CHECK(n_cancelled == ARRAY_LENGTH(requests));
    CHECK(n_most == 2);
}

TEST(nothing_is_left)
{
    set_up(NULL, NULL);
    CHECK(coroutine_count() == 0);
}
