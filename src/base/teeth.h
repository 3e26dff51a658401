/*
 * Switches that break the engine on purpose, to see that the simulator notices
 * (docs/reliability.md). They exist in a build with -Dteeth=true alone; in every other one TOOTH()
 * is false and nothing of them is left.
 */
#pragma once

#include <stdbool.h>

/* Name, and what is broken. */
#define TEETH(X)                                                   \
    X(EFFECT_FIRST, "effect before intent")                        \
    X(TWO_TRANSACTIONS, "result and record in two transactions")   \
    X(BLIND_REPEAT, "create repeated without a probe")             \
    X(TIMEOUT_IS_FAILURE, "timeout read as failure")               \
    X(NO_SETTLING, "not found while settling read as absent")      \
    X(DELETE_BY_NAME, "delete by name")                            \
    X(FORGET_DEPOSED, "deposed generation forgotten")              \
    X(READ_SET_UNCHECKED, "read set unchecked")                    \
    X(EXPIRED_APPROVAL, "expired approval accepted")               \
    X(SECRET_IN_ERROR, "a secret in an error")                     \
    X(NO_SYNC, "synchronous=OFF")                                  \
    X(NO_EPOCH, "no epoch check")                                  \
    X(LEASE_UNCHECKED, "a call begun without a look at the lease") \
    X(DEPENDENTS_FIRST, "dependents before durability")            \
    X(BASE_IGNORED, "a base revision ignored in the merge")        \
    X(ADOPT_BY_NAME, "adoption by name")                           \
    X(WRITE_IN_PLACE, "a document written in its place")           \
    X(APPROVAL_TWICE, "approval used twice")

enum tooth {
    TOOTH_NONE,
#define TOOTH_ENUM(name, text) TOOTH_##name,
    TEETH(TOOTH_ENUM)
#undef TOOTH_ENUM
        TOOTH_COUNT
};

#ifdef PARLEY_TEETH
/* The one that is broken now; defined by the simulator. */
extern enum tooth tooth_broken;
#define TOOTH(name) (tooth_broken == TOOTH_##name)
#else
#define TOOTH(name) false
#endif
