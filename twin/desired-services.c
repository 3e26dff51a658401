/* What runs on hosts: certificates, balancers, images and monitoring. */
#include "twin/desiring.h"

#include "base/text.h"

#include <string.h>

#define VLAN "opnsense:network:vlan"
#define HOSTS "aws:autoscaling:group aws:ec2:instances"
#define BACKEND "opnsense:haproxy:backend"
#define CERTIFICATE "aws:acm:certificate"
#define ALERTS "k8s:configmap:alerts"
#define PROMETHEUS "k8s:deployment:prometheus"

/* Where Prometheus listens, and the host port at which people look for dashboards. */
enum { MONITOR_PORT = 9090, DASHBOARDS_PORT = 3000 };

/* For resources that nothing runs for: that they are there is all. */
static char is_there;

static bool is_domain(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length <= 253 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.*") == length;
}

int desire_certificate(struct desiring *desiring)
{
    struct machine *machine = desiring->machine;
    struct machine_certificate *certificate = machine_memory(machine, 1, sizeof(*certificate));
    const struct value *domains = value_get(desiring_spec(desiring), "domains");
    if (value_is_null(domains) || value_kind(domains) != VALUE_LIST || value_count(domains) == 0 ||
        value_count(domains) > 100)
        return desiring_fault(desiring, ERROR_INVALID, "domains is not a list of 1 to 100");
    int r =
        spec_text(desiring, desiring_spec(desiring), "validation", "DNS", &certificate->validation);
    if (r < 0)
        return r;
    certificate->domains =
        machine_memory(machine, value_count(domains), sizeof(*certificate->domains));
    for (size_t i = 0; i < value_count(domains); i++) {
        const struct value *domain = value_at(domains, i);
        if (value_kind(domain) != VALUE_STRING || !is_domain(value_text(domain)))
            return desiring_fault(desiring, ERROR_INVALID, "domains[%zu] is not a domain", i);
        certificate->domains[certificate->n_domains++] =
            desiring_text(desiring, value_text(domain));
    }
    certificate->name = desiring_label(desiring);
    certificate->resource = desiring_text(desiring, resource_uid(desiring->resource));
    certificate->validation = desiring_text(desiring, certificate->validation);
    MACHINE_ADD(machine, machine->certificates, machine->n_certificates, certificate);
    desiring_built(desiring, certificate);
    return 0;
}

static int collect_servers(struct desiring *desiring, struct machine_backend *backend)
{
    for (size_t i = 0;; i++) {
        void *built = NULL;
        int r = spec_reference_at(desiring, "servers", i, HOSTS, &built);
        if (r < 0)
            return r;
        if (!built)
            return 0;
        const struct host_list *list = built;
        for (size_t j = 0; j < list->n_hosts; j++)
            MACHINE_ADD(desiring->machine, backend->servers, backend->n_servers, list->hosts[j]);
    }
}

int desire_backend(struct desiring *desiring)
{
    static const char *const balances[] = {"leastconn", "roundrobin", "source"};
    static const struct spec_range ports = {1, 65535, 80};
    struct machine *machine = desiring->machine;
    struct machine_backend *backend = machine_memory(machine, 1, sizeof(*backend));
    size_t balance = BALANCE_ROUNDROBIN;
    int64_t port = 0;
    int r = 0;
    if (!value_is_null(value_get(desiring_spec(desiring), "balance")))
        r = spec_choice(desiring, "balance", balances, ARRAY_LENGTH(balances), &balance);
    if (r == 0)
        r = spec_health_check(desiring, desiring_spec(desiring), &backend->health_check);
    if (r == 0)
        r = spec_integer(desiring, desiring_spec(desiring), "port", &ports, &port);
    if (r == 0)
        r = collect_servers(desiring, backend);
    if (r < 0)
        return r;
    backend->name = desiring_label(desiring);
    backend->resource = desiring_text(desiring, resource_uid(desiring->resource));
    backend->balance = (enum machine_balance)balance;
    backend->port = (uint16_t)port;
    MACHINE_ADD(machine, machine->backends, machine->n_backends, backend);
    desiring_built(desiring, backend);
    return 0;
}

static int read_frontend(struct desiring *desiring, struct machine_frontend *frontend,
                         const struct machine_network **ret_network)
{
    static const struct spec_range ports = {1, 65535, 0};
    void *network = NULL, *backend = NULL, *certificate = NULL;
    int64_t port = 0;
    int r = spec_integer(desiring, desiring_spec(desiring), "port", &ports, &port);
    if (r == 0 && port == 0)
        r = desiring_fault(desiring, ERROR_INVALID, "port is missing");
    if (r == 0)
        r = spec_reference(desiring, "network", VLAN, true, &network);
    if (r == 0)
        r = spec_reference(desiring, "backend", BACKEND, true, &backend);
    if (r == 0)
        r = spec_reference(desiring, "certificate", CERTIFICATE, false, &certificate);
    if (r < 0)
        return r;
    frontend->port = (uint16_t)port;
    frontend->backend = backend;
    frontend->certificate = certificate;
    *ret_network = network;
    return 0;
}

int desire_frontend(struct desiring *desiring)
{
    struct machine *machine = desiring->machine;
    struct machine_frontend *frontend = machine_memory(machine, 1, sizeof(*frontend));
    struct machine_balancer *balancer = NULL;
    const struct machine_network *network = NULL;
    int r = read_frontend(desiring, frontend, &network);
    if (r == 0)
        r = desiring_find_balancer(desiring, network, &balancer);
    if (r < 0)
        return r;
    for (size_t i = 0; i < balancer->n_frontends; i++) {
        if (balancer->frontends[i]->port == frontend->port)
            return desiring_fault(desiring, ERROR_CONFLICT, "port %u of %s is that of %s already",
                                  frontend->port, balancer->host->network->name,
                                  balancer->frontends[i]->name);
    }
    frontend->name = desiring_label(desiring);
    frontend->resource = desiring_text(desiring, resource_uid(desiring->resource));
    frontend->host = balancer->host;
    MACHINE_ADD(machine, balancer->frontends, balancer->n_frontends, frontend);
    MACHINE_ADD(machine, machine->frontends, machine->n_frontends, frontend);
    desiring_built(desiring, frontend);
    return 0;
}

/* What a configmap of alerts holds, until a monitor takes it. */
struct alert_list {
    struct machine_alert *alerts;
    size_t n_alerts;
    struct machine_recording *recordings;
    size_t n_recordings;
};

static int read_alert(struct desiring *desiring, const struct value *map,
                      struct machine_alert *ret_alert)
{
    const char *name = NULL, *expression = NULL, *severity = NULL, *duration = NULL;
    const char *description = NULL;
    if (value_kind(map) != VALUE_MAP)
        return desiring_fault(desiring, ERROR_INVALID, "a rule is not a map");
    int r = spec_text(desiring, map, "name", NULL, &name);
    if (r == 0)
        r = spec_text(desiring, map, "expr", NULL, &expression);
    if (r == 0)
        r = spec_text(desiring, map, "severity", NULL, &severity);
    if (r == 0)
        r = spec_text(desiring, map, "for", NULL, &duration);
    if (r == 0)
        r = spec_text(desiring, map, "description", NULL, &description);
    if (r == 0 && (!name || !expression))
        r = desiring_fault(desiring, ERROR_INVALID, "a rule has no name or no expr");
    if (r < 0)
        return r;
    *ret_alert =
        (struct machine_alert){desiring_text(desiring, name), desiring_text(desiring, expression),
                               desiring_text(desiring, severity), desiring_text(desiring, duration),
                               desiring_text(desiring, description)};
    return 0;
}

/* The items of a list property; a missing one has none. */
static int open_list(struct desiring *desiring, const char *field, size_t *ret_count)
{
    const struct value *list = value_get(desiring_spec(desiring), field);
    if (!value_is_null(list) && value_kind(list) != VALUE_LIST)
        return desiring_fault(desiring, ERROR_INVALID, "%s is not a list", field);
    *ret_count = value_is_null(list) ? 0 : value_count(list);
    return 0;
}

/* Adds the alerts of a property to a list. */
static int add_alerts(struct desiring *desiring, const char *field, struct alert_list *list)
{
    struct machine *machine = desiring->machine;
    size_t n_rules = 0;
    int r = open_list(desiring, field, &n_rules);
    for (size_t i = 0; r == 0 && i < n_rules; i++) {
        struct machine_alert alert = {0};
        r = read_alert(desiring, value_at(value_get(desiring_spec(desiring), field), i), &alert);
        if (r == 0)
            MACHINE_ADD(machine, list->alerts, list->n_alerts, alert);
    }
    return r;
}

int desire_alerts(struct desiring *desiring)
{
    struct machine *machine = desiring->machine;
    struct alert_list *list = machine_memory(machine, 1, sizeof(*list));
    size_t n_recordings = 0;
    int r = add_alerts(desiring, "rules", list);
    if (r == 0)
        r = add_alerts(desiring, "addedRules", list);
    if (r == 0)
        r = open_list(desiring, "recordingRules", &n_recordings);
    for (size_t i = 0; r == 0 && i < n_recordings; i++) {
        struct machine_alert alert = {0};
        r = read_alert(desiring, value_at(value_get(desiring_spec(desiring), "recordingRules"), i),
                       &alert);
        struct machine_recording recording = {alert.name, alert.expression};
        if (r == 0)
            MACHINE_ADD(machine, list->recordings, list->n_recordings, recording);
    }
    if (r == 0)
        desiring_built(desiring, list);
    return r;
}

static int collect_alerts(struct desiring *desiring, struct machine_monitor *monitor)
{
    struct machine *machine = desiring->machine;
    for (size_t i = 0;; i++) {
        void *built = NULL;
        int r = spec_reference_at(desiring, "rules", i, ALERTS, &built);
        if (r < 0 || !built)
            return r;
        const struct alert_list *list = built;
        for (size_t j = 0; j < list->n_alerts; j++)
            MACHINE_ADD(machine, monitor->alerts, monitor->n_alerts, list->alerts[j]);
        for (size_t j = 0; j < list->n_recordings; j++)
            MACHINE_ADD(machine, monitor->recordings, monitor->n_recordings, list->recordings[j]);
    }
}

static bool is_duration(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length < 32 && strspn(text, "0123456789mshdwy") == length;
}

/* Its pages are for who runs the twin: from this machine they are reached without the firewall. */
static void add_entrance(struct desiring *desiring, const struct machine_monitor *monitor,
                         uint16_t port, uint16_t preferred)
{
    struct machine *machine = desiring->machine;
    struct machine_entrance *entrance = machine_memory(machine, 1, sizeof(*entrance));
    *entrance = (struct machine_entrance){
        .resource = desiring_text(desiring, resource_uid(desiring->resource)),
        .name = desiring_label(desiring),
        .from = monitor->host->name,
        .address = monitor->host->address,
        .port = port,
        .preferred = preferred};
    MACHINE_ADD(machine, machine->entrances, machine->n_entrances, entrance);
}

int desire_prometheus(struct desiring *desiring)
{
    struct machine *machine = desiring->machine;
    struct machine_monitor *monitor = machine_memory(machine, 1, sizeof(*monitor));
    const struct value *spec = desiring_spec(desiring);
    void *network = NULL;
    int r = spec_text(desiring, spec, "scrapeInterval", "1m", &monitor->scrape_interval);
    if (r == 0)
        r = spec_text(desiring, spec, "retention", "15d", &monitor->retention);
    if (r == 0 && (!is_duration(monitor->scrape_interval) || !is_duration(monitor->retention)))
        r = desiring_fault(desiring, ERROR_INVALID, "a duration is not like 30s");
    if (r == 0)
        r = spec_reference(desiring, "network", VLAN, true, &network);
    if (r == 0)
        r = collect_alerts(desiring, monitor);
    if (r < 0)
        return r;
    struct host_wish wish = {
        .network = network, .role = HOST_MONITOR, .count = 1, .is_single = true};
    struct host_list list = {0};
    r = desiring_add_hosts(desiring, &wish, &list);
    if (r < 0)
        return r;
    monitor->name = desiring_label(desiring);
    monitor->resource = desiring_text(desiring, resource_uid(desiring->resource));
    monitor->host = list.hosts[0];
    monitor->scrape_interval = desiring_text(desiring, monitor->scrape_interval);
    monitor->retention = desiring_text(desiring, monitor->retention);
    MACHINE_ADD(machine, machine->monitors, machine->n_monitors, monitor);
    add_entrance(desiring, monitor, MONITOR_PORT, MONITOR_PORT);
    desiring_built(desiring, monitor);
    return 0;
}

/* Those of one monitor share its host, so each has a port of its own. */
static uint16_t add_dashboards(struct desiring *desiring, const struct machine_monitor *monitor)
{
    struct machine *machine = desiring->machine;
    struct machine_dashboards *dashboards = machine_memory(machine, 1, sizeof(*dashboards));
    *dashboards = (struct machine_dashboards){
        .name = desiring_label(desiring),
        .resource = desiring_text(desiring, resource_uid(desiring->resource)),
        .monitor = monitor,
        .port = DASHBOARDS_PORT};
    for (size_t i = 0; i < machine->n_dashboards; i++)
        dashboards->port += machine->dashboards[i]->monitor == monitor;
    MACHINE_ADD(machine, machine->dashboards, machine->n_dashboards, dashboards);
    return dashboards->port;
}

/* Without a Grafana on this machine Prometheus' own pages are what there is to see. */
int desire_grafana(struct desiring *desiring)
{
    void *prometheus;
    int r = spec_reference(desiring, "prometheus", PROMETHEUS, true, &prometheus);
    if (r < 0)
        return r;
    uint16_t port = desiring->means->has_grafana ? add_dashboards(desiring, prometheus)
                                                 : (uint16_t)MONITOR_PORT;
    add_entrance(desiring, prometheus, port, DASHBOARDS_PORT);
    desiring_built(desiring, &is_there);
    return 0;
}
