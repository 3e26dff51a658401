/*
 * Changes of the manifest: tried, made durable and acted on, as many at once as have arrived. One
 * that would make the machine faulty is refused; the kernel's or the disk's refusal undoes all.
 */
#include "twin/converge-private.h"

#include "net/program.h"
#include "twin/desired.h"
#include "twin/network.h"
#include "twin/sandbox.h"
#include "twin/sources.h"

enum { HOSTS_FORESEEN = 16 };

/* Before anything of the machine runs: so whatever has a log is known. */
static void note_sources(struct converge *converge, const struct machine *machine)
{
    struct value *before = converge->sources;
    struct value *now = sources_merge(before, sources_describe(machine));
    if (!before || !value_equal(before, now))
        sources_save(SANDBOX_LOGS, now);
    value_unref(before);
    converge->sources = now;
}

/* Programs will run in each of its hosts. Of a large machine the first begin so. */
static void foresee_hosts(struct converge *converge, const struct machine *machine)
{
    for (size_t i = 0; i < machine->n_hosts && i < HOSTS_FORESEEN; i++)
        if (machine->hosts[i]->role != HOST_OUTSIDE)
            processes_foresee(converge->twin->processes, machine->hosts[i]->name);
}

/* Makes network and firewall like a machine, which the modules see from then on. */
static int adopt_machine(struct converge *converge, struct machine *machine, struct error *err)
{
    int r = network_extend(converge->twin->network, machine, err);
    if (r == 0)
        r = firewall_apply(converge->firewall, machine, converge->held, err);
    if (r < 0)
        return r;
    if (converge->held && firewall_keeps(converge->firewall))
        converge->has_kept = true;
    note_sources(converge, machine);
    foresee_hosts(converge, machine);
    machine->generation = ++converge->generation;
    machine_unref(converge->machine);
    converge->machine = machine_ref(machine);
    return 0;
}

/* Exchanges what the manifest and the change hold; doing it twice undoes it. */
static void swap(struct converge *converge, struct change *change, struct value **slot)
{
    struct value *there = manifest_find(converge->manifest, change->uid);
    struct value *kept = there ? value_ref(there) : NULL;
    value_unref(
        manifest_exchange(converge->manifest, change->uid, *slot ? value_ref(*slot) : NULL));
    value_unref(change->before);
    change->before = kept;
}

static void apply_change(struct converge *converge, struct change *change)
{
    struct value *old = manifest_find(converge->manifest, change->uid);
    if (change->is_scaling) {
        value_unref(change->wanted);
        change->wanted = old ? desired_scale(old, change->n_hosts) : NULL;
    } else if (change->wanted) {
        change->wanted = desired_adopt(old, change->wanted);
    }
    swap(converge, change, &change->wanted);
}

static void undo_change(struct converge *converge, struct change *change)
{
    struct value *before = change->before ? value_ref(change->before) : NULL;
    swap(converge, change, &before);
    value_unref(change->before);
    change->before = before;
}

struct attempt {
    struct machine *machine;
    struct value *assigned;
    struct problems faults;
};

static void attempt_done(struct attempt *attempt)
{
    machine_unref(attempt->machine);
    value_unref(attempt->assigned);
    problems_done(&attempt->faults);
}

/* The first fault that the manifest did not have before, or NULL. */
static struct problem *find_new_fault(const struct converge *converge, struct attempt *attempt)
{
    for (size_t i = 0; i < attempt->faults.n_items; i++) {
        if (!problems_find(&converge->faults, attempt->faults.items[i].resource))
            return &attempt->faults.items[i];
    }
    return NULL;
}

static void read_file(void *argument, const char *path, int64_t period_us)
{
    tables_read(argument, path, period_us);
}

static void compute(struct converge *converge, struct attempt *ret_attempt)
{
    struct desired_means means = {.has_grafana = program_find_kit(&program_grafana, NULL, NULL),
                                  .tables = &converge->tables};
    *ret_attempt = (struct attempt){0};
    desired_list_files(converge->manifest, read_file, &converge->tables);
    desired_compute(converge->manifest, &means, &ret_attempt->machine, &ret_attempt->assigned,
                    &ret_attempt->faults);
}

static void refuse_change(struct converge *converge, struct change *change, struct problem *fault)
{
    if (!change->wanted)
        error_set(&change->err, ERROR_CONFLICT, "it is still used by %s",
                  resource_name(manifest_find(converge->manifest, fault->resource)));
    else
        error_move(&change->err, &fault->err);
    undo_change(converge, change);
}

/* Tries them one by one and refuses those that bring a fault. */
static void sift_changes(struct converge *converge, struct change *changes)
{
    for (struct change *change = changes; change; change = change->next)
        undo_change(converge, change);
    for (struct change *change = changes; change; change = change->next) {
        struct attempt attempt;
        apply_change(converge, change);
        compute(converge, &attempt);
        struct problem *fault = find_new_fault(converge, &attempt);
        if (fault)
            refuse_change(converge, change, fault);
        attempt_done(&attempt);
    }
}

static void apply_changes(struct converge *converge, struct change *changes)
{
    struct attempt attempt;
    for (struct change *change = changes; change; change = change->next)
        apply_change(converge, change);
    compute(converge, &attempt);
    if (find_new_fault(converge, &attempt))
        sift_changes(converge, changes);
    attempt_done(&attempt);
}

int converge_carry_out(struct converge *converge, struct error *err)
{
    struct attempt attempt;
    compute(converge, &attempt);
    struct value *old = converge->manifest->assigned;
    converge->manifest->assigned = value_ref(attempt.assigned);
    int r = manifest_save(converge->manifest, converge->twin->folder, converge->disk, err);
    if (r == 0)
        r = adopt_machine(converge, attempt.machine, err);
    if (r < 0) {
        value_unref(converge->manifest->assigned);
        converge->manifest->assigned = old;
    } else {
        value_unref(old);
        problems_done(&converge->faults);
        converge->faults = attempt.faults;
        attempt.faults = (struct problems){0};
    }
    attempt_done(&attempt);
    return r;
}

/* The kernel or the disk refused: none of the changes is made. */
static CO_FN void undo_all(struct converge *converge, struct change *changes,
                           const struct error *reason)
{
    struct error ignored = {0};
    for (struct change *change = changes; change; change = change->next) {
        if (change->err.code != ERROR_NONE)
            continue;
        error_set(&change->err, reason->code, "%s", error_message(reason));
        undo_change(converge, change);
    }
    converge_carry_out(converge, &ignored);
    error_done(&ignored);
}

static void note_generation(struct converge *converge, const struct change *change)
{
    if (change->wanted)
        map_put(&converge->generations, change->uid, (void *)(uintptr_t)change->generation);
    else
        map_remove(&converge->generations, change->uid);
}

static bool is_any_left(const struct change *changes)
{
    while (changes && changes->err.code != ERROR_NONE)
        changes = changes->next;
    return changes != NULL;
}

static CO_FN void decide(struct converge *converge, struct change *changes)
{
    struct error reason = {0};
    converge->is_applying = true;
    apply_changes(converge, changes);
    if ((!changes || is_any_left(changes)) && converge_carry_out(converge, &reason) < 0)
        undo_all(converge, changes, &reason);
    error_done(&reason);
    converge->is_applying = false;
    for (struct change *change = changes; change; change = change->next) {
        change->generation = converge->generation;
        change->is_decided = true;
        if (change->err.code == ERROR_NONE)
            note_generation(converge, change);
    }
    converge_note_progress(converge);
}

static void append(struct change **list, struct change *change)
{
    while (*list)
        list = &(*list)->next;
    change->next = NULL;
    *list = change;
}

/* Takes what goes together: at most one change of each resource, so that any of them can be undone.
 */
static struct change *take_batch(struct converge *converge)
{
    struct change *batch = NULL, *rest = NULL;
    struct map resources = {0};
    for (struct change *change = converge->pending, *next; change; change = next) {
        next = change->next;
        bool is_first = !map_has(&resources, change->uid);
        map_put(&resources, change->uid, change);
        append(is_first ? &batch : &rest, change);
    }
    map_done(&resources);
    converge->pending = rest;
    return batch;
}

/* Whatever has arrived in one turn of the loop goes together. */
static void decide_pending(void *argument)
{
    struct converge *converge = argument;
    while (converge->pending || converge->is_stale) {
        converge->is_stale = false;
        decide(converge, take_batch(converge));
    }
    converge->is_deciding = false;
    gate_open(converge->twin->loop, &converge->changed);
}

static void begin_to_decide(struct converge *converge)
{
    if (converge->is_deciding)
        return;
    converge->is_deciding = true;
    loop_spawn(converge->twin->loop, "decide", decide_pending, converge);
}

void converge_refresh(struct converge *converge)
{
    converge->is_stale = true;
    begin_to_decide(converge);
}

CO_FN void converge_submit(struct converge *converge, struct change *change)
{
    append(&converge->pending, change);
    begin_to_decide(converge);
    while (!change->is_decided)
        gate_wait(converge->twin->loop, &converge->changed, -1, NULL);
}

void converge_change_done(struct change *change)
{
    value_unref(change->wanted);
    value_unref(change->before);
    error_done(&change->err);
}
