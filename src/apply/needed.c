/*
 * Which records a run loads. One of few steps needs those that they are about or refer to, however
 * many the deployment has; all others load all.
 */
#include "apply/run.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/expression.h"

#include <stdint.h>
#include <string.h>

/* Each name is looked up by itself, which is dearer than its part of all. */
enum { MAX_NAMES = 64 };

/* An address, or the name of a single or a counted resource: all instances of it are needed. */
static void add_name(struct string_list *names, const char *address)
{
    CLEANUP(mem_freep) char *name = string_copy_n(address, strcspn(address, "["));
    if (names->n_items <= MAX_NAMES && !string_list_has(names, name))
        string_list_add(names, name);
}

static void add_names(struct string_list *names, const struct string_list *addresses)
{
    for (size_t i = 0; i < addresses->n_items; i++)
        add_name(names, addresses->items[i]);
}

static int add_root(void *argument, const struct reference *reference, struct error *err)
{
    (void)err;
    add_name(argument, reference->root);
    return 0;
}

/* What is unknown in a spec is an expression that is evaluated when its step is carried out. */
static void add_references(struct string_list *names, const struct value *spec)
{
    if (!spec || !value_has_unknown(spec))
        return;
    if (value_kind(spec) == VALUE_UNKNOWN) {
        (void)expression_references(value_text(spec), add_root, names, NULL, NULL);
        return;
    }
    for (size_t i = 0; i < value_count(spec); i++)
        add_references(names, value_at(spec, i));
}

/* Whether a step asks for nothing but its own records and those it names. */
static bool is_about_few(const struct apply_context *context, const struct step *step)
{
    struct provider *provider = NULL;
    bool is_plain =
        step->kind == STEP_CREATE || step->kind == STEP_UPDATE || step->kind == STEP_DELETE;
    /* What configures an instance may be any resource. */
    if (!is_plain ||
        (context->configure && context->is_configured(context->argument, step->instance)))
        return false;
    /* Who activates what is staged is told of all that is ours. */
    return context->find_provider(context->argument, step->instance, &provider, NULL) == 0 &&
           !provider_has_commit(provider);
}

bool run_list_needed(const struct run *run, struct string_list *names)
{
    const struct plan *plan = run->plan;
    if (plan->n_steps > MAX_NAMES || (plan->outputs && value_has_unknown(plan->outputs)))
        return false;
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct step *step = &plan->steps[i];
        if (!is_about_few(run->context, step))
            return false;
        add_name(names, step->address);
        add_names(names, &step->resources);
        add_references(names, step->after);
    }
    return names->n_items <= MAX_NAMES;
}

static void move_records(struct records *from, struct records *to)
{
    for (size_t i = 0; i < from->n_items; i++)
        records_add(to, from->items[i]);
    from->n_items = 0;
    records_done(from);
}

int run_load_needed(const struct run *run, const struct string_list *names,
                    struct records *ret_records, struct error *err)
{
    struct store *store = run->context->store;
    const char *uid = run->plan->deployment_uid;
    struct records loaded = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < names->n_items; i++) {
        struct records one = {0}, counted = {0};
        r = store_find_records(store, uid, names->items[i], &one, err);
        if (r == 0)
            r = store_list_records(store, uid, names->items[i], 0, SIZE_MAX, &counted, err);
        move_records(&one, &loaded);
        move_records(&counted, &loaded);
    }
    if (r < 0)
        records_done(&loaded);
    else
        *ret_records = loaded;
    return r;
}
