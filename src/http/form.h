/* What a form of a page sends: application/x-www-form-urlencoded, read strictly. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Reads the fields that have these names (NULL-terminated); ret_values has a place for each, which
 * the caller frees, NULL for a field that did not come. False, with no value set, for anything that
 * a form of ours cannot have sent: another name, a name twice, a percent sign without two hex
 * digits, a byte that must come encoded, control characters (line ends, too), no UTF-8.
 */
bool form_read(const char *body, size_t length, const char *const *names, char **ret_values);
