/* What instances are let in with, from the site to the drivers. */
#include "service/credentials.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/expression.h"
#include "secret/derive.h"
#include "service/secret-source.h"
#include "service/secrets.h"

#include <string.h>

const char credentials_uid[] = "site";

/* --- What a setting refers to --- */

struct finding {
    struct string_list names; /* of secrets */
    bool has_others;
};

static int find_reference(void *argument, const struct reference *reference, struct error *err)
{
    struct finding *finding = argument;
    (void)err;
    bool is_secret = !reference->type && !reference->key && text_equal(reference->root, "secret");
    finding->has_others = finding->has_others || !is_secret;
    if (is_secret && !string_list_has(&finding->names, reference->path))
        string_list_add(&finding->names, reference->path);
    return 0;
}

/* The secrets that a text names. The caller frees it with string_list_done(). */
static struct finding find_secrets(const char *text)
{
    struct finding finding = {0};
    struct error ignored = {0};
    if (expression_is_in(text))
        (void)expression_references(text, find_reference, &finding, NULL, &ignored);
    error_done(&ignored);
    return finding;
}

static bool is_credential(const struct provider_ops *driver, const char *key)
{
    for (size_t i = 0; driver->credentials && driver->credentials[i]; i++)
        if (text_equal(driver->credentials[i], key))
            return true;
    return false;
}

/* --- What is wrong with it --- */

struct check {
    const struct yaml_tree *tree;
    const struct provider_ops *driver;
    const struct value *sources;
    const char *instance;
    const char *setting;
    struct diagnostics *diagnostics;
};

static void tell_misplaced(const struct check *check, const struct yaml_node *node)
{
    struct strbuf help = {0};
    for (size_t i = 0; check->driver->credentials && check->driver->credentials[i]; i++)
        strbuf_addf(&help, "%s%s",
                    i ? ", " : "The driver takes secrets in: ", check->driver->credentials[i]);
    if (help.length == 0)
        strbuf_addf(&help, "The driver %s takes no secret", check->driver->driver);
    strbuf_add_char(&help, '.');
    diagnostics_add(check->diagnostics, DIAGNOSTIC_MISPLACED_SECRET,
                    yaml_position(check->tree, node), strbuf_text(&help),
                    "%s: %s would hold a secret.", check->instance, check->setting);
    strbuf_done(&help);
}

static void tell_unknown(const struct check *check, const struct yaml_node *node, const char *name)
{
    size_t n = check->sources ? value_count(check->sources) : 0;
    const char **known = NEW_ARRAY(const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        known[i] = value_key_at(check->sources, i);
    const char *nearest = text_nearest(name, known, n);
    CLEANUP(mem_freep)
    char *help = nearest ? string_format("Did you mean \"%s\"?", nearest)
                         : string_format("Say where it comes from under secrets: of the site.");
    diagnostics_add(check->diagnostics, DIAGNOSTIC_UNKNOWN_SECRET, yaml_position(check->tree, node),
                    help, "%s: %s: the site has no secret \"%.80s\".", check->instance,
                    check->setting, name);
    mem_free(known);
}

static void check_credential(const struct check *check, const struct yaml_node *node,
                             const struct finding *finding)
{
    for (size_t i = 0; i < finding->names.n_items; i++)
        if (!value_get(check->sources, finding->names.items[i]))
            tell_unknown(check, node, finding->names.items[i]);
    if (finding->names.n_items > 0 && finding->has_others)
        diagnostics_add(check->diagnostics, DIAGNOSTIC_BAD_VALUE, yaml_position(check->tree, node),
                        "Let a resource give all of it, or secrets.",
                        "%s: %s refers to secrets and to resources.", check->instance,
                        check->setting);
    if (finding->names.n_items == 0 && !finding->has_others)
        diagnostics_note(check->diagnostics, DIAGNOSTIC_WARNING, DIAGNOSTIC_PLAIN_SECRET,
                         yaml_position(check->tree, node),
                         "Declare it under secrets: of the site, by its source, and write "
                         "\"${secret.NAME}\" here; then change it, since copies of the file "
                         "have it.",
                         "%s: %s is a credential, and whoever reads the site has it.",
                         check->instance, check->setting);
}

static void check_setting(const struct check *check, const struct yaml_node *node, bool is_top)
{
    if (node->kind == VALUE_LIST)
        for (unsigned int i = 0; i < node->n_items; i++)
            check_setting(check, node->items[i], false);
    if (node->kind == VALUE_MAP)
        for (unsigned int i = 0; i < node->n_items; i++)
            check_setting(check, node->pairs[i].value, false);
    bool is_taken = is_top && is_credential(check->driver, check->setting);
    if (node->kind != VALUE_STRING)
        return;
    struct finding finding = find_secrets(node->text);
    if (is_taken)
        check_credential(check, node, &finding);
    else if (finding.names.n_items > 0)
        tell_misplaced(check, node);
    string_list_done(&finding.names);
}

void credentials_check(const struct yaml_tree *tree, const struct yaml_pair *instance,
                       const struct provider_ops *driver, const struct value *sources,
                       struct diagnostics *diagnostics)
{
    struct check check = {.tree = tree,
                          .driver = driver,
                          .sources = sources,
                          .instance = instance->key,
                          .diagnostics = diagnostics};
    for (unsigned int i = 0; i < instance->value->n_items; i++) {
        check.setting = instance->value->pairs[i].key;
        check_setting(&check, instance->value->pairs[i].value, true);
    }
}

/* --- Reading --- */

const char *credentials_find(const struct service *service, const char *name)
{
    return map_get(&service->credentials, name);
}

static CO_FN int read_one(struct service *service, const char *name, struct error *err)
{
    const struct value *given = value_get(site_secrets(service->site), name);
    CLEANUP(value_unrefp) struct value *source = NULL;
    CLEANUP(mem_freep) char *digest = NULL;
    if (credentials_find(service, name))
        return 0;
    int r = given ? secrets_open(service, err)
                  : error_set(err, ERROR_NOT_FOUND, "the site has no such secret any more");
    if (r == 0)
        r = source_settle(given, site_folder(service->site), &source, err);
    if (r == 0)
        r = source_find_digest(service, credentials_uid, name, source, &digest, err);
    if (r < 0)
        return error_wrap(err, r, "the secret %s of the site", name);
    mem_free(map_put(&service->credentials, name, take_ptr(digest)));
    return 0;
}

void credentials_clear_environment(struct service *service)
{
    const struct value *sources = site_secrets(service->site);
    for (size_t i = 0; sources && i < value_count(sources); i++) {
        struct error ignored = {0};
        if (value_get(value_at(sources, i), "environment"))
            (void)read_one(service, value_key_at(sources, i), &ignored);
        error_done(&ignored);
    }
}

/* The settings as the site has them, and the driver's table. */
static const struct value *find_settings(const struct service *service, const char *instance,
                                         const struct provider_ops **ret_driver)
{
    const char *name = NULL;
    const struct value *config = NULL;
    *ret_driver = NULL;
    if (site_find_instance(service->site, instance, &name, &config, NULL) < 0)
        return NULL;
    *ret_driver = provider_find_driver(name);
    return config;
}

/* Calls for the text of each credential. */
static CO_FN int read_all(struct service *service, const char *instance, struct string_list *names,
                          struct error *err)
{
    const struct provider_ops *driver;
    const struct value *config = find_settings(service, instance, &driver);
    int r = 0;
    for (size_t i = 0; r == 0 && config && i < value_count(config); i++) {
        const struct value *setting = value_at(config, i);
        if (!is_credential(driver, value_key_at(config, i)) || value_kind(setting) != VALUE_STRING)
            continue;
        struct finding finding = find_secrets(value_text(setting));
        for (size_t k = 0; r == 0 && k < finding.names.n_items; k++) {
            r = read_one(service, finding.names.items[k], err);
            if (!string_list_has(names, finding.names.items[k]))
                string_list_add(names, finding.names.items[k]);
        }
        string_list_done(&finding.names);
    }
    return r;
}

/* --- For drivers --- */

/* A handle for the text of a setting. */
static int make_handle(struct service *service, const struct value *written,
                       const struct value *setting, struct value **ret_handle, struct error *err)
{
    const char *digest = NULL;
    int r = secrets_open(service, err);
    if (r < 0)
        return r;
    const char *expression = value_kind(written) == VALUE_STRING ? value_text(written) : "";
    struct finding finding = find_secrets(expression);
    /* Only what the site says is looked up: a text that a resource gave stands for itself. */
    if (finding.names.n_items > 0) {
        r = secrets_add_expression(service->secrets, &service->credentials, expression, &digest,
                                   err);
    } else {
        char *copy = string_copy_n(value_text(setting), value_text_length(setting));
        r = secrets_add(service->secrets, copy, value_text_length(setting), &digest, err);
        mem_free(copy);
    }
    string_list_done(&finding.names);
    if (r == 0)
        *ret_handle = value_secret(digest, "");
    return r;
}

int credentials_fill(struct service *service, const char *instance, const struct value *config,
                     struct value **ret_config, struct error *err)
{
    const struct provider_ops *driver;
    const struct value *written = find_settings(service, instance, &driver);
    struct string_list names = {0};
    struct value_builder filled = {0};
    int r = read_all(service, instance, &names, err);
    string_list_done(&names);
    for (size_t i = 0; r == 0 && config && i < value_count(config); i++) {
        const char *key = value_key_at(config, i);
        struct value *setting = value_at(config, i);
        struct value *handle = NULL;
        if (is_credential(driver, key) && value_kind(setting) == VALUE_STRING &&
            value_text_length(setting) > 0)
            r = make_handle(service, value_get(written, key), setting, &handle, err);
        else
            handle = value_ref(setting);
        if (r == 0)
            value_builder_set(&filled, key, handle);
        else
            error_wrap(err, r, "%s: %s", instance, key);
    }
    struct value *all = config ? value_builder_map(&filled) : NULL;
    if (r < 0)
        value_unref(all);
    else
        *ret_config = all;
    return r;
}

/* --- For plans and runs --- */

int credentials_digest(struct service *service, const struct value *instances,
                       struct value **ret_digests, struct error *err)
{
    struct string_list names = {0};
    struct value_builder digests = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < value_count(instances); i++)
        r = read_all(service, value_key_at(instances, i), &names, err);
    for (size_t i = 0; r == 0 && i < names.n_items; i++)
        value_builder_set_string(&digests, names.items[i],
                                 credentials_find(service, names.items[i]));
    string_list_done(&names);
    *ret_digests = value_builder_map(&digests);
    return r;
}

static int check_planned(const struct plan *plan, const char *name, const char *digest,
                         struct error *err)
{
    if (text_equal_or_null(value_get_text(plan->credentials, name), digest))
        return 0;
    return error_set(err, ERROR_STALE,
                     "the secret %s of the site has changed since the plan was made; plan again",
                     name);
}

int credentials_gather(struct service *service, const struct plan *plan, struct error *err)
{
    int r = 0;
    size_t n = plan->credentials ? value_count(plan->credentials) : 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        const char *name = value_key_at(plan->credentials, i);
        if ((r = read_one(service, name, err)) == 0)
            r = check_planned(plan, name, credentials_find(service, name), err);
    }
    return r;
}

int credentials_take(struct service *service, const struct plan *plan, const char *name,
                     const char *digest, struct error *err)
{
    int r = check_planned(plan, name, digest, err);
    if (r == 0)
        mem_free(map_put(&service->credentials, name, string_copy(digest)));
    return r;
}

void credentials_done(struct service *service)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&service->credentials, &cursor)))
        mem_free(entry->value);
    map_done(&service->credentials);
}
