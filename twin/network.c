/*
 * Bridges, namespaces, interfaces and routes of the desired machine. The namespace of
 * pid 1 itself is the router: every bridge lies in it, so that its end removes every link.
 */
#include "twin/network.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "net/namespaces.h"
#include "twin/network-private.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_FOLDER "/run/netns"

/* Kernels without the feature have no such file; then there is nothing to set. */
static int set_kernel(const char *path, const char *text, struct error *err)
{
    CLEANUP(close_descriptorp) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        return error_set_errno(err, errno, "write %s to %s", text, path);
    return 0;
}

static int set_kernel_all(const char *const settings[][2], size_t n_settings, struct error *err)
{
    for (size_t i = 0; i < n_settings; i++) {
        int r = set_kernel(settings[i][0], settings[i][1], err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int prepare_router(struct network *network, struct error *err)
{
    /* Packets between hosts of one network are none of the firewall's business. */
    static const char *const settings[][2] = {
        {"/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"},
        {"/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"},
        {"/proc/sys/net/ipv4/ip_forward", "1"},
        {"/proc/sys/net/bridge/bridge-nf-call-iptables", "0"},
        {"/proc/sys/net/bridge/bridge-nf-call-ip6tables", "0"},
        {"/proc/sys/net/bridge/bridge-nf-call-arptables", "0"},
    };
    int r = set_kernel_all(settings, ARRAY_LENGTH(settings), err);
    if (r < 0)
        return r;
    return netlink_set_up(&network->netlink, LOOPBACK_INDEX, err);
}

/* Names a namespace for people and for entering it: the thread's own one. */
static int name_namespace(const char *name, struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format(NAMES_FOLDER "/%s", name);
    CLEANUP(close_descriptorp)
    int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL) < 0)
        return error_set_errno(err, errno, "name the namespace %s", name);
    return 0;
}

static void forget_name(const char *name)
{
    CLEANUP(mem_freep) char *path = string_format(NAMES_FOLDER "/%s", name);
    umount2(path, MNT_DETACH);
    unlink(path);
}

void network_enter_router(struct network *network)
{
    if (setns(network->router, CLONE_NEWNET) < 0)
        abort();
}

/* One for all: making and freeing a namespace for each short-lived child holds up whoever builds
 * links meanwhile. */
static void make_nowhere(struct network *network)
{
    if (unshare(CLONE_NEWNET) < 0)
        return;
    network->nowhere = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    network_enter_router(network);
}

int network_new(struct network **ret_network, struct error *err)
{
    CLEANUP(network_freep) struct network *network = NEW(struct network);
    network->netlink.fd = -1;
    network->nowhere = -1;
    network->next_index = FIRST_INDEX;
    network->router = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (network->router < 0)
        return error_set_errno(err, errno, "open the namespace of the router");
    if (mkdir(NAMES_FOLDER, 0755) < 0 && errno != EEXIST)
        return error_set_errno(err, errno, "make " NAMES_FOLDER);
    int r = netlink_open(&network->netlink, err);
    if (r < 0 || (r = name_namespace(NETWORK_ROUTER, err)) < 0 ||
        (r = prepare_router(network, err)) < 0)
        return r;
    make_nowhere(network);
    *ret_network = take_ptr(network);
    return 0;
}

static int prepare_host(const struct machine_host *wanted, struct error *err)
{
    /* A new namespace may inherit ip_forward from the machine; hosts must not forward. */
    static const char *const settings[][2] = {
        {"/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"},
        {"/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"},
        {"/proc/sys/net/ipv4/ip_forward", "0"},
        {"/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
    };
    int r = set_kernel_all(settings, ARRAY_LENGTH(settings), err);
    if (r < 0)
        return r;
    return name_namespace(wanted->name, err);
}

/* Gives the thread's own namespace its address and its way out. */
static int configure_host(const struct machine_host *wanted, struct error *err)
{
    struct netlink netlink;
    int r = netlink_open(&netlink, err);
    if (r < 0)
        return r;
    const struct machine_network *home = wanted->network;
    r = netlink_set_up(&netlink, LOOPBACK_INDEX, err);
    bool is_leased = machine_host_is_leased(wanted);
    if (r == 0 && !is_leased)
        r = netlink_add_address(&netlink, HOST_INDEX, wanted->ip, home->prefix, err);
    if (r == 0)
        r = netlink_set_up(&netlink, HOST_INDEX, err);
    if (r == 0 && !is_leased)
        r = netlink_add_default_route(&netlink, HOST_INDEX, home->gateway, err);
    netlink_close(&netlink);
    return r;
}

struct bridge *network_find_bridge(struct network *network, const char *name)
{
    for (size_t i = 0; i < network->n_bridges; i++) {
        if (text_equal(network->bridges[i].name, name))
            return &network->bridges[i];
    }
    return NULL;
}

struct attached_host *network_find_host(const struct network *network, const char *name)
{
    for (size_t i = 0; i < network->n_hosts; i++) {
        if (text_equal(network->hosts[i].name, name))
            return &network->hosts[i];
    }
    return NULL;
}

int network_namespace(const struct network *network, const char *host)
{
    if (!host)
        return network->nowhere;
    if (text_equal(host, NETWORK_ROUTER))
        return network->router;
    const struct attached_host *there = network_find_host(network, host);
    return there ? there->namespace : -1;
}

int network_open_netlink(struct network *network, const char *host, struct netlink *ret_netlink,
                         struct error *err)
{
    int namespace = network_namespace(network, host);
    if (namespace < 0)
        return error_set(err, ERROR_NOT_FOUND, "there is no host %s", host);
    if (setns(namespace, CLONE_NEWNET) < 0)
        return error_set_errno(err, errno, "enter %s", host);
    int r = netlink_open(ret_netlink, err);
    network_enter_router(network);
    return r;
}

/* Interface names have at most 15 characters, and are not free again at once: so they are numbered.
 */
static void name_link(const struct machine_host *host, int index, char ret_name[IF_NAMESIZE])
{
    snprintf(ret_name, IF_NAMESIZE, "v%d-%s", index, host->name);
}

static int join(struct network *network, const struct machine_host *wanted, int namespace,
                int index, struct error *err)
{
    char link[IF_NAMESIZE];
    name_link(wanted, index, link);
    struct bridge *bridge = network_find_bridge(network, wanted->network->bridge);
    assert(bridge);
    int r = netlink_add_pair(&network->netlink, link, index, bridge->index, namespace, err);
    if (r < 0)
        return r;
    if (setns(namespace, CLONE_NEWNET) < 0)
        return error_set_errno(err, errno, "enter the namespace");
    r = configure_host(wanted, err);
    network_enter_router(network);
    if (r < 0)
        netlink_delete_link(&network->netlink, index, NULL);
    return r;
}

static int make_namespace(struct network *network, const struct machine_host *wanted,
                          int *ret_namespace, struct error *err)
{
    if (unshare(CLONE_NEWNET) < 0)
        return error_set(err, ERROR_SYSTEM, "cannot make a network namespace: %s",
                         namespaces_describe_error(errno));
    int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int r = fd < 0 ? error_set_errno(err, errno, "open the namespace") : prepare_host(wanted, err);
    network_enter_router(network);
    if (r < 0) {
        forget_name(wanted->name);
        close_descriptor(fd);
        return r;
    }
    *ret_namespace = fd;
    return 0;
}

static int add_host(struct network *network, const struct machine_host *wanted, struct error *err)
{
    int namespace = -1;
    int r = make_namespace(network, wanted, &namespace, err);
    if (r < 0)
        return error_wrap(err, r, "host %s", wanted->name);
    int index = network->next_index++;
    r = join(network, wanted, namespace, index, err);
    if (r < 0) {
        forget_name(wanted->name);
        close_descriptor(namespace);
        return error_wrap(err, r, "host %s", wanted->name);
    }
    ARRAY_RESERVE(network->hosts, network->n_hosts, network->hosts_capacity);
    network->hosts[network->n_hosts++] = (struct attached_host){
        .name = string_copy(wanted->name),
        .bridge = string_copy(wanted->network->bridge),
        .ip = wanted->ip,
        .prefix = wanted->network->prefix,
        .namespace = namespace,
        .index = index,
        .has_address = !machine_host_is_leased(wanted),
    };
    return 0;
}

/* Whoever entered a host by hand, or outlived its module, must not keep the namespace alive. */
static void kill_those_in(int namespace)
{
    struct stat wanted;
    DIR *processes = opendir("/proc");
    if (!processes || fstat(namespace, &wanted) < 0) {
        if (processes)
            closedir(processes);
        return;
    }
    for (struct dirent *entry; (entry = readdir(processes));) {
        int64_t pid;
        if (!text_to_integer(entry->d_name, &pid) || pid <= 1)
            continue;
        CLEANUP(mem_freep) char *path = string_format("/proc/%s/ns/net", entry->d_name);
        struct stat found;
        if (stat(path, &found) == 0 && found.st_ino == wanted.st_ino &&
            found.st_dev == wanted.st_dev)
            kill((pid_t)pid, SIGKILL);
    }
    closedir(processes);
}

/*
 * Unregistering a link waits for the whole kernel to let go of it. The link goes by itself, later,
 * with the namespace of its host; until then nobody must find the address there. The next host
 * with that address has another link, which the others would look for in vain for half a minute.
 */
static void remove_host(struct network *network, struct attached_host *host)
{
    struct attached_host gone = *host;
    kill_those_in(gone.namespace);
    network_delete_address(network, gone.name, gone.ip, gone.prefix);
    forget_name(gone.name);
    *host = network->hosts[--network->n_hosts];
    network_forget_neighbours(network, gone.ip, gone.bridge);
    close_descriptor(gone.namespace);
    mem_free(gone.name);
    mem_free(gone.bridge);
}

static void remove_bridge(struct network *network, struct bridge *bridge)
{
    for (size_t i = network->n_hosts; i-- > 0;) {
        if (text_equal(network->hosts[i].bridge, bridge->name))
            remove_host(network, &network->hosts[i]);
    }
    netlink_delete_link(&network->netlink, bridge->index, NULL);
    mem_free(bridge->name);
    *bridge = network->bridges[--network->n_bridges];
}

static int add_bridge(struct network *network, const struct machine_network *wanted,
                      struct error *err)
{
    int index = network->next_index++;
    int r = netlink_add_bridge(&network->netlink, wanted->bridge, index, wanted->gateway, err);
    if (r < 0)
        return error_wrap(err, r, "network %s", wanted->name);
    r = netlink_add_address(&network->netlink, index, wanted->gateway, wanted->prefix, err);
    if (r < 0) {
        netlink_delete_link(&network->netlink, index, NULL);
        return error_wrap(err, r, "network %s", wanted->name);
    }
    ARRAY_RESERVE(network->bridges, network->n_bridges, network->bridges_capacity);
    network->bridges[network->n_bridges++] = (struct bridge){
        .name = string_copy(wanted->bridge),
        .gateway = wanted->gateway,
        .prefix = wanted->prefix,
        .index = index,
    };
    return 0;
}

static int extend_bridge(struct network *network, const struct machine_network *wanted,
                         struct error *err)
{
    struct bridge *there = network_find_bridge(network, wanted->bridge);
    if (there && there->gateway == wanted->gateway && there->prefix == wanted->prefix)
        return 0;
    if (there)
        remove_bridge(network, there);
    return add_bridge(network, wanted, err);
}

static int extend_host(struct network *network, const struct machine_host *wanted,
                       struct error *err)
{
    struct attached_host *there = network_find_host(network, wanted->name);
    if (there && there->ip == wanted->ip && there->prefix == wanted->network->prefix &&
        text_equal(there->bridge, wanted->network->bridge))
        return machine_host_is_leased(wanted) ? 0 : network_give_address(network, wanted, err);
    if (there)
        remove_host(network, there);
    int r = add_host(network, wanted, err);
    if (r == 0)
        r = network_restore_addresses(network, wanted->name, err);
    /* Everything that is not one of the twin's networks lies behind the host outside. */
    if (r == 0 && wanted->role == HOST_OUTSIDE)
        r = netlink_add_default_route(&network->netlink,
                                      network_find_bridge(network, wanted->network->bridge)->index,
                                      wanted->ip, err);
    return r;
}

int network_extend(struct network *network, const struct machine *wanted, struct error *err)
{
    for (size_t i = 0; i < wanted->n_networks; i++) {
        int r = extend_bridge(network, wanted->networks[i], err);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < wanted->n_hosts; i++) {
        int r = extend_host(network, wanted->hosts[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool wants_bridge(const struct machine *wanted, const char *name)
{
    for (size_t i = 0; i < wanted->n_networks; i++) {
        if (text_equal(wanted->networks[i]->bridge, name))
            return true;
    }
    return false;
}

void network_prune(struct network *network, const struct machine *wanted)
{
    for (size_t i = network->n_hosts; i-- > 0;) {
        if (!machine_find_host(wanted, network->hosts[i].name))
            remove_host(network, &network->hosts[i]);
    }
    for (size_t i = network->n_bridges; i-- > 0;) {
        if (!wants_bridge(wanted, network->bridges[i].name))
            remove_bridge(network, &network->bridges[i]);
    }
}

int network_socket(struct network *network, const char *host, int domain, int type, int *ret_fd,
                   struct error *err)
{
    int namespace = network_namespace(network, host);
    if (namespace < 0)
        return error_set(err, ERROR_NOT_FOUND, "there is no host %s", host);
    if (setns(namespace, CLONE_NEWNET) < 0)
        return error_set_errno(err, errno, "enter %s", host);
    int fd = socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int errno_value = errno;
    network_enter_router(network);
    if (fd < 0)
        return error_set_errno(err, errno_value, "make a socket in %s", host);
    *ret_fd = fd;
    return 0;
}

void network_free(struct network *network)
{
    if (!network)
        return;
    close_descriptor(network->nowhere);
    for (size_t i = 0; i < network->n_bridges; i++)
        mem_free(network->bridges[i].name);
    for (size_t i = 0; i < network->n_hosts; i++) {
        close_descriptor(network->hosts[i].namespace);
        mem_free(network->hosts[i].name);
        mem_free(network->hosts[i].bridge);
    }
    for (size_t i = 0; i < network->n_addresses; i++)
        mem_free(network->addresses[i].host);
    mem_free(network->bridges);
    mem_free(network->hosts);
    mem_free(network->addresses);
    netlink_close(&network->netlink);
    close_descriptor(network->router);
    mem_free(network);
}
