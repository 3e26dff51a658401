/*
 * What can be told of a home's twin while its supervisor does not run: where it is, who it is and
 * what it has. HOME/twin is the supervisor's folder; of it only manifest.json is read here:
 *
 * {"format": 1, "identity": UUID, "resources": [{"uid", "name", "type", "spec", ...}], ...}
 *
 * The identity is a UUID in the manifest. Who asks before there is one gets that of the twin that
 * will be: identify() must not write, and a plan that is made before the first twin holds for it.
 * It is derived from the machine, the home and how many twins this home has had, so that every
 * process derives the same. HOME/twins lists those, a line each: when the folder is gone, the next
 * twin is another one, and what was made on the old one is not read as absent.
 */
#pragma once

#include "base/digest.h"
#include "base/error.h"
#include "model/value.h"
#include "net/channel.h"

struct twin_home {
    char *path;     /* owned; absolute */
    char *folder;   /* owned; PATH/twin */
    char *manifest; /* owned */
    char *log;      /* owned; what the supervisor printed */
    char *lock;     /* owned; the supervisor has it until all is over */
    char *history;  /* owned; PATH/twins */
    char *socket;   /* owned; short enough for one */
};

/* Makes no contact and no file. ERROR_INVALID when no path is short enough for a socket. */
int twin_home_init(struct twin_home *home, const char *path, struct error *err);
/* Accepts one that is zeroed. */
void twin_home_done(struct twin_home *home);

/*
 * The manifest, which the caller unrefs; NULL when there is no twin. ERROR_CORRUPT when it is
 * damaged, ERROR_UNSUPPORTED when a newer program wrote it.
 */
int twin_home_read(const struct twin_home *home, struct value **ret_manifest, struct error *err);
/* The resource with that uid, borrowed; NULL when there is none or no manifest. */
struct value *twin_manifest_find(const struct value *manifest, const char *uid);

/* The identity of the twin with that manifest; with NULL, of the next one. */
int twin_home_identify(const struct twin_home *home, const struct value *manifest,
                       char ret_identity[UUID_TEXT_SIZE], struct error *err);
/* Makes sure that this identity is in the history. */
int twin_home_remember(const struct twin_home *home, const char *identity, struct error *err);
