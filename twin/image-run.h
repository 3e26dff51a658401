/* An image as a program that runs in a host: what its configuration says, made ready to start. */
#pragma once

#include "base/error.h"
#include "base/memory.h"
#include "twin/machine.h"

#include <stdbool.h>
#include <sys/types.h>

struct image_run {
    char *root;         /* owned: the folder of its files, as pid 1 sees it */
    char **arguments;   /* owned, as each of them; NULL-terminated; [0] is a path in the image */
    char **environment; /* owned, as each of them: "NAME=VALUE"; NULL-terminated */
    char *folder;       /* owned: where it runs, in the image */
    uid_t user;
    gid_t group;
    bool is_demoted; /* it asks for root, and runs as nobody */
};

/*
 * Looks its command up in the image's own PATH and its user in the image's own files, below
 * state_folder. Nobody is root in an instance: who asks for that becomes nobody of those numbers.
 * ERROR_MISSING when the files, the command or the user are not there. The caller frees *ret_run.
 */
struct image_nobody {
    uid_t user;
    gid_t group;
};
int image_run_make(const char *state_folder, const struct machine_image *image,
                   struct image_nobody nobody, struct image_run **ret_run, struct error *err);
/* Accepts NULL. */
void image_run_free(struct image_run *run);
DEFINE_CLEANUP(struct image_run *, image_run_free)

/* "1000:1000" or "web:www" as numbers, by the texts of /etc/passwd and /etc/group (either may be
 * NULL). False when there is no such user or group; numbers and root need no text. */
bool image_find_user(const char *text, const char *users, const char *groups, uid_t *ret_user,
                     gid_t *ret_group);
