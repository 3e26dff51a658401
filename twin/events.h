/*
 * What happened on the twin that nobody asked for: programs that broke and were started again, and
 * groups that followed their load. A line of JSON each, in FOLDER/events.json, mode 0600:
 *
 * {"time": "2026-11-21T22:16:28.123456Z", "kind": "broke", "program", "host", "resources": [UID],
 *  "role", "restarts", "message"}
 *
 * kind is "broke" or "resumed"; role, "primary" or "replica", is that of a database's server.
 * "unhealthy" and "healthy" are what its health check found of a program, without role and
 * restarts. Of the kind "scaled" are time, program (the group's name), resources and message. A
 * file that would grow beyond EVENTS_LIMIT becomes events.json.old.
 */
#pragma once

#include "twin/module.h"

#define EVENTS_LIMIT (1 << 20)

struct events;

/* Notes the turns of the twin's programs from now on. Fails not: what cannot be written is lost. */
struct events *events_new(struct twin *twin, const char *folder);
void events_note_scaling(struct events *events, const struct value *group, const char *message);
void events_note_health(struct events *events, const struct process *process, bool is_healthy,
                        const char *message);
/* Accepts NULL. */
void events_free(struct events *events);
