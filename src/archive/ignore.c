/* Patterns as lists of tokens, matched by following all ways through them at once: no pattern is
 * slow. */
#include "archive/ignore.h"

#include "base/strbuf.h"
#include "base/text.h"

#include <string.h>

enum token_kind {
    TOKEN_BYTE,
    TOKEN_ONE,     /* any byte but "/" */
    TOKEN_CLASS,   /* [a-z], [^a-z] */
    TOKEN_SOME,    /* any number of bytes but "/" */
    TOKEN_ALL,     /* any number of any bytes */
    TOKEN_MAYBE,   /* the next token or none */
    TOKEN_FOLDERS, /* any bytes, the last of which is a "/" */
};

struct token {
    enum token_kind kind;
    unsigned char byte;
    bool set[256]; /* of a class */
};

struct pattern {
    struct token *tokens; /* owned */
    size_t n_tokens, capacity;
    bool takes_back;
};

struct ignore {
    struct pattern *patterns; /* owned */
    size_t n_patterns, capacity;
    size_t longest; /* in tokens */
    bool takes_back;
};

static void pattern_done(struct pattern *pattern)
{
    mem_free(pattern->tokens);
}

void ignore_free(struct ignore *ignore)
{
    if (!ignore)
        return;
    for (size_t i = 0; i < ignore->n_patterns; i++)
        pattern_done(&ignore->patterns[i]);
    mem_free(ignore->patterns);
    mem_free(ignore);
}

/* --- Reading --- */

static struct token *add(struct pattern *pattern, enum token_kind kind)
{
    ARRAY_RESERVE(pattern->tokens, pattern->n_tokens, pattern->capacity);
    struct token *token = &pattern->tokens[pattern->n_tokens++];
    *token = (struct token){.kind = kind};
    return token;
}

/* One byte of a class, which a backslash may stand before; 0 at the end. */
static unsigned char class_byte(const char **at)
{
    if (**at == '\\' && (*at)[1])
        (*at)++;
    unsigned char byte = (unsigned char)**at;
    if (byte)
        (*at)++;
    return byte;
}

/* at is behind the "["; gives what is behind the "]", or NULL. */
static const char *read_class(struct pattern *pattern, const char *at)
{
    struct token *token = add(pattern, TOKEN_CLASS);
    bool is_without = *at == '^';
    bool is_empty = true;
    at += is_without;
    for (; *at != ']' || is_empty; is_empty = false) {
        if (*at == ']' || *at == '-')
            return NULL;
        unsigned char first = class_byte(&at);
        unsigned char last = first;
        if (*at == '-') {
            at++;
            if (*at == ']' || *at == '-')
                return NULL;
            last = class_byte(&at);
        }
        if (!first || !last)
            return NULL;
        for (unsigned int byte = first; byte <= last; byte++)
            token->set[byte] = true;
    }
    for (unsigned int byte = 0; is_without && byte < 256; byte++)
        token->set[byte] = !token->set[byte];
    token->set['/'] = false;
    return at + 1;
}

/* at is at the first of some "*". */
static const char *read_stars(struct pattern *pattern, const char *at)
{
    if (at[1] != '*') {
        add(pattern, TOKEN_SOME);
        return at + 1;
    }
    at += 2;
    if (*at == '/')
        at++;
    if (!*at) {
        add(pattern, TOKEN_ALL);
    } else {
        add(pattern, TOKEN_MAYBE);
        add(pattern, TOKEN_FOLDERS);
    }
    return at;
}

static bool read_tokens(struct pattern *pattern, const char *text)
{
    for (const char *at = text; at && *at;) {
        if (*at == '*') {
            at = read_stars(pattern, at);
        } else if (*at == '?') {
            add(pattern, TOKEN_ONE);
            at++;
        } else if (*at == '[') {
            at = read_class(pattern, at + 1);
            if (!at)
                return false;
        } else {
            if (*at == '\\' && !*++at)
                return false;
            add(pattern, TOKEN_BYTE)->byte = (unsigned char)*at++;
        }
    }
    return true;
}

/* "/a/./b//../c/" is "a/c", as for any path. The caller frees it; "" for one that leads nowhere. */
static char *clean(const char *path)
{
    struct strbuf out = {0};
    while (*path) {
        size_t length = strcspn(path, "/");
        bool is_back = length == 2 && strncmp(path, "..", 2) == 0;
        if (is_back) {
            const char *slash = out.length > 0 ? strrchr(out.text, '/') : NULL;
            out.length = slash ? (size_t)(slash - out.text) : 0;
            if (out.text)
                out.text[out.length] = '\0';
        } else if (length > 0 && !(length == 1 && *path == '.')) {
            if (out.length > 0)
                strbuf_add_char(&out, '/');
            strbuf_add_n(&out, path, length);
        }
        path += length + (path[length] == '/');
    }
    return strbuf_take(&out);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* Returns false for a malformed one. */
static bool read_line(struct ignore *ignore, char *line)
{
    struct pattern pattern = {0};
    size_t length = strlen(line);
    while (length > 0 && is_blank(line[length - 1]))
        line[--length] = '\0';
    while (is_blank(*line))
        line++;
    pattern.takes_back = *line == '!';
    line += pattern.takes_back;
    while (is_blank(*line))
        line++;
    if (!*line)
        return !pattern.takes_back;
    CLEANUP(mem_freep) char *path = clean(line);
    if (!*path)
        return true;
    if (!read_tokens(&pattern, path)) {
        pattern_done(&pattern);
        return false;
    }
    ARRAY_RESERVE(ignore->patterns, ignore->n_patterns, ignore->capacity);
    ignore->patterns[ignore->n_patterns++] = pattern;
    ignore->takes_back = ignore->takes_back || pattern.takes_back;
    if (pattern.n_tokens > ignore->longest)
        ignore->longest = pattern.n_tokens;
    return true;
}

int ignore_read(const char *text, size_t size, struct ignore **ret_ignore, struct error *err)
{
    CLEANUP(ignore_freep) struct ignore *ignore = NEW(struct ignore);
    if (size > IGNORE_BYTES)
        return error_set(err, ERROR_LIMIT, "it is larger than %d bytes", IGNORE_BYTES);
    size_t start = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    for (unsigned int number = 1; start < size; number++) {
        const char *end = memchr(text + start, '\n', size - start);
        size_t length = end ? (size_t)(end - text) - start : size - start;
        CLEANUP(mem_freep) char *line = string_copy_n(text + start, length);
        start += length + 1;
        if (line[0] == '#')
            continue;
        if (strlen(line) != length || !read_line(ignore, line))
            return error_set(err, ERROR_INVALID, "line %u is no pattern", number);
        if (ignore->n_patterns > IGNORE_PATTERNS)
            return error_set(err, ERROR_LIMIT, "it has more than %d patterns", IGNORE_PATTERNS);
    }
    *ret_ignore = take_ptr(ignore);
    return 0;
}

/* --- Matching --- */

/* What can be reached without a byte: behind what may stand for nothing. */
static void reach(const struct pattern *pattern, bool *at)
{
    for (size_t i = 0; i < pattern->n_tokens; i++) {
        enum token_kind kind = pattern->tokens[i].kind;
        if (!at[i])
            continue;
        if (kind == TOKEN_SOME || kind == TOKEN_ALL || kind == TOKEN_MAYBE)
            at[i + 1] = true;
        if (kind == TOKEN_MAYBE)
            at[i + 2] = true;
    }
}

static void take_byte(const struct pattern *pattern, unsigned char byte, const bool *at, bool *next)
{
    memset(next, 0, (pattern->n_tokens + 1) * sizeof(bool));
    for (size_t i = 0; i < pattern->n_tokens; i++) {
        const struct token *token = &pattern->tokens[i];
        bool stays = token->kind == TOKEN_ALL || token->kind == TOKEN_FOLDERS ||
                     (token->kind == TOKEN_SOME && byte != '/');
        bool passes = (token->kind == TOKEN_BYTE && token->byte == byte) ||
                      (token->kind == TOKEN_ONE && byte != '/') ||
                      (token->kind == TOKEN_CLASS && token->set[byte]) ||
                      (token->kind == TOKEN_FOLDERS && byte == '/');
        if (at[i] && stays)
            next[i] = true;
        if (at[i] && passes)
            next[i + 1] = true;
    }
}

/* Whether it fits the path or a folder above it. */
static bool fits(const struct pattern *pattern, const char *path, bool *at, bool *next)
{
    memset(at, 0, (pattern->n_tokens + 1) * sizeof(bool));
    at[0] = true;
    for (;; path++) {
        reach(pattern, at);
        if ((*path == '\0' || *path == '/') && at[pattern->n_tokens])
            return true;
        if (*path == '\0')
            return false;
        take_byte(pattern, (unsigned char)*path, at, next);
        bool *swapped = at;
        at = next;
        next = swapped;
    }
}

bool ignore_has(const struct ignore *ignore, const char *path)
{
    bool is_out = false;
    if (!ignore || ignore->n_patterns == 0)
        return false;
    bool *states = NEW_ARRAY(bool, 2 * (ignore->longest + 2));
    for (size_t i = 0; i < ignore->n_patterns; i++) {
        const struct pattern *pattern = &ignore->patterns[i];
        if (pattern->takes_back == is_out &&
            fits(pattern, path, states, states + ignore->longest + 2))
            is_out = !pattern->takes_back;
    }
    mem_free(states);
    return is_out;
}

bool ignore_takes_back(const struct ignore *ignore)
{
    return ignore && ignore->takes_back;
}
