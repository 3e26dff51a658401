/* What forms send, and what nothing but an attacker sends. */
#include "base/memory.h"
#include "base/strbuf.h"
#include "harness.h"
#include "http/form.h"

#include <string.h>

static const char *const names[] = {"a", "name", NULL};

/* The values with a line each, "-" for none; "refused". The caller frees it. */
static char *read_it(const char *body)
{
    char *values[2];
    if (!form_read(body, strlen(body), names, values))
        return string_copy(values[0] || values[1] ? "refused with a value" : "refused");
    char *text = string_format("%s\n%s", values[0] ? values[0] : "-", values[1] ? values[1] : "-");
    mem_free(values[0]);
    mem_free(values[1]);
    return text;
}

TEST(a_form_is_read_as_browsers_write_it)
{
    /* https://url.spec.whatwg.org/#urlencoded-serializing */
    static const struct {
        const char *body, *want;
    } cases[] = {
        {"", "-\n-"},
        {"a=", "\n-"},
        {"a=1&name=2", "1\n2"},
        {"name=two+words&a=1", "1\ntwo words"},
        {"a=%2B%26%3D%25", "+&=%\n-"},
        {"a=*-._Az09", "*-._Az09\n-"},
        {"a=%C3%A9%e2%82%ac", "\xc3\xa9\xe2\x82\xac\n-"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(mem_freep) char *text = read_it(cases[i].body);
        CHECK_TEXT(text, cases[i].want);
    }
}

TEST(what_no_form_of_ours_sends_is_refused_as_a_whole)
{
    static const char *const cases[] = {
        "b=1",  "a",          "a=1&",  "&a=1",       "a=1&&name=2", "a=1&a=2", "a=%",
        "a=%4", "a=%4g",      "a=%00", "a=%0A",      "a=%7f",       "a=%ff",   "a=1;name=2",
        "a=<",  "a=\xc3\xa9", "a==1",  "name=1&A=2", "=1",          "a=1\r\n", "a=%C0%80",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(mem_freep) char *text = read_it(cases[i]);
        CHECK_TEXT(text, "refused");
    }
    char *values[2];
    CHECK(!form_read("a=\0", 3, names, values));
}
