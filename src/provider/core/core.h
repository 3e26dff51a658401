/*
 * The engine's own resources, which exist only as records: core:data:value holds a value of any
 * kind, for tests and for wiring. Its outputs are value, as in its spec (null when it has none),
 * and id, its uid. It takes no settings.
 */
#pragma once

#include "provider/provider.h"

extern const struct provider_ops core_provider_ops;
