/*
 * Any bytes read as JSON: refused with a reason, or a value whose canonical text reads back alike.
 * What is read without the library gives what the library gives, which alone knows space around it;
 * somebody else's text is the same but for keys that begin with "$".
 */
#include "fuzz/fuzz.h"
#include "model/json.h"

#include <string.h>

static void check_with_space(const uint8_t *text, size_t size, const struct value *value)
{
    CLEANUP(value_unrefp) struct value *other = NULL;
    CLEANUP(mem_freep) char *spaced = string_format(" %.*s", (int)size, (const char *)text);
    bool is_read = json_read(spaced, strlen(spaced), &other, NULL) == 0;
    MUST(is_read == (value != NULL) && (!value || value_equal(value, other)));
    if (strchr(spaced, '$'))
        return;
    CLEANUP(value_unrefp) struct value *foreign = NULL;
    is_read = json_read_foreign((const char *)text, size, 1000, &foreign, NULL) == 0;
    MUST(is_read == (value != NULL) && (!value || value_equal(value, foreign)));
}

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    struct error err = {0};
    CLEANUP(value_unrefp) struct value *value = NULL;
    int r = json_read((const char *)text, size, &value, &err);
    if (!memchr(text, '\0', size))
        check_with_space(text, size, value);
    if (r < 0) {
        MUST(value == NULL && err.code != ERROR_NONE && err.message);
        error_done(&err);
        return 0;
    }
    CLEANUP(mem_freep) char *once = json_text(value);
    CLEANUP(value_unrefp) struct value *again = NULL;
    MUST(json_read(once, strlen(once), &again, NULL) == 0);
    CLEANUP(mem_freep) char *twice = json_text(again);
    MUST(strcmp(once, twice) == 0);
    return 0;
}
