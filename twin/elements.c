/* Changes of the elements of nftables' sets (linux/netfilter/nf_tables.h). */
#include "twin/elements.h"

#include "base/memory.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define TABLE "parley"

/* The length of an attribute has 16 bits: what one message lists stays well below. */
enum { CHANGES_OF_MESSAGE = 1000, SEND_ROOM = 1 << 20 };

struct batch {
    char *bytes; /* owned */
    size_t size, capacity;
    uint32_t sequence;
    unsigned int n_messages; /* that are answered */
};

int elements_open(int *ret_fd, struct error *err)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (fd < 0)
        return error_set_errno(err, errno, "open a socket to nftables");
    /* The kernel answers within the send; the limit is for a kernel that does not. */
    struct timeval limit = {.tv_sec = 10};
    int room = SEND_ROOM, yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    /* An error need not bring the whole message back. */
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &yes, sizeof(yes));
    *ret_fd = fd;
    return 0;
}

/* Positions instead of pointers: the bytes move when they grow. */
static size_t append(struct batch *batch, const void *content, size_t size)
{
    size_t at = batch->size, aligned = NLMSG_ALIGN(size);
    while (batch->size + aligned > batch->capacity) {
        batch->capacity = batch->capacity ? batch->capacity * 2 : 4096;
        batch->bytes = mem_resize(batch->bytes, batch->capacity, 1);
    }
    memset(batch->bytes + at, 0, aligned);
    if (content)
        memcpy(batch->bytes + at, content, size);
    batch->size += aligned;
    return at;
}

static size_t begin_message(struct batch *batch, int type, int flags, int family, int resource)
{
    struct nlmsghdr header = {.nlmsg_type = (uint16_t)type,
                              .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
                              .nlmsg_seq = ++batch->sequence};
    struct nfgenmsg general = {.nfgen_family = (uint8_t)family,
                               .version = NFNETLINK_V0,
                               .res_id = htons((uint16_t)resource)};
    size_t at = append(batch, &header, sizeof(header));
    append(batch, &general, sizeof(general));
    return at;
}

static void end_message(struct batch *batch, size_t at)
{
    uint32_t length = (uint32_t)(batch->size - at);
    memcpy(batch->bytes + at + offsetof(struct nlmsghdr, nlmsg_len), &length, sizeof(length));
}

static void add_attribute(struct batch *batch, int type, const void *content, size_t size)
{
    struct nlattr head = {.nla_type = (uint16_t)type, .nla_len = (uint16_t)(sizeof(head) + size)};
    char bytes[512];
    assert(sizeof(head) + size <= sizeof(bytes));
    memcpy(bytes, &head, sizeof(head));
    memcpy(bytes + sizeof(head), content, size);
    append(batch, bytes, sizeof(head) + size);
}

static size_t begin_nest(struct batch *batch, int type)
{
    struct nlattr head = {.nla_type = (uint16_t)(type | NLA_F_NESTED)};
    return append(batch, &head, sizeof(head));
}

static void end_nest(struct batch *batch, size_t at)
{
    uint16_t length = (uint16_t)(batch->size - at);
    memcpy(batch->bytes + at + offsetof(struct nlattr, nla_len), &length, sizeof(length));
}

static void add_element(struct batch *batch, uint32_t ip, bool is_end)
{
    uint32_t wire = htonl(ip), flags = htonl(NFT_SET_ELEM_INTERVAL_END);
    size_t element = begin_nest(batch, NFTA_LIST_ELEM);
    if (is_end)
        add_attribute(batch, NFTA_SET_ELEM_FLAGS, &flags, sizeof(flags));
    size_t key = begin_nest(batch, NFTA_SET_ELEM_KEY);
    add_attribute(batch, NFTA_DATA_VALUE, &wire, sizeof(wire));
    end_nest(batch, key);
    end_nest(batch, element);
}

/* A subnet is its first address, and the end that the address behind it is. */
static void add_subnet(struct batch *batch, struct machine_subnet subnet)
{
    uint32_t behind = (subnet.base | ~machine_prefix_mask(subnet.prefix)) + 1;
    add_element(batch, subnet.base, false);
    if (behind != 0)
        add_element(batch, behind, true);
}

static bool goes_with(const struct element_change *first, const struct element_change *next)
{
    return first->is_added == next->is_added && text_equal(first->set, next->set);
}

/* One message with as many of the changes as go together; returns how many. */
static size_t add_changes(struct batch *batch, const struct element_change *changes, size_t n)
{
    int type = changes->is_added ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM;
    size_t message =
        begin_message(batch, NFNL_SUBSYS_NFTABLES << 8 | type,
                      NLM_F_ACK | (changes->is_added ? NLM_F_CREATE : 0), NFPROTO_INET, 0);
    add_attribute(batch, NFTA_SET_ELEM_LIST_TABLE, TABLE, sizeof(TABLE));
    add_attribute(batch, NFTA_SET_ELEM_LIST_SET, changes->set, strlen(changes->set) + 1);
    size_t list = begin_nest(batch, NFTA_SET_ELEM_LIST_ELEMENTS), n_done = 0;
    while (n_done < n && n_done < CHANGES_OF_MESSAGE && goes_with(changes, &changes[n_done]))
        add_subnet(batch, changes[n_done++].subnet);
    end_nest(batch, list);
    end_message(batch, message);
    batch->n_messages++;
    return n_done;
}

/* What went wrong is answered before what went well. */
static int read_answers(int fd, unsigned int n_answers)
{
    while (n_answers > 0) {
        _Alignas(struct nlmsghdr) char answer[8192];
        ssize_t size = recv(fd, answer, sizeof(answer), 0);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return -errno;
        size_t left = (size_t)size;
        for (struct nlmsghdr *header = (struct nlmsghdr *)answer;
             n_answers > 0 && NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
            if (header->nlmsg_type != NLMSG_ERROR ||
                header->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
                continue;
            int code = ((struct nlmsgerr *)NLMSG_DATA(header))->error;
            if (code < 0)
                return code;
            n_answers--;
        }
    }
    return 0;
}

/* Answers of a transaction that failed are not those of the next one. */
static void forget_answers(int fd)
{
    char answer[8192];
    while (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) >= 0)
        ;
}

int elements_change(int fd, const struct element_change *changes, size_t n_changes,
                    struct error *err)
{
    struct batch batch = {0};
    assert(n_changes <= ELEMENTS_LIMIT);
    end_message(&batch,
                begin_message(&batch, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
    for (size_t i = 0; i < n_changes;)
        i += add_changes(&batch, &changes[i], n_changes - i);
    end_message(&batch,
                begin_message(&batch, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
    forget_answers(fd);
    int r = send(fd, batch.bytes, batch.size, 0) < 0 ? -errno : read_answers(fd, batch.n_messages);
    mem_free(batch.bytes);
    return r < 0 ? error_set_errno(err, -r, "change lists of addresses of the firewall") : 0;
}
