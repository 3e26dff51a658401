#include "harness.h"

#include "base/text.h"
#include "base/world.h"
#include "document/declaration.h"
#include "model/json.h"
#include "pattern/pattern.h"

#include <ctype.h>

static char *read_source(const char *name)
{
    const char *root = getenv("PARLEY_SOURCE");
    CLEANUP(mem_freep) char *path = string_format("%s/%s", root ? root : ".", name);
    CLEANUP(mem_freep) char *text = NULL;
    struct error err = {0};
    if (world_read_file(path, 1 << 20, &text, NULL, &err) < 0)
        printf("# %s\n", err.message);
    error_done(&err);
    return take_ptr(text);
}

/* A document after its patterns and expansion. */
struct outcome {
    struct catalog *catalog;
    struct document *document;
    struct wanted wanted;
    struct diagnostics diagnostics;
};

static void outcome_done(struct outcome *outcome)
{
    wanted_done(&outcome->wanted);
    document_free(outcome->document);
    catalog_free(outcome->catalog);
    diagnostics_done(&outcome->diagnostics);
}

static struct outcome expand(const char *text, bool has_patterns)
{
    struct outcome outcome = {0};
    CHECK(catalog_open(NULL, &outcome.catalog, &outcome.diagnostics, NULL) == 0);
    struct document_context context = {.catalog = outcome.catalog};
    document_read("d.yaml", text, strlen(text), &outcome.document, &outcome.diagnostics);
    CHECK(outcome.document);
    if (has_patterns)
        pattern_apply(outcome.document, outcome.catalog, &outcome.diagnostics);
    document_expand(outcome.document, &context, &outcome.wanted, &outcome.diagnostics);
    return outcome;
}

static const struct resource *find(const struct outcome *outcome, const char *address)
{
    for (size_t i = 0; i < outcome->wanted.n_items; i++)
        if (text_equal(outcome->wanted.items[i].address, address))
            return &outcome->wanted.items[i];
    return NULL;
}

#define THREE_TIER "pattern three-tier-architecture"
#define SCALING "pattern auto-scaling"
#define AVAILABLE "pattern high-availability"

/* {address, origin, type, canonical spec} of the resources that the road needs; the seed's come
 * first. */
static const struct {
    const char *address;
    const char *origin;
    const char *type;
    const char *spec;
} shophub[] = {
    {"web-tier", "document", "opnsense:network:vlan", "{'subnet':'10.200.0.0/24','tag':200}"},
    {"app-tier", "document", "opnsense:network:vlan", "{'subnet':'10.201.0.0/24','tag':201}"},
    {"db-tier", "document", "opnsense:network:vlan", "{'subnet':'10.202.0.0/24','tag':202}"},
    {"allow-https-to-web", "document", "opnsense:firewall:rule",
     "{'action':'allow','destination':'web-tier','port':[443],'rateLimit':'1000/minute','source':"
     "'0.0.0.0/0'}"},
    {"allow-web-to-app", "document", "opnsense:firewall:rule",
     "{'action':'allow','destination':'app-tier','port':[8080],'source':'web-tier'}"},
    {"allow-app-to-db", "document", "opnsense:firewall:rule",
     "{'action':'allow','destination':'db-tier','port':[5432],'source':'app-tier'}"},
    {"web-backend", "document", "opnsense:haproxy:backend",
     "{'balance':'leastconn','healthCheck':'/health','port':80,'servers':['web-asg']}"},
    {"app-backend", "document", "opnsense:haproxy:backend",
     "{'balance':'roundrobin','healthCheck':'/api/health','port':8080,'servers':['app-servers']}"},
    {"shophub-cert", "document", "aws:acm:certificate",
     "{'domains':['shophub.com','www.shophub.com'],'validation':'DNS'}"},
    {"web-asg", "document", "aws:autoscaling:group",
     "{'max':10,'min':2,'subnet':'web-tier','targetCPU':70}"},
    {"shophub-db", "document", "aws:rds:cluster",
     "{'backup':true,'engine':'postgres','instances':2,'port':5432,'subnet':'db-tier','version':"
     "'14'}"},
    {"shophub-stack", "document", "docker:compose:stack",
     "{'services':{'app':{'database':'shophub-db','healthCheck':'/api/health','hosts':"
     "'app-servers','image':'shophub/app:latest','port':8080,'replicas':3},'web':{'healthCheck':"
     "'/health','hosts':'web-asg','image':'shophub/web:latest','port':80,'replicas':'dynamic',"
     "'upstream':'app-frontend'}}}"},
    {"monitoring", "document", "k8s:deployment:prometheus",
     "{'network':'monitoring-network','retention':'30d','rules':['alert-rules'],'scrapeInterval':"
     "'30s'}"},
    {"alert-rules", "document", "k8s:configmap:alerts",
     "{'addedRules':["
     "{'description':'Programs of this instance were started again three times or more in five minutes.',"
     "'expr':'increase(instance_restarts_total[5m]) > 2','name':'InstanceRestarts','severity':'warning'},"
     "{'description':'A program of this host ended unasked and was started again.',"
     "'expr':'increase(instance_restarts_total[5m]) > 0','name':'ProgramEnded','severity':'info'},"
     "{'description':'The primary of this database ended unasked. It was started again where it "
     "stood; nothing took its place.','expr':'increase(instance_restarts_total[5m]) > 0 and on "
     "(host) database_up{role=\\\"primary\\\"}','name':'PrimaryEnded','severity':'critical'},"
     "{'description':'This database server does not answer. A replica takes over only when "
     "somebody promotes it.','expr':'database_up == 0','for':'10s','name':'DatabaseDown','severity':"
     "'critical'},"
     "{'description':'This replica is more than 30 seconds behind its primary.',"
     "'expr':'database_replication_lag_seconds > 30','name':'ReplicaLags','severity':'warning'},"
     "{'description':'This certificate is valid for less than a week.',"
     "'expr':'certificate_expiry_timestamp_seconds - time() < 604800','name':'CertificateEnds','severity':'warning'}],"
     "'recordingRules':[{'expr':'sum(rate(haproxy_frontend_http_responses_total{code=\\\"5xx\\\"}["
     "1m])) / clamp_min(sum(rate(haproxy_frontend_http_responses_total[1m])), 1)','name':"
     "'error_rate'}],'rules':[{'expr':'error_rate > 0.05','name':'HighErrorRate','severity':"
     "'critical'}]}"},
    {"block-ddos-blacklist", THREE_TIER, "opnsense:firewall:rule",
     "{'action':'block','destination':'0.0.0.0/0','protocol':'any','source':'ddos-blacklist'}"},
    {"ddos-blacklist", THREE_TIER, "opnsense:firewall:alias", "{'content':[],'kind':'host'}"},
    {"web-image", THREE_TIER, "docker:image:build", "{'image':'shophub/web:latest'}"},
    {"app-image", THREE_TIER, "docker:image:build", "{'image':'shophub/app:latest'}"},
    {"app-servers", THREE_TIER, "aws:ec2:instances", "{'instances':3,'subnet':'app-tier'}"},
    {"web-frontend", THREE_TIER, "opnsense:haproxy:frontend",
     "{'backend':'web-backend','certificate':'shophub-cert','network':'web-tier','port':443}"},
    {"app-frontend", THREE_TIER, "opnsense:haproxy:frontend",
     "{'backend':'app-backend','network':'app-tier','port':8080}"},
    {"monitoring-network", AVAILABLE, "opnsense:network:vlan",
     "{'subnet':'10.203.0.0/24','tag':203}"},
    {"allow-monitoring-to-web", AVAILABLE, "opnsense:firewall:rule",
     "{'action':'allow','destination':'web-tier','port':[80,443,8404],'source':"
     "'monitoring-network'}"},
    {"allow-monitoring-to-app", AVAILABLE, "opnsense:firewall:rule",
     "{'action':'allow','destination':'app-tier','port':[8080,8404],'source':"
     "'monitoring-network'}"},
    {"allow-monitoring-to-db", AVAILABLE, "opnsense:firewall:rule",
     "{'action':'allow','destination':'db-tier','port':[5432],'source':'monitoring-network'}"},
    {"dashboards", AVAILABLE, "k8s:deployment:grafana", "{'prometheus':'monitoring'}"},
};

/* {address, path, origin} of everything that a pattern fills into the seed's own resources. */
static const struct {
    const char *address;
    const char *path;
    const char *origin;
} fills[] = {
    {"web-backend", "port", THREE_TIER},
    {"web-backend", "servers", SCALING},
    {"app-backend", "port", THREE_TIER},
    {"app-backend", "servers", THREE_TIER},
    {"shophub-db", "port", THREE_TIER},
    {"shophub-stack", "services.app.database", THREE_TIER},
    {"shophub-stack", "services.app.healthCheck", THREE_TIER},
    {"shophub-stack", "services.app.hosts", THREE_TIER},
    {"shophub-stack", "services.app.port", THREE_TIER},
    {"shophub-stack", "services.web.healthCheck", THREE_TIER},
    {"shophub-stack", "services.web.hosts", SCALING},
    {"shophub-stack", "services.web.port", THREE_TIER},
    {"shophub-stack", "services.web.upstream", THREE_TIER},
    {"monitoring", "network", AVAILABLE},
    {"monitoring", "rules", AVAILABLE},
    {"alert-rules", "addedRules", AVAILABLE},
    {"alert-rules", "recordingRules", AVAILABLE},
    {"web-frontend", "certificate", THREE_TIER},
};

/* JSON is written with ' for " in the tables above. */
static char *with_quotes(const char *text)
{
    char *copy = string_copy(text);
    for (char *c = copy; *c; c++)
        if (*c == '\'')
            *c = '"';
    return copy;
}

TEST(the_seeds_document_expands_to_exactly_what_the_road_needs)
{
    CLEANUP(mem_freep) char *text = read_source("examples/shophub.yaml");
    CHECK(text);
    struct outcome outcome = expand(text, true);
    CHECK(outcome.diagnostics.n_items == 0);
    for (size_t i = 0; i < ARRAY_LENGTH(shophub); i++) {
        const struct resource *resource = find(&outcome, shophub[i].address);
        if (!resource)
            printf("# there is no %s\n", shophub[i].address);
        CHECK(resource);
        CLEANUP(mem_freep) char *want = with_quotes(shophub[i].spec);
        CLEANUP(mem_freep) char *spec = json_text(resource->spec);
        CHECK_TEXT(spec, want);
        CHECK_TEXT(resource->type, shophub[i].type);
        CHECK_TEXT(resource->origin, shophub[i].origin);
    }
    CHECK(outcome.wanted.n_items == ARRAY_LENGTH(shophub));
    outcome_done(&outcome);
}

TEST(everything_that_is_filled_in_carries_the_pattern_it_came_from)
{
    CLEANUP(mem_freep) char *text = read_source("examples/shophub.yaml");
    CHECK(text);
    struct outcome outcome = expand(text, true);
    size_t n_filled = 0;
    for (size_t i = 0; i < outcome.wanted.n_items; i++)
        if (outcome.wanted.items[i].filled)
            n_filled += value_count(outcome.wanted.items[i].filled);
    for (size_t i = 0; i < ARRAY_LENGTH(fills); i++) {
        const struct resource *resource = find(&outcome, fills[i].address);
        CHECK(resource);
        printf("# %s %s\n", fills[i].address, fills[i].path);
        CHECK_TEXT(value_get_text(resource->filled, fills[i].path), fills[i].origin);
    }
    CHECK(n_filled >= ARRAY_LENGTH(fills));
    for (size_t i = 0; i < outcome.wanted.n_items; i++) {
        const struct resource *resource = &outcome.wanted.items[i];
        size_t n_expected = 0;
        for (size_t k = 0; k < ARRAY_LENGTH(fills); k++)
            n_expected += text_equal(fills[k].address, resource->address);
        if (text_equal(resource->origin, "document"))
            CHECK((resource->filled ? value_count(resource->filled) : 0) == n_expected);
    }
    outcome_done(&outcome);
}

TEST(a_document_is_as_it_was_without_patterns)
{
    CLEANUP(mem_freep) char *text = read_source("examples/plain.yaml");
    CHECK(text);
    struct outcome with = expand(text, true);
    struct outcome without = expand(text, false);
    CHECK(with.diagnostics.n_items == 0);
    CHECK(with.wanted.n_items == without.wanted.n_items);
    for (size_t i = 0; i < with.wanted.n_items; i++) {
        CHECK(value_equal(with.wanted.items[i].spec, without.wanted.items[i].spec));
        CHECK(!with.wanted.items[i].filled);
    }
    outcome_done(&with);
    outcome_done(&without);
}

/* --- Faults --- */

#define NET(name, tag)                                                           \
    "    - {type: opnsense:network:vlan, name: " name ", properties: {tag: " tag \
    ", subnet: 10." tag ".0.0/24}}\n"
#define RULE(name, from, to, port)                                                    \
    "    - {type: opnsense:firewall:rule, name: " name ", properties: {source: " from \
    ", destination: " to ", port: " port ", action: pass}}\n"
#define DOCUMENT(pattern) "deployment:\n  name: d\n  patterns: [" pattern "]\n  resources:\n"
#define THREE DOCUMENT("three-tier-architecture")
#define WEB NET("web-tier", "1") RULE("in", "any", "web-tier", "80")
#define STACK(services) \
    "    - {type: docker:compose:stack, name: stack, properties: {services: {" services "}}}\n"

static const struct {
    const char *document;
    const char *faults; /* "LINE:COLUMN CODE DETAIL HELP" */
} faulty[] = {
    {DOCUMENT("three-tier-architectur") WEB,
     "3:14 unknown-pattern There is no pattern \"three-tier-architectur\". Did you mean "
     "\"three-tier-architecture\"?\n"},
    {DOCUMENT("mesh") WEB,
     "3:14 unknown-pattern There is no pattern \"mesh\". There are auto-scaling, "
     "high-availability, three-tier-architecture.\n"},
    {THREE NET("web-tier", "1"),
     "3:14 pattern-binding The pattern \"three-tier-architecture\" finds no tier: no "
     "opnsense:firewall:rule lets anybody into a opnsense:network:vlan. Add such a rule, or name "
     "the networks: with: {tiers: [...]}.\n"},
    /* Two hosts for one tier, and neither name says more. */
    {THREE WEB "    - {type: aws:ec2:instances, name: left, properties: {subnet: web-tier}}\n"
               "    - {type: aws:ec2:instances, name: right, properties: {subnet: web-tier}}\n"
               "    - {type: opnsense:haproxy:backend, name: web-pool, properties: {}}\n",
     "3:14 pattern-binding The pattern \"three-tier-architecture\" cannot tell what plays the part "
     "\"hosts\" of web-tier: \"left\" or \"right\". Say which: with: {hosts: {web-tier: left}}.\n"},
    /* A balancer without anything behind it. */
    {THREE WEB "    - {type: opnsense:haproxy:backend, name: web-pool, properties: {}}\n",
     "3:14 pattern-binding The pattern \"three-tier-architecture\" finds nothing that plays the "
     "part \"hosts\" of web-tier, which \"servers\" of \"web-pool\" needs. Add an "
     "aws:autoscaling:group or aws:ec2:instances that refers to \"web-tier\" or shares a word with "
     "its name, or set \"servers\" itself.\n"},
    /* Two ports lead in, and none of them is a usual one. */
    {THREE NET("web-tier", "1") RULE("a", "any", "web-tier", "8001")
         RULE("b", "any", "web-tier", "8002") STACK("web: {image: w, replicas: 1}"),
     "3:14 pattern-binding The pattern \"three-tier-architecture\" cannot tell by which port "
     "\"web-tier\" is entered: 8001 (\"a\"), 8002 (\"b\"). Say which rule: with: {entry: {web-tier: "
     "a}}.\n"},
    /* A service that no tier's name speaks of. */
    {THREE WEB STACK("web: {image: w, replicas: 1}, worker: {image: w, replicas: 1}"),
     "7:111 pattern-binding The pattern \"three-tier-architecture\" cannot tell to which tier "
     "\"worker\" belongs: its name shares no word with only one of \"web-tier\". Give it what the "
     "pattern would fill in, or say its tier: with: {service: {web-tier: worker}}.\n"},
    /* Dynamic replicas, and nobody to follow the load. */
    {THREE WEB STACK("web: {image: w, replicas: dynamic}"),
     "3:14 pattern-binding The pattern \"three-tier-architecture\" finds nothing that plays the "
     "part \"hosts\" of web-tier, which \"hosts\" of \"web\" needs. Add an aws:autoscaling:group or "
     "aws:ec2:instances that refers to \"web-tier\" or shares a word with its name, or set "
     "\"hosts\" itself.\n"
     "3:14 pattern-binding The pattern \"three-tier-architecture\" finds nothing that plays the "
     "part \"hosts\" of web-tier, which \"servers\" of \"web-backend\" needs. Add an "
     "aws:autoscaling:group or aws:ec2:instances that refers to \"web-tier\" or shares a word with "
     "its name, or set \"servers\" itself.\n"},
    /* The pattern's name is taken. */
    {THREE WEB STACK(
         "web: {image: w, replicas: 1}") "    - {type: core:data:value, name: web-image, properties: {value: 1}}\n",
     "3:14 duplicate-name The pattern \"three-tier-architecture\" adds a docker:image:build named "
     "\"web-image\", but the document has a core:data:value of that name. Rename the one in the "
     "document.\n"},
    /* with: */
    {DOCUMENT("{name: three-tier-architecture, with: {tires: [web-tier]}}") WEB,
     "3:60 unknown-key The pattern \"three-tier-architecture\" has no parameter \"tires\". Did you "
     "mean \"tiers\"?\n"},
    {DOCUMENT("{name: three-tier-architecture, with: {tiers: web-tier, plainPort: high, hosts: "
              "left}}") WEB,
     "3:94 wrong-kind The parameter \"hosts\" of the pattern \"three-tier-architecture\" cannot be a value of kind string. See docs/patterns.md for what it may be.\n"
     "3:81 wrong-kind The parameter \"plainPort\" of the pattern \"three-tier-architecture\" cannot be a value of kind string. See docs/patterns.md for what it may be.\n"
     "3:60 wrong-kind The parameter \"tiers\" of the pattern \"three-tier-architecture\" cannot be a value of kind string. See docs/patterns.md for what it may be.\n"},
    {DOCUMENT("{name: three-tier-architecture, with: {tiers: [in, web-tier]}}") WEB,
     "3:61 pattern-binding \"tiers[0]\" names no opnsense:network:vlan of the document. \n"},
    {DOCUMENT("{name: three-tier-architecture, with: {hosts: {web: left}}}") WEB,
     "3:66 pattern-binding \"web\" is no tier of the pattern \"three-tier-architecture\". \n"},
    {DOCUMENT("{name: three-tier-architecture, with: {hosts: {web-tier: left}}}")
         WEB STACK("web: {image: w, replicas: 1}"),
     "3:21 pattern-binding \"left\" cannot play the part \"hosts\": there is nothing of that name and type. \n"},
};

static char *faults_of(const char *text)
{
    struct strbuf lines = {0};
    struct outcome outcome = expand(text, true);
    for (size_t i = 0; i < outcome.diagnostics.n_items; i++) {
        const struct diagnostic *fault = &outcome.diagnostics.items[i];
        strbuf_addf(&lines, "%u:%u %s %s %s\n", fault->line, fault->column,
                    diagnostic_code_to_string(fault->code), fault->detail,
                    fault->help ? fault->help : "");
    }
    outcome_done(&outcome);
    return strbuf_take(&lines);
}

TEST(what_a_pattern_cannot_tell_is_asked_with_the_candidates)
{
    for (size_t i = 0; i < ARRAY_LENGTH(faulty); i++) {
        CLEANUP(mem_freep) char *faults = faults_of(faulty[i].document);
        CHECK_TEXT(faults, faulty[i].faults);
    }
}

/* --- Vacant tags and subnets --- */

TEST(the_monitoring_network_goes_on_as_the_document_does)
{
    static const struct {
        const char *networks; /* "TAG SUBNET" each, separated by ";" */
        const char *want;
    } cases[] = {
        {"200 10.200.0.0/24;201 10.201.0.0/24;202 10.202.0.0/24", "203 10.203.0.0/24"},
        {"5 192.168.0.0/24;9 192.168.1.0/24", "10 192.168.2.0/24"},
        {"7 10.0.0.0/16", "8 10.1.0.0/16"},
        /* The tag is the highest there is, and the subnet the last of the private ones. */
        {"4094 192.168.255.0/24", "1 192.168.0.0/24"},
        {"1 192.168.254.0/24;4094 192.168.255.0/24", "2 192.168.0.0/24"},
        /* The next one would lie in another network. */
        {"1 172.16.0.0/24;2 172.16.1.0/24;3 172.16.2.0/23", "4 172.16.4.0/23"},
        {"1 fd00:0:0:1::/64;2 fd00:0:0:2::/64", "3 fd00:0:0:3::/64"},
        {"1 198.51.100.0/25", "2 198.51.100.128/25"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct strbuf text = {0};
        strbuf_add(&text, DOCUMENT("high-availability") "    - {type: k8s:deployment:prometheus, "
                                                        "name: eye, properties: {}}\n");
        CLEANUP(mem_freep) char *networks = string_copy(cases[i].networks);
        char *rest = networks;
        for (int n = 0; rest; n++) {
            char *one = strsep(&rest, ";");
            char *subnet = strchr(one, ' ');
            *subnet++ = '\0';
            strbuf_addf(&text,
                        "    - {type: opnsense:network:vlan, name: n%d, properties: {tag: %s, "
                        "subnet: \"%s\"}}\n",
                        n, one, subnet);
        }
        struct outcome outcome = expand(strbuf_text(&text), true);
        const struct resource *network = find(&outcome, "eye-network");
        CHECK(network);
        CLEANUP(mem_freep)
        char *got = string_format("%lld %s", (long long)value_get_integer(network->spec, "tag", 0),
                                  value_get_text(network->spec, "subnet"));
        CHECK_TEXT(got, cases[i].want);
        outcome_done(&outcome);
        strbuf_done(&text);
    }
}

TEST(more_tiers_than_anybody_needs_are_refused)
{
    struct strbuf text = {0};
    strbuf_add(&text, THREE);
    for (int i = 0; i < 70; i++) {
        strbuf_addf(&text,
                    "    - {type: opnsense:network:vlan, name: n%d, properties: {tag: %d, subnet: "
                    "10.%d.0.0/24}}\n",
                    i, i + 1, i);
        if (i == 0)
            strbuf_add(&text, RULE("r0", "any", "n0", "80"));
        else
            strbuf_addf(&text,
                        "    - {type: opnsense:firewall:rule, name: r%d, properties: {source: n%d, "
                        "destination: n%d, port: 80, action: pass}}\n",
                        i, i - 1, i);
    }
    CLEANUP(mem_freep) char *faults = faults_of(strbuf_text(&text));
    CHECK(strstr(faults, "more than 64 tiers"));
    strbuf_done(&text);
}

/* --- The pattern files --- */

static void check_keys(const struct value *map, const char *const *keys)
{
    for (size_t i = 0; i < value_count(map); i++) {
        size_t k = 0;
        while (keys[k] && !text_equal(keys[k], value_key_at(map, i)))
            k++;
        if (!keys[k])
            printf("# no such key: %s\n", value_key_at(map, i));
        CHECK(keys[k]);
    }
}

TEST(pattern_files_have_only_keys_that_are_documented)
{
    static const char *const pattern_keys[] = {"pattern",  "description", "parameters",
                                               "bindings", "resources",   NULL};
    static const char *const parameter_keys[] = {"default", "description", NULL};
    static const char *const binding_keys[] = {"type",  "of",        "by",       "where",    "item",
                                               "sole",  "inner",     "choose",   "complete", "free",
                                               "along", "parameter", "required", NULL};
    static const char *const resource_keys[] = {"for",  "when",       "unless", "as",     "type",
                                                "name", "properties", "needs",  "before", NULL};
    CLEANUP(value_unrefp) struct value *patterns = pattern_list();
    CHECK(value_count(patterns) == 3);
    for (size_t i = 0; i < value_count(patterns); i++) {
        const struct value *pattern = value_at(patterns, i);
        const struct value *parameters = value_get(pattern, "parameters");
        const struct value *bindings = value_get(pattern, "bindings");
        const struct value *resources = value_get(pattern, "resources");
        check_keys(pattern, pattern_keys);
        CHECK(value_get_text(pattern, "pattern") && value_get_text(pattern, "description"));
        for (size_t k = 0; k < value_count(parameters); k++) {
            check_keys(value_at(parameters, k), parameter_keys);
            CHECK(value_get(value_at(parameters, k), "default"));
        }
        for (size_t k = 0; k < value_count(bindings); k++)
            check_keys(value_at(bindings, k), binding_keys);
        for (size_t k = 0; k < value_count(resources); k++)
            check_keys(value_at(resources, k), resource_keys);
    }
    CLEANUP(mem_freep) char *manual = read_source("docs/patterns.md");
    CHECK(manual);
    const char *const *const lists[] = {pattern_keys, parameter_keys, binding_keys, resource_keys};
    for (size_t i = 0; i < ARRAY_LENGTH(lists); i++)
        for (size_t k = 0; lists[i][k]; k++) {
            CLEANUP(mem_freep) char *quoted = string_format("`%s`", lists[i][k]);
            CHECK_TEXT(strstr(manual, quoted) ? quoted : "not there", quoted);
        }
}

/* Whether a word of letters stands in a text as a whole word within a string or a number. */
static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word)) {
        bool begins = at == text || (!isalnum((unsigned char)at[-1]) && at[-1] != '_');
        bool ends = !isalnum((unsigned char)at[length]) && at[length] != '_';
        if (begins && ends)
            return true;
    }
    return false;
}

TEST(no_name_port_or_type_of_a_tier_stands_in_the_code)
{
    static const char *const files[] = {
        "src/pattern/chain.c",   "src/pattern/entry.c",     "src/pattern/part.c",
        "src/pattern/scene.c",   "src/pattern/template.c",  "src/pattern/vacant.c",
        "src/pattern/pattern.c", "src/catalog/catalog.c",   "src/catalog/check.c",
        "src/catalog/read.c",    "src/document/document.c", "src/document/expand.c",
    };
    static const char *const words[] = {
        "web",        "app",     "db",       "shophub",  "ddos",    "blacklist",
        "monitoring", "443",     "8080",     "5432",     "8404",    "opnsense",
        "aws",        "docker",  "k8s",      "vlan",     "haproxy", "error_rate",
        "web-tier",   "backend", "frontend", "services",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        CLEANUP(mem_freep) char *text = read_source(files[i]);
        CHECK(text);
        for (size_t k = 0; k < ARRAY_LENGTH(words); k++)
            if (has_word(text, words[k])) {
                printf("# %s has \"%s\"\n", files[i], words[k]);
                CHECK(false);
            }
    }
}

TEST(every_example_in_the_documentation_expands)
{
    static const char *const manuals[] = {"docs/patterns.md", "docs/shophub.md"};
    for (size_t i = 0; i < ARRAY_LENGTH(manuals); i++) {
        CLEANUP(mem_freep) char *manual = read_source(manuals[i]);
        CHECK(manual);
        for (const char *at = strstr(manual, "```yaml\ndeployment:"); at;
             at = strstr(at, "```yaml\ndeployment:")) {
            at += strlen("```yaml\n");
            const char *end = strstr(at, "```");
            CHECK(end);
            CLEANUP(mem_freep) char *text = string_copy_n(at, (size_t)(end - at));
            CLEANUP(mem_freep) char *faults = faults_of(text);
            CHECK_TEXT(faults, "");
        }
    }
}

/* A row "| `name` | type | ..." of the table in docs/shophub.md for each resource. */
TEST(every_resource_of_the_seed_has_a_row_in_its_table)
{
    CLEANUP(mem_freep) char *manual = read_source("docs/shophub.md");
    CHECK(manual);
    for (size_t i = 0; i < ARRAY_LENGTH(shophub); i++) {
        CLEANUP(mem_freep)
        char *name = string_format("| `%s` | `%s` |", shophub[i].address, shophub[i].type);
        CHECK_TEXT(strstr(manual, name) ? name : "not there", name);
    }
    CLEANUP(mem_freep)
    char *sum = string_format("%zu resources", ARRAY_LENGTH(shophub));
    CHECK(strstr(manual, sum));
}
