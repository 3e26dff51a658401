#include "twin/health.h"

#include "base/text.h"
#include "base/world.h"
#include "model/resource.h"

#include <assert.h>
#include <signal.h>
#include <sys/wait.h>

#define SECOND INT64_C(1000000)
/* How often it is asked while failures do not count. */
#define START_PAUSE (SECOND / 2)
#define SUBJECT_PAUSE (SECOND / 20)

/* What shells answer when the program is not there, or is none. */
enum { STATUS_NO_PROGRAM = 126, STATUS_NOT_FOUND = 127 };

static const char *const state_names[HEALTH_STATE_COUNT] = {
    [HEALTH_STARTING] = "starting",
    [HEALTH_HEALTHY] = "healthy",
    [HEALTH_UNHEALTHY] = "unhealthy",
    [HEALTH_UNCHECKED] = "unchecked",
};

struct health {
    struct loop *loop;
    struct processes *processes;
    struct machine_check check;
    struct string_list arguments, environment; /* copies of the spec's */
    char *name;                                /* owned, as the next */
    char *host;
    struct process_spec program; /* its texts are those above */
    const struct process *subject;
    CO_FN void (*turned)(void *argument, enum health_state before, enum health_state now);
    void *argument;
    enum health_state state;
    char *problem;           /* owned; NULL: none */
    unsigned int n_restarts; /* of the subject in the life that is asked about */
    int64_t began_at;        /* when that life was first ready; 0: not yet */
    int64_t n_failures;      /* in a row that count */
    struct process *running; /* the command, while it runs */
    bool is_stopping, has_ended;
    struct gate changed;
};

const char *health_state_to_string(enum health_state state)
{
    assert(state < HEALTH_STATE_COUNT);
    return state_names[state];
}

enum health_state health_state(const struct health *health)
{
    return health->state;
}

const char *health_problem(const struct health *health)
{
    return health->problem ? health->problem : "";
}

static void set_problem(struct health *health, const char *text)
{
    mem_free(health->problem);
    health->problem = text ? string_copy(text) : NULL;
}

static CO_FN void set_state(struct health *health, enum health_state now)
{
    enum health_state before = health->state;
    if (before == now)
        return;
    health->state = now;
    gate_open(health->loop, &health->changed);
    health->turned(health->argument, before, now);
}

/* --- One answer --- */

/* Says why a command failed, in *ret_problem. */
static enum health_state judge(int r, int status, struct error *ret_problem)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (r == -ERROR_MISSING || r == -ERROR_DENIED)
        return HEALTH_UNCHECKED;
    if (r < 0)
        return HEALTH_UNHEALTHY;
    if (code == 0) {
        error_done(ret_problem);
        return HEALTH_HEALTHY;
    }
    return code == STATUS_NO_PROGRAM || code == STATUS_NOT_FOUND ? HEALTH_UNCHECKED
                                                                 : HEALTH_UNHEALTHY;
}

/* Runs the command once. */
static CO_FN enum health_state ask(struct health *health, struct error *ret_problem)
{
    int status = 0;
    int r = process_start(health->processes, &health->program, &health->running, ret_problem);
    if (r < 0)
        return judge(r, status, ret_problem);
    int64_t deadline = world_monotonic_clock() + health->check.timeout_us;
    r = process_wait_end(health->running, deadline, &status, NULL);
    if (r < 0)
        error_set(ret_problem, ERROR_TIMEOUT, "its health check has not ended after %g s",
                  (double)health->check.timeout_us / SECOND);
    else
        error_set(ret_problem, ERROR_UNAVAILABLE, "%s", process_problem(health->running));
    process_stop(take_ptr(health->running));
    return judge(r, status, ret_problem);
}

/* An answer about a life that has ended says nothing of the next one. */
static bool is_same_life(const struct health *health)
{
    return process_pid(health->subject) > 0 &&
           process_restarts(health->subject) == health->n_restarts;
}

static bool is_starting_up(const struct health *health)
{
    return health->state == HEALTH_STARTING &&
           world_monotonic_clock() - health->began_at < health->check.start_us;
}

static CO_FN void ask_once(struct health *health)
{
    struct error problem = {0};
    bool is_first = is_starting_up(health);
    enum health_state answer = ask(health, &problem);
    if (!health->is_stopping && is_same_life(health)) {
        set_problem(health, answer == HEALTH_HEALTHY ? NULL : error_message(&problem));
        if (answer != HEALTH_UNHEALTHY)
            health->n_failures = 0;
        else if (!is_first)
            health->n_failures++;
        if (answer != HEALTH_UNHEALTHY || health->n_failures >= health->check.retries)
            set_state(health, answer);
    }
    error_done(&problem);
}

/* --- Again and again --- */

static CO_FN void rest(struct health *health, int64_t pause)
{
    int64_t deadline = world_monotonic_clock() + pause;
    while (!health->is_stopping && is_same_life(health) && world_monotonic_clock() < deadline) {
        int64_t now = world_monotonic_clock();
        int64_t wake = deadline - now < SECOND ? deadline : now + SECOND;
        gate_wait(health->loop, &health->changed, wake, NULL);
    }
}

/* Until the program answers by itself there is nothing to ask. */
static CO_FN void await_life(struct health *health)
{
    if (!is_same_life(health)) {
        health->n_failures = health->began_at = 0;
        set_state(health, HEALTH_STARTING);
    }
    while (!health->is_stopping && process_state(health->subject) != PROCESS_READY &&
           process_state(health->subject) != PROCESS_FAILING)
        gate_wait(health->loop, &health->changed, world_monotonic_clock() + SUBJECT_PAUSE, NULL);
    if (health->began_at == 0 || !is_same_life(health)) {
        health->n_restarts = process_restarts(health->subject);
        health->n_failures = 0;
        health->began_at = world_monotonic_clock();
    }
}

static void ask_again_and_again(void *argument)
{
    struct health *health = argument;
    for (;;) {
        await_life(health);
        if (health->is_stopping)
            break;
        ask_once(health);
        int64_t pause = health->check.interval_us;
        rest(health, is_starting_up(health) && pause > START_PAUSE ? START_PAUSE : pause);
    }
    health->has_ended = true;
    gate_open(health->loop, &health->changed);
}

/* --- Its life --- */

static const char *const *copy_list(struct string_list *list, const char *const *items)
{
    for (size_t i = 0; items && items[i]; i++)
        string_list_add(list, items[i]);
    ARRAY_RESERVE(list->items, list->n_items, list->capacity);
    list->items[list->n_items] = NULL;
    return (const char *const *)list->items;
}

struct health *health_start(struct loop *loop, struct processes *processes,
                            const struct health_spec *spec)
{
    struct health *health = NEW(struct health);
    health->loop = loop;
    health->processes = processes;
    health->check = *spec->check;
    health->check.command = NULL;
    health->name = string_copy(spec->program.name);
    health->host = string_copy(spec->program.host);
    health->program = spec->program;
    health->program.name = health->name;
    health->program.host = health->host;
    health->program.arguments = copy_list(&health->arguments, spec->check->command);
    health->program.environment = copy_list(&health->environment, spec->program.environment);
    health->program.stop_signal = SIGKILL;
    health->subject = spec->subject;
    health->turned = spec->turned;
    health->argument = spec->argument;
    loop_spawn(loop, "health", ask_again_and_again, health);
    return health;
}

CO_FN void health_stop(struct health *take_health)
{
    struct health *health = take_health;
    if (!health)
        return;
    health->is_stopping = true;
    if (health->running)
        process_begin_stop(health->running, SIGKILL);
    gate_open(health->loop, &health->changed);
    while (!health->has_ended)
        gate_wait(health->loop, &health->changed, -1, NULL);
    string_list_done(&health->arguments);
    string_list_done(&health->environment);
    mem_free(health->name);
    mem_free(health->host);
    mem_free(health->problem);
    mem_free(health);
}

CO_FN enum health_state health_await(struct health *health, int64_t deadline)
{
    while (health->state == HEALTH_STARTING &&
           gate_wait(health->loop, &health->changed, deadline, NULL) == 0)
        continue;
    return health->state;
}
