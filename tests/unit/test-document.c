#include "base/world.h"
#include "document/declaration.h"
#include "document/document.h"
#include "harness.h"
#include "model/json.h"

#include <unistd.h>

static const char shop[] =
    "deployment:\n"
    "  name: shop\n"
    "  variables: {tag: 7}\n"
    "  patterns: [plain, {name: tiers, with: {tiers: [web, db], size: \"${var.tag}\"}}]\n"
    "  resources:\n"
    "    - {type: opnsense:network:vlan, name: web, properties: {tag: \"${var.tag}\"}}\n"
    "    - type: opnsense:firewall:rule\n"
    "      name: rule\n"
    "      properties: {source: any, destination: web, description: null}\n"
    "    - type: docker:compose:stack\n"
    "      name: stack\n"
    "      properties: {services: {web: {image: a}}}\n"
    "    - {type: opnsense:haproxy:backend, name: back, properties: {servers: [hosts, \"${x.y}\"]}}\n";

static struct catalog *catalog;

static struct catalog *the_catalog(void)
{
    struct diagnostics diagnostics = {0};
    if (!catalog)
        catalog_open(NULL, &catalog, &diagnostics, NULL);
    diagnostics_done(&diagnostics);
    return catalog;
}

__attribute__((destructor)) static void free_catalog(void)
{
    catalog_free(catalog);
}

static struct document *read_document(const char *text, struct diagnostics *diagnostics)
{
    struct document *document = NULL;
    document_read("shop.yaml", text, strlen(text), &document, diagnostics);
    return document;
}

static struct value *from_json(const char *text)
{
    struct value *value = NULL;
    json_read(text, strlen(text), &value, NULL);
    return value;
}

static void check_properties(const struct document *document, const char *name, const char *want)
{
    CLEANUP(value_unrefp)
    struct value *properties = declaration_properties(document, document_find(document, name));
    CLEANUP(mem_freep) char *json = json_text(properties);
    CHECK_TEXT(json, want);
}

TEST(declarations_are_walked_with_variables_filled_in)
{
    struct diagnostics diagnostics = {0};
    CLEANUP(document_freep) struct document *document = read_document(shop, &diagnostics);
    CHECK(!diagnostics_has_errors(&diagnostics));
    CHECK(document_count(document) == 4);
    CHECK_TEXT(declaration_name(document_at(document, 1)), "rule");
    CHECK_TEXT(declaration_type(document_at(document, 1)), "opnsense:firewall:rule");
    CHECK(!document_find(document, "nothing"));
    check_properties(document, "web", "{\"tag\":7}");
    check_properties(document, "back",
                     "{\"servers\":[\"hosts\",{\"$unknown\":{\"origin\":\"${x.y}\","
                     "\"type\":\"any\"}}]}");
    struct position position =
        declaration_property_position(document, document_find(document, "rule"), "destination");
    CHECK(position.line == 9 && position.column == 46);
    diagnostics_done(&diagnostics);
}

TEST(patterns_and_their_parameters_are_given)
{
    struct diagnostics diagnostics = {0};
    CLEANUP(document_freep) struct document *document = read_document(shop, &diagnostics);
    CLEANUP(value_unrefp) struct value *given = from_json("{\"tag\":\"9\"}");
    document_set_variables(document, given, &diagnostics);
    CHECK(!diagnostics_has_errors(&diagnostics));
    CHECK(document_pattern_count(document) == 2);
    CHECK_TEXT(document_pattern_at(document, 0)->name, "plain");
    CHECK(value_count(document_pattern_at(document, 0)->with) == 0);
    CLEANUP(mem_freep) char *with = json_text(document_pattern_at(document, 1)->with);
    CHECK_TEXT(with, "{\"size\":9,\"tiers\":[\"web\",\"db\"]}");
    struct position position = document_pattern_position(document, 1, "tiers[1]");
    CHECK(position.line == 4 && position.column == 55);
    CHECK(document_has_variable(document, "tag") && !document_has_variable(document, "tga"));
    diagnostics_done(&diagnostics);
}

static void note_reference(void *argument, const char *path, const char *name)
{
    strbuf_addf(argument, "%s=%s;", path, name);
}

TEST(references_of_a_declaration_are_found)
{
    struct diagnostics diagnostics = {0};
    struct strbuf found = {0};
    CLEANUP(document_freep) struct document *document = read_document(shop, &diagnostics);
    for (size_t i = 0; i < document_count(document); i++)
        declaration_references(document, document_at(document, i), the_catalog(), note_reference,
                               &found);
    CHECK_TEXT(found.text, "destination=web;servers=hosts;");
    strbuf_done(&found);
    diagnostics_done(&diagnostics);
}

TEST(only_unset_properties_are_filled)
{
    static const struct {
        const char *name;
        const char *path;
        bool is_filled;
    } cases[] = {
        {"web", "tag", false},
        {"web", "interface", true},
        {"web", "interface", false},
        {"rule", "description", false},
        {"stack", "services.web.image", false},
        {"stack", "services.web.port", true},
        {"stack", "services.app.port", true},
        {"stack", "services.web.image.tag", false},
        {"back", "servers[0]", false},
        {"back", "servers[7]", false},
        {"back", "servers[1].x", false},
        {"back", "", false},
    };
    struct diagnostics diagnostics = {0};
    CLEANUP(document_freep) struct document *document = read_document(shop, &diagnostics);
    CLEANUP(value_unrefp) struct value *value = from_json("[1,{\"a\":null}]");
    struct position position = document_pattern_at(document, 0)->position;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        bool is_filled = document_fill(document, document_find(document, cases[i].name),
                                       cases[i].path, value, position, "pattern plain");
        if (is_filled != cases[i].is_filled)
            printf("# %s %s\n", cases[i].name, cases[i].path);
        CHECK(is_filled == cases[i].is_filled);
    }
    check_properties(document, "stack",
                     "{\"services\":{\"app\":{\"port\":[1,{\"a\":null}]},"
                     "\"web\":{\"image\":\"a\",\"port\":[1,{\"a\":null}]}}}");
    check_properties(document, "rule",
                     "{\"description\":null,\"destination\":\"web\",\"source\":\"any\"}");
    diagnostics_done(&diagnostics);
}

TEST(what_is_added_is_expanded_with_its_origin)
{
    struct diagnostics diagnostics = {0};
    struct wanted wanted = {0};
    struct document_context context = {.catalog = the_catalog()};
    CLEANUP(document_freep)
    struct document *document =
        read_document("deployment:\n  name: shop\n  resources:\n"
                      "    - {type: core:data:value, name: a, properties: {value: 1}}\n",
                      &diagnostics);
    CLEANUP(value_unrefp)
    struct value *form = from_json("{\"type\":\"core:data:value\",\"name\":\"b\",\"count\":2,"
                                   "\"properties\":{\"value\":\"${a.value}-$${x}-${count.index}\"},"
                                   "\"dependsOn\":[\"a\"]}");
    CLEANUP(value_unrefp) struct value *value = value_unknown("any", "${a.id}");
    struct position position = {"shop.yaml", 4, 7};
    struct declaration *added =
        document_add(document, form, position, "pattern plain", &diagnostics);
    CHECK(added && document_find(document, "b") == added);
    CHECK_TEXT(declaration_origin(added), "pattern plain");
    document_move_before(document, added, document_find(document, "a"));
    CHECK(document_at(document, 0) == added);
    CHECK(!document_fill(document, added, "value", value, position, "pattern other"));
    document_expand(document, &context, &wanted, &diagnostics);
    CHECK(!diagnostics_has_errors(&diagnostics));
    CHECK(wanted.n_items == 3);
    CHECK_TEXT(wanted.items[1].address, "b[1]");
    CHECK_TEXT(wanted.items[1].origin, "pattern plain");
    CHECK_TEXT(wanted.items[1].depends_on.items[0], "a");
    CLEANUP(mem_freep) char *spec = json_text(wanted.items[1].spec);
    CHECK_TEXT(spec, "{\"value\":\"1-${x}-1\"}");
    CHECK(!document_add(document, form, position, "pattern plain", &diagnostics));
    CHECK(diagnostics.n_errors == 1 && diagnostics.items[0].code == DIAGNOSTIC_DUPLICATE_NAME);
    wanted_done(&wanted);
    diagnostics_done(&diagnostics);
}

TEST(what_was_expanded_outlives_its_declarations)
{
    struct diagnostics diagnostics = {0};
    struct wanted wanted = {0};
    struct document_context context = {.catalog = the_catalog()};
    char text[] = "deployment:\n  name: shop\n  environment: test\n  version: 1.2.3\n"
                  "  resources:\n    - {type: core:data:value, name: one, "
                  "properties: {value: \"${two.id}\"}}\n"
                  "    - {type: core:data:value, name: two, properties: {value: x}}\n";
    CLEANUP(document_freep) struct document *document = read_document(text, &diagnostics);
    document_expand(document, &context, &wanted, &diagnostics);
    document_drop_declarations(document);
    memset(text, 'x', strlen(text));
    CHECK(diagnostics.n_items == 0 && wanted.n_items == 2);
    CHECK_TEXT(document_name(document), "shop");
    CHECK_TEXT(document_environment(document), "test");
    CHECK_TEXT(document_version(document), "1.2.3");
    CHECK(document_count(document) == 0 && !document_find(document, "one"));
    CHECK(document_pattern_count(document) == 0);
    CHECK_TEXT(wanted.items[0].position.file, "shop.yaml");
    CHECK(wanted.items[0].position.line == 6 && wanted.items[1].position.line == 7);
    CHECK_TEXT(wanted.items[0].address, "one");
    CHECK_TEXT(wanted.items[0].depends_on.items[0], "two");
    wanted_done(&wanted);
    diagnostics_done(&diagnostics);
}

TEST(a_file_of_four_gigabytes_is_refused_before_it_is_read)
{
    char path[] = "/tmp/parley-document-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    bool is_large = ftruncate(fd, (off_t)4 << 30) == 0;
    close_descriptor(fd);
    struct diagnostics diagnostics = {0};
    struct document *document = NULL;
    char *text = NULL;
    int64_t start = world_monotonic_clock();
    int r = document_read_file(path, &text, &document, &diagnostics, NULL);
    int64_t took = world_monotonic_clock() - start;
    unlink(path);
    CHECK(is_large && r == 0 && !document && !text);
    CHECK(diagnostics.n_items == 1 && diagnostics.items[0].code == DIAGNOSTIC_YAML_LIMIT);
    CHECK_TEXT(diagnostics.items[0].file, path);
    CHECK(took < 1000000);
    diagnostics_done(&diagnostics);
}

TEST(a_file_that_is_not_there_is_an_error)
{
    struct diagnostics diagnostics = {0};
    struct document *document = NULL;
    char *text = NULL;
    struct error err = {0};
    CHECK(document_read_file("/nonexistent/shop.yaml", &text, &document, &diagnostics, &err) < 0);
    CHECK(err.code == ERROR_NOT_FOUND && diagnostics.n_items == 0);
    error_done(&err);
}

/* The document with count: COUNT and forEach over as many keys, within so many resources. */
static enum diagnostic_code first_fault(size_t n_resources, int count)
{
    CLEANUP(mem_freep)
    char *text = string_format("deployment:\n  name: shop\n  resources:\n"
                               "    - {type: core:data:value, name: a, count: %d, properties: "
                               "{value: 1}}\n"
                               "    - {type: core:data:value, name: b, forEach: [x, y], "
                               "properties: {value: 1}}\n",
                               count);
    struct document_limits limits = document_default_limits;
    limits.resources = n_resources;
    struct document_context context = {.catalog = the_catalog()};
    struct diagnostics diagnostics = {0};
    struct wanted wanted = {0};
    struct document *document = NULL;
    document_read_within("shop.yaml", text, strlen(text), &limits, &document, &diagnostics);
    document_expand(document, &context, &wanted, &diagnostics);
    enum diagnostic_code code =
        diagnostics.n_errors ? diagnostics.items[0].code : DIAGNOSTIC_CODE_COUNT;
    wanted_done(&wanted);
    document_free(document);
    diagnostics_done(&diagnostics);
    return code;
}

TEST(the_number_of_resources_has_a_limit)
{
    CHECK(first_fault(10, 8) == DIAGNOSTIC_CODE_COUNT);
    CHECK(first_fault(9, 8) == DIAGNOSTIC_YAML_LIMIT);
    CHECK(first_fault(10, 11) == DIAGNOSTIC_YAML_LIMIT);
}
