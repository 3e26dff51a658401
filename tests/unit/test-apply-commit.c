/* Changes that wait for an activation (DESIGN section 6): one effect for many staged steps. */
#include "unit/apply-scene.h"

#define WEB "{\"colour\":\"red\",\"size\":3}"
#define DB "{\"colour\":\"blue\",\"size\":9}"
#define STAGED "\"staged\":true"

/* web and db, which wait for nothing, and cache, which waits for web. */
static void make_three(const char *settings)
{
    scene_begin();
    open_fake(settings);
    plan_begin();
    create("web", WEB);
    create("db", DB);
    wait_for(create("cache", "{\"size\":1}"), "create web#1");
}

static size_t count_rows(const char *run_id, const char *kind, const char *step)
{
    CLEANUP(value_unrefp) struct value *rows = read_journal(run_id);
    size_t n = 0;
    for (size_t i = 0; i < value_count(rows); i++)
        n += is_row(value_at(rows, i), kind, step);
    return n;
}

static const char all_active[] = "cache-1 {\"size\":1}\n"
                                 "db-1 " DB "\n"
                                 "web-1 " WEB "\n";
static const char all_recorded[] = "cache#1 created {\"size\":1}\n"
                                   "db#1 created " DB "\n"
                                   "web#1 created " WEB "\n";

TEST(one_commit_activates_what_is_staged_and_frees_what_waits)
{
    make_three("{" STAGED "}");
    CHECK(ends_as("run-1", RUN_DONE));
    CHECK_TEXT(strbuf_text(&scene.calls), "create web\ncreate db\ncommit\ncreate cache\ncommit\n");
    CHECK_FILES(all_active);
    CHECK_RECORDS(all_recorded);
    CHECK_NO_FAULTS();
}

TEST(the_intent_of_a_commit_names_the_staged_steps)
{
    make_three("{" STAGED "}");
    CHECK(ends_as("run-1", RUN_DONE));
    CLEANUP(value_unrefp) struct value *rows = read_journal("run-1");
    const struct value *intent = NULL;
    for (size_t i = 0; i < value_count(rows) && !intent; i++)
        if (is_row(value_at(rows, i), "intent", "commit acme.default"))
            intent = value_at(rows, i);
    CHECK(intent);
    CLEANUP(mem_freep) char *steps = json_text(value_get(intent, "steps"));
    CHECK_TEXT(steps, "[\"create web#1\",\"create db#1\"]");
    CHECK(count_rows("run-1", "intent", "commit acme.default") == 2);
    CHECK(count_rows("run-1", "result", "commit acme.default") == 2);
}

TEST(a_staged_step_has_a_result_and_no_record_until_the_commit_is_done)
{
    make_three("{" STAGED ",\"fail\":{\"verb\":\"commit\",\"how\":\"refuse\"}}");
    CHECK(ends_as("run-1", RUN_PARTLY));
    CHECK(strstr(strbuf_text(&scene.events), "result create web#1 staged\n"));
    CHECK(strstr(strbuf_text(&scene.events), "result commit acme.default failed\n"));
    CHECK(strstr(strbuf_text(&scene.events), "skipped create cache#1\n"));
    CHECK_FILES("");
    /* What is there, staged and without effect, is known to whoever plans next. */
    CHECK_RECORDS("db#1 partly " DB "\nweb#1 partly " WEB "\n");
    CHECK(resume_ends_as("run-1", RUN_DONE));
    CHECK_FILES(all_active);
    CHECK_RECORDS(all_recorded);
    CHECK_NO_FAULTS();
}

TEST(updates_and_deletes_are_activated_too)
{
    make_three("{" STAGED "}");
    CHECK(ends_as("run-1", RUN_DONE));
    plan_begin();
    update("web", "{\"colour\":\"blue\",\"size\":3}");
    drop("db");
    CHECK(ends_as("run-2", RUN_DONE));
    CHECK_FILES("cache-1 {\"size\":1}\nweb-1 {\"colour\":\"blue\",\"size\":3}\n");
    CHECK_RECORDS("cache#1 created {\"size\":1}\nweb#1 created {\"colour\":\"blue\",\"size\":3}\n");
    CHECK(records_equal_files());
    CHECK_NO_FAULTS();
}

TEST(a_commit_whose_answer_is_lost_is_asked_for_step_by_step)
{
    make_three("{" STAGED ",\"fail\":{\"verb\":\"commit\",\"how\":\"lose-answer\"}}");
    CHECK(ends_as("run-1", RUN_DONE));
    CHECK_TEXT(strbuf_text(&scene.calls), "create web\ncreate db\ncommit\nprobe web\nprobe db\n"
                                          "create cache\ncommit\n");
    CHECK_FILES(all_active);
    CHECK_RECORDS(all_recorded);
    CHECK_NO_FAULTS();
}

TEST(a_commit_that_did_not_arrive_is_made_again_by_a_resume)
{
    make_three("{" STAGED ",\"fail\":{\"verb\":\"commit\",\"how\":\"lose-request\"}}");
    CHECK(ends_as("run-1", RUN_PARTLY));
    CHECK_FILES("");
    CHECK(resume_ends_as("run-1", RUN_DONE));
    CHECK_FILES(all_active);
    CHECK_RECORDS(all_recorded);
    CHECK_NO_FAULTS();
}

TEST(what_somebody_else_stages_meanwhile_is_not_activated)
{
    make_three("{" STAGED
               ",\"fail\":{\"verb\":\"commit\",\"how\":\"foreign-edit\",\"edits\":\"nat\"}}");
    CHECK(ends_as("run-1", RUN_PARTLY));
    CHECK(count_in(&scene.events, "result commit acme.default failed\n") == 1);
    CHECK_FILES("");
    CLEANUP(value_unrefp) struct value *rows = read_journal("run-1");
    bool is_told = false;
    for (size_t i = 0; i < value_count(rows); i++) {
        const char *message = value_get_text(value_at(rows, i), "message");
        is_told = is_told || (message && strstr(message, "put nat, staged by somebody else"));
    }
    CHECK(is_told);
}

TEST(what_the_plan_shows_as_staged_by_others_is_activated_with_it)
{
    make_three("{" STAGED
               ",\"fail\":{\"verb\":\"create\",\"how\":\"foreign-edit\",\"edits\":\"nat\"}}");
    value_unref(scene.plan->pending);
    scene.plan->pending = from_json("{\"acme.default\":[\"put nat, staged by somebody else\"]}");
    CHECK(ends_as("run-1", RUN_DONE));
    CLEANUP(mem_freep) char *files = list_files();
    CHECK(strstr(files, "foreign-nat {}\n"));
    CHECK_RECORDS(all_recorded);
}

/* --- Deaths --- */

static const struct {
    enum death death;
    const char *name;
} deaths[] = {{DEATH_BEFORE, "before"}, {DEATH_AFTER, "after"}, {DEATH_ONCE, "failed"}};

/* Dies at the nth commit of the store; false when the run came to its end before. */
static bool dies_at(size_t n, enum death death)
{
    struct job job;
    make_three("{" STAGED "}");
    prepare(scene.plan, "run-1");
    scene.store->n_commits = 0;
    scene.store->die_at = n;
    scene.store->death = death;
    job_run(&job, VERB_APPLY, "run-1");
    bool is_dead = job.r < 0;
    job_done(&job);
    scene.is_dead = false;
    scene.store->die_at = 0;
    open_fake("{" STAGED "}");
    return is_dead;
}

TEST(a_run_that_dies_at_any_commit_of_the_store_is_resumed_and_all_is_activated)
{
    for (size_t d = 0; d < ARRAY_LENGTH(deaths); d++) {
        size_t n = 1;
        for (; n < 100 && dies_at(n, deaths[d].death); n++) {
            enum run_status left = status_of("run-1");
            if (left == RUN_PENDING)
                continue; /* it never began */
            bool is_resumed = left == RUN_DONE || resume_ends_as("run-1", RUN_DONE);
            refresh();
            if (!is_resumed || scene.faults.length > 0)
                printf("# %s commit %zu: %s\n", deaths[d].name, n, strbuf_text(&scene.faults));
            CHECK(is_resumed);
            CHECK_FILES(all_active);
            CHECK_RECORDS(all_recorded);
            CHECK(count_in(&scene.calls, "create web\n") <= 2);
            CHECK_NO_FAULTS();
        }
        printf("# %s: %zu\n", deaths[d].name, n - 1);
        CHECK(n > 5 && n < 100);
    }
}

TEST(settling_records_what_stays_staged_as_a_part)
{
    size_t n_staged = 0;
    for (size_t n = 1; n < 100 && dies_at(n, DEATH_BEFORE); n++) {
        struct job job;
        if (status_of("run-1") != RUN_RUNNING)
            continue;
        job_run(&job, VERB_SETTLE, "run-1");
        bool is_settled = job.r == 0 && job.n_open == 0;
        job_done(&job);
        refresh();
        CHECK(is_settled);
        CLEANUP(mem_freep) char *records = list_records();
        CLEANUP(mem_freep) char *files = list_files();
        n_staged += strstr(records, "web#1 partly") && !strstr(files, "web-1");
        CHECK(!strstr(files, "web-1") == !strstr(records, "web#1 created"));
        CHECK_NO_FAULTS();
    }
    CHECK(n_staged > 0);
}

static void cancel_on_staged(const struct value *event)
{
    const char *outcome = value_get_text(event, "outcome");
    scene.is_cancelled = scene.is_cancelled || (outcome && text_equal(outcome, "staged"));
}

TEST(a_run_cancelled_before_its_commit_can_be_resumed)
{
    make_three("{" STAGED "}");
    scene.on_event = cancel_on_staged;
    CHECK(ends_as("run-1", RUN_CANCELLED));
    CHECK_FILES("");
    CHECK(count_in(&scene.calls, "commit\n") == 0);
    scene.on_event = NULL;
    scene.is_cancelled = false;
    CHECK(resume_ends_as("run-1", RUN_DONE));
    CHECK_FILES(all_active);
    CHECK_RECORDS(all_recorded);
    CHECK_NO_FAULTS();
}

TEST(nothing_is_left)
{
    scene_done();
    CHECK(coroutine_count() == 0);
}
