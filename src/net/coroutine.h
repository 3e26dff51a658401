/*
 * Coroutines: code that waits reads top to bottom and only looks as if it blocked. All of them
 * share one thread; a coroutine never changes it. Each has a stack of 256 KiB from a pool, with a
 * guard page below.
 *
 * Rules: only a coroutine calls a CO_FN. Never yield inside a library's callback or while holding a
 * lock. errno does not survive a wait. State that must survive one is on the stack or in a struct
 * of the coroutine, never in a static.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Marks a function that may wait: called by coroutines only. */
#define CO_FN

struct coroutine;

/* More at once than this is a bug of the caller, who limits what it starts. */
#define COROUTINE_LIMIT 1000

/*
 * Makes a coroutine that will run function(argument) when it is first resumed and is gone when that
 * returns. name (borrowed, a literal) is for traces.
 */
struct coroutine *coroutine_new(const char *name, void (*function)(void *argument), void *argument);

/*
 * Runs it until it yields or ends. Called by the loop's callbacks or by another coroutine, which
 * goes on after that; never by a coroutine on itself.
 */
void coroutine_resume(struct coroutine *coroutine);

/* Goes back to who resumed the running coroutine, until somebody resumes it again. */
CO_FN void coroutine_yield(void);

/* The running one, or NULL outside of any. */
struct coroutine *coroutine_self(void);

/* How many exist now, for tests and limits. */
size_t coroutine_count(void);

/* Frees the pool of stacks; no coroutine may be alive. */
void coroutine_pool_done(void);
