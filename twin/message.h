/*
 * Messages on the twin's socket: one JSON value a line. Reading and checking one is a pure
 * function.
 *
 * The server greets with {"format": 1, "program": "parley-twin", "version", "identity"}. A request
 * is
 * {"id": INTEGER, "verb": VERB, ...} and its answer {"id", "ok": true, ...} or
 * {"id", "ok": false, "error": {"code", "message"}}; answers may come in another order.
 *
 *   put     {"resource": {"uid", "name", "type", "spec", "references", "generation"}}
 *           -> {"status", "outputs"}, when it is real
 *   delete  {"uid"}              -> {}, when it is gone
 *   get     {"uid"}              -> {"resource": {"present", "spec", "status", "outputs", ...}}
 *   list    {}                   -> {"resources": [as of get]}
 *   act     {"uid", "action", "member"} -> {"status", "outputs"}, when it is done
 *   commit  {}                   -> {"problems": {UID: {"code", "message"}}}, when all is settled
 *   hold    {}                   -> {}: what changes take away stays, until all who hold let go
 *   release {}                   -> {}, when it is gone; the end of the connection does it, too
 *   status  {}                   -> {"pid", "identity", "state", "root", "hosts", "networks"}
 *   measure {}                   -> {"clock_us", "hosts": [what each uses]}, see measure.h
 *   enter   {"host"}             -> {"pid", "cage"}: the first processes of the twin, as the
 * machine counts, and of what the host's programs run in, as the twin counts; the router has none
 *   down    {"wipe": BOOLEAN}    -> {}, then everything ends; with wipe, the state folder is
 * emptied
 */
#pragma once

#include "base/error.h"
#include "model/value.h"

#define MESSAGE_FORMAT 1
/* The longest line, and the deepest nesting, that is taken. */
#define MESSAGE_LIMIT (4 << 20)
#define MESSAGE_DEPTH 64

enum message_verb {
    VERB_PUT,
    VERB_DELETE,
    VERB_GET,
    VERB_LIST,
    VERB_ACT,
    VERB_COMMIT,
    VERB_HOLD,
    VERB_RELEASE,
    VERB_STATUS,
    VERB_MEASURE,
    VERB_ENTER,
    VERB_DOWN,
    VERB_COUNT
};
const char *message_verb_to_string(enum message_verb verb);

/* Zero-initialise it. */
struct request {
    int64_t id; /* 0 when the line had none */
    enum message_verb verb;
    struct value *resource; /* owned; of put */
    char *uid;              /* owned; of delete, get and act */
    char *action;           /* owned; of act, as the next: the host that it is about */
    char *member;
    char *host; /* owned; of enter */
    bool wipe;  /* of down */
};
void request_done(struct request *request);

/*
 * Reads a request. On failure ret_request->id is set when the line had one, so that the error can
 * be answered.
 */
int request_read(const char *line, size_t length, struct request *ret_request, struct error *err);

/* The fields of an answer, finished as its line; fields is emptied. The caller frees it. */
char *answer_write(int64_t id, struct value_builder *fields);
char *answer_write_error(int64_t id, const struct error *err);
