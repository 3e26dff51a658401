/* What is read without libyaml is what libyaml would have made of it, and nothing else is read so.
 */
#include "harness.h"
#include "model/yaml-internal.h"

#include <string.h>

static bool trees_equal(const struct yaml_node *a, const struct yaml_node *b);

static bool pairs_equal(const struct yaml_pair *a, const struct yaml_pair *b)
{
    return strcmp(a->key, b->key) == 0 && a->line == b->line && a->column == b->column &&
           trees_equal(a->value, b->value);
}

/* Also where everything stands. */
static bool trees_equal(const struct yaml_node *a, const struct yaml_node *b)
{
    if (a->kind != b->kind || a->line != b->line || a->column != b->column ||
        a->n_items != b->n_items)
        return false;
    if (a->kind != VALUE_LIST && a->kind != VALUE_MAP)
        return strcmp(a->text, b->text) == 0 &&
               (a->kind != VALUE_BOOL || a->boolean == b->boolean) &&
               (a->kind != VALUE_INTEGER || a->integer == b->integer) &&
               (a->kind != VALUE_DECIMAL || a->decimal == b->decimal);
    for (size_t i = 0; i < a->n_items; i++)
        if (a->kind == VALUE_LIST ? !trees_equal(a->items[i], b->items[i])
                                  : !pairs_equal(&a->pairs[i], &b->pairs[i]))
            return false;
    return true;
}

static bool is_read_plainly(const char *text, size_t size, const struct yaml_limits *limits)
{
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = NEW(struct yaml_tree);
    return yaml_read_plain(text, size, limits, tree);
}

/* Whether libyaml agrees, which it does without a fault. */
static bool is_agreed(const char *text, size_t size, const struct yaml_limits *limits)
{
    struct diagnostics diagnostics = {0};
    CLEANUP(yaml_tree_freep) struct yaml_tree *plain = NEW(struct yaml_tree);
    CLEANUP(yaml_tree_freep) struct yaml_tree *events = NEW(struct yaml_tree);
    if (!yaml_read_plain(text, size, limits, plain))
        return true;
    int r = yaml_read_events(text, size, limits, events, &diagnostics);
    bool is_same =
        r == 0 && diagnostics.n_items == 0 && trees_equal(yaml_root(plain), yaml_root(events));
    if (!is_same)
        printf("# of: %.*s\n# %s\n", (int)size, text,
               diagnostics.n_items ? diagnostics.items[0].detail : "another tree");
    diagnostics_done(&diagnostics);
    return is_same;
}

static const char *const plain_texts[] = {
    "a: 1\n",
    "a: 1",
    "# first\n\n  # second\na: b # third\n\n# last",
    ("deployment:\n  name: bench\n  resources:\n    - type: core:data:value\n      name: r1\n"
     "      properties: { value: \"v1-${r0.id}\" }\n    - type: x\n      name: y\n"),
    "a:\n- 1\n- b: 2\n  c: 3\n-   d: 4\ne: [x, 'y', \"z\"]\n",
    "a: {b: [], c: {}, d: [[1], {e: -1.5}]}\nb: http://x/y?z=1#f\n",
    "a: # why\n  b: -x\n  c: ~\n  d: true\n  e: 0x1f\n  f: 1e3\n  g: 'it is'\n",
    "  a: 1\n  b:\n   c: x y z   \n   d: ${a.b}\n  e/f.g-h: /i\n",
    "a: b c\n  d 1\n  e # f\ng:\n- h\n  i\n- j\nk: 1\n 2\n",
    "a: {b: 1, # c\n  d: [e,\n   f], g: h\n }\ni: [\n  {j: k},\n\n  l # m\n  ]\n",
    "a:\n  - - b\n",
    "a:b: 1\nc:\n  - d:e:f:\n      g:h: {i:j: k}\n",
    "a: [core:data:value, ${b.c}, d e]\n",
};
enum { N_PLAIN = 10 }; /* the first ones */

TEST(the_usual_form_is_read_without_libyaml)
{
    for (size_t i = 0; i < N_PLAIN; i++) {
        size_t size = strlen(plain_texts[i]);
        CHECK(is_read_plainly(plain_texts[i], size, &yaml_default_limits));
        CHECK(is_agreed(plain_texts[i], size, &yaml_default_limits));
    }
}

TEST(all_else_is_left_to_libyaml)
{
    static const char *const others[] = {
        "",
        "a",
        "- a\n",
        "a:\n",
        "a: |\n  b\n",
        "a: b\n\n  c\n",
        "a: &x 1\n",
        "a: !!str 1\n",
        "---\na: 1\n",
        "a: 1\n...\n",
        "a: \"\\n\"\n",
        "a: 'b''c'\n",
        "a: \xc3\xa4\n",
        "a:\t1\n",
        "a: 1\r\n",
        "a: 1\na: 2\n",
        "1: 2\n",
        "true: 1\n",
        "? a\n: b\n",
        "a: {b: 1,}\n",
        "a: [\n1]\n",
        "a: b: c\n",
        "a: [b\n",
        "<<: {a: 1}\n",
        "a: .inf\n",
        "a: 1\n b: 2\n",
        "a:\n  b: 1\n c: 2\n",
        "a: 99999999999999999999\n",
        "a: *b\n",
        "%YAML 1.2\n",
        "a: \"b\" c\n",
        "a: [b: c]\n",
        "a: >\n  b\n",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++) {
        bool is_read = is_read_plainly(others[i], strlen(others[i]), &yaml_default_limits);
        CHECK_TEXT(is_read ? others[i] : "left", "left");
    }
}

TEST(limits_are_those_of_libyaml)
{
    struct yaml_limits limits = yaml_default_limits;
    const char *text = "a: {b: [c, d]}\n";
    limits.nodes = 5;
    limits.depth = 3;
    CHECK(is_read_plainly(text, strlen(text), &limits));
    limits.nodes = 4;
    CHECK(!is_read_plainly(text, strlen(text), &limits));
    limits.nodes = 5;
    limits.depth = 2;
    CHECK(!is_read_plainly(text, strlen(text), &limits));
    limits = yaml_default_limits;
    limits.scalar_bytes = 3;
    CHECK(!is_read_plainly("a: bcde\n", 8, &limits));
    CHECK(!is_read_plainly("abcd: e\n", 8, &limits));
}

/* The next of a row of numbers that are the same in each run. */
static uint32_t draw(uint64_t *state, uint32_t below)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33) % below;
}

/* Exchanges, takes out or puts in some bytes of those that mean something in YAML. */
static size_t spoil(uint64_t *state, char *text, size_t size)
{
    static const char bytes[] = "  \n\n::--#,[]{}\"'?&*!|>%@`~.$/ab10ntf<=\\\t";
    for (uint32_t n = 1 + draw(state, 3); n > 0; n--) {
        size_t at = draw(state, (uint32_t)size + 1);
        char byte = bytes[draw(state, sizeof(bytes) - 1)];
        switch (draw(state, 3)) {
        case 0:
            if (at < size)
                text[at] = byte;
            break;
        case 1:
            memmove(text + at + 1, text + at, size - at);
            text[at] = byte;
            size++;
            break;
        default:
            if (at < size)
                memmove(text + at, text + at + 1, --size - at);
            break;
        }
    }
    return size;
}

TEST(spoiled_texts_are_read_as_libyaml_reads_them)
{
    enum { N_ROUNDS = 40000 };
    uint64_t state = 1;
    size_t n_plain = 0;
    for (size_t i = 0; i < N_ROUNDS; i++) {
        char text[512];
        const char *seed = plain_texts[i % ARRAY_LENGTH(plain_texts)];
        memcpy(text, seed, strlen(seed));
        size_t size = spoil(&state, text, strlen(seed));
        CHECK(is_agreed(text, size, &yaml_default_limits));
        n_plain += is_read_plainly(text, size, &yaml_default_limits);
    }
    /* Enough of them still are of the usual form. */
    CHECK(n_plain > N_ROUNDS / 10);
}
