/* Stacks: which services run on which hosts, with what they need and may use. */
#include "twin/desiring-stacks.h"

#include "base/text.h"

#include <stdint.h>
#include <string.h>

#define HOSTS "aws:autoscaling:group aws:ec2:instances"
#define FRONTEND "opnsense:haproxy:frontend"
#define CLUSTER "aws:rds:cluster"

enum { LEAST_MEMORY = 4 << 20, MOST_CPUS = 1024 };
#define LEAST_CPUS 0.01

/* For resources that nothing more is known of: that they are there is all. */
static char is_there;

/* As many hosts as there are replicas: two of one service cannot share a port of one host. */
static int count_replicas(struct desiring *desiring, const struct value *service, const char *name,
                          const struct host_list *list, size_t *ret_count)
{
    const struct value *replicas = value_get(service, "replicas");
    *ret_count = list->n_hosts;
    if (value_is_null(replicas) ||
        text_equal_or_null(value_get_text(service, "replicas"), "dynamic"))
        return 0;
    if (value_kind(replicas) != VALUE_INTEGER || value_to_integer(replicas) < 0)
        return desiring_fault(desiring, ERROR_INVALID,
                              "replicas of %s is neither a number nor "
                              "dynamic",
                              name);
    if ((uint64_t)value_to_integer(replicas) > list->n_hosts)
        return desiring_fault(desiring, ERROR_CONFLICT, "%s wants %lld replicas; its hosts are %zu",
                              name, (long long)value_to_integer(replicas), list->n_hosts);
    *ret_count = (size_t)value_to_integer(replicas);
    return 0;
}

static int place_workload(struct desiring *desiring, const struct value *service, const char *name,
                          struct machine_workload *workload)
{
    CLEANUP(mem_freep) char *hosts = string_format("services.%s.hosts", name);
    CLEANUP(mem_freep) char *upstream = string_format("services.%s.upstream", name);
    CLEANUP(mem_freep) char *database = string_format("services.%s.database", name);
    void *list = NULL, *called = NULL, *used = NULL;
    int r = spec_reference(desiring, hosts, HOSTS, true, &list);
    if (r == 0)
        r = spec_reference(desiring, upstream, FRONTEND, false, &called);
    if (r == 0)
        r = spec_reference(desiring, database, CLUSTER, false, &used);
    if (r == 0)
        r = count_replicas(desiring, service, name, list, &workload->n_hosts);
    if (r < 0)
        return r;
    workload->hosts = ((struct host_list *)list)->hosts;
    workload->upstream = called;
    workload->upstream_host = called ? ((struct machine_frontend *)called)->host : NULL;
    workload->database = used;
    return 0;
}

static bool shares_host(const struct machine_workload *a, const struct machine_workload *b)
{
    for (size_t i = 0; i < a->n_hosts; i++) {
        for (size_t j = 0; j < b->n_hosts; j++) {
            if (a->hosts[i] == b->hosts[j])
                return true;
        }
    }
    return false;
}

static int check_port(struct desiring *desiring, const struct machine_workload *workload)
{
    for (size_t i = 0; i < desiring->machine->n_workloads; i++) {
        const struct machine_workload *other = desiring->machine->workloads[i];
        if (workload->port != 0 && other->port == workload->port && shares_host(other, workload))
            return desiring_fault(desiring, ERROR_CONFLICT,
                                  "services %s and %s want port %u of the same hosts", other->name,
                                  workload->name, workload->port);
    }
    return 0;
}

/* A name with "=" or nothing in it would be another variable for whoever reads the environment. */
static int read_environment(struct desiring *desiring, const struct value *service,
                            const char *name, struct machine_workload *workload)
{
    const struct value *environment = value_get(service, "environment");
    if (!environment || value_is_null(environment))
        return 0;
    if (value_kind(environment) != VALUE_MAP)
        return desiring_fault(desiring, ERROR_INVALID, "the environment of %s is not a map", name);
    workload->variables = machine_memory(desiring->machine, value_count(environment) + 1,
                                         sizeof(*workload->variables));
    for (size_t i = 0; i < value_count(environment); i++) {
        struct machine_variable *variable = &workload->variables[workload->n_variables++];
        const char *key = value_key_at(environment, i);
        const struct value *item = value_at(environment, i);
        bool is_secret = value_kind(item) == VALUE_SECRET;
        if (!*key || strchr(key, '='))
            return desiring_fault(desiring, ERROR_INVALID,
                                  "\"%s\" of %s is no name of an environment variable", key, name);
        if (!is_secret && value_kind(item) != VALUE_STRING)
            return desiring_fault(desiring, ERROR_INVALID, "%s of %s is not a text", key, name);
        const char *text = desiring_text(desiring, value_text(item));
        *variable = (struct machine_variable){.name = desiring_text(desiring, key),
                                              .text = is_secret ? NULL : text,
                                              .secret = is_secret ? text : NULL};
    }
    return 0;
}

/* "512Mi" in bytes; 0 when it is no size. */
static int64_t read_size(const char *text)
{
    static const char *const units[] = {"Ki", "Mi", "Gi", "Ti"};
    enum { MOST_DIGITS = 7 };
    size_t n_digits = strspn(text, "0123456789");
    CLEANUP(mem_freep) char *digits = string_copy_n(text, n_digits);
    int64_t count;
    if (n_digits > MOST_DIGITS || !text_to_integer(digits, &count))
        return 0;
    for (unsigned int i = 0; i < ARRAY_LENGTH(units); i++)
        if (text_equal(text + n_digits, units[i]))
            return count << 10 * (i + 1);
    return 0;
}

static int read_quota(struct desiring *desiring, const struct value *service, const char *name,
                      struct machine_quota *quota)
{
    static const struct spec_range processes = {1, INT32_MAX, 0};
    const struct value *limits = value_get(service, "limits");
    if (value_is_null(limits))
        return 0;
    if (value_kind(limits) != VALUE_MAP)
        return desiring_fault(desiring, ERROR_INVALID, "the limits of %s are not a map", name);
    const struct value *cpus = value_get(limits, "cpus");
    const struct value *memory = value_get(limits, "memory");
    if (!value_is_null(cpus)) {
        bool is_number = value_kind(cpus) == VALUE_DECIMAL || value_kind(cpus) == VALUE_INTEGER;
        double count = is_number ? value_to_decimal(cpus) : 0;
        if (!(count >= LEAST_CPUS && count <= MOST_CPUS))
            return desiring_fault(desiring, ERROR_INVALID, "cpus of %s is no number of processors",
                                  name);
        quota->cpu_milli = (int64_t)(count * 1000);
    }
    if (!value_is_null(memory)) {
        quota->memory = value_kind(memory) == VALUE_STRING ? read_size(value_text(memory)) : 0;
        if (quota->memory < LEAST_MEMORY)
            return desiring_fault(desiring, ERROR_INVALID, "memory of %s is no size from 4Mi on",
                                  name);
    }
    return spec_integer(desiring, limits, "processes", &processes, &quota->processes);
}

static int desire_service(struct desiring *desiring, const char *name, const struct value *service)
{
    static const struct spec_range ports = {1, 65535, 0};
    struct machine *machine = desiring->machine;
    struct machine_workload *workload = machine_memory(machine, 1, sizeof(*workload));
    const char *image = NULL;
    int64_t port = 0;
    if (!text_is_name(name))
        return desiring_fault(desiring, ERROR_INVALID, "a service has a bad name");
    if (value_kind(service) != VALUE_MAP)
        return desiring_fault(desiring, ERROR_INVALID, "the service %s is not a map", name);
    int r = spec_text(desiring, service, "image", "", &image);
    if (r == 0)
        r = desiring_find_image(desiring, image, &workload->built);
    if (r == 0)
        r = spec_integer(desiring, service, "port", &ports, &port);
    if (r == 0)
        r = spec_health_check(desiring, service, &workload->health_check);
    if (r == 0)
        r = read_environment(desiring, service, name, workload);
    if (r == 0)
        r = read_quota(desiring, service, name, &workload->quota);
    if (r == 0)
        r = desire_check(desiring, service, name, &workload->check);
    if (r == 0)
        r = desire_mounts(desiring, service, name, workload);
    if (r == 0)
        r = place_workload(desiring, service, name, workload);
    if (r < 0)
        return r;
    workload->name = desiring_text(desiring, name);
    workload->resource = desiring_text(desiring, resource_uid(desiring->resource));
    workload->image = desiring_text(desiring, image);
    workload->port = (uint16_t)port;
    r = check_port(desiring, workload);
    if (r == 0)
        MACHINE_ADD(machine, machine->workloads, machine->n_workloads, workload);
    return r;
}

int desire_stack(struct desiring *desiring)
{
    const struct value *services = value_get(desiring_spec(desiring), "services");
    if (value_is_null(services) || value_kind(services) != VALUE_MAP)
        return desiring_fault(desiring, ERROR_INVALID, "services is not a map");
    size_t n_before = desiring->machine->n_workloads;
    int r = 0;
    for (size_t i = 0; r == 0 && i < value_count(services); i++)
        r = desire_service(desiring, value_key_at(services, i), value_at(services, i));
    if (r == 0)
        r = desire_needs(desiring, n_before);
    if (r < 0) {
        desiring->machine->n_workloads = n_before;
        return r;
    }
    desiring_built(desiring, &is_there);
    return 0;
}
