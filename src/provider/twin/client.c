/* Requests to the supervisor, and its start. Knows no resources. */
#include "provider/twin/client.h"

#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "net/channel.h"
#include "net/child.h"

#include <assert.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "parley-twin"
#define MESSAGE_FORMAT 1
#define MESSAGE_LIMIT (64U << 20)
#define LOG_LIMIT (1U << 20)
#define LOOK_AROUND_US 50000   /* how long a wait goes on before it looks at is_cancelled */
#define KNOCK_US 5000          /* between two looks whether the supervisor listens */
#define HOLD_LIMIT_US 10000000 /* a supervisor that does not answer keeps nothing */
#define START_LIMIT_US (INT64_C(30) * 1000000)

void twin_answer_done(struct twin_answer *answer)
{
    value_unref(answer->value);
    *answer = (struct twin_answer){0};
}

/* --- Asking --- */

/* The folder of the socket may be one that everybody can write to. */
static int check_peer(const struct twin_home *home, const struct channel *channel,
                      pid_t *ret_process, struct error *err)
{
    uid_t user;
    int r = channel_peer(channel, &user, ret_process, err);
    if (r < 0)
        return r;
    if (user != geteuid() && user != 0)
        return error_set(err, ERROR_DENIED, "user %u, and not this one, listens on %s",
                         (unsigned int)user, home->socket);
    return 0;
}

/* A line. A wait is cut into pieces, since nothing rings when a call is cancelled. */
static CO_FN int hear(const struct call *call, struct channel *channel, char **ret_line,
                      size_t *ret_length, struct error *err)
{
    for (;;) {
        if (*call->is_cancelled)
            return error_set(err, ERROR_CANCELLED, "cancelled before the twin had answered");
        int64_t now = world_monotonic_clock();
        if (now >= call->deadline)
            return error_set(err, ERROR_TIMEOUT, "the twin did not answer in time");
        int64_t piece = now + LOOK_AROUND_US;
        struct error problem = {0};
        int r = channel_receive(channel, piece < call->deadline ? piece : call->deadline, ret_line,
                                ret_length, &problem);
        if (r == -ERROR_TIMEOUT) {
            error_done(&problem);
            continue;
        }
        if (r == 0 && !*ret_line)
            return error_set(err, ERROR_UNAVAILABLE, "the twin ended before it answered");
        return r < 0 ? error_move(err, &problem) : 0;
    }
}

static int read_message(const char *line, size_t length, struct value **ret_message,
                        struct error *err)
{
    CLEANUP(value_unrefp) struct value *message = NULL;
    if (json_read(line, length, &message, NULL) < 0 || value_kind(message) != VALUE_MAP)
        return error_set(err, ERROR_UNAVAILABLE, "what the twin says is not understood");
    *ret_message = take_ptr(message);
    return 0;
}

/* *ret_is_greeted is false when it hung up first: it is about to listen, about to end, or busy. */
static CO_FN int hear_greeting(const struct call *call, struct channel *channel,
                               bool *ret_is_greeted, struct error *err)
{
    CLEANUP(mem_freep) char *line = NULL;
    CLEANUP(value_unrefp) struct value *greeting = NULL;
    size_t length = 0;
    struct error problem = {0};
    int r = hear(call, channel, &line, &length, &problem);
    *ret_is_greeted = r == 0;
    if (r == -ERROR_UNAVAILABLE) {
        error_done(&problem);
        return 0;
    }
    if (r < 0)
        return error_move(err, &problem);
    r = read_message(line, length, &greeting, err);
    if (r < 0)
        return r;
    int64_t format = value_get_integer(greeting, "format", 0);
    if (format != MESSAGE_FORMAT)
        return error_set(err, ERROR_UNSUPPORTED,
                         "the twin that runs speaks format %lld and this program %d; stop it with "
                         "parley twin down",
                         (long long)format, MESSAGE_FORMAT);
    return 0;
}

/* A connection on which it has greeted. ERROR_NOT_FOUND when nobody listens. */
static CO_FN int reach(const struct twin_home *home, const struct call *call,
                       struct channel **ret_channel, struct error *err)
{
    for (;;) {
        CLEANUP(channel_freep) struct channel *channel = NULL;
        bool is_greeted = false;
        pid_t process;
        int r =
            channel_connect(call->loop, home->socket, MESSAGE_LIMIT, call->deadline, &channel, err);
        if (r == 0)
            r = check_peer(home, channel, &process, err);
        if (r == 0)
            r = hear_greeting(call, channel, &is_greeted, err);
        if (r < 0)
            return r;
        if (is_greeted) {
            *ret_channel = take_ptr(channel);
            return 0;
        }
        loop_sleep(call->loop, KNOCK_US);
    }
}

struct value_builder twin_request(const char *verb)
{
    struct value_builder request = {0};
    value_builder_set(&request, "id", value_integer(1));
    value_builder_set_string(&request, "verb", verb);
    return request;
}

static int understand(const char *line, size_t length, struct twin_answer *answer,
                      struct error *err)
{
    CLEANUP(value_unrefp) struct value *message = NULL;
    int r = read_message(line, length, &message, err);
    if (r < 0)
        return r;
    answer->was_answered = true;
    if (value_get_bool(message, "ok", false)) {
        answer->value = take_ptr(message);
        return 0;
    }
    const struct value *refusal = value_get(message, "error");
    const char *code = value_get_text(refusal, "code");
    const char *reason = value_get_text(refusal, "message");
    enum error_code known = code ? error_code_from_string(code) : ERROR_CODE_COUNT;
    bool is_known = known != ERROR_CODE_COUNT && known != ERROR_NONE;
    return error_set(err, is_known ? known : ERROR_SYSTEM, "%s",
                     reason ? reason : "the twin refused without a reason");
}

/* A request without more than its verb, on a connection that stays. */
static CO_FN int ask_on(const struct call *call, struct channel *channel, const char *verb)
{
    struct value_builder builder = twin_request(verb);
    CLEANUP(value_unrefp) struct value *request = value_builder_map(&builder);
    CLEANUP(mem_freep) char *text = json_text(request);
    CLEANUP(mem_freep) char *line = NULL;
    CLEANUP(error_done) struct error err = {0};
    struct twin_answer answer = {0};
    size_t length = 0;
    int r = channel_send(channel, text, strlen(text), call->deadline, &err);
    if (r == 0)
        r = hear(call, channel, &line, &length, &err);
    if (r == 0)
        r = understand(line, length, &answer, &err);
    twin_answer_done(&answer);
    return r;
}

CO_FN void twin_hold(const struct twin_home *home, const struct call *call,
                     struct channel **ret_channel)
{
    CLEANUP(channel_freep) struct channel *channel = NULL;
    int64_t limit = world_monotonic_clock() + HOLD_LIMIT_US;
    struct call soon = *call;
    soon.deadline = call->deadline >= 0 && call->deadline < limit ? call->deadline : limit;
    *ret_channel = NULL;
    if (reach(home, &soon, &channel, NULL) == 0 && ask_on(&soon, channel, "hold") == 0)
        *ret_channel = take_ptr(channel);
}

CO_FN void twin_let_go(const struct call *call, struct channel *take_channel)
{
    if (take_channel)
        ask_on(call, take_channel, "release");
    channel_free(take_channel);
}

CO_FN int twin_ask(const struct twin_home *home, const struct call *call,
                   const struct value *request, struct twin_answer *ret_answer, struct error *err)
{
    CLEANUP(mem_freep) char *text = json_text(request);
    CLEANUP(channel_freep) struct channel *channel = NULL;
    CLEANUP(mem_freep) char *line = NULL;
    size_t length = 0;
    int r = reach(home, call, &channel, err);
    if (r < 0)
        return r;
    ret_answer->was_sent = true;
    r = channel_send(channel, text, strlen(text), call->deadline, err);
    if (r == 0)
        r = hear(call, channel, &line, &length, err);
    return r < 0 ? r : understand(line, length, ret_answer, err);
}

CO_FN int twin_is_running(const struct twin_home *home, const struct call *call, bool *ret_running,
                          struct error *err)
{
    CLEANUP(channel_freep) struct channel *channel = NULL;
    struct error problem = {0};
    int r = reach(home, call, &channel, &problem);
    if (r < 0 && r != -ERROR_NOT_FOUND)
        return error_move(err, &problem);
    error_done(&problem);
    *ret_running = r == 0;
    return 0;
}

/* --- Starting --- */

char *twin_program(void)
{
    CLEANUP(mem_freep) char *own = NULL;
    if (world_program_path(&own, NULL) < 0)
        return string_copy(PROGRAM);
    *strrchr(own, '/') = '\0';
    static const char *const folders[] = {"", "/../libexec"};
    for (size_t i = 0; i < ARRAY_LENGTH(folders); i++) {
        CLEANUP(mem_freep) char *path = string_format("%s%s/" PROGRAM, own, folders[i]);
        if (world_file_exists(path))
            return take_ptr(path);
    }
    return string_copy(PROGRAM);
}

static int make_folders(const struct twin_home *home, struct error *err)
{
    CLEANUP(mem_freep) char *above = string_copy(home->socket);
    *strrchr(above, '/') = '\0';
    int r = world_make_folder(home->folder, 0700, err);
    return r < 0 ? r : world_make_folder(above, 0700, err);
}

static int launch(const struct twin_home *home, const char *identity, pid_t *ret_pid,
                  struct error *err)
{
    CLEANUP(close_descriptorp) int log = -1;
    int r = world_open_log(home->log, &log, err);
    if (r < 0)
        return r;
    CLEANUP(mem_freep) char *program = twin_program();
    const char *const arguments[] = {program,      "supervise", "--state",
                                     home->folder, "--socket",  home->socket,
                                     "--identity", identity,    NULL};
    struct child_spec spec = {
        .arguments = arguments,
        .folder = "/",
        .input = -1,
        .output = log,
        .errors = log,
        .own_session = true,
    };
    return child_start(&spec, ret_pid, err);
}

/* Why the supervisor ended: the last line that it printed. */
static int explain_end(const struct twin_home *home, int status, struct error *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    size_t size;
    if (world_read_file(home->log, LOG_LIMIT, &text, &size, NULL) == 0) {
        while (size > 0 && text[size - 1] == '\n')
            text[--size] = '\0';
        const char *newline = strrchr(text, '\n');
        const char *last = newline ? newline + 1 : text;
        if (*last)
            return error_set(err, ERROR_UNAVAILABLE, "the twin did not start: %s", last);
    }
    if (WIFSIGNALED(status))
        return error_set(err, ERROR_UNAVAILABLE, "the twin did not start: signal %d ended it",
                         WTERMSIG(status));
    return error_set(err, ERROR_UNAVAILABLE, "the twin did not start: it ended with status %d",
                     WEXITSTATUS(status));
}

static int check_patience(const struct call *call, int64_t give_up, struct error *err)
{
    if (*call->is_cancelled)
        return error_set(err, ERROR_CANCELLED, "cancelled while the twin was starting");
    if (world_monotonic_clock() >= give_up)
        return error_set(err, ERROR_TIMEOUT, "the twin takes too long to start");
    return 0;
}

/* Waits until the supervisor that was launched answers, or ended. */
static CO_FN int await_answer(const struct twin_home *home, const struct call *call, pid_t pid,
                              int64_t give_up, struct error *err)
{
    for (;;) {
        bool is_running = false;
        int status = 0;
        struct error problem = {0};
        int r = twin_is_running(home, call, &is_running, err);
        if (r < 0 || is_running)
            return r;
        r = child_wait(call->loop, pid, world_monotonic_clock() + KNOCK_US, &status, &problem);
        if (r == 0)
            return explain_end(home, status, err);
        if (r != -ERROR_TIMEOUT)
            return error_move(err, &problem);
        error_done(&problem);
        r = check_patience(call, give_up, err);
        if (r < 0)
            return r;
    }
}

CO_FN int twin_wait_gone(const struct twin_home *home, const struct call *call, int64_t give_up,
                         struct error *err)
{
    for (;;) {
        CLEANUP(close_descriptorp) int lock = -1;
        struct error problem = {0};
        int r = world_lock_file(home->lock, &lock, &problem);
        if (r == 0)
            return 0;
        if (r != -ERROR_BUSY || *call->is_cancelled)
            return error_move(err, &problem);
        error_done(&problem);
        if (world_monotonic_clock() >= give_up)
            return error_set(err, ERROR_BUSY,
                             "another supervisor runs the twin of %s and does not answer on %s; "
                             "end the process that holds %s",
                             home->folder, home->socket, home->lock);
        loop_sleep(call->loop, KNOCK_US);
    }
}

static CO_FN int launch_and_wait(const struct twin_home *home, const struct call *call,
                                 const char *identity, int64_t give_up, struct error *err)
{
    pid_t pid;
    bool is_running = false;
    int r = twin_is_running(home, call, &is_running, err);
    if (r < 0 || is_running)
        return r;
    r = twin_wait_gone(home, call, give_up, err);
    if (r < 0)
        return r;
    if (call->progress)
        call->progress(call->argument, "starting the twin");
    r = launch(home, identity, &pid, err);
    return r < 0 ? r : await_answer(home, call, pid, give_up, err);
}

CO_FN int twin_start(const struct twin_home *home, const struct call *call, const char *identity,
                     struct error *err)
{
    int64_t limit = world_monotonic_clock() + START_LIMIT_US;
    int64_t give_up = call->deadline < limit ? call->deadline : limit;
    CLEANUP(mem_freep) char *lock_path = string_format("%s/starting", home->folder);
    for (;;) {
        bool is_running = false;
        CLEANUP(close_descriptorp) int lock = -1;
        struct error problem = {0};
        int r = twin_is_running(home, call, &is_running, err);
        if (r < 0 || is_running)
            return r;
        r = make_folders(home, err);
        if (r < 0)
            return r;
        /* Many calls want it at the same moment, here and in other processes; one launches it. */
        r = world_lock_file(lock_path, &lock, &problem);
        if (r == 0)
            return launch_and_wait(home, call, identity, give_up, err);
        if (r != -ERROR_BUSY)
            return error_move(err, &problem);
        error_done(&problem);
        r = check_patience(call, give_up, err);
        if (r < 0)
            return r;
        loop_sleep(call->loop, KNOCK_US);
    }
}

static int count_name(void *argument, const char *name, struct error *err)
{
    (void)name;
    (void)err;
    ++*(size_t *)argument;
    return 0;
}

CO_FN void twin_clear(const struct twin_home *home, const struct call *call)
{
    size_t n = 0;
    int status;
    CLEANUP(mem_freep) char *databases = string_format("%s/database", home->folder);
    CLEANUP(mem_freep) char *monitors = string_format("%s/monitor", home->folder);
    CLEANUP(mem_freep) char *program = twin_program();
    const char *const arguments[] = {program, "clear", "--state", home->folder, NULL};
    struct child_spec spec = {.arguments = arguments, .input = -1, .output = -1, .errors = -1};
    world_list_folder(databases, count_name, &n, NULL);
    world_list_folder(monitors, count_name, &n, NULL);
    if (n > 0)
        (void)child_run(call->loop, &spec, LOG_LIMIT, call->deadline, &status, NULL, NULL);
}

/* --- Ending --- */

/*
 * A connection to whoever listens, and a descriptor of that process: it is the outer half, which
 * ends last of all. -1 where it cannot be had.
 */
static CO_FN int find_outer(const struct twin_home *home, const struct call *call,
                            struct channel **ret_channel, int *ret_life, struct error *err)
{
    CLEANUP(channel_freep) struct channel *channel = NULL;
    pid_t process = 0;
    int r = channel_connect(call->loop, home->socket, MESSAGE_LIMIT, call->deadline, &channel, err);
    if (r == 0)
        r = check_peer(home, channel, &process, err);
    if (r < 0)
        return r;
    *ret_life = pidfd_open(process, 0);
    *ret_channel = take_ptr(channel);
    return 0;
}

static CO_FN int await_end(const struct twin_home *home, const struct call *call, int life,
                           struct error *err)
{
    int r = life < 0 ? 0 : loop_wait_fd(call->loop, life, LOOP_READABLE, call->deadline, err);
    if (r == 0)
        r = twin_wait_gone(home, call, call->deadline, err);
    return r < 0 ? error_wrap(err, r, "wait for the end of the twin") : 0;
}

CO_FN int twin_end(const struct twin_home *home, const struct call *call, struct error *err)
{
    CLEANUP(channel_freep) struct channel *channel = NULL;
    CLEANUP(close_descriptorp) int life = -1;
    struct twin_answer answer = {0};
    struct value_builder request = twin_request("down");
    value_builder_set(&request, "wipe", value_bool(false));
    CLEANUP(value_unrefp) struct value *message = value_builder_map(&request);
    int r = find_outer(home, call, &channel, &life, err);
    if (r == 0)
        r = twin_ask(home, call, message, &answer, err);
    twin_answer_done(&answer);
    return r < 0 ? r : await_end(home, call, life, err);
}

CO_FN void twin_see_out(const struct twin_home *home, const struct call *call)
{
    CLEANUP(error_done) struct error err = {0};
    CLEANUP(value_unrefp) struct value *manifest = NULL;
    CLEANUP(channel_freep) struct channel *channel = NULL;
    CLEANUP(close_descriptorp) int life = -1;
    bool is_greeted = false;
    if (twin_home_read(home, &manifest, &err) < 0 || !manifest ||
        value_count(value_get(manifest, "resources")) > 0)
        return;
    int r = find_outer(home, call, &channel, &life, &err);
    if (r == 0)
        r = hear_greeting(call, channel, &is_greeted, &err);
    /* Somebody else has use for one that greets. */
    if (r == -ERROR_NOT_FOUND || (r == 0 && !is_greeted))
        (void)await_end(home, call, life, NULL);
}
