/*
 * What the twin's router cannot do of what a document asks of networks, lists, rules and
 * translations, so that it is said before approval and not by the step that fails.
 */
#include "provider/twin/twin.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"

#include <arpa/inet.h>
#include <string.h>

static const struct position nowhere;

static size_t count_of(const struct value *list)
{
    if (value_is_null(list) || (value_kind(list) != VALUE_LIST && value_kind(list) != VALUE_SET))
        return 0;
    return value_count(list);
}

static const char *text_of(const struct value *value)
{
    return !value_is_null(value) && value_kind(value) == VALUE_STRING ? value_text(value) : "";
}

/* --- Addresses --- */

static void check_version(const struct target *target, const char *text,
                          struct diagnostics *diagnostics)
{
    struct in6_addr address;
    CLEANUP(mem_freep) char *alone = string_copy_n(text, strcspn(text, "/"));
    if (inet_pton(AF_INET6, alone, &address) == 1)
        diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere,
                        "Take it out for this site, or give it to another instance with \"on:\".",
                        "%s: the twin has no IPv6, and %.200s is of it.", target->address, text);
}

static void check_addresses(const struct target *target, const struct value *spec,
                            struct diagnostics *diagnostics)
{
    static const char *const keys[] = {"subnet", "source", "destination", "target", "content"};
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++) {
        const struct value *value = value_get(spec, keys[i]);
        check_version(target, text_of(value), diagnostics);
        for (size_t j = 0; j < count_of(value); j++)
            check_version(target, text_of(value_at(value, j)), diagnostics);
    }
}

/* --- Files that lists of addresses are read from --- */

#define COUNTRIES "/usr/share/tor/geoip"

static void check_file(const struct target *target, const char *path, const char *help,
                       struct diagnostics *diagnostics)
{
    if (path[0] != '/')
        diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere,
                        "Name it from the root of this machine on, such as /etc/blocked.txt.",
                        "%s: %.200s is not an absolute path.", target->address, path);
    else if (!world_file_exists(path))
        diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere, help,
                        "%s needs the file %s, which is not on this machine.", target->address,
                        path);
}

static void check_countries(const struct target *target, const struct value *countries,
                            struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < count_of(countries); i++) {
        const char *code = text_of(value_at(countries, i));
        if (strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 2 || code[2])
            diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere,
                            "Countries are two capital letters, such as DE.",
                            "%s: \"%.200s\" is no country.", target->address, code);
    }
}

static void check_content(const struct target *target, const struct value *content,
                          struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < count_of(content); i++)
        if (text_equal(text_of(value_at(content, i)), "0.0.0.0/0"))
            diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere,
                            "A rule says \"any\" for it.", "%s: 0.0.0.0/0 is every address.",
                            target->address);
}

/* For who looks at all types and wants none of them. */
static void tell_countries(const struct target *target, struct diagnostics *diagnostics)
{
    if (world_file_exists(COUNTRIES))
        return;
    diagnostics_note(
        diagnostics, DIAGNOSTIC_NOTE, DIAGNOSTIC_CANNOT_SERVE, nowhere,
        "apt-get install tor-geoipdb",
        "%s: lists of countries have to name their own file (\"database\"), since " COUNTRIES
        " is not on this machine.",
        target->address);
}

static void check_alias(const struct target *target, const struct value *spec,
                        struct diagnostics *diagnostics)
{
    const char *kind = value_get_text(spec, "kind"), *url = value_get_text(spec, "url");
    const char *database = value_get_text(spec, "database");
    check_content(target, value_get(spec, "content"), diagnostics);
    if (!*target->uid)
        tell_countries(target, diagnostics);
    if (text_equal_or_null(kind, "geoip")) {
        check_file(target, database ? database : COUNTRIES,
                   database ? "Put the list there."
                            : "apt-get install tor-geoipdb, or name a file with \"database:\".",
                   diagnostics);
        check_countries(target, value_get(spec, "countries"), diagnostics);
    } else if (text_equal_or_null(kind, "urltable")) {
        if (url && text_starts_with(url, "file://"))
            check_file(target, url + strlen("file://"), "Put the list there.", diagnostics);
        else
            diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere,
                            "Put the list into a file and name it: file:///etc/blocked.txt.",
                            "%s: the twin fetches nothing from outside, and %.200s is no file.",
                            target->address, url ? url : "nothing");
    }
}

/* --- Rules --- */

static void check_rule(const struct target *target, const struct value *spec,
                       struct diagnostics *diagnostics)
{
    const char *protocol = value_get_text(spec, "protocol");
    bool is_icmp = text_equal_or_null(protocol, "icmp");
    if (!is_icmp && !value_is_null(value_get(spec, "icmpType")))
        diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere, "Add \"protocol: icmp\".",
                        "%s: icmpType is for the protocol icmp, and this rule is about %s.",
                        target->address, protocol ? protocol : "tcp");
    if (is_icmp &&
        (!value_is_null(value_get(spec, "port")) || !value_is_null(value_get(spec, "sourcePort"))))
        diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere,
                        "Take the ports out; \"icmpType\" says which questions are meant.",
                        "%s: ICMP has no ports.", target->address);
}

/* Times of a day are canonical, 08:30, so that they are in order as texts are. */
static void check_schedule(const struct target *target, const struct value *spec,
                           struct diagnostics *diagnostics)
{
    const struct value *windows = value_get(spec, "windows");
    for (size_t i = 0; i < count_of(windows); i++) {
        const char *from = value_get_text(value_at(windows, i), "from");
        const char *to = value_get_text(value_at(windows, i), "to");
        from = from ? from : "00:00";
        to = to ? to : "24:00";
        if (strcmp(from, to) < 0)
            continue;
        diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere,
                        "Write one window for each side of midnight.",
                        "%s: the window from %s to %s ends before it begins.", target->address,
                        from, to);
    }
}

void twin_check_firewall(const struct target *target, const struct value *spec,
                         struct diagnostics *diagnostics)
{
    const char *type = target->type->name;
    check_addresses(target, spec, diagnostics);
    if (text_equal(type, "opnsense:firewall:alias"))
        check_alias(target, spec, diagnostics);
    if (text_equal(type, "opnsense:firewall:rule"))
        check_rule(target, spec, diagnostics);
    if (text_equal(type, "opnsense:firewall:schedule"))
        check_schedule(target, spec, diagnostics);
}
