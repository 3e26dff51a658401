#include "harness.h"
#include "twin/ruleset.h"
#include "unit/twin-manifest.h"

#define ALLOW(name, port) \
    RULE(name, "10.1.0.0/24", "10.2.0.0/24", ",\"action\":\"allow\",\"port\":" port)
#define ALIAS(name, content)                                                                      \
    "{\"uid\":\"" name "\",\"name\":\"" name "\",\"type\":\"opnsense:firewall:alias\",\"spec\":{" \
    "\"content\":[" content "]}}"

static struct ruleset *ruleset_of(const char *json)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(manifest, json);
    struct machine *machine = compute(manifest, &faults);
    struct ruleset *ruleset = faults.n_items ? NULL : ruleset_compile(machine);
    machine_unref(machine);
    problems_done(&faults);
    return ruleset;
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

static const char *elements(const char *from, const char *to)
{
    static struct strbuf commands;
    CLEANUP(ruleset_freep) struct ruleset *old = ruleset_of(from), *new = ruleset_of(to);
    size_t cursor = 0;
    strbuf_clear(&commands);
    while (ruleset_write_elements(old, new, &cursor, &commands))
        strbuf_add(&commands, "--\n");
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
        "flush chain inet parley allowing\n"
        "add rule inet parley allowing ip saddr 10.1.0.0/24 ip daddr 10.2.0.0/24 tcp dport { "
        "81-81 } jump rule-a\n"
        "add rule inet parley allowing ip saddr 10.1.0.0/24 ip daddr 10.2.0.0/24 tcp dport { "
        "22-22 } jump rule-b\n");
}

TEST(a_rule_that_goes_takes_its_chain_and_counter_along)
{
    CHECK_TEXT(
        changes("[" ALLOW("a", "80") "," ALLOW("b", "22") "]", "[" ALLOW("b", "22") "]"),
        "flush chain inet parley rule-a\n"
        "flush chain inet parley allowing\n"
        "add rule inet parley allowing ip saddr 10.1.0.0/24 ip daddr 10.2.0.0/24 tcp dport { "
        "22-22 } jump rule-b\n"
        "delete chain inet parley rule-a\n"
        "delete counter inet parley decided-a\n");
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

TEST(what_blocks_stands_before_what_is_established)
{
    CLEANUP(ruleset_freep)
    struct ruleset *new = ruleset_of(
        "[" RULE("a", "10.0.0.1", "any", ",\"action\":\"block\",\"protocol\":\"any\"") "]");
    struct strbuf text = {0};
    ruleset_write_changes(NULL, new, &text);
    const char *blocking =
        strstr(strbuf_text(&text), "forward ct direction original jump blocking");
    CHECK(blocking && strstr(blocking, "established : accept"));
    CHECK(strstr(strbuf_text(&text), "add rule inet parley blocking ip saddr 10.0.0.1/32 jump "
                                     "rule-a\n"));
    CHECK(strstr(strbuf_text(&text), "hook forward priority filter; policy drop;"));
    strbuf_done(&text);
}

TEST(elements_that_contain_others_stand_for_them)
{
    CHECK_TEXT(
        elements("[" ALIAS("s", "") "]",
                 "[" ALIAS("s", "\"10.1.0.0/16\",\"10.1.2.3\",\"10.0.0.0/8\",\"11.0.0.1\"") "]"),
        "add element inet parley set-s { 10.0.0.0/8, 11.0.0.1/32 }\n--\n");
}

TEST(what_goes_is_gone_before_what_contains_it_comes)
{
    CHECK_TEXT(elements("[" ALIAS("s", "\"10.1.0.0/16\",\"9.0.0.1\"") "]",
                        "[" ALIAS("s", "\"10.0.0.0/8\",\"9.0.0.1\"") "]"),
               "delete element inet parley set-s { 10.1.0.0/16 }\n"
               "add element inet parley set-s { 10.0.0.0/8 }\n--\n");
}

TEST(many_elements_go_in_chunks_and_none_is_lost)
{
    struct strbuf list = {0};
    strbuf_add(&list,
               "[{\"uid\":\"s\",\"name\":\"s\",\"type\":\"opnsense:firewall:alias\",\"spec\":{"
               "\"content\":[");
    for (unsigned int i = 0; i < 2500; i++)
        strbuf_addf(&list, "%s\"10.0.%u.%u\"", i ? "," : "", i / 256, i % 256);
    strbuf_add(&list, "]}}]");
    const char *text = elements("[" ALIAS("s", "") "]", strbuf_text(&list));
    size_t n_chunks = 0, n_elements = 0;
    for (const char *c = text; (c = strstr(c, "--\n")); c++)
        n_chunks++;
    for (const char *c = text; (c = strstr(c, "/32")); c++)
        n_elements++;
    CHECK(n_chunks == 3 && n_elements == 2500);
    strbuf_done(&list);
}
