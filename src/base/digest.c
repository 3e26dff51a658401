#include "base/digest.h"

#include "base/memory.h"
#include "base/world.h"

#include <nettle/sha2.h>
#include <sodium.h>
#include <string.h>

static void hash(const void *content, size_t size, unsigned char ret_bytes[SHA256_DIGEST_SIZE])
{
    struct sha256_ctx state;
    sha256_init(&state);
    sha256_update(&state, size, content);
    sha256_digest(&state, SHA256_DIGEST_SIZE, ret_bytes);
}

void digest_hex(const void *content, size_t size, char ret_hex[DIGEST_HEX_SIZE])
{
    unsigned char bytes[SHA256_DIGEST_SIZE];
    hash(content, size, bytes);
    sodium_bin2hex(ret_hex, DIGEST_HEX_SIZE, bytes, sizeof(bytes));
}

struct digest {
    struct sha256_ctx state;
};

struct digest *digest_begin(void)
{
    struct digest *digest = NEW(struct digest);
    sha256_init(&digest->state);
    return digest;
}

void digest_add(struct digest *digest, const void *content, size_t size)
{
    sha256_update(&digest->state, size, content);
}

void digest_end(struct digest *take_digest, char ret_hex[DIGEST_HEX_SIZE])
{
    unsigned char bytes[SHA256_DIGEST_SIZE];
    sha256_digest(&take_digest->state, sizeof(bytes), bytes);
    sodium_bin2hex(ret_hex, DIGEST_HEX_SIZE, bytes, sizeof(bytes));
    mem_free(take_digest);
}

/* Writes the bytes as 8-4-4-4-12 hexadecimal digits. */
static void format_uuid(unsigned char bytes[16], unsigned char version,
                        char ret_text[UUID_TEXT_SIZE])
{
    static const unsigned char starts[] = {0, 8, 12, 16, 20, 32};
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | (version << 4));
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    char hex[33];
    sodium_bin2hex(hex, sizeof(hex), bytes, 16);
    char *end = ret_text;
    for (size_t i = 0; i + 1 < sizeof(starts); i++) {
        size_t size = starts[i + 1] - starts[i];
        memcpy(end, hex + starts[i], size);
        end[size] = '-';
        end += size + 1;
    }
    end[-1] = '\0';
}

void uuid_random(char ret_text[UUID_TEXT_SIZE])
{
    unsigned char bytes[16];
    world_random(bytes, sizeof(bytes));
    format_uuid(bytes, 4, ret_text);
}

void uuid_derive(const char *space, const char *name, char ret_text[UUID_TEXT_SIZE])
{
    struct sha256_ctx state;
    unsigned char bytes[SHA256_DIGEST_SIZE];
    sha256_init(&state);
    sha256_update(&state, strlen(space), (const uint8_t *)space);
    sha256_update(&state, 1, (const uint8_t *)"\n");
    sha256_update(&state, strlen(name), (const uint8_t *)name);
    sha256_digest(&state, sizeof(bytes), bytes);
    format_uuid(bytes, 8, ret_text);
}
