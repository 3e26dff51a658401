/* The twin's one loop: manifest -> desired machine -> difference -> act. */
#include "twin/converge.h"

#include "twin/converge-private.h"

#include "base/text.h"
#include "base/world.h"
#include "twin/desired.h"
#include "twin/network.h"
#include "twin/sandbox.h"
#include "twin/sources.h"

/* What did not become well is tried again this often. */
#define RETRY_PERIOD 5000000

bool converge_have_done(const struct converge *converge, uint64_t generation, unsigned int modules)
{
    for (size_t i = 0; i < MODULE_COUNT; i++) {
        if ((modules & (1u << i)) && converge->runs[i].done < generation)
            return false;
    }
    return true;
}

bool converge_is_settled(const struct converge *converge)
{
    return converge->pruned >= converge->generation;
}

/*
 * Hosts that nobody wants may go when every module has let go of them. With the last resource the
 * twin itself ends, which is the fastest way for all of them.
 */
void converge_note_progress(struct converge *converge)
{
    if (converge->pruned < converge->generation &&
        converge_have_done(converge, converge->generation, ~0u)) {
        if (converge->manifest->resources.n_live > 0)
            network_prune(converge->twin->network, converge->machine);
        converge->pruned = converge->generation;
    }
    gate_open(converge->twin->loop, &converge->changed);
}

static CO_FN void converge_module(struct module_run *run)
{
    struct machine *machine = machine_ref(run->converge->machine);
    struct problems problems = {0};
    run->is_woken = false;
    run->ops->converge(run->module, machine, &problems);
    machine_unref(run->machine);
    run->machine = machine;
    problems_done(&run->problems);
    run->problems = problems;
    run->done = machine->generation;
    converge_note_progress(run->converge);
}

static void run_module(void *argument)
{
    struct module_run *run = argument;
    struct converge *converge = run->converge;
    while (!converge->is_closing) {
        if (run->done < converge->machine->generation || run->is_woken) {
            converge_module(run);
            continue;
        }
        int64_t deadline = run->problems.n_items > 0 ? world_monotonic_clock() + RETRY_PERIOD : -1;
        if (gate_wait(converge->twin->loop, &converge->changed, deadline, NULL) < 0 &&
            world_monotonic_clock() >= deadline)
            run->is_woken = true;
    }
    run->is_running = false;
    gate_open(converge->twin->loop, &converge->changed);
}

CO_FN void twin_wait_for(struct twin *twin, enum module_id module, uint64_t generation)
{
    struct converge *converge = twin->converge;
    while (!converge->is_closing && converge->runs[module].done < generation)
        gate_wait(twin->loop, &converge->changed, -1, NULL);
}

bool twin_has_resource(struct twin *twin, const char *resource)
{
    return manifest_find(twin->converge->manifest, resource) != NULL;
}

void twin_wake(struct twin *twin, enum module_id module)
{
    twin->converge->runs[module].is_woken = true;
    gate_open(twin->loop, &twin->converge->changed);
}

int twin_folder(struct twin *twin, const char *name, enum process_user user, char **ret_path,
                struct error *err)
{
    (void)twin;
    return sandbox_folder(name, user, ret_path, err);
}

int twin_give(const char *path, enum process_user user, struct error *err)
{
    return sandbox_give(path, user, err);
}

static CO_FN void wait_for_modules(struct converge *converge, uint64_t generation,
                                   unsigned int modules)
{
    while (!converge_have_done(converge, generation, modules))
        gate_wait(converge->twin->loop, &converge->changed, -1, NULL);
}

const struct error *converge_find_problem(const struct converge *converge, const char *uid)
{
    for (size_t i = 0; i < MODULE_COUNT; i++) {
        const struct error *problem = problems_find(&converge->runs[i].problems, uid);
        if (problem)
            return problem;
    }
    return problems_find(&converge->faults, uid);
}

/* Takes a resource back to what it was, after its modules could not make it real. */
static CO_FN void take_back(struct converge *converge, struct change *failed)
{
    struct change change = {.uid = failed->uid,
                            .wanted = failed->before ? value_ref(failed->before) : NULL};
    converge_submit(converge, &change);
    if (change.err.code == ERROR_NONE)
        wait_for_modules(converge, change.generation, ~0u);
    converge_change_done(&change);
}

static CO_FN int finish_put(struct converge *converge, struct change *change, struct error *err)
{
    const char *type = resource_type(change->wanted);
    if (change->err.code != ERROR_NONE)
        return error_move(err, &change->err);
    wait_for_modules(converge, change->generation, desired_modules(type));
    const struct error *problem = converge_find_problem(converge, change->uid);
    if (!problem)
        return 0;
    int r = error_set(err, problem->code, "%s", error_message(problem));
    take_back(converge, change);
    return r;
}

/* What the manifest says of a resource, and is durable. Who asks while a batch is under way goes
 * into the next one with all others that did. */
static CO_FN const struct value *find_durable(struct converge *converge, const char *uid)
{
    while (converge->is_applying)
        gate_wait(converge->twin->loop, &converge->changed, -1, NULL);
    return manifest_find(converge->manifest, uid);
}

/* Whether a change of it has come and is not in the manifest yet: who comes after that has to be
 * made after it, too. */
static bool is_pending(const struct converge *converge, const char *uid)
{
    const struct change *change = converge->pending;
    while (change && !text_equal(change->uid, uid))
        change = change->next;
    return change != NULL;
}

static bool is_same(const struct value *old, const struct value *new)
{
    static const char *const fields[] = {"name", "type", "spec", "references", "generation"};
    for (size_t i = 0; old && i < ARRAY_LENGTH(fields); i++) {
        const struct value *left = value_get(old, fields[i]), *right = value_get(new, fields[i]);
        if (!left != !right || (left && !value_equal(left, right)))
            return false;
    }
    return old != NULL;
}

CO_FN int converge_put(struct converge *converge, struct value *take_resource, struct error *err)
{
    CLEANUP(value_unrefp) struct value *resource = take_resource;
    CLEANUP(mem_freep) char *uid = string_copy(resource_uid(resource));
    if (!desired_has_type(resource_type(resource)))
        return error_set(err, ERROR_UNSUPPORTED, "the twin does not serve the type %s",
                         resource_type(resource));
    bool is_there = is_same(find_durable(converge, uid), resource);
    if (is_there && !is_pending(converge, uid) && !converge_find_problem(converge, uid)) {
        wait_for_modules(converge, converge->generation, desired_modules(resource_type(resource)));
        return 0;
    }
    struct change change = {.uid = uid, .wanted = take_ptr(resource)};
    converge_submit(converge, &change);
    int r = finish_put(converge, &change, err);
    converge_change_done(&change);
    return r;
}

CO_FN int converge_delete(struct converge *converge, const char *uid, struct error *err)
{
    if (!find_durable(converge, uid) && !is_pending(converge, uid))
        return 0;
    struct change change = {.uid = uid};
    converge_submit(converge, &change);
    int r = change.err.code != ERROR_NONE ? error_move(err, &change.err) : 0;
    while (r == 0 && converge->pruned < change.generation)
        gate_wait(converge->twin->loop, &converge->changed, -1, NULL);
    converge_change_done(&change);
    return r;
}

CO_FN int converge_scale(struct converge *converge, const char *uid, unsigned int n_hosts,
                         struct error *err)
{
    struct change change = {.uid = uid, .is_scaling = true, .n_hosts = n_hosts};
    converge_submit(converge, &change);
    int r = change.err.code != ERROR_NONE ? error_move(err, &change.err) : 0;
    converge_change_done(&change);
    return r;
}

CO_FN int converge_act(struct converge *converge, const struct module_action *action,
                       struct error *err)
{
    const struct value *resource = manifest_find(converge->manifest, action->resource);
    if (!resource)
        return error_set(err, ERROR_NOT_FOUND, "there is no such resource on the twin");
    const char *type = resource_type(resource);
    unsigned int modules = desired_has_type(type) ? desired_modules(type) : 0;
    for (size_t i = 0; i < MODULE_COUNT; i++)
        if ((modules & (1u << i)) && converge->runs[i].ops->act)
            return converge->runs[i].ops->act(converge->runs[i].module, action, err);
    return error_set(err, ERROR_UNSUPPORTED, "%s has no actions", type);
}

CO_FN void converge_commit(struct converge *converge, struct problems *problems)
{
    while (converge->is_deciding || !converge_is_settled(converge))
        gate_wait(converge->twin->loop, &converge->changed, -1, NULL);
    size_t cursor = 0;
    for (struct map_entry *entry; (entry = map_next(&converge->manifest->resources, &cursor));) {
        const struct error *problem = converge_find_problem(converge, entry->key);
        struct error copy = {0};
        if (problem) {
            error_set(&copy, problem->code, "%s", error_message(problem));
            problems_add(problems, entry->key, &copy);
        }
    }
}

void converge_hold(struct converge *converge)
{
    if (converge->n_holds++ == 0)
        converge->held = machine_ref(converge->machine);
}

static CO_FN void await_all(struct converge *converge)
{
    while (!converge->is_closing && (converge->is_deciding || !converge_is_settled(converge)))
        gate_wait(converge->twin->loop, &converge->changed, -1, NULL);
}

/* Who was to be led elsewhere may be on the way still, when it is no step of its own. */
CO_FN void converge_release(struct converge *converge)
{
    if (converge->n_holds == 1 && converge->has_kept)
        await_all(converge);
    if (--converge->n_holds > 0)
        return;
    machine_unref(take_ptr(converge->held));
    if (!converge->has_kept)
        return;
    converge->has_kept = false;
    converge_refresh(converge);
    await_all(converge);
}

bool twin_keeps(struct twin *twin)
{
    if (twin->converge->n_holds == 0)
        return false;
    twin->converge->has_kept = true;
    return true;
}

const struct manifest *converge_manifest(const struct converge *converge)
{
    return converge->manifest;
}

const struct machine *converge_machine(const struct converge *converge)
{
    return converge->machine;
}

struct value *converge_find_resources(const struct converge *converge, const char *program)
{
    return sources_find(converge->sources, program);
}

bool converge_is_empty(const struct converge *converge)
{
    return converge->manifest->resources.n_live == 0 && !converge->is_deciding;
}

/* Files that aliases name are looked at when the machine changes, and now and then. */
static void watch_tables(void *argument)
{
    struct converge *converge = argument;
    while (!converge->is_closing) {
        int64_t period = tables_period(&converge->tables);
        int64_t deadline = period < 0 ? -1 : converge->looked_at + period;
        if (gate_wait(converge->twin->loop, &converge->changed, deadline, NULL) == 0 ||
            world_monotonic_clock() < deadline)
            continue;
        converge->looked_at = world_monotonic_clock();
        if (tables_have_changed(&converge->tables))
            converge_refresh(converge);
    }
    converge->is_watching = false;
    gate_open(converge->twin->loop, &converge->changed);
}

static int open_modules(struct converge *converge, struct error *err)
{
    for (size_t i = 0; i < MODULE_COUNT; i++) {
        struct module_run *run = &converge->runs[i];
        run->converge = converge;
        run->ops = module_table[i];
        int r = run->ops->open(converge->twin, &run->module, err);
        if (r < 0)
            return error_wrap(err, r, "%s", run->ops->name);
    }
    for (size_t i = 0; i < MODULE_COUNT; i++) {
        converge->runs[i].is_running = true;
        loop_spawn(converge->twin->loop, converge->runs[i].ops->name, run_module,
                   &converge->runs[i]);
    }
    return 0;
}

int converge_new(struct twin *twin, struct manifest *take_manifest, struct converge **ret_converge,
                 struct error *err)
{
    struct converge *converge = NEW(struct converge);
    converge->twin = twin;
    converge->manifest = take_manifest;
    converge->sources = sources_load(SANDBOX_LOGS);
    twin->converge = converge;
    CLEANUP(mem_freep) char *tables = string_format("%s/tables", twin->folder);
    tables_init(&converge->tables, tables);
    *ret_converge = converge;
    int r = firewall_new(&converge->firewall, err);
    if (r == 0)
        r = converge_carry_out(converge, err);
    if (r == 0)
        r = open_modules(converge, err);
    if (r == 0) {
        converge->disk = disk_new(twin->loop);
        converge->is_watching = true;
        converge->looked_at = world_monotonic_clock();
        loop_spawn(twin->loop, "tables", watch_tables, converge);
        converge_note_progress(converge);
    }
    return r;
}

static CO_FN void wait_for_end_of(struct converge *converge, struct module_run *run)
{
    while (run->is_running)
        gate_wait(converge->twin->loop, &converge->changed, -1, NULL);
}

CO_FN void converge_free(struct converge *converge)
{
    if (!converge)
        return;
    converge->is_closing = true;
    gate_open(converge->twin->loop, &converge->changed);
    for (size_t i = 0; i < MODULE_COUNT; i++)
        wait_for_end_of(converge, &converge->runs[i]);
    while (converge->is_watching || converge->is_deciding)
        gate_wait(converge->twin->loop, &converge->changed, -1, NULL);
    for (size_t i = MODULE_COUNT; i-- > 0;) {
        struct module_run *run = &converge->runs[i];
        if (run->module)
            run->ops->close(run->module);
        machine_unref(run->machine);
        problems_done(&run->problems);
    }
    machine_unref(converge->machine);
    machine_unref(converge->held);
    problems_done(&converge->faults);
    tables_done(&converge->tables);
    map_done(&converge->generations);
    value_unref(converge->sources);
    firewall_free(converge->firewall);
    disk_free(converge->disk);
    manifest_free(converge->manifest);
    mem_free(converge);
}
