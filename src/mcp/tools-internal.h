/* What carries the tools out; private to them and their table. */
#pragma once

#include "mcp/tools.h"

enum { TOOLS_MOST_LOG_LINES = 2000 };

/* Sets the field to of a verb's input to the argument from, if that was given. */
void tools_copy_field(const struct mcp_call *call, const char *from, const char *to,
                      struct value_builder *input);

/* --- hints.c --- */
/* A text, and behind it which tools and arguments its words of the command line are. */
void tools_add_text(struct mcp_result *result, const char *text);
/* The same for a failure, and what comes next. */
void tools_advise(const struct mcp_call *call, const struct error *err, struct strbuf *buffer);

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

/* --- look-tools.c --- */
/* Those that ask one verb and show its answer; the tag says which. */
CO_FN int tool_show(struct mcp_call *call, struct mcp_result *result, struct error *err);
CO_FN int tool_document_show(struct mcp_call *call, struct mcp_result *result, struct error *err);
CO_FN int tool_log_show(struct mcp_call *call, struct mcp_result *result, struct error *err);
