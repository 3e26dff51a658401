/* The verbs about tokens: the owner's, for the file that the server reads. */
#include "service/verb-machine.h"

#include "auth/tokens.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"

/* What --file says, else the site, else the one in the state folder. The caller frees it. */
static int find_file(const struct service *service, const struct verb_call *call, char **ret_path,
                     struct error *err)
{
    const char *file = value_get_text(call->input, "file");
    if (!file)
        file = site_server(service->site)->tokens.path;
    if (file) {
        *ret_path = string_copy(file);
        return 0;
    }
    int r = world_make_folder(service->home, 0700, err);
    if (r == 0)
        *ret_path = string_format("%s/tokens.yaml", service->home);
    return r;
}

/* Into the audit chain, where there is one. */
CO_FN static int audit(struct service *service, const char *kind, const char *whose,
                       const char *path, struct error *err)
{
    struct error fault = {0};
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "whose", whose);
    value_builder_set_string(&fields, "file", path);
    int r = service_audit(service, kind, &fields, &fault);
    if (r < 0 && r != -ERROR_NOT_FOUND)
        return error_move(err, &fault);
    error_done(&fault);
    return 0;
}

static int read_roles(const struct value *list, unsigned int *ret_roles, struct error *err)
{
    for (size_t i = 0; list && i < value_count(list); i++) {
        enum role role = role_from_string(value_text(value_at(list, i)));
        if (role == ROLE_COUNT || role == ROLE_OWNER)
            return error_set(
                err, ERROR_INVALID,
                "there is no role \"%s\"; the roles are viewer, planner, approver, operator, admin",
                value_text(value_at(list, i)));
        *ret_roles |= ROLE(role);
    }
    return 0;
}

int verb_make_token(struct service *service, const struct verb_call *call,
                    struct verb_answer *answer, struct error *err)
{
    CLEANUP(mem_freep) char *path = NULL;
    CLEANUP(mem_freep) char *token = NULL;
    const char *principal = value_get_text(call->input, "principal");
    unsigned int roles = 0;
    int r = read_roles(value_get(call->input, "roles"), &roles, err);
    if (r < 0 || (r = find_file(service, call, &path, err)) < 0 ||
        (r = audit(service, "token", principal, path, err)) < 0 ||
        (r = tokens_add(path, principal, roles, value_get_text(call->input, "expires"), &token,
                        err)) < 0)
        return r;
    CLEANUP(mem_freep) char *names = roles_to_string(roles);
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "token", token);
    value_builder_set_string(&fields, "principal", principal);
    value_builder_set_string(&fields, "roles", names);
    value_builder_set_string(&fields, "file", path);
    answer->value = value_builder_map(&fields);
    return 0;
}

int verb_list_tokens(struct service *service, const struct verb_call *call,
                     struct verb_answer *answer, struct error *err)
{
    CLEANUP(mem_freep) char *path = NULL;
    int r = find_file(service, call, &path, err);
    return r < 0 ? r : tokens_list(path, &answer->value, err);
}

int verb_remove_token(struct service *service, const struct verb_call *call,
                      struct verb_answer *answer, struct error *err)
{
    CLEANUP(mem_freep) char *path = NULL;
    size_t n = 0;
    int r = find_file(service, call, &path, err);
    if (r < 0 ||
        (r = audit(service, "token-removed", value_get_text(call->input, "token"), path, err)) <
            0 ||
        (r = tokens_remove(path, value_get_text(call->input, "token"), &n, err)) < 0)
        return r;
    struct value_builder fields = {0};
    value_builder_set(&fields, "removed", value_integer((int64_t)n));
    value_builder_set_string(&fields, "file", path);
    answer->value = value_builder_map(&fields);
    return 0;
}
