/*
 * Changes of the elements of nftables' sets, by nfnetlink itself: libnftables reads a whole set
 * for each change of it, which a long list would pay for again and again.
 */
#pragma once

#include "base/error.h"
#include "twin/machine.h"

struct element_change {
    const char *set; /* borrowed */
    bool is_added;   /* else it goes */
    struct machine_subnet subnet;
};

/* The most changes that one transaction takes from an ordinary user. */
#define ELEMENTS_LIMIT 4096

/* Opens a socket in the namespace that the thread is in. */
int elements_open(int *ret_fd, struct error *err);
/*
 * Carries out at most ELEMENTS_LIMIT changes in one transaction, in their order: all or none.
 * Changes of one set should stand together.
 */
int elements_change(int fd, const struct element_change *changes, size_t n_changes,
                    struct error *err);
