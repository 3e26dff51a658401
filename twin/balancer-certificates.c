#include "twin/balancer-certificates.h"

#include "twin/authority.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUNDLE_LIMIT = 15 * 1024 }; /* HAProxy takes a command and what comes with it in 16 KiB */

/* --- Which there are --- */

struct balancer_certificates balancer_certificates_of(const struct balancer_config *config)
{
    struct balancer_certificates list = {0};
    for (size_t i = 0; i < config->n_frontends; i++) {
        struct stat status = {0};
        if (!config->certificate_files[i])
            continue;
        stat(config->certificate_bundles[i], &status);
        ARRAY_RESERVE(list.items, list.n_items, list.capacity);
        list.items[list.n_items++] = (struct balancer_certificate){
            .file = string_copy(config->certificate_files[i]),
            .bundle = string_copy(config->certificate_bundles[i]),
            .version = string_format("%lld.%09ld", (long long)status.st_mtim.tv_sec,
                                     status.st_mtim.tv_nsec),
        };
    }
    return list;
}

void balancer_certificates_done(struct balancer_certificates *certificates)
{
    for (size_t i = 0; i < certificates->n_items; i++) {
        mem_free(certificates->items[i].file);
        mem_free(certificates->items[i].bundle);
        mem_free(certificates->items[i].version);
    }
    mem_free(certificates->items);
    *certificates = (struct balancer_certificates){0};
}

static const struct balancer_certificate *find(const struct balancer_certificates *certificates,
                                               const char *file)
{
    for (size_t i = 0; i < certificates->n_items; i++)
        if (text_equal(certificates->items[i].file, file))
            return &certificates->items[i];
    return NULL;
}

static bool has_same(const struct balancer_certificates *certificates,
                     const struct balancer_certificate *certificate)
{
    const struct balancer_certificate *found = find(certificates, certificate->file);
    return found && text_equal(found->bundle, certificate->bundle) &&
           text_equal(found->version, certificate->version);
}

bool balancer_certificates_are_same(const struct balancer_certificates *a,
                                    const struct balancer_certificates *b)
{
    bool is_same = a->n_items == b->n_items;
    for (size_t i = 0; is_same && i < a->n_items; i++)
        is_same = has_same(b, &a->items[i]);
    return is_same;
}

/* --- Files --- */

int balancer_certificates_place(const struct balancer_certificates *certificates, struct error *err)
{
    for (size_t i = 0; i < certificates->n_items; i++) {
        const struct balancer_certificate *certificate = &certificates->items[i];
        CLEANUP(mem_freep) char *draft = string_format("%s.new", certificate->file);
        unlink(draft);
        if (symlink(certificate->bundle, draft) < 0 || rename(draft, certificate->file) < 0)
            return error_set_errno(err, errno, "lead %s to a certificate", certificate->file);
    }
    return 0;
}

void balancer_certificates_remove(const struct balancer_certificates *certificates,
                                  const struct balancer_certificates *others)
{
    for (size_t i = 0; i < certificates->n_items; i++)
        if (!find(others, certificates->items[i].file))
            unlink(certificates->items[i].file);
}

/* --- Commands --- */

static CO_FN int expect_answer(struct balancer_control *control, const char *command,
                               const char *expected, const char *file, struct error *err)
{
    CLEANUP(mem_freep) char *answer = NULL;
    int r = balancer_control_ask(control, command, &answer, err);
    if (r == 0 && !strstr(answer, expected))
        r = error_set(err, ERROR_CONFLICT, "HAProxy does not take the certificate %s: %s", file,
                      answer);
    return r;
}

/* The command has the key: it is wiped, and no error tells it. */
static int write_command(struct strbuf *out, const char *file, struct error *err)
{
    char *text;
    int r = world_read_file(file, BUNDLE_LIMIT, &text, NULL, err);
    if (r < 0)
        return r;
    strbuf_addf(out, "set ssl cert %s <<\n%s", file, text);
    mem_wipe(text, strlen(text));
    mem_free(text);
    return 0;
}

static CO_FN int change_certificate(struct balancer_control *control, const char *file,
                                    struct error *err)
{
    CLEANUP(strbuf_wipe) struct strbuf set = {0};
    CLEANUP(mem_freep) char *commit = string_format("commit ssl cert %s", file);
    CLEANUP(mem_freep) char *show = string_format("show ssl cert %s", file);
    CLEANUP(mem_freep) char *serial = NULL;
    int r = authority_read_serial(file, &serial, err);
    if (r == 0)
        r = write_command(&set, file, err);
    if (r == 0)
        r = expect_answer(control, strbuf_text(&set), "Transaction ", file, err);
    if (r == 0)
        r = expect_answer(control, commit, "Success!", file, err);
    if (r < 0)
        return r;
    for (char *c = serial; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    CLEANUP(mem_freep) char *shown = string_format("\nSerial: %s\n", serial);
    return expect_answer(control, show, shown, file, err);
}

CO_FN int balancer_change_certificates(struct balancer_control *control,
                                       const struct balancer_certificates *running,
                                       const struct balancer_certificates *wanted,
                                       struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < wanted->n_items; i++)
        if (!has_same(running, &wanted->items[i]))
            r = change_certificate(control, wanted->items[i].file, err);
    return r;
}
