/* What the verbs plan_set, plan_undo and document_pull are asked with, and what they answer. */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "service/edits-internal.h"

enum { MAX_DOCUMENT = 512 << 20 };

struct value *edits_describe(const struct edited *edited)
{
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "document", edited->label);
    value_builder_set_string(&fields, "before", edited->before);
    value_builder_set_string(&fields, "after", edited->after);
    value_builder_set(&fields, "revision", value_integer(edited->base));
    value_builder_set(&fields, "writes", value_bool(!edited->origin));
    return value_builder_map(&fields);
}

/* Plans from an edited text. */
static int plan_edited(struct service *service, const struct verb_call *call,
                       const struct edited *edited, struct verb_answer *answer, struct error *err)
{
    const char *refresh = value_get_text(call->input, "refresh");
    if (refresh && !text_equal(refresh, "full") && !text_equal(refresh, "none"))
        return error_set(err, ERROR_INVALID, "refresh is \"full\" or \"none\", not \"%s\"",
                         refresh);
    struct plan_request request = {
        .source = {edited->label, edited->after, edited->variables},
        .origin = edited->origin,
        .base = edited->base,
        .back_to = edited->back_to > 0 ? &edited->back_to : NULL,
        .refresh = !refresh || text_equal(refresh, "full"),
    };
    answer->edit = edits_describe(edited);
    return service_plan(service, &request, &answer->plan, &answer->text, &answer->diagnostics, err);
}

int edits_plan_set(struct service *service, const struct verb_call *call,
                   struct verb_answer *answer, struct error *err)
{
    struct edited edited = {0};
    struct edit_request request = {
        .settings = value_get(call->input, "settings"),
        .unsets = value_get(call->input, "unset"),
        .file = value_get_text(call->input, "document"),
        .deployment = value_get_text(call->input, "deployment"),
        .variables = value_get(call->input, "variables"),
    };
    int r = service_edit(service, &request, &edited, err);
    if (r == 0)
        r = plan_edited(service, call, &edited, answer, err);
    edited_done(&edited);
    return r;
}

int edits_plan_undo(struct service *service, const struct verb_call *call,
                    struct verb_answer *answer, struct error *err)
{
    struct edited edited = {0};
    int64_t revision = 0;
    const char *word = value_get_text(call->input, "deployment");
    const char *to = value_get_text(call->input, "revision");
    if (to && (!text_to_integer(to, &revision) || revision < 1))
        return error_set(err, ERROR_INVALID,
                         "\"%s\" is no number of a revision; \"parley history %s\" lists them", to,
                         word);
    int r = service_undo(service, word, revision, &edited, err);
    if (r == 0)
        r = plan_edited(service, call, &edited, answer, err);
    edited_done(&edited);
    return r;
}

int edits_pull(struct service *service, const struct verb_call *call, struct verb_answer *answer,
               struct error *err)
{
    struct edited edited = {0};
    CLEANUP(mem_freep) char *text = NULL;
    const char *path = value_get_text(call->input, "document");
    int r =
        path && world_file_exists(path) ? world_read_file(path, MAX_DOCUMENT, &text, NULL, err) : 0;
    if (r == 0)
        r = service_pull(service, value_get_text(call->input, "deployment"), path, text, &edited,
                         &answer->diagnostics, err);
    if (r == 0)
        answer->value = edits_describe(&edited);
    answer->text = take_ptr(text);
    edited_done(&edited);
    return r;
}
