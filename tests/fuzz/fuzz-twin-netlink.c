/*
 * Answers of netlink: the first four bytes are the sequence that was asked with, the rest is what
 * came. Only a whole answer to it counts, and what it says is 0 or an errno.
 */
#include "base/memory.h"
#include "fuzz/fuzz.h"
#include "twin/netlink.h"

#include <linux/netlink.h>
#include <string.h>

enum { UNTOUCHED = 17 };

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    uint32_t sequence;
    int result = UNTOUCHED;
    if (size < sizeof(sequence))
        return 0;
    memcpy(&sequence, text, sizeof(sequence));
    size -= sizeof(sequence);
    /* Exactly as large as what came, so that a sanitizer sees a read past its end. */
    CLEANUP(mem_freep) char *message = mem_copy(text + sizeof(sequence), size);
    bool is_answer = netlink_read_answer(message, size, sequence, &result);
    MUST(is_answer ? result <= 0 && result >= -4095 : result == UNTOUCHED);
    if (!is_answer)
        return 0;
    struct nlmsghdr header;
    MUST(size >= sizeof(header) + sizeof(struct nlmsgerr));
    memcpy(&header, message, sizeof(header));
    MUST(header.nlmsg_seq == sequence && header.nlmsg_type == NLMSG_ERROR);
    MUST(header.nlmsg_len >= sizeof(header) + sizeof(struct nlmsgerr) && header.nlmsg_len <= size);
    return 0;
}
