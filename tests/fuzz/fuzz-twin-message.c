/*
 * Lines of the twin's socket, carried out as far as no kernel is needed: read, checked, put into a
 * manifest, and the machine and the firewall's rules computed from it. Whatever is accepted has
 * addresses of its own, unique names, and rules without a line that came from outside.
 *
 * As in the supervisor, what arrives together is one change: an empty line says that time passes,
 * and what the lines before it changed is computed.
 */
#include "base/map.h"
#include "base/text.h"
#include "fuzz/fuzz.h"
#include "twin/desired.h"
#include "twin/message.h"
#include "twin/ruleset.h"

#include <string.h>

static void must_be_first(struct map *seen, const char *text)
{
    MUST(!map_has(seen, text));
    map_put(seen, text, seen);
}

static void check_hosts(const struct machine *machine)
{
    struct map names = {0}, addresses = {0}, bridges = {0};
    for (size_t i = 0; i < machine->n_hosts; i++) {
        const struct machine_host *host = machine->hosts[i];
        struct machine_subnet home = {host->network->base, host->network->prefix};
        char address[MACHINE_ADDRESS_SIZE];
        machine_address_to_text(host->ip, address);
        MUST(strcmp(address, host->address) == 0);
        MUST(machine_subnet_contains(home, (struct machine_subnet){host->ip, 32}));
        MUST(host->ip != host->network->gateway);
        must_be_first(&addresses, address);
        must_be_first(&names, host->name);
    }
    for (size_t i = 0; i < machine->n_networks; i++)
        must_be_first(&bridges, machine->networks[i]->bridge);
    map_done(&names);
    map_done(&addresses);
    map_done(&bridges);
}

/* All words of the commands, with blanks between them; what is a name, a number or an address is
 * told by its form. A document has no other way into them. */
static const char words[] =
    " add flush delete table inet parley chain set counter rule element { } ; , : type filter hook "
    "forward input prerouting postrouting priority filter; 10; policy drop; accept; jump return "
    "accept drop reject with tcp reset ct state established,related established related invalid "
    "vmap direction original iifname oifname fib saddr . iif oif missing daddr ip != name icmp "
    "echo-request limit rate 10/second log prefix group over 1/day burst packets meta l4proto th "
    "sport dport { tcp udp esp ah gre day hour time < ipv4_addr; flags dynamic,timeout; interval; "
    "timeout size nat dstnat; srcnat; dnat snat to status proto-dst ";

static bool is_word(const char *text, size_t length)
{
    for (const char *at = words; at; at = strstr(at + 1, " "))
        if (strncmp(at + 1, text, length) == 0 && at[1 + length] == ' ')
            return true;
    return false;
}

/* Names begin with a word of ours or stand in quotes, and are of letters, digits and "-._". */
static bool is_name(const char *text, size_t length)
{
    static const char *const beginnings[] = {"rule-",    "nat-",     "set-",
                                             "@set-",    "window-",  "@window-",
                                             "decided-", "limited-", "counter-"};
    bool is_ours = text[0] == '"' || (length > 1 && text[length - 1] == '"');
    for (size_t i = 0; i < ARRAY_LENGTH(beginnings); i++)
        is_ours = is_ours || strncmp(text, beginnings[i], strlen(beginnings[i])) == 0;
    for (size_t i = 0; i < length && is_ours; i++)
        is_ours = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9') ||
                  strchr("-._@", text[i]) || (text[i] == '"' && (i == 0 || i == length - 1));
    return is_ours;
}

static void check_token(const char *text, size_t length)
{
    static const char *const own[] = {"prerouting", "postrouting", "forward", "input",
                                      "leaving",    "origin",      "denying", "incoming",
                                      "outgoing",   "standing",    "denied",  "spoofed"};
    if (length > 0 && text[length - 1] == ',')
        length--;
    bool is_ours = strspn(text, "0123456789.:/-s;") >= length || is_word(text, length) ||
                   is_name(text, length);
    for (size_t i = 0; i < ARRAY_LENGTH(own); i++)
        is_ours = is_ours || (strlen(own[i]) == length && strncmp(text, own[i], length) == 0);
    if (!is_ours)
        fprintf(stderr, "not ours: %.*s\n", (int)length, text);
    MUST(is_ours);
}

/* Every line of the commands is one that we write, of words that are ours. */
static void check_commands(const char *commands)
{
    static const char *const beginnings[] = {"add ", "flush ", "delete "};
    for (const char *line = commands; *line; line = strchr(line, '\n') + 1) {
        bool is_ours = false;
        for (size_t i = 0; i < ARRAY_LENGTH(beginnings); i++)
            is_ours = is_ours || text_starts_with(line, beginnings[i]);
        MUST(is_ours && strchr(line, '\n'));
        for (const char *at = line; *at != '\n';) {
            size_t length = strcspn(at, " \n");
            check_token(at, length);
            at += length + (at[length] == ' ');
        }
    }
}

static void check_changes(const struct element_change *changes, size_t n_changes)
{
    for (size_t i = 0; i < n_changes; i++) {
        MUST(is_name(changes[i].set, strlen(changes[i].set)));
        MUST(changes[i].subnet.prefix >= 1 && changes[i].subnet.prefix <= 32);
    }
}

static void compute(struct manifest *manifest, struct ruleset **ruleset)
{
    struct machine *machine;
    struct value *assigned;
    struct problems faults = {0};
    struct strbuf commands = {0};
    struct desired_means means = {.has_grafana = manifest->resources.n_live % 2 == 0};
    size_t cursor = 0;
    desired_compute(manifest, &means, &machine, &assigned, &faults);
    value_unref(manifest->assigned);
    manifest->assigned = assigned;
    check_hosts(machine);
    struct ruleset *new = ruleset_compile(machine, NULL);
    ruleset_write_changes(*ruleset, new, &commands);
    struct element_change changes[64];
    size_t n;
    while ((n = ruleset_next_elements(*ruleset, new, &cursor, changes, 64)) > 0)
        check_changes(changes, n);
    check_commands(strbuf_text(&commands));
    strbuf_clear(&commands);
    ruleset_write_changes(new, new, &commands);
    MUST(commands.length == 0);
    strbuf_done(&commands);
    ruleset_free(*ruleset);
    *ruleset = new;
    machine_unref(machine);
    problems_done(&faults);
}

/* Whether the manifest may be another one now. */
static bool carry_out(struct manifest *manifest, const char *line, size_t length)
{
    struct request request = {0};
    struct error err = {0};
    if (request_read(line, length, &request, &err) < 0) {
        MUST(err.code != ERROR_NONE && err.message);
        error_done(&err);
        return false;
    }
    bool is_change = request.verb == VERB_PUT || request.verb == VERB_DELETE;
    if (request.verb == VERB_PUT) {
        CLEANUP(mem_freep) char *uid = string_copy(resource_uid(request.resource));
        struct value *resource =
            desired_adopt(manifest_find(manifest, uid), take_ptr(request.resource));
        value_unref(manifest_exchange(manifest, uid, resource));
    } else if (request.verb == VERB_DELETE) {
        value_unref(manifest_exchange(manifest, request.uid, NULL));
    }
    request_done(&request);
    return is_change;
}

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct ruleset *ruleset = NULL;
    const char *line = (const char *)text, *end = line + size;
    bool is_changed = false;
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *line_end = newline ? newline : end;
        is_changed = carry_out(manifest, line, (size_t)(line_end - line)) || is_changed;
        if (is_changed && (line_end == line || line_end + 1 >= end)) {
            compute(manifest, &ruleset);
            is_changed = false;
        }
        line = line_end + 1;
    }
    ruleset_free(ruleset);
    return 0;
}
