#include "mcp/page.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "http/form.h"
#include "mcp/page-internal.h"
#include "render/plan-view.h"
#include "render/render.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define PLACE "/approve/"
#define COOKIE "parley_approver"

enum { SECOND_US = 1000 * 1000, PASS_SECONDS = 600, MOST_BODY = 8 * 1024, MOST_HEADERS = 12 };

/* Somebody who looks at a link. */
struct visit {
    struct approval_page *page;
    struct http_request *request;
    struct page_link link;
    struct caller who;       /* who signed in; no principal: nobody has */
    char *digest;            /* owned: of the token that was shown */
    const char *cookie;      /* a header to set it, or NULL */
    struct service *service; /* taken for who */
    struct plan *plan;       /* owned */
    char seconds[24];        /* to wait */
};

/* --- Its life --- */

struct approval_page *page_new(struct pool *pool, struct tokens *tokens,
                               struct admission *admission,
                               const unsigned char key[SECRET_KEY_SIZE], const char *url)
{
    struct approval_page *page = NEW(struct approval_page);
    unsigned char digest[crypto_hash_sha256_BYTES];
    char text[sodium_base64_ENCODED_LEN(sizeof(digest), sodium_base64_VARIANT_ORIGINAL)];
    *page =
        (struct approval_page){.pool = pool, .tokens = tokens, .admission = admission, .url = url};
    memcpy(page->key, key, sizeof(page->key));
    crypto_hash_sha256(digest, (const unsigned char *)page_style, strlen(page_style));
    sodium_bin2base64(text, sizeof(text), digest, sizeof(digest), sodium_base64_VARIANT_ORIGINAL);
    page->policy = string_format("default-src 'none'; style-src 'sha256-%s'; form-action 'self'; "
                                 "frame-ancestors 'none'; base-uri 'none'",
                                 text);
    return page;
}

void page_free(struct approval_page *page)
{
    if (!page)
        return;
    sodium_memzero(page->key, sizeof(page->key));
    mem_free(page->policy);
    mem_free(page);
}

/* --- Where its visitors think that they are --- */

/* What a proxy takes off our path: the path of the address that people use. */
static const char *prefix_of(const struct approval_page *page)
{
    const char *authority = page->url ? strstr(page->url, "://") : NULL;
    const char *path = authority ? strchr(authority + 3, '/') : NULL;
    return path ? path : "";
}

static bool is_reached_by_tls(const struct visit *visit)
{
    const char *url = visit->page->url;
    return http_request_is_tls(visit->request) || (url && text_starts_with(url, "https://"));
}

/* Whether an origin is that of the address that people use. */
static bool is_origin_of(const char *url, const char *origin)
{
    const char *authority = url ? strstr(url, "://") : NULL;
    size_t length = authority ? 3 + strcspn(authority + 3, "/") + (size_t)(authority - url) : 0;
    return length > 0 && strlen(origin) == length && strncasecmp(origin, url, length) == 0;
}

/* --- Answers --- */

/*
 * Nothing of it is kept, framed, run or told to others. The address goes to our own origin alone:
 * with "no-referrer" browsers would send "Origin: null" with our forms, too.
 */
static void answer(struct visit *visit, unsigned int status, const struct strbuf *html)
{
    CLEANUP(mem_freep)
    char *here = string_format("%s%s", prefix_of(visit->page), http_request_path(visit->request));
    struct http_header headers[MOST_HEADERS] = {
        {"Content-Type", "text/html; charset=utf-8"},
        {"Content-Security-Policy", visit->page->policy},
        {"Cache-Control", "no-store"},
        {"Referrer-Policy", "same-origin"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
    };
    size_t n = 8;
    if (visit->cookie)
        headers[n++] = (struct http_header){"Set-Cookie", visit->cookie};
    if (status == 429)
        headers[n++] = (struct http_header){"Retry-After", visit->seconds};
    if (status == 303)
        headers[n++] = (struct http_header){"Location", here};
    if (status == 405)
        headers[n] = (struct http_header){"Allow", "GET, POST"};
    http_answer(visit->request, status, headers, strbuf_text(html), html->length);
}

static void answer_message(struct visit *visit, unsigned int status, const char *title,
                           const char *text)
{
    CLEANUP(strbuf_done) struct strbuf html = {0};
    html_message(&html, title, text);
    answer(visit, status, &html);
}

static int64_t pass_end(void)
{
    return world_wall_clock() + (int64_t)PASS_SECONDS * SECOND_US;
}

static void ask_to_sign_in(struct visit *visit, unsigned int status, const char *fault)
{
    CLEANUP(strbuf_done) struct strbuf html = {0};
    CLEANUP(mem_freep)
    char *form = page_make_form(visit->page, &visit->link, NULL, pass_end());
    html_sign_in(&html, form, fault);
    answer(visit, status, &html);
}

/* An error of the service: the person can do something about some. */
static void answer_error(struct visit *visit, const char *title, const struct error *err)
{
    unsigned int status = err->code == ERROR_DENIED || err->code == ERROR_APPROVAL_NEEDED ? 403
                          : err->code == ERROR_EXISTS                                     ? 410
                          : err->code == ERROR_NOT_FOUND                                  ? 404
                                                                                          : 500;
    answer_message(visit, status, title, error_message(err));
}

/* Whether it was told to come later: who signed in, or an address from which only what is wrong
 * comes. */
static bool is_too_often(struct visit *visit, int64_t wait)
{
    if (wait <= 0)
        return false;
    snprintf(visit->seconds, sizeof(visit->seconds), "%lld",
             (long long)((wait + SECOND_US - 1) / SECOND_US));
    answer_message(visit, 429, "Too many requests", "Nothing was done: wait a little.");
    return true;
}

static bool is_stranger_too_often(struct visit *visit, bool shows_token)
{
    return is_too_often(visit,
                        admission_take_stranger(visit->page->admission,
                                                http_request_peer(visit->request), shows_token));
}

/* --- Who looks --- */

/* The value of our cookie, which the caller frees; NULL: there is none, or more than one. */
static char *read_cookie(const struct http_request *request)
{
    const char *header = http_request_header(request, "Cookie");
    const char *found = NULL;
    size_t n = 0;
    if (!header || http_request_header_count(request, "Cookie") != 1)
        return NULL;
    for (const char *at = header; *at;) {
        at += strspn(at, "; ");
        if (text_starts_with(at, COOKIE "=")) {
            found = at + strlen(COOKIE "=");
            n++;
        }
        at += strcspn(at, ";");
    }
    return n == 1 ? string_copy_n(found, strcspn(found, "; ")) : NULL;
}

/* The token must be there still, and be the same principal's. */
static bool recognise(struct visit *visit)
{
    CLEANUP(mem_freep) char *cookie = read_cookie(visit->request);
    CLEANUP(mem_freep) char *principal = NULL;
    if (!cookie || !page_read_pass(visit->page, &visit->link, cookie, &principal, &visit->digest) ||
        tokens_find_digest(visit->page->tokens, visit->digest, &visit->who, NULL) < 0)
        return false;
    const char *only = visit->link.principal;
    if (text_equal(visit->who.principal, principal) && (!only || text_equal(only, principal)))
        return true;
    caller_done(&visit->who);
    return false;
}

/* A service for who signed in, and the plan. */
static int take_plan(struct visit *visit, struct error *err)
{
    mem_free(visit->who.client);
    visit->who.client = string_copy("page");
    int r = pool_take(visit->page->pool, &visit->who, "page of a plan", &visit->service, err);
    if (r == 0)
        r = service_get_plan(visit->service, visit->link.plan, &visit->plan, err);
    if (r == 0)
        r = service_check_approver(visit->service, visit->plan, err);
    return r;
}

/* --- The plan --- */

/* The page of its steps that is asked for: "page=N". */
static size_t page_number(const struct http_request *request)
{
    const char *query = http_request_query(request);
    int64_t number = 0;
    if (!query || !text_starts_with(query, "page=") ||
        !text_to_integer(query + strlen("page="), &number) || number < 1 || number > 1000000)
        return 0;
    return (size_t)number;
}

static size_t count_pages(const struct plan *plan)
{
    struct plan_view view = {.page = 1};
    struct plan_choice choice = {0};
    plan_view_choose(plan, &view, &choice);
    size_t n = choice.n_pages;
    plan_choice_done(&choice);
    return n;
}

static int show_plan(struct visit *visit, unsigned int status, const char *fault, struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf html = {0};
    CLEANUP(strbuf_done) struct strbuf text = {0};
    CLEANUP(value_unrefp) struct value *approvals = NULL;
    CLEANUP(mem_freep)
    char *form = page_make_form(visit->page, &visit->link, visit->who.principal, pass_end());
    struct page_plan shown = {.plan = visit->plan,
                              .page = page_number(visit->request),
                              .principal = visit->who.principal,
                              .form = form,
                              .fault = fault,
                              .n_pages = count_pages(visit->plan)};
    struct plan_view view = {.page = shown.page};
    int r = service_show_approvals(visit->service, visit->plan->hash, &approvals, err);
    if (r < 0)
        return r;
    render_plan(visit->plan, &view, &text);
    shown.text = strbuf_text(&text);
    shown.approvals = approvals;
    html_plan(&html, &shown);
    answer(visit, status, &html);
    return 0;
}

static void show(struct visit *visit)
{
    struct error err = {0};
    bool is_used = false;
    if (!recognise(visit)) {
        ask_to_sign_in(visit, 200, NULL);
        return;
    }
    if (is_too_often(visit, admission_take_principal(visit->page->admission, visit->who.principal)))
        return;
    int r = take_plan(visit, &err);
    if (r == 0)
        r = service_link_is_used(visit->service, visit->plan, visit->link.id, &is_used, &err);
    if (r == 0 && is_used)
        answer_message(visit, 410, "This link was used",
                       "Somebody decided about the plan by it already.");
    else if (r == 0)
        r = show_plan(visit, 200, NULL, &err);
    if (r < 0)
        answer_error(visit, "The plan cannot be shown", &err);
    error_done(&err);
}

/* --- What is sent --- */

enum field { FIELD_FORM, FIELD_TOKEN, FIELD_NAME, FIELD_DECISION, FIELD_COUNT };
static const char *const fields[] = {"form", "token", "name", "decision", NULL};

/* The link of another principal is refused to whoever may approve, too, and that is written down.
 */
static void refuse_other(struct visit *visit)
{
    struct error err = {0};
    struct value_builder entry = {0};
    CLEANUP(mem_freep)
    char *asked = string_format("to decide on the plan %.12s", visit->link.plan);
    if (take_plan(visit, &err) == 0) {
        value_builder_set_string(&entry, "asked", asked);
        value_builder_set_string(&entry, "reason", "the link is another principal's");
        (void)service_audit(visit->service, "refused", &entry, NULL);
    }
    error_done(&err);
    ask_to_sign_in(visit, 403, "This link is for another principal.");
}

/* A token for a cookie, which opens this link alone. */
static void sign_in(struct visit *visit, const char *token)
{
    struct error err = {0};
    char digest[TOKEN_DIGEST_SIZE];
    if (tokens_find(visit->page->tokens, token, &visit->who, NULL) < 0) {
        if (!is_stranger_too_often(visit, true))
            ask_to_sign_in(visit, 403, "Nobody has this token.");
        return;
    }
    if (visit->link.principal && !text_equal(visit->link.principal, visit->who.principal)) {
        refuse_other(visit);
        return;
    }
    if (take_plan(visit, &err) < 0) {
        answer_error(visit, "The plan cannot be shown", &err);
        error_done(&err);
        return;
    }
    token_digest(token, digest);
    CLEANUP(mem_freep)
    char *pass =
        page_make_pass(visit->page, &visit->link, visit->who.principal, digest, pass_end());
    CLEANUP(mem_freep)
    char *cookie = string_format(COOKIE "=%s; Path=%s%s; Max-Age=%d; HttpOnly; SameSite=Strict%s",
                                 pass, prefix_of(visit->page), http_request_path(visit->request),
                                 PASS_SECONDS, is_reached_by_tls(visit) ? "; Secure" : "");
    struct strbuf nothing = {0};
    visit->cookie = cookie;
    answer(visit, 303, &nothing);
    visit->cookie = NULL;
}

static int approve(struct visit *visit, const char *name, struct error *err)
{
    struct consent consent = {.is_seen = true, .name = name, .link = visit->link.id};
    if (page_needs_name(visit->plan) && !text_equal_or_null(name, visit->plan->deployment))
        return show_plan(visit, 403,
                         "Nothing was approved: this destroys something, and the deployment's "
                         "name was not typed.",
                         err);
    int r = service_approve(visit->service, visit->plan, &consent, err);
    if (r == 0)
        answer_message(visit, 200, "Approved",
                       "The plan is approved, for one run. Nothing was begun by that: whoever "
                       "operates carries it out. You can close this page.");
    return r;
}

static int refuse(struct visit *visit, struct error *err)
{
    CLEANUP(mem_freep) char *run = NULL;
    int r = service_refuse(visit->service, visit->plan, visit->link.id, &run, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep)
    char *late = run ? string_format("The plan is refused, and its run %.8s had begun before: it "
                                     "goes on unless somebody stops it (parley run cancel %.8s).",
                                     run, run)
                     : NULL;
    answer_message(visit, 200, "Refused",
                   late ? late
                        : "The plan is refused: no run begins by what was approved before. You "
                          "can close this page.");
    return 0;
}

static void decide(struct visit *visit, char *const values[FIELD_COUNT])
{
    struct error err = {0};
    const char *decision = values[FIELD_DECISION];
    if (!recognise(visit) ||
        !page_holds_form(visit->page, &visit->link, visit->who.principal, values[FIELD_FORM])) {
        ask_to_sign_in(visit, 403, "Nothing was decided: sign in, then decide.");
        return;
    }
    if (is_too_often(visit, admission_take_principal(visit->page->admission, visit->who.principal)))
        return;
    int r = take_plan(visit, &err);
    if (r == 0)
        r = text_equal_or_null(decision, "approve") ? approve(visit, values[FIELD_NAME], &err)
            : text_equal_or_null(decision, "refuse")
                ? refuse(visit, &err)
                : error_set(&err, ERROR_INVALID, "the form has no such decision");
    if (r < 0)
        answer_error(visit, "Nothing was decided", &err);
    error_done(&err);
}

/* A form comes from our own page: browsers say so, and so does what stands in it. */
static bool comes_from_us(const struct approval_page *page, const struct http_request *request)
{
    const char *origin = http_request_header(request, "Origin");
    const char *host = http_request_header(request, "Host");
    const char *type = http_request_header(request, "Content-Type");
    if (!origin || !host || !type || http_request_header_count(request, "Origin") != 1 ||
        strcasecmp(type, "application/x-www-form-urlencoded") != 0)
        return false;
    /* A proxy may call us by another name than people call it. */
    if (is_origin_of(page->url, origin))
        return true;
    /* Before a proxy that has the certificate the page was reached by https, and we by http. */
    if (text_starts_with(origin, "https://"))
        return strcasecmp(origin + strlen("https://"), host) == 0;
    return !http_request_is_tls(request) && text_starts_with(origin, "http://") &&
           strcasecmp(origin + strlen("http://"), host) == 0;
}

static void take_form(struct visit *visit)
{
    char *values[FIELD_COUNT] = {NULL};
    struct http_request *request = visit->request;
    size_t length = http_request_body_length(request);
    bool is_read = comes_from_us(visit->page, request) && length <= MOST_BODY &&
                   form_read(http_request_body(request), length, fields, values);
    if (!is_read || !values[FIELD_FORM])
        answer_message(visit, 403, "Nothing was decided",
                       "This did not come from the form of this page.");
    else if (!values[FIELD_TOKEN])
        decide(visit, values);
    else if (page_holds_form(visit->page, &visit->link, NULL, values[FIELD_FORM]))
        sign_in(visit, values[FIELD_TOKEN]);
    else
        ask_to_sign_in(visit, 403, "The form is an old one: try again.");
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (values[i])
            sodium_memzero(values[i], strlen(values[i]));
        mem_free(values[i]);
    }
}

/* A link that we made. */
static void answer_link(struct visit *visit)
{
    const char *method = http_request_method(visit->request);
    if (visit->link.until <= world_wall_clock())
        answer_message(visit, 410, "This link is over",
                       "Ask for the plan again, which gives another one.");
    else if (text_equal(method, "GET"))
        show(visit);
    else if (text_equal(method, "POST"))
        take_form(visit);
    else
        answer_message(visit, 405, "That cannot be done here", "The page takes GET and POST.");
}

bool page_answer(struct approval_page *page, struct http_request *request)
{
    const char *path = http_request_path(request);
    struct visit visit = {.page = page, .request = request};
    if (!text_starts_with(path, PLACE))
        return false;
    if (page_read_link(page, path + strlen(PLACE), &visit.link))
        answer_link(&visit);
    else if (!is_stranger_too_often(&visit, false))
        answer_message(&visit, 404, "There is no such page",
                       "This server did not make the link, or not all of it is there.");
    if (visit.service)
        pool_give(page->pool, visit.service);
    plan_free(visit.plan);
    caller_done(&visit.who);
    mem_free(visit.digest);
    page_link_done(&visit.link);
    return true;
}
