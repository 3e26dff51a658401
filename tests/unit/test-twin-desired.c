#include "harness.h"
#include "twin/tables.h"
#include "unit/twin-manifest.h"

#define TIERS \
    VLAN("web", "10.1.0.0/24") "," VLAN("app", "10.2.0.0/24") "," VLAN("db", "10.3.0.0/24")

/* The message of the only fault of these resources, in a buffer that the next call reuses. */
static const char *fault_of(const char *json)
{
    static char text[512];
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(manifest, json);
    machine_unref(compute(manifest, &faults));
    snprintf(text, sizeof(text), "%s",
             faults.n_items == 1 ? error_message(&faults.items[0].err)
             : faults.n_items    ? "several faults"
                                 : "no fault");
    problems_done(&faults);
    return text;
}

static const struct machine_rule *find_rule(const struct machine *machine, const char *name)
{
    for (size_t i = 0; i < machine->n_rules; i++) {
        if (strcmp(machine->rules[i]->name, name) == 0)
            return machine->rules[i];
    }
    return NULL;
}

TEST(nothing_wanted_is_the_world_outside)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    struct machine *machine = compute(manifest, &faults);
    CHECK(machine->n_networks == 1 && machine->n_hosts == 1 && faults.n_items == 0);
    CHECK_TEXT(machine->hosts[0]->name, "outside");
    CHECK_TEXT(machine->hosts[0]->address, "198.51.100.10");
    machine_unref(machine);
}

TEST(hosts_get_addresses_behind_those_of_balancers)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(manifest, "[" TIERS "," INSTANCES("servers", "web", "2") "," BACKEND(
                                "back", "servers",
                                "80") "," FRONTEND("front", "web", "443",
                                                   "back") "," CLUSTER("data", "db", "2") "]");
    struct machine *machine = compute(manifest, &faults);
    CHECK(faults.n_items == 0);
    CHECK_TEXT(machine_find_host(machine, "servers-0")->address, "10.1.0.11");
    CHECK_TEXT(machine_find_host(machine, "servers-1")->address, "10.1.0.12");
    CHECK_TEXT(machine_find_host(machine, "front")->address, "10.1.0.10");
    CHECK_TEXT(machine_find_host(machine, "data-1")->address, "10.3.0.12");
    CHECK_TEXT(machine->databases[0]->address, "10.3.0.100");
    CHECK(machine->databases[0]->is_synchronous);
    CHECK_TEXT(machine_find_network(machine, "web")->gateway_text, "10.1.0.1");
    machine_unref(machine);
}

TEST(the_machine_does_not_depend_on_the_order_of_arrival)
{
    static const char *const resources[] = {VLAN("web", "10.1.0.0/24"), INSTANCES("b", "web", "2"),
                                            INSTANCES("a", "web", "2"),
                                            RULE("r", "any", "any", ",\"action\":\"allow\"")};
    struct problems faults = {0};
    char *assigned[2];
    for (size_t turn = 0; turn < 2; turn++) {
        CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
        for (size_t i = 0; i < ARRAY_LENGTH(resources); i++) {
            size_t at = turn ? ARRAY_LENGTH(resources) - 1 - i : i;
            char *list = string_format("[%s]", resources[at]);
            add_resources(manifest, list);
            mem_free(list);
        }
        machine_unref(compute(manifest, &faults));
        assigned[turn] = json_text(manifest->assigned);
    }
    CHECK(faults.n_items == 0);
    CHECK_TEXT(assigned[0], assigned[1]);
    mem_free(assigned[0]);
    mem_free(assigned[1]);
}

TEST(an_address_once_given_stays)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(manifest, "[" TIERS "," INSTANCES("m", "web", "3") "]");
    machine_unref(compute(manifest, &faults));
    add_resources(manifest, "[" INSTANCES("a", "web", "2") "," INSTANCES("m", "web", "2") "]");
    struct machine *machine = compute(manifest, &faults);
    CHECK_TEXT(machine_find_host(machine, "m-1")->address, "10.1.0.12");
    /* The address that becomes free in this change is not given away in the same. */
    CHECK_TEXT(machine_find_host(machine, "a-0")->address, "10.1.0.14");
    machine_unref(machine);
    add_resources(manifest, "[" INSTANCES("m", "web", "3") "]");
    machine = compute(manifest, &faults);
    CHECK_TEXT(machine_find_host(machine, "m-2")->address, "10.1.0.13");
    CHECK(faults.n_items == 0);
    machine_unref(machine);
}

TEST(a_balancer_keeps_its_name_when_another_frontend_comes_first)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(manifest, "[" TIERS "," INSTANCES("s", "web", "1") "," BACKEND(
                                "b", "s", "80") "," FRONTEND("main", "web", "443", "b") "]");
    machine_unref(compute(manifest, &faults));
    add_resources(manifest, "[" FRONTEND("another", "web", "80", "b") "]");
    struct machine *machine = compute(manifest, &faults);
    CHECK(faults.n_items == 0 && machine->n_balancers == 1);
    CHECK(machine->balancers[0]->n_frontends == 2);
    CHECK_TEXT(machine->balancers[0]->host->name, "main");
    machine_unref(machine);
}

TEST(rules_stand_in_the_order_of_their_numbers_then_what_blocks_then_by_name)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(
        manifest,
        "[" RULE("d", "any", "any", ",\"action\":\"allow\"") "," RULE("c", "any", "any", ",\"action\":\"pass\",\"sequence\":-5") "," RULE(
            "b", "any", "any",
            ",\"action\":\"reject\",\"sequence\":9") "," RULE("a", "any", "any",
                                                              ",\"action\":\"allow\"") "," RULE("f",
                                                                                                "any",
                                                                                                "any",
                                                                                                ",\"action\":\"block\"") "," RULE("e",
                                                                                                                                  "any",
                                                                                                                                  "any",
                                                                                                                                  ",\"action\":\"block\",\"sequence\":2") "]");
    struct machine *machine = compute(manifest, &faults);
    CHECK(faults.n_items == 0 && machine->n_rules == 6);
    static const char *const want[] = {"c", "f", "a", "d", "e", "b"};
    for (size_t i = 0; i < 6; i++)
        CHECK_TEXT(machine->rules[i]->name, want[i]);
    machine_unref(machine);
}

TEST(a_limit_in_front_of_a_balancer_is_its_own_and_twice_in_the_firewall)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(
        manifest,
        "[" TIERS "," INSTANCES("s", "web", "1") "," BACKEND("b", "s", "80") "," FRONTEND(
            "f", "web", "443",
            "b") ","
                 "{\"uid\":\"in\",\"name\":\"in\",\"type\":\"opnsense:firewall:rule\",\"spec\":{\"source\":"
                 "\"0.0.0.0/0\",\"destination\":\"web\",\"port\":[443],\"action\":\"allow\",\"rateLimit\":"
                 "\"1000/minute\"},\"references\":{\"destination\":[\"web\"]}}," RULE(
                     "ssh", "any", "10.2.0.0/24",
                     ",\"port\":22,\"action\":\"allow\",\"rateLimit\":\"5/hour\"") "]");
    struct machine *machine = compute(manifest, &faults);
    CHECK(faults.n_items == 0);
    CHECK(machine->frontends[0]->limit.count == 1000);
    CHECK(machine->frontends[0]->limit.window_s == 60);
    CHECK(machine->frontends[0]->is_public);
    CHECK(find_rule(machine, "in")->limit.count == 2000);
    CHECK(find_rule(machine, "ssh")->limit.count == 5);
    CHECK(find_rule(machine, "ssh")->limit.window_s == 3600);
    CHECK(machine->n_entrances == 1 && machine->entrances[0]->preferred == 8443);
    machine_unref(machine);
}

TEST(a_database_knows_whom_the_rules_let_in)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(
        manifest,
        "[" TIERS
        "," CLUSTER("data", "db", "1") "," RULE("in", "10.2.0.0/24", "10.3.0.0/24", ",\"port\":5432,\"action\":\"allow\"") "," RULE(
            "no", "10.9.0.0/24", "10.3.0.0/24",
            ",\"port\":5432,\"action\":\"block\"") "," RULE("ssh", "10.1.0.0/24", "10.3.0.0/24",
                                                            ",\"port\":22,\"action\":\"allow\"") "]");
    struct machine *machine = compute(manifest, &faults);
    CHECK(faults.n_items == 0 && machine->databases[0]->n_clients == 1);
    CHECK(machine->databases[0]->clients[0].base == 0x0a020000);
    CHECK(!machine->databases[0]->is_synchronous);
    machine_unref(machine);
}

TEST(ports_that_touch_become_one_range)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(manifest, "[" RULE("r", "any", "any",
                                     ",\"action\":\"allow\",\"port\":[\"8000-8100\",80,8101,\"79\","
                                     "8050]") "]");
    struct machine *machine = compute(manifest, &faults);
    CHECK(faults.n_items == 0 && machine->rules[0]->ports.n_items == 2);
    const struct machine_ports *ports = machine->rules[0]->ports.items;
    CHECK(ports[0].first == 79 && ports[0].last == 80);
    CHECK(ports[1].first == 8000 && ports[1].last == 8101);
    machine_unref(machine);
}

#define LIST(name, kind, more)               \
    "{\"uid\":\"" name "\",\"name\":\"" name \
    "\",\"type\":\"opnsense:firewall:alias\",\"spec\":{\"kind\":\"" kind "\"" more "}}"
#define CONTENT(list) ",\"content\":[" list "]"
#define REFERRING(name, kind, content, to)                               \
    "{\"uid\":\"" name "\",\"name\":\"" name                             \
    "\",\"type\":\"opnsense:firewall:alias\",\"spec\":{\"kind\":\"" kind \
    "\"" CONTENT(content) "},\"references\":{\"content\":[" to "]}}"

/* The networks of the alias "a", or the only fault, in a buffer that the next call reuses. */
static const char *alias_of(const char *json)
{
    static struct strbuf text;
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(manifest, json);
    struct machine *machine = compute(manifest, &faults);
    strbuf_clear(&text);
    if (faults.n_items > 0)
        strbuf_add(&text, error_message(&faults.items[0].err));
    for (size_t i = 0; i < machine->n_sets && faults.n_items == 0; i++) {
        const struct machine_set *set = machine->sets[i];
        for (size_t k = 0; k < set->n_subnets && strcmp(set->name, "a") == 0; k++) {
            char address[MACHINE_ADDRESS_SIZE];
            machine_address_to_text(set->subnets[k].base, address);
            strbuf_addf(&text, "%s%s/%u", k ? " " : "", address, set->subnets[k].prefix);
        }
    }
    machine_unref(machine);
    problems_done(&faults);
    return strbuf_text(&text);
}

TEST(an_alias_holds_what_the_aliases_that_it_names_hold)
{
    CHECK_TEXT(
        alias_of(
            "[" REFERRING("a", "networkgroup", "\"10.1.0.0/16\",\"c\",\"b\"", "\"b\",\"c\"") "," REFERRING(
                "b", "host", "\"d\"",
                "\"d\"") "," LIST("c", "host",
                                  CONTENT(
                                      "\"192.0.2.1\"")) "," LIST("d", "network",
                                                                 CONTENT(
                                                                     "\"192.0.2.128/25\"")) "]"),
        "10.1.0.0/16 192.0.2.128/25 192.0.2.1/32");
    CHECK_TEXT(alias_of("[" REFERRING("a", "host", "\"b\"",
                                      "\"b\"") "," REFERRING("b", "host", "\"a\"", "\"a\"") "]"),
               "b: it holds itself through a");
    CHECK_TEXT(alias_of("[" REFERRING("a", "host", "\"p\"",
                                      "\"p\"") "," LIST("p", "port", ",\"ports\":[80]") "]"),
               "a: content refers to p, which holds ports");
}

TEST(an_alias_of_ports_stands_for_them)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(
        manifest,
        "[" LIST(
            "p", "port",
            ",\"ports\":[\"8000-8010\",443]") ","
                                              "{\"uid\":\"r\",\"name\":\"r\",\"type\":\"opnsense:firewall:rule\",\"spec\":{\"source\":"
                                              "\"any\",\"destination\":\"any\",\"action\":\"allow\",\"port\":[80,\"p\"]},\"references\":{"
                                              "\"port\":[\"p\"]}}]");
    struct machine *machine = compute(manifest, &faults);
    CHECK(faults.n_items == 0 && machine->n_sets == 0);
    const struct machine_port_list *ports = &machine->rules[0]->ports;
    CHECK(ports->n_items == 3 && ports->items[0].first == 80 && ports->items[1].first == 443 &&
          ports->items[2].first == 8000 && ports->items[2].last == 8010);
    machine_unref(machine);
}

TEST(a_country_is_the_networks_that_the_data_says_it_has)
{
    struct table_range ranges[] = {{0x01000000, 0x010000ff, "AU"},
                                   {0x01000100, 0x010003ff, "CN"},
                                   {0xffffff00, 0xffffffff, "AU"}};
    struct table table = {
        .path = (char *)"/data", .ranges = ranges, .n_ranges = 3, .is_known = true};
    struct table *list[] = {&table};
    struct tables read = {.tables = list, .n_tables = 1};
    tables = &read;
    CHECK_TEXT(
        alias_of("[" LIST("a", "geoip", ",\"countries\":[\"AU\"],\"database\":\"/data\"") "]"),
        "1.0.0.0/24 255.255.255.0/24");
    CHECK_TEXT(
        alias_of("[" LIST("a", "geoip", ",\"countries\":[\"CN\"],\"database\":\"/data\"") "]"),
        "1.0.1.0/24 1.0.2.0/23");
    CHECK_TEXT(alias_of("[" LIST("a", "urltable", ",\"url\":\"file:///data\"") "]"),
               "1.0.0.0/24 1.0.1.0/24 1.0.2.0/23 255.255.255.0/24");
    CHECK_TEXT(alias_of("[" LIST("a", "urltable", ",\"url\":\"file:///other\"") "]"),
               "a: /other cannot be read");
    CHECK_TEXT(
        alias_of("[" LIST("a", "geoip", ",\"countries\":[\"AUS\"],\"database\":\"/data\"") "]"),
        "a: countries[0] is no country such as DE");
    CHECK_TEXT(alias_of("[" LIST("a", "urltable", ",\"url\":\"https://lists.example/x\"") "]"),
               "a: the twin fetches nothing from outside: url must be that of a file on this "
               "machine, such as file:///etc/blocked.txt");
    tables = NULL;
}

TEST(long_names_have_short_bridges_that_differ)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(manifest, "[" VLAN("a-very-long-name-one", "10.1.0.0/24") "," VLAN(
                                "a-very-long-name-two", "10.2.0.0/24") "]");
    struct machine *machine = compute(manifest, &faults);
    const char *one = machine_find_network(machine, "a-very-long-name-one")->bridge;
    const char *two = machine_find_network(machine, "a-very-long-name-two")->bridge;
    CHECK(strlen(one) <= 15 && strlen(two) <= 15 && strcmp(one, two) != 0);
    machine_unref(machine);
}

TEST(faults_say_what_is_wrong_with_which_resource)
{
    static const struct {
        const char *json;
        const char *want;
    } cases[] = {
        {"[" VLAN("a", "10.1.0.0/24") "," VLAN("b", "10.1.0.128/25") "]",
         "b: subnet 10.1.0.128/25 overlaps 10.1.0.0/24 of the network a on this twin"},
        {"[" VLAN("a", "10.1.0.1/24") "]",
         "a: subnet 10.1.0.1/24 is not an IPv4 network such as 10.200.0.0/24"},
        {"[" VLAN("a", "10.1.0.0/30") "]", "a: subnet 10.1.0.0/30: the twin serves sizes from /8 "
                                           "to /29"},
        {"[" VLAN("a", "127.0.0.0/16") "]",
         "a: subnet 127.0.0.0/16 lies in 127.0.0.0/8, which has a meaning of its own"},
        {"[" INSTANCES("a", "b", "1") "]",
         "a: subnet refers to a resource that is not on this twin (b)"},
        {"[" VLAN("n", "10.1.0.0/29") "," INSTANCES("a", "n", "6") "]",
         "a: the network n (10.1.0.0/29) has no address left"},
        {"[" VLAN("n", "10.1.0.0/24") "," INSTANCES("a", "n", "-1") "]",
         "a: instances is -1; it must be from 0 to 100"},
        {"[" RULE("r", "any", "any", "") "]", "r: action is missing"},
        {"[" RULE("r", "any", "any", ",\"action\":\"dance\"") "]", "r: action cannot be \"dance\""},
        {"[" RULE("r", "here", "any", ",\"action\":\"allow\"") "]",
         "r: source is \"here\": neither any nor an IPv4 address or network"},
        {"[" RULE("r", "any", "any", ",\"action\":\"allow\",\"rateLimit\":\"0/second\"") "]",
         "r: rateLimit is \"0/second\"; it must be like 1000/minute"},
        {"[" RULE("r", "any", "any", ",\"action\":\"allow\",\"protocol\":\"icmp\",\"port\":1") "]",
         "r: icmp has no ports"},
        {"[" RULE("r", "any", "any", ",\"action\":\"allow\",\"icmpType\":\"echo-request\"") "]",
         "r: icmpType is for the protocol icmp alone"},
        {"[" RULE("r", "any", "any",
                  ",\"action\":\"allow\",\"protocol\":\"icmp\",\"icmpType\":\"x } accept\"") "]",
         "r: icmpType has what is no type of ICMP"},
        {"[" RULE("r", "any", "any", ",\"action\":\"allow\",\"interface\":\"lan\"") "]",
         "r: interface names something that is neither wan nor a network"},
        {"[" RULE("r", "any", "any", ",\"action\":\"allow\",\"expires\":\"2027-01-31 accept\"") "]",
         "r: expires is \"2027-01-31 accept\"; it must be like 2027-01-31T08:30:00Z"},
        {"[" SCHEDULE("s", "{\"from\":\"18:00\",\"to\":\"08:00\"}") "]",
         "s: a window ends before it begins; write one for each side of midnight"},
        {"[" SCHEDULE("s", "{\"from\":\"08:00 drop\"}") "]",
         "s: from is \"08:00 drop\"; it must be like 08:30"},
        {"[" SCHEDULE("s", "{\"days\":[\"mon\",\"fri,\"]}") "]", "s: days[1] is no day of a week"},
        {"[{\"uid\":\"s\",\"name\":\"s\",\"type\":\"docker:compose:stack\",\"spec\":{\"services\":{"
         "\"x\":{}}}}]",
         "s: services.x.hosts refers to nothing; the twin needs it"},
        {"[{\"uid\":\"s\",\"name\":\"s\",\"type\":\"docker:compose:stack\",\"spec\":{\"services\":{"
         "\"x\":{\"environment\":{\"A=B\":\"c\"}}}}}]",
         "s: \"A=B\" of x is no name of an environment variable"},
        {"[{\"uid\":\"c\",\"name\":\"c\",\"type\":\"aws:acm:certificate\",\"spec\":{\"domains\":["
         "\"a b\"]}}]",
         "c: domains[0] is not a domain"},
        {"[{\"uid\":\"z\",\"name\":\"z\",\"type\":\"aws:moon:base\",\"spec\":{}}]",
         "z: the twin does not serve the type aws:moon:base"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        CHECK_TEXT(fault_of(cases[i].json), cases[i].want);
}

TEST(a_faulty_resource_leaves_the_others_alone)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(manifest, "[" VLAN("a", "10.1.0.0/24") "," VLAN("b", "10.1.0.0/24") "," INSTANCES(
                                "good", "a", "1") "," INSTANCES("bad", "b", "1") "]");
    struct machine *machine = compute(manifest, &faults);
    CHECK(faults.n_items == 2);
    CHECK(problems_find(&faults, "b") && problems_find(&faults, "bad"));
    CHECK(machine_find_host(machine, "good-0") && !machine_find_host(machine, "bad-0"));
    machine_unref(machine);
    problems_done(&faults);
}

TEST(subnets_are_read_without_host_bits_only)
{
    struct machine_subnet subnet;
    CHECK(machine_subnet_from_text("10.0.0.0/8", &subnet) && subnet.prefix == 8);
    CHECK(machine_subnet_from_text("10.1.2.3", &subnet) && subnet.prefix == 32);
    CHECK(machine_subnet_from_text("0.0.0.0/0", &subnet) && subnet.prefix == 0);
    static const char *const bad[] = {
        "",    "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8",
        "::1", "10.0.0.0/",  "/8",          "10.0.0.0/8 ", "256.0.0.0/8"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        CHECK(!machine_subnet_from_text(bad[i], &subnet));
}

#define WATCHED                                                                                                \
    VLAN("watch", "10.4.0.0/24")                                                                               \
    ",{\"uid\":\"eyes\",\"name\":\"eyes\",\"type\":\"k8s:deployment:prometheus\",\"spec\":{},\"references\":{" \
    "\"network\":[\"watch\"]}},"                                                                               \
    "{\"uid\":\"a\",\"name\":\"a\",\"type\":\"k8s:deployment:grafana\",\"spec\":{},\"references\":{"           \
    "\"prometheus\":[\"eyes\"]}},"                                                                             \
    "{\"uid\":\"b\",\"name\":\"b\",\"type\":\"k8s:deployment:grafana\",\"spec\":{},\"references\":{"           \
    "\"prometheus\":[\"eyes\"]}}"

/* What stands in for a's dashboards; the ports that the entrances of eyes, a and b lead to. */
static const char *dashboards_of(bool is_installed, uint16_t *ports)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(manifest, "[" WATCHED "]");
    has_grafana = is_installed;
    struct machine *machine = compute(manifest, &faults);
    has_grafana = false;
    for (size_t i = 0; i < machine->n_entrances && i < 3; i++)
        ports[i] = machine->entrances[i]->port;
    CHECK(faults.n_items == 0 && machine->n_entrances == 3);
    CHECK(machine->n_dashboards == (is_installed ? 2 : 0));
    const char *stand_in = desired_stand_in(machine, manifest_find(manifest, "a"));
    machine_unref(machine);
    return stand_in;
}

TEST(dashboards_lead_to_grafana_where_there_is_one)
{
    uint16_t ports[3];
    CHECK(!dashboards_of(true, ports));
    CHECK(ports[0] == 9090 && ports[1] == 3000 && ports[2] == 3001);
    CHECK(strstr(dashboards_of(false, ports), "Prometheus"));
    CHECK(ports[0] == 9090 && ports[1] == 9090 && ports[2] == 9090);
}
