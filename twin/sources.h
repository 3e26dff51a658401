/*
 * Whose the programs are: a program's name is that of its host, or HOST.WHAT, and both together
 * tell the resources that it serves. Pure, but for the file: what logs and events belong to stays
 * known while the twin does not run, and after a host has gone.
 */
#pragma once

#include "model/value.h"
#include "twin/machine.h"

#define SOURCES_FORMAT 1

/* {SOURCE: [UID ...]} of a machine; a source is HOST for all on it, or HOST.WHAT. The caller unrefs
 * it. */
struct value *sources_describe(const struct machine *machine);
/* The same with those of before that the machine does not name. */
struct value *sources_merge(const struct value *before, struct value *take_now);
/* The uids of a program's resources, a list; the caller unrefs it. sources may be NULL. */
struct value *sources_find(const struct value *sources, const char *program);

/* FOLDER/sources.json: {"format": 1, "sources": {...}}; NULL when there is none that can be read.
 */
struct value *sources_load(const char *folder);
/* Nothing depends on it but who reads logs: a failure is none. */
void sources_save(const char *folder, struct value *sources);
