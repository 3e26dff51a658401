/* Where secrets come from. No text of one is in an error. */
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "net/child.h"
#include "secret/secret.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { SECOND = 1000000, COMMAND_SECONDS = 60, GENERATED_MIN = 16, GENERATED_MAX = 1024 };

int secret_from_environment(struct secrets *secrets, const char *name, const char **ret_digest,
                            struct error *err)
{
    char *text = getenv(name);
    if (!text)
        return error_set(err, ERROR_NOT_FOUND,
                         "the environment has no %s, from which a secret is to be read", name);
    /* The text lies in the memory that /proc/PID/environ shows: it is wiped there. */
    int r = secrets_add(secrets, text, strlen(text), ret_digest, err);
    unsetenv(name);
    return r;
}

/* Editors and programs end a file with a line's end that nobody means. */
static size_t without_line_end(const char *text, size_t size)
{
    size -= size > 0 && text[size - 1] == '\n';
    size -= size > 0 && text[size - 1] == '\r';
    return size;
}

int secret_from_file(struct secrets *secrets, const char *path, const char **ret_digest,
                     struct error *err)
{
    char *text = NULL;
    size_t size = 0;
    int r = world_read_file(path, SECRET_MAX_SIZE, &text, &size, err);
    if (r < 0)
        return error_wrap(err, r, "read a secret");
    r = secrets_add(secrets, text, without_line_end(text, size), ret_digest, err);
    mem_wipe(text, size);
    mem_free(text);
    return r;
}

CO_FN int secret_from_command(struct secrets *secrets, struct loop *loop,
                              const char *const *arguments, const char **ret_digest,
                              struct error *err)
{
    struct child_spec spec = {.arguments = arguments, .input = -1, .output = -1, .errors = -1};
    char *text = NULL;
    int status = 0;
    int64_t deadline = world_monotonic_clock() + (int64_t)COMMAND_SECONDS * SECOND;
    int r = child_run(loop, &spec, SECRET_MAX_SIZE, deadline, &status, &text, err);
    if (r < 0)
        return error_wrap(err, r, "read a secret from the command %s", arguments[0]);
    size_t size = strlen(text);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        r = error_set(err, ERROR_UNAVAILABLE,
                      "the command %s, from which a secret is to be read, failed (%s %d); what it "
                      "printed is not shown",
                      arguments[0], WIFEXITED(status) ? "exit" : "signal",
                      WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    else
        r = secrets_add(secrets, text, without_line_end(text, size), ret_digest, err);
    mem_wipe(text, size);
    mem_free(text);
    return r;
}

/* The characters of an alphabet; NULL when there is none of that name. */
static const char *find_alphabet(const char *name)
{
#define LOWERCASE "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define ALPHANUMERIC LOWERCASE "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS
    static const struct {
        const char *name, *characters;
    } alphabets[] = {
        {"alphanumeric", ALPHANUMERIC},
        {"lowercase", LOWERCASE},
        {"digits", DIGITS},
        {"hex", DIGITS "abcdef"},
        {"printable", ALPHANUMERIC "!#$%&()*+,-./:;<=>?@[]^_{|}~"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(alphabets); i++)
        if (text_equal(alphabets[i].name, name))
            return alphabets[i].characters;
    return NULL;
}

int secret_generate(struct secrets *secrets, size_t length, const char *alphabet,
                    const char **ret_digest, struct error *err)
{
    char text[GENERATED_MAX];
    const char *characters = find_alphabet(alphabet);
    if (!characters)
        return error_set(err, ERROR_INVALID, "there is no alphabet %s", alphabet);
    if (length < GENERATED_MIN || length > GENERATED_MAX)
        return error_set(err, ERROR_INVALID, "a generated secret has %d to %d characters, not %zu",
                         GENERATED_MIN, GENERATED_MAX, length);
    size_t n = strlen(characters);
    for (size_t i = 0; i < length;) {
        unsigned char byte;
        world_random(&byte, 1);
        /* What is left over would make some characters likelier than others. */
        if (byte < 256 / n * n)
            text[i++] = characters[byte % n];
    }
    return secrets_add(secrets, text, length, ret_digest, err);
}
