/* All programs that the twin runs. As pid 1 it also reaps those whose parents have ended. */
#include "twin/process-private.h"

#include "base/world.h"

#include <signal.h>
#include <sys/wait.h>

static bool is_known(const struct processes *processes, pid_t pid)
{
    for (const struct process *process = processes->first; process; process = process->next) {
        if (process->pid == pid)
            return true;
    }
    return false;
}

void processes_reap(struct processes *processes)
{
    for (;;) {
        siginfo_t info = {0};
        if (processes->n_runs > 0 || waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
            info.si_pid == 0 || is_known(processes, info.si_pid))
            return;
        waitpid(info.si_pid, NULL, WNOHANG);
    }
}

static void child_ended(void *argument, int number)
{
    (void)number;
    processes_reap(argument);
}

int processes_new(struct loop *loop, struct network *network, const char *folder,
                  struct processes **ret_processes, struct error *err)
{
    struct cages *cages = NULL;
    int r = world_make_folder(folder, 0700, err);
    if (r == 0)
        r = cages_new(loop, network, &cages, err);
    if (r < 0)
        return r;
    struct processes *processes = NEW(struct processes);
    processes->loop = loop;
    processes->cages = cages;
    processes->folder = string_copy(folder);
    processes->watch = loop_watch_signal(loop, SIGCHLD, child_ended, processes);
    *ret_processes = processes;
    return 0;
}

void processes_limit_by(struct processes *processes, struct cgroups *take_cgroups)
{
    processes->cgroups = take_cgroups;
}

bool processes_are_limited(const struct processes *processes)
{
    return processes->cgroups != NULL;
}

void processes_watch(struct processes *processes,
                     void (*turned)(void *argument, const struct process *process,
                                    enum process_turn turn),
                     void *argument)
{
    processes->turned = turned;
    processes->turned_argument = argument;
}

const struct process *processes_next(const struct processes *processes,
                                     const struct process *process)
{
    return process ? process->next : processes->first;
}

void processes_kill(struct processes *processes, bool all)
{
    for (struct process *process = processes->first; process; process = process->next) {
        if (!all && process->spec.user == PROCESS_POSTGRES)
            continue;
        process->is_stopping = true;
        if (process->pid > 0)
            kill(-process->pid, SIGKILL);
        gate_open(processes->loop, &process->changed);
    }
}

CO_FN void processes_free(struct processes *processes)
{
    if (!processes)
        return;
    while (processes->first) {
        process_signal(processes->first, SIGKILL);
        process_stop(processes->first);
    }
    loop_unwatch_signal(processes->watch);
    cages_free(processes->cages);
    cgroups_free(processes->cgroups);
    mem_free(processes->folder);
    mem_free(processes);
}

void processes_foresee(struct processes *processes, const char *host)
{
    cages_foresee(processes->cages, host);
}

bool processes_keeps(const struct processes *processes, pid_t pid)
{
    return cage_begins_with(processes->cages, pid);
}

CO_FN int processes_await_end(struct processes *processes, const char *host, int64_t deadline,
                              struct error *err)
{
    return cage_await_end(processes->cages, host, deadline, err);
}

int processes_enter(struct processes *processes, const char *host, pid_t *ret_pid,
                    struct error *err)
{
    return cage_find(processes->cages, host, ret_pid, err);
}
