/* What the page looks like. Everything that is not ours is added as text. */
#include "base/memory.h"
#include "base/text.h"
#include "mcp/page-internal.h"
#include "render/render.h"

#include <string.h>

enum { MOST_NAMED = 20 };

const char *const page_style =
    "body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem;"
    "color:#1a1a1a;background:#fff}"
    "pre{background:#f4f4f4;border:1px solid #ccc;padding:1rem;overflow:auto;white-space:pre-wrap}"
    ".warn{border:2px solid #b00020;padding:.5rem 1rem}.fault{color:#b00020;font-weight:bold}"
    "label{display:block;margin:1rem 0 .25rem}input{font:inherit;padding:.4rem;width:100%;"
    "box-sizing:border-box}button{font:inherit;padding:.5rem 1.5rem;margin:1rem 1rem 0 0}"
    "code{word-break:break-all}";

/* Whether a character begins here that turns the direction of what follows: text could be made to
 * look like another one. */
static bool turns(const char *text)
{
    const unsigned char *bytes = (const unsigned char *)text;
    return bytes[0] == 0xe2 && ((bytes[1] == 0x80 && bytes[2] >= 0xaa && bytes[2] <= 0xae) ||
                                (bytes[1] == 0x81 && bytes[2] >= 0xa6 && bytes[2] <= 0xa9));
}

void html_add(struct strbuf *html, const char *text)
{
    for (; *text; text++) {
        if (turns(text)) {
            strbuf_add(html, "&#xfffd;");
            text += 2;
            continue;
        }
        switch (*text) {
        case '&':
            strbuf_add(html, "&amp;");
            break;
        case '<':
            strbuf_add(html, "&lt;");
            break;
        case '>':
            strbuf_add(html, "&gt;");
            break;
        case '"':
            strbuf_add(html, "&quot;");
            break;
        case '\'':
            strbuf_add(html, "&#39;");
            break;
        default:
            strbuf_add_char(html, *text);
        }
    }
}

void html_begin(struct strbuf *html, const char *title)
{
    strbuf_add(html, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                     "<meta name=\"viewport\" content=\"width=device-width\"><title>");
    html_add(html, title);
    strbuf_addf(html, " - Parley</title><style>%s</style></head><body><main>\n<h1>", page_style);
    html_add(html, title);
    strbuf_add(html, "</h1>\n");
}

void html_end(struct strbuf *html)
{
    strbuf_add(html, "</main></body></html>\n");
}

void html_message(struct strbuf *html, const char *title, const char *text)
{
    html_begin(html, title);
    strbuf_add(html, "<p>");
    html_add(html, text);
    strbuf_add(html, "</p>\n");
    html_end(html);
}

static void add_fault(struct strbuf *html, const char *fault)
{
    if (!fault)
        return;
    strbuf_add(html, "<p class=\"fault\" role=\"alert\">");
    html_add(html, fault);
    strbuf_add(html, "</p>\n");
}

/* A form goes back to the address of its page. */
static void begin_form(struct strbuf *html, const char *form)
{
    strbuf_addf(html,
                "<form method=\"post\" autocomplete=\"off\"><input type=\"hidden\" name=\"form\" "
                "value=\"%s\">\n",
                form);
}

void html_sign_in(struct strbuf *html, const char *form, const char *fault)
{
    html_begin(html, "Sign in to decide about a plan");
    add_fault(html, fault);
    strbuf_add(html, "<p>The link proves nothing. Look whether the address above is that of your "
                     "Parley server, then show your token: it must have the role approver.</p>\n");
    begin_form(html, form);
    strbuf_add(html, "<label for=\"token\">Token</label>"
                     "<input id=\"token\" name=\"token\" type=\"password\" required "
                     "autocomplete=\"off\" autofocus>\n<button>Sign in</button></form>\n");
    html_end(html);
}

/* --- A plan --- */

static bool destroys(const struct step *step)
{
    return step->kind == STEP_DELETE;
}

static size_t count_destroyed(const struct plan *plan)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->n_steps; i++)
        n += destroys(&plan->steps[i]);
    return n;
}

bool page_needs_name(const struct plan *plan)
{
    return plan->is_destroy || service_needs_name(plan) || count_destroyed(plan) > 0;
}

static void add_destroyed(struct strbuf *html, const struct plan *plan)
{
    size_t n = count_destroyed(plan), n_named = 0;
    if (n == 0)
        return;
    strbuf_addf(html,
                "<div class=\"warn\" role=\"alert\"><p><strong>This destroys %zu %s%s:"
                "</strong></p><ul>\n",
                n, n == 1 ? "resource" : "resources", plan->is_production ? " of production" : "");
    for (size_t i = 0; i < plan->n_steps && n_named < MOST_NAMED; i++) {
        if (!destroys(&plan->steps[i]))
            continue;
        strbuf_add(html, "<li>");
        html_add(html, plan->steps[i].id);
        strbuf_add(html,
                   plan->steps[i].irreversible ? " - cannot be brought back</li>\n" : "</li>\n");
        n_named++;
    }
    if (n > n_named)
        strbuf_addf(html, "<li>and %zu more</li>\n", n - n_named);
    strbuf_add(html, "</ul></div>\n");
}

static void add_page_link(struct strbuf *html, size_t page, const char *text)
{
    strbuf_addf(html, "<a href=\"?page=%zu\">%s</a> ", page, text);
}

static void add_pages(struct strbuf *html, const struct page_plan *shown)
{
    size_t page = shown->page;
    if (shown->n_pages < 2)
        return;
    strbuf_addf(html, "<p>The steps one by one have %zu pages%s ", shown->n_pages,
                page ? "" : "; above is what they come to.");
    if (page)
        strbuf_addf(html, "; this is page %zu. ", page);
    add_page_link(html, 1, "First");
    if (page > 1)
        add_page_link(html, page - 1, "Previous");
    if (page && page < shown->n_pages)
        add_page_link(html, page + 1, "Next");
    add_page_link(html, shown->n_pages, "Last");
    strbuf_add(html, "</p>\n");
}

static void add_decision(struct strbuf *html, const struct page_plan *shown)
{
    const char *level = value_get_text(value_get(shown->approvals, "demanded"), "level");
    bool is_signed = text_equal_or_null(level, "signed");
    begin_form(html, shown->form);
    if (is_signed) {
        strbuf_addf(html,
                    "<p>The site demands a signature, which no page can give: <code>parley approve "
                    "%.12s --key FILE</code>. Here it can only be refused.</p>\n",
                    shown->plan->hash);
    } else if (page_needs_name(shown->plan)) {
        strbuf_add(html, "<label for=\"name\">To approve, type the deployment's name: <strong>");
        html_add(html, shown->plan->deployment);
        strbuf_add(html, "</strong></label><input id=\"name\" name=\"name\">\n");
    }
    if (!is_signed)
        strbuf_add(html, "<button name=\"decision\" value=\"approve\">Approve</button>");
    strbuf_add(html, "<button name=\"decision\" value=\"refuse\">Refuse</button></form>\n");
}

void html_plan(struct strbuf *html, const struct page_plan *shown)
{
    struct strbuf approvals = {0};
    html_begin(html, "Approve a plan");
    add_fault(html, shown->fault);
    strbuf_add(html, "<p>You are <strong>");
    html_add(html, shown->principal);
    strbuf_addf(html, "</strong>. Plan <code>%s</code> of <strong>", shown->plan->hash);
    html_add(html, shown->plan->deployment);
    strbuf_add(html, "</strong>:</p>\n");
    add_destroyed(html, shown->plan);
    strbuf_add(html, "<pre>");
    html_add(html, shown->text);
    strbuf_add(html, "</pre>\n");
    add_pages(html, shown);
    render_approvals(shown->approvals, &approvals);
    strbuf_add(html, "<pre>");
    html_add(html, strbuf_text(&approvals));
    strbuf_add(html, "</pre>\n");
    add_decision(html, shown);
    html_end(html);
    strbuf_done(&approvals);
}
