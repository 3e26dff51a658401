/*
 * What texts written for the command line mean to who has only tools. The rooms below know no
 * tools: their texts stay as they are, and lines behind them say which tool or argument is meant.
 */
#include "mcp/tools-internal.h"

#include "base/memory.h"
#include "base/text.h"

#include <string.h>

/* Words of the command line and what is the same here; NULL: nothing is, a person must do it. The
 * longer ones come first where one begins with another. */
static const struct same {
    const char *words, *here;
} same_things[] = {
    {"parley import --list", NULL},
    {"parley types", "the tool type_show"},
    {"parley status", "the tool deployment_status"},
    {"parley show", "the tool resource_show"},
    {"parley output", "the tool deployment_status"},
    {"parley history", "the tool deployment_history"},
    {"parley audit", "the tool audit_show"},
    {"parley pull", "the tool document_show"},
    {"parley run list", "the tool deployment_history"},
    {"parley run show", "the tool run_show"},
    {"parley run wait", "the tool run_show with wait_seconds=50"},
    {"parley run cancel", "the tool run_control with action=cancel"},
    {"parley drift", "the tool deployment_drift"},
    {"parley logs", "the tool log_show"},
    {"parley validate", "the tool plan_create"},
    {"parley plan show", "the tool plan_show"},
    {"parley plan", "the tool plan_create"},
    {"parley approve", "the tool plan_approve"},
    {"parley apply", "the tool plan_apply"},
    {"parley up", "the tool plan_create, and then plan_approve and plan_apply"},
    {"parley set", "the tool plan_edit"},
    {"parley undo", "the tool plan_undo"},
    {"parley act", "the tool plan_act"},
    {"parley destroy", "the tool plan_destroy"},
    {"parley import", "the tool plan_import"},
    {"parley resume", "the tool run_control with action=resume"},
    {"parley cancel", "the tool run_control with action=cancel"},
    {"parley forget", NULL},
    {"parley give-up", NULL},
    {"parley secret", NULL},
    {"parley expand", NULL},
    {"parley state", NULL},
    {"parley token", NULL},
    {"parley key", NULL},
    {"parley serve", NULL},
    {"parley twin", NULL},
    {"--all ", "the argument full of plan_show"},
    {"--approve", "the tool plan_approve"},
    {"--confirm", "the argument confirm of plan_approve"},
    {"--import", "the tool plan_import"},
    {"--in:", "the argument deployment"},
    {"--json ", "the structured result, and of a run the resource parley://run/ID"},
    {"--only", "the argument only of plan_show"},
    {"--page", "the argument page"},
    {"--refresh", "the argument refresh"},
    {"--type", "the argument type"},
    {"--unset", "the argument unset"},
    {"--var ", "the argument variables of plan_create"},
};

static bool is_said_before(const char *text, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (text_starts_with(same_things[k].words, same_things[i].words) &&
            strstr(text, same_things[k].words))
            return true;
    return false;
}

static void write_hints(const char *text, struct strbuf *buffer)
{
    for (size_t i = 0; i < ARRAY_LENGTH(same_things); i++) {
        const struct same *same = &same_things[i];
        int length = (int)strcspn(same->words, ":") - (same->words[strlen(same->words) - 1] == ' ');
        if (!strstr(text, same->words) || is_said_before(text, i))
            continue;
        if (same->here)
            strbuf_addf(buffer, "Here \"%.*s\" is %s.\n", length, same->words, same->here);
        else
            strbuf_addf(buffer, "No tool does what \"%.*s\" does: a person can, at a terminal.\n",
                        length, same->words);
    }
}

void tools_add_text(struct mcp_result *result, const char *text)
{
    struct strbuf buffer = {0};
    strbuf_add(&buffer, text);
    write_hints(text, &buffer);
    mcp_add_text(result, strbuf_text(&buffer));
    strbuf_done(&buffer);
}

/* --- What comes next after a failure --- */

/* Where what was not found is listed, by the argument that named it. */
static const char *list_of_missing(const struct value *arguments)
{
    static const char *const lists[][2] = {
        {"name", "deployment_status with deployment shows what there is"},
        {"plan", "plan_create, or another tool that makes plans, gives a plan with its hash"},
        {"run", "deployment_history lists the runs of a deployment"},
        {"address", "resource_show with deployment alone lists its resources"},
        {"type", "type_show without type lists the types"},
        {"deployment", "deployment_status lists the deployments; plan_create plans a new one"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(lists); i++)
        if (value_get(arguments, lists[i][0]))
            return lists[i][1];
    return "plan_create with a document plans the first deployment";
}

static void write_next(const struct mcp_call *call, enum error_code code, struct strbuf *buffer)
{
    const char *plan = value_get_text(call->arguments, "plan");
    switch (code) {
    case ERROR_APPROVAL_NEEDED:
        if (plan)
            strbuf_addf(buffer,
                        "Next: once the person who decides has seen the plan and agreed, "
                        "plan_approve with plan=\"%.64s\"%s.\n",
                        plan,
                        text_equal(call->tool->name, "plan_approve")
                            ? " and confirm=the deployment's name as they typed it"
                            : "");
        break;
    case ERROR_INVALID:
        if (value_get(call->arguments, "document"))
            strbuf_add(buffer, "Next: mend the document, then plan_create with all of it again; "
                               "type_show says what a type takes.\n");
        break;
    case ERROR_STALE:
        strbuf_add(buffer, "Next: make the plan anew with the tool that made it.\n");
        break;
    case ERROR_BUSY:
        strbuf_add(buffer, "Next: deployment_history shows the run; run_show waits for it, "
                           "run_control with action=cancel asks it to stop.\n");
        break;
    case ERROR_NOT_FOUND:
        strbuf_addf(buffer, "Next: %s.\n", list_of_missing(call->arguments));
        break;
    default:
        break;
    }
}

void tools_advise(const struct mcp_call *call, const struct error *err, struct strbuf *buffer)
{
    size_t length = buffer->length;
    write_hints(error_message(err), buffer);
    if (err->code != ERROR_NOT_FOUND || buffer->length == length)
        write_next(call, err->code, buffer);
}
