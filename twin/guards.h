/*
 * Switches that take away what keeps a cage closed, one guard or some at a time, to see that the
 * tests of cages notice (docs/twin.md, "Apart"). They exist in parley-twin-open alone, a program
 * for that test which is never installed; in every other one GUARD() is true and nothing of them is
 * left.
 */
#pragma once

#include <stdbool.h>

/* Name, and what it guards. */
#define GUARDS(X)                                                  \
    X(SEAL, "the filter of system calls")                          \
    X(NO_NEW_PRIVILEGES, "no program gives rights")                \
    X(RIGHTS, "no capabilities")                                   \
    X(USER, "another user than root")                              \
    X(PROCESSES, "a process namespace")                            \
    X(MEMORY, "a namespace of shared memory and semaphores")       \
    X(NETWORK, "its host's network and no other")                  \
    X(MOUNTS, "a namespace of mounts")                             \
    X(VIEW, "a view of the files with nothing but the system")     \
    X(TEMPORARY, "a /tmp and a /dev/shm of its own")               \
    X(READ_ONLY, "what all see is read-only")                      \
    X(OWN_FILES, "of the twin's folder only what it needs")        \
    X(FIRST_PROCESS, "its first process lets nobody look into it") \
    X(ENVIRONMENT, "an environment of its own")                    \
    X(LIMITS, "the control groups of those with limits")

#ifdef PARLEY_OPEN_CAGES
#include <stdlib.h>
#include <string.h>

/* Whether a word of the environment's PARLEY_TWIN_WITHOUT, in commas, names it. */
static inline bool guard_stands(const char *name)
{
    const char *without = getenv("PARLEY_TWIN_WITHOUT");
    const char *at = without ? strstr(without, name) : NULL;
    return !at;
}
#define GUARD(name) guard_stands("," #name ",")
/* What it starts hears of it, too. */
#define GUARDS_ARE_SWITCHED true
#else
#define GUARD(name) true
#define GUARDS_ARE_SWITCHED false
#endif
