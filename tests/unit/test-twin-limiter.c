#include "base/text.h"
#include "harness.h"
#include "twin/limiter-count.h"
#include "twin/limiter-frame.h"

#include <string.h>

enum { SECOND = 1000 * 1000 };

TEST(request_n_plus_1_waits_for_the_end_of_its_window)
{
    struct limiter_counts counts = {0};
    for (int i = 0; i < 20; i++)
        CHECK(limiter_counts_add(&counts, "edge 10.0.0.1", 20, 60 * SECOND, i * SECOND) == 0);
    CHECK(limiter_counts_add(&counts, "edge 10.0.0.1", 20, 60 * SECOND, 20 * SECOND) ==
          40 * SECOND);
    CHECK(limiter_counts_add(&counts, "edge 10.0.0.1", 20, 60 * SECOND, 60 * SECOND - 1) == 1);
    /* The next window begins with the next request, not with the end of this one. */
    CHECK(limiter_counts_add(&counts, "edge 10.0.0.1", 1, 60 * SECOND, 70 * SECOND) == 0);
    CHECK(limiter_counts_add(&counts, "edge 10.0.0.1", 1, 60 * SECOND, 129 * SECOND) == SECOND);
    CHECK(limiter_counts_add(&counts, "edge 10.0.0.1", 1, 60 * SECOND, 130 * SECOND) == 0);
    limiter_counts_done(&counts);
}

TEST(addresses_and_limits_are_counted_apart)
{
    struct limiter_counts counts = {0};
    CHECK(limiter_counts_add(&counts, "edge 10.0.0.1", 1, SECOND, 0) == 0);
    CHECK(limiter_counts_add(&counts, "edge 10.0.0.2", 1, SECOND, 0) == 0);
    CHECK(limiter_counts_add(&counts, "side 10.0.0.1", 1, SECOND, 0) == 0);
    CHECK(limiter_counts_add(&counts, "edge 10.0.0.1", 1, SECOND, 0) > 0);
    limiter_counts_done(&counts);
}

TEST(a_changed_limit_counts_what_came_before)
{
    struct limiter_counts counts = {0};
    for (int i = 0; i < 15; i++)
        CHECK(limiter_counts_add(&counts, "edge 10.0.0.1", 20, 60 * SECOND, 0) == 0);
    CHECK(limiter_counts_add(&counts, "edge 10.0.0.1", 15, 60 * SECOND, 0) == 60 * SECOND);
    CHECK(limiter_counts_add(&counts, "edge 10.0.0.1", 16, 3600LL * SECOND, SECOND) == 0);
    CHECK(limiter_counts_add(&counts, "edge 10.0.0.1", 16, 3600LL * SECOND, SECOND) ==
          3599LL * SECOND);
    CHECK(limiter_counts_add(&counts, "edge 10.0.0.1", 16, SECOND, SECOND) == 0);
    limiter_counts_done(&counts);
}

static int64_t add_numbered(struct limiter_counts *counts, int number, int64_t now)
{
    char whom[32];
    snprintf(whom, sizeof(whom), "edge %d", number);
    return limiter_counts_add(counts, whom, 1, 60 * SECOND, now);
}

TEST(a_flood_of_addresses_takes_no_more_than_its_room_and_forgets_the_oldest_first)
{
    struct limiter_counts counts = {0};
    for (int i = 0; i < LIMITER_WINDOWS; i++)
        CHECK(add_numbered(&counts, i, 0) == 0);
    CHECK(add_numbered(&counts, LIMITER_WINDOWS, SECOND) == 0);
    CHECK(counts.windows.n_live == LIMITER_WINDOWS / 4 * 3 + 1);
    CHECK(add_numbered(&counts, LIMITER_WINDOWS - 1, SECOND) == 59 * SECOND);
    CHECK(add_numbered(&counts, 0, SECOND) == 0);
    limiter_counts_done(&counts);
}

TEST(what_has_ended_goes_before_what_still_counts)
{
    struct limiter_counts counts = {0};
    CHECK(limiter_counts_add(&counts, "edge slow", 1, 600 * SECOND, 0) == 0);
    for (int i = 1; i < LIMITER_WINDOWS; i++)
        CHECK(add_numbered(&counts, i, 0) == 0);
    CHECK(add_numbered(&counts, LIMITER_WINDOWS, 61 * SECOND) == 0);
    CHECK(counts.windows.n_live == 2);
    CHECK(limiter_counts_add(&counts, "edge slow", 1, 600 * SECOND, 61 * SECOND) == 539 * SECOND);
    limiter_counts_done(&counts);
}

/* --- Frames, written down by hand from the protocol's description --- */

#define HEAD(type, stream, id) type "\0\0\0\1" stream id

/* A literal without the NUL at its end. */
#define ANSWER(counts, frame, now, out, is_last) \
    limiter_answer(counts, (const uint8_t *)(frame), sizeof(frame) - 1, now, out, is_last, NULL)
#define IS(out, wanted) \
    ((out).length == sizeof(wanted) - 1 && memcmp((out).text, wanted, sizeof(wanted) - 1) == 0)

#define HELLO              \
    HEAD("\1", "\0", "\0") \
    "\x12"                 \
    "supported-versions"   \
    "\x08\x03"             \
    "2.0"                  \
    "\x0e"                 \
    "max-frame-size"       \
    "\x03\xfc\xf0\x06"     \
    "\x0c"                 \
    "capabilities"         \
    "\x08\x10"             \
    "pipelining,async"

#define HELLO_ANSWER                                         \
    "\0\0\0\x40" HEAD("\x65", "\0", "\0") "\x07"             \
                                          "version"          \
                                          "\x08\x03"         \
                                          "2.0"              \
                                          "\x0e"             \
                                          "max-frame-size"   \
                                          "\x03\xfc\xf0\x06" \
                                          "\x0c"             \
                                          "capabilities"     \
                                          "\x08\x0a"         \
                                          "pipelining"

TEST(a_greeting_is_answered_with_the_version_and_the_size_of_frames)
{
    struct limiter_counts counts = {0};
    struct strbuf out = {0};
    bool is_last = true;
    CHECK(ANSWER(&counts, HELLO, 0, &out, &is_last) == 0);
    CHECK(IS(out, HELLO_ANSWER));
    CHECK(!is_last);
    strbuf_clear(&out);
    CHECK(ANSWER(&counts,
                 HELLO "\x0b"
                       "healthcheck"
                       "\x11",
                 0, &out, &is_last) == 0);
    CHECK(IS(out, HELLO_ANSWER));
    CHECK(is_last);
    strbuf_done(&out);
}

/* Stream 300, frame 2: two of edge/front's requests in a minute, asked by 10.0.0.1. */
#define QUESTION                 \
    HEAD("\3", "\xfc\x03", "\2") \
    "\5"                         \
    "count"                      \
    "\4"                         \
    "\2"                         \
    "of"                         \
    "\x08\x0a"                   \
    "edge/front"                 \
    "\6"                         \
    "source"                     \
    "\x06\x0a\0\0\1"             \
    "\5"                         \
    "count"                      \
    "\4\2"                       \
    "\7"                         \
    "seconds"                    \
    "\4\x3c"

#define VERDICT(seconds)                                   \
    "\0\0\0\x12" HEAD("\x67", "\xfc\x03", "\2") "\1\3\2\4" \
                                                "wait"     \
                                                "\3" seconds

TEST(a_question_is_answered_with_the_seconds_to_wait)
{
    struct limiter_counts counts = {0};
    struct strbuf out = {0};
    bool is_last = true;
    for (int i = 0; i < 2; i++) {
        CHECK(ANSWER(&counts, QUESTION, 0, &out, &is_last) == 0);
        CHECK(IS(out, VERDICT("\0")));
        CHECK(!is_last);
        strbuf_clear(&out);
    }
    /* Half a second before the end is a second to wait. */
    CHECK(ANSWER(&counts, QUESTION, 59 * SECOND + SECOND / 2, &out, &is_last) == 0);
    CHECK(IS(out, VERDICT("\1")));
    strbuf_clear(&out);
    CHECK(ANSWER(&counts, QUESTION, 60 * SECOND, &out, &is_last) == 0);
    CHECK(IS(out, VERDICT("\0")));
    strbuf_done(&out);
    limiter_counts_done(&counts);
}

TEST(a_farewell_is_returned_and_ends_the_connection)
{
    struct limiter_counts counts = {0};
    struct strbuf out = {0};
    bool is_last = false;
    CHECK(ANSWER(&counts,
                 HEAD("\2", "\0", "\0") "\x0b"
                                        "status-code"
                                        "\3\0"
                                        "\7"
                                        "message"
                                        "\x08\6"
                                        "normal",
                 0, &out, &is_last) == 0);
    CHECK(out.length > 5 && out.text[4] == 102);
    CHECK(is_last);
    strbuf_done(&out);
}

TEST(every_frame_that_is_cut_off_is_refused_and_counts_nothing)
{
    static const char question[] = QUESTION;
    struct limiter_counts counts = {0};
    struct strbuf out = {0};
    bool is_last = false;
    size_t head = 1 + 4 + 2 + 1;
    for (size_t size = 0; size < sizeof(question) - 1; size++) {
        /* A frame without a message is a good one. */
        int wanted = size == head ? 0 : -ERROR_INVALID;
        strbuf_clear(&out);
        CHECK(limiter_answer(&counts, (const uint8_t *)question, size, 0, &out, &is_last, NULL) ==
              wanted);
        CHECK(wanted == 0 || out.length == 0);
    }
    CHECK(counts.windows.n_live == 0);
    strbuf_done(&out);
    limiter_counts_done(&counts);
}

TEST(frames_of_unknown_kinds_or_without_what_is_needed_are_refused)
{
    struct limiter_counts counts = {0};
    struct strbuf out = {0};
    bool is_last = false;
    CHECK(ANSWER(&counts, HEAD("\x67", "\1", "\1"), 0, &out, &is_last) == -ERROR_INVALID);
    CHECK(ANSWER(&counts, "\3\0\0\0\0\1\1", 0, &out, &is_last) == -ERROR_INVALID);
    CHECK(ANSWER(&counts,
                 HEAD("\3", "\1", "\1") "\5"
                                        "count"
                                        "\1"
                                        "\2"
                                        "of"
                                        "\x08\1x",
                 0, &out, &is_last) == -ERROR_INVALID);
    CHECK(ANSWER(&counts,
                 HEAD("\3", "\1", "\1") "\5"
                                        "count"
                                        "\1"
                                        "\2"
                                        "of"
                                        "\x0f\1x",
                 0, &out, &is_last) == -ERROR_INVALID);
    CHECK(out.length == 0);
    strbuf_done(&out);
}
