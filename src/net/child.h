/* Child processes on the loop. A child gets only the descriptors it is given and no signal mask of
 * ours. */
#pragma once

#include "net/loop.h"

#include <stddef.h>

struct child_spec {
    const char *const
        *arguments; /* NULL-terminated; [0] is looked up in PATH unless it has a slash */
    const char *const *environment; /* NULL-terminated additions "NAME=VALUE"; may be NULL */
    bool own_environment;           /* it gets nothing of ours, only the additions */
    const char *folder;             /* where it runs; NULL: where we are */
    int input;                      /* becomes its stdin; -1: /dev/null */
    int output;                     /* becomes its stdout; -1: /dev/null */
    int errors;                     /* becomes its stderr; -1: /dev/null */
    bool own_session;               /* setsid(): it outlives our terminal */
    bool own_group;                 /* setpgid(): kill(-pid) ends what it has started, too */
    bool dies_with_us;              /* SIGKILL when our thread ends */
    /*
     * Runs in the child before exec, after descriptors and folder are in place; may be NULL.
     * Non-zero ends it, with errno as the reason. We wait for it meanwhile, so it must not wait for
     * us. Other threads are gone there, and a lock they held stays locked: system calls only.
     */
    int (*prepare)(void *argument);
    void *prepare_argument;
    /* Stands for fork(), say to put the child into other namespaces; NULL: fork(). */
    pid_t (*fork)(void *argument);
    void *fork_argument;
};

/*
 * Starts it; the program runs when this returns. ERROR_NOT_FOUND when there is no such program or
 * folder, ERROR_DENIED when it may not be run; the error names it. Who starts a child reaps it,
 * with child_wait().
 */
int child_start(const struct child_spec *spec, pid_t *ret_pid, struct error *err);

/*
 * A descriptor that a child reads size bytes from, as its stdin, and then its end; the caller
 * closes it. ERROR_LIMIT when there is no room for so many. They lie in no file.
 */
int child_make_input(const void *content, size_t size, int *ret_descriptor, struct error *err);

/*
 * Waits for the end of a child of ours and reaps it; *ret_status is as of waitpid(). Past the
 * deadline ERROR_TIMEOUT, and the child runs on. ERROR_NOT_FOUND when it is no child of ours. One
 * coroutine waits for a child.
 */
CO_FN int child_wait(struct loop *loop, pid_t pid, int64_t deadline, int *ret_status,
                     struct error *err);

/*
 * Runs a program to its end and collects what it prints on stdout and stderr, in the order of its
 * arrival; spec->output and spec->errors are not looked at. It is its own group. ERROR_TIMEOUT past
 * the deadline, and ERROR_LIMIT when it prints more than limit bytes: it and its group are killed
 * first. What its own children print after its end is not waited for. *ret_status is as of
 * waitpid(); the caller frees *ret_output, never NULL and ended by a NUL, with mem_free().
 * ret_output may be NULL: the output is thrown away, whatever its size.
 */
CO_FN int child_run(struct loop *loop, const struct child_spec *spec, size_t limit,
                    int64_t deadline, int *ret_status, char **ret_output, struct error *err);

/*
 * Puts another program in this one's place, with its descriptors and environment; comes back only
 * when it fails. ERROR_NOT_FOUND when there is no such program.
 */
int child_become(const char *const *arguments, struct error *err);
