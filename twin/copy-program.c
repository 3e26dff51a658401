#include "twin/copy-program.h"

#include "archive/context.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "twin/service.h"
#include "twin/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int take(void *argument, const void *bytes, size_t size, struct error *err)
{
    return unpack_add(argument, bytes, size, err);
}

/* Into the folder, which is there. */
static int unpack(const char *source, const char *folder, char ret_digest[DIGEST_HEX_SIZE],
                  struct error *err)
{
    struct unpacking unpacking;
    int r = unpack_begin(folder, NULL, &unpacking, err);
    if (r < 0)
        return r;
    struct tar_sink sink = {take, &unpacking};
    r = context_pack_files(source, &sink, ret_digest, err);
    int ended = unpack_end(&unpacking, r < 0 ? NULL : err);
    return r < 0 ? r : ended;
}

static int sync_all(const char *folder, struct error *err)
{
    CLEANUP(close_descriptorp) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || syncfs(fd) < 0 ? error_set_errno(err, errno, "sync %s", folder) : 0;
}

static int copy(const char *source, const char *digest, const char *folder, struct error *err)
{
    CLEANUP(mem_freep) char *partial = string_format("%s.part", folder);
    char found[DIGEST_HEX_SIZE];
    if (world_file_exists(folder))
        return 0;
    service_remove_folder(partial);
    umask(022);
    if (mkdir(partial, 0755) < 0)
        return error_set_errno(err, errno, "make %s", partial);
    int r = unpack(source, partial, found, err);
    if (r == 0 && !text_equal(found, digest))
        r = error_set(err, ERROR_STALE, "%s is not what was planned any more", source);
    if (r == 0)
        r = sync_all(partial, err);
    if (r == 0 && rename(partial, folder) < 0)
        r = error_set_errno(err, errno, "put the copy to %s", folder);
    if (r < 0)
        service_remove_folder(partial);
    return r;
}

int copy_main(const char *source, const char *digest, const char *folder)
{
    CLEANUP(error_done) struct error err = {0};
    if (copy(source, digest, folder, &err) == 0)
        return 0;
    printf("%s\n%s", error_code_to_string(err.code), error_message(&err));
    return 1;
}
