#include "secret/redact.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "model/json.h"
#include "secret/secret-internal.h"

#include <ctype.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_NEEDLE = 4, MIN_LINE = 8, N_SHIFTS = 3 };

/* A text from which secrets are taken out, one needle after the other. */
struct redaction {
    struct strbuf text;
    const char *name; /* of the secret that is looked for; NULL without one */
    bool has_changed;
};

/* Replaces all of one needle; a change may not bring another into being, since "(" is in none that
 * is shorter than what takes its place. */
static void remove_needle(struct redaction *redaction, const char *needle, size_t length)
{
    const char *at = strbuf_text(&redaction->text);
    const char *found = length > 0 ? memmem(at, strlen(at), needle, length) : NULL;
    struct strbuf text = {0};
    if (!found)
        return;
    for (; found; found = memmem(at, strlen(at), needle, length)) {
        strbuf_add_n(&text, at, (size_t)(found - at));
        strbuf_addf(&text, "(secret%s%s)", redaction->name ? " " : "",
                    redaction->name ? redaction->name : "");
        at = found + length;
    }
    strbuf_add(&text, at);
    strbuf_done(&redaction->text);
    redaction->text = text;
    redaction->has_changed = true;
}

static void remove_text(struct redaction *redaction, const struct strbuf *needle)
{
    if (needle->length >= MIN_NEEDLE)
        remove_needle(redaction, needle->text, needle->length);
}

/* In both kinds of letters. */
static void remove_hex(struct redaction *redaction, const char *text, size_t size)
{
    struct strbuf hex = {0};
    for (size_t i = 0; i < size; i++)
        strbuf_addf(&hex, "%02x", (unsigned char)text[i]);
    remove_text(redaction, &hex);
    for (size_t i = 0; i < hex.length; i++)
        hex.text[i] = (char)toupper((unsigned char)hex.text[i]);
    remove_text(redaction, &hex);
    strbuf_done(&hex);
}

static void remove_url_encoded(struct redaction *redaction, const char *text, size_t size,
                               const char *space)
{
    struct strbuf encoded = {0};
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (isalnum(c) || strchr("-._~", c))
            strbuf_add_char(&encoded, (char)c);
        else if (c == ' ')
            strbuf_add(&encoded, space);
        else
            strbuf_addf(&encoded, "%%%02X", c);
    }
    remove_text(redaction, &encoded);
    strbuf_done(&encoded);
}

/* What is the same in base64 wherever the text stands in what was encoded: all but the characters
 * that hold bits of its neighbours. */
static void remove_base64(struct redaction *redaction, const char *text, size_t size, size_t shift,
                          int variant)
{
    size_t n = size + shift;
    size_t room = sodium_base64_encoded_len(n, variant);
    CLEANUP(mem_freep) char *padded = mem_zeroed(n, 1);
    CLEANUP(mem_freep) char *encoded = mem_zeroed(room, 1);
    memcpy(padded + shift, text, size);
    sodium_bin2base64(encoded, room, (const unsigned char *)padded, n, variant);
    size_t first = (shift * 8 + 5) / 6;
    size_t last = n * 8 / 6;
    if (last >= first + MIN_NEEDLE)
        remove_needle(redaction, encoded + first, last - first);
}

static void remove_lines(struct redaction *redaction, const char *text)
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t length = strcspn(line, "\r\n");
        if (length >= MIN_LINE && strncmp(line, "-----", 5) != 0)
            remove_needle(redaction, line, length);
    }
}

static void remove_encodings(struct redaction *redaction, const char *text, size_t size)
{
    remove_needle(redaction, text, size);
    remove_url_encoded(redaction, text, size, "%20");
    remove_url_encoded(redaction, text, size, "+");
    remove_hex(redaction, text, size);
    for (size_t shift = 0; shift < N_SHIFTS; shift++) {
        remove_base64(redaction, text, size, shift, sodium_base64_VARIANT_ORIGINAL);
        remove_base64(redaction, text, size, shift, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    }
}

/* A request is often JSON, and JSON is often what is encoded further. */
static void remove_forms(struct redaction *redaction, const char *text, size_t size)
{
    struct strbuf escaped = {0};
    json_write_string(&escaped, text, size);
    remove_encodings(redaction, text, size);
    if (escaped.length - 2 != size)
        remove_encodings(redaction, escaped.text + 1, escaped.length - 2);
    remove_lines(redaction, text);
    strbuf_done(&escaped);
}

static int remove_secret(void *argument, const char *text, size_t size, struct error *err)
{
    struct redaction *redaction = argument;
    (void)err;
    if (size >= MIN_NEEDLE) {
        remove_forms(redaction, text, size);
    } else if (size > 0 && strstr(strbuf_text(&redaction->text), text)) {
        strbuf_clear(&redaction->text);
        strbuf_add(&redaction->text, "(not shown: a secret is in it)");
        redaction->has_changed = true;
    }
    return 0;
}

static const char *find_name(const struct secrets *secrets, const char *digest)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&secrets->names, &cursor)))
        if (text_equal(entry->value, digest))
            return entry->key;
    return NULL;
}

/* Longest first: what is left of one when a part of it is taken out would be shown. */
static int compare_size(const void *a, const void *b)
{
    const struct secret_entry *const *left = a;
    const struct secret_entry *const *right = b;
    return ((*left)->size < (*right)->size) - ((*left)->size > (*right)->size);
}

char *secrets_redact(const struct secrets *secrets, const char *text)
{
    struct redaction redaction = {0};
    if (!secrets || secrets->n_entries == 0)
        return NULL;
    const struct secret_entry **order = NEW_ARRAY(const struct secret_entry *, secrets->n_entries);
    for (size_t i = 0; i < secrets->n_entries; i++)
        order[i] = &secrets->entries[i];
    qsort(order, secrets->n_entries, sizeof(struct secret_entry *), compare_size);
    strbuf_add(&redaction.text, text);
    for (size_t i = 0; i < secrets->n_entries; i++) {
        const char *digest = order[i]->digest;
        redaction.name = find_name(secrets, digest);
        (void)secret_use((struct secrets *)secrets, digest, remove_secret, &redaction, NULL);
    }
    mem_free(order);
    char *redacted = redaction.has_changed ? strbuf_take(&redaction.text) : NULL;
    strbuf_done(&redaction.text);
    return redacted;
}

static int redact_to_text(void *argument, struct value *value, struct value **ret_value,
                          struct error *err)
{
    (void)err;
    CLEANUP(mem_freep)
    char *redacted =
        value_kind(value) == VALUE_STRING ? secrets_redact(argument, value_text(value)) : NULL;
    if (redacted)
        *ret_value = value_string(redacted);
    return 0;
}

static int redact_to_handle(void *argument, struct value *value, struct value **ret_value,
                            struct error *err)
{
    (void)err;
    CLEANUP(mem_freep)
    char *redacted =
        value_kind(value) == VALUE_STRING ? secrets_redact(argument, value_text(value)) : NULL;
    if (!redacted)
        return 0;
    CLEANUP(mem_freep)
    char *digest = secrets_digest(argument, value_text(value), value_text_length(value));
    *ret_value = value_secret(digest, "");
    return 0;
}

static struct value *redact_with(const struct secrets *secrets, struct value *value,
                                 value_changer redact)
{
    struct value *redacted = NULL;
    if (!secrets || secrets->n_entries == 0)
        return value_ref(value);
    (void)value_change(value, redact, (void *)secrets, &redacted, NULL);
    return redacted;
}

struct value *secrets_redact_value(const struct secrets *secrets, struct value *value)
{
    return redact_with(secrets, value, redact_to_handle);
}

struct value *secrets_redact_texts(const struct secrets *secrets, struct value *value)
{
    return redact_with(secrets, value, redact_to_text);
}
