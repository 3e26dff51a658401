/*
 * Any bytes as a deployment document: faults, or resources. What has no fault is written out as
 * `parley expand` does, and must give the same resources when it is read again.
 */
#include "document/document.h"
#include "fuzz/fuzz.h"
#include "model/json.h"
#include "pattern/pattern.h"

#include <string.h>

/* Small enough that the fuzzer reaches every limit. */
static const struct document_limits limits = {
    .yaml = {.bytes = 1 << 16,
             .depth = 20,
             .nodes = 3000,
             .aliases = 50,
             .alias_bytes = 1 << 13,
             .scalar_bytes = 1 << 12},
    .resources = 300,
    .values = 20000,
};

struct pass {
    struct document *document;
    struct wanted wanted;
    struct diagnostics diagnostics;
};

static void pass_done(struct pass *pass)
{
    wanted_done(&pass->wanted);
    document_free(pass->document);
    diagnostics_done(&pass->diagnostics);
}

static const struct catalog *the_catalog(void)
{
    static struct catalog *catalog;
    struct diagnostics diagnostics = {0};
    if (!catalog)
        MUST(catalog_open(NULL, &catalog, &diagnostics, NULL) == 0 && catalog);
    diagnostics_done(&diagnostics);
    return catalog;
}

static void expand(const char *text, size_t size, const struct document_limits *within,
                   bool has_variables, struct pass *pass)
{
    const struct document_context context = {.catalog = the_catalog()};
    document_read_within("fuzz.yaml", text, size, within, &pass->document, &pass->diagnostics);
    if (!pass->document)
        return;
    if (has_variables) {
        struct value_builder given = {0};
        value_builder_set(&given, "a", value_string("[1, {b: x}]"));
        value_builder_set(&given, "n", value_string("2"));
        CLEANUP(value_unrefp) struct value *variables = value_builder_map(&given);
        document_set_variables(pass->document, variables, &pass->diagnostics);
    }
    (void)document_read_secrets(pass->document, &pass->diagnostics);
    pattern_apply(pass->document, context.catalog, &pass->diagnostics);
    document_expand(pass->document, &context, &pass->wanted, &pass->diagnostics);
}

/* All that later stages use of a resource but its origin. */
static void write_resource(struct strbuf *text, const struct resource *resource)
{
    const struct string_list *depends_on = &resource->depends_on;
    strbuf_addf(text, "%s %s %s ", resource->address, resource->type, resource->instance);
    json_write(text, resource->spec);
    if (resource->match)
        json_write(text, resource->match);
    for (size_t i = 0; i < depends_on->n_items; i++)
        strbuf_addf(text, " %s", depends_on->items[i]);
    for (size_t i = 0; i < resource->formerly.n_items; i++)
        strbuf_addf(text, " was %s", resource->formerly.items[i]);
    strbuf_addf(text, " %d %d %d\n", resource->existing, resource->lifecycle.protect,
                resource->lifecycle.create_before_destroy);
}

static void write_wanted(struct strbuf *text, const struct wanted *wanted)
{
    for (size_t i = 0; i < wanted->n_items; i++)
        write_resource(text, &wanted->items[i]);
    if (wanted->outputs)
        json_write(text, wanted->outputs);
}

static void check_expanded(const struct pass *pass)
{
    struct document_limits wider = limits;
    wider.yaml = yaml_default_limits;
    struct pass again = {0};
    struct strbuf want = {0};
    struct strbuf got = {0};
    CLEANUP(mem_freep) char *text = document_write_expanded(pass->document);
    expand(text, strlen(text), &wider, false, &again);
    MUST(!diagnostics_has_errors(&again.diagnostics));
    write_wanted(&want, &pass->wanted);
    write_wanted(&got, &again.wanted);
    MUST(strcmp(strbuf_text(&want), strbuf_text(&got)) == 0);
    strbuf_done(&want);
    strbuf_done(&got);
    pass_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pass pass = {0};
    struct strbuf told = {0};
    const char *text = (const char *)bytes;
    expand(text, size, &limits, size % 2 == 1, &pass);
    MUST(pass.document || diagnostics_has_errors(&pass.diagnostics));
    CLEANUP(mem_freep) char *source = string_copy_n(text, size);
    diagnostics_write(&pass.diagnostics, "fuzz.yaml", source, &told);
    strbuf_done(&told);
    if (!diagnostics_has_errors(&pass.diagnostics))
        check_expanded(&pass);
    pass_done(&pass);
    return 0;
}
