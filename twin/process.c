/* One program that the twin runs: start, probe, restart, stop. */
#include "twin/process.h"

#include "base/strbuf.h"
#include "base/world.h"
#include "twin/log.h"
#include "twin/process-private.h"

#include <assert.h>
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#define MILLISECOND INT64_C(1000)
#define SECOND INT64_C(1000000)
/* Between two probes of a program that starts: this long, and twice as long each time once it has
 * taken longer than most do. */
#define FIRST_PROBE (4 * MILLISECOND)
#define LAST_PROBE (40 * MILLISECOND)
#define USUAL_START (200 * MILLISECOND)
/* A program that ran this long is started again at once. */
#define STEADY (10 * SECOND)

static const char *const state_names[PROCESS_STATE_COUNT] = {
    [PROCESS_STARTING] = "starting", [PROCESS_READY] = "ready", [PROCESS_FAILING] = "failing",
    [PROCESS_PAUSING] = "pausing",   [PROCESS_ENDED] = "ended",
};

const char *process_state_to_string(enum process_state state)
{
    assert(state < PROCESS_STATE_COUNT);
    return state_names[state];
}

static void tell_turn(const struct process *process, enum process_turn turn)
{
    const struct processes *processes = process->processes;
    if (processes->turned)
        processes->turned(processes->turned_argument, process, turn);
}

static char **copy_list(const char *const *list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    char **copy = NEW_ARRAY(char *, n + 1);
    for (size_t i = 0; i < n; i++)
        copy[i] = string_copy(list[i]);
    return copy;
}

static void free_list(char **list)
{
    for (size_t i = 0; list[i]; i++)
        mem_free(list[i]);
    mem_free(list);
}

static struct cage_mount *copy_mounts(const struct cage_files *files)
{
    struct cage_mount *copy = NEW_ARRAY(struct cage_mount, files->n_mounts);
    for (size_t i = 0; i < files->n_mounts; i++) {
        copy[i] = files->mounts[i];
        copy[i].source = copy[i].source ? string_copy(copy[i].source) : NULL;
        copy[i].target = string_copy(copy[i].target);
    }
    return copy;
}

static void free_mounts(struct cage_mount *mounts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        mem_free((char *)(uintptr_t)mounts[i].source);
        mem_free((char *)(uintptr_t)mounts[i].target);
    }
    mem_free(mounts);
}

static struct process *new_process(struct processes *processes, const struct process_spec *spec)
{
    struct process *process = NEW(struct process);
    process->processes = processes;
    process->name = string_copy(spec->name);
    process->host = spec->host ? string_copy(spec->host) : NULL;
    process->folder = spec->folder ? string_copy(spec->folder) : NULL;
    process->arguments = copy_list(spec->arguments);
    process->environment = copy_list(spec->environment);
    process->read = copy_list(spec->files.read);
    process->written = copy_list(spec->files.written);
    process->mounts = copy_mounts(&spec->files);
    process->spec = *spec;
    process->spec.name = process->name;
    process->spec.host = process->host;
    process->spec.folder = process->folder;
    process->spec.arguments = (const char *const *)process->arguments;
    process->spec.environment = (const char *const *)process->environment;
    process->spec.files.read = (const char *const *)process->read;
    process->spec.files.written = (const char *const *)process->written;
    process->spec.files.mounts = process->mounts;
    process->next = processes->first;
    processes->first = process;
    return process;
}

static bool is_limited(const struct process *process)
{
    return process->processes->cgroups && cgroup_is_needed(&process->spec.quota);
}

static void free_process(struct process *process)
{
    struct process **link = &process->processes->first;
    while (*link != process)
        link = &(*link)->next;
    *link = process->next;
    if (is_limited(process))
        cgroup_remove(process->processes->cgroups, process->name);
    log_close(process->log);
    free_list(process->arguments);
    free_list(process->environment);
    free_list(process->read);
    free_list(process->written);
    free_mounts(process->mounts, process->spec.files.n_mounts);
    mem_free(process->name);
    mem_free(process->host);
    mem_free(process->folder);
    mem_free(process->problem);
    mem_free(process);
}

static void set_state(struct process *process, enum process_state state, struct error *problem)
{
    process->state = state;
    mem_free(process->problem);
    process->problem = problem ? string_copy(error_message(problem)) : NULL;
    gate_open(process->processes->loop, &process->changed);
}

/* The end of a pipe into its log. */
static int open_output(struct process *process, int *ret_fd, struct error *err)
{
    int r = 0;
    if (!process->log)
        r = log_open(process->processes->loop, process->processes->folder, process->name, LOG_LIMIT,
                     &process->log, err);
    return r < 0 ? r : log_attach(process->log, ret_fd, err);
}

static int open_group(struct process *process, struct cgroup_door *ret_door, struct error *err)
{
    struct cgroups *cgroups = process->processes->cgroups;
    if (!is_limited(process))
        return 0;
    int r = cgroup_make(cgroups, process->name, &process->spec.quota, err);
    return r < 0 ? r : cgroup_open(cgroups, process->name, ret_door, err);
}

static int launch(struct process *process, struct error *err)
{
    CLEANUP(close_descriptorp) int input = -1;
    CLEANUP(close_descriptorp) int output = -1;
    int r = 0;
    if (process->spec.make_input &&
        (r = process->spec.make_input(process->spec.argument, &input, err)) < 0)
        return error_wrap(err, r, "start %s", process->name);
    r = open_output(process, &output, err);
    if (r == 0)
        r = process_open_door(process->processes, &process->spec, &process->door, err);
    if (r < 0)
        return r;
    CLEANUP(strbuf_wipe) struct strbuf lines = {0};
    if (process->spec.add_variables &&
        (r = process->spec.add_variables(process->spec.argument, &lines, err)) < 0) {
        cage_close(&process->door);
        return error_wrap(err, r, "start %s", process->name);
    }
    CLEANUP(process_preparation_done) struct process_preparation preparation;
    process_prepare(&process->spec, &process->door, &preparation);
    process_add_variables(&preparation, &lines);
    preparation.child.input = input;
    preparation.child.output = output;
    preparation.child.errors = output;
    r = open_group(process, &preparation.place.group, err);
    if (r == 0)
        r = child_start(&preparation.child, &process->pid, err);
    cgroup_close(&preparation.place.group);
    if (r < 0) {
        cage_close(&process->door);
        return process_explain_start(r, &process->spec, err);
    }
    set_state(process, process->spec.probe ? PROCESS_STARTING : PROCESS_READY, NULL);
    return 0;
}

static void describe_end(struct process *process, struct error *ret_problem)
{
    const char *line = log_last_line(process->log);
    int status = process->status;
    if (WIFSIGNALED(status))
        error_set(ret_problem, ERROR_UNAVAILABLE, "%s was killed by signal %d%s%s", process->name,
                  WTERMSIG(status), *line ? "; it logged last: " : "", line);
    else
        error_set(ret_problem, ERROR_UNAVAILABLE, "%s ended with status %d%s%s", process->name,
                  WEXITSTATUS(status), *line ? "; it logged last: " : "", line);
}

/* Waits before the next start; returns false when the process is to stop instead. */
static CO_FN bool pause_before_start(struct process *process, int64_t pause)
{
    struct loop *loop = process->processes->loop;
    int64_t deadline = world_monotonic_clock() + pause;
    while (!process->is_stopping && world_monotonic_clock() < deadline)
        gate_wait(loop, &process->changed, deadline, NULL);
    return !process->is_stopping;
}

/* One life: from a successful launch to the reaping. */
static CO_FN void live(struct process *process)
{
    child_wait(process->processes->loop, process->pid, -1, &process->status, NULL);
    /* What the program has left behind in its session goes with it. */
    kill(-process->pid, SIGKILL);
    process->pid = 0;
    log_drain(process->log);
    cage_close(&process->door);
    processes_reap(process->processes);
}

static CO_FN void start_again(struct process *process, int64_t *pause)
{
    struct error problem = {0};
    while (pause_before_start(process, *pause)) {
        process->n_restarts++;
        if (launch(process, &problem) == 0) {
            tell_turn(process, PROCESS_RESUMED);
            break;
        }
        set_state(process, PROCESS_PAUSING, &problem);
        *pause = *pause * 2 > STEADY ? STEADY : *pause * 2;
    }
    error_done(&problem);
}

static void supervise(void *argument)
{
    struct process *process = argument;
    int64_t pause = 100 * MILLISECOND;
    while (process->pid > 0) {
        int64_t started = world_monotonic_clock();
        live(process);
        struct error problem = {0};
        describe_end(process, &problem);
        bool is_over = process->is_stopping || !process->spec.is_restarted;
        if (world_monotonic_clock() - started > STEADY)
            pause = 100 * MILLISECOND;
        set_state(process, is_over ? PROCESS_ENDED : PROCESS_PAUSING, &problem);
        error_done(&problem);
        if (is_over)
            break;
        tell_turn(process, PROCESS_BROKE);
        start_again(process, &pause);
        pause = pause * 2 > STEADY ? STEADY : pause * 2;
    }
    if (process->state != PROCESS_ENDED)
        set_state(process, PROCESS_ENDED, NULL);
    process->n_coroutines--;
    gate_open(process->processes->loop, &process->changed);
}

static CO_FN void probe_once(struct process *process)
{
    pid_t pid = process->pid;
    struct error problem = {0};
    int r = process->spec.probe(process->spec.argument, &problem);
    /* The answer counts only for the life it was asked in. */
    if (process->pid == pid && pid != 0) {
        if (r == 0 && process->state != PROCESS_READY)
            set_state(process, PROCESS_READY, NULL);
        else if (r < 0)
            set_state(process,
                      process->state == PROCESS_STARTING ? PROCESS_STARTING : PROCESS_FAILING,
                      &problem);
    }
    error_done(&problem);
}

static CO_FN void probe_again_and_again(void *argument)
{
    struct process *process = argument;
    struct loop *loop = process->processes->loop;
    int64_t pause = FIRST_PROBE, waited = 0;
    while (!process->is_stopping && process->state != PROCESS_ENDED) {
        if (process->pid != 0)
            probe_once(process);
        int64_t period = process->spec.probe_period_us;
        if (period == 0)
            period = process->state == PROCESS_READY ? SECOND : pause;
        waited = process->state == PROCESS_READY ? 0 : waited + pause;
        pause = waited <= USUAL_START    ? FIRST_PROBE
                : pause * 2 > LAST_PROBE ? LAST_PROBE
                                         : pause * 2;
        int64_t deadline = world_monotonic_clock() + period;
        while (!process->is_stopping && process->state != PROCESS_ENDED &&
               world_monotonic_clock() < deadline)
            gate_wait(loop, &process->changed, deadline, NULL);
    }
    process->n_coroutines--;
    gate_open(loop, &process->changed);
}

int process_start(struct processes *processes, const struct process_spec *spec,
                  struct process **ret_process, struct error *err)
{
    assert(spec->name && spec->arguments && spec->arguments[0]);
    struct process *process = new_process(processes, spec);
    int r = launch(process, err);
    if (r < 0) {
        free_process(process);
        return r;
    }
    process->n_coroutines = 1;
    loop_spawn(processes->loop, "process", supervise, process);
    if (spec->probe) {
        process->n_coroutines++;
        loop_spawn(processes->loop, "probe", probe_again_and_again, process);
    }
    *ret_process = process;
    return 0;
}

CO_FN int process_wait_ready(struct process *process, int64_t deadline, struct error *err)
{
    while (process->state != PROCESS_READY) {
        if (process->state == PROCESS_ENDED)
            return error_set(err, ERROR_UNAVAILABLE, "%s", process_problem(process));
        int r = gate_wait(process->processes->loop, &process->changed, deadline, NULL);
        if (r < 0)
            return error_set(err, ERROR_TIMEOUT, "%s is not ready: %s", process->name,
                             process_problem(process));
    }
    return 0;
}

CO_FN int process_wait_end(struct process *process, int64_t deadline, int *ret_status,
                           struct error *err)
{
    while (process->state != PROCESS_ENDED) {
        if (gate_wait(process->processes->loop, &process->changed, deadline, NULL) < 0)
            return error_set(err, ERROR_TIMEOUT, "%s has not ended", process->name);
    }
    *ret_status = process->status;
    return 0;
}

/* Waits until it does not run any more; returns whether that is so. */
static CO_FN bool wait_gone(struct process *process, int64_t deadline)
{
    struct loop *loop = process->processes->loop;
    while (process->pid != 0) {
        if (gate_wait(loop, &process->changed, deadline, NULL) < 0)
            return process->pid == 0;
    }
    return true;
}

void process_begin_stop(struct process *process, int number)
{
    process->is_stopping = true;
    gate_open(process->processes->loop, &process->changed);
    process_signal(process, number);
}

CO_FN void process_wait_stopped(struct process *process, int64_t deadline)
{
    assert(process->is_stopping);
    wait_gone(process, deadline);
}

CO_FN void process_stop(struct process *take_process)
{
    if (!take_process)
        return;
    struct process *process = take_process;
    struct loop *loop = process->processes->loop;
    int64_t grace = process->spec.stop_grace_us ? process->spec.stop_grace_us : 2 * SECOND;
    process_begin_stop(process, process->spec.stop_signal ? process->spec.stop_signal : SIGTERM);
    if (!wait_gone(process, world_monotonic_clock() + grace)) {
        kill(-process->pid, SIGKILL);
        wait_gone(process, -1);
    }
    while (process->n_coroutines > 0)
        gate_wait(loop, &process->changed, -1, NULL);
    free_process(process);
}

enum process_state process_state(const struct process *process)
{
    return process->state;
}

const char *process_name(const struct process *process)
{
    return process->name;
}

const char *process_host(const struct process *process)
{
    return process->host;
}

pid_t process_pid(const struct process *process)
{
    return process->pid;
}

char *process_own_proc(const struct process *process)
{
    return process->pid > 0 ? cage_own_proc(&process->door) : NULL;
}

unsigned int process_restarts(const struct process *process)
{
    return process ? process->n_restarts : 0;
}

int process_limit(struct process *process, const struct machine_quota *quota, struct error *err)
{
    assert(cgroup_is_needed(&process->spec.quota));
    process->spec.quota = *quota;
    return process->processes->cgroups
               ? cgroup_make(process->processes->cgroups, process->name, quota, err)
               : 0;
}

void process_signal(struct process *process, int number)
{
    if (process->pid > 0)
        kill(process->pid, number);
}

const char *process_problem(const struct process *process)
{
    return process->problem ? process->problem : "";
}
