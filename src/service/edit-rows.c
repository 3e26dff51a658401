/* What the verbs plan_set, plan_undo and document_pull are asked with, and what they answer. */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "service/drift.h"
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

int edits_plan(struct service *service, const struct edited *edited, const char *refresh,
               struct verb_answer *answer, struct error *err)
{
    struct plan_request request = {
        .source = {.path = edited->label, .text = edited->after, .variables = edited->variables},
        .origin = edited->origin,
        .base = edited->base,
        .back_to = edited->back_to > 0 ? &edited->back_to : NULL,
    };
    int r = plan_refresh_from_string(refresh, &request.refresh, err);
    if (r < 0)
        return r;
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
        r = edits_plan(service, &edited, value_get_text(call->input, "refresh"), answer, err);
    edited_done(&edited);
    return r;
}

/* The document follows what is there. */
int edits_plan_drift(struct service *service, const struct verb_call *call,
                     struct verb_answer *answer, struct error *err)
{
    const char *word = value_get_text(call->input, "deployment");
    const char *file = value_get_text(call->input, "document");
    CLEANUP(value_unrefp) struct value *found = NULL;
    struct edited edited = {0};
    int r = service_drift(service, word, &found, err);
    const struct value *drift = r == 0 ? value_at(found, 0) : NULL;
    const char *problem = drift ? value_get_text(drift, "problem") : NULL;
    const struct value *adopt = drift ? value_get(drift, "adopt") : NULL;
    const struct value *by_hand = adopt ? value_get(adopt, "by_hand") : NULL;
    if (r < 0)
        return r;
    if (problem)
        return error_set(err, ERROR_UNAVAILABLE, "%s", problem);
    if (!adopt)
        return error_set(err, ERROR_NOT_FOUND, "%s is as it was applied: there is nothing to adopt",
                         word);
    for (size_t i = 0; i < value_count(by_hand); i++)
        diagnostics_note(&answer->diagnostics, DIAGNOSTIC_WARNING, DIAGNOSTIC_ADOPTION,
                         (struct position){0}, "without that, this plan puts it back", "%s.",
                         value_text(value_at(by_hand, i)));
    struct edit_request request = {
        .settings = value_get(adopt, "settings"),
        .unsets = value_get(adopt, "unsets"),
        .removals = value_get(adopt, "removals"),
        .file = file,
        .deployment = word,
    };
    r = service_edit(service, &request, &edited, err);
    if (r == 0)
        r = edits_plan(service, &edited, NULL, answer, err);
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
        r = edits_plan(service, &edited, value_get_text(call->input, "refresh"), answer, err);
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
