/*
 * Programs that the twin runs in its hosts. All of them are started here, since pid 1 reaps every
 * child that this file does not know.
 *
 * A program runs in its host's cage and network (twin/cage.h), in its own session, without
 * capabilities and sealed (twin/seal.h); as root it becomes the user asked for. Of the supervisor's
 * environment it gets what makes programs work, and of its files what the spec names. stdout and
 * stderr go to STATE/logs/NAME.log (log.h). It dies with the twin.
 */
#pragma once

#include "base/strbuf.h"
#include "net/loop.h"
#include "twin/cage.h"
#include "twin/machine.h"

#include <stdbool.h>
#include <stddef.h>

struct cgroups;
struct image_run;
struct network;
struct process;
struct processes;

enum process_user { PROCESS_NOBODY, PROCESS_POSTGRES };

struct process_spec {
    const char *name;   /* unique among those that run; [a-z0-9.-]: of the log file and in status */
    const char *host;   /* whose cage; NULL: none of the hosts, one of its own without a network */
    const char *folder; /* where it runs, entered before it loses its privileges; NULL: "/" */
    struct cage_files files;
    const char *const *arguments;   /* NULL-terminated; [0] is looked up in PATH without a slash */
    const char *const *environment; /* NULL-terminated additions "NAME=VALUE"; may be NULL */
    /*
     * Makes what the program reads as its stdin, at each start; the descriptor is closed for it.
     * NULL: there is nothing to read.
     */
    int (*make_input)(void *argument, int *ret_descriptor, struct error *err);
    /*
     * Its own files in place of the machine's, its own user and its own environment: nothing is
     * lent then, and additions are all. NULL: it is a program of the machine. Borrowed, outlives
     * the process.
     */
    const struct image_run *image;
    /* Adds to its environment at each start, for an image; NULL: nothing. */
    int (*add_variables)(void *argument, struct strbuf *lines, struct error *err);
    enum process_user user;
    int capability;             /* the only one that it keeps, in its host's network; 0: none */
    struct machine_quota quota; /* where this twin has control groups: processes_limit_by() */
    int niceness;               /* above 0: what others wait for goes before it */
    int stop_signal;            /* asks it to end; 0: SIGTERM */
    int64_t stop_grace_us;      /* then SIGKILL; 0: 2 seconds */
    bool is_restarted;          /* started again, after a growing pause, when it ends unasked */
    int64_t probe_period_us;    /* 0: 8 to 40 ms until it is ready, then a second */
    /*
     * Whether it answers; NULL: it is ready once started. Called again and again as a coroutine of
     * its own, also while it is ready; must end within 5 seconds.
     */
    CO_FN int (*probe)(void *argument, struct error *err);
    void *argument; /* borrowed, outlives the process */
    /* For process_run(): the first lines with this word tell why it failed. NULL: its last line. */
    const char *complaint;
    bool is_logged; /* for process_run(): what it printed is in its log, too */
};

enum process_state {
    PROCESS_STARTING, /* runs, its probe has not succeeded yet */
    PROCESS_READY,
    PROCESS_FAILING, /* was ready, its probe fails now */
    PROCESS_PAUSING, /* ended, will be started again */
    PROCESS_ENDED,
    PROCESS_STATE_COUNT
};
const char *process_state_to_string(enum process_state state);

/* What happens to a program that is started again: it ended unasked, or it runs once more. */
enum process_turn { PROCESS_BROKE, PROCESS_RESUMED };

/* The folder of logs is made when missing. network lends the namespaces; both are borrowed. */
int processes_new(struct loop *loop, struct network *network, const char *folder,
                  struct processes **ret_processes, struct error *err);
/* From now on quotas hold. */
void processes_limit_by(struct processes *processes, struct cgroups *take_cgroups);
bool processes_are_limited(const struct processes *processes);
/* Calls turned() at each such turn of a program, with what is known of its end. */
void processes_watch(struct processes *processes,
                     void (*turned)(void *argument, const struct process *process,
                                    enum process_turn turn),
                     void *argument);
/* The one after another, of those that were started and not stopped; NULL: the first. NULL at the
 * end. */
const struct process *processes_next(const struct processes *processes,
                                     const struct process *process);
/*
 * Kills what runs, so that stopping it takes no time; programs of the user postgres, which lose by
 * it, only when all is set. Nothing is started again.
 */
void processes_kill(struct processes *processes, bool all);
/* Kills what still runs, at once. Accepts NULL. */
CO_FN void processes_free(struct processes *processes);
/* See cages_foresee(). */
void processes_foresee(struct processes *processes, const char *host);
/* Whether it is none of a host's programs, but what they are kept apart by. */
bool processes_keeps(const struct processes *processes, pid_t pid);
/* See cage_await_end(). */
CO_FN int processes_await_end(struct processes *processes, const char *host, int64_t deadline,
                              struct error *err);
/* See cage_find(). */
int processes_enter(struct processes *processes, const char *host, pid_t *ret_pid,
                    struct error *err);

/*
 * Starts a program; the spec is copied. ERROR_MISSING when there is no such program,
 * ERROR_NOT_FOUND when there is no such host. Freed with process_stop().
 */
int process_start(struct processes *processes, const struct process_spec *spec,
                  struct process **ret_process, struct error *err);
/* Waits until it is ready. ERROR_TIMEOUT past the deadline, ERROR_UNAVAILABLE when it ended for
 * good; the message ends with what it logged last. */
CO_FN int process_wait_ready(struct process *process, int64_t deadline, struct error *err);
/* Waits until it ended for good (one that is restarted never does). *ret_status as of waitpid(). */
CO_FN int process_wait_end(struct process *process, int64_t deadline, int *ret_status,
                           struct error *err);
/* For one that needs longer than its grace: asks it to end, by this signal, and starts it no more;
 * then waits until it has, or the deadline passes. process_stop() comes after it. */
void process_begin_stop(struct process *process, int number);
CO_FN void process_wait_stopped(struct process *process, int64_t deadline);
/* Asks it to end, kills it when it does not, waits for its end and frees it. Accepts NULL. */
CO_FN void process_stop(struct process *take_process);

enum process_state process_state(const struct process *process);
const char *process_name(const struct process *process);
/* NULL: it runs in none of the hosts. */
const char *process_host(const struct process *process);
/* 0 while it does not run. */
pid_t process_pid(const struct process *process);
/* The folder of a /proc in which its own process ids count, and those it tells. The caller frees
 * it. NULL while it does not run. */
char *process_own_proc(const struct process *process);
/* How often it was started again since process_start(); 0 for NULL. */
unsigned int process_restarts(const struct process *process);
/* Changes the quota of one that was started with any. ERROR_UNSUPPORTED when it is refused. */
int process_limit(struct process *process, const struct machine_quota *quota, struct error *err);
/* Does nothing while it does not run. */
void process_signal(struct process *process, int number);
/* The message of the last failed probe or end, "" when all is well. */
const char *process_problem(const struct process *process);

/*
 * Runs a program to its end, like process_start() but for its streams: what it prints, at most
 * limit bytes, is collected; probe and restart are not used. Fails when it cannot be
 * started, at the deadline (it is killed), and when it ends with another status than 0: the message
 * has the lines that tell why. While the host's cage is ending it waits for that. The caller frees
 * *ret_output (may be NULL) with mem_free().
 */
CO_FN int process_run(struct processes *processes, const struct process_spec *spec, size_t limit,
                      int64_t deadline, char **ret_output, struct error *err);
