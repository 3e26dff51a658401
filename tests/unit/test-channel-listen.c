/* The listening end, and those who connect to it. */
#include "channel-scene.h"

#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

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
