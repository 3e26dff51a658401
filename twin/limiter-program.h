/*
 * What counts the requests of each address for the balancers. It is a process of its own, so that a
 * balancer that reloads, whose workers come and go, forgets nothing and counts nothing twice.
 */
#pragma once

/*
 * `parley-twin limiter --socket PATH`: answers HAProxy's questions there until SIGTERM or SIGINT.
 * Returns the exit code.
 */
int limiter_main(const char *socket_path);
