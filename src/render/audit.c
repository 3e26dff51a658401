/* The audit chain, as people read it. */
#include "base/text.h"
#include "render/render.h"

/* What the entry is about, in the words of its kind. */
static void write_subject(const struct value *entry, struct strbuf *buffer)
{
    const char *kind = value_get_text(entry, "kind");
    const char *plan = value_get_text(entry, "plan");
    const char *run = value_get_text(entry, "run");
    const char *secret = value_get_text(entry, "secret");
    if (text_equal(kind, "run"))
        strbuf_addf(buffer, "  %.8s is %s", run ? run : "-", value_get_text(entry, "status"));
    else if (text_equal(kind, "revision") && run)
        strbuf_addf(buffer, "  by run %.8s", run);
    else if (text_equal(kind, "reveal"))
        strbuf_addf(buffer, "  %s %s", secret ? "secret" : "output",
                    secret ? secret : value_get_text(entry, "output"));
    else if (text_equal(kind, "refused"))
        strbuf_addf(buffer, "  %s", value_get_text(entry, "asked"));
    else if (text_equal(kind, "looks"))
        strbuf_addf(buffer, "  of %zu kinds through AI clients",
                    value_count(value_get(entry, "looks")));
    else if (plan)
        strbuf_addf(buffer, "  of plan %.12s", plan);
    if (text_equal(kind, "approval"))
        strbuf_addf(buffer, ", level %s%s", value_get_text(entry, "level"),
                    text_equal_or_null(value_get_text(entry, "level"), "none")
                        ? " (no proof of a person)"
                        : "");
}

void render_audit(const struct value *entries, struct strbuf *buffer)
{
    if (value_count(entries) == 0)
        strbuf_add(buffer, "No entries.\n");
    for (size_t i = 0; i < value_count(entries); i++) {
        const struct value *entry = value_at(entries, i);
        const char *principal = value_get_text(entry, "principal");
        const char *words = value_get_text(entry, "words");
        strbuf_addf(buffer, "%lld  %.12s  ", (long long)value_get_integer(entry, "number", 0),
                    value_get_text(entry, "digest"));
        render_time(entry, "time", buffer);
        strbuf_addf(buffer, "  %s", value_get_text(entry, "kind"));
        write_subject(entry, buffer);
        strbuf_addf(buffer, "  %s%s%s\n", principal ? principal : "-", words ? "  " : "",
                    words ? words : "");
    }
}
