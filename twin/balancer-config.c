#include "twin/balancer-config.h"

#include "base/text.h"

#include <assert.h>
#include <string.h>

/* Descriptors that are not connections: listeners, checks, sockets of threads, logs. */
enum { OTHER_DESCRIPTORS = 200 };
/* No name of a document has an underscore. */
#define LIMITS "address_limits"
/* What the keys of values begin with. */
#define OF_FRONTEND "frontend"
#define OF_BACKEND "backend"

static const char *const balances[] = {[BALANCE_LEASTCONN] = "leastconn",
                                       [BALANCE_ROUNDROBIN] = "roundrobin",
                                       [BALANCE_SOURCE] = "source"};

unsigned int balancer_max_connections(unsigned long descriptors)
{
    unsigned long room =
        descriptors > OTHER_DESCRIPTORS + 2 ? (descriptors - OTHER_DESCRIPTORS) / 2 : 1;
    return room < BALANCER_CONNECTIONS ? (unsigned int)room : BALANCER_CONNECTIONS;
}

/* --- Checks --- */

static bool is_proxy_name(const char *name)
{
    return *name && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789-_.") == strlen(name);
}

static int check_backend(const struct machine_backend *backend, struct error *err)
{
    if (!is_proxy_name(backend->name))
        return error_set(err, ERROR_INVALID, "\"%s\" cannot be the name of a backend",
                         backend->name);
    for (const char *c = backend->health_check ? backend->health_check : "/"; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return error_set(err, ERROR_INVALID,
                             "the health check of backend %s has a space or a control character in "
                             "its path",
                             backend->name);
    return 0;
}

int balancer_check_frontend(const struct machine_frontend *frontend, struct error *err)
{
    if (!is_proxy_name(frontend->name))
        return error_set(err, ERROR_INVALID, "\"%s\" cannot be the name of a frontend",
                         frontend->name);
    if (frontend->port == BALANCER_METRICS_PORT)
        return error_set(err, ERROR_INVALID,
                         "frontend %s cannot have port %d: the balancer's own metrics are there",
                         frontend->name, BALANCER_METRICS_PORT);
    return check_backend(frontend->backend, err);
}

/* --- Names --- */

char *balancer_frontend_name(const struct balancer_config *config, size_t index)
{
    const struct machine_frontend *frontend = config->frontends[index];
    for (size_t i = 0; i < config->n_frontends; i++)
        if (i != index && text_equal(config->frontends[i]->name, frontend->name))
            return string_format("%s.%.8s", frontend->name, frontend->resource);
    return string_copy(frontend->name);
}

char *balancer_backend_name(const struct balancer_config *config,
                            const struct machine_backend *backend)
{
    for (size_t i = 0; i < config->n_frontends; i++)
        if (config->frontends[i]->backend != backend &&
            text_equal(config->frontends[i]->backend->name, backend->name))
            return string_format("%s.%.8s", backend->name, backend->resource);
    return string_copy(backend->name);
}

/* --- What stays for now --- */

static struct balancer_kept kept_of(const struct balancer_config *config,
                                    const struct machine_backend *backend)
{
    for (size_t i = 0; config->kept && i < config->n_frontends; i++)
        if (config->frontends[i]->backend == backend)
            return config->kept[i];
    return (struct balancer_kept){0};
}

uint16_t balancer_server_port(const struct balancer_config *config,
                              const struct machine_backend *backend)
{
    struct balancer_kept kept = kept_of(config, backend);
    return kept.server_port ? kept.server_port : backend->port;
}

const char *balancer_health_check(const struct balancer_config *config,
                                  const struct machine_backend *backend)
{
    struct balancer_kept kept = kept_of(config, backend);
    return kept.health_check ? kept.health_check : backend->health_check;
}

void balancer_each_backend(const struct balancer_config *config,
                           void (*visit)(void *argument, const struct machine_backend *backend),
                           void *argument)
{
    for (size_t i = 0; i < config->n_frontends; i++) {
        size_t first = 0;
        while (config->frontends[first]->backend != config->frontends[i]->backend)
            first++;
        if (first == i)
            visit(argument, config->frontends[i]->backend);
    }
}

/* --- Sections --- */

/*
 * A worker that was replaced serves what it has: a connection that asks nothing ends by the time to
 * be kept alive, a request by that of its server; what lasts longer than both is cut.
 *
 * Nothing here asks others by HTTP; HAProxy would else read all authorities of the system whenever
 * it starts, which takes it four times as long.
 */
static void write_global(struct strbuf *out, const struct balancer_config *config)
{
    strbuf_addf(out,
                "global\n"
                "    maxconn %u\n"
                "    nbthread 2\n"
                "    log stdout format raw local0 notice\n"
                "    stats socket %s mode 600 level admin expose-fd listeners\n"
                "    server-state-file %s\n"
                "    max-spread-checks 50\n"
                "    ssl-default-bind-options ssl-min-ver TLSv1.2\n"
                "    httpclient.ssl.verify none\n"
                "    hard-stop-after 90s\n"
                "\n",
                config->max_connections, config->socket, config->state_file);
}

static void write_defaults(struct strbuf *out)
{
    strbuf_add(out, "defaults\n"
                    "    mode http\n"
                    "    log global\n"
                    "    load-server-state-from-file global\n"
                    "    option dontlognull\n"
                    "    option forwardfor\n"
                    "    option redispatch 1\n"
                    "    option idle-close-on-response\n"
                    "    retries 3\n"
                    "    retry-on conn-failure empty-response\n"
                    "    timeout connect 2s\n"
                    "    timeout client 30s\n"
                    "    timeout server 30s\n"
                    "    timeout http-request 10s\n"
                    "    timeout http-keep-alive 60s\n"
                    "    timeout queue 5s\n"
                    "    timeout check 2s\n");
}

static bool has_limit(const struct balancer_config *config)
{
    for (size_t i = 0; i < config->n_frontends; i++)
        if (config->frontends[i]->limit.count > 0)
            return true;
    return false;
}

/* Where the limiter is. It stands before the defaults, which are those of HTTP. */
static void write_limiter(struct strbuf *out, const struct balancer_config *config)
{
    if (has_limit(config))
        strbuf_addf(out,
                    "backend " LIMITS "\n"
                    "    mode tcp\n"
                    "    timeout connect 5s\n"
                    "    timeout server 5m\n"
                    "    server limiter unix@%s\n"
                    "\n",
                    config->limiter_socket);
}

void balancer_write_limits(struct strbuf *out)
{
    strbuf_add(out, "[" LIMITS "]\n"
                    "spoe-agent " LIMITS "\n"
                    "    groups ask\n"
                    "    option var-prefix limit\n"
                    "    timeout hello 5s\n"
                    "    timeout idle 1m\n"
                    "    timeout processing 5s\n"
                    "    use-backend " LIMITS "\n"
                    "spoe-message count\n"
                    "    args of=var(txn.limit.of) source=src count=var(txn.limit.count) "
                    "seconds=var(txn.limit.seconds)\n"
                    "spoe-group ask\n"
                    "    messages count\n");
}

static void write_metrics(struct strbuf *out, const struct balancer_config *config)
{
    strbuf_addf(out,
                "\n"
                "frontend metrics_exporter\n"
                "    bind %s:%d\n"
                "    http-request use-service prometheus-exporter if { path /metrics }\n"
                "    http-request return status 404\n",
                config->host->address, BALANCER_METRICS_PORT);
}

/* Without the limiter's word nobody comes in: a limit that may not hold is none. */
static void write_limit(struct strbuf *out, const struct balancer_config *config, const char *name,
                        const struct machine_limit *limit)
{
    if (limit->count == 0)
        return;
    strbuf_addf(
        out,
        "    filter spoe engine " LIMITS " config %s\n"
        "    http-request set-var(txn.limit.of) str(%s/%s)\n"
        "    http-request set-var(txn.limit.rate) str(%s/%s),map(%s)\n"
        "    http-request set-var(txn.limit.count) var(txn.limit.rate),field(1,/),add(0)\n"
        "    http-request set-var(txn.limit.seconds) var(txn.limit.rate),field(2,/),add(0)\n"
        "    http-request send-spoe-group " LIMITS " ask\n"
        "    http-request deny deny_status 503 hdr Retry-After 1 unless { "
        "var(txn.limit.wait) -m found }\n"
        "    http-request deny deny_status 429 hdr Retry-After %%[var(txn.limit.wait)] if { "
        "var(txn.limit.wait) -m int gt 0 }\n",
        config->limits_file, config->host->name, name, OF_FRONTEND, name, config->values_file);
}

static void write_bind(struct strbuf *out, const char *address, uint16_t port,
                       const char *certificate)
{
    strbuf_addf(out, "    bind %s:%u", address, port);
    if (certificate)
        strbuf_addf(out, " ssl crt %s alpn h2,http/1.1", certificate);
    strbuf_add_char(out, '\n');
}

static void write_frontend(struct strbuf *out, const struct balancer_config *config, size_t index)
{
    const struct machine_frontend *frontend = config->frontends[index];
    const char *certificate = config->certificate_files[index];
    CLEANUP(mem_freep) char *name = balancer_frontend_name(config, index);
    CLEANUP(mem_freep) char *backend = balancer_backend_name(config, frontend->backend);
    strbuf_addf(out, "\nfrontend %s\n", name);
    write_bind(out, config->host->address, frontend->port, certificate);
    if (config->kept && config->kept[index].port)
        write_bind(out, config->host->address, config->kept[index].port, certificate);
    write_limit(out, config, name, &frontend->limit);
    strbuf_addf(out, "    http-request set-header X-Forwarded-Proto %s\n    default_backend %s\n",
                certificate ? "https" : "http", backend);
}

struct backend_writer {
    struct strbuf *out;
    const struct balancer_config *config;
    bool with_servers;
};

/* Of all balances only a consistent hash of the source lets servers come and go at run time. */
static void write_backend(void *argument, const struct machine_backend *backend)
{
    const struct backend_writer *writer = argument;
    struct strbuf *out = writer->out;
    CLEANUP(mem_freep) char *name = balancer_backend_name(writer->config, backend);
    strbuf_addf(out, "\nbackend %s\n    balance %s\n", name, balances[backend->balance]);
    if (backend->balance == BALANCE_SOURCE)
        strbuf_add(out, "    hash-type consistent\n");
    strbuf_add(out, "    http-request disable-l7-retry unless { method GET HEAD OPTIONS }\n");
    if (backend->health_check) {
        strbuf_addf(out,
                    "    option httpchk\n"
                    "    http-check send meth GET uri-lf %%[str(%s/%s),map(%s)] ver HTTP/1.1 hdr "
                    "Host %s\n",
                    OF_BACKEND, name, writer->config->values_file, backend->name);
    }
    for (size_t i = 0; writer->with_servers && i < backend->n_servers; i++)
        strbuf_addf(out, "    server %s %s:%u " BALANCER_SERVER_OPTIONS "\n",
                    backend->servers[i]->name, backend->servers[i]->address,
                    balancer_server_port(writer->config, backend));
}

void balancer_write_config(struct strbuf *out, const struct balancer_config *config,
                           bool with_servers)
{
    write_global(out, config);
    write_limiter(out, config);
    write_defaults(out);
    write_metrics(out, config);
    for (size_t i = 0; i < config->n_frontends; i++)
        write_frontend(out, config, i);
    struct backend_writer writer = {out, config, with_servers};
    balancer_each_backend(config, write_backend, &writer);
}

/* --- Values --- */

static void write_value(void *argument, const struct machine_backend *backend)
{
    const struct backend_writer *writer = argument;
    CLEANUP(mem_freep) char *name = balancer_backend_name(writer->config, backend);
    const char *health_check = balancer_health_check(writer->config, backend);
    if (health_check)
        strbuf_addf(writer->out, OF_BACKEND "/%s %s\n", name, health_check);
}

void balancer_write_values(struct strbuf *out, const struct balancer_config *config)
{
    for (size_t i = 0; i < config->n_frontends; i++) {
        const struct machine_limit *limit = &config->frontends[i]->limit;
        CLEANUP(mem_freep) char *name = balancer_frontend_name(config, i);
        if (limit->count > 0)
            strbuf_addf(out, OF_FRONTEND "/%s %u/%u\n", name, limit->count, limit->window_s);
    }
    struct backend_writer writer = {.out = out, .config = config};
    balancer_each_backend(config, write_value, &writer);
}
