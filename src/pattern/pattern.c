#include "pattern/pattern.h"

#include "base/embedded.h"
#include "base/memory.h"
#include "base/text.h"
#include "model/yaml.h"
#include "pattern/run.h"

#include <assert.h>
#include <string.h>

extern const struct embedded_file pattern_files[];

/* All pattern files as maps. */
struct library {
    struct value **patterns; /* owned */
    size_t n_patterns;
};

static void library_read(struct library *library)
{
    size_t n = 0;
    while (pattern_files[n].name)
        n++;
    *library = (struct library){.patterns = NEW_ARRAY(struct value *, n + 1), .n_patterns = n};
    for (size_t i = 0; i < n; i++) {
        struct diagnostics diagnostics = {0};
        CLEANUP(yaml_tree_freep) struct yaml_tree *tree = NULL;
        yaml_read(pattern_files[i].name, pattern_files[i].content, pattern_files[i].size,
                  &yaml_default_limits, &tree, &diagnostics);
        /* They are part of the program, and a test reads all of them. */
        assert(tree && diagnostics.n_items == 0);
        library->patterns[i] = yaml_to_value(yaml_root(tree));
        diagnostics_done(&diagnostics);
    }
}

static void library_done(struct library *library)
{
    for (size_t i = 0; i < library->n_patterns; i++)
        value_unref(library->patterns[i]);
    mem_free(library->patterns);
}

static struct value *library_find(const struct library *library, const char *name)
{
    for (size_t i = 0; i < library->n_patterns; i++)
        if (text_equal(value_get_text(library->patterns[i], "pattern"), name))
            return library->patterns[i];
    return NULL;
}

struct value *pattern_list(void)
{
    struct library library;
    struct value_builder patterns = {0};
    library_read(&library);
    for (size_t i = 0; i < library.n_patterns; i++)
        value_builder_append(&patterns, value_ref(library.patterns[i]));
    library_done(&library);
    return value_builder_list(&patterns);
}

/* --- What a run knows about its pattern --- */

struct value *run_binding(const struct run *run, const char *name)
{
    return value_get(value_get(run->pattern, "bindings"), name);
}

struct value *run_parameter(const struct run *run, const char *name)
{
    struct value *parameter = value_get(value_get(run->pattern, "parameters"), name);
    struct value *given = parameter ? value_get(run->request->with, name) : NULL;
    return given ? given : value_get(parameter, "default");
}

bool run_has_type(const struct run *run, const struct value *binding, size_t actor)
{
    const struct value *types = value_get(binding, "type");
    if (value_kind(types) == VALUE_STRING)
        return scene_is_of_type(run->scene, actor, value_text(types));
    for (size_t i = 0; i < value_count(types); i++)
        if (scene_is_of_type(run->scene, actor, value_text(value_at(types, i))))
            return true;
    return false;
}

void run_tell(struct run *run, enum diagnostic_code code, const char *help, const char *format, ...)
{
    struct strbuf detail = {0};
    va_list arguments;
    va_start(arguments, format);
    strbuf_addv(&detail, format, arguments);
    va_end(arguments);
    if (!map_has(&run->told, strbuf_text(&detail))) {
        map_put(&run->told, strbuf_text(&detail), run);
        diagnostics_add(run->scene->diagnostics, code, run->request->position, help, "%s",
                        strbuf_text(&detail));
    }
    strbuf_done(&detail);
}

/* What names a part of a tier in maps. */
static char *part_key(const struct run *run, const struct tier *tier, const char *name)
{
    return string_format("%s@%lld", name, tier ? (long long)(tier - run->tiers) : -1);
}

void run_ask(struct run *run, const struct tier *tier, const char *name, const char *help,
             const char *detail)
{
    CLEANUP(mem_freep) char *key = part_key(run, tier, name);
    map_put(&run->told, key, run);
    run_tell(run, DIAGNOSTIC_PATTERN_BINDING, help, "%s", detail);
}

bool run_has_asked(const struct run *run, const struct tier *tier, const char *name)
{
    CLEANUP(mem_freep) char *key = part_key(run, tier, name);
    return map_has(&run->told, key);
}

/* --- with: --- */

/* What with: may name: parameters, and the bindings' parts. */
static struct value *known_parameters(const struct run *run)
{
    const struct value *parameters = value_get(run->pattern, "parameters");
    const struct value *bindings = value_get(run->pattern, "bindings");
    struct value_builder names = {0};
    for (size_t i = 0; i < value_count(parameters); i++)
        value_builder_append(&names, value_string(value_key_at(parameters, i)));
    for (size_t i = 0; i < value_count(bindings); i++) {
        const struct value *binding = value_at(bindings, i);
        const char *parameter = value_get_text(binding, "parameter");
        if (!value_get(binding, "free"))
            value_builder_append(&names,
                                 value_string(parameter ? parameter : value_key_at(bindings, i)));
    }
    return value_builder_list(&names);
}

static struct position with_position(const struct run *run, const char *path)
{
    return document_pattern_position(run->scene->document, run->request_index, path);
}

static void tell_unknown_parameter(struct run *run, const char *name, const struct value *known)
{
    const char **names = NEW_ARRAY(const char *, value_count(known) + 1);
    struct strbuf help = {0};
    for (size_t i = 0; i < value_count(known); i++)
        names[i] = value_text(value_at(known, i));
    const char *nearest = text_nearest(name, names, value_count(known));
    if (nearest)
        strbuf_addf(&help, "Did you mean \"%s\"?", nearest);
    for (size_t i = 0; !nearest && i < value_count(known); i++)
        strbuf_addf(&help, "%s%s%s", i == 0 ? "It has " : ", ", names[i],
                    i + 1 == value_count(known) ? "." : "");
    diagnostics_add(run->scene->diagnostics, DIAGNOSTIC_UNKNOWN_KEY, with_position(run, name),
                    strbuf_text(&help), "The pattern \"%s\" has no parameter \"%s\".",
                    run->request->name, name);
    mem_free(names);
    strbuf_done(&help);
}

/* What with: must hold for a name: what the default is, a list for the chain, names for parts. */
static bool is_fit(const struct run *run, const char *name, const struct value *value)
{
    const struct value *fallback =
        value_get(value_get(value_get(run->pattern, "parameters"), name), "default");
    const struct value *binding = run_binding(run, name);
    enum value_kind kind = value_kind(value);
    if (kind == VALUE_UNKNOWN)
        return false;
    if (fallback)
        return kind == value_kind(fallback);
    if (!binding)
        return kind == VALUE_LIST;
    return kind ==
           (value_get(binding, "of") || value_get(binding, "inner") ? VALUE_MAP : VALUE_STRING);
}

static void check_with(struct run *run)
{
    CLEANUP(value_unrefp) struct value *known = known_parameters(run);
    const struct value *with = run->request->with;
    for (size_t i = 0; with && value_kind(with) == VALUE_MAP && i < value_count(with); i++) {
        const char *name = value_key_at(with, i);
        bool is_known = false;
        for (size_t k = 0; k < value_count(known); k++)
            is_known = is_known || text_equal(value_text(value_at(known, k)), name);
        if (!is_known)
            tell_unknown_parameter(run, name, known);
        else if (!is_fit(run, name, value_at(with, i)))
            diagnostics_add(run->scene->diagnostics, DIAGNOSTIC_WRONG_KIND,
                            with_position(run, name), "See docs/patterns.md for what it may be.",
                            "The parameter \"%s\" of the pattern \"%s\" cannot be a value of kind "
                            "%s.",
                            name, run->request->name,
                            value_kind_to_string(value_kind(value_at(with, i))));
    }
}

/* --- Running --- */

static void run_init(struct run *run, struct scene *scene, size_t request_index,
                     struct value *pattern)
{
    const struct value *bindings = value_get(pattern, "bindings");
    *run = (struct run){.scene = scene,
                        .request = document_pattern_at(scene->document, request_index),
                        .request_index = request_index,
                        .pattern = pattern};
    run->origin = string_format("pattern %s", run->request->name);
    for (size_t i = 0; i < value_count(bindings); i++)
        if (value_get(value_at(bindings, i), "along"))
            run->chain = value_key_at(bindings, i);
}

static void run_done(struct run *run)
{
    part_forget(run);
    chain_done(run);
    map_done(&run->told);
    mem_free(run->origin);
}

static void apply_entry(struct run *run, struct value *entry)
{
    if (!value_get(entry, "for")) {
        template_apply(run, NULL, entry);
        return;
    }
    for (size_t i = 0; i < run->n_tiers; i++)
        template_apply(run, &run->tiers[i], entry);
}

static void apply_pattern(struct scene *scene, size_t request_index, struct value *pattern)
{
    struct run run;
    run_init(&run, scene, request_index, pattern);
    const struct value *resources = value_get(pattern, "resources");
    size_t n_errors = scene->diagnostics->n_errors;
    check_with(&run);
    if (scene->diagnostics->n_errors == n_errors) {
        chain_find(&run);
        part_check_all(&run);
        for (size_t i = 0; i < value_count(resources); i++)
            apply_entry(&run, value_at(resources, i));
    }
    run_done(&run);
}

static void tell_unknown_pattern(struct scene *scene, const struct library *library,
                                 const struct pattern_request *request)
{
    const char **names = NEW_ARRAY(const char *, library->n_patterns + 1);
    struct strbuf help = {0};
    for (size_t i = 0; i < library->n_patterns; i++)
        names[i] = value_get_text(library->patterns[i], "pattern");
    const char *nearest = text_nearest(request->name, names, library->n_patterns);
    if (nearest)
        strbuf_addf(&help, "Did you mean \"%s\"?", nearest);
    for (size_t i = 0; !nearest && i < library->n_patterns; i++)
        strbuf_addf(&help, "%s%s%s", i == 0 ? "There are " : ", ", names[i],
                    i + 1 == library->n_patterns ? "." : "");
    diagnostics_add(scene->diagnostics, DIAGNOSTIC_UNKNOWN_PATTERN, request->position,
                    strbuf_text(&help), "There is no pattern \"%s\".", request->name);
    mem_free(names);
    strbuf_done(&help);
}

void pattern_apply(struct document *document, const struct catalog *catalog,
                   struct diagnostics *diagnostics)
{
    struct library library;
    struct scene scene;
    if (document_pattern_count(document) == 0)
        return;
    library_read(&library);
    scene_init(&scene, document, catalog, diagnostics);
    for (size_t i = 0; i < document_pattern_count(document); i++) {
        const struct pattern_request *request = document_pattern_at(document, i);
        struct value *pattern = library_find(&library, request->name);
        if (pattern)
            apply_pattern(&scene, i, pattern);
        else
            tell_unknown_pattern(&scene, &library, request);
    }
    scene_done(&scene);
    library_done(&library);
}
