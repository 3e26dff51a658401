/* The resources of an account: finding and changing them as their type's kind of account does. */
#include "provider/fake/account.h"

#include "base/digest.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "provider/fake/files.h"
#include "secret/secret.h"

#include <string.h>

enum fake_repeat fake_repeat_of(const struct resource_type *type)
{
    static const char *const words[] = {"key", "token", "tag", "natural", "none"};
    for (size_t i = 0; type && type->repeat && i < ARRAY_LENGTH(words); i++)
        if (text_equal(type->repeat, words[i]))
            return (enum fake_repeat)i;
    return FAKE_KEY;
}

/* --- Finding --- */

/* A look for the one file whose field has that text. */
struct search {
    const struct fake_account *account;
    const char *field;
    const char *text;
    const char *type;
    struct value *found; /* owned */
};

static int compare(void *argument, const char *name, struct value *value, struct error *err)
{
    struct search *search = argument;
    const char *text = value_get_text(value, search->field);
    const char *type = value_get_text(value, "type");
    if (search->found || !text || !text_equal(text, search->text) ||
        (type && !text_equal(type, search->type)))
        return 0;
    return fake_file_load(search->account, name, &search->found, err);
}

static int search_for(const struct fake_account *account, const struct target *target,
                      const char *field, const char *text, struct value **ret_resource,
                      struct error *err)
{
    struct search search = {account, field, text, target->type->name, NULL};
    CLEANUP(mem_freep) char *staged = fake_staged_folder(account);
    int r = fake_file_walk(account->folder, compare, &search, err);
    if (r == 0)
        r = fake_file_walk(staged, compare, &search, err);
    if (r < 0)
        value_unref(search.found);
    else
        *ret_resource = search.found;
    return r;
}

/* What the token made, while it is known. */
static int find_by_token(const struct fake_account *account, const char *token,
                         struct value **ret_resource, struct error *err)
{
    CLEANUP(value_unrefp) struct value *tokens = NULL;
    CLEANUP(mem_freep) char *name = NULL;
    int r = token ? fake_file_read(account->folder, "tokens", &tokens, err) : 0;
    const struct value *entry = r == 0 ? value_get(tokens, token ? token : "") : NULL;
    int64_t age = world_wall_clock() - value_get_integer(entry, "at", 0);
    if (r < 0 || !entry || age > account->token_us)
        return r;
    r = fake_file_name(value_get_text(entry, "id"), &name, err);
    return r < 0 ? r : fake_file_load(account, name, ret_resource, err);
}

static int find_by_id(const struct fake_account *account, const char *id,
                      struct value **ret_resource, struct error *err)
{
    CLEANUP(mem_freep) char *name = NULL;
    int r = fake_file_name(id, &name, err);
    return r < 0 ? r : fake_file_load(account, name, ret_resource, err);
}

static int find_any(const struct fake_account *account, const struct target *target,
                    struct value **ret_resource, struct error *err)
{
    if (target->provider_id)
        return find_by_id(account, target->provider_id, ret_resource, err);
    switch (fake_repeat_of(target->type)) {
    case FAKE_KEY:
        return find_by_id(account, target->uid, ret_resource, err);
    case FAKE_TAG:
        return search_for(account, target, "uid", target->uid, ret_resource, err);
    case FAKE_NATURAL:
        return search_for(account, target, "name", target->address, ret_resource, err);
    case FAKE_TOKEN:
        return find_by_token(account, target->token, ret_resource, err);
    case FAKE_NONE:
        break;
    }
    return 0;
}

/* What was found, once it can be seen. */
static int give_visible(const struct target *target, int r, struct value *take_resource,
                        struct value **ret_resource, struct error *err)
{
    CLEANUP(value_unrefp) struct value *resource = take_resource;
    if (r < 0)
        return error_wrap(err, r, "%s", target->address);
    bool is_visible =
        resource && value_get_integer(resource, "visible_at", 0) <= world_wall_clock();
    *ret_resource = is_visible ? take_ptr(resource) : NULL;
    return 0;
}

int fake_account_find(const struct fake_account *account, const struct target *target,
                      struct value **ret_resource, struct error *err)
{
    struct value *resource = NULL;
    int r = fake_account_recover(account, err);
    if (r == 0)
        r = find_any(account, target, &resource, err);
    return give_visible(target, r, resource, ret_resource, err);
}

int fake_account_find_other(const struct fake_account *account, const struct target *target,
                            struct value **ret_resource, struct error *err)
{
    struct value *resource = NULL;
    enum fake_repeat repeat = fake_repeat_of(target->type);
    bool has_marker = repeat == FAKE_TAG || repeat == FAKE_NATURAL;
    int r = target->provider_id && has_marker
                ? search_for(account, target, "uid", target->uid, &resource, err)
                : 0;
    return give_visible(target, r, resource, ret_resource, err);
}

/* --- Outputs --- */

/* An output that only the provider knows: always the same one for the same resource and causes. */
static struct value *invent_output(const struct target *target, const struct type_output *output,
                                   struct value *spec)
{
    struct strbuf causes = {0};
    strbuf_addf(&causes, "%s %s", target->uid, output->name);
    for (size_t i = 0; output->changes_with && i < value_count(output->changes_with); i++) {
        struct value *cause = value_at_path(spec, value_text(value_at(output->changes_with, i)));
        CLEANUP(mem_freep) char *text = cause ? json_text(cause) : string_copy("null");
        strbuf_addf(&causes, " %s", text);
    }
    char hex[DIGEST_HEX_SIZE];
    digest_hex(causes.text, causes.length, hex);
    strbuf_done(&causes);
    if (text_equal(output->type, "integer"))
        return value_integer(1024 + (hex[0] * 256 + hex[1] * 16 + hex[2]) % 60000);
    if (text_equal(output->type, "list"))
        return value_list(NULL, 0);
    CLEANUP(mem_freep) char *text = string_format("%s-%.8s", output->name, hex);
    return value_string(text);
}

static struct value *make_outputs(const struct target *target, const char *provider_id,
                                  struct value *spec)
{
    struct value_builder outputs = {0};
    for (size_t i = 0; i < target->type->n_outputs; i++) {
        const struct type_output *output = &target->type->outputs[i];
        struct value *value = NULL;
        if (output->from) {
            struct value *source = value_at_path(spec, output->from);
            value = source ? value_ref(source) : value_null();
        } else if (text_equal(output->name, "id")) {
            value = value_string(provider_id);
        } else {
            value = invent_output(target, output, spec);
        }
        value_builder_set(&outputs, output->name, value);
    }
    return value_builder_map(&outputs);
}

/* --- Changing --- */

/* The account's own choice, where it is not ours. */
static char *new_id(const struct target *target)
{
    char uuid[UUID_TEXT_SIZE];
    if (fake_repeat_of(target->type) == FAKE_KEY)
        return string_format("fake-%s", target->uid);
    const char *kind = strrchr(target->type->name, ':');
    uuid_random(uuid);
    return string_format("%s-%.8s", kind ? kind + 1 : target->type->name, uuid);
}

static int keep_token(const struct fake_account *account, const char *token, const char *id,
                      struct error *err)
{
    CLEANUP(value_unrefp) struct value *tokens = NULL;
    int r = fake_file_read(account->folder, "tokens", &tokens, err);
    if (r < 0)
        return r;
    if (!tokens)
        tokens = value_builder_map(&(struct value_builder){0});
    struct value_builder entry = {0};
    value_builder_set_string(&entry, "id", id);
    value_builder_set(&entry, "at", value_integer(world_wall_clock()));
    CLEANUP(value_unrefp)
    struct value *more = value_with(tokens, token, value_builder_map(&entry));
    return fake_file_write(account->folder, "tokens", more, err);
}

/* A name that is taken is known to the account also before anybody can see what has it. */
static int check_name(const struct fake_account *account, const struct target *target,
                      struct error *err)
{
    CLEANUP(value_unrefp) struct value *taken = NULL;
    if (fake_repeat_of(target->type) != FAKE_NATURAL)
        return 0;
    int r = search_for(account, target, "name", target->address, &taken, err);
    if (r < 0 || !taken || text_equal_or_null(value_get_text(taken, "uid"), target->uid))
        return r;
    return error_set(err, ERROR_EXISTS, "the name %s is taken by %s", target->address,
                     value_get_text(taken, "provider_id"));
}

static struct value *describe(const struct fake_put *put, const char *id)
{
    const struct target *target = put->target;
    enum fake_repeat repeat = fake_repeat_of(target->type);
    int64_t now = world_wall_clock();
    int64_t visible_at = value_get_integer(put->former, "visible_at", now + put->visible_us);
    struct value_builder resource = {0};
    value_builder_set_string(&resource, "type", target->type->name);
    value_builder_set_string(&resource, "address", target->address);
    value_builder_set_string(&resource, "name", target->address);
    value_builder_set_string(&resource, "deployment", target->deployment);
    value_builder_set_string(&resource, "provider_id", id);
    if (repeat != FAKE_TOKEN && repeat != FAKE_NONE)
        value_builder_set_string(&resource, "uid", target->uid);
    value_builder_set(&resource, "generation", value_integer(target->generation));
    value_builder_set(&resource, "ready_at", value_integer(now + put->ready_us));
    value_builder_set(&resource, "visible_at", value_integer(visible_at));
    value_builder_set(&resource, "spec", value_ref(put->spec));
    value_builder_set(&resource, "outputs", make_outputs(target, id, put->spec));
    return value_builder_map(&resource);
}

int fake_account_put(const struct fake_account *account, const struct fake_put *put,
                     struct value **ret_resource, struct error *err)
{
    const struct target *target = put->target;
    const char *known = value_get_text(put->former, "provider_id");
    CLEANUP(mem_freep) char *id = known ? string_copy(known) : new_id(target);
    CLEANUP(mem_freep) char *name = NULL;
    CLEANUP(mem_freep) char *staged = fake_staged_folder(account);
    int r = fake_file_name(id, &name, err);
    if (r == 0 && !put->former)
        r = check_name(account, target, err);
    if (r < 0)
        return error_wrap(err, r, "%s", target->address);
    CLEANUP(value_unrefp) struct value *resource = describe(put, id);
    CLEANUP(value_unrefp) struct value *spec = NULL;
    r = fake_texts_write(account, put->spec, &spec, err);
    if (r < 0)
        return error_wrap(err, r, "%s", target->address);
    CLEANUP(value_unrefp) struct value *whole = value_with(resource, "spec", value_ref(spec));
    struct value *up = put->former ? value_get(put->former, "up") : NULL;
    CLEANUP(value_unrefp)
    struct value *written = up ? value_with(whole, "up", value_ref(up)) : value_ref(whole);
    r = fake_file_write(put->is_staged ? staged : account->folder, name, written, err);
    if (r == 0 && !put->former && target->token)
        r = keep_token(account, target->token, id, err);
    if (r == 0)
        *ret_resource = take_ptr(resource);
    return r;
}

int fake_account_turn(const struct fake_account *account, const struct value *resource,
                      const char *member, struct error *err)
{
    CLEANUP(mem_freep) char *name = NULL;
    CLEANUP(value_unrefp) struct value *spec = NULL;
    int r = fake_file_name(value_get_text(resource, "provider_id"), &name, err);
    if (r == 0)
        r = fake_texts_write(account, value_get(resource, "spec"), &spec, err);
    if (r < 0)
        return r;
    CLEANUP(value_unrefp) struct value *whole = value_with(resource, "spec", value_ref(spec));
    CLEANUP(value_unrefp) struct value *turned = value_with(whole, "up", value_string(member));
    return fake_file_write(account->folder, name, turned, err);
}

int fake_account_remove(const struct fake_account *account, const struct value *resource,
                        bool is_staged, struct error *err)
{
    CLEANUP(mem_freep) char *name = NULL;
    CLEANUP(mem_freep) char *staged = fake_staged_folder(account);
    int r = fake_file_name(value_get_text(resource, "provider_id"), &name, err);
    if (r < 0)
        return r;
    if (!is_staged)
        return fake_file_remove(account->folder, name, err);
    CLEANUP(value_unrefp)
    struct value *removal = value_with(resource, "deleted", value_bool(true));
    return fake_file_write(staged, name, removal, err);
}

int fake_account_let_in(const struct fake_account *account, struct value *credential,
                        struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/credential", account->folder);
    CLEANUP(mem_freep) char *wanted = NULL;
    CLEANUP(value_unrefp) struct value *brought = NULL;
    struct call call = {.secrets = account->secrets};
    size_t size = 0;
    if (!world_file_exists(path))
        return 0;
    int r = world_read_file(path, SECRET_MAX_SIZE, &wanted, &size, err);
    if (r == 0 && credential)
        r = call_reveal(&call, credential, &brought, err);
    if (r < 0)
        return error_wrap(err, r, "the credential for the account %s", account->name);
    bool is_right = brought && value_text_length(brought) == size &&
                    memcmp(value_text(brought), wanted, size) == 0;
    mem_wipe(wanted, size);
    if (is_right)
        return 0;
    return error_set(
        err, ERROR_DENIED,
        "the account %s lets nobody in with this credential; nothing was done: look at "
        "credential: of the instance in the site and where its text comes from",
        account->name);
}

bool fake_account_is_stopped(const struct fake_account *account)
{
    CLEANUP(mem_freep) char *path = string_format("%s/stopped", account->folder);
    return world_file_exists(path);
}

int fake_account_start(const struct fake_account *account, struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/stopped", account->folder);
    return world_remove_file(path, err);
}
