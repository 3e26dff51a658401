/*
 * The logs of the twin's programs, read from its folder: also while it does not run. A program has
 * logs/NAME.log, and NAME.log.old with what was before; each line begins with its time,
 * "2026-11-21T22:16:28.123456Z ". logs/sources.json says whose the programs are:
 *
 * {"format": 1, "sources": {HOST or HOST.WHAT: [UID, ...]}}
 *
 * A program is called as its host, or HOST.WHAT, and belongs to what both say.
 */
#pragma once

#include "provider/twin/folder.h"

/* "2026-11-21T22:16:28.123456Z" */
#define TWIN_LOG_TIME_LENGTH 27

/* {PROGRAM: [UID, ...]} of all that have a log; an empty map where no twin was. The caller unrefs
 * it. ERROR_CORRUPT when sources.json is damaged, ERROR_UNSUPPORTED when a newer program wrote it.
 */
int twin_logs_list(const struct twin_home *home, struct value **ret_programs, struct error *err);

/*
 * What happened on the twin that nobody asked for, the newest last: a list of what events.json
 * holds, at most limit of the newest; see twin/events.h. Lines that cannot be read are left out.
 * The caller unrefs it.
 */
int twin_events_read(const struct twin_home *home, size_t limit, struct value **ret_events,
                     struct error *err);

/* A log that is read from its oldest line on. */
struct twin_log;
struct twin_log *twin_log_open(const struct twin_home *home, const char *program);
/* Accepts NULL. */
void twin_log_close(struct twin_log *log);

struct twin_log_line {
    const char *time; /* borrowed, as the text, until the next call; "" of a line without one */
    const char *text; /* fit to be shown */
};
/*
 * The next whole line. *ret_has_line is false when there is none now: a later call goes on with
 * what has come since. Follows a log that begins anew.
 */
int twin_log_next(struct twin_log *log, struct twin_log_line *ret_line, bool *ret_has_line,
                  struct error *err);
