/*
 * A server, and raw clients in coroutines on the same loop. A failed CHECK jumps out of the test,
 * so none stands inside a coroutine: scripts leave their answers in the scene.
 */
#pragma once

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/world.h"
#include "http/server.h"
#include "net/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { N_REPLIES = 8 };

/* No condition of a test that holds takes nearly as long. */
static const int64_t patience_us = 60 * 1000 * 1000;

struct scene {
    struct loop *loop;
    struct http_server *server;
    struct http_settings settings;
    void (*script)(struct scene *scene);
    struct strbuf replies[N_REPLIES];
    struct http_counts counts; /* when the script had ended */
    struct gate released;      /* what handlers of /wait wait for */
    struct gate happened; /* opens when a handler begins, ends, or hears that its client is gone */
    size_t n_begun;
    size_t n_ended;
    size_t n_gone;
    bool is_released;
    bool is_gone_seen; /* by http_request_is_gone() */
    int numbers[N_REPLIES];
    void *extra;
};

static inline int64_t patience(void)
{
    return world_monotonic_clock() + patience_us;
}

/* Connects to the server; -1 when that fails. */
CO_FN static inline int client_open(struct scene *scene)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(http_server_port(scene->server)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 &&
        (errno != EINPROGRESS ||
         loop_wait_fd(scene->loop, fd, LOOP_WRITABLE, patience(), NULL) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* False when the server has closed the connection. */
CO_FN static inline bool client_send_n(struct scene *scene, int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, text, length, MSG_NOSIGNAL);
        if (n < 0 &&
            (errno != EAGAIN || loop_wait_fd(scene->loop, fd, LOOP_WRITABLE, patience(), NULL) < 0))
            return false;
        text += n > 0 ? n : 0;
        length -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

CO_FN static inline bool client_send(struct scene *scene, int fd, const char *text)
{
    return client_send_n(scene, fd, text, strlen(text));
}

/* Reads until the reply has this text in it (NULL: until the server closes). False when the
 * connection ends or nothing comes before that. */
CO_FN static inline bool client_read(struct scene *scene, int fd, struct strbuf *reply,
                                     const char *until)
{
    char piece[16 * 1024];
    while (!until || !strstr(strbuf_text(reply), until)) {
        ssize_t n = recv(fd, piece, sizeof(piece), 0);
        if (n > 0)
            strbuf_add_n(reply, piece, (size_t)n);
        else if (n == 0 || errno == ECONNRESET)
            return !until;
        else if (errno != EAGAIN ||
                 loop_wait_fd(scene->loop, fd, LOOP_READABLE, patience(), NULL) < 0)
            return false;
    }
    return true;
}

/* A connection of its own: sends all of it and reads until the server closes. */
CO_FN static inline void exchange_n(struct scene *scene, const char *text, size_t length,
                                    struct strbuf *reply)
{
    int fd = client_open(scene);
    client_send_n(scene, fd, text, length);
    client_read(scene, fd, reply, NULL);
    close(fd);
}

CO_FN static inline void exchange(struct scene *scene, const char *text, struct strbuf *reply)
{
    exchange_n(scene, text, strlen(text), reply);
}

CO_FN static inline void wait_until(struct scene *scene, const size_t *number, size_t at_least)
{
    while (*number < at_least)
        if (gate_wait(scene->loop, &scene->happened, patience(), NULL) < 0)
            return;
}

static inline void scene_main(void *argument)
{
    struct scene *scene = argument;
    scene->script(scene);
    if (!scene->server)
        return;
    scene->counts = http_server_count(scene->server);
    http_server_stop(scene->server, -1);
}

/* The reply without its Date header, with CR left out. */
static inline const char *plain(struct strbuf *reply)
{
    struct strbuf text = {0};
    for (const char *line = strbuf_text(reply); *line;) {
        size_t length = strcspn(line, "\n"), whole = length + (line[length] == '\n');
        if (strncmp(line, "Date: ", 6) != 0)
            for (size_t i = 0; i < whole; i++)
                if (line[i] != '\r')
                    strbuf_add_char(&text, line[i]);
        line += whole;
    }
    strbuf_done(reply);
    *reply = text;
    return strbuf_text(reply);
}

/* Runs the script with a server, and stops that. */
static inline bool scene_run(struct scene *scene, void (*script)(struct scene *scene))
{
    scene->loop = loop_new();
    scene->script = script;
    scene->settings.argument = scene;
    bool is_started = http_server_start(scene->loop, &scene->settings, &scene->server, NULL) == 0;
    if (is_started) {
        loop_spawn(scene->loop, "script", scene_main, scene);
        loop_run(scene->loop);
    }
    loop_free(scene->loop);
    return is_started;
}

static inline void scene_done(struct scene *scene)
{
    for (size_t i = 0; i < N_REPLIES; i++)
        strbuf_done(&scene->replies[i]);
}
