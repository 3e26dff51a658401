/*
 * The failures that the fake was told to have. A rule is a map {verb, name, how, count}:
 *
 * verb: identify, read, create, update, delete, start, probe; left out: every one
 * name: of the resource, or its address; left out: every one
 * count: how often it happens, 1 when left out; counted in a file, across processes
 * how: unreachable   nothing was sent
 *      refuse        answered, nothing was changed
 *      lose-request  no answer, nothing was done
 *      lose-answer   no answer, all was done
 *      half          some of it was done, and that is answered
 *      hang          no answer until deadline, cancellation or death; nothing was done
 *      hang-after    the same, all was done
 *
 * identify, read and probe change nothing: they know unreachable, refuse and hang.
 */
#pragma once

#include "base/error.h"
#include "model/value.h"

enum fake_verb {
    FAKE_IDENTIFY,
    FAKE_READ,
    FAKE_CREATE,
    FAKE_UPDATE,
    FAKE_DELETE,
    FAKE_START,
    FAKE_PROBE,
    FAKE_VERB_COUNT
};

enum fake_failure {
    FAKE_UNREACHABLE,
    FAKE_REFUSE,
    FAKE_HANG,
    FAKE_LOSE_REQUEST,
    FAKE_LOSE_ANSWER,
    FAKE_HALF,
    FAKE_HANG_AFTER,
    FAKE_NO_FAILURE
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
 * What happens to this call: of the first rule that fits and is not used up, FAKE_NO_FAILURE
 * without one. It is counted before it happens, so that what dies of it finds it used up.
 */
int fake_rules_next(const struct fake_rules *rules, enum fake_verb verb, const char *address,
                    enum fake_failure *ret_failure, struct error *err);
