#include "store/sqlite/log.h"

#include "base/files.h"
#include "base/memory.h"
#include "store/sqlite/pages.h"

#include <endian.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdint.h>
#include <string.h>

/* https://sqlite.org/fileformat2.html, section 4: the log has a head, then frames of a head and a
 * page each. All numbers are big-endian but those that are summed. */
enum {
    HEAD_SIZE = 32,
    FRAME_HEAD_SIZE = 24,
    FRAME_SIZE = FRAME_HEAD_SIZE + PAGES_SIZE,
    MAGIC = 0x377f0682, /* plus one when sums are over big-endian words */
    TRIES = 3,
    PAUSE_MS = 5,
};

struct sums {
    uint32_t first;
    uint32_t second;
};

struct log {
    int fd;
    bool is_big_endian;
    unsigned char salts[8]; /* of the frames that belong to this log, not to the one before it */
    struct sums sums;       /* over all so far */
};

static uint32_t number_at(const unsigned char *bytes)
{
    uint32_t number;
    memcpy(&number, bytes, sizeof(number));
    return be32toh(number);
}

static void add_sums(struct log *log, const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i += 8) {
        uint32_t words[2];
        memcpy(words, bytes + i, sizeof(words));
        for (size_t k = 0; k < 2; k++)
            words[k] = log->is_big_endian ? be32toh(words[k]) : le32toh(words[k]);
        log->sums.first += words[0] + log->sums.second;
        log->sums.second += words[1] + log->sums.first;
    }
}

static bool sums_are(const struct log *log, const unsigned char *bytes)
{
    return number_at(bytes) == log->sums.first && number_at(bytes + 4) == log->sums.second;
}

static bool read_at(const struct log *log, off_t offset, unsigned char *bytes, size_t size)
{
    return files_read_at(log->fd, bytes, size, offset) == (int64_t)size;
}

/* Whether the head fits itself. */
static bool read_head(struct log *log)
{
    unsigned char head[HEAD_SIZE];
    if (!read_at(log, 0, head, sizeof(head)))
        return false;
    log->is_big_endian = number_at(head) & 1;
    memcpy(log->salts, head + 16, sizeof(log->salts));
    add_sums(log, head, HEAD_SIZE - 8);
    return (number_at(head) & ~1U) == MAGIC && sums_are(log, head + HEAD_SIZE - 8);
}

/* Whether the frame at offset continues the log. */
static bool read_frame(struct log *log, off_t offset)
{
    unsigned char frame[FRAME_SIZE];
    if (!read_at(log, offset, frame, sizeof(frame)))
        return false;
    add_sums(log, frame, 8);
    add_sums(log, frame + FRAME_HEAD_SIZE, PAGES_SIZE);
    return memcmp(frame + 8, log->salts, sizeof(log->salts)) == 0 && sums_are(log, frame + 16);
}

/* How many transactions of this log end at offset or behind it. */
static int count_ends(const struct log *log, off_t offset)
{
    int n = 0;
    unsigned char head[FRAME_HEAD_SIZE];
    for (; read_at(log, offset, head, sizeof(head)); offset += FRAME_SIZE)
        n += memcmp(head + 8, log->salts, sizeof(log->salts)) == 0 && number_at(head + 4) != 0;
    return n;
}

static bool looks_damaged(int fd)
{
    struct log log = {.fd = fd};
    unsigned char frame[FRAME_HEAD_SIZE];
    off_t offset = HEAD_SIZE;
    if (!read_at(&log, offset, frame, sizeof(frame)))
        return false;
    /* The head is synced before the first frame is written. */
    if (!read_head(&log))
        return true;
    while (read_frame(&log, offset))
        offset += FRAME_SIZE;
    /* The one that was being written may have got as far as its end; two cannot. */
    return count_ends(&log, offset) > 1;
}

bool log_is_damaged(const char *path)
{
    CLEANUP(close_descriptorp) int fd = files_open(path, O_RDONLY | O_NOFOLLOW, 0);
    if (fd < 0)
        return false;
    /* What others write meanwhile may look like anything, but not for long. */
    for (int i = 0; looks_damaged(fd); i++) {
        if (i == TRIES)
            return true;
        sqlite3_sleep(PAUSE_MS);
    }
    return false;
}
