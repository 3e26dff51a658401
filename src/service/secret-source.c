/* Reads secrets from their sources, each once in a process. */
#include "service/secret-source.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"

#include <string.h>

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

int source_find_digest(struct service *service, const char *uid, const char *name,
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

int source_settle(const struct value *source, const char *folder, struct value **ret_source,
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
