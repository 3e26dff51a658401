/*
 * Images that an engine was asked for and that the twin does not know of yet: a file each,
 * HOME/twin/images/UID.building, from before the engine is asked until the supervisor has taken the
 * image over or nothing of it is left. So a run that is killed in between leaves no image that
 * nobody knows of.
 */
#pragma once

#include "provider/twin/twin.h"

/* engine is unix:///PATH, spec what is to be built. */
int unfinished_note(const struct twin_home *home, const char *uid, const char *engine,
                    const struct value *spec, struct error *err);
void unfinished_drop(const struct twin_home *home, const char *uid);
/* {"engine", "spec"}, which the caller unrefs; NULL without. */
struct value *unfinished_find(const struct twin_home *home, const char *uid);
