/* Files and folders beside the document that services find among theirs: what is in them belongs to
 * what is wanted. */
#pragma once

#include "catalog/catalog.h"
#include "model/diagnostic.h"
#include "model/resource.h"

/*
 * Where a text of a spec begins with a path, as the catalog says it may, makes the path absolute
 * (a relative one begins at base, the document's folder) and fills in the digest of what is there.
 * A path that does not lead below that folder is a fault, as is what cannot be packed.
 */
void shown_files_fill(const struct catalog *catalog, const char *base, struct wanted *wanted,
                      struct diagnostics *diagnostics);
