#include "model/diagnostic.h"

#include "base/memory.h"
#include "base/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DIAGNOSTICS = 1000, MAX_EXCERPT = 160 };

static const struct {
    const char *wire;
    const char *summary;
} codes[] = {
#define DIAGNOSTIC_ROW(name, wire, summary) [DIAGNOSTIC_##name] = {wire, summary},
    DIAGNOSTIC_CODES(DIAGNOSTIC_ROW)
#undef DIAGNOSTIC_ROW
};

static const char *const severity_names[] = {
    [DIAGNOSTIC_ERROR] = "error", [DIAGNOSTIC_WARNING] = "warning", [DIAGNOSTIC_NOTE] = "note"};

const char *diagnostic_code_to_string(enum diagnostic_code code)
{
    assert(code < DIAGNOSTIC_CODE_COUNT);
    return codes[code].wire;
}

const char *diagnostic_code_summary(enum diagnostic_code code)
{
    assert(code < DIAGNOSTIC_CODE_COUNT);
    return codes[code].summary;
}

void diagnostics_done(struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < diagnostics->n_items; i++) {
        mem_free(diagnostics->items[i].file);
        mem_free(diagnostics->items[i].detail);
        mem_free(diagnostics->items[i].help);
    }
    mem_free(diagnostics->items);
    *diagnostics = (struct diagnostics){0};
}

static void push(struct diagnostics *diagnostics, enum diagnostic_severity severity,
                 enum diagnostic_code code, struct position position, const char *help,
                 struct strbuf *detail)
{
    if (severity == DIAGNOSTIC_ERROR)
        diagnostics->n_errors++;
    if (diagnostics->n_items >= MAX_DIAGNOSTICS) {
        strbuf_done(detail);
        return;
    }
    char *shown_detail = strbuf_take(detail);
    char *shown_help = help ? string_copy(help) : NULL;
    text_make_printable(shown_detail);
    if (shown_help)
        text_make_printable(shown_help);
    ARRAY_RESERVE(diagnostics->items, diagnostics->n_items, diagnostics->capacity);
    diagnostics->items[diagnostics->n_items++] = (struct diagnostic){
        .code = code,
        .severity = severity,
        .file = position.file ? string_copy(position.file) : NULL,
        .line = position.line,
        .column = position.column,
        .detail = shown_detail,
        .help = shown_help,
    };
}

void diagnostics_add(struct diagnostics *diagnostics, enum diagnostic_code code,
                     struct position position, const char *help, const char *detail_format, ...)
{
    struct strbuf detail = {0};
    va_list arguments;
    va_start(arguments, detail_format);
    strbuf_addv(&detail, detail_format, arguments);
    va_end(arguments);
    push(diagnostics, DIAGNOSTIC_ERROR, code, position, help, &detail);
}

void diagnostics_note(struct diagnostics *diagnostics, enum diagnostic_severity severity,
                      enum diagnostic_code code, struct position position, const char *help,
                      const char *detail_format, ...)
{
    struct strbuf detail = {0};
    va_list arguments;
    va_start(arguments, detail_format);
    strbuf_addv(&detail, detail_format, arguments);
    va_end(arguments);
    push(diagnostics, severity, code, position, help, &detail);
}

bool diagnostics_has_errors(const struct diagnostics *diagnostics)
{
    return diagnostics->n_errors > 0;
}

/* By file, line and column; what stands nowhere comes last. */
static int compare_positions(const void *a, const void *b)
{
    const struct diagnostic *left = *(const struct diagnostic *const *)a;
    const struct diagnostic *right = *(const struct diagnostic *const *)b;
    int order = strcmp(left->file ? left->file : "\xff", right->file ? right->file : "\xff");
    if (order == 0)
        order = (left->line > right->line) - (left->line < right->line);
    if (order == 0)
        order = (left->column > right->column) - (left->column < right->column);
    if (order == 0)
        order = (left > right) - (left < right);
    return order;
}

/* The text that diagnostics are about, walked from line to line since they come sorted. */
struct source {
    const char *file;
    const char *at; /* the start of a line; NULL at the end */
    unsigned int line;
};

/* The start of a line, counted from 1 and not before the last one asked for; NULL at the end. */
static const char *find_line(struct source *source, unsigned int line)
{
    for (; source->at && source->line < line; source->line++) {
        source->at = strchr(source->at, '\n');
        if (source->at)
            source->at++;
    }
    return source->at && *source->at ? source->at : NULL;
}

/* The byte behind n characters of a text of so many bytes. */
static size_t skip_characters(const char *text, size_t length, size_t n)
{
    size_t at = 0;
    for (; n > 0 && at < length; n--) {
        at++;
        while (at < length && ((unsigned char)text[at] & 0xc0) == 0x80)
            at++;
    }
    return at;
}

/* Writes the line, of a long one the part around the column, and a caret below the column. */
static void write_excerpt(const struct diagnostic *diagnostic, const char *line,
                          struct strbuf *buffer)
{
    size_t length = strcspn(line, "\r\n");
    size_t column = diagnostic->column;
    size_t n_skipped = column > MAX_EXCERPT - 20 ? column - MAX_EXCERPT / 2 : 0;
    size_t start = skip_characters(line, length, n_skipped);
    size_t size = skip_characters(line + start, length - start, MAX_EXCERPT);
    CLEANUP(mem_freep) char *shown = string_copy_n(line + start, size);
    text_make_printable(shown);
    CLEANUP(mem_freep) char *number = string_format("%5u", diagnostic->line);
    strbuf_addf(buffer, "%s | %s%s%s\n", number, start > 0 ? "... " : "", shown,
                start + size < length ? " ..." : "");
    if (column == 0 || column > length + 1)
        return;
    strbuf_add_repeated(buffer, ' ', strlen(number));
    strbuf_add(buffer, " | ");
    strbuf_add_repeated(buffer, ' ', column - 1 - n_skipped + (start > 0 ? 4 : 0));
    strbuf_add(buffer, "^\n");
}

static void write_one(const struct diagnostic *diagnostic, struct source *source,
                      struct strbuf *buffer)
{
    if (diagnostic->file && diagnostic->line)
        strbuf_addf(buffer, "%s:%u:%u: ", diagnostic->file, diagnostic->line, diagnostic->column);
    else if (diagnostic->file)
        strbuf_addf(buffer, "%s: ", diagnostic->file);
    strbuf_addf(buffer, "%s[%s]: %s\n", severity_names[diagnostic->severity],
                codes[diagnostic->code].wire, codes[diagnostic->code].summary);
    /* A line that should not have been written is not written again. */
    bool is_about = source->file && text_equal_or_null(diagnostic->file, source->file) &&
                    diagnostic->code != DIAGNOSTIC_PLAIN_SECRET;
    const char *line = is_about && diagnostic->line ? find_line(source, diagnostic->line) : NULL;
    if (line)
        write_excerpt(diagnostic, line, buffer);
    strbuf_addf(buffer, "  %s\n", diagnostic->detail);
    if (diagnostic->help)
        strbuf_addf(buffer, "  help: %s\n", diagnostic->help);
}

void diagnostics_write(const struct diagnostics *diagnostics, const char *source_file,
                       const char *source, struct strbuf *buffer)
{
    const struct diagnostic **sorted = NEW_ARRAY(const struct diagnostic *, diagnostics->n_items);
    for (size_t i = 0; i < diagnostics->n_items; i++)
        sorted[i] = &diagnostics->items[i];
    if (diagnostics->n_items)
        qsort(sorted, diagnostics->n_items, sizeof(struct diagnostic *), compare_positions);
    struct source about = {.file = source_file, .at = source, .line = 1};
    for (size_t i = 0; i < diagnostics->n_items; i++)
        write_one(sorted[i], &about, buffer);
    if (diagnostics->n_items == MAX_DIAGNOSTICS)
        strbuf_addf(buffer, "Only the first %d are shown.\n", MAX_DIAGNOSTICS);
    mem_free(sorted);
}
