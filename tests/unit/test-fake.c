#include "contract/provider.h"

#include "base/text.h"

#include <sys/random.h>
#include <time.h>

static struct type_output outputs[] = {
    {.name = (char[]){"id"}, .type = (char[]){"string"}},
    {.name = (char[]){"size"}, .type = (char[]){"integer"}, .from = (char[]){"size"}},
    {.name = (char[]){"endpoint"}, .type = (char[]){"string"}},
    {.name = (char[]){"port"}, .type = (char[]){"integer"}},
    {.name = (char[]){"hosts"}, .type = (char[]){"list"}},
};
static struct resource_type type = {
    .name = (char[]){"acme:thing:box"}, .outputs = outputs, .n_outputs = ARRAY_LENGTH(outputs)};
static struct rig rig;
static struct request box;
static struct value *red;
static struct value *blue;

/* What a test that ended early left behind goes first. */
static void set_up(const char *config)
{
    static bool is_open;
    if (is_open) {
        request_done(&box);
        value_unref(red);
        value_unref(blue);
        rig_done(&rig);
    }
    is_open = config != NULL;
    if (!config)
        return;
    rig_init(&rig, "fake", config);
    red = from_json("{\"colour\":\"red\",\"size\":3}");
    blue = from_json("{\"colour\":\"blue\",\"size\":3}");
    box = request_of(&rig, &type, "box");
}

static bool is_live(const struct value *want)
{
    request_read(&box);
    return box.r == 0 && box.live.is_present && value_equal(box.live.spec, want);
}

static bool is_absent(void)
{
    request_read(&box);
    return box.r == 0 && !box.live.is_present;
}

static bool is_done(enum step_kind kind, struct value *after)
{
    request_apply(&box, kind, after);
    return box.r == 0 && box.outcome.kind == OUTCOME_DONE;
}

TEST(outputs_come_from_the_spec_or_are_invented_once)
{
    set_up("{}");
    CHECK(is_done(STEP_CREATE, red));
    CHECK_TEXT(value_get_text(box.outcome.outputs, "id"), "fake-box");
    CHECK_TEXT(box.outcome.provider_id, "fake-box");
    CHECK(value_get_integer(box.outcome.outputs, "size", 0) == 3);
    CHECK(value_get_integer(box.outcome.outputs, "port", 0) >= 1024);
    CHECK(value_count(value_get(box.outcome.outputs, "hosts")) == 0);
    CLEANUP(mem_freep)
    char *endpoint = string_copy(value_get_text(box.outcome.outputs, "endpoint"));
    CHECK(is_done(STEP_UPDATE, blue));
    CHECK_TEXT(value_get_text(box.outcome.outputs, "endpoint"), endpoint);
}

TEST(an_output_changes_with_the_property_that_it_changes_with)
{
    set_up("{}");
    CLEANUP(value_unrefp) struct value *causes = from_json("[\"colour\"]");
    outputs[2].changes_with = causes;
    bool is_created = is_done(STEP_CREATE, red);
    CLEANUP(mem_freep)
    char *before = string_copy(is_created ? value_get_text(box.outcome.outputs, "endpoint") : "");
    bool is_updated = is_done(STEP_UPDATE, blue);
    outputs[2].changes_with = NULL;
    CHECK(is_created && is_updated);
    CHECK(!text_equal(value_get_text(box.outcome.outputs, "endpoint"), before));
}

TEST(an_update_of_what_is_absent_fails_and_makes_nothing)
{
    set_up("{}");
    request_apply(&box, STEP_UPDATE, red);
    CHECK(box.r == 0 && box.outcome.kind == OUTCOME_FAILED);
    CHECK(box.outcome.code == ERROR_NOT_FOUND);
    CHECK(is_absent());
}

TEST(an_identity_is_the_account)
{
    set_up("{\"account\":\"sandbox\"}");
    struct request who = {.verb = IDENTIFY, .rig = &rig};
    request_make(&who);
    CLEANUP(mem_freep) char *identity = string_copy(who.identity ? who.identity : "");
    request_done(&who);
    CHECK_TEXT(identity, "fake:sandbox");
}

TEST(what_is_unreachable_fails_before_anything_is_sent)
{
    set_up("{\"fail\":{\"verb\":\"create\",\"how\":\"unreachable\"}}");
    request_apply(&box, STEP_CREATE, red);
    CHECK(box.r == -ERROR_UNAVAILABLE);
    CHECK(is_absent());
    CHECK(is_done(STEP_CREATE, red));
}

TEST(a_refusal_changes_nothing)
{
    set_up("{\"fail\":{\"verb\":\"update\",\"how\":\"refuse\"}}");
    CHECK(is_done(STEP_CREATE, red));
    request_apply(&box, STEP_UPDATE, blue);
    CHECK(box.r == 0 && box.outcome.kind == OUTCOME_FAILED);
    CHECK(is_live(red));
    CHECK(is_done(STEP_UPDATE, blue));
}

/* An effect whose answer does not come, and what a probe then finds. */
TEST(an_unknown_outcome_is_settled_by_a_probe)
{
    static const struct {
        const char *how;
        enum probe_kind want;
    } cases[] = {
        {"lose-request", PROBE_NOT_DONE},
        {"lose-answer", PROBE_DONE},
        {"hang", PROBE_NOT_DONE},
        {"hang-after", PROBE_DONE},
    };
    static const enum step_kind kinds[] = {STEP_CREATE, STEP_UPDATE, STEP_DELETE};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        for (size_t k = 0; k < ARRAY_LENGTH(kinds); k++) {
            CLEANUP(mem_freep)
            char *config =
                string_format("{\"fail\":{\"how\":\"%s\",\"name\":\"box\"}}", cases[i].how);
            set_up("{}");
            struct value *after = kinds[k] == STEP_DELETE ? NULL : blue;
            CHECK(kinds[k] == STEP_CREATE || is_done(STEP_CREATE, red));
            CHECK(rig_open(&rig, "fake", config, NULL) == 0);
            rig.patience_us = 200000;
            box.step.before = kinds[k] == STEP_CREATE ? NULL : red;
            request_apply(&box, kinds[k], after);
            CHECK(box.r == 0 && box.outcome.kind == OUTCOME_UNKNOWN);
            CHECK(box.outcome.code == ERROR_TIMEOUT);
            /* A "hang" without a verb also fits reads and probes, but was used up by the step. */
            request_probe(&box);
            CHECK(box.r == 0);
            CHECK_TEXT(probe_kind_to_string(box.probe), probe_kind_to_string(cases[i].want));
            CHECK((box.outcome.outputs != NULL) == (after && box.probe == PROBE_DONE));
        }
}

TEST(a_half_done_step_says_what_is_there_and_can_be_finished)
{
    set_up("{\"fail\":{\"how\":\"half\"}}");
    request_apply(&box, STEP_CREATE, red);
    CHECK(box.r == 0 && box.outcome.kind == OUTCOME_PARTLY);
    CLEANUP(mem_freep) char *live = json_text(box.outcome.live);
    CHECK_TEXT(live, "{\"colour\":\"red\"}");
    CHECK_TEXT(box.outcome.provider_id, "fake-box");
    CLEANUP(value_unrefp) struct value *there = value_ref(box.outcome.live);
    CHECK(is_live(there));
    box.after = red;
    request_probe(&box);
    CHECK(box.r == 0 && box.probe == PROBE_PARTLY && value_equal(box.outcome.live, there));
    CHECK(is_done(STEP_UPDATE, red));
    CHECK(is_live(red));
}

TEST(a_failure_happens_as_often_as_asked_across_instances)
{
    static const char config[] = "{\"fail\":[{\"verb\":\"read\",\"how\":\"refuse\",\"count\":2},"
                                 "{\"verb\":\"identify\",\"how\":\"refuse\"}]}";
    set_up(config);
    request_read(&box);
    CHECK(box.r == -ERROR_UNAVAILABLE);
    CHECK(rig_open(&rig, "fake", config, NULL) == 0);
    request_read(&box);
    CHECK(box.r == -ERROR_UNAVAILABLE);
    CHECK(is_absent());
}

TEST(a_failure_concerns_the_named_resource_and_its_instances)
{
    set_up("{\"fail\":{\"how\":\"refuse\",\"name\":\"box\",\"count\":9}}");
    static const struct {
        const char *address;
        bool fails;
    } cases[] = {
        {"box", true}, {"box[0]", true}, {"box[\"a\"]", true}, {"boxes", false}, {"bo", false},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        box.target.address = cases[i].address;
        request_read(&box);
        CHECK((box.r < 0) == cases[i].fails);
    }
}

TEST(latency_is_kept)
{
    set_up("{\"latency\":\"30ms\"}");
    int64_t start = world_monotonic_clock();
    CHECK(is_done(STEP_CREATE, red));
    CHECK(world_monotonic_clock() - start >= 30000);
}

TEST(a_deadline_ends_a_slow_call)
{
    set_up("{\"latency\":\"10s\"}");
    rig.patience_us = 200000;
    int64_t start = world_monotonic_clock();
    request_read(&box);
    CHECK(box.r == -ERROR_TIMEOUT);
    request_apply(&box, STEP_CREATE, red);
    CHECK(box.r == 0 && box.outcome.kind == OUTCOME_UNKNOWN);
    CHECK(world_monotonic_clock() - start < 8000000);
}

static void cancel_soon(void *argument)
{
    loop_sleep(argument, 20000);
    rig.is_cancelled = true;
}

TEST(a_cancellation_ends_a_call_that_hangs)
{
    set_up("{\"fail\":{\"how\":\"hang-after\"}}");
    loop_spawn(rig.loop, "cancel", cancel_soon, rig.loop);
    request_apply(&box, STEP_CREATE, red);
    CHECK(box.r == 0 && box.outcome.kind == OUTCOME_UNKNOWN);
    CHECK(box.outcome.code == ERROR_CANCELLED);
    rig.is_cancelled = false;
    CHECK(is_live(red));
}

TEST(an_asynchronous_change_is_pending_until_it_is_done)
{
    set_up("{\"asynchronous\":true,\"latency\":\"1s\"}");
    rig.patience_us = 200000;
    request_apply(&box, STEP_CREATE, red);
    CHECK(box.r == 0 && box.outcome.kind == OUTCOME_UNKNOWN);
    CHECK_TEXT(strbuf_text(&rig.handles), "operation-box\n");
    CHECK(rig_open(&rig, "fake", "{}", NULL) == 0);
    request_probe(&box);
    CHECK(box.r == 0 && box.probe == PROBE_PENDING);
    rig.patience_us = -1;
    int64_t give_up = world_monotonic_clock() + 5000000;
    while (box.r == 0 && box.probe == PROBE_PENDING && world_monotonic_clock() < give_up) {
        usleep(10000);
        request_probe(&box);
    }
    CHECK(box.r == 0 && box.probe == PROBE_DONE && box.outcome.outputs);
}

static int fail_to_keep(void *argument, const char *handle, struct error *err)
{
    (void)argument;
    (void)handle;
    return error_set(err, ERROR_LIMIT, "the disk is full");
}

TEST(a_handle_that_cannot_be_kept_leaves_the_outcome_unknown)
{
    set_up("{\"asynchronous\":true,\"latency\":\"10s\"}");
    rig.call.journal_handle = fail_to_keep;
    int64_t start = world_monotonic_clock();
    request_apply(&box, STEP_CREATE, red);
    CHECK(box.r == 0 && box.outcome.kind == OUTCOME_UNKNOWN && box.outcome.code == ERROR_LIMIT);
    CHECK(world_monotonic_clock() - start < 8000000);
}

TEST(what_is_throttled_is_called_again)
{
    set_up("{\"fail\":{\"how\":\"throttle\",\"retryAfter\":\"20ms\",\"count\":2}}");
    int64_t start = world_monotonic_clock();
    CHECK(is_done(STEP_CREATE, red));
    CHECK(world_monotonic_clock() - start >= 40000);
    CHECK(rig.provider->n_put_off == 2 && rig.provider->n_begun == 3);
}

TEST(an_answer_that_tells_nothing_is_no_absence)
{
    set_up("{\"fail\":[{\"verb\":\"read\",\"how\":\"cannot-tell\"},"
           "{\"verb\":\"probe\",\"how\":\"cannot-tell\"}]}");
    CHECK(is_done(STEP_CREATE, red));
    request_read(&box);
    CHECK(box.r == -ERROR_UNAVAILABLE);
    CHECK(is_live(red));
    box.after = red;
    request_probe(&box);
    CHECK(box.r == 0 && box.probe == PROBE_UNKNOWABLE);
    request_probe(&box);
    CHECK(box.r == 0 && box.probe == PROBE_DONE);
}

TEST(somebody_else_may_lose_or_change_what_is_there)
{
    set_up(
        "{\"fail\":[{\"verb\":\"read\",\"how\":\"change\",\"skip\":1,"
        "\"set\":{\"colour\":\"blue\"}},{\"verb\":\"update\",\"how\":\"lose\",\"name\":\"box\"}]}");
    CHECK(is_done(STEP_CREATE, red));
    CHECK(is_live(red));
    CHECK(is_live(blue));
    CHECK(is_live(blue));
    request_apply(&box, STEP_UPDATE, red);
    CHECK(box.r == 0 && box.outcome.kind == OUTCOME_FAILED && box.outcome.code == ERROR_NOT_FOUND);
    CHECK(is_absent());
}

TEST(another_account_may_answer)
{
    set_up("{\"fail\":{\"verb\":\"identify\",\"how\":\"wrong-account\"}}");
    static const char *const want[] = {"fake:somebody-else", "fake:acme.default"};
    for (size_t i = 0; i < ARRAY_LENGTH(want); i++) {
        struct request who = {.verb = IDENTIFY, .rig = &rig};
        request_make(&who);
        CLEANUP(mem_freep) char *identity = string_copy(who.identity ? who.identity : "");
        request_done(&who);
        CHECK_TEXT(identity, want[i]);
    }
}

TEST(single_resources_may_have_a_character_of_their_own)
{
    set_up("{\"normalises\":true,\"resources\":{\"box\":{\"normalises\":false},"
           "\"slow\":{\"asynchronous\":true}}}");
    CLEANUP(value_unrefp) struct value *loud = from_json("{\"colour\":\"RED\"}");
    CLEANUP(value_unrefp) struct value *quiet = from_json("{\"colour\":\"red\"}");
    CHECK(is_done(STEP_CREATE, loud) && !box.outcome.live);
    CHECK(is_live(loud));
    box.target.uid = box.target.address = "slow";
    CHECK(is_done(STEP_CREATE, loud) && value_equal(box.outcome.live, quiet));
    CHECK_TEXT(strbuf_text(&rig.handles), "operation-slow\n");
    CHECK(is_live(quiet));
}

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t an_hour_later(void)
{
    return read_clock(CLOCK_REALTIME) + INT64_C(3600) * 1000000;
}

static int64_t monotonic_clock(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

static void random_bytes(void *ret_bytes, size_t size)
{
    CHECK(getrandom(ret_bytes, size, 0) == (ssize_t)size);
}

static const struct world_ops later = {
    .wall_clock = an_hour_later, .monotonic_clock = monotonic_clock, .random = random_bytes};

TEST(a_forgotten_token_tells_nothing_and_a_known_one_makes_one_thing)
{
    set_up("{\"tokens\":\"30m\"}");
    type.repeat = (char[]){"token"};
    type.token_us = INT64_C(7200) * 1000000; /* the account forgets sooner than it says */
    box.target.token = "t-1";
    box.began_at = world_wall_clock();
    bool is_made = is_done(STEP_CREATE, red);
    CLEANUP(mem_freep) char *id = string_copy(is_made ? box.outcome.provider_id : "");
    bool is_one = is_done(STEP_CREATE, red) && text_equal(box.outcome.provider_id, id);
    box.after = red;
    request_probe(&box);
    bool is_found = box.r == 0 && box.probe == PROBE_DONE;
    world_replace(&later);
    request_probe(&box);
    bool is_unknowable = box.r == 0 && box.probe == PROBE_UNKNOWABLE;
    bool is_another = is_done(STEP_CREATE, red) && !text_equal(box.outcome.provider_id, id);
    world_replace(NULL);
    type.repeat = NULL;
    CHECK(is_made && is_one && is_found && is_unknowable && is_another);
}

TEST(a_name_that_is_taken_is_refused_and_nothing_is_changed)
{
    set_up("{}");
    type.repeat = (char[]){"natural"};
    bool is_made = is_done(STEP_CREATE, red);
    box.target.uid = "another";
    request_apply(&box, STEP_CREATE, blue);
    bool is_refused = box.r == 0 && box.outcome.kind == OUTCOME_FAILED;
    bool is_told = is_refused && box.outcome.code == ERROR_EXISTS;
    box.after = blue;
    request_probe(&box);
    bool is_not_done = box.r == 0 && box.probe == PROBE_NOT_DONE;
    box.target.uid = "box";
    bool is_as_before = is_live(red);
    type.repeat = NULL;
    CHECK(is_made && is_refused && is_told && is_not_done && is_as_before);
}

TEST(what_cannot_be_seen_yet_is_not_deleted_in_passing)
{
    set_up("{\"settling\":\"300ms\"}");
    CHECK(is_done(STEP_CREATE, red));
    box.target.changed_at = world_wall_clock();
    CHECK(is_done(STEP_DELETE, NULL));
    box.target.changed_at = 0;
    usleep(300000);
    CHECK(is_absent());
}

static void write_file(const char *name, const char *text)
{
    CLEANUP(mem_freep)
    char *path = string_format("%s/fake/acme.default/%s", rig.home, name);
    CHECK(world_write_file(path, text, strlen(text), 0600, false, NULL) == 0);
}

TEST(a_stopped_account_is_read_and_can_be_started)
{
    set_up("{}");
    CHECK(is_done(STEP_CREATE, red));
    write_file("stopped", "");
    CHECK(is_live(red) && box.live.is_stopped);
    request_apply(&box, STEP_UPDATE, blue);
    CHECK(box.r == -ERROR_UNAVAILABLE);
    box.target.type = NULL;
    CHECK(is_done(STEP_START, NULL));
    box.target.type = &type;
    CHECK(is_live(red) && !box.live.is_stopped);
    CHECK(is_done(STEP_UPDATE, blue));
}

TEST(a_change_by_hand_is_seen)
{
    set_up("{}");
    CHECK(is_done(STEP_CREATE, red));
    write_file("box.json", "{\"provider_id\":\"fake-box\",\"outputs\":{},\"spec\":{\"size\":4}}");
    CLEANUP(value_unrefp) struct value *want = from_json("{\"size\":4}");
    CHECK(is_live(want));
}

TEST(a_damaged_file_is_an_error_and_not_an_absence)
{
    static const char *const texts[] = {"", "{", "[]", "{\"spec\":{}}", "{\"spec\":3}"};
    set_up("{}");
    CHECK(is_done(STEP_CREATE, red));
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        write_file("box.json", texts[i]);
        request_read(&box);
        CHECK(box.r < 0);
        CHECK(strstr(box.err.message, "box.json"));
    }
}

TEST(a_uid_that_leads_elsewhere_is_refused)
{
    static const char *const uids[] = {"../box", "a/b", ".hidden", "a b"};
    set_up("{}");
    for (size_t i = 0; i < ARRAY_LENGTH(uids); i++) {
        box.target.uid = uids[i];
        request_apply(&box, STEP_CREATE, red);
        CHECK(box.r == 0 && box.outcome.kind == OUTCOME_FAILED);
        CHECK(box.outcome.code == ERROR_INVALID);
    }
}

TEST(nothing_is_left)
{
    set_up(NULL);
    CHECK(coroutine_count() == 0);
}
