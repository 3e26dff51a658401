/* What becomes hosts: groups, instances and database clusters. */
#include "twin/desiring.h"

#include "base/text.h"
#include "twin/desired.h"

#define VLAN "opnsense:network:vlan"
#define GROUP "aws:autoscaling:group"

enum { MOST_HOSTS = 100, FIRST_BALANCER = 10, FIRST_HOST = 11, FIRST_VIRTUAL = 100 };

static int add_host(struct desiring *desiring, const struct host_wish *wish, unsigned int index,
                    const struct machine_host **ret_host)
{
    struct machine *machine = desiring->machine;
    const char *label = desiring_label(desiring);
    const char *name = wish->is_single ? label : machine_text(machine, "%s-%u", label, index);
    const char *uid = resource_uid(desiring->resource);
    CLEANUP(mem_freep) char *key = string_format("host:%s:%u", uid, index);
    struct machine_subnet subnet = {wish->network->base, wish->network->prefix};
    uint32_t ip = 0;
    if (machine_find_host(machine, name))
        return desiring_fault(desiring, ERROR_CONFLICT,
                              "another resource has a host of the name %s", name);
    const struct machine_reservation *reserved = machine_find_reservation(wish->network, name);
    if (reserved)
        assign_reserved(&desiring->assignments, key, ip = reserved->ip);
    else if (!assign_address(&desiring->assignments, key, subnet, FIRST_HOST, &ip))
        return desiring_fault(desiring, ERROR_LIMIT, "the network %s (%s) has no address left",
                              wish->network->name, wish->network->subnet);
    char address[MACHINE_ADDRESS_SIZE];
    machine_address_to_text(ip, address);
    struct machine_host *host = machine_memory(machine, 1, sizeof(*host));
    *host = (struct machine_host){.name = name,
                                  .resource = desiring_text(desiring, uid),
                                  .network = wish->network,
                                  .ip = ip,
                                  .address = desiring_text(desiring, address),
                                  .role = wish->role,
                                  .index = index};
    MACHINE_ADD(machine, machine->hosts, machine->n_hosts, host);
    *ret_host = host;
    return 0;
}

int desiring_add_hosts(struct desiring *desiring, const struct host_wish *wish,
                       struct host_list *ret_list)
{
    struct host_list list = {
        .hosts = machine_memory(desiring->machine, wish->count, sizeof(struct machine_host *)),
        .n_hosts = wish->count};
    size_t n_before = desiring->machine->n_hosts;
    for (unsigned int i = 0; i < wish->count; i++) {
        int r = add_host(desiring, wish, i, &list.hosts[i]);
        if (r < 0) {
            desiring->machine->n_hosts = n_before;
            return r;
        }
    }
    *ret_list = list;
    return 0;
}

static int add_instances(struct desiring *desiring, unsigned int count)
{
    void *network = NULL;
    int r = spec_reference(desiring, "subnet", VLAN, true, &network);
    if (r < 0)
        return r;
    struct host_wish wish = {.network = network, .role = HOST_INSTANCE, .count = count};
    struct host_list *list = machine_memory(desiring->machine, 1, sizeof(*list));
    r = desiring_add_hosts(desiring, &wish, list);
    if (r == 0)
        desiring_built(desiring, list);
    return r;
}

int desire_group(struct desiring *desiring)
{
    static const struct spec_range sizes = {0, MOST_HOSTS, 0};
    const struct value *spec = desiring_spec(desiring);
    int64_t least = 0, most = 0, desired = 0;
    int r = spec_integer(desiring, spec, "min", &sizes, &least);
    if (r == 0)
        r = spec_integer(desiring, spec, "max", &sizes, &most);
    if (r == 0)
        r = spec_integer(desiring, spec, "desired", &sizes, &desired);
    if (r < 0)
        return r;
    if (least > most)
        return desiring_fault(desiring, ERROR_INVALID, "min is %lld and max is %lld",
                              (long long)least, (long long)most);
    const struct value *operational = value_get(desiring->resource, "operational");
    desired = value_get_integer(operational, "desired", least);
    desired = desired < least ? least : desired > most ? most : desired;
    return add_instances(desiring, (unsigned int)desired);
}

bool desired_is_group(const struct value *resource)
{
    return text_equal(resource_type(resource), GROUP);
}

/*
 * How many hosts a group wants is decided at its creation and whenever the document's number
 * changes; between these it is the twin's own.
 */
struct value *desired_adopt(const struct value *old, struct value *take_new)
{
    const struct value *spec = resource_spec(take_new);
    struct value *kept = old ? value_get(old, "operational") : NULL;
    if (!desired_is_group(take_new))
        return take_new;
    struct value *asked = value_get(spec, "desired");
    struct value *asked_before = old ? value_get(resource_spec(old), "desired") : NULL;
    bool is_changed =
        !value_is_null(asked) && (value_is_null(asked_before) || !value_equal(asked, asked_before));
    struct value_builder builder = {0};
    if (kept && !is_changed)
        value_builder_set(&builder, "desired",
                          value_integer(value_get_integer(kept, "desired", 0)));
    else
        value_builder_set(
            &builder, "desired",
            value_integer(value_get_integer(spec, "desired", value_get_integer(spec, "min", 0))));
    struct value *with = value_with(take_new, "operational", value_builder_map(&builder));
    value_unref(take_new);
    return with;
}

struct value *desired_scale(const struct value *group, unsigned int n_hosts)
{
    struct value_builder operational = {0};
    value_builder_set(&operational, "desired", value_integer(n_hosts));
    return value_with(group, "operational", value_builder_map(&operational));
}

int desire_instances(struct desiring *desiring)
{
    static const struct spec_range sizes = {0, MOST_HOSTS, 1};
    int64_t count = 0;
    int r = spec_integer(desiring, desiring_spec(desiring), "instances", &sizes, &count);
    return r < 0 ? r : add_instances(desiring, (unsigned int)count);
}

static int read_database(struct desiring *desiring, struct machine_database *database,
                         int64_t *ret_count)
{
    static const char *const engines[] = {"postgres"};
    static const struct spec_range sizes = {1, 15, 1}, ports = {1, 65535, 5432};
    static const char *const modes[] = {"synchronous", "asynchronous"};
    const struct value *spec = desiring_spec(desiring);
    size_t engine = 0, mode = 0;
    int64_t port = 0;
    int r = spec_choice(desiring, "engine", engines, ARRAY_LENGTH(engines), &engine);
    if (r == 0)
        r = spec_text(desiring, spec, "version", "", &database->version);
    if (r == 0)
        r = spec_integer(desiring, spec, "instances", &sizes, ret_count);
    if (r == 0)
        r = spec_integer(desiring, spec, "port", &ports, &port);
    if (r == 0)
        r = spec_choice(desiring, "replication", modes, ARRAY_LENGTH(modes), &mode);
    if (r == 0)
        r = spec_bool(desiring, "backup", false, &database->has_backup);
    if (r < 0)
        return r;
    const struct value *password = value_get(spec, "password");
    if (password && value_kind(password) == VALUE_SECRET)
        database->password = desiring_text(desiring, value_text(password));
    database->engine = engines[engine];
    database->version = desiring_text(desiring, database->version);
    database->port = (uint16_t)port;
    database->is_synchronous = mode == 0 && *ret_count > 1;
    return 0;
}

static int place_database(struct desiring *desiring, struct machine_database *database,
                          const struct machine_network *network, unsigned int count)
{
    struct host_wish wish = {.network = network, .role = HOST_DATABASE, .count = count};
    struct host_list list = {0};
    int r = desiring_add_hosts(desiring, &wish, &list);
    if (r < 0)
        return r;
    const char *uid = resource_uid(desiring->resource);
    CLEANUP(mem_freep) char *key = string_format("virtual:%s", uid);
    struct machine_subnet subnet = {network->base, network->prefix};
    if (!assign_address(&desiring->assignments, key, subnet, FIRST_VIRTUAL, &database->ip)) {
        desiring->machine->n_hosts -= list.n_hosts;
        return desiring_fault(desiring, ERROR_LIMIT, "the network %s (%s) has no address left",
                              network->name, network->subnet);
    }
    char address[MACHINE_ADDRESS_SIZE];
    machine_address_to_text(database->ip, address);
    database->address = desiring_text(desiring, address);
    database->hosts = list.hosts;
    database->n_hosts = list.n_hosts;
    return 0;
}

int desire_cluster(struct desiring *desiring)
{
    struct machine *machine = desiring->machine;
    struct machine_database *database = machine_memory(machine, 1, sizeof(*database));
    void *network = NULL;
    int64_t count = 0;
    int r = read_database(desiring, database, &count);
    if (r == 0)
        r = spec_reference(desiring, "subnet", VLAN, true, &network);
    if (r == 0)
        r = place_database(desiring, database, network, (unsigned int)count);
    if (r < 0)
        return r;
    database->name = desiring_label(desiring);
    database->resource = desiring_text(desiring, resource_uid(desiring->resource));
    MACHINE_ADD(machine, machine->databases, machine->n_databases, database);
    desiring_built(desiring, database);
    return 0;
}

/* All frontends of one network stand on one host; it is named after the first that came. */
int desiring_find_balancer(struct desiring *desiring, const struct machine_network *network,
                           struct machine_balancer **ret_balancer)
{
    struct machine *machine = desiring->machine;
    for (size_t i = 0; i < machine->n_balancers; i++) {
        if (machine->balancers[i]->host->network == network) {
            *ret_balancer = machine->balancers[i];
            return 0;
        }
    }
    CLEANUP(mem_freep) char *key = string_format("balancer:%s", network->resource);
    struct machine_subnet subnet = {network->base, network->prefix};
    uint32_t ip = 0;
    if (!assign_address(&desiring->assignments, key, subnet, FIRST_BALANCER, &ip))
        return desiring_fault(desiring, ERROR_LIMIT, "the network %s (%s) has no address left",
                              network->name, network->subnet);
    const char *name = desiring_text(
        desiring, assign_shared_label(&desiring->assignments, key, desiring_label(desiring)));
    char address[MACHINE_ADDRESS_SIZE];
    machine_address_to_text(ip, address);
    if (machine_find_host(machine, name))
        return desiring_fault(desiring, ERROR_CONFLICT,
                              "another resource has a host of the name %s", name);
    struct machine_host *host = machine_memory(machine, 1, sizeof(*host));
    *host =
        (struct machine_host){.name = name,
                              .resource = desiring_text(desiring, resource_uid(desiring->resource)),
                              .network = network,
                              .ip = ip,
                              .address = desiring_text(desiring, address),
                              .role = HOST_BALANCER};
    struct machine_balancer *balancer = machine_memory(machine, 1, sizeof(*balancer));
    balancer->host = host;
    MACHINE_ADD(machine, machine->hosts, machine->n_hosts, host);
    MACHINE_ADD(machine, machine->balancers, machine->n_balancers, balancer);
    *ret_balancer = balancer;
    return 0;
}
