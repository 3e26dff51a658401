/* The twin's driver against a supervisor that does what the test says. */
#include "contract/provider.h"

#include "base/text.h"
#include "net/channel.h"
#include "provider/twin/folder.h"
#include "provider/twin/twin.h"

#include <sys/stat.h>

static struct type_output outputs[] = {
    {.name = (char[]){"id"}, .type = (char[]){"string"}},
    {.name = (char[]){"tag"}, .type = (char[]){"integer"}, .from = (char[]){"tag"}},
};
static struct type_driver drivers[] = {{.driver = (char[]){"twin"}, .fidelity = (char[]){"real"}}};
static struct resource_type vlan = {.name = (char[]){"opnsense:network:vlan"},
                                    .outputs = outputs,
                                    .n_outputs = ARRAY_LENGTH(outputs),
                                    .drivers = drivers,
                                    .n_drivers = ARRAY_LENGTH(drivers)};

/* What the supervisor says: to whom connects, and to whom asks. NULL: it hangs up; "": nothing. */
static struct {
    const char *greeting;
    const char *answer;
    struct strbuf heard;
    struct strbuf told; /* the progress */
    struct channel_server *server;
    struct gate silence;
    size_t n_silent;
} script;

static struct rig rig;
static struct request web;
static struct value *spec;

static const char identity[] = "01234567-89ab-8def-8123-456789abcdef";
static const char greeting[] =
    "{\"format\":1,\"identity\":\"01234567-89ab-8def-8123-456789abcdef\"}";

static char *in_home(const char *name)
{
    return string_format("%s/%s", rig.home, name);
}

/* As another process would: an instance that has looked before may rely on that for a moment. */
static void write_in_home(const char *name, const char *text)
{
    CLEANUP(mem_freep) char *path = in_home(name);
    CLEANUP(mem_freep) char *folder = in_home("twin");
    CHECK(world_make_folder(folder, 0700, NULL) == 0);
    CHECK(world_write_file(path, text, strlen(text), 0600, false, NULL) == 0);
    CHECK(rig_open(&rig, "twin", NULL, NULL) == 0);
}

static void write_manifest(const char *resources)
{
    CLEANUP(mem_freep)
    char *text = string_format(
        "{\"format\":1,\"identity\":\"%s\",\"assigned\":{},\"resources\":%s}", identity, resources);
    write_in_home("twin/manifest.json", text);
}

static CO_FN void say(struct channel *channel, const char *text)
{
    if (text[0])
        channel_send(channel, text, strlen(text), -1, NULL);
    else if (gate_wait(rig.loop, &script.silence, world_monotonic_clock() + 5000000, NULL) == 0)
        script.n_silent++;
}

static void serve(void *argument, struct channel *take_channel)
{
    (void)argument;
    CLEANUP(channel_freep) struct channel *channel = take_channel;
    CLEANUP(mem_freep) char *line = NULL;
    size_t length;
    if (!script.greeting)
        return;
    say(channel, script.greeting);
    if (channel_receive(channel, -1, &line, &length, NULL) < 0 || !line)
        return;
    if (strstr(line, "\"hold\"")) /* it keeps nothing */
        return;
    strbuf_addf(&script.heard, "%s\n", line);
    if (script.answer)
        say(channel, script.answer);
}

/* A test that ended early leaves its home to the next one. */
static void set_up(bool with_home)
{
    static bool is_open;
    if (is_open) {
        request_done(&web);
        value_unref(spec);
        rig_done(&rig);
        strbuf_done(&script.heard);
        strbuf_done(&script.told);
    }
    is_open = with_home;
    if (!with_home)
        return;
    script.greeting = greeting;
    script.answer = NULL;
    rig_init(&rig, "twin", NULL);
    spec = from_json("{\"subnet\":\"10.1.0.0/24\",\"tag\":5}");
    web = request_of(&rig, &vlan, "web");
}

/* The request, then the end of the supervisor, so that the loop has an end, too. */
static void ask(void *argument)
{
    request_run(argument);
    gate_open(rig.loop, &script.silence);
    channel_server_free(script.server);
}

/* Makes a request while the supervisor listens. */
static void ask_it(struct request *request, const char *answer)
{
    CLEANUP(mem_freep) char *folder = in_home("twin");
    CLEANUP(mem_freep) char *path = in_home("twin/sock");
    script.answer = answer;
    CHECK(world_make_folder(folder, 0700, NULL) == 0);
    CHECK(channel_listen(rig.loop, path, 1 << 20, 10, serve, NULL, &script.server, NULL) == 0);
    request_renew(request);
    loop_spawn(rig.loop, "ask", ask, request);
    loop_run(rig.loop);
}

static void apply_it(enum step_kind kind, struct value *after, const char *answer)
{
    web.verb = APPLY;
    web.step.kind = kind;
    web.after = after;
    ask_it(&web, answer);
}

/* --- Who it is --- */

static void identify(char **ret_identity)
{
    struct request who = {.verb = IDENTIFY, .rig = &rig};
    request_make(&who);
    *ret_identity = string_copy(who.r == 0 ? who.identity : error_message(&who.err));
    request_done(&who);
}

TEST(before_the_first_twin_every_process_announces_the_same_one)
{
    set_up(true);
    CLEANUP(mem_freep) char *first = NULL;
    CLEANUP(mem_freep) char *second = NULL;
    identify(&first);
    CHECK(rig_open(&rig, "twin", NULL, NULL) == 0);
    identify(&second);
    CHECK(text_starts_with(first, "twin:") && strlen(first) == strlen("twin:") + 36);
    CHECK_TEXT(second, first);
    CHECK(rmdir(rig.home) == 0);
    CHECK(mkdir(rig.home, 0700) == 0);
}

TEST(two_homes_announce_different_twins)
{
    set_up(true);
    CLEANUP(mem_freep) char *first = NULL;
    CLEANUP(mem_freep) char *second = NULL;
    identify(&first);
    set_up(true);
    identify(&second);
    CHECK(!text_equal(first, second));
}

TEST(a_twin_is_who_its_manifest_says)
{
    set_up(true);
    write_manifest("[]");
    CLEANUP(mem_freep) char *who = NULL;
    identify(&who);
    CHECK_TEXT(who, "twin:01234567-89ab-8def-8123-456789abcdef");
}

TEST(the_twin_after_one_that_is_gone_is_another_one)
{
    set_up(true);
    struct twin_home home = {0};
    char first[UUID_TEXT_SIZE], second[UUID_TEXT_SIZE];
    bool is_set = twin_home_init(&home, rig.home, NULL) == 0 &&
                  twin_home_identify(&home, NULL, first, NULL) == 0 &&
                  twin_home_remember(&home, first, NULL) == 0 &&
                  twin_home_remember(&home, first, NULL) == 0 &&
                  twin_home_identify(&home, NULL, second, NULL) == 0;
    twin_home_done(&home);
    CHECK(is_set);
    CHECK(!text_equal(first, second));
}

TEST(what_was_made_on_another_twin_is_not_read_as_absent)
{
    set_up(true);
    web.target.provider_id = "99999999-89ab-8def-8123-456789abcdef/web";
    request_read(&web);
    CHECK(web.r == -ERROR_UNAVAILABLE);
    CHECK(strstr(web.err.message, "web was made on another twin"));
    CHECK(strstr(web.err.message, "parley --home FOLDER up FILE"));
    write_manifest("[]");
    request_read(&web);
    CHECK(web.r == -ERROR_UNAVAILABLE);
    web.target.provider_id = "01234567-89ab-8def-8123-456789abcdef/web";
    request_read(&web);
    CHECK(web.r == 0 && !web.live.is_present);
}

/* --- Where its socket is --- */

TEST(the_socket_lies_where_its_path_is_short_enough)
{
    struct twin_home home = {0};
    CLEANUP(mem_freep)
    char *kept = getenv("XDG_RUNTIME_DIR") ? string_copy(getenv("XDG_RUNTIME_DIR")) : NULL;
    char longer[200] = "/tmp/";
    memset(longer + 5, 'a', 120);
    set_up(true);
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    bool is_long = twin_home_init(&home, longer, NULL) == 0 &&
                   text_starts_with(home.socket, "/run/user/7/parley/twin-");
    twin_home_done(&home);
    setenv("XDG_RUNTIME_DIR", longer, 1);
    bool is_refused = twin_home_init(&home, longer, NULL) == -ERROR_INVALID;
    twin_home_done(&home);
    bool is_short =
        twin_home_init(&home, "/tmp/b", NULL) == 0 && text_equal(home.socket, "/tmp/b/twin/sock");
    twin_home_done(&home);
    unsetenv("XDG_RUNTIME_DIR");
    bool is_without =
        twin_home_init(&home, longer, NULL) == 0 && text_starts_with(home.socket, "/tmp/parley-");
    twin_home_done(&home);
    if (kept)
        setenv("XDG_RUNTIME_DIR", kept, 1);
    CHECK(is_long && is_refused && is_short && is_without);
}

/* --- While nobody runs --- */

TEST(without_a_twin_everything_is_absent_and_nothing_is_made)
{
    set_up(true);
    request_read(&web);
    CHECK(web.r == 0 && !web.live.is_present);
    request_apply(&web, STEP_DELETE, NULL);
    CHECK(web.r == 0 && web.outcome.kind == OUTCOME_DONE);
    web.verb = DESCRIBE;
    request_make(&web);
    CHECK(web.r == 0 && value_count(web.sections) == 0);
    CHECK(rmdir(rig.home) == 0);
    CHECK(mkdir(rig.home, 0700) == 0);
}

TEST(a_stopped_twin_is_read_from_its_manifest)
{
    set_up(true);
    write_manifest("[{\"uid\":\"web\",\"name\":\"web\",\"type\":\"opnsense:network:vlan\","
                   "\"spec\":{\"tag\":5},\"references\":{},\"generation\":1}]");
    request_read(&web);
    CHECK(web.r == 0 && web.live.is_present && web.live.is_stopped);
    CLEANUP(mem_freep) char *spec_text = json_text(web.live.spec);
    CLEANUP(mem_freep) char *output_text = json_text(web.live.outputs);
    CHECK_TEXT(spec_text, "{\"tag\":5}");
    CHECK_TEXT(output_text, "{\"tag\":5}");
    CHECK_TEXT(value_get_text(web.live.status, "state"), "stopped");
    web.target.uid = "app";
    request_read(&web);
    CHECK(web.r == 0 && !web.live.is_present);
}

TEST(an_absence_is_never_told_from_an_older_look)
{
    set_up(true);
    write_manifest("[]");
    request_read(&web);
    CHECK(web.r == 0 && !web.live.is_present);
    struct provider *looked_before = rig.provider;
    rig.provider = NULL;
    write_manifest("[{\"uid\":\"web\",\"spec\":{\"tag\":5}}]");
    provider_free(rig.provider);
    rig.provider = looked_before;
    request_read(&web);
    CHECK(web.r == 0 && web.live.is_present);
}

TEST(a_stopped_twin_says_so_when_it_is_described)
{
    set_up(true);
    write_manifest("[{\"uid\":\"web\",\"spec\":{}}]");
    web.verb = DESCRIBE;
    request_make(&web);
    CLEANUP(mem_freep) char *text = web.r == 0 ? json_text(web.sections) : string_copy("");
    CHECK_TEXT(text, "[{\"lines\":[\"the twin is stopped; parley up starts it again\"],"
                     "\"settled\":true,\"title\":\"Health\"}]");
    web.target.uid = "of-another-deployment";
    request_make(&web);
    CHECK(web.r == 0 && value_count(web.sections) == 0);
}

TEST(a_damaged_manifest_is_an_error_and_not_an_absence)
{
    static const struct {
        const char *text;
        int want;
    } cases[] = {
        {"", -ERROR_CORRUPT},
        {"{", -ERROR_CORRUPT},
        {"[]", -ERROR_CORRUPT},
        {"{\"format\":1}", -ERROR_CORRUPT},
        {"{\"format\":1,\"identity\":\"x\",\"resources\":[]}", -ERROR_CORRUPT},
        {"{\"format\":1,\"identity\":\"01234567-89ab-8def-8123-456789abcdef\",\"resources\":{}}",
         -ERROR_CORRUPT},
        {"{\"format\":1,\"identity\":\"01234567-89ab-8def-8123-456789abcdef\","
         "\"resources\":[{\"uid\":\"web\",\"spec\":7}]}",
         -ERROR_CORRUPT},
        {"{\"format\":2}", -ERROR_UNSUPPORTED},
    };
    set_up(true);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        write_in_home("twin/manifest.json", cases[i].text);
        request_read(&web);
        CHECK(web.r == cases[i].want);
        CHECK(strstr(web.err.message, "manifest.json"));
    }
}

/* --- While it runs --- */

TEST(a_create_is_sent_with_the_uids_of_its_references)
{
    set_up(true);
    write_manifest("[]");
    CLEANUP(value_unrefp)
    struct value *references =
        from_json("{\"subnet\":[{\"address\":\"a\",\"uid\":\"u-1\",\"outputs\":{}},"
                  "{\"address\":\"b\",\"uid\":\"u-2\",\"outputs\":null}]}");
    web.target.references = references;
    apply_it(STEP_CREATE, spec,
             "{\"id\":1,\"ok\":true,\"outputs\":{\"id\":\"br5\"},\"status\":{}}");
    CHECK(web.r == 0 && web.outcome.kind == OUTCOME_DONE);
    CHECK_TEXT(web.outcome.provider_id, "01234567-89ab-8def-8123-456789abcdef/web");
    CHECK_TEXT(value_get_text(web.outcome.outputs, "id"), "br5");
    CHECK_TEXT(strbuf_text(&script.heard),
               "{\"id\":1,\"resource\":{\"generation\":1,\"name\":\"web\","
               "\"references\":{\"subnet\":[\"u-1\",\"u-2\"]},"
               "\"spec\":{\"subnet\":\"10.1.0.0/24\",\"tag\":5},"
               "\"type\":\"opnsense:network:vlan\",\"uid\":\"web\"},\"verb\":\"put\"}\n");
    CLEANUP(mem_freep) char *path = in_home("twins");
    CLEANUP(mem_freep) char *history = NULL;
    CHECK(world_read_file(path, 1000, &history, NULL, NULL) == 0);
    CHECK_TEXT(history, "01234567-89ab-8def-8123-456789abcdef\n");
}

static void keep_progress(void *argument, const char *message)
{
    (void)argument;
    strbuf_addf(&script.told, "%s\n", message);
}

TEST(what_a_resource_consists_of_is_told_once_it_is_made)
{
    static const struct {
        const char *type;
        const char *answer;
        const char *want;
    } cases[] = {
        {"aws:ec2:instances",
         "{\"id\":1,\"ok\":true,\"status\":{},\"outputs\":{\"instances\":"
         "[{\"name\":\"a-0\",\"address\":\"10.1.0.11\"},{\"name\":\"a-1\"}]}}",
         "a-0: 10.1.0.11\n"},
        {"aws:rds:cluster",
         "{\"id\":1,\"ok\":true,\"outputs\":{},\"status\":{\"members\":"
         "[{\"name\":\"db-0\",\"role\":\"primary\",\"state\":\"ready\"}]}}",
         "primary db-0: ready\n"},
        {"aws:acm:certificate",
         "{\"id\":1,\"ok\":true,\"outputs\":{},\"status\":{\"expires\":\"2027-01-31T08:00:00Z\"}}",
         "valid until 2027-01-31\n"},
        {"opnsense:haproxy:backend", "{\"id\":1,\"ok\":true,\"outputs\":{},\"status\":{\"up\":2}}",
         "2 servers active\n"},
        {"opnsense:network:vlan", "{\"id\":1,\"ok\":true,\"outputs\":{},\"status\":{}}", ""},
    };
    set_up(true);
    write_manifest("[]");
    rig.call.progress = keep_progress;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct resource_type type = {.name = (char *)(uintptr_t)cases[i].type};
        strbuf_clear(&script.told);
        web.target.type = &type;
        apply_it(STEP_CREATE, spec, cases[i].answer);
        CHECK(web.r == 0 && web.outcome.kind == OUTCOME_DONE);
        CHECK_TEXT(strbuf_text(&script.told), cases[i].want);
    }
}

TEST(a_refusal_is_a_failure_that_changed_nothing)
{
    set_up(true);
    write_manifest("[]");
    apply_it(STEP_CREATE, spec,
             "{\"id\":1,\"ok\":false,\"error\":{\"code\":\"exists\",\"message\":\"taken\"}}");
    CHECK(web.r == 0 && web.outcome.kind == OUTCOME_FAILED);
    CHECK(web.outcome.code == ERROR_EXISTS);
    CHECK_TEXT(web.outcome.message, "taken");
    apply_it(STEP_DELETE, NULL,
             "{\"id\":1,\"ok\":false,\"error\":{\"code\":\"strange\",\"message\":\"in use\"}}");
    CHECK(web.r == 0 && web.outcome.kind == OUTCOME_FAILED);
    CHECK(web.outcome.code == ERROR_SYSTEM);
}

TEST(an_answer_that_is_not_understood_leaves_the_outcome_unknown)
{
    static const char *const answers[] = {"nonsense", "[]", "{\"id\":1,\"ok\":true}"};
    set_up(true);
    write_manifest("[]");
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        apply_it(STEP_CREATE, spec, answers[i]);
        CHECK(web.r == 0 && web.outcome.kind == OUTCOME_UNKNOWN);
    }
}

TEST(a_twin_that_does_not_answer_leaves_the_outcome_unknown)
{
    set_up(true);
    write_manifest("[]");
    rig.patience_us = 500000;
    apply_it(STEP_CREATE, spec, "");
    CHECK(web.r == 0 && web.outcome.kind == OUTCOME_UNKNOWN);
    CHECK(web.outcome.code == ERROR_TIMEOUT);
}

static void cancel_soon(void *argument)
{
    loop_sleep(argument, 20000);
    rig.is_cancelled = true;
}

TEST(a_cancellation_does_not_wait_for_the_answer)
{
    set_up(true);
    write_manifest("[]");
    loop_spawn(rig.loop, "cancel", cancel_soon, rig.loop);
    apply_it(STEP_CREATE, spec, "");
    rig.is_cancelled = false;
    CHECK(web.r == 0 && web.outcome.kind == OUTCOME_UNKNOWN);
    CHECK(web.outcome.code == ERROR_CANCELLED);
}

TEST(to_a_twin_of_another_format_nothing_is_sent)
{
    set_up(true);
    script.greeting = "{\"format\":2,\"identity\":\"x\"}";
    apply_it(STEP_CREATE, spec, NULL);
    CHECK(web.r == -ERROR_UNSUPPORTED);
    CHECK_TEXT(strbuf_text(&script.heard), "");
}

TEST(to_a_twin_that_hangs_up_nothing_is_sent)
{
    set_up(true);
    script.greeting = NULL;
    rig.patience_us = 50000;
    apply_it(STEP_CREATE, spec, NULL);
    CHECK(web.r == -ERROR_TIMEOUT);
    CHECK_TEXT(strbuf_text(&script.heard), "");
}

TEST(a_running_twin_says_what_it_has)
{
    set_up(true);
    web.verb = READ;
    ask_it(&web, "{\"id\":1,\"ok\":true,\"resource\":{\"present\":true,\"uid\":\"web\","
                 "\"name\":\"web\",\"type\":\"opnsense:network:vlan\",\"spec\":{\"tag\":5},"
                 "\"status\":{\"state\":\"ready\"},\"outputs\":{\"id\":\"br5\"}}}");
    CHECK(web.r == 0 && web.live.is_present && !web.live.is_stopped);
    CHECK(value_get_integer(web.live.spec, "tag", 0) == 5);
    CHECK_TEXT(value_get_text(web.live.outputs, "id"), "br5");
    CHECK_TEXT(value_get_text(web.live.status, "state"), "ready");
    ask_it(&web, "{\"id\":1,\"ok\":true,\"resource\":{\"present\":false}}");
    CHECK(web.r == 0 && !web.live.is_present);
    ask_it(&web, "{\"id\":1,\"ok\":true,\"resource\":{\"present\":true,\"spec\":7}}");
    CHECK(web.r == -ERROR_UNAVAILABLE);
    ask_it(&web, "{\"id\":1,\"ok\":true}");
    CHECK(web.r == -ERROR_UNAVAILABLE);
}

TEST(a_probe_looks_at_spec_and_state)
{
    static const struct {
        const char *spec;
        const char *state;
        enum probe_kind want;
    } cases[] = {
        {"{\"subnet\":\"10.1.0.0/24\",\"tag\":5}", "ready", PROBE_DONE},
        {"{\"subnet\":\"10.1.0.0/24\",\"tag\":5}", "degraded", PROBE_DONE},
        {"{\"subnet\":\"10.1.0.0/24\",\"tag\":5}", "starting", PROBE_PENDING},
        {"{\"subnet\":\"10.1.0.0/24\",\"tag\":5}", "failed", PROBE_PARTLY},
        {"{\"tag\":4}", "ready", PROBE_NOT_DONE},
        {"{\"tag\":6}", "ready", PROBE_PARTLY},
    };
    set_up(true);
    CLEANUP(value_unrefp) struct value *before = from_json("{\"tag\":4}");
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(mem_freep)
        char *answer =
            string_format("{\"id\":1,\"ok\":true,\"resource\":{\"present\":true,\"spec\":%s,"
                          "\"status\":{\"state\":\"%s\"},\"outputs\":{}}}",
                          cases[i].spec, cases[i].state);
        web.verb = PROBE;
        web.step = (struct step){.kind = STEP_UPDATE, .before = before};
        web.after = spec;
        ask_it(&web, answer);
        CHECK(web.r == 0);
        CHECK_TEXT(probe_kind_to_string(web.probe), probe_kind_to_string(cases[i].want));
    }
}

#define DESCRIBED(name, type, status, outputs)                                         \
    "{\"uid\":\"web\",\"name\":\"" name "\",\"type\":\"" type "\",\"status\":{" status \
    "},\"outputs\":{" outputs "}}"

TEST(what_runs_is_described_in_sections)
{
    set_up(true);
    web.verb = DESCRIBE;
    ask_it(
        &web,
        "{\"id\":1,\"ok\":true,\"resources\":[" DESCRIBED("front", "opnsense:haproxy:frontend", "\"state\":\"ready\",\"host_port\":8443,\"host_url\":\"https://shop.example:8443/\"", "\"url\":\"https://shop.example\"") "," DESCRIBED(
            "inner", "opnsense:haproxy:frontend", "\"state\":\"starting\"",
            "\"url\":\"http://10.1.0.10:8080\"") "," DESCRIBED("back", "opnsense:haproxy:backend",
                                                               "\"state\":\"degraded\",\"up\":1,\"servers\":[{},{}]",
                                                               "") "," DESCRIBED("cert",
                                                                                 "aws:acm:certificate",
                                                                                 "\"state\":\"ready\",\"expires\":\"2027-01-31T08:00:00Z\"",
                                                                                 "") "," DESCRIBED("net",
                                                                                                   "opnsense:network:vlan",
                                                                                                   "\"state\":\"ready\"",
                                                                                                   "") "," DESCRIBED("db",
                                                                                                                     "aws:rds:cluster",
                                                                                                                     "\"state\":\"ready\",\"primary\":\"db-0\",\"members\":[{\"role\":\"primary\"},"
                                                                                                                     "{\"role\":\"replica\",\"replication\":\"streaming\"}]",
                                                                                                                     "") "," DESCRIBED("hosts",
                                                                                                                                       "aws:ec2:instances",
                                                                                                                                       "\"state\":\"ready\"",
                                                                                                                                       "\"instances\":[{},{},{}]") "," DESCRIBED("rule",
                                                                                                                                                                                 "opnsense:firewall:rule",
                                                                                                                                                                                 "\"state\":\"failed\",\"problem\":\"why\"",
                                                                                                                                                                                 "") ","
                                                                                                                                                                                     "{\"uid\":\"other\",\"name\":\"not-ours\",\"type\":\"aws:rds:cluster\",\"status\":{},"
                                                                                                                                                                                     "\"outputs\":{}}]}");
    CLEANUP(mem_freep) char *text = web.r == 0 ? json_text(web.sections) : string_copy("");
    CLEANUP(mem_freep)
    char *want = string_format(
        "[{\"lines\":[\"front: https://shop.example:8443/\","
        "\"  curl --cacert %s/twin/authority/ca.crt --resolve shop.example:8443:127.0.0.1 "
        "https://shop.example:8443/\",\"inner: http://10.1.0.10:8080 (inside the twin)\"],"
        "\"settled\":true,\"title\":\"Access points\"},"
        "{\"lines\":[\"inner: \u25cb starting\",\"back: \u25d0 degraded (1/2 servers)\","
        "\"cert: \u25cf valid until 2027-01-31\","
        "\"db: \u25cf healthy (primary db-0, 1/1 replicas streaming)\","
        "\"hosts: \u25cf healthy (3/3 instances)\",\"rule: \u25cb failed\",\"rule: why\"],"
        "\"settled\":false,\"title\":\"Health\"}]",
        rig.home);
    CHECK_TEXT(text, want);
}

TEST(a_database_server_that_was_copied_anew_is_told_with_the_reason)
{
    set_up(true);
    web.verb = DESCRIBE;
    ask_it(&web, "{\"id\":1,\"ok\":true,\"resources\":["
                 "{\"uid\":\"web\",\"name\":\"db\",\"type\":\"aws:rds:cluster\",\"status\":{"
                 "\"state\":\"ready\",\"primary\":\"db-1\",\"members\":["
                 "{\"name\":\"db-0\",\"role\":\"replica\",\"replication\":\"streaming\","
                 "\"copied_anew\":\"it could not be rewound\"},"
                 "{\"name\":\"db-1\",\"role\":\"primary\"}]},\"outputs\":{}}]}");
    CLEANUP(mem_freep) char *text = web.r == 0 ? json_text(web.sections) : string_copy("");
    CHECK_TEXT(text, "[{\"lines\":[\"db: \u25cf healthy (primary db-1, 1/1 replicas streaming)\","
                     "\"db: db-0 was copied anew from its primary: it could not be rewound\"],"
                     "\"settled\":true,\"title\":\"Health\"}]");
}

TEST(what_a_monitor_serves_is_told_with_its_host_port)
{
    set_up(true);
    web.verb = DESCRIBE;
    ask_it(
        &web,
        "{\"id\":1,\"ok\":true,\"resources\":["
        "{\"uid\":\"web\",\"name\":\"watch\",\"type\":\"k8s:deployment:prometheus\",\"status\":{"
        "\"state\":\"ready\",\"restarts\":2,\"host_port\":9090,\"host_url\":\"http://127.0.0.1:9090/\"},"
        "\"outputs\":{\"url\":\"http://10.3.0.11:9090\","
        "\"alertmanager\":\"http://10.3.0.11:9093\"}},"
        "{\"uid\":\"web\",\"name\":\"pages\",\"type\":\"k8s:deployment:grafana\",\"status\":{"
        "\"state\":\"ready\"},\"outputs\":{\"url\":\"http://10.3.0.11:9090\"}},"
        "{\"uid\":\"web\",\"name\":\"boards\",\"type\":\"k8s:deployment:grafana\",\"status\":{"
        "\"state\":\"ready\",\"fidelity\":\"real\",\"host_url\":\"http://127.0.0.1:3000/\"},"
        "\"outputs\":{\"url\":\"http://10.3.0.11:3000\"}}]}");
    CLEANUP(mem_freep) char *text = web.r == 0 ? json_text(web.sections) : string_copy("");
    CHECK_TEXT(text,
               "[{\"lines\":[\"watch: http://127.0.0.1:9090/\","
               "\"  curl http://127.0.0.1:9090/-/ready\","
               "\"watch: Alertmanager at http://10.3.0.11:9093 (inside the twin)\","
               "\"pages: http://10.3.0.11:9090 (inside the twin) (Prometheus' own pages)\","
               "\"boards: http://127.0.0.1:3000/ (Grafana)\","
               "\"  curl http://127.0.0.1:3000/api/health\"],"
               "\"settled\":true,\"title\":\"Access points\"},"
               "{\"lines\":[\"watch: \u25cf healthy\","
               "\"watch: started again 2 times since the twin began\",\"pages: \u25cf healthy\","
               "\"boards: \u25cf healthy\"],"
               "\"settled\":true,\"title\":\"Health\"}]");
}

/* --- Before approval --- */

/* Changes of the other kinds are made while it runs; see tests/integration/live. */
TEST(what_a_change_interrupts_is_told_before_approval)
{
    static const struct {
        const char *type, *before, *after, *changed; /* changed: paths, as a plan has them */
        const char *want;                            /* a part of the only note; NULL: none */
    } cases[] = {
        {"aws:rds:cluster", "{\"port\":5432}", "{\"port\":5433}", "[\"port\"]",
         "every connection to them ends"},
        {"aws:rds:cluster", "{\"port\":5432,\"instances\":2}", "{\"port\":5432,\"instances\":3}",
         "[\"instances\"]", NULL},
        {"opnsense:haproxy:backend", "{\"balance\":\"source\"}", "{\"balance\":\"leastconn\"}",
         "[\"balance\"]", "A load balancer reloads"},
        {"opnsense:haproxy:backend", "{\"port\":80}", "{\"port\":81}", "[\"port\"]", NULL},
        {"opnsense:haproxy:backend", "{\"healthCheck\":\"/a\"}", "{\"healthCheck\":\"/b?c=d\"}",
         "[\"healthCheck\"]", NULL},
        {"opnsense:haproxy:backend", "{\"healthCheck\":\"/a\"}", "{\"healthCheck\":\"/a;b\"}",
         "[\"healthCheck\"]", "A load balancer reloads"},
        {"opnsense:haproxy:backend", "{\"port\":80}", "{\"port\":80,\"healthCheck\":\"/a\"}",
         "[\"healthCheck\"]", "A load balancer reloads"},
        {"opnsense:haproxy:frontend", "{\"port\":80,\"backend\":\"a\"}",
         "{\"port\":80,\"backend\":\"b\"}", "[\"backend\"]", "A load balancer reloads"},
        {"opnsense:haproxy:frontend", "{\"certificate\":\"a\"}", "{\"certificate\":\"b\"}",
         "[\"certificate\"]", NULL},
        {"opnsense:haproxy:frontend", "{\"port\":80}", "{\"port\":80,\"certificate\":\"b\"}",
         "[\"certificate\"]", "A load balancer reloads"},
        {"opnsense:haproxy:frontend", "{\"port\":80}", "{\"port\":80,\"description\":\"it\"}",
         "[\"description\"]", NULL},
        {"opnsense:firewall:rule", "{\"port\":80}", "{\"port\":81}", "[\"port\"]", NULL},
        {"opnsense:firewall:rule", "{\"rateLimit\":\"5/second\"}", "{\"rateLimit\":\"9/hour\"}",
         "[\"rateLimit\"]", NULL},
        {"opnsense:firewall:rule", "{\"port\":80}", "{\"port\":80,\"rateLimit\":\"9/hour\"}",
         "[\"rateLimit\"]", "A load balancer reloads"},
        {"opnsense:firewall:rule", "{\"port\":80,\"rateLimit\":\"9/hour\"}",
         "{\"port\":81,\"rateLimit\":\"9/hour\"}", "[\"port\"]", "A load balancer reloads"},
        {"docker:compose:stack", "{\"services\":{\"a\":{\"image\":\"x:1\",\"replicas\":1}}}",
         "{\"services\":{\"a\":{\"image\":\"x:2\",\"replicas\":1}}}", "[\"services.a.image\"]",
         "a has one instance"},
        {"docker:compose:stack",
         "{\"services\":{\"a\":{\"image\":\"x\",\"replicas\":1,\"volumes\":[\"/p/c:/c:ro\"]},"
         "\"b\":{\"image\":\"x\",\"replicas\":1}},\"files\":{\"/p/c\":\"01\"}}",
         "{\"services\":{\"a\":{\"image\":\"x\",\"replicas\":1,\"volumes\":[\"/p/c:/c:ro\"]},"
         "\"b\":{\"image\":\"x\",\"replicas\":1}},\"files\":{\"/p/c\":\"02\"}}",
         "[\"files./p/c\"]", "a has one instance"},
        {"docker:compose:stack", "{\"services\":{\"a\":{\"image\":\"x:1\",\"replicas\":2}}}",
         "{\"services\":{\"a\":{\"image\":\"x:2\",\"replicas\":2}}}", "[\"services.a.image\"]",
         NULL},
        {"opnsense:network:vlan", "{\"tag\":4,\"subnet\":\"10.4.0.0/24\"}",
         "{\"tag\":4,\"subnet\":\"10.5.0.0/24\"}", "[\"subnet\"]", "All hosts in it get other"},
        {"opnsense:network:vlan", "{\"tag\":4}", "{\"tag\":5}", "[\"tag\"]", NULL},
        {"aws:autoscaling:group", "{\"max\":4,\"subnet\":\"a\"}", "{\"max\":4,\"subnet\":\"b\"}",
         "[\"subnet\"]", "Its hosts move to another network"},
        {"aws:autoscaling:group", "{\"max\":4,\"subnet\":\"a\"}", "{\"max\":5,\"subnet\":\"a\"}",
         "[\"max\"]", NULL},
        {"opnsense:haproxy:frontend", "{\"port\":80,\"network\":\"a\"}",
         "{\"port\":80,\"network\":\"b\"}", "[\"network\"]", "whoever comes to its old address"},
        {"k8s:deployment:prometheus", "{\"network\":\"a\"}", "{\"network\":\"b\"}", "[\"network\"]",
         "nothing is measured until"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct resource_type type = {.name = (char *)(uintptr_t)cases[i].type};
        struct target target = {.address = "it", .type = &type};
        struct diagnostics told = {0};
        CLEANUP(value_unrefp) struct value *before = from_json(cases[i].before);
        CLEANUP(value_unrefp) struct value *after = from_json(cases[i].after);
        CLEANUP(value_unrefp) struct value *changed = from_json(cases[i].changed);
        struct step step = {
            .kind = STEP_UPDATE, .before = before, .after = after, .changed = changed};
        twin_tell_interruptions(&target, &step, &told);
        CHECK(told.n_items == (cases[i].want ? 1 : 0));
        CHECK(!cases[i].want || strstr(told.items[0].detail, cases[i].want));
        diagnostics_done(&told);
    }
}

TEST(hosts_that_go_are_told_before_approval)
{
    static const struct {
        const char *type, *before, *after, *changed, *now;
        const char *want; /* the only note begins so; NULL: none */
    } cases[] = {
        {"aws:autoscaling:group", "{\"min\":2,\"max\":6}", "{\"min\":2,\"max\":4}", "[\"max\"]",
         "{\"desired\":5}", "it: 1 of its 5 hosts goes, with the highest number;"},
        {"aws:autoscaling:group", "{\"min\":2,\"max\":6}", "{\"min\":2,\"max\":4}", "[\"max\"]",
         "{\"desired\":4}", NULL},
        {"aws:autoscaling:group", "{\"min\":2,\"max\":6,\"desired\":3}",
         "{\"min\":2,\"max\":6,\"desired\":2}", "[\"desired\"]", "{\"desired\":6}",
         "it: 4 of its 6 hosts go, with the highest numbers;"},
        /* The document's number is not asked again. */
        {"aws:autoscaling:group", "{\"min\":2,\"max\":6,\"desired\":3}",
         "{\"min\":1,\"max\":6,\"desired\":3}", "[\"min\"]", "{\"desired\":6}", NULL},
        {"aws:ec2:instances", "{\"instances\":3}", "{\"instances\":1}", "[\"instances\"]", "{}",
         "it: 2 of its 3 hosts go"},
        {"aws:ec2:instances", "{\"instances\":1}", "{\"instances\":3}", "[\"instances\"]", "{}",
         NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct resource_type type = {.name = (char *)(uintptr_t)cases[i].type};
        struct target target = {.address = "it", .type = &type};
        struct diagnostics told = {0};
        CLEANUP(value_unrefp) struct value *before = from_json(cases[i].before);
        CLEANUP(value_unrefp) struct value *after = from_json(cases[i].after);
        CLEANUP(value_unrefp) struct value *changed = from_json(cases[i].changed);
        CLEANUP(value_unrefp) struct value *live = from_json(cases[i].now);
        struct step step = {
            .kind = STEP_UPDATE, .before = before, .after = after, .changed = changed};
        twin_tell_hosts(&target, &step, live, &told);
        CHECK(told.n_items == (cases[i].want ? 1 : 0));
        CHECK(!cases[i].want || text_starts_with(told.items[0].detail, cases[i].want));
        diagnostics_done(&told);
    }
}

TEST(a_frontend_that_moves_says_from_where_to_where)
{
    struct resource_type type = {.name = (char[]){"opnsense:haproxy:frontend"}};
    struct target target = {.address = "door", .type = &type};
    struct diagnostics told = {0};
    CLEANUP(value_unrefp) struct value *before = from_json("{\"port\":8443}");
    CLEANUP(value_unrefp) struct value *after = from_json("{\"port\":9443}");
    CLEANUP(value_unrefp) struct value *changed = from_json("[\"port\"]");
    struct step step = {.kind = STEP_UPDATE, .before = before, .after = after, .changed = changed};
    twin_tell_interruptions(&target, &step, &told);
    CHECK(told.n_items == 2 && !diagnostics_has_errors(&told));
    CHECK_TEXT(told.items[0].detail, "door: It moves from port 8443 to 9443: whoever comes to the "
                                     "old one when this is done is refused.");
    diagnostics_done(&told);
}

TEST(a_type_that_the_twin_does_not_serve_is_refused_before_approval)
{
    struct resource_type server = {.name = (char[]){"opnsense:haproxy:server"}};
    set_up(true);
    web.verb = PROPOSE;
    web.target.type = &server;
    web.step.kind = STEP_CREATE;
    request_make(&web);
    CHECK(web.r == 0 && diagnostics_has_errors(&web.diagnostics));
    CHECK_TEXT(web.diagnostics.items[0].detail,
               "web: the twin does not serve the type opnsense:haproxy:server.");
}

TEST(a_tunnel_is_refused_before_approval_and_only_told_where_nobody_wants_one)
{
    struct resource_type tunnel = {.name = (char[]){"opnsense:vpn:wireguard"},
                                   .drivers = drivers,
                                   .n_drivers = ARRAY_LENGTH(drivers)};
    for (int is_wanted = 0; is_wanted < 2; is_wanted++) {
        set_up(true);
        CLEANUP(value_unrefp)
        struct value *after = from_json(is_wanted ? "{\"subnet\":\"10.9.0.0/24\"}" : "{}");
        web.verb = PROPOSE;
        web.target.type = &tunnel;
        web.step = (struct step){.kind = STEP_CREATE, .after = after};
        request_make(&web);
        bool is_told = false;
        for (size_t i = 0; i < web.diagnostics.n_items; i++)
            is_told = is_told || strstr(web.diagnostics.items[i].detail, "makes no tunnels");
        CHECK(web.r == 0 && is_told);
        CHECK(diagnostics_has_errors(&web.diagnostics) == (is_wanted == 1));
    }
}

static bool tells(const char *what)
{
    for (size_t i = 0; i < web.diagnostics.n_items; i++)
        if (strstr(web.diagnostics.items[i].detail, what))
            return true;
    return false;
}

static void propose_network(const char *properties)
{
    set_up(true);
    CLEANUP(value_unrefp) struct value *after = from_json(properties);
    web.verb = PROPOSE;
    web.target.type = &vlan;
    web.step = (struct step){.kind = STEP_CREATE, .after = after};
    request_make(&web);
    CHECK(web.r == 0);
}

TEST(all_that_is_wrong_with_a_pool_is_told_at_once)
{
    static const struct {
        const char *properties, *told, *told_too;
    } cases[] = {
        {"{\"tag\":3,\"subnet\":\"10.9.0.0/24\",\"dhcp\":{\"from\":\"10.10.0.9\",\"to\":\"10.9.0.1\"}}",
         "web: dhcp.from is 10.10.0.9, which is outside of its subnet.",
         "web: dhcp.to is 10.9.0.1, which is the gateway's."},
        {"{\"tag\":3,\"subnet\":\"10.9.0.0/24\",\"dhcp\":{\"from\":\"10.9.0.255\",\"to\":\"10.9.0.7\"}}",
         "web: dhcp.from is 10.9.0.255, which is no host's address in its subnet.",
         "web: its pool ends at 10.9.0.7, before it begins at 10.9.0.255."},
        {"{\"tag\":3,\"subnet\":\"10.9.0.0/24\",\"dhcp\":{\"from\":\"fd00::1\",\"to\":\"10.8.255.255\"}}",
         "web: dhcp.from is fd00::1, which is no IPv4 address.",
         "web: dhcp.to is 10.8.255.255, which is outside of its subnet."},
        {"{\"tag\":3,\"dhcp\":{\"from\":\"10.9.0.7\",\"to\":\"10.9.0.9\"}}",
         "web: it has dhcp and no subnet whose addresses could be leased.", "no subnet"},
        {"{\"tag\":3,\"subnet\":\"10.9.0.0/24\",\"dhcp\":{\"from\":\"10.9.0.7\",\"to\":\"10.9.0.9\","
         "\"reservations\":{\"02:00:5E:10:00\":\"10.9.0.50\",\"web-1\":\"10.9.0.1\"}}}",
         "web: dhcp.reservations.02:00:5E:10:00 is neither the name of an instance, web-0, nor a "
         "MAC, 02:00:5e:10:00:01.",
         "web: dhcp.reservations.web-1 is 10.9.0.1, which is the gateway's."},
        {"{\"tag\":3,\"subnet\":\"10.9.0.0/24\",\"dhcp\":{\"from\":\"10.9.0.7\",\"to\":\"10.9.0.9\","
         "\"reservations\":{\"web-1\":\"10.9.0.50\",\"web-2\":\"10.9.0.50\",\"web-3\":\"10.8.0.5\"}}}",
         "web: dhcp.reservations.web-2 is 10.9.0.50, as for web-1.",
         "web: dhcp.reservations.web-3 is 10.8.0.5, which is outside of its subnet."},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        propose_network(cases[i].properties);
        CHECK(diagnostics_has_errors(&web.diagnostics));
        CHECK(tells(cases[i].told) && tells(cases[i].told_too));
    }
    propose_network(
        "{\"tag\":3,\"subnet\":\"10.9.0.0/24\",\"dhcp\":{\"from\":\"10.9.0.2\",\"to\":\"10.9.0.254\","
        "\"reservations\":{\"web-1\":\"10.9.0.50\",\"02:00:5E:10:00:01\":\"10.9.0.51\"}}}");
    CHECK(!tells("dhcp.") && !tells("its pool"));
}

TEST(who_has_a_lease_is_told)
{
    set_up(true);
    web.verb = DESCRIBE;
    ask_it(&web,
           "{\"id\":1,\"ok\":true,\"resources\":[" DESCRIBED(
               "net", "opnsense:network:vlan",
               "\"state\":\"ready\",\"dhcp\":{\"server\":\"10.9.0.2\",\"leases\":[{\"address\":"
               "\"10.9.0.11\",\"mac\":\"02:00:00:00:00:05\",\"hostname\":\"web-0\",\"ends\":"
               "\"2027-01-31T08:00:00Z\"}]}",
               "") "]}");
    CLEANUP(mem_freep) char *text = web.r == 0 ? json_text(web.sections) : string_copy("");
    CHECK_TEXT(text,
               "[{\"lines\":[\"net: \u25cf healthy (dhcp, 1 lease)\",\"net: 10.9.0.11 is leased to "
               "web-0 (02:00:00:00:00:05) until 2027-01-31T08:00:00Z\"],\"settled\":true,"
               "\"title\":\"Health\"}]");
}

TEST(an_other_version_of_the_database_is_a_note)
{
    struct resource_type cluster = {.name = (char[]){"aws:rds:cluster"},
                                    .drivers = drivers,
                                    .n_drivers = ARRAY_LENGTH(drivers)};
    set_up(true);
    CLEANUP(value_unrefp) struct value *old = from_json("{\"version\":\"9\"}");
    web.verb = PROPOSE;
    web.target.type = &cluster;
    web.step = (struct step){.kind = STEP_CREATE, .after = old};
    request_make(&web);
    bool is_note = false;
    for (size_t i = 0; i < web.diagnostics.n_items; i++)
        is_note = is_note || strstr(web.diagnostics.items[i].detail, "asks for PostgreSQL 9");
    bool is_missing = false;
    for (size_t i = 0; i < web.diagnostics.n_items; i++)
        is_missing = is_missing || strstr(web.diagnostics.items[i].detail, "postgresql-15");
    CHECK(web.r == 0 && (is_note || is_missing));
}

/* How many notes a plan that makes dashboards has, with that folder first in PATH. */
static size_t count_dashboard_notes(const char *bin)
{
    struct resource_type pages = {.name = (char[]){"k8s:deployment:grafana"},
                                  .drivers = drivers,
                                  .n_drivers = ARRAY_LENGTH(drivers)};
    CLEANUP(mem_freep) char *before = string_copy(getenv("PATH"));
    CLEANUP(mem_freep) char *path = string_format("%s:%s", bin, before);
    set_up(true);
    setenv("PATH", path, 1);
    web.verb = PROPOSE;
    web.target.type = &pages;
    web.step.kind = STEP_CREATE;
    request_make(&web);
    setenv("PATH", before, 1);
    size_t n_notes = 0;
    for (size_t i = 0; i < web.diagnostics.n_items; i++)
        n_notes += strstr(web.diagnostics.items[i].detail, "Grafana is not installed") != NULL;
    return n_notes;
}

TEST(dashboards_are_called_a_stand_in_only_where_there_is_no_grafana)
{
    char folder[] = "/tmp/twin-driver-XXXXXX";
    CHECK(mkdtemp(folder));
    CLEANUP(mem_freep) char *bin = string_format("%s/bin", folder);
    CLEANUP(mem_freep) char *conf = string_format("%s/conf", folder);
    CLEANUP(mem_freep) char *program = string_format("%s/grafana", bin);
    CLEANUP(mem_freep) char *mark = string_format("%s/defaults.ini", conf);
    size_t n_without = count_dashboard_notes(bin);
    bool is_made = mkdir(bin, 0755) == 0 && mkdir(conf, 0755) == 0 &&
                   world_write_file(program, "", 0, 0755, false, NULL) == 0 &&
                   world_write_file(mark, "", 0, 0644, false, NULL) == 0;
    size_t n_with = count_dashboard_notes(bin);
    unlink(program);
    unlink(mark);
    rmdir(bin);
    rmdir(conf);
    rmdir(folder);
    CHECK(is_made && n_with == 0);
    CHECK(n_without == (access("/usr/share/grafana/conf/defaults.ini", F_OK) < 0));
}

TEST(a_setting_is_refused)
{
    set_up(true);
    struct error err = {0};
    int r = rig_open(&rig, "twin", "{\"region\":\"west\"}", &err);
    bool is_named = err.message && strstr(err.message, "\"region\"");
    error_done(&err);
    CHECK(r == -ERROR_INVALID && is_named);
}

TEST(nothing_is_left)
{
    set_up(false);
    CHECK(coroutine_count() == 0);
}
