/* What rules log, from the kernel's messages (linux/netfilter/nfnetlink_log.h) to lines. */
#include "twin/firewall-log.h"

#include "base/text.h"
#include "twin/converge.h"
#include "twin/log.h"
#include "twin/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Enough of a packet for its addresses and ports, behind the longest header. */
enum { COPY_SIZE = 96, HEADER_SIZE = 20, READS_OF_TURN = 16 };

struct firewall_log {
    struct twin *twin;
    struct log *log;
    struct watch *watch;
    int fd;   /* of the kernel's messages */
    int sink; /* what is written here is in the log */
};

/* --- Messages --- */

struct logged {
    char prefix[64]; /* without the blank at its end */
    unsigned int in, out;
    const uint8_t *packet; /* borrowed */
    size_t packet_size;
};

static unsigned int read_32(const uint8_t *bytes)
{
    return (unsigned int)bytes[0] << 24 | (unsigned int)bytes[1] << 16 |
           (unsigned int)bytes[2] << 8 | bytes[3];
}

static void read_attribute(unsigned int type, const uint8_t *content, size_t size,
                           struct logged *logged)
{
    if (type == NFULA_IFINDEX_INDEV && size >= 4) {
        logged->in = read_32(content);
    } else if (type == NFULA_IFINDEX_OUTDEV && size >= 4) {
        logged->out = read_32(content);
    } else if (type == NFULA_PAYLOAD) {
        logged->packet = content;
        logged->packet_size = size;
    } else if (type == NFULA_PREFIX) {
        size_t length = 0;
        while (length < size && length < sizeof(logged->prefix) - 1 && content[length] > ' ' &&
               content[length] < 0x7f) {
            logged->prefix[length] = (char)content[length];
            length++;
        }
        logged->prefix[length] = '\0';
    }
}

static void read_message(const uint8_t *content, size_t size, struct logged *ret_logged)
{
    struct nlattr head;
    for (size_t at = 0; at + sizeof(head) <= size;) {
        memcpy(&head, content + at, sizeof(head));
        if (head.nla_len < sizeof(head) || head.nla_len > size - at)
            return;
        read_attribute(head.nla_type & NLA_TYPE_MASK, content + at + sizeof(head),
                       head.nla_len - sizeof(head), ret_logged);
        at += NLA_ALIGN(head.nla_len);
    }
}

/* --- Lines --- */

static void write_end(struct strbuf *line, const uint8_t *address, const uint8_t *port)
{
    strbuf_addf(line, "%u.%u.%u.%u", address[0], address[1], address[2], address[3]);
    if (port)
        strbuf_addf(line, ":%u", (unsigned int)port[0] << 8 | port[1]);
}

static void write_packet(const uint8_t *packet, size_t size, struct strbuf *line)
{
    size_t header = size > 0 ? (size_t)(packet[0] & 15) * 4 : 0;
    if (size < HEADER_SIZE || packet[0] >> 4 != 4 || header < HEADER_SIZE)
        return;
    unsigned int protocol = packet[9];
    /* Only the first piece of a packet has ports. */
    bool is_first = ((packet[6] & 0x1f) | packet[7]) == 0;
    bool has_ports =
        (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) && is_first && header + 4 <= size;
    if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_ICMP)
        strbuf_addf(line, " %s ",
                    protocol == IPPROTO_TCP   ? "tcp"
                    : protocol == IPPROTO_UDP ? "udp"
                                              : "icmp");
    else
        strbuf_addf(line, " protocol %u ", protocol);
    write_end(line, packet + 12, has_ports ? packet + header : NULL);
    strbuf_add(line, " > ");
    write_end(line, packet + 16, has_ports ? packet + header + 2 : NULL);
}

void firewall_log_write(const void *messages, size_t size,
                        const char *(*name_of)(void *argument, unsigned int index), void *argument,
                        struct strbuf *lines)
{
    const uint8_t *bytes = messages;
    size_t fixed = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg));
    for (size_t at = 0; at + fixed <= size;) {
        struct nlmsghdr head;
        struct logged logged = {0};
        memcpy(&head, bytes + at, sizeof(head));
        if (head.nlmsg_len < fixed || head.nlmsg_len > size - at)
            return;
        bool is_packet = head.nlmsg_type == (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET);
        if (is_packet)
            read_message(bytes + at + fixed, head.nlmsg_len - fixed, &logged);
        at += NLMSG_ALIGN(head.nlmsg_len);
        if (!is_packet || !logged.prefix[0])
            continue;
        const char *in = logged.in ? name_of(argument, logged.in) : NULL;
        const char *out = logged.out ? name_of(argument, logged.out) : NULL;
        strbuf_add(lines, logged.prefix);
        if (in)
            strbuf_addf(lines, " in %s", in);
        if (out)
            strbuf_addf(lines, " out %s", out);
        write_packet(logged.packet, logged.packet_size, lines);
        strbuf_add_char(lines, '\n');
    }
}

/* --- The socket --- */

/* The network whose bridge an interface of the router is. */
static const char *name_network(void *argument, unsigned int index)
{
    const struct machine *machine = argument;
    char bridge[IF_NAMESIZE];
    if (!if_indextoname(index, bridge))
        return NULL;
    for (size_t i = 0; i < machine->n_networks; i++) {
        if (text_equal(machine->networks[i]->bridge, bridge))
            return machine->networks[i]->name;
    }
    return NULL;
}

static void take_messages(void *argument, int events)
{
    struct firewall_log *log = argument;
    (void)events;
    for (size_t i = 0; i < READS_OF_TURN; i++) {
        _Alignas(struct nlmsghdr) char messages[16384];
        ssize_t size = recv(log->fd, messages, sizeof(messages), MSG_DONTWAIT);
        if (size < 0)
            return;
        struct strbuf lines = {0};
        firewall_log_write(messages, (size_t)size, name_network,
                           (void *)converge_machine(log->twin->converge), &lines);
        /* A log that cannot follow loses lines rather than holding the firewall up. */
        if (lines.length > 0)
            (void)!write(log->sink, lines.text, lines.length);
        strbuf_done(&lines);
    }
}

static int configure(int fd, unsigned int type, const void *content, size_t size)
{
    struct {
        struct nlmsghdr head;
        struct nfgenmsg general;
        struct nlattr attribute;
        char content[8];
    } request = {
        .head = {.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof(request.general)) +
                                         NLA_ALIGN(NLA_HDRLEN + size)),
                 .nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
        .general = {.version = NFNETLINK_V0, .res_id = htons(FIREWALL_LOG_GROUP)},
        .attribute = {.nla_type = (uint16_t)type, .nla_len = (uint16_t)(NLA_HDRLEN + size)}};
    memcpy(request.content, content, size);
    if (send(fd, &request, request.head.nlmsg_len, 0) < 0)
        return -errno;
    /* The kernel answers within the send, before it gives any packet to a new listener. */
    _Alignas(struct nlmsghdr) char answer[1024];
    for (;;) {
        ssize_t got = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
        struct nlmsghdr *head = (struct nlmsghdr *)answer;
        if (got < 0)
            return -errno;
        if (NLMSG_OK(head, (size_t)got) && head->nlmsg_type == NLMSG_ERROR)
            return ((struct nlmsgerr *)NLMSG_DATA(head))->error;
    }
}

static int listen_to_group(int fd, struct error *err)
{
    struct nfulnl_msg_config_cmd command = {.command = NFULNL_CFG_CMD_BIND};
    struct nfulnl_msg_config_mode mode = {.copy_range = htonl(COPY_SIZE),
                                          .copy_mode = NFULNL_COPY_PACKET};
    uint32_t at_once = htonl(1);
    int r = configure(fd, NFULA_CFG_CMD, &command, sizeof(command));
    if (r == 0)
        r = configure(fd, NFULA_CFG_MODE, &mode, sizeof(mode));
    if (r == 0)
        r = configure(fd, NFULA_CFG_QTHRESH, &at_once, sizeof(at_once));
    return r < 0 ? error_set_errno(err, -r, "listen to what the firewall logs") : 0;
}

int firewall_log_new(struct twin *twin, struct firewall_log **ret_log, struct error *err)
{
    CLEANUP(firewall_log_freep) struct firewall_log *log = NEW(struct firewall_log);
    log->twin = twin;
    log->sink = -1;
    log->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    if (log->fd < 0)
        return error_set_errno(err, errno, "open a socket for what the firewall logs");
    int r = listen_to_group(log->fd, err);
    if (r == 0)
        r = log_open(twin->loop, SANDBOX_LOGS, FIREWALL_LOG, LOG_LIMIT, &log->log, err);
    if (r == 0)
        r = log_attach(log->log, &log->sink, err);
    if (r < 0)
        return r;
    fcntl(log->sink, F_SETFL, fcntl(log->sink, F_GETFL) | O_NONBLOCK);
    log->watch = loop_watch(twin->loop, log->fd, EPOLLIN, take_messages, log);
    *ret_log = take_ptr(log);
    return 0;
}

void firewall_log_free(struct firewall_log *log)
{
    if (!log)
        return;
    loop_unwatch(log->watch);
    close_descriptor(log->fd);
    close_descriptor(log->sink);
    log_close(log->log);
    mem_free(log);
}
