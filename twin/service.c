#include "twin/service.h"

#include "base/digest.h"
#include "base/text.h"
#include "base/world.h"
#include "net/program.h"
#include "twin/network.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_LIMIT = 4 * 1024 * 1024, FILE_NAME_LENGTH = 36, CROWD_LIMIT = 32 };

int service_find_program(const char *program, const char *package, char **ret_path,
                         struct error *err)
{
    if (program_find(program, ret_path))
        return 0;
    return error_set(err, ERROR_MISSING,
                     "the program %s is not installed; install the package %s (apt-get install %s)",
                     program, package, package);
}

int service_open_folder(struct twin *twin, const char *name, char **ret_path, struct error *err)
{
    CLEANUP(mem_freep) char *path = NULL;
    int r = twin_folder(twin, name, PROCESS_NOBODY, &path, err);
    if (r < 0)
        return r;
    /* A child that could write here could lead our own writing astray with a link. */
    if (chown(path, geteuid(), getegid()) < 0 || chmod(path, 0755) < 0)
        return error_set_errno(err, errno, "take over the folder %s", name);
    *ret_path = take_ptr(path);
    return 0;
}

int service_make_folder(const char *path, struct error *err)
{
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return error_set_errno(err, errno, "make the folder %s", path);
    if (chmod(path, 0755) < 0)
        return error_set_errno(err, errno, "let children read %s", path);
    return 0;
}

static bool has_content(const char *path, const char *text)
{
    CLEANUP(mem_freep) char *content = NULL;
    return world_read_file(path, FILE_LIMIT, &content, NULL, NULL) == 0 &&
           text_equal(content, text);
}

/* Readable by all children when owner is NULL. A reader finds the old content or the new one, and
 * may always read it. */
static int place_file(const char *path, const char *text, const enum process_user *owner,
                      struct error *err)
{
    CLEANUP(mem_freep) char *draft = string_format("%s.new", path);
    int r = world_write_file(draft, text, strlen(text), 0600, false, err);
    if (r == 0 && owner)
        r = twin_give(draft, *owner, err);
    if (r == 0 && !owner && chmod(draft, 0644) < 0)
        r = error_set_errno(err, errno, "let children read %s", draft);
    if (r == 0 && rename(draft, path) < 0)
        r = error_set_errno(err, errno, "replace %s", path);
    if (r < 0)
        unlink(draft);
    return r;
}

int service_write(const char *path, const char *text, bool *ret_changed, struct error *err)
{
    bool changed = !has_content(path, text);
    int r = changed ? place_file(path, text, NULL, err) : 0;
    if (r == 0 && ret_changed)
        *ret_changed = changed;
    return r;
}

int service_write_secret(const char *path, const char *text, enum process_user user,
                         struct error *err)
{
    return has_content(path, text) ? twin_give(path, user, err)
                                   : place_file(path, text, &user, err);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

void service_remove_folder(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int service_sync_folder(const char *path, struct error *err)
{
    CLEANUP(close_descriptorp) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? error_set_errno(err, errno, "sync the folder %s", path) : 0;
}

bool service_is_same_folder(const char *a, const char *b)
{
    struct stat left, right;
    return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_ino == right.st_ino &&
           left.st_dev == right.st_dev;
}

char *service_file_name(const char *name)
{
    char digest[DIGEST_HEX_SIZE];
    bool is_plain = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(name);
    if (*name && is_plain && strlen(name) <= FILE_NAME_LENGTH)
        return string_copy(name);
    digest_hex(name, strlen(name), digest);
    return string_format("x-%.24s", digest);
}

int service_ask(struct twin *twin, const struct machine_host *host, uint16_t port,
                struct http_exchange *exchange, int64_t deadline, struct error *err)
{
    struct http_stream stream;
    int fd;
    int r = network_socket(twin->network, host->name, AF_INET, SOCK_STREAM, &fd, err);
    if (r < 0)
        return r;
    http_stream_init(&stream, twin->loop, fd);
    r = http_connect(twin->loop, fd, host->ip, port, deadline, err);
    if (r == 0)
        r = http_exchange(&stream, exchange, deadline, err);
    http_stream_done(&stream);
    return r;
}

int service_connect(struct twin *twin, const struct machine_host *host, uint16_t port,
                    int64_t deadline, struct error *err)
{
    CLEANUP(close_descriptorp) int fd = -1;
    int r = network_socket(twin->network, host->name, AF_INET, SOCK_STREAM, &fd, err);
    return r < 0 ? r : http_connect(twin->loop, fd, host->ip, port, deadline, err);
}

/* --- Beside each other --- */

struct crowd {
    struct loop *loop;
    void (*work)(void *argument, size_t index);
    void *argument;
    size_t count;
    size_t next;
    size_t n_running;
    struct gate ended;
};

static CO_FN void work_on(void *argument)
{
    struct crowd *crowd = argument;
    while (crowd->next < crowd->count)
        crowd->work(crowd->argument, crowd->next++);
    crowd->n_running--;
    gate_open(crowd->loop, &crowd->ended);
}

void service_in_parallel(struct loop *loop, size_t count,
                         void (*work)(void *argument, size_t index), void *argument)
{
    struct crowd crowd = {.loop = loop, .work = work, .argument = argument, .count = count};
    crowd.n_running = count < CROWD_LIMIT ? count : CROWD_LIMIT;
    for (size_t i = crowd.n_running; i > 0; i--)
        loop_spawn(loop, "service", work_on, &crowd);
    while (crowd.n_running > 0)
        gate_wait(loop, &crowd.ended, -1, NULL);
}

void service_note(const struct twin *twin, const struct event *event)
{
    if (twin->note)
        twin->note(twin->events, event);
}

void service_report_restarts(struct value_builder *status, unsigned int n_restarts)
{
    if (n_restarts > 0)
        value_builder_set(status, "restarts", value_integer(n_restarts));
}

void service_report_problem(struct value_builder *fields, const struct process *process)
{
    if (process && *process_problem(process))
        value_builder_set_string(fields, "problem", process_problem(process));
}

struct value *service_time(int64_t wall_clock)
{
    char text[WORLD_TIME_SIZE];
    world_format_time(wall_clock, text);
    return value_string(text);
}
