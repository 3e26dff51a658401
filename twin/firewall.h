/* Keeps the rules of the router like the desired machine wants them, by libnftables. */
#pragma once

#include "base/error.h"
#include "twin/machine.h"

#include <stdbool.h>

struct firewall;

/* Called in the router's namespace. */
int firewall_new(struct firewall **ret_firewall, struct error *err);
/* Accepts NULL. */
void firewall_free(struct firewall *firewall);
DEFINE_CLEANUP(struct firewall *, firewall_free)

/*
 * Changes what differs: rules in one transaction, then the elements of sets in as few as the kernel
 * takes. On failure of the first nothing has changed. held: as of ruleset_compile().
 */
int firewall_apply(struct firewall *firewall, const struct machine *wanted,
                   const struct machine *held, struct error *err);
/* Whether it lets something in only since held did. */
bool firewall_keeps(const struct firewall *firewall);

struct firewall_count {
    uint64_t decided; /* packets that the rule let in or kept out */
    uint64_t limited; /* packets beyond its limit */
};
/* What a rule has counted since it is there, at most a fifth of a second ago; zeros when it is not
 * known. */
struct firewall_count firewall_count(struct firewall *firewall, const char *rule);
