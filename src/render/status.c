/* Status, history, runs and types as people read them. */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "render/render.h"
#include "service/service.h"

#include <stdlib.h>
#include <string.h>

static const char *text_of(const struct value *map, const char *key)
{
    const char *text = value_get_text(map, key);
    return text ? text : "-";
}

void render_time(const struct value *map, const char *key, struct strbuf *buffer)
{
    char text[WORLD_TIME_SIZE];
    int64_t time = value_get_integer(map, key, 0);
    if (time)
        world_format_time(time, text);
    strbuf_add(buffer, time ? text : "-");
}

static void write_deployments(const struct value *deployments, struct strbuf *buffer)
{
    if (value_count(deployments) == 0)
        strbuf_add(buffer, "No deployments.\n");
    for (size_t i = 0; i < value_count(deployments); i++) {
        const struct value *row = value_at(deployments, i);
        strbuf_addf(buffer, "%s@%s  %s  revision %lld%s, %lld resources, updated ",
                    text_of(row, "name"), text_of(row, "environment"), text_of(row, "state"),
                    (long long)value_get_integer(row, "revision", 0),
                    value_get(row, "partial") ? " in part" : "",
                    (long long)value_get_integer(row, "resources", 0));
        render_time(row, "updated_at", buffer);
        strbuf_add(buffer, "\n");
    }
}

static void write_sections(const struct value *sections, struct strbuf *buffer)
{
    for (size_t i = 0; i < value_count(sections); i++) {
        const struct value *section = value_at(sections, i);
        const struct value *lines = value_get(section, "lines");
        strbuf_addf(buffer, "\n%s:\n", text_of(section, "title"));
        for (size_t k = 0; lines && k < value_count(lines); k++)
            strbuf_addf(buffer, "  - %s\n", value_text(value_at(lines, k)));
    }
}

static void write_resource(const struct value *row, struct strbuf *buffer)
{
    const char *fidelity = value_get_text(row, "fidelity");
    const char *note = value_get_text(row, "fidelity_note");
    strbuf_addf(buffer, "  %-10s %s \"%s\"", text_of(row, "state"), text_of(row, "type"),
                text_of(row, "address"));
    if (fidelity)
        strbuf_addf(buffer, "  [%s]", fidelity);
    strbuf_add(buffer, "\n");
    if (note && fidelity && !text_equal(fidelity, "real"))
        strbuf_addf(buffer, "             %s\n", note);
    if (value_get_text(row, "problem"))
        strbuf_addf(buffer, "             %s\n", value_get_text(row, "problem"));
}

static const char *state_of(const struct value *row)
{
    return text_of(row, "state");
}

static const char *type_of(const struct value *row)
{
    return text_of(row, "type");
}

static bool is_well(const struct value *row)
{
    return text_equal(text_of(row, "state"), "created") && !value_get_text(row, "problem");
}

static const struct row_view resource_view = {state_of, type_of, is_well, write_resource};

static void write_resources(const struct value *resources, struct strbuf *buffer)
{
    strbuf_addf(buffer, "\nResources (%zu):\n", value_count(resources));
    render_row_list(&resource_view, resources, buffer);
}

static void write_effect(const struct value *effect, struct strbuf *buffer)
{
    const char *id = value_get_text(effect, "id");
    const char *state = text_of(effect, "state");
    strbuf_addf(buffer, "  %s on %s%s%s: %s\n", text_of(effect, "step"),
                text_of(effect, "instance"), id ? ", there called " : "", id ? id : "",
                text_equal(state, "done")     ? "was done"
                : text_equal(state, "partly") ? "was done in part"
                                              : "may have been done");
}

void render_left(const struct value *left, struct strbuf *buffer)
{
    const struct value *accounts = value_get(left, "accounts");
    const struct value *effects = value_get(left, "effects");
    for (size_t i = 0; i < value_count(accounts); i++) {
        const struct value *account = value_at(accounts, i);
        strbuf_addf(buffer,
                    "%s was %s when the run %.8s began, and was %s when that was looked at.\n",
                    text_of(account, "instance"), text_of(account, "planned"), text_of(left, "run"),
                    text_of(account, "found"));
    }
    strbuf_add(buffer, value_count(effects) ? "What it did there, and only there can be seen:\n"
                                            : "Nothing was sent there.\n");
    for (size_t i = 0; i < value_count(effects); i++)
        write_effect(value_at(effects, i), buffer);
}

void render_status(const struct value *status, struct strbuf *buffer)
{
    if (value_kind(status) == VALUE_LIST) {
        write_deployments(status, buffer);
        return;
    }
    const struct value *deployment = value_get(status, "deployment");
    const struct value *resources = value_get(status, "resources");
    strbuf_addf(buffer, "%s@%s: %s, revision %lld\n", text_of(deployment, "name"),
                text_of(deployment, "environment"), text_of(deployment, "state"),
                (long long)value_get_integer(deployment, "revision", 0));
    if (value_get(deployment, "partial")) {
        strbuf_add(buffer, "Applied in part: only ");
        render_partial(value_get(deployment, "partial"), buffer);
        strbuf_add(buffer, ".\n");
    }
    const struct value *left = value_get(status, "left");
    for (size_t i = 0; left && i < value_count(left); i++) {
        strbuf_add(buffer, "\nGiven up, and maybe left there:\n");
        render_left(value_at(left, i), buffer);
    }
    write_sections(value_get(status, "sections"), buffer);
    write_resources(resources, buffer);
}

/* Where a page is full there may be older rows. */
static void write_more(const struct value *rows, struct strbuf *buffer)
{
    if (value_count(rows) == SERVICE_PAGE_ROWS)
        strbuf_addf(buffer, "%d are a page: --page N shows older ones.\n", SERVICE_PAGE_ROWS);
}

/* The surest approval that its plan has. */
static void write_approval(const struct value *approvals, struct strbuf *buffer)
{
    const struct value *surest = NULL;
    for (size_t i = 0; i < value_count(approvals); i++) {
        const struct value *row = value_at(approvals, i);
        bool is_none = text_equal_or_null(value_get_text(row, "level"), "none");
        surest = !surest || !is_none ? row : surest;
    }
    if (surest && text_equal_or_null(value_get_text(surest, "level"), "none"))
        strbuf_add(buffer, "  (approved at level none: no proof of a person)");
    else if (surest)
        strbuf_addf(buffer, "  (approved at level %s by %s)", text_of(surest, "level"),
                    text_of(surest, "principal"));
}

void render_runs(const struct value *runs, struct strbuf *buffer)
{
    if (value_count(runs) == 0)
        strbuf_add(buffer, "No runs.\n");
    for (size_t i = 0; i < value_count(runs); i++) {
        const struct value *run = value_at(runs, i);
        strbuf_addf(buffer, "%.8s  %-9s  ", text_of(run, "id"), text_of(run, "status"));
        render_time(run, "started_at", buffer);
        strbuf_addf(buffer, "  %s  %s", text_of(run, "principal"), text_of(run, "words"));
        write_approval(value_get(run, "approvals"), buffer);
        strbuf_add(buffer, "\n");
        if (value_get_text(run, "message"))
            strbuf_addf(buffer, "          %s\n", value_get_text(run, "message"));
    }
    write_more(runs, buffer);
}

/* Which revisions it was made from, where that is not just the one before it. */
static void write_parents(const struct value *parents, struct strbuf *buffer)
{
    if (!parents || value_count(parents) < 2)
        return;
    strbuf_add(buffer, ", made from");
    for (size_t i = 0; i < value_count(parents); i++)
        strbuf_addf(buffer, "%s %lld", i == 0 ? "" : " and",
                    (long long)value_to_integer(value_at(parents, i)));
}

void render_history(const struct value *history, struct strbuf *buffer)
{
    const struct value *revisions = value_get(history, "revisions");
    strbuf_add(buffer, "Revisions:\n");
    for (size_t i = 0; i < value_count(revisions); i++) {
        const struct value *row = value_at(revisions, i);
        strbuf_addf(buffer, "  %lld  ", (long long)value_get_integer(row, "number", 0));
        render_time(row, "created_at", buffer);
        strbuf_addf(buffer, "  %s  plan %.12s  from %s", text_of(row, "principal"),
                    text_of(row, "plan"), text_of(row, "source"));
        write_parents(value_get(row, "parents"), buffer);
        strbuf_addf(buffer, "\n     %s\n", text_of(row, "words"));
        if (value_get(row, "partial")) {
            strbuf_add(buffer, "     in part: only ");
            render_partial(value_get(row, "partial"), buffer);
            strbuf_add(buffer, "\n");
        }
    }
    write_more(revisions, buffer);
    strbuf_add(buffer, "Runs:\n");
    render_runs(value_get(history, "runs"), buffer);
    if (value_count(value_get(history, "events")) == 0)
        return;
    strbuf_add(buffer, "Events:\n");
    render_events(value_get(history, "events"), buffer);
}

static void write_property(const struct value *property, int indent, struct strbuf *buffer)
{
    strbuf_add_repeated(buffer, ' ', (size_t)indent);
    strbuf_addf(buffer, "%s: %s%s%s", text_of(property, "name"), text_of(property, "kind"),
                value_get_bool(property, "required", false) ? ", required" : "",
                value_get_bool(property, "replaces", false) ? ", a change replaces the resource"
                                                            : "");
    const char *secret = value_get_text(property, "secret");
    if (secret)
        strbuf_add(buffer, text_equal(secret, "always") ? ", secret" : ", may be secret");
    const char *const notes[][2] = {{"default", "default"}, {"allowed", "one of"}};
    for (size_t i = 0; i < ARRAY_LENGTH(notes); i++) {
        const struct value *note = value_get(property, notes[i][0]);
        CLEANUP(mem_freep) char *text = note ? json_text(note) : NULL;
        if (text)
            strbuf_addf(buffer, ", %s %s", notes[i][1], text);
    }
    strbuf_add(buffer, "\n");
    if (value_get_text(property, "description")) {
        strbuf_add_repeated(buffer, ' ', (size_t)indent + 4);
        strbuf_addf(buffer, "%s\n", value_get_text(property, "description"));
    }
    const struct value *inner = value_get(property, "properties");
    for (size_t i = 0; inner && i < value_count(inner); i++)
        write_property(value_at(inner, i), indent + 4, buffer);
}

/* "NAME: KIND[SEPARATOR NOTE]" for each of a list. */
static void write_rows(const struct value *rows, const char *name, const char *kind,
                       const char *separator, const char *note, struct strbuf *buffer)
{
    for (size_t i = 0; i < value_count(rows); i++) {
        const struct value *row = value_at(rows, i);
        const char *text = value_get_text(row, note);
        strbuf_addf(buffer, "  %s: %s%s%s\n", text_of(row, name), text_of(row, kind),
                    text ? separator : "", text ? text : "");
    }
}

void render_types(const struct value *types, struct strbuf *buffer)
{
    const struct value *properties = value_get(types, "properties");
    const char *description = value_get_text(types, "description");
    if (value_kind(types) == VALUE_LIST) {
        for (size_t i = 0; i < value_count(types); i++) {
            description = value_get_text(value_at(types, i), "description");
            strbuf_addf(buffer, "%-32s %s\n", text_of(value_at(types, i), "name"),
                        description ? description : "");
        }
        return;
    }
    strbuf_addf(buffer, "%s\n  %s\n\nProperties:\n", text_of(types, "name"),
                description ? description : "");
    for (size_t i = 0; i < value_count(properties); i++)
        write_property(value_at(properties, i), 2, buffer);
    strbuf_add(buffer, "Outputs:\n");
    write_rows(value_get(types, "outputs"), "name", "type", "  ", "description", buffer);
    strbuf_add(buffer, "Served by:\n");
    write_rows(value_get(types, "drivers"), "driver", "fidelity", ", ", "note", buffer);
}

void render_validated(const struct value *answer, struct strbuf *buffer)
{
    strbuf_addf(buffer, "%s is valid: %lld resources.\n", text_of(answer, "document"),
                (long long)value_get_integer(answer, "resources", 0));
}

void render_findings(const struct value *answer, struct strbuf *buffer)
{
    const struct value *findings = value_get(answer, "findings");
    for (size_t i = 0; i < value_count(findings); i++) {
        const struct value *finding = value_at(findings, i);
        const char *help = value_get_text(finding, "help");
        strbuf_addf(buffer, "%s: %s\n  %s%s%s\n", text_of(finding, "severity"),
                    text_of(finding, "summary"), text_of(finding, "detail"), help ? "\n  " : "",
                    help ? help : "");
    }
    if (value_get_integer(answer, "errors", 0) == 0)
        strbuf_add(buffer, "Everything that the twin needs is here.\n");
}

void render_list(const struct value *list, struct strbuf *buffer)
{
    for (size_t i = 0; i < value_count(list); i++) {
        const struct value *item = value_at(list, i);
        const char *name = value_get_text(item, "name");
        const char *owner = value_get_text(item, "recorded");
        strbuf_addf(buffer, "%-40s %-24s %s\n", value_get_text(item, "id"), name ? name : "-",
                    owner                            ? owner
                    : value_get_text(item, "marker") ? "made by Parley, and unknown here"
                                                     : "not managed");
    }
    if (value_count(list) == 0)
        strbuf_add(buffer, "There is none.\n");
}
