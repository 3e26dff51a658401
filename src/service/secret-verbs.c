/* The verbs about secrets: what there are, and the text of one for a person. */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "secret/derive.h"
#include "service/allowed.h"
#include "service/credentials.h"
#include "service/secrets.h"
#include "service/service.h"

#include <string.h>

/* Whose secrets are asked for. */
struct owner {
    struct store_deployment deployment; /* empty: the site */
    struct plan *plan;                  /* owned: of the newest revision; NULL: none */
    int64_t read_at;                    /* of that revision; 0: none */
};

static void owner_done(struct owner *owner)
{
    store_deployment_done(&owner->deployment);
    plan_free(owner->plan);
}

static const char *uid_of(const struct owner *owner)
{
    return owner->deployment.uid ? owner->deployment.uid : credentials_uid;
}

static const char *label_of(const struct owner *owner)
{
    return owner->deployment.name ? owner->deployment.name : "the site";
}

static CO_FN int find_plan(struct service *service, struct owner *owner, struct error *err)
{
    CLEANUP(value_unrefp) struct value *revision = NULL;
    if (owner->deployment.head_revision == 0)
        return 0;
    int r = store_get_revision(service->store, owner->deployment.uid, 0, &revision, err);
    const char *hash = r == 0 ? value_get_text(revision, "plan") : NULL;
    owner->read_at = r == 0 ? value_get_integer(revision, "created_at", 0) : 0;
    return hash ? service_get_plan(service, hash, &owner->plan, err) : r;
}

/* word NULL: the site. */
static CO_FN int find_owner(struct service *service, const char *word, struct owner *owner,
                            struct error *err)
{
    if (!word)
        return service_need_store(service, true, err);
    int r = service_find_deployment(service, word, &owner->deployment, err);
    return r < 0 ? r : find_plan(service, owner, err);
}

/* --- What there are --- */

/* The source of one, a map of one; NULL when there is none of that name. */
static const struct value *find_source(const struct service *service, const struct owner *owner,
                                       const char *name)
{
    if (!owner->deployment.uid)
        return value_get(site_secrets(service->site), name);
    return owner->plan ? value_get(value_get(owner->plan->secrets, name), "source") : NULL;
}

static const struct value *all_of(const struct service *service, const struct owner *owner)
{
    if (!owner->deployment.uid)
        return site_secrets(service->site);
    return owner->plan ? owner->plan->secrets : NULL;
}

/* When the store got the secret that is generated so; 0 when it has none. */
static int64_t find_made_at(const struct value *kept, const char *name, const struct value *source)
{
    const struct value *options = value_get(source, "generated");
    CLEANUP(mem_freep) char *form = options ? json_text(options) : string_copy("");
    for (size_t i = 0; i < value_count(kept); i++)
        if (text_equal(value_get_text(value_at(kept, i), "name"), name) &&
            text_equal(value_get_text(value_at(kept, i), "form"), form))
            return value_get_integer(value_at(kept, i), "created_at", 0);
    return 0;
}

static void add_time(struct value_builder *fields, const char *key, int64_t time)
{
    if (time)
        value_builder_set(fields, key, value_integer(time));
}

static void add_current(const struct service *service, const struct owner *owner,
                        const struct value *kept, struct value_builder *list)
{
    const struct value *all = all_of(service, owner);
    for (size_t i = 0; all && i < value_count(all); i++) {
        const char *name = value_key_at(all, i);
        const struct value *source = find_source(service, owner, name);
        const char *digest = value_get_text(value_at(all, i), "digest");
        struct value_builder fields = {0};
        value_builder_set_string(&fields, "name", name);
        value_builder_set(&fields, "source", value_ref((struct value *)source));
        if (owner->deployment.uid && digest)
            value_builder_set_string(&fields, "digest", digest);
        add_time(&fields, "made_at", find_made_at(kept, name, source));
        add_time(&fields, "read_at", owner->read_at);
        value_builder_append(list, value_builder_map(&fields));
    }
}

/* What was generated in another form, and would come back with it. */
static void add_former(const struct service *service, const struct owner *owner,
                       const struct value *kept, struct value_builder *list)
{
    for (size_t i = 0; i < value_count(kept); i++) {
        const char *name = value_get_text(value_at(kept, i), "name");
        const char *form = value_get_text(value_at(kept, i), "form");
        const struct value *source = find_source(service, owner, name);
        const struct value *options = source ? value_get(source, "generated") : NULL;
        CLEANUP(mem_freep) char *current = options ? json_text(options) : string_copy("");
        struct value *asked = NULL;
        struct value_builder fields = {0}, former = {0};
        if (text_equal(current, form) || json_read(form, strlen(form), &asked, NULL) < 0)
            continue;
        value_builder_set(&former, "generated", asked);
        value_builder_set_string(&fields, "name", name);
        value_builder_set(&fields, "source", value_builder_map(&former));
        value_builder_set(&fields, "is_former", value_bool(true));
        add_time(&fields, "made_at", value_get_integer(value_at(kept, i), "created_at", 0));
        value_builder_append(list, value_builder_map(&fields));
    }
}

int service_list_secrets(struct service *service, const char *word, struct value **ret_secrets,
                         struct error *err)
{
    CLEANUP(owner_done) struct owner owner = {0};
    CLEANUP(value_unrefp) struct value *kept = NULL;
    struct value_builder list = {0};
    int r = find_owner(service, word, &owner, err);
    if (r == 0)
        r = store_list_secrets(service->store, uid_of(&owner), &kept, err);
    if (r < 0)
        return r;
    add_current(service, &owner, kept, &list);
    add_former(service, &owner, kept, &list);
    *ret_secrets = value_builder_list(&list);
    return 0;
}

/* --- The text of one --- */

static int refuse_unknown(const struct service *service, const struct owner *owner,
                          const char *name, struct error *err)
{
    const struct value *all = all_of(service, owner);
    size_t n = all ? value_count(all) : 0;
    const char **names = NEW_ARRAY(const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        names[i] = value_key_at(all, i);
    const char *nearest = text_nearest(name, names, n);
    int r =
        error_set(err, ERROR_NOT_FOUND, "%s has no secret \"%.80s\"%s%s%s", label_of(owner), name,
                  nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    mem_free(names);
    return r;
}

/* What is not ours to tell is where it came from. */
static int refuse_foreign(const char *name, const struct value *source, struct error *err)
{
    const char *kind = value_key_at(source, 0);
    const struct value *what = value_at(source, 0);
    bool is_list = value_kind(what) == VALUE_LIST;
    return error_set(
        err, ERROR_UNSUPPORTED,
        "the secret %s comes from the %s %s, and Parley keeps no copy of it: look there", name,
        text_equal(kind, "environment") ? "environment variable" : kind,
        value_text(is_list ? value_at(what, 0) : what));
}

/* Whoever shows a secret is written down before it is shown. */
static CO_FN int audit_reveal(struct service *service, const struct owner *owner, const char *kind,
                              const char *name, const char *digest, struct error *err)
{
    struct value_builder fields = {0};
    if (owner->deployment.uid)
        value_builder_set_string(&fields, "deployment", owner->deployment.uid);
    value_builder_set_string(&fields, kind, name);
    if (digest)
        value_builder_set_string(&fields, "digest", digest);
    return service_audit(service, "reveal", &fields, err);
}

/* The key that sealed it: one that is made anew could only say that it is another. */
static int need_key(struct service *service, struct error *err)
{
    if (secrets_known(service))
        return 0;
    return error_set(err, ERROR_NOT_FOUND,
                     "%s/secret.key is not there or cannot be read; put it back from a copy: "
                     "without it no secret that was generated can be read",
                     service->home);
}

static int show_text(void *argument, const char *text, size_t size, struct error *err)
{
    const struct secret_showing *showing = argument;
    CLEANUP(value_unrefp) struct value *shown = value_string_n(text, size);
    return showing->show(showing->argument, shown, err);
}

int service_reveal_secret(struct service *service, const char *word, const char *name,
                          const struct secret_showing *showing, struct error *err)
{
    CLEANUP(owner_done) struct owner owner = {0};
    CLEANUP(mem_freep) char *sealed = NULL;
    const char *digest = NULL;
    int r = allowed_check(service, VERB_OWN, "to show a secret", err);
    if (r < 0 || (r = find_owner(service, word, &owner, err)) < 0)
        return r;
    const struct value *source = find_source(service, &owner, name);
    const struct value *options = source ? value_get(source, "generated") : NULL;
    if (!source)
        return refuse_unknown(service, &owner, name, err);
    if (!options)
        return refuse_foreign(name, source, err);
    CLEANUP(mem_freep) char *form = json_text(options);
    if ((r = need_key(service, err)) < 0 ||
        (r = store_find_secret(service->store, uid_of(&owner), name, form, &sealed, err)) < 0 ||
        (r = secret_unseal(service->secrets, sealed, &digest, err)) < 0 ||
        (r = audit_reveal(service, &owner, "secret", name, digest, err)) < 0)
        return r;
    return secret_use(service->secrets, digest, show_text, (void *)showing, err);
}

/* --- Outputs --- */

static int find_output(const struct owner *owner, const char *name, struct value **ret_output,
                       struct error *err)
{
    struct value *output = value_get(owner->deployment.outputs, name);
    if (!output)
        return error_set(err, ERROR_NOT_FOUND, "%s has no output \"%s\"", label_of(owner), name);
    *ret_output = value_ref(output);
    return 0;
}

int service_reveal_output(struct service *service, const char *word, const char *name,
                          const struct secret_showing *showing, struct error *err)
{
    CLEANUP(owner_done) struct owner owner = {0};
    CLEANUP(value_unrefp) struct value *output = NULL;
    CLEANUP(value_unrefp) struct value *revealed = NULL;
    int r = allowed_check(service, VERB_OWN, "to show a secret", err);
    if (r == 0)
        r = find_owner(service, word, &owner, err);
    if (r == 0)
        r = find_output(&owner, name, &output, err);
    if (r < 0)
        return r;
    bool is_secret = value_has_secret(output);
    if (is_secret && owner.plan && (r = secrets_gather(service, owner.plan, err)) < 0)
        return error_wrap(err, r, "what the output %s is made of", name);
    if (is_secret && (r = need_key(service, err)) == 0)
        r = secrets_reveal(service->secrets, output, &revealed, err);
    if (r == -ERROR_NOT_FOUND)
        return error_wrap(err, r, "the output %s, whose text only its system has", name);
    if (r == 0 && is_secret)
        r = audit_reveal(service, &owner, "output", name, NULL, err);
    if (r < 0)
        return r;
    return showing->show(showing->argument, is_secret ? revealed : output, err);
}
