/* Resources and properties that a pattern adds: conditions, expressions, and what fills what. */
#include "pattern/run.h"

#include "base/memory.h"
#include "base/text.h"
#include "model/expression.h"

#include <assert.h>
#include <string.h>

/* One evaluation. */
struct scope {
    struct run *run;
    const struct tier *tier;
    bool is_plain; /* texts are to be compared, not written into the document */
    char *missing; /* owned: the part that was not there; NULL: all were */
};

/* Texts as a document has them, at any depth: what looks like an expression in them is none. */
static struct value *escape(struct value *value)
{
    struct value_builder items = {0};
    bool is_map = value_kind(value) == VALUE_MAP;
    switch (value_kind(value)) {
    case VALUE_STRING: {
        CLEANUP(mem_freep) char *text = expression_escape(value_text(value));
        return value_string(text);
    }
    case VALUE_LIST:
    case VALUE_SET:
    case VALUE_MAP:
        for (size_t i = 0; i < value_count(value); i++) {
            struct value *item = escape(value_at(value, i));
            if (is_map)
                value_builder_set(&items, value_key_at(value, i), item);
            else
                value_builder_append(&items, item);
        }
        return is_map ? value_builder_map(&items) : value_builder_list(&items);
    default:
        return value_ref(value);
    }
}

/* What a tier says of itself beside its properties; a new reference, or NULL. */
static struct value *tier_attribute(const struct tier *tier, const char *path)
{
    if (text_equal(path, "stem"))
        return value_string(tier->stem);
    if (text_equal(path, "outermost") && tier->is_outermost)
        return value_bool(true);
    return NULL;
}

/* The property of a part, its name, or true for the part itself; NULL when it is not there. */
static struct value *part_attribute(struct run *run, const struct tier *tier, const char *root,
                                    const char *path)
{
    CLEANUP(part_done) struct part part = {.actor = NO_ACTOR};
    if (!part_find(run, tier, root, &part))
        return NULL;
    if (!*path)
        return value_bool(true);
    if (text_equal(path, "name"))
        return value_string(part_name(run, &part));
    struct value *value = value_get(part.chosen, path);
    if (!value)
        value = value_at_path(part_spec(run, &part), path);
    return value && !value_is_null(value) ? value_ref(value) : NULL;
}

static struct value *listed_patterns(const struct run *run)
{
    struct value_builder names = {0};
    for (size_t i = 0; i < document_pattern_count(run->scene->document); i++)
        value_builder_append(&names,
                             value_string(document_pattern_at(run->scene->document, i)->name));
    return value_builder_list(&names);
}

/* What "root.path" leads to; NULL when it is not there. The caller unrefs it. */
static struct value *attribute(struct run *run, const struct tier *tier, const char *root,
                               const char *path)
{
    if (text_equal(root, "patterns"))
        return listed_patterns(run);
    if (text_equal(root, "parameter")) {
        struct value *value = run_parameter(run, path);
        return value ? value_ref(value) : NULL;
    }
    struct value *binding = run_binding(run, root);
    assert(binding);
    if (value_get(binding, "free"))
        return vacant_find(run->scene, value_get_text(binding, "type"), path);
    if (tier && run->chain && text_equal(root, run->chain)) {
        struct value *value = tier_attribute(tier, path);
        if (value || text_equal(path, "outermost"))
            return value;
    }
    return part_attribute(run, tier, root, path);
}

static int look_up(void *argument, const struct reference *reference, struct value **ret_value,
                   struct error *err)
{
    struct scope *scope = argument;
    (void)err;
    CLEANUP(value_unrefp)
    struct value *value = attribute(scope->run, scope->tier, reference->root, reference->path);
    if (!value && !scope->missing)
        scope->missing = string_copy(reference->root);
    if (value)
        *ret_value = scope->is_plain ? take_ptr(value) : escape(value);
    return 0;
}

static struct value *evaluate(struct scope *scope, struct value *value);

static bool has_item(const struct value_builder *items, const struct value *item)
{
    for (size_t i = 0; i < items->n_items; i++)
        if (value_equal(items->items[i], item))
            return true;
    return false;
}

/* The items that are there, each once; without any, the list is not there. */
static struct value *evaluate_list(struct scope *scope, const struct value *list)
{
    struct value_builder items = {0};
    for (size_t i = 0; i < value_count(list); i++) {
        struct value *item = evaluate(scope, value_at(list, i));
        if (item && !has_item(&items, item))
            value_builder_append(&items, item);
        else
            value_unref(item);
    }
    return items.n_items > 0 || value_count(list) == 0 ? value_builder_list(&items) : NULL;
}

static struct value *evaluate_map(struct scope *scope, const struct value *map)
{
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(map); i++) {
        struct value *field = evaluate(scope, value_at(map, i));
        if (field)
            value_builder_set(&fields, value_key_at(map, i), field);
    }
    return value_builder_map(&fields);
}

static struct value *evaluate_text(struct scope *scope, struct value *text)
{
    struct value *result = NULL;
    struct error err = {0};
    CLEANUP(mem_freep) char *missing_before = take_ptr(scope->missing);
    int r = expression_evaluate(value_text(text), look_up, scope, &result, NULL, &err);
    /* Pattern files are part of the program, and a test evaluates all of them. */
    assert(r == 0);
    (void)r;
    error_done(&err);
    if (scope->missing)
        value_unref(take_ptr(result));
    else
        scope->missing = take_ptr(missing_before);
    return result;
}

static struct value *evaluate(struct scope *scope, struct value *value)
{
    switch (value_kind(value)) {
    case VALUE_STRING:
        return evaluate_text(scope, value);
    case VALUE_LIST:
        return evaluate_list(scope, value);
    case VALUE_MAP:
        return evaluate_map(scope, value);
    default:
        return value_ref(value);
    }
}

struct value *template_evaluate(struct run *run, const struct tier *tier, struct value *value,
                                char **missing)
{
    struct scope scope = {.run = run, .tier = tier};
    struct value *result = evaluate(&scope, value);
    if (missing)
        *missing = take_ptr(scope.missing);
    mem_free(scope.missing);
    return result;
}

struct value *template_evaluate_plain(struct run *run, const struct tier *tier, struct value *value)
{
    struct scope scope = {.run = run, .tier = tier, .is_plain = true};
    struct value *result = evaluate(&scope, value);
    mem_free(scope.missing);
    return result;
}

/* --- Conditions --- */

/* What a path such as "service.replicas" leads to; NULL when it is not there. */
static struct value *at_path(struct run *run, const struct tier *tier, const char *path)
{
    size_t length = strcspn(path, ".");
    CLEANUP(mem_freep) char *root = string_copy_n(path, length);
    return attribute(run, tier, root, path[length] ? path + length + 1 : "");
}

static bool is_or_has(const struct value *value, const struct value *wanted)
{
    if (value_equal(value, wanted))
        return true;
    bool is_list = value_kind(value) == VALUE_LIST || value_kind(value) == VALUE_SET;
    for (size_t i = 0; is_list && i < value_count(value); i++)
        if (value_equal(value_at(value, i), wanted))
            return true;
    return false;
}

/* A path that must lead somewhere, or a map of paths that must all lead to these values. */
static bool holds(struct run *run, const struct tier *tier, const struct value *condition)
{
    if (value_kind(condition) == VALUE_STRING) {
        CLEANUP(value_unrefp) struct value *value = at_path(run, tier, value_text(condition));
        return value != NULL;
    }
    for (size_t i = 0; i < value_count(condition); i++) {
        CLEANUP(value_unrefp)
        struct value *value = at_path(run, tier, value_key_at(condition, i));
        CLEANUP(value_unrefp)
        struct value *wanted = template_evaluate_plain(run, tier, value_at(condition, i));
        if (!value || !wanted || !is_or_has(value, wanted))
            return false;
    }
    return true;
}

static bool is_wanted(struct run *run, const struct tier *tier, const struct value *entry)
{
    const struct value *when = value_get(entry, "when");
    const struct value *unless = value_get(entry, "unless");
    for (size_t i = 0; when && i < value_count(when); i++)
        if (!holds(run, tier, value_at(when, i)))
            return false;
    for (size_t i = 0; unless && i < value_count(unless); i++)
        if (holds(run, tier, value_at(unless, i)))
            return false;
    return true;
}

/* --- Adding and filling --- */

/* Tells that a property which must have a value finds none. */
static void tell_missing(struct run *run, const struct tier *tier, const char *missing,
                         const char *name, const char *property)
{
    struct strbuf help = {0};
    const struct value *types = value_get(run_binding(run, missing), "type");
    const char *tier_name = tier ? run->scene->actors[tier->actor].name : "the deployment";
    if (types) {
        strbuf_add(&help, "Add an ");
        bool is_list = value_kind(types) == VALUE_LIST;
        for (size_t i = 0; i < (is_list ? value_count(types) : 1); i++)
            strbuf_addf(&help, "%s%s", i > 0 ? " or " : "",
                        value_text(is_list ? value_at(types, i) : types));
        strbuf_addf(&help, " that refers to \"%s\" or shares a word with its name", tier_name);
    } else {
        strbuf_addf(&help, "Add a rule with a port that leads into \"%s\"", tier_name);
    }
    strbuf_addf(&help, ", or set \"%s\" itself.", property);
    run_tell(run, DIAGNOSTIC_PATTERN_BINDING, strbuf_text(&help),
             "The pattern \"%s\" finds nothing that plays the part \"%s\" of %s, which \"%s\" of "
             "\"%s\" needs.",
             run->request->name, missing, tier_name, property, name);
    strbuf_done(&help);
}

static bool is_needed(const struct value *entry, const char *property)
{
    const struct value *needs = value_get(entry, "needs");
    for (size_t i = 0; needs && i < value_count(needs); i++)
        if (text_equal(value_text(value_at(needs, i)), property))
            return true;
    return false;
}

/*
 * The value of one property for a resource or item of this name; NULL: it is left out. What is
 * needed and not there is told, and *ret_lacks (may be NULL) set.
 */
static struct value *property_value(struct run *run, const struct tier *tier,
                                    const struct value *entry, size_t index, const char *name,
                                    bool *ret_lacks)
{
    const struct value *properties = value_get(entry, "properties");
    const char *property = value_key_at(properties, index);
    CLEANUP(mem_freep) char *missing = NULL;
    struct value *value = template_evaluate(run, tier, value_at(properties, index), &missing);
    if (value || !missing || !is_needed(entry, property))
        return value;
    if (!run_has_asked(run, tier, missing))
        tell_missing(run, tier, missing, name, property);
    if (ret_lacks)
        *ret_lacks = true;
    return NULL;
}

static void fill(struct run *run, const struct tier *tier, const struct value *entry,
                 const struct part *part)
{
    struct actor *actor = &run->scene->actors[part->actor];
    const struct value *properties = value_get(entry, "properties");
    struct value_builder values = {0};
    CLEANUP(mem_freep) char *name = string_copy(part_name(run, part));
    CLEANUP(mem_freep)
    char *prefix = part->key ? string_format("%s.%s.", part->item, part->key) : string_copy("");
    if (declaration_is_existing(actor->declaration))
        return;
    for (size_t i = 0; properties && i < value_count(properties); i++) {
        if (value_get(part_given(run, part), value_key_at(properties, i)))
            continue;
        struct value *value = property_value(run, tier, entry, i, name, NULL);
        if (value)
            value_builder_set(&values, value_key_at(properties, i), value);
    }
    CLEANUP(value_unrefp) struct value *filled = value_builder_map(&values);
    for (size_t i = 0; i < value_count(filled); i++) {
        CLEANUP(mem_freep) char *path = string_format("%s%s", prefix, value_key_at(filled, i));
        document_fill(run->scene->document, actor->declaration, path, value_at(filled, i),
                      run->request->position, run->origin);
    }
    if (value_count(filled) > 0) {
        part_forget(run);
        scene_forget(run->scene, part->actor);
    }
}

/* Puts what was added in front of the first resource of a type; NULL leaves it at the end. */
static void move_before(struct run *run, struct declaration *declaration, const char *type)
{
    const struct resource_type *before = type ? catalog_find(run->scene->catalog, type) : NULL;
    struct document *document = run->scene->document;
    for (size_t i = 0; before && i < document_count(document); i++) {
        const struct declaration *other = document_at(document, i);
        if (catalog_find(run->scene->catalog, declaration_type(other)) == before) {
            document_move_before(document, declaration, other);
            return;
        }
    }
}

static void add(struct run *run, const struct tier *tier, const struct value *entry,
                const char *name)
{
    const struct value *properties = value_get(entry, "properties");
    struct value_builder values = {0};
    struct value_builder form = {0};
    bool lacks = false;
    for (size_t i = 0; properties && i < value_count(properties); i++) {
        struct value *value = property_value(run, tier, entry, i, name, &lacks);
        if (value)
            value_builder_set(&values, value_key_at(properties, i), value);
    }
    value_builder_set_string(&form, "type", value_get_text(entry, "type"));
    value_builder_set_string(&form, "name", name);
    value_builder_set(&form, "properties", value_builder_map(&values));
    CLEANUP(value_unrefp) struct value *map = value_builder_map(&form);
    if (lacks)
        return;
    struct declaration *declaration = document_add(
        run->scene->document, map, run->request->position, run->origin, run->scene->diagnostics);
    part_forget(run);
    if (!declaration)
        return;
    move_before(run, declaration, value_get_text(entry, "before"));
    scene_add(run->scene, declaration);
}

/* The name that an entry gives, for what it adds; NULL when it only fills or a part is missing. */
static char *entry_name(struct run *run, const struct tier *tier, const struct value *entry)
{
    struct value *text = value_get(entry, "name");
    CLEANUP(value_unrefp)
    struct value *name = text ? template_evaluate_plain(run, tier, text) : NULL;
    return name && value_kind(name) == VALUE_STRING ? string_copy(value_text(name)) : NULL;
}

void template_apply(struct run *run, const struct tier *tier, struct value *entry)
{
    const char *as = value_get_text(entry, "as");
    const char *type = value_get_text(entry, "type");
    CLEANUP(part_done) struct part part = {.actor = NO_ACTOR};
    if (!is_wanted(run, tier, entry))
        return;
    if (as && part_find(run, tier, as, &part)) {
        fill(run, tier, entry, &part);
        return;
    }
    CLEANUP(mem_freep) char *name = entry_name(run, tier, entry);
    if (!name)
        return;
    part.actor = scene_find(run->scene, name);
    if (part.actor == NO_ACTOR) {
        add(run, tier, entry, name);
    } else if (scene_is_of_type(run->scene, part.actor, type)) {
        fill(run, tier, entry, &part);
    } else {
        run_tell(run, DIAGNOSTIC_DUPLICATE_NAME, "Rename the one in the document.",
                 "The pattern \"%s\" adds a %s named \"%s\", but the document has a %s of that "
                 "name.",
                 run->request->name, type, name, run->scene->actors[part.actor].type->name);
    }
}
