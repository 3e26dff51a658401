/* What the files of the loop share; nobody else includes this. */
#pragma once

#include "net/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

struct loop {
    bool is_simulated; /* of a simulated world: there is no epoll and no descriptor */
    bool is_running;
    bool is_stopped;
    int64_t expected;
    struct coroutine **ready; /* owned array; resumed in the next turn */
    size_t n_ready;
    size_t ready_capacity;
    void **garbage; /* owned array and items; see loop_free_later() */
    size_t n_garbage;
    size_t garbage_capacity;

    int epoll_fd;
    struct descriptor **descriptors; /* owned array and items, by number; NULL when not watched */
    size_t n_descriptors;
    size_t n_files; /* descriptors that are asked for and always ready */
    size_t n_watches;
    size_t n_own_watches;  /* how many of them are the loop's */
    size_t n_idle_watches; /* how many are those of lookouts at which nobody waits */

    struct timer **timers; /* owned; a binary heap, the next to ring first */
    size_t n_timers;
    size_t timers_capacity;
    uint64_t next_sequence;
    int timer_fd;
    struct watch *timer_watch;
    int64_t armed_deadline; /* what timer_fd was set for; -1 when it is not set */

    struct signal_watch *signal_watches; /* owned list */
    sigset_t watched_signals;
    sigset_t blocked_signals; /* those that were not blocked before we did it */
    int signal_fd;
    struct watch *signal_watch;

    pthread_mutex_t calls_lock; /* guards the next two, which other threads write */
    struct thread_call *first_call;
    struct thread_call **last_call;
    int call_fd;
    struct watch *call_watch;
};

/* Ends the process: the operating system refused what a loop cannot do without. */
_Noreturn void loop_abort(const char *what);

/*
 * Frees a block at the end of the turn, when no callback is under way: a callback may end what is
 * walked just now, itself included.
 */
void loop_free_later(struct loop *loop, void *take_block);

/* Calls back for the descriptors that are ready; waits for one first unless may_wait is false. */
void loop_turn_watches(struct loop *loop, bool may_wait);
void loop_done_watches(struct loop *loop);

void loop_init_timers(struct loop *loop);
void loop_done_timers(struct loop *loop);
/* Makes the loop wake up for the next timer. False when that one is due already. */
bool loop_arm_timers(struct loop *loop);
/* When the next timer rings; INT64_MAX without one. */
int64_t loop_next_timer(const struct loop *loop);
/* Rings the timers that are due. */
void loop_ring_timers(struct loop *loop);

void loop_init_signals(struct loop *loop);
void loop_done_signals(struct loop *loop);
