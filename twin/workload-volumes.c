/*
 * What services find among their files. Copies of the document's files lie where the driver has put
 * them, SANDBOX_STATE/files/UID.DIGEST/content. The volumes of stacks:
 * SANDBOX_STATE/volumes/UID/NAME, where UID is the stack's. Only the folder of a volume itself is
 * ever seen from a host, as the root of a mount, so nothing that is done in it leads to what lies
 * beside it.
 */
#include "twin/workload-private.h"

#include "archive/context.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/resource.h"
#include "twin/sandbox.h"
#include "twin/service.h"

#include <errno.h>
#include <stdint.h>
#include <sys/stat.h>

#define VOLUMES SANDBOX_STATE "/volumes"

static char *folder_of(const char *resource)
{
    CLEANUP(mem_freep) char *file = service_file_name(resource);
    return string_format(VOLUMES "/%s", file);
}

/*
 * One that is there keeps what is in it, and its owner. The programs that share it may run as
 * different users of their images; nobody else gets as far as there.
 */
static int make_volume(const char *folder, const char *name, char **ret_path, struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, name);
    int r = 0;
    if (!world_file_exists(path)) {
        r = world_make_folder(VOLUMES, 0700, err);
        if (r == 0)
            r = world_make_folder(folder, 0700, err);
        if (r == 0)
            r = world_make_folder(path, 0755, err);
        if (r == 0)
            r = twin_give(path, PROCESS_NOBODY, err);
        if (r == 0 && chmod(path, 0777) < 0)
            r = error_set_errno(err, errno, "let services write to it");
        if (r == 0)
            r = service_sync_folder(folder, err);
    }
    if (r == 0)
        *ret_path = take_ptr(path);
    return r;
}

void workload_mounts_free(struct workload_mounts *mounts)
{
    for (size_t i = 0; mounts && i < mounts->n_items; i++) {
        mem_free((char *)(uintptr_t)mounts->items[i].source);
        mem_free((char *)(uintptr_t)mounts->items[i].target);
    }
    if (mounts)
        mem_free(mounts->items);
    mem_free(mounts);
}
DEFINE_CLEANUP(struct workload_mounts *, workload_mounts_free)

int workload_mounts_make(const struct machine_workload *workload,
                         struct workload_mounts **ret_mounts, struct error *err)
{
    CLEANUP(workload_mounts_freep) struct workload_mounts *mounts = NEW(struct workload_mounts);
    CLEANUP(mem_freep) char *folder = folder_of(workload->resource);
    mounts->items = NEW_ARRAY(struct cage_mount, workload->n_mounts);
    for (size_t i = 0; i < workload->n_mounts; i++) {
        const struct machine_mount *wanted = &workload->mounts[i];
        char *source = NULL;
        int r = wanted->volume ? make_volume(folder, wanted->volume, &source, err) : 0;
        if (r < 0)
            return error_wrap(err, r, "the volume %s", wanted->volume);
        if (wanted->copy)
            source = string_format(SANDBOX_STATE "/files/%s.%s/" CONTEXT_CONTENT,
                                   workload->resource, wanted->copy);
        mounts->items[mounts->n_items++] = (struct cage_mount){source, string_copy(wanted->target),
                                                               wanted->is_read_only, wanted->size};
        if (wanted->copy && !world_file_exists(source))
            return error_set(err, ERROR_NOT_FOUND, "the copy of what is shown at %s is not there",
                             wanted->target);
    }
    *ret_mounts = take_ptr(mounts);
    return 0;
}

void workload_mounts_describe(const struct machine_workload *workload, struct strbuf *out)
{
    for (size_t i = 0; i < workload->n_mounts; i++) {
        const struct machine_mount *mount = &workload->mounts[i];
        strbuf_addf(out, "%s at %s%s, %lld\n",
                    mount->volume ? mount->volume
                    : mount->copy ? mount->copy
                                  : "memory",
                    mount->target, mount->is_read_only ? ", read only" : "",
                    (long long)mount->size);
    }
}

/* --- Those that are there --- */

static int add_name(void *argument, const char *name, struct error *err)
{
    (void)err;
    if (name[0] != '.')
        string_list_add(argument, name);
    return 0;
}

static bool is_of_manifest(struct twin *twin, const char *file)
{
    /* A uid that was too long is a digest, which does not tell whose it is. */
    return text_starts_with(file, "x-") || twin_has_resource(twin, file);
}

void workload_volumes_prune(struct twin *twin)
{
    struct string_list files = {0};
    if (world_file_exists(VOLUMES))
        (void)world_list_folder(VOLUMES, add_name, &files, NULL);
    for (size_t i = 0; i < files.n_items; i++) {
        CLEANUP(mem_freep) char *path = string_format(VOLUMES "/%s", files.items[i]);
        if (!is_of_manifest(twin, files.items[i]))
            service_remove_folder(path);
    }
    string_list_done(&files);
}

static bool is_used(const struct workloads *module, const char *resource, const char *volume)
{
    for (size_t i = 0; i < module->machine->n_workloads; i++) {
        const struct machine_workload *workload = module->machine->workloads[i];
        for (size_t k = 0; k < workload->n_mounts; k++)
            if (text_equal(workload->resource, resource) &&
                text_equal_or_null(workload->mounts[k].volume, volume))
                return true;
    }
    return false;
}

void workload_volumes_report(const struct workloads *module, const char *resource,
                             struct value_builder *status)
{
    CLEANUP(mem_freep) char *file = service_file_name(resource);
    CLEANUP(mem_freep) char *folder = folder_of(resource);
    struct string_list names = {0};
    struct value_builder volumes = {0};
    if (world_file_exists(folder))
        (void)world_list_folder(folder, add_name, &names, NULL);
    for (size_t i = 0; i < names.n_items; i++) {
        CLEANUP(mem_freep)
        char *path =
            string_format("%s/volumes/%s/%s", module->twin->shown_folder, file, names.items[i]);
        struct value_builder fields = {0};
        value_builder_set_string(&fields, "folder", path);
        value_builder_set(&fields, "used", value_bool(is_used(module, resource, names.items[i])));
        value_builder_set(&volumes, names.items[i], value_builder_map(&fields));
    }
    if (names.n_items > 0)
        value_builder_set(status, "volumes", value_builder_map(&volumes));
    string_list_done(&names);
}
