/* The twin's driver and a real supervisor: two networks and a rule, starts, stops and deaths. */
#include "contract/twin.h"

#include "base/text.h"
#include "net/child.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

static struct catalog *catalog;
static struct rig rig;
static struct request web, app, rule;
static struct value *web_spec, *app_spec, *rule_spec, *closed_spec, *references;

static void tear_down(void)
{
    if (!catalog)
        return;
    struct value *values[] = {web_spec, app_spec, rule_spec, closed_spec, references};
    request_done(&web);
    request_done(&app);
    request_done(&rule);
    for (size_t i = 0; i < ARRAY_LENGTH(values); i++)
        value_unref(values[i]);
    rig_end_twin(&rig);
    rig_done(&rig);
    catalog_free(catalog);
    catalog = NULL;
}

/* Each test has a home of its own; what the last one left goes first. */
static void set_up(void)
{
    static bool is_registered;
    if (!is_registered)
        atexit(tear_down);
    is_registered = true;
    tear_down();
    struct diagnostics diagnostics = {0};
    CHECK(catalog_open(NULL, &catalog, &diagnostics, NULL) == 0);
    rig_init(&rig, "twin", NULL);
    web_spec = from_json("{\"subnet\":\"10.81.0.0/24\",\"tag\":81}");
    app_spec = from_json("{\"subnet\":\"10.82.0.0/24\",\"tag\":82}");
    rule_spec = from_json("{\"source\":\"web\",\"destination\":\"app\",\"port\":[8080],"
                          "\"action\":\"allow\"}");
    closed_spec = from_json("{\"source\":\"web\",\"destination\":\"app\",\"port\":[9090],"
                            "\"action\":\"allow\"}");
    references =
        from_json("{\"source\":[{\"address\":\"web\",\"uid\":\"web\",\"outputs\":{}}],"
                  "\"destination\":[{\"address\":\"app\",\"uid\":\"app\",\"outputs\":{}}]}");
    web = request_of(&rig, catalog_find(catalog, "opnsense:network:vlan"), "web");
    app = request_of(&rig, catalog_find(catalog, "opnsense:network:vlan"), "app");
    rule = request_of(&rig, catalog_find(catalog, "opnsense:firewall:rule"), "web-to-app");
    rule.target.references = references;
}

static bool is_done(struct request *request, enum step_kind kind, struct value *after)
{
    request_apply(request, kind, after);
    if (request->r < 0)
        printf("# %s\n", error_message(&request->err));
    else if (request->outcome.message)
        printf("# %s\n", request->outcome.message);
    return request->r == 0 && request->outcome.kind == OUTCOME_DONE;
}

static void make_all(void)
{
    CHECK(is_done(&web, STEP_CREATE, web_spec));
    CHECK(is_done(&app, STEP_CREATE, app_spec));
    CHECK(is_done(&rule, STEP_CREATE, rule_spec));
}

/* The supervisor's own word, or its outer process; 0 when none runs. */
struct question {
    const char *verb;
    struct value *answer; /* owned; NULL when nobody answered */
};

static void ask_twin(void *argument)
{
    struct question *question = argument;
    struct twin_home home = {0};
    struct twin_answer answer = {0};
    struct call call = rig.call;
    call.deadline = world_monotonic_clock() + 10000000;
    struct value_builder request = twin_request(question->verb);
    CLEANUP(value_unrefp) struct value *message = value_builder_map(&request);
    if (twin_home_init(&home, rig.home, NULL) == 0 &&
        twin_ask(&home, &call, message, &answer, NULL) == 0)
        question->answer = value_ref(answer.value);
    twin_answer_done(&answer);
    twin_home_done(&home);
}

static int64_t find_supervisor(void)
{
    struct question question = {.verb = "status"};
    loop_spawn(rig.loop, "ask", ask_twin, &question);
    loop_run(rig.loop);
    int64_t pid = value_get_integer(question.answer, "pid", 0);
    value_unref(question.answer);
    return pid;
}

struct execution {
    const char *const *arguments;
    char *output; /* owned */
    int status;
};

static void execute(void *argument)
{
    struct execution *execution = argument;
    /* The leak checker hangs at the end of a process that has moved between namespaces. */
    const char *const environment[] = {"ASAN_OPTIONS=detect_leaks=0", NULL};
    struct child_spec spec = {.arguments = execution->arguments,
                              .environment = environment,
                              .input = -1,
                              .output = -1,
                              .errors = -1};
    struct error err = {0};
    if (child_run(rig.loop, &spec, 1 << 20, world_monotonic_clock() + 10000000, &execution->status,
                  &execution->output, &err) < 0)
        printf("# %s\n", error_message(&err));
    error_done(&err);
}

/* The rules of the router as nft prints them. */
static char *list_rules(void)
{
    CLEANUP(mem_freep) char *program = twin_program();
    CLEANUP(mem_freep) char *socket = string_format("%s/twin/sock", rig.home);
    const char *const arguments[] = {program, "exec", "--socket", socket, "router",
                                     "nft",   "list", "ruleset",  NULL};
    struct execution execution = {.arguments = arguments};
    loop_spawn(rig.loop, "execute", execute, &execution);
    loop_run(rig.loop);
    return execution.output ? execution.output : string_copy("");
}

TEST(two_networks_and_a_rule_stand)
{
    set_up();
    make_all();
    CHECK_TEXT(value_get_text(web.outcome.outputs, "gateway"), "10.81.0.1");
    CHECK_TEXT(value_get_text(app.outcome.outputs, "subnet"), "10.82.0.0/24");
    request_read(&rule);
    CHECK(rule.r == 0 && rule.live.is_present && !rule.live.is_stopped);
    CHECK(value_equal(rule.live.spec, rule_spec));
    CHECK_TEXT(value_get_text(rule.live.status, "state"), "ready");
    CLEANUP(mem_freep) char *rules = list_rules();
    CHECK(strstr(rules, "10.81.0.0/24") && strstr(rules, "10.82.0.0/24"));
    CHECK(strstr(rules, "8080") && !strstr(rules, "9090"));
    CHECK(is_done(&rule, STEP_UPDATE, closed_spec));
    mem_free(rules);
    rules = list_rules();
    CHECK(strstr(rules, "9090") && !strstr(rules, "8080"));
}

TEST(what_is_used_is_not_deleted)
{
    set_up();
    make_all();
    request_apply(&web, STEP_DELETE, NULL);
    CHECK(web.r == 0 && web.outcome.kind == OUTCOME_FAILED);
    CHECK(web.outcome.code == ERROR_CONFLICT);
    request_read(&web);
    CHECK(web.r == 0 && web.live.is_present);
}

TEST(what_cannot_be_is_refused_and_leaves_nothing)
{
    set_up();
    CHECK(is_done(&web, STEP_CREATE, web_spec));
    request_apply(&app, STEP_CREATE, web_spec);
    CHECK(app.r == 0 && app.outcome.kind == OUTCOME_FAILED);
    request_read(&app);
    CHECK(app.r == 0 && !app.live.is_present);
}

TEST(the_supervisor_ends_with_its_last_resource)
{
    set_up();
    make_all();
    CHECK(find_supervisor() > 0);
    CHECK(is_done(&rule, STEP_DELETE, NULL));
    CHECK(is_done(&app, STEP_DELETE, NULL));
    CHECK(is_done(&web, STEP_DELETE, NULL));
    int64_t give_up = world_monotonic_clock() + 5000000;
    while (find_supervisor() > 0 && world_monotonic_clock() < give_up)
        usleep(5000);
    CHECK(find_supervisor() == 0);
    request_read(&web);
    CHECK(web.r == 0 && !web.live.is_present);
}

TEST(what_comes_while_the_supervisor_ends_starts_the_next_one)
{
    set_up();
    for (int i = 0; i < 5; i++) {
        CHECK(is_done(&web, STEP_CREATE, web_spec));
        CHECK(is_done(&web, STEP_DELETE, NULL));
    }
}

static void kill_supervisor(void)
{
    int64_t pid = find_supervisor();
    CHECK(pid > 0);
    CHECK(kill((pid_t)pid, SIGKILL) == 0);
    int64_t give_up = world_monotonic_clock() + 5000000;
    while (find_supervisor() > 0 && world_monotonic_clock() < give_up)
        usleep(5000);
}

TEST(a_killed_twin_is_stopped_and_starts_again)
{
    set_up();
    make_all();
    kill_supervisor();
    request_read(&rule);
    CHECK(rule.r == 0 && rule.live.is_present && rule.live.is_stopped);
    struct request start = request_of(&rig, NULL, "opnsense.default");
    CHECK(is_done(&start, STEP_START, NULL));
    request_probe(&start);
    CHECK(start.r == 0 && start.probe == PROBE_DONE);
    request_done(&start);
    request_read(&rule);
    CHECK(rule.r == 0 && rule.live.is_present && !rule.live.is_stopped);
    CLEANUP(mem_freep) char *rules = list_rules();
    CHECK(strstr(rules, "8080"));
}

TEST(many_steps_at_once_start_one_supervisor)
{
    static struct request requests[12];
    static struct value *specs[12];
    static char names[12][16];
    set_up();
    for (size_t i = 0; i < ARRAY_LENGTH(requests); i++) {
        snprintf(names[i], sizeof(names[i]), "net-%zu", i);
        CLEANUP(mem_freep)
        char *spec = string_format("{\"subnet\":\"10.83.%zu.0/24\",\"tag\":%zu}", i, 100 + i);
        specs[i] = from_json(spec);
        requests[i] = request_of(&rig, web.target.type, names[i]);
        requests[i].verb = APPLY;
        requests[i].step.kind = STEP_CREATE;
        requests[i].after = specs[i];
        request_send(&requests[i]);
    }
    loop_run(rig.loop);
    size_t n_done = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(requests); i++) {
        n_done += requests[i].r == 0 && requests[i].outcome.kind == OUTCOME_DONE;
        request_done(&requests[i]);
        value_unref(specs[i]);
    }
    CHECK(n_done == ARRAY_LENGTH(requests));
}

static void kill_soon(void *argument)
{
    struct question question = {.verb = "status"};
    loop_sleep(rig.loop, *(int64_t *)argument);
    ask_twin(&question);
    int64_t pid = value_get_integer(question.answer, "pid", 0);
    value_unref(question.answer);
    if (pid > 0)
        kill((pid_t)pid, SIGKILL);
}

TEST(a_change_survives_the_death_of_the_supervisor)
{
    for (int64_t delay = 0; delay < 20000; delay += 4000) {
        set_up();
        CHECK(is_done(&web, STEP_CREATE, web_spec));
        loop_spawn(rig.loop, "kill", kill_soon, &delay);
        CHECK(is_done(&app, STEP_CREATE, app_spec));
        request_read(&app);
        CHECK(app.r == 0 && app.live.is_present);
    }
}

TEST(the_identity_that_was_announced_is_the_one_that_it_gets)
{
    set_up();
    struct request who = {.verb = IDENTIFY, .rig = &rig};
    request_make(&who);
    CLEANUP(mem_freep) char *announced = string_copy(who.r == 0 ? who.identity : "");
    bool is_made = is_done(&web, STEP_CREATE, web_spec);
    request_make(&who);
    CLEANUP(mem_freep) char *made = string_copy(who.r == 0 ? who.identity : "?");
    request_done(&who);
    CHECK(is_made);
    CHECK_TEXT(made, announced);
    CHECK(text_starts_with(web.outcome.provider_id, announced + strlen("twin:")));
}

TEST(a_supervisor_that_cannot_start_says_why)
{
    set_up();
    CLEANUP(mem_freep) char *folder = string_format("%s/twin", rig.home);
    CLEANUP(mem_freep) char *manifest = string_format("%s/manifest.json", folder);
    CHECK(world_make_folder(manifest, 0700, NULL) == 0);
    request_apply(&web, STEP_CREATE, web_spec);
    CHECK(web.r < 0 || web.outcome.kind != OUTCOME_DONE);
    CHECK(strstr(error_message(&web.err), "manifest.json"));
}

/* --- What is found out before approval. These leave the process in namespaces of its own. --- */

static bool is_told(const struct request *request, enum diagnostic_severity severity,
                    const char *text)
{
    for (size_t i = 0; i < request->diagnostics.n_items; i++)
        if (strstr(request->diagnostics.items[i].detail, text) &&
            request->diagnostics.items[i].severity == severity)
            return true;
    return false;
}

static bool is_diagnosed(const struct request *request, const char *text)
{
    return is_told(request, DIAGNOSTIC_ERROR, text);
}

static void propose(struct request *request, const char *type, struct value *after)
{
    *request = request_of(&rig, catalog_find(catalog, type), "it");
    request->verb = PROPOSE;
    request->step = (struct step){.kind = STEP_CREATE, .after = after};
    request_make(request);
}

/* Once: from then on all that these tests change is theirs alone. */
static bool enter_namespaces(void)
{
    static bool is_inside;
    is_inside = is_inside || (unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
                              mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    return is_inside;
}

/* Puts an empty folder over each of those where programs are. */
static bool hide_programs(void)
{
    static const char *const folders[] = {"/usr/bin",           "/usr/sbin", "/usr/local/bin",
                                          "/usr/local/sbin",    "/bin",      "/sbin",
                                          "/usr/lib/postgresql"};
    if (!enter_namespaces())
        return false;
    CLEANUP(mem_freep) char *empty = string_format("%s/empty", rig.home);
    if (world_make_folder(empty, 0755, NULL) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(folders); i++) {
        CLEANUP(mem_freep) char *real = NULL;
        bool is_itself = world_file_exists(folders[i]) &&
                         world_real_path(folders[i], &real, NULL) == 0 &&
                         text_equal(real, folders[i]);
        if (is_itself && mount(empty, folders[i], NULL, MS_BIND, NULL) < 0)
            return false;
    }
    return setenv("PATH", "/nonesuch", 1) == 0;
}

TEST(limits_are_kept_for_root_only_and_the_plan_says_so)
{
    CLEANUP(value_unrefp)
    struct value *spec =
        from_json("{\"services\": {\"web\": {\"image\": \"web\", \"limits\": {\"cpus\": 0.5}},"
                  " \"app\": {\"image\": \"app\"}}}");
    set_up();
    struct request request;
    propose(&request, "docker:compose:stack", spec);
    CHECK(is_told(&request, DIAGNOSTIC_NOTE, "the limits of web are not kept") == (geteuid() != 0));
    CHECK(!is_told(&request, DIAGNOSTIC_NOTE, "the limits of app"));
    CHECK(request.diagnostics.n_errors == 0);
    request_done(&request);
}

TEST(a_health_check_that_cannot_be_run_here_is_a_note)
{
    CLEANUP(value_unrefp)
    struct value *spec = from_json(
        "{\"services\": {"
        "\"a\": {\"image\": \"a\", \"healthcheck\": {\"test\": [\"CMD\", \"nonesuch\", \"-x\"]}},"
        "\"b\": {\"image\": \"b\", \"healthcheck\": {\"test\": [\" nonesuch-too || exit 1\"]}},"
        "\"c\": {\"image\": \"c\", \"healthcheck\": {\"test\": [\"CMD\", \"sh\"]}},"
        "\"d\": {\"image\": \"d\", \"healthcheck\": {\"test\": [\"test -e /x\"]}},"
        "\"e\": {\"image\": \"e\", \"healthcheck\": {\"test\": [\"NONE\"]}}}}");
    set_up();
    struct request request;
    propose(&request, "docker:compose:stack", spec);
    CHECK(is_told(&request, DIAGNOSTIC_NOTE,
                  "the health of a is checked only if its image was built here"));
    CHECK(is_told(&request, DIAGNOSTIC_NOTE, "no program nonesuch-too"));
    CHECK(!is_told(&request, DIAGNOSTIC_NOTE, "the health of c"));
    CHECK(!is_told(&request, DIAGNOSTIC_NOTE, "the health of d"));
    CHECK(!is_told(&request, DIAGNOSTIC_NOTE, "the health of e"));
    CHECK(request.diagnostics.n_errors == 0);
    request_done(&request);
}

TEST(health_checks_and_needs_that_are_none_are_refused_all_at_once)
{
    CLEANUP(value_unrefp)
    struct value *spec =
        from_json("{\"services\": {"
                  "\"a\": {\"image\": \"a\", \"healthcheck\": {\"test\": [\"CMD\"]}},"
                  "\"b\": {\"image\": \"b\", \"depends_on\": {\"other\": {}}},"
                  "\"c\": {\"image\": \"c\", \"depends_on\": {\"d\": {}}},"
                  "\"d\": {\"image\": \"d\", \"depends_on\": {\"c\": {}, \"a\": {}}}}}");
    set_up();
    struct request request;
    propose(&request, "docker:compose:stack", spec);
    CHECK(is_diagnosed(&request, "no test for the health check of a"));
    CHECK(is_diagnosed(&request, "there is no service other"));
    CHECK(is_diagnosed(&request, "waits for itself: the start of c"));
    CHECK(is_diagnosed(&request, "waits for itself: the start of d"));
    CHECK(request.diagnostics.n_errors == 4);
    request_done(&request);
}

TEST(volumes_that_cannot_be_are_refused_and_those_that_go_are_told)
{
    CLEANUP(value_unrefp)
    struct value *spec = from_json(
        "{\"volumes\": {\"data\": {}}, \"services\": {"
        "\"a\": {\"image\": \"a\", \"volumes\": [\"data:/x\", \"./html:/y:ro\", \"data\"]},"
        "\"b\": {\"image\": \"b\", \"volumes\": [\"other:/x\", \"/p/conf:/c:ro\", \"/p/conf:/d\", "
        "\"/etc:/e:ro\"]}}, \"files\": {\"/p/conf\": \"0123456789abcdef\"}}");
    set_up();
    struct request request;
    propose(&request, "docker:compose:stack", spec);
    CHECK(is_diagnosed(&request, "no other folders of the machine"));
    CHECK(is_diagnosed(&request, "\"data\" is none of the volumes of a"));
    CHECK(is_diagnosed(&request, "no volume \"other\""));
    CHECK(is_told(&request, DIAGNOSTIC_NOTE,
                  "b finds a copy of /p/conf as it is now (0123456789ab...) at /c, read-only"));
    CHECK(is_diagnosed(&request, "is shown read-only, hence not \"/p/conf:/d\""));
    CHECK(is_diagnosed(&request, "nothing of the document is at /etc"));
    CHECK(request.diagnostics.n_errors == 5);
    request_done(&request);
    request = request_of(&rig, catalog_find(catalog, "docker:compose:stack"), "it");
    request.verb = PROPOSE;
    request.step = (struct step){.kind = STEP_DELETE, .before = spec};
    request_make(&request);
    CHECK(is_told(&request, DIAGNOSTIC_NOTE, "its volumes (data) go with it"));
    request_done(&request);
}

TEST(rules_of_icmp_have_types_and_no_ports)
{
    static const struct {
        const char *spec;
        const char *said; /* NULL: nothing */
    } cases[] = {
        {"{\"icmpType\": [\"echo-request\"]}",
         "icmpType is for the protocol icmp, and this rule is "
         "about tcp"},
        {"{\"protocol\": \"any\", \"icmpType\": [\"echo-request\"]}", "this rule is about any"},
        {"{\"protocol\": \"icmp\", \"port\": [80]}", "ICMP has no ports"},
        {"{\"protocol\": \"icmp\", \"icmpType\": [\"echo-request\"]}", NULL},
    };
    set_up();
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct request request;
        CLEANUP(value_unrefp) struct value *spec = from_json(cases[i].spec);
        propose(&request, "opnsense:firewall:rule", spec);
        CHECK(request.diagnostics.n_errors == (cases[i].said ? 1 : 0));
        CHECK(!cases[i].said || is_diagnosed(&request, cases[i].said));
        request_done(&request);
    }
}

/* A list of a property whose kind is a set, as the reading of a document leaves it. */
static void make_set(struct value **spec, const char *key)
{
    const struct value *list = value_get(*spec, key);
    struct value *items[2];
    if (value_is_null(list))
        return;
    CHECK(value_count(list) <= ARRAY_LENGTH(items));
    for (size_t i = 0; i < value_count(list); i++)
        items[i] = value_ref(value_at(list, i));
    struct value *with = value_with(*spec, key, value_set(items, value_count(list)));
    value_unref(*spec);
    *spec = with;
}

TEST(what_the_router_cannot_do_is_refused_before_approval)
{
    static const struct {
        const char *type, *spec;
        const char *said; /* NULL: nothing */
    } cases[] = {
        {"opnsense:network:vlan", "{\"tag\": 5, \"subnet\": \"fd00::/64\"}", "fd00::/64 is of it"},
        {"opnsense:firewall:rule", "{\"source\": \"fd00::/64\"}", "fd00::/64 is of it"},
        {"opnsense:nat:portforward", "{\"target\": \"fd00::7\"}", "fd00::7 is of it"},
        {"opnsense:nat:outbound", "{\"source\": \"10.0.0.0/8\"}", NULL},
        {"opnsense:firewall:alias", "{\"content\": [\"10.1.0.0/16\", \"::1/128\"]}",
         "::1/128 is of it"},
        {"opnsense:firewall:alias", "{\"content\": [\"0.0.0.0/0\"]}", "is every address"},
        {"opnsense:firewall:alias", "{\"content\": [\"10.1.0.0/16\", \"other\"]}", NULL},
        {"opnsense:firewall:alias",
         "{\"kind\": \"geoip\", \"database\": \"/dev/null\", \"countries\": [\"DE\", \"fr\"]}",
         "\"fr\" is no country"},
        {"opnsense:firewall:alias",
         "{\"kind\": \"geoip\", \"database\": \"/dev/null\", \"countries\": [\"DE\"]}", NULL},
        {"opnsense:firewall:alias", "{\"kind\": \"geoip\", \"database\": \"list\"}",
         "list is not an absolute path"},
        {"opnsense:firewall:schedule", "{\"windows\": [{\"from\": \"18:00\", \"to\": \"08:00\"}]}",
         "ends before it begins"},
        {"opnsense:firewall:schedule",
         "{\"windows\": [{\"from\": \"18:00\"}, {\"to\": \"08:00\"}]}", NULL},
    };
    set_up();
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct request request;
        CLEANUP(value_unrefp) struct value *spec = from_json(cases[i].spec);
        make_set(&spec, "content");
        make_set(&spec, "countries");
        propose(&request, cases[i].type, spec);
        CHECK(request.diagnostics.n_errors == (cases[i].said ? 1 : 0));
        CHECK(!cases[i].said || is_diagnosed(&request, cases[i].said));
        request_done(&request);
    }
}

TEST(a_monitor_that_evaluates_no_alerts_says_so)
{
    static const struct {
        const char *spec;
        bool is_told;
    } cases[] = {
        {"{\"retention\": \"1d\"}", true},
        {"{\"rules\": []}", true},
        {"{\"rules\": [\"bells\"]}", false},
    };
    set_up();
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct request request;
        CLEANUP(value_unrefp) struct value *spec = from_json(cases[i].spec);
        propose(&request, "k8s:deployment:prometheus", spec);
        CHECK(is_told(&request, DIAGNOSTIC_NOTE, "it evaluates no alerts") == cases[i].is_told);
        request_done(&request);
    }
}

TEST(who_looks_at_all_types_hears_of_countries_and_limits)
{
    static const struct {
        const char *type, *said;
    } cases[] = {
        {"opnsense:firewall:alias", "lists of countries have to name their own file"},
        {"docker:compose:stack", "the limits of services are not kept"},
    };
    CLEANUP(value_unrefp) struct value *nothing = from_json("{}");
    bool is_told_of[] = {access("/usr/share/tor/geoip", F_OK) != 0, geteuid() != 0};
    set_up();
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct request request = request_of(&rig, catalog_find(catalog, cases[i].type), "it");
        request.target.uid = "";
        request.verb = PROPOSE;
        request.step = (struct step){.kind = STEP_CREATE, .after = nothing};
        request_make(&request);
        CHECK(is_told(&request, DIAGNOSTIC_NOTE, cases[i].said) == is_told_of[i]);
        CHECK(request.diagnostics.n_errors == 0);
        request_done(&request);
    }
}

TEST(missing_programs_are_named_with_their_packages)
{
    static const struct {
        const char *type;
        const char *package;
    } cases[] = {
        {"opnsense:haproxy:frontend", "Debian package haproxy"},
        {"aws:rds:cluster", "Debian package postgresql-15"},
        {"k8s:deployment:prometheus", "Debian package prometheus"},
        {"k8s:deployment:prometheus", "Debian package prometheus-alertmanager"},
    };
    set_up();
    if (!hide_programs())
        SKIP("this machine gives no user namespace in which programs can be hidden");
    size_t n_named = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct request request;
        propose(&request, cases[i].type, web_spec);
        n_named += request.r == 0 && is_diagnosed(&request, cases[i].package);
        request_done(&request);
    }
    CHECK(n_named == ARRAY_LENGTH(cases));
}

TEST(a_machine_without_user_namespaces_is_told_once_with_the_setting)
{
    set_up();
    int fd =
        enter_namespaces() ? open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC) : -1;
    bool is_forbidden = fd >= 0 && write(fd, "0", 1) == 1;
    close_descriptor(fd);
    if (!is_forbidden)
        SKIP("this machine gives no user namespace in which others can be forbidden");
    struct request request;
    propose(&request, "opnsense:network:vlan", web_spec);
    bool is_named = is_diagnosed(&request, "max_user_namespaces is 0");
    bool has_help = request.diagnostics.n_items == 1 && request.diagnostics.items[0].help &&
                    strstr(request.diagnostics.items[0].help, "user.max_user_namespaces=10000");
    request_done(&request);
    CHECK(is_named && has_help);
}
