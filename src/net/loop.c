/* The turns of the loop, and how other coroutines and threads get their turn. */
#include "net/loop.h"

#include "base/memory.h"
#include "base/world.h"
#include "net/loop-private.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct thread_call {
    void (*called)(void *argument);
    void *argument;
    struct thread_call *next;
};

_Noreturn void loop_abort(const char *what)
{
    fprintf(stderr, "parley: %s: %s\n", what, strerror(errno));
    abort();
}

void loop_free_later(struct loop *loop, void *take_block)
{
    ARRAY_RESERVE(loop->garbage, loop->n_garbage, loop->garbage_capacity);
    loop->garbage[loop->n_garbage++] = take_block;
}

static void free_garbage(struct loop *loop)
{
    while (loop->n_garbage > 0)
        mem_free(loop->garbage[--loop->n_garbage]);
}

/* Takes all calls at once, so that one that leads to another cannot keep the loop here. */
static void run_calls(void *argument, int events)
{
    struct loop *loop = argument;
    (void)events;
    uint64_t count;
    if (read(loop->call_fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
        loop_abort("read the descriptor of calls from threads");
    pthread_mutex_lock(&loop->calls_lock);
    struct thread_call *call = loop->first_call;
    loop->first_call = NULL;
    loop->last_call = &loop->first_call;
    pthread_mutex_unlock(&loop->calls_lock);
    while (call) {
        struct thread_call *next = call->next;
        call->called(call->argument);
        mem_free(call);
        call = next;
    }
}

static bool has_calls(struct loop *loop)
{
    pthread_mutex_lock(&loop->calls_lock);
    bool is_called = loop->first_call != NULL;
    pthread_mutex_unlock(&loop->calls_lock);
    return is_called;
}

void loop_call_from_thread(struct loop *loop, void (*called)(void *argument), void *argument)
{
    struct thread_call *call = NEW(struct thread_call);
    call->called = called;
    call->argument = argument;
    pthread_mutex_lock(&loop->calls_lock);
    *loop->last_call = call;
    loop->last_call = &call->next;
    /* Under the lock: the loop may be freed as soon as it has seen the call. */
    while (write(loop->call_fd, &(uint64_t){1}, sizeof(uint64_t)) < 0)
        if (errno != EINTR)
            loop_abort("wake the loop from a thread");
    pthread_mutex_unlock(&loop->calls_lock);
}

int loop_start_thread(pthread_t *ret_thread, void *(*run)(void *argument), void *argument)
{
    sigset_t all, kept;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &kept);
    int failure = pthread_create(ret_thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &kept, NULL);
    return failure;
}

void loop_expect(struct loop *loop, int change)
{
    loop->expected += change;
    assert(loop->expected >= 0);
}

static void init_calls(struct loop *loop)
{
    pthread_mutex_init(&loop->calls_lock, NULL);
    loop->last_call = &loop->first_call;
    loop->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->call_fd < 0)
        loop_abort("make a descriptor for calls from threads");
    loop->call_watch = loop_watch(loop, loop->call_fd, LOOP_READABLE, run_calls, loop);
}

static void done_calls(struct loop *loop)
{
    assert(!has_calls(loop));
    loop_unwatch(loop->call_watch);
    close_descriptor(loop->call_fd);
    pthread_mutex_destroy(&loop->calls_lock);
}

struct loop *loop_new(void)
{
    struct loop *loop = NEW(struct loop);
    loop->is_simulated = world_is_simulated();
    if (loop->is_simulated)
        return loop;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        loop_abort("make an event loop");
    init_calls(loop);
    loop_init_timers(loop);
    loop_init_signals(loop);
    loop->n_own_watches = loop->n_watches;
    return loop;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    assert(!loop->is_running);
    assert(loop->n_ready == 0 && loop->expected == 0);
    if (!loop->is_simulated) {
        done_calls(loop);
        loop_done_signals(loop);
    }
    loop_done_timers(loop);
    loop_done_watches(loop);
    free_garbage(loop);
    if (!loop->is_simulated)
        close_descriptor(loop->epoll_fd);
    mem_free(loop->garbage);
    mem_free(loop->ready);
    mem_free(loop);
}

void loop_wake(struct loop *loop, struct coroutine *coroutine)
{
    assert(coroutine);
    ARRAY_RESERVE(loop->ready, loop->n_ready, loop->ready_capacity);
    loop->ready[loop->n_ready++] = coroutine;
}

void loop_spawn(struct loop *loop, const char *name, void (*function)(void *argument),
                void *argument)
{
    loop_wake(loop, coroutine_new(name, function, argument));
}

/* Those that are woken from now on have the next turn: descriptors and timers come in between. */
static void resume_ready(struct loop *loop)
{
    size_t n = loop->n_ready;
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        size_t chosen = i + world_choose(n - i);
        struct coroutine *coroutine = loop->ready[chosen];
        loop->ready[chosen] = loop->ready[i];
        coroutine_resume(coroutine);
    }
    loop->n_ready -= n;
    memmove(loop->ready, loop->ready + n, loop->n_ready * sizeof(struct coroutine *));
}

static bool is_alive(struct loop *loop)
{
    if (loop->is_simulated)
        return loop->n_ready > 0 || loop->n_timers > 0 || loop->expected > 0;
    return loop->n_ready > 0 || loop->n_watches > loop->n_own_watches + loop->n_idle_watches ||
           loop->n_timers > 0 || loop->signal_watches || loop->expected > 0 || has_calls(loop);
}

int64_t loop_next(const struct loop *loop)
{
    return loop->n_ready > 0 ? 0 : loop_next_timer(loop);
}

/* What the loop would wait for in epoll happens in a simulated world by itself. */
static void await_turn(struct loop *loop)
{
    bool may_wait = !loop->is_stopped && loop->n_ready == 0 && is_alive(loop);
    if (!loop->is_simulated)
        loop_turn_watches(loop, may_wait && loop_arm_timers(loop));
    else if (may_wait && loop_next_timer(loop) > world_monotonic_clock())
        world_wait(loop_next_timer(loop));
}

bool loop_turn(struct loop *loop)
{
    assert(loop->is_simulated && !coroutine_self());
    loop_ring_timers(loop);
    resume_ready(loop);
    free_garbage(loop);
    return is_alive(loop);
}

void loop_run(struct loop *loop)
{
    assert(!loop->is_running && !coroutine_self());
    loop->is_running = true;
    while (!loop->is_stopped && is_alive(loop)) {
        resume_ready(loop);
        await_turn(loop);
        loop_ring_timers(loop);
        free_garbage(loop);
    }
    loop->is_running = false;
    loop->is_stopped = false;
}

void loop_stop(struct loop *loop)
{
    loop->is_stopped = true;
}
