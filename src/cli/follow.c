/* A run's progress, in the form of the seed's step 4; plain lines when piped, JSON lines with
 * --json. */
#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "cli/bar.h"
#include "cli/cli.h"
#include "model/json.h"
#include "render/plan-view.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Of many steps so many failures are told one by one; the rest is counted. */
enum { MAX_FAILURES = 20 };

/* Steps of several stages run at the same time; people read one stage after the other. */
struct stage_progress {
    size_t n_steps;
    size_t n_ended;
    struct strbuf lines; /* of this stage, while an earlier one is not over */
    bool is_announced;
};

struct progress {
    struct cli *cli;
    const struct plan *plan; /* borrowed */
    struct follower follower;
    struct map begun; /* ids of steps under way, for the line that a terminal overwrites */
    size_t n_ended;
    size_t n_steps;
    size_t n_skipped;   /* that were told of, since the run was begun or resumed */
    size_t n_not_begun; /* of a cancelled run; they are not told of one by one */
    struct stage_progress stages[STAGE_COUNT];
    int current; /* how many stages are over, in that order */
    bool has_status_line;
    bool is_many;  /* too many steps for a line each: a bar tells of them */
    bool has_room; /* stdout is a terminal, where a line can be written over */
    struct bar bar;
};

static const char *const done_words[] = {
    [STEP_CREATE] = "Created", [STEP_UPDATE] = "Changed", [STEP_DELETE] = "Destroyed",
    [STEP_RENAME] = "Renamed", [STEP_START] = "Started",  [STEP_FORGET] = "Forgot",
    [STEP_ADOPT] = "Adopted",  [STEP_ACT] = "Acted on",   [STEP_KEEP] = "Kept",
};

static void clear_status_line(struct progress *progress)
{
    if (progress->has_status_line)
        fputs("\r\033[K", stdout);
    progress->has_status_line = false;
}

/* On a terminal: how many are done, and one of those under way. */
static void show_status_line(struct progress *progress)
{
    size_t cursor = 0;
    const struct map_entry *entry = map_next(&progress->begun, &cursor);
    if (!progress->cli->is_terminal || !entry)
        return;
    printf("  %zu/%zu  %.60s", progress->n_ended, progress->n_steps, entry->key);
    fflush(stdout);
    progress->has_status_line = true;
}

/* How many stages have steps, of the first n_turns in order: the number that the plan gave the last
 * of them. */
static int count_stages(const struct progress *progress, int n_turns)
{
    int n = 0;
    for (int turn = 0; turn < n_turns; turn++)
        n += progress->stages[stage_in_turn(progress->plan, turn)].n_steps > 0;
    return n;
}

static void flush_stage(struct progress *progress, int turn)
{
    enum stage stage = stage_in_turn(progress->plan, turn);
    struct stage_progress *now = &progress->stages[stage];
    if (now->lines.length == 0)
        return;
    if (!now->is_announced)
        printf("[Stage %d/%d] %s\n", count_stages(progress, turn + 1),
               count_stages(progress, STAGE_COUNT), stage_title(stage));
    now->is_announced = true;
    fputs(strbuf_text(&now->lines), stdout);
    strbuf_clear(&now->lines);
}

/* Prints what the stage in turn has to say, and goes on while stages are over. */
static void flush_stages(struct progress *progress)
{
    while (progress->current < STAGE_COUNT) {
        enum stage stage = stage_in_turn(progress->plan, progress->current);
        flush_stage(progress, progress->current);
        if (progress->stages[stage].n_ended < progress->stages[stage].n_steps)
            return;
        progress->current++;
    }
}

/* At the end, whatever is left: a run that was cancelled leaves stages open. */
static void flush_all(struct progress *progress)
{
    for (int turn = 0; turn < STAGE_COUNT; turn++) {
        flush_stage(progress, turn);
        strbuf_done(&progress->stages[stage_in_turn(progress->plan, turn)].lines);
    }
}

static struct stage_progress *stage_of(struct progress *progress, const struct value *event)
{
    const char *name = value_get_text(event, "stage");
    enum stage stage = name ? stage_from_string(name) : STAGE_COUNT;
    return &progress->stages[stage < STAGE_COUNT ? stage : STAGE_INFRASTRUCTURE];
}

static void end_step(struct progress *progress, struct stage_progress *stage,
                     const struct value *event)
{
    progress->n_ended++;
    stage->n_ended++;
    if (value_get_text(event, "step"))
        map_remove(&progress->begun, value_get_text(event, "step"));
}

static void take_result(struct progress *progress, const struct value *event)
{
    if (value_get_text(event, "activates")) {
        map_remove(&progress->begun, value_get_text(event, "step"));
        return;
    }
    const char *kind_text = value_get_text(event, "step_kind");
    const char *outcome = value_get_text(event, "outcome");
    const char *address = value_get_text(event, "address");
    const char *type = value_get_text(event, "type");
    enum step_kind kind = kind_text ? step_kind_from_string(kind_text) : STEP_KIND_COUNT;
    if (!outcome || !address || !type || kind == STEP_KIND_COUNT || text_equal(outcome, "staged"))
        return;
    struct stage_progress *stage = stage_of(progress, event);
    double took = (double)value_get_integer(event, "took_us", 0) / 1e6;
    const char *space = *type ? " " : "";
    if (text_equal(outcome, "done"))
        strbuf_addf(&stage->lines, "  \xe2\x9c\x93 %s %s%s\"%s\" (%.2f s)\n", done_words[kind],
                    type, space, address, took);
    else
        strbuf_addf(&stage->lines, "  \xe2\x9c\x97 %s %s%s\"%s\": %s: %s\n",
                    step_kind_to_string(kind), type, space, address, outcome,
                    value_get_text(event, "message") ? value_get_text(event, "message")
                                                     : "no reason given");
    end_step(progress, stage, event);
}

/* How many steps a row is about that tells what waits for one that failed; older programs wrote one
 * for each. */
static size_t count_skips(const struct value *event)
{
    return (size_t)value_get_integer(event, "count", 1);
}

static void take_skip(struct progress *progress, const struct value *step, const char *because)
{
    struct stage_progress *stage = stage_of(progress, step);
    strbuf_addf(&stage->lines, "  - skipped \"%s\", which waits for %s\n",
                value_get_text(step, "address"), because);
    end_step(progress, stage, step);
}

static void take_skips(struct progress *progress, const struct value *event)
{
    const struct value *first = value_get(event, "first");
    const char *because = value_get_text(event, "because");
    size_t n_named = first ? value_count(first) : 1;
    because = because ? because : "another step";
    for (size_t i = 0; i < n_named; i++)
        take_skip(progress, first ? value_at(first, i) : event, because);
    if (count_skips(event) > n_named)
        strbuf_addf(&stage_of(progress, value_at(first, 0))->lines,
                    "  - skipped %zu more, which wait for %s\n", count_skips(event) - n_named,
                    because);
}

static void take_message(struct progress *progress, const struct value *event)
{
    strbuf_addf(&stage_of(progress, event)->lines, "    - %s: %s\n",
                value_get_text(event, "address"), value_get_text(event, "message"));
}

/* A line of its own above the bar. */
static void tell_failure(struct progress *progress, const struct value *event)
{
    const char *kind = value_get_text(event, "step_kind");
    const char *message = value_get_text(event, "message");
    clear_status_line(progress);
    if (progress->bar.n_failed <= MAX_FAILURES)
        printf("  \xe2\x9c\x97 %s %s \"%s\": %s: %s\n", kind ? kind : "?",
               value_get_text(event, "type"), value_get_text(event, "address"),
               value_get_text(event, "outcome"), message ? message : "no reason given");
    else if (progress->bar.n_failed == MAX_FAILURES + 1)
        printf("  more failures are counted; \"parley run show\" lists all of them\n");
}

static void count_result(struct progress *progress, const struct value *event)
{
    const char *outcome = value_get_text(event, "outcome");
    if (!outcome || text_equal(outcome, "staged") || !value_get_text(event, "address") ||
        !value_get_text(event, "type") || value_get_text(event, "activates"))
        return;
    progress->bar.n_ended++;
    if (text_equal(outcome, "done"))
        return;
    progress->bar.n_failed++;
    tell_failure(progress, event);
}

static void write_bar(struct progress *progress)
{
    struct strbuf buffer = {0};
    bar_write(&progress->bar, world_monotonic_clock(), progress->has_room, &buffer);
    clear_status_line(progress);
    printf("  %s%s", strbuf_text(&buffer), progress->has_room ? "" : "\n");
    progress->has_status_line = progress->has_room;
    fflush(stdout);
    strbuf_done(&buffer);
}

/* Of many steps only how many have ended is told, and what failed. */
static void count_event(struct progress *progress, const char *kind, const struct value *event)
{
    if (text_equal(kind, "tally")) {
        progress->bar.n_ended += (size_t)value_get_integer(event, "ended", 0);
        /* How long that took nobody has seen. */
        if (value_get(event, "stored"))
            return;
    } else if (text_equal(kind, "result")) {
        count_result(progress, event);
    } else if (text_equal(kind, "skipped")) {
        progress->bar.n_ended += count_skips(event);
        progress->bar.n_skipped += count_skips(event);
    } else if (text_equal(kind, "resumed")) {
        bar_resume(&progress->bar);
        clear_status_line(progress);
        printf("Resuming; what was begun is looked up first.\n");
    }
    if (bar_is_due(&progress->bar, world_monotonic_clock(), progress->has_room))
        write_bar(progress);
}

/* What is only known once a run has ended, until it is resumed. */
static void count_skipped(struct progress *progress, const char *kind, const struct value *event)
{
    if (text_equal(kind, "skipped")) {
        progress->n_skipped += count_skips(event);
    } else if (text_equal(kind, "resumed")) {
        progress->n_skipped = progress->n_not_begun = 0;
    } else if (text_equal(kind, "finished")) {
        size_t n_skipped = (size_t)value_get_integer(event, "skipped", 0);
        progress->n_not_begun =
            n_skipped > progress->n_skipped ? n_skipped - progress->n_skipped : 0;
    }
}

static void show_event(struct progress *progress, const struct value *event)
{
    const char *kind = value_get_text(event, "kind");
    const char *step = value_get_text(event, "step");
    if (!kind)
        return;
    count_skipped(progress, kind, event);
    if (progress->is_many) {
        count_event(progress, kind, event);
        return;
    }
    clear_status_line(progress);
    if (text_equal(kind, "intent") && step)
        map_put(&progress->begun, step, NULL);
    else if (text_equal(kind, "result"))
        take_result(progress, event);
    else if (text_equal(kind, "skipped"))
        take_skips(progress, event);
    else if (text_equal(kind, "progress") && value_get_text(event, "message"))
        take_message(progress, event);
    else if (text_equal(kind, "resumed"))
        printf("Resuming; what was begun is looked up first.\n");
    flush_stages(progress);
    fflush(stdout);
    show_status_line(progress);
}

static void take_event(void *argument, const struct value *event)
{
    struct progress *progress = argument;
    if (progress->cli->options.json) {
        CLEANUP(mem_freep) char *text = json_text(event);
        puts(text);
        fflush(stdout);
    } else {
        show_event(progress, event);
    }
}

/* The first Ctrl-C asks the run to stop after what is under way, the second ends it at once. */
static void take_signal(void *argument, int number)
{
    struct progress *progress = argument;
    (void)number;
    progress->follower.cancel_level++;
    fputs(progress->follower.cancel_level == 1
              ? "\nStopping after what is under way; press Ctrl-C again to abort.\n"
              : "\nAborting; \"parley resume\" finds out what happened and goes on.\n",
          stderr);
    gate_open(progress->cli->loop, &progress->follower.changed);
}

static const struct {
    const char *sentence;
    int exit_code;
} ends[] = {
    [RUN_PENDING] = {"not begun", EXIT_ERROR},
    [RUN_RUNNING] = {"still under way", EXIT_ERROR},
    [RUN_DONE] = {"Complete", EXIT_DONE},
    [RUN_FAILED] = {"failed: nothing was changed", EXIT_ERROR},
    [RUN_PARTLY] = {"carried out in part; \"parley resume\" tries the rest again", EXIT_PARTLY},
    [RUN_CANCELLED] = {"cancelled; \"parley resume\" goes on", EXIT_CANCELLED},
};

static void show_end(struct cli *cli, enum run_status status, const struct plan *plan)
{
    const char *what = plan->is_destroy ? "Destruction" : "Deployment";
    if (cli->options.json)
        return;
    if (status != RUN_DONE) {
        printf("\n%s %s.\n", what, ends[status].sentence);
        return;
    }
    CLEANUP(mem_freep) char *title = string_format("%s Complete!", what);
    printf("\n%s\n", title);
    for (size_t i = 0; i < strlen(title); i++)
        putchar('=');
    putchar('\n');
}

static bool are_many(const struct cli *cli, const struct plan *plan)
{
    return plan_count_steps(plan) > PLAN_PAGE_STEPS && !cli->options.all;
}

/* How many steps each stage has; what a resumed run did before counts as it is told again. */
static void expect_steps(struct progress *progress, const struct plan *plan)
{
    progress->plan = plan;
    progress->n_steps = plan_count_steps(plan);
    progress->bar.n_steps = progress->n_steps;
    progress->is_many = are_many(progress->cli, plan);
    progress->has_room = isatty(STDOUT_FILENO);
    for (size_t i = 0; i < plan->n_steps; i++)
        progress->stages[plan->steps[i].stage].n_steps++;
}

int cli_follow(struct cli *cli, const char *run_id)
{
    struct error err = {0};
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = service_get_run_head(cli->service, run_id, &plan, &err);
    /* Where steps are counted, or told as they come, nothing more of the plan is shown. */
    if (r == 0 && !are_many(cli, plan) && !cli->options.json) {
        plan_free(take_ptr(plan));
        r = service_get_run_plan(cli->service, run_id, &plan, &err);
    }
    return r < 0 ? cli_fail(cli, &err) : cli_follow_plan(cli, run_id, plan);
}

int cli_follow_plan(struct cli *cli, const char *run_id, const struct plan *plan)
{
    struct progress progress = {.cli = cli};
    progress.follower = (struct follower){.run_id = run_id,
                                          .sink = take_event,
                                          .argument = &progress,
                                          .cancel_level = cli->n_interrupts};
    struct error err = {0};
    expect_steps(&progress, plan);
    progress.follower.counts = progress.is_many && !cli->options.json;
    struct signal_watch *interrupt = loop_watch_signal(cli->loop, SIGINT, take_signal, &progress);
    enum run_status status = RUN_PENDING;
    int r = service_follow_run(cli->service, &progress.follower, &status, &err);
    loop_unwatch_signal(interrupt);
    /* How far it came stays to be read. */
    if (progress.is_many && !cli->options.json && progress.bar.n_ended > progress.bar.shown.n_ended)
        write_bar(&progress);
    if (progress.is_many && progress.has_status_line)
        putchar('\n');
    else
        clear_status_line(&progress);
    flush_all(&progress);
    if (progress.n_not_begun > 0)
        printf("  %zu not begun\n", progress.n_not_begun);
    map_done(&progress.begun);
    if (r < 0 && progress.follower.cancel_level > 1) {
        error_done(&err);
        return EXIT_CANCELLED;
    }
    if (r < 0)
        return cli_fail(cli, &err);
    show_end(cli, status, plan);
    return ends[status].exit_code;
}
