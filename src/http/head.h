/*
 * The head of a request, checked byte for byte. libmicrohttpd 0.9.75 is lenient: it takes lines
 * that end without CR, folded headers, NULs, a Content-Length twice. It parses in place, though,
 * and what it leaves behind still shows how the lines looked. Inside the room alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct head_field {
    const char *name;
    size_t name_length;
    const char *value; /* without blanks around it */
};

/* Zero-initialise it. */
struct head {
    char *text;                /* owned: a copy of the bytes, which the rest points into */
    struct head_field *fields; /* owned */
    size_t n_fields;
    size_t capacity;
    const char *method;
};

void head_done(struct head *head);

/*
 * Reads the size bytes of the block from the method to the empty line that ends the headers, as
 * libmicrohttpd left them: NUL for each CR and LF that ends a line, for the colon of each header
 * and behind method and target. version is the offset of the version in it. False when any byte is
 * not what a strict reader expects there.
 */
bool head_read(struct head *head, const char *block, size_t size, size_t version);

/* Where name and value of a field stood in the block. */
size_t head_name_offset(const struct head *head, size_t index);
size_t head_value_offset(const struct head *head, size_t index);

const char *head_find(const struct head *head, const char *name);
size_t head_count(const struct head *head, const char *name);

/* 0 when the headers leave no doubt where the request ends and whom it is for; else the status that
 * refuses it. */
unsigned int head_check(const struct head *head, bool is_1_1);

/* Whether the body is chunked, in a head that passed the check. */
bool head_is_chunked(const struct head *head);
