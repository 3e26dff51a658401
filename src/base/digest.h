/* SHA-256 (FIPS 180-4) and names derived from it. */
#pragma once

#include <stddef.h>

#define DIGEST_HEX_SIZE 65
#define UUID_TEXT_SIZE 37

/* Writes the 64 lower-case hexadecimal digits of the SHA-256 of content, and a NUL. */
void digest_hex(const void *content, size_t size, char ret_hex[DIGEST_HEX_SIZE]);

/* The same of content that comes in parts: begin, add as often as it takes, end, which frees it. */
struct digest;
struct digest *digest_begin(void);
void digest_add(struct digest *digest, const void *content, size_t size);
void digest_end(struct digest *take_digest, char ret_hex[DIGEST_HEX_SIZE]);

/* A random UUID (RFC 9562, version 4). */
void uuid_random(char ret_text[UUID_TEXT_SIZE]);

/* The UUID that name always has within space (RFC 9562, version 8: made of a SHA-256 of both). */
void uuid_derive(const char *space, const char *name, char ret_text[UUID_TEXT_SIZE]);
