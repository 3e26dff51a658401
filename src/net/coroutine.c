/*
 * Coroutines. ucontext begins a stack; from then on setjmp and longjmp switch between them, because
 * they make no system calls. To sanitizers such a jump is the end of many frames: with them
 * ucontext makes each switch, and they are told of it. Valgrind is told of the stacks.
 */

/* A checked longjmp goes nowhere but up the stack that it is on. */
#undef _FORTIFY_SOURCE

#include "net/coroutine.h"

#include "base/memory.h"

#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define WITH_ASAN
#endif
#if __has_feature(thread_sanitizer)
#define WITH_TSAN
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define WITH_ASAN
#endif
#ifdef __SANITIZE_THREAD__
#define WITH_TSAN
#endif

#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if defined(WITH_ASAN) || defined(WITH_TSAN)
#define WITH_SANITIZER
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(start, end) 0
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#endif

enum { STACK_SIZE = 256 * 1024 };

struct stack {
    char *mapping; /* the guard page, then the stack */
    char *bottom;  /* the lowest byte that can be used */
    size_t size;
    unsigned int valgrind_id;
    jmp_buf place;      /* where whoever is on it goes on */
    bool has_begun;     /* run_coroutine() is on it, also in the pool */
    struct stack *next; /* in the pool */
};

struct coroutine {
    const char *name; /* borrowed */
    void (*function)(void *argument);
    void *argument;
    struct coroutine *resumer; /* borrowed; NULL unless it runs or has resumed who runs */
    bool has_ended;
    struct stack *stack; /* owned */
#ifdef WITH_SANITIZER
    ucontext_t context;
#endif
    void *fake_stack; /* what AddressSanitizer keeps of it while it is switched away */
    void *fiber;      /* what ThreadSanitizer takes it for */
};

static _Thread_local struct coroutine *running;
static _Thread_local struct stack *pool;
static _Thread_local size_t n_coroutines;

/* What coroutines are resumed from when no other coroutine does it: the thread itself. */
static _Thread_local struct stack thread_stack;
static _Thread_local struct coroutine thread_itself;

static _Noreturn void stop_without_stack(void)
{
    fprintf(stderr, "parley: no memory for the stack of a coroutine: %s\n", strerror(errno));
    abort();
}

static struct stack *stack_new(void)
{
    struct stack *stack = pool;
    if (stack) {
        pool = stack->next;
        return stack;
    }
    stack = NEW(struct stack);
    size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    stack->size = STACK_SIZE;
    stack->mapping = mmap(NULL, guard + STACK_SIZE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (stack->mapping == MAP_FAILED || mprotect(stack->mapping, guard, PROT_NONE) < 0)
        stop_without_stack();
    stack->bottom = stack->mapping + guard;
    stack->valgrind_id = VALGRIND_STACK_REGISTER(stack->bottom, stack->bottom + STACK_SIZE);
    return stack;
}

/* The frames that a coroutine never returned from have left their red zones behind. */
static void stack_to_pool(struct stack *stack)
{
#ifdef WITH_ASAN
    ASAN_UNPOISON_MEMORY_REGION(stack->bottom, stack->size);
#endif
    stack->next = pool;
    pool = stack;
}

/* The first steps on a stack after a switch to it; from is the stack before, whose bounds are
 * unknown until then if it is the thread's own. */
__attribute__((always_inline)) static inline void accept_switch(struct coroutine *to,
                                                                struct stack *from)
{
#ifdef WITH_ASAN
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(to->fake_stack, &bottom, &size);
    assert(from == &thread_stack || from->bottom == bottom);
    from->bottom = (char *)(uintptr_t)bottom;
    from->size = size;
#endif
    (void)to;
    (void)from;
}

static _Noreturn void run_coroutine(void);

/* With the signal mask of now. */
static void begin_on(struct stack *stack, ucontext_t *ret_context)
{
    getcontext(ret_context);
    ret_context->uc_stack.ss_sp = stack->bottom;
    ret_context->uc_stack.ss_size = stack->size;
    makecontext(ret_context, run_coroutine, 0);
    /* AddressSanitizer would wipe what it knows of this area at each switch to the context. */
    ret_context->uc_stack = (stack_t){0};
}

#ifdef WITH_SANITIZER

/* The last steps on a stack before a switch to another one. from is NULL when it never comes back:
 * its fake stack is freed then. */
__attribute__((always_inline)) static inline void announce_switch(struct coroutine *from,
                                                                  const struct coroutine *to)
{
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(from ? &from->fake_stack : NULL, to->stack->bottom,
                                   to->stack->size);
#endif
#ifdef WITH_TSAN
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
    (void)from;
    (void)to;
}

/*
 * A context carries a signal mask. It follows the thread's of now: a signal that was blocked after
 * the context was left must stay so in it.
 */
static void take_signal_mask(struct coroutine *to)
{
    pthread_sigmask(SIG_SETMASK, NULL, &to->context.uc_sigmask);
}

/* Returns when somebody switches back to from, who calls accept_switch() then. */
__attribute__((always_inline)) static inline void switch_to(struct coroutine *from,
                                                            struct coroutine *to)
{
    take_signal_mask(to);
    announce_switch(from, to);
    swapcontext(&from->context, &to->context);
}

static _Noreturn void run_coroutine(void)
{
    struct coroutine *self = running;
    accept_switch(self, self->resumer->stack);
    self->function(self->argument);
    self->has_ended = true;
    take_signal_mask(self->resumer);
    announce_switch(NULL, self->resumer);
    setcontext(&self->resumer->context);
    abort();
}

#else

static _Noreturn void go_on(struct coroutine *coroutine)
{
    struct stack *stack = coroutine->stack;
    if (stack->has_begun)
        _longjmp(stack->place, 1);
    ucontext_t context;
    begin_on(stack, &context);
    stack->has_begun = true;
    setcontext(&context);
    abort();
}

/* Returns when somebody switches back to from. */
static void switch_to(struct coroutine *from, struct coroutine *to)
{
    if (_setjmp(from->stack->place) == 0)
        go_on(to);
}

/* Stays on its stack for all that are ever on it: the next one finds it here. */
static _Noreturn void run_coroutine(void)
{
    for (;;) {
        struct coroutine *self = running;
        self->function(self->argument);
        self->has_ended = true;
        switch_to(self, self->resumer);
    }
}

#endif

struct coroutine *coroutine_new(const char *name, void (*function)(void *argument), void *argument)
{
    assert(name && function);
    assert(n_coroutines < COROUTINE_LIMIT);
    struct coroutine *coroutine = NEW(struct coroutine);
    coroutine->name = name;
    coroutine->function = function;
    coroutine->argument = argument;
    coroutine->stack = stack_new();
#ifdef WITH_SANITIZER
    begin_on(coroutine->stack, &coroutine->context);
#endif
#ifdef WITH_TSAN
    coroutine->fiber = __tsan_create_fiber(0);
    __tsan_set_fiber_name(coroutine->fiber, name);
#endif
    n_coroutines++;
    return coroutine;
}

static void coroutine_free(struct coroutine *coroutine)
{
#ifdef WITH_TSAN
    __tsan_destroy_fiber(coroutine->fiber);
#endif
    stack_to_pool(coroutine->stack);
    mem_free(coroutine);
    n_coroutines--;
}

void coroutine_resume(struct coroutine *coroutine)
{
    assert(coroutine);
    assert(!coroutine->resumer && !coroutine->has_ended);
    struct coroutine *resumer = running;
    if (!resumer) {
        resumer = &thread_itself;
        thread_itself.stack = &thread_stack;
        thread_stack.has_begun = true;
#ifdef WITH_TSAN
        thread_itself.fiber = __tsan_get_current_fiber();
#endif
    }
    coroutine->resumer = resumer;
    running = coroutine;
    switch_to(resumer, coroutine);
    accept_switch(resumer, coroutine->stack);
    running = resumer == &thread_itself ? NULL : resumer;
    coroutine->resumer = NULL;
    if (coroutine->has_ended)
        coroutine_free(coroutine);
}

CO_FN void coroutine_yield(void)
{
    struct coroutine *self = running;
    assert(self);
    switch_to(self, self->resumer);
    accept_switch(self, self->resumer->stack);
}

struct coroutine *coroutine_self(void)
{
    return running;
}

size_t coroutine_count(void)
{
    return n_coroutines;
}

void coroutine_pool_done(void)
{
    assert(n_coroutines == 0);
    while (pool) {
        struct stack *stack = pool;
        pool = stack->next;
        VALGRIND_STACK_DEREGISTER(stack->valgrind_id);
        munmap(stack->mapping, (size_t)(stack->bottom - stack->mapping) + stack->size);
        mem_free(stack);
    }
}
