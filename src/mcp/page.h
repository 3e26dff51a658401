/*
 * The page on which an approver decides about a plan, reached by a link: /approve/LINK. The link
 * says which plan, and proves nothing: who opens it shows a token first, which becomes a cookie of
 * a few minutes for this one link. It is good for one decision, and for a time. No script runs.
 */
#pragma once

#include "auth/tokens.h"
#include "http/server.h"
#include "mcp/admission.h"
#include "mcp/pool.h"

struct approval_page;
/* All borrowed but the key, which seals what browsers and clients keep for it. url: by which people
 * reach the server, with the path that a proxy takes off; NULL: as they say. */
struct approval_page *page_new(struct pool *pool, struct tokens *tokens,
                               struct admission *admission,
                               const unsigned char key[SECRET_KEY_SIZE], const char *url);
void page_free(struct approval_page *page); /* accepts NULL */

/*
 * A link to the page of a plan. base: "https://HOST:PORT", by which the client reached us;
 * principal: who alone may decide by it, NULL: whoever may approve; until: when it ends. The caller
 * frees it.
 */
char *page_make_link(const struct approval_page *page, const char *base, const char *plan_hash,
                     const char *principal, int64_t until);
/* Answers a request to one of its addresses. False: it is to none of them, and is not answered. */
CO_FN bool page_answer(struct approval_page *page, struct http_request *request);
