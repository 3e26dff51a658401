#include "twin/balancer-holds.h"

#include "base/memory.h"
#include "base/text.h"

void balancer_holds_done(struct balancer_holds *holds)
{
    for (size_t i = 0; i < holds->n_items; i++)
        mem_free(holds->items[i].host);
    mem_free(holds->items);
    *holds = (struct balancer_holds){0};
}

static struct balancer_hold *find(const struct balancer_holds *holds, const char *host,
                                  uint16_t port)
{
    for (size_t i = 0; holds && i < holds->n_items; i++)
        if (holds->items[i].port == port && text_equal(holds->items[i].host, host))
            return &holds->items[i];
    return NULL;
}

bool balancer_is_held(const struct balancer_holds *holds, const char *host, uint16_t port)
{
    return find(holds, host, port) || find(holds, host, 0);
}

void balancer_holds_add(struct balancer_holds *holds, const char *host, uint16_t port,
                        unsigned int reason)
{
    struct balancer_hold *hold = find(holds, host, port);
    if (!hold) {
        ARRAY_RESERVE(holds->items, holds->n_items, holds->capacity);
        hold = &holds->items[holds->n_items++];
        *hold = (struct balancer_hold){.host = string_copy(host), .port = port};
    }
    hold->reasons |= reason;
}

bool balancer_holds_remove(struct balancer_holds *holds, const char *host, uint16_t port,
                           unsigned int reason)
{
    struct balancer_hold *hold = find(holds, host, port);
    if (!hold)
        return false;
    hold->reasons &= ~reason;
    if (hold->reasons != 0)
        return false;
    mem_free(hold->host);
    *hold = holds->items[--holds->n_items];
    return true;
}
