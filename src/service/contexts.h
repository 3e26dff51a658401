/* Folders that resources are made from: what is in them belongs to what is wanted. */
#pragma once

#include "catalog/catalog.h"
#include "model/diagnostic.h"
#include "model/resource.h"

/*
 * Fills in the properties that the catalog says are digests of folders, makes the paths of these
 * folders absolute (a relative one begins at base), and has what uses such a resource come after
 * it. A folder that cannot be packed is a fault.
 */
void contexts_fill(const struct catalog *catalog, const char *base, struct wanted *wanted,
                   struct diagnostics *diagnostics);
