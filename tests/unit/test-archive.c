#include "harness.h"

#include "archive/context.h"
#include "archive/ignore.h"
#include "base/strbuf.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the client of Docker does with each, by its documentation of .dockerignore. */
TEST(what_is_left_out_is_what_the_docker_client_leaves_out)
{
    static const struct {
        const char *patterns, *path;
        bool is_out;
    } cases[] = {
        {"", "a", false},
        {"*/temp*", "some/temporary.txt", true},
        {"*/temp*", "some/temp", true},
        {"*/temp*", "temp", false},
        {"*/temp*", "some/deep/temp", false},
        {"*/*/temp*", "some/sub/temporary.txt", true},
        {"temp?", "tempa", true},
        {"temp?", "temp", false},
        {"**/*.go", "main.go", true},
        {"**/*.go", "a/b/c.go", true},
        {"**/*.go", "a/b/c.goo", false},
        {"*.md\n!README.md", "README.md", false},
        {"*.md\n!README.md", "NEWS.md", true},
        {"*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true},
        {"*.md\nREADME-secret.md\n!README*.md", "README-secret.md", false},
        {"# comment\nb", "# comment", false},
        {"  b  \r\n", "b", true},
        {"/a/./c/../b/", "a/b", true},
        {"a", "a/b/c", true},
        {"a", "ab", false},
        {"a/b", "a", false},
        {"a*", "a/b", true},
        {"*", "a/b", true},
        {"a/**", "a/b/c", true},
        {"a/**/d", "a/d", true},
        {"a/**/d", "a/b/c/d", true},
        {"a/**/d", "a/b/cd", false},
        {"[a-c]x", "bx", true},
        {"[^a-c]x", "bx", false},
        {"[^a-c]x", "dx", true},
        {"a[^x]b", "a/b", false},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"node_modules\n!node_modules/keep", "node_modules/keep/it", false},
        {"node_modules\n!node_modules/keep", "node_modules/other", true},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(ignore_freep) struct ignore *ignore = NULL;
        CHECK(ignore_read(cases[i].patterns, strlen(cases[i].patterns), &ignore, NULL) == 0);
        if (ignore_has(ignore, cases[i].path) != cases[i].is_out)
            printf("# %s of %s\n", cases[i].path, cases[i].patterns);
        CHECK(ignore_has(ignore, cases[i].path) == cases[i].is_out);
    }
}

TEST(a_malformed_pattern_is_named_by_its_line)
{
    static const char *const malformed[] = {"a\n[", "a\nb\\", "a\n!", "a\n[b-", "a\n[]a]"};
    for (size_t i = 0; i < ARRAY_LENGTH(malformed); i++) {
        struct ignore *ignore = NULL;
        struct error err = {0};
        CHECK(ignore_read(malformed[i], strlen(malformed[i]), &ignore, &err) == -ERROR_INVALID);
        CHECK_TEXT(error_message(&err), "line 2 is no pattern");
        CHECK(!ignore);
        error_done(&err);
    }
}

/* --- Contexts --- */

static char folder[] = "/tmp/test-archive-XXXXXX";

static char *path_of(const char *name)
{
    return string_format("%s/%s", folder, name);
}

static void put(const char *name, const char *content)
{
    CLEANUP(mem_freep) char *path = path_of(name);
    CLEANUP(close_descriptorp) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    size_t size = strlen(content);
    CHECK(fd >= 0 && write(fd, content, size) == (ssize_t)size && fchmod(fd, 0644) == 0);
}

static void put_folder(const char *name)
{
    CLEANUP(mem_freep) char *path = path_of(name);
    CHECK(mkdir(path, 0755) == 0);
}

static int keep(void *argument, const void *bytes, size_t size, struct error *err)
{
    (void)err;
    strbuf_add_n(argument, bytes, size);
    return 0;
}

static void begin(void)
{
    memset(folder + strlen(folder) - 6, 'X', 6);
    CHECK(mkdtemp(folder) != NULL);
    put("Dockerfile", "FROM scratch\n");
}

static void end(void)
{
    CLEANUP(mem_freep)
    char *command = string_format("chmod -R u+rwx %s; rm -rf %s", folder, folder);
    CHECK(system(command) == 0);
}

/* What `tar` makes of it, which is the program that knows. */
static char *list_with_tar(const struct strbuf *archive)
{
    CLEANUP(mem_freep) char *list = string_format("%s.list", folder);
    CLEANUP(mem_freep)
    char *command =
        string_format("tar --numeric-owner -tvf - > %s; echo \"status $?\" >> %s", list, list);
    FILE *tar = popen(command, "w");
    CHECK(tar && fwrite(archive->text, 1, archive->length, tar) == archive->length);
    pclose(tar);
    struct strbuf text = {0};
    char line[1024];
    FILE *read_back = fopen(list, "r");
    while (read_back && fgets(line, sizeof(line), read_back))
        strbuf_add(&text, line);
    fclose(read_back);
    unlink(list);
    return strbuf_take(&text);
}

TEST(a_context_is_packed_sorted_without_what_is_left_out_and_links_stay_links)
{
    char digest[DIGEST_HEX_SIZE];
    CLEANUP(strbuf_done) struct strbuf archive = {0};
    struct tar_sink sink = {keep, &archive};
    begin();
    put_folder("b");
    put("b/second", "22");
    put("a", "1");
    put("left.o", "x");
    put("Dockerfile", "FROM scratch\n");
    put(".dockerignore", "*.o\nDocker*\n.dockerignore\n");
    CLEANUP(mem_freep) char *link = path_of("way-out");
    CHECK(symlink("/etc/passwd", link) == 0);
    CHECK(context_pack(folder, NULL, &sink, digest, NULL) == 0);
    CHECK(archive.length % 512 == 0 && strlen(digest) == 64);
    CLEANUP(mem_freep) char *listing = list_with_tar(&archive);
    CHECK_TEXT(listing, "-rw-r--r-- 0/0              26 1970-01-01 00:00 .dockerignore\n"
                        "-rw-r--r-- 0/0              13 1970-01-01 00:00 Dockerfile\n"
                        "-rw-r--r-- 0/0               1 1970-01-01 00:00 a\n"
                        "drwxr-xr-x 0/0               0 1970-01-01 00:00 b/\n"
                        "-rw-r--r-- 0/0               2 1970-01-01 00:00 b/second\n"
                        "lrwxrwxrwx 0/0               0 1970-01-01 00:00 way-out -> /etc/passwd\n"
                        "status 0\n");
    end();
}

TEST(names_that_are_too_long_for_a_field_survive)
{
    char digest[DIGEST_HEX_SIZE], name[201], target[301];
    CLEANUP(strbuf_done) struct strbuf archive = {0};
    struct tar_sink sink = {keep, &archive};
    memset(name, 'n', 200);
    memset(target, 't', 300);
    name[200] = target[300] = '\0';
    begin();
    put(name, "long");
    CLEANUP(mem_freep) char *link = path_of("link");
    CHECK(symlink(target, link) == 0);
    CHECK(context_pack(folder, NULL, &sink, digest, NULL) == 0);
    CLEANUP(mem_freep) char *listing = list_with_tar(&archive);
    CHECK(strstr(listing, name) && strstr(listing, target) && strstr(listing, "status 0"));
    end();
}

TEST(the_digest_follows_name_mode_and_content_and_nothing_else)
{
    char first[DIGEST_HEX_SIZE], next[DIGEST_HEX_SIZE];
    begin();
    put("a", "1");
    put(".dockerignore", "ignored\n");
    CHECK(context_pack(folder, NULL, NULL, first, NULL) == 0);
    put("ignored", "whatever");
    put("a", "1"); /* another time of change */
    CHECK(context_pack(folder, NULL, NULL, next, NULL) == 0);
    CHECK_TEXT(next, first);
    put("a", "2");
    CHECK(context_pack(folder, NULL, NULL, next, NULL) == 0 && !text_equal(first, next));
    put("a", "1");
    CLEANUP(mem_freep) char *path = path_of("a");
    CHECK(chmod(path, 0755) == 0);
    CHECK(context_pack(folder, NULL, NULL, next, NULL) == 0 && !text_equal(first, next));
    CLEANUP(mem_freep) char *other = path_of("c");
    CHECK(chmod(path, 0644) == 0 && rename(path, other) == 0);
    CHECK(context_pack(folder, NULL, NULL, next, NULL) == 0 && !text_equal(first, next));
    end();
}

TEST(files_are_packed_whole_under_one_name_and_only_the_right_to_run_them_counts)
{
    char first[DIGEST_HEX_SIZE], next[DIGEST_HEX_SIZE];
    CLEANUP(strbuf_done) struct strbuf archive = {0};
    struct tar_sink sink = {keep, &archive};
    begin();
    put_folder("conf");
    put_folder("other");
    put("conf/.dockerignore", "*\n");
    put("conf/a", "1");
    put("other/.dockerignore", "*\n");
    put("other/a", "1");
    CLEANUP(mem_freep) char *conf = path_of("conf");
    CLEANUP(mem_freep) char *other = path_of("other");
    CLEANUP(mem_freep) char *file = path_of("conf/a");
    CHECK(context_pack_files(conf, &sink, first, NULL) == 0);
    CLEANUP(mem_freep) char *listing = list_with_tar(&archive);
    CHECK_TEXT(listing, "drwxr-xr-x 0/0               0 1970-01-01 00:00 content/\n"
                        "-rw-r--r-- 0/0               2 1970-01-01 00:00 content/.dockerignore\n"
                        "-rw-r--r-- 0/0               1 1970-01-01 00:00 content/a\n"
                        "status 0\n");
    CHECK(context_pack_files(other, NULL, next, NULL) == 0);
    CHECK_TEXT(next, first);
    CHECK(chmod(file, 0600) == 0 && context_pack_files(conf, NULL, next, NULL) == 0);
    CHECK_TEXT(next, first);
    CHECK(chmod(file, 0700) == 0 && context_pack_files(conf, NULL, next, NULL) == 0);
    CHECK(!text_equal(next, first));
    CHECK(chmod(file, 0600) == 0 && context_pack_files(file, NULL, first, NULL) == 0);
    strbuf_clear(&archive);
    CHECK(context_pack_files(file, &sink, next, NULL) == 0);
    CHECK_TEXT(next, first);
    CLEANUP(mem_freep) char *alone = list_with_tar(&archive);
    CHECK_TEXT(alone, "-rw-r--r-- 0/0               1 1970-01-01 00:00 content\nstatus 0\n");
    end();
}

TEST(what_cannot_be_packed_says_what_and_why)
{
    char digest[DIGEST_HEX_SIZE];
    struct error err = {0};
    begin();
    CLEANUP(mem_freep) char *missing = path_of("missing");
    CHECK(context_pack(missing, NULL, NULL, digest, &err) == -ERROR_NOT_FOUND);
    CHECK(strstr(error_message(&err), "is not there"));
    CLEANUP(mem_freep) char *file = path_of("Dockerfile");
    CHECK(context_pack(file, NULL, NULL, digest, &err) == -ERROR_NOT_FOUND);
    CHECK(strstr(error_message(&err), "is no folder"));
    CHECK(context_pack(folder, "other/Dockerfile", NULL, digest, &err) == -ERROR_NOT_FOUND);
    CHECK(strstr(error_message(&err), "has no other/Dockerfile"));
    CLEANUP(mem_freep) char *pipe_path = path_of("pipe");
    CHECK(mkfifo(pipe_path, 0644) == 0);
    CHECK(context_pack(folder, NULL, NULL, digest, &err) == -ERROR_INVALID);
    CHECK(strstr(error_message(&err), "pipe is neither a file nor a folder nor a link"));
    put(".dockerignore", "pipe\n[\n");
    CHECK(context_pack(folder, NULL, NULL, digest, &err) == -ERROR_INVALID);
    CHECK(strstr(error_message(&err), ".dockerignore: line 2 is no pattern"));
    put(".dockerignore", "pipe\n");
    CHECK(context_pack(folder, NULL, NULL, digest, NULL) == 0);
    put("large", "");
    CLEANUP(mem_freep) char *large = path_of("large");
    CHECK(truncate(large, (off_t)CONTEXT_BYTES + 1) == 0);
    CHECK(context_pack(folder, NULL, NULL, digest, &err) == -ERROR_LIMIT);
    CHECK(strstr(error_message(&err), "is larger than 1024 MiB"));
    put("large", "");
    if (geteuid() != 0) {
        CHECK(chmod(large, 0) == 0);
        CHECK(context_pack(folder, NULL, NULL, digest, &err) == -ERROR_DENIED);
        CHECK(strstr(error_message(&err), "large cannot be read"));
    }
    error_done(&err);
    end();
}
