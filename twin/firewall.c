/* Keeps the rules of the router like the desired machine wants them, by libnftables. */
#include "twin/firewall.h"

#include "base/strbuf.h"
#include "base/world.h"
#include "model/json.h"
#include "model/value.h"
#include "twin/elements.h"
#include "twin/ruleset.h"

#include <nftables/libnftables.h>
#include <stdlib.h>
#include <string.h>

#define COUNTER_AGE 200000

struct firewall {
    struct nft_ctx *nft;     /* bound to the namespace that it was made in */
    int elements;            /* a socket to nftables, for what sets hold */
    struct ruleset *applied; /* NULL: there is no table yet */
    bool is_uncertain;       /* a change of elements failed halfway */
    struct value *counters;  /* owned: name -> packets; NULL before the first reading */
    int64_t counted_at;
};

int firewall_new(struct firewall **ret_firewall, struct error *err)
{
    CLEANUP(firewall_freep) struct firewall *firewall = NEW(struct firewall);
    firewall->elements = -1;
    firewall->nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!firewall->nft || nft_ctx_buffer_output(firewall->nft) < 0 ||
        nft_ctx_buffer_error(firewall->nft) < 0)
        return error_set(err, ERROR_SYSTEM, "nftables cannot be used");
    int r = elements_open(&firewall->elements, err);
    if (r < 0)
        return r;
    *ret_firewall = take_ptr(firewall);
    return 0;
}

void firewall_free(struct firewall *firewall)
{
    if (!firewall)
        return;
    if (firewall->nft)
        nft_ctx_free(firewall->nft);
    close_descriptor(firewall->elements);
    ruleset_free(firewall->applied);
    value_unref(firewall->counters);
    mem_free(firewall);
}

static int run(struct firewall *firewall, const char *commands, struct error *err)
{
    /* It reads times as local ones, numbers too. */
    CLEANUP(mem_freep) char *zone = getenv("TZ") ? string_copy(getenv("TZ")) : NULL;
    setenv("TZ", "UTC0", 1);
    int r = nft_run_cmd_from_buffer(firewall->nft, commands);
    if (zone)
        setenv("TZ", zone, 1);
    else
        unsetenv("TZ");
    if (r == 0)
        return 0;
    const char *reason = nft_ctx_get_error_buffer(firewall->nft);
    CLEANUP(mem_freep) char *first_line = string_copy_n(reason, strcspn(reason, "\n"));
    return error_set(err, ERROR_SYSTEM, "the firewall refused its rules: %s", first_line);
}

static int apply_elements(struct firewall *firewall, const struct ruleset *wanted,
                          struct error *err)
{
    struct element_change *changes = NEW_ARRAY(struct element_change, ELEMENTS_LIMIT);
    size_t cursor = 0, n;
    int r = 0;
    while (r == 0 && (n = ruleset_next_elements(firewall->applied, wanted, &cursor, changes,
                                                ELEMENTS_LIMIT)) > 0)
        r = elements_change(firewall->elements, changes, n, err);
    mem_free(changes);
    return r;
}

bool firewall_keeps(const struct firewall *firewall)
{
    return firewall->applied && ruleset_keeps(firewall->applied);
}

int firewall_apply(struct firewall *firewall, const struct machine *wanted,
                   const struct machine *held, struct error *err)
{
    CLEANUP(ruleset_freep) struct ruleset *new = ruleset_compile(wanted, held);
    struct strbuf commands = {0};
    if (firewall->is_uncertain)
        ruleset_forget_elements(firewall->applied, &commands);
    ruleset_write_changes(firewall->applied, new, &commands);
    int r = commands.length > 0 ? run(firewall, strbuf_text(&commands), err) : 0;
    strbuf_done(&commands);
    if (r < 0)
        return r;
    r = apply_elements(firewall, new, err);
    firewall->is_uncertain = r < 0;
    ruleset_free(firewall->applied);
    firewall->applied = take_ptr(new);
    return r;
}

/* All counters at once: one by one they would cost a request of the kernel each. */
static struct value *read_counters(struct firewall *firewall)
{
    struct value_builder builder = {0};
    CLEANUP(value_unrefp) struct value *answer = NULL;
    nft_ctx_output_set_flags(firewall->nft, NFT_CTX_OUTPUT_JSON);
    int r = run(firewall, "list counters table inet parley", NULL);
    nft_ctx_output_set_flags(firewall->nft, 0);
    const char *text = nft_ctx_get_output_buffer(firewall->nft);
    if (r == 0)
        r = json_read(text, strlen(text), &answer, NULL);
    const struct value *items = r == 0 ? value_get(answer, "nftables") : NULL;
    for (size_t i = 0; items && i < value_count(items); i++) {
        const struct value *counter = value_get(value_at(items, i), "counter");
        const char *name = value_get_text(counter, "name");
        if (name)
            value_builder_set(&builder, name,
                              value_integer(value_get_integer(counter, "packets", 0)));
    }
    return value_builder_map(&builder);
}

struct firewall_count firewall_count(struct firewall *firewall, const char *rule)
{
    int64_t now = world_monotonic_clock();
    if (!firewall->counters || now - firewall->counted_at > COUNTER_AGE) {
        value_unref(firewall->counters);
        firewall->counters = read_counters(firewall);
        firewall->counted_at = now;
    }
    char *decided, *limited;
    ruleset_counter_names(rule, &decided, &limited);
    struct firewall_count count = {
        .decided = (uint64_t)value_get_integer(firewall->counters, decided, 0),
        .limited = (uint64_t)value_get_integer(firewall->counters, limited, 0)};
    mem_free(decided);
    mem_free(limited);
    return count;
}
