/* Documents whose author is at another machine: they read nothing of this one. */
#pragma once

#include "catalog/catalog.h"
#include "document/document.h"
#include "model/diagnostic.h"
#include "model/resource.h"

/* Secrets that would be read from this machine's files, environment or programs are faults. */
void elsewhere_check_secrets(struct document *document, struct diagnostics *diagnostics);
/* So are properties that name files or folders of it. */
void elsewhere_check_files(const struct catalog *catalog, const struct wanted *wanted,
                           struct diagnostics *diagnostics);
