/*
 * What a fuzz target gives: one function, named as libFuzzer wants it. With -Dfuzzing=true
 * libFuzzer calls it; otherwise replay.c calls it with each file of the target's corpus, as a
 * normal test.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Returns 0; ends the process when the program under test broke a promise. */
int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size);

#define MUST(condition)                                                             \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)
