/* A failed CHECK jumps out of the test, so none stands inside a coroutine: they leave their answers
 * behind. */
#include "net/child.h"

#include "base/memory.h"
#include "base/world.h"
#include "descriptors.h"
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MILLISECOND = 1000 };

#define SPEC(...)                                                                         \
    {                                                                                     \
        .arguments = (const char *const[]){__VA_ARGS__, NULL}, .input = -1, .output = -1, \
        .errors = -1                                                                      \
    }

/* One child_run(). */
struct run {
    struct child_spec spec;
    struct loop *loop;
    size_t limit;
    int64_t deadline;
    bool keeps_nothing;
    int r;
    int status;
    char *output;
    struct error err;
};

static void run_once(void *argument)
{
    struct run *run = argument;
    run->r = child_run(run->loop, &run->spec, run->limit, run->deadline, &run->status,
                       run->keeps_nothing ? NULL : &run->output, &run->err);
}

static void run_done(struct run *run)
{
    mem_free(run->output);
    error_done(&run->err);
}

/* Runs it on a loop of its own and sees to it that nothing is left. */
static bool run_alone(struct run *run)
{
    size_t n_before = count_descriptors();
    run->loop = loop_new();
    if (run->deadline == 0)
        run->deadline = -1;
    if (run->limit == 0)
        run->limit = 1000;
    loop_spawn(run->loop, "run", run_once, run);
    loop_run(run->loop);
    loop_free(run->loop);
    bool is_clean = waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD && coroutine_count() == 0;
    coroutine_pool_done();
    return is_clean && count_descriptors() == n_before;
}

TEST(a_program_gives_its_output_in_order_and_its_status)
{
    CLEANUP(run_done)
    struct run run = {.spec = SPEC("sh", "-c", "echo a; echo b >&2; echo c; exit 3")};
    CHECK(run_alone(&run));
    CHECK(run.r == 0);
    CHECK_TEXT(run.output, "a\nb\nc\n");
    CHECK(WIFEXITED(run.status) && WEXITSTATUS(run.status) == 3);
}

TEST(a_program_without_output_gives_an_empty_text)
{
    CLEANUP(run_done) struct run run = {.spec = SPEC("true")};
    CHECK(run_alone(&run));
    CHECK(run.r == 0);
    CHECK_TEXT(run.output, "");
    CHECK(run.status == 0);
}

TEST(stdin_is_empty_unless_given)
{
    CLEANUP(run_done) struct run run = {.spec = SPEC("cat")};
    CHECK(run_alone(&run));
    CHECK_TEXT(run.output, "");
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    CHECK(write(ends[1], "hello", 5) == 5);
    close(ends[1]);
    CLEANUP(run_done) struct run given = {.spec = SPEC("cat")};
    given.spec.input = ends[0];
    CHECK(run_alone(&given));
    close(ends[0]);
    CHECK_TEXT(given.output, "hello");
}

TEST(environment_is_ours_with_additions_that_replace)
{
    setenv("PARLEY_TEST_KEPT", "kept", 1);
    setenv("PARLEY_TEST_OLD", "old", 1);
    CLEANUP(run_done)
    struct run run = {.spec = SPEC("sh", "-c", "echo $PARLEY_TEST_KEPT $PARLEY_TEST_OLD $NEW")};
    run.spec.environment = (const char *const[]){"PARLEY_TEST_OLD=new", "NEW=a b", NULL};
    CHECK(run_alone(&run));
    CHECK_TEXT(run.output, "kept new a b\n");
    CLEANUP(run_done) struct run once = {.spec = SPEC("env")};
    once.spec.environment = run.spec.environment;
    once.limit = 1000000;
    CHECK(run_alone(&once));
    const char *first = strstr(once.output, "PARLEY_TEST_OLD=");
    CHECK(first && !strstr(first + 1, "PARLEY_TEST_OLD="));
}

TEST(a_program_runs_in_its_folder)
{
    CLEANUP(run_done) struct run run = {.spec = SPEC("pwd")};
    run.spec.folder = "/usr/bin";
    CHECK(run_alone(&run));
    CHECK_TEXT(run.output, "/usr/bin\n");
}

TEST(what_cannot_be_started_is_named)
{
    char file[] = "/tmp/test-child-XXXXXX";
    int fd = mkstemp(file);
    CHECK(fd >= 0);
    close(fd);
    const struct {
        const char *program;
        const char *folder;
        enum error_code code;
        const char *part; /* of the message */
    } cases[] = {
        {"no-such-program", NULL, ERROR_NOT_FOUND, "no program no-such-program in PATH"},
        {"/no/such/program", NULL, ERROR_NOT_FOUND, "no program /no/such/program"},
        {"true", "/no/such/folder", ERROR_NOT_FOUND, "no folder /no/such/folder"},
        {file, NULL, ERROR_DENIED, file},
        {"/", NULL, ERROR_DENIED, "/"},
        {"true", file, ERROR_SYSTEM, file},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(run_done) struct run run = {.spec = SPEC(cases[i].program)};
        run.spec.folder = cases[i].folder;
        CHECK(run_alone(&run));
        CHECK(run.r == -(int)cases[i].code);
        CHECK(strstr(run.err.message, cases[i].part));
        CHECK(run.output == NULL);
    }
    unlink(file);
}

TEST(a_program_is_found_in_a_later_folder_of_path)
{
    char *path = string_copy(getenv("PATH"));
    setenv("PATH", "/no/such/folder:/root::/usr/sbin:/usr/bin:/bin", 1);
    CLEANUP(run_done) struct run run = {.spec = SPEC("true")};
    bool is_clean = run_alone(&run);
    setenv("PATH", path, 1);
    mem_free(path);
    CHECK(is_clean);
    CHECK(run.r == 0);
}

/* True when nobody holds the other end of a pipe any more, within ten seconds. */
static bool is_let_go(int fd)
{
    char byte;
    for (int i = 0; i < 1000; i++) {
        ssize_t n = read(fd, &byte, 1);
        if (n == 0)
            return true;
        if (n < 0)
            usleep(10 * MILLISECOND);
    }
    return false;
}

TEST(at_its_deadline_a_program_is_killed_with_all_it_started)
{
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    CLEANUP(run_done) struct run run = {.spec = SPEC("sh", "-c", "sleep 1000 & sleep 1000; true")};
    run.spec.input = ends[1];
    int64_t before = world_monotonic_clock();
    run.deadline = before + 200 * MILLISECOND;
    CHECK(run_alone(&run));
    close(ends[1]);
    CHECK(run.r == -ERROR_TIMEOUT);
    CHECK(strstr(run.err.message, "sh had not ended"));
    CHECK(run.output == NULL);
    CHECK(world_monotonic_clock() >= run.deadline);
    CHECK(world_monotonic_clock() - before < 10000 * MILLISECOND);
    CHECK(is_let_go(ends[0]));
    close(ends[0]);
}

TEST(output_may_have_the_limit_and_not_a_byte_more)
{
    CLEANUP(run_done) struct run exact = {.spec = SPEC("printf", "1234567890"), .limit = 10};
    CHECK(run_alone(&exact));
    CHECK(exact.r == 0);
    CHECK_TEXT(exact.output, "1234567890");
    CLEANUP(run_done) struct run over = {.spec = SPEC("printf", "1234567890"), .limit = 9};
    CHECK(run_alone(&over));
    CHECK(over.r == -ERROR_LIMIT);
    CHECK(over.output == NULL);
}

TEST(endless_output_ends_at_the_limit)
{
    CLEANUP(run_done) struct run run = {.spec = SPEC("sh", "-c", "yes; true"), .limit = 100000};
    CHECK(run_alone(&run));
    CHECK(run.r == -ERROR_LIMIT);
    CHECK(strstr(run.err.message, "100000 bytes"));
}

TEST(much_output_arrives_whole)
{
    CLEANUP(run_done)
    struct run run = {.spec = SPEC("sh", "-c", "seq 1 200000"), .limit = 2000000};
    CHECK(run_alone(&run));
    CHECK(run.r == 0);
    CHECK(strlen(run.output) == 1288895);
    CHECK_TEXT(run.output + 1288895 - 14, "199999\n200000\n");
}

TEST(output_that_nobody_wants_is_thrown_away)
{
    CLEANUP(run_done)
    struct run run = {.spec = SPEC("seq", "1", "100000"), .limit = 1, .keeps_nothing = true};
    CHECK(run_alone(&run));
    CHECK(run.r == 0 && run.status == 0);
}

TEST(a_program_that_leaves_another_behind_is_not_waited_for_longer)
{
    CLEANUP(run_done) struct run run = {.spec = SPEC("sh", "-c", "sleep 1000 & echo $!")};
    CHECK(run_alone(&run));
    CHECK(run.r == 0);
    pid_t left = (pid_t)strtol(run.output, NULL, 10);
    CHECK(left > 1);
    CHECK(kill(left, SIGKILL) == 0);
}

TEST(a_child_has_no_signals_blocked_or_ignored)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    CLEANUP(run_done)
    struct run run = {.spec = SPEC("grep", "-cE", "^Sig(Blk|Ign):.0+$", "/proc/self/status")};
    bool is_clean = run_alone(&run);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    CHECK(is_clean);
    CHECK_TEXT(run.output, "2\n");
}

TEST(a_child_gets_no_descriptor_but_those_given)
{
    /* A number that nothing else in a shell has. */
    int ours = fcntl(0, F_DUPFD_CLOEXEC, 123);
    CHECK(ours >= 123);
    char script[128];
    snprintf(script, sizeof(script), "test -e /proc/self/fd/%d && echo there", ours);
    CLEANUP(run_done) struct run run = {.spec = SPEC("sh", "-c", script)};
    CHECK(run_alone(&run));
    CHECK_TEXT(run.output, "");
    close(ours);
}

TEST(a_child_starts_also_from_where_stdin_stdout_and_stderr_are_closed)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        struct run run = {.spec = SPEC("sh", "-c", "cat; echo out; echo err >&2")};
        int ends[2];
        int r = pipe2(ends, O_CLOEXEC);
        r |= write(ends[1], "in\n", 3) != 3;
        close(ends[1]);
        run.spec.input = ends[0];
        bool is_clean = run_alone(&run);
        _exit(r != 0 || !is_clean || !run.output || strcmp(run.output, "in\nout\nerr\n") != 0);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int set_mask(void *argument)
{
    umask(*(mode_t *)argument);
    return 0;
}

static int refuse(void *argument)
{
    errno = argument ? EPERM : 0;
    return -1;
}

TEST(prepare_runs_in_the_child_and_may_refuse)
{
    mode_t mask = 0123;
    CLEANUP(run_done) struct run run = {.spec = SPEC("sh", "-c", "umask")};
    run.spec.prepare = set_mask;
    run.spec.prepare_argument = &mask;
    CHECK(run_alone(&run));
    CHECK_TEXT(run.output, "0123\n");
    const char *reasons[] = {NULL, "Operation not permitted"};
    for (int i = 0; i < 2; i++) {
        CLEANUP(run_done) struct run refused = {.spec = SPEC("true")};
        refused.spec.prepare = refuse;
        refused.spec.prepare_argument = i ? &mask : NULL;
        CHECK(run_alone(&refused));
        CHECK(refused.r == -ERROR_SYSTEM);
        CHECK(strstr(refused.err.message, "true"));
        CHECK(!reasons[i] || strstr(refused.err.message, reasons[i]));
    }
}

TEST(a_child_with_its_own_session_leads_it)
{
    CLEANUP(run_done)
    struct run run = {.spec = SPEC("sh", "-c",
                                   "read -r line < /proc/$$/stat; set -- $line;"
                                   "test $6 = $$ && echo leads")};
    run.spec.own_session = true;
    CHECK(run_alone(&run));
    CHECK_TEXT(run.output, "leads\n");
}

TEST(a_child_dies_with_us_if_asked)
{
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    pid_t middle = fork();
    if (middle == 0) {
        struct child_spec spec = SPEC("sleep", "1000");
        spec.input = ends[1];
        spec.dies_with_us = true;
        pid_t pid;
        _exit(child_start(&spec, &pid, NULL) != 0);
    }
    close(ends[1]);
    int status = 1;
    CHECK(waitpid(middle, &status, 0) == middle);
    CHECK(status == 0);
    CHECK(is_let_go(ends[0]));
    close(ends[0]);
}

struct waiting {
    struct loop *loop;
    pid_t pid;
    int first, second, stranger;
    int status;
};

static void wait_twice(void *argument)
{
    struct waiting *waiting = argument;
    int64_t deadline = world_monotonic_clock() + 20 * MILLISECOND;
    waiting->first = child_wait(waiting->loop, waiting->pid, deadline, &waiting->status, NULL);
    kill(waiting->pid, SIGTERM);
    waiting->second = child_wait(waiting->loop, waiting->pid, -1, &waiting->status, NULL);
    waiting->stranger = child_wait(waiting->loop, getpid(), -1, &waiting->status, NULL);
}

TEST(a_child_runs_on_when_the_wait_for_it_times_out)
{
    struct child_spec spec = SPEC("sleep", "1000");
    struct waiting waiting = {.loop = loop_new()};
    CHECK(child_start(&spec, &waiting.pid, NULL) == 0);
    loop_spawn(waiting.loop, "wait", wait_twice, &waiting);
    loop_run(waiting.loop);
    loop_free(waiting.loop);
    CHECK(waiting.first == -ERROR_TIMEOUT);
    CHECK(waiting.second == 0);
    CHECK(waiting.stranger == -ERROR_NOT_FOUND);
    CHECK(WIFSIGNALED(waiting.status) && WTERMSIG(waiting.status) == SIGTERM);
    CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

TEST(fifty_children_run_at_the_same_time)
{
    struct run runs[50];
    const struct child_spec spec = SPEC("sh", "-c", "sleep 0.3; echo done");
    struct loop *loop = loop_new();
    int64_t before = world_monotonic_clock();
    for (size_t i = 0; i < ARRAY_LENGTH(runs); i++) {
        runs[i] = (struct run){.spec = spec, .loop = loop, .limit = 100, .deadline = -1};
        loop_spawn(loop, "run", run_once, &runs[i]);
    }
    loop_run(loop);
    CHECK(world_monotonic_clock() - before < 50 * 300 * (int64_t)MILLISECOND);
    for (size_t i = 0; i < ARRAY_LENGTH(runs); i++) {
        CHECK(runs[i].r == 0);
        CHECK_TEXT(runs[i].output, "done\n");
        run_done(&runs[i]);
    }
    loop_free(loop);
    coroutine_pool_done();
}
