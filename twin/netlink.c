/* The few rtnetlink requests that the twin's network needs (rtnetlink(7)). */
#include "twin/netlink.h"

#include "base/memory.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* Index of the only interface of a host, after lo. */
enum { PEER_INDEX = 2, REQUEST_ROOM = 512 };

struct request {
    struct nlmsghdr header;
    char body[REQUEST_ROOM];
};

int netlink_open(struct netlink *netlink, struct error *err)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return error_set_errno(err, errno, "open a netlink socket");
    /* The kernel answers within the send; the limit is for a kernel that does not. */
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    *netlink = (struct netlink){.fd = fd};
    return 0;
}

void netlink_close(struct netlink *netlink)
{
    close_descriptor(netlink->fd);
    netlink->fd = -1;
}

/* Starts a request whose fixed part is size bytes; the caller fills it in. */
static void *begin(struct request *request, int type, int flags, size_t size)
{
    *request = (struct request){0};
    request->header.nlmsg_type = (uint16_t)type;
    request->header.nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST | NLM_F_ACK);
    request->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(size);
    return NLMSG_DATA(&request->header);
}

static void *append(struct request *request, size_t size)
{
    size_t offset = NLMSG_ALIGN(request->header.nlmsg_len);
    assert(offset + size <= sizeof(*request));
    request->header.nlmsg_len = (uint32_t)(offset + size);
    return (char *)request + offset;
}

static struct rtattr *add(struct request *request, int type, const void *content, size_t size)
{
    struct rtattr *attribute = append(request, RTA_LENGTH(size));
    attribute->rta_type = (uint16_t)type;
    attribute->rta_len = (uint16_t)RTA_LENGTH(size);
    if (size > 0)
        memcpy(RTA_DATA(attribute), content, size);
    return attribute;
}

static void add_text(struct request *request, int type, const char *text)
{
    add(request, type, text, strlen(text) + 1);
}

static void add_address(struct request *request, int type, uint32_t ip)
{
    uint32_t wire = htonl(ip);
    add(request, type, &wire, sizeof(wire));
}

static struct rtattr *nest(struct request *request, int type)
{
    return add(request, type, NULL, 0);
}

static void end_nest(struct request *request, struct rtattr *outer)
{
    char *end = (char *)request + NLMSG_ALIGN(request->header.nlmsg_len);
    outer->rta_len = (uint16_t)(end - (char *)outer);
}

bool netlink_read_answer(const void *message, size_t size, uint32_t sequence, int *ret_result)
{
    struct {
        struct nlmsghdr header;
        struct nlmsgerr answer;
    } read;
    if (size < sizeof(read))
        return false;
    memcpy(&read, message, sizeof(read));
    if (read.header.nlmsg_len < sizeof(read) || read.header.nlmsg_len > size ||
        read.header.nlmsg_type != NLMSG_ERROR || read.header.nlmsg_seq != sequence)
        return false;
    /* No errno is beyond; its negative must be one, too. */
    *ret_result =
        read.answer.error <= 0 && read.answer.error >= -4095 ? read.answer.error : -EPROTO;
    return true;
}

/* Sends a request and returns 0 or the negative errno that the kernel answered. */
static int ask(struct netlink *netlink, struct request *request)
{
    request->header.nlmsg_seq = ++netlink->sequence;
    if (send(netlink->fd, request, request->header.nlmsg_len, 0) < 0)
        return -errno;
    for (;;) {
        char answer[4096];
        int result;
        ssize_t size = recv(netlink->fd, answer, sizeof(answer), 0);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return -errno;
        if (netlink_read_answer(answer, (size_t)size, netlink->sequence, &result))
            return result;
    }
}

static struct ifinfomsg *begin_link(struct request *request, int type, int flags, int index)
{
    struct ifinfomsg *link = begin(request, type, flags, sizeof(*link));
    link->ifi_index = index;
    return link;
}

int netlink_add_bridge(struct netlink *netlink, const char *name, int index, uint32_t gateway,
                       struct error *err)
{
    struct request request;
    uint32_t wire = htonl(gateway);
    unsigned char hardware[6] = {0x02}; /* administered locally */
    memcpy(hardware + 2, &wire, sizeof(wire));
    struct ifinfomsg *link = begin_link(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, index);
    link->ifi_flags = link->ifi_change = IFF_UP;
    add_text(&request, IFLA_IFNAME, name);
    add(&request, IFLA_ADDRESS, hardware, sizeof(hardware));
    struct rtattr *info = nest(&request, IFLA_LINKINFO);
    add_text(&request, IFLA_INFO_KIND, "bridge");
    struct rtattr *details = nest(&request, IFLA_INFO_DATA);
    uint32_t no_delay = 0;
    add(&request, IFLA_BR_FORWARD_DELAY, &no_delay, sizeof(no_delay));
    end_nest(&request, details);
    end_nest(&request, info);
    int r = ask(netlink, &request);
    return r < 0 ? error_set_errno(err, -r, "make the bridge %s", name) : 0;
}

static int make_pair(struct netlink *netlink, const char *name, int index, int peer_namespace)
{
    struct request request;
    begin_link(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, index);
    add_text(&request, IFLA_IFNAME, name);
    struct rtattr *info = nest(&request, IFLA_LINKINFO);
    add_text(&request, IFLA_INFO_KIND, "veth");
    struct rtattr *details = nest(&request, IFLA_INFO_DATA);
    struct rtattr *peer = nest(&request, VETH_INFO_PEER);
    struct ifinfomsg *peer_link = append(&request, sizeof(*peer_link));
    peer_link->ifi_index = PEER_INDEX;
    add_text(&request, IFLA_IFNAME, "eth0");
    uint32_t descriptor = (uint32_t)peer_namespace;
    add(&request, IFLA_NET_NS_FD, &descriptor, sizeof(descriptor));
    end_nest(&request, peer);
    end_nest(&request, details);
    end_nest(&request, info);
    return ask(netlink, &request);
}

static int attach(struct netlink *netlink, int index, int bridge)
{
    struct request request;
    struct ifinfomsg *link = begin_link(&request, RTM_NEWLINK, 0, index);
    link->ifi_flags = link->ifi_change = IFF_UP;
    uint32_t master = (uint32_t)bridge;
    add(&request, IFLA_MASTER, &master, sizeof(master));
    return ask(netlink, &request);
}

int netlink_add_pair(struct netlink *netlink, const char *name, int index, int bridge,
                     int peer_namespace, struct error *err)
{
    int r = make_pair(netlink, name, index, peer_namespace);
    if (r < 0)
        return error_set_errno(err, -r, "make the link %s", name);
    r = attach(netlink, index, bridge);
    if (r == 0)
        return 0;
    netlink_delete_link(netlink, index, NULL);
    return error_set_errno(err, -r, "attach the link %s to its bridge", name);
}

int netlink_delete_link(struct netlink *netlink, int index, struct error *err)
{
    struct request request;
    begin_link(&request, RTM_DELLINK, 0, index);
    int r = ask(netlink, &request);
    return r < 0 && r != -ENODEV ? error_set_errno(err, -r, "remove link %d", index) : 0;
}

int netlink_set_up(struct netlink *netlink, int index, struct error *err)
{
    struct request request;
    struct ifinfomsg *link = begin_link(&request, RTM_NEWLINK, 0, index);
    link->ifi_flags = link->ifi_change = IFF_UP;
    int r = ask(netlink, &request);
    return r < 0 ? error_set_errno(err, -r, "take link %d up", index) : 0;
}

static int ask_about_address(struct netlink *netlink, int type, int index, uint32_t ip,
                             unsigned int prefix)
{
    struct request request;
    int flags = type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_REPLACE : 0;
    struct ifaddrmsg *message = begin(&request, type, flags, sizeof(*message));
    message->ifa_family = AF_INET;
    message->ifa_prefixlen = (uint8_t)prefix;
    message->ifa_index = (uint32_t)index;
    add_address(&request, IFA_LOCAL, ip);
    add_address(&request, IFA_ADDRESS, ip);
    if (prefix < 31)
        add_address(&request, IFA_BROADCAST, ip | (UINT32_MAX >> prefix));
    return ask(netlink, &request);
}

int netlink_add_address(struct netlink *netlink, int index, uint32_t ip, unsigned int prefix,
                        struct error *err)
{
    int r = ask_about_address(netlink, RTM_NEWADDR, index, ip, prefix);
    return r < 0 && r != -EEXIST ? error_set_errno(err, -r, "add an address to link %d", index) : 0;
}

int netlink_delete_address(struct netlink *netlink, int index, uint32_t ip, unsigned int prefix,
                           struct error *err)
{
    int r = ask_about_address(netlink, RTM_DELADDR, index, ip, prefix);
    return r < 0 && r != -EADDRNOTAVAIL
               ? error_set_errno(err, -r, "take an address from link %d", index)
               : 0;
}

int netlink_add_default_route(struct netlink *netlink, int index, uint32_t gateway,
                              struct error *err)
{
    struct request request;
    struct rtmsg *route =
        begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*route));
    route->rtm_family = AF_INET;
    route->rtm_table = RT_TABLE_MAIN;
    route->rtm_protocol = RTPROT_STATIC;
    route->rtm_scope = RT_SCOPE_UNIVERSE;
    route->rtm_type = RTN_UNICAST;
    add_address(&request, RTA_GATEWAY, gateway);
    uint32_t link = (uint32_t)index;
    add(&request, RTA_OIF, &link, sizeof(link));
    int r = ask(netlink, &request);
    return r < 0 ? error_set_errno(err, -r, "add the default route of link %d", index) : 0;
}

int netlink_forget_neighbour(struct netlink *netlink, int index, uint32_t ip, struct error *err)
{
    struct request request;
    struct ndmsg *neighbour = begin(&request, RTM_DELNEIGH, 0, sizeof(*neighbour));
    neighbour->ndm_family = AF_INET;
    neighbour->ndm_ifindex = index;
    add_address(&request, NDA_DST, ip);
    int r = ask(netlink, &request);
    return r < 0 && r != -ENOENT ? error_set_errno(err, -r, "forget a neighbour of link %d", index)
                                 : 0;
}
