/* The supervisor: `parley-twin supervise`. */
#pragma once

#include "base/error.h"

/*
 * Runs the twin of a state folder until it ends; returns its exit code. Prints "ready" once the
 * socket answers, and errors on stderr. identity is for a twin that is new; NULL: a random one.
 */
int supervise(const char *folder, const char *socket_path, const char *identity);
