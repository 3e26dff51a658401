/* What the machine itself says of a resource: names and addresses. */
#include "twin/outputs.h"

#include "base/text.h"

struct subject {
    const struct machine *machine;
    const struct value *resource;
    const char *uid;
    struct value_builder *outputs;
};

static void add_vlan(const struct subject *subject)
{
    for (size_t i = 0; i < subject->machine->n_networks; i++) {
        const struct machine_network *network = subject->machine->networks[i];
        if (!text_equal_or_null(network->resource, subject->uid))
            continue;
        value_builder_set_string(subject->outputs, "gateway", network->gateway_text);
        value_builder_set_string(subject->outputs, "subnet", network->subnet);
        value_builder_set_string(subject->outputs, "device", network->bridge);
        if (network->tag)
            value_builder_set(subject->outputs, "tag", value_integer(network->tag));
    }
}

static struct value *host_to_value(const struct machine_host *host)
{
    struct value_builder builder = {0};
    value_builder_set_string(&builder, "id", host->name);
    value_builder_set_string(&builder, "name", host->name);
    value_builder_set_string(&builder, "address", host->address);
    return value_builder_map(&builder);
}

static void add_hosts(const struct subject *subject)
{
    struct value_builder list = {0};
    size_t n_hosts = 0;
    for (size_t i = 0; i < subject->machine->n_hosts; i++) {
        if (!text_equal_or_null(subject->machine->hosts[i]->resource, subject->uid))
            continue;
        value_builder_append(&list, host_to_value(subject->machine->hosts[i]));
        n_hosts++;
    }
    value_builder_set(subject->outputs, "instances", value_builder_list(&list));
    if (text_equal(resource_type(subject->resource), "aws:autoscaling:group"))
        value_builder_set(subject->outputs, "desired", value_integer((int64_t)n_hosts));
}

static void add_certificate(const struct subject *subject)
{
    struct value *domains = value_get(resource_spec(subject->resource), "domains");
    char *arn = string_format("arn:aws:acm:twin::certificate/%s", subject->uid);
    value_builder_set_string(subject->outputs, "arn", arn);
    if (domains)
        value_builder_set(subject->outputs, "domains", value_ref(domains));
    mem_free(arn);
}

static void add_cluster(const struct subject *subject)
{
    const struct machine_database *database = machine_find_database(subject->machine, subject->uid);
    if (!database)
        return;
    value_builder_set_string(subject->outputs, "endpoint", database->address);
    value_builder_set(subject->outputs, "port", value_integer(database->port));
}

static void add_frontend(const struct subject *subject)
{
    for (size_t i = 0; i < subject->machine->n_frontends; i++) {
        const struct machine_frontend *frontend = subject->machine->frontends[i];
        if (!text_equal(frontend->resource, subject->uid))
            continue;
        const struct machine_certificate *certificate = frontend->certificate;
        char *url = string_format("%s://%s:%u", certificate ? "https" : "http",
                                  frontend->host->address, frontend->port);
        value_builder_set_string(subject->outputs, "address", frontend->host->address);
        value_builder_set(subject->outputs, "port", value_integer(frontend->port));
        value_builder_set_string(subject->outputs, "url", url);
        mem_free(url);
    }
}

static void add_forward(const struct subject *subject)
{
    for (size_t i = 0; i < subject->machine->n_forwards; i++) {
        const struct machine_forward *forward = subject->machine->forwards[i];
        char address[MACHINE_ADDRESS_SIZE];
        if (!text_equal(forward->resource, subject->uid))
            continue;
        machine_address_to_text(forward->address, address);
        value_builder_set_string(subject->outputs, "address", address);
        machine_address_to_text(forward->target, address);
        value_builder_set_string(subject->outputs, "target", address);
    }
}

static void add_image(const struct subject *subject)
{
    value_builder_set_string(subject->outputs, "image",
                             value_get_text(resource_spec(subject->resource), "image"));
    const struct value *built = value_get(subject->resource, "built");
    if (built && value_get_text(built, "id"))
        value_builder_set_string(subject->outputs, "id", value_get_text(built, "id"));
}

static void add_monitor_of(const struct subject *subject, const char *uid)
{
    for (size_t i = 0; i < subject->machine->n_monitors; i++) {
        const struct machine_monitor *monitor = subject->machine->monitors[i];
        if (!text_equal_or_null(uid, monitor->resource))
            continue;
        char *prometheus = string_format("http://%s:9090", monitor->host->address);
        char *alertmanager = string_format("http://%s:9093", monitor->host->address);
        value_builder_set_string(subject->outputs, "url", prometheus);
        if (text_equal(uid, subject->uid))
            value_builder_set_string(subject->outputs, "alertmanager", alertmanager);
        mem_free(prometheus);
        mem_free(alertmanager);
    }
}

static void add_monitor(const struct subject *subject)
{
    add_monitor_of(subject, subject->uid);
}

static void add_dashboards(const struct subject *subject)
{
    const struct machine_dashboards *dashboards =
        machine_find_dashboards(subject->machine, subject->uid);
    if (dashboards) {
        char *url =
            string_format("http://%s:%u", dashboards->monitor->host->address, dashboards->port);
        value_builder_set_string(subject->outputs, "url", url);
        mem_free(url);
        return;
    }
    add_monitor_of(subject, resource_reference(subject->resource, "prometheus"));
}

void outputs_add(const struct machine *machine, const struct manifest *manifest,
                 const struct value *resource, struct value_builder *outputs)
{
    static const struct {
        const char *type;
        void (*add)(const struct subject *subject);
    } types[] = {
        {"opnsense:network:vlan", add_vlan},        {"opnsense:haproxy:frontend", add_frontend},
        {"aws:acm:certificate", add_certificate},   {"aws:autoscaling:group", add_hosts},
        {"aws:ec2:instances", add_hosts},           {"aws:rds:cluster", add_cluster},
        {"opnsense:nat:portforward", add_forward},  {"docker:image:build", add_image},
        {"k8s:deployment:prometheus", add_monitor}, {"k8s:deployment:grafana", add_dashboards},
    };
    struct subject subject = {machine, resource, resource_uid(resource), outputs};
    const struct value *labels = value_get(manifest->assigned, "labels");
    const char *label = value_get_text(labels, subject.uid);
    value_builder_set_string(outputs, "id", label ? label : resource_name(resource));
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
        if (text_equal(types[i].type, resource_type(resource)))
            types[i].add(&subject);
    }
}
