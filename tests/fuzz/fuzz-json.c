/* Any bytes read as JSON: refused with a reason, or a value whose canonical text reads back alike.
 */
#include "fuzz/fuzz.h"
#include "model/json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    struct error err = {0};
    CLEANUP(value_unrefp) struct value *value = NULL;
    if (json_read((const char *)text, size, &value, &err) < 0) {
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
