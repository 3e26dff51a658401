/* The tools about runs. */
#include "mcp/tools-internal.h"

#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "render/render.h"

#include <stdio.h>
#include <string.h>

enum { SECOND_US = 1000 * 1000, TICK_US = 250 * 1000 };

/* Somebody who waits for a run. */
struct waiter {
    struct mcp_call *call;
    struct follower follower;
    struct timer *timer;
    int64_t deadline;
    size_t n_ended, n_steps;
};

static void take_event(void *argument, const struct value *event)
{
    struct waiter *waiter = argument;
    if (!text_equal_or_null(value_get_text(event, "kind"), "result"))
        return;
    waiter->n_ended++;
    mcp_progress(waiter->call, (double)waiter->n_ended, (double)waiter->n_steps,
                 value_get_text(event, "step"));
}

static void look_up(void *argument)
{
    struct waiter *waiter = argument;
    waiter->timer = NULL;
    if (waiter->call->is_cancelled || world_monotonic_clock() >= waiter->deadline) {
        waiter->follower.is_left = true;
        gate_open(waiter->call->loop, &waiter->follower.changed);
        return;
    }
    waiter->timer = loop_timer(waiter->call->loop, TICK_US, look_up, waiter);
}

static int await_run(struct mcp_call *call, struct service *service, const char *run,
                     int64_t seconds, struct error *err)
{
    CLEANUP(plan_freep) struct plan *plan = NULL;
    enum run_status status = RUN_PENDING;
    const struct mcp_caller *caller = call->exchange->caller;
    struct waiter waiter = {.call = call,
                            .deadline = world_monotonic_clock() + seconds * SECOND_US};
    int r = service_get_run_plan(service, run, &plan, err);
    if (r < 0)
        return r;
    if (!pool_begin_wait(caller->pool))
        return error_set(
            err, ERROR_BUSY,
            "Too many wait at this server, so that this call did not: ask again later");
    waiter.n_steps = plan->n_steps;
    waiter.follower = (struct follower){.run_id = run, .sink = take_event, .argument = &waiter};
    waiter.timer = loop_timer(call->loop, TICK_US, look_up, &waiter);
    r = service_follow_run(service, &waiter.follower, &status, err);
    loop_timer_cancel(waiter.timer);
    pool_end_wait(caller->pool);
    return r;
}

static void write_next(const char *status, const char *run, struct strbuf *text)
{
    if (text_equal(status, run_status_to_string(RUN_DONE)))
        strbuf_add(text, "Next: deployment_status says what is there now.\n");
    else if (text_equal(status, run_status_to_string(RUN_PENDING)) ||
             text_equal(status, run_status_to_string(RUN_RUNNING)))
        strbuf_addf(text,
                    "Next: run_show with run=\"%.8s\" and wait_seconds=50, until it has ended.\n",
                    run);
    else
        strbuf_add(text, "Next: mend what it says, then go on with run_control with "
                         "action=\"resume\" and the deployment, or make another plan.\n");
}

static int ask_run(struct mcp_call *call, struct service *service, const char *run,
                   struct verb_answer *ret_answer, struct error *err)
{
    struct value_builder input = {0};
    value_builder_set_string(&input, "run", run);
    return tools_ask(call, service, "run_show", value_builder_map(&input), ret_answer, err);
}

static int add_run(struct mcp_call *call, struct service *service, const char *run,
                   struct mcp_result *result, struct error *err)
{
    struct verb_answer answer = {0};
    struct strbuf text = {0};
    int r = ask_run(call, service, run, &answer, err);
    if (r == 0) {
        const char *status = value_get_text(answer.value, "status");
        render_run(answer.value, &text);
        strbuf_addf(&text, "\nStatus: %s\n", status);
        write_next(status, value_get_text(answer.value, "id"), &text);
        tools_add_text(result, strbuf_text(&text));
        CLEANUP(value_unrefp) struct value *run_alone = value_with(answer.value, "journal", NULL);
        result->structured = tools_without_nulls(run_alone);
    }
    strbuf_done(&text);
    verb_answer_done(&answer);
    return r;
}

/* --- A run as a task: of who began it, and for good --- */

#define TASK_PREFIX "run-"

static bool is_own(const struct mcp_call *call, const struct value *run)
{
    return text_equal(value_get_text(run, "principal"), call->exchange->principal);
}

static struct mcp_lasting task_of(const struct value *run)
{
    struct mcp_lasting task = {.created = value_get_integer(run, "started_at", 0),
                               .updated = value_get_integer(run, "ended_at", 0)};
    task.has_ended = task.updated > 0;
    if (!task.has_ended)
        task.updated = task.created;
    snprintf(task.id, sizeof(task.id), TASK_PREFIX "%s", value_get_text(run, "id"));
    return task;
}

int runs_look_at_task(struct mcp_call *call, const char *id, struct mcp_lasting *ret_task,
                      struct mcp_result *result, struct error *err)
{
    const char *run = text_starts_with(id, TASK_PREFIX) ? id + strlen(TASK_PREFIX) : "";
    struct service *service = NULL;
    struct verb_answer answer = {0};
    if (strlen(run) != UUID_TEXT_SIZE - 1)
        return -ERROR_NOT_FOUND;
    int r = tools_take_service(call, &service, err);
    if (r < 0)
        return r;
    r = ask_run(call, service, run, &answer, err);
    if (r == 0 && !is_own(call, answer.value))
        r = -ERROR_NOT_FOUND;
    if (r == 0) {
        *ret_task = task_of(answer.value);
        if (result && ret_task->has_ended)
            r = add_run(call, service, run, result, err);
    }
    verb_answer_done(&answer);
    tools_give_service(call, service);
    return r;
}

char *runs_find_task_uri(const char *id)
{
    return text_starts_with(id, TASK_PREFIX)
               ? string_format("parley://run/%s", id + strlen(TASK_PREFIX))
               : NULL;
}

/* One's own tasks, from behind the one that was given last. */
struct task_page {
    const char *after; /* NULL: whatever comes is behind it */
    struct mcp_lasting *tasks;
    size_t limit, n;
};

static void take_tasks(const struct mcp_call *call, const struct value *runs,
                       struct task_page *page)
{
    for (size_t i = 0; i < value_count(runs) && page->n < page->limit; i++) {
        const struct value *run = value_at(runs, i);
        if (!is_own(call, run))
            continue;
        struct mcp_lasting task = task_of(run);
        if (!page->after)
            page->tasks[page->n++] = task;
        else if (text_equal(page->after, task.id))
            page->after = NULL;
    }
}

/* *ret_more: whether there may be older ones. */
CO_FN static int take_page(struct mcp_call *call, struct service *service, size_t number,
                           struct task_page *page, bool *ret_more, struct error *err)
{
    struct verb_answer answer = {0};
    struct value_builder input = {0};
    CLEANUP(mem_freep) char *text = string_format("%zu", number);
    value_builder_set_string(&input, "page", text);
    int r = tools_ask(call, service, "run_list", value_builder_map(&input), &answer, err);
    if (r == 0)
        take_tasks(call, answer.value, page);
    *ret_more = r == 0 && value_count(answer.value) > 0 && page->n < page->limit;
    verb_answer_done(&answer);
    return r;
}

int runs_list_tasks(struct mcp_call *call, const char *after, struct mcp_lasting *ret_tasks,
                    size_t limit, size_t *ret_n, struct error *err)
{
    struct service *service = NULL;
    struct task_page page = {.after = after, .tasks = ret_tasks, .limit = limit};
    bool has_more = true;
    int r = tools_take_service(call, &service, err);
    if (r < 0)
        return r;
    for (size_t number = 1; r == 0 && has_more && !call->is_cancelled; number++)
        r = take_page(call, service, number, &page, &has_more, err);
    tools_give_service(call, service);
    *ret_n = page.n;
    /* Where nothing was ever deployed there is no run. */
    if (r == -ERROR_NOT_FOUND)
        r = 0;
    if (r == 0 && page.after)
        return error_set(err, ERROR_NOT_FOUND, "there is no such task of yours");
    return r;
}

/* Whether the client takes a task for an answer, which then is in the result. */
static bool answer_with_task(struct mcp_call *call, const struct value *run, bool waits,
                             struct mcp_result *result)
{
    struct mcp_lasting task = task_of(run);
    if (!is_own(call, run) || !mcp_wants_task(call, waits && !task.has_ended))
        return false;
    result->lasting = task;
    return true;
}

static int show_or_await(struct mcp_call *call, struct service *service, struct mcp_result *result,
                         struct error *err)
{
    struct verb_answer answer = {0};
    CLEANUP(error_done) struct error waiting = {0};
    int64_t seconds = value_get_integer(call->arguments, "wait_seconds", 0);
    int r = ask_run(call, service, value_get_text(call->arguments, "run"), &answer, err);
    if (r == 0 && !answer_with_task(call, answer.value, seconds > 0, result)) {
        const char *run = value_get_text(answer.value, "id");
        /* How it came to an end is in what is shown then. */
        if (seconds > 0 && await_run(call, service, run, seconds, &waiting) < 0)
            tools_add_text(result, error_message(&waiting));
        r = add_run(call, service, run, result, err);
    }
    verb_answer_done(&answer);
    return r;
}

int tool_run_show(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    struct service *service = NULL;
    int r = tools_take_service(call, &service, err);
    if (r < 0)
        return r;
    r = show_or_await(call, service, result, err);
    tools_give_service(call, service);
    return r;
}

int tool_run_control(struct mcp_call *call, struct mcp_result *result, struct error *err)
{
    const char *action = value_get_text(call->arguments, "action");
    bool is_resume = text_equal(action, "resume");
    const char *field = is_resume ? "deployment" : "run";
    struct service *service = NULL;
    struct verb_answer answer = {0};
    struct value_builder input = {0};
    if (!value_get(call->arguments, field))
        return error_set(err, ERROR_INVALID, "%s needs %s", action, field);
    int r = tools_take_service(call, &service, err);
    if (r < 0)
        return r;
    tools_copy_field(call, field, field, &input);
    r = tools_ask(call, service, is_resume ? "run_resume" : "run_cancel", value_builder_map(&input),
                  &answer, err);
    if (r == 0) {
        const char *run = value_get_text(answer.value, "run");
        CLEANUP(mem_freep)
        char *text = string_format(
            "The run %s %s. Next: run_show with run=\"%.8s\" and wait_seconds=50.\n", run,
            is_resume ? "goes on" : "was asked to stop; what is under way ends first", run);
        mcp_add_text(result, text);
        result->structured = value_ref(answer.value);
    }
    verb_answer_done(&answer);
    tools_give_service(call, service);
    return r;
}
