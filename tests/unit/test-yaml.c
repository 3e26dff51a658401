#include "harness.h"
#include "model/json.h"
#include "model/yaml.h"

static struct yaml_tree *read_with(const char *text, size_t size, const struct yaml_limits *limits,
                                   struct diagnostics *diagnostics)
{
    struct yaml_tree *tree = NULL;
    yaml_read("a.yaml", text, size, limits, &tree, diagnostics);
    return tree;
}

/* The document as canonical JSON, or its first fault as "CODE LINE:COLUMN". */
static char *outcome_with(const char *text, size_t size, const struct yaml_limits *limits)
{
    struct diagnostics diagnostics = {0};
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = read_with(text, size, limits, &diagnostics);
    char *outcome;
    if (diagnostics.n_items) {
        const struct diagnostic *first = &diagnostics.items[0];
        outcome = string_format("%s %u:%u", diagnostic_code_to_string(first->code), first->line,
                                first->column);
    } else {
        CLEANUP(value_unrefp) struct value *value = yaml_to_value(yaml_root(tree));
        outcome = json_text(value);
    }
    diagnostics_done(&diagnostics);
    return outcome;
}

static void check_outcome(const char *text, size_t size, const char *want)
{
    CLEANUP(mem_freep) char *outcome = outcome_with(text, size, &yaml_default_limits);
    if (strcmp(outcome, want) != 0)
        printf("# of: %.*s\n", (int)size, text);
    CHECK_TEXT(outcome, want);
}

static const struct {
    const char *text;
    const char *want;
} scalars[] = {
    /* YAML 1.2.2, section 10.3.2 */
    {"[null, Null, NULL, ~, '~', \"null\", nULL]", "[null,null,null,null,\"~\",\"null\",\"nULL\"]"},
    {"a:", "{\"a\":null}"},
    {"[true, True, TRUE, false, False, FALSE, tRUE]",
     "[true,true,true,false,false,false,\"tRUE\"]"},
    {"[yes, no, on, off, y, Yes]", "[\"yes\",\"no\",\"on\",\"off\",\"y\",\"Yes\"]"},
    {"[0, 0o7, 0x3A, -19, +12, 010]", "[0,7,58,-19,12,10]"},
    {"[0o8, 0xg, 0x, 0o, -0x1, 0b1, 1_000]",
     "[\"0o8\",\"0xg\",\"0x\",\"0o\",\"-0x1\",\"0b1\",\"1_000\"]"},
    {"[9223372036854775807, -9223372036854775808]",
     "[\"9223372036854775807\",\"-9223372036854775808\"]"},
    {"[0., -0.5, .5, 2.5e3, -2E+05, 1.5]", "[0,-0.5,0.5,2500,-200000,1.5]"},
    {"[., .e1, 1e, 1e+, 1.0.0, 14.2.1, +, -a]",
     "[\".\",\".e1\",\"1e\",\"1e+\",\"1.0.0\",\"14.2.1\",\"+\",\"-a\"]"},
    {"['12', \"true\", !!str 12, ! 12]", "[\"12\",\"true\",\"12\",\"12\"]"},
    {"[!!int 3, !!float 3, !!float 1.5, !!bool true, !!null ~]", "[3,3,1.5,true,null]"},
    {"[2001-12-14, 12:30:45]", "[\"2001-12-14\",\"12:30:45\"]"},
    {"|\n a\n b\n", "\"a\\nb\\n\""},
    {">-\n a\n b\n", "\"a b\""},
    {"", "null"},
    {"# nothing\n", "null"},
    {"--- {a: 1}\n...\n", "{\"a\":1}"},
    {"\xef\xbb\xbf"
     "a: \xc3\xa4",
     "{\"a\":\"\xc3\xa4\"}"},
    {"a: &x [1, 2]\nb: *x\nc: [*x, *x]", "{\"a\":[1,2],\"b\":[1,2],\"c\":[[1,2],[1,2]]}"},
    {"a: &x 1\nb: &x 2\nc: *x", "{\"a\":1,\"b\":2,\"c\":2}"},
    {"a: &x [&x 1, *x]\n", "{\"a\":[1,1]}"},
    {"a: !!map {}\nb: !!seq []", "{\"a\":{},\"b\":[]}"},
    {"'1': a\n\"true\": b\n? long\n: c", "{\"1\":\"a\",\"long\":\"c\",\"true\":\"b\"}"},
};

TEST(scalars_resolve_by_the_core_schema)
{
    for (size_t i = 0; i < ARRAY_LENGTH(scalars); i++)
        check_outcome(scalars[i].text, strlen(scalars[i].text), scalars[i].want);
}

static const struct {
    const char *text;
    const char *want;
} faults[] = {
    {"a: .inf", "bad-value 1:4"},
    {"a: [-.INF]", "bad-value 1:5"},
    {"a: .nan", "bad-value 1:4"},
    {"a: 1e999", "bad-value 1:4"},
    {"a: 9223372036854775808", "bad-value 1:4"},
    {"a: !box 1", "bad-value 1:4"},
    {"a: !!binary aGFsbG8=", "bad-value 1:4"},
    {"a: !!int x", "wrong-kind 1:4"},
    {"a: !!set {b: 1}", "bad-value 1:4"},
    {"a: 1\nb: 2\n\na: 3", "duplicate-key 4:1"},
    {"a: {b: 1, b: 1}", "duplicate-key 1:11"},
    {"8080: a", "wrong-kind 1:1"},
    {"true: a", "wrong-kind 1:1"},
    {"? \n: a", "wrong-kind 1:2"},
    {"[a]: b", "yaml-syntax 1:1"},
    {"{a: 1}: b", "yaml-syntax 1:1"},
    {"a: &x k\n*x : b", "yaml-syntax 2:1"},
    {"a: *x", "yaml-syntax 1:4"},
    {"a: &x [*x]", "yaml-syntax 1:8"},
    {"a: &x {b: 1}\nc:\n  <<: *x", "unknown-key 3:3"},
    {"a: 1\n---\nb: 2", "yaml-syntax 2:1"},
    {"a: [1, 2\nb: 3", "yaml-syntax 2:2"},
    {"a:\n\t- b", "yaml-syntax 2:1"},
    {"a: b: c", "yaml-syntax 1:5"},
    {"a: @b", "yaml-syntax 1:4"},
    {"a: \"\\q\"", "yaml-syntax 1:5"},
    {"a: \"x\\0y\"", "bad-value 1:4"},
    {"a: b\x01", "yaml-syntax 1:5"},
    {"ok: 1\na: \xc3\xa4\xff", "yaml-syntax 2:5"},
    {"%YAML 3.0\n--- a", "yaml-syntax 1:1"},
    {"%\xb3", "yaml-syntax 1:2"},
};

TEST(each_fault_has_its_code_and_its_place)
{
    for (size_t i = 0; i < ARRAY_LENGTH(faults); i++)
        check_outcome(faults[i].text, strlen(faults[i].text), faults[i].want);
    check_outcome("a: \0", 4, "yaml-syntax 1:4");
}

TEST(all_faults_are_told_at_once_and_the_rest_is_given)
{
    const char *text = "a: .inf\na: 1\n7: x\nb: !t y\nc: good\n";
    struct diagnostics diagnostics = {0};
    CLEANUP(yaml_tree_freep)
    struct yaml_tree *tree = read_with(text, strlen(text), &yaml_default_limits, &diagnostics);
    CHECK(diagnostics.n_errors == 4);
    CHECK_TEXT(yaml_get_text(yaml_root(tree), "c"), "good");
    diagnostics_done(&diagnostics);
}

TEST(a_key_given_twice_is_found_in_maps_of_any_size)
{
    struct strbuf text = {0};
    for (int i = 0; i < 1000; i++)
        strbuf_addf(&text, "key-%d: 1\n", i);
    strbuf_add(&text, "key-500: 2\n");
    check_outcome(text.text, text.length, "duplicate-key 1001:1");
    strbuf_done(&text);
}

TEST(nodes_and_keys_know_where_they_stand)
{
    const char *text = "a:\n  - b: \xc3\xa4 \n    c: {d: 'x', e: [1, 2]}\n";
    struct diagnostics diagnostics = {0};
    CLEANUP(yaml_tree_freep)
    struct yaml_tree *tree = read_with(text, strlen(text), &yaml_default_limits, &diagnostics);
    const struct yaml_pair *pair = NULL;
    const struct yaml_node *node = yaml_nearest(yaml_root(tree), "a[0].c.e[1]", &pair);
    CHECK(node->integer == 2);
    CHECK(node->line == 3 && node->column == 24);
    CHECK_TEXT(pair->key, "e");
    CHECK(pair->line == 3 && pair->column == 17);
    node = yaml_nearest(yaml_root(tree), "a[0].c.nothing.more", &pair);
    CHECK_TEXT(pair->key, "c");
    CHECK(node->kind == VALUE_MAP && node->line == 3 && node->column == 8);
    struct position position = yaml_position(tree, node);
    CHECK_TEXT(position.file, "a.yaml");
    diagnostics_done(&diagnostics);
}

static void check_limit(const char *text, struct yaml_limits limits, const char *want)
{
    CLEANUP(mem_freep) char *outcome = outcome_with(text, strlen(text), &limits);
    CHECK_TEXT(outcome, want);
}

TEST(each_limit_is_checked_while_reading)
{
    struct yaml_limits limits = {20, 3, 8, 3, 8, 4};
    check_limit("[[[a]]]", limits, "[[[\"a\"]]]");
    check_limit("[[[[a]]]]", limits, "yaml-limit 1:4");
    check_limit("aaaaaaaaaaaaaaaaaaaaa", limits, "yaml-limit 0:0");
    check_limit("[1,2,3,4,5,6,7]", limits, "[1,2,3,4,5,6,7]");
    check_limit("[1,2,3,4,5,6,7,8]", limits, "yaml-limit 1:16");
    check_limit("[aaaa, aaaaa]", limits, "yaml-limit 1:8");
    check_limit("{aaaaa: 1}", limits, "yaml-limit 1:2");
    check_limit("[&a 1,*a,*a,*a]", limits, "[1,1,1,1]");
    check_limit("[&a 1,*a,*a,*a,*a]", limits, "yaml-limit 1:16");
    check_limit("[&a [1,2,3],*a,*a]", limits, "yaml-limit 1:13");
    check_limit("[&a bbbb,*a,*a]", limits, "[\"bbbb\",\"bbbb\",\"bbbb\"]");
    check_limit("[&a bbbb,*a,*a,*a]", limits, "yaml-limit 1:16");
    check_limit("[&a [[]],[*a]]", limits, "yaml-limit 1:11");
}

/* Each level names the one before it nine times; written out it would have 9^9 items. */
TEST(a_billion_laughs_are_a_limit)
{
    struct strbuf text = {0};
    strbuf_add(&text, "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for (int i = 1; i < 9; i++) {
        strbuf_addf(&text, "a%d: &a%d [", i, i);
        for (int k = 0; k < 9; k++)
            strbuf_addf(&text, "%s*a%d", k ? ", " : "", i - 1);
        strbuf_add(&text, "]\n");
    }
    CLEANUP(mem_freep)
    char *outcome = outcome_with(text.text, text.length, &yaml_default_limits);
    CHECK(strncmp(outcome, "yaml-limit", 10) == 0);
    strbuf_done(&text);
}

TEST(nesting_a_hundred_thousand_deep_fails_at_once)
{
    static const char *const levels[] = {"[", "{a: ", "- ", "[\n", "? ", "{\"a\":\n", "!!seq ["};
    static const char *const wants[] = {"yaml-limit 1:201", "yaml-limit 1:801", "yaml-limit 1:401",
                                        "yaml-limit 201:1", "yaml-syntax 1:3",  "yaml-limit 201:1",
                                        "yaml-limit 1:1401"};
    for (size_t i = 0; i < ARRAY_LENGTH(levels); i++) {
        struct strbuf text = {0};
        for (int k = 0; k < 100000; k++)
            strbuf_add(&text, levels[i]);
        CLEANUP(mem_freep)
        char *outcome = outcome_with(text.text, text.length, &yaml_default_limits);
        CHECK_TEXT(outcome, wants[i]);
        strbuf_done(&text);
    }
}

TEST(nodes_can_be_added_to_a_tree)
{
    struct diagnostics diagnostics = {0};
    CLEANUP(yaml_tree_freep)
    struct yaml_tree *tree = read_with("a: 1", 4, &yaml_default_limits, &diagnostics);
    CLEANUP(value_unrefp) struct value *decimal = value_decimal(1.5);
    CLEANUP(value_unrefp) struct value *text = value_string("b");
    const struct yaml_node *items[] = {
        yaml_add_scalar(tree, decimal, 7, 8),
        yaml_add_scalar(tree, text, 7, 9),
        yaml_add_scalar(tree, NULL, 7, 10),
        yaml_root(tree),
    };
    struct yaml_pair pair = {"list", 7, 1, yaml_add_list(tree, items, 4, 7, 7)};
    const struct yaml_node *map = yaml_add_map(tree, &pair, 1, 7, 1);
    CHECK(map->pairs[0].value->items[1]->column == 9);
    CHECK_TEXT(map->pairs[0].value->items[0]->text, "1.5");
    CLEANUP(value_unrefp) struct value *value = yaml_to_value(map);
    CLEANUP(mem_freep) char *json = json_text(value);
    CHECK_TEXT(json, "{\"list\":[1.5,\"b\",null,{\"a\":1}]}");
}

TEST(a_plain_text_reads_back_as_itself_and_others_are_told_apart)
{
    static const struct {
        const char *text;
        bool is_plain;
    } cases[] = {
        {"web", true},       {"a b", true},     {"1.0.0", true},    {"10.0.0.0/24", true},
        {"a:b", true},       {"/health", true}, {"1000/min", true}, {"yes", true},
        {"", false},         {"1", false},      {"1.5", false},     {"true", false},
        {"null", false},     {"0x1f", false},   {".inf", false},    {"- a", false},
        {"a: b", false},     {"a:", false},     {"a #b", false},    {"a, b", false},
        {"{a", false},       {"*a", false},     {"&a", false},      {"!a", false},
        {"a\nb", false},     {"~", false},      {" a", false},      {"a ", false},
        {"\xc3\xa4", false}, {"${a.b}", false}, {"1e5", false},     {"=", false},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        if (yaml_is_plain_text(cases[i].text) != cases[i].is_plain)
            printf("# %s\n", cases[i].text);
        CHECK(yaml_is_plain_text(cases[i].text) == cases[i].is_plain);
        if (!cases[i].is_plain)
            continue;
        CLEANUP(mem_freep)
        char *list = string_format("[%s, {k: %s}]", cases[i].text, cases[i].text);
        CLEANUP(mem_freep)
        char *want = string_format("[\"%s\",{\"k\":\"%s\"}]", cases[i].text, cases[i].text);
        check_outcome(list, strlen(list), want);
    }
}
