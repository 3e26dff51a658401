#include "http/late.h"

#include "base/memory.h"

#include <dlfcn.h>

/* The version whose header this is built with; Debian 12 and 13 have it. */
static const char library_name[] = "libmicrohttpd.so.12";

struct late_functions late;

int late_load(struct error *err)
{
    if (late.start_daemon)
        return 0;
    void *library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return error_set(err, ERROR_SYSTEM, "load the library of the HTTP server: %s", dlerror());
    struct late_functions found = {0};
#define LATE_FIND(name) {"MHD_" #name, offsetof(struct late_functions, name)},
    static const struct {
        const char *name;
        size_t offset;
    } wanted[] = {LATE_FUNCTIONS(LATE_FIND)};
#undef LATE_FIND
    for (size_t i = 0; i < ARRAY_LENGTH(wanted); i++) {
        void *function = dlsym(library, wanted[i].name);
        if (!function)
            return error_set(err, ERROR_SYSTEM, "%s has no %s", library_name, wanted[i].name);
        *(void **)((char *)&found + wanted[i].offset) = function;
    }
    late = found;
    return 0;
}
