/* The listening end: a socket file that is ours alone, and a coroutine for each connection. */
#include "net/channel.h"

#include "base/memory.h"
#include "net/channel-private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ACCEPT_AGAIN_US = 100000 };

struct channel_server {
    struct loop *loop; /* borrowed */
    int fd;            /* -1 when it was freed and connections are left */
    char *path;        /* owned */
    dev_t device;      /* with inode: the file that we made */
    ino_t inode;
    size_t limit;
    size_t max_connections;
    size_t n_connections;
    void (*serve)(void *argument, struct channel *take_channel);
    void *argument;      /* borrowed */
    struct watch *watch; /* owned */
    struct timer *pause; /* owned; NULL unless it waits for descriptors to become free */
};

struct connection {
    struct channel_server *server; /* borrowed; it stays while n_connections counts us */
    struct channel *channel;       /* owned until it is served */
};

/* Frees what is left when neither the file nor a connection needs it. */
static void server_unref(struct channel_server *server)
{
    if (server->fd >= 0 || server->n_connections > 0)
        return;
    mem_free(server->path);
    mem_free(server);
}

static void watch_again(struct channel_server *server)
{
    if (server->fd >= 0 && !server->pause && server->n_connections < server->max_connections)
        loop_watch_change(server->watch, LOOP_READABLE);
}

static void serve_connection(void *argument)
{
    struct connection connection = *(struct connection *)argument;
    mem_free(argument);
    struct channel_server *server = connection.server;
    /* Whoever stopped listening since it was accepted may have freed the argument. */
    if (server->fd >= 0)
        server->serve(server->argument, connection.channel);
    else
        channel_free(connection.channel);
    server->n_connections--;
    watch_again(server);
    server_unref(server);
}

static void pause_is_over(void *argument)
{
    struct channel_server *server = argument;
    server->pause = NULL;
    watch_again(server);
}

static void add_connection(struct channel_server *server, int take_fd)
{
    struct connection *connection = NEW(struct connection);
    connection->server = server;
    connection->channel = channel_new(server->loop, take_fd, server->limit);
    server->n_connections++;
    loop_spawn(server->loop, "connection", serve_connection, connection);
}

static void accept_connections(void *argument, int events)
{
    struct channel_server *server = argument;
    (void)events;
    while (server->n_connections < server->max_connections) {
        int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            add_connection(server, fd);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        if (errno == EAGAIN)
            return;
        /* Most likely there are no descriptors left; those who connect wait meanwhile. */
        server->pause = loop_timer(server->loop, ACCEPT_AGAIN_US, pause_is_over, server);
        break;
    }
    loop_watch_change(server->watch, 0);
}

/*
 * Takes a lock on the folder of a path, so that of two who find the same dead socket file the
 * slower one does not remove the living one that the faster one has made.
 */
static int lock_folder_of(const char *path, int *ret_fd, struct error *err)
{
    CLEANUP(mem_freep) char *copy = string_copy(path);
    const char *folder = dirname(copy);
    CLEANUP(close_descriptorp) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return error_set(err, ERROR_NOT_FOUND, "there is no folder %s", folder);
    if (fd < 0)
        return error_set_errno(err, errno, "open the folder %s", folder);
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return error_set_errno(err, errno, "lock the folder %s", folder);
    *ret_fd = take_descriptor(&fd);
    return 0;
}

/* Removes a socket file on which nobody answers. */
static int remove_dead_file(const struct sockaddr_un *address, struct error *err)
{
    const char *path = address->sun_path;
    struct stat status;
    if (lstat(path, &status) == 0 && !S_ISSOCK(status.st_mode))
        return error_set(err, ERROR_EXISTS, "%s is there already and is no socket", path);
    CLEANUP(close_descriptorp)
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set_errno(err, errno, "make a socket for %s", path);
    int r = connect(fd, (const struct sockaddr *)address, sizeof(*address));
    if (r == 0 || errno == EAGAIN || errno == EPROTOTYPE)
        return error_set(err, ERROR_BUSY, "somebody listens on %s already", path);
    if (errno == ECONNREFUSED && unlink(path) < 0 && errno != ENOENT)
        return error_set_errno(err, errno, "remove the old socket %s", path);
    if (errno == ECONNREFUSED || errno == ENOENT)
        return 0;
    return error_set_errno(err, errno, "look whether somebody listens on %s", path);
}

int channel_remove_dead(const char *path, struct error *err)
{
    struct sockaddr_un address;
    CLEANUP(close_descriptorp) int folder = -1;
    int r = channel_address(path, &address, err);
    if (r < 0 || (r = lock_folder_of(path, &folder, err)) < 0)
        return r;
    return remove_dead_file(&address, err);
}

/* Gives the socket its name in the file system, for its owner alone from the first moment on. */
static int bind_socket(int fd, const struct sockaddr_un *address, struct error *err)
{
    CLEANUP(close_descriptorp) int folder = -1;
    int r = lock_folder_of(address->sun_path, &folder, err);
    if (r < 0)
        return r;
    if (fchmod(fd, 0600) < 0)
        return error_set_errno(err, errno, "choose the mode of %s", address->sun_path);
    const struct sockaddr *any = (const struct sockaddr *)address;
    r = bind(fd, any, sizeof(*address));
    if (r < 0 && errno == EADDRINUSE) {
        if ((r = remove_dead_file(address, err)) < 0)
            return r;
        r = bind(fd, any, sizeof(*address));
    }
    /* It must listen before the lock is gone, else it looks dead. */
    if (r < 0 || listen(fd, SOMAXCONN) < 0)
        return error_set_errno(err, errno, "listen on %s", address->sun_path);
    return 0;
}

int channel_listen(struct loop *loop, const char *path, size_t limit, size_t max_connections,
                   void (*serve)(void *argument, struct channel *take_channel), void *argument,
                   struct channel_server **ret_server, struct error *err)
{
    assert(serve && limit > 0 && max_connections > 0);
    struct sockaddr_un address;
    int r = channel_address(path, &address, err);
    if (r < 0)
        return r;
    CLEANUP(close_descriptorp)
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set_errno(err, errno, "make a socket for %s", path);
    r = bind_socket(fd, &address, err);
    if (r < 0)
        return r;
    struct stat status = {0};
    if (lstat(path, &status) < 0)
        return error_set_errno(err, errno, "look at %s", path);
    struct channel_server *server = NEW(struct channel_server);
    *server = (struct channel_server){.loop = loop,
                                      .fd = take_descriptor(&fd),
                                      .path = string_copy(path),
                                      .device = status.st_dev,
                                      .inode = status.st_ino,
                                      .limit = limit,
                                      .max_connections = max_connections,
                                      .serve = serve,
                                      .argument = argument};
    server->watch = loop_watch(loop, server->fd, LOOP_READABLE, accept_connections, server);
    *ret_server = server;
    return 0;
}

void channel_server_free(struct channel_server *server)
{
    if (!server)
        return;
    loop_unwatch(take_ptr(server->watch));
    loop_timer_cancel(take_ptr(server->pause));
    struct stat status;
    /* Somebody may have removed our file, and a successor may have made another. */
    if (lstat(server->path, &status) == 0 && status.st_dev == server->device &&
        status.st_ino == server->inode)
        unlink(server->path);
    close_descriptor(server->fd);
    server->fd = -1;
    server_unref(server);
}
