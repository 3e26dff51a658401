/* Callers and roles, as names and sets. */
#include "auth/caller.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"

#include <assert.h>
#include <string.h>

enum { MAX_PRINCIPAL = 128 };

static const char *const names[] = {
    [ROLE_VIEWER] = "viewer",     [ROLE_PLANNER] = "planner", [ROLE_APPROVER] = "approver",
    [ROLE_OPERATOR] = "operator", [ROLE_ADMIN] = "admin",     [ROLE_OWNER] = "owner",
};

const char *role_to_string(enum role role)
{
    assert(role < ROLE_COUNT);
    return names[role];
}

enum role role_from_string(const char *name)
{
    for (size_t i = 0; i < ROLE_COUNT; i++)
        if (text_equal(names[i], name))
            return (enum role)i;
    return ROLE_COUNT;
}

char *roles_to_string(unsigned int roles)
{
    struct strbuf list = {0};
    for (size_t i = 0; i < ROLE_COUNT; i++)
        if (roles & ROLE(i))
            strbuf_addf(&list, "%s%s", list.length ? ", " : "", names[i]);
    char *text = string_copy(list.length ? strbuf_text(&list) : "none");
    strbuf_done(&list);
    return text;
}

const char *authentication_to_string(enum authentication authentication)
{
    static const char *const ways[] = {
        [AUTHENTICATION_USER] = "same user",
        [AUTHENTICATION_TOKEN] = "token",
    };
    assert(authentication < AUTHENTICATION_COUNT);
    return ways[authentication];
}

void caller_copy(struct caller *caller, const struct caller *from)
{
    *caller = *from;
    caller->principal = string_copy(from->principal);
    caller->client = string_copy(from->client);
}

void caller_done(struct caller *caller)
{
    mem_free(caller->principal);
    mem_free(caller->client);
    *caller = (struct caller){0};
}

bool principal_is_valid(const char *text)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@:+-";
    size_t length = strlen(text);
    return length > 0 && length <= MAX_PRINCIPAL && strspn(text, allowed) == length;
}
