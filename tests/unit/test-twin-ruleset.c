#include "harness.h"
#include "twin/ruleset.h"
#include "unit/twin-manifest.h"

#define ALLOW(name, port) \
    RULE(name, "10.1.0.0/24", "10.2.0.0/24", ",\"action\":\"allow\",\"port\":" port)
#define ALIAS(name, content)                                                                      \
    "{\"uid\":\"" name "\",\"name\":\"" name "\",\"type\":\"opnsense:firewall:alias\",\"spec\":{" \
    "\"content\":[" content "]}}"

static struct machine *machine_of(const char *json)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(manifest, json);
    struct machine *machine = compute(manifest, &faults);
    CHECK(faults.n_items == 0);
    problems_done(&faults);
    return machine;
}

static struct ruleset *ruleset_of(const char *json)
{
    CLEANUP(machine_unrefp) struct machine *machine = machine_of(json);
    return ruleset_compile(machine, NULL);
}

/* The commands for resources while what these others let in is kept, in a buffer that the next call
 * reuses. */
static const char *keeping(const char *held, const char *json)
{
    static struct strbuf commands;
    CLEANUP(machine_unrefp) struct machine *before = machine_of(held);
    CLEANUP(machine_unrefp) struct machine *machine = machine_of(json);
    CLEANUP(ruleset_freep) struct ruleset *ruleset = ruleset_compile(machine, before);
    strbuf_clear(&commands);
    ruleset_write_changes(NULL, ruleset, &commands);
    return ruleset_keeps(ruleset) ? strbuf_text(&commands) : "";
}

/* The commands from one to another, in a buffer that the next call reuses. */
static const char *changes(const char *from, const char *to)
{
    static struct strbuf commands;
    CLEANUP(ruleset_freep) struct ruleset *old = ruleset_of(from), *new = ruleset_of(to);
    strbuf_clear(&commands);
    ruleset_write_changes(old, new, &commands);
    return strbuf_text(&commands);
}

/* "-set 10.0.0.0/8" and "+set ..." for each change, in a buffer that the next call reuses; limit
 * at a time. */
static const char *elements_by(size_t limit, const char *from, const char *to)
{
    static struct strbuf text;
    CLEANUP(ruleset_freep) struct ruleset *old = ruleset_of(from), *new = ruleset_of(to);
    struct element_change changes[16];
    size_t cursor = 0, n;
    strbuf_clear(&text);
    while ((n = ruleset_next_elements(old, new, &cursor, changes, limit)) > 0) {
        for (size_t i = 0; i < n; i++) {
            char address[MACHINE_ADDRESS_SIZE];
            machine_address_to_text(changes[i].subnet.base, address);
            strbuf_addf(&text, "%c%s %s/%u\n", changes[i].is_added ? '+' : '-', changes[i].set,
                        address, changes[i].subnet.prefix);
        }
    }
    return strbuf_text(&text);
}

static const char *elements(const char *from, const char *to)
{
    return elements_by(16, from, to);
}

/* The commands for these resources where nothing is. */
static const char *commands_of(const char *json)
{
    static struct strbuf commands;
    CLEANUP(ruleset_freep) struct ruleset *ruleset = ruleset_of(json);
    strbuf_clear(&commands);
    if (ruleset)
        ruleset_write_changes(NULL, ruleset, &commands);
    return strbuf_text(&commands);
}

TEST(an_equal_ruleset_needs_no_commands)
{
    CHECK_TEXT(changes("[" ALLOW("a", "80") "]", "[" ALLOW("a", "80") "]"), "");
    CHECK_TEXT(elements("[" ALIAS("s", "\"10.0.0.1\"") "]", "[" ALIAS("s", "\"10.0.0.1\"") "]"),
               "");
}

TEST(a_changed_port_touches_only_the_order_of_rules)
{
    CHECK_TEXT(
        changes("[" ALLOW("a", "80") "," ALLOW("b", "22") "]",
                "[" ALLOW("a", "81") "," ALLOW("b", "22") "]"),
        "flush chain inet parley incoming\n"
        "add rule inet parley incoming ip saddr 10.1.0.0/24 ip daddr 10.2.0.0/24 meta l4proto tcp th "
        "dport { 81-81 } jump rule-a\n"
        "add rule inet parley incoming ip saddr 10.1.0.0/24 ip daddr 10.2.0.0/24 meta l4proto tcp th "
        "dport { 22-22 } jump rule-b\n");
}

TEST(a_rule_that_goes_takes_its_chain_and_counter_along)
{
    CHECK_TEXT(
        changes("[" ALLOW("a", "80") "," ALLOW("b", "22") "]", "[" ALLOW("b", "22") "]"),
        "flush chain inet parley rule-a\n"
        "flush chain inet parley incoming\n"
        "add rule inet parley incoming ip saddr 10.1.0.0/24 ip daddr 10.2.0.0/24 meta l4proto tcp th "
        "dport { 22-22 } jump rule-b\n"
        "delete chain inet parley rule-a\n"
        "delete counter inet parley decided-a\n");
}

/* Answers by ICMP are few, as the kernel sees to it (icmp_ratelimit). */
TEST(who_is_refused_by_tcp_is_told_by_tcp)
{
    static const char *const protocols[] = {"tcp", "tcp/udp", "any"};
    for (size_t i = 0; i < ARRAY_LENGTH(protocols); i++) {
        CLEANUP(mem_freep)
        char *json = string_format(
            "[" RULE("a", "any", "any", ",\"action\":\"reject\",\"protocol\":\"%s\"") "]",
            protocols[i]);
        CHECK(
            strstr(changes("[]", json),
                   "add rule inet parley rule-a meta l4proto tcp counter name \"decided-a\" reject "
                   "with tcp reset\n"
                   "add rule inet parley rule-a counter name \"decided-a\" reject\n"));
    }
    CHECK(!strstr(changes("[]", "[" RULE("a", "any", "any",
                                         ",\"action\":\"reject\",\"protocol\":\"udp\"") "]"),
                  "tcp reset"));
}

TEST(a_rule_of_icmp_is_about_its_types_alone)
{
    CHECK(strstr(changes("[]", "[" RULE("a", "any", "any",
                                        ",\"action\":\"allow\",\"protocol\":\"icmp\",\"icmpType\":["
                                        "\"timestamp-request\",\"echo-request\"]") "]"),
                 "add rule inet parley incoming meta l4proto icmp icmp type { echo-request, "
                 "timestamp-request } jump rule-a\n"));
    CHECK(!strstr(changes("[]", "[" RULE("a", "any", "any",
                                         ",\"action\":\"allow\",\"protocol\":\"icmp\"") "]"),
                  "icmp type { echo-request, "));
}

/* The router's own: names at its address outside, echoes, and nothing that lies about its origin.
 */
TEST(the_router_itself_is_asked_for_names_only)
{
    const char *text = commands_of("[]");
    const char *input = strstr(text, "add rule inet parley input iifname \"lo\" accept\n"
                                     "add rule inet parley input jump origin\n");
    CHECK(input);
    CHECK(strstr(input, "add rule inet parley input ip daddr 198.51.100.1 meta l4proto udp th "
                        "dport 53 accept\n"
                        "add rule inet parley input jump denying\n"));
    CHECK(strstr(text, "add chain inet parley input { type filter hook input priority filter; "
                       "policy drop; }\n"));
}

TEST(a_limit_is_a_window_of_its_own)
{
    const char *text = changes(
        "[]", "[" RULE("a", "any", "any", ",\"action\":\"allow\",\"rateLimit\":\"7/second\"") "]");
    CHECK(strstr(text, "add set inet parley window-a-1 { type ipv4_addr; flags dynamic,timeout; "
                       "timeout 1s; size 65536; }\n"));
    CHECK(strstr(text, "add rule inet parley rule-a add @window-a-1 { ip saddr limit rate over "
                       "1/day burst 7 packets } counter name \"limited-a\" drop\n"));
    CHECK(strstr(text, "add rule inet parley rule-a counter name \"decided-a\" accept\n"));
}

/* nft_limit: burst * nanoseconds of the unit is a signed number of 64 bits. */
TEST(a_large_limit_has_a_unit_that_the_kernel_can_count_in)
{
    static const struct {
        const char *rate, *unit;
    } cases[] = {{"106000/minute", "1/day burst 106000 "},
                 {"107000/minute", "1/hour burst 107000 "},
                 {"2600000/minute", "1/minute burst 2600000 "},
                 {"1000000000/second", "1/second burst 1000000000 "}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(mem_freep)
        char *rule = string_format(
            "[" RULE("a", "any", "any", ",\"action\":\"allow\",\"rateLimit\":\"%s\"") "]",
            cases[i].rate);
        CHECK(strstr(changes("[]", rule), cases[i].unit));
    }
}

TEST(what_was_let_in_is_kept_behind_all_that_blocks_and_under_its_own_rule)
{
    const char *block = RULE("b", "10.1.0.9", "any", ",\"action\":\"block\",\"sequence\":9");
    CLEANUP(mem_freep) char *now = string_format("[" ALLOW("a", "81") ",%s]", block);
    const char *text = keeping("[" ALLOW("a", "80") "]", now);
    const char *kept = strstr(text, "dport { 80-80 } jump rule-a\n");
    const char *blocks = strstr(text, "incoming ip saddr 10.1.0.9/32");
    CHECK(kept && blocks && blocks < kept && strstr(text, "dport { 81-81 } jump rule-a\n") < kept);
    /* Its rule is gone; it has become one that blocks; it is as it was; nothing was let in. */
    CHECK(strstr(keeping("[" ALLOW("a", "80") "]", "[]"), "dport { 80-80 } accept\n"));
    text =
        keeping("[" ALLOW("b", "80") "]", "[" RULE("b", "any", "any", ",\"action\":\"block\"") "]");
    CHECK(strstr(text, "jump rule-b\n") && !strstr(text, "accept\nadd rule inet parley rule-b"));
    CHECK_TEXT(keeping("[" ALLOW("a", "80") "]", "[" ALLOW("a", "80") "]"), "");
    CHECK_TEXT(keeping("[" RULE("b", "any", "any", ",\"action\":\"block\"") "]", "[]"), "");
}

TEST(what_was_limited_is_not_kept_without_its_limit)
{
    const char *limited =
        "[" RULE("a", "any", "any", ",\"action\":\"allow\",\"rateLimit\":\"7/second\"") "]";
    CHECK_TEXT(keeping(limited, "[]"), "");
}

TEST(what_blocks_cuts_what_is_established_as_far_as_no_earlier_rule_allows_it)
{
    const char *text = commands_of(
        "[" RULE("a", "10.0.0.1", "any", ",\"action\":\"allow\",\"protocol\":\"any\",\"sequence\":1") "," RULE(
            "b", "10.0.0.0/24", "any",
            ",\"action\":\"block\",\"protocol\":\"any\",\"sequence\":2") "," ALLOW("c", "80") "]");
    const char *standing = strstr(text, "forward ct state established,related ct direction "
                                        "original jump standing\n");
    CHECK(standing && strstr(standing, "established : accept"));
    CHECK(strstr(text, "hook forward priority filter; policy drop;"));
    CHECK(strstr(text, "add rule inet parley standing ip saddr 10.0.0.1/32 return\n"
                       "add rule inet parley standing ip saddr 10.0.0.0/24 jump rule-b\n"));
    CHECK(strstr(text, "add rule inet parley incoming ip saddr 10.0.0.1/32 jump rule-a\n"
                       "add rule inet parley incoming ip saddr 10.0.0.0/24 jump rule-b\n"));
    CHECK(!strstr(commands_of("[" ALLOW("c", "80") "]"), "add rule inet parley standing "));
}

TEST(a_direction_is_where_the_rule_is_asked)
{
    const char *text = commands_of("[" VLAN(
        "n",
        "10.9.0.0/24") ","
                       "{\"uid\":\"r\",\"name\":\"r\",\"type\":\"opnsense:firewall:rule\",\"spec\":{\"source\":"
                       "\"any\",\"destination\":\"any\",\"action\":\"block\",\"direction\":\"out\",\"interface\":["
                       "\"n\",\"wan\"],\"protocol\":\"udp\",\"sourcePort\":53},\"references\":{\"interface\":[\"n\"]}}"
                       "," RULE("b", "any", "any",
                                ",\"action\":\"allow\",\"direction\":\"any\"") "]");
    CHECK(strstr(text, "hook forward priority 10; policy accept;"));
    CHECK(strstr(text, "add rule inet parley outgoing oifname { \"br-outside\", \"br-n\" } "
                       "meta l4proto udp th sport { 53-53 } jump rule-r\n"));
    CHECK(!strstr(text, "incoming iifname") && !strstr(text, "standing iifname"));
    /* What is counted as it comes in is not counted a second time. */
    CHECK(strstr(text, "add rule inet parley incoming meta l4proto tcp jump rule-b\n"));
    CHECK(strstr(text, "add rule inet parley outgoing meta l4proto tcp accept\n"));
}

TEST(a_schedule_is_a_line_for_each_of_its_windows)
{
    const char *text = commands_of(
        "[{\"uid\":\"s\",\"name\":\"s\",\"type\":\"opnsense:firewall:schedule\",\"spec\":{\"windows\":["
        "{\"days\":[\"mon\",\"sun\"],\"from\":\"08:30\",\"to\":\"18:00\"},{\"from\":\"23:00\"}]}},"
        "{\"uid\":\"r\",\"name\":\"r\",\"type\":\"opnsense:firewall:rule\",\"spec\":{\"source\":"
        "\"any\",\"destination\":\"any\",\"action\":\"allow\",\"expires\":\"2027-01-31T08:30:00Z\"},"
        "\"references\":{\"schedule\":[\"s\"]}}]");
    CHECK(strstr(text, "add rule inet parley incoming meta l4proto tcp meta day { 0, 1 } meta hour "
                       "30600-64799 meta time < 1801384200 jump rule-r\n"
                       "add rule inet parley incoming meta l4proto tcp meta day { 0, 1, 2, 3, 4, "
                       "5, 6 } meta hour 82800-86399 meta time < 1801384200 jump rule-r\n"));
}

TEST(a_rule_that_is_not_enabled_is_not_there)
{
    CHECK(!strstr(
        commands_of("[" RULE("r", "any", "any", ",\"action\":\"allow\",\"enabled\":false") "]"),
        "rule-r"));
}

TEST(elements_that_contain_others_stand_for_them)
{
    CHECK_TEXT(
        elements("[" ALIAS("s", "") "]",
                 "[" ALIAS("s", "\"10.1.0.0/16\",\"10.1.2.3\",\"10.0.0.0/8\",\"11.0.0.1\"") "]"),
        "+set-s 10.0.0.0/8\n+set-s 11.0.0.1/32\n");
}

TEST(what_goes_is_gone_before_what_contains_it_comes)
{
    CHECK_TEXT(elements("[" ALIAS("s", "\"10.1.0.0/16\",\"9.0.0.1\"") "]",
                        "[" ALIAS("s", "\"10.0.0.0/8\",\"9.0.0.1\"") "]"),
               "-set-s 10.1.0.0/16\n+set-s 10.0.0.0/8\n");
}

TEST(many_elements_go_in_parts_and_none_is_lost)
{
    const char *from =
        "[" ALIAS("s", "\"10.0.0.1\",\"10.0.0.2\",\"10.0.0.3\"") "," ALIAS("t", "") "]";
    const char *to = "[" ALIAS("s", "\"10.0.0.2\"") "," ALIAS("t", "\"10.0.0.4\",\"10.0.0.5\"") "]";
    for (size_t limit = 1; limit < 6; limit++)
        CHECK_TEXT(elements_by(limit, from, to), "-set-s 10.0.0.1/32\n-set-s 10.0.0.3/32\n"
                                                 "+set-t 10.0.0.4/32\n+set-t 10.0.0.5/32\n");
}

#define NAT(name, kind, spec, references)                                       \
    "{\"uid\":\"" name "\",\"name\":\"" name "\",\"type\":\"opnsense:nat:" kind \
    "\",\"spec\":{" spec "},\"references\":{" references "}}"

TEST(a_port_forward_leads_and_lets_in_behind_all_rules)
{
    const char *text =
        commands_of("[" VLAN("n", "10.9.0.0/24") "," INSTANCES("h", "n", "1") "," NAT(
            "f", "portforward", "\"port\":8022,\"target\":\"h\",\"targetPort\":22",
            "\"target\":[\"h\"]") "," ALLOW("r", "80") "]");
    CHECK(strstr(text, "add chain inet parley prerouting { type nat hook prerouting priority "
                       "dstnat; policy accept; }\n"));
    CHECK(strstr(text, "add rule inet parley prerouting iifname { \"br-outside\" } ip daddr "
                       "198.51.100.1 meta l4proto tcp th dport { 8022-8022 } jump nat-f\n"));
    CHECK(strstr(
        text, "add rule inet parley nat-f meta l4proto tcp counter name \"decided-f\" dnat ip to "
              "10.9.0.11:22\n"));
    CHECK(strstr(text, " jump rule-r\n"
                       "add rule inet parley incoming iifname { \"br-outside\" } meta l4proto tcp "
                       "ct status dnat ct original ip daddr 198.51.100.1 ct original proto-dst { "
                       "8022-8022 } accept\n"));
    CHECK(!strstr(text, "postrouting"));
}

TEST(an_outbound_rule_gives_an_address_or_keeps_it)
{
    const char *text = commands_of(
        "[" NAT("b", "outbound", "\"source\":\"10.9.0.0/24\",\"sequence\":2", "") "," NAT(
            "c", "outbound", "\"source\":\"10.9.0.7\",\"sequence\":1,\"noNat\":true", "") "]");
    CHECK(strstr(text, "add rule inet parley postrouting oifname { \"br-outside\" } ip saddr "
                       "10.9.0.7/32 jump nat-c\n"
                       "add rule inet parley postrouting oifname { \"br-outside\" } ip saddr "
                       "10.9.0.0/24 jump nat-b\n"));
    CHECK(strstr(text, "nat-b counter name \"decided-b\" snat ip to 198.51.100.1\n"));
    CHECK(strstr(text, "nat-c counter name \"decided-c\" accept\n"));
    CHECK(!strstr(commands_of("[]"), "nat hook"));
}
