/* What is known of a resource: by the manifest, by the machine, by the modules. */
#include "twin/converge-private.h"

#include "base/text.h"
#include "twin/desired.h"
#include "twin/outputs.h"

/* The worse of two states stays; an unknown word is the worst. */
static size_t rank_state(const char *state)
{
    static const char *const states[] = {"ready", "starting", "degraded", "failed"};
    size_t rank = 0;
    while (rank < ARRAY_LENGTH(states) && !text_equal(states[rank], state))
        rank++;
    return rank;
}

static void merge_status(struct value_builder *status, const struct value *more, const char **worst)
{
    for (size_t i = 0; i < value_count(more); i++) {
        const char *key = value_key_at(more, i);
        if (!text_equal(key, "state"))
            value_builder_set(status, key, value_ref(value_at(more, i)));
        else if (rank_state(value_text(value_at(more, i))) > rank_state(*worst))
            *worst = value_text(value_at(more, i));
    }
}

static void report_rule(const struct converge *converge, const char *uid,
                        struct value_builder *status)
{
    for (size_t i = 0; i < converge->machine->n_rules; i++) {
        const struct machine_rule *rule = converge->machine->rules[i];
        if (!text_equal(rule->resource, uid))
            continue;
        struct firewall_count count = firewall_count(converge->firewall, rule->name);
        value_builder_set(status, "packets", value_integer((int64_t)count.decided));
        if (rule->limit.count > 0)
            value_builder_set(status, "limited", value_integer((int64_t)count.limited));
    }
}

/* Who has which address of a network; what its DHCP server says of them is the module's. */
static void report_leases(const struct converge *converge, const char *uid,
                          struct value_builder *status)
{
    struct value_builder list = {0};
    for (size_t i = 0; i < converge->machine->n_hosts; i++) {
        const struct machine_host *host = converge->machine->hosts[i];
        struct value_builder lease = {0};
        if (!text_equal_or_null(host->network->resource, uid))
            continue;
        value_builder_set_string(&lease, "address", host->address);
        value_builder_set_string(&lease, "hostname", host->name);
        value_builder_set_string(&lease, "type", machine_host_is_leased(host) ? "dhcp" : "static");
        value_builder_append(&list, value_builder_map(&lease));
    }
    value_builder_set(status, "leases", value_builder_list(&list));
}

/* How many connections a translation has decided about: only the first packet of each is asked. */
static void report_translation(const struct converge *converge, const char *uid,
                               struct value_builder *status)
{
    const struct machine *machine = converge->machine;
    const char *name = NULL;
    for (size_t i = 0; i < machine->n_forwards; i++)
        if (text_equal(machine->forwards[i]->resource, uid))
            name = machine->forwards[i]->name;
    for (size_t i = 0; i < machine->n_outbounds; i++)
        if (text_equal(machine->outbounds[i]->resource, uid))
            name = machine->outbounds[i]->name;
    if (name)
        value_builder_set(status, "connections",
                          value_integer((int64_t)firewall_count(converge->firewall, name).decided));
}

/* Whether its modules have seen a resource as it is now. Those of a loaded manifest came with the
 * first generation. */
static bool is_dealt_with(const struct converge *converge, const struct value *resource)
{
    const char *type = resource_type(resource);
    uintptr_t generation = (uintptr_t)map_get(&converge->generations, resource_uid(resource));
    return !desired_has_type(type) ||
           converge_have_done(converge, generation ? generation : 1, desired_modules(type));
}

static struct value *describe_status(struct converge *converge, const struct value *resource,
                                     struct value_builder *outputs)
{
    const char *uid = resource_uid(resource), *worst = "ready";
    const char *stand_in = desired_has_type(resource_type(resource))
                               ? desired_stand_in(converge->machine, resource)
                               : NULL;
    struct value *parts[MODULE_COUNT];
    struct value_builder status = {0};
    if (!is_dealt_with(converge, resource))
        worst = "starting";
    for (size_t i = 0; i < MODULE_COUNT; i++) {
        struct value_builder part = {0};
        converge->runs[i].ops->report(converge->runs[i].module, uid, &part, outputs);
        parts[i] = value_builder_map(&part);
        merge_status(&status, parts[i], &worst);
    }
    report_rule(converge, uid, &status);
    report_translation(converge, uid, &status);
    if (text_equal(resource_type(resource), "opnsense:network:vlan"))
        report_leases(converge, uid, &status);
    const struct error *problem = converge_find_problem(converge, uid);
    if (problem) {
        worst = "failed";
        value_builder_set_string(&status, "problem", error_message(problem));
    }
    value_builder_set_string(&status, "state", worst);
    value_builder_set_string(&status, "fidelity", stand_in ? "stand-in" : "real");
    value_builder_set_string(&status, "note", stand_in);
    for (size_t i = 0; i < MODULE_COUNT; i++)
        value_unref(parts[i]);
    return value_builder_map(&status);
}

struct value *converge_describe(struct converge *converge, const char *uid)
{
    struct value_builder answer = {0}, outputs = {0};
    const struct value *resource = manifest_find(converge->manifest, uid);
    value_builder_set(&answer, "present", value_bool(resource != NULL));
    if (!resource)
        return value_builder_map(&answer);
    outputs_add(converge->machine, converge->manifest, resource, &outputs);
    value_builder_set(&answer, "status", describe_status(converge, resource, &outputs));
    value_builder_set(&answer, "outputs", value_builder_map(&outputs));
    value_builder_set_string(&answer, "uid", uid);
    value_builder_set_string(&answer, "name", resource_name(resource));
    value_builder_set_string(&answer, "type", resource_type(resource));
    value_builder_set(&answer, "spec", value_ref(value_get(resource, "spec")));
    return value_builder_map(&answer);
}
