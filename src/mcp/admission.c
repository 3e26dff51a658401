#include "mcp/admission.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "mcp/looks.h"
#include "mcp/rate.h"

#include <arpa/inet.h>
#include <stdio.h>

enum {
    BURST_PART = 6,       /* of a minute's requests, what may come at once */
    STRANGER_RATE = 600,  /* of an address, in a minute */
    STRANGER_BURST = 100, /* the same at once */
    WRONG_TOKEN_COST = 10,
    MOST_NAMED = 100, /* in one entry; the others are counted together */
    ENTRY_US = 60 * 1000 * 1000
};

struct admission {
    struct rate *principals, *strangers;
    struct looks *refusals;
};

struct admission *admission_new(struct loop *loop, struct pool *pool, const struct caller *as,
                                int64_t rate)
{
    struct admission *admission = NEW(struct admission);
    int64_t known = rate == 0 ? ADMISSION_RATE : rate;
    admission->principals = rate_new(known, known / BURST_PART + 1);
    admission->strangers = rate_new(STRANGER_RATE, STRANGER_BURST);
    admission->refusals = looks_new(loop, pool, as, "refusals", ENTRY_US);
    return admission;
}

void admission_end(struct admission *admission)
{
    looks_end(admission->refusals);
    rate_free(admission->principals);
    rate_free(admission->strangers);
    mem_free(admission);
}

static int64_t take(struct admission *admission, struct rate *rate, const char *name, int64_t cost)
{
    int64_t wait = rate_take(rate, name, cost, world_monotonic_clock());
    if (wait == 0)
        return 0;
    const char *noted = looks_count(admission->refusals) < MOST_NAMED ? name : "others";
    looks_note(admission->refusals, noted, "", "too many requests", "");
    return wait;
}

int64_t admission_take_principal(struct admission *admission, const char *principal)
{
    return take(admission, admission->principals, principal, 1);
}

/* Who has a network of version 6 has its lower half: that is one address here. */
static void name_address(const char *address, char *ret_name, size_t size)
{
    struct in6_addr parsed;
    char network[INET6_ADDRSTRLEN];
    if (inet_pton(AF_INET6, address, &parsed) == 1) {
        for (int i = 8; i < 16; i++)
            parsed.s6_addr[i] = 0;
        inet_ntop(AF_INET6, &parsed, network, sizeof(network));
        snprintf(ret_name, size, "address %s/64", network);
    } else {
        snprintf(ret_name, size, "address %s", address);
    }
}

int64_t admission_take_stranger(struct admission *admission, const char *address, bool shows_token)
{
    char name[INET6_ADDRSTRLEN + sizeof("address /64")];
    name_address(address, name, sizeof(name));
    return take(admission, admission->strangers, name, shows_token ? WRONG_TOKEN_COST : 1);
}
