/*
 * Debian's exporters on a monitor's host, where they are installed: the machine's own figures, and
 * whether each balancer's door takes connections. They reach what the monitor's rules let through.
 */
#include "twin/monitor-private.h"
#include "twin/service.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "net/program.h"

enum {
    NICENESS = 5,
    START_TIME = 5 * 1000 * 1000, /* microseconds */
    ASK_TIME = 2 * 1000 * 1000,
    PAGE_LIMIT = 4 * 1024 * 1024
};

/* What there is to say of an exporter; its config is a file of the monitor's. */
static const struct exporter_kind {
    const char *program;
    const char *job;
    uint16_t port;
    const char *config; /* NULL: it has none */
    const char *const options[16];
} kinds[MONITOR_EXPORTER_COUNT] = {
    [MONITOR_NODE] = {"prometheus-node-exporter",
                      "node",
                      9100,
                      NULL,
                      {"--collector.disable-defaults", "--collector.cpu", "--collector.loadavg",
                       "--collector.meminfo", "--collector.stat", "--collector.time",
                       "--collector.vmstat", "--log.level=warn"}},
    [MONITOR_BLACKBOX] =
        {"prometheus-blackbox-exporter", "blackbox", 9115, "blackbox.yml", {"--log.level=warn"}},
};

bool monitor_has_exporter(enum monitor_exporter exporter)
{
    return program_find(kinds[exporter].program, NULL);
}

/* A door is told apart by whether it speaks TLS. Whether its certificate is trusted is the client's
 * question; here counts that a handshake ends, and until when the certificate is valid. */
void monitor_write_blackbox(struct strbuf *out)
{
    strbuf_add(out, "modules:\n"
                    "  tcp: {prober: tcp, timeout: 5s}\n"
                    "  tls:\n"
                    "    prober: tcp\n"
                    "    timeout: 5s\n"
                    "    tcp: {tls: true, tls_config: {insecure_skip_verify: true}}\n");
}

void monitor_write_exporters(struct strbuf *out, const struct machine_monitor *monitor,
                             const bool has_exporter[MONITOR_EXPORTER_COUNT])
{
    const char *address = monitor->host->address;
    for (size_t i = 0; i < MONITOR_EXPORTER_COUNT; i++)
        if (has_exporter[i])
            strbuf_addf(out,
                        "  - job_name: %s\n"
                        "    static_configs:\n"
                        "      - targets: [\"%s:%u\"]\n",
                        kinds[i].job, address, kinds[i].port);
    if (has_exporter[MONITOR_BLACKBOX])
        strbuf_addf(out,
                    "  - job_name: doors\n"
                    "    metrics_path: /probe\n"
                    "    file_sd_configs:\n"
                    "      - files: [doors.json]\n"
                    "    relabel_configs:\n"
                    "      - {source_labels: [__address__], target_label: __param_target}\n"
                    "      - {source_labels: [__param_target], target_label: instance}\n"
                    "      - {target_label: __address__, replacement: \"%s:%u\"}\n",
                    address, kinds[MONITOR_BLACKBOX].port);
}

/* --- Processes --- */

static CO_FN int probe(void *argument, struct error *err)
{
    const struct monitor_probe *asked = argument;
    struct monitor *monitor = asked->monitor;
    struct http_exchange exchange = {.method = "GET",
                                     .target = "/",
                                     .host = monitor->wanted->host->address,
                                     .limit = PAGE_LIMIT};
    int r = service_ask(monitor->module->twin, monitor->wanted->host, kinds[asked->exporter].port,
                        &exchange, world_monotonic_clock() + ASK_TIME, err);
    http_exchange_done(&exchange);
    return r;
}

static int start(struct monitor *monitor, enum monitor_exporter exporter, struct error *err)
{
    const struct exporter_kind *kind = &kinds[exporter];
    CLEANUP(mem_freep) char *program = NULL;
    CLEANUP(mem_freep) char *name = string_format("%s.%s", monitor->host, kind->job);
    CLEANUP(mem_freep)
    char *listen =
        string_format("--web.listen-address=%s:%u", monitor->wanted->host->address, kind->port);
    CLEANUP(mem_freep)
    char *config =
        kind->config ? string_format("--config.file=%s/%s", monitor->config, kind->config) : NULL;
    const char *arguments[20];
    size_t n = 0;
    if (!program_find(kind->program, &program))
        return 0;
    arguments[n++] = program;
    arguments[n++] = listen;
    for (size_t i = 0; kind->options[i]; i++)
        arguments[n++] = kind->options[i];
    if (config)
        arguments[n++] = config;
    arguments[n] = NULL;
    monitor->probes[exporter] = (struct monitor_probe){monitor, exporter};
    const char *const read[] = {monitor->config, NULL};
    struct process_spec spec = {.name = name,
                                .host = monitor->host,
                                .files.read = read,
                                .arguments = arguments,
                                .user = PROCESS_NOBODY,
                                .niceness = NICENESS,
                                .is_restarted = true,
                                .probe = probe,
                                .argument = &monitor->probes[exporter]};
    return process_start(monitor->module->twin->processes, &spec, &monitor->exporters[exporter],
                         err);
}

/* Without them less is measured, and all else stands: so a failure is none of the monitor's. */
void monitor_start_exporters(struct monitor *monitor)
{
    int64_t deadline = world_monotonic_clock() + START_TIME;
    for (int i = 0; i < MONITOR_EXPORTER_COUNT; i++)
        if (!monitor->exporters[i])
            start(monitor, (enum monitor_exporter)i, NULL);
    for (int i = 0; i < MONITOR_EXPORTER_COUNT; i++)
        if (monitor->exporters[i])
            process_wait_ready(monitor->exporters[i], deadline, NULL);
}

unsigned int monitor_count_restarts(const struct monitor *monitor)
{
    unsigned int n =
        process_restarts(monitor->prometheus) + process_restarts(monitor->alertmanager);
    for (size_t i = 0; i < MONITOR_EXPORTER_COUNT; i++)
        n += process_restarts(monitor->exporters[i]);
    return n;
}
