#include "twin/certificate.h"

#include "base/map.h"
#include "base/text.h"
#include "base/world.h"
#include "twin/authority.h"
#include "twin/service.h"

#include <dirent.h>
#include <string.h>

static const char folder_name[] = "certificates";

struct certificates {
    struct twin *twin;
    char *folder;                /* owned */
    struct authority *authority; /* owned; NULL until it is needed */
    struct map issued;           /* by resource; owned struct authority_issued */
};

static int open_certificates(struct twin *twin, void **ret_module, struct error *err)
{
    char *folder = NULL;
    int r = service_open_folder(twin, folder_name, &folder, err);
    if (r < 0)
        return r;
    struct certificates *certificates = NEW(struct certificates);
    certificates->twin = twin;
    certificates->folder = folder;
    *ret_module = certificates;
    return 0;
}

int certificate_bundle_file(struct twin *twin, const struct machine_certificate *certificate,
                            char **ret_path, struct error *err)
{
    CLEANUP(mem_freep) char *folder = NULL;
    int r = service_open_folder(twin, folder_name, &folder, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep) char *file = service_file_name(certificate->resource);
    *ret_path = string_format("%s/%s.pem", folder, file);
    return 0;
}

static void free_issued(struct authority_issued *issued)
{
    if (!issued)
        return;
    authority_issued_done(issued);
    mem_free(issued);
}

/* The authority is made with the first certificate, so that a twin without any has no key. */
static int ensure_authority(struct certificates *certificates, struct error *err)
{
    if (certificates->authority)
        return 0;
    CLEANUP(mem_freep) char *folder = string_format("%s/authority", certificates->twin->folder);
    return authority_open(folder, &certificates->authority, err);
}

static int give_to_children(const char *path, struct error *err)
{
    return twin_give(path, PROCESS_NOBODY, err);
}

static int provide(struct certificates *certificates, const struct machine_certificate *wanted,
                   struct error *err)
{
    CLEANUP(mem_freep) char *file = service_file_name(wanted->resource);
    struct authority_order order = {.folder = certificates->folder,
                                    .file = file,
                                    .domains = wanted->domains,
                                    .n_domains = wanted->n_domains,
                                    .hand_over = give_to_children};
    struct authority_issued issued = {0};
    int r = ensure_authority(certificates, err);
    if (r == 0)
        r = authority_provide(certificates->authority, &order, &issued, err);
    if (r == 0)
        r = give_to_children(issued.bundle, err);
    if (r < 0) {
        authority_issued_done(&issued);
        return error_wrap(err, r, "certificate %s", wanted->name);
    }
    free_issued(
        map_put(&certificates->issued, wanted->resource, mem_copy(&issued, sizeof(issued))));
    return 0;
}

static bool is_wanted_file(const struct machine *wanted, const char *name)
{
    for (size_t i = 0; i < wanted->n_certificates; i++) {
        CLEANUP(mem_freep) char *file = service_file_name(wanted->certificates[i]->resource);
        if (text_equal(file, name))
            return true;
    }
    return false;
}

static bool is_wanted(const struct machine *wanted, const char *resource)
{
    for (size_t i = 0; i < wanted->n_certificates; i++)
        if (text_equal(wanted->certificates[i]->resource, resource))
            return true;
    return false;
}

/* Also what an earlier life of the twin left behind. */
static void withdraw_files(struct certificates *certificates, const struct machine *wanted)
{
    DIR *folder = opendir(certificates->folder);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        if (!text_ends_with(entry->d_name, ".pem"))
            continue;
        CLEANUP(mem_freep)
        char *file = string_copy_n(entry->d_name, strlen(entry->d_name) - strlen(".pem"));
        CLEANUP(mem_freep) char *plain = service_file_name(file);
        if (text_equal(file, plain) && !is_wanted_file(wanted, file))
            authority_withdraw(certificates->folder, file, NULL);
    }
    if (folder)
        closedir(folder);
}

static void withdraw_unwanted(struct certificates *certificates, const struct machine *wanted)
{
    struct map_entry *entry;
    size_t cursor = 0;
    withdraw_files(certificates, wanted);
    while ((entry = map_next(&certificates->issued, &cursor))) {
        if (is_wanted(wanted, entry->key))
            continue;
        free_issued(map_remove(&certificates->issued, entry->key));
        cursor = 0; /* a map that changed is walked anew */
    }
}

static CO_FN void converge_certificates(void *module, struct machine *wanted,
                                        struct problems *problems)
{
    struct certificates *certificates = module;
    for (size_t i = 0; i < wanted->n_certificates; i++) {
        struct error err = {0};
        if (provide(certificates, wanted->certificates[i], &err) < 0)
            problems_add(problems, wanted->certificates[i]->resource, &err);
    }
    withdraw_unwanted(certificates, wanted);
}

static void report_certificate(void *module, const char *resource, struct value_builder *status,
                               struct value_builder *outputs)
{
    struct certificates *certificates = module;
    const struct authority_issued *issued = map_get(&certificates->issued, resource);
    if (!issued)
        return;
    bool is_valid = world_wall_clock() < issued->not_after;
    CLEANUP(mem_freep)
    char *authority = string_format("%s/authority/ca.crt", certificates->twin->shown_folder);
    value_builder_set_string(status, "state", is_valid ? "ready" : "failed");
    value_builder_set(status, "expires", service_time(issued->not_after));
    value_builder_set_string(status, "serial", issued->serial);
    value_builder_set_string(status, "authority", authority);
    value_builder_set(outputs, "expires", service_time(issued->not_after));
}

static CO_FN void close_certificates(void *module)
{
    struct certificates *certificates = module;
    struct map_entry *entry;
    size_t cursor = 0;
    while ((entry = map_next(&certificates->issued, &cursor)))
        free_issued(entry->value);
    map_done(&certificates->issued);
    authority_free(certificates->authority);
    mem_free(certificates->folder);
    mem_free(certificates);
}

const struct module_ops certificate_module = {
    .name = "certificate",
    .open = open_certificates,
    .converge = converge_certificates,
    .report = report_certificate,
    .close = close_certificates,
};
