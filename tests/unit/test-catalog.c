#include "harness.h"

#include "base/text.h"
#include "base/world.h"
#include "catalog/catalog.h"
#include "model/json.h"

#include <sys/stat.h>
#include <unistd.h>

static struct value *read_json(const char *text)
{
    struct error err = {0};
    struct value *value = NULL;
    if (json_read(text, strlen(text), &value, &err) < 0)
        printf("# %s: %s\n", text, err.message);
    error_done(&err);
    return value;
}

static struct catalog *open_catalog(const char *folder)
{
    struct catalog *catalog = NULL;
    struct diagnostics diagnostics = {0};
    struct error err = {0};
    if (catalog_open(folder, &catalog, &diagnostics, &err) < 0)
        printf("# %s\n", error_message(&err));
    struct strbuf text = {0};
    diagnostics_write(&diagnostics, NULL, NULL, &text);
    if (text.length > 0)
        printf("# %s\n", strbuf_text(&text));
    strbuf_done(&text);
    diagnostics_done(&diagnostics);
    error_done(&err);
    return catalog;
}

/* A folder with one catalog file in it. */
struct folder {
    char path[64];
};

static struct folder make_folder(const char *text, size_t size)
{
    struct folder folder = {"/tmp/parley-catalog-XXXXXX"};
    struct error err = {0};
    CHECK(mkdtemp(folder.path));
    CLEANUP(mem_freep) char *file = string_format("%s/own.yaml", folder.path);
    CHECK(world_write_file(file, text, size, 0600, false, &err) == 0);
    return folder;
}

static void remove_folder(const struct folder *folder)
{
    CLEANUP(mem_freep) char *file = string_format("%s/own.yaml", folder->path);
    unlink(file);
    rmdir(folder->path);
}

/* The diagnostics of a catalog file, as lines "LINE:COLUMN CODE DETAIL"; the catalog is not given.
 */
static char *faults_of(const char *text)
{
    struct folder folder = make_folder(text, strlen(text));
    struct catalog *catalog = NULL;
    struct diagnostics diagnostics = {0};
    struct error err = {0};
    struct strbuf lines = {0};
    int r = catalog_open(folder.path, &catalog, &diagnostics, &err);
    remove_folder(&folder);
    for (size_t i = 0; i < diagnostics.n_items; i++)
        strbuf_addf(&lines, "%u:%u %s %s\n", diagnostics.items[i].line, diagnostics.items[i].column,
                    diagnostic_code_to_string(diagnostics.items[i].code),
                    diagnostics.items[i].detail);
    if (r < 0 || catalog)
        strbuf_add(&lines, "given all the same");
    catalog_free(catalog);
    diagnostics_done(&diagnostics);
    error_done(&err);
    return strbuf_take(&lines);
}

static char *source_path(const char *name)
{
    const char *root = getenv("PARLEY_SOURCE");
    return string_format("%s/%s", root ? root : ".", name);
}

static char *read_source(const char *name)
{
    CLEANUP(mem_freep) char *path = source_path(name);
    char *text = NULL;
    struct error err = {0};
    if (world_read_file(path, 1 << 20, &text, NULL, &err) < 0)
        printf("# %s\n", err.message);
    error_done(&err);
    return text;
}

TEST(every_type_that_the_seed_and_the_issue_name_is_built_in)
{
    static const char *const names[] = {
        "aws:acm:certificate",
        "aws:autoscaling:group",
        "aws:ec2:instances",
        "aws:rds:cluster",
        "core:data:value",
        "docker:compose:stack",
        "docker:image:build",
        "k8s:configmap:alerts",
        "k8s:deployment:grafana",
        "k8s:deployment:prometheus",
        "opnsense:firewall:alias",
        "opnsense:firewall:rule",
        "opnsense:firewall:schedule",
        "opnsense:haproxy:backend",
        "opnsense:haproxy:frontend",
        "opnsense:haproxy:server",
        "opnsense:nat:outbound",
        "opnsense:nat:portforward",
        "opnsense:network:vlan",
        "opnsense:vpn:wireguard",
    };
    CLEANUP(catalog_freep) struct catalog *catalog = open_catalog(NULL);
    CHECK(catalog);
    CHECK(catalog_count(catalog) == ARRAY_LENGTH(names));
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        const struct resource_type *type = catalog_at(catalog, i);
        CHECK_TEXT(type->name, names[i]);
        CHECK(catalog_find(catalog, names[i]) == type);
        CHECK(text_starts_with(type->name, type->provider));
        CHECK(type->description && type->n_drivers > 0 && type_find_output(type, "id"));
        for (size_t k = 0; k < type->schema.n_fields; k++)
            CHECK(type->schema.fields[k].schema.description);
    }
}

TEST(names_that_other_documents_use_lead_to_the_same_type)
{
    static const struct {
        const char *alias;
        const char *name;
    } cases[] = {
        {"opnsense:service:haproxy:backend", "opnsense:haproxy:backend"},
        {"opnsense:services:haproxy:backend", "opnsense:haproxy:backend"},
        {"opnsense:service:haproxy:server", "opnsense:haproxy:server"},
        {"opnsense:services:haproxy:frontend", "opnsense:haproxy:frontend"},
        {"kubernetes:deployment:grafana", "k8s:deployment:grafana"},
    };
    CLEANUP(catalog_freep) struct catalog *catalog = open_catalog(NULL);
    CHECK(catalog);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        CHECK_TEXT(catalog_find(catalog, cases[i].alias)->name, cases[i].name);
    CHECK(!catalog_find(catalog, "opnsense:network:vlna"));
    CHECK_TEXT(catalog_nearest(catalog, "opnsense:network:vlna"), "opnsense:network:vlan");
    CHECK(!catalog_nearest(catalog, "somethingelse"));
}

TEST(what_a_delete_cannot_bring_back_and_what_has_an_order_is_marked)
{
    CLEANUP(catalog_freep) struct catalog *catalog = open_catalog(NULL);
    CHECK(catalog);
    for (size_t i = 0; i < catalog_count(catalog); i++) {
        const struct resource_type *type = catalog_at(catalog, i);
        CHECK(type->is_irreversible == (text_equal(type->name, "aws:rds:cluster") ||
                                        text_equal(type->name, "aws:acm:certificate")));
        CHECK(type->is_ordered == (text_equal(type->name, "opnsense:firewall:rule") ||
                                   text_starts_with(type->name, "opnsense:nat:")));
    }
    const struct resource_type *cluster = catalog_find(catalog, "aws:rds:cluster");
    CHECK(schema_field(&cluster->schema, "engine")->forces_replacement);
    CHECK(schema_field(&cluster->schema, "subnet")->forces_replacement);
    CHECK(!schema_field(&cluster->schema, "version")->forces_replacement);
    const struct resource_type *vlan = catalog_find(catalog, "opnsense:network:vlan");
    CHECK(!schema_field(&vlan->schema, "tag")->forces_replacement);
    CHECK(vlan->stage == STAGE_NETWORK);
}

/* {type, spec as written, canonical spec} */
static const struct {
    const char *type;
    const char *spec;
    const char *canonical;
} specs[] = {
    /* The seed's own resources. */
    {"opnsense:network:vlan", "{\"tag\":200,\"subnet\":\"10.200.0.0/24\"}",
     "{\"subnet\":\"10.200.0.0/24\",\"tag\":200}"},
    {"opnsense:firewall:rule",
     "{\"source\":\"any\",\"destination\":\"web-tier\",\"port\":443,\"action\":\"pass\","
     "\"rateLimit\":\"1000/minute\"}",
     "{\"action\":\"allow\",\"destination\":\"web-tier\",\"port\":[443],\"rateLimit\":\"1000/"
     "minute\",\"source\":\"0.0.0.0/0\"}"},
    {"aws:acm:certificate",
     "{\"domains\":[\"ShopHub.com\",\"www.shophub.com\"],"
     "\"validation\":\"DNS\"}",
     "{\"domains\":[\"shophub.com\",\"www.shophub.com\"],\"validation\":\"DNS\"}"},
    {"aws:autoscaling:group", "{\"min\":2,\"max\":10,\"targetCPU\":70,\"subnet\":\"web-tier\"}",
     "{\"max\":10,\"min\":2,\"subnet\":\"web-tier\",\"targetCPU\":70}"},
    {"docker:compose:stack",
     "{\"services\":{\"web\":{\"image\":\"shophub/web:latest\",\"replicas\":\"dynamic\"},"
     "\"app\":{\"image\":\"shophub/app:latest\",\"replicas\":3}}}",
     "{\"services\":{\"app\":{\"image\":\"shophub/app:latest\",\"replicas\":3},"
     "\"web\":{\"image\":\"shophub/web:latest\",\"replicas\":\"dynamic\"}}}"},
    {"docker:compose:stack",
     "{\"services\":{\"web\":{\"image\":\"w\",\"depends_on\":[\"app\",\"db\"]},"
     "\"app\":{\"image\":\"a\",\"depends_on\":{\"db\":{\"condition\":\"service_healthy\"}}}}}",
     "{\"services\":{\"app\":{\"depends_on\":{\"db\":{\"condition\":\"service_healthy\"}},"
     "\"image\":\"a\"},\"web\":{\"depends_on\":{\"app\":{\"condition\":\"service_started\"},"
     "\"db\":{\"condition\":\"service_started\"}},\"image\":\"w\"}}}"},
    {"k8s:deployment:prometheus", "{\"scrapeInterval\":\"30s\",\"retention\":\"30d\"}",
     "{\"retention\":\"30d\",\"scrapeInterval\":\"30s\"}"},
    /* Spellings. */
    {"k8s:deployment:prometheus",
     "{\"scrapeInterval\":\"60s\",\"retention\":\"2w\",\"rules\":\"alerts\"}",
     "{\"retention\":\"14d\",\"rules\":[\"alerts\"],\"scrapeInterval\":\"1m\"}"},
    {"opnsense:firewall:rule",
     "{\"source\":\"10.0.0.7\",\"destination\":\"192.168.0.0/16\",\"action\":\"deny\","
     "\"port\":[\"8000-8100\",443,\"80\",443,\"90-90\"],\"rateLimit\":\"5 / s\"}",
     "{\"action\":\"block\",\"destination\":\"192.168.0.0/16\",\"port\":[80,90,443,\"8000-8100\"],"
     "\"rateLimit\":\"5/second\",\"source\":\"10.0.0.7/32\"}"},
    {"opnsense:firewall:alias", "{\"content\":[\"10.0.0.9\",\"10.0.0.10\",\"10.0.0.9/32\"]}",
     "{\"content\":[\"10.0.0.10/32\",\"10.0.0.9/32\"]}"},
    {"opnsense:firewall:alias", "{\"content\":\"FD00::1\"}", "{\"content\":[\"fd00::1/128\"]}"},
    {"aws:rds:cluster",
     "{\"engine\":\"postgresql\",\"version\":14,\"instances\":\"2\",\"subnet\":\"db[0]\","
     "\"backup\":\"true\"}",
     "{\"backup\":true,\"engine\":\"postgres\",\"instances\":2,\"subnet\":\"db[0]\",\"version\":"
     "\"14\"}"},
    /* What is null was never set; what is unknown stays. */
    {"opnsense:network:vlan", "{\"tag\":1,\"description\":null}", "{\"tag\":1}"},
    {"core:data:value", "{\"value\":null}", "{\"value\":null}"},
    {"core:data:value", "{\"value\":{\"a\":[1,\"x\"]}}", "{\"value\":{\"a\":[1,\"x\"]}}"},
};

TEST(canonical_specs_are_as_documented)
{
    CLEANUP(catalog_freep) struct catalog *catalog = open_catalog(NULL);
    CHECK(catalog);
    for (size_t i = 0; i < ARRAY_LENGTH(specs); i++) {
        struct error err = {0};
        struct value *canonical = NULL;
        CLEANUP(value_unrefp) struct value *spec = read_json(specs[i].spec);
        CHECK(spec);
        const struct resource_type *type = catalog_find(catalog, specs[i].type);
        int r = type_canonical(type, spec, &canonical, &err);
        if (r < 0)
            printf("# %s\n", error_message(&err));
        CHECK(r == 0);
        CLEANUP(mem_freep) char *text = json_text(canonical);
        CHECK_TEXT(text, specs[i].canonical);
        struct value *again = NULL;
        CHECK(type_canonical(type, canonical, &again, &err) == 0);
        CHECK(value_equal(canonical, again));
        CHECK(schema_equal(&type->schema, spec, canonical));
        CHECK(schema_equal(&type->schema, canonical, spec));
        value_unref(again);
        value_unref(canonical);
    }
}

static void add_fault(void *argument, const char *path, enum diagnostic_code code, const char *help,
                      const char *detail)
{
    strbuf_addf(argument, "%s %s: %s%s%s\n", diagnostic_code_to_string(code), path, detail,
                help ? " " : "", help ? help : "");
}

/* {type, spec, its faults} */
static const struct {
    const char *type;
    const char *spec;
    const char *faults;
} faulty[] = {
    {"opnsense:network:vlan", "{\"tag\":5000,\"subnet\":\"10.0.0.1/24\",\"subnt\":\"x\"}",
     "bad-value subnet: \"subnet\" must be a CIDR without host bits such as 10.0.0.0/24, not "
     "\"10.0.0.1/24\".\n"
     "unknown-property subnt: There is no property \"subnt\" here. Did you mean \"subnet\"?\n"
     "bad-value tag: \"tag\" must be an integer from 1 to 4094, not 5000.\n"},
    {"opnsense:network:vlan", "{\"subnet\":[]}",
     "wrong-kind subnet: \"subnet\" must be a CIDR without host bits such as 10.0.0.0/24, not "
     "[].\n"
     "missing-property : \"tag\" is required. Set it to an integer from 1 to 4094.\n"},
    {"opnsense:firewall:rule",
     "{\"source\":\"Web Tier\",\"destination\":\"10.0.0.0/33\",\"action\":\"pas\",\"port\":[80,0],"
     "\"rateLimit\":\"many\"}",
     "bad-value action: \"action\" must be one of allow, block or reject, not \"pas\". Did you mean "
     "\"pass\"?\n"
     "bad-value destination: \"destination\" must be any, an address or a CIDR such as "
     "10.0.0.0/24 or the name of a resource of type opnsense:network:vlan or "
     "opnsense:firewall:alias, not \"10.0.0.0/33\".\n"
     "bad-value port[1]: \"port[1]\" must be a port from 1 to 65535 or a range such as "
     "8000-8100 or the name of a resource of type opnsense:firewall:alias, not 0.\n"
     "bad-value rateLimit: \"rateLimit\" must be a rate such as 1000/minute, not \"many\".\n"
     "bad-value source: \"source\" must be any, an address or a CIDR such as 10.0.0.0/24 or the "
     "name of a resource of type opnsense:network:vlan or opnsense:firewall:alias, not \"Web "
     "Tier\".\n"},
    {"aws:autoscaling:group", "{\"min\":5,\"max\":2,\"subnet\":\"web\"}",
     "bad-value max: \"max\" must not be below \"min\": 2 is less than 5.\n"},
    {"aws:rds:cluster", "{\"engine\":\"postgres\",\"subnet\":\"db\",\"version\":14.5}",
     "wrong-kind version: \"version\" must be a text of at most 32 characters, not 14.5. Put it in "
     "quotation marks, so that it is a text.\n"},
    {"docker:compose:stack",
     "{\"services\":{\"Web\":{\"image\":\"a\"},\"app\":{\"replicas\":\"dynamc\",\"healthCheck\":"
     "\"health check\"}}}",
     "bad-value services.Web: \"Web\" is not a name. A name has small letters, digits and \"-\", "
     "begins with a letter and is at most 63 characters long.\n"
     "bad-value services.app.healthCheck: \"services.app.healthCheck\" must be a path of a URL "
     "that begins with \"/\", not \"health check\".\n"
     "bad-value services.app.replicas: \"services.app.replicas\" must be dynamic, an integer from "
     "0 to 100, not \"dynamc\". Did you mean \"dynamic\"?\n"
     "missing-property services.app: \"image\" is required. Set it to a text of at most 255 "
     "characters.\n"},
    {"docker:compose:stack", "{\"services\":{}}",
     "bad-value services: \"services\" must be a map of at least 1 items, not {}.\n"},
    {"docker:compose:stack",
     "{\"services\":{\"web\":{\"image\":\"w\",\"depends_on\":[\"app\",\"db\",\"app\"]},"
     "\"app\":{\"image\":\"a\",\"depends_on\":[1]}}}",
     "wrong-kind services.app.depends_on: \"services.app.depends_on\" must be a map or a list of its "
     "keys, not [1].\n"
     "bad-value services.web.depends_on[2]: \"app\" is there twice. Take one of them out.\n"},
    {"core:data:value", "[]", "wrong-kind : The properties must be a map, not [].\n"},
    {"core:data:value", "{}", "missing-property : \"value\" is required. Set it to any value.\n"},
    {"aws:acm:certificate", "{\"domains\":[\"-x.example\",\"10.0.0.1\",\"a..b\",\"*.ok.example\"]}",
     "bad-value domains[0]: \"domains[0]\" must be a domain such as shop.example, not "
     "\"-x.example\".\n"
     "bad-value domains[1]: \"domains[1]\" must be a domain such as shop.example, not "
     "\"10.0.0.1\".\n"
     "bad-value domains[2]: \"domains[2]\" must be a domain such as shop.example, not \"a..b\".\n"},
};

TEST(every_fault_of_a_spec_is_told_with_its_path_and_advice)
{
    CLEANUP(catalog_freep) struct catalog *catalog = open_catalog(NULL);
    CHECK(catalog);
    for (size_t i = 0; i < ARRAY_LENGTH(faulty); i++) {
        struct strbuf faults = {0};
        const struct resource_type *type = catalog_find(catalog, faulty[i].type);
        CLEANUP(value_unrefp) struct value *spec = read_json(faulty[i].spec);
        CHECK(spec);
        value_unref(type_check(type, spec, add_fault, &faults));
        CHECK_TEXT(strbuf_text(&faults), faulty[i].faults);
        strbuf_done(&faults);
        struct error err = {0};
        struct value *untouched = NULL;
        CHECK(type_canonical(type, spec, &untouched, &err) == -ERROR_INVALID && !untouched);
        error_done(&err);
    }
}

TEST(texts_of_special_kinds_are_taken_or_refused)
{
    static const struct {
        enum schema_kind kind;
        const char *text;
        const char *canonical; /* JSON; NULL: refused */
    } cases[] = {
        {SCHEMA_CIDR, "0.0.0.0/0", "\"0.0.0.0/0\""},
        {SCHEMA_CIDR, "FD00:0::/64", "\"fd00::/64\""},
        {SCHEMA_CIDR, "10.0.0.0", NULL},
        {SCHEMA_CIDR, "10.0.0.0/", NULL},
        {SCHEMA_CIDR, "10.0.0.0/24x", NULL},
        {SCHEMA_CIDR, "10.0.0/24", NULL},
        {SCHEMA_CIDR, "10.0.0.128/25", "\"10.0.0.128/25\""},
        {SCHEMA_ADDRESS, "10.0.0.7", "\"10.0.0.7\""},
        {SCHEMA_ADDRESS, "10.0.0.07", NULL},
        {SCHEMA_ADDRESS, "10.0.0.7/32", NULL},
        {SCHEMA_NETWORK, "10.0.0.7", "\"10.0.0.7/32\""},
        {SCHEMA_DURATION, "0s", "\"0s\""},
        {SCHEMA_DURATION, "24h", "\"1d\""},
        {SCHEMA_DURATION, "1h30m", "\"90m\""},
        {SCHEMA_DURATION, "1500ms", "\"1500ms\""},
        {SCHEMA_DURATION, "2000ms", "\"2s\""},
        {SCHEMA_DURATION, "30", NULL},
        {SCHEMA_DURATION, "", NULL},
        {SCHEMA_DURATION, "s", NULL},
        {SCHEMA_DURATION, "1.5h", NULL},
        {SCHEMA_DURATION, "99999999999999999999s", NULL},
        {SCHEMA_DURATION, "9223372036854775w", NULL},
        {SCHEMA_DURATION, "30 s", NULL},
        {SCHEMA_SIZE, "512Mi", "\"512Mi\""},
        {SCHEMA_SIZE, "1024Mi", "\"1Gi\""},
        {SCHEMA_SIZE, "1048576Ki", "\"1Gi\""},
        {SCHEMA_SIZE, "1048577Ki", NULL},
        {SCHEMA_SIZE, "0Mi", "\"0Ki\""},
        {SCHEMA_SIZE, "512", NULL},
        {SCHEMA_SIZE, "512M", NULL},
        {SCHEMA_SIZE, "512 Mi", NULL},
        {SCHEMA_SIZE, "512MiB", NULL},
        {SCHEMA_SIZE, "0.5Gi", NULL},
        {SCHEMA_SIZE, "-1Mi", NULL},
        {SCHEMA_SIZE, "Mi", NULL},
        {SCHEMA_SIZE, "99999999999999999999Mi", NULL},
        {SCHEMA_RATE, "10/sec", "\"10/second\""},
        {SCHEMA_RATE, "10/hour", "\"10/hour\""},
        {SCHEMA_RATE, "0/hour", NULL},
        {SCHEMA_RATE, "10/day", NULL},
        {SCHEMA_RATE, "10", NULL},
        {SCHEMA_PORT, "443", "443"},
        {SCHEMA_PORT, "8100-8000", NULL},
        {SCHEMA_PORT, "1-65536", NULL},
        {SCHEMA_PORT, "0", NULL},
        {SCHEMA_PORT, "http", NULL},
        {SCHEMA_CLOCK, "08:30", "\"08:30\""},
        {SCHEMA_CLOCK, "24:00", "\"24:00\""},
        {SCHEMA_CLOCK, "24:01", NULL},
        {SCHEMA_CLOCK, "8:30", NULL},
        {SCHEMA_CLOCK, "08:60", NULL},
        {SCHEMA_CLOCK, "08:30 accept", NULL},
        {SCHEMA_DATE, "2027-01-31", "\"2027-01-31T00:00:00Z\""},
        {SCHEMA_DATE, "2027-01-31T08:30:00Z", "\"2027-01-31T08:30:00Z\""},
        {SCHEMA_DATE, "2027-13-31", NULL},
        {SCHEMA_DATE, "2027-04-31", NULL},
        {SCHEMA_DATE, "2027-01-31T24:00:00Z", NULL},
        {SCHEMA_DATE, "tomorrow", NULL},
        {SCHEMA_DOMAIN, "Shop.Example.", "\"shop.example\""},
        {SCHEMA_DOMAIN, "*.shop.example", "\"*.shop.example\""},
        {SCHEMA_DOMAIN, "*", NULL},
        {SCHEMA_DOMAIN, "a.*.example", NULL},
        {SCHEMA_DOMAIN, "", NULL},
        {SCHEMA_DOMAIN, ".", NULL},
        {SCHEMA_PATH, "/", "\"/\""},
        {SCHEMA_PATH, "/api/health?full=1", "\"/api/health?full=1\""},
        {SCHEMA_PATH, "health", NULL},
        {SCHEMA_PATH, "/a b", NULL},
        {SCHEMA_PATH, "/a\nserver x", NULL},
        {SCHEMA_PATH, "/a#b", NULL},
        {SCHEMA_INTEGER, "12", "12"},
        {SCHEMA_INTEGER, "12x", NULL},
        {SCHEMA_BOOL, "true", "true"},
        {SCHEMA_BOOL, "yes", NULL},
        {SCHEMA_BOOL, "1", NULL},
        {SCHEMA_DECIMAL, "0.5", "0.5"},
        {SCHEMA_DECIMAL, "nan", NULL},
        {SCHEMA_DECIMAL, "0x10", NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct schema schema = {.kind = cases[i].kind};
        CLEANUP(value_unrefp) struct value *text = value_string(cases[i].text);
        CLEANUP(value_unrefp) struct value *canonical = schema_canonical(&schema, text);
        CLEANUP(mem_freep) char *json = canonical ? json_text(canonical) : NULL;
        CHECK_TEXT(json ? json : "refused", cases[i].canonical ? cases[i].canonical : "refused");
    }
}

TEST(every_kind_has_a_name_that_leads_back_to_it)
{
    for (size_t i = 0; i < SCHEMA_KIND_COUNT; i++)
        CHECK(schema_kind_from_string(schema_kind_to_string((enum schema_kind)i)) == i);
    CHECK(schema_kind_from_string("text") == SCHEMA_KIND_COUNT);
}

static const char *const samples[] = {
    "true",
    "1",
    "\"1\"",
    "\"true\"",
    "0",
    "\"a\"",
    "\"web-tier\"",
    "443",
    "\"443\"",
    "[443]",
    "[80,443]",
    "[443,80]",
    "\"any\"",
    "\"0.0.0.0/0\"",
    "[]",
    "{}",
    "{\"a\":1}",
    "\"10.0.0.7\"",
    "\"10.0.0.7/32\"",
    "\"60s\"",
    "\"1m\"",
    "1.5",
    "null",
    "\"pass\"",
    "\"allow\"",
};

/* A diff must not depend on which side is asked. */
TEST(equality_of_single_values_is_symmetric_for_every_pair_of_samples)
{
    struct value *values[ARRAY_LENGTH(samples)];
    for (size_t i = 0; i < ARRAY_LENGTH(samples); i++)
        CHECK((values[i] = read_json(samples[i])));
    for (size_t kind = 0; kind < SCHEMA_LIST; kind++) {
        struct schema schema = {.kind = (enum schema_kind)kind};
        for (size_t a = 0; a < ARRAY_LENGTH(samples); a++)
            for (size_t b = 0; b < ARRAY_LENGTH(samples); b++) {
                if (kind != SCHEMA_ANY && (value_is_null(values[a]) || value_is_null(values[b])))
                    continue;
                CHECK(schema_equal(&schema, values[a], values[b]) ==
                      schema_equal(&schema, values[b], values[a]));
                CHECK(a != b || schema_equal(&schema, values[a], values[b]));
            }
    }
    for (size_t i = 0; i < ARRAY_LENGTH(samples); i++)
        value_unref(values[i]);
}

TEST(values_that_mean_the_same_are_equal_and_others_are_not)
{
    static const struct {
        const char *type;
        const char *property;
        const char *wanted;
        const char *other; /* NULL: missing */
        bool equal;
    } cases[] = {
        {"opnsense:firewall:rule", "action", "\"pass\"", "\"allow\"", true},
        {"opnsense:firewall:rule", "action", "\"pass\"", "\"block\"", false},
        {"opnsense:firewall:rule", "source", "\"any\"", "\"0.0.0.0/0\"", true},
        {"opnsense:firewall:rule", "source", "\"any\"", "\"web-tier\"", false},
        {"opnsense:firewall:rule", "port", "443", "[443]", true},
        {"opnsense:firewall:rule", "port", "[443,80]", "[\"80\",\"443\"]", true},
        {"opnsense:firewall:rule", "port", "[443,80]", "[443]", false},
        {"opnsense:firewall:rule", "log", "false", NULL, true},
        {"opnsense:firewall:rule", "log", "true", NULL, false},
        {"opnsense:firewall:rule", "log", "true", "\"1\"", true},
        {"opnsense:firewall:rule", "log", "true", "1", true},
        {"opnsense:firewall:rule", "log", "false", "\"0\"", true},
        {"opnsense:firewall:rule", "protocol", "null", "\"udp\"", true},
        {"opnsense:firewall:rule", "description", "\"x\"", "null", false},
        {"k8s:deployment:prometheus", "scrapeInterval", "\"60s\"", "\"1m\"", true},
        {"k8s:deployment:prometheus", "scrapeInterval", "\"1m\"", NULL, true},
        {"aws:acm:certificate", "domains", "[\"a.example\",\"b.example\"]",
         "[\"b.example\",\"a.example\"]", false},
        {"docker:compose:stack", "services", "{\"a\":{\"image\":\"x\"}}",
         "{\"a\":{\"image\":\"x\",\"replicas\":1}}", true},
        {"docker:compose:stack", "services", "{\"a\":{\"image\":\"x\",\"replicas\":1}}",
         "{\"a\":{\"image\":\"x\"}}", true},
        {"docker:compose:stack", "services", "{\"a\":{\"image\":\"x\"}}",
         "{\"a\":{\"image\":\"x\"},\"b\":{\"image\":\"x\"}}", false},
        {"core:data:value", "value", "1.0", "1", true},
        {"core:data:value", "value", "null", "1", false},
    };
    CLEANUP(catalog_freep) struct catalog *catalog = open_catalog(NULL);
    CHECK(catalog);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const struct resource_type *type = catalog_find(catalog, cases[i].type);
        const struct schema *schema = schema_field(&type->schema, cases[i].property);
        CLEANUP(value_unrefp) struct value *wanted = read_json(cases[i].wanted);
        CLEANUP(value_unrefp)
        struct value *other = cases[i].other ? read_json(cases[i].other) : NULL;
        if (schema_equal(schema, wanted, other) != cases[i].equal)
            printf("# case %zu\n", i);
        CHECK(schema_equal(schema, wanted, other) == cases[i].equal);
    }
    CLEANUP(value_unrefp) struct value *unknown = value_unknown("string", "${x.y}");
    struct schema schema = {.kind = SCHEMA_STRING};
    CHECK(!schema_equal(&schema, unknown, unknown));
    CHECK(schema_equal(&schema, NULL, unknown));
}

static int add_reference(void *argument, const char *path, const char *name,
                         const struct schema *schema, struct error *err)
{
    (void)err;
    strbuf_addf(argument, "%s=%s (%s)\n", path, name, value_text(value_at(schema->references, 0)));
    return 0;
}

TEST(references_are_found_and_keywords_and_literals_are_none)
{
    static const struct {
        const char *type;
        const char *spec;
        const char *references;
    } cases[] = {
        {"opnsense:firewall:rule",
         "{\"source\":\"any\",\"destination\":\"web-tier\",\"action\":\"pass\"}",
         "destination=web-tier (opnsense:network:vlan)\n"},
        {"opnsense:firewall:rule",
         "{\"source\":\"10.0.0.1\",\"destination\":\"10.0.0.0/8\",\"action\":\"pass\"}", ""},
        {"opnsense:haproxy:backend", "{\"servers\":[\"web-asg\",\"app[1]\"]}",
         "servers=web-asg (aws:autoscaling:group)\nservers=app[1] (aws:autoscaling:group)\n"},
        {"docker:compose:stack",
         "{\"services\":{\"web\":{\"image\":\"web\",\"hosts\":\"web-asg\",\"upstream\":\"f\"}}}",
         "services.web.hosts=web-asg (aws:autoscaling:group)\n"
         "services.web.upstream=f (opnsense:haproxy:frontend)\n"},
    };
    CLEANUP(catalog_freep) struct catalog *catalog = open_catalog(NULL);
    CHECK(catalog);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct strbuf found = {0};
        struct error err = {0};
        struct value *canonical = NULL;
        const struct resource_type *type = catalog_find(catalog, cases[i].type);
        CLEANUP(value_unrefp) struct value *spec = read_json(cases[i].spec);
        CHECK(type_canonical(type, spec, &canonical, &err) == 0);
        CHECK(type_references(type, canonical, add_reference, &found, &err) == 0);
        CHECK_TEXT(strbuf_text(&found), cases[i].references);
        value_unref(canonical);
        strbuf_done(&found);
    }
}

TEST(a_file_beside_the_site_adds_a_type)
{
    CLEANUP(mem_freep) char *text = read_source("examples/catalog/acme.yaml");
    CHECK(text);
    struct folder folder = make_folder(text, strlen(text));
    CLEANUP(catalog_freep) struct catalog *catalog = open_catalog(folder.path);
    remove_folder(&folder);
    CLEANUP(catalog_freep) struct catalog *plain = open_catalog("/nonexistent/catalog");
    CHECK(catalog && plain);
    CHECK(catalog_count(catalog) == catalog_count(plain) + 1);
    CHECK(strlen(catalog_digest(catalog)) == 64);
    CHECK(strcmp(catalog_digest(catalog), catalog_digest(plain)) != 0);
    const struct resource_type *box = catalog_find(catalog, "acme:things:box");
    CHECK(box);
    CHECK_TEXT(box->name, "acme:thing:box");
    CHECK_TEXT(box->provider, "acme");
    CHECK_TEXT(box->repeat, "key");
    CHECK(box->seconds[0] > 0.09 && box->seconds[0] < 0.11);
    CHECK_TEXT(type_find_driver(box, "fake")->fidelity, "stand-in");
    CHECK(!type_find_driver(box, "twin"));
    CHECK_TEXT(type_find_output(box, "size")->from, "size");
    CHECK_TEXT(value_text(value_at(schema_field(&box->schema, "inside")->references, 0)),
               "acme:thing:box");
    CHECK_TEXT(value_text(schema_field(&box->schema, "colour")->fallback), "brown");
}

TEST(the_example_in_the_documentation_is_the_example_file)
{
    CLEANUP(mem_freep) char *manual = read_source("docs/catalog.md");
    CLEANUP(mem_freep) char *example = read_source("examples/catalog/acme.yaml");
    CHECK(manual && example);
    CHECK(strstr(manual, example));
}

TEST(every_key_and_kind_is_in_the_documentation)
{
    static const char *const keys[] = {
        "aliases",     "version",           "description",  "stage",
        "properties",  "outputs",           "drivers",      "unique",
        "ascending",   "ordered",           "irreversible", "createBeforeDestroy",
        "repeat",      "seconds",           "kind",         "required",
        "default",     "allowed",           "minimum",      "keywords",
        "references",  "oneOrList",         "items",        "nameKeys",
        "fields",      "forcesReplacement", "secret",       "from",
        "changesWith", "fidelity",          "note",         "digestOf",
        "madeBy",      "mapOrKeys",         "digestIn",
    };
    CLEANUP(mem_freep) char *manual = read_source("docs/catalog.md");
    CHECK(manual);
    for (size_t i = 0; i < ARRAY_LENGTH(keys) + SCHEMA_KIND_COUNT; i++) {
        const char *word = i < ARRAY_LENGTH(keys)
                               ? keys[i]
                               : schema_kind_to_string((enum schema_kind)(i - ARRAY_LENGTH(keys)));
        CLEANUP(mem_freep) char *quoted = string_format("`%s`", word);
        CHECK_TEXT(strstr(manual, quoted) ? quoted : "not there", quoted);
    }
}

#define MINIMAL "    stage: network\n    drivers: {fake: real}\n"

TEST(a_token_has_a_lifetime)
{
    static const struct {
        const char *repeat;
        const char *want;
        int64_t want_seconds;
    } cases[] = {
        {"token", "token", 3600},          {"{token: 24h}", "token", 86400},
        {"{token: 90s}", "token", 90},     {"{token: soon}", NULL, 0},
        {"{token: 1h, key: 2h}", NULL, 0}, {"{tag: 1h}", NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(mem_freep)
        char *text =
            string_format("types:\n  acme:thing:tin:\n    stage: application\n"
                          "    properties: {}\n    drivers: {fake: real}\n    repeat: %s\n",
                          cases[i].repeat);
        CLEANUP(mem_freep) char *faults = faults_of(text);
        CHECK(text_equal(faults, "given all the same") == (cases[i].want != NULL));
        if (!cases[i].want)
            continue;
        struct folder folder = make_folder(text, strlen(text));
        CLEANUP(catalog_freep) struct catalog *catalog = open_catalog(folder.path);
        remove_folder(&folder);
        const struct resource_type *tin = catalog_find(catalog, "acme:thing:tin");
        CHECK_TEXT(tin->repeat, cases[i].want);
        CHECK(tin->token_us == cases[i].want_seconds * 1000000);
    }
}

TEST(faults_of_a_catalog_file_are_told_with_their_positions)
{
    static const struct {
        const char *text;
        const char *faults;
    } cases[] = {
        {"", "1:1 missing-key A catalog file has the key \"types\".\n"},
        {"type: {}\n", "1:1 missing-key A catalog file has the key \"types\".\n"
                       "1:1 unknown-key There is no key \"type\" here.\n"},
        {"types: []\n", "1:8 wrong-kind \"types\" must be a map.\n"},
        {"types:\n  box:\n    properties: {}\n" MINIMAL,
         "2:3 bad-name \"box\" is not the name of a type.\n"},
        {"types:\n  opnsense:network:vlan:\n    properties: {}\n" MINIMAL,
         "2:3 duplicate-name There is a type or alias \"opnsense:network:vlan\" already.\n"},
        {"types:\n  a:b:c:\n    aliases: opnsense:haproxy:backend\n    properties: {}\n" MINIMAL,
         "3:14 duplicate-name There is a type or alias \"opnsense:haproxy:backend\" already.\n"},
        {"types:\n  a:b:c: {}\n",
         "2:3 missing-key The type \"a:b:c\" needs the key \"stage\".\n"
         "2:3 missing-key The type \"a:b:c\" needs the key "
         "\"properties\".\n"
         "2:3 missing-key The type \"a:b:c\" needs the key \"drivers\".\n"},
        {"types:\n  a:b:c:\n    properties: {x: text}\n    stage: web\n    drivers: {fake: full}\n"
         "    repat: key\n",
         "3:21 bad-value There is no kind of property \"text\".\n"
         "4:12 bad-value \"stage\" must be network, security, infrastructure, application or "
         "monitoring.\n"
         "5:21 bad-value \"fake\" must be real or stand-in.\n"
         "6:5 unknown-key There is no key \"repat\" here.\n"},
        {"types:\n  a:b:c:\n    properties:\n      x: {kind: list}\n      y: {kind: string, items: "
         "string}\n      z: {kind: object}\n" MINIMAL,
         "4:7 missing-key \"x\" is of kind list, which has always \"items\".\n"
         "5:7 unknown-key \"y\" is of kind string, which has no \"items\".\n"
         "6:7 missing-key \"z\" is of kind object, which has always \"fields\".\n"},
        {"types:\n  a:b:c:\n    properties:\n      x: {kind: integer, default: many}\n      y: {kind: "
         "integer, minimum: 3, maximum: 2}\n      z: {required: true}\n" MINIMAL,
         "4:7 bad-value The default of \"x\" is not a value that it allows.\n"
         "5:7 bad-value The minimum of \"y\" is above its maximum.\n"
         "6:7 missing-key \"z\" needs a \"kind\".\n"},
        {"types:\n  a:b:c:\n    properties: {x: {kind: string, references: a:b:d}}\n    outputs: {o: "
         "{from: y, changesWith: [z]}}\n    unique: [[w]]\n" MINIMAL,
         "3:48 unknown-type The type \"a:b:d\" is not in the catalog.\n"
         "4:25 unknown-property The type has no property \"y\".\n"
         "4:41 unknown-property The type has no property \"z\".\n"
         "5:14 unknown-property The type has no property \"w\".\n"},
        {"types:\n  a:b:c:\n    properties: {x: {kind: string, required: maybe, minimum: [], "
         "allowed: 1, keywords: {a: []}}}\n" MINIMAL,
         "3:46 wrong-kind \"required\" must be true or false.\n"
         "3:62 wrong-kind \"minimum\" must be a number.\n"
         "3:75 wrong-kind \"allowed\" must be a text or a list of texts.\n"
         "3:92 wrong-kind \"a\" must be a text, number or truth value.\n"},
        {"types:\n  a:b:c:\n    version: 0\n    properties: []\n    seconds: {create: soon, make: "
         "1}\n" MINIMAL,
         "4:17 wrong-kind \"properties\" must be a map.\n"
         "3:14 wrong-kind \"version\" must be an integer of at least 1.\n"
         "5:23 wrong-kind \"create\" must be a number.\n"
         "5:29 unknown-key There is no key \"make\" here.\n"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(mem_freep) char *faults = faults_of(cases[i].text);
        CHECK_TEXT(faults, cases[i].faults);
    }
}

TEST(a_file_that_is_no_yaml_is_told_by_its_name)
{
    struct folder folder = make_folder("types: {", 8);
    struct catalog *catalog = NULL;
    struct diagnostics diagnostics = {0};
    struct error err = {0};
    CHECK(catalog_open(folder.path, &catalog, &diagnostics, &err) == 0);
    CHECK(!catalog && diagnostics.n_errors == 1);
    CHECK(diagnostics.items[0].code == DIAGNOSTIC_YAML_SYNTAX);
    CLEANUP(mem_freep) char *path = string_format("%s/own.yaml", folder.path);
    CHECK_TEXT(diagnostics.items[0].file, path);
    diagnostics_done(&diagnostics);
    /* What cannot be read at all is an error. */
    CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0);
    CHECK(catalog_open(folder.path, &catalog, &diagnostics, &err) < 0);
    CHECK(!catalog && strstr(error_message(&err), path));
    CHECK(rmdir(path) == 0);
    error_done(&err);
    diagnostics_done(&diagnostics);
    remove_folder(&folder);
}
