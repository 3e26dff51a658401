/* What goes wrong in a run: chosen by the seed beforehand, and struck when its point is reached. */
#include "sim/sim.h"

#include "sim/disk.h"
#include "sim/remote.h"
#include "sim/story.h"

enum {
    POINTS_MAX = 45,
    FAULT_PLACES = MOVE_PLACE - 3 /* of the first kinds; behind them those of the later ones */
};

static const char *const kinds[FAULT_KIND_COUNT] = {
#define FAULT_TEXT(name, text) [FAULT_##name] = text,
    FAULT_KINDS(FAULT_TEXT)
#undef FAULT_TEXT
};

static const char *const boundaries[BOUNDARY_COUNT] = {
    [BOUNDARY_NO_INTENT] = "no intent",           [BOUNDARY_INTENT_ONLY] = "intent only",
    [BOUNDARY_CALL_SENT] = "call sent",           [BOUNDARY_RESULT_LOST] = "result lost",
    [BOUNDARY_RESULT_DURABLE] = "result durable",
};

const char *fault_kind_to_string(enum fault_kind kind)
{
    return kinds[kind];
}

const char *boundary_to_string(enum boundary boundary)
{
    return boundaries[boundary];
}

/* Most points are early ones: an intent is written for many steps at once. */
static unsigned int choose_nth(struct random *random, enum boundary boundary)
{
    uint64_t limit = boundary == BOUNDARY_NO_INTENT ? 4 : POINTS_MAX;
    return 1 + (unsigned int)random_below(random, 1 + random_below(random, limit));
}

static void choose_fault(struct random *random, struct fault *fault)
{
    fault->kind = (enum fault_kind)random_below(random, FAULT_LATER);
    if (random_chance(random, 25))
        fault->kind = random_chance(random, 60) ? FAULT_KILL : FAULT_POWER;
    fault->boundary = (enum boundary)random_below(random, BOUNDARY_COUNT);
    fault->nth = choose_nth(random, fault->boundary);
    fault->disk_steps = random_chance(random, 50) ? (unsigned int)random_between(random, 1, 14) : 0;
    fault->number = random_next(random);
}

/* From a stream of its own, so that the faults that a seed had before these kinds stay as they
 * were. */
static void choose_later_fault(struct random *random, struct fault *fault)
{
    unsigned int n_kinds = FAULT_MOVE - FAULT_LATER;
    fault->kind = (enum fault_kind)(FAULT_LATER + random_below(random, n_kinds));
    fault->boundary = (enum boundary)random_below(random, BOUNDARY_COUNT);
    fault->nth = choose_nth(random, fault->boundary);
    fault->number = random_next(random);
    fault->is_dropped = random_chance(random, 50);
}

/* The same. One in four runs has it. */
static void choose_move(struct random *random, struct fault *fault)
{
    fault->kind = FAULT_MOVE;
    fault->boundary = (enum boundary)random_below(random, BOUNDARY_COUNT);
    fault->nth = choose_nth(random, fault->boundary);
    fault->number = random_next(random);
    fault->is_dropped = !random_chance(random, 25);
}

/* Where people are in a hurry fewer things go wrong, and sooner. */
static void hurry(struct fault *fault, size_t place)
{
    enum { HURRIED = 4, SOONER = 3 };
    fault->nth = 1 + (fault->nth - 1) / SOONER;
    fault->is_dropped |= place >= HURRIED && place < FAULT_PLACES + 2;
}

void faults_choose(struct sim *world)
{
    struct random random = random_stream(world->options->seed, "faults", 0);
    struct random later = random_stream(world->options->seed, "later faults", 0);
    struct random moves = random_stream(world->options->seed, "moves", 0);
    size_t n = (size_t)random_between(&random, 4, FAULT_PLACES);
    for (size_t i = 0; i < FAULTS_MAX; i++) {
        struct fault *fault = &world->faults[i];
        if (i < n)
            choose_fault(&random, fault);
        else if (i == MOVE_PLACE)
            choose_move(&moves, fault);
        else if (i >= FAULT_PLACES)
            choose_later_fault(&later, fault);
        fault->is_dropped |= (i >= n && i < FAULT_PLACES) ||
                             (world->options->without_faults & UINT64_C(1) << i) != 0;
        if (story_is_in_hurry())
            hurry(fault, i);
    }
    world->is_calm = world->options->is_calm;
}

void faults_hasten(void)
{
    for (size_t i = 0; i < FAULTS_MAX; i++) {
        struct fault *fault = &sim->faults[i];
        unsigned int next = sim->n_points[fault->boundary] + 1 + (unsigned int)(fault->number % 4);
        if (fault->nth > next)
            fault->nth = next;
    }
}

bool fault_takes(enum fault_kind kind)
{
    if (sim->armed[kind] == 0 || sim_is_dead())
        return false;
    sim->armed[kind]--;
    sim_trace("process %d meets: %s", sim->current->id, kinds[kind]);
    return true;
}

/* One that is stopped twice goes on after the longer one: all of it stands still, so that nobody
 * takes the lease from a call that waits in there. */
static CO_FN void pause_process(struct process *process, int64_t duration)
{
    sim_trace("process %d is stopped for %d s", process->id, (int)(duration / SECOND));
    if (process->paused_until < sim->now + duration)
        process->paused_until = sim->now + duration;
    if (coroutine_self())
        loop_sleep(process->loop, duration);
}

static bool is_anybody_stopped(void)
{
    for (const struct process *process = sim->processes; process; process = process->next)
        if (!process->is_dead && process->paused_until > sim->now)
            return true;
    return false;
}

/* Whoever stands between its look at the lease and its call must go on at once without it: what it
 * sends later is beyond what is promised. */
static bool may_strike(const struct fault *fault, const struct process *process)
{
    bool is_sending = process->boundary == BOUNDARY_INTENT_ONLY;
    if (fault->kind == FAULT_LEASE)
        return process->cancel && !is_anybody_stopped();
    return fault->kind != FAULT_PAUSE || !process->has_lost_lease || !is_sending;
}

/* The lock file is removed, and its holder may be stopped for a while. */
static CO_FN void lose_lease(struct process *process, uint64_t number)
{
    for (struct process *other = sim->processes; other; other = other->next)
        other->has_lost_lease = true;
    disk_lose_files(SIM_HOME "/leases/");
    if (process->boundary != BOUNDARY_INTENT_ONLY && number % 2)
        pause_process(process, (int64_t)(1 + number / 2 % 7200) * SECOND);
}

static void disturb_disk(const struct fault *fault)
{
    disk_set_full(fault->kind == FAULT_FULL);
    disk_set_broken(fault->kind == FAULT_BROKEN);
    sim->disk_trouble = 1 + (unsigned int)(fault->number % 12);
}

static CO_FN void strike(struct fault *fault)
{
    struct process *process = sim->current;
    fault->is_over = true;
    sim->report->struck[fault->kind][process->boundary]++;
    sim->report->n_faults++;
    sim_trace("fault: %s at \"%s\" of process %d", kinds[fault->kind],
              boundaries[process->boundary], process->id);
    switch (fault->kind) {
    case FAULT_KILL:
        process_kill(process);
        break;
    case FAULT_POWER:
        kill_everything();
        sim->is_power_lost = true;
        break;
    case FAULT_PAUSE:
        pause_process(process, (int64_t)(1 + fault->number % 7200) * SECOND);
        break;
    case FAULT_FULL:
    case FAULT_BROKEN:
        disturb_disk(fault);
        break;
    case FAULT_CLOCK:
        sim->wall_offset += ((int64_t)(fault->number % 172800) - 86400) * SECOND;
        break;
    case FAULT_FOREIGN:
        remotes_meddle(fault->number);
        break;
    case FAULT_RIVAL:
        (void)process_start("rival", door_body);
        break;
    case FAULT_LEASE:
        lose_lease(process, fault->number);
        break;
    case FAULT_STRANGER:
        remotes_add_stranger(fault->number);
        break;
    case FAULT_MOVE:
        remotes_move(fault->number);
        break;
    case FAULT_EDIT:
        sim->edit = fault->number;
        (void)process_start("editor", editor_body);
        break;
    case FAULT_CANCEL:
        if (process->cancel)
            process->cancel(process->cancelled);
        break;
    default:
        sim->armed[fault->kind] += 1 + (unsigned int)(fault->number % 3);
        break;
    }
}

static bool is_death(const struct fault *fault)
{
    return fault->kind == FAULT_KILL || fault->kind == FAULT_POWER;
}

void sim_point(enum boundary boundary)
{
    struct process *process = sim->current;
    if (process->is_dead)
        return;
    process->boundary = boundary;
    sim->n_points[boundary]++;
    for (size_t i = 0; i < FAULTS_MAX && !sim->is_calm && !process->is_dead; i++) {
        struct fault *fault = &sim->faults[i];
        if (fault->is_over || fault->is_dropped || fault->is_armed || fault->boundary != boundary ||
            sim->n_points[boundary] < fault->nth || !may_strike(fault, process))
            continue;
        if (is_death(fault) && fault->disk_steps > 0 && !process->dying_of) {
            fault->is_armed = true;
            process->dying_of = fault;
            process->disk_steps = fault->disk_steps;
        } else {
            strike(fault);
        }
    }
}

void fault_ahead(struct random *random, unsigned int max_steps)
{
    struct process *process = sim->current;
    if (sim->is_calm || process->is_dead || process->dying_of || random_chance(random, 40))
        return;
    sim->ahead = (struct fault){.kind = random_chance(random, 30) ? FAULT_POWER : FAULT_KILL};
    process->dying_of = &sim->ahead;
    process->disk_steps = (unsigned int)random_between(random, 1, max_steps);
}

bool sim_disk_step(const char *what)
{
    struct process *process = sim->current;
    if (process->is_dead)
        return false;
    if (sim->options->is_verbose)
        sim_trace("process %d: %s", process->id, what);
    sim->now += 100;
    if (sim->disk_trouble > 0 && --sim->disk_trouble == 0) {
        disk_set_full(false);
        disk_set_broken(false);
        sim_trace("the disk is well again");
    }
    if (process->dying_of && !sim->is_calm && --process->disk_steps == 0) {
        struct fault *fault = process->dying_of;
        process->dying_of = NULL;
        strike(fault);
    }
    return !process->is_dead;
}
