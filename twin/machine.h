/*
 * The desired machine as plain data: what must run so that the manifest's resources are real. It is
 * computed anew from the whole manifest by desired.c, never edited, and shared by reference.
 *
 * Everything in it is owned by the machine and lives until the last machine_unref(). Pointers
 * between its parts stay within it. Lists are in a stable order: by name.
 */
#pragma once

#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* IPv4 addresses are kept in host order, beside their text. */
#define MACHINE_ADDRESS_SIZE 16

/* The network and the host that stand for everything beyond the uplink; in no manifest. */
#define MACHINE_OUTSIDE "outside"
/* TEST-NET-2 (RFC 5737): nobody's, so that it collides with no document. */
#define MACHINE_OUTSIDE_SUBNET "198.51.100.0/24"

struct machine_host;

/* An address that is kept for a host of that name, or for the hardware address. */
struct machine_reservation {
    const char *name; /* NULL: it is for the hardware address */
    const char *mac;  /* in small letters; NULL: it is for the name */
    uint32_t ip;
};

/* A server gives the addresses of a network's instances; none when lease_s is 0. */
struct machine_dhcp {
    uint32_t first, last; /* the pool, for who has no reservation */
    int64_t lease_s;
    const struct machine_host *server;
    struct machine_reservation *reservations;
    size_t n_reservations;
};

struct machine_network {
    const char *name;     /* unique on this twin: the resource's name, else with a suffix */
    const char *resource; /* uid; NULL for the network outside */
    const char *bridge;   /* its interface in the router's namespace, at most 15 characters */
    uint32_t base;        /* 10.200.0.0 */
    unsigned int prefix;  /* 24 */
    uint32_t gateway;     /* the router's address, .1 */
    const char *subnet;   /* "10.200.0.0/24" */
    const char *gateway_text;
    int64_t tag; /* 0 when it has none */
    struct machine_dhcp dhcp;
};

enum machine_role {
    HOST_OUTSIDE,
    HOST_INSTANCE, /* of an autoscaling group or of aws:ec2:instances */
    HOST_BALANCER,
    HOST_DATABASE,
    HOST_MONITOR,
    HOST_DHCP,
    HOST_ROLE_COUNT
};
const char *machine_role_to_string(enum machine_role role);

/* A network namespace with one interface, eth0. */
struct machine_host {
    const char *name;     /* unique on this twin: "web-asg-0", "web-frontend", "outside" */
    const char *resource; /* uid of what made it; NULL for the host outside */
    const struct machine_network *network;
    uint32_t ip;
    const char *address; /* the same as text */
    enum machine_role role;
    unsigned int index; /* among the hosts of its resource */
};

/* Whether it has no address but the one that it is leased. */
bool machine_host_is_leased(const struct machine_host *host);

/* What a program may use at most; 0: as much as there is. */
struct machine_quota {
    int64_t cpu_milli; /* thousandths of a processor */
    int64_t memory;    /* bytes */
    int64_t processes; /* threads count, too */
};

/* At most count new connections or requests of one address in each window. count 0: no limit. */
struct machine_limit {
    uint32_t count;
    uint32_t window_s;
};

struct machine_subnet {
    uint32_t base;
    unsigned int prefix;
};

struct machine_ports {
    uint16_t first;
    uint16_t last;
};

struct machine_port_list {
    struct machine_ports *items; /* sorted, apart from each other */
    size_t n_items;
};

/* A named list of addresses, or of ports, that rules point to. */
struct machine_set {
    const char *name;     /* unique on this twin */
    const char *resource; /* uid */
    struct machine_subnet *subnets;
    size_t n_subnets;
    struct machine_port_list ports; /* instead of addresses, where has_ports */
    bool has_ports;
    bool is_open; /* while it is read: then it must not be used */
};

/* Where a rule's packets come from or go to. */
struct machine_endpoint {
    enum { ENDPOINT_ANY, ENDPOINT_SUBNET, ENDPOINT_SET } kind;
    struct machine_subnet subnet;  /* ENDPOINT_SUBNET: an address, a CIDR or a whole network */
    const struct machine_set *set; /* ENDPOINT_SET */
    const struct machine_network *network; /* the network that was named, else NULL */
};

enum machine_protocol {
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    PROTOCOL_TCP_UDP,
    PROTOCOL_ICMP,
    PROTOCOL_ESP,
    PROTOCOL_AH,
    PROTOCOL_GRE,
    PROTOCOL_IGMP,
    PROTOCOL_ANY,
    PROTOCOL_COUNT
};
enum machine_action { ACTION_ALLOW, ACTION_BLOCK, ACTION_REJECT };

/* In at the router's interface, out of it, or both. */
enum machine_direction { DIRECTION_IN, DIRECTION_OUT, DIRECTION_BOTH };

/* A part of each week, in UTC. */
struct machine_window {
    unsigned int days; /* 1 << weekday; 0 is Sunday */
    uint32_t first_s;  /* of the day */
    uint32_t last_s;   /* belongs to it */
};

struct machine_schedule {
    const char *name;
    const char *resource; /* uid */
    struct machine_window *windows;
    size_t n_windows;
};

/* Networks by the router's interfaces in them; none: all. */
struct machine_interface_list {
    const struct machine_network **items;
    size_t n_items;
};

/* The types of ICMP that have names, as nftables calls them; NULL for the others. */
enum { MACHINE_ICMP_TYPES = 19 };
extern const char *const machine_icmp_names[MACHINE_ICMP_TYPES];

struct machine_rule {
    const char *name;
    const char *resource; /* uid */
    int64_t sequence; /* the first rule that fits decides; of the same number, first what blocks */
    enum machine_action action;
    enum machine_protocol protocol;
    struct machine_endpoint source;
    struct machine_endpoint destination;
    enum machine_direction direction;
    struct machine_interface_list interfaces;
    struct machine_port_list source_ports;   /* none: all */
    struct machine_port_list ports;          /* of the destination; none: all */
    uint32_t icmp_types;                     /* a bit for the number of each; none: all */
    const struct machine_schedule *schedule; /* NULL: always */
    int64_t expires;            /* seconds since 1970: from then on it fits nothing; 0: never */
    struct machine_limit limit; /* the firewall's own window; twice what was asked where an HTTP
                                   balancer keeps the limit itself */
    bool log;
};

/* Ports of an address of the router's that lead to a host inside. */
struct machine_forward {
    const char *name;
    const char *resource; /* uid */
    int64_t sequence;
    enum machine_protocol protocol; /* TCP, UDP or both */
    struct machine_interface_list interfaces;
    struct machine_endpoint source;
    uint32_t address; /* that is asked for */
    struct machine_port_list ports;
    uint32_t target;
    uint16_t target_port; /* 0: the port that was asked for */
    bool is_let_in;       /* what no rule blocks */
    bool log;
};

/* As whom the hosts inside go out. */
struct machine_outbound {
    const char *name;
    const char *resource; /* uid */
    int64_t sequence;
    struct machine_interface_list interfaces;
    struct machine_endpoint source;
    struct machine_endpoint destination;
    uint32_t target;
    bool is_exempt; /* it keeps its address, whatever comes behind */
};

struct machine_certificate {
    const char *name;
    const char *resource; /* uid */
    const char **domains;
    size_t n_domains;
    const char *validation; /* "DNS"; here the local CA signs, whatever it is */
};

enum machine_balance { BALANCE_LEASTCONN, BALANCE_ROUNDROBIN, BALANCE_SOURCE };

struct machine_backend {
    const char *name;
    const char *resource; /* uid */
    enum machine_balance balance;
    const char *health_check; /* path; NULL: only that the port opens */
    const struct machine_host **servers;
    size_t n_servers;
    uint16_t port; /* of each server */
};

struct machine_frontend {
    const char *name;
    const char *resource;            /* uid */
    const struct machine_host *host; /* the balancer that it stands on */
    uint16_t port;
    const struct machine_backend *backend;
    const struct machine_certificate *certificate; /* NULL: plain HTTP */
    struct machine_limit limit;                    /* requests of one address; 429 beyond it */
    bool is_public;                                /* a rule lets any source in */
};

/* One host that runs HAProxy: all frontends of one network stand on it. */
struct machine_balancer {
    const struct machine_host *host;
    const struct machine_frontend **frontends;
    size_t n_frontends;
};

struct machine_database {
    const char *name;
    const char *resource;              /* uid */
    const char *engine;                /* "postgres" */
    const char *version;               /* as asked, "14" */
    const struct machine_host **hosts; /* at least one; which is primary is operational state */
    size_t n_hosts;
    uint32_t ip; /* the virtual address that stands on the primary */
    const char *address;
    uint16_t port;
    const char *password; /* the digest of the application's, which was given; NULL: none was */
    bool is_synchronous;
    bool has_backup;
    /* The subnets that rules let in: what pg_hba.conf names beside the cluster's own. */
    struct machine_subnet *clients;
    size_t n_clients;
};

/* What a workload has in its environment: a text, or the digest of a secret. */
struct machine_variable {
    const char *name;
    const char *text;   /* NULL: it is a secret */
    const char *secret; /* NULL: it is none */
};

/* What a workload finds at a path of its own: a volume of its stack, or memory. */
struct machine_mount {
    const char *volume; /* its name, or NULL */
    const char *copy;   /* the digest of the document's files that are shown, or NULL: memory */
    const char *target;
    bool is_read_only;
    int64_t size; /* of memory, in bytes */
};

/* A command that tells by its success whether a workload is well. */
struct machine_check {
    const char **command; /* NULL-terminated; NULL: there is no check */
    int64_t interval_us;  /* between two of them */
    int64_t timeout_us;   /* one that lasts longer has failed */
    int64_t start_us;     /* failures of a start's first time do not count */
    int64_t retries;      /* so many failures in a row, and it is not well */
};

struct machine_workload;
/* What a workload is not started without. */
struct machine_need {
    const struct machine_workload *workload;
    bool is_healthy; /* it is well; else it was started */
};

/* An image that an engine has built, with what its configuration says. */
struct machine_image {
    const char *name;
    const char *resource; /* uid */
    const char *id;       /* the engine's name for its content */
    const char *folder;   /* its files, below STATE/images */
    const char **names;   /* that one, and its tags */
    const char **arguments;
    const char **environment;
    size_t n_names, n_arguments, n_environment;
    const char *user; /* "" when it says nothing, as the next */
    const char *working_folder;
};

/* A service of a stack on its hosts. */
struct machine_workload {
    const char *name;     /* of the service */
    const char *resource; /* uid of the stack */
    const char *image;
    const struct machine_image *built; /* what it runs; NULL: the built-in workload */
    const struct machine_host **hosts;
    size_t n_hosts;
    uint16_t port;                            /* 0: it serves none */
    const char *health_check;                 /* path, or NULL */
    const struct machine_frontend *upstream;  /* what it calls, or NULL */
    const struct machine_host *upstream_host; /* where upstream listens, or NULL */
    const struct machine_database *database;  /* what it reads and writes, or NULL */
    struct machine_quota quota;               /* of each instance */
    struct machine_variable *variables;
    size_t n_variables;
    struct machine_check check;
    struct machine_mount *mounts;
    size_t n_mounts;
    struct machine_need *needs;
    size_t n_needs;
};

struct machine_alert {
    const char *name;
    const char *expression;
    const char *severity;    /* NULL when none was given */
    const char *duration;    /* "for"; NULL when none was given */
    const char *description; /* NULL when none was given */
};

struct machine_recording {
    const char *name;
    const char *expression;
};

/* Prometheus and Alertmanager on a host of their own. What they watch is the whole machine. */
struct machine_monitor {
    const char *name;
    const char *resource; /* uid */
    const struct machine_host *host;
    const char *scrape_interval; /* "30s" */
    const char *retention;       /* "30d" */
    struct machine_alert *alerts;
    size_t n_alerts;
    struct machine_recording *recordings;
    size_t n_recordings;
};

/* Grafana on the host of its monitor; none where this machine has no Grafana. */
struct machine_dashboards {
    const char *name;
    const char *resource; /* uid */
    const struct machine_monitor *monitor;
    uint16_t port; /* where it listens on that host */
};

/*
 * A port of the machine the twin runs on: one leads to a public frontend, through the firewall; one
 * to what only the twin's own user is to see, from the very host that serves it, so that no rule is
 * asked and none is needed.
 */
struct machine_entrance {
    const char *resource; /* whose entrance it is */
    const char *name;     /* of the resource */
    const char *from;     /* the host whose namespace connections are made in */
    const char *domain;   /* what it is called in a URL; NULL: it has no certificate */
    const char *address;  /* where it leads */
    uint16_t port;
    uint16_t preferred; /* the host port to try first */
};

struct machine {
    unsigned int references;
    uint64_t generation; /* counts up with each change of the manifest */
    struct machine_network **networks;
    struct machine_host **hosts;
    struct machine_set **sets;
    struct machine_rule **rules; /* in the order they apply */
    struct machine_forward **forwards;
    struct machine_outbound **outbounds;
    struct machine_certificate **certificates;
    struct machine_backend **backends;
    struct machine_frontend **frontends;
    struct machine_balancer **balancers;
    struct machine_database **databases;
    struct machine_image **images;
    struct machine_workload **workloads; /* those that others need come before them */
    struct machine_monitor **monitors;
    struct machine_dashboards **dashboards;
    struct machine_entrance **entrances;
    size_t n_networks, n_hosts, n_sets, n_rules, n_forwards, n_outbounds, n_certificates,
        n_backends, n_frontends, n_balancers, n_databases, n_images, n_workloads, n_monitors,
        n_dashboards, n_entrances;
    void **blocks; /* owned: every piece of memory of the lists above */
    size_t n_blocks, blocks_capacity;
};

/* An empty one with one reference. */
struct machine *machine_new(void);
struct machine *machine_ref(struct machine *machine);
/* Accepts NULL. */
void machine_unref(struct machine *machine);
DEFINE_CLEANUP(struct machine *, machine_unref)

/* Memory and strings that live as long as the machine. */
void *machine_memory(struct machine *machine, size_t count, size_t size);
__attribute__((format(printf, 2, 3))) const char *machine_text(struct machine *machine,
                                                               const char *format, ...);

/* A copy of size bytes with room for new_size, for lists that grow. */
void *machine_grow(struct machine *machine, const void *list, size_t size, size_t new_size);
/* Adds to a list that starts as NULL and 0; it doubles whenever it has grown to a power of two. */
#define MACHINE_ADD(machine, list, n_items, item)                                               \
    do {                                                                                        \
        if (((n_items) & ((n_items)-1)) == 0)                                                   \
            (list) = machine_grow((machine), (list), (n_items) * sizeof(__typeof__(*(list))),   \
                                  ((n_items) ? (n_items)*2 : 1) * sizeof(__typeof__(*(list)))); \
        (list)[(n_items)++] = (item);                                                           \
    } while (0)

/* NULL when there is none of that name. */
const struct machine_host *machine_find_host(const struct machine *machine, const char *name);
/* What a network's leases have for a host of that name, or NULL. */
const struct machine_reservation *machine_find_reservation(const struct machine_network *network,
                                                           const char *name);
const struct machine_network *machine_find_network(const struct machine *machine, const char *name);
const struct machine_database *machine_find_database(const struct machine *machine,
                                                     const char *resource);
const struct machine_dashboards *machine_find_dashboards(const struct machine *machine,
                                                         const char *resource);

void machine_address_to_text(uint32_t ip, char ret_text[MACHINE_ADDRESS_SIZE]);
/* Whether text is a dotted address, and whether it is an address or a CIDR without host bits. */
bool machine_address_from_text(const char *text, uint32_t *ret_ip);
bool machine_subnet_from_text(const char *text, struct machine_subnet *ret_subnet);
/* 0xffffff00 for 24. */
uint32_t machine_prefix_mask(unsigned int prefix);
/* Two subnets overlap when one contains the other. */
bool machine_subnet_contains(struct machine_subnet outer, struct machine_subnet inner);
