/*
 * What a change of something that runs interrupts, so that whoever approves a plan knows. All else
 * is changed while it runs.
 */
#include "provider/twin/twin.h"

#include "base/text.h"

#include <string.h>

static const struct position nowhere;

/* By the paths that differ: values cannot be compared, since what names another resource is spelled
 * otherwise in a record than in a document. */
static bool has_changed(const struct step *step, const char *key)
{
    size_t length = strlen(key);
    for (size_t i = 0; step->changed && i < value_count(step->changed); i++) {
        const char *path = value_text(value_at(step->changed, i));
        if (text_starts_with(path, key) && strchr(".[", path[length]))
            return true;
    }
    return false;
}

static bool has(const struct value *spec, const char *key)
{
    return !value_is_null(value_get(spec, key));
}

static void add(struct diagnostics *diagnostics, const struct target *target, const char *what)
{
    diagnostics_note(diagnostics, DIAGNOSTIC_NOTE, DIAGNOSTIC_INTERRUPTS, nowhere, NULL, "%s: %s",
                     target->address, what);
}

/* A worker that is replaced: see "hard-stop-after" and "idle-close-on-response" of its file. */
static void add_reload(struct diagnostics *diagnostics, const struct target *target)
{
    add(diagnostics, target,
        "A load balancer reloads for it: each connection is answered once more and then closed "
        "with notice; a request that takes longer than 90 seconds is cut off.");
}

static void tell_frontend(const struct target *target, const struct step *step,
                          struct diagnostics *diagnostics)
{
    int64_t before = value_get_integer(step->before, "port", 0);
    int64_t after = value_get_integer(step->after, "port", 0);
    if (before != 0 && after != 0 && before != after) {
        CLEANUP(mem_freep)
        char *what = string_format("It moves from port %lld to %lld: whoever comes to the old one "
                                   "when this is done is refused.",
                                   (long long)before, (long long)after);
        add(diagnostics, target, what);
    }
    bool speaks_tls = has(step->before, "certificate");
    if (before != after || has_changed(step, "backend") ||
        speaks_tls != has(step->after, "certificate"))
        add_reload(diagnostics, target);
}

/* A path that a load balancer can be told while it runs: see balancer_change_values() of the twin.
 */
static bool can_be_told(const char *path)
{
    return strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                        "/_.~?&=%+:@,-") == strlen(path);
}

static void tell_backend(const struct target *target, const struct step *step,
                         struct diagnostics *diagnostics)
{
    const char *path = value_get_text(step->after, "healthCheck");
    if (has_changed(step, "balance") ||
        has(step->before, "healthCheck") != has(step->after, "healthCheck") ||
        (path && !can_be_told(path) && has_changed(step, "healthCheck")))
        add_reload(diagnostics, target);
}

/* Another number is told to a load balancer as it runs; whether it has to ask for one is not. */
static void tell_rule(const struct target *target, const struct step *step,
                      struct diagnostics *diagnostics)
{
    static const char *const ways[] = {"action", "destination", "port", "protocol"};
    bool is_limited = has(step->before, "rateLimit") || has(step->after, "rateLimit");
    bool leads_elsewhere = has(step->before, "rateLimit") != has(step->after, "rateLimit");
    for (size_t i = 0; i < ARRAY_LENGTH(ways); i++)
        leads_elsewhere = leads_elsewhere || has_changed(step, ways[i]);
    if (is_limited && leads_elsewhere)
        add_reload(diagnostics, target);
}

/* Whether a map has other values than before, but for what programs need not be started anew for.
 */
static bool needs_start(const struct value *before, const struct value *after)
{
    static const char *const told[] = {"healthcheck", "depends_on"};
    for (size_t i = 0; i < value_count(after); i++) {
        const char *key = value_key_at(after, i);
        bool is_told = text_equal(key, told[0]) || text_equal(key, told[1]);
        const struct value *was = value_get(before, key);
        if (!is_told && (!was || !value_equal(was, value_at(after, i))))
            return true;
    }
    return false;
}

/* Whether what a service is shown of the document's files is other than before. */
static bool sees_other_files(const struct step *step, const struct value *service)
{
    const struct value *before = value_get(step->before, "files");
    const struct value *after = value_get(step->after, "files");
    const struct value *volumes = value_get(service, "volumes");
    if (value_is_null(volumes) || value_kind(volumes) != VALUE_LIST || value_is_null(after) ||
        value_kind(after) != VALUE_MAP)
        return false;
    for (size_t i = 0; i < value_count(volumes); i++) {
        const struct value *item = value_at(volumes, i);
        const char *text = value_kind(item) == VALUE_STRING ? value_text(item) : "";
        CLEANUP(mem_freep) char *source = string_copy_n(text, strcspn(text, ":"));
        const char *digest = value_get_text(after, source);
        const char *was = value_is_null(before) ? NULL : value_get_text(before, source);
        if (digest && !text_equal_or_null(was, digest))
            return true;
    }
    return false;
}

/* Of several instances one after another is replaced; a single one has nobody in its place. */
static void tell_services(const struct target *target, const struct step *step,
                          struct diagnostics *diagnostics)
{
    const struct value *before = value_get(step->before, "services");
    const struct value *after = value_get(step->after, "services");
    if (!before || !after || value_kind(before) != VALUE_MAP || value_kind(after) != VALUE_MAP)
        return;
    for (size_t i = 0; i < value_count(after); i++) {
        const char *name = value_key_at(after, i);
        const struct value *service = value_at(after, i);
        CLEANUP(mem_freep) char *path = string_format("services.%s", name);
        const struct value *was = value_get(before, name);
        if (!was || value_kind(service) != VALUE_MAP || value_kind(was) != VALUE_MAP ||
            value_get_integer(service, "replicas", 0) != 1)
            continue;
        bool is_other =
            has_changed(step, path) && (needs_start(was, service) || needs_start(service, was));
        if (!is_other && !sees_other_files(step, service))
            continue;
        CLEANUP(mem_freep)
        char *what =
            string_format("%s has one instance, and is away while that is started anew.", name);
        add(diagnostics, target, what);
    }
}

/* What moves to other addresses, though it is not made anew for it. */
static void tell_moves(const struct target *target, const struct step *step,
                       struct diagnostics *diagnostics)
{
    static const struct {
        const char *type, *key, *what;
    } moves[] = {
        {"opnsense:network:vlan", "subnet",
         "All hosts in it get other addresses: every connection from and to them ends."},
        {"aws:autoscaling:group", "subnet",
         "Its hosts move to another network: every connection from and to them ends, and requests "
         "fail until load balancers have found them there."},
        {"opnsense:haproxy:frontend", "network",
         "It moves to another network: whoever comes to its old address is refused, and every "
         "connection to it ends."},
        {"k8s:deployment:prometheus", "network",
         "It moves to another network: nothing is measured until it runs there."},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(moves); i++)
        if (text_equal(target->type->name, moves[i].type) && has_changed(step, moves[i].key))
            add(diagnostics, target, moves[i].what);
}

void twin_tell_interruptions(const struct target *target, const struct step *step,
                             struct diagnostics *diagnostics)
{
    const char *type = target->type->name;
    if (step->kind != STEP_UPDATE || !step->before || !step->after)
        return;
    tell_moves(target, step, diagnostics);
    if (text_equal(type, "aws:rds:cluster") && has_changed(step, "port"))
        add(diagnostics, target,
            "Its servers are started anew for another port: every connection to them ends, and "
            "what is not committed is undone.");
    if (text_equal(type, "opnsense:haproxy:frontend"))
        tell_frontend(target, step, diagnostics);
    if (text_equal(type, "opnsense:haproxy:backend"))
        tell_backend(target, step, diagnostics);
    if (text_equal(type, "opnsense:firewall:rule"))
        tell_rule(target, step, diagnostics);
    if (text_equal(type, "docker:compose:stack"))
        tell_services(target, step, diagnostics);
}

/* --- Hosts that go --- */

/* A group's number is the twin's own between two changes of the document's; see DESIGN.md 18. */
static int64_t hosts_wanted(const struct step *step, int64_t now)
{
    int64_t least = value_get_integer(step->after, "min", 0);
    int64_t most = value_get_integer(step->after, "max", now);
    int64_t wanted =
        has_changed(step, "desired") ? value_get_integer(step->after, "desired", now) : now;
    return wanted < least ? least : wanted > most ? most : wanted;
}

bool twin_is_group(const struct target *target)
{
    return text_equal(target->type->name, "aws:autoscaling:group");
}

void twin_tell_hosts(const struct target *target, const struct step *step,
                     const struct value *outputs, struct diagnostics *diagnostics)
{
    bool is_group = twin_is_group(target);
    if (step->kind != STEP_UPDATE || !step->before || !step->after)
        return;
    int64_t before =
        is_group ? value_get_integer(outputs, "desired",
                                     value_get_integer(step->before, "desired",
                                                       value_get_integer(step->before, "min", 0)))
                 : value_get_integer(step->before, "instances", 1);
    int64_t after =
        is_group ? hosts_wanted(step, before) : value_get_integer(step->after, "instances", 1);
    if (after >= before)
        return;
    CLEANUP(mem_freep)
    char *what = string_format(
        "%lld of its %lld hosts %s, with the highest %s; what a load balancer "
        "has sent there has 30 seconds to end.",
        (long long)(before - after), (long long)before, before - after == 1 ? "goes" : "go",
        before - after == 1 ? "number" : "numbers");
    add(diagnostics, target, what);
}
