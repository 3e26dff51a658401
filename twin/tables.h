/*
 * Files with addresses that aliases name: lists of networks, and data that says which networks are
 * of which country. What was read last stays when a file cannot be read any more, also when the
 * twin starts anew: a list that blocks must not be empty because somebody is just writing it.
 */
#pragma once

#include "base/error.h"
#include "twin/machine.h"

#define TABLE_LIMIT ((size_t)64 << 20) /* bytes of a file */

struct table_range {
    uint32_t first;
    uint32_t last;
    char country[2]; /* "DE"; zeros in a list of networks */
};

struct table {
    char *path;
    struct table_range *ranges; /* in the order of the file */
    size_t n_ranges;
    int64_t period_us;    /* how often it is looked at */
    struct error problem; /* why it could not be read, although something may have been before */
    bool is_known;        /* it, or a copy of it, was read */
    int64_t modified_ns, size; /* of the file as it was read */
};

struct tables {
    char *folder;          /* owned: of the copies */
    struct table **tables; /* owned */
    size_t n_tables, capacity;
};

/* folder is made when there is something to keep in it. */
void tables_init(struct tables *tables, const char *folder);
void tables_done(struct tables *tables);

/* Reads a file unless it is as it was when it was read last. What is wrong is in its problem. */
void tables_read(struct tables *tables, const char *path, int64_t period_us);
/* NULL when it was never asked for. Accepts NULL as tables. */
const struct table *tables_find(const struct tables *tables, const char *path);
/* Whether a file is another one than was read. */
bool tables_have_changed(const struct tables *tables);
/* The shortest time between two looks at a file, in microseconds; -1 without any. */
int64_t tables_period(const struct tables *tables);

/*
 * Reads the text of a file into ranges, which the caller frees with mem_free(). A line is
 * "10.0.0.0/8" or "10.0.0.1", with or without ",DE", or "FIRST,LAST,DE" with addresses or numbers,
 * each in quotes or not. Further fields and what follows ";" or "#" are passed over, and so is
 * IPv6, which no twin has. Pure.
 */
int table_parse(const char *text, size_t size, struct table_range **ret_ranges, size_t *ret_n,
                struct error *err);
