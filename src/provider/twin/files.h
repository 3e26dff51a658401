/*
 * Files and folders of documents that services are shown: copies of what was planned, in the twin's
 * folder, which only its owner enters: HOME/twin/files/UID.DIGEST.
 */
#pragma once

#include "provider/provider.h"
#include "provider/twin/folder.h"

/*
 * Makes those that a spec names and that are not there; the twin's folder exists. ERROR_STALE when
 * what lies there now is not what was planned.
 */
CO_FN int twin_copy_files(const struct twin_home *home, const struct call *call, const char *uid,
                          const struct value *spec, struct error *err);
/* Removes those of a resource but for the ones that its spec names, which is NULL for a resource
 * that is gone. What cannot be removed stays until the next time. */
CO_FN void twin_remove_files(const struct twin_home *home, const struct call *call, const char *uid,
                             const struct value *spec);
