/*
 * Any bytes as an edit of any text: what comes of it reads as the edit says, or it is refused. The
 * input is a line of choices, then the text: "KIND CONTENT TURN TURN ...", where each turn goes on
 * into what is there.
 */
#include "base/text.h"
#include "fuzz/fuzz.h"
#include "model/yaml-edit.h"

#include <string.h>

static struct yaml_tree *read_tree(const char *text)
{
    struct diagnostics faults = {0};
    struct yaml_tree *tree = NULL;
    yaml_read("fuzz.yaml", text, strlen(text), &yaml_default_limits, &tree, &faults);
    if (diagnostics_has_errors(&faults)) {
        yaml_tree_free(tree);
        tree = NULL;
    }
    diagnostics_done(&faults);
    return tree;
}

static const char *const contents[] = {
    "5", "x y", "\"#: \\n\"", "[a, 1]", "{p: 1, q: {r: [s]}}", "[]", "{}", "[{a: 1}, [2]]",
};

/* Goes into the value as the turns say; one more than there is means something new. */
static struct value *choose_path(const struct value *value, const char *turns)
{
    struct value_builder path = {0};
    for (; *turns && *turns != '\n'; turns++) {
        bool is_map = value_kind(value) == VALUE_MAP;
        if (!is_map && value_kind(value) != VALUE_LIST)
            break;
        size_t n = value_count(value);
        size_t index = (unsigned char)*turns % (n + 1);
        if (!is_map)
            value_builder_append(&path, value_integer((int64_t)index));
        else
            value_builder_append(&path,
                                 value_string(index < n ? value_key_at(value, index) : "fresh"));
        if (index == n)
            break;
        value = value_at(value, index);
    }
    return value_builder_list(&path);
}

static void check_edit(const char *text, const struct yaml_edit *edit, const struct value *value)
{
    CLEANUP(value_unrefp) struct value *wanted = yaml_edit_value(value, edit);
    struct yaml_splice splice = {0};
    CLEANUP(mem_freep) char *edited = NULL;
    struct error err = {0};
    int r = yaml_edit(text, edit, &splice, &edited, &err);
    MUST(wanted ? r == 0 || r == -ERROR_UNSUPPORTED : r == -ERROR_NOT_FOUND);
    MUST(r == 0 || *error_message(&err));
    error_done(&err);
    if (r < 0)
        return;
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = read_tree(edited);
    MUST(tree);
    CLEANUP(value_unrefp) struct value *got = yaml_to_value(yaml_root(tree));
    MUST(value_equal(got, wanted));
    MUST(splice.start <= splice.end && splice.end <= strlen(text));
    MUST(strncmp(edited, text, splice.start) == 0);
    MUST(text_equal(edited + splice.start + strlen(splice.text), text + splice.end));
    mem_free(splice.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    const char *line_end = size > 2 ? memchr(text, '\n', size) : NULL;
    if (!line_end || size > 4096)
        return 0;
    CLEANUP(mem_freep) char *choices = string_copy_n((const char *)text, size);
    const char *document = choices + (line_end - (const char *)text) + 1;
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = read_tree(document);
    if (!tree)
        return 0;
    CLEANUP(value_unrefp) struct value *value = yaml_to_value(yaml_root(tree));
    enum yaml_edit_kind kind = (enum yaml_edit_kind)(text[0] % 3);
    CLEANUP(yaml_tree_freep)
    struct yaml_tree *content = read_tree(contents[text[1] % ARRAY_LENGTH(contents)]);
    CLEANUP(value_unrefp) struct value *path = choose_path(value, choices + 2);
    struct yaml_edit edit = {
        .kind = kind,
        .path = path,
        .content = kind == YAML_EDIT_REMOVE ? NULL : yaml_root(content),
    };
    if (value_count(path) > 0)
        check_edit(document, &edit, value);
    return 0;
}
