/*
 * Texts of secrets that the twin was given, in files of its folder that only its owner can read:
 * HOME/twin/given/UID.DIGEST. The manifest has the digests; the supervisor reads a file when it
 * needs the text.
 */
#pragma once

#include "provider/provider.h"
#include "provider/twin/folder.h"

/* Writes those of a spec beside the ones that are there; the twin's folder exists. */
int twin_give(const struct twin_home *home, const struct call *call, const char *uid,
              struct value *spec, struct error *err);
/* Removes those of a resource but for the ones that its spec holds, which is NULL for a resource
 * that is gone. What cannot be removed stays until the next time. */
void twin_take_back(const struct twin_home *home, const char *uid, const struct value *spec);
