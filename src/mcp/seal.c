/* What a client keeps for us: sealed, so that no memory of ours is needed and none is trusted. */
#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "mcp/internal.h"
#include "model/json.h"

#include <stdio.h>
#include <string.h>

enum { BASE64 = sodium_base64_VARIANT_URLSAFE_NO_PADDING, MAX_SEALED = 64 * 1024 };

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

char *seal_close(const unsigned char *key, const char *text)
{
    size_t length = strlen(text),
           size = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + length;
    unsigned char *box = mem_zeroed(1, size);
    world_random(box, crypto_secretbox_NONCEBYTES);
    crypto_secretbox_easy(box + crypto_secretbox_NONCEBYTES, (const unsigned char *)text, length,
                          box, key);
    size_t room = sodium_base64_ENCODED_LEN(size, BASE64);
    char *sealed = mem_zeroed(1, room);
    sodium_bin2base64(sealed, room, box, size, BASE64);
    mem_free(box);
    return sealed;
}

char *seal_open(const unsigned char *key, const char *sealed)
{
    size_t room = strlen(sealed), size = 0;
    const size_t overhead = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES;
    /* libsodium reads some bytes beyond ASCII as letters: one text would have several seals. */
    if (room > MAX_SEALED || strspn(sealed, letters) != room)
        return NULL;
    unsigned char *box = mem_zeroed(1, room + 1);
    char *text = NULL;
    if (sodium_base642bin(box, room + 1, sealed, room, NULL, &size, NULL, BASE64) == 0 &&
        size >= overhead) {
        text = mem_zeroed(1, size - overhead + 1);
        text[size - overhead] = '\0';
        if (crypto_secretbox_open_easy((unsigned char *)text, box + crypto_secretbox_NONCEBYTES,
                                       size - crypto_secretbox_NONCEBYTES, box, key) != 0) {
            mem_free(text);
            text = NULL;
        }
    }
    mem_free(box);
    return text;
}

char *mcp_seal(const struct mcp_server *server, const char *text)
{
    return seal_close(server->key, text);
}

char *mcp_unseal(const struct mcp_server *server, const char *sealed)
{
    return seal_open(server->key, sealed);
}

/* --- Sessions --- */

void mcp_session_done(struct mcp_session *session)
{
    mem_free(session->client);
    *session = (struct mcp_session){0};
}

char *mcp_session_text(const struct mcp_server *server, const struct mcp_session *session)
{
    struct value_builder fields = {0};
    char random[UUID_TEXT_SIZE];
    uuid_random(random);
    value_builder_set_string(&fields, "id", random);
    value_builder_set_string(&fields, "server", server->instance);
    value_builder_set_string(&fields, "version", session->version);
    value_builder_set_string(&fields, "client", session->client);
    value_builder_set(&fields, "elicitation", value_bool(session->can_elicit));
    value_builder_set(&fields, "url", value_bool(session->can_open));
    value_builder_set(&fields, "sampling", value_bool(session->can_sample));
    value_builder_set(&fields, "roots", value_bool(session->can_list_roots));
    CLEANUP(value_unrefp) struct value *value = value_builder_map(&fields);
    CLEANUP(mem_freep) char *text = json_text(value);
    return mcp_seal(server, text);
}

bool mcp_session_read(const struct mcp_server *server, const char *text,
                      struct mcp_session *ret_session)
{
    CLEANUP(mem_freep) char *plain = mcp_unseal(server, text);
    CLEANUP(value_unrefp) struct value *value = NULL;
    if (!plain || json_read(plain, strlen(plain), &value, NULL) < 0)
        return false;
    const char *version = value_get_text(value, "version"),
               *client = value_get_text(value, "client");
    if (!version)
        return false;
    *ret_session = (struct mcp_session){
        .is_begun = true,
        .is_of_before = !text_equal_or_null(value_get_text(value, "server"), server->instance),
        .can_elicit = value_get_bool(value, "elicitation", false),
        .can_open = value_get_bool(value, "url", false),
        .can_sample = value_get_bool(value, "sampling", false),
        .can_list_roots = value_get_bool(value, "roots", false),
        .client = string_copy(client ? client : ""),
    };
    snprintf(ret_session->version, sizeof(ret_session->version), "%s", version);
    return true;
}
