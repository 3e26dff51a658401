/* What stands under "server:" of the site: where `parley serve` listens, and whom it lets in. */
#pragma once

#include "base/error.h"
#include "model/diagnostic.h"
#include "model/yaml.h"

#include <stdbool.h>

/* A file, and the line that names it. */
struct server_file {
    char *path; /* owned; NULL: nothing is said */
    unsigned int line;
};

/* Zero is what nothing is said of. */
struct site_server {
    char *listen; /* owned: "127.0.0.1:7420" */
    struct server_file tokens, certificate, key;
    char *url; /* owned: by which its users reach it, "https://HOST/PREFIX", no slash at its end */
    char **hosts; /* owned, ends with NULL; NULL without any */
    size_t n_hosts;
    int64_t requests;    /* of a principal in a minute */
    int64_t connections; /* at once */
    int64_t body;        /* bytes of a request */
    char *file;          /* owned: the site file */
};
void site_server_done(struct site_server *server);
/* *ret_copy is the caller's, to be freed with site_server_done(). */
void site_server_copy(struct site_server *ret_copy, const struct site_server *server);

/* Reads it out of what stands under "site:"; paths are relative to folder. *server is empty. Faults
 * go to diagnostics. */
void site_server_read(struct site_server *server, const struct yaml_tree *tree,
                      const struct yaml_node *body, const char *folder,
                      struct diagnostics *diagnostics);

/* "ADDRESS:PORT", "[ADDRESS]:PORT", ":PORT" or "PORT"; *ret_address, which the caller frees, is
 * NULL for this machine alone. False: it is none. */
bool site_server_read_place(const char *text, char **ret_address, uint16_t *ret_port);
