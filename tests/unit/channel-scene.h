/*
 * Two ends of a connection and who talks over them, for the tests of channels. A failed CHECK jumps
 * out of the test, so none stands inside a coroutine: they leave their answers behind.
 */
#pragma once

#include "net/channel.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/world.h"
#include "descriptors.h"
#include "harness.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MILLISECOND = 1000 };

static inline int64_t deadline_in(int64_t delay_us)
{
    return world_monotonic_clock() + delay_us;
}

/* A loop, a folder for sockets, and two connected sockets. */
struct scene {
    struct loop *loop;
    size_t n_descriptors;
    char folder[64];
    char path[80];
    int ends[2];
};

static inline bool begin(struct scene *scene)
{
    *scene = (struct scene){.n_descriptors = count_descriptors()};
    scene->loop = loop_new();
    snprintf(scene->folder, sizeof(scene->folder), "/tmp/test-channel-XXXXXX");
    if (!mkdtemp(scene->folder))
        return false;
    snprintf(scene->path, sizeof(scene->path), "%s/socket", scene->folder);
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, scene->ends) == 0;
}

/* Closes everything, and says whether nothing was left. */
static inline bool end(struct scene *scene)
{
    close_descriptor(scene->ends[0]);
    close_descriptor(scene->ends[1]);
    bool is_clean = coroutine_count() == 0 && rmdir(scene->folder) == 0;
    loop_free(scene->loop);
    coroutine_pool_done();
    return is_clean && count_descriptors() == scene->n_descriptors;
}

static inline struct channel *take_end(struct scene *scene, int which, size_t limit)
{
    int fd = scene->ends[which];
    scene->ends[which] = -1;
    return channel_new(scene->loop, fd, limit);
}

/* What a coroutine is to send or has received. */
struct talk {
    struct channel *channel;
    const char *line;
    size_t length;
    int64_t deadline;
    int r;
    int r_after;
    struct strbuf received; /* lines with newlines */
    struct error err;
};

static inline void talk_done(struct talk *talk)
{
    strbuf_done(&talk->received);
    error_done(&talk->err);
}

static inline void send_one(void *argument)
{
    struct talk *talk = argument;
    talk->r = channel_send(talk->channel, talk->line, talk->length, talk->deadline, &talk->err);
}

static inline void send_and_free(void *argument)
{
    struct talk *talk = argument;
    send_one(talk);
    channel_free(take_ptr(talk->channel));
}

/* Receives to the end of the stream or the first error. */
static inline void receive_all(void *argument)
{
    struct talk *talk = argument;
    for (;;) {
        CLEANUP(mem_freep) char *line = NULL;
        size_t length = 0;
        talk->r = channel_receive(talk->channel, talk->deadline, &line, &length, &talk->err);
        if (talk->r < 0 || !line)
            break;
        strbuf_add_n(&talk->received, line, length);
        strbuf_add_char(&talk->received, '\n');
    }
    CLEANUP(mem_freep) char *line = NULL;
    size_t length;
    talk->r_after = channel_receive(talk->channel, talk->deadline, &line, &length, NULL);
    if (line)
        talk->r_after = 1;
}
