/*
 * Who asks: a principal, the roles that say what it may do, the program it asks with, and how
 * surely it is that principal. A door finds that out and hands it to the service.
 */
#pragma once

#include <stdbool.h>

/* What somebody may do; service/verbs.h says which verbs that are. */
enum role {
    ROLE_VIEWER,   /* looks */
    ROLE_PLANNER,  /* makes plans */
    ROLE_APPROVER, /* says yes to them */
    ROLE_OPERATOR, /* makes plans, and has approved ones carried out */
    ROLE_ADMIN,    /* all of that, and what is about Parley itself */
    ROLE_OWNER,    /* all there is: who runs the program as the user to whom the state belongs. No
                      file gives it */
    ROLE_COUNT
};
const char *role_to_string(enum role role);
/* ROLE_COUNT when no role has that name. */
enum role role_from_string(const char *name);
/* One bit for each; several make a set. */
#define ROLE(role) (1U << (role))
/* The names of a set with commas; the caller frees it. */
char *roles_to_string(unsigned int roles);

/* How surely a caller is the principal it is taken for. */
enum authentication {
    AUTHENTICATION_USER,  /* it is a process of the same operating-system user: no proof of a person
                           */
    AUTHENTICATION_TOKEN, /* it showed a token that only that principal has */
    AUTHENTICATION_COUNT
};
const char *authentication_to_string(enum authentication authentication);

struct caller {
    char *principal;    /* owned: "user:NAME", or what its token says */
    char *client;       /* owned: the program it asks with, in words; it says so itself */
    unsigned int roles; /* a set */
    enum authentication authentication;
};
/* Makes *caller, which is empty, a copy. */
void caller_copy(struct caller *caller, const struct caller *from);
void caller_done(struct caller *caller);

/* Whether a text may be a principal: 1 to 128 letters, digits and any of "._@:+-". */
bool principal_is_valid(const char *text);
