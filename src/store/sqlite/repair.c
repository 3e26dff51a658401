/* Repair: works on copies, and puts the result in the store's place once it is whole. */
#include "base/files.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/world.h"
#include "store/sqlite/examine.h"
#include "store/sqlite/log.h"
#include "store/sqlite/make.h"
#include "store/sqlite/pages.h"
#include "store/sqlite/salvage.h"
#include "store/sqlite/schema.h"
#include "store/sqlite/swap.h"
#include "store/state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE_MS = 1000, MARKER_LIMIT = 4096 };

struct repair {
    struct store_files files;
    struct store_files copy; /* the same beside it, on which is worked */
    char *draft;             /* owned: a new database, when rows have to be taken over */
    char id[UUID_TEXT_SIZE];
    struct value_builder mended;
    struct value_builder lost;
    char *kept; /* owned; NULL when nothing was put in the store's place */
};

static void remove_copies(const struct repair *repair)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < ARRAY_LENGTH(ends); i++) {
        CLEANUP(mem_freep) char *copy = string_format("%s%s", repair->copy.database, ends[i]);
        CLEANUP(mem_freep) char *draft = string_format("%s%s", repair->draft, ends[i]);
        (void)world_remove_file(copy, NULL);
        (void)world_remove_file(draft, NULL);
    }
}

static void repair_done(struct repair *repair)
{
    remove_copies(repair);
    store_files_done(&repair->files);
    mem_free(repair->copy.folder);
    mem_free(repair->copy.database);
    mem_free(repair->copy.log);
    mem_free(repair->copy.marker);
    mem_free(repair->draft);
    mem_free(repair->kept);
    value_builder_done(&repair->mended);
    value_builder_done(&repair->lost);
}

static void repair_init(struct repair *repair, const char *folder)
{
    *repair = (struct repair){0};
    store_files_init(&repair->files, folder);
    repair->copy = (struct store_files){
        .folder = string_copy(folder),
        .database = string_format("%s/parley.db.copy", folder),
        .log = string_format("%s/parley.db.copy-wal", folder),
        .marker = string_copy(repair->files.marker),
    };
    repair->draft = string_format("%s/parley.db.new", folder);
}

static void note(struct value_builder *list, char *take_text)
{
    value_builder_append(list, value_string(take_text));
    mem_free(take_text);
}

/* --- Mending bytes --- */

static int mend_pages(struct repair *repair, struct error *err)
{
    CLEANUP(close_descriptorp) int fd = files_open(repair->copy.database, O_RDWR, 0);
    struct stat status;
    int r = fd < 0 ? fd : files_look_at_open(fd, &status);
    if (r < 0)
        return store_files_error(r, "open", repair->copy.database, err);
    unsigned char page[PAGES_SIZE];
    for (off_t offset = 0; offset + PAGES_SIZE <= status.st_size; offset += PAGES_SIZE) {
        if (files_read_at(fd, page, sizeof(page), offset) != (int64_t)sizeof(page))
            return store_files_error(-EIO, "read", repair->copy.database, err);
        if (pages_is_whole(page, offset) || !pages_mend(page, offset))
            continue;
        if (pwrite(fd, page, sizeof(page), offset) != (ssize_t)sizeof(page))
            return store_files_error(-errno, "write", repair->copy.database, err);
        note(&repair->mended,
             string_format("one byte of page %lld", (long long)offset / PAGES_SIZE + 1));
    }
    return 0;
}

static int copy_file(const char *from, const char *to, struct error *err)
{
    return world_file_exists(from) ? swap_copy(from, to, err) : 0;
}

/* The copy of the log is judged beside the copy of its index, which is then in the way. */
static int mend_log(struct repair *repair, struct error *err)
{
    CLEANUP(mem_freep) char *index = string_format("%s-shm", repair->files.database);
    CLEANUP(mem_freep) char *copy = string_format("%s-shm", repair->copy.database);
    int r = copy_file(repair->files.log, repair->copy.log, err);
    if (r == 0)
        r = copy_file(index, copy, err);
    if (r < 0)
        return r;
    int n = log_mend(repair->copy.log);
    if (n > 0)
        note(&repair->mended, string_format("%d bytes of the log of the newest changes", n));
    if (log_is_damaged(repair->copy.log))
        note(&repair->lost,
             string_copy("the newest changes: the log is damaged from some place on, and what "
                         "stands behind it cannot be told"));
    return world_remove_file(copy, err);
}

/* --- The content of the copy --- */

static void set_id(struct repair *repair, const struct examination *examination)
{
    CLEANUP(mem_freep) char *marker = NULL;
    if (examination->id[0])
        memcpy(repair->id, examination->id, sizeof(repair->id));
    else if (world_read_file(repair->files.marker, MARKER_LIMIT, &marker, NULL, NULL) == 0 &&
             strlen(marker) == UUID_TEXT_SIZE)
        memcpy(repair->id, marker, UUID_TEXT_SIZE - 1);
}

/* Takes the rows of the copy over into a new database. */
static int salvage(struct repair *repair, struct connection *copy, struct error *err)
{
    int64_t version;
    int r = schema_read_version(copy, &version, err);
    if (r == 0 && version != schema_newest_version())
        return error_set(err, ERROR_UNSUPPORTED,
                         "%s was written by an older program and is damaged; repair it with that "
                         "program",
                         repair->files.database);
    if (r == 0 && !repair->id[0])
        return connection_corrupt(repair->files.database, "not even the store's id can be read",
                                  err);
    if (r == 0)
        r = make_database(repair->draft, repair->id, err);
    CLEANUP(connection_done) struct connection draft = {0};
    if (r == 0)
        r = connection_open(&draft, repair->draft, PATIENCE_MS, err);
    if (r == 0)
        r = salvage_rows(copy, &draft, &repair->lost, err);
    return r;
}

/* The log goes into the file, which then stands for itself. */
static int take_log_in(struct connection *connection, struct error *err)
{
    CLEANUP(mem_freep) char *mode = NULL;
    int r = connection_run(connection, "PRAGMA wal_checkpoint(TRUNCATE)", err);
    return r < 0 ? r : connection_ask_text(connection, "PRAGMA journal_mode = DELETE", &mode, err);
}

/* *ret_is_whole: the copy itself is good; else the draft has what could be taken over. */
static int look_at_copy(struct repair *repair, bool *ret_is_whole, struct error *err)
{
    CLEANUP(examination_done) struct examination examination = {0};
    CLEANUP(connection_done) struct connection connection = {0};
    int r = connection_open(&connection, repair->copy.database, PATIENCE_MS, err);
    if (r == 0)
        r = examine_content(&repair->copy, &connection, &examination, err);
    if (r < 0)
        return r;
    set_id(repair, &examination);
    *ret_is_whole = examination.faults.n_items == 0;
    return *ret_is_whole ? take_log_in(&connection, err) : salvage(repair, &connection, err);
}

static int check_draft(const struct repair *repair, struct error *err)
{
    CLEANUP(examination_done) struct examination examination = {0};
    CLEANUP(connection_done) struct connection connection = {0};
    int r = connection_open(&connection, repair->draft, PATIENCE_MS, err);
    if (r == 0)
        r = examine_content(&repair->files, &connection, &examination, err);
    if (r == 0 && examination.faults.n_items > 0)
        r = connection_corrupt(repair->files.database, value_text(examination.faults.items[0]),
                               err);
    return r < 0 ? r : take_log_in(&connection, err);
}

/* --- The whole --- */

static int work_on_copy(struct repair *repair, struct error *err)
{
    bool is_whole = false;
    int r = swap_copy(repair->files.database, repair->copy.database, err);
    if (r == 0)
        r = mend_pages(repair, err);
    if (r == 0)
        r = mend_log(repair, err);
    if (r == 0)
        r = look_at_copy(repair, &is_whole, err);
    if (r == 0 && !is_whole)
        r = check_draft(repair, err);
    if (r < 0 || (is_whole && repair->mended.n_items == 0 && repair->lost.n_items == 0))
        return r;
    return swap_in(&repair->files, is_whole ? repair->copy.database : repair->draft, repair->id,
                   &repair->kept, err);
}

/* A marker that does not name this store in any other way than by damage is another store's. */
static int mend_marker(struct repair *repair, struct error *err)
{
    CLEANUP(mem_freep) char *marker = NULL;
    size_t size = 0;
    if (!repair->id[0] || !world_file_exists(repair->files.marker))
        return 0;
    if (world_read_file(repair->files.marker, MARKER_LIMIT, &marker, &size, NULL) < 0)
        size = 0;
    /* The id, and in place of its end a line's. */
    CLEANUP(mem_freep) char *want = string_format("%s\n", repair->id);
    size_t n_differing = 0;
    for (size_t i = 0; i < UUID_TEXT_SIZE && i < size; i++)
        n_differing += marker[i] != want[i];
    if (n_differing == 0 && size == UUID_TEXT_SIZE)
        return 0;
    if (n_differing > 1 && size == UUID_TEXT_SIZE)
        return connection_corrupt(repair->files.marker, "it names another store", err);
    note(&repair->mended, string_copy("the marker parley.id"));
    return store_files_write_marker(&repair->files, repair->id, err);
}

static int repair_locked(struct repair *repair, struct error *err)
{
    bool is_finished = false;
    int r = swap_finish(&repair->files, &is_finished, err);
    if (r < 0)
        return r;
    if (is_finished)
        note(&repair->mended, string_copy("a repair that had been interrupted is finished"));
    if (!world_file_exists(repair->files.database)) {
        r = store_files_check_missing(&repair->files, err);
        return r < 0 ? r
                     : error_set(err, ERROR_NOT_FOUND, "there is no store in %s yet",
                                 repair->files.folder);
    }
    CLEANUP(close_descriptorp) int lock = -1;
    r = swap_lock(&repair->files, &lock, err);
    if (r == 0)
        r = work_on_copy(repair, err);
    return r < 0 ? r : mend_marker(repair, err);
}

int store_repair(const char *folder, struct value **ret_report, struct error *err)
{
    CLEANUP(repair_done) struct repair repair;
    repair_init(&repair, folder);
    CLEANUP(close_descriptorp) int lock = -1;
    int r = store_files_lock(folder, &lock, err);
    if (r == 0)
        r = repair_locked(&repair, err);
    if (r < 0)
        return r;
    struct value_builder report = {0};
    value_builder_set(&report, "mended", value_builder_list(&repair.mended));
    value_builder_set(&report, "lost", value_builder_list(&repair.lost));
    value_builder_set(&report, "kept", repair.kept ? value_string(repair.kept) : value_null());
    *ret_report = value_builder_map(&report);
    return 0;
}
