/* Values for people. */
#include "base/memory.h"
#include "base/text.h"
#include "model/json.h"
#include "render/render.h"

#include <string.h>

/* "(secret db)", "(secret: app:${secret.db})", or "(secret)" where nobody knows what made it. */
static char *show_secret(const struct value *secret)
{
    const char *origin = value_secret_origin(secret);
    size_t length = strlen(origin);
    bool is_name =
        text_starts_with(origin, "${secret.") && strchr(origin, '}') == origin + length - 1;
    if (is_name && !strpbrk(origin, "( "))
        return string_format("(secret %.*s)", (int)(length - strlen("${secret.}")),
                             origin + strlen("${secret."));
    return *origin ? string_format("(secret: %s)", origin) : string_copy("(secret)");
}

static int show_one(void *argument, struct value *value, struct value **ret_value,
                    struct error *err)
{
    (void)argument;
    (void)err;
    if (value_kind(value) != VALUE_SECRET)
        return 0;
    CLEANUP(mem_freep) char *words = show_secret(value);
    *ret_value = value_string(words);
    return 0;
}

/* A value with words in the place of secrets. */
static struct value *with_words(const struct value *value)
{
    struct value *shown = NULL;
    (void)value_change((struct value *)value, show_one, NULL, &shown, NULL);
    return shown;
}

char *render_text(const struct value *value)
{
    if (value_kind(value) == VALUE_SECRET)
        return show_secret(value);
    CLEANUP(value_unrefp) struct value *shown = with_words(value);
    return json_text(shown);
}

void render_value(const struct value *value, struct strbuf *buffer)
{
    CLEANUP(value_unrefp) struct value *shown = with_words(value);
    if (value_kind(shown) == VALUE_STRING) {
        strbuf_addf(buffer, "%s\n", value_text(shown));
        return;
    }
    CLEANUP(mem_freep) char *text = json_pretty_foreign(shown);
    strbuf_addf(buffer, "%s\n", text);
}
