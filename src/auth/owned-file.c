#include "auth/owned-file.h"

#include "base/files.h"

#include <errno.h>
#include <unistd.h>

int owned_file_check(const char *path, struct stat *ret_status, struct error *err)
{
    int r = files_look_at(path, ret_status);
    if (r == -ENOENT)
        return error_set(err, ERROR_NOT_FOUND, "there is no file %s", path);
    if (r < 0)
        return error_set_errno(err, -r, "look at %s", path);
    if (!S_ISREG(ret_status->st_mode))
        return error_set(err, ERROR_DENIED, "%s is no file of its own", path);
    if (ret_status->st_uid != geteuid())
        return error_set(err, ERROR_DENIED, "%s belongs to another user (%u)", path,
                         (unsigned)ret_status->st_uid);
    if ((ret_status->st_mode & 077) != 0)
        return error_set(err, ERROR_DENIED,
                         "others than its owner may open %s; take their rights away with chmod 600",
                         path);
    return 0;
}
