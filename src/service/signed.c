#include "service/signed.h"

#include "auth/signing.h"
#include "base/files.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "service/approvals.h"

#include <string.h>
#include <unistd.h>

/* --- The file that says who approves --- */

/* Whether only its owner, who is root or this process' user, may change what is at a path. A folder
 * like /tmp lets everybody add to it, and nobody take away what is another's. */
static bool is_ours(const char *path, struct strbuf *why)
{
    struct stat status;
    bool is_folder = files_look_at(path, &status) == 0 && S_ISDIR(status.st_mode);
    if (files_look_at(path, &status) < 0)
        strbuf_addf(why, "%s cannot be looked at", path);
    else if (status.st_uid != 0 && status.st_uid != geteuid())
        strbuf_addf(why, "%s belongs to the user %u, who can say in it who approves", path,
                    (unsigned)status.st_uid);
    else if ((status.st_mode & 022) && !(is_folder && (status.st_mode & S_ISVTX)))
        strbuf_addf(why, "others may write %s, and say in it who approves", path);
    return why->length == 0;
}

/* The site file and the folders above it. */
static bool is_site_trusted(const struct service *service, struct strbuf *why)
{
    CLEANUP(mem_freep) char *path = NULL;
    const char *file = site_rules(service->site)->file;
    if (!file || world_real_path(file, &path, NULL) < 0) {
        strbuf_add(why, "there is no site file that says who approves");
        return false;
    }
    while (is_ours(path, why) && !text_equal(path, "/")) {
        char *slash = strrchr(path, '/');
        slash[slash == path ? 1 : 0] = '\0';
    }
    return why->length == 0;
}

/* --- A signature --- */

static const struct approver *find_approver(const struct service *service, const char *principal,
                                            const char *key)
{
    const struct site_rules *rules = site_rules(service->site);
    for (size_t i = 0; i < rules->n_approvers; i++)
        if ((!principal || text_equal(rules->approvers[i].principal, principal)) &&
            text_equal(rules->approvers[i].key, key))
            return &rules->approvers[i];
    return NULL;
}

static bool may_approve(const struct approver *approver)
{
    return (approver->roles & (ROLE(ROLE_APPROVER) | ROLE(ROLE_ADMIN))) != 0;
}

static const char *text_of(const struct value *map, const char *key)
{
    const char *text = value_get_text(map, key);
    return text ? text : "";
}

static void judge(const struct service *service, const struct plan *plan,
                  const struct value *approval, struct strbuf *why)
{
    const char *principal = text_of(approval, "principal");
    const char *key = text_of(approval, "key");
    const char *file = site_rules(service->site)->file;
    const struct approver *approver = find_approver(service, principal, key);
    const struct statement statement = {
        .plan = plan->hash,
        .principal = principal,
        .store = store_id(service->store),
        .from = value_get_integer(approval, "created_at", 0),
        .until = value_get_integer(approval, "expires_at", 0),
    };
    if (!value_get_text(approval, "signature"))
        strbuf_add(why, "an approval says that it is signed and has no signature");
    else if (!text_equal(text_of(approval, "plan"), plan->hash))
        strbuf_addf(why, "the approval of %s was signed for another plan, %.12s", principal,
                    text_of(approval, "plan"));
    else if (!text_equal(text_of(approval, "store"), statement.store))
        strbuf_addf(why, "the approval of %s was signed for another store, %s", principal,
                    text_of(approval, "store"));
    else if (!approver)
        strbuf_addf(why, "%s has no approver %s with the key that it was signed with",
                    file ? file : "no site", principal);
    else if (!may_approve(approver))
        strbuf_addf(why, "the approver %s of %s:%u has not got the role approver", principal, file,
                    approver->line);
    else if (!signing_holds(&statement, key, text_of(approval, "signature")))
        strbuf_addf(why, "the signature of %s does not fit: what it was given for was changed",
                    principal);
    else
        (void)is_site_trusted(service, why);
}

bool signed_refuses(const struct service *service, const struct plan *plan,
                    const struct value *approval, struct strbuf *why)
{
    judge(service, plan, approval, why);
    return why->length > 0;
}

/* --- Signing --- */

int service_sign(struct service *service, const struct plan *plan, const struct signer *signer,
                 struct value **ret_signed, struct error *err)
{
    CLEANUP(mem_freep) char *public = NULL;
    CLEANUP(mem_freep) char *signature = NULL;
    CLEANUP(strbuf_done) struct strbuf why = {0};
    struct value_builder fields = {0};
    const struct demand demand = approvals_demand(service, plan);
    int64_t lasts = signer->lasts > 0 ? signer->lasts : demand.lasts;
    int r = service_need_store(service, true, err);
    if (r < 0 || (r = signing_read_public(signer->key_file, &public, err)) < 0)
        return r;
    const struct approver *approver = find_approver(service, NULL, public);
    if (!approver)
        return error_set(err, ERROR_DENIED,
                         "the site has no approver with the key of %s; who may write it adds: "
                         "approvers: [{ principal: NAME, key: \"%s\", roles: [approver] }]",
                         signer->key_file, public);
    if (!is_site_trusted(service, &why))
        return error_set(err, ERROR_DENIED, "a signature would not count: %s", strbuf_text(&why));
    if (lasts > demand.lasts)
        return error_set(err, ERROR_INVALID, "the site lets an approval last %lld seconds at most",
                         (long long)(demand.lasts / 1000000));
    int64_t now = world_wall_clock();
    const struct statement statement = {plan->hash, approver->principal, store_id(service->store),
                                        now, now + lasts};
    r = signing_sign(signer->key_file, signer->passphrase, &statement, &signature, err);
    if (r < 0)
        return r;
    value_builder_set_string(&fields, "principal", approver->principal);
    value_builder_set_string(&fields, "plan", plan->hash);
    value_builder_set_string(&fields, "store", statement.store);
    value_builder_set(&fields, "created_at", value_integer(statement.from));
    value_builder_set(&fields, "expires_at", value_integer(statement.until));
    value_builder_set_string(&fields, "key", public);
    value_builder_set_string(&fields, "signature", signature);
    *ret_signed = value_builder_map(&fields);
    return 0;
}
