/*
 * What keeps the twin's hosts apart beyond their networks: a cage for each, made of a process,
 * a mount and an IPC namespace. What runs in one sees and signals only its own processes, has a
 * /tmp and a /dev/shm of its own, finds the machine's programs and settings there read-only, and of
 * all other files only those that it was given. A cage ends with its first process, an idle one.
 *
 * Programs that belong to no host get a cage each.
 */
#pragma once

#include "base/error.h"
#include "base/memory.h"
#include "net/loop.h"

#include <stdbool.h>
#include <sys/types.h>

struct cages;
struct network;

/* The network lends the namespaces; it and the loop are borrowed. */
int cages_new(struct loop *loop, struct network *network, struct cages **ret_cages,
              struct error *err);
/* Ends all cages and what runs in them. Accepts NULL. */
void cages_free(struct cages *cages);
DEFINE_CLEANUP(struct cages *, cages_free)

/* A folder, a file, or memory, that one program alone finds at a path. */
struct cage_mount {
    const char *source; /* a folder or file that pid 1 sees; NULL: memory, empty at each start */
    const char *target; /* absolute, and of plain parts; made when it is missing */
    bool is_read_only;
    int64_t size; /* of memory, in bytes */
};

/* What a program is given of the files that pid 1 sees: NULL-terminated lists of absolute paths of
 * files and folders, which it finds under the same names; either may be NULL. Mounts are for it
 * alone, and go with it. */
struct cage_files {
    const char *const *read;
    const char *const *written;
    const struct cage_mount *mounts;
    size_t n_mounts;
};

/* Has a host's cage made in the meantime, as something will run there soon. Does not wait; what
 * goes wrong shows when the cage is asked for. */
void cages_foresee(struct cages *cages, const char *host);

/* The way of one child into a cage. Zero-initialise it. */
struct cage_door {
    struct cages *cages; /* borrowed */
    const char *host;    /* borrowed, as all below; NULL: it stands alone */
    const char *name;    /* of the program */
    const char *folder;  /* where it runs; NULL: "/" */
    const char *root;    /* the folder that is "/" for it, read-only; NULL: the cage's own view */
    struct cage_files files;
    char *programs[2]; /* owned: of the program, what lies where cages do not look */
    pid_t pid;         /* of the cage's first process */
    int life;          /* a descriptor of it; borrowed from the cage */
};

/*
 * Finds the cage, or makes it. program is what the child becomes, as in child_spec: a path, or a
 * name that is looked up. ERROR_NOT_FOUND when there is no such host.
 */
int cage_open(struct cage_door *door, const char *program, struct error *err);
/* What belongs to no host ends with this. Does nothing to one that is closed. */
void cage_close(struct cage_door *door);
/* The folder of a /proc in which the cage's own process ids count. The caller frees it. */
char *cage_own_proc(const struct cage_door *door);
/* As fork() for a door; the child, which the caller reaps as any other, counts among the cage's
 * processes. */
pid_t cage_fork(void *argument);
/*
 * In that child: enters the cage and its network, where the files are shown that it was given.
 * System calls only. Returns 0 or a negative errno.
 */
int cage_enter(const struct cage_door *door);

/*
 * Waits while a host's cage is ending: its first process was killed, and the others have not all
 * gone. Nobody gets into it any more, and until then none takes its place. ERROR_TIMEOUT.
 */
CO_FN int cage_await_end(struct cages *cages, const char *host, int64_t deadline,
                         struct error *err);

/* Whether it is the first process of a cage, which is none of a host's programs. */
bool cage_begins_with(const struct cages *cages, pid_t pid);
/* The first process of a host's cage, as pid 1 counts; the cage is made when there is none yet.
 * ERROR_NOT_FOUND when there is no such host. */
int cage_find(struct cages *cages, const char *host, pid_t *ret_pid, struct error *err);
