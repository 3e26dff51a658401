#include "render/plan-view.h"

#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "render/render.h"

#include <string.h>

/* --- What was asked for --- */

/* "change" and "destroy" are what plans say of updates and deletes. */
static enum step_kind kind_of_word(const char *word)
{
    if (text_equal(word, "change"))
        return STEP_UPDATE;
    if (text_equal(word, "destroy"))
        return STEP_DELETE;
    enum step_kind kind = step_kind_from_string(word);
    return kind == STEP_KEEP ? STEP_KIND_COUNT : kind;
}

static int read_kinds(const char *words, struct plan_view *view, struct error *err)
{
    view->has_kinds = true;
    const char *at = words;
    do {
        size_t length = strcspn(at, ",");
        CLEANUP(mem_freep) char *word = string_copy_n(at, length);
        enum step_kind kind = kind_of_word(word);
        if (kind == STEP_KIND_COUNT)
            return error_set(err, ERROR_INVALID,
                             "--only takes create, update, delete, rename, start, forget and "
                             "adopt, with commas between them, not \"%s\"",
                             word);
        view->kinds[kind] = true;
        at += length + (at[length] == ',');
    } while (*at);
    return 0;
}

int plan_view_read(const struct plan_view_words *words, struct plan_view *ret_view,
                   struct error *err)
{
    struct plan_view view = {.is_all = words->is_all, .type = words->type};
    int64_t number = 0;
    if (words->page && (!text_to_integer(words->page, &number) || number < 1))
        return error_set(err, ERROR_INVALID, "--page takes a number from 1 on, not \"%s\"",
                         words->page);
    if (words->page && view.is_all)
        return error_set(err, ERROR_INVALID, "--all and --page contradict each other");
    view.page = (size_t)number;
    int r = words->only ? read_kinds(words->only, &view, err) : 0;
    if (r == 0)
        *ret_view = view;
    return r;
}

/* --- Which steps that is --- */

/* A type with or without its provider. */
static bool is_of_type(const struct step *step, const char *type)
{
    const char *colon = strchr(step->type, ':');
    return text_equal(step->type, type) || (colon && text_equal(colon + 1, type));
}

static bool is_chosen(const struct step *step, const struct plan_view *view)
{
    return (!view->has_kinds || view->kinds[step->kind]) &&
           (!view->type || is_of_type(step, view->type));
}

static void keep_page(struct plan_choice *choice, size_t page)
{
    size_t first = page <= choice->n_pages ? (page - 1) * PLAN_PAGE_STEPS : choice->n_steps;
    size_t n_left = choice->n_steps - first;
    choice->first = first + 1;
    choice->n_steps = n_left < PLAN_PAGE_STEPS ? n_left : PLAN_PAGE_STEPS;
    memmove(choice->steps, choice->steps + first, choice->n_steps * sizeof(choice->steps[0]));
}

void plan_view_choose(const struct plan *plan, const struct plan_view *view,
                      struct plan_choice *ret_choice)
{
    struct plan_choice choice = {.first = 1};
    choice.steps = NEW_ARRAY(size_t, plan->n_steps);
    for (int turn = 0; turn < STAGE_COUNT; turn++)
        for (size_t i = 0; i < plan->n_steps; i++)
            if (plan->steps[i].stage == stage_in_turn(plan, turn) &&
                is_chosen(&plan->steps[i], view))
                choice.steps[choice.n_steps++] = i;
    choice.n_chosen = choice.n_steps;
    choice.n_pages = (choice.n_steps + PLAN_PAGE_STEPS - 1) / PLAN_PAGE_STEPS;
    choice.n_pages += choice.n_pages == 0;
    choice.is_filtered = view->type || view->has_kinds;
    choice.is_summary = !view->is_all && view->page == 0 && choice.n_steps > PLAN_PAGE_STEPS;
    if (view->page > 0)
        keep_page(&choice, view->page);
    *ret_choice = choice;
}

void plan_choice_done(struct plan_choice *choice)
{
    mem_free(choice->steps);
    *choice = (struct plan_choice){0};
}

struct value *plan_view_to_value(const struct plan *plan, const struct plan_view *view)
{
    CLEANUP(value_unrefp) struct value *whole = plan_to_value(plan);
    const struct value *all = value_get(whole, "steps");
    struct plan_choice choice;
    struct value_builder steps = {0};
    struct value_builder shown = {0};
    if (!view->type && !view->has_kinds && view->page == 0)
        return value_ref(whole);
    plan_view_choose(plan, view, &choice);
    for (size_t i = 0; i < choice.n_steps; i++)
        value_builder_append(&steps, value_ref(value_at(all, choice.steps[i])));
    value_builder_set(&shown, "steps", value_integer((int64_t)choice.n_steps));
    value_builder_set(&shown, "chosen", value_integer((int64_t)choice.n_chosen));
    value_builder_set(&shown, "of", value_integer((int64_t)plan->n_steps));
    value_builder_set(&shown, "page", value_integer(view->page > 0 ? (int64_t)view->page : 1));
    value_builder_set(&shown, "pages", value_integer(view->page > 0 ? (int64_t)choice.n_pages : 1));
    plan_choice_done(&choice);
    CLEANUP(value_unrefp)
    struct value *part = value_with(whole, "steps", value_builder_list(&steps));
    return value_with(part, "shown", value_builder_map(&shown));
}

/* --- What many steps come to --- */

enum { MAX_NAMES = 3, MAX_SINGLE = 20 };

/* Steps that differ in nothing but what they are about. */
struct group {
    const struct step *first; /* borrowed */
    struct strbuf names;
    size_t n_steps;
};

/* What may not be lost in a number. */
static bool stands_alone(const struct step *step)
{
    return step->irreversible || step->reverts;
}

static void count_step(struct map *groups, const struct step *step)
{
    CLEANUP(mem_freep)
    char *key = string_format("%d %d %d %d %s", (int)step->kind, (int)step->reason,
                              step->record_only, stands_alone(step), step->type);
    struct group *group = map_get(groups, key);
    if (!group) {
        group = NEW(struct group);
        group->first = step;
        map_put(groups, key, group);
    }
    if (group->n_steps++ < (stands_alone(step) ? MAX_SINGLE : MAX_NAMES)) {
        strbuf_addf(&group->names, "%s\"%s\"", group->names.length > 0 ? ", " : "        ",
                    step->address);
        if (step->reverts) {
            strbuf_add(&group->names, "\n");
            render_reverts(step, &group->names);
        }
    }
}

static void write_group(struct group *group, struct strbuf *buffer)
{
    const struct step *step = group->first;
    size_t n_named = stands_alone(step) ? MAX_SINGLE : MAX_NAMES;
    strbuf_addf(buffer, "    %c %zu x %s", render_mark(step->kind), group->n_steps,
                *step->type ? step->type : "system");
    render_reason(step, buffer);
    strbuf_addf(buffer, "\n%s", strbuf_text(&group->names));
    if (group->n_steps > n_named)
        strbuf_addf(buffer, " and %zu more", group->n_steps - n_named);
    strbuf_add(buffer, "\n");
    if (step->record_only)
        strbuf_add(buffer, "        only the record changes, nothing outside\n");
}

void render_summary(const struct plan *plan, const struct plan_choice *choice, enum stage stage,
                    struct strbuf *buffer)
{
    struct map groups = {0};
    size_t cursor = 0;
    struct map_entry *entry;
    for (size_t i = 0; i < choice->n_steps; i++)
        if (plan->steps[choice->steps[i]].stage == stage)
            count_step(&groups, &plan->steps[choice->steps[i]]);
    while ((entry = map_next(&groups, &cursor))) {
        struct group *group = entry->value;
        write_group(group, buffer);
        strbuf_done(&group->names);
        mem_free(group);
    }
    map_done(&groups);
}
