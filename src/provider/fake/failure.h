/*
 * The failures that the fake was told to have. A rule is a map {verb, name, how, count, skip, ...}:
 *
 * verb: identify, list, read, propose, create, update, delete, start, act, probe, pending,
 *       commit; left out: every one
 * name: of the resource, or its address; left out: every one
 * skip: how many calls that fit pass by before, 0 when left out
 * count: how often it happens, 1 when left out; both counted in a file, across processes
 * how: unreachable   nothing was sent
 *      refuse        answered, nothing was changed
 *      echo          the same, and the answer repeats what was asked, as it is and in base64
 *      lose-request  no answer, nothing was done
 *      lose-answer   no answer, all was done
 *      half          some of it was done, and that is answered
 *      hang          no answer until deadline, cancellation or death; nothing was done
 *      hang-after    the same, all was done
 *      throttle      answered, come again later: after retryAfter, such as 2s; without it, at will
 *      cannot-tell   of list, read and probe: an answer that is none
 *      wrong-account of identify: somebody else answers
 *      lose          somebody else removes the resource before the call, which goes on
 *      change        somebody else changes the resource before the call: the properties in set
 *      foreign-edit  somebody else stages a change before the call: of what edits names
 *
 * identify, list, read, propose, probe and pending change nothing: they know nothing that has to do
 * with a change.
 */
#pragma once

#include "base/error.h"
#include "model/value.h"

enum fake_verb {
    FAKE_IDENTIFY,
    FAKE_LIST,
    FAKE_READ,
    FAKE_PROPOSE,
    FAKE_CREATE,
    FAKE_UPDATE,
    FAKE_DELETE,
    FAKE_START,
    FAKE_ACT,
    FAKE_PROBE,
    FAKE_PENDING,
    FAKE_COMMIT,
    FAKE_VERB_COUNT
};

enum fake_failure {
    FAKE_UNREACHABLE,
    FAKE_REFUSE,
    FAKE_ECHO,
    FAKE_HANG,
    FAKE_LOSE_REQUEST,
    FAKE_LOSE_ANSWER,
    FAKE_HALF,
    FAKE_HANG_AFTER,
    FAKE_THROTTLE,
    FAKE_CANNOT_TELL,
    FAKE_WRONG_ACCOUNT,
    FAKE_LOSE,
    FAKE_CHANGE,
    FAKE_FOREIGN_EDIT,
    FAKE_NO_FAILURE
};

/* What happens to a call. Borrowed from the rule. */
struct fake_event {
    enum fake_failure failure;
    int64_t retry_after_us;  /* of throttle; 0: at will */
    const struct value *set; /* of change; NULL: nothing */
    const char *edits;       /* of foreign-edit */
};

struct fake_rule;

/* Zero-initialise it. */
struct fake_rules {
    struct fake_rule *items; /* owned */
    size_t n_items;
    char *count_file; /* owned */
};
void fake_rules_done(struct fake_rules *rules);

/*
 * Reads the rules from the setting "fail", a list of rules or one rule; NULL: none. What happened
 * is counted in count_file, whose folder exists when fake_rules_next() is called.
 */
int fake_rules_read(const struct value *setting, const char *count_file,
                    struct fake_rules *ret_rules, struct error *err);

/*
 * What happens to this call: what the first rule that fits and is not used up says,
 * FAKE_NO_FAILURE without one. It is counted before it happens, so that what dies of it finds it
 * used up.
 */
int fake_rules_next(const struct fake_rules *rules, enum fake_verb verb, const char *address,
                    struct fake_event *ret_event, struct error *err);
