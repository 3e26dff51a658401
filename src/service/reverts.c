/* Which steps take back what somebody else, or somebody later, did. */
#include "base/memory.h"
#include "base/text.h"
#include "document/merge.h"
#include "service/revisions-internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* One place at which the document goes back to before a revision. */
struct revert {
    struct value *place;    /* owned */
    struct value *revision; /* owned: {revision, who, when, words} */
    bool has_step;
};

struct reverts {
    struct lineage *lineage;
    struct revert *items; /* owned */
    size_t n_items;
    size_t capacity;
    int result;
    struct error *err;
};

static void reverts_done(struct reverts *reverts)
{
    for (size_t i = 0; i < reverts->n_items; i++) {
        value_unref(reverts->items[i].place);
        value_unref(reverts->items[i].revision);
    }
    mem_free(reverts->items);
}

static struct value *describe(const struct value *revision)
{
    struct value_builder fields = {0};
    value_builder_set(&fields, "revision", value_integer(value_get_integer(revision, "number", 0)));
    value_builder_set_string(&fields, "who", value_get_text(revision, "principal"));
    value_builder_set(&fields, "when", value_integer(value_get_integer(revision, "created_at", 0)));
    value_builder_set_string(&fields, "words", value_get_text(revision, "words"));
    return value_builder_map(&fields);
}

static void add_revert(struct reverts *reverts, const struct value *place,
                       const struct value *revision)
{
    ARRAY_RESERVE(reverts->items, reverts->n_items, reverts->capacity);
    reverts->items[reverts->n_items++] =
        (struct revert){value_ref((struct value *)place), describe(revision), false};
}

/*
 * Goes back through what was changed at a place, until it stands there as the new document has it:
 * all that was changed since is taken back. When the new document has nothing there, so is all that
 * was ever changed. When it never stood so, the change is new and takes nothing back.
 */
static int walk_back(struct reverts *reverts, const struct value *place,
                     const struct yaml_node *wanted)
{
    struct lineage *lineage = reverts->lineage;
    size_t n_before = reverts->n_items;
    int64_t number = lineage->head;
    bool is_back = false;
    while (!is_back) {
        const struct value *revision;
        const struct yaml_node *before;
        int r = lineage_walk(lineage, place, &number, &revision, &before, reverts->err);
        if (r < 0)
            return r;
        if (!revision)
            break;
        bool is_later = value_get_integer(revision, "number", 0) > lineage->base;
        if (is_later || !lineage_is_own(lineage, revision))
            add_revert(reverts, place, revision);
        is_back = merge_is_same(before, wanted);
    }
    while (wanted && !is_back && reverts->n_items > n_before) {
        const struct revert *last = &reverts->items[--reverts->n_items];
        value_unref(last->place);
        value_unref(last->revision);
    }
    return 0;
}

static void check_place(void *argument, const struct value *place, const struct yaml_node *head,
                        const struct yaml_node *wanted)
{
    struct reverts *reverts = argument;
    (void)head;
    if (reverts->result == 0)
        reverts->result = walk_back(reverts, place, wanted);
}

/* Whether a step changes what stands at or below a property's path. */
static bool changes_path(const struct step *step, const char *path)
{
    if (step->kind != STEP_UPDATE || !step->changed)
        return true;
    for (size_t i = 0; i < value_count(step->changed); i++) {
        const char *changed = value_text(value_at(step->changed, i));
        size_t length = strlen(path);
        if (text_starts_with(changed, path) && strchr(".[", changed[length]))
            return true;
        length = strlen(changed);
        if (text_starts_with(path, changed) && strchr(".[", path[length]))
            return true;
    }
    return false;
}

static bool is_of_resource(const struct step *step, const char *name, size_t length)
{
    const char *addresses[] = {step->address, step->former};
    for (size_t i = 0; i < ARRAY_LENGTH(addresses); i++)
        if (addresses[i] && strncmp(addresses[i], name, length) == 0 &&
            strchr("[", addresses[i][length]))
            return true;
    return false;
}

/* The path below properties: that a place is at; NULL when it is about the resource otherwise. */
static char *property_path(const struct value *place)
{
    if (value_count(place) < 5 || !text_equal(value_text(value_at(place, 3)), "properties"))
        return NULL;
    return string_copy(value_text(value_at(place, 4)));
}

static void mark_step(struct step *step, const struct value *revision)
{
    struct value_builder list = {0};
    for (size_t i = 0; step->reverts && i < value_count(step->reverts); i++) {
        const struct value *known = value_at(step->reverts, i);
        if (!value_equal(known, revision))
            value_builder_append(&list, value_ref((struct value *)known));
    }
    value_builder_append(&list, value_ref((struct value *)revision));
    value_unref(step->reverts);
    step->reverts = value_builder_list(&list);
}

static void mark_resource(struct revert *revert, const struct yaml_tree *head,
                          const struct yaml_tree *wanted, struct plan *plan)
{
    size_t length = 0;
    const char *name = merge_place_resource(revert->place, &length);
    CLEANUP(mem_freep) char *path = property_path(revert->place);
    CLEANUP(mem_freep) char *was = name ? string_copy_n(name, length) : NULL;
    const char *now = was ? merge_find_name(head, wanted, was) : NULL;
    for (size_t i = 0; name && i < plan->n_steps; i++) {
        struct step *step = &plan->steps[i];
        bool is_of_it =
            is_of_resource(step, name, length) || (now && is_of_resource(step, now, strlen(now)));
        /* A new name changes no property. */
        if (!is_of_it || (path && (step->kind == STEP_RENAME || !changes_path(step, path))))
            continue;
        mark_step(step, revert->revision);
        revert->has_step = true;
    }
}

/* The variable that a place is, or is in; NULL when it is none. */
static const char *variable_of(const struct value *place)
{
    bool is_variable =
        value_count(place) >= 3 && text_equal(value_text(value_at(place, 1)), "variables");
    return is_variable ? value_text(value_at(place, 2)) : NULL;
}

static bool text_uses(const char *text, const char *variable)
{
    size_t length = strlen(variable);
    for (const char *at = text; (at = strstr(at, "var.")); at += 4) {
        bool is_it = strncmp(at + 4, variable, length) == 0;
        if (is_it && !isalnum((unsigned char)at[4 + length]) && at[4 + length] != '_' &&
            at[4 + length] != '-')
            return true;
    }
    return false;
}

static bool node_uses(const struct yaml_node *node, const char *variable)
{
    bool uses = node && node->kind == VALUE_STRING && text_uses(node->text, variable);
    bool is_list = node && node->kind == VALUE_LIST;
    bool is_map = node && node->kind == VALUE_MAP;
    for (size_t i = 0; !uses && (is_list || is_map) && i < node->n_items; i++)
        uses = node_uses(is_list ? node->items[i] : node->pairs[i].value, variable);
    return uses;
}

/* Whether the newest revision has the step's resource, and gives it the variable. */
static bool resource_uses(const struct yaml_tree *head, const struct step *step,
                          const char *variable)
{
    const char *address = step->former ? step->former : step->address;
    CLEANUP(mem_freep)
    char *item = string_format("[%.*s]", (int)strcspn(address, "["), address);
    struct value_builder steps = {0};
    value_builder_append(&steps, value_string("deployment"));
    value_builder_append(&steps, value_string("resources"));
    value_builder_append(&steps, value_string(item));
    CLEANUP(value_unrefp) struct value *place = value_builder_list(&steps);
    return node_uses(merge_find(head, place), variable);
}

/* What has the value of a resource that goes back goes back with it. */
static bool follows_marked(const struct step *step, const struct map *marked)
{
    for (size_t i = 0; step->kind == STEP_UPDATE && i < step->resources.n_items; i++)
        if (map_has(marked, step->resources.items[i]))
            return true;
    return false;
}

/* The steps of the resources that use a variable, and of those that follow them: steps stand in an
 * order in which these come later. */
static void mark_users(struct revert *revert, const struct yaml_tree *head, struct plan *plan)
{
    const char *variable = variable_of(revert->place);
    struct map marked = {0};
    for (size_t i = 0; variable && i < plan->n_steps; i++) {
        struct step *step = &plan->steps[i];
        if (step->kind == STEP_START || step->reason == STEP_REASON_DRIFTED ||
            (!resource_uses(head, step, variable) && !follows_marked(step, &marked)))
            continue;
        mark_step(step, revert->revision);
        map_put(&marked, step->address, NULL);
        revert->has_step = true;
    }
    map_done(&marked);
}

/* Whether a step may stand for what no step carries out. */
static bool may_stand_for(const struct step *step)
{
    return step->kind != STEP_START && step->reason != STEP_REASON_DRIFTED;
}

/* What no step carries out is taken back all the same: a wish that was never carried out, what no
 * resource owns (a pattern, an output). Every step that no place of its own explains says so, and
 * where there is none, all do. */
static void mark_others(struct revert *revert, const bool *is_explained, struct plan *plan)
{
    for (int round = 0; round < 2 && !revert->has_step; round++) {
        for (size_t i = 0; i < plan->n_steps; i++) {
            if (round == 0 && (is_explained[i] || !may_stand_for(&plan->steps[i])))
                continue;
            mark_step(&plan->steps[i], revert->revision);
            revert->has_step = true;
        }
    }
}

static void mark_plan(struct reverts *reverts, const struct yaml_tree *head,
                      const struct yaml_tree *wanted, struct plan *plan)
{
    bool *is_explained = NEW_ARRAY(bool, plan->n_steps);
    for (size_t i = 0; i < reverts->n_items; i++) {
        mark_resource(&reverts->items[i], head, wanted, plan);
        mark_users(&reverts->items[i], head, plan);
    }
    for (size_t i = 0; i < plan->n_steps; i++)
        is_explained[i] = plan->steps[i].reverts != NULL;
    for (size_t i = 0; i < reverts->n_items; i++)
        mark_others(&reverts->items[i], is_explained, plan);
    mem_free(is_explained);
}

/* Whether nobody but the one who asks ever did anything, and nothing came after the base. */
static bool is_all_own(const struct lineage *lineage)
{
    for (size_t i = 0; i < value_count(lineage->list); i++)
        if (!lineage_is_own(lineage, value_at(lineage->list, i)))
            return false;
    return lineage->base == lineage->head;
}

int lineage_mark(struct lineage *lineage, const char *text, struct plan *plan, struct error *err)
{
    if (lineage->head == 0 || plan->n_steps == 0 || is_all_own(lineage))
        return 0;
    const struct yaml_tree *head;
    int r = lineage_tree(lineage, lineage->head, &head, err);
    CLEANUP(yaml_tree_freep) struct yaml_tree *wanted = merge_read(text);
    if (r < 0 || !wanted)
        return r;
    struct reverts reverts = {.lineage = lineage, .err = err};
    document_compare(head, wanted, check_place, &reverts);
    mark_plan(&reverts, head, wanted, plan);
    if (reverts.n_items > 0)
        plan_seal(plan);
    r = reverts.result;
    reverts_done(&reverts);
    return r;
}

/* Whether a comma-separated list of revisions names this one. */
static bool names_revision(const char *named, int64_t revision)
{
    CLEANUP(mem_freep) char *wanted = string_format("%" PRId64, revision);
    size_t length = strlen(wanted);
    for (const char *at = named; at && *at; at += strcspn(at, ","), at += *at == ',')
        if (strncmp(at, wanted, length) == 0 && strchr(",", at[length]))
            return true;
    return false;
}

int service_check_reverts(const struct plan *plan, const struct consent *consent, struct error *err)
{
    for (size_t i = 0; !consent->is_seen && i < plan->n_steps; i++) {
        const struct value *reverts = plan->steps[i].reverts;
        for (size_t k = 0; reverts && k < value_count(reverts); k++) {
            const struct value *revert = value_at(reverts, k);
            int64_t number = value_get_integer(revert, "revision", 0);
            if (names_revision(consent->reverts, number))
                continue;
            const char *who = value_get_text(revert, "who");
            return error_set(err, ERROR_APPROVAL_NEEDED,
                             "this undoes what %s did in revision %" PRId64
                             ", which --yes alone does not approve, so nothing was changed: look "
                             "at the plan, then give --approve %.12s, or --yes with --revert and "
                             "the numbers of all revisions that it may undo",
                             who ? who : "-", number, plan->hash);
        }
    }
    return 0;
}
