#include "loopback.h"

#include "base/strbuf.h"
#include "base/world.h"
#include "twin/cage.h"
#include "twin/network.h"
#include "twin/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

bool loopback_has_resource;
bool loopback_is_broken;
char loopback_moved_address[32];
char loopback_moved_host[64];

/* --- In place of the sandbox and the network --- */

/* A child of twin/process.c enters its host's cage: here it stays where it is. */
struct cages {
    char nothing;
};

int cages_new(struct loop *loop, struct network *network, struct cages **ret_cages,
              struct error *err)
{
    (void)loop;
    (void)network;
    (void)err;
    *ret_cages = NEW(struct cages);
    return 0;
}

void cages_free(struct cages *cages)
{
    mem_free(cages);
}

void cages_foresee(struct cages *cages, const char *host)
{
    (void)cages;
    (void)host;
}

int cage_open(struct cage_door *door, const char *program, struct error *err)
{
    (void)door;
    (void)program;
    (void)err;
    return 0;
}

void cage_close(struct cage_door *door)
{
    (void)door;
}

pid_t cage_fork(void *door)
{
    (void)door;
    return fork();
}

int cage_enter(const struct cage_door *door)
{
    return chdir(door->folder ? door->folder : "/") < 0 ? -errno : 0;
}

char *cage_own_proc(const struct cage_door *door)
{
    (void)door;
    return string_copy("/proc");
}

int cage_await_end(struct cages *cages, const char *host, int64_t deadline, struct error *err)
{
    (void)cages;
    (void)host;
    (void)deadline;
    (void)err;
    return 0;
}

bool cage_begins_with(const struct cages *cages, pid_t pid)
{
    (void)cages;
    (void)pid;
    return false;
}

int cage_find(struct cages *cages, const char *host, pid_t *ret_pid, struct error *err)
{
    (void)cages;
    (void)ret_pid;
    return error_set(err, ERROR_NOT_FOUND, "there is no host %s", host);
}

int network_socket(struct network *network, const char *host, int domain, int type, int *ret_fd,
                   struct error *err)
{
    (void)network;
    (void)host;
    int fd = socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set_errno(err, errno, "make a socket");
    *ret_fd = fd;
    return 0;
}

int network_move_address(struct network *network, uint32_t ip, const char *host, struct error *err)
{
    struct in_addr address = {htonl(ip)};
    (void)network;
    (void)err;
    inet_ntop(AF_INET, &address, loopback_moved_address, sizeof(loopback_moved_address));
    snprintf(loopback_moved_host, sizeof(loopback_moved_host), "%s", host ? host : "");
    return 0;
}

static const char *const user_names[] = {
    [PROCESS_NOBODY] = "nobody", [PROCESS_POSTGRES] = "postgres"};

/* Changing the user forgets the death signal, hence the order: a test that dies leaves nothing. */
int sandbox_drop_privileges(enum process_user user)
{
    const struct passwd *entry = getpwnam(user_names[user]);
    if (geteuid() == 0 && (!entry || setgroups(0, NULL) < 0 || setgid(entry->pw_gid) < 0 ||
                           setuid(entry->pw_uid) < 0))
        return -EPERM;
    return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
}

int sandbox_drop_but(enum process_user user, int capability)
{
    return capability == 0 ? sandbox_drop_privileges(user) : -EPERM;
}

int sandbox_drop_to(uid_t user, gid_t group)
{
    (void)user;
    (void)group;
    return sandbox_drop_privileges(PROCESS_NOBODY);
}

void sandbox_nobody(uid_t *ret_user, gid_t *ret_group)
{
    *ret_user = 65534;
    *ret_group = 65534;
}

int twin_give(const char *path, enum process_user user, struct error *err)
{
    const struct passwd *entry = getpwnam(user_names[user]);
    if (geteuid() != 0)
        return 0;
    if (!entry || lchown(path, entry->pw_uid, entry->pw_gid) < 0)
        return error_set_errno(err, errno, "give %s away", path);
    return 0;
}

static char *state_folder;

int twin_folder(struct twin *twin, const char *name, enum process_user user, char **ret_path,
                struct error *err)
{
    (void)twin;
    char *path = string_format("%s/%s", state_folder, name);
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        mem_free(path);
        return error_set_errno(err, errno, "make the folder %s", name);
    }
    *ret_path = path;
    return twin_give(path, user, err);
}

int outer_listen(struct outer *outer, uint16_t port, int *ret_fd, uint16_t *ret_port,
                 struct error *err)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    (void)outer;
    CLEANUP(close_descriptorp)
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 128) < 0)
        return error_set(err, ERROR_EXISTS, "port %u is taken", port);
    getsockname(fd, (struct sockaddr *)&address, &size);
    *ret_port = ntohs(address.sin_port);
    *ret_fd = take_descriptor(&fd);
    return 0;
}

/* --- Converging, in place of converge.c --- */

/* Which modules loopback_converge() runs now, and which of them have ended. */
static struct {
    bool is_running[MODULE_COUNT];
    size_t n_running;
    struct gate changed;
} run;

struct turn {
    const struct loopback_module *module;
    struct loop *loop;
    struct machine *machine;
    struct problems *problems;
};

void twin_wait_for(struct twin *twin, enum module_id module, uint64_t generation)
{
    (void)generation;
    while (run.is_running[module])
        gate_wait(twin->loop, &run.changed, -1, NULL);
}

static CO_FN void take_turn(void *argument)
{
    const struct turn *turn = argument;
    const struct loopback_module *module = turn->module;
    module->ops->converge(module->opened, turn->machine, turn->problems);
    run.is_running[module->id] = false;
    run.n_running--;
    gate_open(turn->loop, &run.changed);
}

size_t loopback_converge(struct loopback *loopback, const struct loopback_module *modules, size_t n,
                         struct machine *machine)
{
    struct loop *loop = loopback->twin.loop;
    struct problems problems = {0};
    struct turn turns[MODULE_COUNT];
    run.n_running = n;
    for (size_t i = 0; i < n; i++)
        run.is_running[modules[i].id] = true;
    for (size_t i = 0; i < n; i++) {
        turns[i] = (struct turn){&modules[i], loop, machine, &problems};
        loop_spawn(loop, modules[i].ops->name, take_turn, &turns[i]);
    }
    while (run.n_running > 0)
        gate_wait(loop, &run.changed, -1, NULL);
    size_t n_problems = loopback_print_problems(&problems);
    problems_done(&problems);
    return n_problems;
}

void twin_wake(struct twin *twin, enum module_id module)
{
    (void)twin;
    (void)module;
}

bool twin_keeps(struct twin *twin)
{
    (void)twin;
    return false;
}

bool twin_has_resource(struct twin *twin, const char *resource)
{
    (void)twin;
    (void)resource;
    return loopback_has_resource;
}

/* --- The stage --- */

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

struct stage {
    struct loopback *loopback;
    void (*work)(struct loopback *loopback, void *argument);
    void *argument;
};

static CO_FN void play(void *argument)
{
    struct stage *stage = argument;
    struct loopback *loopback = stage->loopback;
    CLEANUP(mem_freep) char *logs = string_format("%s/logs", loopback->folder);
    struct error err = {0};
    if (processes_new(loopback->twin.loop, NULL, logs, &loopback->twin.processes, &err) < 0) {
        printf("# %s\n", error_message(&err));
        abort();
    }
    stage->work(loopback, stage->argument);
    processes_free(loopback->twin.processes);
    loop_stop(loopback->twin.loop);
}

/* 127.x.y.0 with random x and y: tests of other processes have theirs. */
static void choose_network(struct loopback *loopback)
{
    unsigned char random[2];
    world_random(random, sizeof(random));
    loopback->base = 127u << 24 | (uint32_t)(random[0] % 200 + 50) << 16 | (uint32_t)random[1] << 8;
    snprintf(loopback->subnet, sizeof(loopback->subnet), "127.%u.%u.0/24",
             loopback->base >> 16 & 255, loopback->base >> 8 & 255);
    loopback->network = (struct machine_network){.name = "loopback",
                                                 .bridge = "lo",
                                                 .base = loopback->base,
                                                 .prefix = 24,
                                                 .gateway = loopback->base + 1,
                                                 .subnet = loopback->subnet,
                                                 .gateway_text = "127.0.0.1"};
}

void loopback_run(void (*work)(struct loopback *loopback, void *argument), void *argument)
{
    struct loopback loopback = {.folder = "/tmp/parley-XXXXXX"};
    struct stage stage = {&loopback, work, argument};
    mode_t before = umask(077);
    if (!mkdtemp(loopback.folder) || chmod(loopback.folder, 0711) < 0)
        abort();
    state_folder = loopback.folder;
    choose_network(&loopback);
    loopback.twin = (struct twin){.loop = loop_new(),
                                  .folder = loopback.folder,
                                  .shown_folder = "STATE",
                                  .program = getenv("PARLEY_TWIN")};
    loop_spawn(loopback.twin.loop, "test", play, &stage);
    loop_run(loopback.twin.loop);
    if (!loopback_is_broken) {
        loop_free(loopback.twin.loop);
        coroutine_pool_done();
    }
    loopback_is_broken = false;
    nftw(loopback.folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    umask(before);
}

const struct machine_host *loopback_host(struct loopback *loopback, struct machine *machine,
                                         const char *name, unsigned int n, enum machine_role role)
{
    struct machine_host *host = machine_memory(machine, 1, sizeof(*host));
    char address[MACHINE_ADDRESS_SIZE];
    machine_address_to_text(loopback->base + n, address);
    *host = (struct machine_host){.name = machine_text(machine, "%s", name),
                                  .resource = machine_text(machine, "uid-%s", name),
                                  .network = &loopback->network,
                                  .ip = loopback->base + n,
                                  .address = machine_text(machine, "%s", address),
                                  .role = role};
    return host;
}

size_t loopback_print_problems(const struct problems *problems)
{
    for (size_t i = 0; i < problems->n_items; i++)
        printf("# %s: %s\n", problems->items[i].resource, error_message(&problems->items[i].err));
    return problems->n_items;
}
