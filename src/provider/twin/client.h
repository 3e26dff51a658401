/*
 * Talks to the supervisor of a home's twin, and starts it. The socket carries a line of JSON a
 * message (twin/message.h): it greets with {"format", "identity", ...}, takes a request {"id",
 * "verb", ...} and answers {"ok": true, ...} or {"ok": false, "error": {"code", "message"}}. Every
 * request has a connection of its own.
 */
#pragma once

#include "provider/provider.h"
#include "provider/twin/folder.h"

/* How far a request came. Zero-initialise it. */
struct twin_answer {
    bool was_sent;       /* wholly or in part: it may have been carried out */
    bool was_answered;   /* so that it is known whether it was */
    struct value *value; /* owned map; NULL when it failed */
};
void twin_answer_done(struct twin_answer *answer);

/* A request with its verb, to which more fields can be added. */
struct value_builder twin_request(const char *verb);

/*
 * Asks a running supervisor. ERROR_NOT_FOUND, unsent, when none runs. Fails with the code and the
 * message of the answer when that is a refusal (was_answered is true then); else with
 * ERROR_UNAVAILABLE, ERROR_TIMEOUT or ERROR_CANCELLED.
 */
CO_FN int twin_ask(const struct twin_home *home, const struct call *call,
                   const struct value *request, struct twin_answer *ret_answer, struct error *err);

/*
 * Asks a running supervisor that what changes take away stays for those that come, until it is let
 * go or the channel is closed. *ret_channel is NULL when none runs, or one that knows of no such
 * thing.
 */
CO_FN void twin_hold(const struct twin_home *home, const struct call *call,
                     struct channel **ret_channel);
/* Returns when it is gone, or at the call's deadline. Accepts NULL. */
CO_FN void twin_let_go(const struct call *call, struct channel *take_channel);

/*
 * The supervisor's program: beside our own, where builds and installations have it, else a bare
 * name for PATH. The caller frees it.
 */
char *twin_program(void);

/* Whether a supervisor runs. */
CO_FN int twin_is_running(const struct twin_home *home, const struct call *call, bool *ret_running,
                          struct error *err);

/* Waits until a supervisor that is about to end is gone. ERROR_BUSY when it is not by give_up. */
CO_FN int twin_wait_gone(const struct twin_home *home, const struct call *call, int64_t give_up,
                         struct error *err);

/*
 * Starts the supervisor unless it runs, and waits until it answers. identity is for a twin that is
 * made by this. When it does not come up the message is the last one that it printed.
 */
CO_FN int twin_start(const struct twin_home *home, const struct call *call, const char *identity,
                     struct error *err);

/*
 * Removes what a supervisor that was killed has left of resources which its manifest has no more.
 * For one that does not run; never fails: the next one that starts does it, too.
 */
CO_FN void twin_clear(const struct twin_home *home, const struct call *call);

/*
 * Ends the supervisor, and returns when nothing is left of it: no process, no namespace, no mount.
 * ERROR_NOT_FOUND when none runs.
 */
CO_FN int twin_end(const struct twin_home *home, const struct call *call, struct error *err);
/* Waits in the same way for one that ends by itself since it has nothing left; also fine when it
 * has something, or none runs. At the call's deadline it is left alone. */
CO_FN void twin_see_out(const struct twin_home *home, const struct call *call);

/*
 * Tells whether this machine's kernel lets a twin stand: one is made for a moment, of no home. What
 * propose() tells is not repeated.
 */
CO_FN int twin_try(const struct call *call, struct diagnostics *diagnostics, struct error *err);
