#include "twin/autoscaler.h"

#include "base/map.h"
#include "base/text.h"
#include "base/world.h"
#include "twin/converge.h"
#include "twin/desired.h"
#include "twin/measure.h"
#include "twin/service.h"

#include <stdint.h>
#include <string.h>

#define SECOND INT64_C(1000000)

#define LOOK_TIME (1 * SECOND)
/* What load is measured over, at most; else over a quarter of the cooldown. */
#define WINDOW (15 * SECOND)
/* As AWS has it. */
#define USUAL_COOLDOWN (300 * SECOND)
/* So much above or below the target is no reason to do anything. */
#define TOLERANCE 0.1

struct autoscaler {
    struct twin *twin;
    struct map states; /* uid -> owned struct autoscaler_state */
    struct gate changed;
    bool is_running, is_ending;
};

/* --- Deciding --- */

/* What hosts that are gone have used is not in the sum any more. */
static bool is_new(const struct autoscaler_state *state, unsigned int n_hosts, int64_t used_us)
{
    return state->begun_at == 0 || n_hosts != state->n_hosts ||
           used_us < state->samples[state->n_samples - 1].used_us;
}

/* What was needed is known still when hosts went for just that reason. */
static void begin_anew(struct autoscaler_state *state, int64_t now, unsigned int n_hosts,
                       int64_t used_us)
{
    bool is_ours = state->begun_at != 0 && n_hosts < state->n_hosts && n_hosts == state->shrunk_to;
    if (!is_ours)
        *state = (struct autoscaler_state){.begun_at = now};
    state->n_hosts = n_hosts;
    state->samples[0] = (struct autoscaler_sample){now, used_us};
    state->n_samples = 1;
}

static void drop_first(struct autoscaler_state *state)
{
    state->n_samples--;
    memmove(state->samples, state->samples + 1, state->n_samples * sizeof(state->samples[0]));
}

/* Adds what is known now; the window becomes the newest one that is long enough. */
static void move_window(struct autoscaler_state *state, int64_t window, int64_t now,
                        int64_t used_us)
{
    if (state->n_samples == AUTOSCALER_SAMPLES) /* a look too many: the one before gives way */
        state->n_samples--;
    state->samples[state->n_samples++] = (struct autoscaler_sample){now, used_us};
    while (state->n_samples > 2 && now - state->samples[1].at >= window)
        drop_first(state);
}

static unsigned int clamp(double count, const struct autoscaler_limits *limits)
{
    return count < limits->least  ? limits->least
           : count > limits->most ? limits->most
                                  : (unsigned int)count;
}

/* The fewest hosts of which none would be busier than wanted. */
static unsigned int size_for(unsigned int n_hosts, double load,
                             const struct autoscaler_limits *limits)
{
    double ratio = load / limits->target;
    if (ratio > 1 - TOLERANCE && ratio < 1 + TOLERANCE)
        return clamp(n_hosts, limits);
    double count = n_hosts * ratio;
    double whole = (double)(unsigned int)count;
    whole += whole < count;
    return clamp(whole > 2.0 * n_hosts ? 2.0 * n_hosts : whole, limits);
}

/* As many as it needed in the last cooldown when it was busiest, if it is known for so long. */
static unsigned int shrink(struct autoscaler_state *state, const struct autoscaler_limits *limits,
                           int64_t now, unsigned int size)
{
    int64_t since = now - limits->cooldown_us;
    if (state->n_hosts > AUTOSCALER_MOST_HOSTS)
        return state->n_hosts;
    state->needed_at[size] = state->samples[0].at;
    if (state->begun_at > since)
        return state->n_hosts;
    for (unsigned int needed = state->n_hosts; needed > size; needed--)
        if (state->needed_at[needed] >= since)
            return needed;
    return size;
}

unsigned int autoscaler_decide(struct autoscaler_state *state,
                               const struct autoscaler_limits *limits, int64_t now,
                               unsigned int n_hosts, double n_processors, int64_t used_us,
                               double *ret_load)
{
    int64_t window = limits->cooldown_us / 4 < WINDOW ? limits->cooldown_us / 4 : WINDOW;
    *ret_load = 0;
    if (is_new(state, n_hosts, used_us)) {
        begin_anew(state, now, n_hosts, used_us);
        return n_hosts;
    }
    move_window(state, window, now, used_us);
    int64_t time = now - state->samples[0].at;
    if (n_hosts == 0 || n_processors <= 0 || time < window)
        return n_hosts;
    *ret_load = (double)(used_us - state->samples[0].used_us) / ((double)time * n_processors);
    unsigned int size = size_for(n_hosts, *ret_load, limits);
    if (size > n_hosts)
        return size;
    state->shrunk_to = shrink(state, limits, now, size);
    return state->shrunk_to;
}

/* --- Groups --- */

/* What all services on a host may use together; one processor when any of them is not limited. */
static double processors_of(const struct machine *machine, const struct machine_host *host)
{
    int64_t sum_milli = 0;
    for (size_t i = 0; i < machine->n_workloads; i++) {
        const struct machine_workload *workload = machine->workloads[i];
        for (size_t k = 0; k < workload->n_hosts; k++) {
            if (workload->hosts[k] != host)
                continue;
            if (workload->quota.cpu_milli == 0)
                return 1;
            sum_milli += workload->quota.cpu_milli;
        }
    }
    return sum_milli > 0 ? (double)sum_milli / 1000 : 1;
}

/* What one look finds of a group. */
struct sum {
    char *uid; /* owned */
    unsigned int n_hosts;
    double n_processors;
    int64_t used_us;
};

/* All groups that follow their load. */
struct sums {
    const struct machine *machine; /* borrowed for the look */
    struct sum *items;
    size_t n_items, capacity;
};

static void add_host(void *argument, const struct machine_host *host, int64_t used_us)
{
    struct sums *sums = argument;
    for (size_t i = 0; i < sums->n_items; i++) {
        struct sum *sum = &sums->items[i];
        if (!text_equal_or_null(host->resource, sum->uid))
            continue;
        sum->n_hosts++;
        sum->n_processors += processors_of(sums->machine, host);
        sum->used_us += used_us;
    }
}

static struct autoscaler_state *state_of(struct autoscaler *autoscaler, const char *uid)
{
    struct autoscaler_state *state = map_get(&autoscaler->states, uid);
    if (!state) {
        state = NEW(struct autoscaler_state);
        map_put(&autoscaler->states, uid, state);
    }
    return state;
}

static bool read_limits(const struct value *resource, struct autoscaler_limits *ret_limits)
{
    const struct value *spec = resource_spec(resource);
    int64_t target = value_get_integer(spec, "targetCPU", 0);
    *ret_limits = (struct autoscaler_limits){
        .least = (unsigned int)value_get_integer(spec, "min", 0),
        .most = (unsigned int)value_get_integer(spec, "max", 0),
        .target = (double)target / 100,
        .cooldown_us = desired_duration(value_get_text(spec, "cooldown"), USUAL_COOLDOWN)};
    return target > 0 && ret_limits->least < ret_limits->most;
}

static void tell(struct autoscaler *autoscaler, const struct value *resource, unsigned int before,
                 unsigned int after, double load)
{
    CLEANUP(mem_freep)
    char *message = string_format(
        "%u hosts instead of %u: its processors were %.0f %% busy, and %lld %% are wanted", after,
        before, load * 100, (long long)value_get_integer(resource_spec(resource), "targetCPU", 0));
    struct event event = {.kind = "scaled",
                          .program = resource_name(resource),
                          .resource = resource_uid(resource),
                          .message = message};
    service_note(autoscaler->twin, &event);
}

static CO_FN void follow_load(struct autoscaler *autoscaler, const struct sum *sum)
{
    struct twin *twin = autoscaler->twin;
    struct autoscaler_limits limits;
    struct value *found = manifest_find(converge_manifest(twin->converge), sum->uid);
    if (!found || !read_limits(found, &limits))
        return;
    CLEANUP(value_unrefp) struct value *resource = value_ref(found);
    double load;
    unsigned int size =
        autoscaler_decide(state_of(autoscaler, sum->uid), &limits, world_monotonic_clock(),
                          sum->n_hosts, sum->n_processors, sum->used_us, &load);
    struct error err = {0};
    if (size != sum->n_hosts && converge_scale(twin->converge, sum->uid, size, &err) == 0)
        tell(autoscaler, resource, sum->n_hosts, size, load);
    error_done(&err);
}

static void list_groups(const struct autoscaler *autoscaler, struct sums *ret_sums)
{
    const struct manifest *manifest = converge_manifest(autoscaler->twin->converge);
    size_t cursor = 0;
    struct autoscaler_limits limits;
    for (const struct map_entry *entry; (entry = map_next(&manifest->resources, &cursor));) {
        if (!desired_is_group(entry->value) || !read_limits(entry->value, &limits))
            continue;
        ARRAY_RESERVE(ret_sums->items, ret_sums->n_items, ret_sums->capacity);
        ret_sums->items[ret_sums->n_items++] = (struct sum){.uid = string_copy(entry->key)};
    }
}

/* One look at all processes, however many groups there are. */
static CO_FN void look_at_groups(struct autoscaler *autoscaler)
{
    struct sums sums = {.machine = converge_machine(autoscaler->twin->converge)};
    list_groups(autoscaler, &sums);
    if (sums.n_items > 0)
        measure_hosts(autoscaler->twin->measure, add_host, &sums);
    for (size_t i = 0; i < sums.n_items; i++) {
        if (!autoscaler->is_ending)
            follow_load(autoscaler, &sums.items[i]);
        mem_free(sums.items[i].uid);
    }
    mem_free(sums.items);
}

static void live(void *argument)
{
    struct autoscaler *autoscaler = argument;
    while (!autoscaler->is_ending) {
        look_at_groups(autoscaler);
        if (!autoscaler->is_ending)
            gate_wait(autoscaler->twin->loop, &autoscaler->changed,
                      world_monotonic_clock() + LOOK_TIME, NULL);
    }
    autoscaler->is_running = false;
    gate_open(autoscaler->twin->loop, &autoscaler->changed);
}

struct autoscaler *autoscaler_new(struct twin *twin)
{
    struct autoscaler *autoscaler = NEW(struct autoscaler);
    autoscaler->twin = twin;
    autoscaler->is_running = true;
    loop_spawn(twin->loop, "autoscaler", live, autoscaler);
    return autoscaler;
}

CO_FN void autoscaler_free(struct autoscaler *autoscaler)
{
    size_t cursor = 0;
    if (!autoscaler)
        return;
    autoscaler->is_ending = true;
    gate_open(autoscaler->twin->loop, &autoscaler->changed);
    while (autoscaler->is_running)
        gate_wait(autoscaler->twin->loop, &autoscaler->changed, -1, NULL);
    for (struct map_entry *entry; (entry = map_next(&autoscaler->states, &cursor));)
        mem_free(entry->value);
    map_done(&autoscaler->states);
    mem_free(autoscaler);
}
