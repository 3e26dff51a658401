/* Files that others must not write, or not even read. Private to auth/. */
#pragma once

#include "base/error.h"

#include <sys/stat.h>

/* Looks at a file that nobody but this process' user may open. ERROR_NOT_FOUND without it,
 * ERROR_DENIED says who may. */
int owned_file_check(const char *path, struct stat *ret_status, struct error *err);
