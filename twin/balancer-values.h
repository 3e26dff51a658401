/*
 * The values that a running HAProxy looks up in a map of its configuration. Knows no files.
 */
#pragma once

#include "twin/balancer-servers.h"

/*
 * Makes the values of a map those that are wanted, and asks for them afterwards. Both texts are as
 * balancer_write_values() writes them, of configurations with one structure. ERROR_UNSUPPORTED when
 * a value cannot be said in a command, ERROR_CONFLICT when HAProxy does not take one; then some are
 * changed.
 */
CO_FN int balancer_change_values(struct balancer_control *control, const char *map,
                                 const char *running, const char *wanted, struct error *err);
