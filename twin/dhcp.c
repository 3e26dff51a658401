/*
 * The module of leases: dnsmasq on a host of its own in each network that has DHCP, and a client on
 * each instance there. An instance has no address before its client has a lease, and none when the
 * lease has ended.
 */
#include "twin/dhcp-config.h"
#include "twin/module.h"
#include "twin/service.h"

#include "base/text.h"
#include "base/world.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND ((int64_t)1000 * 1000)

enum { START_TIME = 60 * 1000 * 1000, FILE_LIMIT = 1024 * 1024 };

/* How a client tells: it runs this with what happened, and the lease as its environment. Nothing is
 * made of the end of a lease: we know when that is. */
static const char script[] =
    "#!/bin/sh\n"
    "case $1 in\n"
    "bound | renew)\n"
    "    echo \"$ip ${mask:-0} ${router:-none} ${lease:-0} $(date +%s)\" >\"$LEASE.new\" &&\n"
    "        mv \"$LEASE.new\" \"$LEASE\" ;;\n"
    "esac\n"
    "exit 0\n";

/* A server, or the client of an instance. */
struct party {
    struct leases *module;
    const struct machine_host *host; /* borrowed from the module's machine */
    char *name;                      /* owned, as all texts; of the host */
    char *folder;                    /* the program's own */
    char *settings;                  /* what it must be started again for */
    struct process *process;         /* owned */
};

struct leases {
    struct twin *twin;
    char *config_folder;
    char *storage_folder;
    struct machine *machine; /* a reference */
    struct party **items;    /* owned */
    size_t n_items;
    size_t capacity;
};

static bool is_party(const struct machine_host *host)
{
    return host->role == HOST_DHCP || machine_host_is_leased(host);
}

/* --- What they say --- */

/* "10.9.0.11 24 10.9.0.1 600 1795340947": the last is when it was given, in seconds of the wall's
 * clock. False when it is none. */
static bool read_lease(const char *text, const struct machine_host *host, int64_t *ret_end)
{
    char want[64];
    int64_t seconds, given;
    snprintf(want, sizeof(want), "%s %u %s ", host->address, host->network->prefix,
             host->network->gateway_text);
    if (!text_starts_with(text, want))
        return false;
    const char *rest = text + strlen(want);
    size_t length = strcspn(rest, " ");
    CLEANUP(mem_freep) char *lasts = string_copy_n(rest, length);
    rest += length + (rest[length] == ' ');
    CLEANUP(mem_freep) char *since = string_copy_n(rest, strcspn(rest, "\n"));
    if (!text_to_integer(lasts, &seconds) || !text_to_integer(since, &given) || seconds <= 0 ||
        seconds > INT32_MAX || given <= 0 || given > UINT32_MAX)
        return false;
    *ret_end = given + seconds;
    return true;
}

/* Gives the host what it was leased. */
static CO_FN int probe_client(void *argument, struct error *err)
{
    const struct party *client = argument;
    CLEANUP(mem_freep) char *path = string_format("%s/lease", client->folder);
    CLEANUP(mem_freep) char *text = NULL;
    int64_t end = 0;
    if (world_read_file(path, FILE_LIMIT, &text, NULL, NULL) < 0)
        return error_set(err, ERROR_UNAVAILABLE, "%s has no lease yet", client->name);
    if (!read_lease(text, client->host, &end)) {
        network_take_address(client->module->twin->network, client->host);
        return error_set(err, ERROR_CONFLICT, "%s was to get %s and is leased %.80s", client->name,
                         client->host->address, text);
    }
    if (end * SECOND < world_wall_clock()) {
        network_take_address(client->module->twin->network, client->host);
        return error_set(err, ERROR_UNAVAILABLE, "the lease of %s has ended", client->name);
    }
    return network_give_address(client->module->twin->network, client->host, err);
}

/* It serves when the port 67 of its own network is taken. */
static CO_FN int probe_server(void *argument, struct error *err)
{
    const struct party *server = argument;
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(mem_freep)
    char *path =
        string_format("/proc/%d/net/udp", server->process ? (int)process_pid(server->process) : 0);
    int r = world_read_file(path, FILE_LIMIT, &text, NULL, err);
    if (r == 0 && !strstr(text, ":0043 "))
        r = error_set(err, ERROR_UNAVAILABLE, "%s does not serve yet", server->name);
    return r;
}

/* --- The programs --- */

static int start_server(struct party *server, const char *config, struct error *err)
{
    CLEANUP(mem_freep) char *program = NULL;
    int r = service_find_program("dnsmasq", "dnsmasq-base", &program, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep) char *name = string_format("%s.dnsmasq", server->name);
    CLEANUP(mem_freep) char *option = string_format("--conf-file=%s", config);
    const char *const arguments[] = {program, "--keep-in-foreground", option, NULL};
    const char *const read[] = {server->module->config_folder, NULL};
    const char *const written[] = {server->folder, NULL};
    struct process_spec spec = {.name = name,
                                .host = server->name,
                                .arguments = arguments,
                                .files = {.read = read, .written = written},
                                .user = PROCESS_NOBODY,
                                .capability = CAP_NET_ADMIN,
                                .is_restarted = true,
                                .probe = probe_server,
                                .argument = server};
    return process_start(server->module->twin->processes, &spec, &server->process, err);
}

static int start_client(struct party *client, struct error *err)
{
    CLEANUP(mem_freep) char *program = NULL;
    int r = service_find_program("udhcpc", "udhcpc", &program, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep) char *name = string_format("%s.udhcpc", client->name);
    CLEANUP(mem_freep) char *tell = string_format("%s/tell", client->module->config_folder);
    CLEANUP(mem_freep) char *lease = string_format("LEASE=%s/lease", client->folder);
    CLEANUP(mem_freep) char *option = dhcp_client_option(client->host);
    const char *const arguments[] = {program, "-f",   "-i", "eth0", "-s", tell, "-C",
                                     "-x",    option, "-T", "1",    "-A", "1",  NULL};
    const char *const environment[] = {lease, NULL};
    const char *const read[] = {client->module->config_folder, NULL};
    const char *const written[] = {client->folder, NULL};
    struct process_spec spec = {.name = name,
                                .host = client->name,
                                .arguments = arguments,
                                .environment = environment,
                                .files = {.read = read, .written = written},
                                .user = PROCESS_NOBODY,
                                .capability = CAP_NET_RAW,
                                .is_restarted = true,
                                .probe = probe_client,
                                .argument = client};
    unlink(lease + strlen("LEASE="));
    return process_start(client->module->twin->processes, &spec, &client->process, err);
}

static int write_config(const struct party *server, const char *path, struct strbuf *config,
                        struct error *err)
{
    CLEANUP(mem_freep) char *leases = string_format("%s/leases", server->folder);
    dhcp_write_config(config, server->module->machine, server->host->network, leases);
    return service_write(path, strbuf_text(config), NULL, err);
}

static int write_script(const struct leases *module, struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/tell", module->config_folder);
    int r = service_write(path, script, NULL, err);
    if (r == 0 && chmod(path, 0755) < 0)
        r = error_set_errno(err, errno, "let %s be run", path);
    return r;
}

static CO_FN int converge_party(struct party *party, struct error *err)
{
    bool is_server = party->host->role == HOST_DHCP;
    CLEANUP(mem_freep)
    char *path = string_format("%s/%s.conf", party->module->config_folder, party->name);
    CLEANUP(strbuf_done) struct strbuf settings = {0};
    int r = 0;
    if (mkdir(party->folder, 0700) < 0 && errno != EEXIST)
        return error_set_errno(err, errno, "make the folder of %s", party->name);
    r = twin_give(party->folder, PROCESS_NOBODY, err);
    if (r == 0 && is_server)
        r = write_config(party, path, &settings, err);
    else if (r == 0)
        strbuf_add(&settings, party->host->address);
    if (r < 0)
        return r;
    if (party->process && !text_equal_or_null(party->settings, strbuf_text(&settings)))
        process_stop(take_ptr(party->process));
    if (!party->process)
        r = is_server ? start_server(party, path, err) : start_client(party, err);
    if (r < 0)
        return r;
    mem_free(party->settings);
    party->settings = strbuf_take(&settings);
    return process_wait_ready(party->process, world_monotonic_clock() + START_TIME, err);
}

/* --- The module --- */

static struct party *find_party(const struct leases *module, const char *name)
{
    for (size_t i = 0; i < module->n_items; i++)
        if (text_equal(module->items[i]->name, name))
            return module->items[i];
    return NULL;
}

static CO_FN void drop_party(struct leases *module, size_t index)
{
    struct party *party = module->items[index];
    module->items[index] = module->items[--module->n_items];
    process_stop(party->process);
    service_remove_folder(party->folder);
    mem_free(party->name);
    mem_free(party->folder);
    mem_free(party->settings);
    mem_free(party);
}

static struct party *ensure_party(struct leases *module, const struct machine_host *host)
{
    struct party *party = find_party(module, host->name);
    if (!party) {
        CLEANUP(mem_freep) char *file = service_file_name(host->name);
        party = NEW(struct party);
        party->module = module;
        party->name = string_copy(host->name);
        party->folder = string_format("%s/%s", module->storage_folder, file);
        ARRAY_RESERVE(module->items, module->n_items, module->capacity);
        module->items[module->n_items++] = party;
    }
    party->host = host;
    return party;
}

static CO_FN void adjust_list(struct leases *module)
{
    for (size_t i = module->n_items; i > 0; i--) {
        const struct machine_host *host =
            machine_find_host(module->machine, module->items[i - 1]->name);
        if (!host || !is_party(host))
            drop_party(module, i - 1);
        else
            module->items[i - 1]->host = host;
    }
    for (size_t i = 0; i < module->machine->n_hosts; i++)
        if (is_party(module->machine->hosts[i]))
            ensure_party(module, module->machine->hosts[i]);
}

struct round {
    struct leases *module;
    struct problems *problems;
    bool is_of_servers;
};

static CO_FN void converge_one(void *argument, size_t index)
{
    struct round *round = argument;
    struct party *party = round->module->items[index];
    struct error err = {0};
    if ((party->host->role == HOST_DHCP) != round->is_of_servers)
        return;
    int r = converge_party(party, &err);
    if (r < 0) {
        error_wrap(&err, r, "DHCP");
        problems_add(round->problems, party->host->resource, &err);
    }
}

static CO_FN void converge_leases(void *argument, struct machine *wanted, struct problems *problems)
{
    struct leases *module = argument;
    struct machine *before = module->machine;
    struct round servers = {module, problems, true}, clients = {module, problems, false};
    struct error err = {0};
    module->machine = machine_ref(wanted);
    adjust_list(module);
    machine_unref(before);
    if (module->n_items > 0 && write_script(module, &err) < 0)
        problems_add(problems, module->items[0]->host->resource, &err);
    service_in_parallel(module->twin->loop, module->n_items, converge_one, &servers);
    service_in_parallel(module->twin->loop, module->n_items, converge_one, &clients);
}

/* "1795340947 02:ad:10:00:00:01 10.9.0.11 * 00:0a:09:00:0b": until when, who, what. */
static void report_line(const struct leases *module, const char *line, size_t length,
                        struct value_builder *list)
{
    char end[24], hardware[24], address[24];
    CLEANUP(mem_freep) char *text = string_copy_n(line, length);
    struct value_builder lease = {0};
    int64_t seconds;
    uint32_t ip;
    if (sscanf(text, "%23s %23s %23s", end, hardware, address) != 3 ||
        !text_to_integer(end, &seconds) || seconds < 0 || seconds > UINT32_MAX ||
        !machine_address_from_text(address, &ip))
        return;
    value_builder_set_string(&lease, "address", address);
    value_builder_set_string(&lease, "mac", hardware);
    for (size_t i = 0; i < module->machine->n_hosts; i++)
        if (module->machine->hosts[i]->ip == ip)
            value_builder_set_string(&lease, "hostname", module->machine->hosts[i]->name);
    value_builder_set(&lease, "ends", service_time(seconds * SECOND));
    value_builder_append(list, value_builder_map(&lease));
}

static const struct party *find_server(const struct leases *module, const char *resource)
{
    for (size_t i = 0; i < module->n_items; i++)
        if (module->items[i]->host->role == HOST_DHCP &&
            text_equal_or_null(module->items[i]->host->resource, resource))
            return module->items[i];
    return NULL;
}

static void report_leases(void *argument, const char *resource, struct value_builder *status,
                          struct value_builder *outputs)
{
    const struct leases *module = argument;
    const struct party *server = find_server(module, resource);
    struct value_builder dhcp = {0}, list = {0};
    (void)outputs;
    if (!server)
        return;
    CLEANUP(mem_freep) char *path = string_format("%s/leases", server->folder);
    CLEANUP(mem_freep) char *text = NULL;
    if (world_read_file(path, FILE_LIMIT, &text, NULL, NULL) == 0)
        for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
            report_line(module, line, strcspn(line, "\n"), &list);
    value_builder_set_string(&dhcp, "server", server->host->address);
    value_builder_set(&dhcp, "leases", value_builder_list(&list));
    value_builder_set(status, "dhcp", value_builder_map(&dhcp));
    enum process_state state = server->process ? process_state(server->process) : PROCESS_ENDED;
    value_builder_set_string(status, "state",
                             state == PROCESS_READY      ? "ready"
                             : state == PROCESS_STARTING ? "starting"
                                                         : "failed");
    service_report_restarts(status, process_restarts(server->process));
}

static int open_leases(struct twin *twin, void **ret_module, struct error *err)
{
    CLEANUP(mem_freep) char *config_folder = NULL;
    CLEANUP(mem_freep) char *storage_folder = NULL;
    int r = service_open_folder(twin, "dhcp-config", &config_folder, err);
    if (r == 0)
        r = twin_folder(twin, "dhcp", PROCESS_NOBODY, &storage_folder, err);
    if (r < 0)
        return r;
    struct leases *module = NEW(struct leases);
    module->twin = twin;
    module->config_folder = take_ptr(config_folder);
    module->storage_folder = take_ptr(storage_folder);
    *ret_module = module;
    return 0;
}

static CO_FN void close_leases(void *argument)
{
    struct leases *module = argument;
    while (module->n_items > 0)
        drop_party(module, module->n_items - 1);
    mem_free(module->items);
    machine_unref(module->machine);
    mem_free(module->config_folder);
    mem_free(module->storage_folder);
    mem_free(module);
}

const struct module_ops dhcp_module = {
    .name = "dhcp",
    .open = open_leases,
    .converge = converge_leases,
    .report = report_leases,
    .close = close_leases,
};
