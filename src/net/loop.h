/*
 * The event loop of the engine's one thread: descriptors (epoll), timers, signals (signalfd),
 * children (pidfd) and wake-ups from other threads (eventfd). Callbacks run on the loop; CO_FN
 * calls suspend the running coroutine.
 */
#pragma once

#include "base/error.h"
#include "net/coroutine.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;

/* One loop a thread. loop_free() asserts that nothing is registered any more. */
struct loop *loop_new(void);
void loop_free(struct loop *loop);

/* Runs until loop_stop(), or until nothing is registered and no coroutine can be woken. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/*
 * In a simulated world (world_is_simulated() when the loop is made) there are timers and coroutines
 * alone, and several loops may share the thread, each of them a process of that world. Who owns
 * them gives them their turns instead of loop_run(): loop_turn() rings what is due and resumes who
 * is ready, once, and says whether anything is left to wait for. loop_next() is when the next turn
 * has something to do: 0 for at once, INT64_MAX for never.
 */
bool loop_turn(struct loop *loop);
int64_t loop_next(const struct loop *loop);

/* Starts function(argument) as a coroutine in the next turn of the loop. */
void loop_spawn(struct loop *loop, const char *name, void (*function)(void *argument),
                void *argument);

/*
 * Resumes a yielded coroutine in the next turn of the loop. Safe from callbacks, other coroutines
 * and for the running one, which then yields. Once for each yield.
 */
void loop_wake(struct loop *loop, struct coroutine *coroutine);

/* A descriptor that is watched. */
struct watch;
enum { LOOP_READABLE = 1, LOOP_WRITABLE = 2 };
/*
 * Calls ready(argument, events) while fd is readable or writable, as asked. The descriptor stays
 * the caller's and must be unwatched before it is closed. Hang-up and error count as both. A
 * descriptor may have several watches; a file is always ready.
 */
struct watch *loop_watch(struct loop *loop, int fd, int events,
                         void (*ready)(void *argument, int events), void *argument);
/* events may be 0: it is not called until it asks again. */
void loop_watch_change(struct watch *watch, int events);
/* Accepts NULL. Its callback is not called any more, not even for what has happened already. */
void loop_unwatch(struct watch *watch);

/* A timer that rings once. */
struct timer;
struct timer *loop_timer(struct loop *loop, int64_t delay_us, void (*ring)(void *argument),
                         void *argument);
/* Cancels a timer that has not rung; one that has is freed already, so forget it in ring(). Accepts
 * NULL. */
void loop_timer_cancel(struct timer *timer);

/*
 * Calls arrived(argument, number) on the loop for each signal of that number, which is blocked
 * until its last watch is gone. Watch before other threads start: they inherit what is blocked, and
 * a thread where it is not would take the signal.
 */
struct signal_watch;
struct signal_watch *loop_watch_signal(struct loop *loop, int number,
                                       void (*arrived)(void *argument, int number), void *argument);
void loop_unwatch_signal(struct signal_watch *watch);

/* Starts a thread that no signal arrives on: they are the loop's. Returns 0 or an errno. */
int loop_start_thread(pthread_t *ret_thread, void *(*run)(void *argument), void *argument);
/* The only call that another thread may make: runs called(argument) on the loop, in order. */
void loop_call_from_thread(struct loop *loop, void (*called)(void *argument), void *argument);
/* Counts work that another thread will report by loop_call_from_thread(), so that loop_run() waits
 * for it. */
void loop_expect(struct loop *loop, int change);

/* --- Waiting, in coroutines. A negative deadline is none; deadlines are world_monotonic_clock()
 * times. --- */

CO_FN void loop_sleep(struct loop *loop, int64_t delay_us);

/* Waits until fd is ready for events, as loop_watch() says. ERROR_TIMEOUT past the deadline, unless
 * it is ready then. */
CO_FN int loop_wait_fd(struct loop *loop, int fd, int events, int64_t deadline, struct error *err);

/*
 * The same of a descriptor that is waited for again and again: it stays watched between two waits,
 * which then cost no system call but the loop's own. It keeps the loop running only while somebody
 * waits. Zero-initialise it, end it before the descriptor is closed, and let one coroutine wait at
 * a time.
 */
struct lookout {
    struct watch *watch; /* owned; NULL until it is waited for */
    struct wait *wait;   /* on the stack of the coroutine that waits; NULL while none does */
};
CO_FN int lookout_wait(struct loop *loop, struct lookout *lookout, int fd, int events,
                       int64_t deadline, struct error *err);
void lookout_end(struct loop *loop, struct lookout *lookout);

/* A gate on which coroutines wait until it is opened for all of them. Zero-initialise it. */
struct gate {
    struct gate_waiter *first;
};
/* Waits for the next gate_open(). ERROR_TIMEOUT past the deadline. */
CO_FN int gate_wait(struct loop *loop, struct gate *gate, int64_t deadline, struct error *err);
/* Wakes all who wait now, in the order they came. The gate may be freed at once. */
void gate_open(struct loop *loop, struct gate *gate);
