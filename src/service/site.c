#include "service/site.h"

#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "document/document.h"
#include "model/yaml.h"
#include "provider/provider.h"
#include "service/credentials.h"

#include <string.h>

enum { MAX_SITE_BYTES = 1 << 20 };

/* What drivers serve a type without a site, best first (DESIGN section 2). */
static const char *const default_drivers[] = {"core", "twin", "fake"};

struct instance {
    char *name;           /* owned */
    char *driver;         /* owned */
    struct value *config; /* owned map; NULL without one */
};

struct site {
    char *folder;            /* owned: of the file; NULL without a file, as the next */
    char *catalog_folder;    /* owned: catalog/ beside it */
    struct value *secrets;   /* owned map of name -> source; NULL without any */
    struct value *content;   /* owned map; NULL without a file */
    struct site_rules rules; /* empty without a file, as the next */
    struct site_server server;
    struct instance *instances; /* owned; those of the file, then those made up on demand */
    size_t n_instances;
    size_t capacity;
};

void site_free(struct site *site)
{
    if (!site)
        return;
    for (size_t i = 0; i < site->n_instances; i++) {
        mem_free(site->instances[i].name);
        mem_free(site->instances[i].driver);
        value_unref(site->instances[i].config);
    }
    mem_free(site->instances);
    value_unref(site->content);
    value_unref(site->secrets);
    site_rules_done(&site->rules);
    site_server_done(&site->server);
    mem_free(site->catalog_folder);
    mem_free(site->folder);
    mem_free(site);
}

static const struct instance *add_instance(struct site *site, const char *name, const char *driver,
                                           struct value *take_config)
{
    ARRAY_RESERVE(site->instances, site->n_instances, site->capacity);
    struct instance *instance = &site->instances[site->n_instances++];
    *instance = (struct instance){string_copy(name), string_copy(driver), take_config};
    return instance;
}

static const struct instance *find_instance(const struct site *site, const char *name)
{
    for (size_t i = 0; i < site->n_instances; i++)
        if (text_equal(site->instances[i].name, name))
            return &site->instances[i];
    return NULL;
}

static void check_keys(const struct yaml_tree *tree, const struct yaml_node *map,
                       const char *const *known, size_t n_known, struct diagnostics *diagnostics)
{
    for (unsigned int i = 0; map->kind == VALUE_MAP && i < map->n_items; i++) {
        const char *key = map->pairs[i].key;
        bool is_known = false;
        for (size_t k = 0; k < n_known; k++)
            is_known = is_known || text_equal(known[k], key);
        if (is_known)
            continue;
        const char *nearest = text_nearest(key, known, n_known);
        CLEANUP(mem_freep)
        char *help = nearest ? string_format("did you mean \"%s\"?", nearest) : NULL;
        diagnostics_add(diagnostics, DIAGNOSTIC_UNKNOWN_KEY,
                        yaml_key_position(tree, &map->pairs[i]), help,
                        "A site has no key \"%s\" here.", key);
    }
}

static void read_instance(struct site *site, const struct yaml_tree *tree,
                          const struct yaml_pair *pair, struct diagnostics *diagnostics)
{
    const char *driver = yaml_get_text(pair->value, "driver");
    struct position position = yaml_key_position(tree, pair);
    if (!driver || !provider_find_driver(driver)) {
        diagnostics_add(diagnostics, DIAGNOSTIC_BAD_VALUE, position,
                        "the drivers of this program are core, twin and fake",
                        "The instance %s needs \"driver:\" with the name of a driver.", pair->key);
        return;
    }
    if (!strchr(pair->key, '.')) {
        diagnostics_add(diagnostics, DIAGNOSTIC_BAD_NAME, position,
                        "such as opnsense.edge or aws.west",
                        "The instance \"%s\" is not named PROVIDER.NAME.", pair->key);
        return;
    }
    credentials_check(tree, pair, provider_find_driver(driver), site->secrets, diagnostics);
    CLEANUP(value_unrefp) struct value *fields = yaml_to_value(pair->value);
    struct value *config = value_with(fields, "driver", NULL);
    bool is_empty = value_count(config) == 0;
    if (is_empty)
        value_unref(config);
    add_instance(site, pair->key, driver, is_empty ? NULL : config);
}

static void read_content(struct site *site, const struct yaml_tree *tree,
                         struct diagnostics *diagnostics)
{
    static const char *const keys[] = {"format", "secrets",  "instances", "environments",
                                       "caps",   "approval", "approvers", "server"};
    const struct yaml_node *root = yaml_root(tree);
    const struct yaml_node *body = yaml_get(root, "site");
    if (!body || body->kind != VALUE_MAP) {
        diagnostics_add(diagnostics, DIAGNOSTIC_MISSING_KEY, yaml_position(tree, root),
                        "begin the file with \"site:\"",
                        "A site file has one key, \"site\", and under it a map.");
        return;
    }
    check_keys(tree, body, keys, ARRAY_LENGTH(keys), diagnostics);
    const struct yaml_node *format = yaml_get(body, "format");
    if (format && (format->kind != VALUE_INTEGER || format->integer != 1))
        diagnostics_add(diagnostics, DIAGNOSTIC_UNKNOWN_FORMAT, yaml_position(tree, format),
                        "use a newer parley, or format: 1",
                        "This program reads sites of format 1.");
    const struct yaml_node *secrets = yaml_get(body, "secrets");
    if (secrets && secrets->kind != VALUE_MAP && secrets->kind != VALUE_NULL)
        diagnostics_add(diagnostics, DIAGNOSTIC_WRONG_KIND, yaml_position(tree, secrets),
                        "such as { lab-key: { environment: LAB_KEY } }",
                        "\"secrets\" must be a map of names and sources.");
    site->secrets = document_read_sources(tree, secrets, diagnostics);
    const struct yaml_node *instances = yaml_get(body, "instances");
    for (unsigned int i = 0; instances && instances->kind == VALUE_MAP && i < instances->n_items;
         i++)
        read_instance(site, tree, &instances->pairs[i], diagnostics);
    site_rules_read(&site->rules, tree, body, diagnostics);
    site_server_read(&site->server, tree, body, site->folder, diagnostics);
    site->content = yaml_to_value(body);
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return string_copy(".");
    return slash == path ? string_copy("/") : string_copy_n(path, (size_t)(slash - path));
}

int site_read(const char *path, struct site **ret_site, struct diagnostics *diagnostics,
              struct error *err)
{
    struct site *site = NEW(struct site);
    *ret_site = site;
    if (!path)
        return 0;
    CLEANUP(mem_freep) char *text = NULL;
    size_t size = 0;
    int r = world_read_file(path, MAX_SITE_BYTES, &text, &size, err);
    if (r < 0) {
        site_free(site);
        return error_wrap(err, r, "read the site");
    }
    site->folder = folder_of(path);
    site->catalog_folder = string_format("%s/catalog", site->folder);
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = NULL;
    yaml_read(path, text, size, &yaml_default_limits, &tree, diagnostics);
    if (tree)
        read_content(site, tree, diagnostics);
    if (!diagnostics_has_errors(diagnostics))
        return 0;
    site_free(site);
    return error_set(err, ERROR_INVALID, "the site file %s has faults", path);
}

const char *site_catalog_folder(const struct site *site)
{
    return site->catalog_folder;
}

const char *site_folder(const struct site *site)
{
    return site->folder;
}

const struct value *site_secrets(const struct site *site)
{
    return site->secrets;
}

static bool is_of_provider(const struct instance *instance, const char *provider)
{
    size_t length = strlen(provider);
    return strncmp(instance->name, provider, length) == 0 && instance->name[length] == '.';
}

/* Makes PROVIDER.default up, on the best driver that serves the type. */
static const struct instance *make_default(struct site *site, const struct resource_type *type)
{
    CLEANUP(mem_freep) char *name = string_format("%s.default", type->provider);
    const struct instance *known = find_instance(site, name);
    if (known)
        return known;
    for (size_t i = 0; i < ARRAY_LENGTH(default_drivers); i++)
        if (type_find_driver(type, default_drivers[i]))
            return add_instance(site, name, default_drivers[i], NULL);
    return NULL;
}

static int refuse(const struct site *site, const struct resource_type *type, const char *on,
                  struct error *err)
{
    struct strbuf names = {0};
    size_t n = 0;
    for (size_t i = 0; i < site->n_instances; i++)
        if (is_of_provider(&site->instances[i], type->provider))
            strbuf_addf(&names, "%s%s", n++ ? ", " : "", site->instances[i].name);
    int r =
        on ? error_set(err, ERROR_NOT_FOUND, "The site has no instance \"%s\"; of %s it has: %s.",
                       on, type->provider, n ? strbuf_text(&names) : "none")
           : error_set(err, ERROR_NOT_FOUND,
                       "The site has %zu instances of %s (%s): say which with on:.", n,
                       type->provider, n ? strbuf_text(&names) : "none");
    strbuf_done(&names);
    return r;
}

int site_choose_instance(struct site *site, const struct resource_type *type, const char *on,
                         const char **ret_instance, struct error *err)
{
    const struct instance *chosen = NULL;
    size_t n = 0;
    for (size_t i = 0; i < site->n_instances; i++) {
        if (!is_of_provider(&site->instances[i], type->provider))
            continue;
        if (on && !text_equal(site->instances[i].name, on))
            continue;
        chosen = &site->instances[i];
        n++;
    }
    CLEANUP(mem_freep) char *default_name = string_format("%s.default", type->provider);
    if (n == 0 && (!on || text_equal(on, default_name)))
        chosen = make_default(site, type);
    if (!chosen || n > 1)
        return refuse(site, type, on, err);
    *ret_instance = chosen->name;
    return 0;
}

int site_find_instance(const struct site *site, const char *instance, const char **ret_driver,
                       const struct value **ret_config, struct error *err)
{
    const struct instance *found = find_instance(site, instance);
    if (!found)
        return error_set(
            err, ERROR_NOT_FOUND,
            "the site has no instance \"%s\"; add it to parley.yaml, or use the site it was made with",
            instance);
    *ret_driver = found->driver;
    *ret_config = found->config;
    return 0;
}

static const struct value *environment_of(const struct site *site, const char *environment)
{
    return value_get(value_get(site->content, "environments"), environment);
}

bool site_is_production(const struct site *site, const char *environment)
{
    bool is_named_so = text_equal(environment, "production") || text_equal(environment, "prod");
    return value_get_bool(environment_of(site, environment), "production", is_named_so);
}

const struct site_server *site_server(const struct site *site)
{
    return &site->server;
}

const struct site_rules *site_rules(const struct site *site)
{
    return &site->rules;
}

const struct value *site_variables(const struct site *site, const char *environment)
{
    return value_get(environment_of(site, environment), "variables");
}
