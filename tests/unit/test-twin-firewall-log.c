#include "harness.h"
#include "twin/firewall-log.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>
#include <string.h>

static const char *name_of(void *argument, unsigned int index)
{
    (void)argument;
    return index == 11 ? "left" : index == 12 ? "right" : NULL;
}

static void add_attribute(struct strbuf *message, unsigned int type, const void *content,
                          size_t size)
{
    struct nlattr head = {.nla_type = (uint16_t)type, .nla_len = (uint16_t)(sizeof(head) + size)};
    strbuf_add_n(message, (const char *)&head, sizeof(head));
    strbuf_add_n(message, content, size);
    while (message->length % 4)
        strbuf_add_char(message, '\0');
}

/* The kernel's message about a packet, and its line in a buffer that the next call reuses. */
static const char *line_of(const char *prefix, const void *packet, size_t size)
{
    static struct strbuf lines;
    struct strbuf message = {0};
    struct nlmsghdr head = {.nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET};
    struct nfgenmsg general = {0};
    strbuf_add_n(&message, (const char *)&head, sizeof(head));
    strbuf_add_n(&message, (const char *)&general, sizeof(general));
    add_attribute(&message, NFULA_IFINDEX_INDEV, (uint8_t[]){0, 0, 0, 11}, 4);
    add_attribute(&message, NFULA_IFINDEX_OUTDEV, (uint8_t[]){0, 0, 0, 12}, 4);
    add_attribute(&message, NFULA_PREFIX, prefix, strlen(prefix) + 1);
    add_attribute(&message, NFULA_PAYLOAD, packet, size);
    uint32_t length = (uint32_t)message.length;
    memcpy(message.text, &length, sizeof(length));
    strbuf_clear(&lines);
    firewall_log_write(message.text, message.length, name_of, NULL, &lines);
    strbuf_done(&message);
    return strbuf_text(&lines);
}

TEST(a_packet_is_a_line_with_who_asked_whom_for_what)
{
    uint8_t tcp[24] = {0x45, 0, 0, 24, 0,  0, 0, 0, 64,   6,    0,    0,
                       10,   1, 0, 7,  10, 2, 0, 9, 0x30, 0x39, 0x01, 0xbb};
    CHECK_TEXT(line_of("web-in ", tcp, sizeof(tcp)),
               "web-in in left out right tcp 10.1.0.7:12345 > 10.2.0.9:443\n");
    tcp[9] = 1;
    CHECK_TEXT(line_of("denied ", tcp, sizeof(tcp)),
               "denied in left out right icmp 10.1.0.7 > 10.2.0.9\n");
    tcp[9] = 47;
    CHECK_TEXT(line_of("a ", tcp, sizeof(tcp)),
               "a in left out right protocol 47 10.1.0.7 > 10.2.0.9\n");
    /* A later piece of a packet has no ports. */
    tcp[9] = 17;
    tcp[7] = 3;
    CHECK_TEXT(line_of("a ", tcp, sizeof(tcp)), "a in left out right udp 10.1.0.7 > 10.2.0.9\n");
}

TEST(what_is_cut_short_is_no_line_of_somebody_else)
{
    uint8_t tcp[24] = {0x45, 0, 0, 24, 0, 0, 0, 0, 64, 6};
    CHECK_TEXT(line_of("a ", tcp, 19), "a in left out right\n");
    CHECK_TEXT(line_of("a ", tcp, 22), "a in left out right tcp 0.0.0.0 > 0.0.0.0\n");
    CHECK_TEXT(line_of("a\nb ", tcp, 0), "a in left out right\n");
    CHECK_TEXT(line_of("", tcp, 22), "");
}
