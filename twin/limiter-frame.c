#include "twin/limiter-frame.h"

#include <arpa/inet.h>
#include <string.h>

enum frame_type {
    FRAME_HAPROXY_HELLO = 1,
    FRAME_HAPROXY_DISCONNECT = 2,
    FRAME_NOTIFY = 3,
    FRAME_AGENT_HELLO = 101,
    FRAME_AGENT_DISCONNECT = 102,
    FRAME_ACK = 103
};
enum { FLAG_FIN = 1, ACTION_SET_VARIABLE = 1, SCOPE_TRANSACTION = 2, SECOND = 1000 * 1000 };
enum data_type {
    DATA_NULL,
    DATA_BOOLEAN,
    DATA_INT32,
    DATA_UINT32,
    DATA_INT64,
    DATA_UINT64,
    DATA_IPV4,
    DATA_IPV6,
    DATA_STRING,
    DATA_BINARY,
    DATA_TRUE = 0x11
};

/* --- Reading: each returns false when the frame ends too early --- */

struct reader {
    const uint8_t *next, *end;
};

static bool read_byte(struct reader *reader, uint8_t *ret_byte)
{
    if (reader->next == reader->end)
        return false;
    *ret_byte = *reader->next++;
    return true;
}

static bool read_bytes(struct reader *reader, size_t n, const uint8_t **ret_bytes)
{
    if ((size_t)(reader->end - reader->next) < n)
        return false;
    *ret_bytes = reader->next;
    reader->next += n;
    return true;
}

static bool read_number(struct reader *reader, uint64_t *ret_number)
{
    uint8_t byte;
    if (!read_byte(reader, &byte))
        return false;
    uint64_t number = byte;
    for (unsigned int shift = 4; byte >= (shift == 4 ? 240 : 128); shift += 7) {
        if (shift > 63 || !read_byte(reader, &byte))
            return false;
        number += (uint64_t)byte << shift;
    }
    *ret_number = number;
    return true;
}

struct text {
    const uint8_t *bytes;
    size_t length;
};

static bool read_text(struct reader *reader, struct text *ret_text)
{
    uint64_t length;
    if (!read_number(reader, &length) || length > LIMITER_FRAME_LIMIT ||
        !read_bytes(reader, (size_t)length, &ret_text->bytes))
        return false;
    ret_text->length = (size_t)length;
    return true;
}

static bool is_text(const struct text *text, const char *wanted)
{
    return text->length == strlen(wanted) && memcmp(text->bytes, wanted, text->length) == 0;
}

/* A typed value: a number, or bytes that mean what the type says. */
struct data {
    uint8_t type;
    uint64_t number;
    struct text text;
};

static bool read_data(struct reader *reader, struct data *ret_data)
{
    uint8_t byte;
    if (!read_byte(reader, &byte))
        return false;
    *ret_data = (struct data){.type = byte & 0x0f};
    switch (ret_data->type) {
    case DATA_NULL:
        return true;
    case DATA_BOOLEAN:
        ret_data->number = byte == DATA_TRUE;
        return true;
    case DATA_INT32:
    case DATA_UINT32:
    case DATA_INT64:
    case DATA_UINT64:
        return read_number(reader, &ret_data->number);
    case DATA_IPV4:
    case DATA_IPV6:
        ret_data->text.length = ret_data->type == DATA_IPV4 ? 4 : 16;
        return read_bytes(reader, ret_data->text.length, &ret_data->text.bytes);
    case DATA_STRING:
    case DATA_BINARY:
        return read_text(reader, &ret_data->text);
    default:
        return false;
    }
}

static bool read_pair(struct reader *reader, struct text *ret_name, struct data *ret_data)
{
    return read_text(reader, ret_name) && read_data(reader, ret_data);
}

/* --- Writing --- */

static void write_number(struct strbuf *out, uint64_t number)
{
    if (number < 240) {
        strbuf_add_char(out, (char)number);
        return;
    }
    strbuf_add_char(out, (char)(number | 240));
    for (number = (number - 240) >> 4; number >= 128; number = (number - 128) >> 7)
        strbuf_add_char(out, (char)(number | 128));
    strbuf_add_char(out, (char)number);
}

static void write_text(struct strbuf *out, const char *text)
{
    write_number(out, strlen(text));
    strbuf_add(out, text);
}

static void write_text_pair(struct strbuf *out, const char *name, const char *text)
{
    write_text(out, name);
    strbuf_add_char(out, DATA_STRING);
    write_text(out, text);
}

static void write_number_pair(struct strbuf *out, const char *name, uint64_t number)
{
    write_text(out, name);
    strbuf_add_char(out, DATA_UINT32);
    write_number(out, number);
}

static void write_frame(struct strbuf *out, enum frame_type type, uint64_t stream, uint64_t id,
                        const struct strbuf *payload)
{
    struct strbuf frame = {0};
    uint32_t flags = htonl(FLAG_FIN);
    strbuf_add_char(&frame, (char)type);
    strbuf_add_n(&frame, (const char *)&flags, sizeof(flags));
    write_number(&frame, stream);
    write_number(&frame, id);
    strbuf_add_n(&frame, strbuf_text(payload), payload->length);
    uint32_t length = htonl((uint32_t)frame.length);
    strbuf_add_n(out, (const char *)&length, sizeof(length));
    strbuf_add_n(out, frame.text, frame.length);
    strbuf_done(&frame);
}

/* --- Frames --- */

/* A health check says hello and hangs up. */
static bool answer_hello(struct reader *reader, struct strbuf *out, bool *ret_is_last)
{
    struct text name;
    struct data data;
    uint64_t size = LIMITER_FRAME_LIMIT;
    while (reader->next < reader->end) {
        if (!read_pair(reader, &name, &data))
            return false;
        if (is_text(&name, "max-frame-size") && data.number < size)
            size = data.number;
        if (is_text(&name, "healthcheck"))
            *ret_is_last = data.number != 0;
    }
    struct strbuf payload = {0};
    write_text_pair(&payload, "version", "2.0");
    write_number_pair(&payload, "max-frame-size", size);
    write_text_pair(&payload, "capabilities", "pipelining");
    write_frame(out, FRAME_AGENT_HELLO, 0, 0, &payload);
    strbuf_done(&payload);
    return true;
}

static void answer_disconnect(struct strbuf *out)
{
    struct strbuf payload = {0};
    write_number_pair(&payload, "status-code", 0);
    write_text_pair(&payload, "message", "bye");
    write_frame(out, FRAME_AGENT_DISCONNECT, 0, 0, &payload);
    strbuf_done(&payload);
}

/* What a message says of a request. */
struct question {
    struct text of;     /* the limit's name */
    struct data source; /* an address */
    uint64_t count;     /* so many requests */
    uint64_t seconds;   /* in such a time */
};

static bool read_question(struct reader *reader, uint8_t n_arguments, struct question *ret_question)
{
    struct text name;
    struct data data;
    for (; n_arguments > 0; n_arguments--) {
        if (!read_pair(reader, &name, &data))
            return false;
        if (is_text(&name, "of"))
            ret_question->of = data.text;
        else if (is_text(&name, "source"))
            ret_question->source = data;
        else if (is_text(&name, "count"))
            ret_question->count = data.number;
        else if (is_text(&name, "seconds"))
            ret_question->seconds = data.number;
    }
    const struct data *source = &ret_question->source;
    return ret_question->of.length > 0 && ret_question->count > 0 &&
           ret_question->count <= UINT32_MAX && ret_question->seconds > 0 &&
           ret_question->seconds <= UINT32_MAX &&
           (source->type == DATA_IPV4 || source->type == DATA_IPV6);
}

static uint64_t seconds_to_wait(struct limiter_counts *counts, const struct question *question,
                                int64_t now)
{
    char address[INET6_ADDRSTRLEN] = "";
    const struct data *source = &question->source;
    inet_ntop(source->type == DATA_IPV4 ? AF_INET : AF_INET6, source->text.bytes, address,
              sizeof(address));
    CLEANUP(mem_freep)
    char *whom = string_format("%.*s %s", (int)question->of.length,
                               (const char *)question->of.bytes, address);
    int64_t wait = limiter_counts_add(counts, whom, (int64_t)question->count,
                                      (int64_t)question->seconds * SECOND, now);
    return (uint64_t)(wait + SECOND - 1) / SECOND;
}

static void write_wait(struct strbuf *payload, uint64_t seconds)
{
    strbuf_add_char(payload, ACTION_SET_VARIABLE);
    strbuf_add_char(payload, 3); /* arguments: scope, name, value */
    strbuf_add_char(payload, SCOPE_TRANSACTION);
    write_text(payload, LIMITER_VARIABLE);
    strbuf_add_char(payload, DATA_UINT32);
    write_number(payload, seconds);
}

static bool answer_questions(struct limiter_counts *counts, struct reader *reader, uint64_t stream,
                             uint64_t id, int64_t now, struct strbuf *out)
{
    struct strbuf payload = {0};
    bool is_good = true;
    while (is_good && reader->next < reader->end) {
        struct text message;
        uint8_t n_arguments;
        struct question question = {0};
        is_good = read_text(reader, &message) && read_byte(reader, &n_arguments) &&
                  read_question(reader, n_arguments, &question);
        if (is_good)
            write_wait(&payload, seconds_to_wait(counts, &question, now));
    }
    if (is_good)
        write_frame(out, FRAME_ACK, stream, id, &payload);
    strbuf_done(&payload);
    return is_good;
}

int limiter_answer(struct limiter_counts *counts, const uint8_t *frame, size_t size, int64_t now,
                   struct strbuf *out, bool *ret_is_last, struct error *err)
{
    struct reader reader = {frame, frame + size};
    uint8_t type;
    const uint8_t *flags;
    uint64_t stream, id;
    bool is_last = false;
    bool is_good = read_byte(&reader, &type) && read_bytes(&reader, 4, &flags) &&
                   (flags[3] & FLAG_FIN) && read_number(&reader, &stream) &&
                   read_number(&reader, &id);
    if (is_good && type == FRAME_HAPROXY_HELLO) {
        is_good = answer_hello(&reader, out, &is_last);
    } else if (is_good && type == FRAME_NOTIFY) {
        is_good = answer_questions(counts, &reader, stream, id, now, out);
    } else if (is_good && type == FRAME_HAPROXY_DISCONNECT) {
        answer_disconnect(out);
        is_last = true;
    } else {
        is_good = false;
    }
    if (!is_good)
        return error_set(err, ERROR_INVALID, "a frame of %zu bytes is none that HAProxy sends",
                         size);
    *ret_is_last = is_last;
    return 0;
}
