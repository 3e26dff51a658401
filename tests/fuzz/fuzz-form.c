/*
 * Any bytes as what a form sends: they are refused without a value, or what is read is UTF-8
 * without control characters, and written as browsers do is read as the same again.
 */
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "fuzz/fuzz.h"
#include "http/form.h"

#include <string.h>

static const char *const names[] = {"form", "token", "name", NULL};
enum { N_NAMES = 3 };

static void write_field(const char *name, const char *value, struct strbuf *body)
{
    if (body->length)
        strbuf_add_char(body, '&');
    strbuf_addf(body, "%s=", name);
    for (; *value; value++)
        strbuf_addf(body, "%%%02X", (unsigned int)(unsigned char)*value);
}

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    char *values[N_NAMES];
    char *again[N_NAMES];
    struct strbuf body = {0};
    bool is_read = form_read((const char *)text, size, names, values);
    for (size_t i = 0; i < N_NAMES; i++) {
        MUST(is_read || !values[i]);
        if (!values[i])
            continue;
        size_t length = strlen(values[i]);
        MUST(length <= size && text_is_utf8(values[i], length));
        for (size_t k = 0; k < length; k++)
            MUST((unsigned char)values[i][k] >= 0x20 && values[i][k] != 0x7f);
        write_field(names[i], values[i], &body);
    }
    MUST(form_read(strbuf_text(&body), body.length, names, again));
    for (size_t i = 0; i < N_NAMES; i++) {
        MUST((again[i] != NULL) == (values[i] != NULL));
        MUST(!again[i] || text_equal(again[i], values[i]));
        mem_free(again[i]);
        mem_free(values[i]);
    }
    strbuf_done(&body);
    return 0;
}
