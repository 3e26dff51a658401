/* A .dockerignore of anybody, asked about a path of anybody: the part behind the first NUL. */
#include "archive/ignore.h"
#include "fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    CLEANUP(ignore_freep) struct ignore *ignore = NULL;
    CLEANUP(mem_freep) char *patterns = string_copy_n((const char *)text, size);
    size_t length = strlen(patterns);
    const char *path = length < size ? (const char *)text + length + 1 : "a/b.c";
    CLEANUP(mem_freep)
    char *asked = string_copy_n(path, length < size ? size - length - 1 : strlen(path));
    if (ignore_read(patterns, length, &ignore, NULL) == 0)
        ignore_has(ignore, asked);
    return 0;
}
