/* Parts: which resource plays which, by type, references and the words of its name. */
#include "pattern/run.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"

#include <assert.h>
#include <string.h>

/* How a candidate stands to a tier. */
enum bond {
    BOND_LOOSE,     /* nothing says where it belongs */
    BOND_LINKED,    /* a reference leads to the tier */
    BOND_ELSEWHERE, /* its references lead to others only */
};

struct candidate {
    struct part part;
    enum bond bond;
};
struct candidates {
    struct candidate *items; /* owned */
    size_t n_items;
    size_t capacity;
};

static void candidates_done(struct candidates *candidates)
{
    mem_free(candidates->items);
}

void part_done(struct part *part)
{
    value_unref(part->chosen);
    *part = (struct part){.actor = NO_ACTOR};
}

const char *part_name(const struct run *run, const struct part *part)
{
    return part->key ? part->key : run->scene->actors[part->actor].name;
}

static struct value *inside(const struct part *part, struct value *properties)
{
    return part->key ? value_get(value_get(properties, part->item), part->key) : properties;
}

struct value *part_spec(const struct run *run, const struct part *part)
{
    return inside(part, scene_spec(run->scene, part->actor));
}

struct value *part_given(const struct run *run, const struct part *part)
{
    return inside(part, scene_given(run->scene, part->actor));
}

/* The schema of a property of a part. */
static const struct schema *part_schema(const struct run *run, const struct part *part,
                                        const char *property)
{
    const struct schema *schema = &run->scene->actors[part->actor].type->schema;
    if (part->key) {
        schema = schema_field(schema, part->item);
        schema = schema ? schema->items : NULL;
    }
    return schema && schema->kind == SCHEMA_OBJECT ? schema_field(schema, property) : NULL;
}

/* Whether a candidate is as the binding's where: says, of which ${} are evaluated for this tier. */
static bool is_as_wanted(struct run *run, const struct tier *tier, const struct value *binding,
                         const struct part *part)
{
    const struct value *where = value_get(binding, "where");
    for (size_t i = 0; where && i < value_count(where); i++) {
        const char *property = value_key_at(where, i);
        const struct schema *schema = part_schema(run, part, property);
        CLEANUP(value_unrefp)
        struct value *wanted = template_evaluate_plain(run, tier, value_at(where, i));
        if (!schema || !wanted ||
            !schema_equal(schema, wanted, value_get(part_spec(run, part), property)))
            return false;
    }
    return true;
}

/* Follows the references that by: names, each to the part whose name it must hold. */
static enum bond bond_of(struct run *run, const struct tier *tier, const struct value *binding,
                         const struct part *part)
{
    enum bond bond = BOND_LOOSE;
    const struct value *by = value_get(binding, "by");
    for (size_t i = 0; tier && by && i < value_count(by); i++) {
        const struct value *reference = value_get(part_spec(run, part), value_key_at(by, i));
        const char *role = value_text(value_at(by, i));
        CLEANUP(part_done) struct part target = {.actor = NO_ACTOR};
        if (!reference)
            continue;
        if (part_find(run, tier, role, &target) &&
            reference_names(reference, part_name(run, &target)))
            return BOND_LINKED;
        bond = BOND_ELSEWHERE;
    }
    return bond;
}

static void add_candidate(struct run *run, const struct tier *tier, const struct value *binding,
                          struct candidates *candidates, struct part part)
{
    if (!is_as_wanted(run, tier, binding, &part))
        return;
    enum bond bond = bond_of(run, tier, binding, &part);
    ARRAY_RESERVE(candidates->items, candidates->n_items, candidates->capacity);
    candidates->items[candidates->n_items++] = (struct candidate){.part = part, .bond = bond};
}

/* All resources of the binding's types, or all items of a map in them. */
static void find_candidates(struct run *run, const struct tier *tier, const struct value *binding,
                            struct candidates *candidates)
{
    const struct value *types = value_get(binding, "type");
    const char *item = value_get_text(binding, "item");
    bool is_list = value_kind(types) == VALUE_LIST;
    for (size_t i = 0; i < (is_list ? value_count(types) : 1); i++) {
        const struct value *type = is_list ? value_at(types, i) : types;
        const struct actor_list *list = scene_list(run->scene, value_text(type));
        for (size_t k = 0; k < list->n_items; k++) {
            struct part part = {.actor = list->items[k], .item = item};
            const struct value *map =
                item ? value_get(scene_spec(run->scene, part.actor), item) : NULL;
            if (!item)
                add_candidate(run, tier, binding, candidates, part);
            for (size_t n = 0; map && value_kind(map) == VALUE_MAP && n < value_count(map); n++) {
                part.key = value_key_at(map, n);
                if (value_kind(value_at(map, n)) == VALUE_MAP)
                    add_candidate(run, tier, binding, candidates, part);
            }
        }
    }
}

/* Keeps the candidates that keep() wants, unless it wants none; whether any is wanted. */
static bool narrow(struct run *run, const struct tier *tier, struct candidates *candidates,
                   bool (*keep)(const struct run *run, const struct tier *tier,
                                const struct candidate *candidate))
{
    size_t n_kept = 0;
    for (size_t i = 0; i < candidates->n_items; i++)
        if (keep(run, tier, &candidates->items[i])) {
            struct candidate kept = candidates->items[i];
            candidates->items[i] = candidates->items[n_kept];
            candidates->items[n_kept++] = kept;
        }
    if (n_kept > 0)
        candidates->n_items = n_kept;
    return n_kept > 0;
}

static bool is_linked(const struct run *run, const struct tier *tier,
                      const struct candidate *candidate)
{
    (void)run;
    (void)tier;
    return candidate->bond == BOND_LINKED;
}

static bool is_loose(const struct run *run, const struct tier *tier,
                     const struct candidate *candidate)
{
    (void)run;
    (void)tier;
    return candidate->bond == BOND_LOOSE;
}

/* Whether its name says that it belongs to the tier. */
static bool has_word(const struct run *run, const struct tier *tier,
                     const struct candidate *candidate)
{
    return chain_tier_of(run, part_name(run, &candidate->part)) == tier;
}

/* Whether its name is the tier's, or its stem. */
static bool has_stem(const struct run *run, const struct tier *tier,
                     const struct candidate *candidate)
{
    const char *name = part_name(run, &candidate->part);
    return text_equal(name, tier->stem) || text_equal(name, run->scene->actors[tier->actor].name);
}

static char *list_names(const struct run *run, const struct candidates *candidates,
                        const char *last)
{
    struct strbuf names = {0};
    for (size_t i = 0; i < candidates->n_items; i++) {
        const char *between = i == 0 ? "" : i + 1 == candidates->n_items ? last : ", ";
        strbuf_addf(&names, "%s\"%s\"", between, part_name(run, &candidates->items[i].part));
    }
    return strbuf_take(&names);
}

static void tell_several(struct run *run, const struct tier *tier, const char *name,
                         const struct candidates *candidates)
{
    const char *first = part_name(run, &candidates->items[0].part);
    const char *tier_name = tier ? run->scene->actors[tier->actor].name : "the deployment";
    CLEANUP(mem_freep) char *names = list_names(run, candidates, " or ");
    CLEANUP(mem_freep)
    char *help = tier ? string_format("Say which: with: {%s: {%s: %s}}.", name, tier_name, first)
                      : string_format("Say which: with: {%s: %s}.", name, first);
    CLEANUP(mem_freep)
    char *detail =
        string_format("The pattern \"%s\" cannot tell what plays the part \"%s\" of %s: %s.",
                      run->request->name, name, tier_name, names);
    run_ask(run, tier, name, help, detail);
}

const char *part_given_name(const struct run *run, const struct tier *tier, const char *name)
{
    const struct value *given = value_get(run->request->with, name);
    if (given && value_kind(given) == VALUE_STRING)
        return value_text(given);
    return tier ? value_get_text(given, run->scene->actors[tier->actor].name) : NULL;
}

/* Keeps the candidate of that name; a fault when there is none. */
static bool take_given(struct run *run, const struct tier *tier, const char *name,
                       const char *given, struct candidates *candidates, struct part *ret_part)
{
    for (size_t i = 0; i < candidates->n_items; i++)
        if (text_equal(part_name(run, &candidates->items[i].part), given)) {
            *ret_part = candidates->items[i].part;
            return true;
        }
    CLEANUP(mem_freep) char *names = list_names(run, candidates, " and ");
    CLEANUP(mem_freep) char *help = *names ? string_format("There are %s.", names) : NULL;
    CLEANUP(mem_freep)
    char *detail = string_format(
        "\"%s\" cannot play the part \"%s\": there is nothing of that name and type.", given, name);
    run_ask(run, tier, name, help, detail);
    return false;
}

/* The one candidate that references, then names, then its being the only one speak for. */
static bool find_role(struct run *run, const struct tier *tier, const char *name,
                      const struct value *binding, struct part *ret_part)
{
    CLEANUP(candidates_done) struct candidates candidates = {0};
    find_candidates(run, tier, binding, &candidates);
    const char *given = part_given_name(run, tier, name);
    if (given)
        return take_given(run, tier, name, given, &candidates, ret_part);
    size_t n_all = candidates.n_items;
    if (tier && narrow(run, tier, &candidates, is_linked)) {
        if (candidates.n_items > 1)
            narrow(run, tier, &candidates, has_word);
    } else if (tier) {
        if (!narrow(run, tier, &candidates, is_loose))
            return false;
        bool is_named = narrow(run, tier, &candidates, has_word);
        if (!is_named && !value_get_bool(binding, "sole", false))
            return false;
    }
    if (tier && candidates.n_items > 1)
        narrow(run, tier, &candidates, has_stem);
    if (n_all == 0 || candidates.n_items > 1) {
        if (n_all > 0)
            tell_several(run, tier, name, &candidates);
        return false;
    }
    *ret_part = candidates.items[0].part;
    return true;
}

/* The part of the tiers one step further in; only one of them may have it. */
static bool find_inner(struct run *run, const struct tier *tier, const char *name, const char *role,
                       struct part *ret_part)
{
    CLEANUP(candidates_done) struct candidates candidates = {0};
    const char *given = part_given_name(run, tier, name);
    for (size_t i = 0; i < tier->n_inner; i++) {
        struct part part = {.actor = NO_ACTOR};
        if (!part_find(run, &run->tiers[tier->inner[i]], role, &part))
            continue;
        ARRAY_RESERVE(candidates.items, candidates.n_items, candidates.capacity);
        candidates.items[candidates.n_items++] = (struct candidate){.part = part};
    }
    if (given)
        return take_given(run, tier, name, given, &candidates, ret_part);
    if (candidates.n_items > 1)
        tell_several(run, tier, name, &candidates);
    if (candidates.n_items != 1)
        return false;
    *ret_part = candidates.items[0].part;
    return true;
}

/* What part_find() found, so that it is not looked for again until the document changes. */
struct memory {
    bool is_found;
    struct part part;
};

static void forget_one(struct memory *memory)
{
    value_unref(memory->part.chosen);
    mem_free(memory);
}

void part_forget(struct run *run)
{
    size_t cursor = 0;
    for (struct map_entry *entry = map_next(&run->memory, &cursor); entry;
         entry = map_next(&run->memory, &cursor))
        forget_one(entry->value);
    map_done(&run->memory);
}

static bool find_part(struct run *run, const struct tier *tier, const char *name,
                      struct part *ret_part)
{
    struct value *binding = run_binding(run, name);
    assert(binding);
    const char *inner = value_get_text(binding, "inner");
    struct value *choose_from = value_get(binding, "choose");
    bool is_of_tier = inner || value_get(binding, "of");
    if (is_of_tier && !tier)
        return false;
    if (inner)
        return find_inner(run, tier, name, inner, ret_part);
    if (choose_from)
        return entry_find(run, tier, name, choose_from, ret_part);
    return find_role(run, is_of_tier ? tier : NULL, name, binding, ret_part);
}

bool part_find(struct run *run, const struct tier *tier, const char *name, struct part *ret_part)
{
    if (run->chain && text_equal(name, run->chain)) {
        if (tier)
            *ret_part = (struct part){.actor = tier->actor};
        return tier != NULL;
    }
    CLEANUP(mem_freep)
    char *key = string_format("%s@%lld", name, tier ? (long long)(tier - run->tiers) : -1);
    struct memory *memory = map_get(&run->memory, key);
    if (!memory) {
        memory = NEW(struct memory);
        memory->is_found = find_part(run, tier, name, &memory->part);
        map_put(&run->memory, key, memory);
    }
    if (!memory->is_found)
        return false;
    *ret_part = memory->part;
    if (memory->part.chosen)
        value_ref(memory->part.chosen);
    return true;
}

/* --- Items that must have a tier --- */

static bool is_claimed(struct run *run, const char *name, const struct part *item)
{
    for (size_t i = 0; i < run->n_tiers; i++) {
        CLEANUP(part_done) struct part found = {.actor = NO_ACTOR};
        if (part_find(run, &run->tiers[i], name, &found) && found.actor == item->actor &&
            text_equal(part_name(run, &found), part_name(run, item)))
            return true;
    }
    return false;
}

static void tell_unclaimed(struct run *run, const char *name, const struct part *item)
{
    struct strbuf tiers = {0};
    for (size_t i = 0; i < run->n_tiers; i++)
        strbuf_addf(&tiers, "%s\"%s\"", i > 0 ? ", " : "",
                    run->scene->actors[run->tiers[i].actor].name);
    CLEANUP(mem_freep) char *path = string_format("%s.%s", item->item, item->key);
    CLEANUP(mem_freep)
    char *help =
        string_format("Give it what the pattern would fill in, or say its tier: with: {%s: {%s: "
                      "%s}}.",
                      name, run->scene->actors[run->tiers[0].actor].name, item->key);
    diagnostics_add(run->scene->diagnostics, DIAGNOSTIC_PATTERN_BINDING,
                    declaration_property_position(
                        run->scene->document, run->scene->actors[item->actor].declaration, path),
                    help,
                    "The pattern \"%s\" cannot tell to which tier \"%s\" belongs: its name shares "
                    "no word with only one of %s.",
                    run->request->name, item->key, strbuf_text(&tiers));
    strbuf_done(&tiers);
}

static void check_items(struct run *run, const char *name, const struct value *binding)
{
    const struct value *by = value_get(binding, "by");
    CLEANUP(candidates_done) struct candidates candidates = {0};
    find_candidates(run, NULL, binding, &candidates);
    for (size_t i = 0; i < candidates.n_items; i++) {
        const struct part *item = &candidates.items[i].part;
        bool is_placed = false;
        for (size_t k = 0; by && k < value_count(by); k++)
            is_placed = is_placed || value_get(part_spec(run, item), value_key_at(by, k));
        if (!is_placed && !is_claimed(run, name, item))
            tell_unclaimed(run, name, item);
    }
}

/* The keys of what with: says about a part are tiers. */
static void check_given_tiers(struct run *run, const char *name)
{
    const struct value *given = value_get(run->request->with, name);
    for (size_t i = 0; given && value_kind(given) == VALUE_MAP && i < value_count(given); i++) {
        bool is_tier = false;
        for (size_t k = 0; k < run->n_tiers; k++)
            is_tier = is_tier || text_equal(run->scene->actors[run->tiers[k].actor].name,
                                            value_key_at(given, i));
        if (is_tier)
            continue;
        CLEANUP(mem_freep) char *path = string_format("%s.%s", name, value_key_at(given, i));
        diagnostics_add(run->scene->diagnostics, DIAGNOSTIC_PATTERN_BINDING,
                        document_pattern_position(run->scene->document, run->request_index, path),
                        NULL, "\"%s\" is no tier of the pattern \"%s\".", value_key_at(given, i),
                        run->request->name);
    }
}

void part_check_all(struct run *run)
{
    const struct value *bindings = value_get(run->pattern, "bindings");
    for (size_t i = 0; run->n_tiers > 0 && i < value_count(bindings); i++) {
        check_given_tiers(run, value_key_at(bindings, i));
        if (value_get_bool(value_at(bindings, i), "complete", false))
            check_items(run, value_key_at(bindings, i), value_at(bindings, i));
    }
}
