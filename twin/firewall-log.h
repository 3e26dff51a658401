/*
 * A line for each packet that a rule with a log has decided about, at most ten a second of each
 * rule, in the log "router.firewall":
 *
 * RULE in NETWORK [out NETWORK] PROTOCOL SOURCE[:PORT] > DESTINATION[:PORT]
 *
 * RULE is "denied" for what no rule let in.
 */
#pragma once

#include "base/strbuf.h"
#include "twin/module.h"

#define FIREWALL_LOG "router.firewall"
/* The group of the kernel's log (NFLOG) that rules write to. */
#define FIREWALL_LOG_GROUP 5

struct firewall_log;

/* Called in the router's namespace, when its networks stand. */
int firewall_log_new(struct twin *twin, struct firewall_log **ret_log, struct error *err);
/* Accepts NULL. */
void firewall_log_free(struct firewall_log *log);
DEFINE_CLEANUP(struct firewall_log *, firewall_log_free)

/*
 * Appends the lines of the kernel's messages; what is none is passed over. name_of() tells a
 * network by the index of its interface, NULL when there is none. Pure.
 */
void firewall_log_write(const void *messages, size_t size,
                        const char *(*name_of)(void *argument, unsigned int index), void *argument,
                        struct strbuf *lines);
