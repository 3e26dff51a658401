#include "twin/balancer-limits.h"

#include "twin/balancer-config.h"
#include "twin/balancer-socket.h"
#include "twin/service.h"

#include "base/strbuf.h"

#include <unistd.h>

struct balancer_limits {
    struct twin *twin;
    char *file;   /* owned; HAProxy reads there how to ask */
    char *folder; /* owned; the limiter's, where its socket lies */
    char *socket; /* owned */
    struct process *process;
};

int balancer_limits_new(struct twin *twin, const char *config_folder,
                        struct balancer_limits **ret_limits, struct error *err)
{
    CLEANUP(mem_freep) char *file = string_format("%s/limits", config_folder);
    CLEANUP(mem_freep) char *folder = NULL;
    CLEANUP(strbuf_done) struct strbuf text = {0};
    balancer_write_limits(&text);
    int r = service_write(file, strbuf_text(&text), NULL, err);
    if (r == 0)
        r = twin_folder(twin, "limiter", PROCESS_NOBODY, &folder, err);
    if (r < 0)
        return r;
    struct balancer_limits *limits = NEW(struct balancer_limits);
    limits->twin = twin;
    limits->file = take_ptr(file);
    limits->socket = string_format("%s/limits", folder);
    limits->folder = take_ptr(folder);
    *ret_limits = limits;
    return 0;
}

const char *balancer_limits_file(const struct balancer_limits *limits)
{
    return limits->file;
}

const char *balancer_limits_folder(const struct balancer_limits *limits)
{
    return limits->folder;
}

const char *balancer_limits_socket(const struct balancer_limits *limits)
{
    return limits->socket;
}

static CO_FN int probe(void *argument, struct error *err)
{
    const struct balancer_limits *limits = argument;
    return balancer_probe_socket(limits->socket, err);
}

int balancer_limits_launch(struct balancer_limits *limits, struct error *err)
{
    const char *arguments[] = {limits->twin->program, "limiter", "--socket", limits->socket, NULL};
    const char *const written[] = {limits->folder, NULL};
    struct process_spec spec = {.name = BALANCER_LIMITER,
                                .files.written = written,
                                .arguments = arguments,
                                .user = PROCESS_NOBODY,
                                .is_restarted = true,
                                .probe = probe,
                                .argument = limits};
    return limits->process ? 0
                           : process_start(limits->twin->processes, &spec, &limits->process, err);
}

int balancer_limits_await(struct balancer_limits *limits, int64_t deadline, struct error *err)
{
    return process_wait_ready(limits->process, deadline, err);
}

bool balancer_limits_are_kept(const struct balancer_limits *limits)
{
    return limits->process && process_state(limits->process) == PROCESS_READY;
}

unsigned int balancer_limits_restarts(const struct balancer_limits *limits)
{
    return process_restarts(limits->process);
}

void balancer_limits_stop(struct balancer_limits *limits)
{
    process_stop(take_ptr(limits->process));
    unlink(limits->socket);
}

void balancer_limits_free(struct balancer_limits *limits)
{
    if (!limits)
        return;
    balancer_limits_stop(limits);
    unlink(limits->file);
    mem_free(limits->file);
    mem_free(limits->folder);
    mem_free(limits->socket);
    mem_free(limits);
}
