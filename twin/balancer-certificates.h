/*
 * What a balancer shows of certificates: a file for each frontend that has one, which leads to the
 * bundle of the certificate that the frontend has now. So another certificate is another content of
 * the same file, and HAProxy can be given it while it runs.
 */
#pragma once

#include "twin/balancer-servers.h"

#include <stdbool.h>
#include <stddef.h>

struct balancer_certificate {
    char *file;    /* owned, as the next two; what the configuration names */
    char *bundle;  /* where that leads */
    char *version; /* of the bundle's content */
};

/* Zero-initialise it. */
struct balancer_certificates {
    struct balancer_certificate *items; /* owned */
    size_t n_items;
    size_t capacity;
};

/* Those of a configuration, as their bundles are now. */
struct balancer_certificates balancer_certificates_of(const struct balancer_config *config);
void balancer_certificates_done(struct balancer_certificates *certificates);
bool balancer_certificates_are_same(const struct balancer_certificates *a,
                                    const struct balancer_certificates *b);

/* Makes each file lead to its bundle. */
int balancer_certificates_place(const struct balancer_certificates *certificates,
                                struct error *err);
/* Removes the files of some that are not among the others. */
void balancer_certificates_remove(const struct balancer_certificates *certificates,
                                  const struct balancer_certificates *others);

/*
 * Gives HAProxy what is new in the files that are wanted, and asks which certificate it shows
 * afterwards. Connections that stand go on with what they began with. ERROR_CONFLICT when HAProxy
 * does not take one; then some are changed.
 */
CO_FN int balancer_change_certificates(struct balancer_control *control,
                                       const struct balancer_certificates *running,
                                       const struct balancer_certificates *wanted,
                                       struct error *err);
