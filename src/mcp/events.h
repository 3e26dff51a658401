/* Server-sent events (html.spec.whatwg.org, section 9.2), as far as they are written here. */
#pragma once

#include "base/strbuf.h"

/*
 * Appends an event "message" with this text of UTF-8. Who reads it gets the text again; only the
 * ends of its lines are all LF then, since an event knows no others. Messages of JSON-RPC have
 * none.
 */
void event_write(struct strbuf *buffer, const char *text, size_t length);
