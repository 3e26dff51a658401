#include "base/strbuf.h"
#include "base/text.h"
#include "harness.h"
#include "model/json.h"
#include "twin/monitor-alerts.h"
#include "twin/monitor-config.h"
#include "twin/monitor-private.h"

static const struct machine_host watch_host = {.name = "watch", .address = "10.3.0.10"};
static const struct machine_host web[] = {{.name = "web-0", .address = "10.1.0.11"},
                                          {.name = "web-1", .address = "10.1.0.12"}};
static const struct machine_host *web_hosts[] = {&web[0], &web[1]};
static const struct machine_host balancer_host = {.name = "edge", .address = "10.1.0.10"};

static struct machine_alert alerts[] = {
    {"HighErrorRate", "error_rate > 0.05", "critical", "1m", "Too \"many\" fail:\n{{ $value }}"},
    {"Down", "up == 0", NULL, NULL, NULL}};
static struct machine_recording recordings[] = {
    {"error_rate", "sum(rate(x_total{code=\"5xx\"}[1m]))"}};

static struct machine_monitor monitor(void)
{
    return (struct machine_monitor){.name = "watch",
                                    .host = &watch_host,
                                    .scrape_interval = "30s",
                                    .retention = "30d",
                                    .alerts = alerts,
                                    .n_alerts = 2,
                                    .recordings = recordings,
                                    .n_recordings = 1};
}

TEST(prometheus_watches_itself_and_the_files_of_targets)
{
    struct machine_monitor wanted = monitor();
    struct strbuf text = {0};
    monitor_write_prometheus(&text, &wanted);
    CHECK_TEXT(strbuf_text(&text), "global:\n"
                                   "  scrape_interval: \"30s\"\n"
                                   "  evaluation_interval: 5s\n"
                                   "rule_files: [rules.yml]\n"
                                   "alerting:\n"
                                   "  alertmanagers:\n"
                                   "    - static_configs:\n"
                                   "        - targets: [\"10.3.0.10:9093\"]\n"
                                   "scrape_configs:\n"
                                   "  - job_name: prometheus\n"
                                   "    static_configs:\n"
                                   "      - targets: [\"10.3.0.10:9090\"]\n"
                                   "  - job_name: alertmanager\n"
                                   "    static_configs:\n"
                                   "      - targets: [\"10.3.0.10:9093\"]\n"
                                   "  - job_name: instances\n"
                                   "    static_configs:\n"
                                   "      - targets: [\"10.3.0.10:9095\"]\n"
                                   "  - job_name: balancers\n"
                                   "    file_sd_configs:\n"
                                   "      - files: [balancers.json]\n"
                                   "  - job_name: workloads\n"
                                   "    file_sd_configs:\n"
                                   "      - files: [workloads.json]\n");
    strbuf_done(&text);
}

TEST(recording_rules_come_before_the_alerts_that_use_them)
{
    struct machine_monitor wanted = monitor();
    struct strbuf text = {0};
    monitor_write_rules(&text, &wanted);
    CHECK_TEXT(strbuf_text(&text),
               "groups:\n"
               "  - name: recordings\n"
               "    rules:\n"
               "      - record: \"error_rate\"\n"
               "        expr: \"sum(rate(x_total{code=\\\"5xx\\\"}[1m]))\"\n"
               "  - name: alerts\n"
               "    rules:\n"
               "      - alert: \"HighErrorRate\"\n"
               "        expr: \"error_rate > 0.05\"\n"
               "        for: \"1m\"\n"
               "        labels:\n"
               "          severity: \"critical\"\n"
               "        annotations:\n"
               "          description: \"Too \\\"many\\\" fail:\\n{{ $value }}\"\n"
               "      - alert: \"Down\"\n"
               "        expr: \"up == 0\"\n");
    strbuf_done(&text);
    wanted.n_alerts = wanted.n_recordings = 0;
    monitor_write_rules(&text, &wanted);
    CHECK_TEXT(strbuf_text(&text), "groups: []\n");
    strbuf_done(&text);
}

TEST(every_alert_goes_to_the_supervisor_at_once)
{
    struct machine_monitor wanted = monitor();
    struct strbuf text = {0};
    monitor_write_alertmanager(&text, &wanted);
    CHECK_TEXT(strbuf_text(&text), "route:\n"
                                   "  receiver: supervisor\n"
                                   "  group_by: [\"...\"]\n"
                                   "  group_wait: 0s\n"
                                   "  group_interval: 1s\n"
                                   "  repeat_interval: 1h\n"
                                   "receivers:\n"
                                   "  - name: supervisor\n"
                                   "    webhook_configs:\n"
                                   "      - url: \"http://10.3.0.10:9095/alerts\"\n"
                                   "        send_resolved: true\n");
    strbuf_done(&text);
}

TEST(targets_are_balancers_and_what_workloads_serve)
{
    struct machine_balancer balancer = {.host = &balancer_host};
    struct machine_workload workload = {
        .name = "web", .hosts = web_hosts, .n_hosts = 2, .port = 81};
    struct machine_workload silent = {.name = "worker", .hosts = web_hosts, .n_hosts = 2};
    struct machine_balancer *balancers[] = {&balancer};
    struct machine_workload *workloads[] = {&silent, &workload};
    struct machine machine = {
        .balancers = balancers, .n_balancers = 1, .workloads = workloads, .n_workloads = 2};
    struct strbuf text = {0};
    monitor_write_balancers(&text, &machine);
    CHECK_TEXT(strbuf_text(&text),
               "[\n{\"targets\":[\"10.1.0.10:8404\"],\"labels\":{\"host\":\"edge\"}}]\n");
    strbuf_done(&text);
    monitor_write_workloads(&text, &machine);
    CHECK_TEXT(
        strbuf_text(&text),
        "[\n"
        "{\"targets\":[\"10.1.0.11:81\"],\"labels\":{\"host\":\"web-0\",\"service\":\"web\"}},\n"
        "{\"targets\":[\"10.1.0.12:81\"],\"labels\":{\"host\":\"web-1\",\"service\":\"web\"}}]\n");
    strbuf_done(&text);
    machine.n_workloads = 0;
    monitor_write_workloads(&text, &machine);
    CHECK_TEXT(strbuf_text(&text), "[]\n");
    strbuf_done(&text);
}

static const char message[] =
    "{\"version\":\"4\",\"status\":\"firing\",\"alerts\":["
    "{\"status\":\"firing\",\"labels\":{\"alertname\":\"A\",\"severity\":\"critical\"}},"
    "{\"status\":\"resolved\",\"labels\":{\"alertname\":\"B\",\"mark\":\"m-1\"}},{}]}";

TEST(alerts_that_arrive_are_remembered_newest_first)
{
    struct monitor_alerts *received = NEW(struct monitor_alerts);
    CHECK(monitor_alerts_take(received, message, strlen(message), NULL) == 0);
    CHECK(received->n_items == 3 && received->n_total == 3);
    CHECK(monitor_alerts_find(received, "m-1") == &received->items[1]);
    CHECK(!monitor_alerts_find(received, "m-2"));
    CLEANUP(value_unrefp) struct value *list = monitor_alerts_describe(received);
    CHECK(value_count(list) == 3);
    CHECK_TEXT(value_get_text(value_at(list, 0), "name"), "");
    CHECK_TEXT(value_get_text(value_at(list, 1), "status"), "resolved");
    CHECK_TEXT(value_get_text(value_at(list, 2), "severity"), "critical");
    for (int i = 0; i < 40; i++)
        CHECK(monitor_alerts_take(received, message, strlen(message), NULL) == 0);
    CHECK(received->n_items == MONITOR_ALERTS_LIMIT && received->n_total == 123);
    monitor_alerts_done(received);
    mem_free(received);
}

TEST(what_is_no_message_of_alertmanager_is_refused)
{
    struct monitor_alerts *received = NEW(struct monitor_alerts);
    static const char *const bad[] = {"", "[]", "{}", "{\"alerts\":{}}", "{\"alerts\":[", "null"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        CHECK(monitor_alerts_take(received, bad[i], strlen(bad[i]), NULL) == -ERROR_INVALID);
    CHECK(received->n_total == 0);
    mem_free(received);
}

TEST(exporters_are_asked_only_where_they_are_installed)
{
    struct machine_monitor wanted = monitor();
    static const struct {
        bool has[MONITOR_EXPORTER_COUNT];
        const char *text;
    } cases[] = {
        {{false, false}, ""},
        {{true, false},
         "  - job_name: node\n"
         "    static_configs:\n"
         "      - targets: [\"10.3.0.10:9100\"]\n"},
        {{false, true},
         "  - job_name: blackbox\n"
         "    static_configs:\n"
         "      - targets: [\"10.3.0.10:9115\"]\n"
         "  - job_name: doors\n"
         "    metrics_path: /probe\n"
         "    file_sd_configs:\n"
         "      - files: [doors.json]\n"
         "    relabel_configs:\n"
         "      - {source_labels: [__address__], target_label: __param_target}\n"
         "      - {source_labels: [__param_target], target_label: instance}\n"
         "      - {target_label: __address__, replacement: \"10.3.0.10:9115\"}\n"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct strbuf text = {0};
        monitor_write_exporters(&text, &wanted, cases[i].has);
        CHECK_TEXT(strbuf_text(&text), cases[i].text);
        strbuf_done(&text);
    }
}

TEST(doors_are_tried_with_tls_where_they_have_a_certificate)
{
    static const struct machine_certificate certificate = {.name = "cert"};
    static const struct machine_frontend open = {
        .name = "open", .host = &balancer_host, .port = 80};
    static const struct machine_frontend closed = {
        .name = "closed", .host = &balancer_host, .port = 443, .certificate = &certificate};
    const struct machine_frontend *frontends[] = {&open, &closed};
    struct machine machine = {.frontends = (struct machine_frontend **)frontends, .n_frontends = 2};
    struct strbuf text = {0};
    monitor_write_doors(&text, &machine);
    CHECK_TEXT(strbuf_text(&text),
               "[\n{\"targets\":[\"10.1.0.10:80\"],\"labels\":{\"__param_module\":\"tcp\","
               "\"door\":\"open\"}},\n"
               "{\"targets\":[\"10.1.0.10:443\"],\"labels\":{\"__param_module\":\"tls\","
               "\"door\":\"closed\"}}]\n");
    strbuf_done(&text);
}
