/* What both ends of a channel share; nobody else includes this. */
#pragma once

#include "base/error.h"

#include <sys/un.h>

/* The address of a path. ERROR_INVALID when the path is empty or does not fit. */
int channel_address(const char *path, struct sockaddr_un *ret_address, struct error *err);
