/*
 * The module of entrances: a port of the machine that the twin runs on leads to each public
 * frontend and to each monitor. Connections to a frontend are made from the host outside, so that
 * the firewall and the limits apply to them as to anybody; all of them share that host's address.
 */
#include "twin/module.h"
#include "twin/network.h"
#include "twin/relay.h"

#include "base/strbuf.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum {
    CONNECTIONS_LIMIT = 2000,
    IDLE_TIME = 300 * 1000 * 1000, /* microseconds */
    CONNECT_TIME = 5 * 1000 * 1000
};

struct entrance {
    struct entrances *module;
    char *resource; /* owned; its uid */
    char *from;     /* owned; the host that connections are made in */
    uint32_t ip;    /* where it leads */
    uint16_t port;
    uint16_t host_port; /* where it stands */
    struct relay *relay;
    char *url; /* owned; what leads here, by name where there is a certificate */
};

struct entrances {
    struct twin *twin;
    struct entrance **items; /* owned */
    size_t n_items;
    size_t capacity;
};

static int open_other(void *argument, int *ret_fd, struct error *err)
{
    const struct entrance *entrance = argument;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(entrance->port),
                                  .sin_addr.s_addr = htonl(entrance->ip)};
    CLEANUP(close_descriptorp) int fd = -1;
    int r = network_socket(entrance->module->twin->network, entrance->from, AF_INET, SOCK_STREAM,
                           &fd, err);
    if (r < 0)
        return r;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS)
        return error_set_errno(err, errno, "connect");
    *ret_fd = take_descriptor(&fd);
    return 0;
}

/* The preferred port, or any when somebody else has that. */
static CO_FN int open_port(struct entrance *entrance, uint16_t preferred, struct error *err)
{
    struct twin *twin = entrance->module->twin;
    struct relay_spec spec = {.max_connections = CONNECTIONS_LIMIT,
                              .idle_us = IDLE_TIME,
                              .connect_us = CONNECT_TIME,
                              .open_other = open_other,
                              .argument = entrance};
    int fd;
    int r = outer_listen(twin->outer, preferred, &fd, &entrance->host_port, err);
    if (r == -ERROR_EXISTS && preferred != 0) {
        error_done(err);
        r = outer_listen(twin->outer, 0, &fd, &entrance->host_port, err);
    }
    if (r == 0)
        entrance->relay = relay_new(twin->loop, fd, &spec);
    return r;
}

static void entrance_free(struct entrance *entrance)
{
    relay_free(entrance->relay);
    mem_free(entrance->resource);
    mem_free(entrance->from);
    mem_free(entrance->url);
    mem_free(entrance);
}

static struct entrance *find_entrance(const struct entrances *module, const char *resource)
{
    for (size_t i = 0; i < module->n_items; i++)
        if (text_equal(module->items[i]->resource, resource))
            return module->items[i];
    return NULL;
}

/* --- Converging --- */

/* Where it leads may change; connections that are under way end as they began. */
static void lead_to(struct entrance *entrance, const struct machine_entrance *wanted)
{
    machine_address_from_text(wanted->address, &entrance->ip);
    entrance->port = wanted->port;
    mem_free(entrance->from);
    mem_free(entrance->url);
    entrance->from = string_copy(wanted->from);
    entrance->url =
        string_format("%s://%s:%u/", wanted->domain ? "https" : "http",
                      wanted->domain ? wanted->domain : "127.0.0.1", entrance->host_port);
}

static CO_FN int ensure_entrance(struct entrances *module, const struct machine_entrance *wanted,
                                 struct error *err)
{
    struct entrance *entrance = find_entrance(module, wanted->resource);
    if (!entrance) {
        entrance = NEW(struct entrance);
        entrance->module = module;
        entrance->resource = string_copy(wanted->resource);
        int r = open_port(entrance, wanted->preferred, err);
        if (r < 0) {
            entrance_free(entrance);
            return r;
        }
        ARRAY_RESERVE(module->items, module->n_items, module->capacity);
        module->items[module->n_items++] = entrance;
    }
    lead_to(entrance, wanted);
    return 0;
}

static bool is_wanted(const struct machine *wanted, const char *resource)
{
    for (size_t i = 0; i < wanted->n_entrances; i++)
        if (text_equal(wanted->entrances[i]->resource, resource))
            return true;
    return false;
}

/* A frontend may be between two rules, or two ports: who comes by the host port shall not see it.
 */
static bool is_kept(const struct entrances *module, const char *resource)
{
    return twin_has_resource(module->twin, resource) && twin_keeps(module->twin);
}

static bool leads_elsewhere(const struct entrances *module, const struct machine *wanted)
{
    for (size_t i = 0; i < wanted->n_entrances; i++) {
        const struct entrance *entrance = find_entrance(module, wanted->entrances[i]->resource);
        uint32_t ip;
        if (entrance && machine_address_from_text(wanted->entrances[i]->address, &ip) &&
            (ip != entrance->ip || wanted->entrances[i]->port != entrance->port))
            return true;
    }
    return false;
}

static CO_FN void converge_entrances(void *argument, struct machine *wanted,
                                     struct problems *problems)
{
    struct entrances *module = argument;
    if (leads_elsewhere(module, wanted))
        twin_wait_for(module->twin, MODULE_BALANCER, wanted->generation);
    for (size_t i = module->n_items; i > 0; i--) {
        const char *resource = module->items[i - 1]->resource;
        if (is_wanted(wanted, resource) || is_kept(module, resource))
            continue;
        entrance_free(module->items[i - 1]);
        module->items[i - 1] = module->items[--module->n_items];
    }
    for (size_t i = 0; i < wanted->n_entrances; i++) {
        struct error err = {0};
        int r = ensure_entrance(module, wanted->entrances[i], &err);
        if (r < 0) {
            error_wrap(&err, r, "the host port of %s", wanted->entrances[i]->name);
            problems_add(problems, wanted->entrances[i]->resource, &err);
        }
    }
}

/* --- The module --- */

static void report_entrance(void *argument, const char *resource, struct value_builder *status,
                            struct value_builder *outputs)
{
    const struct entrance *entrance = find_entrance(argument, resource);
    (void)outputs;
    if (!entrance)
        return;
    value_builder_set_string(status, "state", "ready");
    value_builder_set(status, "host_port", value_integer(entrance->host_port));
    value_builder_set_string(status, "host_url", entrance->url);
    value_builder_set(status, "host_connections",
                      value_integer((int64_t)relay_total(entrance->relay)));
}

static int open_entrances(struct twin *twin, void **ret_module, struct error *err)
{
    struct entrances *module = NEW(struct entrances);
    (void)err;
    module->twin = twin;
    *ret_module = module;
    return 0;
}

static CO_FN void close_entrances(void *argument)
{
    struct entrances *module = argument;
    while (module->n_items > 0)
        entrance_free(module->items[--module->n_items]);
    mem_free(module->items);
    mem_free(module);
}

const struct module_ops entrance_module = {
    .name = "entrance",
    .open = open_entrances,
    .converge = converge_entrances,
    .report = report_entrance,
    .close = close_entrances,
};
