#include "harness.h"
#include "twin/names.h"
#include "unit/twin-manifest.h"

#include "base/text.h"

#include <ctype.h>

/* A question as a resolver asks it: recursion wanted, of the internet. */
static size_t ask(const char *name, unsigned int type, uint8_t *message)
{
    static const uint8_t header[12] = {0x12, 0x34, 1, 0, 0, 1};
    size_t at = sizeof(header);
    memcpy(message, header, sizeof(header));
    for (const char *label = name; *label;) {
        size_t n = strcspn(label, ".");
        message[at++] = (uint8_t)n;
        memcpy(message + at, label, n);
        at += n;
        label += n + (label[n] == '.');
    }
    message[at++] = 0;
    memcpy(message + at, (uint8_t[]){(uint8_t)(type >> 8), (uint8_t)type, 0, 1}, 4);
    return at + 4;
}

static struct machine *machine;

/* "CODE: ADDRESS ..." of an answer, in a buffer that the next call reuses. */
static const char *answer_to_type(const char *name, unsigned int type)
{
    static struct strbuf text;
    uint8_t question[NAMES_MESSAGE], answer[NAMES_MESSAGE];
    size_t asked = ask(name, type, question);
    size_t size = names_answer(machine, question, asked, 0, answer);
    strbuf_clear(&text);
    CHECK(size >= asked && answer[0] == 0x12 && answer[1] == 0x34);
    /* An answer of who knows best, to one question, which it repeats. */
    CHECK((answer[2] & 0xfe) == 0x84 && memcmp(answer + 12, question + 12, asked - 12) == 0);
    strbuf_addf(&text, "%u:", answer[3] & 15);
    size_t at = asked;
    for (unsigned int i = 0; i < answer[7]; i++, at += 12 + answer[at + 11]) {
        if (answer[at + 3] == 1)
            strbuf_addf(&text, " %u.%u.%u.%u", answer[at + 12], answer[at + 13], answer[at + 14],
                        answer[at + 15]);
        for (size_t label = at + 12; answer[at + 3] == 12 && answer[label];
             label += 1 + answer[label])
            strbuf_addf(&text, " %.*s", answer[label], (const char *)answer + label + 1);
    }
    CHECK(at == size);
    return strbuf_text(&text);
}

static const char *answer_to(const char *name)
{
    return answer_to_type(name, 1);
}

static void build(const char *json)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    add_resources(manifest, json);
    machine_unref(machine);
    machine = compute(manifest, &faults);
    CHECK(faults.n_items == 0);
    problems_done(&faults);
}

#define SHOP                                                                                      \
    "[" VLAN("net", "10.1.0.0/24") "," INSTANCES("web", "net", "2") "," CLUSTER(                  \
        "data", "net",                                                                            \
        "2") "," BACKEND("back", "web",                                                           \
                         "80") ",{\"uid\":\"c\",\"name\":\"c\",\"type\":\"aws:acm:certificate\"," \
                               "\"spec\":{\"domains\":[\"shop.example\",\"*.img.example\"]}},"    \
                               "{\"uid\":\"door\",\"name\":\"door\",\"type\":\"opnsense:haproxy:" \
                               "frontend\",\"spec\":{\"port\":443},\"references\":{\"network\":"  \
                               "[\"net\"],\"backend\":[\"back\"],\"certificate\":[\"c\"]}}]"

TEST(hosts_resources_and_domains_have_addresses)
{
    static const struct {
        const char *name;
        const char *want;
    } cases[] = {
        {"web-0", "0: 10.1.0.11"},
        {"WEB-1", "0: 10.1.0.12"},
        {"web-1.twin.internal", "0: 10.1.0.12"},
        {"web", "0: 10.1.0.11 10.1.0.12"},
        {"web.twin.internal", "0: 10.1.0.11 10.1.0.12"},
        {"data", "0: 10.1.0.100"},
        {"data-1", "0: 10.1.0.14"},
        {"door", "0: 10.1.0.10"},
        {"shop.example", "0: 10.1.0.10"},
        {"a.img.example", "0: 10.1.0.10"},
        {"outside", "0: 198.51.100.10"},
        {"img.example", "3:"},
        {"a.b.img.example", "3:"},
        {"www.shop.example", "3:"},
        {"web-2", "3:"},
        {"twin.internal", "0:"},
        {"web-0.example", "3:"},
    };
    build(SHOP);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        CHECK_TEXT(answer_to(cases[i].name), cases[i].want);
}

TEST(other_kinds_of_a_known_name_are_empty_and_no_failure)
{
    build(SHOP);
    CHECK_TEXT(answer_to_type("web-0", 28), "0:");
    CHECK_TEXT(answer_to_type("nobody", 28), "3:");
}

TEST(an_address_leads_back_to_its_host)
{
    build(SHOP);
    CHECK_TEXT(answer_to_type("11.0.1.10.in-addr.arpa", 12), "0: web-0 twin internal");
    CHECK_TEXT(answer_to_type("99.0.1.10.in-addr.arpa", 12), "3:");
}

TEST(many_addresses_are_as_many_as_a_message_takes_in_turns)
{
    uint8_t question[NAMES_MESSAGE], first[NAMES_MESSAGE], second[NAMES_MESSAGE];
    build("[" VLAN("net", "10.1.0.0/16") "," INSTANCES("many", "net", "100") "]");
    size_t asked = ask("many", 1, question);
    size_t size = names_answer(machine, question, asked, 0, first);
    CHECK(size <= NAMES_MESSAGE && size + 16 > NAMES_MESSAGE);
    CHECK(first[7] == (size - asked) / 16);
    CHECK(names_answer(machine, question, asked, 1, second) == size);
    CHECK(memcmp(first + asked + 16, second + asked, 16) == 0);
}

TEST(what_is_no_question_gets_no_answer_or_is_refused)
{
    uint8_t question[NAMES_MESSAGE], answer[NAMES_MESSAGE];
    build(SHOP);
    size_t asked = ask("web-0", 1, question);
    CHECK(names_answer(machine, question, 11, 0, answer) == 0);
    for (size_t size = 12; size < asked; size++) {
        CHECK(names_answer(machine, question, size, 0, answer) == 12);
        CHECK((answer[3] & 15) == 1);
    }
    question[12] = 0xc0; /* a name that points to itself */
    CHECK(names_answer(machine, question, asked, 0, answer) == 12 && (answer[3] & 15) == 1);
    question[2] |= 0x80;
    CHECK(names_answer(machine, question, asked, 0, answer) == 0);
    machine_unref(machine);
    machine = NULL;
}
