/* The site: parley.yaml, which says what instances there are and what an environment demands. */
#pragma once

#include "base/error.h"
#include "base/memory.h"
#include "catalog/catalog.h"
#include "model/diagnostic.h"
#include "model/value.h"
#include "service/site-rules.h"
#include "service/site-server.h"

#include <stdbool.h>

struct site;

/*
 * Reads a site file; path NULL gives the site that has none: every provider has one instance
 * PROVIDER.default on the first of core, twin and fake that serves its types.
 */
int site_read(const char *path, struct site **ret_site, struct diagnostics *diagnostics,
              struct error *err);
void site_free(struct site *site); /* accepts NULL */
DEFINE_CLEANUP(struct site *, site_free)

/* Where the site's own secrets come from, as document_read_sources(): what instances are let in
 * with. A map, or NULL. Borrowed. */
const struct value *site_secrets(const struct site *site);
/* The folder of the file; NULL without one. Borrowed. */
const char *site_folder(const struct site *site);
/* The folder beside the file that more types come from; NULL without a file. Borrowed. */
const char *site_catalog_folder(const struct site *site);

/*
 * The instance that serves a type: on when it is given, else the only one of the type's provider.
 * ERROR_NOT_FOUND says which there are. *ret_instance is borrowed from the site.
 */
int site_choose_instance(struct site *site, const struct resource_type *type, const char *on,
                         const char **ret_instance, struct error *err);

/* Driver and configuration of an instance; both borrowed. ERROR_NOT_FOUND when the site has none of
 * that name. */
int site_find_instance(const struct site *site, const char *instance, const char **ret_driver,
                       const struct value **ret_config, struct error *err);

/* Whether deployments of an environment are production: the site says so, or it is named production
 * or prod. */
bool site_is_production(const struct site *site, const char *environment);
/* What the file allows and demands. Borrowed. */
const struct site_rules *site_rules(const struct site *site);
/* What it says of the server; empty without a word of it. Borrowed. */
const struct site_server *site_server(const struct site *site);
/* The environment's variables, a map, or NULL. Borrowed. */
const struct value *site_variables(const struct site *site, const char *environment);
