/*
 * How the programs that the twin runs read their files, by their manuals: what stands there, and
 * whether it is as we write it. Each of these adds to the shape what it has found, and ends the
 * process where its program would find a line or a word that is none of ours.
 */
#pragma once

#include "base/strbuf.h"
#include "model/yaml.h"

/* What a file is made of, one entry for each line or node; two files of the same entries say the
 * same but for texts in the places for texts. */
struct shape {
    struct strbuf entries;
};

/* HAProxy's configuration, and a map of it; the path is what backends have as their value. */
void read_haproxy(const char *text, struct shape *shape);
void read_map(const char *text, struct shape *shape, const char *health_check);

/* PostgreSQL: postgresql.conf, pg_hba.conf (and all else of words apart by blanks), pg_ident.conf,
 * the value of synchronous_standby_names, and libpq's conninfo with the password in it. */
void read_settings(const char *text, struct shape *shape);
void read_words(const char *text, struct shape *shape);
void read_ident(const char *text);
void read_standby_names(const char *text, struct shape *shape);
void read_conninfo(const char *text, struct shape *shape, const char *password);

/* dnsmasq. */
void read_options(const char *text, struct shape *shape);

/* Prometheus, Alertmanager and Grafana: YAML, whose tree the caller may want (and frees), JSON,
 * and a label's value, which must come back as the name. */
struct yaml_tree *read_yaml(const struct strbuf *text, struct shape *shape);
void read_plain_yaml(const struct strbuf *text, struct shape *shape);
void read_json(const struct strbuf *text, struct shape *shape);
void read_label(const char *name);
