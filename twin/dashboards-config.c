#include "twin/dashboards-config.h"

#include "model/json.h"
#include "model/yaml.h"
#include "twin/monitor-config.h"

#include <string.h>

#define SOURCE "{\"type\":\"prometheus\",\"uid\":\"prometheus\"}"
/* The window that fits the interval of measuring: Grafana puts it in. */
#define RATE(series) "rate(" series "[$__rate_interval])"

enum { PANEL_WIDTH = 12, PANEL_HEIGHT = 8, PANELS_PER_ROW = 2 };

static void write_text(struct strbuf *out, const char *text)
{
    json_write_string(out, text, strlen(text));
}

/*
 * The admin's password and the key are of no use without a login; releases that make the admin
 * nevertheless make it with a password that nobody knows.
 */
void dashboards_write_settings(struct strbuf *out, const struct machine_dashboards *dashboards,
                               const struct dashboards_files *files)
{
    strbuf_addf(out,
                "[paths]\n"
                "data = %s\n"
                "logs = %s/log\n"
                "plugins = %s/plugins\n"
                "provisioning = %s\n",
                files->data, files->data, files->data, files->provisioning);
    strbuf_addf(out,
                "[server]\n"
                "protocol = http\n"
                "http_addr = %s\n"
                "http_port = %u\n",
                dashboards->monitor->host->address, dashboards->port);
    strbuf_addf(out,
                "[security]\n"
                "disable_initial_admin_creation = true\n"
                "admin_password = %s\n"
                "secret_key = %s\n"
                "disable_gravatar = true\n",
                files->secret, files->secret);
    strbuf_addf(out,
                "[dashboards]\n"
                "default_home_dashboard_path = %s/" DASHBOARDS_BOARD "\n",
                files->boards);
    strbuf_add(out, "[auth]\n"
                    "disable_login_form = true\n"
                    "disable_signout_menu = true\n"
                    "[auth.basic]\n"
                    "enabled = false\n"
                    "[auth.anonymous]\n"
                    "enabled = true\n"
                    "org_name = Main Org.\n"
                    "org_role = Viewer\n"
                    "[users]\n"
                    "allow_sign_up = false\n"
                    "allow_org_create = false\n"
                    "[analytics]\n"
                    "reporting_enabled = false\n"
                    "check_for_updates = false\n"
                    "check_for_plugin_updates = false\n"
                    "feedback_links_enabled = false\n"
                    "[news]\n"
                    "news_feed_enabled = false\n"
                    "[plugins]\n"
                    "preinstall_disabled = true\n"
                    "plugin_admin_enabled = false\n"
                    "public_key_retrieval_disabled = true\n"
                    "[snapshots]\n"
                    "external_enabled = false\n"
                    "[unified_alerting]\n"
                    "enabled = false\n"
                    "[live]\n"
                    "max_connections = 0\n"
                    "[log]\n"
                    "mode = console\n"
                    "level = warn\n");
}

void dashboards_write_source(struct strbuf *out, const struct machine_dashboards *dashboards)
{
    strbuf_addf(out,
                "apiVersion: 1\n"
                "datasources:\n"
                "  - name: Prometheus\n"
                "    uid: prometheus\n"
                "    type: prometheus\n"
                "    access: proxy\n"
                "    orgId: 1\n"
                "    url: \"http://%s:%d\"\n"
                "    isDefault: true\n"
                "    editable: false\n"
                "    jsonData:\n"
                "      timeInterval: ",
                dashboards->monitor->host->address, MONITOR_PROMETHEUS_PORT);
    yaml_write_quoted(out, dashboards->monitor->scrape_interval);
    strbuf_add_char(out, '\n');
}

void dashboards_write_provider(struct strbuf *out, const struct dashboards_files *files)
{
    strbuf_add(out, "apiVersion: 1\n"
                    "providers:\n"
                    "  - name: deployment\n"
                    "    orgId: 1\n"
                    "    type: file\n"
                    "    disableDeletion: true\n"
                    "    allowUiUpdates: false\n"
                    "    updateIntervalSeconds: 10\n"
                    "    options:\n"
                    "      path: ");
    yaml_write_quoted(out, files->boards);
    strbuf_add_char(out, '\n');
}

/* --- The dashboard --- */

struct panel {
    const char *title;
    const char *unit; /* Grafana's name for it */
    const char *expression;
    const char *legend;
};

static const struct panel panels[] = {
    {"Targets up", "short", "sum by (job) (up)", "{{job}}"},
    {"Targets down", "short", "up == 0", "{{job}} {{host}} {{instance}}"},
    {"Requests per second", "reqps",
     "sum by (proxy) (" RATE("haproxy_frontend_http_requests_total") ")", "{{proxy}}"},
    {"Answers by kind", "reqps",
     "sum by (proxy, code) (" RATE("haproxy_frontend_http_responses_total") ")",
     "{{proxy}} {{code}}"},
    {"Share of errors", "percentunit",
     "sum by (proxy) (" RATE(
         "haproxy_frontend_http_responses_total{code=\"5xx\"}") ") / "
                                                                "(sum by (proxy) (" RATE(
                                                                    "haproxy_frontend_http_responses_total") ") > 0)",
     "{{proxy}}"},
    {"Time to answer, of the last 1024 requests", "s", "haproxy_backend_total_time_average_seconds",
     "{{proxy}}"},
    {"Time to answer, of workloads", "s",
     "sum by (service) (" RATE("http_answer_seconds_total") ") / (sum by (service) (" RATE(
         "http_requests_total{handler=\"root\"}") ") > 0)",
     "{{service}}"},
    {"Servers in service", "short", "haproxy_backend_active_servers", "{{proxy}}"},
};

static void write_field(struct strbuf *out, const char *before, const char *text)
{
    strbuf_add(out, before);
    write_text(out, text);
}

static void write_panel(struct strbuf *out, const struct panel *panel, size_t index)
{
    strbuf_addf(out,
                "%s{\"id\":%zu,\"type\":\"timeseries\",\"datasource\":" SOURCE
                ",\"gridPos\":{\"x\":%zu,\"y\":%zu,\"w\":%d,\"h\":%d}",
                index > 0 ? ",\n" : "\n", index + 1, index % PANELS_PER_ROW * PANEL_WIDTH,
                index / PANELS_PER_ROW * PANEL_HEIGHT, PANEL_WIDTH, PANEL_HEIGHT);
    write_field(out, ",\"title\":", panel->title);
    write_field(out, ",\"fieldConfig\":{\"defaults\":{\"min\":0,\"unit\":", panel->unit);
    strbuf_add(out, "},\"overrides\":[]},\"options\":{},\"targets\":[{\"refId\":\"A\","
                    "\"datasource\":" SOURCE);
    write_field(out, ",\"expr\":", panel->expression);
    write_field(out, ",\"legendFormat\":", panel->legend);
    strbuf_add(out, "}]}");
}

void dashboards_write_board(struct strbuf *out, const struct machine_dashboards *dashboards)
{
    write_field(out, "{\"uid\":\"deployment\",\"title\":", dashboards->name);
    strbuf_add(out, ",\"schemaVersion\":36,\"version\":1,\"editable\":false,\"timezone\":\"utc\","
                    "\"refresh\":\"10s\",\"time\":{\"from\":\"now-30m\",\"to\":\"now\"},"
                    "\"tags\":[],\"templating\":{\"list\":[]},\"annotations\":{\"list\":[]},"
                    "\"panels\":[");
    for (size_t i = 0; i < ARRAY_LENGTH(panels); i++)
        write_panel(out, &panels[i], i);
    strbuf_add(out, "]}\n");
}
