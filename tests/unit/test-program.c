#include "net/program.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "harness.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static char *old_path;

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void set_path(const char *below)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, below);
    setenv("PATH", path, 1);
}

static void set_up(void)
{
    if (*folder)
        nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    snprintf(folder, sizeof(folder), "/tmp/program-XXXXXX");
    CHECK(mkdtemp(folder));
    if (!old_path)
        old_path = string_copy(getenv("PATH") ? getenv("PATH") : "");
    set_path("bin");
}

static void clean(void)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    folder[0] = '\0';
    setenv("PATH", old_path, 1);
    mem_free(old_path);
    old_path = NULL;
}

/* Makes FOLDER/name, with its folders. */
static void make(const char *name, unsigned int mode)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, name);
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    CHECK(fd >= 0 && fchmod(fd, mode) == 0);
    close(fd);
}

static void link_to(const char *name, const char *target)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, name);
    CLEANUP(mem_freep) char *full = string_format("%s/%s", folder, target);
    CHECK(symlink(full, path) == 0);
}

/* Without the folder that it lies in. */
static const char *below(const char *path)
{
    size_t length = strlen(folder);
    if (strncmp(path, folder, length) != 0)
        return path;
    return path[length] == '/' ? path + length + 1 : ".";
}

TEST(a_program_is_a_file_that_may_be_run)
{
    char *path = NULL;
    set_up();
    CHECK(!program_find("parley-no-such-program", &path) && !path);
    make("bin/parley-no-such-program/file", 0755);
    CHECK(!program_find("parley-no-such-program", &path));
    make("bin/parley-plain", 0644);
    CHECK(!program_find("parley-plain", &path));
    make("bin/parley-good", 0755);
    CHECK(program_find("parley-good", &path) && program_find("parley-good", NULL));
    CHECK_TEXT(below(path), "bin/parley-good");
    mem_free(path);
    path = NULL;
    CHECK(program_find("sh", &path));
    mem_free(path);
    clean();
}

static const char *const names[] = {"parley-kit", "parley-kit-server", NULL};

static struct program_kit kit(void)
{
    static char home[128];
    snprintf(home, sizeof(home), "%s/package", folder);
    return (struct program_kit){names, "conf/mark", home};
}

/* "PROGRAM HOME", both below the folder. */
static const char *look(void)
{
    static char answer[256];
    CLEANUP(mem_freep) char *program = NULL;
    CLEANUP(mem_freep) char *home = NULL;
    struct program_kit wanted = kit();
    if (!program_find_kit(&wanted, &program, &home))
        return "none";
    snprintf(answer, sizeof(answer), "%s %s", below(program), below(home));
    return answer;
}

TEST(a_kit_is_found_beside_its_program)
{
    set_up();
    CHECK_TEXT(look(), "none");
    make("bin/parley-kit-server", 0755);
    CHECK_TEXT(look(), "none");
    make("conf/mark", 0644);
    CHECK_TEXT(look(), "bin/parley-kit-server .");
    make("bin/parley-kit", 0755);
    CHECK_TEXT(look(), "bin/parley-kit .");
    clean();
}

TEST(a_kit_is_found_through_a_link)
{
    set_up();
    make("kits/one/bin/parley-kit", 0755);
    make("kits/one/conf/mark", 0644);
    make("bin/other", 0755);
    link_to("bin/parley-kit", "kits/one/bin/parley-kit");
    CHECK_TEXT(look(), "kits/one/bin/parley-kit kits/one");
    clean();
}

/* Packages put a script into PATH that leads to what they have elsewhere. */
TEST(a_script_that_leads_to_a_kit_is_not_taken_for_it)
{
    set_up();
    make("bin/parley-kit-server", 0755);
    CHECK_TEXT(look(), "none");
    make("package/conf/mark", 0644);
    CHECK_TEXT(look(), "none");
    make("package/bin/parley-kit", 0755);
    CHECK_TEXT(look(), "package/bin/parley-kit package");
    clean();
}
