/* Configures instances with the outputs of resources. */
#include "service/instances.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/outputs.h"

static int is_secret(void *argument, const struct reference *reference, struct error *err)
{
    bool *has_secret = argument;
    (void)err;
    *has_secret = *has_secret || text_equal(reference->root, "secret");
    return 0;
}

/* Those with secrets are of no resource (credentials.h). */
static bool text_refers(const char *text)
{
    bool has_secret = false;
    struct error ignored = {0};
    if (!expression_is_in(text))
        return false;
    (void)expression_references(text, is_secret, &has_secret, NULL, &ignored);
    error_done(&ignored);
    return !has_secret;
}

static bool refers(const struct value *config)
{
    if (!config)
        return false;
    if (value_kind(config) == VALUE_STRING)
        return text_refers(value_text(config));
    bool is_collection = value_kind(config) == VALUE_LIST || value_kind(config) == VALUE_MAP;
    for (size_t i = 0; is_collection && i < value_count(config); i++)
        if (refers(value_at(config, i)))
            return true;
    return false;
}

static const struct value *config_of(const struct service *service, const char *instance)
{
    const char *driver;
    const struct value *config = NULL;
    return site_find_instance(service->site, instance, &driver, &config, NULL) == 0 ? config : NULL;
}

bool instances_has_roots(const struct service *service, const char *instance)
{
    return refers(config_of(service, instance));
}

bool instances_is_ready(struct service *service, const char *instance)
{
    return !instances_has_roots(service, instance) || map_has(&service->configured, instance);
}

static int add_root(void *argument, const struct reference *reference, struct error *err)
{
    (void)err;
    if (!string_list_has(argument, reference->root))
        string_list_add(argument, reference->root);
    return 0;
}

static int list_roots(const struct value *config, struct string_list *roots, struct error *err)
{
    int r = 0;
    if (!refers(config))
        return 0;
    if (value_kind(config) == VALUE_STRING)
        return expression_references(value_text(config), add_root, roots, NULL, err);
    for (size_t i = 0; r == 0 && i < value_count(config); i++)
        r = list_roots(value_at(config, i), roots, err);
    return r;
}

int instances_list_roots(const struct service *service, const char *instance,
                         struct string_list *roots, struct error *err)
{
    int r = list_roots(config_of(service, instance), roots, err);
    return r < 0 ? error_wrap(err, r, "the settings of %s", instance) : 0;
}

/* The settings with what they refer to; NULL while that is not known. */
static struct value *resolve(struct value *config, reference_lookup lookup, void *argument)
{
    struct value_builder builder = {0};
    struct value *value = NULL;
    struct error missing = {0};
    bool is_map = value_kind(config) == VALUE_MAP;
    if (!refers(config))
        return value_ref(config);
    if (value_kind(config) == VALUE_STRING) {
        if (expression_evaluate(value_text(config), lookup, argument, &value, NULL, &missing) < 0)
            error_done(&missing);
        bool is_known = value && !value_is_null(value) && !value_has_unknown(value);
        return is_known ? value : (value_unref(value), NULL);
    }
    for (size_t i = 0; i < value_count(config); i++) {
        value = resolve(value_at(config, i), lookup, argument);
        if (!value) {
            value_builder_done(&builder);
            return NULL;
        }
        if (is_map)
            value_builder_set(&builder, value_key_at(config, i), value);
        else
            value_builder_append(&builder, value);
    }
    return is_map ? value_builder_map(&builder) : value_builder_list(&builder);
}

/* From now on it is configured so, or (NULL) not at all. */
static int put(struct service *service, const char *instance, struct value *config,
               struct error *err)
{
    struct provider *provider = map_get(&service->providers, instance);
    if (provider && provider->n_calls > 0)
        return error_set(err, ERROR_BUSY, "%s is to be configured anew while it is asked",
                         instance);
    provider_free(map_remove(&service->providers, instance));
    value_unref(map_remove(&service->configured, instance));
    if (config)
        map_put(&service->configured, instance, value_ref(config));
    return 0;
}

static int configure(struct service *service, const char *instance, reference_lookup lookup,
                     void *argument, bool keeps, struct error *err)
{
    const struct value *config = config_of(service, instance);
    if (!refers(config))
        return 0;
    CLEANUP(value_unrefp)
    struct value *resolved = resolve((struct value *)config, lookup, argument);
    const struct value *before = map_get(&service->configured, instance);
    bool is_same = resolved ? before && value_equal(before, resolved) : keeps || !before;
    return is_same ? 0 : put(service, instance, resolved, err);
}

int instances_configure(struct service *service, const char *instance, reference_lookup lookup,
                        void *argument, struct error *err)
{
    return configure(service, instance, lookup, argument, true, err);
}

int instances_configure_from(struct service *service, const char *instance,
                             const struct records *records, struct error *err)
{
    struct outputs outputs = {0};
    if (!instances_has_roots(service, instance))
        return 0;
    for (size_t i = 0; i < records->n_items; i++)
        if (records->items[i]->status == RECORD_CREATED)
            outputs_set(&outputs, records->items[i]->address,
                        value_ref(records->items[i]->outputs));
    int r = configure(service, instance, outputs_lookup, &outputs, false, err);
    outputs_done(&outputs);
    return r;
}

int instances_configure_all(struct service *service, const struct records *records,
                            struct error *err)
{
    struct map seen = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < records->n_items; i++) {
        const char *instance = records->items[i]->instance;
        if (map_has(&seen, instance))
            continue;
        map_put(&seen, instance, NULL);
        r = instances_configure_from(service, instance, records, err);
    }
    map_done(&seen);
    return r;
}

void instances_done(struct service *service)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&service->configured, &cursor)))
        value_unref(entry->value);
    map_done(&service->configured);
}
