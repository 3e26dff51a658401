/* tools/sim: runs seeds, and says which one broke what. */
#include "sim/sim.h"

#include "base/memory.h"
#include "base/teeth.h"
#include "base/world.h"
#include "sim/story.h"
#include "sim/vfs.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS_MAX = 64, ITEMS_COUNTED = 64 };

#ifdef PARLEY_TEETH
enum tooth tooth_broken;
#endif

struct arguments {
    uint64_t n_runs;
    uint64_t seed;
    unsigned int n_workers;
    bool is_calm;
    bool is_traced;
    bool is_shrunk;
    bool is_quiet;
    bool is_tap;
    bool bites;
    bool is_verbose;
    const char *kept;
    uint64_t without_items;
    uint64_t without_faults;
    const char *catalog;
};

/* What a worker tells its parent, in memory that they share. */
struct tally {
    uint64_t seed; /* under way */
    uint64_t n_runs;
    uint64_t n_effects;
    uint64_t n_faults;
    uint64_t n_processes;
    uint64_t n_changing;
    uint64_t hash; /* of all traces */
    uint64_t items[ITEMS_COUNTED];
    uint64_t faults[FAULTS_MAX + 1]; /* runs by how many struck */
    uint64_t struck[FAULT_KIND_COUNT][BOUNDARY_COUNT];
    bool is_broken;
    char violation[1024];
};

static void add_report(struct tally *tally, const struct sim_report *report)
{
    tally->n_runs++;
    tally->n_effects += report->n_effects;
    tally->n_faults += report->n_faults;
    tally->n_processes += report->n_processes;
    tally->n_changing += report->has_changes;
    tally->hash ^= report->trace_hash;
    tally->items[report->n_items < ITEMS_COUNTED ? report->n_items : ITEMS_COUNTED - 1]++;
    tally->faults[report->n_faults < FAULTS_MAX ? report->n_faults : FAULTS_MAX]++;
    for (size_t i = 0; i < FAULT_KIND_COUNT; i++)
        for (size_t k = 0; k < BOUNDARY_COUNT; k++)
            tally->struck[i][k] += report->struck[i][k];
}

static void run_one(const struct arguments *arguments, struct tally *tally, uint64_t seed)
{
    struct sim_options options = {
        .seed = seed,
        .is_traced = arguments->is_traced,
        .is_verbose = arguments->is_verbose,
        .without_items = arguments->without_items,
        .without_faults = arguments->without_faults,
        .is_calm = arguments->is_calm,
    };
    struct sim_report report;
    tally->seed = seed;
    sim_run(&options, &report);
    add_report(tally, &report);
    if (!*report.violation)
        return;
    tally->is_broken = true;
    memcpy(tally->violation, report.violation, sizeof(tally->violation));
}

/* Each worker has every n-th seed and stops when any has found something. */
static void work(const struct arguments *arguments, struct tally *tallies, unsigned int worker)
{
    for (uint64_t i = worker; i < arguments->n_runs; i += arguments->n_workers) {
        for (unsigned int k = 0; k < arguments->n_workers; k++)
            if (tallies[k].is_broken)
                return;
        run_one(arguments, &tallies[worker], arguments->seed + i);
    }
}

static pid_t start_worker(const struct arguments *arguments, struct tally *tallies,
                          unsigned int worker)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (arguments->is_quiet && !freopen("/dev/null", "w", stderr))
        _exit(2);
    work(arguments, tallies, worker);
    fflush(stdout);
    _exit(0);
}

/* A worker that a signal ended was ended by the engine: that seed is broken, too. */
static void end_worker(pid_t pid, struct tally *tally)
{
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    tally->is_broken = true;
    snprintf(tally->violation, sizeof(tally->violation), "the process ended with %s",
             WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "an error");
}

static struct tally *run_workers(const struct arguments *arguments)
{
    size_t size = WORKERS_MAX * sizeof(struct tally);
    struct tally *tallies =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (tallies == MAP_FAILED) {
        perror("share memory with the workers");
        exit(2);
    }
    pid_t pids[WORKERS_MAX];
    for (unsigned int i = 0; i < arguments->n_workers; i++)
        pids[i] = start_worker(arguments, tallies, i);
    for (unsigned int i = 0; i < arguments->n_workers; i++)
        end_worker(pids[i], &tallies[i]);
    return tallies;
}

static void free_tallies(struct tally *tallies)
{
    munmap(tallies, WORKERS_MAX * sizeof(struct tally));
}

/* --- What it says --- */

static void print_table(const struct tally *sum)
{
    printf("# %-20s", "fault \\ boundary");
    for (size_t k = 0; k < BOUNDARY_COUNT; k++)
        printf(" %14s", boundary_to_string((enum boundary)k));
    printf("\n");
    for (size_t i = 0; i < FAULT_KIND_COUNT; i++) {
        printf("# %-20s", fault_kind_to_string((enum fault_kind)i));
        for (size_t k = 0; k < BOUNDARY_COUNT; k++)
            printf(" %14" PRIu64, sum->struck[i][k]);
        printf("\n");
    }
}

static size_t median(const uint64_t *counts, size_t n)
{
    uint64_t total = 0;
    uint64_t so_far = 0;
    for (size_t i = 0; i < n; i++)
        total += counts[i];
    for (size_t i = 0; i < n; i++)
        if ((so_far += counts[i]) * 2 >= total)
            return i;
    return 0;
}

static void add_tally(struct tally *sum, const struct tally *tally)
{
    sum->n_runs += tally->n_runs;
    sum->n_effects += tally->n_effects;
    sum->n_faults += tally->n_faults;
    sum->n_processes += tally->n_processes;
    sum->n_changing += tally->n_changing;
    sum->hash ^= tally->hash;
    for (size_t i = 0; i < ITEMS_COUNTED; i++)
        sum->items[i] += tally->items[i];
    for (size_t i = 0; i <= FAULTS_MAX; i++)
        sum->faults[i] += tally->faults[i];
    for (size_t i = 0; i < FAULT_KIND_COUNT; i++)
        for (size_t k = 0; k < BOUNDARY_COUNT; k++)
            sum->struck[i][k] += tally->struck[i][k];
}

/* Of all children so far, which have ended; who built the simulator may be one. */
static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void print_sum(const struct arguments *arguments, const struct tally *sum, double seconds,
                      double cpu)
{
    uint64_t few = sum->faults[0] + sum->faults[1] + sum->faults[2];
    print_table(sum);
    printf("# %" PRIu64 " runs in %.1f s (%.0f/s, %.1f ms of a core each): %" PRIu64
           " processes, %" PRIu64 " effects, %" PRIu64 " faults\n",
           sum->n_runs, seconds, (double)sum->n_runs / (seconds > 0 ? seconds : 1),
           cpu * 1e3 / (double)(sum->n_runs ? sum->n_runs : 1), sum->n_processes, sum->n_effects,
           sum->n_faults);
    printf("# median %zu resources, %zu faults (%" PRIu64 " runs with fewer than 3); %" PRIu64
           " runs with a replacement or delete; traces %016" PRIx64 "\n",
           median(sum->items, ITEMS_COUNTED), median(sum->faults, FAULTS_MAX + 1), few,
           sum->n_changing, sum->hash);
    if (arguments->is_tap)
        printf("1..1\n%sok 1 - %" PRIu64 " runs from seed %" PRIu64 " keep every promise\n",
               sum->is_broken ? "not " : "", arguments->n_runs, arguments->seed);
}

/* --- Shrinking --- */

static bool still_breaks(const struct arguments *arguments)
{
    struct tally *tallies = run_workers(arguments);
    bool is_broken = tallies[0].is_broken;
    free_tallies(tallies);
    return is_broken;
}

static void shrink_bits(struct arguments *arguments, uint64_t *bits, unsigned int n)
{
    for (unsigned int size = n / 2 ? n / 2 : 1; size > 0; size /= 2) {
        for (unsigned int at = 0; at < n; at += size) {
            uint64_t kept = *bits;
            for (unsigned int i = at; i < at + size && i < n; i++)
                *bits |= UINT64_C(1) << i;
            if (*bits != kept && !still_breaks(arguments))
                *bits = kept;
        }
    }
}

static void print_case(const struct arguments *arguments)
{
    printf("tools/sim --seed %" PRIu64 " --without-items %#" PRIx64 " --without-faults %#" PRIx64
           "%s --trace\n",
           arguments->seed, arguments->without_items, arguments->without_faults,
           arguments->is_calm ? " --calm" : "");
}

static void shrink(struct arguments arguments)
{
    arguments.n_runs = arguments.n_workers = 1;
    arguments.is_traced = false;
    arguments.is_quiet = true;
    if (!still_breaks(&arguments)) {
        printf("seed %" PRIu64 " breaks nothing\n", arguments.seed);
        return;
    }
    for (int round = 0; round < 2; round++) {
        shrink_bits(&arguments, &arguments.without_faults, FAULTS_MAX);
        shrink_bits(&arguments, &arguments.without_items, STORY_PARTS);
    }
    print_case(&arguments);
}

/* --- Teeth --- */

#ifdef PARLEY_TEETH
static const char *const teeth[TOOTH_COUNT] = {
#define TOOTH_TEXT(name, text) [TOOTH_##name] = text,
    TEETH(TOOTH_TEXT)
#undef TOOTH_TEXT
};

/* Breaks the engine in each way, and says after how many runs that was noticed. */
static int bite(const struct arguments *arguments)
{
    int status = 0;
    for (unsigned int i = TOOTH_NONE + 1; i < TOOTH_COUNT; i++) {
        tooth_broken = (enum tooth)i;
        struct tally *tallies = run_workers(arguments);
        struct tally sum = {0};
        const char *violation = NULL;
        for (unsigned int k = 0; k < arguments->n_workers; k++) {
            add_tally(&sum, &tallies[k]);
            if (tallies[k].is_broken)
                violation = tallies[k].violation;
        }
        printf("%sok %u - %s: %s after %" PRIu64 " runs%s%s\n", violation ? "" : "not ", i,
               teeth[i], violation ? "noticed" : "NOT noticed", sum.n_runs, violation ? ": " : "",
               violation ? violation : "");
        status |= !violation;
        free_tallies(tallies);
    }
    printf("1..%d\n", TOOTH_COUNT - 1);
    return status;
}
#else
static int bite(const struct arguments *arguments)
{
    (void)arguments;
    fprintf(stderr, "this build has no switches to break it; build it with -Dteeth=true\n");
    return 2;
}
#endif

/* --- Kept cases --- */

/* A line is "SEED WITHOUT-ITEMS WITHOUT-FAULTS what it was"; "#" begins a comment. */
static bool run_kept(struct arguments arguments, const char *line, unsigned int n)
{
    char *rest;
    arguments.seed = strtoull(line, &rest, 0);
    arguments.without_items = strtoull(rest, &rest, 0);
    arguments.without_faults = strtoull(rest, &rest, 0);
    if (*rest++ != ' ') {
        printf("not ok %u - a line of the kept cases cannot be read: %s\n", n, line);
        return false;
    }
    arguments.n_runs = arguments.n_workers = 1;
    struct tally *tallies = run_workers(&arguments);
    bool is_broken = tallies[0].is_broken;
    if (is_broken)
        printf("# %s\n", tallies[0].violation);
    printf("%sok %u - seed %" PRIu64 ": %s\n", is_broken ? "not " : "", n, arguments.seed, rest);
    free_tallies(tallies);
    return !is_broken;
}

static int run_all_kept(const struct arguments *arguments)
{
    char *text;
    struct error err = {0};
    if (world_read_file(arguments->kept, 1 << 20, &text, NULL, &err) < 0) {
        fprintf(stderr, "%s\n", error_message(&err));
        return 2;
    }
    unsigned int n = 0;
    int status = 0;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (*line && *line != '#' && !run_kept(*arguments, line, ++n))
            status = 1;
    printf("1..%u\n", n);
    mem_free(text);
    return status;
}

/* --- The command line --- */

static const char usage[] =
    "usage: tools/sim [--runs N] [--seed S | --fresh] [--jobs N] [--trace | --verbose] [--shrink] [--calm]\n"
    "                 [--without-items BITS] [--without-faults BITS] [--kept FILE] [--tap] [--teeth]\n";

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 0);
    if (errno || *end || end == text) {
        fprintf(stderr, "\"%s\" is no number\n%s", text, usage);
        exit(2);
    }
    return value;
}

static void read_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        {"runs", required_argument, NULL, 'r'},
        {"seed", required_argument, NULL, 's'},
        {"jobs", required_argument, NULL, 'w'},
        {"trace", no_argument, NULL, 't'},
        {"verbose", no_argument, NULL, 'v'},
        {"shrink", no_argument, NULL, 'k'},
        {"calm", no_argument, NULL, 'c'},
        {"without-items", required_argument, NULL, 'i'},
        {"without-faults", required_argument, NULL, 'f'},
        {"catalog", required_argument, NULL, 'C'},
        {"kept", required_argument, NULL, 'K'},
        {"fresh", no_argument, NULL, 'F'},
        {"tap", no_argument, NULL, 'T'},
        {"teeth", no_argument, NULL, 'B'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'r':
            arguments->n_runs = number(optarg);
            break;
        case 's':
            arguments->seed = number(optarg);
            break;
        case 'w':
            arguments->n_workers = (unsigned int)number(optarg);
            break;
        case 't':
            arguments->is_traced = true;
            break;
        case 'v':
            arguments->is_traced = arguments->is_verbose = true;
            break;
        case 'k':
            arguments->is_shrunk = true;
            break;
        case 'c':
            arguments->is_calm = true;
            break;
        case 'i':
            arguments->without_items = number(optarg);
            break;
        case 'f':
            arguments->without_faults = number(optarg);
            break;
        case 'C':
            arguments->catalog = optarg;
            break;
        case 'K':
            arguments->kept = optarg;
            break;
        case 'F':
            world_random(&arguments->seed, sizeof(arguments->seed));
            arguments->seed >>= 20;
            break;
        case 'B':
            arguments->bites = true;
            break;
        case 'T':
            arguments->is_tap = true;
            break;
        default:
            fprintf(stderr, "%s", usage);
            exit(2);
        }
    }
    if (arguments->n_workers == 0 || arguments->n_workers > WORKERS_MAX)
        arguments->n_workers = 1;
    if (arguments->n_workers > arguments->n_runs)
        arguments->n_workers = (unsigned int)arguments->n_runs;
}

static void open_catalog(const char *folder)
{
    struct diagnostics diagnostics = {0};
    struct error err = {0};
    if (catalog_open(folder, &sim_catalog, &diagnostics, &err) < 0) {
        fprintf(stderr, "%s: %s\n", folder, error_message(&err));
        exit(2);
    }
    diagnostics_done(&diagnostics);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.n_runs = 1, .seed = 1, .catalog = SIM_CATALOG};
    long n_processors = sysconf(_SC_NPROCESSORS_ONLN);
    arguments.n_workers = n_processors > 0 ? (unsigned int)n_processors : 1;
    read_arguments(argc, argv, &arguments);
    open_catalog(arguments.catalog);
    /* The simulated world has one thread, and nobody asks how much memory SQLite has. */
    sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    vfs_register();
    if (arguments.bites)
        return bite(&arguments);
    if (arguments.kept)
        return run_all_kept(&arguments);
    if (arguments.is_shrunk) {
        shrink(arguments);
        return 0;
    }
    int64_t began_at = world_monotonic_clock();
    double cpu_before = cpu_seconds();
    struct tally *tallies = run_workers(&arguments);
    double seconds = (double)(world_monotonic_clock() - began_at) / 1e6;
    struct tally sum = {0};
    int status = 0;
    for (unsigned int i = 0; i < arguments.n_workers; i++) {
        add_tally(&sum, &tallies[i]);
        if (!tallies[i].is_broken)
            continue;
        sum.is_broken = true;
        printf("%sseed %" PRIu64 ": %s\n", arguments.is_tap ? "# " : "", tallies[i].seed,
               tallies[i].violation);
        status = 1;
    }
    print_sum(&arguments, &sum, seconds, cpu_seconds() - cpu_before);
    free_tallies(tallies);
    catalog_free(sim_catalog);
    return status;
}
