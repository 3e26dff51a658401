/*
 * The firewall's rules as nftables text: what the desired machine asks for, and the commands that
 * lead there from another ruleset without touching what did not change. Pure.
 */
#pragma once

#include "base/strbuf.h"
#include "twin/machine.h"

struct ruleset;

/* Compiles the networks, sets and rules of a machine. */
struct ruleset *ruleset_compile(const struct machine *machine);
/* Accepts NULL. */
void ruleset_free(struct ruleset *ruleset);
DEFINE_CLEANUP(struct ruleset *, ruleset_free)

/*
 * Appends the commands that lead from one ruleset (NULL: nothing is there) to another, as one
 * transaction; nothing when both are equal. Counters and windows of rules that stay keep counting.
 * Elements of sets are not in it.
 */
void ruleset_write_changes(const struct ruleset *from, const struct ruleset *to,
                           struct strbuf *commands);

/* How many elements one transaction takes: more is too long a message for an ordinary user. */
#define RULESET_CHUNK 1000
/*
 * Appends the commands that change the elements of sets: the part of at most RULESET_CHUNK elements
 * that begins at *cursor (start with 0), and moves *cursor behind it. Returns whether there was
 * any.
 */
bool ruleset_write_elements(const struct ruleset *from, const struct ruleset *to, size_t *cursor,
                            struct strbuf *commands);

/* Appends the commands that empty all sets of addresses, and takes their elements from the ruleset:
 * for when it is not known which of them are in the kernel. */
void ruleset_forget_elements(struct ruleset *ruleset, struct strbuf *commands);

/* The names of a rule's counters: packets it decided about, and those beyond its limit. */
void ruleset_counter_names(const char *rule, char **ret_decided, char **ret_limited);
