/* The grammar of expressions, and what each form of it gives. */
#include "model/expression-internal.h"

#include "base/text.h"
#include "model/functions.h"
#include "model/json.h"

#include <string.h>

static int parse_expression(struct expression_parser *parser, struct value **ret_value,
                            struct error *err);

static void skip_space(struct expression_parser *parser)
{
    parser->at += strspn(parser->at, " \t\r\n");
}

static int fail_syntax(struct expression_parser *parser, struct error *err, const char *wanted)
{
    parser->fault.code = DIAGNOSTIC_EXPRESSION_SYNTAX;
    parser->fault.offset = (size_t)(parser->at - parser->text);
    if (!*parser->at)
        return error_set(err, ERROR_INVALID, "%s is missing at the end", wanted);
    size_t length = 1;
    while (length < 24 && parser->at[length] && parser->at[length] != '\n')
        length++;
    while (((unsigned char)parser->at[length] & 0xc0) == 0x80)
        length++;
    return error_set(err, ERROR_INVALID, "%s is missing before \"%.*s\"", wanted, (int)length,
                     parser->at);
}

/* Steps over a character that must be there. */
static int expect(struct expression_parser *parser, char c, struct error *err)
{
    skip_space(parser);
    if (*parser->at != c) {
        const char wanted[] = {'"', c, '"', '\0'};
        return fail_syntax(parser, err, wanted);
    }
    parser->at++;
    return 0;
}

static int parse_json(struct expression_parser *parser, size_t length, const char *wanted,
                      struct value **ret_value, struct error *err)
{
    if (length == 0 || json_read(parser->at, length, ret_value, NULL) < 0)
        return fail_syntax(parser, err, wanted);
    parser->at += length;
    return 0;
}

/* A string may hold line breaks and tabs as they are, which JSON writes as escapes. */
static int parse_string(struct expression_parser *parser, struct value **ret_value,
                        struct error *err)
{
    size_t length = expression_string_length(parser->at);
    struct strbuf json = {0};
    for (size_t i = 0; i < length; i++) {
        char c = parser->at[i];
        if (c == '\n' || c == '\t' || c == '\r')
            strbuf_add(&json, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r");
        else
            strbuf_add_char(&json, c);
    }
    int r = length == 0 || json_read(strbuf_text(&json), json.length, ret_value, NULL) < 0
                ? fail_syntax(parser, err, "a well-formed string in double quotes")
                : 0;
    strbuf_done(&json);
    if (r == 0)
        parser->at += length;
    return r;
}

static int parse_number(struct expression_parser *parser, struct value **ret_value,
                        struct error *err)
{
    size_t length = strspn(parser->at, "+-.0123456789eE");
    CLEANUP(mem_freep) char *digits = string_copy_n(parser->at, length);
    int64_t integer;
    if (*digits != '+' && text_to_integer(digits, &integer)) {
        parser->at += length;
        *ret_value = value_integer(integer);
        return 0;
    }
    bool is_decimal = strpbrk(digits, ".eE") != NULL;
    return parse_json(parser, is_decimal ? length : 0, "a number that fits", ret_value, err);
}

/* Reads "[a, b]" or "(a, b)" behind its first character. */
static int parse_items(struct expression_parser *parser, char end, struct value_builder *items,
                       struct error *err)
{
    skip_space(parser);
    if (*parser->at == end) {
        parser->at++;
        return 0;
    }
    for (;;) {
        struct value *item = NULL;
        int r = parse_expression(parser, &item, err);
        if (r < 0)
            return r;
        value_builder_append(items, item);
        skip_space(parser);
        if (*parser->at != ',')
            return expect(parser, end, err);
        parser->at++;
    }
}

static int parse_list(struct expression_parser *parser, struct value **ret_value, struct error *err)
{
    struct value_builder items = {0};
    parser->at++;
    int r = parse_items(parser, ']', &items, err);
    if (r < 0) {
        value_builder_done(&items);
        return r;
    }
    *ret_value = value_builder_list(&items);
    return 0;
}

static int parse_pair(struct expression_parser *parser, struct value_builder *fields,
                      struct error *err)
{
    CLEANUP(value_unrefp) struct value *key = NULL;
    struct value *item = NULL;
    skip_space(parser);
    if (*parser->at != '"')
        return fail_syntax(parser, err, "a key in double quotes");
    int r = parse_string(parser, &key, err);
    if (r == 0)
        r = expect(parser, ':', err);
    if (r == 0)
        r = parse_expression(parser, &item, err);
    if (r == 0)
        value_builder_set(fields, value_text(key), item);
    return r;
}

static int parse_map(struct expression_parser *parser, struct value **ret_value, struct error *err)
{
    struct value_builder fields = {0};
    int r = 0;
    parser->at++;
    skip_space(parser);
    if (*parser->at == '}')
        parser->at++;
    else
        for (bool is_more = true; r == 0 && is_more;) {
            r = parse_pair(parser, &fields, err);
            skip_space(parser);
            is_more = r == 0 && *parser->at == ',';
            if (is_more)
                parser->at++;
            else if (r == 0)
                r = expect(parser, '}', err);
        }
    if (r < 0) {
        value_builder_done(&fields);
        return r;
    }
    *ret_value = value_builder_map(&fields);
    return 0;
}

static bool is_word_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

void expression_fail(struct expression_parser *parser, const char *start)
{
    parser->fault.code = DIAGNOSTIC_FUNCTION_FAILED;
    parser->fault.offset = (size_t)(start - parser->text);
}

/* The call as an unknown or a secret: known arguments become literals. */
static int defer_call(const struct expression_parser *parser, const struct function *function,
                      const struct value_builder *arguments, enum value_kind kind,
                      struct value **ret_value, struct error *err)
{
    struct strbuf text = {0};
    strbuf_addf(&text, "${%s(", function->name);
    bool is_written = true;
    for (size_t i = 0; is_written && i < arguments->n_items; i++) {
        if (i > 0)
            strbuf_add(&text, ", ");
        is_written = expression_write_literal(&text, arguments->items[i]);
    }
    strbuf_add(&text, ")}");
    int r = 0;
    if (!is_written)
        r = error_set(err, ERROR_INVALID,
                      "%s(): a secret that only its provider knows cannot be worked with",
                      function->name);
    else if (parser->depth + expression_bracket_depth(text.text + 2) > EXPRESSION_MAX_DEPTH)
        r = error_set(err, ERROR_LIMIT,
                      "%s(): something is not known yet, and its arguments nest too deep to wait",
                      function->name);
    else if (text.length > FUNCTION_MAX_TEXT)
        r = error_set(err, ERROR_LIMIT, "%s(): the expression grows beyond %zu bytes",
                      function->name, FUNCTION_MAX_TEXT);
    else
        *ret_value =
            kind == VALUE_SECRET ? value_secret("", text.text) : value_unknown("any", text.text);
    strbuf_done(&text);
    return r;
}

/* What a call gives whose arguments are not all there: an unknown, a secret; VALUE_NULL when they
 * are. */
static enum value_kind must_wait(const struct function *function,
                                 const struct value_builder *arguments)
{
    enum value_kind waits = VALUE_NULL;
    for (size_t i = 0; i < arguments->n_items; i++) {
        const struct value *argument = arguments->items[i];
        bool looks_in = !function->is_structural;
        if (value_kind(argument) == VALUE_UNKNOWN || (looks_in && value_has_unknown(argument)))
            return VALUE_UNKNOWN;
        if (value_kind(argument) == VALUE_SECRET || (looks_in && value_has_secret(argument)))
            waits = VALUE_SECRET;
    }
    return waits;
}

static int run_call(struct expression_parser *parser, const char *start,
                    const struct function *function, const struct value_builder *arguments,
                    struct value **ret_value, struct error *err)
{
    if (parser->found) {
        *ret_value = value_null();
        return 0;
    }
    enum value_kind kind = must_wait(function, arguments);
    int r = kind != VALUE_NULL
                ? defer_call(parser, function, arguments, kind, ret_value, err)
                : function_call(function, arguments->items, arguments->n_items, ret_value, err);
    if (r < 0)
        expression_fail(parser, start);
    return r;
}

/* Reads "NAME(" and its arguments. */
static int parse_call(struct expression_parser *parser, size_t name_length,
                      struct value **ret_value, struct error *err)
{
    const char *start = parser->at;
    CLEANUP(mem_freep) char *name = string_copy_n(start, name_length);
    const struct function *function = function_find(name);
    if (!function) {
        parser->fault.code = DIAGNOSTIC_UNKNOWN_FUNCTION;
        parser->fault.offset = (size_t)(start - parser->text);
        parser->fault.nearest = function_nearest(name);
        return error_set(err, ERROR_NOT_FOUND, "there is no function %.64s()", name);
    }
    struct value_builder arguments = {0};
    parser->at += name_length;
    skip_space(parser);
    parser->at++;
    int r = parse_items(parser, ')', &arguments, err);
    if (r == 0)
        r = run_call(parser, start, function, &arguments, ret_value, err);
    value_builder_done(&arguments);
    return r;
}

/* The length of "outputs.hosts[0].name" at the start of text. */
static size_t path_length(const char *text)
{
    size_t length = 0;
    for (;;) {
        size_t start = length;
        while (is_word_character(text[length]))
            length++;
        if (length == start)
            return 0;
        while (text[length] == '[') {
            size_t n_digits = strspn(text + length + 1, "0123456789");
            if (n_digits == 0 || n_digits > 18 || text[length + 1 + n_digits] != ']')
                return 0;
            length += n_digits + 2;
        }
        if (text[length] != '.')
            return length;
        length++;
    }
}

/* The length of what stands in the brackets at the start of text: 0 or "a". */
static size_t key_length(const char *text)
{
    size_t length =
        text[1] == '"' ? expression_string_length(text + 1) : strspn(text + 1, "0123456789");
    return length <= 300 && text[1 + length] == ']' ? length : 0;
}

/* The pieces of a reference, or NULL where it has none; they lie in room, or one block for all. */
struct reference_parts {
    char *type;
    char *root;
    char *key;
    char *path;
    char *at;       /* where the next piece goes */
    char *block;    /* owned; NULL while room is enough */
    char room[120]; /* nearly all fit: there is one for each resource, and for each pass over it */
};

static void reference_parts_done(struct reference_parts *parts)
{
    mem_free(parts->block);
}

/* Room for all pieces of a reference of so many bytes. */
static void make_room(struct reference_parts *parts, size_t length)
{
    size_t size = length + 4; /* each piece has a NUL behind */
    if (size > sizeof(parts->room))
        parts->block = NEW_ARRAY(char, size);
    parts->at = parts->block ? parts->block : parts->room;
}

static char *add_piece(struct reference_parts *parts, const char *text, size_t length)
{
    char *piece = parts->at;
    memcpy(piece, text, length);
    piece[length] = '\0';
    parts->at += length + 1;
    return piece;
}

/* The length of all of a reference whose [TYPE:]root has been measured; what is wrong with the rest
 * makes it shorter. */
static size_t reference_length(const char *text, size_t length)
{
    size_t size = text[length] == '[' ? key_length(text + length) : 0;
    if (size > 0)
        length += size + 2;
    return text[length] == '.' ? length + 1 + path_length(text + length + 1) : length;
}

/* Reads a reference whose [TYPE:]root has been measured. */
static int parse_parts(struct expression_parser *parser, size_t length,
                       struct reference_parts *parts, struct error *err)
{
    const char *colon = memrchr(parser->at, ':', length);
    const char *root = colon ? colon + 1 : parser->at;
    make_room(parts, reference_length(parser->at, length));
    if (colon)
        parts->type = add_piece(parts, parser->at, (size_t)(colon - parser->at));
    size_t root_length = length - (size_t)(root - parser->at);
    if (root_length == 0 || (colon && colon == parser->at))
        return fail_syntax(parser, err, "a name");
    parts->root = add_piece(parts, root, root_length);
    parser->at += length;
    if (*parser->at == '[') {
        size_t size = key_length(parser->at);
        if (size == 0)
            return fail_syntax(parser, err, "an index such as [0] or [\"a\"]");
        parts->key = add_piece(parts, parser->at + 1, size);
        parser->at += size + 2;
    }
    size_t size = 0;
    if (*parser->at == '.') {
        parser->at++;
        size = path_length(parser->at);
        if (size == 0)
            return fail_syntax(parser, err, "an attribute");
    }
    parts->path = add_piece(parts, parser->at, size);
    parser->at += size;
    return 0;
}

/* A reference is its own text: nothing stands between its pieces. */
static struct value *unknown_reference(const char *start, const char *end, const char *type)
{
    size_t length = (size_t)(end - start);
    char room[128];
    char *origin = length + 4 <= sizeof(room) ? room : NEW_ARRAY(char, length + 4);
    memcpy(origin, "${", 2);
    memcpy(origin + 2, start, length);
    memcpy(origin + 2 + length, "}", 2);
    struct value *unknown = value_unknown(type, origin);
    if (origin != room)
        mem_free(origin);
    return unknown;
}

static int look_up(struct expression_parser *parser, const struct reference_parts *parts,
                   const char *start, struct value **ret_value, struct error *err)
{
    struct reference reference = {parts->type, parts->root, parts->key, parts->path};
    struct value *value = NULL;
    int r = parser->found ? parser->found(parser->argument, &reference, err)
                          : parser->lookup(parser->argument, &reference, &value, err);
    if (r < 0) {
        parser->fault.code = DIAGNOSTIC_UNKNOWN_REFERENCE;
        parser->fault.offset = (size_t)(start - parser->text);
        return r;
    }
    if (parser->found) {
        value = value_null(); /* nobody asks for it */
    } else if (!value) {
        value = unknown_reference(start, parser->at, "any");
    } else if (value_kind(value) == VALUE_UNKNOWN && value_text_length(value) == 0) {
        struct value *typed = unknown_reference(start, parser->at, value_unknown_type(value));
        value_unref(value);
        value = typed;
    }
    *ret_value = value;
    return 0;
}

static int parse_reference(struct expression_parser *parser, size_t length,
                           struct value **ret_value, struct error *err)
{
    const char *start = parser->at;
    struct reference_parts parts = {0};
    int r = parse_parts(parser, length, &parts, err);
    if (r == 0)
        r = look_up(parser, &parts, start, ret_value, err);
    reference_parts_done(&parts);
    return r;
}

/* A keyword, a call or a reference: what begins with a letter. */
static int parse_word(struct expression_parser *parser, struct value **ret_value, struct error *err)
{
    static const struct {
        const char *word;
        enum value_kind kind;
        bool boolean;
    } keywords[] = {
        {"null", VALUE_NULL, false}, {"true", VALUE_BOOL, true}, {"false", VALUE_BOOL, false}};
    size_t length = 0;
    while (is_word_character(parser->at[length]) || parser->at[length] == ':' ||
           parser->at[length] == '/')
        length++;
    const char *next = parser->at + length;
    if (next[strspn(next, " \t")] == '(')
        return parse_call(parser, length, ret_value, err);
    for (size_t i = 0; i < ARRAY_LENGTH(keywords) && *next != '.' && *next != '['; i++) {
        if (strlen(keywords[i].word) != length ||
            strncmp(parser->at, keywords[i].word, length) != 0)
            continue;
        parser->at = next;
        *ret_value =
            keywords[i].kind == VALUE_NULL ? value_null() : value_bool(keywords[i].boolean);
        return 0;
    }
    return parse_reference(parser, length, ret_value, err);
}

static int parse_one(struct expression_parser *parser, struct value **ret_value, struct error *err)
{
    char c = *parser->at;
    if (c == '"')
        return parse_string(parser, ret_value, err);
    if (c == '[')
        return parse_list(parser, ret_value, err);
    if (c == '{')
        return parse_map(parser, ret_value, err);
    if (c == '-' || (c >= '0' && c <= '9'))
        return parse_number(parser, ret_value, err);
    if (is_word_character(c))
        return parse_word(parser, ret_value, err);
    return fail_syntax(parser, err, "a reference, a function or a literal");
}

static int parse_expression(struct expression_parser *parser, struct value **ret_value,
                            struct error *err)
{
    skip_space(parser);
    if (parser->depth == EXPRESSION_MAX_DEPTH)
        return fail_syntax(parser, err, "an end of the nesting, which is too deep,");
    parser->depth++;
    int r = parse_one(parser, ret_value, err);
    parser->depth--;
    return r;
}

int expression_parse_braces(struct expression_parser *parser, struct value **ret_value,
                            struct error *err)
{
    CLEANUP(value_unrefp) struct value *value = NULL;
    parser->at += 2;
    int r = parse_expression(parser, &value, err);
    if (r == 0)
        r = expect(parser, '}', err);
    if (r == 0)
        *ret_value = take_ptr(value);
    return r;
}
