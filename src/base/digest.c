#include "base/digest.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/world.h"

#include <sodium.h>
#include <stdio.h>

void digest_hex(const void *content, size_t size, char ret_hex[DIGEST_HEX_SIZE])
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(digest, content, size);
    sodium_bin2hex(ret_hex, DIGEST_HEX_SIZE, digest, sizeof(digest));
}

struct digest {
    crypto_hash_sha256_state state;
};

struct digest *digest_begin(void)
{
    struct digest *digest = NEW(struct digest);
    crypto_hash_sha256_init(&digest->state);
    return digest;
}

void digest_add(struct digest *digest, const void *content, size_t size)
{
    crypto_hash_sha256_update(&digest->state, content, size);
}

void digest_end(struct digest *take_digest, char ret_hex[DIGEST_HEX_SIZE])
{
    unsigned char bytes[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(&take_digest->state, bytes);
    sodium_bin2hex(ret_hex, DIGEST_HEX_SIZE, bytes, sizeof(bytes));
    mem_free(take_digest);
}

static void format_uuid(unsigned char bytes[16], unsigned char version,
                        char ret_text[UUID_TEXT_SIZE])
{
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | (version << 4));
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    char hex[33];
    sodium_bin2hex(hex, sizeof(hex), bytes, 16);
    snprintf(ret_text, UUID_TEXT_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
             hex + 16, hex + 20);
}

void uuid_random(char ret_text[UUID_TEXT_SIZE])
{
    unsigned char bytes[16];
    world_random(bytes, sizeof(bytes));
    format_uuid(bytes, 4, ret_text);
}

void uuid_derive(const char *space, const char *name, char ret_text[UUID_TEXT_SIZE])
{
    struct strbuf both = {0};
    strbuf_addf(&both, "%s\n%s", space, name);
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(digest, (const unsigned char *)both.text, both.length);
    strbuf_done(&both);
    format_uuid(digest, 8, ret_text);
}
