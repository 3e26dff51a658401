/*
 * A damaged store: random damage is reported or harmless, repair puts right what it can prove and
 * names what is lost, snapshots come back (DESIGN section 8).
 */
/* Thousands of files are written and synced here, and nothing is learnt from a disk. */
#define STORE_TEST_IN_MEMORY

#include "contract/store-folder.h"

#include "base/world.h"
#include "store/state.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { FILE_LIMIT = 16 << 20, N_LOGGED = 5, PAGE = 4096 };

static const char *const file_names[] = {"parley.db", "parley.db-wal", "parley.db-shm",
                                         "parley.id"};
enum { N_FILES = ARRAY_LENGTH(file_names) };

/* --- A store whose process was killed: database, log, the log's index and marker --- */

struct image {
    char *bytes[N_FILES]; /* NULL where there is none */
    size_t sizes[N_FILES];
    char *content; /* what it says when it is opened */
};

static void image_done(struct image *image)
{
    for (size_t i = 0; i < N_FILES; i++)
        mem_free(image->bytes[i]);
    mem_free(image->content);
}

static void take_image(struct image *image)
{
    for (size_t i = 0; i < N_FILES; i++)
        if (world_read_file(path_of(file_names[i]), FILE_LIMIT, &image->bytes[i], &image->sizes[i],
                            NULL) < 0)
            image->bytes[i] = NULL;
}

static bool put_image(const struct image *image)
{
    bool is_put = true;
    remove_folder();
    is_put = mkdir(folder, 0700) == 0;
    for (size_t i = 0; i < N_FILES; i++)
        if (image->bytes[i])
            is_put = is_put && world_write_file(path_of(file_names[i]), image->bytes[i],
                                                image->sizes[i], 0600, false, NULL) == 0;
    return is_put;
}

static int n_logged;

static void commit_logged(void)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CLEANUP(mem_freep) char *address = string_format("log[%d]", n_logged);
    add_record(batch, address, 1, "{\"a\":1}");
    add_journal(batch, RUN, "{\"b\":2}");
    CHECK(commits(batch, NULL));
}

static int commit_and_wait(void *argument)
{
    if (!open_store())
        return 1;
    for (n_logged = 0; n_logged < N_LOGGED; n_logged++)
        if (run_on_loop(commit_logged) != 0)
            return 1;
    *(volatile int *)argument = 1;
    return pause();
}

/* Adds commits to the store in the folder, whose process is then killed. */
static void make_killed(struct image *image)
{
    volatile int *is_ready = shared_memory(sizeof(int));
    CHECK(is_ready);
    pid_t child = start_child(commit_and_wait, (void *)is_ready);
    for (int i = 0; i < 100000 && !*is_ready; i++)
        usleep(200);
    kill(child, SIGKILL);
    CHECK(end_of(child) == 255 && *is_ready);
    munmap((void *)is_ready, sizeof(int));
    take_image(image);
    CHECK(image->bytes[1] && image->bytes[2]);
    struct content content = look();
    CHECK(content.code == ERROR_NONE && strstr(strbuf_text(&content.text), "log[4]"));
    image->content = strbuf_take(&content.text);
}

/* The log has the newest pages: without it the damaged ones are used. */
static void make_closed(struct image *image)
{
    struct content content = look();
    CHECK(content.code == ERROR_NONE);
    image->content = strbuf_take(&content.text);
    take_image(image);
    CHECK(!image->bytes[1] && !image->bytes[2] && image->bytes[3]);
}

/* --- Random damage --- */

static uint64_t random_state;

/* https://prng.di.unimi.it/splitmix64.c */
static uint64_t draw(uint64_t below)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (z ^ (z >> 31)) % below;
}

static int n_flips(void)
{
    const char *wanted = getenv("PARLEY_TEST_FLIPS");
    return wanted ? (int)strtol(wanted, NULL, 10) : 120 / thinning();
}

struct damage {
    size_t file;
    size_t place;
    unsigned char mask;
};

/* Files by their size, but the small ones often enough, too. */
static struct damage draw_damage(const struct image *image)
{
    static const unsigned char shares[] = {50, 35, 10, 5};
    size_t file = 0;
    for (uint64_t at = draw(100); at >= shares[file]; file++)
        at -= shares[file];
    bool is_bit = draw(2);
    unsigned char mask = (unsigned char)(is_bit ? 1U << draw(8) : 1 + draw(255));
    return (struct damage){file, draw(image->sizes[file]), mask};
}

static bool put_damaged(const struct image *image, struct damage damage)
{
    image->bytes[damage.file][damage.place] ^= (char)damage.mask;
    bool is_put = put_image(image);
    image->bytes[damage.file][damage.place] ^= (char)damage.mask;
    return is_put;
}

/* Its content when it is opened: as it was, or a report. */
static bool is_told_or_same(const struct image *image, enum error_code *ret_code)
{
    struct content content = look();
    bool is_fine =
        content.code == ERROR_CORRUPT ||
        (content.code == ERROR_NONE && strcmp(strbuf_text(&content.text), image->content) == 0);
    *ret_code = content.code;
    strbuf_done(&content.text);
    return is_fine;
}

/* Every row of part, between its braces, is one of whole. */
static bool has_only_rows_of(const char *part, const char *whole)
{
    static const char ends[] = "\n{}[]";
    while (*part) {
        size_t length = strcspn(part, ends);
        CLEANUP(mem_freep) char *row = string_copy_n(part, length);
        if (!strstr(whole, row)) {
            printf("# made up: %.200s\n", row);
            return false;
        }
        part += length + (part[length] != '\0');
    }
    return true;
}

/*
 * One byte is wrong, so that repair can prove all of it; but for the topmost bytes of words of the
 * log, where it may have to say what is lost.
 */
static bool is_mended(const struct image *image, struct damage damage)
{
    CLEANUP(value_unrefp) struct value *report = NULL;
    struct error err = {0};
    enum error_code code;
    if (!is_done(store_repair(folder, &report, &err), &err))
        return false;
    if (is_told_or_same(image, &code) && code == ERROR_NONE)
        return value_count(value_get(report, "lost")) == 0;
    /* Its first line counts the commits. */
    struct content content = look();
    bool is_part = content.code == ERROR_NONE && damage.file == 1 && damage.place % 4 == 3 &&
                   value_count(value_get(report, "lost")) > 0 &&
                   has_only_rows_of(strchr(strbuf_text(&content.text), '\n'), image->content);
    strbuf_done(&content.text);
    return is_part;
}

/* All that is said of damage before anything is done about it. */
static bool is_found(void)
{
    CLEANUP(value_unrefp) struct value *report = NULL;
    return store_examine(folder, &report, NULL) == 0 &&
           value_count(value_get(report, "faults")) > 0;
}

FOLDER_TEST(random_flips_are_each_reported_or_harmless_and_mended)
{
    CLEANUP(image_done) struct image image = {0};
    make_killed(&image);
    random_state = 20260120;
    int n_reported = 0;
    int n_faults = 0;
    for (int i = 0; i < n_flips(); i++) {
        struct damage damage = draw_damage(&image);
        enum error_code code = ERROR_NONE;
        bool is_fine = put_damaged(&image, damage) && is_told_or_same(&image, &code);
        n_reported += code == ERROR_CORRUPT;
        is_fine = is_fine && put_damaged(&image, damage) && (code == ERROR_NONE || is_found()) &&
                  is_mended(&image, damage);
        if (!is_fine)
            printf("# %s at %zu, bits %02x: %s\n", file_names[damage.file], damage.place,
                   damage.mask, error_code_to_string(code));
        n_faults += !is_fine;
    }
    printf("# %d flips, %d reported, the others harmless\n", n_flips(), n_reported);
    CHECK(n_faults == 0 && n_reported > 0);
}

/*
 * The topmost bits of a word of the log move so little of its sums that a sum itself may look like
 * the one wrong byte. Content must not be made to fit that.
 */
FOLDER_TEST(a_wrong_topmost_bit_of_the_log_is_not_taken_for_a_wrong_sum)
{
    CLEANUP(image_done) struct image image = {0};
    make_killed(&image);
    size_t step = 4 * 331 * (size_t)thinning();
    for (size_t place = 32 + 24 + 3; place < image.sizes[1]; place += step) {
        struct damage damage = {.file = 1, .place = place, .mask = 0x40};
        CHECK(put_damaged(&image, damage));
        CHECK(is_mended(&image, damage));
    }
}

/* Each byte, its line end included, which random flips seldom meet. */
FOLDER_TEST(a_flipped_byte_of_the_marker_is_reported_and_mended)
{
    CLEANUP(image_done) struct image image = {0};
    make_closed(&image);
    CHECK(image.sizes[3] == UUID_TEXT_SIZE);
    for (size_t place = 0; place < image.sizes[3]; place += (size_t)thinning()) {
        struct damage damage = {.file = 3, .place = place, .mask = 4};
        CHECK(put_damaged(&image, damage));
        CHECK(open_error(false, NULL) == ERROR_CORRUPT && is_found());
        CHECK(is_mended(&image, damage));
    }
}

FOLDER_TEST(what_was_cut_off_is_reported_while_the_index_of_the_log_is_there)
{
    CLEANUP(image_done) struct image image = {0};
    make_killed(&image);
    random_state = 7;
    int n_faults = 0;
    for (int i = 0; i < n_flips() / 4; i++) {
        size_t file = draw(2);
        size_t size = draw(image.sizes[file]);
        size_t whole = image.sizes[file];
        enum error_code code = ERROR_NONE;
        image.sizes[file] = size;
        bool is_fine = put_image(&image) && is_told_or_same(&image, &code);
        image.sizes[file] = whole;
        if (!is_fine)
            printf("# %s cut to %zu\n", file_names[file], size);
        n_faults += !is_fine;
    }
    CHECK(n_faults == 0);
}

/* --- Repair --- */

/* A page whose content is gone for good. */
static void spoil_page(const struct image *image, size_t page)
{
    CHECK(put_image(image));
    int fd = open(path_of("parley.db"), O_WRONLY | O_CLOEXEC);
    char junk[PAGE];
    for (size_t i = 0; i < sizeof(junk); i++)
        junk[i] = (char)draw(256);
    CHECK(pwrite(fd, junk, sizeof(junk), (off_t)(page * PAGE)) == (ssize_t)sizeof(junk));
    close(fd);
}

FOLDER_TEST(repair_keeps_what_is_whole_says_what_is_lost_and_makes_nothing_up)
{
    CLEANUP(image_done) struct image image = {0};
    make_closed(&image);
    random_state = 3;
    size_t n_pages = image.sizes[0] / PAGE;
    size_t n_repaired = 0;
    for (size_t page = 0; page < n_pages; page += (size_t)thinning()) {
        CLEANUP(value_unrefp) struct value *report = NULL;
        spoil_page(&image, page);
        int r = store_repair(folder, &report, NULL);
        CHECK(r == 0 || r == -ERROR_CORRUPT);
        if (r < 0)
            continue;
        struct content content = look();
        CHECK(content.code == ERROR_NONE);
        CHECK(has_only_rows_of(strbuf_text(&content.text), image.content));
        bool is_same = strcmp(strbuf_text(&content.text), image.content) == 0;
        strbuf_done(&content.text);
        CHECK(is_same || value_count(value_get(report, "lost")) > 0);
        CHECK(!is_found());
        n_repaired++;
    }
    printf("# of %zu pages %zu could be lost without losing the rest\n", n_pages, n_repaired);
    CHECK(n_repaired * 2 > n_pages / (size_t)thinning());
}

FOLDER_TEST(the_damaged_file_stays_beside_the_repaired_one)
{
    CLEANUP(image_done) struct image image = {0};
    CLEANUP(value_unrefp) struct value *report = NULL;
    CLEANUP(mem_freep) char *before = NULL;
    CLEANUP(mem_freep) char *after = NULL;
    size_t size = 0;
    make_closed(&image);
    CHECK(put_damaged(&image, (struct damage){0, 5000, 0xff}));
    CHECK(world_read_file(path_of("parley.db"), FILE_LIMIT, &before, &size, NULL) == 0);
    CHECK(store_repair(folder, &report, NULL) == 0);
    CHECK_TEXT(value_get_text(report, "kept"), path_of("parley.db.old-1"));
    CHECK(value_count(value_get(report, "mended")) == 1);
    CHECK(world_read_file(path_of("parley.db.old-1"), FILE_LIMIT, &after, &size, NULL) == 0);
    CHECK(size == image.sizes[0] && memcmp(before, after, size) == 0);
    struct stat status;
    CHECK(stat(path_of("parley.db"), &status) == 0 && (status.st_mode & 07777) == 0600);
}

FOLDER_TEST(a_whole_store_is_left_alone)
{
    CLEANUP(image_done) struct image image = {0};
    CLEANUP(image_done) struct image after = {0};
    CLEANUP(value_unrefp) struct value *report = NULL;
    make_closed(&image);
    CHECK(!is_found() && store_repair(folder, &report, NULL) == 0);
    CLEANUP(mem_freep) char *text = json_text(report);
    CHECK_TEXT(text, "{\"kept\":null,\"lost\":[],\"mended\":[]}");
    take_image(&after);
    CHECK(after.sizes[0] == image.sizes[0]);
    CHECK(memcmp(after.bytes[0], image.bytes[0], image.sizes[0]) == 0);
    CHECK(!world_file_exists(path_of("parley.db.copy")) &&
          !world_file_exists(path_of("parley.db.new")));
}

FOLDER_TEST(what_is_in_use_is_not_repaired)
{
    volatile int *is_ready = shared_memory(sizeof(int));
    CHECK(is_ready);
    pid_t child = start_child(commit_and_wait, (void *)is_ready);
    for (int i = 0; i < 100000 && !*is_ready; i++)
        usleep(200);
    CLEANUP(value_unrefp) struct value *report = NULL;
    int repaired = store_repair(folder, &report, NULL);
    bool is_whole = !is_found();
    kill(child, SIGKILL);
    (void)end_of(child);
    munmap((void *)is_ready, sizeof(int));
    CHECK(repaired == -ERROR_BUSY && is_whole);
}

FOLDER_TEST(a_store_that_is_gone_or_cannot_be_read_is_not_made_up)
{
    CLEANUP(image_done) struct image image = {0};
    CLEANUP(value_unrefp) struct value *report = NULL;
    make_closed(&image);
    spoil_page(&image, 0);
    CHECK(store_repair(folder, &report, NULL) == -ERROR_CORRUPT);
    CHECK(unlink(path_of("parley.db")) == 0);
    CHECK(store_repair(folder, &report, NULL) == -ERROR_CORRUPT && is_found());
    CHECK(unlink(path_of("parley.id")) == 0);
    CHECK(store_repair(folder, &report, NULL) == -ERROR_NOT_FOUND);
}

/* A crash came after the old file had moved away. */
FOLDER_TEST(a_repair_that_was_interrupted_is_told_and_finished)
{
    CLEANUP(image_done) struct image image = {0};
    CLEANUP(value_unrefp) struct value *report = NULL;
    enum error_code code;
    make_closed(&image);
    CHECK(rename(path_of("parley.db"), path_of("parley.db.finished")) == 0);
    CHECK(world_write_file(path_of("parley.db-wal"), "x", 1, 0600, false, NULL) == 0);
    CHECK(open_error(true, NULL) == ERROR_CORRUPT);
    CHECK(store_repair(folder, &report, NULL) == 0);
    CHECK(is_told_or_same(&image, &code) && code == ERROR_NONE);
    CHECK(world_file_exists(path_of("parley.db.old-1-wal")));
}

/* --- Snapshots --- */

FOLDER_TEST(a_snapshot_has_everything_and_comes_back)
{
    CLEANUP(image_done) struct image image = {0};
    CLEANUP(mem_freep) char *kept = NULL;
    enum error_code code;
    struct stat status;
    make_killed(&image);
    CHECK(store_snapshot(folder, path_of("snapshot"), NULL) == 0);
    CHECK(stat(path_of("snapshot"), &status) == 0 && (status.st_mode & 07777) == 0600);
    CHECK(store_snapshot(folder, path_of("snapshot"), NULL) == -ERROR_EXISTS);
    CHECK(unlink(path_of("parley.db")) == 0);
    CHECK(store_put_back(path_of("snapshot"), folder, &kept, NULL) == 0);
    CHECK(is_told_or_same(&image, &code) && code == ERROR_NONE);
    mem_free(take_ptr(kept));
    CHECK(store_put_back(path_of("snapshot"), folder, &kept, NULL) == 0);
    CHECK(kept && world_file_exists(kept));
    CHECK(is_told_or_same(&image, &code) && code == ERROR_NONE);
}

FOLDER_TEST(a_damaged_store_makes_no_snapshot_and_a_damaged_snapshot_no_store)
{
    CLEANUP(image_done) struct image image = {0};
    CLEANUP(mem_freep) char *bytes = NULL;
    CLEANUP(mem_freep) char *kept = NULL;
    size_t size = 0;
    make_closed(&image);
    CHECK(store_snapshot(folder, path_of("snapshot"), NULL) == 0);
    CHECK(world_read_file(path_of("snapshot"), FILE_LIMIT, &bytes, &size, NULL) == 0);
    CHECK(put_damaged(&image, (struct damage){0, 9000, 1}));
    CHECK(store_snapshot(folder, path_of("other"), NULL) == -ERROR_CORRUPT);
    CHECK(!world_file_exists(path_of("other")));
    bytes[9000] ^= 1;
    CHECK(world_write_file(path_of("snapshot"), bytes, size, 0600, false, NULL) == 0);
    CHECK(store_put_back(path_of("snapshot"), folder, &kept, NULL) == -ERROR_CORRUPT);
    CHECK(world_write_file(path_of("snapshot"), "no store", 8, 0600, false, NULL) == 0);
    CHECK(store_put_back(path_of("snapshot"), folder, &kept, NULL) == -ERROR_CORRUPT);
    CHECK(!kept && !world_file_exists(path_of("parley.db.copy")));
}

FOLDER_TEST(a_snapshot_of_another_store_is_refused)
{
    CLEANUP(mem_freep) char *kept = NULL;
    CHECK(store_snapshot(folder, path_of("snapshot"), NULL) == 0);
    CHECK(unlink(path_of("parley.db")) == 0 && unlink(path_of("parley.id")) == 0);
    CHECK(open_error(true, NULL) == ERROR_NONE);
    CHECK(store_put_back(path_of("snapshot"), folder, &kept, NULL) == -ERROR_CONFLICT);
}
