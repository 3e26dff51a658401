/*
 * Any texts as a stream of server-sent events: read as the specification says
 * (html.spec.whatwg.org, 9.2.6), by a reader of its own, each is one event "message" with the same
 * text, the ends of its lines being LF. 0xff stands between two texts.
 */
#include "base/memory.h"
#include "fuzz/fuzz.h"
#include "mcp/events.h"

#include <string.h>

/* --- A reader, with the buffers that the specification names --- */

struct reader {
    struct strbuf data, type;
    bool has_id, has_unknown;
    size_t n_events;
    const char *wanted; /* the rest of the texts that events must have */
    const char *wanted_end;
};

static const char *text_end(const struct reader *reader)
{
    const char *end = memchr(reader->wanted, 0xff, (size_t)(reader->wanted_end - reader->wanted));
    return end ? end : reader->wanted_end;
}

/* Whether data is the next text, after which another is. */
static bool is_next(struct reader *reader, const char *data, size_t length)
{
    const char *at = reader->wanted, *end = text_end(reader);
    size_t i = 0;
    while (at < end && i < length) {
        bool is_pair = at[0] == '\r' && at + 1 < end && at[1] == '\n';
        char want = *at == '\r' ? '\n' : *at;
        if (data[i++] != want)
            return false;
        at += is_pair ? 2 : 1;
    }
    reader->wanted = end < reader->wanted_end ? end + 1 : end;
    return at == end && i == length;
}

static void dispatch(struct reader *reader)
{
    if (reader->data.length > 0) {
        MUST(reader->data.text[reader->data.length - 1] == '\n');
        MUST(is_next(reader, reader->data.text, reader->data.length - 1));
        MUST(reader->type.length == 7 && memcmp(reader->type.text, "message", 7) == 0);
        reader->n_events++;
    }
    strbuf_clear(&reader->data);
    strbuf_clear(&reader->type);
}

static bool is_name(const char *line, size_t length, const char *name)
{
    return length == strlen(name) && memcmp(line, name, length) == 0;
}

static void take_line(struct reader *reader, const char *line, size_t length)
{
    const char *colon = memchr(line, ':', length);
    size_t n_name = colon ? (size_t)(colon - line) : length;
    const char *value = colon ? colon + 1 : line + length;
    size_t n_value = (size_t)(line + length - value);
    if (length == 0) {
        dispatch(reader);
        return;
    }
    if (n_value > 0 && *value == ' ')
        value++, n_value--;
    if (is_name(line, n_name, "data")) {
        strbuf_add_n(&reader->data, value, n_value);
        strbuf_add_char(&reader->data, '\n');
    } else if (is_name(line, n_name, "event")) {
        strbuf_clear(&reader->type);
        strbuf_add_n(&reader->type, value, n_value);
    } else {
        /* A comment, an id, a time to wait: none of them was written. */
        reader->has_unknown = true;
    }
}

/* Lines end with CR LF, LF or CR; one that the stream breaks off in is dropped. */
static void take_stream(struct reader *reader, const char *at, const char *end)
{
    for (const char *start = at; at < end; start = at) {
        while (at < end && *at != '\r' && *at != '\n')
            at++;
        if (at == end)
            return;
        take_line(reader, start, (size_t)(at - start));
        at += *at == '\r' && at + 1 < end && at[1] == '\n' ? 2 : 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    const char *texts = (const char *)text;
    struct reader reader = {.wanted = texts, .wanted_end = texts + size};
    struct strbuf stream = {0};
    size_t n_texts = 0;
    for (const char *at = texts, *end = texts + size;; n_texts++) {
        const char *next = size ? memchr(at, 0xff, (size_t)(end - at)) : NULL;
        event_write(&stream, at, (size_t)((next ? next : end) - at));
        if (!next) {
            n_texts++;
            break;
        }
        at = next + 1;
    }
    take_stream(&reader, stream.text, stream.text + stream.length);
    MUST(reader.n_events == n_texts && !reader.has_unknown);
    MUST(reader.data.length == 0 && reader.type.length == 0);
    strbuf_done(&reader.data);
    strbuf_done(&reader.type);
    strbuf_done(&stream);
    return 0;
}
