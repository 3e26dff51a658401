/* A file of networks that an alias names: whatever it holds, ranges are in order or it is refused.
 */
#include "base/memory.h"
#include "fuzz/fuzz.h"
#include "twin/tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    struct table_range *ranges = NULL;
    struct error err = {0};
    size_t n = 0;
    char *copy = mem_copy(text, size);
    int r = table_parse(copy, size, &ranges, &n, &err);
    MUST((r < 0) == (err.code != ERROR_NONE));
    MUST(r == 0 || n == 0);
    for (size_t i = 0; i < n; i++)
        MUST(ranges[i].first <= ranges[i].last);
    mem_free(copy);
    mem_free(ranges);
    error_done(&err);
    return 0;
}
