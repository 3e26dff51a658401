/* A plan as people read it, in the form of the seed's step 3. */
#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "render/plan-view.h"
#include "render/render.h"

#include <string.h>

enum { MAX_VALUE_WIDTH = 160 };

static const char step_marks[] = {
    [STEP_CREATE] = '+', [STEP_UPDATE] = '~', [STEP_DELETE] = '-',
    [STEP_RENAME] = '>', [STEP_START] = '*',  [STEP_FORGET] = '<',
    [STEP_ADOPT] = '&',  [STEP_ACT] = '!',    [STEP_KEEP] = '=',
};

static const char *const summary_words[] = {
    [STEP_CREATE] = "to create", [STEP_UPDATE] = "to change", [STEP_DELETE] = "to destroy",
    [STEP_RENAME] = "to rename", [STEP_START] = "to start",   [STEP_FORGET] = "to forget",
    [STEP_ADOPT] = "to adopt",   [STEP_ACT] = "to act on",    [STEP_KEEP] = "unchanged",
};

char render_mark(enum step_kind kind)
{
    return step_marks[kind];
}

void render_duration(double seconds, struct strbuf *buffer)
{
    if (seconds < 90)
        strbuf_addf(buffer, "%.0f second%s", seconds < 1 ? 1 : seconds, seconds < 1.5 ? "" : "s");
    else
        strbuf_addf(buffer, "%.0f minutes", seconds / 60);
}

static void write_title(const struct plan *plan, struct strbuf *buffer)
{
    CLEANUP(mem_freep)
    char *title =
        string_format("%s Plan: %s%s%s", plan->is_destroy ? "Destroy" : "Deployment",
                      plan->deployment, text_equal(plan->environment, "default") ? "" : " @ ",
                      text_equal(plan->environment, "default") ? "" : plan->environment);
    strbuf_addf(buffer, "%s\n", title);
    strbuf_add_repeated(buffer, '=', strlen(title));
    strbuf_add(buffer, "\n\n");
}

static void write_summary(const struct plan *plan, struct strbuf *buffer)
{
    strbuf_add(buffer, "Summary:\n");
    for (enum step_kind kind = 0; kind < STEP_KIND_COUNT; kind++) {
        size_t n = plan->counts[kind];
        if (n > 0)
            strbuf_addf(buffer, "  %c %zu resource%s %s\n", step_marks[kind], n, n == 1 ? "" : "s",
                        summary_words[kind]);
    }
}

void render_partial(const struct value *partial, struct strbuf *buffer)
{
    const struct value *targets = value_get(partial, "targets");
    size_t n = targets ? value_count(targets) : 0;
    for (size_t i = 0; i < n; i++)
        strbuf_addf(buffer, "%s%s", i > 0 ? ", " : "", value_text(value_at(targets, i)));
    strbuf_add(buffer, n == 1 ? " and what it needs" : " and what they need");
}

/* What the plan is limited to, and what it leaves for the next one. */
static void write_partial(const struct plan *plan, struct strbuf *buffer)
{
    const struct value *left_out = value_get(plan->partial, "left_out");
    const char *separator = "";
    if (!left_out)
        return;
    strbuf_add(buffer, "\nOnly in part: ");
    render_partial(plan->partial, buffer);
    strbuf_add(buffer, ". Left out, and in the next plan: ");
    for (size_t i = 0; i < value_count(left_out); i++) {
        enum step_kind kind = step_kind_from_string(value_key_at(left_out, i));
        strbuf_addf(buffer, "%s%lld %s", separator,
                    (long long)value_to_integer(value_at(left_out, i)),
                    kind < STEP_KIND_COUNT ? summary_words[kind] : value_key_at(left_out, i));
        separator = ", ";
    }
    strbuf_add(buffer, ".\n");
}

/* How old it is what the plan goes by, where that was not looked at just now. */
static void write_knowledge(const struct plan *plan, struct strbuf *buffer)
{
    long long n_read = value_get_integer(plan->knowledge, "read", 0);
    long long n_unread = value_get_integer(plan->knowledge, "unread", 0);
    if (n_unread == 0)
        return;
    strbuf_addf(
        buffer,
        "\nNot read now: %lld of %lld resources, which stand as recorded; the oldest of that "
        "is from ",
        n_unread, n_read + n_unread);
    render_time(plan->knowledge, "oldest", buffer);
    strbuf_add(buffer, ".\n");
}

/* A value on one line, cut where it would be too long. */
static void write_value(const struct value *value, struct strbuf *buffer)
{
    if (!value) {
        strbuf_add(buffer, "(not set)");
        return;
    }
    if (value_kind(value) == VALUE_UNKNOWN) {
        strbuf_addf(buffer, "(known after apply: %s)", value_text(value));
        return;
    }
    CLEANUP(mem_freep) char *text = render_text(value);
    size_t length = strlen(text);
    if (length > MAX_VALUE_WIDTH)
        for (length = MAX_VALUE_WIDTH; (text[length] & 0xc0) == 0x80;)
            length--;
    strbuf_add_n(buffer, text, length);
    if (text[length])
        strbuf_add(buffer, " ...");
}

/* Address -> what stood there before, of what is replaced: its create shows what its other half
 * removes. */
static void note_replaced(const struct plan *plan, struct map *replaced)
{
    for (size_t i = 0; i < plan->n_steps; i++)
        if (plan->steps[i].kind == STEP_DELETE && plan->steps[i].replaces)
            map_put(replaced, plan->steps[i].address, plan->steps[i].before);
}

static struct value *find_before(const struct map *replaced, const struct step *step)
{
    return step->before || !step->replaces ? step->before : map_get(replaced, step->address);
}

/* Two values that differ in nothing that can be shown. */
static bool is_shown_alike(const struct value *a, const struct value *b)
{
    if (!a || !b || !value_has_secret(b))
        return false;
    CLEANUP(mem_freep) char *left = render_text(a);
    CLEANUP(mem_freep) char *right = render_text(b);
    return text_equal(left, right);
}

static void write_change(const struct step *step, struct value *before, const char *path,
                         struct strbuf *buffer)
{
    struct value *old = before ? value_at_path(before, path) : NULL;
    struct value *new = value_at_path(step->after, path);
    write_value(old, buffer);
    if (step->kind == STEP_ADOPT) {
        strbuf_add(buffer, " there, wanted is ");
        write_value(new, buffer);
        strbuf_add(buffer, "\n");
        return;
    }
    if (old && new &&value_equal(old, new)) {
        strbuf_add(buffer, ", another one than before\n");
        return;
    }
    strbuf_add(buffer, " -> ");
    write_value(new, buffer);
    if (is_shown_alike(old, new))
        strbuf_add(buffer, ", another text");
    strbuf_add(buffer, string_list_has(&step->defaulted, path) ? ", its default\n" : "\n");
}

static void write_changes(const struct map *replaced, const struct step *step,
                          struct strbuf *buffer)
{
    struct value *before = step->changed ? find_before(replaced, step) : NULL;
    for (size_t i = 0; step->changed && i < value_count(step->changed); i++) {
        const char *path = value_text(value_at(step->changed, i));
        strbuf_addf(buffer, "        %s: ", path);
        if (text_equal(path, "lifecycle.protect")) {
            strbuf_add(buffer, step->protect ? "false -> true\n" : "true -> false\n");
            continue;
        }
        if (text_equal(path, "dependsOn")) {
            strbuf_add(buffer, "others than before; only the order of later changes follows it\n");
            continue;
        }
        write_change(step, before, path, buffer);
    }
}

/* Where the system says beforehand that it will have something else. */
static void write_proposed(const struct step *step, struct strbuf *buffer)
{
    for (size_t i = 0; step->proposed && i < value_count(step->proposed); i++) {
        const char *path = value_key_at(step->proposed, i);
        struct value *asked = value_at_path(step->after, path);
        strbuf_addf(buffer, "        %s: ", path);
        write_value(value_at(step->proposed, i), buffer);
        if (asked) {
            strbuf_addf(buffer, " is what %s will have of ", step->instance);
            write_value(asked, buffer);
            strbuf_add(buffer, "\n");
        } else {
            strbuf_addf(buffer, ", defaulted by %s\n", step->instance);
        }
    }
}

/* What a pattern filled in, a line for each pattern. */
static void write_filled(const struct step *step, struct strbuf *buffer)
{
    struct map written = {0};
    for (size_t i = 0; step->filled && i < value_count(step->filled); i++) {
        const char *origin = value_text(value_at(step->filled, i));
        if (map_has(&written, origin))
            continue;
        map_put(&written, origin, step->filled);
        strbuf_addf(buffer, "        %s", value_key_at(step->filled, i));
        for (size_t k = i + 1; k < value_count(step->filled); k++)
            if (text_equal(value_text(value_at(step->filled, k)), origin))
                strbuf_addf(buffer, ", %s", value_key_at(step->filled, k));
        strbuf_addf(buffer, " from %s\n", origin);
    }
    map_done(&written);
}

void render_reverts(const struct step *step, struct strbuf *buffer)
{
    for (size_t i = 0; step->reverts && i < value_count(step->reverts); i++) {
        const struct value *revert = value_at(step->reverts, i);
        const char *who = value_get_text(revert, "who");
        const char *words = value_get_text(revert, "words");
        char time[WORLD_TIME_SIZE];
        world_format_time(value_get_integer(revert, "when", 0), time);
        strbuf_addf(buffer, "        undoes revision %lld of %s, %s: %s\n",
                    (long long)value_get_integer(revert, "revision", 0), who ? who : "-", time,
                    words ? words : "-");
    }
}

void render_reason(const struct step *step, struct strbuf *buffer)
{
    if (step->reason != STEP_REASON_NEW)
        strbuf_addf(buffer, "  (%s)", step_reason_sentence(step->reason));
    if (step->irreversible)
        strbuf_add(buffer, "  cannot be undone: its data goes with it");
}

static void write_step(const struct map *replaced, const struct step *step, struct strbuf *buffer)
{
    strbuf_addf(buffer, "    %c %s%s\"%s\"", step_marks[step->kind], step->type,
                *step->type ? " " : "", step->address);
    if (step->kind == STEP_RENAME)
        strbuf_addf(buffer, ", until now \"%s\"", step->former);
    if (step->kind == STEP_ADOPT)
        strbuf_addf(buffer, ", %s on %s", step->provider_id, step->instance);
    if (step->kind == STEP_ACT)
        strbuf_addf(buffer, ": %s %s", value_get_text(step->after, "action"),
                    value_get_text(step->after, "member"));
    render_reason(step, buffer);
    strbuf_add(buffer, "\n");
    for (size_t i = 0; step->kind == STEP_ACT && i < value_count(step->before); i++)
        strbuf_addf(buffer, "        %s: %s\n", value_key_at(step->before, i),
                    value_text(value_at(step->before, i)));
    if (step->origin && !text_equal(step->origin, "document"))
        strbuf_addf(buffer, "        from %s\n", step->origin);
    write_filled(step, buffer);
    render_reverts(step, buffer);
    if (step->note)
        strbuf_addf(buffer, "        %s\n", step->note);
    if (step->record_only)
        strbuf_add(buffer, "        only the record changes, nothing outside\n");
    write_changes(replaced, step, buffer);
    write_proposed(step, buffer);
}

enum stage stage_in_turn(const struct plan *plan, int turn)
{
    return (enum stage)(plan->is_destroy ? STAGE_COUNT - 1 - turn : turn);
}

static void write_stage(const struct plan *plan, const struct plan_choice *choice, enum stage stage,
                        const struct map *replaced, struct strbuf *buffer)
{
    if (choice->is_summary) {
        render_summary(plan, choice, stage, buffer);
        return;
    }
    for (size_t i = 0; i < choice->n_steps; i++)
        if (plan->steps[choice->steps[i]].stage == stage)
            write_step(replaced, &plan->steps[choice->steps[i]], buffer);
}

/* Stages have the numbers that they have in the whole plan. */
static void write_stages(const struct plan *plan, const struct plan_choice *choice,
                         struct strbuf *buffer)
{
    size_t n_steps[STAGE_COUNT] = {0};
    size_t n_shown[STAGE_COUNT] = {0};
    struct map replaced = {0};
    int number = 0;
    for (size_t i = 0; i < plan->n_steps; i++)
        n_steps[plan->steps[i].stage]++;
    for (size_t i = 0; i < choice->n_steps; i++)
        n_shown[plan->steps[choice->steps[i]].stage]++;
    note_replaced(plan, &replaced);
    strbuf_add(buffer, "\nExecution Order:");
    for (int turn = 0; turn < STAGE_COUNT; turn++) {
        enum stage stage = stage_in_turn(plan, turn);
        number += n_steps[stage] > 0;
        if (n_shown[stage] == 0)
            continue;
        strbuf_addf(buffer, "\n  Stage %d (%s):\n", number, stage_title(stage));
        write_stage(plan, choice, stage, &replaced, buffer);
    }
    if (choice->n_steps == 0)
        strbuf_add(buffer, " none of these steps\n");
    map_done(&replaced);
}

/* Which part of the plan that was, where it is not all of it. */
static void write_part(const struct plan *plan, const struct plan_view *view,
                       const struct plan_choice *choice, struct strbuf *buffer)
{
    if (choice->is_summary)
        strbuf_addf(
            buffer,
            "\nThese are %zu steps: --all shows each of them, --page N %d at a time (of %zu "
            "pages), --type TYPE and --only KIND,... some of them.\n",
            choice->n_chosen, PLAN_PAGE_STEPS, choice->n_pages);
    else if (view->page > 0)
        strbuf_addf(buffer, "\nShown: %zu of %zu steps, from number %zu on (page %zu of %zu).\n",
                    choice->n_steps, choice->n_chosen, choice->first, view->page, choice->n_pages);
    if (choice->is_filtered)
        strbuf_addf(buffer, "\nShown: %zu of the plan's %zu steps, as was asked for.\n",
                    choice->n_chosen, plan->n_steps);
}

/* What the deployment will answer, where that is not what it answers now. */
static void write_outputs(const struct plan *plan, struct strbuf *buffer)
{
    strbuf_add(buffer, "\nOutputs afterwards:\n");
    for (size_t i = 0; plan->outputs && i < value_count(plan->outputs); i++) {
        strbuf_addf(buffer, "    %s: ", value_key_at(plan->outputs, i));
        write_value(value_at(plan->outputs, i), buffer);
        strbuf_add(buffer, "\n");
    }
    if (!plan->outputs || value_count(plan->outputs) == 0)
        strbuf_add(buffer, "    none\n");
}

/* What somebody else staged and this plan would put into force: approving the plan approves it. */
static void write_pending(const struct plan *plan, struct strbuf *buffer)
{
    for (size_t i = 0; i < value_count(plan->pending); i++) {
        const struct value *foreign = value_at(plan->pending, i);
        strbuf_addf(buffer, "\nAlso activated on %s, staged by others:\n",
                    value_key_at(plan->pending, i));
        for (size_t k = 0; k < value_count(foreign); k++)
            strbuf_addf(buffer, "  ! %s\n", value_text(value_at(foreign, k)));
    }
}

static void write_notes(const struct plan *plan, struct strbuf *buffer)
{
    if (plan->notes.n_items == 0)
        return;
    strbuf_add(buffer, "\nNotes:\n");
    for (size_t i = 0; i < plan->notes.n_items; i++) {
        strbuf_addf(buffer, "  - %s\n", plan->notes.items[i].detail);
        if (plan->notes.items[i].help)
            strbuf_addf(buffer, "    %s\n", plan->notes.items[i].help);
    }
}

void render_plan(const struct plan *plan, const struct plan_view *view, struct strbuf *buffer)
{
    struct plan_choice choice;
    write_title(plan, buffer);
    write_summary(plan, buffer);
    write_partial(plan, buffer);
    write_knowledge(plan, buffer);
    if (plan->n_steps == 0 && !plan->changes_outputs && !plan->is_destroy) {
        strbuf_addf(buffer, "\nNo changes: %s as the document says.\n",
                    plan->partial ? "that is" : "everything is");
        write_notes(plan, buffer);
        return;
    }
    if (plan->n_steps == 0 && plan->is_destroy)
        strbuf_add(buffer,
                   "\nNo resources are left: what the store keeps for the deployment goes.\n");
    plan_view_choose(plan, view, &choice);
    if (plan->n_steps > 0)
        write_stages(plan, &choice, buffer);
    write_part(plan, view, &choice, buffer);
    plan_choice_done(&choice);
    if (plan->changes_outputs)
        write_outputs(plan, buffer);
    write_pending(plan, buffer);
    strbuf_add(buffer, "\nEstimated Duration: ");
    render_duration(plan_critical_seconds(plan), buffer);
    strbuf_add(buffer, " (a guess of the catalog)\n");
    write_notes(plan, buffer);
    strbuf_addf(buffer, "\nPlan hash: %s\n", plan->hash);
}

/* Quotes for graphviz. */
static void write_dot_name(const char *name, struct strbuf *buffer)
{
    strbuf_add_char(buffer, '"');
    for (; *name; name++) {
        if (*name == '"' || *name == '\\')
            strbuf_add_char(buffer, '\\');
        strbuf_add_char(buffer, *name);
    }
    strbuf_add_char(buffer, '"');
}

static void render_node(const char *id, const struct string_list *depends_on, struct strbuf *buffer)
{
    strbuf_add(buffer, "  ");
    write_dot_name(id, buffer);
    strbuf_add(buffer, ";\n");
    for (size_t i = 0; i < depends_on->n_items; i++) {
        strbuf_add(buffer, "  ");
        write_dot_name(depends_on->items[i], buffer);
        strbuf_add(buffer, " -> ");
        write_dot_name(id, buffer);
        strbuf_add(buffer, ";\n");
    }
}

void render_graph(const struct plan *plan, struct strbuf *buffer)
{
    strbuf_add(buffer, "digraph plan {\n  rankdir = LR;\n  node [shape = box];\n");
    for (size_t i = 0; i < plan->n_steps; i++)
        render_node(plan->steps[i].id, &plan->steps[i].depends_on, buffer);
    for (size_t i = 0; i < plan->n_groups; i++)
        render_node(plan->groups[i].id, &plan->groups[i].depends_on, buffer);
    strbuf_add(buffer, "}\n");
}
