/* Who a resource is: its generation and uid, and what the references of others to it are bound to.
 */
#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "plan/draft.h"

char *draft_derive_uid(const struct draft *draft, const char *address, int64_t generation)
{
    CLEANUP(mem_freep) char *key = string_format("%s#%lld", address, (long long)generation);
    char uid[UUID_TEXT_SIZE];
    uuid_derive(draft->input->deployment_uid, key, uid);
    return string_copy(uid);
}

/* The revision's number, or one more than the last. */
int64_t draft_next_generation(const struct draft *draft, const struct pair *pair)
{
    int64_t generation = draft->input->revision;
    if (pair->record != NONE && draft_record(draft, pair->record)->generation >= generation)
        generation = draft_record(draft, pair->record)->generation + 1;
    return generation;
}

int64_t draft_adopted_generation(const struct draft *draft, const struct pair *pair)
{
    return pair->found->uid ? pair->found->generation : draft_next_generation(draft, pair);
}

char *draft_adopted_uid(const struct draft *draft, const struct pair *pair)
{
    if (pair->found->uid)
        return string_copy(pair->found->uid);
    return draft_derive_uid(draft, pair->wanted->address, draft_adopted_generation(draft, pair));
}

const char *draft_recorded_name(const struct draft *draft, const char *dependency)
{
    size_t index = (size_t)map_get(&draft->pairs_by_address, dependency);
    const char *former = index ? draft->pairs[index - 1].former : NULL;
    return former ? former : dependency;
}

static bool is_made_anew(const struct pair *pair)
{
    return pair->decision == DECISION_REPLACE || pair->decision == DECISION_CREATE;
}

/* The uid that a resource will have. */
static struct value *uid_of(const struct draft *draft, const struct pair *pair)
{
    if (pair->wanted->existing) {
        const char *uid = value_get_text(pair->wanted->found, "uid");
        return value_string(uid ? uid : "");
    }
    if (pair->decision == DECISION_ADOPT) {
        CLEANUP(mem_freep) char *adopted = draft_adopted_uid(draft, pair);
        return value_string(adopted);
    }
    if (!is_made_anew(pair))
        return value_string(draft_record(draft, pair->record)->uid);
    int64_t generation = draft_next_generation(draft, pair);
    CLEANUP(mem_freep) char *uid = draft_derive_uid(draft, pair->wanted->address, generation);
    return value_string(uid);
}

/* Records from before bindings were kept say nothing: then only what this plan makes anew counts.
 */
static bool is_moved_by_plan(const struct draft *draft, const struct index_list *found)
{
    for (size_t i = 0; i < found->n_items; i++) {
        if (is_made_anew(&draft->pairs[found->items[i]]))
            return true;
    }
    return false;
}

/* What a reference to these leads to now; that to a counted resource is found once. */
static struct value *find_binding(const struct draft *draft, const char *name,
                                  const struct index_list *found)
{
    struct value *known = map_get(draft->bindings, name);
    if (known)
        return value_ref(known);
    struct value_builder uids = {0};
    for (size_t i = 0; i < found->n_items; i++)
        value_builder_append(&uids, uid_of(draft, &draft->pairs[found->items[i]]));
    struct value *binding = record_binding(&uids);
    if (found->n_items > 1)
        map_put(draft->bindings, name, value_ref(binding));
    return binding;
}

/* As it would be written now: older programs wrote all uids, and what is read has no sets. */
static struct value *normalise_binding(const struct value *bound)
{
    struct value_builder uids = {0};
    if (value_kind(bound) != VALUE_LIST && value_kind(bound) != VALUE_SET)
        return value_ref((struct value *)bound);
    for (size_t i = 0; i < value_count(bound); i++)
        value_builder_append(&uids, value_ref(value_at(bound, i)));
    return record_binding(&uids);
}

static bool is_moved(const struct draft *draft, const struct record *record, const char *name)
{
    struct index_list one;
    size_t item;
    const struct index_list *found =
        draft_find(&draft->pairs_by_address, &draft->pairs_by_name, name, &one, &item);
    const struct value *bound = value_get(record->bound, draft_recorded_name(draft, name));
    if (!bound)
        return is_moved_by_plan(draft, found);
    CLEANUP(value_unrefp) struct value *now = find_binding(draft, name, found);
    CLEANUP(value_unrefp) struct value *then = normalise_binding(bound);
    return !value_equal(now, then);
}

struct mover {
    const struct draft *draft;
    const struct record *record;
    struct string_list *paths;
};

static int add_if_moved(void *argument, const char *path, const char *name,
                        const struct schema *schema, struct error *err)
{
    const struct mover *mover = argument;
    (void)schema;
    (void)err;
    if (!string_list_has(mover->paths, path) && is_moved(mover->draft, mover->record, name))
        string_list_add(mover->paths, path);
    return 0;
}

void draft_find_moved(const struct draft *draft, const struct pair *pair,
                      const struct record *record, struct string_list *paths)
{
    struct mover mover = {draft, record, paths};
    (void)type_references(pair->type, pair->spec, add_if_moved, &mover, NULL);
}
