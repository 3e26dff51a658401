/*
 * The firewall's rules as nftables text: what the desired machine asks for, and the commands that
 * lead there from another ruleset without touching what did not change. Pure.
 */
#pragma once

#include "base/strbuf.h"
#include "twin/elements.h"
#include "twin/machine.h"

struct ruleset;

/*
 * Compiles the networks, sets and rules of a machine; what the rules of held let in, too, as far as
 * nothing blocks it. held is NULL where nothing is kept.
 */
struct ruleset *ruleset_compile(const struct machine *machine, const struct machine *held);
/* Whether it lets something in only since held did. */
bool ruleset_keeps(const struct ruleset *ruleset);
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

/*
 * Gives the next changes of the elements of sets, at most n_changes: what goes, then what comes.
 * *cursor starts as 0 and moves on. Returns how many; 0 when there are no more. Their texts are the
 * rulesets'.
 */
size_t ruleset_next_elements(const struct ruleset *from, const struct ruleset *to, size_t *cursor,
                             struct element_change *changes, size_t n_changes);

/* Appends the commands that empty all sets of addresses, and takes their elements from the ruleset:
 * for when it is not known which of them are in the kernel. */
void ruleset_forget_elements(struct ruleset *ruleset, struct strbuf *commands);

/* The names of a rule's counters: packets it decided about, and those beyond its limit. */
void ruleset_counter_names(const char *rule, char **ret_decided, char **ret_limited);
