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
/* More than so many bytes are not kept from one text to the next: locked memory is scarce. */
enum { KEPT_MAX = 1 << 18 };

/* --- What is looked for: all forms of all secrets --- */

static void add_needle(struct secret_needles *needles, const char *text, size_t length)
{
    if (length == 0)
        return;
    for (size_t i = needles->n_items; i > 0; i--) {
        const struct secret_needle *other = &needles->items[i - 1];
        if (other->entry != needles->entry)
            break;
        if (other->length == length &&
            memcmp(needles->draft.text + other->offset, text, length) == 0)
            return;
    }
    ARRAY_RESERVE(needles->items, needles->n_items, needles->capacity);
    needles->items[needles->n_items++] =
        (struct secret_needle){needles->entry, needles->draft.length, length};
    strbuf_add_n(&needles->draft, text, length);
}

static void add_encoded(struct secret_needles *needles, const struct strbuf *encoded)
{
    if (encoded->length >= MIN_NEEDLE)
        add_needle(needles, encoded->text, encoded->length);
}

/* In both kinds of letters. */
static void add_hex(struct secret_needles *needles, const char *text, size_t size)
{
    struct strbuf hex = {0};
    for (size_t i = 0; i < size; i++)
        strbuf_addf(&hex, "%02x", (unsigned char)text[i]);
    add_encoded(needles, &hex);
    for (size_t i = 0; i < hex.length; i++)
        hex.text[i] = (char)toupper((unsigned char)hex.text[i]);
    add_encoded(needles, &hex);
    strbuf_done(&hex);
}

static void add_url_encoded(struct secret_needles *needles, const char *text, size_t size,
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
    add_encoded(needles, &encoded);
    strbuf_done(&encoded);
}

/* What is the same in base64 wherever the text stands in what was encoded: all but the characters
 * that hold bits of its neighbours. */
static void add_base64(struct secret_needles *needles, const char *text, size_t size, size_t shift,
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
        add_needle(needles, encoded + first, last - first);
}

static void add_lines(struct secret_needles *needles, const char *text)
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t length = strcspn(line, "\r\n");
        if (length >= MIN_LINE && strncmp(line, "-----", 5) != 0)
            add_needle(needles, line, length);
    }
}

static void add_encodings(struct secret_needles *needles, const char *text, size_t size)
{
    add_needle(needles, text, size);
    add_url_encoded(needles, text, size, "%20");
    add_url_encoded(needles, text, size, "+");
    add_hex(needles, text, size);
    for (size_t shift = 0; shift < N_SHIFTS; shift++) {
        add_base64(needles, text, size, shift, sodium_base64_VARIANT_ORIGINAL);
        add_base64(needles, text, size, shift, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    }
}

/* A request is often JSON, and JSON is often what is encoded further. */
static void add_forms(struct secret_needles *needles, const char *text, size_t size)
{
    struct strbuf escaped = {0};
    json_write_string(&escaped, text, size);
    add_encodings(needles, text, size);
    if (escaped.length - 2 != size)
        add_encodings(needles, escaped.text + 1, escaped.length - 2);
    add_lines(needles, text);
    strbuf_done(&escaped);
}

static int add_secret(void *argument, const char *text, size_t size, struct error *err)
{
    struct secret_needles *needles = argument;
    (void)err;
    if (size >= MIN_NEEDLE)
        add_forms(needles, text, size);
    else
        add_needle(needles, text, size);
    return 0;
}

/* Longest first: what is left of one when a part of it is taken out would be shown. */
static int compare_size(const void *a, const void *b)
{
    const struct secret_entry *const *left = a;
    const struct secret_entry *const *right = b;
    return ((*left)->size < (*right)->size) - ((*left)->size > (*right)->size);
}

static struct secret_needles *make_needles(struct secrets *secrets)
{
    struct secret_needles *needles = NEW(struct secret_needles);
    const struct secret_entry **order = NEW_ARRAY(const struct secret_entry *, secrets->n_entries);
    for (size_t i = 0; i < secrets->n_entries; i++)
        order[i] = &secrets->entries[i];
    qsort(order, secrets->n_entries, sizeof(struct secret_entry *), compare_size);
    for (size_t i = 0; i < secrets->n_entries; i++) {
        needles->entry = (size_t)(order[i] - secrets->entries);
        (void)secret_use(secrets, order[i]->digest, add_secret, needles, NULL);
    }
    mem_free(order);
    needles->n_entries = secrets->n_entries;
    needles->size = needles->draft.length;
    needles->texts = secret_allocate(needles->size + 1);
    memcpy(needles->texts, strbuf_text(&needles->draft), needles->size + 1);
    strbuf_done(&needles->draft);
    return needles;
}

void secret_needles_free(struct secret_needles *needles)
{
    if (!needles)
        return;
    secret_release(needles->texts);
    mem_free(needles->items);
    mem_free(needles);
}

/* Until it is closed they may be read. */
static const struct secret_needles *open_needles(struct secrets *secrets)
{
    struct secret_needles *needles = secrets->needles;
    if (needles && needles->n_entries == secrets->n_entries) {
        secret_let_read(needles->texts);
        return needles;
    }
    secret_needles_free(needles);
    return secrets->needles = make_needles(secrets);
}

static void close_needles(struct secrets *secrets)
{
    if (secrets->needles->size <= KEPT_MAX)
        secret_hide(secrets->needles->texts);
    else
        secret_needles_free(take_ptr(secrets->needles));
}

/* --- Taking it out --- */

/* A text from which secrets are taken out, one needle after the other. */
struct redaction {
    const struct secrets *secrets;
    const struct secret_needles *needles;
    struct strbuf text; /* once it has changed */
    bool has_changed;
};

static const char *find_name(const struct secrets *secrets, const char *digest)
{
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&secrets->names, &cursor)))
        if (text_equal(entry->value, digest))
            return entry->key;
    return NULL;
}

/* Replaces all of one needle; a change may not bring another into being, since "(" is in none that
 * is shorter than what takes its place. */
static void replace_needle(struct redaction *redaction, const struct secret_needle *needle,
                           const char *at, const char *found)
{
    const char *pattern = redaction->needles->texts + needle->offset;
    const struct secret_entry *entry = &redaction->secrets->entries[needle->entry];
    const char *name = find_name(redaction->secrets, entry->digest);
    struct strbuf text = {0};
    if (entry->size < MIN_NEEDLE) {
        strbuf_add(&text, "(not shown: a secret is in it)");
        at = "";
        found = NULL;
    }
    for (; found; found = memmem(at, strlen(at), pattern, needle->length)) {
        strbuf_add_n(&text, at, (size_t)(found - at));
        strbuf_addf(&text, "(secret%s%s)", name ? " " : "", name ? name : "");
        at = found + needle->length;
    }
    strbuf_add(&text, at);
    strbuf_done(&redaction->text);
    redaction->text = text;
    redaction->has_changed = true;
}

/* NULL when nothing is in it. */
static char *redact(const struct secrets *secrets, const struct secret_needles *needles,
                    const char *text)
{
    struct redaction redaction = {.secrets = secrets, .needles = needles};
    size_t length = strlen(text);
    for (size_t i = 0; i < needles->n_items; i++) {
        const struct secret_needle *needle = &needles->items[i];
        const char *at = redaction.has_changed ? strbuf_text(&redaction.text) : text;
        const char *found = memmem(at, length, needles->texts + needle->offset, needle->length);
        if (!found)
            continue;
        replace_needle(&redaction, needle, at, found);
        length = redaction.text.length;
    }
    return redaction.has_changed ? strbuf_take(&redaction.text) : NULL;
}

char *secrets_redact(const struct secrets *secrets, const char *text)
{
    if (!secrets || secrets->n_entries == 0)
        return NULL;
    char *redacted = redact(secrets, open_needles((struct secrets *)secrets), text);
    close_needles((struct secrets *)secrets);
    return redacted;
}

/* A text of a value: what is looked for is open for all of them. */
static char *redact_open(const struct secrets *secrets, const char *text)
{
    return redact(secrets, secrets->needles, text);
}

static int redact_to_text(void *argument, struct value *value, struct value **ret_value,
                          struct error *err)
{
    (void)err;
    CLEANUP(mem_freep)
    char *redacted =
        value_kind(value) == VALUE_STRING ? redact_open(argument, value_text(value)) : NULL;
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
        value_kind(value) == VALUE_STRING ? redact_open(argument, value_text(value)) : NULL;
    if (!redacted)
        return 0;
    CLEANUP(mem_freep)
    char *digest = secrets_digest(argument, value_text(value), value_text_length(value));
    *ret_value = value_secret(digest, "");
    return 0;
}

static struct value *redact_with(const struct secrets *secrets, struct value *value,
                                 value_changer change)
{
    struct value *redacted = NULL;
    if (!secrets || secrets->n_entries == 0)
        return value_ref(value);
    (void)open_needles((struct secrets *)secrets);
    (void)value_change(value, change, (void *)secrets, &redacted, NULL);
    close_needles((struct secrets *)secrets);
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
