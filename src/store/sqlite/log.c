#include "store/sqlite/log.h"

#include "base/files.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "store/sqlite/here.h"
#include "store/sqlite/pages.h"
#include "store/sqlite/sums.h"

#include <endian.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* https://sqlite.org/fileformat2.html, section 4: the log has a head, then frames of a head and a
 * page each. All numbers are big-endian but those that are summed. */
enum {
    HEAD_SIZE = 32,
    SALTS_AT = 16,
    SALTS_SIZE = 8,
    FRAME_HEAD_SIZE = 24,
    FRAME_SALTS_AT = 8,
    FRAME_SUMS_AT = 16,
    SUMMED_SIZE = 8 + PAGES_SIZE, /* the begin of a frame's head and its page */
    FRAME_SIZE = FRAME_HEAD_SIZE + PAGES_SIZE,
    MAGIC = 0x377f0682, /* plus one when sums are over big-endian words */
    TRIES = 3,
    PAUSE_MS = 5,
};

/* The head of SQLite's index of the log (https://sqlite.org/walformat.html, section 2.1), which
 * stands there twice, in the machine's own byte order. */
enum {
    INDEX_HEAD_SIZE = 48,
    INDEX_VERSION = 3007000,
    INDEX_N_FRAMES_AT = 16,
    INDEX_SALTS_AT = 32,
    INDEX_SUMS_AT = 40,
};

struct log {
    int fd;
    bool is_big_endian;
    unsigned char salts[SALTS_SIZE]; /* of the frames that belong to this log, not to one before */
    struct sums sums;                /* over all so far */
    size_t n_frames;                 /* that fit */
    size_t n_mended;
    bool may_mend;
};

static uint32_t number_at(const unsigned char *bytes)
{
    uint32_t number;
    memcpy(&number, bytes, sizeof(number));
    return be32toh(number);
}

static struct sums sums_at(const unsigned char *bytes)
{
    return (struct sums){number_at(bytes), number_at(bytes + 4)};
}

static bool sums_equal(struct sums a, struct sums b)
{
    return a.first == b.first && a.second == b.second;
}

static bool read_at(const struct log *log, off_t offset, unsigned char *bytes, size_t size)
{
    return files_read_at(log->fd, bytes, size, offset) == (int64_t)size;
}

static bool write_byte(const struct log *log, off_t offset, unsigned char byte)
{
    return pwrite(log->fd, &byte, 1, offset) == 1;
}

static off_t offset_of(size_t frame)
{
    return HEAD_SIZE + (off_t)frame * FRAME_SIZE;
}

/* --- The head --- */

/* Whether the head fits itself. */
static bool head_fits(struct log *log, const unsigned char head[HEAD_SIZE])
{
    log->is_big_endian = number_at(head) & 1;
    memcpy(log->salts, head + SALTS_AT, SALTS_SIZE);
    log->sums = (struct sums){0};
    sums_add(&log->sums, log->is_big_endian, head, HEAD_SIZE - 8);
    return (number_at(head) & ~1U) == MAGIC && sums_equal(log->sums, sums_at(head + HEAD_SIZE - 8));
}

/* Tries each byte of the head as the wrong one: it is short. */
static bool mend_head(struct log *log, unsigned char head[HEAD_SIZE])
{
    for (size_t i = 0; i < HEAD_SIZE; i++) {
        unsigned char was = head[i];
        for (int byte = 0; byte < 256; byte++) {
            head[i] = (unsigned char)byte;
            if (byte != was && head_fits(log, head)) {
                log->n_mended++;
                return write_byte(log, (off_t)i, head[i]);
            }
        }
        head[i] = was;
    }
    return false;
}

static bool read_head(struct log *log)
{
    unsigned char head[HEAD_SIZE];
    if (!read_at(log, 0, head, sizeof(head)))
        return false;
    return head_fits(log, head) || (log->may_mend && mend_head(log, head));
}

/* --- The frames --- */

/* The parts of a frame that are summed, one after the other. */
static void join_summed(const unsigned char frame[FRAME_SIZE],
                        unsigned char ret_summed[SUMMED_SIZE])
{
    memcpy(ret_summed, frame, 8);
    memcpy(ret_summed + 8, frame + FRAME_HEAD_SIZE, PAGES_SIZE);
}

static size_t place_in_frame(size_t place_in_summed)
{
    return place_in_summed < 8 ? place_in_summed : place_in_summed - 8 + FRAME_HEAD_SIZE;
}

/* The one place where two ranges differ; false when they are equal or differ in more. */
static bool differ_in_one(const unsigned char *a, const unsigned char *b, size_t size,
                          size_t *ret_place)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        if (a[i] != b[i]) {
            *ret_place = i;
            n++;
        }
    return n == 1;
}

/* In how many ways a single byte may be what keeps a frame from fitting. One of the log before this
 * one differs in more. */
static size_t find_flip(const struct log *log, const unsigned char frame[FRAME_SIZE],
                        struct flip *ret_flip)
{
    unsigned char summed[SUMMED_SIZE];
    join_summed(frame, summed);
    struct sums sums = log->sums;
    sums_add(&sums, log->is_big_endian, summed, sizeof(summed));
    uint32_t words[2] = {htobe32(sums.first), htobe32(sums.second)};
    unsigned char want[8];
    memcpy(want, words, sizeof(want));
    size_t place;
    if (memcmp(frame + FRAME_SALTS_AT, log->salts, SALTS_SIZE) != 0) {
        bool is_flip = memcmp(frame + FRAME_SUMS_AT, want, sizeof(want)) == 0 &&
                       differ_in_one(frame + FRAME_SALTS_AT, log->salts, SALTS_SIZE, &place);
        if (is_flip)
            *ret_flip = (struct flip){FRAME_SALTS_AT + place, log->salts[place]};
        return is_flip ? 1 : 0;
    }
    struct flip flip;
    size_t n = sums_find_flip(log->sums, log->is_big_endian, summed, sizeof(summed),
                              sums_at(frame + FRAME_SUMS_AT), &flip);
    *ret_flip = (struct flip){place_in_frame(flip.place), flip.byte};
    /* The topmost byte of a word may move one byte of the sums only, as if that were wrong. */
    if (differ_in_one(frame + FRAME_SUMS_AT, want, sizeof(want), &place)) {
        *ret_flip = (struct flip){FRAME_SUMS_AT + place, want[place]};
        n++;
    }
    return n;
}

/* Goes over the frame when it continues the log. */
static bool take_frame(struct log *log, const unsigned char frame[FRAME_SIZE])
{
    unsigned char summed[SUMMED_SIZE];
    join_summed(frame, summed);
    struct sums sums = log->sums;
    sums_add(&sums, log->is_big_endian, summed, sizeof(summed));
    if (memcmp(frame + FRAME_SALTS_AT, log->salts, SALTS_SIZE) != 0 ||
        !sums_equal(sums, sums_at(frame + FRAME_SUMS_AT)))
        return false;
    log->sums = sums;
    log->n_frames++;
    return true;
}

/*
 * Whether a frame that one byte keeps from fitting was durable: with that byte put right, more than
 * one transaction ends from here on. The newest may have been under way when the power went, and a
 * sector that was not written may lack a single byte of what it should hold, too.
 */
static bool was_durable(const struct log *log, unsigned char frame[FRAME_SIZE], struct flip flip,
                        size_t n_flips)
{
    struct log ahead = *log;
    /* Where several bytes may be the one, that which was tried says nothing of the end. */
    bool is_end = number_at(frame + 4) != 0;
    frame[flip.place] = flip.byte;
    int n_ends = n_flips > 1 ? is_end : number_at(frame + 4) != 0;
    bool is_taken = take_frame(&ahead, frame);
    while (is_taken && read_at(&ahead, offset_of(ahead.n_frames), frame, FRAME_SIZE)) {
        is_taken = take_frame(&ahead, frame);
        n_ends += is_taken && number_at(frame + 4) != 0;
    }
    return n_ends > 1;
}

/* Over all frames that fit. True when the one behind them was durable, too. */
static bool read_frames(struct log *log)
{
    unsigned char frame[FRAME_SIZE];
    while (read_at(log, offset_of(log->n_frames), frame, sizeof(frame))) {
        struct flip flip;
        if (take_frame(log, frame))
            continue;
        size_t n = find_flip(log, frame, &flip);
        if (n == 0)
            return false;
        off_t offset = offset_of(log->n_frames) + (off_t)flip.place;
        if (!log->may_mend)
            return was_durable(log, frame, flip, n);
        if (n > 1 || !write_byte(log, offset, flip.byte))
            return true;
        log->n_mended++;
    }
    return false;
}

/* How many transactions of this log end behind the frames that fit. */
static int count_ends(const struct log *log)
{
    int n = 0;
    unsigned char head[FRAME_HEAD_SIZE];
    for (size_t i = log->n_frames; read_at(log, offset_of(i), head, sizeof(head)); i++)
        n += memcmp(head + FRAME_SALTS_AT, log->salts, SALTS_SIZE) == 0 && number_at(head + 4) != 0;
    return n;
}

/* --- The index --- */

static uint32_t native_at(const unsigned char *bytes)
{
    uint32_t number;
    memcpy(&number, bytes, sizeof(number));
    return number;
}

/*
 * How many frames of this log were durable by its index, which says so only after they were synced;
 * 0 when it is of another log or was being written.
 */
static size_t read_index(const char *path, unsigned char ret_salts[SALTS_SIZE])
{
    unsigned char heads[2 * INDEX_HEAD_SIZE];
    CLEANUP(close_descriptorp) int fd = files_open(path, O_RDONLY | O_NOFOLLOW, 0);
    if (fd < 0 || files_read_at(fd, heads, sizeof(heads), 0) != (int64_t)sizeof(heads) ||
        memcmp(heads, heads + INDEX_HEAD_SIZE, INDEX_HEAD_SIZE) != 0)
        return 0;
    struct sums sums = {0};
    sums_add(&sums, __BYTE_ORDER == __BIG_ENDIAN, heads, INDEX_SUMS_AT);
    struct sums stored = {native_at(heads + INDEX_SUMS_AT), native_at(heads + INDEX_SUMS_AT + 4)};
    if (native_at(heads) != INDEX_VERSION || !sums_equal(sums, stored))
        return 0;
    memcpy(ret_salts, heads + INDEX_SALTS_AT, SALTS_SIZE);
    return native_at(heads + INDEX_N_FRAMES_AT);
}

/* --- The whole --- */

/* index_path NULL: the index is not asked. */
static bool looks_damaged(const char *path, const char *index_path)
{
    unsigned char salts[SALTS_SIZE] = {0};
    unsigned char frame[FRAME_HEAD_SIZE];
    CLEANUP(close_descriptorp) int fd = files_open(path, O_RDONLY | O_NOFOLLOW, 0);
    if (fd < 0)
        return false;
    struct log log = {.fd = fd};
    /* Before the log, which others may make longer meanwhile. */
    size_t n_durable = index_path ? read_index(index_path, salts) : 0;
    if (!read_at(&log, offset_of(0), frame, sizeof(frame)))
        return n_durable > 0;
    /* The head is synced before the first frame is written. */
    if (!read_head(&log))
        return true;
    if (read_frames(&log))
        return true;
    if (n_durable > log.n_frames && memcmp(salts, log.salts, SALTS_SIZE) == 0)
        return true;
    /* The one that was being written may have got as far as its end; two cannot. */
    return count_ends(&log) > 1;
}

bool log_is_damaged(const char *path)
{
    size_t stem = strlen(path) - strlen("-wal");
    CLEANUP(mem_freep) char *database = string_copy_n(path, stem);
    CLEANUP(mem_freep) char *index = string_format("%s-shm", database);
    /* SQLite has its locks on the index: read and closed it would be without them, and the next
     * process take it for left behind, and empty it under us. What is open was examined then. */
    bool is_open = here_has(database);
    /* What others write meanwhile may look like anything, but not for long. */
    for (int i = 0; looks_damaged(path, is_open ? NULL : index); i++) {
        if (i == TRIES)
            return true;
        sqlite3_sleep(PAUSE_MS);
    }
    return false;
}

int log_mend(const char *path)
{
    CLEANUP(close_descriptorp) int fd = files_open(path, O_RDWR | O_NOFOLLOW, 0);
    struct log log = {.fd = fd, .may_mend = true};
    if (fd < 0 || !read_head(&log))
        return 0;
    (void)read_frames(&log);
    return (int)log.n_mended;
}
