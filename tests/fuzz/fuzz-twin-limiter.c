/* Frames on the limiter's socket, one after the other: whatever comes, an answer is a whole frame,
 * a refused frame gets none, and no more is remembered than there is room for. */
#include "fuzz/fuzz.h"
#include "twin/limiter-frame.h"

static size_t size_at(const uint8_t *bytes)
{
    return (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
}

static void check_frames(const struct strbuf *out)
{
    for (size_t used = 0; used < out->length;) {
        const uint8_t *bytes = (const uint8_t *)out->text + used;
        MUST(out->length - used > 4 && size_at(bytes) <= out->length - used - 4);
        MUST(bytes[4] >= 101 && bytes[4] <= 103);
        used += 4 + size_at(bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    struct limiter_counts counts = {0};
    struct strbuf out = {0};
    bool is_last = false;
    int64_t now = 0;
    while (!is_last && size >= 4 && size_at(text) <= size - 4 &&
           size_at(text) <= LIMITER_FRAME_LIMIT) {
        size_t before = out.length, frame = size_at(text);
        if (limiter_answer(&counts, text + 4, frame, now, &out, &is_last, NULL) < 0)
            MUST(out.length == before);
        text += 4 + frame;
        size -= 4 + frame;
        now += 1000 * 1000;
    }
    check_frames(&out);
    MUST(counts.windows.n_live <= LIMITER_WINDOWS);
    strbuf_done(&out);
    limiter_counts_done(&counts);
    return 0;
}
