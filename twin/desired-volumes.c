/* What a service of a stack finds among its files: "NAME:PATH[:ro]", "/SOURCE:PATH:ro" and
 * "PATH[:size=16m]". */
#include "twin/desiring-stacks.h"

#include "base/digest.h"
#include "base/text.h"

#include <string.h>

enum { MOUNTS_LIMIT = 64, PATH_LIMIT = 1024 };
/* Of memory, when nothing is said. */
#define MEMORY_SIZE (INT64_C(64) << 20)
#define MOST_MEMORY (INT64_C(1) << 40)

/* What a host cannot do without, or has for the twin. */
static const char *const taken[] = {"/proc", "/sys", "/dev", "/run/twin"};

static bool is_at_or_below(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* Absolute, and nothing in it that leads anywhere else than it says. */
static bool is_plain(const char *path)
{
    size_t length = strlen(path);
    if (path[0] != '/' || length < 2 || length > PATH_LIMIT)
        return false;
    for (const char *part = path; *part; part += 1 + strcspn(part + 1, "/")) {
        size_t size = strcspn(part + 1, "/");
        if (size == 0 || strncmp(part, "/.", size + 1) == 0 || strncmp(part, "/..", size + 1) == 0)
            return false;
    }
    for (const char *c = path; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return false;
    return true;
}

/* Adds one when its target is free. */
static int add(struct desiring *desiring, const char *service, const struct machine_mount *mount,
               struct machine_workload *workload)
{
    if (!is_plain(mount->target))
        return desiring_fault(desiring, ERROR_INVALID,
                              "%s of %s is no path such as /data, without . and ..", mount->target,
                              service);
    for (size_t i = 0; i < ARRAY_LENGTH(taken); i++)
        if (is_at_or_below(mount->target, taken[i]))
            return desiring_fault(desiring, ERROR_INVALID, "nothing can be mounted at %s of %s",
                                  mount->target, service);
    for (size_t i = 0; i < workload->n_mounts; i++)
        if (is_at_or_below(mount->target, workload->mounts[i].target) ||
            is_at_or_below(workload->mounts[i].target, mount->target))
            return desiring_fault(desiring, ERROR_INVALID,
                                  "%s has both %s and %s, one in the other", service,
                                  workload->mounts[i].target, mount->target);
    if (workload->n_mounts == MOUNTS_LIMIT)
        return desiring_fault(desiring, ERROR_LIMIT, "%s has more than %d volumes", service,
                              MOUNTS_LIMIT);
    workload->mounts[workload->n_mounts++] = *mount;
    return 0;
}

/* Takes what stands behind the last colon, if it does; the text is shortened. */
static const char *take_option(char *text)
{
    char *colon = strrchr(text, ':');
    if (!colon)
        return NULL;
    *colon = '\0';
    return colon + 1;
}

static bool is_declared(const struct desiring *desiring, const char *name)
{
    const struct value *volumes = value_get(desiring_spec(desiring), "volumes");
    return !value_is_null(volumes) && value_kind(volumes) == VALUE_MAP && value_get(volumes, name);
}

/* The digest of what the driver has copied for that source, or NULL. */
static const char *find_copy(struct desiring *desiring, const char *source)
{
    const struct value *files = value_get(desiring_spec(desiring), "files");
    bool is_map = !value_is_null(files) && value_kind(files) == VALUE_MAP;
    const char *digest = is_map ? value_get_text(files, source) : NULL;
    bool is_one = digest && strlen(digest) == DIGEST_HEX_SIZE - 1 &&
                  strspn(digest, "0123456789abcdef") == DIGEST_HEX_SIZE - 1;
    return is_one ? desiring_text(desiring, digest) : NULL;
}

/* NAME:PATH, NAME:PATH:ro, NAME:PATH:rw, /SOURCE:PATH:ro */
static int add_volume(struct desiring *desiring, const char *service, const char *text,
                      struct machine_workload *workload)
{
    CLEANUP(mem_freep) char *copy = string_copy(text);
    char *target = strchr(copy, ':');
    if (!target)
        return desiring_fault(desiring, ERROR_INVALID, "the volume %s of %s is not NAME:PATH", text,
                              service);
    *target++ = '\0';
    const char *mode = take_option(target);
    if (mode && !text_equal(mode, "ro") && !text_equal(mode, "rw"))
        return desiring_fault(desiring, ERROR_INVALID,
                              "what stands last in the volume %s of %s is neither ro nor rw", text,
                              service);
    struct machine_mount mount = {.target = desiring_text(desiring, target),
                                  .is_read_only = mode && text_equal(mode, "ro")};
    if (copy[0] == '/') {
        mount.copy = find_copy(desiring, copy);
        if (!mount.copy || !mount.is_read_only)
            return desiring_fault(desiring, ERROR_UNSUPPORTED,
                                  "%s of %s is no copy of a document's files, which are read only",
                                  text, service);
        return add(desiring, service, &mount, workload);
    }
    if (!text_is_name(copy))
        return desiring_fault(desiring, ERROR_UNSUPPORTED,
                              "the volume %s of %s has no name; folders of the machine are not "
                              "for services of the twin",
                              text, service);
    if (!is_declared(desiring, copy))
        return desiring_fault(desiring, ERROR_INVALID,
                              "the volume %s of %s is not among the volumes of the stack", copy,
                              service);
    mount.volume = desiring_text(desiring, copy);
    return add(desiring, service, &mount, workload);
}

/* "16m" in bytes, as Docker writes it; 0 when it is none. */
static int64_t read_memory(const char *text)
{
    static const char units[] = "bkmg";
    size_t n_digits = strspn(text, "0123456789");
    CLEANUP(mem_freep) char *digits = string_copy_n(text, n_digits);
    const char *unit = text[n_digits] ? strchr(units, text[n_digits] | 0x20) : units;
    int64_t count = 0;
    if (n_digits == 0 || n_digits > 10 || !unit || (text[n_digits] && text[n_digits + 1]) ||
        !text_to_integer(digits, &count))
        return 0;
    count <<= 10 * (unit - units);
    return count <= MOST_MEMORY ? count : 0;
}

/* PATH, PATH:size=16m */
static int add_memory(struct desiring *desiring, const char *service, const char *text,
                      struct machine_workload *workload)
{
    CLEANUP(mem_freep) char *target = string_copy(text);
    const char *option = take_option(target);
    int64_t size = MEMORY_SIZE;
    if (option)
        size = text_starts_with(option, "size=") ? read_memory(option + strlen("size=")) : 0;
    if (size <= 0)
        return desiring_fault(desiring, ERROR_INVALID,
                              "the tmpfs %s of %s is not PATH or PATH:size=16m", text, service);
    struct machine_mount mount = {.target = desiring_text(desiring, target), .size = size};
    return add(desiring, service, &mount, workload);
}

static int read_list(struct desiring *desiring, const struct value *service, const char *name,
                     const char *field, struct machine_workload *workload)
{
    const struct value *list = value_get(service, field);
    int r = 0;
    if (value_is_null(list))
        return 0;
    if (value_kind(list) != VALUE_LIST)
        return desiring_fault(desiring, ERROR_INVALID, "%s of %s is not a list", field, name);
    for (size_t i = 0; r == 0 && i < value_count(list); i++) {
        const struct value *item = value_at(list, i);
        const char *text = value_kind(item) == VALUE_STRING ? value_text(item) : "";
        r = text_equal(field, "tmpfs") ? add_memory(desiring, name, text, workload)
                                       : add_volume(desiring, name, text, workload);
    }
    return r;
}

int desire_mounts(struct desiring *desiring, const struct value *service, const char *name,
                  struct machine_workload *workload)
{
    workload->mounts = machine_memory(desiring->machine, MOUNTS_LIMIT, sizeof(*workload->mounts));
    int r = read_list(desiring, service, name, "volumes", workload);
    return r < 0 ? r : read_list(desiring, service, name, "tmpfs", workload);
}
