/* Secrets: digests, sealing, sources; and that a text is seen nowhere but inside secret_use(). */
#include "harness.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "secret/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CANARY "canary-7f3a91c2-in-the-mine"

static struct secret_key *make_key(unsigned char seed)
{
    unsigned char bytes[SECRET_KEY_SIZE];
    memset(bytes, seed, sizeof(bytes));
    return secret_key_new(bytes);
}

static struct secret_key *key;
static struct secrets *secrets;

/* What a test that ended early left behind goes first. */
static void begin(void)
{
    secrets_free(secrets);
    secret_key_free(key);
    key = make_key(1);
    secrets = secrets_new(key);
}

static const char *add(struct secrets *to, const char *text)
{
    CLEANUP(mem_freep) char *copy = string_copy(text);
    const char *digest = NULL;
    return secrets_add(to, copy, strlen(copy), &digest, NULL) == 0 ? digest : NULL;
}

static int compare(void *argument, const char *text, size_t size, struct error *err)
{
    const char *want = argument;
    bool is_same = size == strlen(want) && memcmp(text, want, size) == 0 && text[size] == '\0';
    return is_same ? 0 : error_set(err, ERROR_INVALID, "it is another text");
}

static bool is_text(struct secrets *of, const char *digest, const char *want)
{
    return secret_use(of, digest, compare, (void *)want, NULL) == 0;
}

/* --- Digests --- */

TEST(the_same_text_and_key_give_the_same_digest_and_others_do_not)
{
    begin();
    struct secret_key *other_key = make_key(2);
    struct secrets *other = secrets_new(other_key);
    CLEANUP(mem_freep) char *first = string_copy(add(secrets, "one"));
    CLEANUP(mem_freep) char *again = string_copy(add(secrets, "one"));
    CLEANUP(mem_freep) char *second = string_copy(add(secrets, "two"));
    CLEANUP(mem_freep) char *elsewhere = string_copy(add(other, "one"));
    secrets_free(other);
    secret_key_free(other_key);
    CHECK_TEXT(first, again);
    CHECK(!text_equal(first, second) && !text_equal(first, elsewhere));
    CHECK(text_starts_with(first, "s1:") && strlen(first) == 3 + 64);
}

TEST(a_text_is_wiped_where_it_was_taken_from)
{
    begin();
    char text[] = CANARY;
    const char *digest = NULL;
    CHECK(secrets_add(secrets, text, strlen(text), &digest, NULL) == 0);
    for (size_t i = 0; i < sizeof(text); i++)
        CHECK(text[i] == 0);
    CHECK(is_text(secrets, digest, CANARY));
}

TEST(what_is_too_long_or_not_known_is_refused)
{
    begin();
    const char *digest = NULL;
    CLEANUP(mem_freep) char *large = mem_zeroed(SECRET_MAX_SIZE + 1, 1);
    CHECK(secrets_add(secrets, large, SECRET_MAX_SIZE + 1, &digest, NULL) == -ERROR_LIMIT);
    CHECK(secret_use(secrets, "s1:00", compare, (void *)"", NULL) == -ERROR_NOT_FOUND);
}

TEST(a_use_that_fails_is_told_and_the_text_can_be_used_again)
{
    begin();
    const char *digest = add(secrets, CANARY);
    struct error err = {0};
    CHECK(secret_use(secrets, digest, compare, (void *)"else", &err) == -ERROR_INVALID);
    error_done(&err);
    CHECK(is_text(secrets, digest, CANARY));
}

/* --- Memory --- */

/* In a child: reads a text where it lies, without secret_use(). */
static const char *kept_text;

static int keep_place(void *argument, const char *text, size_t size, struct error *err)
{
    (void)argument;
    (void)size;
    (void)err;
    kept_text = text;
    return 0;
}

TEST(a_text_cannot_be_read_outside_of_its_use)
{
    begin();
    CHECK(secret_use(secrets, add(secrets, CANARY), keep_place, NULL, NULL) == 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        close(STDERR_FILENO);
        _exit(*(const volatile char *)kept_text == 'c' ? 42 : 43);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    /* The sanitizer turns the signal into an exit of its own. */
    CHECK(!WIFEXITED(status) || (WEXITSTATUS(status) != 42 && WEXITSTATUS(status) != 43));
}

/* --- Sealing --- */

TEST(what_is_sealed_comes_back_with_the_key_and_with_no_other)
{
    begin();
    struct secret_key *other_key = make_key(2);
    struct secrets *fresh = secrets_new(key);
    struct secrets *other = secrets_new(other_key);
    const char *digest = add(secrets, CANARY);
    CLEANUP(mem_freep) char *sealed = NULL;
    CLEANUP(mem_freep) char *again = NULL;
    const char *unsealed = NULL;
    CHECK(secret_seal(secrets, digest, &sealed, NULL) == 0);
    CHECK(secret_seal(secrets, digest, &again, NULL) == 0);
    CHECK(!strstr(sealed, "canary") && !text_equal(sealed, again));
    CHECK(secret_unseal(fresh, sealed, &unsealed, NULL) == 0);
    CHECK_TEXT(unsealed, digest);
    bool is_back = is_text(fresh, unsealed, CANARY);
    int r = secret_unseal(other, sealed, &unsealed, NULL);
    secrets_free(fresh);
    secrets_free(other);
    secret_key_free(other_key);
    CHECK(is_back && r == -ERROR_CORRUPT);
}

/* Base64 has bits that mean nothing: what comes back must be the same text or nothing. */
TEST(a_sealed_secret_that_was_changed_is_refused)
{
    begin();
    CLEANUP(mem_freep) char *sealed = NULL;
    const char *unsealed = NULL;
    CHECK(secret_seal(secrets, add(secrets, CANARY), &sealed, NULL) == 0);
    for (size_t i = 0; sealed[i]; i++) {
        char was = sealed[i];
        sealed[i] = was == 'A' ? 'B' : 'A';
        int r = secret_unseal(secrets, sealed, &unsealed, NULL);
        CHECK(r == -ERROR_CORRUPT);
        sealed[i] = was;
    }
    CHECK(secret_unseal(secrets, "", &unsealed, NULL) == -ERROR_CORRUPT);
    CHECK(secret_unseal(secrets, "v1:", &unsealed, NULL) == -ERROR_CORRUPT);
    CHECK(secret_unseal(secrets, "v1:AAAA", &unsealed, NULL) == -ERROR_CORRUPT);
}

/* --- Keys --- */

static char folder[64];

static const char *path_of(const char *name)
{
    static char paths[2][128];
    static int next;
    char *path = paths[next++ % 2];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void make_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/parley-secret-XXXXXX");
    CHECK(mkdtemp(folder));
}

static void remove_folder(void)
{
    unlink(path_of("key"));
    unlink(path_of("text"));
    rmdir(folder);
}

TEST(a_key_file_is_made_for_its_owner_only_and_read_again)
{
    begin();
    make_folder();
    struct secret_key *first = NULL;
    struct secret_key *second = NULL;
    struct stat status = {0};
    int r = secret_key_open(path_of("key"), &first, NULL);
    int again = secret_key_open(path_of("key"), &second, NULL);
    (void)stat(path_of("key"), &status);
    struct secrets *a = secrets_new(first);
    struct secrets *b = secrets_new(second);
    CLEANUP(mem_freep) char *digest = string_copy(add(a, "text"));
    bool is_same = text_equal(digest, add(b, "text"));
    secrets_free(a);
    secrets_free(b);
    secret_key_free(first);
    secret_key_free(second);
    remove_folder();
    CHECK(r == 0 && again == 0 && is_same && (status.st_mode & 07777) == 0600);
}

TEST(a_key_file_that_others_may_read_or_that_is_damaged_is_refused_and_left)
{
    begin();
    make_folder();
    struct secret_key *opened = NULL;
    int written = world_write_file(path_of("key"), "no key", 6, 0600, false, NULL);
    int damaged = secret_key_open(path_of("key"), &opened, NULL);
    CLEANUP(mem_freep) char *left = NULL;
    (void)world_read_file(path_of("key"), 100, &left, NULL, NULL);
    chmod(path_of("key"), 0640);
    int shared = secret_key_open(path_of("key"), &opened, NULL);
    remove_folder();
    CHECK(written == 0 && damaged == -ERROR_CORRUPT && shared == -ERROR_DENIED);
    CHECK_TEXT(left, "no key");
}

/* --- Sources --- */

/* What /proc/PID/environ shows: only what was there when the process began is in it, hence a child
 * that runs this program again. */
static int look_at_environment(void)
{
    begin();
    const char *digest = NULL;
    if (secret_from_environment(secrets, "PARLEY_TEST_CANARY", &digest, NULL) < 0 ||
        !is_text(secrets, digest, CANARY))
        return 1;
    char shown[65536];
    int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, shown, sizeof(shown));
    close(fd);
    if (n <= 0 || memmem(shown, (size_t)n, CANARY, strlen(CANARY)))
        return 2;
    if (getenv("PARLEY_TEST_CANARY"))
        return 3;
    return secret_from_environment(secrets, "PARLEY_TEST_CANARY", &digest, NULL) == -ERROR_NOT_FOUND
               ? 0
               : 4;
}

TEST(a_secret_of_the_environment_is_gone_from_it_once_it_is_read)
{
    if (getenv("PARLEY_TEST_CANARY"))
        _exit(look_at_environment());
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        setenv("PARLEY_TEST_CANARY", CANARY, 1);
        execl(program_invocation_name, "test-secret", "gone_from_it", NULL);
        _exit(99);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    printf("# the child ended with %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(a_secret_of_a_file_is_its_content_without_the_last_line_end)
{
    begin();
    make_folder();
    static const struct {
        const char *content;
        const char *want;
    } cases[] = {{CANARY, CANARY},        {CANARY "\n", CANARY},
                 {CANARY "\r\n", CANARY}, {"two\nlines\n", "two\nlines"},
                 {"\n\n", "\n"},          {"", ""}};
    bool is_right = true;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const char *digest = NULL;
        is_right = is_right &&
                   world_write_file(path_of("text"), cases[i].content, strlen(cases[i].content),
                                    0600, false, NULL) == 0 &&
                   secret_from_file(secrets, path_of("text"), &digest, NULL) == 0 &&
                   is_text(secrets, digest, cases[i].want);
    }
    const char *digest = NULL;
    int missing = secret_from_file(secrets, path_of("none"), &digest, NULL);
    remove_folder();
    CHECK(is_right && missing == -ERROR_NOT_FOUND);
}

struct asked {
    struct loop *loop;
    const char *script;
    bool is_right;
    enum error_code code;
    char *message; /* owned */
};

static void ask_command(void *argument)
{
    struct asked *asked = argument;
    const char *const arguments[] = {"/bin/sh", "-c", asked->script, NULL};
    const char *digest = NULL;
    struct error err = {0};
    int r = secret_from_command(secrets, asked->loop, arguments, &digest, &err);
    asked->is_right = r == 0 && is_text(secrets, digest, CANARY);
    asked->code = err.code;
    asked->message = string_copy(error_message(&err));
    error_done(&err);
}

static struct asked ask(const char *script)
{
    struct asked asked = {.loop = loop_new(), .script = script};
    loop_spawn(asked.loop, "ask", ask_command, &asked);
    loop_run(asked.loop);
    loop_free(asked.loop);
    coroutine_pool_done();
    return asked;
}

TEST(a_secret_of_a_command_is_what_it_prints_and_no_error_shows_that)
{
    begin();
    struct asked good = ask("echo " CANARY);
    struct asked bad = ask("echo " CANARY "; exit 3");
    bool is_told = bad.code == ERROR_UNAVAILABLE && strstr(bad.message, "exit 3");
    bool is_silent = !strstr(bad.message, "canary");
    mem_free(good.message);
    mem_free(bad.message);
    CHECK(good.is_right && is_told && is_silent);
}

static int count_kinds(void *argument, const char *text, size_t size, struct error *err)
{
    bool *seen = argument;
    (void)err;
    for (size_t i = 0; i < size; i++)
        seen[(unsigned char)text[i]] = true;
    return 0;
}

TEST(a_generated_secret_is_new_each_time_and_uses_all_letters)
{
    begin();
    const char *first = NULL;
    const char *second = NULL;
    CHECK(secret_generate(secrets, 16, "alphanumeric", &first, NULL) == 0);
    CLEANUP(mem_freep) char *kept = string_copy(first);
    CHECK(secret_generate(secrets, 16, "alphanumeric", &second, NULL) == 0 &&
          !text_equal(kept, second));
    bool seen[256] = {false};
    for (int i = 0; i < 20; i++) {
        CHECK(secret_generate(secrets, 1000, "alphanumeric", &first, NULL) == 0);
        CHECK(secret_use(secrets, first, count_kinds, seen, NULL) == 0);
    }
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(seen); i++)
        n += seen[i];
    CHECK(n == 62);
    CHECK(secret_generate(secrets, 15, "alphanumeric", &first, NULL) == -ERROR_INVALID);
}

TEST(nothing_is_left)
{
    secrets_free(secrets);
    secret_key_free(key);
    secrets = NULL;
    key = NULL;
    secrets_free(NULL);
    secret_key_free(NULL);
}
