#include "fuzz/languages.h"

#include "base/memory.h"
#include "base/text.h"
#include "fuzz/fuzz.h"
#include "model/json.h"
#include "twin/measure.h"

#include <libpq-fe.h>
#include <string.h>

/* HAProxy (configuration manual, 2.2): blanks part words, quotes and backslashes take meanings
 * away, # begins a comment. Returns whether there was a word. */
static bool next_word(const char **at, struct strbuf *word)
{
    char quote = '\0';
    *at += strspn(*at, " ");
    strbuf_clear(word);
    if (**at == '\n')
        return false;
    for (; quote || (**at != ' ' && **at != '\n'); (*at)++) {
        MUST((unsigned char)**at >= ' ' && **at != 0x7f);
        MUST(quote || **at != '#');
        MUST(quote != '"' || **at != '$');
        if (**at == '\\' && quote != '\'') {
            (*at)++;
            MUST(**at && strchr("\\\"'# ", **at));
            strbuf_add_char(word, **at);
        } else if (quote ? **at == quote : (**at == '"' || **at == '\'')) {
            quote = quote ? '\0' : **at;
        } else {
            strbuf_add_char(word, **at);
        }
    }
    return true;
}

void read_haproxy(const char *text, struct shape *shape)
{
    struct strbuf word = {0};
    for (const char *at = text; *at; at++) {
        unsigned int n_words = 0;
        while (next_word(&at, &word)) {
            if (n_words++ == 0)
                strbuf_add(&shape->entries, strbuf_text(&word));
        }
        strbuf_addf(&shape->entries, " %u\n", n_words);
    }
    strbuf_done(&word);
}

/* A map of HAProxy's (configuration manual, "map"): a line is a key, a blank, and the value up to
 * the line's end; # begins a comment. Ours are limits of frontends and paths of backends. */
void read_map(const char *text, struct shape *shape, const char *health_check)
{
    for (const char *at = text; *at; at++) {
        size_t kind = strspn(at, "abcdefghijklmnopqrstuvwxyz");
        strbuf_addf(&shape->entries, "%.*s\n", (int)kind, at);
        bool is_limit = strncmp(at, "frontend/", kind + 1) == 0;
        MUST(is_limit || strncmp(at, "backend/", kind + 1) == 0);
        at += kind + 1;
        at += strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
        MUST(*at++ == ' ');
        size_t length = strcspn(at, "\n");
        MUST(length > 0 && at[length] == '\n');
        if (is_limit)
            MUST(strspn(at, "0123456789/") == length);
        else
            MUST(strlen(health_check) == length && strncmp(at, health_check, length) == 0);
        at += length;
    }
}

/* PostgreSQL (guc-file.l): NAME = VALUE, a value of letters, digits and some signs, or in quotes.
 */
void read_settings(const char *text, struct shape *shape)
{
    for (const char *at = text; *at; at++) {
        size_t length = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
        MUST(length > 0 && strncmp(at + length, " = ", 3) == 0);
        strbuf_add_n(&shape->entries, at, length);
        strbuf_add_char(&shape->entries, '\n');
        at += length + 3;
        if (*at != '\'') {
            length = strcspn(at, "\n");
            MUST(length > 0);
            for (; *at != '\n'; at++)
                MUST(
                    strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", *at));
            continue;
        }
        for (at++; *at != '\'' || at[1] == '\''; at++) {
            MUST(*at && *at != '\n');
            at += *at == '\'' || *at == '\\';
        }
        MUST(*++at == '\n');
    }
}

/* pg_hba.conf: blanks part words; a quote, a comment or a comma more would be none of ours. */
void read_words(const char *text, struct shape *shape)
{
    for (const char *at = text; *at; at++) {
        size_t first = strcspn(at, " "), n_words = 1;
        strbuf_add_n(&shape->entries, at, first);
        for (; *at != '\n'; at++) {
            MUST((unsigned char)*at >= ' ' && !strchr("#\\", *at));
            n_words += *at == ' ';
        }
        strbuf_addf(&shape->entries, " %zu\n", n_words);
    }
}

/* pg_ident.conf: as those words, but for the one in quotes. */
void read_ident(const char *text)
{
    static const char start[] = "supervisor \"";
    MUST(text_starts_with(text, start));
    text += strlen(start);
    MUST(text_equal(text + strcspn(text, "\"\n"), "\" postgres\n"));
}

/* synchronous_standby_names, which stands between quotes in a statement and in a file of settings:
 * names of letters, digits and underscores need none of their own. */
void read_standby_names(const char *text, struct shape *shape)
{
    static const char start[] = "ANY 1 (";
    const char *at = text + strlen(start);
    MUST(text_starts_with(text, start));
    for (bool is_last = false; !is_last;) {
        size_t length = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_");
        MUST(length > 0);
        strbuf_add(&shape->entries, "standby\n");
        at += length;
        is_last = text_equal(at, ")");
        MUST(is_last || text_starts_with(at, ", "));
        at += strlen(", ");
    }
}

/* The text format of Prometheus: between quotes a backslash takes the meaning of what follows. */
void read_label(const char *name)
{
    struct strbuf text = {0}, label = {0};
    measure_write_label(&text, name);
    for (const char *at = strbuf_text(&text); *at; at++) {
        MUST(*at != '"' && *at != '\n');
        if (*at != '\\') {
            strbuf_add_char(&label, *at);
            continue;
        }
        at++;
        MUST(*at == '\\' || *at == '"' || *at == 'n');
        strbuf_add_char(&label, (char)(*at == 'n' ? '\n' : *at));
    }
    MUST(text_equal(strbuf_text(&label), name));
    strbuf_done(&text);
    strbuf_done(&label);
}

/* dnsmasq (its manual, --conf-file): a line is an option, and = parts it from its value. */
void read_options(const char *text, struct shape *shape)
{
    for (const char *at = text; *at; at++) {
        size_t length = strspn(at, "abcdefghijklmnopqrstuvwxyz-");
        MUST(length > 0 && (at[length] == '\n' || at[length] == '='));
        strbuf_add_n(&shape->entries, at, length);
        strbuf_add_char(&shape->entries, '\n');
        for (at += length; *at != '\n'; at++)
            MUST(strchr("=abcdefghijklmnopqrstuvwxyz0123456789-.,:/", *at));
    }
}

void read_conninfo(const char *text, struct shape *shape, const char *password)
{
    char *problem = NULL;
    PQconninfoOption *options = PQconninfoParse(text, &problem);
    if (!options)
        fprintf(stderr, "%s\n", problem);
    MUST(options);
    for (const PQconninfoOption *option = options; option->keyword; option++) {
        if (!option->val)
            continue;
        strbuf_addf(&shape->entries, "%s\n", option->keyword);
        MUST(strcmp(option->keyword, "password") != 0 || text_equal(option->val, password));
    }
    PQconninfoFree(options);
}

static void add_node(struct shape *shape, const struct yaml_node *node)
{
    strbuf_addf(&shape->entries, "%d %u\n", (int)node->kind,
                node->kind == VALUE_MAP || node->kind == VALUE_LIST ? node->n_items : 0);
    for (unsigned int i = 0; node->kind == VALUE_LIST && i < node->n_items; i++)
        add_node(shape, node->items[i]);
    for (unsigned int i = 0; node->kind == VALUE_MAP && i < node->n_items; i++) {
        strbuf_addf(&shape->entries, "%s:", node->pairs[i].key);
        add_node(shape, node->pairs[i].value);
    }
}

/* By libyaml, which is what Prometheus' reader was translated from. */
struct yaml_tree *read_yaml(const struct strbuf *text, struct shape *shape)
{
    struct yaml_tree *tree = NULL;
    struct diagnostics diagnostics = {0};
    yaml_read("file", strbuf_text(text), text->length, &yaml_default_limits, &tree, &diagnostics);
    if (diagnostics.n_items > 0)
        fprintf(stderr, "%s\n%s\n", diagnostics.items[0].detail, strbuf_text(text));
    MUST(tree && diagnostics.n_items == 0);
    diagnostics_done(&diagnostics);
    add_node(shape, yaml_root(tree));
    return tree;
}

void read_plain_yaml(const struct strbuf *text, struct shape *shape)
{
    yaml_tree_free(read_yaml(text, shape));
}

void read_json(const struct strbuf *text, struct shape *shape)
{
    struct value *value = NULL;
    MUST(json_read(strbuf_text(text), text->length, &value, NULL) == 0);
    value_unref(value);
    read_plain_yaml(text, shape);
}
