/*
 * The files of HAProxy, PostgreSQL, dnsmasq, Prometheus, Alertmanager and Grafana, and the labels
 * of what is measured, with texts of a document in them that came from outside: each is read as its
 * program reads it, and has the lines and words that it has with plain texts, no more, no less, no
 * others. The rules of nftables are in fuzz-twin-message.c; what the blackbox exporter reads, and
 * /etc/resolv.conf, has no text of a document in it.
 *
 * The input is a list of texts, apart by zero bytes, each for one place of a document; where one is
 * empty, a plain one stands.
 */
#include "base/text.h"
#include "fuzz/fuzz.h"
#include "fuzz/languages.h"
#include "model/json.h"
#include "twin/balancer-config.h"
#include "twin/dashboards-config.h"
#include "twin/database-config.h"
#include "twin/desired.h"
#include "twin/dhcp-config.h"
#include "twin/message.h"
#include "twin/monitor-config.h"

#include <string.h>

/* Where a text goes, @a being the first, and the plain ones. */
static const char *const plain[] = {
    "door",          "pool",       "/well",    "box",        "shop.example", "store",
    "HighErrorRate", "errors > 1", "critical", "5m",         "word",         "errors",
    "sum(up)",       "30s",        "30d",      "/api/well",  "shop",         "pane",
    "eyes",          "leastconn",  "20/hour",  "shop/web:1", "u-password",
};
enum { N_PLACES = ARRAY_LENGTH(plain), PASSWORD = N_PLACES - 1 };

#define PUT(type, uid, name, spec, references)                                      \
    "{\"id\":1,\"verb\":\"put\",\"resource\":{\"type\":\"" type "\",\"uid\":\"" uid \
    "\",\"name\":\"" name "\",\"spec\":{" spec "},\"references\":{" references "}}}\n"

static const char document[] = PUT(
    "opnsense:network:vlan", "net", "net",
    "\"tag\":3,\"subnet\":\"10.1.0.0/24\",\"dhcp\":{\"from\":\"10.1.0.200\",\"to\":\"10.1.0.210\"}",
    "") PUT("aws:acm:certificate", "cert", "cert", "\"domains\":[\"@e\"],\"validation\":\"DNS\"",
            "") PUT("aws:ec2:instances", "hosts", "@d", "\"instances\":2,\"subnet\":\"net\"",
                    "\"subnet\":[\"net\"]")
    PUT("aws:rds:cluster", "db", "@f",
        "\"engine\":\"postgres\",\"instances\":2,\"subnet\":\"net\",\"backup\":true",
        "\"subnet\":[\"net\"]") PUT("opnsense:haproxy:backend", "back", "@b",
                                    "\"balance\":\"@t\",\"healthCheck\":\"@c\",\"port\":80",
                                    "\"servers\":[\"hosts\"]")
        PUT("opnsense:haproxy:frontend", "front", "@a", "\"port\":443",
            "\"network\":[\"net\"],\"backend\":[\"back\"],\"certificate\":[\"cert\"]")
            PUT("opnsense:firewall:rule", "rule", "rule",
                "\"source\":\"0.0.0.0/0\",\"destination\":\"net\",\"port\":[443],\"action\":\"allow\","
                "\"rateLimit\":\"@u\"",
                "\"destination\":[\"net\"]")
                PUT("docker:compose:stack", "stack", "@q",
                    "\"services\":{\"shop\":{\"image\":\"@v\",\"port\":80,\"healthCheck\":\"@p\"}}",
                    "\"services.shop.hosts\":[\"hosts\"]")
                    PUT("k8s:configmap:alerts", "alerts", "alerts",
                        "\"rules\":[{\"name\":\"@g\",\"expr\":\"@h\",\"severity\":\"@i\",\"for\":\"@j\","
                        "\"description\":\"@k\"}],\"recordingRules\":[{\"name\":\"@l\",\"expr\":\"@m\"}]",
                        "")
                        PUT("k8s:deployment:prometheus", "eyes", "@s",
                            "\"scrapeInterval\":\"@n\",\"retention\":\"@o\",\"network\":\"net\",\"rules\":[\"alerts\"]",
                            "\"network\":[\"net\"],\"rules\":[\"alerts\"]")
                            PUT("k8s:deployment:grafana", "pane", "@r", "\"prometheus\":\"eyes\"",
                                "\"prometheus\":[\"eyes\"]");

/* --- The files of a machine --- */

static void is_text(const struct yaml_node *map, const char *key, const char *wanted)
{
    const char *text = yaml_get_text(map, key);
    MUST(text && text_equal(text, wanted));
}

static void check_rules(const struct machine_monitor *monitor, struct shape *shape)
{
    struct strbuf text = {0};
    monitor_write_rules(&text, monitor);
    struct yaml_tree *tree = read_yaml(&text, shape);
    const struct yaml_node *groups = yaml_get(yaml_root(tree), "groups");
    MUST(groups && groups->n_items ==
                       (monitor->n_recordings > 0 ? 1u : 0u) + (monitor->n_alerts > 0 ? 1u : 0u));
    if (monitor->n_recordings > 0) {
        const struct yaml_node *rule = yaml_get(groups->items[0], "rules")->items[0];
        is_text(rule, "record", monitor->recordings[0].name);
        is_text(rule, "expr", monitor->recordings[0].expression);
    }
    if (monitor->n_alerts > 0) {
        const struct machine_alert *alert = &monitor->alerts[0];
        const struct yaml_node *rule =
            yaml_get(groups->items[groups->n_items - 1], "rules")->items[0];
        is_text(rule, "alert", alert->name);
        is_text(rule, "expr", alert->expression);
        if (alert->severity)
            is_text(yaml_get(rule, "labels"), "severity", alert->severity);
        if (alert->description)
            is_text(yaml_get(rule, "annotations"), "description", alert->description);
    }
    yaml_tree_free(tree);
    strbuf_done(&text);
}

static void check_monitor(const struct machine *machine, struct shape *shape)
{
    const struct machine_monitor *monitor = machine->monitors[0];
    struct strbuf text = {0};
    void (*const lists[])(struct strbuf *, const struct machine *) = {
        monitor_write_balancers, monitor_write_workloads, monitor_write_doors};
    monitor_write_prometheus(&text, monitor);
    read_plain_yaml(&text, shape);
    strbuf_clear(&text);
    monitor_write_alertmanager(&text, monitor);
    read_plain_yaml(&text, shape);
    for (size_t i = 0; i < ARRAY_LENGTH(lists); i++) {
        strbuf_clear(&text);
        lists[i](&text, machine);
        read_json(&text, shape);
    }
    strbuf_done(&text);
    check_rules(monitor, shape);
}

static void check_dashboards(const struct machine_dashboards *dashboards, struct shape *shape)
{
    static const struct dashboards_files files = {"/p", "/b", "/d", "secret"};
    struct strbuf text = {0};
    dashboards_write_board(&text, dashboards);
    read_json(&text, shape);
    strbuf_clear(&text);
    dashboards_write_source(&text, dashboards);
    read_plain_yaml(&text, shape);
    strbuf_clear(&text);
    dashboards_write_settings(&text, dashboards, &files);
    read_words(strbuf_text(&text), shape);
    strbuf_done(&text);
}

static void check_balancer(const struct machine_balancer *balancer, struct shape *shape)
{
    static const char *const lists[] = {"/list"};
    const struct machine_frontend *frontend = balancer->frontends[0];
    struct balancer_config config = {
        .host = balancer->host,
        .frontends = balancer->frontends,
        .certificate_files = frontend->certificate ? lists : (const char *const[]){NULL},
        .n_frontends = 1,
        .socket = "/s",
        .state_file = "/f",
        .values_file = "/v",
        .limits_file = "/l",
        .limiter_socket = "/i",
        .max_connections = 9};
    struct strbuf text = {0};
    if (balancer_check_frontend(frontend, NULL) == 0) {
        balancer_write_config(&text, &config, true);
        read_haproxy(strbuf_text(&text), shape);
        strbuf_clear(&text);
        balancer_write_values(&text, &config);
        read_map(strbuf_text(&text), shape, frontend->backend->health_check);
    }
    strbuf_done(&text);
}

static void check_leases(const struct machine *machine, struct shape *shape)
{
    struct strbuf text = {0};
    for (size_t i = 0; i < machine->n_networks; i++) {
        strbuf_clear(&text);
        if (machine->networks[i]->dhcp.server)
            dhcp_write_config(&text, machine, machine->networks[i], "/l");
        read_options(strbuf_text(&text), shape);
    }
    strbuf_done(&text);
}

static void check_database(const struct machine_database *database, const char *password,
                           struct shape *shape)
{
    const struct database_config config = {.database = database,
                                           .host = database->hosts[1],
                                           .primary = database->hosts[0],
                                           .socket_folder = "/s",
                                           .hba_file = "/h",
                                           .ident_file = "/i",
                                           .password_file = "/it's a \\ path",
                                           .archive = "/a",
                                           .system_user = "somebody"};
    const struct string_list nobody = {0};
    struct strbuf text = {0};
    database_write_settings(&text, &config);
    read_settings(strbuf_text(&text), shape);
    strbuf_clear(&text);
    database_write_hba(&text, &config);
    read_words(strbuf_text(&text), shape);
    strbuf_clear(&text);
    database_write_ident(&text, &config);
    read_ident(strbuf_text(&text));
    CLEANUP(mem_freep)
    char *standby_names = database_standby_names(database, config.primary, &nobody);
    read_standby_names(standby_names, shape);
    strbuf_clear(&text);
    database_write_primary(&text, &config);
    read_conninfo(strbuf_text(&text), shape, "");
    strbuf_clear(&text);
    database_write_access(&text, database, config.primary, password);
    read_conninfo(strbuf_text(&text), shape, password);
    strbuf_done(&text);
}

/* --- A document with these texts --- */

static void add_requests(struct manifest *manifest, const char *lines)
{
    for (const char *line = lines; *line; line = strchr(line, '\n') + 1) {
        struct request request = {0};
        struct error err = {0};
        size_t length = strcspn(line, "\n");
        if (request_read(line, length, &request, &err) == 0) {
            CLEANUP(mem_freep) char *uid = string_copy(resource_uid(request.resource));
            struct value *resource =
                desired_adopt(manifest_find(manifest, uid), take_ptr(request.resource));
            value_unref(manifest_exchange(manifest, uid, resource));
        }
        error_done(&err);
        request_done(&request);
    }
}

static void write_document(struct strbuf *out, const char *const texts[N_PLACES])
{
    for (const char *at = document; *at; at++) {
        if (*at == '"' && at[1] == '@') {
            size_t place = (size_t)(at[2] - 'a');
            MUST(place < N_PLACES && at[3] == '"');
            json_write_string(out, texts[place], strlen(texts[place]));
            at += 3;
        } else {
            strbuf_add_char(out, *at);
        }
    }
}

/* How many there are of what: machines of the same counts have files of the same shape. */
static void add_counts(struct strbuf *out, const struct machine *machine)
{
    strbuf_addf(out, "%zu %zu %zu %zu %zu %zu", machine->n_hosts, machine->n_balancers,
                machine->n_databases, machine->n_monitors, machine->n_dashboards,
                machine->n_workloads);
    if (machine->n_frontends > 0) {
        const struct machine_frontend *frontend = machine->frontends[0];
        strbuf_addf(out, " front %d %d %d %d %d", balancer_check_frontend(frontend, NULL) == 0,
                    frontend->limit.count > 0, frontend->certificate != NULL,
                    (int)frontend->backend->balance, frontend->backend->health_check != NULL);
    }
    if (machine->n_monitors > 0) {
        const struct machine_monitor *monitor = machine->monitors[0];
        const struct machine_alert *alert = monitor->n_alerts > 0 ? &monitor->alerts[0] : NULL;
        strbuf_addf(out, " alert %d %zu %d %d %d", alert != NULL, monitor->n_recordings,
                    alert && alert->severity, alert && alert->duration,
                    alert && alert->description);
    }
    strbuf_add_char(out, '\n');
}

/* The shape of all files for these texts, and the counts that it goes with. */
static void render(const char *const texts[N_PLACES], struct strbuf *counts, struct shape *shape)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    const struct desired_means means = {.has_grafana = true};
    struct strbuf lines = {0};
    struct machine *machine;
    struct value *assigned;
    struct problems faults = {0};
    write_document(&lines, texts);
    add_requests(manifest, strbuf_text(&lines));
    desired_compute(manifest, &means, &machine, &assigned, &faults);
    add_counts(counts, machine);
    for (size_t i = 0; i < N_PLACES; i++)
        read_label(texts[i]);
    check_leases(machine, shape);
    if (machine->n_balancers > 0)
        check_balancer(machine->balancers[0], shape);
    if (machine->n_databases > 0)
        check_database(machine->databases[0], texts[PASSWORD], shape);
    if (machine->n_monitors > 0)
        check_monitor(machine, shape);
    if (machine->n_dashboards > 0)
        check_dashboards(machine->dashboards[0], shape);
    machine_unref(machine);
    value_unref(assigned);
    problems_done(&faults);
    strbuf_done(&lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static struct strbuf plain_counts;
    static struct shape plain_shape;
    const char *texts[N_PLACES];
    struct strbuf counts = {0};
    struct shape shape = {0};
    if (plain_counts.length == 0) {
        render(plain, &plain_counts, &plain_shape);
        MUST(text_equal(strbuf_text(&plain_counts),
                        "8 1 1 1 1 1 front 1 1 1 0 1 alert 1 1 1 1 1\n"));
    }
    CLEANUP(mem_freep) char *copy = mem_zeroed(1, size + N_PLACES + 1);
    if (size > 0)
        memcpy(copy, input, size);
    const char *at = copy, *end = copy + size;
    for (size_t i = 0; i < N_PLACES; i++) {
        texts[i] = at < end && *at ? at : plain[i];
        at += at < end ? strlen(at) + 1 : 0;
    }
    render(texts, &counts, &shape);
    if (text_equal(strbuf_text(&counts), strbuf_text(&plain_counts)) &&
        !text_equal(strbuf_text(&shape.entries), strbuf_text(&plain_shape.entries))) {
        fprintf(stderr, "%s--- but plain:\n%s", strbuf_text(&shape.entries),
                strbuf_text(&plain_shape.entries));
        MUST(!"the files have another shape than with plain texts");
    }
    strbuf_done(&counts);
    strbuf_done(&shape.entries);
    return 0;
}
