/*
 * Texts that come from outside, without the secrets that this process knows: as they are, a line
 * of theirs, as JSON escapes them, in base64 (also within a longer text), hexadecimal digits or
 * URL-encoded.
 */
#pragma once

#include "model/value.h"
#include "secret/secret.h"

/*
 * The text with "(secret NAME)" in place of each; NULL when there is none in it. Of a text with a
 * secret below four bytes nothing is shown. secrets may be NULL. The caller frees it.
 */
char *secrets_redact(const struct secrets *secrets, const char *text);

/* The value with each text in it as secrets_redact() gives it. The caller unrefs it. */
struct value *secrets_redact_texts(const struct secrets *secrets, struct value *value);

/* The value with each text that holds a secret as the handle of one, without an origin. secrets may
 * be NULL. The caller unrefs it. */
struct value *secrets_redact_value(const struct secrets *secrets, struct value *value);
