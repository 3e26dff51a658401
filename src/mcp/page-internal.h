/* What the files of the page share. */
#pragma once

#include "base/digest.h"
#include "base/strbuf.h"
#include "mcp/page.h"

enum { LINK_ID_SIZE = 17 };

struct approval_page {
    struct pool *pool;
    struct tokens *tokens;
    struct admission *admission;
    unsigned char key[SECRET_KEY_SIZE];
    const char *url; /* NULL: as its visitors say */
    char *policy;    /* owned: Content-Security-Policy */
};

/* --- page-seal.c: what clients and browsers keep, sealed --- */

struct page_link {
    char plan[DIGEST_HEX_SIZE];
    char id[LINK_ID_SIZE];
    int64_t until;
    char *principal; /* owned; NULL: any */
};
bool page_read_link(const struct approval_page *page, const char *sealed,
                    struct page_link *ret_link);
void page_link_done(struct page_link *link);

/* The cookie: the principal who showed the token with this digest, for one link. The caller frees
 * what they give. */
char *page_make_pass(const struct approval_page *page, const struct page_link *link,
                     const char *principal, const char *digest, int64_t until);
/* Whether it is one of this link, and not over; then whose it is, and by which token. */
bool page_read_pass(const struct approval_page *page, const struct page_link *link,
                    const char *sealed, char **ret_principal, char **ret_digest);

/* What stands in a form that we showed to this principal (NULL: who has not signed in). */
char *page_make_form(const struct approval_page *page, const struct page_link *link,
                     const char *principal, int64_t until);
bool page_holds_form(const struct approval_page *page, const struct page_link *link,
                     const char *principal, const char *sealed);

/* --- page-html.c --- */

/* The style that the policy names by its digest. */
extern const char *const page_style;
void html_add(struct strbuf *html, const char *text); /* as text, never as HTML */
void html_begin(struct strbuf *html, const char *title);
void html_end(struct strbuf *html);
/* A title and a sentence. */
void html_message(struct strbuf *html, const char *title, const char *text);
void html_sign_in(struct strbuf *html, const char *form, const char *fault);
/* All borrowed. */
struct page_plan {
    const struct plan *plan;
    size_t page;                   /* of its steps; 0: as it is shown at first */
    const char *text;              /* as "parley plan show" has it */
    const struct value *approvals; /* what service_show_approvals() says */
    const char *principal;         /* who looks */
    const char *form;
    const char *fault; /* why the last answer was none; or NULL */
    size_t n_pages;
};
void html_plan(struct strbuf *html, const struct page_plan *shown);
/* Whether the page asks for the deployment's name: for whatever destroys. */
bool page_needs_name(const struct plan *plan);
