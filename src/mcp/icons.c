/*
 * Pictures of what is offered, for clients since 2025-11-25. Tools have none: a client pays for
 * every byte of their list in every conversation, and for the server's in one answer only.
 */
#include "base/memory.h"
#include "base/text.h"
#include "mcp/internal.h"

#include <string.h>

/* One colour that is seen on a light and on a dark ground. */
#define SVG                                                            \
    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\">" \
    "<path fill=\"#29a\" fill-rule=\"evenodd\" d=\"%s\"/></svg>"

void mcp_write_icon(const struct mcp_offer *offer, const char *of, struct strbuf *members)
{
    for (size_t i = 0; i < offer->n_icons; i++) {
        if (!text_equal(offer->icons[i].of, of))
            continue;
        CLEANUP(mem_freep) char *svg = string_format(SVG, offer->icons[i].path);
        CLEANUP(mem_freep) char *text = mcp_base64(svg, strlen(svg));
        strbuf_addf(members,
                    ",\"icons\":[{\"src\":\"data:image/svg+xml;base64,%s\","
                    "\"mimeType\":\"image/svg+xml\",\"sizes\":[\"any\"]}]",
                    text);
        return;
    }
}

bool mcp_knows_icons(const struct mcp_call *call)
{
    const struct mcp_session *session = call->exchange->session;
    return call->is_modern || (session && text_equal(session->version, MCP_LEGACY_VERSION));
}
