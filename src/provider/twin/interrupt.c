/*
 * What a change of something that runs interrupts, so that whoever approves a plan knows. All else
 * is changed while it runs.
 */
#include "provider/twin/twin.h"

#include "base/text.h"

static const struct position nowhere;

static bool has_changed(const struct value *before, const struct value *after, const char *key)
{
    const struct value *old = value_get(before, key), *new = value_get(after, key);
    return !old != !new || (old && !value_equal(old, new));
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
    add_reload(diagnostics, target);
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
        if (!value_get(before, name) || !has_changed(before, after, name) ||
            value_kind(service) != VALUE_MAP || value_get_integer(service, "replicas", 0) != 1)
            continue;
        CLEANUP(mem_freep)
        char *what =
            string_format("%s has one instance, and is away while that is started anew.", name);
        add(diagnostics, target, what);
    }
}

void twin_tell_interruptions(const struct target *target, const struct step *step,
                             struct diagnostics *diagnostics)
{
    const char *type = target->type->name;
    if (step->kind != STEP_UPDATE || !step->before || !step->after)
        return;
    if (text_equal(type, "aws:rds:cluster") && has_changed(step->before, step->after, "port"))
        add(diagnostics, target,
            "Its servers are started anew for another port: every connection to them ends, and "
            "what is not committed is undone.");
    if (text_equal(type, "opnsense:haproxy:frontend"))
        tell_frontend(target, step, diagnostics);
    if (text_equal(type, "opnsense:haproxy:backend") &&
        (has_changed(step->before, step->after, "balance") ||
         has_changed(step->before, step->after, "healthCheck")))
        add_reload(diagnostics, target);
    if (text_equal(type, "opnsense:firewall:rule") &&
        has_changed(step->before, step->after, "rateLimit"))
        add_reload(diagnostics, target);
    if (text_equal(type, "docker:compose:stack"))
        tell_services(target, step, diagnostics);
}
