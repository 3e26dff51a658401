#include "harness.h"
#include "model/diagnostic.h"
#include "model/json.h"
#include "model/value.h"

#include <math.h>

static struct value *read_json(const char *text)
{
    struct error err = {0};
    struct value *value = NULL;
    if (json_read(text, strlen(text), &value, &err) < 0)
        printf("# %s\n", err.message);
    error_done(&err);
    return value;
}

static const char *const samples[] = {
    "null",
    "true",
    "false",
    "0",
    "-7",
    "1.5",
    "\"\"",
    "\"a\"",
    "[]",
    "[1,2]",
    "[1,[2]]",
    "{}",
    "{\"a\":1}",
    "{\"a\":1,\"b\":[]}",
    "{\"$secret\":\"abc\"}",
    "{\"$origin\":\"${secret.db}\",\"$secret\":\"abd\"}",
    "{\"$unknown\":{\"origin\":\"${a.id}\",\"type\":\"string\"}}",
    "{\"$$secret\":\"abc\"}",
};

TEST(json_survives_reading_and_writing)
{
    for (size_t i = 0; i < ARRAY_LENGTH(samples); i++) {
        CLEANUP(value_unrefp) struct value *value = read_json(samples[i]);
        CHECK(value);
        CLEANUP(mem_freep) char *text = json_text(value);
        CHECK_TEXT(text, samples[i]);
    }
}

/* What is ours and what is not differ in keys that begin with "$". */
static void check_foreign(const char *text, int r, const struct value *value)
{
    CLEANUP(value_unrefp) struct value *foreign = NULL;
    if (!strchr(text, '$')) {
        CHECK(r == json_read_foreign(text, strlen(text), 1000, &foreign, NULL));
        CHECK(r < 0 || value_equal(foreign, value));
    }
}

/* Space in front leaves a text of ours to the library alone. Ends are cut off, and bytes put in. */
TEST(plain_json_gives_what_the_library_makes_of_it)
{
    static const char *const texts[] = {
        "{\"a\":[\"b\",{\"c d\":\"e\"},[]],\"f\":{},\"g\":true,\"h\":false,\"i\":null}",
        "[0,-1,10,999999999999999,-999999999999999,1000000000000000,9007199254740993]",
        "{\"aa\":1,\"b\":2,\"ba\":3}",
        "{\"a\":{\"$unknown\":{\"origin\":\"${x.id}\",\"type\":\"string\"}}}",
        "{ \"b\" : 1 ,\t\"a\": [ ] , \"c\":\r\n{ } }",
        "{\"b\":1,\"a\":2,\"b\":3}",
        "[[[[[[[[[[[[\"deep\"]]]]]]]]]]]]"};
    static const char bytes[] = "\"\\{}[],:$0-1.e \n\x7f\xc3natf";
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        size_t length = strlen(texts[i]);
        for (size_t place = 0; place <= length; place++)
            for (size_t k = 0; k < sizeof(bytes); k++) {
                CLEANUP(mem_freep)
                char *text = string_format(" %.*s%.*s%s", (int)place, texts[i], bytes[k] != '\0',
                                           &bytes[k], bytes[k] ? texts[i] + place : "");
                struct value *with = NULL, *without = NULL;
                int r = json_read(text + 1, strlen(text + 1), &with, NULL);
                CHECK(r == json_read(text, strlen(text), &without, NULL));
                CHECK(r < 0 || value_equal(with, without));
                check_foreign(text, r, without);
                value_unref(with);
                value_unref(without);
            }
    }
}

TEST(keys_in_another_order_or_twice_are_told_apart)
{
    CLEANUP(value_unrefp) struct value *value = read_json("{\"b\":\"1\",\"a\":\"2\"}");
    CHECK_TEXT(value_get_text(value, "a"), "2");
    CHECK_TEXT(value_get_text(value, "b"), "1");
    struct value *twice = NULL;
    CHECK(json_read("{\"a\":\"1\",\"a\":\"1\"}", 17, &twice, NULL) < 0 && twice == NULL);
}

TEST(somebody_elses_keys_are_keys_and_his_depth_has_its_limit)
{
    static const char text[] = "{\"$unknown\": {\"origin\":\"a\",\"type\":\"b\"}, \"$$\": 1}";
    CLEANUP(value_unrefp) struct value *value = NULL;
    CHECK(json_read_foreign(text, strlen(text), 4, &value, NULL) == 0);
    CHECK(value_kind(value_get(value, "$unknown")) == VALUE_MAP && value_get(value, "$$"));
    struct value *deep = NULL;
    CHECK(json_read_foreign("[[[1]]]", 7, 3, &deep, NULL) == 0);
    value_unref(take_ptr(deep));
    CHECK(json_read_foreign("[[[1]]]", 7, 2, &deep, NULL) == -ERROR_LIMIT && !deep);
}

/* Bytes are looked at eight at a time: each special one at each place among them. */
TEST(a_text_is_escaped_wherever_its_special_character_stands)
{
    static const char *const escapes[][2] = {
        {"\"", "\\\""},      {"\\", "\\\\"}, {"\n", "\\n"},    {"\x1f", "\\u001f"},
        {"\x01", "\\u0001"}, {" ", " "},     {"\x7f", "\x7f"}, {"\xc3\xa4", "\xc3\xa4"},
        {"!", "!"},          {"#", "#"},     {"]", "]"},       {"[", "["}};
    for (size_t i = 0; i < ARRAY_LENGTH(escapes); i++) {
        for (int place = 0; place < 20; place++) {
            CLEANUP(mem_freep)
            char *plain = string_format("%.*s%s%.*s", place, "abcdefghijklmnopqrst", escapes[i][0],
                                        20 - place, "ABCDEFGHIJKLMNOPQRST");
            CLEANUP(mem_freep)
            char *want = string_format("\"%.*s%s%.*s\"", place, "abcdefghijklmnopqrst",
                                       escapes[i][1], 20 - place, "ABCDEFGHIJKLMNOPQRST");
            CLEANUP(value_unrefp) struct value *value = value_string(plain);
            CLEANUP(mem_freep) char *text = json_text(value);
            CHECK_TEXT(text, want);
        }
    }
}

TEST(comparison_is_one_total_order)
{
    struct value *values[ARRAY_LENGTH(samples)];
    for (size_t i = 0; i < ARRAY_LENGTH(samples); i++)
        values[i] = read_json(samples[i]);
    for (size_t a = 0; a < ARRAY_LENGTH(samples); a++)
        for (size_t b = 0; b < ARRAY_LENGTH(samples); b++) {
            CHECK((value_compare(values[a], values[b]) < 0) ==
                  (value_compare(values[b], values[a]) > 0));
            CHECK(value_equal(values[a], values[b]) == (a == b));
        }
    for (size_t i = 0; i < ARRAY_LENGTH(samples); i++)
        value_unref(values[i]);
}

/* The samples of RFC 8785, appendix B. */
TEST(numbers_are_written_as_rfc_8785_says)
{
    static const struct {
        uint64_t bits;
        const char *want;
    } cases[] = {
        {0x0000000000000000, "0"},
        {0x8000000000000000, "0"},
        {0x0000000000000001, "5e-324"},
        {0x8000000000000001, "-5e-324"},
        {0x7fefffffffffffff, "1.7976931348623157e+308"},
        {0x4340000000000000, "9007199254740992"},
        {0x4430000000000000, "295147905179352830000"},
        {0x44b52d02c7e14af5, "9.999999999999997e+22"},
        {0x44b52d02c7e14af6, "1e+23"},
        {0x444b1ae4d6e2ef4e, "999999999999999700000"},
        {0x444b1ae4d6e2ef50, "1e+21"},
        {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
        {0x3eb0c6f7a0b5ed8d, "0.000001"},
        {0x41b3de4355555553, "333333333.3333332"},
        {0x41b3de4355555557, "333333333.33333343"},
        {0xbecbf647612f3696, "-0.0000033333333333333333"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        double decimal;
        memcpy(&decimal, &cases[i].bits, sizeof(decimal));
        CLEANUP(value_unrefp) struct value *value = value_decimal(decimal);
        CLEANUP(mem_freep) char *text = json_text(value);
        CHECK_TEXT(text, cases[i].want);
    }
}

/* The sample of RFC 8785, section 3.2.3. */
TEST(keys_are_sorted_by_utf16_code_units)
{
    CLEANUP(value_unrefp)
    struct value *value = read_json(
        "{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7}");
    static const int want[] = {2, 4, 6, 7, 1, 5, 3};
    CHECK(value_count(value) == 7);
    for (size_t i = 0; i < 7; i++)
        CHECK(value_to_integer(value_at(value, i)) == want[i]);
    for (size_t i = 0; i < 7; i++)
        CHECK(value_get(value, value_key_at(value, i)) == value_at(value, i));
}

/* Each first and last character of the lengths that UTF-8 has, and of the surrogates' surroundings.
 */
TEST(keys_beyond_the_basic_plane_come_before_its_end)
{
    static const char *const ordered[] = {"",
                                          "\x7f",
                                          "\xc2\x80",
                                          "\xdf\xbf",
                                          "\xe0\xa0\x80",
                                          "\xed\x9f\xbf",
                                          "\xf0\x90\x80\x80",
                                          "\xf0\x9f\x98\x80",
                                          "\xf1\x80\x80\x80",
                                          "\xf4\x8f\xbf\xbf",
                                          "\xee\x80\x80",
                                          "\xee\xbf\xbf",
                                          "\xef\x80\x80",
                                          "\xef\xbf\xbd"};
    struct value_builder builder = {0};
    for (size_t i = ARRAY_LENGTH(ordered); i > 0; i--) {
        CLEANUP(mem_freep) char *key = string_format("k%s", ordered[i - 1]);
        value_builder_set(&builder, key, value_integer((int64_t)i - 1));
    }
    CLEANUP(value_unrefp) struct value *map = value_builder_map(&builder);
    CHECK(value_count(map) == ARRAY_LENGTH(ordered));
    for (size_t i = 0; i < ARRAY_LENGTH(ordered); i++)
        CHECK(value_to_integer(value_at(map, i)) == (int64_t)i);
}

TEST(large_integers_are_strings)
{
    CLEANUP(value_unrefp) struct value *large = value_integer(INT64_MIN);
    CLEANUP(mem_freep) char *text = json_text(large);
    CHECK_TEXT(text, "\"-9223372036854775808\"");
}

TEST(large_decimals_survive_reading_and_writing)
{
    static const char *const cases[] = {"100000000000000000", "295147905179352830000",
                                        "-991000000000000000000", "1e+21"};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(value_unrefp) struct value *value = read_json(cases[i]);
        CHECK(value && value_kind(value) == VALUE_DECIMAL);
        CLEANUP(mem_freep) char *text = json_text(value);
        CHECK_TEXT(text, cases[i]);
    }
    CLEANUP(value_unrefp) struct value *limit = read_json("9007199254740992");
    CHECK(value_kind(limit) == VALUE_INTEGER);
}

TEST(the_later_of_two_equal_keys_wins_in_a_builder)
{
    struct value_builder builder = {0};
    value_builder_set(&builder, "b", value_integer(1));
    value_builder_set(&builder, "a", value_integer(2));
    value_builder_set(&builder, "b", value_integer(3));
    CLEANUP(value_unrefp) struct value *map = value_builder_map(&builder);
    CLEANUP(mem_freep) char *text = json_text(map);
    CHECK_TEXT(text, "{\"a\":2,\"b\":3}");
    CLEANUP(value_unrefp) struct value *without = value_with(map, "a", NULL);
    CLEANUP(value_unrefp) struct value *with = value_with(without, "c", value_null());
    CLEANUP(mem_freep) char *changed = json_text(with);
    CHECK_TEXT(changed, "{\"b\":3,\"c\":null}");
}

TEST(maps_of_any_size_are_sorted_and_have_each_key_once)
{
    for (size_t n = 1; n < 100; n++) {
        struct value_builder builder = {0};
        /* Each key twice, in no order; 101 is prime. */
        for (size_t i = 0; i < 2 * n; i++) {
            char key[8];
            snprintf(key, sizeof(key), "k%03zu", (i % n) * 37 % 101);
            value_builder_set(&builder, key, value_integer((int64_t)i));
        }
        CLEANUP(value_unrefp) struct value *map = value_builder_map(&builder);
        CHECK(value_count(map) == n);
        for (size_t i = 0; i < n; i++) {
            CHECK(i == 0 || strcmp(value_key_at(map, i - 1), value_key_at(map, i)) < 0);
            CHECK(value_to_integer(value_at(map, i)) >= (int64_t)n);
        }
    }
}

TEST(sets_forget_order_and_duplicates)
{
    struct value *items[] = {value_string("b"), value_string("a"), value_string("b")};
    CLEANUP(value_unrefp) struct value *set = value_set(items, 3);
    CLEANUP(mem_freep) char *text = json_text(set);
    CHECK_TEXT(text, "[\"a\",\"b\"]");
}

TEST(unknowns_are_seen_at_any_depth)
{
    CLEANUP(value_unrefp)
    struct value *value =
        read_json("[{\"a\":[{\"$unknown\":{\"origin\":\"${x.id}\",\"type\":\"any\"}}]}]");
    CHECK(value_has_unknown(value));
    CHECK_TEXT(value_unknown_type(value_at_path(value, "[0].a[0]")), "any");
    CLEANUP(value_unrefp) struct value *known = read_json("[{\"a\":[1]}]");
    CHECK(!value_has_unknown(known));
    CHECK(value_to_integer(value_at_path(known, "[0].a[0]")) == 1);
    CHECK(value_at_path(known, "[0].b") == NULL && value_at_path(known, "[1]") == NULL);
}

TEST(what_others_wrote_is_written_for_others_as_it_was)
{
    static const char text[] =
        "{\"$$b\":[{\"$unknown\":1}],\"$a\":\"$c\",\"$secret\":\"x\",\"d\":{\"$\":null}}";
    CLEANUP(value_unrefp) struct value *value = NULL;
    CLEANUP(strbuf_done) struct strbuf written = {0};
    CHECK(json_read_foreign(text, strlen(text), 8, &value, NULL) == 0);
    json_write_foreign(&written, value);
    CHECK_TEXT(strbuf_text(&written), text);
    /* The canonical form can be read back as what it was. */
    CLEANUP(mem_freep) char *canonical = json_text(value);
    CLEANUP(value_unrefp) struct value *again = read_json(canonical);
    CHECK(strcmp(canonical, text) != 0 && value_equal(value, again));
}

TEST(a_member_is_found_in_json_that_is_not_taken)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"{\"id\":7,\"a\":\"\\u0000\"}", "7"},
        {"{\"id\":7,\"\\u0000\":1,\"b\":{\"a\\u0000b\" : {\"\\\\\\u0000\":2}}}", "7"},
        {"{\"\\u0000\":1,\"id\":\"\\\\u0000\"}", "\"\\\\u0000\""},
        {"{\"\\u0000\":1,\"id\":\"\\u0000\"}", NULL},
        {"{\"i\\u0000d\":1}", NULL},
        {"{\"\\u0000\":1,\"id\":\"", NULL},
        {"{\"\\", NULL},
        {"{\"a\":[[[[[1]]]]],\"id\":\"x\"}", "\"x\""},
        {"{\"id\":\"x\\u0000\"}", NULL},
        {"{\"id\":{}}", NULL},
        {"{\"id\":7,\"id\":8}", NULL},
        {"[7]", NULL},
        {"{\"id\":7", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(value_unrefp)
        struct value *found = json_find_member(cases[i].text, strlen(cases[i].text), "id");
        CLEANUP(mem_freep) char *text = found ? json_text(found) : NULL;
        CHECK(cases[i].want ? text && strcmp(text, cases[i].want) == 0 : !text);
    }
}

TEST(malformed_json_is_refused_with_a_place)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "[1,]",
                                      "{\"a\":1,\"a\":2}",
                                      "\"\\u0000\"",
                                      "{\"$x\":1}",
                                      "{\"$secret\":1}",
                                      "{\"$secret\":\"a\",\"b\":1}",
                                      "{\"$origin\":\"${a}\"}",
                                      "{\"$secret\":\"a\",\"$origin\":1}",
                                      "nul",
                                      "1 2"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct error err = {0};
        struct value *value = NULL;
        CHECK(json_read(bad[i], strlen(bad[i]), &value, &err) < 0);
        CHECK(value == NULL && err.message);
        error_done(&err);
    }
}

TEST(diagnostics_show_the_place_with_a_caret)
{
    struct diagnostics diagnostics = {0};
    struct position second = {"a.yaml", 2, 7};
    struct position first = {"a.yaml", 1, 1};
    diagnostics_add(&diagnostics, DIAGNOSTIC_BAD_NAME, second, NULL, "\"%s\" is not a name.", "X");
    diagnostics_add(&diagnostics, DIAGNOSTIC_UNKNOWN_KEY, first, "did you mean \"name\"?",
                    "No key \"nam\".");
    struct strbuf buffer = {0};
    diagnostics_write(&diagnostics, "a.yaml", "nam: y\nname: X\n", &buffer);
    CHECK_TEXT(strbuf_text(&buffer), "a.yaml:1:1: error[unknown-key]: There is no such key here\n"
                                     "    1 | nam: y\n"
                                     "      | ^\n"
                                     "  No key \"nam\".\n"
                                     "  help: did you mean \"name\"?\n"
                                     "a.yaml:2:7: error[bad-name]: This is not a name\n"
                                     "    2 | name: X\n"
                                     "      |       ^\n"
                                     "  \"X\" is not a name.\n");
    CHECK(diagnostics_has_errors(&diagnostics));
    strbuf_done(&buffer);
    diagnostics_done(&diagnostics);
}
