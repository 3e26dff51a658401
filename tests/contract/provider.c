/*
 * What every driver promises (provider.h). The environment variable PARLEY_TEST_SUBJECT says which
 * one is held to it; the table below has what it needs to be asked.
 */
#include "contract/twin.h"

#include "base/text.h"

/* A driver, and two specs of a resource that it serves; @ stands for the resource's number. */
struct subject {
    const char *name; /* NULL: that of the driver */
    const char *driver;
    const char *config; /* JSON; NULL: none */
    const char *type;
    const char *repeat; /* of the fake: how its type repeats a create; NULL: by key */
    const char *kept;   /* the spec as the system writes it; NULL: as it was asked for */
    const char *other_kept;
    const char *spec;
    const char *other_spec;
    bool is_staged;   /* its changes wait for a commit */
    bool is_keyless;  /* what became of a create without an answer is unknowable */
    bool is_internal; /* it has no outside that could be asked */
};

/* One of the fake's characters. */
#define FAKE(subject_name)                                              \
    .name = (subject_name), .driver = "fake", .type = "acme:thing:box", \
    .spec = "{\"colour\":\"red\",\"size\":3}", .other_spec = "{\"colour\":\"blue\",\"size\":3}"

static const struct subject subjects[] = {
    {
        .driver = "core",
        .type = "core:data:value",
        .spec = "{\"value\":[1,2]}",
        .other_spec = "{\"value\":{\"a\":null}}",
        .is_internal = true,
    },
    {
        .driver = "fake",
        .type = "acme:thing:box",
        .spec = "{\"colour\":\"red\",\"size\":3}",
        .other_spec = "{\"colour\":\"blue\",\"size\":3}",
    },
    {FAKE("fake-slow"), .config = "{\"asynchronous\":true,\"latency\":\"20ms\"}"},
    {FAKE("fake-staged"), .config = "{\"staged\":true}", .is_staged = true},
    {FAKE("fake-token"), .repeat = "token"},
    {FAKE("fake-tag"), .repeat = "tag"},
    {FAKE("fake-natural"), .repeat = "natural"},
    {FAKE("fake-keyless"), .repeat = "none", .is_keyless = true},
    {FAKE("fake-settling"), .config = "{\"settling\":\"300ms\"}"},
    {FAKE("fake-settling-tag"), .config = "{\"settling\":\"300ms\"}", .repeat = "tag"},
    {FAKE("fake-throttling"),
     .config = "{\"fail\":{\"how\":\"throttle\",\"retryAfter\":\"10ms\",\"count\":3}}"},
    {
        .name = "fake-normalising",
        .driver = "fake",
        .config = "{\"normalises\":true}",
        .type = "acme:thing:box",
        .spec = "{\"colour\":\" Red\",\"size\":3}",
        .other_spec = "{\"colour\":\"BLUE\",\"size\":3}",
        .kept = "{\"colour\":\"red\",\"size\":3}",
        .other_kept = "{\"colour\":\"blue\",\"size\":3}",
    },
    {
        .driver = "twin",
        .type = "opnsense:network:vlan",
        .spec = "{\"subnet\":\"10.77.@.0/24\",\"tag\":1@}",
        .other_spec = "{\"subnet\":\"10.77.@.0/24\",\"tag\":2@}",
    },
};

static struct type_output box_outputs[] = {
    {.name = (char[]){"id"}, .type = (char[]){"string"}},
    {.name = (char[]){"size"}, .type = (char[]){"integer"}, .from = (char[]){"size"}},
};

/* The one that is held to it. */
static const struct subject *the_subject(void)
{
    const char *driver = getenv("PARLEY_TEST_SUBJECT");
    for (size_t i = 0; i < ARRAY_LENGTH(subjects); i++)
        if (text_equal(subjects[i].name ? subjects[i].name : subjects[i].driver,
                       driver ? driver : "fake"))
            return &subjects[i];
    printf("Bail out! there is no driver \"%s\" to test\n", driver);
    exit(1);
}

#define TEST_OUTSIDE(test_name) TEST_IF(!the_subject()->is_internal, test_name)
#define TEST_KEYED(test_name) \
    TEST_IF(!the_subject()->is_internal && !the_subject()->is_keyless, test_name)
#define TEST_KEYLESS(test_name) TEST_IF(the_subject()->is_keyless, test_name)
#define TEST_STAGED(test_name) TEST_IF(the_subject()->is_staged, test_name)
#define TEST_LISTED(test_name) \
    TEST_IF(provider_find_driver(the_subject()->driver)->list != NULL, test_name)
#define TEST_INTERNAL(test_name) TEST_IF(the_subject()->is_internal, test_name)

static const struct subject *subject;
static struct resource_type box_type = {.name = (char[]){"acme:thing:box"},
                                        .outputs = box_outputs,
                                        .n_outputs = ARRAY_LENGTH(box_outputs)};
static struct catalog *catalog;
static const struct resource_type *type;
static struct rig rig;
static struct request box;
static struct value *spec;
static struct value *other_spec;
static char provider_id[100]; /* as a record would keep it */

static struct value *make_spec(const char *form, size_t number)
{
    struct strbuf text = {0};
    for (const char *c = form; *c; c++) {
        if (*c == '@')
            strbuf_addf(&text, "%zu", number);
        else
            strbuf_add_char(&text, *c);
    }
    struct value *made = from_json(strbuf_text(&text));
    strbuf_done(&text);
    return made;
}

static void tear_down(void)
{
    if (!spec)
        return;
    request_done(&box);
    value_unref(spec);
    value_unref(other_spec);
    rig_end_twin(&rig);
    rig_done(&rig);
    catalog_free(catalog);
    spec = NULL;
}

/* Each test starts with a home in which nothing was ever made; what the last one left goes. */
static void set_up(void)
{
    static bool is_registered;
    if (!is_registered) {
        is_registered = true;
        subject = the_subject();
        atexit(tear_down);
    }
    tear_down();
    struct diagnostics diagnostics = {0};
    CHECK(catalog_open(NULL, &catalog, &diagnostics, NULL) == 0);
    type = catalog_find(catalog, subject->type);
    box_type.repeat = (char *)subject->repeat;
    box_type.token_us = INT64_C(3600) * 1000000;
    type = type ? type : &box_type;
    rig_init(&rig, subject->driver, subject->config);
    CHECK(rig.provider);
    CHECK(provider_is_internal(rig.provider) == subject->is_internal);
    spec = make_spec(subject->spec, 1);
    other_spec = make_spec(subject->other_spec, 1);
    box = request_of(&rig, type, "one");
    box.began_at = world_wall_clock();
    box.sent_by = world_monotonic_clock();
    box.target.token = subject->repeat && text_equal(subject->repeat, "token") ? "t-1" : NULL;
}

/* Activates what is staged, as a run does. */
static void check_commit(void)
{
    struct request commit = {.verb = COMMIT, .rig = &rig, .target = {.uid = box.target.uid}};
    request_make(&commit);
    bool is_done = commit.r == 0 && commit.outcome.kind == OUTCOME_DONE;
    if (commit.outcome.message)
        printf("# %s\n", commit.outcome.message);
    request_done(&commit);
    CHECK(is_done);
}

/* What a record knows of the resource from now on. */
static void note_change(enum step_kind kind)
{
    box.target.changed_at = world_wall_clock();
    if (box.outcome.provider_id) {
        snprintf(provider_id, sizeof(provider_id), "%s", box.outcome.provider_id);
        box.target.provider_id = provider_id;
    }
    if (kind == STEP_DELETE) {
        box.target.provider_id = NULL;
        box.target.changed_at = 0;
    }
}

/* Forgets what a record knows, as a run that died before it was written. */
static void lose_record(void)
{
    box.target.provider_id = NULL;
    box.target.changed_at = 0;
}

static void check_done(enum step_kind kind, struct value *after)
{
    box.began_at = world_wall_clock();
    request_apply(&box, kind, after);
    box.sent_by = world_monotonic_clock();
    if (box.r < 0)
        printf("# %s\n", error_message(&box.err));
    CHECK(box.r == 0);
    if (box.outcome.message)
        printf("# %s\n", box.outcome.message);
    CHECK(box.outcome.kind == (subject->is_staged ? OUTCOME_STAGED : OUTCOME_DONE));
    if (subject->is_staged)
        check_commit();
    note_change(kind);
}

static void check_live(struct value *asked)
{
    const char *kept = asked == spec ? subject->kept : subject->other_kept;
    CLEANUP(value_unrefp)
    struct value *want = !asked ? NULL : kept ? make_spec(kept, 1) : value_ref(asked);
    request_read(&box);
    CHECK(box.r == 0);
    CHECK(box.live.is_present == (want != NULL));
    if (!want)
        return;
    CLEANUP(mem_freep) char *got_text = json_text(box.live.spec);
    CLEANUP(mem_freep) char *want_text = json_text(want);
    CHECK_TEXT(got_text, want_text);
}

TEST_OUTSIDE(what_never_was_is_absent)
{
    set_up();
    if (subject->is_keyless) {
        request_read(&box);
        CHECK(box.r == -ERROR_UNAVAILABLE);
        return;
    }
    check_live(NULL);
    CHECK(!box.live.spec && !box.live.outputs);
}

TEST(a_resource_is_created_changed_and_deleted)
{
    set_up();
    check_done(STEP_CREATE, spec);
    CHECK(box.outcome.outputs);
    check_done(STEP_UPDATE, other_spec);
    CHECK(box.outcome.outputs);
    check_done(STEP_DELETE, NULL);
    CHECK(!box.outcome.outputs);
}

TEST_OUTSIDE(what_was_done_is_read_back)
{
    set_up();
    check_done(STEP_CREATE, spec);
    check_live(spec);
    check_done(STEP_UPDATE, other_spec);
    check_live(other_spec);
    const char *id = box.target.provider_id;
    check_done(STEP_DELETE, NULL);
    box.target.provider_id = id;
    check_live(NULL);
}

/* What apply says of it is what is read: else the record would take its own way for a drift. */
TEST_OUTSIDE(what_the_system_keeps_in_its_own_way_is_told_by_apply)
{
    set_up();
    check_done(STEP_CREATE, spec);
    CLEANUP(mem_freep) char *told = json_text(box.outcome.live ? box.outcome.live : spec);
    check_live(spec);
    CLEANUP(mem_freep) char *read = json_text(box.live.spec);
    CHECK_TEXT(told, read);
}

TEST_OUTSIDE(outputs_that_are_read_are_those_that_apply_gave)
{
    set_up();
    check_done(STEP_CREATE, spec);
    CLEANUP(mem_freep) char *given = json_text(box.outcome.outputs);
    check_live(spec);
    CLEANUP(mem_freep) char *read = json_text(box.live.outputs);
    CHECK_TEXT(read, given);
}

/* Waits until what was made can be seen. */
static void check_live_if_outside(void)
{
    if (!subject->is_internal)
        check_live(spec);
}

TEST_IF(!the_subject()->is_keyless, a_create_repeated_with_the_same_uid_makes_one_thing)
{
    set_up();
    check_done(STEP_CREATE, spec);
    CLEANUP(mem_freep)
    char *first_id = string_copy(box.outcome.provider_id ? box.outcome.provider_id : "none");
    CLEANUP(value_unrefp) struct value *first_outputs = value_ref(box.outcome.outputs);
    /* By what is found by nothing but a tag, nobody may be asked before it can be seen. */
    check_live_if_outside();
    lose_record();
    check_done(STEP_CREATE, spec);
    CHECK_TEXT(box.outcome.provider_id ? box.outcome.provider_id : "none", first_id);
    CHECK(value_equal(box.outcome.outputs, first_outputs));
    check_done(STEP_DELETE, NULL);
    if (!provider_is_internal(rig.provider))
        check_live(NULL);
}

TEST(a_delete_of_what_is_absent_is_done)
{
    set_up();
    /* Elsewhere an id tells on whom the resource was made: on a stranger nothing is deleted. */
    if (text_equal(subject->driver, "fake"))
        box.target.provider_id = "fake-nothing";
    request_apply(&box, STEP_DELETE, NULL);
    CHECK(box.r == 0 && box.outcome.kind == OUTCOME_DONE);
}

TEST_OUTSIDE(a_second_instance_sees_what_the_first_one_did)
{
    set_up();
    check_done(STEP_CREATE, spec);
    CHECK(rig_open(&rig, subject->driver, subject->config, NULL) == 0);
    check_live(spec);
    const char *id = box.target.provider_id;
    check_done(STEP_DELETE, NULL);
    box.target.provider_id = id;
    CHECK(rig_open(&rig, subject->driver, subject->config, NULL) == 0);
    check_live(NULL);
}

TEST_OUTSIDE(the_identity_stays_the_same_while_resources_come_and_go)
{
    set_up();
    struct request who = {.verb = IDENTIFY, .rig = &rig};
    request_make(&who);
    CHECK(who.r == 0);
    CLEANUP(mem_freep) char *before = string_copy(who.identity);
    check_done(STEP_CREATE, spec);
    request_make(&who);
    CLEANUP(mem_freep) char *between = string_copy(who.r == 0 ? who.identity : "");
    check_done(STEP_DELETE, NULL);
    CHECK(rig_open(&rig, subject->driver, subject->config, NULL) == 0);
    request_make(&who);
    CLEANUP(mem_freep) char *after = string_copy(who.r == 0 ? who.identity : "");
    request_done(&who);
    CHECK_TEXT(between, before);
    CHECK_TEXT(after, before);
}

static void check_probe(enum step_kind kind, struct value *before, struct value *after,
                        enum probe_kind want)
{
    box.step = (struct step){.kind = kind, .before = before, .after = after};
    box.after = after;
    int64_t give_up = world_monotonic_clock() + 20000000;
    do
        request_probe(&box);
    while (box.r == 0 && box.probe == PROBE_PENDING && world_monotonic_clock() < give_up &&
           usleep(10000) == 0);
    CHECK(box.r == 0);
    CHECK_TEXT(probe_kind_to_string(box.probe), probe_kind_to_string(want));
    CHECK((box.outcome.outputs != NULL) == ((want == PROBE_DONE || want == PROBE_STAGED) && after));
}

TEST_KEYED(a_probe_tells_a_create_that_was_done_from_one_that_was_not)
{
    set_up();
    check_probe(STEP_CREATE, NULL, spec, PROBE_NOT_DONE);
    check_done(STEP_CREATE, spec);
    lose_record();
    check_probe(STEP_CREATE, NULL, spec, PROBE_DONE);
}

TEST_KEYLESS(without_a_key_nobody_can_tell_what_became_of_a_create)
{
    set_up();
    check_probe(STEP_CREATE, NULL, spec, PROBE_UNKNOWABLE);
    check_done(STEP_CREATE, spec);
    lose_record();
    check_probe(STEP_CREATE, NULL, spec, PROBE_UNKNOWABLE);
}

TEST_KEYLESS(without_a_key_a_repeated_create_makes_another_thing)
{
    set_up();
    check_done(STEP_CREATE, spec);
    CLEANUP(mem_freep) char *first_id = string_copy(box.outcome.provider_id);
    lose_record();
    check_done(STEP_CREATE, spec);
    CHECK(!text_equal(box.outcome.provider_id, first_id));
}

TEST_OUTSIDE(a_probe_tells_an_update_that_was_done_from_one_that_was_not)
{
    set_up();
    check_done(STEP_CREATE, spec);
    check_probe(STEP_UPDATE, spec, other_spec, PROBE_NOT_DONE);
    check_done(STEP_UPDATE, other_spec);
    check_probe(STEP_UPDATE, spec, other_spec, PROBE_DONE);
}

TEST_OUTSIDE(a_probe_tells_a_delete_that_was_done_from_one_that_was_not)
{
    set_up();
    check_done(STEP_CREATE, spec);
    check_probe(STEP_DELETE, spec, NULL, PROBE_NOT_DONE);
    const char *id = box.target.provider_id;
    check_done(STEP_DELETE, NULL);
    box.target.provider_id = id;
    check_probe(STEP_DELETE, spec, NULL, PROBE_DONE);
}

TEST_STAGED(what_is_staged_is_read_as_if_it_were_there_and_a_probe_says_so)
{
    set_up();
    request_apply(&box, STEP_CREATE, spec);
    CHECK(box.r == 0 && box.outcome.kind == OUTCOME_STAGED && box.outcome.outputs);
    check_live(spec);
    check_probe(STEP_CREATE, NULL, spec, PROBE_STAGED);
    check_commit();
    check_probe(STEP_CREATE, NULL, spec, PROBE_DONE);
    request_apply(&box, STEP_DELETE, NULL);
    CHECK(box.r == 0 && box.outcome.kind == OUTCOME_STAGED);
    check_live(NULL);
    check_probe(STEP_DELETE, spec, NULL, PROBE_STAGED);
    check_commit();
    check_probe(STEP_DELETE, spec, NULL, PROBE_DONE);
}

TEST_STAGED(one_commit_activates_all_that_is_staged_and_may_be_repeated)
{
    set_up();
    struct request other = request_of(&rig, type, "two");
    request_apply(&other, STEP_CREATE, other_spec);
    bool is_staged = other.r == 0 && other.outcome.kind == OUTCOME_STAGED;
    request_apply(&box, STEP_CREATE, spec);
    is_staged = is_staged && box.r == 0 && box.outcome.kind == OUTCOME_STAGED;
    /* Of two resources only one is ours here: the other is shown, and approved, as foreign. */
    struct request commit = {.verb = COMMIT, .rig = &rig, .target = {.uid = box.target.uid}};
    struct request pending = {.verb = PENDING, .rig = &rig, .target = {.uid = box.target.uid}};
    request_make(&pending);
    bool is_shown = pending.r == 0 && value_count(pending.foreign) == 1;
    request_make(&commit);
    bool is_refused = commit.r == 0 && commit.outcome.kind == OUTCOME_FAILED &&
                      commit.outcome.code == ERROR_CONFLICT;
    commit.approved = pending.foreign;
    request_make(&commit);
    bool is_done = commit.r == 0 && commit.outcome.kind == OUTCOME_DONE;
    request_make(&commit);
    bool is_repeated = commit.r == 0 && commit.outcome.kind == OUTCOME_DONE;
    request_done(&commit);
    request_done(&pending);
    other.after = other_spec;
    request_probe(&other);
    bool is_active = other.r == 0 && other.probe == PROBE_DONE;
    request_done(&other);
    CHECK(is_staged && is_shown && is_refused && is_done && is_repeated && is_active);
    check_probe(STEP_CREATE, NULL, spec, PROBE_DONE);
}

TEST_OUTSIDE(a_probe_changes_nothing)
{
    set_up();
    if (!subject->is_keyless) {
        check_probe(STEP_CREATE, NULL, spec, PROBE_NOT_DONE);
        check_live(NULL);
    }
    check_done(STEP_CREATE, spec);
    check_probe(STEP_UPDATE, spec, other_spec, PROBE_NOT_DONE);
    check_probe(STEP_DELETE, spec, NULL, PROBE_NOT_DONE);
    check_live(spec);
}

TEST(a_call_without_time_left_does_not_begin)
{
    set_up();
    rig.patience_us = 0;
    request_apply(&box, STEP_CREATE, spec);
    CHECK(box.r == -ERROR_TIMEOUT);
    if (provider_is_internal(rig.provider))
        return;
    rig.patience_us = -1;
    if (!subject->is_keyless)
        check_live(NULL);
}

TEST(a_call_that_is_cancelled_already_does_not_begin)
{
    set_up();
    rig.is_cancelled = true;
    request_apply(&box, STEP_CREATE, spec);
    CHECK(box.r == -ERROR_CANCELLED);
    rig.is_cancelled = false;
    if (!provider_is_internal(rig.provider) && !subject->is_keyless)
        check_live(NULL);
}

TEST_INTERNAL(an_internal_driver_never_waits)
{
    set_up();
    box.verb = APPLY;
    box.step.kind = STEP_CREATE;
    box.after = spec;
    request_run(&box);
    CHECK(box.has_ended && box.r == 0);
}

TEST_OUTSIDE(many_resources_are_made_and_read_at_the_same_time)
{
    enum { N = 40 };
    set_up();
    static struct request requests[N];
    static char names[N][16];
    static struct value *specs[N];
    for (size_t i = 0; i < N; i++) {
        snprintf(names[i], sizeof(names[i]), "box-%zu", i);
        requests[i] = request_of(&rig, type, names[i]);
        requests[i].verb = APPLY;
        requests[i].step.kind = STEP_CREATE;
        specs[i] = make_spec(i % 2 ? subject->spec : subject->other_spec, i + 1);
        requests[i].after = specs[i];
        if (box.target.token)
            requests[i].target.token = names[i];
        request_send(&requests[i]);
    }
    loop_run(rig.loop);
    size_t n_as_asked = 0;
    for (size_t i = 0; i < N; i++) {
        bool is_done = requests[i].r == 0 && (requests[i].outcome.kind == OUTCOME_DONE ||
                                              requests[i].outcome.kind == OUTCOME_STAGED);
        CLEANUP(mem_freep)
        char *id = is_done && requests[i].outcome.provider_id
                       ? string_copy(requests[i].outcome.provider_id)
                       : NULL;
        requests[i].target.provider_id = id;
        requests[i].target.changed_at = world_wall_clock();
        request_read(&requests[i]);
        const char *kept = i % 2 ? subject->kept : subject->other_kept;
        CLEANUP(value_unrefp)
        struct value *want = kept ? make_spec(kept, i + 1) : value_ref(specs[i]);
        n_as_asked +=
            is_done && requests[i].live.is_present && value_equal(requests[i].live.spec, want);
        request_done(&requests[i]);
        value_unref(specs[i]);
    }
    CHECK(n_as_asked == N);
}

/* --- Dry runs --- */

#define TEST_PROPOSING(test_name) \
    TEST_IF(provider_find_driver(the_subject()->driver)->propose != NULL, test_name)

static void check_proposal(enum step_kind kind, struct value *before, struct value *after)
{
    box.verb = PROPOSE;
    box.step = (struct step){.kind = kind, .before = before, .after = after};
    request_make(&box);
    CHECK(box.r == 0);
}

TEST_PROPOSING(what_is_proposed_is_what_is_there_afterwards)
{
    set_up();
    check_proposal(STEP_CREATE, NULL, spec);
    CHECK(!diagnostics_has_errors(&box.diagnostics));
    CLEANUP(mem_freep) char *created = json_text(box.proposed ? box.proposed : spec);
    check_done(STEP_CREATE, spec);
    check_live(spec);
    CLEANUP(mem_freep) char *there = json_text(box.live.spec);
    CHECK_TEXT(there, created);
    check_proposal(STEP_UPDATE, spec, other_spec);
    CLEANUP(mem_freep) char *updated = json_text(box.proposed ? box.proposed : other_spec);
    check_live(spec);
    check_done(STEP_UPDATE, other_spec);
    check_live(other_spec);
    CLEANUP(mem_freep) char *changed = json_text(box.live.spec);
    CHECK_TEXT(changed, updated);
}

TEST_PROPOSING(a_proposal_changes_nothing_and_says_nothing_of_what_is_unknown)
{
    set_up();
    CLEANUP(value_unrefp)
    struct value *after = value_with(spec, "later", value_unknown("string", "${a.outputs.id}"));
    check_proposal(STEP_CREATE, NULL, after);
    const struct value *later = box.proposed ? value_get(box.proposed, "later") : NULL;
    CHECK(!later || value_kind(later) == VALUE_UNKNOWN);
    if (!subject->is_keyless)
        check_live(NULL);
}

/* --- Lists --- */

enum { N_LISTED = 7 };

/* Makes resources, and activates them where that is needed; their ids are owned by the caller. */
static bool make_listed(char *ids[N_LISTED])
{
    static char names[N_LISTED][16];
    bool is_made = true;
    for (size_t i = 0; i < N_LISTED; i++) {
        snprintf(names[i], sizeof(names[i]), "listed-%zu", i);
        struct request request = request_of(&rig, type, names[i]);
        CLEANUP(value_unrefp) struct value *one = make_spec(subject->spec, i + 1);
        request.target.token = box.target.token ? names[i] : NULL;
        request_apply(&request, STEP_CREATE, one);
        is_made = is_made && request.r == 0 && request.outcome.provider_id;
        ids[i] = string_copy(is_made ? request.outcome.provider_id : "");
        /* What can be read can be listed: it is waited for. */
        request.target.provider_id = ids[i];
        request.target.changed_at = world_wall_clock();
        request_read(&request);
        is_made = is_made && request.r == 0 && request.live.is_present;
        request_done(&request);
    }
    return is_made;
}

static void free_ids(char *ids[N_LISTED])
{
    for (size_t i = 0; i < N_LISTED; i++)
        mem_free(ids[i]);
}

/* Follows the cursors; between two pages, once, between() is called, which may be NULL. Counts in
 * how many items each id is found; false when a page fails or is too long. */
static bool list_all(size_t limit, void (*between)(char *ids[N_LISTED]), char *ids[N_LISTED],
                     size_t found[N_LISTED])
{
    struct request list = {.verb = LIST, .rig = &rig, .target.type = type, .limit = limit};
    char *cursor = NULL;
    bool is_good;
    memset(found, 0, N_LISTED * sizeof(found[0]));
    do {
        list.cursor = cursor;
        request_make(&list);
        is_good = list.r == 0 && value_count(list.page.items) <= limit;
        for (size_t i = 0; is_good && i < value_count(list.page.items); i++)
            for (size_t k = 0; k < N_LISTED; k++)
                found[k] += text_equal(value_get_text(value_at(list.page.items, i), "id"), ids[k]);
        mem_free(cursor);
        cursor = is_good ? take_ptr(list.page.next) : NULL;
        if (cursor && between)
            between(ids);
        between = NULL;
    } while (cursor);
    list.cursor = NULL;
    request_done(&list);
    return is_good;
}

TEST_LISTED(every_page_size_lists_each_resource_once)
{
    set_up();
    char *ids[N_LISTED];
    size_t found[N_LISTED];
    bool is_good = make_listed(ids);
    for (size_t limit = 1; is_good && limit <= N_LISTED + 1; limit++) {
        is_good = list_all(limit, NULL, ids, found);
        for (size_t i = 0; i < N_LISTED; i++)
            is_good = is_good && found[i] == 1;
    }
    free_ids(ids);
    CHECK(is_good);
}

/* Removes the first and the last of them, and makes another one. */
static void come_and_go(char *ids[N_LISTED])
{
    static const char *const names[] = {"listed-0", "listed-6"};
    for (size_t i = 0; i < 2; i++) {
        struct request gone = request_of(&rig, type, names[i]);
        gone.target.provider_id = ids[i * (N_LISTED - 1)];
        request_apply(&gone, STEP_DELETE, NULL);
        request_done(&gone);
    }
    struct request more = request_of(&rig, type, "listed-more");
    more.target.token = box.target.token ? "listed-more" : NULL;
    request_apply(&more, STEP_CREATE, spec);
    request_done(&more);
}

TEST_LISTED(what_was_there_all_the_time_is_listed_once_whatever_comes_and_goes)
{
    set_up();
    char *ids[N_LISTED];
    size_t found[N_LISTED];
    bool is_good = make_listed(ids) && list_all(2, come_and_go, ids, found);
    for (size_t i = 1; i < N_LISTED - 1; i++)
        is_good = is_good && found[i] == 1;
    is_good = is_good && found[0] <= 1 && found[N_LISTED - 1] <= 1;
    free_ids(ids);
    CHECK(is_good);
}

TEST_LISTED(an_item_of_a_list_says_what_a_read_says)
{
    set_up();
    check_done(STEP_CREATE, spec);
    check_live(spec);
    struct request list = {.verb = LIST, .rig = &rig, .target.type = type, .limit = 10};
    request_make(&list);
    CLEANUP(value_unrefp) struct value *items = list.r == 0 ? value_ref(list.page.items) : NULL;
    request_done(&list);
    CHECK(items && value_count(items) == 1);
    const struct value *item = value_at(items, 0);
    const char *marker = value_get_text(item, "marker");
    CHECK_TEXT(value_get_text(item, "id"), box.target.provider_id);
    CHECK(marker ? text_equal_or_null(box.live.marker, marker) : !box.live.marker);
    CHECK(!marker || text_equal(marker, box.target.uid));
    const struct value *seen = value_get(item, "spec");
    CHECK(value_is_null(seen) || value_equal(seen, box.live.spec));
    const struct value *outputs = value_get(item, "outputs");
    CHECK(!outputs || value_is_null(outputs) || value_equal(outputs, box.live.outputs));
}

TEST_LISTED(what_is_gone_or_of_another_type_is_not_listed)
{
    set_up();
    struct resource_type other_type = *type;
    other_type.name = (char[]){"acme:thing:other"};
    check_done(STEP_CREATE, spec);
    struct request other = {.verb = LIST, .rig = &rig, .target.type = &other_type, .limit = 10};
    request_make(&other);
    bool is_empty = other.r == 0 && value_count(other.page.items) == 0 && !other.page.next;
    check_done(STEP_DELETE, NULL);
    other.target.type = type;
    request_make(&other);
    is_empty = is_empty && other.r == 0 && value_count(other.page.items) == 0;
    request_done(&other);
    CHECK(is_empty);
}
