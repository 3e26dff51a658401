/* Documents compared and merged. What is expected is what a person would do by hand. */
#include "base/text.h"
#include "document/merge.h"
#include "harness.h"

#define DOCUMENT(resources) "deployment:\n  name: shop\n  resources:\n" resources
#define WEB "    - type: box # mine\n      name: web\n      properties: {rate: 1, size: 2}\n"
#define DB "    # the data\n    - type: box\n      name: db\n"

static const struct {
    const char *what;
    const char *base, *head, *file;
    const char *want;      /* NULL: conflicts */
    const char *conflicts; /* "PLACE file-line:head-line ..." */
} cases[] = {
    {"nothing changed", DOCUMENT(WEB), DOCUMENT(WEB), DOCUMENT(WEB), DOCUMENT(WEB), NULL},
    {"only the file changed", DOCUMENT(WEB), DOCUMENT(WEB), DOCUMENT(WEB DB), DOCUMENT(WEB DB),
     NULL},
    {"only the head changed: comments of the file stay", DOCUMENT(WEB DB),
     DOCUMENT("    - type: box\n      name: web\n      properties: {rate: 5, size: 2}\n" DB),
     DOCUMENT(WEB DB),
     DOCUMENT("    - type: box # mine\n      name: web\n      properties: {rate: 5, size: 2}\n" DB),
     NULL},
    {"each changed another property of one resource", DOCUMENT(WEB),
     DOCUMENT("    - {type: box, name: web, properties: {rate: 5, size: 2}}\n"),
     DOCUMENT("    - type: box\n      name: web\n      properties: {rate: 1, size: 9} # nine\n"),
     DOCUMENT("    - type: box\n      name: web\n      properties: {rate: 5, size: 9} # nine\n"),
     NULL},
    {"the head added a resource and the file another", DOCUMENT(WEB),
     DOCUMENT(WEB "    - {type: box, name: cache}\n"), DOCUMENT(WEB DB),
     DOCUMENT(WEB "    - type: box\n      name: cache\n" DB), NULL},
    {"the head removed a resource that the file has as it was", DOCUMENT(WEB DB), DOCUMENT(WEB),
     DOCUMENT(DB WEB), DOCUMENT("    # the data\n" WEB), NULL},
    {"the file removed a resource that the head has as it was", DOCUMENT(WEB DB), DOCUMENT(WEB DB),
     DOCUMENT(WEB), DOCUMENT(WEB), NULL},
    {"both removed it", DOCUMENT(WEB DB), DOCUMENT(WEB), DOCUMENT(WEB), DOCUMENT(WEB), NULL},
    {"both made the same change", DOCUMENT(WEB), DOCUMENT(WEB DB),
     DOCUMENT(WEB "    - {type: box, name: db}\n"), DOCUMENT(WEB "    - {type: box, name: db}\n"),
     NULL},
    {"the head set a property and took another back", DOCUMENT(WEB),
     DOCUMENT("    - {type: box, name: web, properties: {size: 2, block: [x]}}\n"), DOCUMENT(WEB),
     DOCUMENT("    - type: box # mine\n      name: web\n      properties: {size: 2, block: [x]}\n"),
     NULL},
    {"scalars of a list are items", "a: [x, y, z]\n", "a: [x, z, w]\n", "a: [n, x, y, z]\n",
     "a: [n, x, z, w]\n", NULL},
    {"the head has another order and the file is as it was", "a: [x, y] # c\n", "a: [y, x]\n",
     "a: [x, y] # c\n", "a: [y, x] # c\n", NULL},
    {"the revision that the file names is its own", "deployment: {name: a, revision: 1}\n",
     "deployment: {name: a, revision: 2}\n", "deployment: {name: a, revision: 1}\n",
     "deployment: {name: a, revision: 1}\n", NULL},
    {"a key that is new in the head stands where it stood there", "a: 1\nc: 3\n",
     "a: 1\nb: 2\nc: 3\n", "a: 1 # one\nc: 3\n", "a: 1 # one\nb: 2\nc: 3\n", NULL},
    {"a pattern got parameters in the head", "p: [one, two]\n",
     "p: [one, {name: two, with: {n: 2}}]\n", "p:\n  - one # 1\n  - two # 2\n",
     "p:\n  - one # 1\n  - name: two\n    with:\n      n: 2 # 2\n", NULL},
    {"both changed the same property", DOCUMENT(WEB),
     DOCUMENT("    - {type: box, name: web, properties: {rate: 5, size: 2}}\n"),
     DOCUMENT(
         "    - type: box\n      name: web\n      properties:\n        rate: 7\n        size: 2\n"),
     NULL, "deployment.resources[web].properties.rate 7:4"},
    {"the file removed what the head changed", DOCUMENT(WEB DB),
     DOCUMENT("    - {type: box, name: web, properties: {rate: 5, size: 2}}\n" DB), DOCUMENT(DB),
     NULL, "deployment.resources[web] 5:4"},
    {"the head removed what the file changed", DOCUMENT(WEB DB), DOCUMENT(DB),
     DOCUMENT("    - {type: box, name: web, properties: {rate: 5, size: 2}}\n" DB), NULL,
     "deployment.resources[web] 4:5"},
    {"both added the same name differently", DOCUMENT(WEB),
     DOCUMENT(WEB "    - {type: box, name: db, properties: {size: 1}}\n"),
     DOCUMENT(WEB "    - {type: box, name: db, properties: {size: 2}}\n"), NULL,
     "deployment.resources[db].properties.size 7:7"},
    {"several conflicts are all told", "a: 1\nb: 1\nc: 1\n", "a: 2\nb: 2\nc: 2\n",
     "a: 3\nb: 1\nc: 3\n", NULL, "a 1:1 c 3:3"},
    {"lists without names, changed by both", "a: [[1]]\n", "a: [[2]]\n", "a: [[3]]\n", NULL,
     "a 1:1"},
    {"lists ordered anew by both", "a: [x, y, z]\n", "a: [z, x, y]\n", "a: [y, x, z]\n", NULL,
     "a 1:1"},
};

static char *conflicts_text(const struct merge *merge)
{
    struct strbuf text = {0};
    for (size_t i = 0; i < merge->n_conflicts; i++) {
        CLEANUP(mem_freep) char *place = merge_place_text(merge->conflicts[i].place);
        strbuf_addf(&text, "%s%s %u:%u", i == 0 ? "" : " ", place, merge->conflicts[i].line,
                    merge->conflicts[i].head_line);
    }
    return strbuf_take(&text);
}

TEST(a_merge_brings_what_the_head_has_into_the_file)
{
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct merge merge = {0};
        struct error err = {0};
        if (document_merge(cases[i].base, cases[i].head, cases[i].file, &merge, &err) < 0) {
            printf("# %s: %s\n", cases[i].what, error_message(&err));
            CHECK(!"merged");
        }
        CLEANUP(mem_freep) char *conflicts = conflicts_text(&merge);
        if (!cases[i].want != !merge.text || (merge.text && !text_equal(merge.text, cases[i].want)))
            printf("# %s\n# %s\n", cases[i].what, conflicts);
        if (cases[i].want)
            CHECK_TEXT(merge.text, cases[i].want);
        CHECK(!cases[i].want == !merge.text);
        CHECK_TEXT(conflicts, cases[i].conflicts ? cases[i].conflicts : "");
        merge_done(&merge);
    }
}

/* Whoever is called the file: where nobody contradicts, the trees come out the same. */
TEST(a_merge_gives_the_same_tree_whichever_side_is_the_file)
{
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct merge one = {0};
        struct merge other = {0};
        CHECK(document_merge(cases[i].base, cases[i].head, cases[i].file, &one, NULL) == 0);
        CHECK(document_merge(cases[i].base, cases[i].file, cases[i].head, &other, NULL) == 0);
        CHECK(!one.text == !other.text && one.n_conflicts == other.n_conflicts);
        CLEANUP(yaml_tree_freep) struct yaml_tree *a = one.text ? merge_read(one.text) : NULL;
        CLEANUP(yaml_tree_freep) struct yaml_tree *b = other.text ? merge_read(other.text) : NULL;
        const struct yaml_node *deployment = a ? yaml_get(yaml_root(a), "deployment") : NULL;
        bool is_list = strstr(cases[i].file, "[n, ") ||
                       strstr(cases[i].want ? cases[i].want : "", "cache") ||
                       strstr(cases[i].what, "file has as it was");
        if (a && !(deployment && yaml_get(deployment, "revision")) && !is_list)
            CHECK(merge_is_same(yaml_root(a), yaml_root(b)));
        merge_done(&one);
        merge_done(&other);
    }
}

static void add_place(void *argument, const struct value *place, const struct yaml_node *before,
                      const struct yaml_node *after)
{
    CLEANUP(mem_freep) char *text = merge_place_text(place);
    struct strbuf *found = argument;
    strbuf_addf(found, "%s%s%s ", !before ? "+" : !after ? "-" : "~", text, "");
}

TEST(documents_are_compared_as_deep_as_they_can_be)
{
    CLEANUP(yaml_tree_freep)
    struct yaml_tree *before = merge_read(DOCUMENT(WEB DB) "  outputs: {x: [1, [2]]}\n");
    CLEANUP(yaml_tree_freep)
    struct yaml_tree *after = merge_read(
        DOCUMENT("    - {name: web, type: box, properties: {rate: 2, tags: [a]}}\n"
                 "    - {type: box, name: cache}\n") "  outputs: {x: [1, [3]]}\n  revision: 7\n");
    struct strbuf found = {0};
    document_compare(before, after, add_place, &found);
    CHECK_TEXT(strbuf_text(&found),
               "~deployment.resources[web].properties.rate "
               "-deployment.resources[web].properties.size "
               "+deployment.resources[web].properties.tags -deployment.resources[db] "
               "+deployment.resources[cache] ~deployment.outputs.x ");
    strbuf_done(&found);
}

TEST(a_place_is_found_again_and_names_its_resource)
{
    CLEANUP(yaml_tree_freep) struct yaml_tree *tree = merge_read(DOCUMENT(DB WEB));
    const char *steps[] = {"deployment", "resources", "[web]", "properties", "rate"};
    struct value_builder builder = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(steps); i++)
        value_builder_append(&builder, value_string(steps[i]));
    CLEANUP(value_unrefp) struct value *place = value_builder_list(&builder);
    const struct yaml_node *node = merge_find(tree, place);
    CHECK(node && node->integer == 1);
    size_t length;
    const char *name = merge_place_resource(place, &length);
    CHECK(name && length == 3 && strncmp(name, "web", 3) == 0);
    CLEANUP(yaml_tree_freep) struct yaml_tree *other = merge_read(DOCUMENT(DB));
    CHECK(!merge_find(other, place));
}
