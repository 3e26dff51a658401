/*
 * The namespaces that the twin lives in. One process becomes two: the outer half stays in the
 * machine's namespaces, the inner half is pid 1 of new ones. Whichever dies takes everything along.
 */
#pragma once

#include "base/error.h"
#include "twin/process.h"

#include <sys/types.h>

/* What the inner half sees of the machine's files. */
#define SANDBOX_FOLDER "/run/twin"
#define SANDBOX_STATE SANDBOX_FOLDER "/state"
#define SANDBOX_LOGS SANDBOX_STATE "/logs"
#define SANDBOX_PROGRAM SANDBOX_FOLDER "/parley-twin"

/*
 * What is known before sandbox_split() only; all borrowed. Paths are absolute. That of the program
 * cannot be told any more in the new namespaces: in a chroot the kernel says there where it lies
 * seen from outside.
 */
struct sandbox_origin {
    const char *state_folder;
    const char *program;
    uid_t user;
    gid_t group;
};

/*
 * Splits the process. Returns twice, like fork(): *ret_pid is that of the inner half in the outer
 * one and 0 in the inner one, where no namespace is furnished yet. ERROR_UNSUPPORTED, with what to
 * do about it, when this machine gives an ordinary user no namespaces.
 */
int sandbox_split(pid_t *ret_pid, struct error *err);

/*
 * The inner half only: ties its life to the outer half, whose end of link is at the other end of
 * it, maps its user, and mounts its own /proc, /run and /dev/shm with the state folder in them.
 */
int sandbox_furnish(const struct sandbox_origin *origin, int link, struct error *err);

/* See twin_folder() and twin_give() in module.h. */
int sandbox_folder(const char *name, enum process_user user, char **ret_path, struct error *err);
int sandbox_give(const char *path, enum process_user user, struct error *err);

/*
 * Called in a child before it becomes another program: as root it turns into that user for good;
 * in any case it loses its capabilities, cannot get new ones, and is sealed (twin/seal.h). Returns
 * 0 or a negative errno.
 */
int sandbox_drop_privileges(enum process_user user);
/* The same, but it keeps that capability; 0: none. */
int sandbox_drop_but(enum process_user user, int capability);
/* The same for a user and a group by their numbers, neither of which is root's. */
int sandbox_drop_to(uid_t uid, gid_t gid);
/* The numbers of who is nobody, for one that asks for root. */
void sandbox_nobody(uid_t *ret_user, gid_t *ret_group);
int sandbox_drop_capabilities(void);
/* Called in a child that is to keep its capabilities when it becomes another program: those of a
 * user namespace are lost then unless they are ambient. */
void sandbox_keep_capabilities(void);
/* Looks the users up once, so that a child need not. Only root needs them. ERROR_MISSING without.
 */
int sandbox_find_users(struct error *err);
