/* What the files of programs share. For process*.c only. */
#pragma once

#include "net/child.h"
#include "twin/cgroup.h"
#include "twin/process.h"

/* processes.c */
struct processes {
    struct loop *loop;
    struct cages *cages;
    struct cgroups *cgroups; /* NULL: quotas are not for this twin */
    char *folder;            /* of logs */
    struct signal_watch *watch;
    struct process *first;
    void (*turned)(void *argument, const struct process *process, enum process_turn turn);
    void *turned_argument;
    unsigned int n_runs; /* process_run() calls whose children are known to net/child only */
};

/* process.c */
struct process {
    struct processes *processes;
    struct process *next;
    /* Copies of what the spec pointed to. */
    char *name;
    char *host;
    char *folder;
    char **arguments;
    char **environment;
    char **read, **written; /* of spec.files, as the next */
    struct cage_mount *mounts;
    struct cage_door door;    /* open while it runs */
    struct process_spec spec; /* its strings are those above */
    struct log *log;          /* owned */
    enum process_state state;
    pid_t pid; /* 0 while it does not run */
    int status;
    unsigned int n_restarts;
    unsigned int n_coroutines; /* those that still use this struct */
    bool is_stopping;
    char *problem;
    struct gate changed; /* opened with each change of state or count of coroutines */
};

/* What a child needs to know before it becomes another program. */
struct process_place {
    const struct cage_door *door;
    struct cgroup_door group;
    enum process_user user;
    int capability;
    const struct image_run *image; /* or NULL */
    int niceness;
};

/* All that a child is made from; its parts point into each other. */
struct process_preparation {
    struct child_spec child;
    struct process_place place;
    char **lines; /* owned: of the environment, with the additions, which are borrowed */
    size_t n_lent;
};

/*
 * Fills what a child is made from. The door must be open; door and spec are borrowed, and
 * *ret_preparation must stay where it is.
 */
void process_prepare(const struct process_spec *spec, struct cage_door *door,
                     struct process_preparation *ret_preparation);
void process_preparation_done(struct process_preparation *preparation);
/* Adds texts "NAME=VALUE", each with its NUL, to the environment; they are borrowed. What was there
 * under such a name is replaced. */
void process_add_variables(struct process_preparation *preparation, const struct strbuf *lines);

/* Opens the cage of the program's host. Closed with cage_close(). */
int process_open_door(struct processes *processes, const struct process_spec *spec,
                      struct cage_door *ret_door, struct error *err);
/* Says in the twin's words why a program could not be started; r is what it failed with. */
int process_explain_start(int r, const struct process_spec *spec, struct error *err);

/*
 * Reaps orphans up to the first child of ours, which its own coroutine reaps and then calls this
 * again: so none is left for long.
 */
void processes_reap(struct processes *processes);
