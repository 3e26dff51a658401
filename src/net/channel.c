/*
 * Lines over a Unix socket or a pair of streams. No call may block, and a descriptor's own flags
 * may be shared with another process: how each kind of end is kept from blocking is enum end_kind.
 * A closed other end is an error, not a signal.
 */
#include "net/channel.h"

#include "base/memory.h"
#include "base/world.h"
#include "net/channel-private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    READ_SIZE = 16384,
    KEPT_CAPACITY = 4 * READ_SIZE, /* of a buffer that is empty */
    READS_IN_A_TURN = 16,
    CONNECT_AGAIN_US = 5000,
};

enum end_kind {
    END_SOCKET, /* each call says that it must not */
    END_PIPE,   /* an open file of our own, which never does */
    END_OTHER,  /* asked first whether it would */
};

struct channel {
    struct loop *loop; /* borrowed */
    int fd;
    int output; /* where lines are sent; the same as fd, but for a pair of streams */
    enum end_kind input_kind, output_kind;
    struct lookout incoming;
    size_t limit;
    char *buffer; /* owned; what was received and not given out yet */
    size_t capacity;
    size_t start;    /* of the next line in it */
    size_t searched; /* no newline from start to here */
    size_t end;
    unsigned int n_reads;
    bool is_drained;        /* what was read last was all there was */
    bool is_at_end;         /* nothing more will come */
    bool is_receive_broken; /* a line was too long */
    bool is_send_broken;    /* only a part of a line was sent */
    bool is_receiving;
    bool is_sending;
};

int channel_address(const char *path, struct sockaddr_un *ret_address, struct error *err)
{
    size_t length = strlen(path);
    if (length == 0 || length >= CHANNEL_PATH_SIZE)
        return error_set(err, ERROR_INVALID,
                         "the path of a socket has 1 to %d bytes, this one has %zu: %s",
                         CHANNEL_PATH_SIZE - 1, length, path);
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret_address->sun_path, path, length);
    return 0;
}

struct channel *channel_new(struct loop *loop, int take_fd, size_t limit)
{
    assert(loop && take_fd >= 0 && limit > 0);
    struct channel *channel = NEW(struct channel);
    channel->loop = loop;
    channel->fd = channel->output = take_fd;
    channel->input_kind = channel->output_kind = END_SOCKET;
    channel->limit = limit;
    return channel;
}

/*
 * Puts an open file of our own in the place of one end of a pipe. False when there is none to be
 * had: the pipe may be another user's, /proc may be missing. One that has a name in the file system
 * is left alone: opened anew, it does not tell that nobody is at its other end.
 */
static bool open_anew(int fd, int access)
{
    struct statfs system;
    char path[32];
    if (fstatfs(fd, &system) < 0 || system.f_type != PIPEFS_MAGIC)
        return false;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CLEANUP(close_descriptorp) int own = open(path, access | O_NONBLOCK | O_CLOEXEC);
    return own >= 0 && dup3(own, fd, O_CLOEXEC) >= 0;
}

static enum end_kind prepare_end(int fd, int access)
{
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode))
        return END_SOCKET;
    return open_anew(fd, access) ? END_PIPE : END_OTHER;
}

struct channel *channel_new_pair(struct loop *loop, int take_input, int take_output, size_t limit)
{
    struct channel *channel = channel_new(loop, take_input, limit);
    channel->output = take_output;
    channel->input_kind = prepare_end(take_input, O_RDONLY);
    channel->output_kind = prepare_end(take_output, O_WRONLY);
    return channel;
}

void channel_free(struct channel *channel)
{
    if (!channel)
        return;
    assert(!channel->is_receiving && !channel->is_sending);
    lookout_end(channel->loop, &channel->incoming);
    close_descriptor(channel->fd);
    if (channel->output != channel->fd)
        close_descriptor(channel->output);
    mem_free(channel->buffer);
    mem_free(channel);
}

void channel_shut(struct channel *channel)
{
    shutdown(channel->fd, SHUT_RDWR);
}

static int explain_connect(const char *path, int reason, struct error *err)
{
    switch (reason) {
    case ENOENT:
    case ECONNREFUSED:
        return error_set(err, ERROR_NOT_FOUND, "nobody listens on %s", path);
    case EACCES:
    case EPERM:
        return error_set(err, ERROR_DENIED, "%s belongs to somebody else", path);
    default:
        return error_set_errno(err, reason, "connect to %s", path);
    }
}

CO_FN int channel_connect(struct loop *loop, const char *path, size_t limit, int64_t deadline,
                          struct channel **ret_channel, struct error *err)
{
    struct sockaddr_un address;
    int r = channel_address(path, &address, err);
    if (r < 0)
        return r;
    CLEANUP(close_descriptorp)
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set_errno(err, errno, "make a socket for %s", path);
    while (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        if (errno != EAGAIN && errno != EINTR)
            return explain_connect(path, errno, err);
        /* Its queue is full, and nothing tells when it is so no more. */
        if (deadline >= 0 && world_monotonic_clock() >= deadline)
            return error_set(err, ERROR_TIMEOUT, "%s did not answer before the deadline", path);
        loop_sleep(loop, CONNECT_AGAIN_US);
    }
    *ret_channel = channel_new(loop, take_descriptor(&fd), limit);
    return 0;
}

static bool is_ready(int fd, short events)
{
    struct pollfd watched = {.fd = fd, .events = events};
    int n;
    do {
        n = poll(&watched, 1, 0);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

/* What has room takes as much as this without blocking (pipe(7)), whatever its flags are, which may
 * be shared with another process. */
static ssize_t write_rest(int fd, const char *line, size_t length, size_t sent)
{
    char part[PIPE_BUF];
    size_t n = MIN(length - sent, sizeof(part));
    memcpy(part, line + sent, n);
    if (n < sizeof(part))
        part[n++] = '\n';
    if (!is_ready(fd, POLLOUT)) {
        errno = EAGAIN;
        return -1;
    }
    ssize_t written;
    do {
        written = write(fd, part, n);
    } while (written < 0 && errno == EINTR);
    return written;
}

/* Sends what the socket takes of the rest of a line and its newline; negative: errno is set. */
static ssize_t send_rest(const struct channel *channel, const char *line, size_t length,
                         size_t sent)
{
    int fd = channel->output;
    if (channel->output_kind == END_OTHER)
        return write_rest(fd, line, length, sent);
    struct iovec parts[2] = {{(void *)(uintptr_t)(line + sent), length - sent},
                             {(void *)(uintptr_t) "\n", 1}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t n;
    do {
        n = channel->output_kind == END_PIPE ? writev(fd, parts, 2)
                                             : sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n;
}

static CO_FN int send_line(struct channel *channel, const char *line, size_t length,
                           int64_t deadline, struct error *err)
{
    size_t sent = 0;
    while (sent < length + 1) {
        ssize_t n = send_rest(channel, line, length, sent);
        if (n >= 0) {
            sent += (size_t)n;
            continue;
        }
        int r;
        if (errno == EAGAIN)
            r = loop_wait_fd(channel->loop, channel->output, LOOP_WRITABLE, deadline, err);
        else if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
            r = error_set(err, ERROR_UNAVAILABLE, "the other end has closed the connection");
        else
            r = error_set_errno(err, errno, "send a line");
        if (r < 0) {
            channel->is_send_broken = sent > 0;
            return r;
        }
    }
    return 0;
}

CO_FN int channel_send_lines(struct channel *channel, const char *lines, size_t length,
                             int64_t deadline, struct error *err)
{
    assert(!channel->is_sending);
    if (channel->is_send_broken)
        return error_set(err, ERROR_UNAVAILABLE, "only a part of the line before was sent");
    channel->is_sending = true;
    int r = send_line(channel, lines, length, deadline, err);
    channel->is_sending = false;
    return r;
}

CO_FN int channel_send(struct channel *channel, const char *line, size_t length, int64_t deadline,
                       struct error *err)
{
    assert(length == 0 || !memchr(line, '\n', length));
    return channel_send_lines(channel, line, length, deadline, err);
}

/* The length of the next line, or -1 while there is no whole one. */
static ssize_t find_line(struct channel *channel)
{
    if (channel->searched == channel->end)
        return -1;
    const char *from = channel->buffer + channel->searched;
    const char *newline = memchr(from, '\n', channel->end - channel->searched);
    if (!newline) {
        channel->searched = channel->end;
        return -1;
    }
    return newline - (channel->buffer + channel->start);
}

static char *take_line(struct channel *channel, size_t length)
{
    char *line = string_copy_n(channel->buffer + channel->start, length);
    channel->start += length + 1;
    channel->searched = channel->start;
    if (channel->start < channel->end)
        return line;
    channel->start = channel->searched = channel->end = 0;
    if (channel->capacity > KEPT_CAPACITY) {
        mem_free(take_ptr(channel->buffer));
        channel->capacity = 0;
    }
    return line;
}

/* Makes room behind what is there, by moving it to the front first. */
static void make_room(struct channel *channel)
{
    if (channel->capacity - channel->end >= READ_SIZE)
        return;
    if (channel->start > 0) {
        channel->end -= channel->start;
        channel->searched -= channel->start;
        memmove(channel->buffer, channel->buffer + channel->start, channel->end);
        channel->start = 0;
    }
    if (channel->capacity - channel->end >= READ_SIZE)
        return;
    channel->capacity = 2 * channel->capacity + READ_SIZE;
    channel->buffer = mem_resize(channel->buffer, channel->capacity, 1);
}

/* As recv() without waiting. */
static ssize_t receive_part(const struct channel *channel, char *buffer)
{
    if (channel->input_kind == END_SOCKET)
        return recv(channel->fd, buffer, READ_SIZE, MSG_DONTWAIT);
    if (channel->input_kind == END_PIPE || is_ready(channel->fd, POLLIN))
        return read(channel->fd, buffer, READ_SIZE);
    errno = EAGAIN;
    return -1;
}

static CO_FN int await_more(struct channel *channel, int64_t deadline, struct error *err)
{
    channel->is_drained = false;
    return lookout_wait(channel->loop, &channel->incoming, channel->fd, LOOP_READABLE, deadline,
                        err);
}

/* Reads what is there, or waits until something is. */
static CO_FN int read_more(struct channel *channel, int64_t deadline, struct error *err)
{
    if (channel->is_drained)
        return await_more(channel, deadline, err);
    make_room(channel);
    ssize_t n = receive_part(channel, channel->buffer + channel->end);
    if (n > 0) {
        channel->end += (size_t)n;
        channel->is_drained = n < READ_SIZE;
        /* Whoever sends faster than we read must not keep the others from their turn. */
        if (++channel->n_reads % READS_IN_A_TURN == 0)
            loop_sleep(channel->loop, 0);
        return 0;
    }
    if (n < 0 && errno == EAGAIN)
        return await_more(channel, deadline, err);
    if (n < 0 && errno == EINTR)
        return 0;
    /* It may have closed without reading all we sent: that is an end, too. */
    if (n < 0 && errno != ECONNRESET)
        return error_set_errno(err, errno, "receive a line");
    channel->is_at_end = true;
    return 0;
}

static CO_FN int receive_line(struct channel *channel, int64_t deadline, char **ret_line,
                              size_t *ret_length, struct error *err)
{
    ssize_t length;
    while ((length = find_line(channel)) < 0 && channel->end - channel->start <= channel->limit &&
           !channel->is_at_end) {
        int r = read_more(channel, deadline, err);
        if (r < 0)
            return r;
    }
    if ((length < 0 ? channel->end - channel->start : (size_t)length) > channel->limit) {
        channel->is_receive_broken = true;
        return error_set(err, ERROR_LIMIT, "a line of more than %zu bytes arrived", channel->limit);
    }
    if (length < 0 && channel->end > channel->start) {
        channel->end = channel->start = channel->searched = 0;
        return error_set(err, ERROR_UNAVAILABLE, "the connection ended in the middle of a line");
    }
    *ret_length = length < 0 ? 0 : (size_t)length;
    *ret_line = length < 0 ? NULL : take_line(channel, (size_t)length);
    return 0;
}

CO_FN int channel_receive(struct channel *channel, int64_t deadline, char **ret_line,
                          size_t *ret_length, struct error *err)
{
    assert(!channel->is_receiving);
    if (channel->is_receive_broken)
        return error_set(err, ERROR_LIMIT, "the line before had more than %zu bytes",
                         channel->limit);
    channel->is_receiving = true;
    int r = receive_line(channel, deadline, ret_line, ret_length, err);
    channel->is_receiving = false;
    return r;
}

int channel_peer(const struct channel *channel, uid_t *ret_uid, pid_t *ret_pid, struct error *err)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (getsockopt(channel->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return error_set_errno(err, errno, "ask who is at the other end");
    *ret_uid = peer.uid;
    *ret_pid = peer.pid;
    return 0;
}
