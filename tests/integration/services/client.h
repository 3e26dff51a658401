/* A blocking HTTP client for tests: what a user's program sees of the servers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct client_answer {
    long code;    /* 0 when there was none */
    long version; /* 11 or 2 */
    char body[16384];
    char certificate_names[1024]; /* subject alternative names of the server's certificate */
    char problem[256];
};

/*
 * GETs url. resolve (may be NULL) is "HOST:PORT:ADDRESS"; authority (may be NULL) the file with the
 * certificate to trust. keep: the connection is used again by the next call with keep.
 */
struct client_answer client_get(const char *url, const char *resolve, const char *authority,
                                bool keep);
/* Closes what keep kept. */
void client_forget(void);
