/* What status says of frontends and backends. */
#include "twin/balancer-private.h"

#include "base/text.h"

static const char *state_of_process(const struct balancer *balancer)
{
    enum process_state state = balancer->process ? process_state(balancer->process) : PROCESS_ENDED;
    return state == PROCESS_READY ? "ready" : state == PROCESS_STARTING ? "starting" : "failed";
}

static void report_frontend(const struct balancer *balancer, size_t index,
                            struct value_builder *status, struct value_builder *outputs)
{
    const struct machine_frontend *frontend = balancer->config.frontends[index];
    const char *address = balancer->config.host->address;
    CLEANUP(mem_freep) char *name = balancer_frontend_name(&balancer->config, index);
    const struct balancer_line *line =
        balancer_find_line(&balancer->control.statistics, name, "FRONTEND");
    const struct balancer_limits *limits = balancer->module->limits;
    bool is_limited = frontend->limit.count > 0;
    bool is_kept = !is_limited || balancer_limits_are_kept(limits);
    value_builder_set_string(status, "state", is_kept ? state_of_process(balancer) : "starting");
    service_report_restarts(status, process_restarts(balancer->process) +
                                        (is_limited ? balancer_limits_restarts(limits) : 0));
    service_report_problem(status, balancer->process);
    if (line) {
        value_builder_set(status, "requests", value_integer(line->requests));
        value_builder_set(status, "denied", value_integer(line->denied));
        value_builder_set(status, "errors", value_integer(line->errors));
    }
    bool has_certificate = frontend->certificate != NULL;
    bool is_usual = frontend->port == (has_certificate ? 443 : 80);
    CLEANUP(mem_freep) char *port = string_format(":%u", frontend->port);
    CLEANUP(mem_freep)
    char *url = string_format("%s://%s%s", has_certificate ? "https" : "http",
                              has_certificate ? frontend->certificate->domains[0] : address,
                              is_usual ? "" : port);
    value_builder_set_string(outputs, "address", address);
    value_builder_set(outputs, "port", value_integer(frontend->port));
    value_builder_set_string(outputs, "url", url);
}

static void report_server(const struct balancer_line *line, const struct machine_host *host,
                          struct value_builder *servers)
{
    struct value_builder server = {0};
    value_builder_set_string(&server, "name", host->name);
    value_builder_set_string(&server, "address", host->address);
    value_builder_set_string(&server, "status", line ? line->status : "unknown");
    value_builder_set(&server, "sessions", value_integer(line ? line->sessions : 0));
    value_builder_set(&server, "requests", value_integer(line ? line->total_sessions : 0));
    value_builder_append(servers, value_builder_map(&server));
}

static void report_backend(const struct balancer *balancer, const struct machine_backend *backend,
                           struct value_builder *status)
{
    CLEANUP(mem_freep) char *name = balancer_backend_name(&balancer->config, backend);
    struct value_builder servers = {0};
    size_t n_up = 0;
    for (size_t i = 0; i < backend->n_servers; i++) {
        const struct balancer_line *line =
            balancer_find_line(&balancer->control.statistics, name, backend->servers[i]->name);
        n_up += line && balancer_line_is_up(line) && balancer_line_is_checked(line);
        report_server(line, backend->servers[i], &servers);
    }
    const char *state = state_of_process(balancer);
    if (text_equal(state, "ready") && n_up < backend->n_servers)
        state = n_up > 0 ? "degraded" : "failed";
    value_builder_set_string(status, "state", state);
    value_builder_set(status, "up", value_integer((int64_t)n_up));
    value_builder_set(status, "servers", value_builder_list(&servers));
}

void balancer_report(void *argument, const char *resource, struct value_builder *status,
                     struct value_builder *outputs)
{
    const struct balancers *module = argument;
    if (module->machine)
        balancer_report_hosts(module, resource, status);
    for (size_t i = 0; i < module->n_items; i++) {
        const struct balancer *balancer = module->items[i];
        for (size_t k = 0; k < balancer->config.n_frontends; k++) {
            const struct machine_frontend *frontend = balancer->config.frontends[k];
            if (text_equal(frontend->resource, resource)) {
                report_frontend(balancer, k, status, outputs);
                return;
            }
            if (text_equal(frontend->backend->resource, resource)) {
                report_backend(balancer, frontend->backend, status);
                return;
            }
        }
    }
}
