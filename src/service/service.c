#include "service/service.h"

#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "service/credentials.h"
#include "service/instances.h"
#include "service/secrets.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_SECONDS = 60, SECOND = 1000000 };

static char *state_folder(const char *wanted)
{
    const char *home = wanted ? wanted : getenv("PARLEY_HOME");
    if (home && *home)
        return string_copy(home);
    const char *state = getenv("XDG_STATE_HOME");
    if (state && *state)
        return string_format("%s/parley", state);
    const char *user = getenv("HOME");
    return string_format("%s/.local/state/parley", user && *user ? user : "/root");
}

/* Children and other processes must find it whatever their folder is. */
static char *make_absolute(char *take_path)
{
    if (take_path[0] == '/')
        return take_path;
    CLEANUP(mem_freep) char *relative = take_path;
    char here[4096];
    if (!getcwd(here, sizeof(here)))
        return take_ptr(relative);
    return string_format("%s/%s", here, relative);
}

/* The site file in use, or NULL for none. */
static char *site_path(const char *wanted)
{
    const char *path = wanted ? wanted : getenv("PARLEY_SITE");
    if (path && *path)
        return string_copy(path);
    if (world_file_exists("parley.yaml"))
        return string_copy("parley.yaml");
    const char *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    char *common = config && *config
                       ? string_format("%s/parley/parley.yaml", config)
                       : string_format("%s/.config/parley/parley.yaml", home ? home : "");
    if (world_file_exists(common))
        return common;
    mem_free(common);
    return NULL;
}

/* Who runs the program has all that the program has. */
static void ask_as_user(struct service *service)
{
    const struct passwd *user = getpwuid(getuid());
    service->caller = (struct caller){
        .principal = user ? string_format("user:%s", user->pw_name)
                          : string_format("user:%u", (unsigned)getuid()),
        .client = string_copy("command line"),
        .roles = ROLE(ROLE_OWNER),
        .authentication = AUTHENTICATION_USER,
    };
}

void service_set_caller(struct service *service, const struct caller *caller, const char *words)
{
    struct caller former = service->caller;
    char *former_words = service->words;
    caller_copy(&service->caller, caller);
    service->words = string_copy(words);
    caller_done(&former);
    mem_free(former_words);
}

/* The built-in types and those beside the site. */
static int open_catalog(struct service *service, struct diagnostics *diagnostics, struct error *err)
{
    const char *folder = site_catalog_folder(service->site);
    int r = catalog_open(folder, &service->catalog, diagnostics, err);
    if (r == 0 && !service->catalog)
        r = error_set(err, ERROR_INVALID, "the types in %s have faults", folder);
    return r;
}

int service_open(struct loop *loop, const struct service_options *options,
                 struct service **ret_service, struct diagnostics *diagnostics, struct error *err)
{
    struct service *service = NEW(struct service);
    service->run_end = -1;
    service->loop = loop;
    service->home = make_absolute(state_folder(options->home));
    ask_as_user(service);
    service->words = string_copy(options->words ? options->words : "");
    char *path = site_path(options->site);
    service->site_path = path ? make_absolute(path) : NULL;
    int r = site_read(service->site_path, &service->site, diagnostics, err);
    if (r < 0)
        service->site = NULL;
    else
        r = open_catalog(service, diagnostics, err);
    if (r < 0) {
        service_close(service);
        return r;
    }
    *ret_service = service;
    return 0;
}

void service_close(struct service *service)
{
    if (!service)
        return;
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&service->providers, &cursor)))
        provider_free(entry->value);
    map_done(&service->providers);
    instances_done(service);
    credentials_done(service);
    secrets_close(service);
    store_close(service->store);
    catalog_free(service->catalog);
    site_free(service->site);
    mem_free(service->home);
    mem_free(service->site_path);
    caller_done(&service->caller);
    mem_free(service->words);
    mem_free(service);
}

static int make_home(const struct service *service, struct error *err)
{
    int r = world_make_folder(service->home, 0700, err);
    return r < 0 ? error_wrap(err, r,
                              "make the state folder (choose another with --home or PARLEY_HOME)")
                 : 0;
}

int service_begin_store(struct service *service, struct error *err)
{
    if (service->store)
        return 0;
    int r = make_home(service, err);
    if (r == 0)
        r = store_begin_sqlite(service->loop, service->home, &service->store, err);
    if (r == 0)
        credentials_clear_environment(service);
    return r;
}

int service_need_store(struct service *service, bool create, struct error *err)
{
    if (service->store)
        return 0;
    int r = create ? make_home(service, err) : 0;
    if (r == 0)
        r = store_open_sqlite(service->loop, service->home, create, &service->store, err);
    if (r == -ERROR_NOT_FOUND)
        return error_set(err, ERROR_NOT_FOUND,
                         "nothing was ever deployed from %s; --home or PARLEY_HOME names another",
                         service->home);
    if (r == 0)
        credentials_clear_environment(service);
    return r;
}

/* A default instance that only records name is made up again from any type of its provider. */
static void revive_default(struct service *service, const char *instance)
{
    const char *dot = strrchr(instance, '.');
    if (!dot || !text_equal(dot, ".default"))
        return;
    size_t length = (size_t)(dot - instance);
    for (size_t i = 0; i < catalog_count(service->catalog); i++) {
        const struct resource_type *type = catalog_at(service->catalog, i);
        const char *chosen;
        if (strlen(type->provider) == length && strncmp(type->provider, instance, length) == 0 &&
            site_choose_instance(service->site, type, instance, &chosen, NULL) == 0)
            return;
    }
}

int service_find_provider(struct service *service, const char *instance,
                          struct provider **ret_provider, struct error *err)
{
    struct provider *provider = map_get(&service->providers, instance);
    if (!provider) {
        const char *driver;
        const struct value *config;
        revive_default(service, instance);
        int r = site_find_instance(service->site, instance, &driver, &config, err);
        if (r == 0 && instances_has_roots(service, instance)) {
            config = map_get(&service->configured, instance);
            if (!config)
                r = error_set(err, ERROR_UNAVAILABLE,
                              "what configures %s is not there, so nothing can be asked of it",
                              instance);
        }
        CLEANUP(value_unrefp) struct value *filled = NULL;
        if (r == 0)
            r = credentials_fill(service, instance, config, &filled, err);
        if (r == 0)
            r = provider_new(service->loop, instance, driver, filled, service->home, &provider,
                             err);
        if (r < 0)
            return r;
        struct provider *other = map_get(&service->providers, instance);
        if (other) { /* it came while a credential was read */
            provider_free(provider);
            provider = other;
        }
        map_put(&service->providers, instance, provider);
    }
    *ret_provider = provider;
    return 0;
}

int service_find_type(const struct service *service, const char *type, const char *address,
                      const struct resource_type **ret_type, struct error *err)
{
    *ret_type = catalog_find(service->catalog, type);
    if (*ret_type)
        return 0;
    return error_set(err, ERROR_NOT_FOUND,
                     "%s is of the type %s, which the catalog has no more; put its file back into "
                     "the folder catalog beside the site",
                     address, type);
}

int service_find_target(const struct service *service, const struct record *record,
                        const char *deployment, struct value *references, struct target *ret_target,
                        struct error *err)
{
    const struct resource_type *type;
    int r = service_find_type(service, record->type, record->address, &type, err);
    if (r == 0)
        *ret_target = (struct target){.type = type,
                                      .uid = record->uid,
                                      .address = record->address,
                                      .deployment = deployment,
                                      .provider_id = record->provider_id,
                                      .generation = record->generation,
                                      .changed_at = record->updated_at,
                                      .references = references};
    return r;
}

struct call service_read_call(struct service *service)
{
    static const bool never = false;
    return (struct call){
        .loop = service->loop,
        .deadline = world_monotonic_clock() + (int64_t)READ_SECONDS * SECOND,
        .is_cancelled = &never,
        .secrets = secrets_known(service),
    };
}

char *service_derive_uid(const struct service *service, const char *name, const char *environment,
                         int64_t incarnation)
{
    char uid[UUID_TEXT_SIZE];
    CLEANUP(mem_freep)
    char *key = string_format("%s@%s#%lld", name, environment, (long long)incarnation);
    uuid_derive(store_id(service->store), key, uid);
    return string_copy(uid);
}

static bool is_meant(const struct store_deployment *deployment, const char *name,
                     const char *environment)
{
    return text_equal(deployment->name, name) &&
           (!environment || text_equal(deployment->environment, environment));
}

/* Those that the word fits, for the message of a refusal. */
static int choose(struct store_deployment *deployments, size_t n, const char *name,
                  const char *environment, struct store_deployment *ret_deployment,
                  struct error *err)
{
    struct store_deployment *chosen = NULL;
    struct strbuf environments = {0};
    size_t n_fitting = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_meant(&deployments[i], name, environment) ||
            (deployments[i].is_destroyed && chosen))
            continue;
        n_fitting += !deployments[i].is_destroyed || !chosen;
        strbuf_addf(&environments, "%s%s@%s", environments.length ? ", " : "", name,
                    deployments[i].environment);
        chosen = &deployments[i];
    }
    int r = 0;
    if (!chosen)
        r = error_set(err, ERROR_NOT_FOUND,
                      "there is no deployment \"%s\"; \"parley status\" lists them", name);
    else if (n_fitting > 1)
        r = error_set(err, ERROR_CONFLICT, "\"%s\" stands in several environments; say which: %s",
                      name, strbuf_text(&environments));
    strbuf_done(&environments);
    if (r == 0) {
        *ret_deployment = *chosen;
        *chosen = (struct store_deployment){0};
    }
    return r;
}

int service_find_deployment(struct service *service, const char *word,
                            struct store_deployment *ret_deployment, struct error *err)
{
    struct store_deployment *deployments = NULL;
    size_t n = 0;
    int r = service_need_store(service, false, err);
    if (r < 0 || (r = store_list_deployments(service->store, &deployments, &n, err)) < 0)
        return r;
    const char *at = strchr(word, '@');
    CLEANUP(mem_freep)
    char *name = at ? string_copy_n(word, (size_t)(at - word)) : string_copy(word);
    r = choose(deployments, n, name, at ? at + 1 : NULL, ret_deployment, err);
    for (size_t i = 0; i < n; i++)
        store_deployment_done(&deployments[i]);
    mem_free(deployments);
    return r;
}
