/*
 * The test harness: TEST(a_sentence_with_underscores) { ... CHECK(...); } prints TAP and counts.
 * One file, one program; main() is here. A failed CHECK ends its test, not the program.
 */
#pragma once

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test {
    const char *name;
    void (*run)(void);
    struct test *next;
};

static struct test *first_test;
static struct test **last_test = &first_test;
static jmp_buf test_end;
static const char *test_skip_reason;

/* Where tests make their folders. */
static inline const char *temporary_folder(void)
{
    const char *folder = getenv("TMPDIR");
    return folder && folder[0] != '\0' ? folder : "/tmp";
}

/* A test that is there only if the condition holds, for what does not apply to every subject. */
#define TEST_IF(condition, test_name)                                   \
    static void test_##test_name(void);                                 \
    __attribute__((constructor)) static void add_##test_name(void)      \
    {                                                                   \
        static struct test test = {#test_name, test_##test_name, NULL}; \
        if (!(condition))                                               \
            return;                                                     \
        *last_test = &test;                                             \
        last_test = &test.next;                                         \
    }                                                                   \
    static void test_##test_name(void)
#define TEST(test_name) TEST_IF(true, test_name)

#define CHECK(condition)                                                     \
    do {                                                                     \
        if (!(condition)) {                                                  \
            printf("# %s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            longjmp(test_end, 1);                                            \
        }                                                                    \
    } while (0)

#define CHECK_TEXT(got, want)                                                                   \
    do {                                                                                        \
        const char *got_ = (got), *want_ = (want);                                              \
        if (!got_ || strcmp(got_, want_) != 0) {                                                \
            printf("# %s:%d: %s\n#   is   \"%s\"\n#   want \"%s\"\n", __FILE__, __LINE__, #got, \
                   got_ ? got_ : "(null)", want_);                                              \
            longjmp(test_end, 1);                                                               \
        }                                                                                       \
    } while (0)

/* Ends the test as skipped, for what this machine surely cannot do. */
#define SKIP(reason)                 \
    do {                             \
        test_skip_reason = (reason); \
        longjmp(test_end, 2);        \
    } while (0)

int main(int argc, char **argv)
{
    int n = 0;
    int n_failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (struct test *test = first_test; test; test = test->next) {
        if (argc > 1 && !strstr(test->name, argv[1]))
            continue;
        int end = setjmp(test_end);
        if (end == 0)
            test->run();
        n++;
        n_failed += end == 1;
        printf("%sok %d - %s", end == 1 ? "not " : "", n, test->name);
        printf(end == 2 ? " # SKIP %s\n" : "\n", test_skip_reason);
    }
    printf("1..%d\n", n);
    return n_failed > 0;
}
