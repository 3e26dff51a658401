/* Signals as events: blocked and read from a signalfd. */
#include "net/loop.h"

#include "base/memory.h"
#include "net/loop-private.h"

#include <assert.h>
#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct signal_watch {
    struct loop *loop; /* borrowed; NULL when it is unwatched */
    int number;
    void (*arrived)(void *argument, int number);
    void *argument;
    struct signal_watch *next; /* stays when it is unwatched, as in struct watch */
    struct signal_watch **link;
};

static void call_arrived(struct loop *loop, int number)
{
    struct signal_watch *next;
    for (struct signal_watch *watch = loop->signal_watches; watch; watch = next) {
        if (watch->loop && watch->number == number)
            watch->arrived(watch->argument, number);
        next = watch->next;
    }
}

static void read_signals(void *argument, int events)
{
    struct loop *loop = argument;
    (void)events;
    struct signalfd_siginfo arrived[16];
    ssize_t n = read(loop->signal_fd, arrived, sizeof(arrived));
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        loop_abort("read signals");
    for (ssize_t i = 0; i < n / (ssize_t)sizeof(arrived[0]); i++)
        call_arrived(loop, (int)arrived[i].ssi_signo);
}

static void set_signals(struct loop *loop)
{
    if (signalfd(loop->signal_fd, &loop->watched_signals, 0) < 0)
        loop_abort("choose signals to watch");
}

static sigset_t set_of(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

struct signal_watch *loop_watch_signal(struct loop *loop, int number,
                                       void (*arrived)(void *argument, int number), void *argument)
{
    assert(arrived && !loop->is_simulated);
    struct signal_watch *watch = NEW(struct signal_watch);
    watch->loop = loop;
    watch->number = number;
    watch->arrived = arrived;
    watch->argument = argument;
    watch->link = &loop->signal_watches;
    watch->next = *watch->link;
    if (watch->next)
        watch->next->link = &watch->next;
    *watch->link = watch;
    if (sigismember(&loop->watched_signals, number))
        return watch;
    sigset_t only = set_of(number), before;
    pthread_sigmask(SIG_BLOCK, &only, &before);
    if (!sigismember(&before, number))
        sigaddset(&loop->blocked_signals, number);
    sigaddset(&loop->watched_signals, number);
    set_signals(loop);
    return watch;
}

void loop_unwatch_signal(struct signal_watch *watch)
{
    if (!watch)
        return;
    struct loop *loop = watch->loop;
    int number = watch->number;
    assert(loop);
    *watch->link = watch->next;
    if (watch->next)
        watch->next->link = watch->link;
    watch->loop = NULL;
    loop_free_later(loop, watch);
    for (struct signal_watch *other = loop->signal_watches; other; other = other->next)
        if (other->number == number)
            return;
    sigdelset(&loop->watched_signals, number);
    set_signals(loop);
    if (!sigismember(&loop->blocked_signals, number))
        return;
    sigdelset(&loop->blocked_signals, number);
    sigset_t only = set_of(number);
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
}

void loop_init_signals(struct loop *loop)
{
    sigemptyset(&loop->watched_signals);
    sigemptyset(&loop->blocked_signals);
    loop->signal_fd = signalfd(-1, &loop->watched_signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (loop->signal_fd < 0)
        loop_abort("make a descriptor for signals");
    loop->signal_watch = loop_watch(loop, loop->signal_fd, LOOP_READABLE, read_signals, loop);
}

void loop_done_signals(struct loop *loop)
{
    assert(!loop->signal_watches);
    loop_unwatch(loop->signal_watch);
    close_descriptor(loop->signal_fd);
}
