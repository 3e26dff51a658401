/* What is to be known of an action before anybody approves it. */
#include "base/memory.h"
#include "base/text.h"
#include "provider/provider.h"
#include "service/planning.h"

static const struct record *find_record(const struct planning *planning, const char *address)
{
    for (size_t i = 0; i < planning->records.n_items; i++)
        if (text_equal(planning->records.items[i]->address, address) &&
            planning->records.items[i]->status != RECORD_DEPOSED)
            return planning->records.items[i];
    return NULL;
}

static int find_row(struct planning *planning, struct provider *provider,
                    const struct record *record, struct error *err)
{
    const char *name = planning->request->action.name;
    CLEANUP(mem_freep) char *names = NULL;
    const struct provider_action *action =
        provider_find_action(provider, record->type, name, &names);
    planning->action.address = record->address;
    planning->action.note = action ? action->note : NULL;
    planning->action.seconds = action ? action->seconds : 0;
    if (action)
        return 0;
    if (!*names)
        return error_set(err, ERROR_UNSUPPORTED, "%s, a %s on %s, has no actions", record->address,
                         record->type, record->instance);
    return error_set(err, ERROR_UNSUPPORTED, "%s has no action \"%.40s\", but these: %s",
                     record->address, name, names);
}

/* A new reference. What changes by itself from one moment to the next is left out. */
static struct value *describe_member(const struct value *status, const struct value *member)
{
    static const char *const fields[] = {"role", "state"};
    struct value_builder before = {0};
    if (value_get_text(status, "primary"))
        value_builder_set_string(&before, "primary", value_get_text(status, "primary"));
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
        if (value_get_text(member, fields[i]))
            value_builder_set_string(&before, fields[i], value_get_text(member, fields[i]));
    return value_builder_map(&before);
}

static int choose_member(struct planning *planning, const struct value *status, struct error *err)
{
    const char *wanted = planning->request->action.member;
    const struct value *members = value_get(status, "members");
    struct strbuf names = {0};
    for (size_t i = 0; members && i < value_count(members) && !planning->action.before; i++) {
        const char *name = value_get_text(value_at(members, i), "name");
        strbuf_addf(&names, "%s%s", names.length ? ", " : "", name ? name : "-");
        if (text_equal_or_null(name, wanted))
            planning->action.before = describe_member(status, value_at(members, i));
    }
    int r = planning->action.before
                ? 0
                : error_set(err, ERROR_NOT_FOUND, "%s has no member \"%.80s\", but these: %s",
                            planning->action.address, wanted,
                            names.length ? strbuf_text(&names) : "none");
    strbuf_done(&names);
    return r;
}

static int look(struct planning *planning, struct provider *provider, const struct record *record,
                struct error *err)
{
    CLEANUP(value_unrefp) struct value *nothing = value_builder_map(&(struct value_builder){0});
    struct call call = service_read_call(planning->service);
    struct target target;
    struct live live = {0};
    int r = service_find_target(planning->service, record, planning->deployment.name, nothing,
                                &target, err);
    if (r == 0)
        r = provider_read(provider, &call, &target, &live, err);
    if (r == 0 && (!live.is_present || live.is_stopped))
        r = error_set(err, ERROR_CONFLICT, "%s %s: \"parley up\" brings it back", record->address,
                      live.is_present ? "does not run now" : "is not there any more");
    if (r == 0)
        r = choose_member(planning, live.status, err);
    live_done(&live);
    return r;
}

/* Where the instance is another than it was, what has the id may be somebody else's. */
static int check_account(struct planning *planning, const struct record *record, struct error *err)
{
    if (!planning_former_account(planning, record->instance))
        return 0;
    bool *chosen = NEW_ARRAY(bool, planning->records.n_items);
    for (size_t i = 0; i < planning->records.n_items; i++)
        chosen[i] = planning->records.items[i] == record;
    int r = planning_observe(planning, chosen, err);
    mem_free(chosen);
    return r;
}

int planning_find_action(struct planning *planning, struct error *err)
{
    const char *address = planning->request->action.address;
    const struct record *record = find_record(planning, address);
    struct provider *provider = NULL;
    struct value_builder after = {0};
    if (!record)
        return error_set(err, ERROR_NOT_FOUND,
                         "%s has no resource \"%.80s\"; \"parley show %s\" lists them",
                         planning->deployment.name, address, planning->deployment.name);
    int r = service_find_provider(planning->service, record->instance, &provider, err);
    if (r == 0)
        r = find_row(planning, provider, record, err);
    if (r == 0)
        r = check_account(planning, record, err);
    if (r == 0)
        r = look(planning, provider, record, err);
    if (r < 0)
        return r;
    value_builder_set_string(&after, "action", planning->request->action.name);
    value_builder_set_string(&after, "member", planning->request->action.member);
    planning->action.after = value_builder_map(&after);
    return 0;
}
