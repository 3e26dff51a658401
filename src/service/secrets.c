#include "service/secrets.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "net/child.h"
#include "secret/derive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* All that a run is handed: what a pipe may hold. */
enum { MAX_HANDED = 1 << 20 };

static char *key_path(const struct service *service)
{
    return string_format("%s/secret.key", service->home);
}

/* The secrets of this process, under the key of the home, which is made when there is none. */
static int open_secrets(struct service *service, struct error *err)
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

struct secrets *secrets_known(struct service *service)
{
    CLEANUP(mem_freep) char *path = key_path(service);
    if (!service->secrets && world_file_exists(path))
        (void)open_secrets(service, NULL);
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

static int complete_one(void *argument, struct value *value, struct value **ret_value,
                        struct error *err)
{
    CLEANUP(mem_freep) char *digest = NULL;
    if (!value_has_secret(value))
        *ret_value = value_ref(value);
    if (value_kind(value) != VALUE_SECRET || value_text_length(value) > 0)
        return 0;
    int r = secrets_find_digest(argument, value_secret_origin(value), &digest, err);
    if (r == 0)
        *ret_value = value_secret(digest, value_secret_origin(value));
    return r;
}

int secrets_complete_values(void *argument, struct value *value, struct value **ret_value,
                            struct error *err)
{
    return value_change(value, complete_one, argument, ret_value, err);
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

/* --- Sources --- */

/* Made when there is none yet; two that plan at the same time have the same. */
static CO_FN int find_generated(struct service *service, const char *uid, const char *name,
                                const struct value *options, const char **ret_digest,
                                struct error *err)
{
    CLEANUP(mem_freep) char *form = json_text(options);
    CLEANUP(mem_freep) char *sealed = NULL;
    CLEANUP(mem_freep) char *made = NULL;
    struct error missing = {0};
    int r = store_find_secret(service->store, uid, name, form, &sealed, &missing);
    if (r < 0 && r != -ERROR_NOT_FOUND)
        return error_move(err, &missing);
    error_done(&missing);
    if (r < 0) {
        CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
        size_t length = (size_t)value_get_integer(options, "length", 0);
        const char *alphabet = value_get_text(options, "alphabet");
        if ((r = secret_generate(service->secrets, length, alphabet, ret_digest, err)) < 0 ||
            (r = secret_seal(service->secrets, *ret_digest, &made, err)) < 0)
            return r;
        store_batch_put_secret(batch, uid, name, form, made);
        if ((r = store_commit(service->store, batch, NULL, err)) < 0 ||
            (r = store_find_secret(service->store, uid, name, form, &sealed, err)) < 0)
            return r;
    }
    return secret_unseal(service->secrets, sealed, ret_digest, err);
}

static CO_FN int run_command(struct service *service, const struct value *words,
                             const char **ret_digest, struct error *err)
{
    const char **arguments = NEW_ARRAY(const char *, value_count(words) + 1);
    for (size_t i = 0; i < value_count(words); i++)
        arguments[i] = value_text(value_at(words, i));
    int r = secret_from_command(service->secrets, service->loop, arguments, ret_digest, err);
    mem_free(arguments);
    return r;
}

static CO_FN int read_source(struct service *service, const char *uid, const char *name,
                             const struct value *source, const char **ret_digest, struct error *err)
{
    const char *kind = value_key_at(source, 0);
    const struct value *what = value_at(source, 0);
    if (text_equal(kind, "environment"))
        return secret_from_environment(service->secrets, value_text(what), ret_digest, err);
    if (text_equal(kind, "file"))
        return secret_from_file(service->secrets, value_text(what), ret_digest, err);
    if (text_equal(kind, "command"))
        return run_command(service, what, ret_digest, err);
    return find_generated(service, uid, name, what, ret_digest, err);
}

static int check_text(void *argument, const char *text, size_t size, struct error *err)
{
    (void)argument;
    if (size == 0)
        return error_set(err, ERROR_INVALID, "it is empty");
    if (memchr(text, '\0', size) || !text_is_utf8(text, size))
        return error_set(err, ERROR_INVALID,
                         "it is no UTF-8 text; keep it in base64, which is one");
    return 0;
}

/* The digest of a secret, read when that was not done before by this process. The caller frees it.
 */
static CO_FN int find_digest(struct service *service, const char *uid, const char *name,
                             const struct value *source, char **ret_digest, struct error *err)
{
    CLEANUP(mem_freep) char *text = json_text(source);
    bool is_own = text_equal(value_key_at(source, 0), "generated");
    CLEANUP(mem_freep)
    char *key = is_own ? string_format("%s %s %s", uid, name, text) : string_copy(text);
    const char *known = map_get(&service->secret_sources, key);
    if (!known) {
        const char *digest = NULL;
        int r = read_source(service, uid, name, source, &digest, err);
        if (r == 0)
            r = secret_use(service->secrets, digest, check_text, NULL, err);
        if (r < 0)
            return r;
        map_put(&service->secret_sources, key, string_copy(digest));
        known = map_get(&service->secret_sources, key);
    }
    *ret_digest = string_copy(known);
    return 0;
}

/* --- Of a document --- */

/* The source as the plan keeps it: a file is the same whatever folder somebody applies from. */
static int settle_source(const struct value *source, const char *folder, struct value **ret_source,
                         struct error *err)
{
    const char *path = value_get_text(source, "file");
    if (!path || path[0] == '/') {
        *ret_source = value_ref((struct value *)source);
        return 0;
    }
    CLEANUP(mem_freep) char *joined = string_format("%s/%s", folder, path);
    CLEANUP(mem_freep) char *real = NULL;
    int r = world_real_path(joined, &real, err);
    if (r < 0)
        return error_wrap(err, r, "read a secret");
    *ret_source = value_with(source, "file", value_string(real));
    return 0;
}

static CO_FN int read_one(struct service *service, const struct secret_place *place,
                          const char *name, const struct value *given, struct value **ret_entry,
                          struct error *err)
{
    CLEANUP(value_unrefp) struct value *source = NULL;
    CLEANUP(mem_freep) char *digest = NULL;
    int r = settle_source(given, place->folder, &source, err);
    if (r < 0 || (r = find_digest(service, place->deployment_uid, name, source, &digest, err)) < 0)
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
    int r = value_count(sources) > 0 ? open_secrets(service, err) : 0;
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

int secrets_gather(struct service *service, const struct plan *plan, struct error *err)
{
    size_t n = plan->secrets ? value_count(plan->secrets) : 0;
    int r = n > 0 ? open_secrets(service, err) : 0;
    if (r == 0 && n > 0)
        secrets_forget_names(service->secrets);
    for (size_t i = 0; r == 0 && i < n; i++) {
        const char *name = value_key_at(plan->secrets, i);
        const struct value *entry = value_at(plan->secrets, i);
        CLEANUP(mem_freep) char *digest = NULL;
        r = find_digest(service, plan->deployment_uid, name, value_get(entry, "source"), &digest,
                        err);
        if (r < 0)
            return error_wrap(err, r, "the secret %s", name);
        if (!text_equal_or_null(value_get_text(entry, "digest"), digest))
            return error_set(err, ERROR_STALE,
                             "the secret %s has changed since the plan was made; plan again", name);
        secrets_name(service->secrets, name, digest);
    }
    return r;
}

static int add_text(void *argument, const char *text, size_t size, struct error *err)
{
    struct strbuf *content = argument;
    (void)err;
    strbuf_addf(content, "%zu\n", size);
    strbuf_add_n(content, text, size);
    return 0;
}

int secrets_hand_over(struct service *service, const struct plan *plan, int *ret_descriptor,
                      struct error *err)
{
    struct strbuf content = {0};
    size_t n = plan->secrets ? value_count(plan->secrets) : 0;
    int r = 0;
    *ret_descriptor = -1;
    for (size_t i = 0; r == 0 && i < n; i++) {
        const char *digest = secrets_find(service->secrets, value_key_at(plan->secrets, i));
        r = secret_use(service->secrets, digest ? digest : "", add_text, &content, err);
    }
    if (r == 0 && content.length > MAX_HANDED)
        r = error_set(err, ERROR_LIMIT,
                      "the secrets of the plan have %zu bytes; a run takes at most %d",
                      content.length, MAX_HANDED);
    if (r == 0 && n > 0)
        r = child_make_input(strbuf_text(&content), content.length, ret_descriptor, err);
    strbuf_done(&content);
    return r;
}

/* All that stdin has, when it is what a door handed us. */
static int read_input(struct strbuf *content, struct error *err)
{
    static const char none[] =
        "the texts of the secrets were not handed to this run; start it with \"parley apply\" or "
        "\"parley resume\"";
    char piece[4096];
    struct stat status;
    if (fstat(STDIN_FILENO, &status) < 0 || !S_ISFIFO(status.st_mode))
        return error_set(err, ERROR_NOT_FOUND, "%s", none);
    for (;;) {
        ssize_t n = read(STDIN_FILENO, piece, sizeof(piece));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        strbuf_add_n(content, piece, (size_t)n);
        mem_wipe(piece, (size_t)n);
        if (content->length > (size_t)2 * MAX_HANDED)
            return error_set(err, ERROR_LIMIT, "%s", none);
    }
    return content->length > 0 ? 0 : error_set(err, ERROR_NOT_FOUND, "%s", none);
}

/* Takes one text from *cursor on. */
static int take_one(struct service *service, char **cursor, const char *end, const char *name,
                    const struct value *entry, struct error *err)
{
    char *text = NULL;
    const char *digest = NULL;
    unsigned long size = *cursor < end ? strtoul(*cursor, &text, 10) : 0;
    if (!text || *text != '\n' || size > (size_t)(end - text - 1))
        return error_set(err, ERROR_INVALID, "the secret %s was not handed to this run", name);
    *cursor = text + 1 + size;
    int r = secrets_add(service->secrets, text + 1, size, &digest, err);
    if (r < 0)
        return r;
    if (!text_equal_or_null(value_get_text(entry, "digest"), digest))
        return error_set(err, ERROR_STALE,
                         "the secret %s is another than the plan was made with; plan again", name);
    secrets_name(service->secrets, name, digest);
    return 0;
}

int secrets_take_over(struct service *service, const struct plan *plan, struct error *err)
{
    struct strbuf content = {0};
    size_t n = plan->secrets ? value_count(plan->secrets) : 0;
    if (n == 0 || service->run_host)
        return 0;
    int r = open_secrets(service, err);
    if (r == 0)
        r = read_input(&content, err);
    char *cursor = content.text;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = take_one(service, &cursor, content.text + content.length,
                     value_key_at(plan->secrets, i), value_at(plan->secrets, i), err);
    strbuf_done(&content);
    return r;
}
