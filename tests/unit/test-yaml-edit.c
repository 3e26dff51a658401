/* Edits of YAML texts: what changes, and that nothing else does. */
#include "base/text.h"
#include "harness.h"
#include "model/json.h"
#include "model/yaml-edit.h"

static struct yaml_tree *read_tree(const char *text)
{
    struct diagnostics faults = {0};
    struct yaml_tree *tree = NULL;
    yaml_read("a.yaml", text, strlen(text), &yaml_default_limits, &tree, &faults);
    if (diagnostics_has_errors(&faults)) {
        yaml_tree_free(tree);
        tree = NULL;
    }
    diagnostics_done(&faults);
    return tree;
}

static struct value *read_value(const char *text)
{
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = read_tree(text);
    return tree ? yaml_to_value(yaml_root(tree)) : NULL;
}

static int edit_at(const char *text, struct yaml_edit *edit, const char *content,
                   struct yaml_splice *ret_splice, char **ret_text, struct error *err)
{
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = content ? read_tree(content) : NULL;
    edit->content = tree ? yaml_root(tree) : NULL;
    return yaml_edit(text, edit, ret_splice, ret_text, err);
}

#define SET YAML_EDIT_SET
#define REMOVE YAML_EDIT_REMOVE
#define INSERT YAML_EDIT_INSERT

static const struct {
    const char *text;
    enum yaml_edit_kind kind;
    const char *path; /* JSON */
    const char *content;
    const char *want;
} cases[] = {
    /* A value in place: whatever stands around it stays. */
    {"a: 1 # one\nb: 2\n", SET, "[\"a\"]", "5", "a: 5 # one\nb: 2\n"},
    {"a:   'x'   # one\n", SET, "[\"a\"]", "y z", "a:   y z   # one\n"},
    {"{a: 1, b: [x, y]}\n", SET, "[\"b\",1]", "z", "{a: 1, b: [x, z]}\n"},
    {"{\"a\": 1, \"b\": \"x\"}", SET, "[\"b\"]", "z", "{\"a\": 1, \"b\": \"z\"}"},
    {"a: 1", SET, "[\"a\"]", "2", "a: 2"},
    {"a:\nb: 1\n", SET, "[\"a\"]", "2", "a: 2\nb: 1\n"},
    {"a: # why\nb: 1\n", SET, "[\"a\"]", "2", "a: 2 # why\nb: 1\n"},
    {"- a\n-\n- c\n", SET, "[1]", "b", "- a\n- b\n- c\n"},
    {"\xc3\xa9: \xe2\x82\xac # \xc3\xa9\nb: 1\n", SET, "[\"b\"]", "2",
     "\xc3\xa9: \xe2\x82\xac # \xc3\xa9\nb: 2\n"},
    {"a: 1\r\nb: 2\r\n", SET, "[\"b\"]", "3", "a: 1\r\nb: 3\r\n"},
    /* Texts that need quotes get them. */
    {"a: x\n", SET, "[\"a\"]", "\"5\"", "a: \"5\"\n"},
    {"a: x\n", SET, "[\"a\"]", "\"true\"", "a: \"true\"\n"},
    {"a: x\n", SET, "[\"a\"]", "\"\"", "a: \"\"\n"},
    {"a: x\n", SET, "[\"a\"]", "'- b: #c'", "a: \"- b: #c\"\n"},
    {"a: x\n", SET, "[\"a\"]", "\"1\\n2\\t\\\"\\\\ \\x07 \\u2028 \\x85\"",
     "a: \"1\\n2\\u0009\\\"\\\\ \\u0007 \\u2028 \\u0085\"\n"},
    {"a: x\n", SET, "[\"a\"]", "10.0.0.0/24", "a: 10.0.0.0/24\n"},
    {"a: x\n", SET, "[\"a\"]", "${web.outputs.id}", "a: \"${web.outputs.id}\"\n"},
    {"a: x\n", SET, "[\"a\"]", "0x1F", "a: 0x1F\n"},
    {"a: x\n", SET, "[\"a\"]", "null", "a: null\n"},
    /* From one form to another. */
    {"a: |\n  one\n  two\n\nb: 1\n", SET, "[\"a\"]", "x", "a: x\n\nb: 1\n"},
    {"a:\n  b: 1\n  c: 2\nd: 3\n", SET, "[\"a\"]", "x", "a: x\nd: 3\n"},
    {"a:\n  # why\n  b: 1\nd: 3\n", SET, "[\"a\"]", "x", "a:\n  # why\n  x\nd: 3\n"},
    {"a:\n- 1\n- 2\nd: 3\n", SET, "[\"a\"]", "[3]", "a: [3]\nd: 3\n"},
    {"a: x # why\nb: 1\n", SET, "[\"a\"]", "{c: 1, d: {e: [f]}}",
     "a:\n  c: 1\n  d:\n    e: [f] # why\nb: 1\n"},
    {"a: {b: 1}\n", SET, "[\"a\"]", "{c: 1, d: 2}", "a: {c: 1, d: 2}\n"},
    {"- x\n- y\n", SET, "[0]", "{c: 1, d: 2}", "- c: 1\n  d: 2\n- y\n"},
    /* What is not there is added behind its neighbours, in their form. */
    {"a: 1\n", SET, "[\"b\"]", "2", "a: 1\nb: 2\n"},
    {"a: 1 # one\n\n# end\n", SET, "[\"b\"]", "2", "a: 1 # one\nb: 2\n\n# end\n"},
    {"a: 1", SET, "[\"b\"]", "2", "a: 1\nb: 2"},
    {"a:\n    b: 1\nc: 1\n", SET, "[\"a\",\"d\"]", "x", "a:\n    b: 1\n    d: x\nc: 1\n"},
    {"- name: a\n  x: 1\n- name: b\n", SET, "[1,\"x\"]", "2",
     "- name: a\n  x: 1\n- name: b\n  x: 2\n"},
    {"a: { b: 1 }\n", SET, "[\"a\",\"c\"]", "2", "a: { b: 1, c: 2 }\n"},
    {"a: {b: 1,}\n", SET, "[\"a\",\"c\"]", "2", "a: {b: 1, c: 2,}\n"},
    {"a: {}\n", SET, "[\"a\",\"c\"]", "2", "a: {c: 2}\n"},
    {"{\"a\": {\"b\": 1}}\n", SET, "[\"a\",\"c\"]", "x", "{\"a\": {\"b\": 1, \"c\": \"x\"}}\n"},
    {"a: 1\n", SET, "[\"b\",\"c\",\"d\"]", "x", "a: 1\nb:\n  c:\n    d: x\n"},
    {"a:\nb: 1\n", SET, "[\"a\",\"c\"]", "x", "a:\n  c: x\nb: 1\n"},
    {"a: {b: 1}\n", SET, "[\"a\",\"c\",\"d\"]", "x", "a: {b: 1, c: {d: x}}\n"},
    {"a: |\n  text\n\nb: 1\n", SET, "[\"c\"]", "2", "a: |\n  text\n\nb: 1\nc: 2\n"},
    {"x:\n  a: |\n    text\n", SET, "[\"x\",\"b\"]", "2", "x:\n  a: |\n    text\n  b: 2\n"},
    {"x:\n  a: |+\n    text\n\ny: 1\n", SET, "[\"x\",\"b\"]", "2",
     "x:\n  a: |+\n    text\n\n  b: 2\ny: 1\n"},
    /* What goes takes its line with it, and leaves the comments of others. */
    {"a: 1\n# two\nb: 2 # b\nc: 3\n", REMOVE, "[\"b\"]", NULL, "a: 1\n# two\nc: 3\n"},
    {"a: 1\nb: 2", REMOVE, "[\"b\"]", NULL, "a: 1"},
    {"a: 1\r\nb: 2", REMOVE, "[\"b\"]", NULL, "a: 1"},
    {"a:\n  b: 1\nc: 3\n", REMOVE, "[\"a\",\"b\"]", NULL, "a: {}\nc: 3\n"},
    {"a:\n- b\nc: 3\n", REMOVE, "[\"a\",0]", NULL, "a: []\nc: 3\n"},
    {"{a: 1, b: 2, c: 3}\n", REMOVE, "[\"b\"]", NULL, "{a: 1, c: 3}\n"},
    {"{a: 1, b: 2}\n", REMOVE, "[\"b\"]", NULL, "{a: 1}\n"},
    {"{a: 1, b: 2}\n", REMOVE, "[\"a\"]", NULL, "{b: 2}\n"},
    {"{a: 1}\n", REMOVE, "[\"a\"]", NULL, "{}\n"},
    {"- name: a\n  x: 1\n  y: 2\n", REMOVE, "[0,\"name\"]", NULL, "- x: 1\n  y: 2\n"},
    {"- a\n- b: 1\n  c: 2\n- d\n", REMOVE, "[1]", NULL, "- a\n- d\n"},
    {"- - a\n  - b\n- c\n", REMOVE, "[0,0]", NULL, "- - b\n- c\n"},
    {"a: [x, y]\n", REMOVE, "[\"a\",1]", NULL, "a: [x]\n"},
    /* Items have places. */
    {"- a\n- b\n", INSERT, "[2]", "c", "- a\n- b\n- c\n"},
    {"- a # one\n# two\n- b\n", INSERT, "[1]", "c", "- a # one\n- c\n# two\n- b\n"},
    {"- a\n- b\n", INSERT, "[0]", "{x: 1, y: 2}", "- x: 1\n  y: 2\n- a\n- b\n"},
    {"x:\n  - a: 1\n    b: 2\n", INSERT, "[\"x\",1]", "{c: 1, d: {e: 2}}",
     "x:\n  - a: 1\n    b: 2\n  - c: 1\n    d:\n      e: 2\n"},
    {"x: []\n", INSERT, "[\"x\",0]", "a", "x: [a]\n"},
    {"x: []\n", INSERT, "[\"x\",0]", "{a: 1}", "x:\n  - a: 1\n"},
    {"x: [a, c]\n", INSERT, "[\"x\",1]", "b", "x: [a, b, c]\n"},
    {"x: [a]\n", INSERT, "[\"x\",1]", "b", "x: [a, b]\n"},
    {"x: [{a: 1}]\n", INSERT, "[\"x\",1]", "{b: 2}", "x: [{a: 1}, {b: 2}]\n"},
};

TEST(an_edit_changes_what_it_says_and_no_other_byte)
{
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(value_unrefp) struct value *path = read_value(cases[i].path);
        struct yaml_edit edit = {.kind = cases[i].kind, .path = path};
        struct yaml_splice splice = {0};
        struct error err = {0};
        CLEANUP(mem_freep) char *text = NULL;
        if (edit_at(cases[i].text, &edit, cases[i].content, &splice, &text, &err) < 0) {
            printf("# %s of %s\n# %s\n", cases[i].path, cases[i].text, error_message(&err));
            CHECK(!"edited");
        }
        CHECK_TEXT(text, cases[i].want);
        size_t tail = strlen(cases[i].text) - splice.end;
        CHECK(strncmp(text, cases[i].text, splice.start) == 0);
        CHECK(text_ends_with(text, cases[i].text + splice.end));
        CHECK(strlen(text) == splice.start + strlen(splice.text) + tail);
        mem_free(splice.text);
    }
}

TEST(a_key_is_added_behind_the_one_it_belongs_to)
{
    static const struct {
        const char *text;
        const char *want;
    } places[] = {
        {"name: a\nresources:\n  - x\n", "name: a\nrevision: 3\nresources:\n  - x\n"},
        {"resources: []\nname: a # mine\n", "resources: []\nname: a # mine\nrevision: 3\n"},
        {"{name: a, resources: []}", "{name: a, revision: 3, resources: []}"},
        {"other: a\n", "other: a\nrevision: 3\n"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
        CLEANUP(value_unrefp) struct value *path = read_value("[revision]");
        struct yaml_edit edit = {.kind = SET, .path = path, .after = "name"};
        struct yaml_splice splice = {0};
        CLEANUP(mem_freep) char *text = NULL;
        CHECK(edit_at(places[i].text, &edit, "3", &splice, &text, NULL) == 0);
        CHECK_TEXT(text, places[i].want);
        mem_free(splice.text);
    }
}

TEST(what_cannot_be_edited_is_refused_and_says_why)
{
    static const struct {
        const char *text;
        const char *path;
        enum yaml_edit_kind kind;
        enum error_code code;
    } refused[] = {
        {"a: 1\n", "[b]", REMOVE, ERROR_NOT_FOUND},
        {"a: 1\n", "[a, b]", REMOVE, ERROR_NOT_FOUND},
        {"a: [1]\n", "[a, 1]", REMOVE, ERROR_NOT_FOUND},
        {"a: [1]\n", "[a, 2]", INSERT, ERROR_NOT_FOUND},
        {"a: [1]\n", "[a, -1]", SET, ERROR_NOT_FOUND},
        {"a: [1]\n", "[a, b]", SET, ERROR_NOT_FOUND},
        {"a: 1\n", "[a, b]", SET, ERROR_NOT_FOUND},
        {"a: 1\n", "[a, 0]", SET, ERROR_NOT_FOUND},
        {"a: [\n", "[a]", SET, ERROR_INVALID},
        {"a: 1\na: 2\n", "[a]", SET, ERROR_INVALID},
        {"a: &x {b: 1, d: 2}\nc: *x\n", "[c, b]", SET, ERROR_UNSUPPORTED},
        {"a: &x {b: 1}\nc: *x\n", "[a, b]", SET, ERROR_UNSUPPORTED},
        {"a: &x {b: 1}\nc: *x\n", "[a]", SET, ERROR_UNSUPPORTED},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++) {
        CLEANUP(value_unrefp) struct value *path = read_value(refused[i].path);
        struct yaml_edit edit = {.kind = refused[i].kind, .path = path};
        struct yaml_splice splice = {0};
        struct error err = {0};
        char *text = NULL;
        int r = edit_at(refused[i].text, &edit, refused[i].kind == REMOVE ? NULL : "x", &splice,
                        &text, &err);
        if (r != -(int)refused[i].code)
            printf("# %zu: %s\n", i, r == 0 ? text : error_message(&err));
        CHECK(r == -(int)refused[i].code && !text && strlen(error_message(&err)) > 0);
        error_done(&err);
    }
}

/* --- Random documents --- */

static unsigned int state;

static unsigned int choose(unsigned int n)
{
    state = state * 1103515245u + 12345u;
    return (state >> 16) % n;
}

static const char *const texts[] = {"1",          "x",          "true",
                                    "\"q # q\"",  "'s: s'",     "a b c",
                                    "10.0.0.0/8", "null",       "\xc3\xa9t\xc3\xa9",
                                    "\"5\"",      "-7",         "1.5",
                                    "",           "~",          "\"\\n\"",
                                    "a#b",        "1000/minute"};

static void write_flow(struct strbuf *text, int depth)
{
    unsigned int n = choose(4);
    bool is_map = choose(2);
    strbuf_add(text, is_map ? "{" : "[");
    strbuf_add(text, choose(2) ? " " : "");
    for (unsigned int i = 0; i < n; i++) {
        strbuf_add(text, i == 0 ? "" : choose(2) ? ", " : ",");
        if (is_map)
            strbuf_addf(text, "k%u: ", i);
        if (depth > 0 && choose(3) == 0)
            write_flow(text, depth - 1);
        else
            strbuf_add(text, texts[choose(12)]);
    }
    strbuf_add(text, choose(2) ? " " : "");
    strbuf_add(text, is_map ? "}" : "]");
}

static void write_comment(struct strbuf *text, unsigned int indent)
{
    if (choose(4) == 0)
        strbuf_add(text, "\n");
    if (choose(4) != 0)
        return;
    strbuf_add_repeated(text, ' ', indent);
    strbuf_addf(text, "# comment %u\n", choose(100));
}

/* Ends a line, now and then with a comment. */
static void end_line(struct strbuf *text)
{
    if (choose(4) == 0)
        strbuf_addf(text, "  # remark %u", choose(100));
    strbuf_add(text, "\n");
}

static void write_block(struct strbuf *text, unsigned int indent, int depth, bool is_first_done);

static void write_part(struct strbuf *text, unsigned int indent, int depth, bool is_item)
{
    unsigned int kind = choose(depth > 0 ? 6 : 3);
    if (kind == 0) {
        strbuf_add(text, " ");
        write_flow(text, 2);
        end_line(text);
    } else if (kind == 1) {
        strbuf_addf(text, " %s\n", choose(2) ? "|" : ">-");
        for (unsigned int i = 0; i <= choose(3); i++) {
            strbuf_add_repeated(text, ' ', indent + 2);
            strbuf_add(text, "# no comment\n");
        }
    } else if (kind == 2) {
        strbuf_addf(text, " %s", texts[choose(ARRAY_LENGTH(texts))]);
        end_line(text);
    } else if (is_item) {
        strbuf_add(text, " ");
        write_block(text, indent + 2, depth - 1, true);
    } else {
        end_line(text);
        write_comment(text, indent);
        write_block(text, indent + 1 + choose(4), depth - 1, false);
    }
}

/* A list or map on lines of its own. */
static void write_block(struct strbuf *text, unsigned int indent, int depth, bool is_first_done)
{
    bool is_map = choose(2);
    unsigned int n = 1 + choose(4);
    for (unsigned int i = 0; i < n; i++) {
        if (i > 0 || !is_first_done) {
            write_comment(text, indent);
            strbuf_add_repeated(text, ' ', indent);
        }
        if (is_map)
            strbuf_addf(text, "k%u:", i);
        else
            strbuf_add(text, "-");
        write_part(text, indent, depth, !is_map);
    }
}

/* A random path into a value; it may end with a key or index that is not there. */
static struct value *choose_path(const struct value *value, enum yaml_edit_kind kind)
{
    struct value_builder path = {0};
    for (;;) {
        size_t n = value_kind(value) == VALUE_MAP || value_kind(value) == VALUE_LIST
                       ? value_count(value)
                       : 0;
        bool is_list = value_kind(value) == VALUE_LIST;
        bool is_end = choose(4) == 0 || n == 0;
        if (is_end && is_list && kind == INSERT) {
            value_builder_append(&path, value_integer((int64_t)choose((unsigned int)n + 1)));
            break;
        }
        if (is_end && kind == SET && value_kind(value) == VALUE_MAP) {
            value_builder_append(&path, value_string("fresh"));
            break;
        }
        if (n == 0)
            break;
        size_t index = choose((unsigned int)n);
        value_builder_append(&path, is_list ? value_integer((int64_t)index)
                                            : value_string(value_key_at(value, index)));
        value = value_at(value, index);
        if (is_end && kind != INSERT)
            break;
    }
    return value_builder_list(&path);
}

/* How many comments stand in a text outside of a range. */
static size_t count_comments(const char *text, size_t start, size_t end)
{
    size_t n = 0;
    for (size_t i = 0; text[i]; i++)
        if ((i < start || i >= end) &&
            (text_starts_with(text + i, "# comment") || text_starts_with(text + i, "# remark")))
            n++;
    return n;
}

TEST(every_edit_of_random_documents_gives_that_tree_and_keeps_the_comments)
{
    static const char *const contents[] = {
        "5", "x y", "[a, 1]", "{p: 1, q: {r: [s]}}", "[]", "{}", "[{a: 1}, {b: [2]}]", "\"#\"",
    };
    size_t n_edits = 0;
    for (unsigned int seed = 1; seed <= 4000; seed++) {
        state = seed;
        struct strbuf text = {0};
        write_block(&text, 0, 3, false);
        CLEANUP(mem_freep) char *before = strbuf_take(&text);
        CLEANUP(value_unrefp) struct value *value = read_value(before);
        if (!value)
            continue;
        enum yaml_edit_kind kind = (enum yaml_edit_kind)choose(3);
        CLEANUP(value_unrefp) struct value *path = choose_path(value, kind);
        CLEANUP(yaml_tree_freep)
        struct yaml_tree *tree = read_tree(contents[choose(ARRAY_LENGTH(contents))]);
        struct yaml_edit edit = {
            .kind = kind, .path = path, .content = kind == REMOVE ? NULL : yaml_root(tree)};
        if (value_count(path) == 0)
            continue;
        CLEANUP(value_unrefp) struct value *wanted = yaml_edit_value(value, &edit);
        if (!wanted)
            continue;
        struct yaml_splice splice = {0};
        struct error err = {0};
        CLEANUP(mem_freep) char *after = NULL;
        if (yaml_edit(before, &edit, &splice, &after, &err) < 0) {
            CLEANUP(mem_freep) char *place = yaml_path_text(path);
            printf("# seed %u, kind %d at %s: %s\n%s", seed, kind, place, error_message(&err),
                   before);
            CHECK(!"edited");
        }
        n_edits++;
        CLEANUP(value_unrefp) struct value *got = read_value(after);
        CHECK(got && value_equal(got, wanted));
        size_t end = splice.start + strlen(splice.text);
        CHECK(strncmp(after, before, splice.start) == 0);
        CHECK_TEXT(after + end, before + splice.end);
        CHECK(count_comments(before, splice.start, splice.end) ==
              count_comments(after, splice.start, end));
        /* Only what is replaced or taken away may take comments with it. */
        if (kind == INSERT)
            CHECK(count_comments(before, 0, 0) == count_comments(after, 0, 0));
        mem_free(splice.text);
    }
    printf("# %zu edits\n", n_edits);
    CHECK(n_edits > 1000);
}
