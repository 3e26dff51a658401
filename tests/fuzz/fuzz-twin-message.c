/*
 * Lines of the twin's socket, carried out as far as no kernel is needed: read, checked, put into a
 * manifest, and the machine and the firewall's rules computed from it. Whatever is accepted has
 * addresses of its own, unique names, and rules without a line that came from outside.
 */
#include "base/text.h"
#include "fuzz/fuzz.h"
#include "twin/desired.h"
#include "twin/message.h"
#include "twin/ruleset.h"

#include <string.h>

static void check_hosts(const struct machine *machine)
{
    for (size_t i = 0; i < machine->n_hosts; i++) {
        const struct machine_host *host = machine->hosts[i];
        struct machine_subnet home = {host->network->base, host->network->prefix};
        MUST(machine_subnet_contains(home, (struct machine_subnet){host->ip, 32}));
        MUST(host->ip != host->network->gateway);
        for (size_t j = 0; j < i; j++) {
            MUST(machine->hosts[j]->ip != host->ip);
            MUST(strcmp(machine->hosts[j]->name, host->name) != 0);
        }
    }
    for (size_t i = 0; i < machine->n_networks; i++) {
        for (size_t j = 0; j < i; j++)
            MUST(strcmp(machine->networks[i]->bridge, machine->networks[j]->bridge) != 0);
    }
}

/* Every line of the commands is one that we write. */
static void check_commands(const char *commands)
{
    static const char *const beginnings[] = {"add ", "flush ", "delete "};
    for (const char *line = commands; *line; line = strchr(line, '\n') + 1) {
        bool is_ours = false;
        for (size_t i = 0; i < ARRAY_LENGTH(beginnings); i++)
            is_ours = is_ours || text_starts_with(line, beginnings[i]);
        MUST(is_ours && strchr(line, '\n'));
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
    struct ruleset *new = ruleset_compile(machine);
    ruleset_write_changes(*ruleset, new, &commands);
    while (ruleset_write_elements(*ruleset, new, &cursor, &commands))
        continue;
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

static void carry_out(struct manifest *manifest, const char *line, size_t length)
{
    struct request request = {0};
    struct error err = {0};
    if (request_read(line, length, &request, &err) < 0) {
        MUST(err.code != ERROR_NONE && err.message);
        error_done(&err);
        return;
    }
    if (request.verb == VERB_PUT) {
        CLEANUP(mem_freep) char *uid = string_copy(resource_uid(request.resource));
        struct value *resource =
            desired_adopt(manifest_find(manifest, uid), take_ptr(request.resource));
        value_unref(manifest_exchange(manifest, uid, resource));
    } else if (request.verb == VERB_DELETE) {
        value_unref(manifest_exchange(manifest, request.uid, NULL));
    }
    request_done(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct ruleset *ruleset = NULL;
    const char *line = (const char *)text, *end = line + size;
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *line_end = newline ? newline : end;
        carry_out(manifest, line, (size_t)(line_end - line));
        compute(manifest, &ruleset);
        line = line_end + 1;
    }
    ruleset_free(ruleset);
    return 0;
}
