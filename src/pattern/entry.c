/* Entries: the rules that lead into a tier, and the one value of theirs that is meant. */
#include "pattern/run.h"

#include "base/memory.h"
#include "base/text.h"

/* A value of a rule's property, such as one of its ports. */
struct choice {
    size_t rule;         /* actor */
    struct value *value; /* borrowed from it */
};
struct choices {
    struct choice *items; /* owned */
    size_t n_items;
    size_t capacity;
};

static void choices_done(struct choices *choices)
{
    mem_free(choices->items);
}

static void add_choice(struct choices *choices, size_t rule, struct value *value)
{
    for (size_t i = 0; i < choices->n_items; i++)
        if (value_equal(choices->items[i].value, value))
            return;
    ARRAY_RESERVE(choices->items, choices->n_items, choices->capacity);
    choices->items[choices->n_items++] = (struct choice){.rule = rule, .value = value};
}

static void find_choices(struct run *run, const struct tier *tier, const char *only,
                         const char *property, struct choices *choices)
{
    for (size_t i = 0; i < tier->n_entries; i++) {
        size_t rule = tier->entries[i];
        struct value *value = value_get(scene_spec(run->scene, rule), property);
        if (!value || (only && !text_equal(only, run->scene->actors[rule].name)))
            continue;
        bool is_list = value_kind(value) == VALUE_LIST || value_kind(value) == VALUE_SET;
        for (size_t k = 0; k < (is_list ? value_count(value) : 1); k++)
            add_choice(choices, rule, is_list ? value_at(value, k) : value);
    }
}

/* The only choice, else the first that is preferred; NULL when that does not decide. */
static const struct choice *choose(const struct choices *choices, const struct value *preferred)
{
    if (choices->n_items == 1)
        return &choices->items[0];
    for (size_t i = 0; i < value_count(preferred); i++)
        for (size_t k = 0; k < choices->n_items; k++)
            if (value_equal(choices->items[k].value, value_at(preferred, i)))
                return &choices->items[k];
    return NULL;
}

static void tell_choices(struct run *run, const struct tier *tier, const char *name,
                         const char *property, const struct choices *choices)
{
    struct strbuf list = {0};
    const struct scene *scene = run->scene;
    for (size_t i = 0; i < choices->n_items; i++) {
        CLEANUP(value_unrefp) struct value *text = value_ref(choices->items[i].value);
        strbuf_add(&list, i > 0 ? ", " : "");
        if (value_kind(text) == VALUE_INTEGER)
            strbuf_addf(&list, "%lld", (long long)value_to_integer(text));
        else
            strbuf_add(&list, value_text(text));
        strbuf_addf(&list, " (\"%s\")", scene->actors[choices->items[i].rule].name);
    }
    CLEANUP(mem_freep)
    char *help =
        string_format("Say which rule: with: {%s: {%s: %s}}.", name,
                      scene->actors[tier->actor].name, scene->actors[choices->items[0].rule].name);
    CLEANUP(mem_freep)
    char *detail = string_format(
        "The pattern \"%s\" cannot tell by which %s \"%s\" is entered: %s.", run->request->name,
        property, scene->actors[tier->actor].name, strbuf_text(&list));
    run_ask(run, tier, name, help, detail);
    strbuf_done(&list);
}

bool entry_find(struct run *run, const struct tier *tier, const char *name,
                const struct value *choose_from, struct part *ret_part)
{
    const char *property = value_key_at(choose_from, 0);
    const char *given = part_given_name(run, tier, name);
    CLEANUP(choices_done) struct choices choices = {0};
    find_choices(run, tier, given, property, &choices);
    const struct choice *choice = choose(&choices, value_at(choose_from, 0));
    if (choice) {
        struct value_builder chosen = {0};
        value_builder_set(&chosen, property, value_ref(choice->value));
        *ret_part = (struct part){.actor = choice->rule, .chosen = value_builder_map(&chosen)};
    } else if (choices.n_items > 0) {
        tell_choices(run, tier, name, property, &choices);
    }
    return choice != NULL;
}
