#include "service/secrets.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "secret/derive.h"
#include "service/secret-source.h"

static char *key_path(const struct service *service)
{
    return string_format("%s/secret.key", service->home);
}

/* The secrets of this process, under the key of the home, which is made when there is none. */
int secrets_open(struct service *service, struct error *err)
{
    CLEANUP(mem_freep) char *path = key_path(service);
    if (service->secrets)
        return 0;
    int r = world_make_folder(service->home, 0700, err);
    if (r < 0 || (r = secret_key_open(path, &service->secret_key, err)) < 0)
        return r;
    service->secrets = secrets_new(service->secret_key);
    return 0;
}

int service_derive_key(const struct service *service, const char *purpose,
                       unsigned char ret_key[SECRET_KEY_SIZE], struct error *err)
{
    CLEANUP(mem_freep) char *path = key_path(service);
    struct secret_key *key = NULL;
    int r = world_make_folder(service->home, 0700, err);
    if (r < 0 || (r = secret_key_open(path, &key, err)) < 0)
        return r;
    secret_key_derive(key, purpose, ret_key);
    secret_key_free(key);
    return 0;
}

struct secrets *secrets_known(struct service *service)
{
    CLEANUP(mem_freep) char *path = key_path(service);
    if (!service->secrets && world_file_exists(path))
        (void)secrets_open(service, NULL);
    return service->secrets;
}

/* --- Digests --- */

static void forget_digests(struct service *service)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&service->secret_digests, &cursor)))
        mem_free(entry->value);
    map_done(&service->secret_digests);
    service->recalls_secrets = false;
}

static void recall(struct service *service, const char *expression, const char *digest)
{
    mem_free(map_put(&service->secret_digests, expression, string_copy(digest)));
}

static int recall_one(void *argument, struct value *value, struct value **ret_value,
                      struct error *err)
{
    (void)err;
    if (!value_has_secret(value))
        *ret_value = value_ref(value);
    if (value_kind(value) == VALUE_SECRET)
        recall(argument, value_secret_origin(value), value_text(value));
    return 0;
}

static void recall_all(struct service *service, struct value *value)
{
    CLEANUP(value_unrefp) struct value *same = NULL;
    if (value)
        (void)value_change(value, recall_one, service, &same, NULL);
}

int secrets_recall(struct service *service, const struct value *secrets, const char *deployment_uid,
                   struct error *err)
{
    struct records records = {0};
    forget_digests(service);
    int r = store_load_records(service->store, deployment_uid, &records, err);
    for (size_t i = 0; r == 0 && i < records.n_items; i++) {
        recall_all(service, records.items[i]->spec);
        recall_all(service, records.items[i]->outputs);
    }
    for (size_t i = 0; i < value_count(secrets); i++) {
        CLEANUP(mem_freep)
        char *expression = string_format("${secret.%s}", value_key_at(secrets, i));
        const char *digest = value_get_text(value_at(secrets, i), "digest");
        if (digest)
            recall(service, expression, digest);
    }
    records_done(&records);
    service->recalls_secrets = r == 0;
    return r;
}

int secrets_find_digest(struct service *service, const char *expression, char **ret_digest,
                        struct error *err)
{
    const char *known = map_get(&service->secret_digests, expression);
    if (service->recalls_secrets) {
        *ret_digest = string_copy(known ? known : "");
        return 0;
    }
    if (service->secrets)
        return secrets_digest_expression(service->secrets, expression, ret_digest, err);
    return error_set(err, ERROR_NOT_FOUND, "a secret that it needs is not at hand");
}

static int find_digest_of(void *argument, const char *expression, char **ret_digest,
                          struct error *err)
{
    return secrets_find_digest(argument, expression, ret_digest, err);
}

int secrets_complete_values(void *argument, struct value *value, struct value **ret_value,
                            struct error *err)
{
    return secrets_complete(value, find_digest_of, argument, ret_value, err);
}

struct value *secrets_recognise(struct service *service, struct value *live,
                                const struct value *recorded)
{
    const struct secrets *secrets = secrets_known(service);
    CLEANUP(value_unrefp)
    struct value *veiled = secrets ? secrets_veil_like(secrets, live, recorded) : value_ref(live);
    return value_with_origins(veiled, recorded);
}

void secrets_close(struct service *service)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&service->secret_sources, &cursor)))
        mem_free(entry->value);
    map_done(&service->secret_sources);
    forget_digests(service);
    secrets_free(service->secrets);
    secret_key_free(service->secret_key);
}

/* --- Of a document --- */

static CO_FN int read_one(struct service *service, const struct secret_place *place,
                          const char *name, const struct value *given, struct value **ret_entry,
                          struct error *err)
{
    CLEANUP(value_unrefp) struct value *source = NULL;
    CLEANUP(mem_freep) char *digest = NULL;
    int r = source_settle(given, place->folder, &source, err);
    if (r < 0 ||
        (r = source_find_digest(service, place->deployment_uid, name, source, &digest, err)) < 0)
        return r;
    secrets_name(service->secrets, name, digest);
    struct value_builder entry = {0};
    value_builder_set_string(&entry, "digest", digest);
    value_builder_set(&entry, "source", value_ref(source));
    *ret_entry = value_builder_map(&entry);
    return 0;
}

int secrets_read(struct service *service, struct document *document,
                 const struct secret_place *place, struct value **ret_secrets,
                 struct diagnostics *diagnostics, struct error *err)
{
    const struct value *sources = document_read_secrets(document, diagnostics);
    struct value_builder secrets = {0};
    forget_digests(service);
    size_t n_errors = diagnostics->n_errors;
    int r = value_count(sources) > 0 ? secrets_open(service, err) : 0;
    if (r < 0)
        return r;
    if (service->secrets)
        secrets_forget_names(service->secrets);
    for (size_t i = 0; i < value_count(sources); i++) {
        const char *name = value_key_at(sources, i);
        struct value *entry = NULL;
        struct error fault = {0};
        if (read_one(service, place, name, value_at(sources, i), &entry, &fault) == 0)
            value_builder_set(&secrets, name, entry);
        else
            diagnostics_add(diagnostics, DIAGNOSTIC_SECRET_SOURCE,
                            document_secret_position(document, name), NULL,
                            "The secret \"%s\": %s.", name, error_message(&fault));
        error_done(&fault);
    }
    struct value *all = value_builder_map(&secrets);
    if (diagnostics->n_errors > n_errors)
        value_unref(take_ptr(all));
    *ret_secrets = all;
    return 0;
}

/* --- Of a plan --- */

void secrets_clear_environment(struct service *service, const char *deployment_uid)
{
    CLEANUP(value_unrefp) struct value *revision = NULL;
    CLEANUP(value_unrefp) struct value *head = NULL;
    int r = store_get_revision(service->store, deployment_uid, 0, &revision, NULL);
    const char *hash = r == 0 ? value_get_text(revision, "plan") : NULL;
    if (!hash || store_get_plan_head(service->store, hash, &head, NULL) < 0)
        return;
    const struct value *secrets = value_get(head, "secrets");
    if (!secrets || secrets_open(service, NULL) < 0)
        return;
    for (size_t i = 0; i < value_count(secrets); i++) {
        const struct value *source = value_get(value_at(secrets, i), "source");
        CLEANUP(mem_freep) char *digest = NULL;
        if (value_get(source, "environment"))
            (void)source_find_digest(service, deployment_uid, value_key_at(secrets, i), source,
                                     &digest, NULL);
    }
}

int secrets_gather(struct service *service, const struct plan *plan, struct error *err)
{
    size_t n = plan->secrets ? value_count(plan->secrets) : 0;
    int r = n > 0 ? secrets_open(service, err) : 0;
    if (r == 0 && n > 0)
        secrets_forget_names(service->secrets);
    for (size_t i = 0; r == 0 && i < n; i++) {
        const char *name = value_key_at(plan->secrets, i);
        const struct value *entry = value_at(plan->secrets, i);
        CLEANUP(mem_freep) char *digest = NULL;
        r = source_find_digest(service, plan->deployment_uid, name, value_get(entry, "source"),
                               &digest, err);
        if (r < 0)
            return error_wrap(err, r, "the secret %s", name);
        if (!text_equal_or_null(value_get_text(entry, "digest"), digest))
            return error_set(err, ERROR_STALE,
                             "the secret %s has changed since the plan was made; plan again", name);
        secrets_name(service->secrets, name, digest);
    }
    return r;
}
