/*
 * Answers as text for people: what every door shows beside, or instead of, the values themselves.
 * Pure: a value and what part of it is asked for in, text appended to a buffer. Nothing here knows
 * whether a terminal or a model reads it.
 */
#pragma once

#include "base/strbuf.h"
#include "model/plan.h"
#include "model/value.h"

struct plan_view;
/* The part of a plan that was asked for; of more steps than a screen has, what they come to. */
void render_plan(const struct plan *plan, const struct plan_view *view, struct strbuf *buffer);
/* Of a plan, or a revision, that was limited: "web, db and what they need". */
void render_partial(const struct value *partial, struct strbuf *buffer);
/* Stages in the order in which people read them: a destroy goes from the last to the first. */
enum stage stage_in_turn(const struct plan *plan, int turn);
void render_duration(double seconds, struct strbuf *buffer);
void render_graph(const struct plan *plan, struct strbuf *buffer);
/* The lines that differ, with a few around them; nothing when none do. */
void render_diff(const char *label, const char *before, const char *after, struct strbuf *buffer);
/* A field that is a time; "-" when it is not there. */
void render_time(const struct value *map, const char *key, struct strbuf *buffer);
/* Rows of one kind, and what people look for in them. */
struct row_view {
    const char *(*state)(const struct value *row);
    const char *(*kind)(const struct value *row);
    bool (*is_well)(const struct value *row);
    void (*write)(const struct value *row, struct strbuf *buffer);
};
/*
 * Writes each row; of more than 200 how many there are of each state and kind, and those that are
 * not well. rows is put in that order then.
 */
void render_rows(const struct row_view *view, const struct value **rows, size_t n_rows,
                 struct strbuf *buffer);
/* As that, of all in a list. */
void render_row_list(const struct row_view *view, const struct value *list, struct strbuf *buffer);
/* Of one deployment, or the list of all. */
void render_status(const struct value *status, struct strbuf *buffer);
/* What service_show_left() says, and each of what status has under "left". */
void render_left(const struct value *left, struct strbuf *buffer);
void render_secrets(const struct value *secrets, struct strbuf *buffer);
/* What token_new, token_list and token_remove answer. */
void render_new_token(const struct value *made, struct strbuf *buffer);
void render_tokens(const struct value *tokens, struct strbuf *buffer);
void render_removed_tokens(const struct value *removed, struct strbuf *buffer);
/* What service_show_approvals() says. */
void render_approvals(const struct value *shown, struct strbuf *buffer);
void render_audit(const struct value *entries, struct strbuf *buffer);
/* A run with its journal. */
void render_run(const struct value *run, struct strbuf *buffer);
void render_history(const struct value *history, struct strbuf *buffer);
void render_runs(const struct value *runs, struct strbuf *buffer);
/* Of one type, or the list of all. */
void render_types(const struct value *types, struct strbuf *buffer);
/* As JSON on one line, with words for secrets. The caller frees it. */
char *render_text(const struct value *value);
/* A text as it is, anything else as JSON; words for secrets. */
void render_value(const struct value *value, struct strbuf *buffer);
void render_findings(const struct value *answer, struct strbuf *buffer);
/* What there is of a type. */
void render_list(const struct value *list, struct strbuf *buffer);
void render_validated(const struct value *answer, struct strbuf *buffer);

/* Of the twin's programs. */
void render_events(const struct value *events, struct strbuf *buffer);
