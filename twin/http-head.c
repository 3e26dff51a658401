/* The first lines of a message, from text to fields. Knows no connection. */
#include "twin/http.h"

#include "base/text.h"

#include <string.h>
#include <strings.h>

static bool is_token(const char *text, size_t length)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c && strchr(others, c))))
            return false;
    }
    return length > 0;
}

/* RFC 9110, 5.5: no control characters in a value but tabs. */
static bool is_field_value(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
            return false;
    return true;
}

static bool field_is(const char *name, size_t length, const char *wanted)
{
    return length == strlen(wanted) && strncasecmp(name, wanted, length) == 0;
}

/* Whether a comma-separated list has the word, in any case. */
static bool list_has(const char *list, size_t length, const char *word)
{
    size_t word_length = strlen(word);
    size_t i = 0;
    while (i < length) {
        while (i < length && (list[i] == ' ' || list[i] == '\t' || list[i] == ','))
            i++;
        size_t start = i;
        while (i < length && list[i] != ',' && list[i] != ' ' && list[i] != '\t')
            i++;
        if (i - start == word_length && strncasecmp(list + start, word, word_length) == 0)
            return true;
    }
    return false;
}

static int set_length(struct http_head *head, const char *value, size_t length, struct error *err)
{
    uint64_t number = 0;
    if (length == 0 || length > 18 || strspn(value, "0123456789") < length)
        return error_set(err, ERROR_INVALID, "the length of the body is no number");
    for (size_t i = 0; i < length; i++)
        number = number * 10 + (uint64_t)(value[i] - '0');
    if (head->has_length && head->length != number)
        return error_set(err, ERROR_INVALID, "there are two lengths of the body");
    head->has_length = true;
    head->length = number;
    return 0;
}

static int take_field(struct http_head *head, const char *name, size_t name_length,
                      const char *value, size_t length, struct error *err)
{
    if (field_is(name, name_length, "content-length"))
        return set_length(head, value, length, err);
    if (field_is(name, name_length, "transfer-encoding")) {
        if (!field_is(value, length, "chunked") || head->is_chunked)
            return error_set(err, ERROR_UNSUPPORTED, "only the transfer coding chunked is known");
        head->is_chunked = true;
    } else if (field_is(name, name_length, "connection")) {
        if (list_has(value, length, "close"))
            head->keeps_open = false;
    } else if (field_is(name, name_length, "expect")) {
        head->expects_continue = list_has(value, length, "100-continue");
    } else if (field_is(name, name_length, "content-type") && length < HTTP_TYPE_SIZE) {
        memcpy(head->content_type, value, length);
        head->content_type[length] = '\0';
    }
    return 0;
}

/* One line "name: value" without its end. */
static int parse_field(struct http_head *head, const char *line, size_t length, struct error *err)
{
    const char *colon = memchr(line, ':', length);
    if (!colon || !is_token(line, (size_t)(colon - line)))
        return error_set(err, ERROR_INVALID, "a header line is malformed");
    const char *value = colon + 1;
    const char *end = line + length;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    if (!is_field_value(value, (size_t)(end - value)))
        return error_set(err, ERROR_INVALID, "a header line has control characters");
    return take_field(head, line, (size_t)(colon - line), value, (size_t)(end - value), err);
}

static int parse_version(struct http_head *head, const char *text, size_t length, struct error *err)
{
    bool is_1_0 = field_is(text, length, "HTTP/1.0");
    if (!is_1_0 && !field_is(text, length, "HTTP/1.1"))
        return error_set(err, ERROR_UNSUPPORTED, "only HTTP/1.0 and HTTP/1.1 are known");
    head->keeps_open = !is_1_0;
    return 0;
}

static int parse_request_line(struct http_head *head, const char *line, size_t length,
                              struct error *err)
{
    const char *end = line + length;
    const char *target = memchr(line, ' ', length);
    const char *version = target ? memchr(target + 1, ' ', (size_t)(end - target - 1)) : NULL;
    if (!version || !is_token(line, (size_t)(target - line)) || target - line >= HTTP_METHOD_SIZE ||
        target[1] != '/' || !is_field_value(target, (size_t)(version - target)))
        return error_set(err, ERROR_INVALID, "the request line is malformed");
    memcpy(head->method, line, (size_t)(target - line));
    head->method[target - line] = '\0';
    head->target = string_copy_n(target + 1, (size_t)(version - target - 1));
    return parse_version(head, version + 1, (size_t)(end - version - 1), err);
}

static int parse_status_line(struct http_head *head, const char *line, size_t length,
                             struct error *err)
{
    if (length < 12 || line[8] != ' ' || strspn(line + 9, "0123456789") < 3)
        return error_set(err, ERROR_INVALID, "the status line is malformed");
    head->code = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    return parse_version(head, line, 8, err);
}

int http_parse_head(struct http_head *head, const char *text, size_t size, bool is_request,
                    struct error *err)
{
    const char *end = text + size - 2;
    bool is_first = true;
    if (memchr(text, '\0', size))
        return error_set(err, ERROR_INVALID, "a header line has control characters");
    while (text < end) {
        const char *line_end = strstr(text, "\r\n");
        size_t length = (size_t)(line_end - text);
        int r = !is_first    ? parse_field(head, text, length, err)
                : is_request ? parse_request_line(head, text, length, err)
                             : parse_status_line(head, text, length, err);
        if (r < 0)
            return r;
        is_first = false;
        text = line_end + 2;
    }
    if (is_first)
        return error_set(err, ERROR_INVALID, "the first line is empty");
    if (head->is_chunked && head->has_length)
        return error_set(err, ERROR_INVALID, "the body has a length and is chunked as well");
    return 0;
}
