/*
 * Lines of text over a Unix socket or a pair of streams, both ways. What a line means (one JSON
 * value) is its users' business: a door and a run, the twin's driver and its supervisor.
 */
#pragma once

#include "base/memory.h"
#include "net/loop.h"

#include <stddef.h>

struct channel;

/* Longest path of a Unix socket, with its NUL (unix(7)). */
#define CHANNEL_PATH_SIZE 108

/*
 * Connects to a socket. ERROR_NOT_FOUND when nobody listens there, ERROR_DENIED when it is somebody
 * else's, ERROR_INVALID when the path is empty or too long, ERROR_TIMEOUT when it has no room for
 * us before the deadline. limit: the longest line in bytes that is taken, without its newline.
 */
CO_FN int channel_connect(struct loop *loop, const char *path, size_t limit, int64_t deadline,
                          struct channel **ret_channel, struct error *err);
/* Takes a connected descriptor over. */
struct channel *channel_new(struct loop *loop, int take_fd, size_t limit);
/* The same of two streams that need not be sockets, such as standard input and output. */
struct channel *channel_new_pair(struct loop *loop, int take_input, int take_output, size_t limit);
/* Closes it. Accepts NULL. Nobody may be waiting on it. */
void channel_free(struct channel *channel);
DEFINE_CLEANUP(struct channel *, channel_free)
/* Ends both directions, so that those who wait on it see the end of the stream. */
void channel_shut(struct channel *channel);

/*
 * Sends one line; line has no newline in it. One coroutine sends at a time. ERROR_UNAVAILABLE when
 * the other end has closed. ERROR_TIMEOUT past the deadline: if a part of it was sent by then,
 * nothing can be sent any more.
 */
CO_FN int channel_send(struct channel *channel, const char *line, size_t length, int64_t deadline,
                       struct error *err);
/* As that, of several lines with a newline between two. */
CO_FN int channel_send_lines(struct channel *channel, const char *lines, size_t length,
                             int64_t deadline, struct error *err);
/*
 * The next line without its newline, with a NUL instead; the caller frees *ret_line with
 * mem_free(). *ret_line is NULL at the end of the stream. ERROR_LIMIT for one that is too long:
 * nothing can be received after that. ERROR_UNAVAILABLE when the stream ends in the middle of a
 * line. ERROR_TIMEOUT past the deadline, and nothing is lost: a later call goes on. One coroutine
 * receives at a time; it may be another than the one that sends.
 */
CO_FN int channel_receive(struct channel *channel, int64_t deadline, char **ret_line,
                          size_t *ret_length, struct error *err);

/* The user and process at the other end when it connected (SO_PEERCRED). */
int channel_peer(const struct channel *channel, uid_t *ret_uid, pid_t *ret_pid, struct error *err);

/*
 * Listens on a path with mode 0600, replacing a socket file that nobody answers on; ERROR_BUSY when
 * somebody does, ERROR_EXISTS when it is no socket, ERROR_NOT_FOUND when its folder is missing.
 * Each connection runs serve(argument, channel) as a coroutine of its own, which frees the channel.
 * At most max_connections at once; more wait to be accepted.
 */
struct channel_server;
int channel_listen(struct loop *loop, const char *path, size_t limit, size_t max_connections,
                   void (*serve)(void *argument, struct channel *take_channel), void *argument,
                   struct channel_server **ret_server, struct error *err);
/* Stops listening and removes the socket file. Connections that are served go on; no other begins
 * to be. Accepts NULL. */
void channel_server_free(struct channel_server *server);

/* Removes a socket file on which nobody listens any more; also fine when there is none. ERROR_BUSY
 * when somebody does, ERROR_EXISTS when it is no socket. */
int channel_remove_dead(const char *path, struct error *err);
