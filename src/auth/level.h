/* How surely an approval is a person's: its level (DESIGN section 5). */
#pragma once

enum approval_level {
    APPROVAL_NONE, /* a process of the same operating-system user said yes: no proof of a person */
    APPROVAL_SEPARATED, /* a credential for approving was shown, which who plans has not got */
    APPROVAL_SIGNED,    /* a key under a passphrase signed it */
    APPROVAL_LEVEL_COUNT
};
const char *approval_level_to_string(enum approval_level level);
/* APPROVAL_LEVEL_COUNT when no level has that name. */
enum approval_level approval_level_from_string(const char *name);
/* What it proves, for people: "no proof of a person: ...". */
const char *approval_level_meaning(enum approval_level level);
