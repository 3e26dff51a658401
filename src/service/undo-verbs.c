/* The verbs undo and pull: an earlier revision, and the head as a file. */
#include "base/memory.h"
#include "base/text.h"
#include "document/document.h"
#include "document/merge.h"
#include "model/yaml-edit.h"
#include "service/edits-internal.h"
#include "service/revisions-internal.h"
#include "service/revisions.h"

#include <inttypes.h>
#include <string.h>

/* --- Undo --- */

static const struct yaml_node *resources_of(const struct yaml_tree *tree)
{
    const struct yaml_node *list = yaml_get(yaml_get(yaml_root(tree), "deployment"), "resources");
    return list && list->kind == VALUE_LIST ? list : NULL;
}

/* Whether a text, or a list of texts, has this one. */
static bool says(const struct yaml_node *node, const char *text)
{
    if (node && node->kind == VALUE_STRING)
        return text_equal(node->text, text);
    for (size_t i = 0; node && node->kind == VALUE_LIST && i < node->n_items; i++)
        if (node->items[i]->kind == VALUE_STRING && text_equal(node->items[i]->text, text))
            return true;
    return false;
}

/* The name under which a document goes on with a resource: its own, or one that was it formerly;
 * NULL when it has none. */
static const char *follow_name(const struct yaml_tree *tree, const char *name)
{
    const struct yaml_node *list = resources_of(tree);
    const char *renamed = NULL;
    for (size_t i = 0; list && i < list->n_items; i++) {
        const char *own = yaml_get_text(list->items[i], "name");
        if (own && text_equal(own, name))
            return own;
        if (own && says(yaml_get(list->items[i], "formerly"), name))
            renamed = own;
    }
    return renamed;
}

/* What a resource of an old revision is called in the head; NULL when it is gone. Borrowed. */
static int find_later_name(struct lineage *lineage, const char *name, int64_t since,
                           const char **ret_name, struct error *err)
{
    *ret_name = name;
    for (int64_t number = since + 1; *ret_name && number <= lineage->head; number++) {
        const struct yaml_tree *tree;
        int r = lineage_tree(lineage, number, &tree, err);
        if (r < 0)
            return r;
        *ret_name = follow_name(tree, *ret_name);
    }
    return 0;
}

static int add_formerly(char **text, size_t index, const char *later, const struct yaml_node *old,
                        struct error *err)
{
    struct strbuf list = {0};
    strbuf_addf(&list, "[%s", later);
    if (old && old->kind == VALUE_STRING)
        strbuf_addf(&list, ", %s", old->text);
    for (size_t i = 0; old && old->kind == VALUE_LIST && i < old->n_items; i++)
        strbuf_addf(&list, ", %s", old->items[i]->kind == VALUE_STRING ? old->items[i]->text : "~");
    strbuf_add_char(&list, ']');
    CLEANUP(yaml_tree_freep) struct yaml_tree *content = merge_read(strbuf_text(&list));
    strbuf_done(&list);
    struct value_builder path = {0};
    value_builder_append(&path, value_string("deployment"));
    value_builder_append(&path, value_string("resources"));
    value_builder_append(&path, value_integer((int64_t)index));
    value_builder_append(&path, value_string("formerly"));
    CLEANUP(value_unrefp) struct value *place = value_builder_list(&path);
    if (!content)
        return 0;
    struct yaml_edit edit = {
        .kind = YAML_EDIT_SET, .path = place, .content = yaml_root(content), .after = "name"};
    return yaml_edit_text(text, &edit, err);
}

/* A rename since then is undone as a rename, not as a loss. */
static int undo_renames(struct lineage *lineage, int64_t number, char **text, struct error *err)
{
    const struct yaml_tree *tree;
    int r = lineage_tree(lineage, number, &tree, err);
    const struct yaml_node *list = r == 0 ? resources_of(tree) : NULL;
    for (size_t i = 0; r == 0 && list && i < list->n_items; i++) {
        const char *name = yaml_get_text(list->items[i], "name");
        const char *later = NULL;
        if (!name || !text_is_name(name))
            continue;
        r = find_later_name(lineage, name, number, &later, err);
        if (r == 0 && later && !text_equal(later, name) && text_is_name(later))
            r = add_formerly(text, i, later, yaml_get(list->items[i], "formerly"), err);
    }
    return r;
}

static int choose_revision(const struct store_deployment *deployment, int64_t *revision,
                           struct error *err)
{
    int64_t newest =
        deployment->is_destroyed ? deployment->head_revision : deployment->head_revision - 1;
    if (*revision == 0)
        *revision = newest;
    if (*revision >= 1 && *revision <= newest)
        return 0;
    if (newest < 1)
        return error_set(err, ERROR_NOT_FOUND,
                         "%s has nothing before revision %" PRId64
                         " to go back to; \"parley destroy\" removes it",
                         deployment->name, deployment->head_revision);
    return error_set(err, ERROR_NOT_FOUND, "%s can go back to the revisions 1 to %" PRId64,
                     deployment->name, newest);
}

int service_undo(struct service *service, const char *word, int64_t revision,
                 struct edited *ret_edited, struct error *err)
{
    struct store_deployment deployment = {0};
    struct lineage lineage = {0};
    struct edited edited = {.origin = "undo"};
    CLEANUP(value_unrefp) struct value *head = NULL;
    CLEANUP(value_unrefp) struct value *old = NULL;
    int r = edits_load(service, word, 0, &deployment, &head, err);
    if (r == 0)
        r = choose_revision(&deployment, &revision, err);
    if (r == 0)
        r = store_get_revision(service->store, deployment.uid, revision, &old, err);
    if (r == 0)
        r = revision_check_whole(old, deployment.name, err);
    if (r == 0)
        r = edits_keep_variables(service, old, &edited.variables, err);
    if (r == 0) {
        edited.base = deployment.is_destroyed ? 0 : revision;
        edited.back_to = edited.base;
        edited.before = string_copy(value_get_text(head, "document"));
        edited.after = string_copy(value_get_text(old, "document"));
        edited.label = string_format("%s, revision %" PRId64, deployment.name, revision);
        r = lineage_open(service, deployment.uid, &lineage, err);
    }
    if (r == 0 && !deployment.is_destroyed)
        r = undo_renames(&lineage, revision, &edited.after, err);
    lineage_done(&lineage);
    store_deployment_done(&deployment);
    if (r < 0)
        edited_done(&edited);
    else
        *ret_edited = edited;
    return r;
}

/* Names of the outputs that only the provider chooses; the empty text for none. */
static char *chosen_outputs(const struct resource_type *type)
{
    struct strbuf names = {0};
    for (size_t i = 0; i < type->n_outputs; i++)
        if (!type->outputs[i].from)
            strbuf_addf(&names, "%s%s", names.length ? ", " : "", type->outputs[i].name);
    return strbuf_take(&names);
}

void edits_note_losses(const struct service *service, struct plan *plan)
{
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct step *step = &plan->steps[i];
        const struct resource_type *type = catalog_find(service->catalog, step->type);
        if (step->kind != STEP_CREATE || !type)
            continue;
        CLEANUP(mem_freep) char *outputs = chosen_outputs(type);
        if (type->is_irreversible)
            diagnostics_note(&plan->notes, DIAGNOSTIC_NOTE, DIAGNOSTIC_NOT_RESTORED,
                             (struct position){0}, NULL,
                             "%s is made anew and empty: what it held before does not come back.",
                             step->address);
        else if (*outputs)
            diagnostics_note(&plan->notes, DIAGNOSTIC_NOTE, DIAGNOSTIC_NOT_RESTORED,
                             (struct position){0}, NULL,
                             "%s is made anew: what its system chose for it before (%s) does not "
                             "come back.",
                             step->address, outputs);
    }
}

/* --- Pull --- */

static int name_revision(char **text, int64_t number, struct error *err)
{
    CLEANUP(mem_freep) char *digits = string_format("%" PRId64, number);
    CLEANUP(yaml_tree_freep) struct yaml_tree *content = merge_read(digits);
    struct value_builder path = {0};
    value_builder_append(&path, value_string("deployment"));
    value_builder_append(&path, value_string("revision"));
    CLEANUP(value_unrefp) struct value *place = value_builder_list(&path);
    struct yaml_edit edit = {
        .kind = YAML_EDIT_SET, .path = place, .content = yaml_root(content), .after = "name"};
    return yaml_edit_text(text, &edit, err);
}

/* A file of another deployment is never overwritten. */
static int check_name(const char *path, const char *text, const struct store_deployment *deployment,
                      struct error *err)
{
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = merge_read(text);
    if (!tree)
        return error_set(err, ERROR_INVALID,
                         "%s has faults, so nothing can be written into it; \"parley validate\" "
                         "names them, and -o FILE writes another file",
                         path);
    const struct yaml_node *node = yaml_get(yaml_root(tree), "deployment");
    const char *name = yaml_get_text(node, "name");
    const char *environment = yaml_get_text(node, "environment");
    if (name && text_equal(name, deployment->name) &&
        text_equal(environment ? environment : "default", deployment->environment))
        return 0;
    return error_set(err, ERROR_CONFLICT, "%s is the document of %s@%s, not of %s@%s", path,
                     name ? name : "-", environment ? environment : "default", deployment->name,
                     deployment->environment);
}

static int merge_file(struct service *service, const struct store_deployment *deployment,
                      const char *path, const char *text, char **ret_text,
                      struct diagnostics *diagnostics, struct error *err)
{
    struct lineage lineage = {0};
    int r = check_name(path, text, deployment, err);
    if (r == 0)
        r = lineage_open(service, deployment->uid, &lineage, err);
    if (r == 0)
        r = lineage_merge(&lineage, path, text, ret_text, diagnostics, err);
    lineage_done(&lineage);
    if (r == 0 && !*ret_text)
        *ret_text = string_copy(text);
    return r;
}

int service_pull(struct service *service, const char *word, const char *path, const char *text,
                 struct edited *ret_edited, struct diagnostics *diagnostics, struct error *err)
{
    struct store_deployment deployment = {0};
    struct edited edited = {0};
    CLEANUP(value_unrefp) struct value *head = NULL;
    int r = edits_load(service, word, 0, &deployment, &head, err);
    if (r == 0 && text)
        r = merge_file(service, &deployment, path, text, &edited.after, diagnostics, err);
    else if (r == 0)
        edited.after = string_copy(value_get_text(head, "document"));
    if (r == 0)
        r = name_revision(&edited.after, deployment.head_revision, err);
    edited.before = string_copy(text ? text : "");
    edited.label = string_copy(path ? path : deployment.name ? deployment.name : "");
    edited.base = deployment.head_revision;
    store_deployment_done(&deployment);
    if (r < 0)
        edited_done(&edited);
    else
        *ret_edited = edited;
    return r;
}
