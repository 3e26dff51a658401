/* Files that are part of the program: tools/embed.py makes tables of them at build time. */
#pragma once

#include <stddef.h>

/* The last one of a table has no name. */
struct embedded_file {
    const char *name; /* without its folder */
    const char *content;
    size_t size;
};
