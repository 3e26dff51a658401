/*
 * Watched descriptors. Several watches may share one descriptor (somebody reads while somebody else
 * writes), which epoll knows once.
 */
#include "net/loop.h"

#include "base/memory.h"
#include "net/loop-private.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

struct watch {
    struct loop *loop;             /* borrowed */
    struct descriptor *descriptor; /* borrowed; NULL when it is unwatched */
    int events;
    void (*ready)(void *argument, int events);
    void *argument;
    struct watch *next;  /* stays when it is unwatched: somebody may stand here just now */
    struct watch **link; /* what points to it */
};

struct descriptor {
    int fd;
    int events;          /* what all watches together ask for; 0: epoll does not know it */
    bool is_file;        /* always ready, and epoll refuses it */
    struct watch *first; /* owned list; NULL when it is watched no more */
};

static uint32_t to_epoll(int events)
{
    return (events & LOOP_READABLE ? (uint32_t)EPOLLIN | EPOLLRDHUP : 0) |
           (events & LOOP_WRITABLE ? (uint32_t)EPOLLOUT : 0);
}

static int from_epoll(uint32_t events)
{
    return (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? LOOP_READABLE : 0) |
           (events & (EPOLLOUT | EPOLLHUP | EPOLLERR) ? LOOP_WRITABLE : 0);
}

/* Tells epoll what the watches of a descriptor ask for now. */
static void adjust(struct loop *loop, struct descriptor *descriptor)
{
    int events = 0;
    for (struct watch *watch = descriptor->first; watch; watch = watch->next)
        events |= watch->events;
    int had = descriptor->events;
    if (events == had)
        return;
    descriptor->events = events;
    if (descriptor->is_file) {
        loop->n_files += (size_t)(events != 0) - (size_t)(had != 0);
        return;
    }
    int operation = !had ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    struct epoll_event event = {.events = to_epoll(events), .data.ptr = descriptor};
    if (epoll_ctl(loop->epoll_fd, operation, descriptor->fd, &event) == 0)
        return;
    if (operation == EPOLL_CTL_ADD && errno == EPERM) {
        descriptor->is_file = true;
        loop->n_files++;
        return;
    }
    /* Libraries close a descriptor before they say so now and then; epoll has forgotten it. */
    if (operation != EPOLL_CTL_DEL)
        loop_abort("watch a descriptor");
}

static struct descriptor *get_descriptor(struct loop *loop, int fd)
{
    size_t index = (size_t)fd;
    if (index >= loop->n_descriptors) {
        size_t n = loop->n_descriptors ? loop->n_descriptors : 16;
        while (n <= index)
            n *= 2;
        loop->descriptors = mem_resize(loop->descriptors, n, sizeof(struct descriptor *));
        memset(loop->descriptors + loop->n_descriptors, 0,
               (n - loop->n_descriptors) * sizeof(struct descriptor *));
        loop->n_descriptors = n;
    }
    if (!loop->descriptors[index]) {
        loop->descriptors[index] = NEW(struct descriptor);
        loop->descriptors[index]->fd = fd;
    }
    return loop->descriptors[index];
}

struct watch *loop_watch(struct loop *loop, int fd, int events,
                         void (*ready)(void *argument, int events), void *argument)
{
    assert(fd >= 0 && ready && !loop->is_simulated);
    struct watch *watch = NEW(struct watch);
    watch->loop = loop;
    watch->descriptor = get_descriptor(loop, fd);
    watch->events = events;
    watch->ready = ready;
    watch->argument = argument;
    watch->link = &watch->descriptor->first;
    watch->next = *watch->link;
    if (watch->next)
        watch->next->link = &watch->next;
    *watch->link = watch;
    loop->n_watches++;
    adjust(loop, watch->descriptor);
    return watch;
}

void loop_watch_change(struct watch *watch, int events)
{
    assert(watch->descriptor);
    watch->events = events;
    adjust(watch->loop, watch->descriptor);
}

void loop_unwatch(struct watch *watch)
{
    if (!watch)
        return;
    struct loop *loop = watch->loop;
    struct descriptor *descriptor = watch->descriptor;
    assert(descriptor);
    *watch->link = watch->next;
    if (watch->next)
        watch->next->link = watch->link;
    watch->descriptor = NULL;
    loop->n_watches--;
    loop_free_later(loop, watch);
    adjust(loop, descriptor);
    if (descriptor->first)
        return;
    /* The number may be another file's before this turn is over: what epoll has reported of the old
     * one must not reach the new one. */
    loop->descriptors[descriptor->fd] = NULL;
    loop_free_later(loop, descriptor);
}

/* Watches that are unwatched meanwhile still lead to those that follow; new ones come in front. */
static void call_ready(struct descriptor *descriptor, int events)
{
    struct watch *next;
    for (struct watch *watch = descriptor->first; watch; watch = next) {
        int asked = watch->descriptor ? watch->events & events : 0;
        if (asked)
            watch->ready(watch->argument, asked);
        next = watch->next;
    }
}

void loop_turn_watches(struct loop *loop, bool may_wait)
{
    struct epoll_event events[64];
    int timeout = may_wait && loop->n_files == 0 ? -1 : 0;
    int n = epoll_wait(loop->epoll_fd, events, (int)ARRAY_LENGTH(events), timeout);
    if (n < 0 && errno != EINTR)
        loop_abort("wait for events");
    for (int i = 0; i < n; i++)
        call_ready(events[i].data.ptr, from_epoll(events[i].events));
    for (size_t i = 0; loop->n_files > 0 && i < loop->n_descriptors; i++)
        if (loop->descriptors[i] && loop->descriptors[i]->is_file)
            call_ready(loop->descriptors[i], LOOP_READABLE | LOOP_WRITABLE);
}

void loop_done_watches(struct loop *loop)
{
    assert(loop->n_watches == 0);
    mem_free(loop->descriptors);
}
