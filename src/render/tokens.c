/* Tokens: one that was made, and those there are. */
#include "render/render.h"

#include "base/text.h"

void render_new_token(const struct value *made, struct strbuf *buffer)
{
    strbuf_addf(buffer,
                "%s\n\nIt is the token of %s with the roles: %s. It is shown this once; %s has its "
                "digest.\n",
                value_get_text(made, "token"), value_get_text(made, "principal"),
                value_get_text(made, "roles"), value_get_text(made, "file"));
}

void render_tokens(const struct value *tokens, struct strbuf *buffer)
{
    if (value_count(tokens) == 0)
        strbuf_add(buffer, "No tokens.\n");
    for (size_t i = 0; i < value_count(tokens); i++) {
        const struct value *row = value_at(tokens, i);
        const char *expires = value_get_text(row, "expires");
        bool is_over = value_get_bool(row, "expired", false);
        strbuf_addf(buffer, "%s  %s  roles: %s", value_get_text(row, "digest"),
                    value_get_text(row, "principal"), value_get_text(row, "roles"));
        if (expires)
            strbuf_addf(buffer, "  %s %s", is_over ? "expired" : "until", expires);
        strbuf_add(buffer, "\n");
    }
}

void render_removed_tokens(const struct value *removed, struct strbuf *buffer)
{
    strbuf_addf(buffer, "Removed %lld from %s; the server refuses it from now on.\n",
                (long long)value_get_integer(removed, "removed", 0),
                value_get_text(removed, "file"));
}
