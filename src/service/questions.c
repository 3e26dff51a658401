#include "service/questions.h"

#include "base/memory.h"

#include <assert.h>

/* How many questions are under way at the same time: to one instance, and to all of them. */
enum { MAX_WIDTH = 16, MAX_ASKING = 256 };

struct item {
    question ask;
    void *argument; /* borrowed */
    size_t index;
    size_t number; /* in the order in which questions were added */
};

struct lane {
    struct questions *questions; /* borrowed */
    const char *instance;        /* borrowed from who adds to it */
    struct item *items;          /* owned */
    size_t n_items;
    size_t capacity;
    size_t n_begun;
    size_t n_asking;
    size_t width;
    uint64_t n_put_off; /* of the provider's, when it was looked at last */
};

/* The instance, when anybody has asked for it yet. */
static const struct provider *provider_of(const struct lane *lane)
{
    return map_get(&lane->questions->service->providers, lane->instance);
}

/* No wider than its limits let calls begin: who only waits for a turn would lose time by it. */
static size_t find_width(const struct lane *lane)
{
    const struct provider *provider = provider_of(lane);
    const struct provider_limits none = {0};
    const struct provider_limits *limits = provider ? &provider->limits : &none;
    size_t width = MAX_WIDTH;
    if (limits->concurrency > 0 && limits->concurrency < width)
        width = limits->concurrency;
    if (limits->calls_a_second > 0 && limits->calls_a_second < (double)width)
        width = limits->calls_a_second < 1 ? 1 : (size_t)limits->calls_a_second;
    return width;
}

/* A system that puts calls off is asked by fewer at a time. */
static void narrow(struct lane *lane)
{
    const struct provider *provider = provider_of(lane);
    if (!provider || provider->n_put_off == lane->n_put_off)
        return;
    lane->n_put_off = provider->n_put_off;
    lane->width = lane->width > 1 ? lane->width / 2 : 1;
}

static void note_fault(struct questions *questions, size_t number, int r, struct error *take_err)
{
    bool is_consequence = questions->is_over && r == -ERROR_CANCELLED;
    bool is_first = !questions->is_over || number < questions->fault_number;
    questions->is_over = true;
    if (is_consequence || !is_first) {
        error_done(take_err);
        return;
    }
    error_done(&questions->fault);
    questions->fault = *take_err;
    questions->fault_number = number;
    *take_err = (struct error){0};
}

static void lane_main(void *argument)
{
    struct lane *lane = argument;
    struct questions *questions = lane->questions;
    while (lane->n_begun < lane->n_items && lane->n_asking <= lane->width && !questions->is_over) {
        /* By value: others may be added meanwhile. */
        const struct item item = lane->items[lane->n_begun++];
        struct error err = {0};
        int r = item.ask(questions, item.argument, item.index, &err);
        if (r < 0)
            note_fault(questions, item.number, r, &err);
        narrow(lane);
    }
    lane->n_asking--;
    questions->n_asking--;
    gate_open(questions->service->loop, &questions->ended);
}

static void start_lane(struct lane *lane)
{
    struct questions *questions = lane->questions;
    size_t n_left = lane->n_items - lane->n_begun;
    for (size_t i = 0; i < n_left && lane->n_asking < lane->width; i++) {
        if (questions->n_asking == MAX_ASKING || questions->is_over)
            return;
        lane->n_asking++;
        questions->n_asking++;
        loop_spawn(questions->service->loop, "question", lane_main, lane);
    }
}

static void start_lanes(struct questions *questions)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&questions->lanes, &cursor)))
        start_lane(entry->value);
}

void questions_add(struct questions *questions, const char *instance, question ask, void *argument,
                   size_t index)
{
    struct lane *lane = map_get(&questions->lanes, instance);
    if (!lane) {
        assert(!questions->is_running);
        lane = NEW(struct lane);
        lane->questions = questions;
        lane->instance = instance;
        map_put(&questions->lanes, instance, lane);
    }
    ARRAY_RESERVE(lane->items, lane->n_items, lane->capacity);
    lane->items[lane->n_items++] = (struct item){ask, argument, index, questions->n_added++};
    if (questions->is_running && lane->n_asking < lane->width)
        start_lane(lane);
}

struct call questions_call(struct questions *questions)
{
    struct call call = service_read_call(questions->service);
    call.is_cancelled = &questions->is_over;
    return call;
}

void questions_done(struct questions *questions)
{
    assert(questions->n_asking == 0);
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&questions->lanes, &cursor))) {
        struct lane *lane = entry->value;
        mem_free(lane->items);
        mem_free(lane);
    }
    map_done(&questions->lanes);
    error_done(&questions->fault);
    *questions = (struct questions){.service = questions->service};
}

static void set_widths(struct questions *questions)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&questions->lanes, &cursor))) {
        struct lane *lane = entry->value;
        const struct provider *provider = provider_of(lane);
        lane->width = find_width(lane);
        lane->n_put_off = provider ? provider->n_put_off : 0;
    }
}

int questions_ask(struct questions *questions, struct error *err)
{
    struct service *service = questions->service;
    set_widths(questions);
    questions->is_running = true;
    start_lanes(questions);
    while (questions->n_asking > 0) {
        (void)gate_wait(service->loop, &questions->ended, -1, NULL);
        start_lanes(questions);
    }
    int r = questions->is_over ? error_move(err, &questions->fault) : 0;
    questions_done(questions);
    return r;
}
