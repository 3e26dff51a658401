/*
 * What a supervisor that was killed while it removed something has left in its state folder: files
 * of resources that the manifest has no more. They are removed before the next one starts, since a
 * new database of the same name would find the old one's data.
 */
#pragma once

#include "twin/manifest.h"

/* Whether a file or folder of that name belongs to a resource that the manifest has; in doubt it
 * does. */
bool leftovers_has_owner(const struct manifest *manifest, const char *name);

/*
 * Removes them; the caller holds the lock of the folder. Without any resource all folders but
 * those of the authority and the logs are emptied.
 */
void leftovers_remove(const struct manifest *manifest, const char *folder);

/* `parley-twin clear --state DIR`: the same for a twin that does not run. Does nothing to one that
 * does. Returns the exit code. */
int leftovers_main(const char *folder);
