/* What is said of the clusters. */
#include "twin/database-private.h"

#include "base/text.h"
#include "twin/service.h"

static bool runs(const struct database_member *member)
{
    return member && member->process && process_state(member->process) == PROCESS_READY;
}

static struct value *describe_member(const struct cluster *cluster, const struct machine_host *host)
{
    struct value_builder fields = {0};
    const struct database_member *member = database_find_member(cluster, host->name);
    const struct database_member *primary = database_primary(cluster);
    CLEANUP(mem_freep) char *slot = database_slot(host->name);
    const struct database_replica *replica =
        primary ? database_member_find_replica(primary, slot) : NULL;
    value_builder_set_string(&fields, "name", host->name);
    value_builder_set_string(&fields, "address", host->address);
    value_builder_set_string(&fields, "role", host == cluster->primary ? "primary" : "replica");
    value_builder_set_string(&fields, "state",
                             member && member->process
                                 ? process_state_to_string(process_state(member->process))
                             : database_is_fenced(cluster, host->name) ? "fenced"
                                                                       : "failed");
    service_report_restarts(&fields, member ? process_restarts(member->process) : 0);
    service_report_problem(&fields, member ? member->process : NULL);
    if (member && member->copied_because)
        value_builder_set_string(&fields, "copied_anew", member->copied_because);
    static const char *const figures[DATABASE_FIGURE_COUNT] = {
        [DATABASE_CONNECTIONS] = "connections",
        [DATABASE_COMMITS] = "commits",
        [DATABASE_ROLLBACKS] = "rollbacks",
        [DATABASE_DEADLOCKS] = "deadlocks",
    };
    for (size_t i = 0; runs(member) && i < DATABASE_FIGURE_COUNT; i++)
        value_builder_set(&fields, figures[i], value_integer(member->figures[i]));
    if (replica) {
        value_builder_set_string(&fields, "replication", replica->state);
        value_builder_set_string(&fields, "synchronous",
                                 text_equal(replica->sync_state, "async") ? "no" : "yes");
        value_builder_set(&fields, "lag_bytes", value_integer(replica->lag));
        value_builder_set(&fields, "lag_us", value_integer(replica->lag_us));
    }
    return value_builder_map(&fields);
}

static unsigned int count_restarts(const struct cluster *cluster)
{
    unsigned int n_restarts = 0;
    for (size_t i = 0; i < cluster->n_members; i++)
        n_restarts += process_restarts(cluster->members[i]->process);
    return n_restarts;
}

static const char *state_of(const struct cluster *cluster)
{
    const struct database_member *primary = database_primary(cluster);
    size_t n_replicas = cluster->wanted->n_hosts - 1;
    if (!primary || !primary->process)
        return "failed";
    if (!runs(primary))
        return process_state(primary->process) == PROCESS_STARTING ? "starting" : "failed";
    if (database_count_streaming(cluster) < n_replicas)
        return "degraded";
    return n_replicas > 0 && cluster->wanted->is_synchronous && !database_has_synchronous(cluster)
               ? "degraded"
               : "ready";
}

void database_report(void *argument, const char *resource, struct value_builder *status,
                     struct value_builder *outputs)
{
    const struct cluster *cluster = database_find_cluster(argument, resource);
    struct value_builder members = {0};
    if (!cluster || !cluster->primary)
        return;
    const struct machine_database *wanted = cluster->wanted;
    const struct database_member *primary = database_primary(cluster);
    for (size_t i = 0; i < wanted->n_hosts; i++)
        value_builder_append(&members, describe_member(cluster, wanted->hosts[i]));
    value_builder_set_string(status, "state", state_of(cluster));
    service_report_restarts(status, count_restarts(cluster));
    value_builder_set_string(status, "primary", cluster->primary->name);
    value_builder_set_string(status, "replication",
                             wanted->is_synchronous ? "synchronous" : "asynchronous");
    value_builder_set(status, "members", value_builder_list(&members));
    value_builder_set_string(outputs, "endpoint",
                             wanted->ip ? wanted->address : cluster->primary->address);
    value_builder_set(outputs, "port", value_integer(wanted->port));
    if (primary && *primary->version) {
        value_builder_set_string(status, "engine_version", primary->version);
        value_builder_set_string(outputs, "engine_version", primary->version);
    }
}
