/*
 * What happened on the twin that nobody asked for: programs that broke and were started again,
 * groups that followed their load, databases whose data was made anew. A line of JSON each, in
 * FOLDER/events.json, mode 0600:
 *
 * {"time": "2026-11-21T22:16:28.123456Z", "kind": "broke", "program", "host", "resources": [UID],
 *  "role", "restarts", "message"}
 *
 * kind is "broke" or "resumed"; role, "primary" or "replica", is that of a database's server.
 * All others, see events_note(), are without role and restarts:
 *
 * "healthy", "unhealthy"  what its health check found of a program
 * "scaled"                a group, which is the program, has another number of hosts; without host
 * "copied-anew"           the data of a database's server is replaced by a copy of its primary's
 *
 * A file that would grow beyond EVENTS_LIMIT becomes events.json.old.
 */
#pragma once

#include "twin/module.h"

#define EVENTS_LIMIT (1 << 20)

struct events;

/* Notes the turns of the twin's programs from now on. Fails not: what cannot be written is lost. */
struct events *events_new(struct twin *twin, const char *folder);
/* One that is no turn of a program; all borrowed. */
struct event {
    const char *kind;
    const char *program;
    const char *host;     /* NULL: it is of none */
    const char *resource; /* uid; NULL: of those that the program is of */
    const char *message;
};
void events_note(struct events *events, const struct event *event);
/* Accepts NULL. */
void events_free(struct events *events);
