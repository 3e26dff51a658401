/*
 * A stand-in for a cloud, for tests and for types that nothing real serves here. Its resources are
 * files, HOME/fake/ACCOUNT/UID.json, so that every process sees the same; who edits one by hand
 * makes drift, and while there is a file HOME/fake/ACCOUNT/stopped the account is stopped.
 *
 * docs/site.md says which settings it has; settings.h and failure.h read them.
 */
#pragma once

#include "provider/provider.h"

extern const struct provider_ops fake_provider_ops;
