/* What the page lets clients and browsers keep: sealed with a key of its own, so that nothing else
 * that we seal is taken for it, each kind with its name before it. */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "mcp/internal.h"
#include "mcp/page-internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MOST_WORDS = 5 };

/* Splits what is sealed at its blanks; NULL unless there are n words, the first of which is kind.
 * The caller frees the text, in which the words lie. */
static char *open_words(const struct approval_page *page, const char *sealed, const char *kind,
                        char *words[MOST_WORDS], size_t n)
{
    char *text = seal_open(page->key, sealed);
    size_t found = 0;
    for (char *at = text; at && found < MOST_WORDS;) {
        words[found++] = at;
        at = strchr(at, ' ');
        if (at)
            *at++ = '\0';
    }
    if (text && found == n && text_equal(words[0], kind))
        return text;
    mem_free(text);
    return NULL;
}

static bool is_over(const char *until)
{
    int64_t time = 0;
    return !text_to_integer(until, &time) || time <= world_wall_clock();
}

static const char *word_for(const char *principal)
{
    return principal ? principal : "-";
}

/* --- Links --- */

char *page_make_link(const struct approval_page *page, const char *base, const char *plan_hash,
                     const char *principal, int64_t until)
{
    unsigned char random[(LINK_ID_SIZE - 1) / 2];
    char id[LINK_ID_SIZE];
    world_random(random, sizeof(random));
    sodium_bin2hex(id, sizeof(id), random, sizeof(random));
    CLEANUP(mem_freep)
    char *text =
        string_format("link %s %s %" PRId64 " %s", plan_hash, id, until, word_for(principal));
    CLEANUP(mem_freep) char *sealed = seal_close(page->key, text);
    return string_format("%s/approve/%s", base, sealed);
}

bool page_read_link(const struct approval_page *page, const char *sealed,
                    struct page_link *ret_link)
{
    char *words[MOST_WORDS];
    CLEANUP(mem_freep) char *text = open_words(page, sealed, "link", words, 5);
    if (!text || !text_to_integer(words[3], &ret_link->until))
        return false;
    snprintf(ret_link->plan, sizeof(ret_link->plan), "%s", words[1]);
    snprintf(ret_link->id, sizeof(ret_link->id), "%s", words[2]);
    ret_link->principal = text_equal(words[4], "-") ? NULL : string_copy(words[4]);
    return true;
}

void page_link_done(struct page_link *link)
{
    mem_free(link->principal);
    *link = (struct page_link){0};
}

/* --- Passes --- */

char *page_make_pass(const struct approval_page *page, const struct page_link *link,
                     const char *principal, const char *digest, int64_t until)
{
    CLEANUP(mem_freep)
    char *text = string_format("pass %s %" PRId64 " %s %s", link->id, until, digest, principal);
    return seal_close(page->key, text);
}

bool page_read_pass(const struct approval_page *page, const struct page_link *link,
                    const char *sealed, char **ret_principal, char **ret_digest)
{
    char *words[MOST_WORDS];
    CLEANUP(mem_freep) char *text = open_words(page, sealed, "pass", words, 5);
    if (!text || !text_equal(words[1], link->id) || is_over(words[2]))
        return false;
    *ret_digest = string_copy(words[3]);
    *ret_principal = string_copy(words[4]);
    return true;
}

/* --- Forms --- */

char *page_make_form(const struct approval_page *page, const struct page_link *link,
                     const char *principal, int64_t until)
{
    CLEANUP(mem_freep)
    char *text = string_format("form %s %" PRId64 " %s", link->id, until, word_for(principal));
    return seal_close(page->key, text);
}

bool page_holds_form(const struct approval_page *page, const struct page_link *link,
                     const char *principal, const char *sealed)
{
    char *words[MOST_WORDS];
    CLEANUP(mem_freep) char *text = open_words(page, sealed, "form", words, 4);
    return text && text_equal(words[1], link->id) && !is_over(words[2]) &&
           text_equal(words[3], word_for(principal));
}
