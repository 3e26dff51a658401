/* One run of the simulated world, from an empty disk to its end. */
#include "sim/sim.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "model/yaml.h"
#include "sim/canaries.h"
#include "sim/disk.h"
#include "sim/estate.h"
#include "sim/file.h"
#include "sim/oracle.h"
#include "sim/remote.h"
#include "sim/story.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

enum { DOORS_MAX = 60, DOORS_IN_TROUBLE = 14, REAL_HOMES = 10 /* of a hundred */, HOME_SEED = 1 };

struct sim *sim;
struct catalog *sim_catalog;

/* --- The world --- */

static int64_t dead_clock(void)
{
    return sim->current ? sim->current->dead_clock : 0;
}

static int64_t monotonic_clock(void)
{
    return sim->now + dead_clock();
}

static int64_t wall_clock(void)
{
    return sim->now + dead_clock() + sim->wall_offset;
}

static void fill_random(void *ret_bytes, size_t size)
{
    random_fill(&sim->names, ret_bytes, size);
}

static void wait_until(int64_t deadline)
{
    (void)deadline;
    sim_violation("a loop waits by itself");
}

static size_t choose_next(size_t n)
{
    return n == 1 ? 0 : (size_t)random_below(&sim->schedule, n);
}

static const struct world_ops simulated_world = {
    .wall_clock = wall_clock,
    .monotonic_clock = monotonic_clock,
    .random = fill_random,
    .wait = wait_until,
    .choose = choose_next,
};

/* --- What is seen of it --- */

void sim_trace(const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    uint64_t hash = sim->report->trace_hash ^ (uint64_t)sim->now;
    for (int i = 0; i < length && i < (int)sizeof(line) - 1; i++)
        hash = (hash ^ (unsigned char)line[i]) * UINT64_C(0x100000001b3);
    sim->report->trace_hash = hash;
    if (sim->options->is_traced)
        printf("%10.3f %s\n", (double)(sim->now % (1000000 * SECOND)) / 1e6, line);
}

void sim_violation(const char *format, ...)
{
    char *text = sim->report->violation;
    if (*text)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(sim->report->violation), format, arguments);
    va_end(arguments);
    sim_trace("VIOLATION: %s", text);
}

/* --- The story --- */

static void observer_body(struct process *process)
{
    struct error err = {0};
    if (process_open(process, &err) < 0)
        sim_violation("the store cannot be opened at the end: %s", error_message(&err));
    else
        oracle_check_converged(process->service->store, found.uid);
    error_done(&err);
}

/* Makes an empty store and closes it. */
static void maker_body(struct process *process)
{
    struct error err = {0};
    if (process_make_store(process, &err) < 0)
        sim_violation("a new store cannot be made: %s", error_message(&err));
    error_done(&err);
}

static void run_processes(const char *role, void (*body)(struct process *process))
{
    (void)process_start(role, body);
    processes_run();
    sim->report->n_processes = (size_t)sim->n_processes;
    processes_done();
}

static void calm_down(void)
{
    sim->is_calm = true;
    sim->disk_trouble = 0;
    memset(sim->armed, 0, sizeof(sim->armed));
    disk_set_full(false);
    disk_set_broken(false);
    sim_trace("from here on nothing goes wrong");
}

/* Nobody is there, but what was sent arrives. */
static void idle(int64_t duration)
{
    int64_t end = sim->now + duration;
    while (remotes_next() <= end) {
        sim->now = remotes_next() > sim->now ? remotes_next() : sim->now;
        remotes_turn();
    }
    sim->now = end > sim->now ? end : sim->now;
}

static bool has_answer(void)
{
    return found.is_settled || *sim->report->violation;
}

/* Opens doors until one finds that all is as the document wants; or, while more is to come, until
 * people change their mind. */
static void settle_revision(bool is_last)
{
    int64_t patience =
        is_last ? DOORS_MAX : random_between(&sim->doors, 1, story_is_in_hurry() ? 1 : 4);
    found.is_settled = false;
    if (is_last && story_is_in_hurry())
        faults_hasten();
    for (int64_t i = 0; i < patience && !has_answer(); i++) {
        if (i == DOORS_IN_TROUBLE)
            calm_down();
        if (!sim->is_calm && random_chance(&sim->rivals, 6))
            (void)process_start("rival", door_body);
        /* What was let go in another size than it is wanted in later could not be had back. */
        bool forgets =
            is_last && !sim->is_calm && story_has_estate() && random_chance(&sim->importers, 30);
        if (forgets)
            (void)process_start("forgetter", forgetter_body);
        bool writes = !sim->is_calm && story_has_writers() && random_chance(&sim->writers, 25);
        if (writes)
            (void)process_start("writer", writer_body);
        bool imports = !sim->is_calm && story_has_importers() && random_chance(&sim->imports, 60);
        for (bool more = imports; more; more = random_chance(&sim->imports, 25))
            (void)process_start("importer", importer_body);
        run_processes("door", door_body);
        found.is_settled = found.is_settled && !forgets && !writes && !imports;
        idle(random_between(&sim->doors, 1, 400) * SECOND);
    }
    if (is_last && !has_answer())
        sim_violation("it does not come to an end: %d doors found something to do", DOORS_MAX);
}

static void tell_story(void)
{
    for (unsigned int i = 1; i <= story_revisions() && !*sim->report->violation; i++) {
        CLEANUP(mem_freep) char *document = story_next_document();
        file_save(document);
        sim->seen_revision = 0;
        sim_trace("revision %u is wanted", i);
        if (sim->options->is_traced)
            printf("%s", document);
        settle_revision(i == story_revisions());
    }
    if (*sim->report->violation)
        return;
    calm_down();
    run_processes("observer", observer_body);
}

static void begin(struct sim *world, const struct sim_options *options)
{
    uint64_t seed = options->seed;
    world->schedule = random_stream(seed, "schedule", 0);
    world->latency = random_stream(seed, "latency", 0);
    world->names = random_stream(seed, "names", 0);
    world->power = random_stream(seed, "power", 0);
    world->doors = random_stream(seed, "doors", 0);
    world->rivals = random_stream(seed, "rivals", 0);
    world->importers = random_stream(seed, "importers", 0);
    world->writers = random_stream(seed, "writers", 0);
    world->repeaters = random_stream(seed, "repeaters", 1);
    world->homes = random_stream(seed, "homes", 0);
    world->imports = random_stream(seed, "imports", 0);
    world->now = INT64_C(1000000000) * SECOND;
    world->wall_offset = INT64_C(800000000) * SECOND;
    world_replace(&simulated_world);
    /* The processes of a run read the same records, plans and documents again and again. */
    json_remember(true);
    yaml_remember(true);
    /* One in eight runs has two connections a process, as real ones do: what comes of it is the
     * same. */
    struct random connections = random_stream(seed, "connections", 0);
    store_share_connections(!random_chance(&connections, 12));
    sqlite3_randomness(0, NULL);
}

static void make_home(void)
{
    run_processes("maker", maker_body);
    disk_take_image();
}

static void live_in_home(void)
{
    if (!random_chance(&sim->homes, REAL_HOMES))
        disk_put_image();
    story_begin(sim->options, sim->report);
    faults_choose(sim);
    tell_story();
    story_done();
    file_done();
}

static void run_world(const struct sim_options *options, struct sim_report *ret_report,
                      void (*run)(void))
{
    struct sim world = {.options = options, .report = ret_report};
    *ret_report = (struct sim_report){.trace_hash = UINT64_C(0xcbf29ce484222325)};
    sim = &world;
    begin(&world, options);
    disk_begin();
    remotes_begin();
    oracle_begin();
    estate_begin();
    canaries_begin();
    run();
    mem_keep_freed();
    oracle_done();
    estate_done();
    canaries_done();
    remotes_done();
    disk_done();
    json_remember(false);
    yaml_remember(false);
    store_share_connections(false);
    world_replace(NULL);
    sim = NULL;
}

void sim_run(const struct sim_options *options, struct sim_report *ret_report)
{
    static bool has_home;
    if (!has_home) {
        struct sim_options quiet = {.seed = HOME_SEED, .is_calm = true};
        run_world(&quiet, ret_report, make_home);
        has_home = true;
    }
    run_world(options, ret_report, live_in_home);
}
