/* Tiers: which networks there are from outside inward, read from the rules that connect them. */
#include "pattern/run.h"

#include "base/memory.h"
#include "base/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OUTSIDE = -1, ELSEWHERE = -2 };

/* A rule that leads from somewhere to a network. */
struct edge {
    int64_t from; /* actor, OUTSIDE or ELSEWHERE: an address, or what is no network */
    size_t to;    /* actor */
    size_t rule;  /* actor */
};

struct chain {
    struct run *run;
    struct value *binding;
    struct edge *edges; /* owned */
    size_t n_edges;
    size_t capacity;
    size_t *visited; /* owned: actors in the order in which they were left */
    size_t n_visited;
    size_t visited_capacity;
    bool has_outside; /* some rule lets everybody in */
    bool is_too_long;
};

/* Whether a property of an actor is as the binding's where: says. */
static bool is_as_wanted(struct scene *scene, size_t actor, const char *property,
                         struct value *wanted)
{
    const struct schema *schema = schema_field(&scene->actors[actor].type->schema, property);
    const struct value *is = value_get(scene_spec(scene, actor), property);
    if (!schema)
        return false;
    if (value_kind(wanted) == VALUE_LIST && schema->kind != SCHEMA_LIST) {
        for (size_t i = 0; i < value_count(wanted); i++)
            if (schema_equal(schema, value_at(wanted, i), is))
                return true;
        return false;
    }
    return schema_equal(schema, wanted, is);
}

static bool is_through(struct scene *scene, const struct value *along, size_t rule)
{
    const struct value *where = value_get(along, "where");
    for (size_t i = 0; where && i < value_count(where); i++)
        if (!is_as_wanted(scene, rule, value_key_at(where, i), value_at(where, i)))
            return false;
    return true;
}

/* The actor that a property names, or where else it leads. */
static int64_t source_of(struct chain *chain, const struct value *along, size_t rule)
{
    struct scene *scene = chain->run->scene;
    const char *property = value_get_text(along, "from");
    const struct value *from = value_get(scene_spec(scene, rule), property);
    const struct schema *schema = schema_field(&scene->actors[rule].type->schema, property);
    struct value *start = value_get(along, "start");
    if (!from || value_kind(from) != VALUE_STRING)
        return ELSEWHERE;
    if (schema && start && schema_equal(schema, start, from))
        return OUTSIDE;
    size_t actor = scene_find(scene, value_text(from));
    if (actor == NO_ACTOR || !run_has_type(chain->run, chain->binding, actor))
        return ELSEWHERE;
    return (int64_t)actor;
}

static void read_edges(struct chain *chain)
{
    struct scene *scene = chain->run->scene;
    const struct value *along = value_get(chain->binding, "along");
    const struct actor_list *rules = scene_list(scene, value_get_text(along, "type"));
    for (size_t i = 0; i < rules->n_items; i++) {
        size_t rule = rules->items[i];
        if (!is_through(scene, along, rule))
            continue;
        const char *to = value_get_text(scene_spec(scene, rule), value_get_text(along, "to"));
        size_t actor = to ? scene_find(scene, to) : NO_ACTOR;
        if (actor == NO_ACTOR || !run_has_type(chain->run, chain->binding, actor))
            continue;
        ARRAY_RESERVE(chain->edges, chain->n_edges, chain->capacity);
        chain->edges[chain->n_edges++] =
            (struct edge){.from = source_of(chain, along, rule), .to = actor, .rule = rule};
        chain->has_outside = chain->has_outside || chain->edges[chain->n_edges - 1].from == OUTSIDE;
    }
}

static bool is_visited(const struct chain *chain, size_t actor)
{
    for (size_t i = 0; i < chain->n_visited; i++)
        if (chain->visited[i] == actor)
            return true;
    return false;
}

static bool is_on_path(const size_t *path, size_t length, size_t actor)
{
    for (size_t i = 0; i < length; i++)
        if (path[i] == actor)
            return true;
    return false;
}

/* Goes inward depth first; a network is left after all that it leads to. path has the way here. */
static void visit(struct chain *chain, size_t actor, size_t *path, size_t length)
{
    chain->is_too_long = chain->is_too_long || length >= MAX_TIERS || chain->n_visited >= MAX_TIERS;
    if (chain->is_too_long || is_visited(chain, actor) || is_on_path(path, length, actor))
        return;
    path[length] = actor;
    for (size_t i = chain->n_edges; i-- > 0;)
        if (chain->edges[i].from == (int64_t)actor)
            visit(chain, chain->edges[i].to, path, length + 1);
    ARRAY_RESERVE(chain->visited, chain->n_visited, chain->visited_capacity);
    chain->visited[chain->n_visited++] = actor;
}

/* The networks in the order from outside inward, as rules from outside lead through them. */
static void walk(struct chain *chain)
{
    size_t path[MAX_TIERS];
    /* Backwards, since the order is turned around below. */
    for (size_t i = chain->n_edges; i-- > 0;)
        if (chain->edges[i].from == (chain->has_outside ? OUTSIDE : ELSEWHERE))
            visit(chain, chain->edges[i].to, path, 0);
    for (size_t i = 0; i < chain->n_visited / 2; i++) {
        size_t other = chain->n_visited - 1 - i;
        size_t actor = chain->visited[i];
        chain->visited[i] = chain->visited[other];
        chain->visited[other] = actor;
    }
}

/* The networks that with: names instead. */
static void take_given(struct chain *chain, const char *parameter, const struct value *names)
{
    struct run *run = chain->run;
    for (size_t i = 0; i < value_count(names); i++) {
        const struct value *name = value_at(names, i);
        size_t actor =
            value_kind(name) == VALUE_STRING ? scene_find(run->scene, value_text(name)) : NO_ACTOR;
        if (actor == NO_ACTOR || !run_has_type(run, chain->binding, actor)) {
            CLEANUP(mem_freep) char *path = string_format("%s[%zu]", parameter, i);
            diagnostics_add(
                run->scene->diagnostics, DIAGNOSTIC_PATTERN_BINDING,
                document_pattern_position(run->scene->document, run->request_index, path), NULL,
                "\"%s\" names no %s of the document.", path,
                value_get_text(chain->binding, "type"));
            continue;
        }
        if (is_visited(chain, actor))
            continue;
        chain->is_too_long = chain->is_too_long || chain->n_visited >= MAX_TIERS;
        ARRAY_RESERVE(chain->visited, chain->n_visited, chain->visited_capacity);
        chain->visited[chain->n_visited++] = actor;
    }
}

static size_t index_of(const struct chain *chain, int64_t actor)
{
    size_t i = 0;
    while (i < chain->n_visited && (int64_t)chain->visited[i] != actor)
        i++;
    return i;
}

static void add_index(size_t **items, size_t *n_items, size_t item)
{
    for (size_t i = 0; i < *n_items; i++)
        if ((*items)[i] == item)
            return;
    *items = mem_resize(*items, *n_items + 1, sizeof(item));
    (*items)[(*n_items)++] = item;
}

static void link_edge(struct run *run, const struct edge *edge, size_t from, size_t to)
{
    add_index(&run->tiers[to].entries, &run->tiers[to].n_entries, edge->rule);
    run->tiers[to].is_entered = run->tiers[to].is_entered || edge->from != ELSEWHERE;
    if (edge->from < 0)
        return;
    run->tiers[to].is_outermost = false;
    add_index(&run->tiers[from].inner, &run->tiers[from].n_inner, to);
}

/* Edges that come from elsewhere, or all others; those only where nothing else leads in. */
static void link_edges(struct chain *chain, bool is_elsewhere)
{
    struct run *run = chain->run;
    for (size_t i = 0; i < chain->n_edges; i++) {
        const struct edge *edge = &chain->edges[i];
        size_t to = index_of(chain, (int64_t)edge->to);
        size_t from = index_of(chain, edge->from);
        if (to == run->n_tiers || (edge->from >= 0 && (from == run->n_tiers || from >= to)))
            continue;
        if (is_elsewhere != (edge->from == ELSEWHERE))
            continue;
        if (!is_elsewhere || !run->tiers[to].is_entered)
            link_edge(run, edge, from, to);
    }
}

/*
 * What leads into each tier and out of it. What leads outward again is no part of the chain, and
 * what comes from single addresses only where nothing else leads in.
 */
static void link_tiers(struct chain *chain, bool is_given)
{
    struct run *run = chain->run;
    link_edges(chain, false);
    link_edges(chain, true);
    for (size_t i = 0; is_given && i + 1 < run->n_tiers; i++)
        if (run->tiers[i].n_inner == 0) {
            add_index(&run->tiers[i].inner, &run->tiers[i].n_inner, i + 1);
            run->tiers[i + 1].is_outermost = false;
        }
}

/* Calls seen() with each word of a name: the parts between "-". */
static void each_word(const char *name, void (*seen)(void *argument, const char *word),
                      void *argument)
{
    while (*name) {
        size_t length = strcspn(name, "-");
        CLEANUP(mem_freep) char *word = string_copy_n(name, length);
        if (length > 0)
            seen(argument, word);
        name += length + (name[length] != '\0');
    }
}

struct words {
    struct run *run;
    size_t tier;
    struct strbuf stem;
};

enum { SHARED = MAX_TIERS + 2 };

static void note_word(void *argument, const char *word)
{
    struct words *words = argument;
    uintptr_t owner = (uintptr_t)map_get(&words->run->words, word);
    uintptr_t mine = words->tier + 1;
    map_put(&words->run->words, word, (void *)(owner && owner != mine ? SHARED : mine));
}

static void take_own_word(void *argument, const char *word)
{
    struct words *words = argument;
    if (words->stem.length == 0 && (uintptr_t)map_get(&words->run->words, word) == words->tier + 1)
        strbuf_add(&words->stem, word);
}

static void name_tiers(struct run *run)
{
    for (size_t i = 0; i < run->n_tiers; i++) {
        struct words words = {.run = run, .tier = i};
        each_word(run->scene->actors[run->tiers[i].actor].name, note_word, &words);
    }
    for (size_t i = 0; i < run->n_tiers; i++) {
        struct words words = {.run = run, .tier = i};
        const char *name = run->scene->actors[run->tiers[i].actor].name;
        each_word(name, take_own_word, &words);
        if (words.stem.length == 0)
            strbuf_add(&words.stem, name);
        run->tiers[i].stem = strbuf_take(&words.stem);
    }
}

static void find_first_owner(void *argument, const char *word)
{
    struct words *words = argument;
    uintptr_t owner = (uintptr_t)map_get(&words->run->words, word);
    if (words->tier == MAX_TIERS && owner && owner != SHARED)
        words->tier = owner - 1;
}

const struct tier *chain_tier_of(const struct run *run, const char *name)
{
    struct words words = {.run = (struct run *)run, .tier = MAX_TIERS};
    each_word(name, find_first_owner, &words);
    return words.tier == MAX_TIERS ? NULL : &run->tiers[words.tier];
}

static void make_tiers(struct chain *chain, bool is_given)
{
    struct run *run = chain->run;
    if (chain->is_too_long) {
        run_tell(run, DIAGNOSTIC_YAML_LIMIT, NULL, "The pattern \"%s\" finds more than %d tiers.",
                 run->request->name, MAX_TIERS);
        return;
    }
    run->tiers = NEW_ARRAY(struct tier, chain->n_visited + 1);
    run->n_tiers = chain->n_visited;
    for (size_t i = 0; i < run->n_tiers; i++)
        run->tiers[i] = (struct tier){.actor = chain->visited[i], .is_outermost = true};
    link_tiers(chain, is_given);
    name_tiers(run);
    if (run->n_tiers > 0 || !value_get_bool(chain->binding, "required", false))
        return;
    const struct value *along = value_get(chain->binding, "along");
    CLEANUP(mem_freep)
    char *help = string_format("Add such a rule, or name the networks: with: {%s: [...]}.",
                               value_get_text(chain->binding, "parameter"));
    run_tell(run, DIAGNOSTIC_PATTERN_BINDING, help,
             "The pattern \"%s\" finds no tier: no %s lets anybody into a %s.", run->request->name,
             value_get_text(along, "type"), value_get_text(chain->binding, "type"));
}

void chain_find(struct run *run)
{
    if (!run->chain)
        return;
    struct chain chain = {.run = run, .binding = run_binding(run, run->chain)};
    const char *parameter = value_get_text(chain.binding, "parameter");
    const struct value *given = value_get(run->request->with, parameter);
    bool is_given = given && value_kind(given) == VALUE_LIST;
    read_edges(&chain);
    if (is_given)
        take_given(&chain, parameter, given);
    else
        walk(&chain);
    make_tiers(&chain, is_given);
    mem_free(chain.edges);
    mem_free(chain.visited);
}

void chain_done(struct run *run)
{
    for (size_t i = 0; i < run->n_tiers; i++) {
        mem_free(run->tiers[i].stem);
        mem_free(run->tiers[i].entries);
        mem_free(run->tiers[i].inner);
    }
    mem_free(run->tiers);
    map_done(&run->words);
}
