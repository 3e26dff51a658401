/*
 * Timers in a binary heap over one timerfd. That one runs while the machine is suspended, as
 * world_monotonic_clock() does: epoll's own timeout would come late after that.
 */
#include "net/loop.h"

#include "base/memory.h"
#include "base/world.h"
#include "net/loop-private.h"

#include <assert.h>
#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct timer {
    struct loop *loop; /* borrowed */
    int64_t deadline;
    uint64_t sequence; /* timers of one deadline ring in the order they were made in */
    size_t index;      /* where in the heap it is */
    void (*ring)(void *argument);
    void *argument;
};

static bool is_earlier(const struct timer *a, const struct timer *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->sequence < b->sequence;
}

static void place(struct loop *loop, struct timer *timer, size_t index)
{
    loop->timers[index] = timer;
    timer->index = index;
}

static void move_up(struct loop *loop, struct timer *timer)
{
    size_t index = timer->index;
    while (index > 0 && is_earlier(timer, loop->timers[(index - 1) / 2])) {
        place(loop, loop->timers[(index - 1) / 2], index);
        index = (index - 1) / 2;
    }
    place(loop, timer, index);
}

static void move_down(struct loop *loop, struct timer *timer)
{
    size_t index = timer->index;
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= loop->n_timers)
            break;
        if (child + 1 < loop->n_timers && is_earlier(loop->timers[child + 1], loop->timers[child]))
            child++;
        if (!is_earlier(loop->timers[child], timer))
            break;
        place(loop, loop->timers[child], index);
        index = child;
    }
    place(loop, timer, index);
}

struct timer *loop_timer(struct loop *loop, int64_t delay_us, void (*ring)(void *argument),
                         void *argument)
{
    assert(ring);
    struct timer *timer = NEW(struct timer);
    timer->loop = loop;
    int64_t delay = delay_us > 0 ? delay_us : 0;
    if (__builtin_add_overflow(world_monotonic_clock(), delay, &timer->deadline))
        timer->deadline = INT64_MAX;
    timer->sequence = loop->next_sequence++;
    timer->ring = ring;
    timer->argument = argument;
    ARRAY_RESERVE(loop->timers, loop->n_timers, loop->timers_capacity);
    timer->index = loop->n_timers++;
    move_up(loop, timer);
    return timer;
}

void loop_timer_cancel(struct timer *timer)
{
    if (!timer)
        return;
    struct loop *loop = timer->loop;
    struct timer *last = loop->timers[--loop->n_timers];
    if (last != timer) {
        place(loop, last, timer->index);
        move_up(loop, last);
        move_down(loop, last);
    }
    mem_free(timer);
}

int64_t loop_next_timer(const struct loop *loop)
{
    return loop->n_timers > 0 ? loop->timers[0]->deadline : INT64_MAX;
}

void loop_ring_timers(struct loop *loop)
{
    if (loop->n_timers == 0)
        return;
    int64_t now = world_monotonic_clock();
    /* Those that are made meanwhile have the next turn, else a timer of no delay that makes
     * itself again would never let go. */
    uint64_t end = loop->next_sequence;
    while (loop->n_timers > 0 && loop->timers[0]->deadline <= now &&
           loop->timers[0]->sequence < end) {
        struct timer *timer = loop->timers[0];
        void (*ring)(void *) = timer->ring;
        void *argument = timer->argument;
        loop_timer_cancel(timer);
        ring(argument);
    }
}

bool loop_arm_timers(struct loop *loop)
{
    if (loop->n_timers == 0)
        return true;
    int64_t deadline = loop->timers[0]->deadline;
    if (deadline == loop->armed_deadline)
        return true;
    int64_t delay = deadline - world_monotonic_clock();
    if (delay <= 0)
        return false;
    struct itimerspec when = {
        .it_value = {.tv_sec = delay / 1000000, .tv_nsec = delay % 1000000 * 1000}};
    if (timerfd_settime(loop->timer_fd, 0, &when, NULL) < 0)
        loop_abort("set the timer of the loop");
    loop->armed_deadline = deadline;
    return true;
}

/* It has only woken the loop up, which looks at its clock then. */
static void timer_expired(void *argument, int events)
{
    struct loop *loop = argument;
    (void)events;
    uint64_t count;
    if (read(loop->timer_fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
        loop_abort("read the timer of the loop");
    loop->armed_deadline = -1;
}

void loop_init_timers(struct loop *loop)
{
    loop->armed_deadline = -1;
    loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->timer_fd < 0)
        loop_abort("make a timer for the loop");
    loop->timer_watch = loop_watch(loop, loop->timer_fd, LOOP_READABLE, timer_expired, loop);
}

void loop_done_timers(struct loop *loop)
{
    assert(loop->n_timers == 0);
    if (!loop->is_simulated) {
        loop_unwatch(loop->timer_watch);
        close_descriptor(loop->timer_fd);
    }
    mem_free(loop->timers);
}
