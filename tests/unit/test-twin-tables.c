#include "harness.h"
#include "twin/tables.h"

#include "base/strbuf.h"

#include <string.h>

/* "FIRST-LAST CC" for each range of a text, or its fault, in a buffer that the next call reuses. */
static const char *ranges_of(const char *text)
{
    static struct strbuf out;
    struct table_range *ranges = NULL;
    struct error err = {0};
    size_t n = 0;
    strbuf_clear(&out);
    if (table_parse(text, strlen(text), &ranges, &n, &err) < 0)
        strbuf_add(&out, error_message(&err));
    for (size_t i = 0; i < n; i++) {
        char first[MACHINE_ADDRESS_SIZE], last[MACHINE_ADDRESS_SIZE];
        machine_address_to_text(ranges[i].first, first);
        machine_address_to_text(ranges[i].last, last);
        strbuf_addf(&out, "%s%s-%s%s%.2s", i ? "; " : "", first, last,
                    ranges[i].country[0] ? " " : "", ranges[i].country);
    }
    mem_free(ranges);
    error_done(&err);
    return strbuf_text(&out);
}

TEST(every_form_of_a_line_is_read)
{
    static const struct {
        const char *text;
        const char *want;
    } cases[] = {
        {"", ""},
        {"# nothing\n\n  ; nothing either\n", ""},
        {"192.0.2.7\n", "192.0.2.7-192.0.2.7"},
        {"198.51.100.0/24 ; SBL1\r\n10.0.0.0/8",
         "198.51.100.0-198.51.100.255; 10.0.0.0-10.255.255.255"},
        {"16777216,16777471,AU\n", "1.0.0.0-1.0.0.255 AU"},
        {"\"1.0.0.0\",\"1.0.0.255\",\"AU\",\"Australia\"\n", "1.0.0.0-1.0.0.255 AU"},
        {"1.0.0.0/24,AU\n", "1.0.0.0-1.0.0.255 AU"},
        {"2001:db8::/32\n2001:db8::,2001:db8::1,DE\n10.0.0.1\n", "10.0.0.1-10.0.0.1"},
        {"4294967040,4294967295,??\n", "255.255.255.0-255.255.255.255 ??"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        CHECK_TEXT(ranges_of(cases[i].text), cases[i].want);
}

TEST(what_is_no_network_is_told_by_its_line_and_not_by_its_text)
{
    static const char *const texts[] = {"10.0.0.1\nsecret-word\n",     "10.0.0.1\n10.0.0.1/8\n",
                                        "10.0.0.1\n2,1,DE\n",          "10.0.0.1\n1,2,DEU\n",
                                        "10.0.0.1\n1,4294967296,DE\n", "10.0.0.1\n10.0.0.1,de\n",
                                        "10.0.0.1\n10.0.0.1 accept\n"};
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        CHECK_TEXT(ranges_of(texts[i]), "line 2 is no address, network or range with a country");
}
