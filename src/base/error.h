/* The one error type. A function that can fail returns 0 or a negative code and fills *err. */
#pragma once

#include <stdarg.h>

/* Code, wire name, advice. Callers branch on the code; people read the message and the advice. */
#define ERROR_CODES(X)                                                                       \
    X(INVALID, "invalid", "fix the input; retrying cannot help")                             \
    X(NOT_FOUND, "not-found", "check the name; see what exists first")                       \
    X(EXISTS, "exists", "something of that name is there already")                           \
    X(DENIED, "denied", "a policy or a missing permission forbids it")                       \
    X(APPROVAL_NEEDED, "approval-needed", "approve the plan by its hash")                    \
    X(STALE, "stale", "the world moved on since the plan was made; plan again")              \
    X(BUSY, "busy", "another run holds it; wait for it or cancel it")                        \
    X(CONFLICT, "conflict", "two changes contradict each other; decide which one holds")     \
    X(UNAVAILABLE, "unavailable", "no answer; retrying may help")                            \
    X(TIMEOUT, "timeout", "it took too long; look at what became of it before repeating it") \
    X(CANCELLED, "cancelled", "it was asked to stop; resume continues it")                   \
    X(UNSUPPORTED, "unsupported", "this system cannot do that")                              \
    X(LIMIT, "limit", "make room for it, or make it smaller")                                \
    X(CORRUPT, "corrupt", "stored data is damaged; nothing was guessed from it")             \
    X(MISSING, "missing-package", "install the named package")                               \
    X(SYSTEM, "system", "the operating system refused; see the message")

enum error_code {
    ERROR_NONE = 0,
#define ERROR_ENUM(name, wire, advice) ERROR_##name,
    ERROR_CODES(ERROR_ENUM)
#undef ERROR_ENUM
        ERROR_CODE_COUNT
};

/* Owned by the caller, zero-initialised; pass NULL where the code is enough. */
struct error {
    enum error_code code;
    char *message; /* owned; NULL while code is ERROR_NONE */
};

void error_done(struct error *err);

/* Sets code and message, replacing what was there. Returns -code, so that failing is one line. */
__attribute__((format(printf, 3, 4))) int error_set(struct error *err, enum error_code code,
                                                    const char *format, ...);
/* As error_set with ERROR_SYSTEM, ": " and the text of errno_value appended. */
__attribute__((format(printf, 3, 4))) int error_set_errno(struct error *err, int errno_value,
                                                          const char *format, ...);
/*
 * Puts "context: " in front of the message and returns r, the negative code of what failed: it is
 * asked for so that a caller who passes no err keeps it. An err must hold the same error.
 */
__attribute__((format(printf, 3, 4))) int error_wrap(struct error *err, int r, const char *format,
                                                     ...);

/* Moves *from into *to, which may be NULL, and returns -code of it. *from is empty afterwards. */
int error_move(struct error *to, struct error *from);

/* The wire name ("invalid") and the advice; "none" and "" for ERROR_NONE. */
const char *error_code_to_string(enum error_code code);
const char *error_code_advice(enum error_code code);
/* ERROR_CODE_COUNT when no code has that wire name. */
enum error_code error_code_from_string(const char *wire);

/* "unknown error" when there is no message, so that it can always be printed. */
const char *error_message(const struct error *err);

#ifdef __clang_analyzer__
/* The analyzer does not see into error.c: tell it that these never return 0 or more. */
static inline int error_known_negative(int r)
{
    if (r >= 0)
        __builtin_unreachable();
    return r;
}
#define error_set(...) error_known_negative(error_set(__VA_ARGS__))
#define error_set_errno(...) error_known_negative(error_set_errno(__VA_ARGS__))
#define error_wrap(...) error_known_negative(error_wrap(__VA_ARGS__))
#endif
