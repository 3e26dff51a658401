/*
 * The module of workloads: each service of a stack runs on each of its hosts. The image cannot be
 * had here, so the built-in workload (workload-program.c) stands in for it, and status says so.
 */
#include "twin/balancer.h"
#include "twin/cgroup.h"
#include "twin/service.h"
#include "twin/workload-private.h"

#include "base/text.h"
#include "base/world.h"

enum {
    READY_TIME = 10 * 1000 * 1000, /* microseconds */
    HEALTHY_TIME = 60 * 1000 * 1000,
};

bool workload_is_run(const struct machine_workload *workload)
{
    return workload->port != 0 || workload->built;
}

/* Whether a port of a host is free for one that is still asked there. */
static bool is_wanted_at(const struct machine *machine, const struct instance *instance)
{
    for (size_t i = 0; i < machine->n_workloads; i++) {
        const struct machine_workload *workload = machine->workloads[i];
        for (size_t k = 0; workload->port == instance->port && k < workload->n_hosts; k++)
            if (text_equal(workload->hosts[k]->name, instance->host.name))
                return true;
    }
    return false;
}

static struct workload_patience patience_from_now(void)
{
    int64_t now = world_monotonic_clock();
    return (struct workload_patience){
        .ready_by = now + READY_TIME, .healthy_by = now + HEALTHY_TIME, .is_strict = true};
}

static CO_FN int await_healthy(struct instance *instance, struct error *err)
{
    struct workload_patience patience = patience_from_now();
    return workload_await(instance, &patience, err);
}

static CO_FN int await_needs(struct workloads *module, const struct machine_workload *workload,
                             struct error *err)
{
    struct workload_patience patience = patience_from_now();
    return workload_await_needs(module, workload, &patience, err);
}

/* Starts one in place of another, of which no request is lost if others serve meanwhile. */
static CO_FN int replace_instance(struct workloads *module, const struct machine_workload *workload,
                                  const struct machine_host *host,
                                  const struct workload_command *command, struct error *err)
{
    struct twin *twin = module->twin;
    struct instance *old = workload_instance(module, workload, host);
    CLEANUP(mem_freep) char *before = NULL;
    uint16_t port = old->port;
    if (!text_equal_or_null(old->upstream, command->upstream) || twin_keeps(twin))
        twin_wait_for(twin, MODULE_BALANCER, module->machine->generation);
    if (old->health_check && !text_equal_or_null(old->health_check, workload->health_check))
        before = string_copy(old->health_check);
    balancer_drain(twin, host->name, port);
    workload_drop(module, old);
    int r = workload_start(module, workload, host, command, before, err);
    if (r == 0)
        r = await_healthy(workload_instance(module, workload, host), err);
    balancer_resume(twin, host->name, port);
    if (port != workload->port)
        balancer_resume(twin, host->name, workload->port);
    return r;
}

static CO_FN int ensure_instance(struct workloads *module, const struct machine_workload *workload,
                                 const struct machine_host *host, bool is_replacing,
                                 struct error *err)
{
    CLEANUP(workload_command_done) struct workload_command command = {0};
    int r = workload_command_make(module->twin, workload, host, &command, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep) char *text = workload_command_text(workload, &command);
    struct instance *instance = workload_instance(module, workload, host);
    bool is_same = instance && text_equal(instance->command, text);
    if (is_same)
        workload_check(instance, workload);
    if (is_same)
        return cgroup_is_needed(&workload->quota)
                   ? process_limit(instance->process, &workload->quota, err)
                   : 0;
    if (instance && instance->port != workload->port && !is_wanted_at(module->machine, instance) &&
        twin_keeps(module->twin)) {
        instance->is_former = true;
        instance = NULL;
    }
    if (!instance)
        r = await_needs(module, workload, err);
    if (!instance)
        return r < 0 ? r : workload_start(module, workload, host, &command, NULL, err);
    return is_replacing ? replace_instance(module, workload, host, &command, err) : 0;
}

static void blame(const struct machine_workload *workload, struct problems *problems,
                  struct error *err)
{
    error_wrap(err, -(int)err->code, "service %s", workload->name);
    problems_add(problems, workload->resource, err);
}

/*
 * First what is not there, then, one by one, what runs with other arguments: after the one before
 * it is ready again, so that a change never takes all instances away at once.
 */
static CO_FN void start_all(struct workloads *module, bool is_replacing, struct problems *problems)
{
    for (size_t i = 0; i < module->machine->n_workloads; i++) {
        const struct machine_workload *workload = module->machine->workloads[i];
        for (size_t k = 0; workload_is_run(workload) && k < workload->n_hosts; k++) {
            struct error err = {0};
            if (ensure_instance(module, workload, workload->hosts[k], is_replacing, &err) < 0)
                blame(workload, problems, &err);
        }
    }
}

static CO_FN void await_all(struct workloads *module, struct problems *problems)
{
    int64_t deadline = world_monotonic_clock() + READY_TIME;
    /* A check that takes longer to tell goes on; status says that it starts. */
    struct workload_patience patience = {.ready_by = deadline, .healthy_by = deadline};
    for (size_t i = 0; i < module->machine->n_workloads; i++) {
        const struct machine_workload *workload = module->machine->workloads[i];
        for (size_t k = 0; k < workload->n_hosts; k++) {
            struct error err = {0};
            struct instance *instance = workload_instance(module, workload, workload->hosts[k]);
            if (instance && workload_await(instance, &patience, &err) < 0)
                blame(workload, problems, &err);
        }
    }
}

static bool is_wanted(const struct workloads *module, const struct instance *instance)
{
    if (instance->is_former)
        return twin_keeps(module->twin);
    for (size_t i = 0; i < module->machine->n_workloads; i++) {
        const struct machine_workload *workload = module->machine->workloads[i];
        for (size_t k = 0; workload_is_run(workload) && k < workload->n_hosts; k++)
            if (workload_instance(module, workload, workload->hosts[k]) == instance)
                return true;
    }
    return false;
}

/* Instances on their way out; they are in the module's list no more. */
struct leaving {
    struct instance **items;
    size_t n_items;
};

static CO_FN void let_go(void *argument, size_t index)
{
    struct leaving *leaving = argument;
    workload_end(leaving->items[index]);
}

/* Takes them out of the list, all or only those that the machine does not want, and stops them. */
static CO_FN void stop_instances(struct workloads *module, bool all)
{
    struct leaving leaving = {NEW_ARRAY(struct instance *, module->n_items), 0};
    for (size_t i = module->n_items; i > 0; i--) {
        if (!all && is_wanted(module, module->items[i - 1]))
            continue;
        leaving.items[leaving.n_items++] = module->items[i - 1];
        module->items[i - 1] = module->items[--module->n_items];
    }
    service_in_parallel(module->twin->loop, leaving.n_items, let_go, &leaving);
    mem_free(leaving.items);
}

static bool has_unwanted(const struct workloads *module)
{
    for (size_t i = 0; i < module->n_items; i++)
        if (!is_wanted(module, module->items[i]))
            return true;
    return false;
}

/* The balancer lets go of an instance before it ends, so that no request is lost. */
static CO_FN void stop_unwanted(struct workloads *module)
{
    if (!has_unwanted(module))
        return;
    twin_wait_for(module->twin, MODULE_BALANCER, module->machine->generation);
    stop_instances(module, false);
}

static bool has_leases(const struct machine *machine)
{
    for (size_t i = 0; i < machine->n_networks; i++)
        if (machine->networks[i]->dhcp.lease_s > 0)
            return true;
    return false;
}

static CO_FN void converge_workloads(void *argument, struct machine *wanted,
                                     struct problems *problems)
{
    struct workloads *module = argument;
    machine_unref(module->machine);
    module->machine = machine_ref(wanted);
    if (has_leases(wanted))
        twin_wait_for(module->twin, MODULE_DHCP, wanted->generation);
    start_all(module, false, problems);
    start_all(module, true, problems);
    await_all(module, problems);
    stop_unwanted(module);
    workload_volumes_prune(module->twin);
}

/* --- The module --- */

static int open_workloads(struct twin *twin, void **ret_module, struct error *err)
{
    struct workloads *module = NEW(struct workloads);
    (void)err;
    module->twin = twin;
    *ret_module = module;
    return 0;
}

static CO_FN void close_workloads(void *argument)
{
    struct workloads *module = argument;
    stop_instances(module, true);
    mem_free(module->items);
    machine_unref(module->machine);
    mem_free(module);
}

const struct module_ops workload_module = {
    .name = "workload",
    .open = open_workloads,
    .converge = converge_workloads,
    .report = workload_report,
    .close = close_workloads,
};
