#include "harness.h"
#include "twin/measure.h"

TEST(what_a_process_used_is_read_whatever_its_name)
{
    static const char *const names[] = {"sh", "a b", "(x) 1 2 3)", ") R 1"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        CLEANUP(mem_freep)
        char *text = string_format("17 (%s) S 1 17 17 0 -1 4194560 90 0 0 0 120 34 5 6 20 0 1 0 "
                                   "987654 2764800 150 18446744073709551615\n",
                                   names[i]);
        uint64_t ticks = 0, begin = 0;
        CHECK(measure_parse_stat(text, &ticks, &begin));
        CHECK(ticks == 154 && begin == 987654);
    }
    static const char *const broken[] = {"", "17 (sh)", "17 (sh) S 1 17", "17 (sh S 1 17 17 0 -1"};
    for (size_t i = 0; i < ARRAY_LENGTH(broken); i++) {
        uint64_t ticks, begin;
        CHECK(!measure_parse_stat(broken[i], &ticks, &begin));
    }
}

TEST(a_label_cannot_end_early)
{
    struct strbuf out = {0};
    measure_write_label(&out, "a\"} 1\nb\\");
    CHECK_TEXT(strbuf_text(&out), "a\\\"} 1\\nb\\\\");
    strbuf_done(&out);
}
