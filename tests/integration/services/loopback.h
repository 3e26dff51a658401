/*
 * A twin without namespaces for tests: every host is an address of 127.0.0.0/8 in the namespace
 * that the test runs in. Programs are started, probed and stopped by twin/process.c as always.
 */
#pragma once

#include "twin/machine.h"
#include "twin/module.h"
#include "twin/problems.h"

struct loopback {
    struct twin twin;
    char folder[64];
    uint32_t base; /* of a random /24 of loopback addresses, all its own */
    struct machine_network network;
    char subnet[24];
};

/*
 * Runs work(loopback) as a coroutine on a new loop with an empty state folder, and removes all of
 * it afterwards. work reports by its argument's fields and by failure counts, since a CHECK must
 * not leave a coroutine.
 */
void loopback_run(void (*work)(struct loopback *loopback, void *argument), void *argument);

/* A host at .n of its network. The strings belong to the machine. */
const struct machine_host *loopback_host(struct loopback *loopback, struct machine *machine,
                                         const char *name, unsigned int n, enum machine_role role);

/* A module that was opened. */
struct loopback_module {
    enum module_id id;
    const struct module_ops *ops;
    void *opened;
};

/*
 * Lets modules converge beside each other, as the twin does: twin_wait_for() waits for those that
 * are among them. Returns when all have; prints what is wrong and returns how much that is.
 */
size_t loopback_converge(struct loopback *loopback, const struct loopback_module *modules, size_t n,
                         struct machine *machine);

/* Prints what is wrong and returns how much that is. */
size_t loopback_print_problems(const struct problems *problems);

/* What twin_has_resource() says of every resource. */
extern bool loopback_has_resource;

/* The virtual address that network_move_address() was last told, and its host; "" for none. */
extern char loopback_moved_address[32];
extern char loopback_moved_host[64];

/* In place of CHECK in a coroutine, which a longjmp must not leave: ends the function. What is open
 * then stays open, so the loop is not asked to be empty. */
struct outcome {
    bool is_good;
};
extern bool loopback_is_broken;
#define HOLDS(outcome, condition)                                            \
    do {                                                                     \
        (outcome)->is_good = (condition);                                    \
        if (!(outcome)->is_good) {                                           \
            loopback_is_broken = true;                                       \
            printf("# %s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            return;                                                          \
        }                                                                    \
    } while (0)
