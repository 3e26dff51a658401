/* Which part of a plan is shown: all of it, some of its steps, one page of them, or what they come
 * to. */
#pragma once

#include "base/error.h"
#include "model/plan.h"

/* So many steps are shown one by one, and are a page. */
enum { PLAN_PAGE_STEPS = 200 };

/* How doors are asked for a part of a plan; all borrowed, NULL where nothing was said. */
struct plan_view_words {
    const char *page; /* "2" */
    const char *type;
    const char *only; /* "create,change" */
    bool is_all;
};

/* What was asked for; borrowed from the words. */
struct plan_view {
    bool is_all;      /* every step, however many there are */
    size_t page;      /* from 1; 0: none was asked for */
    const char *type; /* only steps of this type, "acme:thing:box" or "thing:box"; NULL: any */
    bool has_kinds;   /* only steps of these kinds */
    bool kinds[STEP_KIND_COUNT];
};
/* ERROR_INVALID says which word is wrong, and what it takes. */
int plan_view_read(const struct plan_view_words *words, struct plan_view *ret_view,
                   struct error *err);

/* The steps that are asked for, in the order in which people read them. */
struct plan_choice {
    size_t *steps; /* owned: indices; of one page where one was asked for */
    size_t n_steps;
    size_t first;     /* number of the first of them among the chosen, from 1 */
    size_t n_chosen;  /* on all pages */
    size_t n_pages;   /* at least 1 */
    bool is_filtered; /* type or kinds leave some out */
    bool is_summary;  /* there are too many: only what they come to is shown */
};
void plan_view_choose(const struct plan *plan, const struct plan_view *view,
                      struct plan_choice *ret_choice);
void plan_choice_done(struct plan_choice *choice);

/* The plan as --json has it, with the chosen steps only and what part that is. The caller unrefs
 * it. */
struct value *plan_view_to_value(const struct plan *plan, const struct plan_view *view);

/* The steps of one stage by kind, type and reason; irreversible ones and those that take back what
 * others did by themselves. */
void render_summary(const struct plan *plan, const struct plan_choice *choice, enum stage stage,
                    struct strbuf *buffer);
/* The mark of a kind of step, '+' for a create. */
char render_mark(enum step_kind kind);
/* What is special about a step: why, and that it is irreversible; also of many that have it in
 * common. */
void render_reason(const struct step *step, struct strbuf *buffer);
/* What of others, or of later revisions, a step takes back. */
void render_reverts(const struct step *step, struct strbuf *buffer);
