/*
 * A stand-in for a cloud, for tests and for types that nothing real serves here. Its resources are
 * files, HOME/fake/ACCOUNT/UID.json, so that every process sees the same; who edits one by hand
 * makes drift, and while there is a file HOME/fake/ACCOUNT/stopped the account is stopped.
 *
 * Its settings, all of them optional:
 *
 *     account: sandbox     # whose resources these are, and its identity; else the instance's name
 *     latency: 20ms        # of each call: half before the effect, half after it; ms or s
 *     asynchronous: true   # a change is accepted under a handle at once and done after the latency
 *     fail:                # see failure.h
 *       - {verb: create, name: web, how: lose-answer, count: 1}
 */
#pragma once

#include "provider/provider.h"

extern const struct provider_ops fake_provider_ops;
