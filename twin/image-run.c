#include "twin/image-run.h"

#include "base/strbuf.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SETTINGS_LIMIT = 1 << 20, MOST_ID = 0x7fffffff };
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static void free_texts(char **texts)
{
    for (size_t i = 0; texts && texts[i]; i++)
        mem_free(texts[i]);
    mem_free(texts);
}

void image_run_free(struct image_run *run)
{
    if (!run)
        return;
    mem_free(run->root);
    free_texts(run->arguments);
    free_texts(run->environment);
    mem_free(run->folder);
    mem_free(run);
}

/* An image's links lead nowhere but into the image. */
static int open_within(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* The caller frees it; NULL when it cannot be read. */
static char *read_within(int root, const char *path)
{
    struct strbuf text = {0};
    char piece[4096];
    ssize_t n;
    CLEANUP(close_descriptorp) int fd = open_within(root, path, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    while (text.length < SETTINGS_LIMIT && (n = read(fd, piece, sizeof(piece))) > 0)
        strbuf_add_n(&text, piece, (size_t)n);
    return strbuf_take(&text);
}

/* --- Who runs it --- */

static bool read_id(const char *text, size_t length, int64_t *ret_id)
{
    CLEANUP(mem_freep) char *digits = string_copy_n(text, length);
    return text_to_integer(digits, ret_id) && *ret_id >= 0 && *ret_id <= MOST_ID;
}

/* The text of a field, counted from 0, of a line. */
static const char *field_of(const char *line, unsigned int number, size_t *ret_length)
{
    for (; number > 0; number--) {
        line += strcspn(line, ":\n");
        if (*line != ':')
            return NULL;
        line++;
    }
    *ret_length = strcspn(line, ":\n");
    return line;
}

/* The line whose field is this text, or NULL. */
static const char *find_line(const char *lines, unsigned int number, const char *text,
                             size_t length)
{
    for (const char *line = lines; line && *line;) {
        size_t n;
        const char *field = field_of(line, number, &n);
        if (field && n == length && strncmp(field, text, length) == 0)
            return line;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return NULL;
}

static bool read_field(const char *line, unsigned int number, int64_t *ret_id)
{
    size_t length;
    const char *field = line ? field_of(line, number, &length) : NULL;
    return field && read_id(field, length, ret_id);
}

/* The name of 0 also in an image that has no files about users; the Docker Engine refuses it there,
 * where it takes only the number. */
static bool is_root(const char *text, size_t length)
{
    return length == strlen("root") && strncmp(text, "root", length) == 0;
}

bool image_find_user(const char *text, const char *users, const char *groups, uid_t *ret_user,
                     gid_t *ret_group)
{
    size_t length = strcspn(text, ":");
    const char *group_text = text[length] == ':' ? text + length + 1 : "";
    int64_t user = 0, group = 0;
    const char *line;
    if (length == 0) {
        user = 0;
    } else if (read_id(text, length, &user)) {
        line = find_line(users, 2, text, length);
        read_field(line, 3, &group);
    } else {
        line = find_line(users, 0, text, length);
        bool is_told = read_field(line, 2, &user) && read_field(line, 3, &group);
        if (!is_told && !is_root(text, length))
            return false;
    }
    size_t group_length = strlen(group_text);
    if (group_length > 0 && !read_id(group_text, group_length, &group) &&
        !read_field(find_line(groups, 0, group_text, group_length), 2, &group)) {
        if (!is_root(group_text, group_length))
            return false;
        group = 0;
    }
    *ret_user = (uid_t)user;
    *ret_group = (gid_t)group;
    return true;
}

static int find_user(struct image_run *run, int root, const struct machine_image *image,
                     struct image_nobody nobody, struct error *err)
{
    CLEANUP(mem_freep) char *users = read_within(root, "etc/passwd");
    CLEANUP(mem_freep) char *groups = read_within(root, "etc/group");
    if (!image_find_user(image->user, users, groups, &run->user, &run->group))
        return error_set(err, ERROR_MISSING,
                         "the image %s has no user %s: its /etc/passwd and /etc/group name none; "
                         "add one, or say USER with a number",
                         image->name, image->user);
    run->is_demoted = run->user == 0;
    if (run->is_demoted)
        run->user = nobody.user;
    if (run->group == 0)
        run->group = nobody.group;
    return 0;
}

/* --- What is run --- */

static const char *variable_of(const struct machine_image *image, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < image->n_environment; i++)
        if (text_starts_with(image->environment[i], name) && image->environment[i][length] == '=')
            return image->environment[i] + length + 1;
    return NULL;
}

static bool is_program(int root, const char *path)
{
    struct stat status;
    CLEANUP(close_descriptorp) int fd = open_within(root, path, O_PATH);
    return fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
           (status.st_mode & 0111) != 0;
}

/* A path in the image; the caller frees it, NULL: there is none. */
static char *find_program(int root, const struct machine_image *image, const char *folder)
{
    const char *name = image->arguments[0];
    const char *search = variable_of(image, "PATH");
    if (strchr(name, '/')) {
        char *path = name[0] == '/' ? string_copy(name) : string_format("%s/%s", folder, name);
        if (!is_program(root, path))
            mem_free(take_ptr(path));
        return path;
    }
    for (search = search ? search : DEFAULT_PATH; *search;) {
        size_t length = strcspn(search, ":");
        char *path = string_format("%.*s/%s", (int)length, search, name);
        if (path[0] == '/' && is_program(root, path))
            return path;
        mem_free(path);
        search += length + (search[length] == ':');
    }
    return NULL;
}

static void copy_arguments(struct image_run *run, const struct machine_image *image,
                           char *take_program)
{
    run->arguments = NEW_ARRAY(char *, image->n_arguments + 1);
    run->arguments[0] = take_program;
    for (size_t i = 1; i < image->n_arguments; i++)
        run->arguments[i] = string_copy(image->arguments[i]);
}

static void copy_environment(struct image_run *run, const struct machine_image *image)
{
    size_t n = 0;
    run->environment = NEW_ARRAY(char *, image->n_environment + 3);
    if (!variable_of(image, "PATH"))
        run->environment[n++] = string_copy("PATH=" DEFAULT_PATH);
    if (!variable_of(image, "HOME"))
        run->environment[n++] = string_copy("HOME=/");
    for (size_t i = 0; i < image->n_environment; i++)
        run->environment[n++] = string_copy(image->environment[i]);
}

int image_run_make(const char *state_folder, const struct machine_image *image,
                   struct image_nobody nobody, struct image_run **ret_run, struct error *err)
{
    CLEANUP(image_run_freep) struct image_run *run = NEW(struct image_run);
    run->root = string_format("%s/images/%s", state_folder, image->folder);
    run->folder = string_copy(*image->working_folder ? image->working_folder : "/");
    CLEANUP(close_descriptorp) int root = open(run->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_set(err, ERROR_MISSING,
                         "the files of the image %s are not in the twin's folder any more; change "
                         "its context or destroy it, so that it is built again",
                         image->name);
    int r = find_user(run, root, image, nobody, err);
    if (r < 0)
        return r;
    char *program = find_program(root, image, run->folder);
    if (!program)
        return error_set(err, ERROR_MISSING, "the image %s has no program %s", image->name,
                         image->arguments[0]);
    copy_arguments(run, image, program);
    copy_environment(run, image);
    *ret_run = take_ptr(run);
    return 0;
}
