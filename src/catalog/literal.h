/* Texts that mean more than their letters, brought into their one canonical form. */
#pragma once

#include "model/value.h"

#include <stdbool.h>

/*
 * Each gives the canonical value of a text, or NULL when it is none of its kind. The caller unrefs
 * it.
 */
struct value *literal_cidr(const char *text);     /* "10.0.0.0/24"; no host bits */
struct value *literal_address(const char *text);  /* "10.0.0.7", "fd00::1" */
struct value *literal_network(const char *text);  /* either; an address as "10.0.0.7/32" */
struct value *literal_duration(const char *text); /* "90s" as it is, "60s" as "1m" */
struct value *literal_size(const char *text);     /* "512Mi" as it is, "1024Mi" as "1Gi" */
struct value *literal_rate(const char *text);     /* "1000/minute" */
struct value *literal_port(const char *text);     /* 443 as an integer, "8000-8100" */
struct value *literal_clock(const char *text);    /* "08:30", up to "24:00" */
struct value *literal_date(const char *text);     /* "2027-01-31T08:30:00Z"; also a day alone */
struct value *literal_domain(const char *text);   /* "shop.example", "*.shop.example" */
struct value *literal_path(const char *text);     /* "/health" */

/* Whether text is NAME, NAME[2] or NAME["key"], as a reference has it. */
bool literal_is_resource(const char *text);

/* The seconds of a canonical duration, and the bytes of a canonical size. */
double literal_duration_seconds(const char *duration);
double literal_size_bytes(const char *size);
