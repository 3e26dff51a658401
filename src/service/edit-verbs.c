/* The verb set: words that change one value of a document. */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "document/document.h"
#include "document/merge.h"
#include "model/yaml-edit.h"
#include "service/edits-internal.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_FILE = 512 << 20 };

void edited_done(struct edited *edited)
{
    mem_free(edited->label);
    mem_free(edited->before);
    mem_free(edited->after);
    value_unref(edited->variables);
    *edited = (struct edited){0};
}

/* --- One setting --- */

struct setting {
    char *name;         /* owned: the resource's, or "var" */
    struct value *path; /* owned list: what follows the name */
    const char *value;  /* borrowed; NULL: to be taken out */
};

static void setting_done(struct setting *setting)
{
    mem_free(setting->name);
    value_unref(setting->path);
}

/* "a.b[0].c" as steps; NULL when it is no such path. */
static struct value *parse_path(const char *text, size_t length)
{
    struct value_builder path = {0};
    size_t i = 0;
    bool is_good = length > 0;
    while (is_good && i < length) {
        if (text[i] == '[') {
            size_t digits = strspn(text + i + 1, "0123456789");
            is_good = i > 0 && digits > 0 && digits < 10 && text[i + 1 + digits] == ']';
            CLEANUP(mem_freep) char *number = string_copy_n(text + i + 1, digits);
            int64_t index = 0;
            is_good = is_good && text_to_integer(number, &index);
            value_builder_append(&path, value_integer(index));
            i += digits + 2;
        } else {
            i += i > 0 && text[i] == '.';
            size_t n = strcspn(text + i, ".[=");
            is_good = n > 0 && i + n <= length;
            value_builder_append(&path, value_string_n(text + i, is_good ? n : 0));
            i += n;
        }
    }
    if (is_good && i == length)
        return value_builder_list(&path);
    value_builder_done(&path);
    return NULL;
}

static int parse_setting(const char *word, bool is_unset, struct setting *ret_setting,
                         struct error *err)
{
    size_t left = strcspn(word, "=");
    size_t dot = strcspn(word, ".=");
    bool has_value = word[left] == '=';
    struct value *path = dot > 0 && dot < left && has_value != is_unset
                             ? parse_path(word + dot + 1, left - dot - 1)
                             : NULL;
    if (!path)
        return error_set(err, ERROR_INVALID, "\"%s\" is no %s; write it as %s", word,
                         is_unset ? "property" : "setting",
                         is_unset ? "NAME.PROPERTY" : "NAME.PROPERTY=VALUE");
    *ret_setting = (struct setting){
        .name = string_copy_n(word, dot),
        .path = path,
        .value = has_value ? word + left + 1 : NULL,
    };
    return 0;
}

/* --- Where it goes in the document --- */

static const struct yaml_node *find_resource(const struct yaml_tree *tree, const char *name,
                                             size_t *ret_index)
{
    const struct yaml_node *list = yaml_get(yaml_get(yaml_root(tree), "deployment"), "resources");
    for (size_t i = 0; list && list->kind == VALUE_LIST && i < list->n_items; i++) {
        const char *other = yaml_get_text(list->items[i], "name");
        if (other && text_equal(other, name)) {
            *ret_index = i;
            return list->items[i];
        }
    }
    return NULL;
}

static bool is_in_document(const struct yaml_tree *tree, const struct setting *setting)
{
    size_t index;
    return text_equal(setting->name, "var") || find_resource(tree, setting->name, &index);
}

/* Keys of the resource itself, where its type has no property of that name. */
static bool is_own_key(const struct resource_type *type, const struct value *path)
{
    static const char *const keys[] = {"lifecycle", "count"};
    const char *first = value_text(value_at(path, 0));
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++)
        if (text_equal(keys[i], first))
            return !type || !schema_field(&type->schema, first);
    return false;
}

static void append_all(struct value_builder *path, const struct value *steps)
{
    for (size_t i = 0; i < value_count(steps); i++)
        value_builder_append(path, value_ref(value_at(steps, i)));
}

static int find_place(const struct service *service, const struct yaml_tree *tree,
                      const struct setting *setting, struct value **ret_path,
                      const struct resource_type **ret_type, struct error *err)
{
    struct value_builder path = {0};
    size_t index = 0;
    *ret_type = NULL;
    value_builder_append(&path, value_string("deployment"));
    if (text_equal(setting->name, "var")) {
        value_builder_append(&path, value_string("variables"));
    } else {
        const struct yaml_node *node = find_resource(tree, setting->name, &index);
        if (!node) {
            value_builder_done(&path);
            return error_set(err, ERROR_NOT_FOUND,
                             "the document has no resource \"%s\" of its own; what a pattern adds "
                             "is set by the pattern's parameters (\"parley expand\" shows which)",
                             setting->name);
        }
        const char *type = yaml_get_text(node, "type");
        *ret_type = type ? catalog_find(service->catalog, type) : NULL;
        value_builder_append(&path, value_string("resources"));
        value_builder_append(&path, value_integer((int64_t)index));
        if (!is_own_key(*ret_type, setting->path))
            value_builder_append(&path, value_string("properties"));
    }
    append_all(&path, setting->path);
    *ret_path = value_builder_list(&path);
    return 0;
}

/* Whether the type wants a text where the setting is: then 14 is one, too. */
static bool wants_text(const struct resource_type *type, const struct value *path)
{
    const struct schema *schema = type && value_count(path) == 1
                                      ? schema_field(&type->schema, value_text(value_at(path, 0)))
                                      : NULL;
    return schema && (schema->kind == SCHEMA_STRING || schema->kind == SCHEMA_PATH ||
                      schema->kind == SCHEMA_DOMAIN);
}

/* A value as it was typed: brackets and quotes are YAML, all else is one scalar. */
static struct yaml_tree *read_typed(const char *typed, bool is_text)
{
    struct yaml_tree *tree = merge_read(typed);
    const struct yaml_node *root = tree ? yaml_root(tree) : NULL;
    bool is_open = !is_text && *typed && strchr("[{", *typed);
    bool is_collection = root && (root->kind == VALUE_LIST || root->kind == VALUE_MAP);
    bool is_quoted = *typed && strchr("\"'", *typed) && root && root->kind == VALUE_STRING;
    /* What YAML would take for a comment is part of the text here. */
    bool is_plain = root && !is_collection && text_equal(root->text, typed) &&
                    (!is_text || root->kind == VALUE_STRING);
    if (is_open ? is_collection : is_quoted || is_plain)
        return tree;
    yaml_tree_free(tree);
    struct strbuf quoted = {0};
    strbuf_add_char(&quoted, '\'');
    for (const char *c = typed; *c; c++)
        strbuf_add(&quoted, *c == '\'' ? "''" : (char[]){*c, '\0'});
    strbuf_add_char(&quoted, '\'');
    tree = merge_read(strbuf_text(&quoted));
    strbuf_done(&quoted);
    return tree;
}

/* Words are kept in the history, where no secret may stand. */
static int check_no_secret(const struct setting *setting, const struct resource_type *type,
                           struct error *err)
{
    const char *first = value_text(value_at(setting->path, 0));
    const struct schema *schema = type ? schema_field(&type->schema, first) : NULL;
    if (!schema || !schema->is_secret || !setting->value || strstr(setting->value, "${"))
        return 0;
    return error_set(err, ERROR_INVALID,
                     "%s.%s is a secret, and these words are kept in the history; write it into "
                     "the document as an expression, ${...}",
                     setting->name, first);
}

static int edit_one(const struct service *service, char **text, const struct setting *setting,
                    struct error *err)
{
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = merge_read(*text);
    CLEANUP(value_unrefp) struct value *path = NULL;
    CLEANUP(yaml_tree_freep) struct yaml_tree *content = NULL;
    const struct resource_type *type;
    if (!tree)
        return error_set(err, ERROR_INVALID,
                         "the document has faults; \"parley validate\" names "
                         "them");
    int r = find_place(service, tree, setting, &path, &type, err);
    if (r < 0)
        return r;
    r = check_no_secret(setting, type, err);
    if (r < 0)
        return r;
    if (setting->value) {
        content = read_typed(setting->value, wants_text(type, setting->path));
        if (!content)
            return error_set(err, ERROR_INVALID, "the value of %s cannot be written in YAML",
                             setting->name);
    }
    struct yaml_edit edit = {
        .kind = content ? YAML_EDIT_SET : YAML_EDIT_REMOVE,
        .path = path,
        .content = content ? yaml_root(content) : NULL,
    };
    r = yaml_edit_text(text, &edit, err);
    if (r == -ERROR_NOT_FOUND) {
        CLEANUP(mem_freep) char *what = yaml_path_text(setting->path);
        return error_set(err, ERROR_NOT_FOUND, "the document sets no %s of %s%s", what,
                         setting->name, setting->value ? " that could hold this" : "");
    }
    return r;
}

/* --- All settings of a request --- */

struct settings {
    struct setting *items; /* owned */
    size_t n_items;
};

static void settings_done(struct settings *settings)
{
    for (size_t i = 0; i < settings->n_items; i++)
        setting_done(&settings->items[i]);
    mem_free(settings->items);
}

static int parse_settings(const struct edit_request *request, struct settings *settings,
                          struct error *err)
{
    size_t n_settings = request->settings ? value_count(request->settings) : 0;
    size_t n = n_settings + (request->unsets ? value_count(request->unsets) : 0);
    size_t n_removals = request->removals ? value_count(request->removals) : 0;
    if (n + n_removals == 0)
        return error_set(err, ERROR_INVALID,
                         "say what to set: NAME.PROPERTY=VALUE, or --unset NAME.PROPERTY");
    settings->items = NEW_ARRAY(struct setting, n);
    for (size_t i = 0; i < n; i++) {
        bool is_unset = i >= n_settings;
        const struct value *word =
            is_unset ? value_at(request->unsets, i - n_settings) : value_at(request->settings, i);
        int r = parse_setting(value_text(word), is_unset, &settings->items[i], err);
        if (r < 0)
            return r;
        settings->n_items++;
    }
    return 0;
}

static bool has_all(const char *text, const struct settings *settings)
{
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = merge_read(text);
    for (size_t i = 0; tree && i < settings->n_items; i++)
        if (!is_in_document(tree, &settings->items[i]))
            return false;
    return tree != NULL;
}

/* The only deployment whose head has all that is to be set. */
static int choose_deployment(struct service *service, const struct settings *settings,
                             char **ret_word, struct error *err)
{
    struct store_deployment *deployments = NULL;
    size_t n = 0;
    size_t n_fitting = 0;
    struct strbuf words = {0};
    int r = store_list_deployments(service->store, &deployments, &n, err);
    for (size_t i = 0; i < n; i++) {
        CLEANUP(value_unrefp) struct value *head = NULL;
        if (r == 0 && !deployments[i].is_destroyed && deployments[i].head_revision > 0)
            r = store_get_revision(service->store, deployments[i].uid, 0, &head, err);
        const char *text = head ? value_get_text(head, "document") : NULL;
        if (text && has_all(text, settings)) {
            n_fitting++;
            strbuf_addf(&words, "%s%s@%s", words.length ? ", " : "", deployments[i].name,
                        deployments[i].environment);
        }
        store_deployment_done(&deployments[i]);
    }
    mem_free(deployments);
    if (r == 0 && n_fitting == 0)
        r = error_set(err, ERROR_NOT_FOUND,
                      "no deployment has a resource \"%s\" of its own; what a pattern adds is set "
                      "by the pattern's parameters",
                      settings->items[0].name);
    else if (r == 0 && n_fitting > 1)
        r = error_set(err, ERROR_CONFLICT,
                      "several deployments have \"%s\"; say which with --in: %s",
                      settings->items[0].name, strbuf_text(&words));
    if (r == 0)
        *ret_word = strbuf_take(&words);
    strbuf_done(&words);
    return r;
}

/* The variables a revision was applied with, but for those that are set anew. */
static int keep_variables(struct service *service, const struct value *revision,
                          const struct settings *settings, const struct value *given,
                          struct value **ret_variables, struct error *err)
{
    CLEANUP(value_unrefp) struct value *head = NULL;
    const char *hash = value_get_text(revision, "plan");
    int r = hash ? store_get_plan_head(service->store, hash, &head, err) : 0;
    if (r < 0)
        return r;
    const struct value *former = value_get(head, "variables");
    struct value_builder variables = {0};
    for (size_t i = 0; former && i < value_count(former); i++) {
        const char *name = value_key_at(former, i);
        bool is_set = value_kind(value_at(former, i)) == VALUE_SECRET;
        for (size_t k = 0; settings && k < settings->n_items; k++)
            is_set = is_set || (text_equal(settings->items[k].name, "var") &&
                                text_equal(value_text(value_at(settings->items[k].path, 0)), name));
        if (!is_set)
            value_builder_set(&variables, name, value_ref(value_at(former, i)));
    }
    for (size_t i = 0; given && i < value_count(given); i++)
        value_builder_set(&variables, value_key_at(given, i), value_ref(value_at(given, i)));
    *ret_variables = value_builder_map(&variables);
    return 0;
}

int edits_load(struct service *service, const char *word, int64_t number,
               struct store_deployment *ret_deployment, struct value **ret_revision,
               struct error *err)
{
    int r = service_find_deployment(service, word, ret_deployment, err);
    if (r < 0)
        return r;
    return store_get_revision(service->store, ret_deployment->uid, number, ret_revision, err);
}

int edits_keep_variables(struct service *service, const struct value *revision,
                         struct value **ret_variables, struct error *err)
{
    return keep_variables(service, revision, NULL, NULL, ret_variables, err);
}

static int load_head(struct service *service, const struct edit_request *request,
                     const struct settings *settings, struct edited *edited, struct error *err)
{
    CLEANUP(mem_freep) char *word = request->deployment ? string_copy(request->deployment) : NULL;
    CLEANUP(value_unrefp) struct value *head = NULL;
    struct store_deployment deployment = {0};
    int r = service_need_store(service, false, err);
    if (r == 0 && !word)
        r = choose_deployment(service, settings, &word, err);
    if (r == 0)
        r = edits_load(service, word, 0, &deployment, &head, err);
    if (r == 0 && deployment.is_destroyed)
        r = error_set(err, ERROR_NOT_FOUND, "%s is destroyed", deployment.name);
    if (r == 0)
        r = keep_variables(service, head, settings, request->variables, &edited->variables, err);
    if (r == 0) {
        edited->origin = "words";
        edited->base = deployment.head_revision;
        edited->before = string_copy(value_get_text(head, "document"));
        edited->label = string_format("%s, revision %" PRId64, deployment.name, edited->base);
    }
    store_deployment_done(&deployment);
    return r;
}

static int load_text(struct service *service, const struct edit_request *request,
                     const struct settings *settings, struct edited *edited, struct error *err)
{
    if (!request->file)
        return load_head(service, request, settings, edited, err);
    edited->label = string_copy(request->file);
    edited->variables = request->variables ? value_ref((struct value *)request->variables) : NULL;
    return world_read_file(request->file, MAX_FILE, &edited->before, NULL, err);
}

/* Takes a resource out of the document. */
static int remove_resource(char **text, const char *name, struct error *err)
{
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = merge_read(*text);
    struct value_builder path = {0};
    size_t index = 0;
    if (!tree || !find_resource(tree, name, &index))
        return error_set(err, ERROR_NOT_FOUND, "the document has no resource \"%s\" of its own",
                         name);
    value_builder_append(&path, value_string("deployment"));
    value_builder_append(&path, value_string("resources"));
    value_builder_append(&path, value_integer((int64_t)index));
    CLEANUP(value_unrefp) struct value *place = value_builder_list(&path);
    struct yaml_edit edit = {.kind = YAML_EDIT_REMOVE, .path = place};
    return yaml_edit_text(text, &edit, err);
}

int service_edit(struct service *service, const struct edit_request *request,
                 struct edited *ret_edited, struct error *err)
{
    struct settings settings = {0};
    struct edited edited = {0};
    int r = parse_settings(request, &settings, err);
    if (r == 0)
        r = load_text(service, request, &settings, &edited, err);
    if (r == 0)
        edited.after = string_copy(edited.before);
    for (size_t i = 0; r == 0 && i < settings.n_items; i++)
        r = edit_one(service, &edited.after, &settings.items[i], err);
    for (size_t i = 0; r == 0 && request->removals && i < value_count(request->removals); i++)
        r = remove_resource(&edited.after, value_text(value_at(request->removals, i)), err);
    settings_done(&settings);
    if (r < 0)
        edited_done(&edited);
    else
        *ret_edited = edited;
    return r;
}
