#include "base/error.h"

#include "base/memory.h"
#include "base/strbuf.h"

#include <assert.h>
#include <string.h>

/* What error.h tells the analyzer about them is in the way of defining them. */
#undef error_set
#undef error_set_errno
#undef error_wrap

static const struct {
    const char *wire;
    const char *advice;
} codes[] = {[ERROR_NONE] = {"none", ""},
#define ERROR_ROW(name, wire, advice) [ERROR_##name] = {wire, advice},
             ERROR_CODES(ERROR_ROW)
#undef ERROR_ROW
};

void error_done(struct error *err)
{
    mem_free(err->message);
    *err = (struct error){0};
}

static int set_taken(struct error *err, enum error_code code, char *take_message)
{
    assert(code > ERROR_NONE && code < ERROR_CODE_COUNT);
    if (!err) {
        mem_free(take_message);
        return -(int)code;
    }
    mem_free(err->message);
    err->code = code;
    err->message = take_message;
    return -(int)code;
}

int error_set(struct error *err, enum error_code code, const char *format, ...)
{
    if (!err)
        return -(int)code;
    struct strbuf message = {0};
    va_list arguments;
    va_start(arguments, format);
    strbuf_addv(&message, format, arguments);
    va_end(arguments);
    return set_taken(err, code, strbuf_take(&message));
}

int error_set_errno(struct error *err, int errno_value, const char *format, ...)
{
    if (!err)
        return -(int)ERROR_SYSTEM;
    struct strbuf message = {0};
    va_list arguments;
    va_start(arguments, format);
    strbuf_addv(&message, format, arguments);
    va_end(arguments);
    strbuf_addf(&message, ": %s", strerror(errno_value));
    return set_taken(err, ERROR_SYSTEM, strbuf_take(&message));
}

int error_wrap(struct error *err, int r, const char *format, ...)
{
    assert(r < 0);
    if (!err)
        return r;
    assert((int)err->code == -r);
    struct strbuf message = {0};
    va_list arguments;
    va_start(arguments, format);
    strbuf_addv(&message, format, arguments);
    va_end(arguments);
    strbuf_addf(&message, ": %s", error_message(err));
    return set_taken(err, err->code, strbuf_take(&message));
}

int error_move(struct error *to, struct error *from)
{
    enum error_code code = from->code;
    assert(code != ERROR_NONE);
    char *message = take_ptr(from->message);
    from->code = ERROR_NONE;
    return set_taken(to, code, message);
}

const char *error_code_to_string(enum error_code code)
{
    assert(code < ERROR_CODE_COUNT);
    return codes[code].wire;
}

const char *error_code_advice(enum error_code code)
{
    assert(code < ERROR_CODE_COUNT);
    return codes[code].advice;
}

enum error_code error_code_from_string(const char *wire)
{
    for (enum error_code code = ERROR_NONE; code < ERROR_CODE_COUNT; code++)
        if (strcmp(codes[code].wire, wire) == 0)
            return code;
    return ERROR_CODE_COUNT;
}

const char *error_message(const struct error *err)
{
    return err && err->message ? err->message : "unknown error";
}
