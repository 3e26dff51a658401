#include "twin/relay.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/world.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CHUNK_SIZE = 64 * 1024,
    ACCEPT_PAUSE = 50 * 1000 /* microseconds, when descriptors are used up */
};

enum { NEAR, FAR, N_SIDES };

/* One of the two connections, and the bytes that wait to be sent on it. */
struct side {
    struct pair *pair;
    int fd; /* owned */
    struct watch *watch;
    struct strbuf waiting;
    size_t n_sent;  /* of waiting */
    bool has_ended; /* it will send us no more */
    bool is_shut;   /* we will send it no more */
};

struct pair {
    struct relay *relay;
    struct pair *next;
    struct pair **link; /* what points to this one */
    struct side sides[N_SIDES];
    bool is_connecting;
    int64_t deadline; /* closed when nothing happens until then */
};

struct relay {
    struct loop *loop;
    struct relay_spec spec;
    int fd;              /* owned */
    struct watch *watch; /* NULL while no connection is accepted */
    struct timer *pause;
    struct timer *sweep; /* NULL without pairs */
    struct pair *pairs;
    size_t n_pairs;
    uint64_t n_total;
};

static void accept_ready(void *argument, int events);
static void sweep_idle(void *argument);

static void adjust_relay(struct relay *relay)
{
    bool wanted = !relay->pause && relay->n_pairs < relay->spec.max_connections;
    if (wanted && !relay->watch)
        relay->watch = loop_watch(relay->loop, relay->fd, LOOP_READABLE, accept_ready, relay);
    if (!wanted && relay->watch) {
        loop_unwatch(relay->watch);
        relay->watch = NULL;
    }
    int64_t period =
        relay->spec.connect_us < relay->spec.idle_us ? relay->spec.connect_us : relay->spec.idle_us;
    if (relay->n_pairs > 0 && !relay->sweep)
        relay->sweep = loop_timer(relay->loop, period, sweep_idle, relay);
}

/* --- A pair --- */

static void pair_free(struct pair *pair)
{
    *pair->link = pair->next;
    if (pair->next)
        pair->next->link = pair->link;
    for (size_t i = 0; i < N_SIDES; i++) {
        loop_unwatch(pair->sides[i].watch);
        close_descriptor(pair->sides[i].fd);
        strbuf_done(&pair->sides[i].waiting);
    }
    pair->relay->n_pairs--;
    mem_free(pair);
}

static void pair_close(struct pair *pair)
{
    struct relay *relay = pair->relay;
    pair_free(pair);
    adjust_relay(relay);
}

static struct side *other_of(struct side *side)
{
    return &side->pair->sides[side == &side->pair->sides[NEAR] ? FAR : NEAR];
}

static size_t n_waiting(const struct side *side)
{
    return side->waiting.length - side->n_sent;
}

/* A side is read only while the other one has taken everything: that is all the memory it needs. */
static void adjust_pair(struct pair *pair)
{
    for (size_t i = 0; i < N_SIDES; i++) {
        struct side *side = &pair->sides[i];
        bool reads = !pair->is_connecting && !side->has_ended && n_waiting(other_of(side)) == 0;
        bool writes = n_waiting(side) > 0 || (pair->is_connecting && i == FAR);
        loop_watch_change(side->watch, (reads ? LOOP_READABLE : 0) | (writes ? LOOP_WRITABLE : 0));
    }
}

/* Sends what waits for a side; false when that is not possible any more. */
static bool send_waiting(struct side *side)
{
    while (n_waiting(side) > 0) {
        ssize_t n =
            send(side->fd, side->waiting.text + side->n_sent, n_waiting(side), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        side->n_sent += (size_t)n;
    }
    strbuf_clear(&side->waiting);
    side->n_sent = 0;
    return true;
}

/* The end of one direction goes on to the other side once all before it is sent. */
static void pass_end_on(struct side *from, struct side *to)
{
    if (!from->has_ended || to->is_shut || n_waiting(to) > 0)
        return;
    shutdown(to->fd, SHUT_WR);
    to->is_shut = true;
}

/* Carries what one side has sent to the other, a chunk at a time so that nobody waits long for his
 * turn; false after a failure. */
static bool carry(struct side *from, struct side *to)
{
    char bytes[CHUNK_SIZE];
    if (from->has_ended || n_waiting(to) > 0)
        return true;
    ssize_t n = recv(from->fd, bytes, sizeof(bytes), 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0)
        from->has_ended = true;
    strbuf_add_n(&to->waiting, bytes, (size_t)n);
    if (!send_waiting(to))
        return false;
    pass_end_on(from, to);
    return true;
}

/* Whether the connection to the other side stands now. */
static bool finish_connect(struct pair *pair)
{
    int problem = 0;
    socklen_t size = sizeof(problem);
    if (getsockopt(pair->sides[FAR].fd, SOL_SOCKET, SO_ERROR, &problem, &size) < 0 || problem)
        return false;
    pair->is_connecting = false;
    return true;
}

static void side_ready(void *argument, int events)
{
    struct side *side = argument;
    struct pair *pair = side->pair;
    bool is_good = true;
    if (pair->is_connecting) {
        is_good = finish_connect(pair);
    } else {
        if (events & LOOP_WRITABLE) {
            is_good = send_waiting(side);
            pass_end_on(other_of(side), side);
        }
        if (is_good && (events & LOOP_READABLE))
            is_good = carry(side, other_of(side));
    }
    if (!is_good || (pair->sides[NEAR].is_shut && pair->sides[FAR].is_shut)) {
        pair_close(pair);
        return;
    }
    pair->deadline = world_monotonic_clock() + pair->relay->spec.idle_us;
    adjust_pair(pair);
}

static void open_side(struct pair *pair, size_t index, int take_fd)
{
    int yes = 1;
    struct side *side = &pair->sides[index];
    side->pair = pair;
    side->fd = take_fd;
    side->watch = loop_watch(pair->relay->loop, take_fd, 0, side_ready, side);
    setsockopt(take_fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

static void add_pair(struct relay *relay, int take_near, int take_far)
{
    struct pair *pair = NEW(struct pair);
    pair->relay = relay;
    pair->next = relay->pairs;
    pair->link = &relay->pairs;
    if (pair->next)
        pair->next->link = &pair->next;
    relay->pairs = pair;
    relay->n_pairs++;
    relay->n_total++;
    pair->is_connecting = true;
    pair->deadline = world_monotonic_clock() + relay->spec.connect_us;
    open_side(pair, NEAR, take_near);
    open_side(pair, FAR, take_far);
    adjust_pair(pair);
}

/* --- The relay --- */

static void sweep_idle(void *argument)
{
    struct relay *relay = argument;
    int64_t now = world_monotonic_clock();
    relay->sweep = NULL;
    for (struct pair *pair = relay->pairs, *next; pair; pair = next) {
        next = pair->next;
        if (pair->deadline <= now)
            pair_free(pair);
    }
    adjust_relay(relay);
}

static void pause_ends(void *argument)
{
    struct relay *relay = argument;
    relay->pause = NULL;
    adjust_relay(relay);
}

static void accept_ready(void *argument, int events)
{
    struct relay *relay = argument;
    (void)events;
    while (relay->n_pairs < relay->spec.max_connections) {
        int far = -1;
        int near = accept4(relay->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (near < 0 && (errno == EMFILE || errno == ENFILE))
            relay->pause = loop_timer(relay->loop, ACCEPT_PAUSE, pause_ends, relay);
        if (near < 0)
            break;
        if (relay->spec.open_other(relay->spec.argument, &far, NULL) < 0)
            close_descriptor(near);
        else
            add_pair(relay, near, far);
    }
    adjust_relay(relay);
}

struct relay *relay_new(struct loop *loop, int take_fd, const struct relay_spec *spec)
{
    assert(spec->max_connections > 0 && spec->idle_us > 0 && spec->connect_us > 0);
    struct relay *relay = NEW(struct relay);
    relay->loop = loop;
    relay->spec = *spec;
    relay->fd = take_fd;
    adjust_relay(relay);
    return relay;
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    while (relay->pairs)
        pair_free(relay->pairs);
    loop_timer_cancel(relay->pause);
    loop_timer_cancel(relay->sweep);
    loop_unwatch(relay->watch);
    close_descriptor(relay->fd);
    mem_free(relay);
}

size_t relay_count(const struct relay *relay)
{
    return relay->n_pairs;
}

uint64_t relay_total(const struct relay *relay)
{
    return relay->n_total;
}
