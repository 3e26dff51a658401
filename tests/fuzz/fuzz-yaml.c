/* Any bytes read as YAML: a tree, or at least one fault that says why not; never both missing. */
#include "fuzz/fuzz.h"
#include "model/json.h"
#include "model/yaml-internal.h"

/* Small enough that the fuzzer reaches every limit. */
static const struct yaml_limits limits = {
    .bytes = 1 << 16,
    .depth = 20,
    .nodes = 5000,
    .aliases = 100,
    .alias_bytes = 1 << 14,
    .scalar_bytes = 1 << 12,
};

/* What is read without libyaml is what libyaml makes of it, without a fault. */
static void check_plain(const char *text, size_t size)
{
    struct diagnostics diagnostics = {0};
    CLEANUP(yaml_tree_freep) struct yaml_tree *plain = NEW(struct yaml_tree);
    CLEANUP(yaml_tree_freep) struct yaml_tree *events = NEW(struct yaml_tree);
    if (size <= limits.bytes && yaml_read_plain(text, size, &limits, plain)) {
        MUST(yaml_read_events(text, size, &limits, events, &diagnostics) == 0);
        MUST(diagnostics.n_items == 0);
        CLEANUP(value_unrefp) struct value *value = yaml_to_value(yaml_root(plain));
        CLEANUP(value_unrefp) struct value *want = yaml_to_value(yaml_root(events));
        MUST(value_equal(value, want));
    }
    diagnostics_done(&diagnostics);
}

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    check_plain((const char *)text, size);
    struct diagnostics diagnostics = {0};
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = NULL;
    yaml_read("fuzz.yaml", (const char *)text, size, &limits, &tree, &diagnostics);
    MUST(tree || diagnostics_has_errors(&diagnostics));
    if (tree) {
        CLEANUP(value_unrefp) struct value *value = yaml_to_value(yaml_root(tree));
        CLEANUP(mem_freep) char *json = json_text(value);
        MUST(json);
    }
    CLEANUP(mem_freep) char *source = string_copy_n((const char *)text, size);
    struct strbuf buffer = {0};
    diagnostics_write(&diagnostics, "fuzz.yaml", source, &buffer);
    strbuf_done(&buffer);
    diagnostics_done(&diagnostics);
    return 0;
}
