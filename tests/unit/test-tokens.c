/* Tokens: found by who has one, and by nobody else; and the file that they stand in. */
#include "auth/tokens.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static char file[80];
static struct tokens *tokens;

static void begin(void)
{
    snprintf(folder, sizeof(folder), "/tmp/parley-tokens-XXXXXX");
    CHECK(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/tokens.yaml", folder);
    tokens = tokens_new(file);
}

static void end(void)
{
    char name[96];
    tokens_free(tokens);
    tokens = NULL;
    snprintf(name, sizeof(name), "%s.lock", file);
    unlink(name);
    unlink(file);
    rmdir(folder);
}

static char *add(const char *principal, unsigned int roles, const char *expires)
{
    char *token = NULL;
    CHECK(tokens_add(file, principal, roles, expires, &token, NULL) == 0);
    return token;
}

/* Whose the token is; "" when it is nobody's. */
static const char *owner_of(const char *token, struct error *err)
{
    static char name[130];
    struct caller caller = {0};
    error_done(err);
    if (tokens_find(tokens, token, &caller, err) < 0)
        return "";
    snprintf(name, sizeof(name), "%s", caller.principal);
    caller_done(&caller);
    return name;
}

TEST(a_token_is_its_principals_with_its_roles_and_nothing_near_it_is_anybodys)
{
    struct error err = {0};
    struct caller caller = {0};
    begin();
    CLEANUP(mem_freep) char *agent = add("agent", ROLE(ROLE_PLANNER) | ROLE(ROLE_VIEWER), NULL);
    CLEANUP(mem_freep) char *person = add("person", ROLE(ROLE_APPROVER), NULL);
    CHECK(text_starts_with(agent, "parley_") && strlen(agent) == 7 + 43);
    CHECK(!text_equal(agent, person));
    CHECK(tokens_find(tokens, agent, &caller, &err) == 0);
    CHECK_TEXT(caller.principal, "agent");
    CHECK(caller.roles == (ROLE(ROLE_PLANNER) | ROLE(ROLE_VIEWER)));
    CHECK(caller.authentication == AUTHENTICATION_TOKEN);
    caller_done(&caller);
    CHECK_TEXT(owner_of(person, &err), "person");
    CLEANUP(mem_freep) char *shorter = string_copy_n(agent, strlen(agent) - 1);
    CLEANUP(mem_freep) char *longer = string_format("%sA", agent);
    CLEANUP(mem_freep) char *other = string_copy(agent);
    other[20] = other[20] == 'A' ? 'B' : 'A';
    const char *const wrong[] = {"", "parley_", shorter, longer, other, agent + 7};
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        CHECK_TEXT(owner_of(wrong[i], &err), "");
        CHECK(err.code == ERROR_DENIED && strstr(error_message(&err), "nobody has this token"));
    }
    error_done(&err);
    end();
}

TEST(the_file_has_no_token_and_what_it_has_is_no_token)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *text = NULL;
    begin();
    CLEANUP(mem_freep) char *token = add("agent", ROLE(ROLE_ADMIN), NULL);
    CHECK(world_read_file(file, 10000, &text, NULL, NULL) == 0);
    CHECK(!strstr(text, token) && !strstr(text, token + 7));
    char *digest = strstr(text, "sha256:");
    CHECK(digest);
    digest[7 + 64] = '\0';
    CHECK_TEXT(owner_of(digest, &err), "");
    CHECK_TEXT(owner_of(digest + 7, &err), "");
    error_done(&err);
    end();
}

TEST(what_is_removed_or_over_is_refused_at_the_next_question)
{
    struct error err = {0};
    size_t n = 0;
    begin();
    CLEANUP(mem_freep) char *first = add("agent", ROLE(ROLE_VIEWER), NULL);
    CLEANUP(mem_freep) char *second = add("agent", ROLE(ROLE_VIEWER), "2199-01-01T00:00:00Z");
    CLEANUP(mem_freep) char *over = add("late", ROLE(ROLE_VIEWER), "2020-01-01T00:00:00Z");
    CLEANUP(mem_freep) char *kept = add("other", ROLE(ROLE_VIEWER), NULL);
    CHECK_TEXT(owner_of(first, &err), "agent");
    CHECK_TEXT(owner_of(second, &err), "agent");
    CHECK_TEXT(owner_of(over, &err), "");
    CHECK(strstr(error_message(&err), "the token of late expired at 2020-01-01T00:00:00Z"));
    CHECK(tokens_remove(file, "agent", &n, NULL) == 0 && n == 2);
    CHECK_TEXT(owner_of(first, &err), "");
    CHECK_TEXT(owner_of(second, &err), "");
    CHECK_TEXT(owner_of(kept, &err), "other");
    CHECK(tokens_remove(file, "agent", &n, &err) == -ERROR_NOT_FOUND);
    error_done(&err);
    end();
}

TEST(one_of_several_is_removed_by_its_digest)
{
    struct error err = {0};
    size_t n = 0;
    CLEANUP(value_unrefp) struct value *list = NULL;
    begin();
    CLEANUP(mem_freep) char *first = add("agent", ROLE(ROLE_VIEWER), NULL);
    CLEANUP(mem_freep) char *second = add("agent", ROLE(ROLE_PLANNER), NULL);
    CHECK(tokens_list(file, &list, NULL) == 0 && value_count(list) == 2);
    CHECK_TEXT(value_get_text(value_at(list, 1), "roles"), "planner");
    CHECK(tokens_remove(file, value_get_text(value_at(list, 0), "digest"), &n, NULL) == 0);
    CHECK(n == 1);
    CHECK_TEXT(owner_of(first, &err), "");
    CHECK_TEXT(owner_of(second, &err), "agent");
    error_done(&err);
    end();
}

TEST(a_file_that_others_may_open_or_that_is_gone_or_broken_denies_all)
{
    struct error err = {0};
    begin();
    CLEANUP(mem_freep) char *token = add("agent", ROLE(ROLE_VIEWER), NULL);
    CHECK_TEXT(owner_of(token, &err), "agent");
    CHECK(chmod(file, 0640) == 0);
    CHECK_TEXT(owner_of(token, &err), "");
    CHECK(err.code == ERROR_DENIED && strstr(error_message(&err), "chmod 600"));
    CHECK(chmod(file, 0600) == 0);
    CHECK_TEXT(owner_of(token, &err), "agent");
    static const char *const broken[] = {
        "",
        "format: 2\ntokens: []\n",
        "format: 1\ntokens: {}\n",
        "format: 1\ntokens: [{}]\n",
        "format: 1\ntokens: [{principal: a, roles: [owner], digest: \"sha256:"
        "0000000000000000000000000000000000000000000000000000000000000000\"}]\n",
        "format: 1\ntokens: [{principal: a, roles: [viewer], digest: \"sha256:00\"}]\n",
        "format: 1\ntokens: [{principal: a, roles: [viewer], expires: soon, digest: \"sha256:"
        "0000000000000000000000000000000000000000000000000000000000000000\"}]\n",
        "format: 1\ntokens: [",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(broken); i++) {
        CHECK(world_write_file(file, broken[i], strlen(broken[i]), 0600, false, NULL) == 0);
        CHECK_TEXT(owner_of(token, &err), "");
        CHECK(strstr(error_message(&err), "no token can be looked up"));
    }
    CHECK(unlink(file) == 0);
    CHECK_TEXT(owner_of(token, &err), "");
    CHECK(symlink("/dev/null", file) == 0);
    CHECK_TEXT(owner_of(token, &err), "");
    error_done(&err);
    end();
}

TEST(what_is_no_principal_role_or_time_makes_no_token)
{
    struct error err = {0};
    char *token = NULL;
    begin();
    CHECK(tokens_add(file, "two words", ROLE(ROLE_VIEWER), NULL, &token, &err) == -ERROR_INVALID);
    CHECK(tokens_add(file, "a", 0, NULL, &token, &err) == -ERROR_INVALID);
    CHECK(tokens_add(file, "a", ROLE(ROLE_OWNER), NULL, &token, &err) == -ERROR_INVALID);
    CHECK(tokens_add(file, "a", ROLE(ROLE_VIEWER), "tomorrow", &token, &err) == -ERROR_INVALID);
    CHECK(!token && !world_file_exists(file));
    error_done(&err);
    end();
}
