/* What status says of stacks, and of the hosts they run on. */
#include "twin/workload-private.h"

#include "base/text.h"
#include "twin/cgroup.h"
#include "twin/service.h"

static bool is_ready(const struct instance *instance)
{
    return instance && process_state(instance->process) == PROCESS_READY &&
           (!instance->health || health_state(instance->health) == HEALTH_HEALTHY ||
            health_state(instance->health) == HEALTH_UNCHECKED);
}

/* A program that answers may be unwell nevertheless. */
static const char *instance_state(const struct instance *instance)
{
    if (!instance)
        return "failed";
    enum process_state state = process_state(instance->process);
    if (state == PROCESS_READY && instance->health && !is_ready(instance))
        return health_state_to_string(health_state(instance->health));
    return process_state_to_string(state);
}

static struct value *describe_instance(const struct machine_host *host,
                                       const struct instance *instance)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "name", host->name);
    value_builder_set_string(&fields, "address", host->address);
    value_builder_set_string(&fields, "state", instance_state(instance));
    service_report_restarts(&fields, instance ? process_restarts(instance->process) : 0);
    service_report_problem(&fields, instance ? instance->process : NULL);
    if (instance && instance->health) {
        value_builder_set_string(&fields, "health",
                                 health_state_to_string(health_state(instance->health)));
        if (*health_problem(instance->health))
            value_builder_set_string(&fields, "health_problem", health_problem(instance->health));
    }
    return value_builder_map(&fields);
}

/* Whether its image asks for root, which it does not get. */
static bool runs_as_nobody(const struct workloads *module, const struct machine_workload *workload)
{
    for (size_t i = 0; i < workload->n_hosts; i++) {
        const struct instance *instance = workload_instance(module, workload, workload->hosts[i]);
        if (instance && instance->image && instance->image->is_demoted)
            return true;
    }
    return false;
}

/* How many of a service's instances are ready. */
static size_t describe_service(const struct workloads *module,
                               const struct machine_workload *workload,
                               struct value_builder *services)
{
    struct value_builder service = {0};
    struct value_builder instances = {0};
    size_t n_ready = 0;
    for (size_t i = 0; i < workload->n_hosts; i++) {
        const struct instance *instance = workload_instance(module, workload, workload->hosts[i]);
        n_ready += is_ready(instance);
        value_builder_append(&instances, describe_instance(workload->hosts[i], instance));
    }
    value_builder_set_string(&service, "image", workload->image);
    value_builder_set_string(&service, "runs",
                             workload->built ? "its image, built by the Docker Engine"
                             : workload_is_run(workload)
                                 ? "the built-in workload in place of the image"
                                 : "nothing: it has no port");
    if (workload->built && runs_as_nobody(module, workload))
        value_builder_set_string(&service, "user", "nobody: in an instance nobody is root");
    if (cgroup_is_needed(&workload->quota))
        value_builder_set_string(&service, "limits",
                                 processes_are_limited(module->twin->processes)
                                     ? "kept by control groups"
                                     : "not kept: only root has control groups");
    value_builder_set(&service, "ready", value_integer((int64_t)n_ready));
    value_builder_set(&service, "instances", value_builder_list(&instances));
    value_builder_set(services, workload->name, value_builder_map(&service));
    return n_ready;
}

static const char *state_of(size_t n_ready, size_t n_wanted)
{
    if (n_ready == n_wanted)
        return "ready";
    return n_ready > 0 ? "degraded" : "failed";
}

static unsigned int count_restarts(const struct workloads *module,
                                   const struct machine_workload *workload)
{
    unsigned int n_restarts = 0;
    for (size_t i = 0; i < workload->n_hosts; i++) {
        const struct instance *instance = workload_instance(module, workload, workload->hosts[i]);
        n_restarts += instance ? process_restarts(instance->process) : 0;
    }
    return n_restarts;
}

static void report_stack(const struct workloads *module, const char *resource,
                         struct value_builder *status)
{
    struct value_builder services = {0};
    size_t n_ready = 0, n_wanted = 0;
    unsigned int n_restarts = 0;
    for (size_t i = 0; i < module->machine->n_workloads; i++) {
        const struct machine_workload *workload = module->machine->workloads[i];
        if (!text_equal(workload->resource, resource))
            continue;
        n_ready += describe_service(module, workload, &services);
        n_restarts += count_restarts(module, workload);
        n_wanted += workload_is_run(workload) ? workload->n_hosts : 0;
    }
    if (services.n_items > 0) {
        value_builder_set_string(status, "state", state_of(n_ready, n_wanted));
        value_builder_set(status, "services", value_builder_map(&services));
        workload_volumes_report(module, resource, status);
        service_report_restarts(status, n_restarts);
    }
    value_builder_done(&services);
}

/* Hosts are as well as what runs on them. */
static void report_hosts(const struct workloads *module, const char *resource,
                         struct value_builder *status)
{
    size_t n_ready = 0, n_wanted = 0;
    for (size_t i = 0; i < module->machine->n_workloads; i++) {
        const struct machine_workload *workload = module->machine->workloads[i];
        for (size_t k = 0; workload_is_run(workload) && k < workload->n_hosts; k++) {
            if (!text_equal(workload->hosts[k]->resource, resource))
                continue;
            n_ready += is_ready(workload_instance(module, workload, workload->hosts[k]));
            n_wanted++;
        }
    }
    if (n_wanted == 0)
        return;
    value_builder_set_string(status, "state", state_of(n_ready, n_wanted));
    value_builder_set(status, "workloads", value_integer((int64_t)n_wanted));
    value_builder_set(status, "ready", value_integer((int64_t)n_ready));
}

void workload_report(void *argument, const char *resource, struct value_builder *status,
                     struct value_builder *outputs)
{
    const struct workloads *module = argument;
    (void)outputs;
    if (!module->machine)
        return;
    report_stack(module, resource, status);
    report_hosts(module, resource, status);
}
