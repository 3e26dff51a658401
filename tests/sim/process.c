/* Processes of the simulated world, and who has the next turn. */
#include "sim/sim.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "sim/canaries.h"
#include "sim/disk.h"
#include "sim/oracle.h"
#include "sim/remote.h"
#include "sim/vfs.h"

#include <assert.h>

enum { TURNS_MAX = 2000000, STEPS_TO_STORE = 60 /* of the disk */ };

const void *sim_process(void)
{
    return sim->current;
}

bool sim_process_is_dead(const void *process)
{
    return ((const struct process *)process)->is_dead;
}

bool sim_is_dead(void)
{
    return sim->current->is_dead;
}

void sim_sleep(int64_t duration_us)
{
    if (sim_is_dead())
        sim->current->dead_clock += duration_us;
    else
        sim->now += duration_us;
}

static int start_run(struct service *service, const char *run_id, bool is_resume, int log,
                     struct error *err);
static void begin_run(struct service *service, void (*cancel)(void *argument), void *argument);
static void end_run(struct service *service);

static const struct run_host simulated_host = {
    .start = start_run, .begin = begin_run, .end = end_run};

/* What service_open() would make of an empty machine, without reading its folders. */
static struct service *new_service(struct process *process, struct error *err)
{
    struct service *service = NEW(struct service);
    service->loop = process->loop;
    service->home = string_copy(SIM_HOME);
    service->caller = (struct caller){.principal = string_copy("user:simulated"),
                                      .client = string_copy("command line"),
                                      .roles = ROLE(ROLE_OWNER)};
    service->words = string_copy("up");
    service->catalog = sim_catalog;
    service->run_host = &simulated_host;
    int r = site_read(NULL, &service->site, NULL, err);
    assert(r == 0);
    (void)r;
    remotes_connect(process, service);
    canaries_offer();
    return service;
}

int process_make_store(struct process *process, struct error *err)
{
    process->service = new_service(process, err);
    return service_need_store(process->service, true, err);
}

/* Who finds no store makes one with the first commit, and may die over that. */
int process_open(struct process *process, struct error *err)
{
    process->service = new_service(process, err);
    if (!world_file_exists(SIM_HOME "/parley.db")) {
        sim_trace("process %d finds no store", process->id);
        fault_ahead(&sim->homes, STEPS_TO_STORE);
    }
    int r = service_begin_store(process->service, err);
    if (r == 0)
        process->service->store = watch_store(process->service->store);
    return r;
}

static void close_service(struct process *process)
{
    if (!process->service)
        return;
    process->service->catalog = NULL;
    service_close(process->service);
    process->service = NULL;
}

static void main_of_process(void *argument)
{
    struct process *process = argument;
    process->body(process);
    close_service(process);
    close_descriptor(process->log);
    process->is_done = true;
}

struct process *process_start(const char *role, void (*body)(struct process *process))
{
    struct process *process = NEW(struct process);
    process->id = ++sim->n_processes;
    process->role = role;
    process->body = body;
    process->loop = loop_new();
    process->log = -1;
    process->next = sim->processes;
    sim->processes = process;
    sim_trace("process %d begins: %s", process->id, role);
    loop_spawn(process->loop, role, main_of_process, process);
    return process;
}

void process_kill(struct process *process)
{
    if (process->is_dead)
        return;
    sim_trace("process %d (%s) dies", process->id, process->role);
    process->is_dead = sim->has_dead = true;
    disk_close_all(process);
    vfs_forget(process);
}

void kill_everything(void)
{
    for (struct process *process = sim->processes; process; process = process->next)
        process_kill(process);
}

/* --- Runs --- */

static void body_of_run(struct process *process)
{
    struct error err = {0};
    int r = process_open(process, &err);
    if (r == 0)
        r = service_execute_run(process->service, process->run_id, process->is_resume, &err);
    oracle_note_output(process, error_message(&err));
    if (!process->is_dead)
        sim_trace("run %.8s ends: %s", process->run_id, r < 0 ? error_message(&err) : "0");
    error_done(&err);
}

static int start_run(struct service *service, const char *run_id, bool is_resume, int log,
                     struct error *err)
{
    (void)service;
    if (sim_is_dead())
        return error_set(err, ERROR_UNAVAILABLE, "the process is dead");
    struct process *process = process_start("run", body_of_run);
    process->run_id = string_copy(run_id);
    process->log = disk_hand_over(log, process);
    process->is_resume = is_resume;
    sim_trace("process %d is the run %.8s%s", process->id, run_id, is_resume ? ", resumed" : "");
    return 0;
}

static void begin_run(struct service *service, void (*cancel)(void *argument), void *argument)
{
    (void)service;
    sim->current->cancel = cancel;
    sim->current->cancelled = argument;
    oracle_run_begins(sim->current);
}

static void end_run(struct service *service)
{
    (void)service;
    sim->current->cancel = NULL;
}

/* --- Turns --- */

static bool has_ended(const struct process *process)
{
    return process->is_done && loop_next(process->loop) == INT64_MAX;
}

/* When it could go on; INT64_MAX: never. */
static int64_t next_turn(const struct process *process)
{
    if (has_ended(process))
        return INT64_MAX;
    int64_t next = loop_next(process->loop);
    return next < process->paused_until ? process->paused_until : next;
}

/* A dead process runs to its end at once, with a clock of its own and nobody to hear it. */
static void unwind(struct process *process)
{
    sim->current = process;
    for (int turns = 0; !has_ended(process); turns++) {
        int64_t next = loop_next(process->loop);
        if (next == INT64_MAX || turns > TURNS_MAX) {
            sim_violation("process %d does not come to its end when it is cut off", process->id);
            return;
        }
        int64_t clock = sim->now + process->dead_clock;
        if (next > clock)
            process->dead_clock += next - clock;
        loop_turn(process->loop);
    }
}

static void bury(void)
{
    if (!sim->has_dead)
        return;
    sim->has_dead = false;
    for (struct process *process = sim->processes; process; process = process->next)
        if (process->is_dead && !has_ended(process))
            unwind(process);
    vfs_forgotten();
    if (!sim->is_power_lost)
        return;
    sim->is_power_lost = false;
    disk_lose_power(&sim->power);
    sim_trace("the power is back");
}

/* One of those whose turn it could be now; NULL when none could. */
static struct process *choose(void)
{
    size_t n = 0;
    for (struct process *process = sim->processes; process; process = process->next)
        n += next_turn(process) <= sim->now;
    if (n == 0)
        return NULL;
    size_t chosen = n == 1 ? 0 : (size_t)random_below(&sim->schedule, n);
    struct process *process = sim->processes;
    for (;; process = process->next)
        if (next_turn(process) <= sim->now && chosen-- == 0)
            return process;
}

/* Moves the clock on to what comes next; false when nothing ever will. */
static bool pass_time(void)
{
    int64_t next = remotes_next();
    bool is_alive = false;
    for (struct process *process = sim->processes; process; process = process->next) {
        is_alive = is_alive || !has_ended(process);
        if (next_turn(process) < next)
            next = next_turn(process);
    }
    if (!is_alive)
        return false;
    if (next == INT64_MAX) {
        sim_violation("everybody waits, and nothing will ever happen");
        kill_everything();
        bury();
        return false;
    }
    if (next > sim->now)
        sim->now = next;
    return true;
}

void processes_run(void)
{
    for (int turns = 0;; turns++) {
        if (turns > TURNS_MAX) {
            sim_violation("there is no end to it");
            kill_everything();
        }
        remotes_turn();
        struct process *process = choose();
        if (process) {
            sim->current = process;
            loop_turn(process->loop);
            bury();
        } else if (!pass_time()) {
            return;
        }
    }
}

void processes_done(void)
{
    sim->current = NULL;
    while (sim->processes) {
        struct process *process = sim->processes;
        sim->processes = process->next;
        assert(has_ended(process));
        oracle_forget(process);
        loop_free(process->loop);
        mem_free(process->run_id);
        mem_free(process);
    }
}

bool process_is_running_run(void)
{
    for (struct process *process = sim->processes; process; process = process->next)
        if (process->cancel && !process->is_dead)
            return true;
    return false;
}
