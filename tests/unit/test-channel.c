/* A failed CHECK jumps out of the test, so none stands inside a coroutine: they leave their answers
 * behind. */
#include "net/channel.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/world.h"
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

enum { MILLISECOND = 1000 };

static int64_t deadline_in(int64_t delay_us)
{
    return world_monotonic_clock() + delay_us;
}

static size_t count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t n = 0;
    while (folder && readdir(folder))
        n++;
    closedir(folder);
    return n;
}

/* A loop, a folder for sockets, and two connected sockets. */
struct scene {
    struct loop *loop;
    size_t n_descriptors;
    char folder[64];
    char path[80];
    int ends[2];
};

static bool begin(struct scene *scene)
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
static bool end(struct scene *scene)
{
    close_descriptor(scene->ends[0]);
    close_descriptor(scene->ends[1]);
    bool is_clean = coroutine_count() == 0 && rmdir(scene->folder) == 0;
    loop_free(scene->loop);
    coroutine_pool_done();
    return is_clean && count_descriptors() == scene->n_descriptors;
}

static struct channel *take_end(struct scene *scene, int which, size_t limit)
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

static void talk_done(struct talk *talk)
{
    strbuf_done(&talk->received);
    error_done(&talk->err);
}

static void send_one(void *argument)
{
    struct talk *talk = argument;
    talk->r = channel_send(talk->channel, talk->line, talk->length, talk->deadline, &talk->err);
}

static void send_and_free(void *argument)
{
    struct talk *talk = argument;
    send_one(talk);
    channel_free(take_ptr(talk->channel));
}

/* Receives to the end of the stream or the first error. */
static void receive_all(void *argument)
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

TEST(lines_arrive_as_they_were_sent_whatever_packets_they_come_in)
{
    static const char text[] = "one\n\ntwo\0three\n{\"four\": 5}\n";
    for (size_t step = 1; step < sizeof(text); step++) {
        struct scene scene;
        CHECK(begin(&scene));
        CLEANUP(talk_done) struct talk talk = {.deadline = -1};
        talk.channel = take_end(&scene, 0, 100);
        loop_spawn(scene.loop, "receive", receive_all, &talk);
        for (size_t at = 0; at < sizeof(text) - 1; at += step) {
            size_t rest = sizeof(text) - 1 - at;
            size_t n = rest < step ? rest : step;
            CHECK(write(scene.ends[1], text + at, n) == (ssize_t)n);
        }
        close(scene.ends[1]);
        scene.ends[1] = -1;
        loop_run(scene.loop);
        CHECK(talk.r == 0 && talk.r_after == 0);
        CHECK(talk.received.length == sizeof(text) - 1);
        CHECK(memcmp(talk.received.text, text, sizeof(text) - 1) == 0);
        channel_free(talk.channel);
        CHECK(end(&scene));
    }
}

TEST(a_line_of_four_megabytes_is_sent_and_received_in_parts)
{
    struct scene scene;
    CHECK(begin(&scene));
    enum { SIZE = 4 << 20 };
    CLEANUP(mem_freep) char *line = mem_zeroed(SIZE, 1);
    for (size_t i = 0; i < SIZE; i++)
        line[i] = (char)('a' + i % 26);
    CLEANUP(talk_done)
    struct talk sender = {take_end(&scene, 0, SIZE), line, SIZE, -1, 1, 1, {0}, {0}};
    CLEANUP(talk_done)
    struct talk receiver = {.channel = take_end(&scene, 1, SIZE),
                            .deadline = deadline_in(60000 * MILLISECOND)};
    loop_spawn(scene.loop, "receive", receive_all, &receiver);
    loop_spawn(scene.loop, "send", send_and_free, &sender);
    loop_run(scene.loop);
    CHECK(sender.r == 0 && receiver.r == 0);
    CHECK(receiver.received.length == SIZE + 1);
    CHECK(memcmp(receiver.received.text, line, SIZE) == 0);
    channel_free(receiver.channel);
    CHECK(end(&scene));
}

struct dialogue {
    struct talk talk;
    int n_left;
    bool is_first;
};

/* Each answers with the number after the one it got. */
static void count_together(void *argument)
{
    struct dialogue *dialogue = argument;
    struct channel *channel = dialogue->talk.channel;
    char number[16] = "0";
    if (dialogue->is_first)
        dialogue->talk.r = channel_send(channel, number, 1, -1, NULL);
    while (dialogue->talk.r == 0 && dialogue->n_left-- > 0) {
        CLEANUP(mem_freep) char *line = NULL;
        size_t length;
        dialogue->talk.r = channel_receive(channel, -1, &line, &length, NULL);
        if (dialogue->talk.r < 0 || !line)
            break;
        int next = (int)strtol(line, NULL, 10) + 1;
        int n = snprintf(number, sizeof(number), "%d", next);
        dialogue->talk.r_after = next;
        dialogue->talk.r = channel_send(channel, number, (size_t)n, -1, NULL);
    }
}

TEST(two_ends_talk_in_turns)
{
    struct scene scene;
    CHECK(begin(&scene));
    struct dialogue one = {.is_first = true, .n_left = 500};
    struct dialogue other = {.n_left = 500};
    one.talk.channel = take_end(&scene, 0, 10);
    other.talk.channel = take_end(&scene, 1, 10);
    loop_spawn(scene.loop, "one", count_together, &one);
    loop_spawn(scene.loop, "other", count_together, &other);
    loop_run(scene.loop);
    CHECK(one.talk.r == 0 && other.talk.r == 0);
    CHECK(one.talk.r_after == 1000 && other.talk.r_after == 999);
    channel_free(one.talk.channel);
    channel_free(other.talk.channel);
    CHECK(end(&scene));
}

TEST(a_line_may_have_the_limit_and_not_a_byte_more)
{
    const struct {
        const char *text;
        int r, r_after;
        const char *received;
    } cases[] = {
        {"1234567890\nx\n", 0, 0, "1234567890\nx\n"},
        {"a\n12345678901\nx\n", -ERROR_LIMIT, -ERROR_LIMIT, "a\n"},
        {"12345678901", -ERROR_LIMIT, -ERROR_LIMIT, ""},
        {"a\n1234567890", -ERROR_UNAVAILABLE, 0, "a\n"},
        {"", 0, 0, ""},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct scene scene;
        CHECK(begin(&scene));
        CLEANUP(talk_done) struct talk talk = {.deadline = -1};
        talk.channel = take_end(&scene, 0, 10);
        ssize_t length = (ssize_t)strlen(cases[i].text);
        CHECK(write(scene.ends[1], cases[i].text, (size_t)length) == length);
        close(scene.ends[1]);
        scene.ends[1] = -1;
        loop_spawn(scene.loop, "receive", receive_all, &talk);
        loop_run(scene.loop);
        CHECK(talk.r == cases[i].r && talk.r_after == cases[i].r_after);
        CHECK_TEXT(strbuf_text(&talk.received), cases[i].received);
        channel_free(talk.channel);
        CHECK(end(&scene));
    }
}

TEST(an_endless_line_is_refused_early)
{
    struct scene scene;
    CHECK(begin(&scene));
    enum { SIZE = 8 << 20 };
    CLEANUP(mem_freep) char *line = mem_zeroed(SIZE, 1);
    memset(line, 'x', SIZE);
    CLEANUP(talk_done)
    struct talk sender = {
        take_end(&scene, 0, 10), line, SIZE, deadline_in(100 * MILLISECOND), 1, 1, {0}, {0}};
    CLEANUP(talk_done)
    struct talk receiver = {.channel = take_end(&scene, 1, 100000), .deadline = -1};
    loop_spawn(scene.loop, "send", send_one, &sender);
    loop_spawn(scene.loop, "receive", receive_all, &receiver);
    loop_run(scene.loop);
    CHECK(receiver.r == -ERROR_LIMIT);
    CHECK(strstr(receiver.err.message, "100000 bytes"));
    CHECK(sender.r == -ERROR_TIMEOUT);
    /* Half a line is on its way: another one would be glued to it. */
    sender.length = 1;
    loop_spawn(scene.loop, "send", send_one, &sender);
    loop_run(scene.loop);
    CHECK(sender.r == -ERROR_UNAVAILABLE);
    channel_free(sender.channel);
    channel_free(receiver.channel);
    CHECK(end(&scene));
}

TEST(half_a_line_waits_for_its_other_half_over_a_deadline)
{
    struct scene scene;
    CHECK(begin(&scene));
    CLEANUP(talk_done) struct talk talk = {.deadline = deadline_in(10 * MILLISECOND)};
    talk.channel = take_end(&scene, 0, 100);
    CHECK(write(scene.ends[1], "half", 4) == 4);
    loop_spawn(scene.loop, "receive", receive_all, &talk);
    loop_run(scene.loop);
    CHECK(talk.r == -ERROR_TIMEOUT);
    CHECK(world_monotonic_clock() >= talk.deadline);
    CHECK(write(scene.ends[1], " whole\n", 7) == 7);
    loop_spawn(scene.loop, "receive", receive_all, &talk);
    loop_run(scene.loop);
    CHECK_TEXT(strbuf_text(&talk.received), "half whole\n");
    channel_free(talk.channel);
    CHECK(end(&scene));
}

TEST(sending_to_a_closed_end_is_an_error_and_no_signal)
{
    struct scene scene;
    CHECK(begin(&scene));
    CLEANUP(talk_done)
    struct talk talk = {take_end(&scene, 0, 10), "x", 1, -1, 1, 1, {0}, {0}};
    close(scene.ends[1]);
    scene.ends[1] = -1;
    loop_spawn(scene.loop, "send", send_one, &talk);
    loop_run(scene.loop);
    CHECK(talk.r == -ERROR_UNAVAILABLE);
    channel_free(talk.channel);
    CHECK(end(&scene));
}

TEST(an_end_that_closes_without_reading_is_the_end_of_the_stream)
{
    struct scene scene;
    CHECK(begin(&scene));
    CLEANUP(talk_done)
    struct talk talk = {take_end(&scene, 0, 10), "unread", 6, -1, 1, 1, {0}, {0}};
    loop_spawn(scene.loop, "send", send_one, &talk);
    loop_run(scene.loop);
    CHECK(talk.r == 0);
    close(scene.ends[1]);
    scene.ends[1] = -1;
    loop_spawn(scene.loop, "receive", receive_all, &talk);
    loop_run(scene.loop);
    CHECK(talk.r == 0 && talk.r_after == 0);
    channel_free(talk.channel);
    CHECK(end(&scene));
}

static void shut(void *argument)
{
    struct talk *talk = argument;
    channel_shut(talk->channel);
}

TEST(shutting_a_channel_ends_the_wait_of_who_receives)
{
    struct scene scene;
    CHECK(begin(&scene));
    CLEANUP(talk_done) struct talk talk = {.deadline = -1, .r = 1, .r_after = 1};
    talk.channel = take_end(&scene, 0, 100);
    loop_spawn(scene.loop, "receive", receive_all, &talk);
    loop_timer(scene.loop, 5 * MILLISECOND, shut, &talk);
    loop_run(scene.loop);
    CHECK(talk.r == 0 && talk.r_after == 0);
    char byte;
    CHECK(read(scene.ends[1], &byte, 1) == 0);
    channel_free(talk.channel);
    channel_free(NULL);
    CHECK(end(&scene));
}

struct flood {
    struct talk talk;
    struct loop *loop;
    bool has_rung;
    bool rang_first;
};

static void ring_in_flood(void *argument)
{
    struct flood *flood = argument;
    flood->has_rung = true;
}

static void receive_flood(void *argument)
{
    struct flood *flood = argument;
    loop_timer(flood->loop, 0, ring_in_flood, flood);
    receive_all(&flood->talk);
    flood->rang_first = flood->has_rung;
}

TEST(a_flood_of_lines_lets_timers_ring)
{
    struct scene scene;
    CHECK(begin(&scene));
    struct flood flood = {.loop = scene.loop, .talk = {.deadline = -1}};
    flood.talk.channel = take_end(&scene, 0, 100);
    pid_t pid = fork();
    if (pid == 0) {
        /* Always more than can be read at once. */
        char lines[4096];
        memset(lines, '\n', sizeof(lines));
        for (int i = 0; i < 2000; i++)
            if (write(scene.ends[1], lines, sizeof(lines)) < 0)
                _exit(1);
        _exit(0);
    }
    close(scene.ends[1]);
    scene.ends[1] = -1;
    loop_spawn(scene.loop, "receive", receive_flood, &flood);
    loop_run(scene.loop);
    int status = 1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(flood.rang_first);
    CHECK(flood.talk.received.length == 2000 * 4096);
    talk_done(&flood.talk);
    channel_free(flood.talk.channel);
    CHECK(end(&scene));
}

/* A server that sends back each line, and what it has seen. */
struct echo {
    struct channel_server *server;
    struct loop *loop;
    size_t n_now;
    size_t n_most;
    size_t n_served;
    uid_t uid;
    pid_t pid;
};

static void serve_echo(void *argument, struct channel *take_channel)
{
    struct echo *echo = argument;
    CLEANUP(channel_freep) struct channel *channel = take_channel;
    if (++echo->n_now > echo->n_most)
        echo->n_most = echo->n_now;
    int r = channel_peer(channel, &echo->uid, &echo->pid, NULL);
    while (r == 0) {
        CLEANUP(mem_freep) char *line = NULL;
        size_t length;
        r = channel_receive(channel, -1, &line, &length, NULL);
        if (r == 0 && !line)
            break;
        if (r == 0)
            r = channel_send(channel, line, length, -1, NULL);
    }
    echo->n_now--;
    echo->n_served++;
}

static int listen_echo(struct scene *scene, struct echo *echo, size_t max, struct error *err)
{
    echo->loop = scene->loop;
    return channel_listen(scene->loop, scene->path, 1000, max, serve_echo, echo, &echo->server,
                          err);
}

/* Says something and wants it back. */
struct client {
    struct scene *scene;
    struct echo *echo;
    int number;
    int r;
    bool is_answered;
    size_t *n_left; /* the last one stops the server */
    int64_t pause_us;
};

static void ask_echo(void *argument)
{
    struct client *client = argument;
    CLEANUP(channel_freep) struct channel *channel = NULL;
    CLEANUP(mem_freep) char *question = string_format("question %d", client->number);
    CLEANUP(mem_freep) char *answer = NULL;
    size_t length = 0;
    struct loop *loop = client->scene->loop;
    client->r = channel_connect(loop, client->scene->path, 1000, -1, &channel, NULL);
    if (client->r == 0)
        client->r = channel_send(channel, question, strlen(question), -1, NULL);
    if (client->r == 0)
        client->r = channel_receive(channel, -1, &answer, &length, NULL);
    client->is_answered = answer && strcmp(answer, question) == 0;
    loop_sleep(loop, client->pause_us);
    if (--*client->n_left == 0)
        channel_server_free(client->echo->server);
}

TEST(two_hundred_clients_are_served_twenty_at_a_time)
{
    struct scene scene;
    CHECK(begin(&scene));
    struct echo echo = {0};
    CHECK(listen_echo(&scene, &echo, 20, NULL) == 0);
    struct client clients[200];
    size_t n_left = ARRAY_LENGTH(clients);
    for (size_t i = 0; i < ARRAY_LENGTH(clients); i++) {
        clients[i] = (struct client){&scene, &echo, (int)i, 1, false, &n_left, MILLISECOND};
        loop_spawn(scene.loop, "client", ask_echo, &clients[i]);
    }
    loop_run(scene.loop);
    for (size_t i = 0; i < ARRAY_LENGTH(clients); i++)
        CHECK(clients[i].r == 0 && clients[i].is_answered);
    CHECK(echo.n_most == 20 && echo.n_served == 200 && echo.n_now == 0);
    CHECK(echo.uid == getuid() && echo.pid == getpid());
    CHECK(end(&scene));
}

TEST(a_connection_goes_on_after_its_server_was_freed)
{
    struct scene scene;
    CHECK(begin(&scene));
    struct echo echo = {0};
    CHECK(listen_echo(&scene, &echo, 5, NULL) == 0);
    /* Both are connected before the first one that is done frees the server. */
    struct client clients[2];
    size_t n_left[2] = {1, 2};
    for (int i = 0; i < 2; i++) {
        clients[i] = (struct client){&scene, &echo, i, 1, false, &n_left[i], i * 10 * MILLISECOND};
        loop_spawn(scene.loop, "client", ask_echo, &clients[i]);
    }
    loop_run(scene.loop);
    CHECK(clients[0].is_answered && clients[1].is_answered);
    CHECK(echo.n_served == 2);
    CHECK(!world_file_exists(scene.path));
    channel_server_free(NULL);
    CHECK(end(&scene));
}

/* Connects, and stops the server some turns of the loop later. */
struct hasty {
    struct scene *scene;
    struct echo *echo;
    size_t n_turns;
    size_t n_begun; /* when the server was stopped */
};

static void connect_and_stop(void *argument)
{
    struct hasty *hasty = argument;
    CLEANUP(channel_freep) struct channel *channel = NULL;
    CHECK(channel_connect(hasty->scene->loop, hasty->scene->path, 1000, -1, &channel, NULL) == 0);
    for (size_t i = 0; i < hasty->n_turns; i++)
        loop_sleep(hasty->scene->loop, 0);
    hasty->n_begun = hasty->echo->n_now;
    channel_server_free(hasty->echo->server);
}

TEST(who_is_accepted_but_not_served_yet_when_the_server_is_freed_is_not_served)
{
    size_t n_begun = 0;
    for (size_t n_turns = 0; n_turns < 6; n_turns++) {
        struct scene scene;
        CHECK(begin(&scene));
        struct echo echo = {0};
        CHECK(listen_echo(&scene, &echo, 5, NULL) == 0);
        struct hasty hasty = {&scene, &echo, n_turns, 0};
        loop_spawn(scene.loop, "hasty", connect_and_stop, &hasty);
        loop_run(scene.loop);
        CHECK(echo.n_served == hasty.n_begun);
        n_begun += hasty.n_begun;
        CHECK(end(&scene));
    }
    CHECK(n_begun > 0);
}

TEST(a_socket_is_for_its_owner_alone)
{
    struct scene scene;
    CHECK(begin(&scene));
    struct echo echo = {0};
    mode_t mask = umask(0);
    int r = listen_echo(&scene, &echo, 5, NULL);
    umask(mask);
    CHECK(r == 0);
    struct stat status;
    CHECK(lstat(scene.path, &status) == 0);
    CHECK(S_ISSOCK(status.st_mode) && (status.st_mode & 07777) == 0600);
    channel_server_free(echo.server);
    CHECK(end(&scene));
}

/* Leaves a socket file on which nobody listens, as a process that was killed does. */
static bool leave_dead_socket(const char *path)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    bool is_left =
        bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0;
    close(fd);
    return is_left;
}

TEST(a_dead_socket_file_is_replaced_and_a_living_one_is_busy)
{
    struct scene scene;
    CHECK(begin(&scene));
    CHECK(leave_dead_socket(scene.path));
    struct echo echo = {0}, second = {0};
    CHECK(listen_echo(&scene, &echo, 5, NULL) == 0);
    struct error err = {0};
    CHECK(listen_echo(&scene, &second, 5, &err) == -ERROR_BUSY);
    CHECK(strstr(err.message, scene.path));
    error_done(&err);
    struct client client = {&scene, &echo, 7, 1, false, &(size_t){1}, 0};
    loop_spawn(scene.loop, "client", ask_echo, &client);
    loop_run(scene.loop);
    CHECK(client.is_answered);
    CHECK(end(&scene));
}

TEST(of_eight_that_find_a_dead_socket_file_one_gets_it)
{
    struct scene scene;
    CHECK(begin(&scene));
    for (int repeat = 0; repeat < 10; repeat++) {
        CHECK(leave_dead_socket(scene.path));
        int start[2], done[2];
        CHECK(pipe2(start, O_CLOEXEC) == 0 && pipe2(done, O_CLOEXEC) == 0);
        pid_t pids[8];
        for (size_t i = 0; i < ARRAY_LENGTH(pids); i++) {
            pids[i] = fork();
            if (pids[i] != 0)
                continue;
            char byte;
            close(start[1]);
            close(done[1]);
            struct echo echo = {0};
            struct scene own = scene;
            own.loop = loop_new();
            int r = read(start[0], &byte, 1) != 0 ? 1 : listen_echo(&own, &echo, 5, NULL);
            /* The winner lives until all have tried. */
            if (r == 0)
                r = read(done[0], &byte, 1) == 0 ? 0 : 1;
            _exit(-r);
        }
        close(start[0]);
        close(start[1]);
        size_t n_busy = 0, n_ended = 0;
        while (n_ended < ARRAY_LENGTH(pids) - 1) {
            int status;
            CHECK(waitpid(-1, &status, 0) > 0);
            n_ended++;
            n_busy += WIFEXITED(status) && WEXITSTATUS(status) == ERROR_BUSY;
        }
        close(done[0]);
        close(done[1]);
        int status = 1;
        CHECK(waitpid(-1, &status, 0) > 0 && status == 0);
        CHECK(n_busy == ARRAY_LENGTH(pids) - 1);
        unlink(scene.path);
    }
    CHECK(end(&scene));
}

TEST(a_file_that_somebody_else_made_is_not_removed)
{
    struct scene scene;
    CHECK(begin(&scene));
    CHECK(world_write_file(scene.path, "precious", 8, 0600, false, NULL) == 0);
    struct echo echo = {0}, successor = {0};
    struct error err = {0};
    CHECK(listen_echo(&scene, &echo, 5, &err) == -ERROR_EXISTS);
    error_done(&err);
    CHECK(world_file_exists(scene.path));
    CHECK(unlink(scene.path) == 0);
    CHECK(listen_echo(&scene, &echo, 5, NULL) == 0);
    CHECK(unlink(scene.path) == 0);
    CHECK(listen_echo(&scene, &successor, 5, NULL) == 0);
    channel_server_free(echo.server);
    CHECK(world_file_exists(scene.path));
    channel_server_free(successor.server);
    CHECK(!world_file_exists(scene.path));
    CHECK(end(&scene));
}

TEST(a_path_that_cannot_be_listened_on_is_named)
{
    struct scene scene;
    CHECK(begin(&scene));
    struct echo echo = {0};
    char longest[CHANNEL_PATH_SIZE + 1];
    memset(longest, 'x', sizeof(longest));
    longest[0] = '/';
    longest[CHANNEL_PATH_SIZE] = '\0';
    const struct {
        const char *path;
        enum error_code code;
    } cases[] = {
        {longest, ERROR_INVALID},
        {"", ERROR_INVALID},
        {"/no/such/folder/socket", ERROR_NOT_FOUND},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct error err = {0};
        int r =
            channel_listen(scene.loop, cases[i].path, 10, 1, serve_echo, &echo, &echo.server, &err);
        CHECK(r == -(int)cases[i].code);
        error_done(&err);
    }
    CHECK(end(&scene));
}

struct connecting {
    struct loop *loop;
    const char *path;
    int64_t deadline;
    int r;
    struct channel *channel;
    struct error err;
};

static void connect_once(void *argument)
{
    struct connecting *connecting = argument;
    connecting->r = channel_connect(connecting->loop, connecting->path, 10, connecting->deadline,
                                    &connecting->channel, &connecting->err);
}

TEST(connecting_to_nobody_is_not_found)
{
    struct scene scene;
    CHECK(begin(&scene));
    char too_long[CHANNEL_PATH_SIZE + 1];
    memset(too_long, 'x', sizeof(too_long));
    too_long[CHANNEL_PATH_SIZE] = '\0';
    struct connecting cases[] = {
        {scene.loop, "/no/such/socket", -1, -ERROR_NOT_FOUND, NULL, {0}},
        {scene.loop, scene.path, -1, -ERROR_NOT_FOUND, NULL, {0}},
        {scene.loop, too_long, -1, -ERROR_INVALID, NULL, {0}},
    };
    CHECK(leave_dead_socket(scene.path));
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        int want = cases[i].r;
        cases[i].r = 1;
        loop_spawn(scene.loop, "connect", connect_once, &cases[i]);
        loop_run(scene.loop);
        CHECK(cases[i].r == want && !cases[i].channel);
        error_done(&cases[i].err);
    }
    CHECK(unlink(scene.path) == 0);
    CHECK(end(&scene));
}

TEST(a_server_that_accepts_nobody_times_out)
{
    struct scene scene;
    CHECK(begin(&scene));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", scene.path);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 0) == 0);
    struct connecting first = {scene.loop, scene.path, -1, 1, NULL, {0}};
    loop_spawn(scene.loop, "connect", connect_once, &first);
    loop_run(scene.loop);
    CHECK(first.r == 0);
    struct connecting second = {.loop = scene.loop, .path = scene.path};
    second.deadline = deadline_in(20 * MILLISECOND);
    loop_spawn(scene.loop, "connect", connect_once, &second);
    loop_run(scene.loop);
    CHECK(second.r == -ERROR_TIMEOUT && !second.channel);
    error_done(&second.err);
    channel_free(first.channel);
    close(fd);
    unlink(scene.path);
    CHECK(end(&scene));
}

static struct rlimit old_limit;

static void give_descriptors_back(void *argument)
{
    bool *is_called = argument;
    *is_called = true;
    setrlimit(RLIMIT_NOFILE, &old_limit);
}

static void take_descriptors_away(void *argument)
{
    struct client *client = argument;
    struct channel *channel = NULL;
    client->r = channel_connect(client->scene->loop, client->scene->path, 10, -1, &channel, NULL);
    struct rlimit limit = old_limit;
    limit.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (client->r == 0)
        client->r = channel_send(channel, "x", 1, -1, NULL);
    CLEANUP(mem_freep) char *answer = NULL;
    size_t length;
    if (client->r == 0)
        client->r = channel_receive(channel, -1, &answer, &length, NULL);
    client->is_answered = answer && strcmp(answer, "x") == 0;
    channel_free(channel);
    channel_server_free(client->echo->server);
}

/* Not under valgrind, which closes a connection that was accepted beyond the limit. */
TEST_IF(!RUNNING_ON_VALGRIND, who_connects_while_descriptors_are_used_up_waits_until_there_are_some)
{
    struct scene scene;
    CHECK(begin(&scene));
    struct echo echo = {0};
    bool is_called = false;
    CHECK(getrlimit(RLIMIT_NOFILE, &old_limit) == 0);
    CHECK(listen_echo(&scene, &echo, 5, NULL) == 0);
    struct client client = {.scene = &scene, .echo = &echo};
    loop_spawn(scene.loop, "client", take_descriptors_away, &client);
    loop_timer(scene.loop, 20 * MILLISECOND, give_descriptors_back, &is_called);
    loop_run(scene.loop);
    CHECK(is_called);
    CHECK(client.is_answered);
    CHECK(end(&scene));
}
