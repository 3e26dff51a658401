/*
 * What the store in a folder does where it may not write and where there is no room. Each test does
 * it in a child, which gives up rights that this process needs to clean up.
 */
#include "contract/store-folder.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { NOBODY = 65534, SKIPPED = 77, N_FILLING = 2500 };

static void check_child(int (*body)(void *argument), void *argument)
{
    int status = run_in_child(body, argument);
    if (status == SKIPPED)
        SKIP("this system lets us make no namespaces");
    CHECK(status == 0);
}

/* In a child: fails with a line that says where. */
#define EXPECT(condition)                                                    \
    do {                                                                     \
        if (!(condition)) {                                                  \
            printf("# %s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            return 1;                                                        \
        }                                                                    \
    } while (0)

/* --- Rights --- */

/* An ordinary user, to whom everything in the folder belongs. */
static bool become_ordinary(void)
{
    if (geteuid() != 0)
        return true;
    static const char *const names[] = {"", "parley.db", "parley.id"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if (lchown(path_of(names[i]), NOBODY, NOBODY) < 0 && errno != ENOENT)
            return false;
    return setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

static bool is_denied(bool create, const char *path)
{
    CLEANUP(mem_freep) char *message = NULL;
    enum error_code code = open_error(create, &message);
    bool is_told = code == ERROR_DENIED && strstr(message, path) && strstr(message, "--home");
    if (!is_told)
        printf("# %s: %s\n", error_code_to_string(code), message);
    return is_told;
}

static int open_without_rights(void *argument)
{
    (void)argument;
    EXPECT(become_ordinary());
    EXPECT(open_error(false, NULL) == ERROR_NONE);
    EXPECT(chmod(folder, 0500) == 0 && is_denied(true, folder));
    EXPECT(chmod(folder, 0000) == 0 && is_denied(true, folder));
    EXPECT(chmod(folder, 0700) == 0);
    EXPECT(chmod(path_of("parley.db"), 0400) == 0 && is_denied(true, path_of("parley.db")));
    EXPECT(chmod(path_of("parley.db"), 0000) == 0 && is_denied(true, path_of("parley.db")));
    EXPECT(chmod(path_of("parley.db"), 0600) == 0 && open_error(true, NULL) == ERROR_NONE);
    return 0;
}

FOLDER_TEST(files_that_may_not_be_written_are_told_of_by_name)
{
    check_child(open_without_rights, NULL);
}

static int make_without_rights(void *argument)
{
    (void)argument;
    EXPECT(unlink(path_of("parley.db")) == 0 && unlink(path_of("parley.id")) == 0);
    EXPECT(become_ordinary());
    EXPECT(chmod(folder, 0500) == 0 && is_denied(true, folder));
    EXPECT(open_error(false, NULL) == ERROR_NOT_FOUND);
    CLEANUP(mem_freep) char *inner = string_format("%s/inner", folder);
    snprintf(folder, sizeof(folder), "%s", inner);
    CLEANUP(mem_freep) char *message = NULL;
    EXPECT(open_error(true, &message) != ERROR_NONE && strstr(message, inner));
    return 0;
}

FOLDER_TEST(a_store_is_not_made_where_it_may_not_be)
{
    check_child(make_without_rights, NULL);
}

/* --- Room --- */

static enum error_code filling_error;
static int n_filling;

/* A batch of some size, and how it ended. */
static void fill(void)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    for (int i = 0; i < n_filling; i++) {
        CLEANUP(mem_freep) char *address = string_format("filling[%d]", i);
        add_record(batch, address, 1, "{\"text\":\"twenty of these are a kilobyte, or so\"}");
    }
    struct error err = {0};
    filling_error = store_commit(store, batch, NULL, &err) < 0 ? err.code : ERROR_NONE;
    if (filling_error != ERROR_NONE)
        CHECK(strstr(err.message, folder));
    error_done(&err);
}

static bool fills(int n, enum error_code want)
{
    n_filling = n;
    bool is_as_wanted = run_on_loop(fill) == 0 && filling_error == want;
    if (!is_as_wanted)
        printf("# %d records: %s\n", n, error_code_to_string(filling_error));
    return is_as_wanted;
}

static bool holds_no_filling(void)
{
    struct content content = {0};
    content_to_fill = &content;
    bool is_read = run_on_loop(read_content) == 0 && content.code == ERROR_NONE;
    bool is_empty = strstr(strbuf_text(&content.text), "box[59]") &&
                    !strstr(strbuf_text(&content.text), "filling");
    strbuf_done(&content.text);
    return is_read && is_empty;
}

static bool limit_files(rlim_t size)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = size;
    return setrlimit(RLIMIT_FSIZE, &limit) == 0;
}

static int commit_beyond_the_limit(void *argument)
{
    (void)argument;
    signal(SIGXFSZ, SIG_IGN);
    EXPECT(open_store());
    EXPECT(limit_files((rlim_t)200 * 1024));
    EXPECT(fills(N_FILLING, ERROR_LIMIT));
    EXPECT(holds_no_filling());
    EXPECT(fills(10, ERROR_NONE) && !holds_no_filling());
    EXPECT(fills(N_FILLING, ERROR_LIMIT));
    EXPECT(limit_files(RLIM_INFINITY));
    EXPECT(fills(N_FILLING, ERROR_NONE));
    close_store();
    EXPECT(open_error(false, NULL) == ERROR_NONE);
    return 0;
}

FOLDER_TEST(a_commit_beyond_the_size_a_file_may_have_changes_nothing)
{
    check_child(commit_beyond_the_limit, NULL);
}

static struct committed {
    int n_records;
    int r;
} committed[3];

static void commit_some(void *argument)
{
    struct committed *one = argument;
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    for (int i = 0; i < one->n_records; i++) {
        CLEANUP(mem_freep) char *address = string_format("many[%d]", i);
        add_record(batch, address, 1, "{\"text\":\"twenty of these are a kilobyte, or so\"}");
    }
    one->r = store_commit(store, batch, NULL, NULL);
}

static int commit_small_and_large(void *argument)
{
    (void)argument;
    static const int sizes[] = {1, N_FILLING, 1};
    signal(SIGXFSZ, SIG_IGN);
    EXPECT(open_store());
    EXPECT(limit_files((rlim_t)200 * 1024));
    for (size_t i = 0; i < ARRAY_LENGTH(committed); i++) {
        committed[i] = (struct committed){.n_records = sizes[i], .r = 1};
        loop_spawn(loop, "commit", commit_some, &committed[i]);
    }
    loop_run(loop);
    EXPECT(committed[0].r == 0 && committed[1].r == -ERROR_LIMIT && committed[2].r == 0);
    close_store();
    return 0;
}

FOLDER_TEST(a_batch_that_finds_no_room_does_not_keep_others_from_theirs)
{
    check_child(commit_small_and_large, NULL);
}

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close_descriptor(fd);
    return is_written;
}

/* The right to mount, for this process alone; false where that is not to be had. */
static bool may_mount(void)
{
    if (geteuid() == 0)
        return unshare(CLONE_NEWNS) == 0;
    char user[32];
    char group[32];
    snprintf(user, sizeof(user), "0 %u 1", geteuid());
    snprintf(group, sizeof(group), "0 %u 1", getegid());
    return unshare(CLONE_NEWNS | CLONE_NEWUSER) == 0 &&
           write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/uid_map", user) &&
           write_text("/proc/self/gid_map", group);
}

/* A disk of a few bytes on the folder, seen by this process alone. */
static bool mount_disk(const char *options)
{
    return may_mount() && mount("none", "/", "", MS_REC | MS_PRIVATE, "") == 0 &&
           mount("disk", folder, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
}

static bool fill_disk(void)
{
    int fd = open(path_of("filler"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    static const char block[4096];
    while (write(fd, block, sizeof(block)) > 0)
        ;
    bool is_full = errno == ENOSPC;
    close_descriptor(fd);
    return is_full;
}

static int commit_on_a_full_disk(void *argument)
{
    (void)argument;
    if (!mount_disk("size=512k"))
        return SKIPPED;
    EXPECT(fill_disk() && open_error(true, NULL) == ERROR_LIMIT);
    EXPECT(!world_file_exists(path_of("parley.db.new")) &&
           !world_file_exists(path_of("parley.db")));
    EXPECT(unlink(path_of("filler")) == 0 && open_store());
    EXPECT(run_on_loop(fill_store) == 0 && holds_no_filling());
    EXPECT(fills(2 * N_FILLING, ERROR_LIMIT) && holds_no_filling());
    EXPECT(fill_disk() && fills(2 * N_FILLING, ERROR_LIMIT) && holds_no_filling());
    EXPECT(unlink(path_of("filler")) == 0 && fills(100, ERROR_NONE));
    close_store();
    EXPECT(open_error(false, NULL) == ERROR_NONE);
    return 0;
}

TEST(on_a_full_disk_nothing_is_made_and_nothing_changed)
{
    make_folder();
    int status = run_in_child(commit_on_a_full_disk, NULL);
    remove_folder();
    if (status == SKIPPED)
        SKIP("this system lets us make no namespaces");
    CHECK(status == 0);
}

static int open_on_a_read_only_disk(void *argument)
{
    (void)argument;
    if (!mount_disk("size=4m"))
        return SKIPPED;
    EXPECT(open_store() && run_on_loop(fill_store) == 0);
    close_store();
    EXPECT(mount("none", folder, "", MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, "") == 0);
    EXPECT(is_denied(true, folder));
    return 0;
}

TEST(a_store_on_a_read_only_disk_is_told_of)
{
    make_folder();
    int status = run_in_child(open_on_a_read_only_disk, NULL);
    remove_folder();
    if (status == SKIPPED)
        SKIP("this system lets us make no namespaces");
    CHECK(status == 0);
}
