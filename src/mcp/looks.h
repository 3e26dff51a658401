/*
 * Who looked at what: calls that only read, for the audit chain. They are collected and go into it
 * together, a second after the first of them or once a thousand differ, so that looking costs no
 * sync of its own. What changes something is in the chain before it is answered, by the service.
 */
#pragma once

#include "mcp/pool.h"

struct looks;
/* as: in whose name the entries are written, under this kind, at most one in so many microseconds
 * but for a thousand rows. All are borrowed. */
struct looks *looks_new(struct loop *loop, struct pool *pool, const struct caller *as,
                        const char *kind, int64_t interval);
size_t looks_count(const struct looks *looks);
/* Notes a call of a tool; about is the deployment or other thing that it named, or "". */
void looks_note(struct looks *looks, const char *principal, const char *client, const char *tool,
                const char *about);
/* Writes what is left and frees it. */
CO_FN void looks_end(struct looks *looks);
