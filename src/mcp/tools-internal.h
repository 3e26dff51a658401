/* What carries the tools out; private to them and their table. */
#pragma once

#include "mcp/tools.h"

enum { TOOLS_MOST_LOG_LINES = 2000 };

/* Sets the field to of a verb's input to the argument from, if that was given. */
void tools_copy_field(const struct mcp_call *call, const char *from, const char *to,
                      struct value_builder *input);

/* A map without its fields that are null: what is not known of something is not said. */
struct value *tools_without_nulls(const struct value *map);

/* --- hints.c --- */
/* A text, and behind it which tools and arguments its words of the command line are. */
void tools_add_text(struct mcp_result *result, const char *text);
/* The same for a failure, and what comes next. */
void tools_advise(const struct mcp_call *call, const struct error *err, struct strbuf *buffer);

/* --- approver-tools.c --- */
/* A link to the page on which a principal, or (NULL) whoever may approve, decides about a plan;
 * NULL: there is no page, it needs nobody's yes, or a signature. The caller frees it. */
CO_FN char *tools_make_link(const struct mcp_call *call, struct service *service,
                            const struct plan *plan, const char *principal);
/* The same for a caller who may not approve it; NULL for one who may. */
CO_FN char *tools_link_for_others(const struct mcp_call *call, struct service *service,
                                  const struct plan *plan);
/* ERROR_APPROVAL_NEEDED unless a plan has an approval that counts. */
CO_FN int tools_check_approved(struct service *service, const struct plan *plan, struct error *err);
/* Has the client open a link (NULL: there is none). 0 once its user agreed to; MCP_ASKED;
 * -ERROR_APPROVAL_NEEDED, without a message, when it cannot or he did not. */
CO_FN int tools_open_link(struct mcp_call *call, const struct plan *plan, const char *link,
                          struct error *err);
/* Attempts something again and again until it does not fail for lack of an approval, for some
 * minutes at most. */
CO_FN int tools_await_approver(struct mcp_call *call,
                               int (*attempt)(struct mcp_call *call, void *argument,
                                              struct error *err),
                               void *argument, struct error *err);

/* --- plan-tools.c --- */
CO_FN int tool_plan_create(struct mcp_call *call, struct mcp_result *result, struct error *err);
CO_FN int tool_plan_edit(struct mcp_call *call, struct mcp_result *result, struct error *err);
/* Those whose fields tool and verb call the same; the tag says which. */
CO_FN int tool_plan_by_verb(struct mcp_call *call, struct mcp_result *result, struct error *err);
CO_FN int tool_plan_show(struct mcp_call *call, struct mcp_result *result, struct error *err);
CO_FN int tool_plan_approve(struct mcp_call *call, struct mcp_result *result, struct error *err);
CO_FN int tool_plan_apply(struct mcp_call *call, struct mcp_result *result, struct error *err);

/* --- run-tools.c --- */
CO_FN int tool_run_show(struct mcp_call *call, struct mcp_result *result, struct error *err);
CO_FN int tool_run_control(struct mcp_call *call, struct mcp_result *result, struct error *err);

/* As mcp_offer.look_at_task, .find_task_uri and .list_tasks. */
char *runs_find_task_uri(const char *id);
CO_FN int runs_look_at_task(struct mcp_call *call, const char *id, struct mcp_lasting *ret_task,
                            struct mcp_result *result, struct error *err);
CO_FN int runs_list_tasks(struct mcp_call *call, const char *after, struct mcp_lasting *ret_tasks,
                          size_t limit, size_t *ret_n, struct error *err);

/* --- look-tools.c --- */
/* Those that ask one verb and show its answer; the tag says which. */
CO_FN int tool_show(struct mcp_call *call, struct mcp_result *result, struct error *err);
CO_FN int tool_document_show(struct mcp_call *call, struct mcp_result *result, struct error *err);
CO_FN int tool_log_show(struct mcp_call *call, struct mcp_result *result, struct error *err);
