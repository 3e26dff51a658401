#include "mcp/events.h"

/* How many bytes the end of a line has here; 0: it goes on. */
static size_t line_end(const char *at, const char *end)
{
    if (*at == '\r')
        return at + 1 < end && at[1] == '\n' ? 2 : 1;
    return *at == '\n';
}

void event_write(struct strbuf *buffer, const char *text, size_t length)
{
    const char *at = text, *end = text + length;
    strbuf_add(buffer, "event: message\n");
    for (;;) {
        const char *start = at;
        while (at < end && !line_end(at, end))
            at++;
        strbuf_add(buffer, "data: ");
        strbuf_add_n(buffer, start, (size_t)(at - start));
        strbuf_add_char(buffer, '\n');
        if (at == end)
            break;
        at += line_end(at, end);
    }
    strbuf_add_char(buffer, '\n');
}
