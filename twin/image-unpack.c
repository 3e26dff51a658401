#include "twin/image-unpack.h"

#include "base/strbuf.h"
#include "twin/service.h"
#include "twin/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int pass_on(void *argument, const char *bytes, size_t size, struct error *err)
{
    return unpack_add(argument, bytes, size, err);
}

/* An image's own link must not lead what we make elsewhere. */
static int make_folder(int root, const char *name, struct error *err)
{
    struct stat status;
    if (fstatat(root, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(status.st_mode))
        unlinkat(root, name, 0);
    if (mkdirat(root, name, 0755) < 0 && errno != EEXIST)
        return error_set_errno(err, errno, "make /%s in the image", name);
    return 0;
}

static int make_file(int folder, const char *name, struct error *err)
{
    struct stat status;
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(status.st_mode))
        unlinkat(folder, name, 0);
    CLEANUP(close_descriptorp)
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    return fd < 0 ? error_set_errno(err, errno, "make /etc/%s in the image", name) : 0;
}

/* What the twin mounts there: the image itself is read-only by then. */
static int make_places(const char *path, struct error *err)
{
    static const char *const folders[] = {"proc", "sys", "dev", "tmp", "run", "etc"};
    CLEANUP(close_descriptorp) int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_set_errno(err, errno, "open %s", path);
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LENGTH(folders); i++)
        r = make_folder(root, folders[i], err);
    if (r < 0)
        return r;
    CLEANUP(close_descriptorp)
    int settings = openat(root, "etc", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (settings < 0)
        return error_set_errno(err, errno, "open /etc in the image");
    r = make_file(settings, "hosts", err);
    if (r == 0)
        r = make_file(settings, "resolv.conf", err);
    /* Whoever reports it as made must find it after a loss of power. */
    if (r == 0 && syncfs(root) < 0)
        r = error_set_errno(err, errno, "sync %s", path);
    return r;
}

int image_unpack(struct engine *engine, const char *container, const char *folder,
                 const char *partial, struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("/containers/%s/export", container);
    static const char *const devices[] = {"--exclude=dev", "--exclude=dev/*", NULL};
    struct unpacking unpacking;
    service_remove_folder(partial);
    if (mkdir(partial, 0755) < 0)
        return error_set_errno(err, errno, "make %s", partial);
    int r = unpack_begin(partial, devices, &unpacking, err);
    if (r < 0)
        return r;
    struct engine_request request = {
        .method = "GET", .path = path, .take = pass_on, .argument = &unpacking};
    struct error problem = {0};
    r = engine_ask(engine, &request, NULL, &problem);
    int ended = unpack_end(&unpacking, r < 0 ? NULL : &problem);
    if (r < 0 || ended < 0) {
        service_remove_folder(partial);
        return error_move(err, &problem);
    }
    r = make_places(partial, err);
    if (r == 0)
        service_remove_folder(folder);
    if (r == 0 && rename(partial, folder) < 0)
        r = error_set_errno(err, errno, "put the image to %s", folder);
    return r;
}
