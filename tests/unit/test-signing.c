/* Keys under a passphrase, and statements that are signed with them. */
#include "auth/signing.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static char file[80];

static void begin(void)
{
    snprintf(folder, sizeof(folder), "%s/parley-signing-XXXXXX", temporary_folder());
    CHECK(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/a.key", folder);
}

static void end(void)
{
    unlink(file);
    rmdir(folder);
}

static const struct statement statement = {
    .plan = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    .principal = "anna",
    .store = "11111111-1111-4111-8111-111111111111",
    .from = 1000,
    .until = 2000,
};

TEST(what_was_signed_holds_and_nothing_else_does)
{
    struct error err = {0};
    char *public = NULL;
    char *other = NULL;
    char *signature = NULL;
    begin();
    CHECK(signing_make_key(file, "correct horse", &other, &err) == 0 && unlink(file) == 0);
    CHECK(signing_make_key(file, "correct horse", &public, &err) == 0);
    CHECK(!text_equal(public, other) && signing_is_public(public));
    CHECK(signing_sign(file, "correct horse", &statement, &signature, &err) == 0);
    CHECK(signing_holds(&statement, public, signature));
    CHECK(!signing_holds(&statement, other, signature));
    struct statement changed[] = {statement, statement, statement, statement,
                                  statement, statement, statement};
    changed[0].plan = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeefe";
    changed[1].principal = "bert";
    changed[2].store = "21111111-1111-4111-8111-111111111111";
    changed[3].from = 999;
    changed[4].until = 2001;
    changed[5].principal = "anna\nstore x";
    changed[6].plan = "";
    for (size_t i = 0; i < ARRAY_LENGTH(changed); i++)
        CHECK(!signing_holds(&changed[i], public, signature));
    for (size_t i = 0; i < strlen(signature); i++) {
        CLEANUP(mem_freep) char *broken = string_copy(signature);
        broken[i] = broken[i] == 'A' ? 'E' : 'A';
        CHECK(!signing_holds(&statement, public, broken));
    }
    CHECK(!signing_holds(&statement, public, "") && !signing_holds(&statement, public, NULL));
    CHECK(!signing_holds(&statement, "ed25519:", signature));
    mem_free(public);
    mem_free(other);
    mem_free(signature);
    error_done(&err);
    end();
}

TEST(a_key_needs_its_passphrase_and_a_file_that_nobody_else_may_open)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *text = NULL;
    char *public = NULL;
    char *read = NULL;
    char *signature = NULL;
    begin();
    CHECK(signing_make_key(file, "correct horse", &public, &err) == 0);
    CHECK(signing_make_key(file, "another", &read, &err) == -ERROR_EXISTS);
    CHECK(signing_read_public(file, &read, &err) == 0);
    CHECK_TEXT(read, public);
    CHECK(signing_sign(file, "wrong horse", &statement, &signature, &err) == -ERROR_DENIED);
    CHECK(strstr(error_message(&err), "not the passphrase"));
    CHECK(chmod(file, 0644) == 0);
    CHECK(signing_sign(file, "correct horse", &statement, &signature, &err) == -ERROR_DENIED);
    CHECK(strstr(error_message(&err), "chmod 600"));
    CHECK(chmod(file, 0600) == 0);
    CHECK(world_read_file(file, 10000, &text, NULL, NULL) == 0 && !strstr(text, "horse"));
    char *salt = strstr(text, "salt: \"");
    salt[7] = salt[7] == 'A' ? 'B' : 'A';
    CHECK(world_write_file(file, text, strlen(text), 0600, false, NULL) == 0);
    CHECK(signing_sign(file, "correct horse", &statement, &signature, &err) == -ERROR_DENIED);
    CHECK(world_write_file(file, "format: 1\n", 10, 0600, false, NULL) == 0);
    CHECK(signing_sign(file, "correct horse", &statement, &signature, &err) == -ERROR_CORRUPT);
    CHECK(!signature);
    mem_free(public);
    mem_free(read);
    error_done(&err);
    end();
}
