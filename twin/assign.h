/*
 * What the twin gives its things once and then keeps: addresses, and names that are unique on it.
 * Pure: old assignments in, new ones out; a key that is not asked for any more is forgotten.
 */
#pragma once

#include "base/map.h"
#include "model/value.h"
#include "twin/machine.h"

struct assignments {
    const struct value *old;    /* borrowed: as the manifest keeps it */
    struct map labels;          /* key -> owned label, those in use now */
    struct map addresses;       /* key -> owned text, those in use now */
    struct map taken_labels;    /* label -> itself, old and new */
    struct map taken_addresses; /* text -> itself, old and new */
};

void assignments_init(struct assignments *assignments, const struct value *old);
void assignments_done(struct assignments *assignments);
/* As the manifest keeps it: {"addresses": {KEY: ADDRESS}, "labels": {KEY: LABEL}}. */
struct value *assignments_finish(const struct assignments *assignments);

/*
 * The label of a key: the one it had, else one made of name (letters, digits and single hyphens),
 * with a suffix, "--2", where another key has that. A dot would end the name of a host in that of
 * its programs, and is none for PostgreSQL. Lives until assignments_done().
 */
const char *assign_label(struct assignments *assignments, const char *key, const char *name);

/* The label that a key had, else this one, which another key may have as well. */
const char *assign_shared_label(struct assignments *assignments, const char *key,
                                const char *label);

/*
 * The address of a key in a subnet: the one it had, else the first free one from offset on, then
 * from the start; never the first (the gateway) or last. Returns false when the subnet is full.
 */
bool assign_address(struct assignments *assignments, const char *key, struct machine_subnet subnet,
                    uint32_t offset, uint32_t *ret_ip);
/* The address of a key that was promised this one, with assign_reserve(), or has it already. */
void assign_reserved(struct assignments *assignments, const char *key, uint32_t ip);
/* Nobody is given this address but by assign_reserved(). */
void assign_reserve(struct assignments *assignments, uint32_t ip);
/* Who had an address, or NULL. Borrowed. */
const char *assign_find_holder(const struct assignments *assignments, uint32_t ip);
/* The address that a key had; false when it had none. */
bool assign_find_old(const struct assignments *assignments, const char *key, uint32_t *ret_ip);
