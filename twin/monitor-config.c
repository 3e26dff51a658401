#include "twin/monitor-config.h"

#include "model/json.h"
#include "model/yaml.h"
#include "twin/balancer-config.h"

#include <string.h>

static void write_text(struct strbuf *out, const char *text)
{
    json_write_string(out, text, strlen(text));
}

static void write_field(struct strbuf *out, const char *before, const char *text)
{
    strbuf_add(out, before);
    yaml_write_quoted(out, text);
    strbuf_add_char(out, '\n');
}

static void write_job(struct strbuf *out, const char *name, const char *address, int port)
{
    strbuf_addf(out,
                "  - job_name: %s\n"
                "    static_configs:\n"
                "      - targets: [\"%s:%d\"]\n",
                name, address, port);
}

static void write_file_job(struct strbuf *out, const char *name)
{
    strbuf_addf(out,
                "  - job_name: %s\n"
                "    file_sd_configs:\n"
                "      - files: [%s.json]\n",
                name, name);
}

/* Rules are evaluated more often than most intervals measure, so that an alert is prompt. */
void monitor_write_prometheus(struct strbuf *out, const struct machine_monitor *monitor)
{
    const char *address = monitor->host->address;
    write_field(out, "global:\n  scrape_interval: ", monitor->scrape_interval);
    strbuf_addf(out,
                "  evaluation_interval: 5s\n"
                "rule_files: [rules.yml]\n"
                "alerting:\n"
                "  alertmanagers:\n"
                "    - static_configs:\n"
                "        - targets: [\"%s:%d\"]\n"
                "scrape_configs:\n",
                address, MONITOR_ALERTMANAGER_PORT);
    write_job(out, "prometheus", address, MONITOR_PROMETHEUS_PORT);
    write_job(out, "alertmanager", address, MONITOR_ALERTMANAGER_PORT);
    write_job(out, "instances", address, MONITOR_RECEIVER_PORT);
    write_file_job(out, "balancers");
    write_file_job(out, "workloads");
}

static void write_recordings(struct strbuf *out, const struct machine_monitor *monitor)
{
    if (monitor->n_recordings == 0)
        return;
    strbuf_add(out, "  - name: recordings\n    rules:\n");
    for (size_t i = 0; i < monitor->n_recordings; i++) {
        write_field(out, "      - record: ", monitor->recordings[i].name);
        write_field(out, "        expr: ", monitor->recordings[i].expression);
    }
}

static void write_alert(struct strbuf *out, const struct machine_alert *alert)
{
    write_field(out, "      - alert: ", alert->name);
    write_field(out, "        expr: ", alert->expression);
    if (alert->duration)
        write_field(out, "        for: ", alert->duration);
    if (alert->severity)
        write_field(out, "        labels:\n          severity: ", alert->severity);
    if (alert->description)
        write_field(out, "        annotations:\n          description: ", alert->description);
}

void monitor_write_rules(struct strbuf *out, const struct machine_monitor *monitor)
{
    if (monitor->n_recordings + monitor->n_alerts == 0) {
        strbuf_add(out, "groups: []\n");
        return;
    }
    strbuf_add(out, "groups:\n");
    write_recordings(out, monitor);
    if (monitor->n_alerts > 0)
        strbuf_add(out, "  - name: alerts\n    rules:\n");
    for (size_t i = 0; i < monitor->n_alerts; i++)
        write_alert(out, &monitor->alerts[i]);
}

void monitor_write_alertmanager(struct strbuf *out, const struct machine_monitor *monitor)
{
    strbuf_addf(out,
                "route:\n"
                "  receiver: supervisor\n"
                "  group_by: [\"...\"]\n"
                "  group_wait: 0s\n"
                "  group_interval: 1s\n"
                "  repeat_interval: 1h\n"
                "receivers:\n"
                "  - name: supervisor\n"
                "    webhook_configs:\n"
                "      - url: \"http://%s:%d/alerts\"\n"
                "        send_resolved: true\n",
                monitor->host->address, MONITOR_RECEIVER_PORT);
}

/* One target with what tells people which one it is. */
static void write_target(struct strbuf *out, const struct machine_host *host, int port,
                         const char *label, const char *value)
{
    strbuf_addf(out,
                "%s{\"targets\":[\"%s:%d\"],\"labels\":{\"host\":", out->length > 1 ? ",\n" : "\n",
                host->address, port);
    write_text(out, host->name);
    if (label) {
        strbuf_addf(out, ",\"%s\":", label);
        write_text(out, value);
    }
    strbuf_add(out, "}}");
}

void monitor_write_balancers(struct strbuf *out, const struct machine *machine)
{
    strbuf_add_char(out, '[');
    for (size_t i = 0; i < machine->n_balancers; i++)
        write_target(out, machine->balancers[i]->host, BALANCER_METRICS_PORT, NULL, NULL);
    strbuf_add(out, "]\n");
}

void monitor_write_workloads(struct strbuf *out, const struct machine *machine)
{
    strbuf_add_char(out, '[');
    for (size_t i = 0; i < machine->n_workloads; i++) {
        const struct machine_workload *workload = machine->workloads[i];
        for (size_t k = 0; workload->port != 0 && k < workload->n_hosts; k++)
            write_target(out, workload->hosts[k], workload->port, "service", workload->name);
    }
    strbuf_add(out, "]\n");
}

/* The doors of balancers, with how they are to be tried. */
void monitor_write_doors(struct strbuf *out, const struct machine *machine)
{
    strbuf_add_char(out, '[');
    for (size_t i = 0; i < machine->n_frontends; i++) {
        const struct machine_frontend *frontend = machine->frontends[i];
        strbuf_addf(out,
                    "%s{\"targets\":[\"%s:%u\"],\"labels\":{\"__param_module\":\"%s\",\"door\":",
                    i > 0 ? ",\n" : "\n", frontend->host->address, frontend->port,
                    frontend->certificate ? "tls" : "tcp");
        write_text(out, frontend->name);
        strbuf_add(out, "}}");
    }
    strbuf_add(out, "]\n");
}
