/* Secrets in values: what expressions make of them, and that what comes back shows none. */
#include "harness.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "model/json.h"
#include "secret/derive.h"
#include "secret/redact.h"

#include <stdio.h>
#include <string.h>
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

static struct secret_key *key;
static struct secrets *secrets;

static void add(const char *name, const char *text)
{
    CLEANUP(mem_freep) char *copy = string_copy(text);
    const char *digest = NULL;
    CHECK(secrets_add(secrets, copy, strlen(copy), &digest, NULL) == 0);
    secrets_name(secrets, name, digest);
}

static void begin(void)
{
    unsigned char bytes[SECRET_KEY_SIZE];
    secrets_free(secrets);
    secret_key_free(key);
    memset(bytes, 7, sizeof(bytes));
    key = secret_key_new(bytes);
    secrets = secrets_new(key);
    add("db", "p:ss w\"rd/7");
    add("token", "abcdefgh");
}

/* The text of what an expression of secrets gives, by way of its handle, or the error. */
static char *text_of(const char *expression)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *digest = NULL;
    CLEANUP(value_unrefp) struct value *revealed = NULL;
    int r = secrets_digest_expression(secrets, expression, &digest, &err);
    CLEANUP(value_unrefp) struct value *handle = r == 0 ? value_secret(digest, expression) : NULL;
    if (r == 0)
        r = secrets_reveal(secrets, handle, &revealed, &err);
    char *text = string_copy(r == 0 ? value_text(revealed) : error_message(&err));
    error_done(&err);
    return text;
}

static int find_digest(void *argument, const char *expression, char **ret_digest, struct error *err)
{
    return secrets_digest_expression(argument, expression, ret_digest, err);
}

/* --- Expressions --- */

TEST(an_expression_of_secrets_gives_the_text_that_it_would_of_plain_ones)
{
    static const struct {
        const char *expression, *want;
    } rows[] = {
        {"${secret.token}", "abcdefgh"},
        {"a ${secret.token} $${x}", "a abcdefgh ${x}"},
        {"${upper(secret.token)}", "ABCDEFGH"},
        {"${base64encode(secret.token)}", "YWJjZGVmZ2g="},
        {"${join(\"-\", [secret.token, substr(secret.token, 0, 2)])}", "abcdefgh-ab"},
        {"${jsonencode({\"k\": secret.db})}", "{\"k\":\"p:ss w\\\"rd/7\"}"},
        {"${length(secret.token)}", "8"},
        {"${secret.none}", "the secret none is not at hand"},
        {"${var.x}", "the secret x is not at hand"},
        {"${split(\"c\", secret.token)}",
         "what is made of a secret must be a text, not of kind list"},
        {"${tonumber(secret.token)}", "a function cannot work with the text of the secret"},
        {"${cidrhost(secret.token, 1)}", "a function cannot work with the text of the secret"},
    };
    begin();
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        CLEANUP(mem_freep) char *text = text_of(rows[i].expression);
        CHECK_TEXT(text, rows[i].want);
    }
}

TEST(equal_texts_have_equal_digests_however_they_were_made)
{
    begin();
    CLEANUP(mem_freep) char *made = NULL;
    CHECK(secrets_digest_expression(secrets, "${lower(upper(secret.token))}", &made, NULL) == 0);
    CHECK_TEXT(made, secrets_find(secrets, "token"));
    CLEANUP(mem_freep) char *of_text = secrets_digest(secrets, "abcdefgh", 8);
    CHECK_TEXT(made, of_text);
}

TEST(a_secret_that_changed_is_not_used)
{
    struct error err = {0};
    begin();
    CLEANUP(value_unrefp) struct value *handle = value_secret("", "x${secret.token}");
    CLEANUP(value_unrefp) struct value *approved = NULL;
    struct value *revealed = NULL;
    CHECK(secrets_complete(handle, find_digest, secrets, &approved, NULL) == 0);
    add("token", "another text");
    CHECK(secrets_reveal(secrets, approved, &revealed, &err) == -ERROR_STALE);
    CHECK(!revealed);
    CHECK_TEXT(error_message(&err),
               "what \"x${secret.token}\" gives has changed since the plan was made");
    error_done(&err);
}

TEST(a_value_is_revealed_and_veiled_at_any_depth)
{
    static const char text[] = "{\"a\":[1,{\"$origin\":\"${secret.token}\",\"$secret\":\"\"}],"
                               "\"b\":\"plain\"}";
    begin();
    CLEANUP(value_unrefp) struct value *value = NULL;
    CLEANUP(value_unrefp) struct value *complete = NULL;
    CLEANUP(value_unrefp) struct value *revealed = NULL;
    CHECK(json_read(text, strlen(text), &value, NULL) == 0);
    CHECK(secrets_complete(value, find_digest, secrets, &complete, NULL) == 0);
    CHECK(secrets_reveal(secrets, complete, &revealed, NULL) == 0);
    CLEANUP(mem_freep) char *shown = json_text(revealed);
    CHECK_TEXT(shown, "{\"a\":[1,\"abcdefgh\"],\"b\":\"plain\"}");
    CLEANUP(value_unrefp) struct value *veiled = secrets_veil(secrets, revealed);
    CLEANUP(mem_freep) char *hidden = json_text(veiled);
    CHECK(!strstr(hidden, "abcdefgh") && !strstr(hidden, "plain"));
    CHECK(value_equal(value_at(value_get(veiled, "a"), 1), value_at(value_get(complete, "a"), 1)));
}

TEST(what_was_secret_before_is_so_when_it_is_read_without_its_text)
{
    static const char recorded[] =
        "{\"list\":[{\"$secret\":\"x\"}],\"url\":{\"$origin\":\"${secret.a}\","
        "\"$secret\":\"y\"},\"plain\":\"p\"}";
    static const char read[] = "{\"list\":[\"abcdefgh\",\"new\"],\"plain\":\"q\",\"url\":\"u\"}";
    begin();
    CLEANUP(value_unrefp) struct value *like = NULL;
    CLEANUP(value_unrefp) struct value *value = NULL;
    CHECK(json_read(recorded, strlen(recorded), &like, NULL) == 0);
    CHECK(json_read(read, strlen(read), &value, NULL) == 0);
    CLEANUP(value_unrefp) struct value *veiled = secrets_veil_like(secrets, value, like);
    const struct value *list = value_get(veiled, "list");
    CHECK_TEXT(value_text(value_at(list, 0)), secrets_find(secrets, "token"));
    CHECK(value_kind(value_at(list, 1)) == VALUE_STRING);
    CHECK(value_kind(value_get(veiled, "url")) == VALUE_SECRET);
    CHECK_TEXT(value_get_text(veiled, "plain"), "q");
    CLEANUP(value_unrefp) struct value *rest = value_without_secrets(veiled);
    CLEANUP(mem_freep) char *text = json_text(rest);
    CHECK_TEXT(text, "{\"list\":[\"new\"],\"plain\":\"q\"}");
    CLEANUP(value_unrefp) struct value *same = value_without_origins(like);
    CLEANUP(value_unrefp) struct value *named = value_with_origins(same, like);
    CLEANUP(mem_freep) char *with = json_text(named);
    CLEANUP(mem_freep) char *want = json_text(like);
    CHECK_TEXT(with, want);
}

/* --- What comes back --- */

TEST(a_secret_is_taken_out_of_a_text_in_every_form)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"nothing here", NULL},
        {"login with p:ss w\"rd/7 failed", "login with (secret db) failed"},
        {"abcdefghabcdefgh", "(secret token)(secret token)"},
        {"{\"password\":\"p:ss w\\\"rd/7\"}", "{\"password\":\"(secret db)\"}"},
        {"?p=p%3Ass%20w%22rd%2F7&x", "?p=(secret db)&x"},
        {"?p=p%3Ass+w%22rd%2F7&x", "?p=(secret db)&x"},
        {"hex 6162636465666768.", "hex (secret token)."},
        {"HEX 703A737320772272642F37", "HEX (secret db)"},
    };
    begin();
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        CLEANUP(mem_freep) char *text = secrets_redact(secrets, rows[i].text);
        CHECK(!text == !rows[i].want);
        if (text && rows[i].want)
            CHECK_TEXT(text, rows[i].want);
    }
}

TEST(a_secret_is_found_in_base64_wherever_it_stands)
{
    /* base64 of "abcdefgh" behind none, one and two bytes, and with others behind it; the last is
     * that of a user and a password as HTTP sends them. */
    static const char *const texts[] = {"YWJjZGVmZ2g=", "LWFiY2RlZmdo", "LS1hYmNkZWZnaA==",
                                        "YWJjZGVmZ2ghISE=", "YWRtaW46YWJjZGVmZ2g="};
    /* What is left of the text must not be enough to know it: its middle is gone. */
    begin();
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        CLEANUP(mem_freep) char *text = secrets_redact(secrets, texts[i]);
        CHECK(text && strstr(text, "(secret token)"));
        CHECK(!text || !strstr(text, "jZGVm"));
        CHECK(!text || strlen(text) < strlen("(secret token)") + 12);
    }
}

TEST(a_line_of_a_secret_is_one_and_a_short_one_hides_all)
{
    begin();
    add("pem", "-----BEGIN KEY-----\nMIIEvQIBADAN\nBgkqhkiG9w0B\n-----END KEY-----");
    CLEANUP(mem_freep)
    char *line = secrets_redact(secrets, "bad line: MIIEvQIBADAN in -----BEGIN KEY-----");
    CHECK_TEXT(line, "bad line: (secret pem) in -----BEGIN KEY-----");
    add("pin", "47");
    CLEANUP(mem_freep) char *text = secrets_redact(secrets, "the pin 147 is wrong");
    CHECK_TEXT(text, "(not shown: a secret is in it)");
    CLEANUP(mem_freep) char *none = secrets_redact(secrets, "the pin 1 is wrong");
    CHECK(!none);
    CHECK(!secrets_redact(NULL, "abcdefgh"));
}

TEST(of_a_secret_within_another_the_longer_one_is_taken_out_whole)
{
    begin();
    add("all", "user:abcdefgh:more");
    CLEANUP(mem_freep) char *text = secrets_redact(secrets, "was user:abcdefgh:more, abcdefgh");
    CHECK_TEXT(text, "was (secret all), (secret token)");
}

TEST(a_large_secret_is_taken_out_of_one_text_after_the_other)
{
    enum { SIZE = 40000 };
    CLEANUP(mem_freep) char *large = mem_zeroed(SIZE + 1, 1);
    begin();
    for (size_t i = 0; i < SIZE; i++)
        large[i] = (char)('a' + i % 23);
    add("large", large);
    CLEANUP(mem_freep) char *text = string_format("abcdefgh, %s!", large);
    for (int i = 0; i < 2; i++) {
        CLEANUP(mem_freep) char *shown = secrets_redact(secrets, text);
        CHECK_TEXT(shown, "(secret token), (secret large)!");
    }
    CHECK(!secrets_redact(secrets, "nothing here"));
}

TEST(what_was_made_of_a_secret_and_sent_is_taken_out_of_the_answer)
{
    begin();
    CLEANUP(mem_freep) char *before = secrets_redact(secrets, "no ABCDEFGH here");
    CHECK(!before);
    CLEANUP(mem_freep) char *sent = text_of("${upper(secret.token)}");
    CHECK_TEXT(sent, "ABCDEFGH");
    CLEANUP(mem_freep) char *after = secrets_redact(secrets, "no ABCDEFGH here");
    CHECK_TEXT(after, "no (secret) here");
    CLEANUP(mem_freep) char *length = text_of("${length(secret.token)}");
    CHECK_TEXT(length, "8");
    CHECK(!secrets_redact(secrets, "8 of 8"));
}

TEST(a_text_of_a_value_that_holds_a_secret_becomes_a_handle)
{
    static const char text[] = "{\"n\":1,\"url\":\"x://abcdefgh@y\",\"z\":[\"abcdefgh\",\"c\"]}";
    begin();
    CLEANUP(value_unrefp) struct value *value = NULL;
    CHECK(json_read(text, strlen(text), &value, NULL) == 0);
    CLEANUP(value_unrefp) struct value *redacted = secrets_redact_value(secrets, value);
    CHECK(value_kind(value_get(redacted, "url")) == VALUE_SECRET);
    const struct value *list = value_get(redacted, "z");
    CHECK_TEXT(value_text(value_at(list, 0)), secrets_find(secrets, "token"));
    CHECK_TEXT(value_text(value_at(list, 1)), "c");
}

/* The memory of AddressSanitizer cannot be walked through. */
#ifdef __has_feature
#define HAS_SANITIZER __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER true
#else
#define HAS_SANITIZER false
#endif

/* Whether a text lies anywhere in a piece of memory; the scrambled one is its bytes, each one less.
 */
static bool is_in(const char *start, const char *end, const char *scrambled)
{
    size_t length = strlen(scrambled);
    for (const char *at = start; at && at + length <= end; at++) {
        size_t n = 0;
        while (n < length && at[n] == scrambled[n] + 1)
            n++;
        if (n == length)
            return true;
    }
    return false;
}

/* The same of all that an allocator may have: the heap, and memory without a name. */
static bool is_in_heap(const char *scrambled)
{
    char line[512];
    bool is_there = false;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof(line), maps) && !is_there) {
        void *start = NULL;
        void *end = NULL;
        char rights[8] = "";
        char name[256] = "";
        int n = sscanf(line, "%p-%p %7s %*s %*s %*s %255s", &start, &end, rights, name);
        bool is_allocated = n == 3 || strcmp(name, "[heap]") == 0 || strncmp(name, "[anon", 5) == 0;
        if (n >= 3 && is_allocated && strncmp(rights, "rw", 2) == 0)
            is_there = is_in(start, end, scrambled);
    }
    if (maps)
        fclose(maps);
    return is_there;
}

TEST(what_is_freed_is_overwritten_once_there_are_secrets)
{
    static const char scrambled[] = "b`m`qx,2e6`80b1,hm,sgd,ldlnqx";
    char text[sizeof(scrambled)];
    if (HAS_SANITIZER || RUNNING_ON_VALGRIND)
        SKIP("a sanitizer and valgrind have a heap of their own");
    begin();
    for (size_t i = 0; i < sizeof(scrambled) - 1; i++)
        text[i] = (char)(scrambled[i] + 1);
    text[sizeof(text) - 1] = '\0';
    struct strbuf grown = {0};
    strbuf_add(&grown, "some more in front of it: ");
    strbuf_add(&grown, text);
    if (!is_in_heap(scrambled)) {
        strbuf_done(&grown);
        SKIP("the heap is another one");
    }
    for (size_t i = 0; i < 1000; i++)
        strbuf_add(&grown, "and it moves");
    CLEANUP(value_unrefp) struct value *value = value_string(strbuf_text(&grown));
    value_unref(take_ptr(value));
    strbuf_done(&grown);
    CHECK(!is_in_heap(scrambled));
}

/* The flags that /proc gives the memory in which an address lies: lo locked, dd in no core file. */
static bool has_flags(const void *address)
{
    char line[512];
    bool is_inside = false;
    bool has_both = false;
    FILE *maps = fopen("/proc/self/smaps", "re");
    while (maps && fgets(line, sizeof(line), maps)) {
        void *start = NULL;
        void *end = NULL;
        if (sscanf(line, "%p-%p ", &start, &end) == 2)
            is_inside = address >= start && address < end;
        if (is_inside && strncmp(line, "VmFlags:", 8) == 0)
            has_both = strstr(line, " lo") && strstr(line, " dd");
    }
    if (maps)
        fclose(maps);
    return has_both;
}

TEST(a_text_that_is_sent_lies_in_locked_memory_that_no_core_file_has)
{
    begin();
    bool was_on = mem_lock_new(true);
    char *probe = string_copy("is it locked here?");
    bool is_locked = has_flags(probe);
    mem_free(probe);
    CHECK(mem_lock_new(was_on) && !was_on);
    if (!is_locked)
        SKIP("nothing can be locked here, or a sanitizer takes it out");
    CLEANUP(mem_freep) char *digest = NULL;
    CLEANUP(value_unrefp) struct value *revealed = NULL;
    CHECK(secrets_digest_expression(secrets, "x-${upper(secret.token)}", &digest, NULL) == 0);
    CLEANUP(value_unrefp) struct value *handle = value_secret(digest, "x-${upper(secret.token)}");
    CHECK(secrets_reveal(secrets, handle, &revealed, NULL) == 0);
    CHECK_TEXT(value_text(revealed), "x-ABCDEFGH");
    CHECK(has_flags(value_text(revealed)));
    CHECK(mem_can_lock());
}

TEST(nothing_is_left)
{
    secrets_free(secrets);
    secret_key_free(key);
    secrets = NULL;
    key = NULL;
}
