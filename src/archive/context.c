#include "archive/context.h"

#include "archive/ignore.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 64 * 1024, DEPTH_LIMIT = 256 };
#define IGNORE_FILE ".dockerignore"

struct packing {
    const char *folder;     /* for messages */
    const char *dockerfile; /* its clean path */
    const struct ignore *ignore;
    const char *advice; /* what to do where it is too much, or nothing that can be packed */
    uint64_t most_bytes;
    size_t most_files;
    bool is_plain;               /* of modes it counts only who may run a file */
    const struct tar_sink *sink; /* NULL: nowhere */
    struct digest *digest;
    struct tar_sink both; /* the digest, and the sink */
    uint64_t n_bytes;
    size_t n_files;
    bool has_dockerfile;
    char piece[PIECE];
};

static int write_both(void *argument, const void *bytes, size_t size, struct error *err)
{
    struct packing *packing = argument;
    digest_add(packing->digest, bytes, size);
    return packing->sink ? packing->sink->write(packing->sink->argument, bytes, size, err) : 0;
}

static int cannot_read(const struct packing *packing, const char *path, struct error *err)
{
    int reason = errno;
    if (reason == EACCES || reason == EPERM)
        return error_set(err, ERROR_DENIED, "%s/%s cannot be read: %s", packing->folder, path,
                         strerror(reason));
    return error_set_errno(err, reason, "read %s/%s", packing->folder, path);
}

static int count(struct packing *packing, uint64_t size, struct error *err)
{
    packing->n_files++;
    packing->n_bytes += size;
    if (packing->n_files > packing->most_files)
        return error_set(err, ERROR_LIMIT, "%s has more than %zu files; %s", packing->folder,
                         packing->most_files, packing->advice);
    if (size > packing->most_bytes || packing->n_bytes > packing->most_bytes)
        return error_set(err, ERROR_LIMIT, "%s is larger than %llu MiB; %s", packing->folder,
                         (unsigned long long)(packing->most_bytes >> 20), packing->advice);
    return 0;
}

static unsigned int mode_of(const struct packing *packing, const struct stat *status)
{
    bool is_run = S_ISDIR(status->st_mode) || (status->st_mode & S_IXUSR) != 0;
    return packing->is_plain ? (is_run ? 0755 : 0644) : status->st_mode;
}

static int pack_content(struct packing *packing, int fd, const char *path, uint64_t size,
                        struct error *err)
{
    uint64_t left = size;
    while (left > 0) {
        size_t wanted = left < PIECE ? (size_t)left : PIECE;
        ssize_t n = read(fd, packing->piece, wanted);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cannot_read(packing, path, err);
        if (n == 0)
            return error_set(err, ERROR_STALE, "%s/%s changes while it is read", packing->folder,
                             path);
        int r = tar_add(&packing->both, packing->piece, (size_t)n, err);
        if (r < 0)
            return r;
        left -= (uint64_t)n;
    }
    return tar_end_entry(&packing->both, size, err);
}

static int pack_file(struct packing *packing, int folder, const char *name, const char *path,
                     struct error *err)
{
    struct stat status;
    CLEANUP(close_descriptorp)
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return cannot_read(packing, path, err);
    struct tar_entry entry = {.path = path,
                              .kind = TAR_FILE,
                              .mode = mode_of(packing, &status),
                              .size = (uint64_t)status.st_size};
    int r = count(packing, entry.size, err);
    if (r == 0)
        r = tar_begin(&packing->both, &entry, err);
    return r < 0 ? r : pack_content(packing, fd, path, entry.size, err);
}

static int pack_link(struct packing *packing, int folder, const char *name, const char *path,
                     struct error *err)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(folder, name, target, sizeof(target) - 1);
    if (length < 0)
        return cannot_read(packing, path, err);
    target[length] = '\0';
    struct tar_entry entry = {.path = path, .kind = TAR_LINK, .mode = 0777, .target = target};
    int r = count(packing, 0, err);
    return r < 0 ? r : tar_begin(&packing->both, &entry, err);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    char **items; /* owned, as each of them */
    size_t n_items, capacity;
};

static void names_done(struct names *names)
{
    for (size_t i = 0; i < names->n_items; i++)
        mem_free(names->items[i]);
    mem_free(names->items);
}

/* The names in a folder, sorted. */
static int list(const struct packing *packing, int folder, const char *path, struct names *names,
                struct error *err)
{
    int copy = fcntl(folder, F_DUPFD_CLOEXEC, 0);
    DIR *entries = copy >= 0 ? fdopendir(copy) : NULL;
    if (!entries) {
        int r = cannot_read(packing, path, err);
        close_descriptor(copy);
        return r;
    }
    for (struct dirent *entry; (entry = readdir(entries));) {
        if (text_equal(entry->d_name, ".") || text_equal(entry->d_name, ".."))
            continue;
        if (names->n_items > CONTEXT_FILES)
            break;
        ARRAY_RESERVE(names->items, names->n_items, names->capacity);
        names->items[names->n_items++] = string_copy(entry->d_name);
    }
    closedir(entries);
    if (names->n_items > 0)
        qsort(names->items, names->n_items, sizeof(char *), compare_names);
    return 0;
}

static int pack_folder(struct packing *packing, int folder, const char *path, unsigned int depth,
                       struct error *err);

static int pack_below(struct packing *packing, int folder, const char *name, const char *path,
                      unsigned int depth, struct error *err)
{
    CLEANUP(close_descriptorp)
    int below = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below < 0)
        return cannot_read(packing, path, err);
    return pack_folder(packing, below, path, depth + 1, err);
}

static int pack_entry(struct packing *packing, int folder, const char *name, const char *path,
                      unsigned int depth, struct error *err)
{
    struct stat status;
    bool is_dockerfile = text_equal(path, packing->dockerfile);
    bool is_out =
        ignore_has(packing->ignore, path) && !is_dockerfile && !text_equal(path, IGNORE_FILE);
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return cannot_read(packing, path, err);
    if (S_ISDIR(status.st_mode)) {
        struct tar_entry entry = {
            .path = path, .kind = TAR_FOLDER, .mode = mode_of(packing, &status)};
        size_t length = strlen(path);
        bool leads_to_dockerfile =
            text_starts_with(packing->dockerfile, path) && packing->dockerfile[length] == '/';
        if (is_out && !ignore_takes_back(packing->ignore) && !leads_to_dockerfile)
            return 0;
        int r = is_out ? 0 : count(packing, 0, err);
        if (r == 0 && !is_out)
            r = tar_begin(&packing->both, &entry, err);
        return r < 0 ? r : pack_below(packing, folder, name, path, depth, err);
    }
    if (is_out)
        return 0;
    packing->has_dockerfile = packing->has_dockerfile || is_dockerfile;
    if (S_ISLNK(status.st_mode))
        return pack_link(packing, folder, name, path, err);
    if (S_ISREG(status.st_mode))
        return pack_file(packing, folder, name, path, err);
    return error_set(err, ERROR_INVALID, "%s/%s is neither a file nor a folder nor a link; %s",
                     packing->folder, path, packing->advice);
}

static int pack_folder(struct packing *packing, int folder, const char *path, unsigned int depth,
                       struct error *err)
{
    CLEANUP(names_done) struct names names = {0};
    if (depth > DEPTH_LIMIT)
        return error_set(err, ERROR_LIMIT, "%s/%s lies deeper than %d folders", packing->folder,
                         path, DEPTH_LIMIT);
    int r = list(packing, folder, path, &names, err);
    for (size_t i = 0; r == 0 && i < names.n_items; i++) {
        CLEANUP(mem_freep)
        char *below =
            *path ? string_format("%s/%s", path, names.items[i]) : string_copy(names.items[i]);
        r = pack_entry(packing, folder, names.items[i], below, depth, err);
    }
    return r;
}

static int read_ignore(const char *folder, struct ignore **ret_ignore, struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/" IGNORE_FILE, folder);
    CLEANUP(mem_freep) char *text = NULL;
    struct error problem = {0};
    size_t size;
    int r = world_read_file(path, IGNORE_BYTES, &text, &size, &problem);
    if (r == -ERROR_NOT_FOUND) {
        error_done(&problem);
        return 0;
    }
    if (r == 0)
        r = ignore_read(text, size, ret_ignore, &problem);
    if (r < 0) {
        error_wrap(&problem, r, "%s", path);
        return error_move(err, &problem);
    }
    return 0;
}

static int open_context(const char *folder, int *ret_fd, struct error *err)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return error_set(err, ERROR_NOT_FOUND, "the folder %s is not there", folder);
    if (fd < 0 && errno == ENOTDIR)
        return error_set(err, ERROR_NOT_FOUND, "%s is no folder", folder);
    if (fd < 0 && (errno == EACCES || errno == EPERM))
        return error_set(err, ERROR_DENIED, "the folder %s cannot be read: %s", folder,
                         strerror(errno));
    if (fd < 0)
        return error_set_errno(err, errno, "open the folder %s", folder);
    *ret_fd = fd;
    return 0;
}

/* Packs with what is left to set, and takes it. pack() writes all entries. */
static int pack_all(struct packing *take_packing, const struct tar_sink *sink,
                    int (*pack)(struct packing *packing, const void *argument, struct error *err),
                    const void *argument, char ret_digest[DIGEST_HEX_SIZE], struct error *err)
{
    struct packing *packing = take_packing;
    packing->sink = sink;
    packing->digest = digest_begin();
    packing->both = (struct tar_sink){write_both, packing};
    int r = pack(packing, argument, err);
    if (r == 0)
        r = tar_end(&packing->both, err);
    digest_end(packing->digest, ret_digest);
    mem_free(packing);
    return r;
}

static int pack_context(struct packing *packing, const void *argument, struct error *err)
{
    const int *fd = argument;
    int r = pack_folder(packing, *fd, "", 0, err);
    if (r == 0 && !packing->has_dockerfile)
        r = error_set(err, ERROR_NOT_FOUND, "%s has no %s", packing->folder, packing->dockerfile);
    return r;
}

int context_pack(const char *folder, const char *dockerfile, const struct tar_sink *sink,
                 char ret_digest[DIGEST_HEX_SIZE], struct error *err)
{
    CLEANUP(ignore_freep) struct ignore *ignore = NULL;
    CLEANUP(close_descriptorp) int fd = -1;
    dockerfile = dockerfile ? dockerfile : CONTEXT_DOCKERFILE;
    while (text_starts_with(dockerfile, "./"))
        dockerfile += 2;
    int r = open_context(folder, &fd, err);
    if (r == 0)
        r = read_ignore(folder, &ignore, err);
    if (r < 0)
        return r;
    struct packing *packing = NEW(struct packing);
    *packing = (struct packing){
        .folder = folder,
        .dockerfile = dockerfile,
        .ignore = ignore,
        .advice = "put what the image does not need into its .dockerignore",
        .most_bytes = CONTEXT_BYTES,
        .most_files = CONTEXT_FILES,
    };
    return pack_all(packing, sink, pack_context, &fd, ret_digest, err);
}

/* --- Files that are shown --- */

/* What is packed as "content": a name in a folder. */
struct shown {
    int folder;
    const char *name;
};

static int pack_shown(struct packing *packing, const void *argument, struct error *err)
{
    const struct shown *shown = argument;
    struct stat status;
    if (fstatat(shown->folder, shown->name, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return error_set(err, ERROR_NOT_FOUND, "%s is not there", packing->folder);
    if (S_ISLNK(status.st_mode))
        return error_set(err, ERROR_INVALID, "%s is a link", packing->folder);
    return pack_entry(packing, shown->folder, shown->name, CONTEXT_CONTENT, 0, err);
}

int context_pack_files(const char *path, const struct tar_sink *sink,
                       char ret_digest[DIGEST_HEX_SIZE], struct error *err)
{
    const char *slash = strrchr(path, '/');
    assert(slash && slash[1]);
    CLEANUP(mem_freep)
    char *folder = string_copy_n(path, slash == path ? 1 : (size_t)(slash - path));
    CLEANUP(close_descriptorp) int fd = -1;
    int r = open_context(folder, &fd, err);
    if (r < 0)
        return r;
    struct packing *packing = NEW(struct packing);
    *packing = (struct packing){
        .folder = path,
        .dockerfile = "",
        .advice = "a volume of the stack holds what is not part of the document",
        .most_bytes = CONTEXT_FILES_BYTES,
        .most_files = CONTEXT_FILES_COUNT,
        .is_plain = true,
    };
    struct shown shown = {fd, slash + 1};
    return pack_all(packing, sink, pack_shown, &shown, ret_digest, err);
}
