/* Who approved a plan, how surely that was a person, and what is demanded. */
#include "base/text.h"
#include "render/render.h"

static const char *text_of(const struct value *map, const char *key)
{
    const char *text = value_get_text(map, key);
    return text ? text : "-";
}

static void write_refusals(const struct value *refusals, struct strbuf *buffer)
{
    for (size_t i = 0; refusals && i < value_count(refusals); i++) {
        const struct value *row = value_at(refusals, i);
        strbuf_addf(buffer, "Refused by %s, %s, ", text_of(row, "principal"),
                    text_of(row, "client"));
        render_time(row, "created_at", buffer);
        strbuf_add(buffer, "\n");
    }
}

static void write_demand(const struct value *demanded, struct strbuf *buffer)
{
    strbuf_addf(buffer, "Demanded: level %s", text_of(demanded, "level"));
    if (value_get_integer(demanded, "line", 0) > 0)
        strbuf_addf(buffer, " (%s:%lld)", text_of(demanded, "file"),
                    (long long)value_get_integer(demanded, "line", 0));
    if (value_get_bool(demanded, "four_eyes", false))
        strbuf_add(buffer, ", by another than who made the plan");
    strbuf_add(buffer, "\n");
}

void render_approvals(const struct value *shown, struct strbuf *buffer)
{
    const struct value *makers = value_get(shown, "makers");
    const struct value *approvals = value_get(shown, "approvals");
    strbuf_addf(buffer, "Plan %s\n", text_of(shown, "plan"));
    for (size_t i = 0; i < value_count(makers); i++)
        strbuf_addf(buffer, "Made by %s, %s\n", text_of(value_at(makers, i), "principal"),
                    text_of(value_at(makers, i), "client"));
    write_demand(value_get(shown, "demanded"), buffer);
    if (value_count(approvals) == 0)
        strbuf_add(buffer, "Nobody has approved it.\n");
    for (size_t i = 0; i < value_count(approvals); i++) {
        const struct value *row = value_at(approvals, i);
        strbuf_addf(buffer, "Approved by %s, %s, ", text_of(row, "principal"),
                    text_of(row, "client"));
        render_time(row, "created_at", buffer);
        strbuf_add(buffer, " to ");
        render_time(row, "expires_at", buffer);
        strbuf_addf(buffer, "\n  level %s: %s\n", text_of(row, "level"), text_of(row, "meaning"));
        if (!value_get_bool(row, "counts", false))
            strbuf_addf(buffer, "  does not count: %s\n", text_of(row, "why"));
    }
    write_refusals(value_get(shown, "refusals"), buffer);
}
