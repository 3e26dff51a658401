/* What coroutines wait for. */
#include "net/loop.h"

#include "base/memory.h"
#include "base/world.h"
#include "net/loop-private.h"

#include <assert.h>

/* One wait; it lies on the stack of the coroutine that waits. */
struct wait {
    struct coroutine *coroutine;
    struct timer *timer; /* NULL when there is none or it has rung */
    bool is_over;
    bool is_late;
};

static void end_late(void *argument)
{
    struct wait *wait = argument;
    wait->timer = NULL;
    wait->is_over = wait->is_late = true;
    coroutine_resume(wait->coroutine);
}

static void begin_wait(struct wait *wait, struct loop *loop, int64_t deadline)
{
    *wait = (struct wait){.coroutine = coroutine_self()};
    assert(wait->coroutine);
    if (deadline >= 0)
        wait->timer = loop_timer(loop, deadline - world_monotonic_clock(), end_late, wait);
}

/* Somebody may wake the coroutine for reasons of his own: only what it waits for ends the wait. */
static CO_FN void finish_wait(struct wait *wait)
{
    while (!wait->is_over)
        coroutine_yield();
    loop_timer_cancel(wait->timer);
}

CO_FN void loop_sleep(struct loop *loop, int64_t delay_us)
{
    struct wait wait = {.coroutine = coroutine_self()};
    assert(wait.coroutine);
    wait.timer = loop_timer(loop, delay_us, end_late, &wait);
    finish_wait(&wait);
}

static void end_ready(void *argument, int events)
{
    struct wait *wait = argument;
    (void)events;
    wait->is_over = true;
    coroutine_resume(wait->coroutine);
}

static int explain_end(const struct wait *wait, struct error *err)
{
    if (wait->is_late)
        return error_set(err, ERROR_TIMEOUT, "no answer before the deadline");
    return 0;
}

CO_FN int loop_wait_fd(struct loop *loop, int fd, int events, int64_t deadline, struct error *err)
{
    struct wait wait;
    begin_wait(&wait, loop, deadline);
    struct watch *watch = loop_watch(loop, fd, events, end_ready, &wait);
    finish_wait(&wait);
    loop_unwatch(watch);
    return explain_end(&wait, err);
}

/* While nobody waits, what is ready would turn the loop round and round. */
static void look_out(void *argument, int events)
{
    struct lookout *lookout = argument;
    if (lookout->wait)
        end_ready(lookout->wait, events);
    else
        loop_watch_change(lookout->watch, 0);
}

CO_FN int lookout_wait(struct loop *loop, struct lookout *lookout, int fd, int events,
                       int64_t deadline, struct error *err)
{
    struct wait wait;
    assert(!lookout->wait);
    begin_wait(&wait, loop, deadline);
    lookout->wait = &wait;
    if (lookout->watch) {
        loop->n_idle_watches--;
        loop_watch_change(lookout->watch, events);
    } else {
        lookout->watch = loop_watch(loop, fd, events, look_out, lookout);
    }
    finish_wait(&wait);
    loop->n_idle_watches++;
    lookout->wait = NULL;
    return explain_end(&wait, err);
}

void lookout_end(struct loop *loop, struct lookout *lookout)
{
    assert(!lookout->wait);
    loop->n_idle_watches -= lookout->watch != NULL;
    loop_unwatch(take_ptr(lookout->watch));
}

struct gate_waiter {
    struct wait wait;
    struct gate_waiter *next;
    struct gate_waiter **link; /* what points to it; NULL when the gate was opened */
};

static void leave_gate(struct gate_waiter *waiter)
{
    assert(waiter->link);
    *waiter->link = waiter->next;
    if (waiter->next)
        waiter->next->link = waiter->link;
    waiter->link = NULL;
}

CO_FN int gate_wait(struct loop *loop, struct gate *gate, int64_t deadline, struct error *err)
{
    struct gate_waiter waiter = {.next = gate->first, .link = &gate->first};
    begin_wait(&waiter.wait, loop, deadline);
    if (waiter.next)
        waiter.next->link = &waiter.next;
    gate->first = &waiter;
    finish_wait(&waiter.wait);
    if (!waiter.wait.is_late)
        return 0;
    leave_gate(&waiter);
    return error_set(err, ERROR_TIMEOUT, "nothing happened before the deadline");
}

void gate_open(struct loop *loop, struct gate *gate)
{
    /* The last that came stands first; they go in the order they came in. */
    struct gate_waiter *ordered = NULL;
    while (gate->first) {
        struct gate_waiter *waiter = gate->first;
        leave_gate(waiter);
        waiter->next = ordered;
        ordered = waiter;
    }
    for (; ordered; ordered = ordered->next) {
        loop_timer_cancel(take_ptr(ordered->wait.timer));
        ordered->wait.is_over = true;
        loop_wake(loop, ordered->wait.coroutine);
    }
}
