/* The module of certificates: each that the machine wants is issued by the twin's own authority. */
#pragma once

#include "twin/module.h"

/*
 * The key, certificate and authority of a certificate in one file, as HAProxy loads them. It is
 * there once twin_wait_for(MODULE_CERTIFICATE) has returned, unless that had a problem. The caller
 * frees *ret_path.
 */
int certificate_bundle_file(struct twin *twin, const struct machine_certificate *certificate,
                            char **ret_path, struct error *err);
