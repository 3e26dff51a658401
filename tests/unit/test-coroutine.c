/* A failed CHECK jumps out of the test, so none stands inside a coroutine: they leave their answers
 * behind. */
#include "net/coroutine.h"

#include "base/memory.h"
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

/* What happened, one letter each. */
static char trace[64];

static void note(char c)
{
    size_t length = strlen(trace);
    trace[length] = c;
    trace[length + 1] = '\0';
}

static void say_a_and_b(void *argument)
{
    bool *is_itself = argument;
    *is_itself = coroutine_self() != NULL;
    note('a');
    coroutine_yield();
    note('b');
}

TEST(a_coroutine_runs_when_resumed_and_is_gone_at_its_end)
{
    trace[0] = '\0';
    bool is_itself = false;
    struct coroutine *coroutine = coroutine_new("ab", say_a_and_b, &is_itself);
    CHECK(coroutine_count() == 1);
    note('1');
    coroutine_resume(coroutine);
    note('2');
    CHECK(coroutine_self() == NULL);
    coroutine_resume(coroutine);
    CHECK_TEXT(trace, "1a2b");
    CHECK(is_itself);
    CHECK(coroutine_count() == 0);
}

struct counter {
    struct coroutine *coroutine;
    unsigned int number;
    unsigned int sum;
};

/* Keeps numbers on its stack over many waits. */
static void count_up(void *argument)
{
    struct counter *counter = argument;
    unsigned int values[64];
    for (unsigned int i = 0; i < ARRAY_LENGTH(values); i++) {
        values[i] = counter->number + i;
        if (i % 8 == 0)
            coroutine_yield();
    }
    for (unsigned int i = 0; i < ARRAY_LENGTH(values); i++)
        counter->sum += values[i];
}

TEST(a_thousand_coroutines_keep_their_own_stacks_twice)
{
    struct counter counters[COROUTINE_LIMIT];
    for (int repeat = 0; repeat < 2; repeat++) {
        for (unsigned int i = 0; i < COROUTINE_LIMIT; i++) {
            counters[i] = (struct counter){.number = i};
            counters[i].coroutine = coroutine_new("count", count_up, &counters[i]);
        }
        CHECK(coroutine_count() == COROUTINE_LIMIT);
        for (int turn = 0; turn < 9; turn++)
            for (unsigned int i = 0; i < COROUTINE_LIMIT; i++)
                coroutine_resume(counters[turn % 2 ? COROUTINE_LIMIT - 1 - i : i].coroutine);
        CHECK(coroutine_count() == 0);
        for (unsigned int i = 0; i < COROUTINE_LIMIT; i++)
            CHECK(counters[i].sum == 64 * i + 64 * 63 / 2);
    }
}

struct nest {
    int depth;
    int deepest;
    struct coroutine *sleeper;
};

static void resume_deeper(void *argument)
{
    struct nest *nest = argument;
    int depth = ++nest->depth;
    if (depth == 100) {
        nest->deepest = depth;
        nest->sleeper = coroutine_self();
        coroutine_yield();
    } else {
        struct coroutine *self = coroutine_self();
        coroutine_resume(coroutine_new("deeper", resume_deeper, nest));
        if (coroutine_self() != self)
            nest->deepest = -1;
    }
    nest->depth--;
}

TEST(coroutines_resume_coroutines_a_hundred_deep)
{
    struct nest nest = {0};
    coroutine_resume(coroutine_new("first", resume_deeper, &nest));
    CHECK(nest.deepest == 100);
    CHECK(nest.depth == 1);
    CHECK(coroutine_count() == 1);
    coroutine_resume(nest.sleeper);
    CHECK(nest.depth == 0);
    CHECK(coroutine_count() == 0);
}

static void note_twice(void *argument)
{
    const char *letters = argument;
    note(letters[0]);
    coroutine_yield();
    note(letters[1]);
}

static void resume_given(void *argument)
{
    note('<');
    coroutine_resume(argument);
    note('>');
}

TEST(a_yield_goes_back_to_who_resumed_last)
{
    trace[0] = '\0';
    char letters[] = "xy";
    struct coroutine *coroutine = coroutine_new("twice", note_twice, letters);
    coroutine_resume(coroutine);
    coroutine_resume(coroutine_new("other", resume_given, coroutine));
    CHECK_TEXT(trace, "x<y>");
    CHECK(coroutine_count() == 0);
}

/* Touches about 1 KiB a level and looks whether it is still there on the way back. */
__attribute__((noinline)) static unsigned int sink_down(unsigned int depth)
{
    volatile unsigned char bytes[1024];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)depth;
    unsigned int below = depth > 1 ? sink_down(depth - 1) : 0;
    for (size_t i = 0; i < sizeof(bytes); i++)
        if (bytes[i] != (unsigned char)depth)
            return 0;
    return below + 1;
}

static void use_stack(void *argument)
{
    unsigned int *depth = argument;
    *depth = sink_down(*depth);
}

TEST(most_of_the_stack_can_be_used)
{
    /* Sanitizers take about half as much again for each frame. */
    unsigned int depth = 150;
    coroutine_resume(coroutine_new("deep", use_stack, &depth));
    CHECK(depth == 150);
}

TEST(a_stack_that_overflows_ends_the_process_at_once)
{
    pid_t pid = fork();
    if (pid == 0) {
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2);
        unsigned int depth = 5000;
        coroutine_new("neighbour below", use_stack, &depth);
        coroutine_resume(coroutine_new("too deep", use_stack, &depth));
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
}

static void block_signal(void *argument)
{
    sigset_t *set = argument;
    sigprocmask(SIG_BLOCK, set, NULL);
    coroutine_yield();
}

static void read_mask(void *argument)
{
    bool *is_blocked = argument;
    for (int i = 0; i < 2; i++) {
        sigset_t now;
        sigprocmask(SIG_BLOCK, NULL, &now);
        is_blocked[i] = sigismember(&now, SIGUSR2);
        coroutine_yield();
    }
}

TEST(a_signal_that_one_coroutine_blocks_is_blocked_in_all)
{
    sigset_t set, now;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    bool is_blocked[2] = {false, false};
    struct coroutine *reader = coroutine_new("reader", read_mask, is_blocked);
    coroutine_resume(reader);
    struct coroutine *blocker = coroutine_new("blocker", block_signal, &set);
    coroutine_resume(blocker);
    sigprocmask(SIG_BLOCK, NULL, &now);
    coroutine_resume(reader);
    coroutine_resume(reader);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    coroutine_resume(blocker);
    CHECK(sigismember(&now, SIGUSR2));
    CHECK(!is_blocked[0] && is_blocked[1]);
    sigprocmask(SIG_BLOCK, NULL, &now);
    CHECK(!sigismember(&now, SIGUSR2));
    CHECK(coroutine_count() == 0);
}

TEST(the_pool_gives_its_stacks_back)
{
    coroutine_pool_done();
    unsigned int depth = 10;
    coroutine_resume(coroutine_new("after", use_stack, &depth));
    CHECK(depth == 10);
    coroutine_pool_done();
}
