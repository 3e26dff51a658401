/* Finds what is there already and is to become a resource of a deployment. */
#include "service/adoptions.h"

#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"

enum { PAGE_REVISIONS = 200 };

static char *text_or_null(const char *text)
{
    return text ? string_copy(text) : NULL;
}

/* What was found, and what the plan is told of it. */
struct found {
    struct adoption adoption; /* first: this is what a plan sees */
    char *provider_id;        /* owned */
    char *uid;                /* owned; NULL */
    struct live live;         /* owned */
};

static void found_free(struct found *found)
{
    if (!found)
        return;
    mem_free(found->provider_id);
    mem_free(found->uid);
    live_done(&found->live);
    mem_free(found);
}

void adoptions_done(struct adoptions *adoptions)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&adoptions->found, &cursor)))
        found_free(entry->value);
    map_done(&adoptions->found);
    diagnostics_done(&adoptions->faults);
}

static void keep(struct adoptions *adoptions, const char *address, const char *provider_id,
                 const char *uid, int64_t generation, struct live *take_live)
{
    struct found *found = NEW(struct found);
    found->provider_id = string_copy(provider_id);
    found->uid = uid ? string_copy(uid) : NULL;
    found->live = *take_live;
    *take_live = (struct live){0};
    found->adoption = (struct adoption){
        .provider_id = found->provider_id,
        .uid = found->uid,
        .generation = generation,
        .spec = found->live.spec,
        .outputs = found->live.outputs,
    };
    found_free(map_put(&adoptions->found, address, found));
}

static const struct resource *find_wanted(const struct wanted *wanted, const char *address)
{
    for (size_t i = 0; i < wanted->n_items; i++)
        if (text_equal(wanted->items[i].address, address))
            return &wanted->items[i];
    return NULL;
}

static int read_live(const struct adoption_scene *scene, const struct resource *wanted,
                     const char *provider_id, const char *uid, struct live *ret_live,
                     struct error *err)
{
    struct service *service = scene->service;
    struct provider *provider;
    const struct resource_type *type;
    int r = service_find_provider(service, wanted->instance, &provider, err);
    if (r == 0)
        r = service_find_type(service, wanted->type, wanted->address, &type, err);
    if (r < 0)
        return r;
    if (provider_is_internal(provider))
        return error_set(err, ERROR_UNSUPPORTED, "%s has nothing outside that could be adopted",
                         wanted->instance);
    CLEANUP(value_unrefp) struct value *references = value_builder_map(&(struct value_builder){0});
    struct target target = {
        .type = type,
        .uid = uid,
        .address = wanted->address,
        .deployment = scene->deployment,
        .provider_id = provider_id,
        .generation = 1,
        .references = references,
    };
    struct call call = service_read_call(service);
    return provider_read(provider, &call, &target, ret_live, err);
}

/* --- Who has it --- */

/* A thing at an instance, by its id and the mark it carries, if any. */
struct thing {
    const char *instance;
    const char *provider_id;
    const char *marker;
};

static bool is_record_of(const struct record *record, const struct thing *thing)
{
    if (!text_equal(record->instance, thing->instance))
        return false;
    return text_equal_or_null(record->provider_id, thing->provider_id) ||
           (thing->marker && text_equal(record->uid, thing->marker));
}

static const struct record *find_record_of(const struct records *records, const struct thing *thing)
{
    for (size_t i = 0; i < records->n_items; i++)
        if (is_record_of(records->items[i], thing))
            return records->items[i];
    return NULL;
}

int adoptions_check_free(struct service *service, const struct plan *plan, struct error *err)
{
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct step *step = &plan->steps[i];
        if (step->kind != STEP_ADOPT)
            continue;
        CLEANUP(mem_freep) char *owner = NULL;
        int r = store_find_owner(service->store, plan->deployment_uid, step->instance,
                                 step->provider_id, NULL, &owner, err);
        if (r == 0 && owner)
            r = error_set(err, ERROR_CONFLICT, "%s on %s is %s by now: plan again",
                          step->provider_id, step->instance, owner);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- What was asked for --- */

/* The generation of this address that a mark stands for; 0 when it is not of this deployment. */
static int64_t find_generation(const struct adoption_scene *scene, const char *address,
                               const char *marker)
{
    for (int64_t generation = scene->revision; marker && generation > 0; generation--) {
        CLEANUP(mem_freep)
        char *key = string_format("%s#%lld", address, (long long)generation);
        char uid[UUID_TEXT_SIZE];
        uuid_derive(scene->uid, key, uid);
        if (text_equal(uid, marker))
            return generation;
    }
    return 0;
}

/* A request {address: id} while it is looked into. */
struct asking {
    const struct adoption_scene *scene;
    struct adoptions *adoptions;
    const struct resource *wanted; /* NULL: the document has none */
    const char *address;
    const char *id;
};

__attribute__((format(printf, 3, 4))) static int refuse(const struct asking *asking,
                                                        const char *help, const char *format, ...)
{
    struct strbuf why = {0};
    va_list arguments;
    va_start(arguments, format);
    strbuf_addv(&why, format, arguments);
    va_end(arguments);
    struct position position = asking->wanted ? asking->wanted->position : (struct position){0};
    diagnostics_add(&asking->adoptions->faults, DIAGNOSTIC_ADOPTION, position, help,
                    "%s cannot become %s: %s.", asking->id, asking->address, strbuf_text(&why));
    strbuf_done(&why);
    return 0;
}

/* Another address of the same request that has the same id. */
static const char *find_twice(const struct value *asked, const char *address, const char *id)
{
    for (size_t i = 0; i < value_count(asked); i++)
        if (text_equal(value_text(value_at(asked, i)), id) &&
            !text_equal(value_key_at(asked, i), address))
            return value_key_at(asked, i);
    return NULL;
}

/* What is there is looked at last: whoever has it. */
static int take_live(const struct asking *asking, struct live *live, struct error *err)
{
    const struct adoption_scene *scene = asking->scene;
    struct thing thing = {asking->wanted->instance, asking->id, live->marker};
    const struct record *record = find_record_of(scene->records, &thing);
    CLEANUP(mem_freep) char *owner = NULL;
    if (record)
        return refuse(asking, "take the name that it has, or rename it with formerly:",
                      "it is %s of this deployment already", record->address);
    int r = store_find_owner(scene->service->store, scene->uid, thing.instance, thing.provider_id,
                             thing.marker, &owner, err);
    if (r < 0)
        return r;
    if (owner)
        return refuse(asking, "let it go there first, with parley forget, or refer to it there",
                      "it is %s", owner);
    int64_t generation = find_generation(scene, asking->address, live->marker);
    if (live->marker && generation == 0)
        diagnostics_note(&asking->adoptions->faults, DIAGNOSTIC_WARNING, DIAGNOSTIC_ADOPTION,
                         asking->wanted->position, NULL,
                         "%s carries a mark of Parley that nothing here accounts for: another "
                         "store may manage it.",
                         asking->id);
    CLEANUP(mem_freep) char *uid = generation ? string_copy(live->marker) : NULL;
    keep(asking->adoptions, asking->address, asking->id, uid, generation, live);
    return 0;
}

static int ask_for(const struct asking *asking, const struct value *asked, struct error *err)
{
    const struct adoption_scene *scene = asking->scene;
    const struct record *known = records_find(scene->records, asking->address);
    const char *twice = find_twice(asked, asking->address, asking->id);
    if (!asking->wanted)
        return refuse(asking, "write it into the document, or name its type with --type",
                      "the document has no resource of that name");
    if (asking->wanted->existing)
        return refuse(asking, "take existing: true out to manage it",
                      "the document only refers to it (existing: true)");
    if (known && text_equal_or_null(known->provider_id, asking->id))
        return refuse(asking, "there is nothing to do", "it is that already");
    if (known)
        return refuse(asking, "let that one go first, with parley forget", "%s is %s already",
                      asking->address, known->provider_id ? known->provider_id : "made");
    if (twice)
        return refuse(asking, "give each resource an id of its own", "it is to become %s, too",
                      twice);
    struct live live = {0};
    struct error failure = {0};
    int r = read_live(scene, asking->wanted, asking->id, asking->id, &live, &failure);
    bool is_refusal = r == -ERROR_CONFLICT || r == -ERROR_UNSUPPORTED || r == -ERROR_INVALID;
    if (is_refusal) {
        refuse(asking, "check the id, the type and the instance", "%s", error_message(&failure));
        error_done(&failure);
        return 0;
    }
    if (r < 0)
        return error_move(err, &failure);
    if (live.is_present && !live.provider_id)
        r = take_live(asking, &live, err);
    else
        refuse(asking, "\"parley import --list TYPE\" says what there is",
               "%s has no %s of that id", asking->wanted->instance, asking->wanted->type);
    live_done(&live);
    return r;
}

int adoptions_find_asked(const struct adoption_scene *scene, const struct value *asked,
                         struct adoptions *adoptions, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < value_count(asked); i++) {
        const char *address = value_key_at(asked, i);
        struct asking asking = {
            .scene = scene,
            .adoptions = adoptions,
            .wanted = find_wanted(scene->wanted, address),
            .address = address,
            .id = value_text(value_at(asked, i)),
        };
        r = ask_for(&asking, asked, err);
    }
    return r;
}

/* --- What was forgotten --- */

/* Where an instance is or was somebody else, an id alone may be that of somebody else's thing. */
static bool needs_mark(const struct adoption_scene *scene, const char *instance)
{
    const char *was = value_get_text(scene->accounts, instance);
    const char *is = value_get_text(scene->identities, instance);
    return (was && is && !text_equal(was, is)) ||
           (scene->accounts && store_had_other_account(scene->accounts, instance));
}

/* What a forgotten resource was, if it is there still. */
static int look_for(const struct adoption_scene *scene, const struct store_forgotten *was,
                    const struct resource *wanted, struct adoptions *adoptions, struct error *err)
{
    struct live live = {0};
    struct error failure = {0};
    struct thing thing = {was->instance, was->provider_id, was->uid};
    if (!text_equal(was->type, wanted->type) || !text_equal(was->instance, wanted->instance) ||
        find_record_of(scene->records, &thing))
        return 0;
    int r = read_live(scene, wanted, was->provider_id, was->uid, &live, &failure);
    /* What has no id and cannot be found by another means was forgotten because of that. */
    if (r == -ERROR_UNSUPPORTED || (r == -ERROR_UNAVAILABLE && !was->provider_id)) {
        error_done(&failure);
        return 0;
    }
    if (r < 0)
        return error_move(err, &failure);
    bool is_ours =
        live.marker ? text_equal(live.marker, was->uid) : !needs_mark(scene, wanted->instance);
    CLEANUP(mem_freep)
    char *id = live.provider_id ? take_ptr(live.provider_id) : text_or_null(was->provider_id);
    if (live.is_present && is_ours && id)
        keep(adoptions, wanted->address, id, was->uid, was->generation, &live);
    live_done(&live);
    return 0;
}

/* The newest that was forgotten under an address decides. */
static int look_at(const struct adoption_scene *scene, const struct resource *wanted,
                   bool with_revisions, struct adoptions *adoptions, struct error *err)
{
    struct store_forgotten was = {0};
    struct error missing = {0};
    int r = store_find_forgotten(scene->service->store, scene->uid, wanted->address, with_revisions,
                                 &was, &missing);
    if (r == -ERROR_NOT_FOUND) {
        error_done(&missing);
        return 0;
    }
    if (r < 0)
        return error_move(err, &missing);
    r = look_for(scene, &was, wanted, adoptions, err);
    store_forgotten_done(&was);
    return r;
}

int adoptions_find_forgotten(const struct adoption_scene *scene, bool with_revisions,
                             struct adoptions *adoptions, struct error *err)
{
    bool has_some = false;
    int r = store_has_forgotten(scene->service->store, scene->uid, &has_some, err);
    for (size_t i = 0; r == 0 && has_some && i < scene->wanted->n_items; i++) {
        const struct resource *wanted = &scene->wanted->items[i];
        if (!wanted->existing && !records_find(scene->records, wanted->address) &&
            !map_has(&adoptions->found, wanted->address))
            r = look_at(scene, wanted, with_revisions, adoptions, err);
    }
    return r;
}

/* --- What is taken back --- */

static int add_adopted(struct service *service, const struct value *revision, struct map *uids,
                       struct error *err)
{
    const char *hash = value_get_text(revision, "plan");
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = hash ? service_get_plan(service, hash, &plan, err) : 0;
    for (size_t i = 0; r == 0 && plan && i < plan->n_steps; i++)
        if (plan->steps[i].kind == STEP_ADOPT)
            map_put(uids, plan->steps[i].uid, NULL);
    return r;
}

int adoptions_list_since(struct service *service, const char *deployment_uid, int64_t revision,
                         struct map *uids, struct error *err)
{
    int64_t below = 0;
    for (;;) {
        CLEANUP(value_unrefp) struct value *page = NULL;
        int r =
            store_list_revisions(service->store, deployment_uid, below, PAGE_REVISIONS, &page, err);
        size_t n = r == 0 ? value_count(page) : 0;
        for (size_t i = 0; r == 0 && i < n; i++) {
            below = value_get_integer(value_at(page, i), "number", 0);
            if (below <= revision)
                return 0;
            r = add_adopted(service, value_at(page, i), uids, err);
        }
        if (r < 0 || n < PAGE_REVISIONS)
            return r;
    }
}
