/*
 * The simulated world of one run: its clock, its processes, its faults and what must never happen.
 * One seed decides everything in it; the same seed gives the same trace, line for line.
 *
 * A process of this world is a loop of its own with the real engine on it. It dies by being cut
 * off: from that instant nothing it does reaches the disk, a provider or another process, and it is
 * run to its end in that silence, so that its memory comes back. Only what left it before counts,
 * which is what a kill leaves.
 */
#pragma once

#include "base/map.h"
#include "base/strbuf.h"
#include "catalog/catalog.h"
#include "net/loop.h"
#include "service/service.h"
#include "service/site.h"
#include "sim/random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECOND INT64_C(1000000)
#define SIM_HOME "/home/parley"

/* Where in the life of a step a fault strikes. */
enum boundary {
    BOUNDARY_NO_INTENT,
    BOUNDARY_INTENT_ONLY,
    BOUNDARY_CALL_SENT,
    BOUNDARY_RESULT_LOST,
    BOUNDARY_RESULT_DURABLE,
    BOUNDARY_COUNT
};

#define FAULT_KINDS(X)                                                \
    X(KILL, "kill")        /* the process dies */                     \
    X(POWER, "power loss") /* all of them, and the unsynced */        \
    X(PAUSE, "pause")      /* stopped, and going on later */          \
    X(FULL, "full disk")                                              \
    X(BROKEN, "broken disk") /* writes and syncs fail for a while */  \
    X(CLOCK, "clock jump")                                            \
    X(LOSE_REQUEST, "lost request")                                   \
    X(LOSE_ANSWER, "lost answer") /* a timeout after success */       \
    X(REFUSE, "refusal")                                              \
    X(HALF, "half done")                                              \
    X(LATE, "late request") /* it arrives after the caller gave up */ \
    X(TWICE, "repeated request")                                      \
    X(FOREIGN, "foreign change") /* changed or removed underneath */  \
    X(UNREADABLE, "no answer to reads")                               \
    X(UNKNOWABLE, "cannot tell")                                      \
    X(ACCOUNT, "wrong account")                                       \
    X(THROTTLE, "throttled")                                          \
    X(EXPIRE, "approval expires")                                     \
    X(RIVAL, "rival") /* a second door for the same */                \
    X(CANCEL, "cancel")                                               \
    X(LEASE, "lost lease")   /* somebody removes its lock */          \
    X(STRANGER, "same name") /* somebody makes a thing of that */     \
    X(EDIT, "edit in words") /* somebody else changes a value */      \
    X(MOVE, "other account") /* an instance leads there for good */

enum fault_kind {
#define FAULT_ENUM(name, text) FAULT_##name,
    FAULT_KINDS(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_KIND_COUNT
};
const char *fault_kind_to_string(enum fault_kind kind);
const char *boundary_to_string(enum boundary boundary);

struct fault {
    enum fault_kind kind;
    enum boundary boundary;
    unsigned int nth; /* of the boundary's points */
    unsigned int
        disk_steps;  /* then so many more of the disk's, for a death in the middle of them */
    uint64_t number; /* what else it needs to be decided */
    bool is_dropped; /* by a shrink */
    bool is_armed;
    bool is_over;
};
enum { FAULTS_MAX = 13, MOVE_PLACE = FAULTS_MAX - 1 /* of the one that is chosen by itself */ };

struct process {
    int id;
    const char *role;
    struct loop *loop;       /* owned */
    struct service *service; /* owned */
    char *run_id;            /* owned; of a run's process */
    bool is_resume;
    int log;          /* owned descriptor, of a run's process; else -1 */
    int64_t began_at; /* by the wall clock; of a run's process */
    bool is_dead;
    bool is_done; /* its main coroutine has ended */
    bool was_cancelled;
    bool has_lost_lease;
    bool only_adopts;  /* its newest plan was asked for what is there already, and no more */
    int64_t proved_at; /* when it asked the store the last time whether it has the lease, and had */
    void (*cancel)(void *argument); /* of the run that it carries out; NULL: none */
    void *cancelled;                /* its argument */
    int64_t paused_until;
    int64_t dead_clock;     /* how much further its clock is than the world's while it unwinds */
    enum boundary boundary; /* the last one it came to */
    struct fault *dying_of; /* it does after some more steps of the disk */
    unsigned int disk_steps;
    void (*body)(struct process *process);
    struct process *next;
};

/* What is asked of one run; from the command line. */
struct sim_options {
    uint64_t seed;
    bool is_traced;          /* print the trace */
    bool is_verbose;         /* the disk, too */
    uint64_t without_items;  /* bits */
    uint64_t without_faults; /* bits */
    bool is_calm;            /* without any faults */
};

struct sim_report {
    uint64_t trace_hash;
    size_t n_items;   /* resources of the largest revision */
    size_t n_effects; /* changes that reached a provider */
    size_t n_faults;  /* that struck */
    size_t n_processes;
    bool has_changes; /* a replacement, createBeforeDestroy or a delete */
    uint64_t struck[FAULT_KIND_COUNT][BOUNDARY_COUNT];
    char violation[1024]; /* "" when all held */
};

struct sim {
    const struct sim_options *options;
    struct sim_report *report;
    struct random schedule;
    struct random latency;
    struct random names;
    struct random power;
    struct random doors;
    struct random rivals;
    struct random importers;
    struct random writers;
    struct random repeaters;
    struct random imports;
    struct random homes;
    int64_t now;
    int64_t wall_offset;
    struct process *current;
    struct process *processes; /* owned list, newest first */
    int n_processes;
    bool has_dead; /* who are not buried yet */
    bool is_power_lost;
    struct fault faults[FAULTS_MAX];
    struct fault ahead; /* of somebody at a door; the newest */
    unsigned int n_points[BOUNDARY_COUNT];
    unsigned int armed[FAULT_KIND_COUNT]; /* how many of the next calls meet it */
    unsigned int disk_trouble;            /* steps until the disk is well again */
    int64_t wrong_account_until;
    bool is_calm;           /* no fault strikes any more */
    bool goes_by_records;   /* who plans now looks at nothing */
    int64_t seen_revision;  /* that the file names, as its writer has seen it; 0: none */
    int64_t known_revision; /* the newest that anybody who wrote the file has seen */
    uint64_t edit;          /* which value the next editor changes */
};
extern struct sim *sim;
extern struct catalog *sim_catalog; /* of all runs */

/* Runs a seed's world to its end. */
void sim_run(const struct sim_options *options, struct sim_report *ret_report);

/* --- For those who stand in for the world --- */

/* The process that has its turn. */
const void *sim_process(void);
bool sim_is_dead(void);
bool sim_process_is_dead(const void *process);
/* Before each change of the disk; false when the process is dead, perhaps of this very step. */
bool sim_disk_step(const char *what);
/* The process is busy for a while, and nobody else has a turn. */
void sim_sleep(int64_t duration_us);

__attribute__((format(printf, 1, 2))) void sim_trace(const char *format, ...);
/* What must never happen did; the first one counts. */
__attribute__((format(printf, 1, 2))) void sim_violation(const char *format, ...);

/* --- Faults (faults.c) --- */

enum { FAULT_LATER = FAULT_LEASE }; /* this kind and those after it are chosen apart */
void faults_choose(struct sim *world);
/* What has not struck yet strikes soon. */
void faults_hasten(void);
/* The process has come to a boundary: faults may strike. It may be dead or paused afterwards. */
CO_FN void sim_point(enum boundary boundary);
/* The process may die over one of its next steps on the disk. */
void fault_ahead(struct random *random, unsigned int max_steps);
/* Whether the next call meets this fault; counted down. */
bool fault_takes(enum fault_kind kind);

/* --- Processes (process.c) --- */

struct process *process_start(const char *role, void (*body)(struct process *process));
void process_kill(struct process *process);
void kill_everything(void);
/* Gives turns until no process is left. */
void processes_run(void);
/* Removes those that have ended. */
void processes_done(void);
/* A service of this process, with the simulated providers; the store is opened, and watched. */
int process_open(struct process *process, struct error *err);
/* Makes an empty store for this process, which nobody watches. */
int process_make_store(struct process *process, struct error *err);
bool process_is_running_run(void);

/* --- Doors (doors.c, words.c, letting-go.c, importer.c) --- */

/* What a door found. */
struct finding {
    bool is_settled; /* nothing to do */
    char uid[64];    /* of the deployment */
};
extern struct finding found;
/* Somebody plans the document, approves it and starts its run, or resumes one. */
void door_body(struct process *process);
/* Somebody else changes a value of what was applied last. */
void editor_body(struct process *process);
/* Somebody lets the record of a resource go. */
void forgetter_body(struct process *process);
/* Somebody takes over what is there already, by the command for that. */
void importer_body(struct process *process);

/* --- The store in front of which the oracle stands (watch.c) --- */
struct store *watch_store(struct store *take_store);
