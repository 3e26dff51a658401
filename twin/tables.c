/* Files with addresses: read when they changed, kept as a copy of what was read last. */
#include "twin/tables.h"

#include "base/digest.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"

#include <string.h>
#include <sys/stat.h>

/* The longest field that means something to us. */
enum { FIELD_SIZE = 32 };

void tables_init(struct tables *tables, const char *folder)
{
    *tables = (struct tables){.folder = string_copy(folder)};
}

void tables_done(struct tables *tables)
{
    for (size_t i = 0; i < tables->n_tables; i++) {
        error_done(&tables->tables[i]->problem);
        mem_free(tables->tables[i]->ranges);
        mem_free(tables->tables[i]->path);
        mem_free(tables->tables[i]);
    }
    mem_free(tables->tables);
    mem_free(tables->folder);
    *tables = (struct tables){0};
}

/* --- The text --- */

/* The next field of a line, without quotes and blanks around it; false when it is too long. */
static bool read_field(const char **at, const char *end, char ret_field[FIELD_SIZE])
{
    const char *stop = *at;
    while (stop < end && *stop != ',')
        stop++;
    const char *first = *at, *last = stop;
    while (first < last && (*first == ' ' || *first == '"'))
        first++;
    while (last > first && (last[-1] == ' ' || last[-1] == '"'))
        last--;
    *at = stop < end ? stop + 1 : end;
    if (last - first >= FIELD_SIZE)
        return false;
    memcpy(ret_field, first, (size_t)(last - first));
    ret_field[last - first] = '\0';
    return true;
}

static bool read_end(const char *text, uint32_t *ret_ip)
{
    int64_t number;
    if (machine_address_from_text(text, ret_ip))
        return true;
    if (!text_to_integer(text, &number) || number < 0 || number > UINT32_MAX)
        return false;
    *ret_ip = (uint32_t)number;
    return true;
}

static bool read_country(const char *text, char ret_country[2])
{
    for (size_t i = 0; i < 2; i++) {
        bool is_letter = (text[i] >= 'A' && text[i] <= 'Z') || text[i] == '?';
        if (!is_letter && !(text[i] >= '0' && text[i] <= '9'))
            return false;
    }
    if (text[2] != '\0')
        return false;
    memcpy(ret_country, text, 2);
    return true;
}

static bool read_line(const char *line, const char *end, struct table_range *ret_range)
{
    char fields[3][FIELD_SIZE] = {{0}};
    struct table_range range = {0};
    struct machine_subnet subnet;
    for (size_t i = 0; i < 3; i++) {
        if (!read_field(&line, end, fields[i]))
            return false;
    }
    if (machine_subnet_from_text(fields[0], &subnet) &&
        (!fields[1][0] || read_country(fields[1], range.country))) {
        range.first = subnet.base;
        range.last = subnet.base | ~machine_prefix_mask(subnet.prefix);
    } else if (!read_end(fields[0], &range.first) || !read_end(fields[1], &range.last) ||
               !read_country(fields[2], range.country) || range.first > range.last) {
        return false;
    }
    *ret_range = range;
    return true;
}

/* Where what counts of a line ends: at a remark, or at a blank behind a network. */
static const char *find_end(const char *line, const char *end)
{
    const char *stop = line;
    while (stop < end && *stop != '#' && *stop != ';')
        stop++;
    while (stop > line && (stop[-1] == ' ' || stop[-1] == '\t' || stop[-1] == '\r'))
        stop--;
    return stop;
}

int table_parse(const char *text, size_t size, struct table_range **ret_ranges, size_t *ret_n,
                struct error *err)
{
    struct table_range *ranges = NULL;
    size_t n = 0, capacity = 0, number = 0;
    for (const char *line = text, *next; line < text + size; line = next) {
        const char *end = memchr(line, '\n', (size_t)(text + size - line));
        next = end ? end + 1 : text + size;
        end = find_end(line, end ? end : text + size);
        while (line < end && (*line == ' ' || *line == '\t'))
            line++;
        number++;
        if (line == end || memchr(line, ':', (size_t)(end - line)))
            continue;
        struct table_range range;
        if (!read_line(line, end, &range)) {
            mem_free(ranges);
            return error_set(err, ERROR_INVALID,
                             "line %zu is no address, network or range with a country", number);
        }
        ARRAY_RESERVE(ranges, n, capacity);
        ranges[n++] = range;
    }
    *ret_ranges = ranges;
    *ret_n = n;
    return 0;
}

/* --- The files --- */

const struct table *tables_find(const struct tables *tables, const char *path)
{
    for (size_t i = 0; tables && i < tables->n_tables; i++) {
        if (text_equal(tables->tables[i]->path, path))
            return tables->tables[i];
    }
    return NULL;
}

static struct table *find_or_add(struct tables *tables, const char *path)
{
    struct table *table = (struct table *)tables_find(tables, path);
    if (table)
        return table;
    table = NEW(struct table);
    table->path = string_copy(path);
    ARRAY_RESERVE(tables->tables, tables->n_tables, tables->capacity);
    tables->tables[tables->n_tables++] = table;
    return table;
}

static int64_t modified_of(const struct stat *status)
{
    return (int64_t)status->st_mtim.tv_sec * 1000000000 + status->st_mtim.tv_nsec;
}

static bool is_as_read(const struct table *table)
{
    struct stat status = {0};
    bool is_there = stat(table->path, &status) == 0;
    return is_there ? table->modified_ns == modified_of(&status) && table->size == status.st_size
                    : table->modified_ns == -1;
}

static char *copy_path(const struct tables *tables, const char *path)
{
    char hash[DIGEST_HEX_SIZE];
    digest_hex(path, strlen(path), hash);
    return string_format("%s/%s", tables->folder, hash);
}

static int load(struct table *table, const char *path, char **ret_text, size_t *ret_size,
                struct error *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    struct table_range *ranges = NULL;
    size_t size = 0, n = 0;
    int r = world_read_file(path, TABLE_LIMIT, &text, &size, err);
    if (r == 0)
        r = table_parse(text, size, &ranges, &n, err);
    if (r < 0)
        return r;
    mem_free(table->ranges);
    table->ranges = ranges;
    table->n_ranges = n;
    table->is_known = true;
    if (ret_text) {
        *ret_text = take_ptr(text);
        *ret_size = size;
    }
    return 0;
}

void tables_read(struct tables *tables, const char *path, int64_t period_us)
{
    struct table *table = find_or_add(tables, path);
    struct stat status = {0};
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(mem_freep) char *copy = copy_path(tables, path);
    size_t size = 0;
    table->period_us = period_us;
    if ((table->is_known || table->problem.code != ERROR_NONE) && is_as_read(table))
        return;
    bool is_there = stat(path, &status) == 0;
    table->modified_ns = is_there ? modified_of(&status) : -1;
    table->size = is_there ? status.st_size : 0;
    error_done(&table->problem);
    table->problem = (struct error){0};
    if (load(table, path, &text, &size, &table->problem) < 0) {
        if (!table->is_known)
            (void)load(table, copy, NULL, NULL, NULL);
        return;
    }
    /* Without the copy all is well as long as the file is. */
    if (world_make_folder(tables->folder, 0700, NULL) == 0)
        (void)world_write_file(copy, text, size, 0600, false, NULL);
}

bool tables_have_changed(const struct tables *tables)
{
    for (size_t i = 0; i < tables->n_tables; i++) {
        if (!is_as_read(tables->tables[i]))
            return true;
    }
    return false;
}

int64_t tables_period(const struct tables *tables)
{
    int64_t period = -1;
    for (size_t i = 0; i < tables->n_tables; i++) {
        if (period < 0 || tables->tables[i]->period_us < period)
            period = tables->tables[i]->period_us;
    }
    return period;
}
