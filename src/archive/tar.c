#include "archive/tar.h"

#include "base/strbuf.h"

#include <stdio.h>
#include <string.h>

enum { BLOCK = 512, NAME_SIZE = 100 };
#define OCTAL_LIMIT (UINT64_C(1) << 33) /* what eleven octal digits can say */

struct block {
    char name[NAME_SIZE];
    char mode[8];
    char user[8];
    char group[8];
    char size[12];
    char time[12];
    char sum[8];
    char type;
    char target[NAME_SIZE];
    char magic[6];
    char version[2];
    char rest[BLOCK - 265];
};
_Static_assert(sizeof(struct block) == BLOCK, "a block of tar has 512 bytes");

int tar_add(const struct tar_sink *sink, const void *bytes, size_t size, struct error *err)
{
    return sink->write(sink->argument, bytes, size, err);
}

int tar_end_entry(const struct tar_sink *sink, uint64_t size, struct error *err)
{
    static const char zeros[BLOCK];
    size_t over = (size_t)(size % BLOCK);
    return over ? tar_add(sink, zeros, BLOCK - over, err) : 0;
}

static void copy_text(char *field, const char *text)
{
    size_t length = strlen(text);
    memcpy(field, text, length < NAME_SIZE ? length : NAME_SIZE);
}

static int write_block(const struct tar_sink *sink, struct block *block, unsigned int mode,
                       uint64_t size, struct error *err)
{
    unsigned int sum = 0;
    snprintf(block->mode, sizeof(block->mode), "%07o", mode & 0777);
    snprintf(block->user, sizeof(block->user), "%07o", 0U);
    snprintf(block->group, sizeof(block->group), "%07o", 0U);
    snprintf(block->size, sizeof(block->size), "%011llo",
             (unsigned long long)(size < OCTAL_LIMIT ? size : 0));
    snprintf(block->time, sizeof(block->time), "%011o", 0U);
    memcpy(block->magic, "ustar", 6);
    memcpy(block->version, "00", 2);
    memset(block->sum, ' ', sizeof(block->sum));
    for (size_t i = 0; i < BLOCK; i++)
        sum += ((const unsigned char *)block)[i];
    snprintf(block->sum, sizeof(block->sum), "%06o", sum);
    return tar_add(sink, block, BLOCK, err);
}

/* "27 path=some/long/path\n": the length counts itself. */
static void add_record(struct strbuf *records, const char *key, const char *text)
{
    size_t length = strlen(key) + strlen(text) + 3;
    size_t n_digits = 1;
    for (;;) {
        char digits[24];
        size_t n = (size_t)snprintf(digits, sizeof(digits), "%zu", length + n_digits);
        if (n == n_digits)
            break;
        n_digits = n;
    }
    strbuf_addf(records, "%zu %s=%s\n", length + n_digits, key, text);
}

/* What does not fit into the fields of an entry stands before it. */
static int write_records(const struct tar_sink *sink, const struct strbuf *records,
                         struct error *err)
{
    struct block block = {.type = 'x'};
    copy_text(block.name, "pax");
    int r = write_block(sink, &block, 0644, records->length, err);
    if (r == 0)
        r = tar_add(sink, records->text, records->length, err);
    return r < 0 ? r : tar_end_entry(sink, records->length, err);
}

int tar_begin(const struct tar_sink *sink, const struct tar_entry *entry, struct error *err)
{
    static const char types[] = {[TAR_FILE] = '0', [TAR_FOLDER] = '5', [TAR_LINK] = '2'};
    CLEANUP(strbuf_done) struct strbuf records = {0};
    CLEANUP(mem_freep)
    char *path = string_format("%s%s", entry->path, entry->kind == TAR_FOLDER ? "/" : "");
    struct block block = {.type = types[entry->kind]};
    uint64_t size = entry->kind == TAR_FILE ? entry->size : 0;
    char digits[24];
    if (strlen(path) > NAME_SIZE)
        add_record(&records, "path", path);
    if (entry->kind == TAR_LINK && strlen(entry->target) > NAME_SIZE)
        add_record(&records, "linkpath", entry->target);
    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)size);
    if (size >= OCTAL_LIMIT)
        add_record(&records, "size", digits);
    int r = records.length > 0 ? write_records(sink, &records, err) : 0;
    if (r < 0)
        return r;
    copy_text(block.name, path);
    if (entry->kind == TAR_LINK)
        copy_text(block.target, entry->target);
    return write_block(sink, &block, entry->mode, size, err);
}

int tar_end(const struct tar_sink *sink, struct error *err)
{
    static const char zeros[2 * BLOCK];
    return tar_add(sink, zeros, sizeof(zeros), err);
}
