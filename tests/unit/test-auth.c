/* Who asks, and what shows that: callers and their roles. */
#include "auth/caller.h"
#include "base/memory.h"
#include "base/text.h"
#include "harness.h"

#include <string.h>

TEST(every_role_is_found_by_its_name_and_nothing_else_is)
{
    for (enum role role = 0; role < ROLE_COUNT; role++)
        CHECK(role_from_string(role_to_string(role)) == role);
    CHECK(role_from_string("") == ROLE_COUNT);
    CHECK(role_from_string("Viewer") == ROLE_COUNT);
    CHECK(role_from_string("root") == ROLE_COUNT);
}

TEST(a_set_of_roles_is_told_by_name)
{
    CLEANUP(mem_freep) char *none = roles_to_string(0);
    CLEANUP(mem_freep) char *two = roles_to_string(ROLE(ROLE_APPROVER) | ROLE(ROLE_VIEWER));
    CHECK_TEXT(none, "none");
    CHECK_TEXT(two, "viewer, approver");
}

TEST(a_principal_is_one_short_word)
{
    char longest[130];
    memset(longest, 'a', sizeof(longest));
    longest[128] = '\0';
    CHECK(principal_is_valid("user:root") && principal_is_valid("agent-7@example.org") &&
          principal_is_valid(longest));
    longest[128] = 'a';
    longest[129] = '\0';
    CHECK(!principal_is_valid("") && !principal_is_valid("two words") &&
          !principal_is_valid("line\nfeed") && !principal_is_valid("\x1b[31m") &&
          !principal_is_valid("caf\xc3\xa9") && !principal_is_valid(longest));
}

TEST(a_copy_of_a_caller_is_its_own)
{
    char principal[] = "agent";
    char client[] = "a client";
    struct caller caller = {principal, client, ROLE(ROLE_PLANNER), AUTHENTICATION_TOKEN};
    struct caller copy = {0};
    caller_copy(&copy, &caller);
    principal[0] = 'X';
    CHECK_TEXT(copy.principal, "agent");
    CHECK_TEXT(copy.client, "a client");
    CHECK(copy.roles == ROLE(ROLE_PLANNER) && copy.authentication == AUTHENTICATION_TOKEN);
    caller_done(&copy);
    CHECK(!copy.principal);
}
