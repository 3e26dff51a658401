/*
 * What the tests of the store share: a scratch folder, a store in it, samples of what it keeps, and
 * STORE_TEST, whose body runs as a coroutine, so that it reads top to bottom and may CHECK.
 */
#pragma once

#include "harness.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "model/json.h"
#include "net/loop.h"
#include "store/store.h"

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

#include <ftw.h>
#include <inttypes.h>
#include <unistd.h>

/* Of the test that runs now. */
static struct loop *loop;
static struct store *store;
static char folder[64];

static inline bool is_subject(const char *name)
{
    const char *subject = getenv("PARLEY_TEST_SUBJECT");
    return subject && strcmp(subject, name) == 0;
}

/* One that is made with its first commit. */
static inline bool is_begun(void)
{
    return is_subject("begun");
}

static inline bool is_sqlite(void)
{
    return is_subject("sqlite") || is_begun();
}

/* How many times less of what needs many repetitions or rows: valgrind is slow. */
static inline int thinning(void)
{
    return RUNNING_ON_VALGRIND ? 20 : 1;
}

static inline int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void make_folder(void)
{
#ifdef STORE_TEST_IN_MEMORY
    bool is_in_memory = access("/dev/shm", W_OK | X_OK) == 0;
#else
    bool is_in_memory = false;
#endif
    snprintf(folder, sizeof(folder), "%s/parley-store-XXXXXX",
             is_in_memory ? "/dev/shm" : temporary_folder());
    if (!mkdtemp(folder)) {
        perror("Bail out! mkdtemp");
        exit(1);
    }
}

static inline void remove_folder(void)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Prints why and says whether r is success. */
static inline bool is_done(int r, struct error *err)
{
    if (r < 0)
        printf("# %s: %s\n", error_code_to_string(err->code), error_message(err));
    error_done(err);
    return r == 0;
}

/* A loop is there only while a store is open, so that a child that is forked in between has none.
 */
static inline void end_loop(void)
{
    loop_free(loop);
    loop = NULL;
    coroutine_pool_done();
}

static inline bool open_store(void)
{
    loop = loop_new();
    if (!is_sqlite()) {
        store = store_open_memory(loop);
        return true;
    }
    struct error err = {0};
    int r = is_begun() ? store_begin_sqlite(loop, folder, &store, &err)
                       : store_open_sqlite(loop, folder, true, &store, &err);
    bool is_open = is_done(r, &err);
    if (!is_open)
        end_loop();
    return is_open;
}

static inline void free_kept_steps(void);

/* Nothing happens when none is open. */
static inline void close_store(void)
{
    free_kept_steps();
    if (!store)
        return;
    store_close(store);
    store = NULL;
    end_loop();
}

/* A function of a test that runs as a coroutine, and how it ended: 0, or as longjmp() has it. */
struct body {
    void (*run)(void);
    int end;
};

/* A CHECK that fails jumps to test_end: while this runs, that is on the coroutine's own stack. */
static inline void body_enter(void *argument)
{
    struct body *body = argument;
    jmp_buf outer;
    memcpy(outer, test_end, sizeof(outer));
    int end = setjmp(test_end);
    if (end == 0)
        body->run();
    body->end = end;
    memcpy(test_end, outer, sizeof(outer));
}

/* Runs it on the loop to its end and gives that. */
static inline int run_on_loop(void (*run)(void))
{
    struct body body = {.run = run};
    loop_spawn(loop, "test", body_enter, &body);
    loop_run(loop);
    return body.end;
}

static inline void run_store_test(void (*run)(void))
{
    make_folder();
    int end = open_store() ? run_on_loop(run) : 1;
    close_store();
    remove_folder();
    if (end != 0)
        longjmp(test_end, end);
}

#define STORE_TEST(name)             \
    static void body_##name(void);   \
    TEST(name)                       \
    {                                \
        run_store_test(body_##name); \
    }                                \
    static void body_##name(void)

/* --- Samples --- */

#define DEPLOYMENT "d0000000-0000-8000-8000-000000000001"
#define PLAN "aaaaaabbbbbbccccccddddddeeeeeeffffff0000001111112222223333334444"
#define RUN "70000000-0000-4000-8000-000000000001"

static inline struct value *from_json(const char *text)
{
    struct error err = {0};
    struct value *value = NULL;
    if (json_read(text, strlen(text), &value, &err) < 0)
        printf("# %s: %s\n", text, error_message(&err));
    error_done(&err);
    return value;
}

static inline bool is_json(const struct value *value, const char *want)
{
    CLEANUP(mem_freep) char *text = json_text(value);
    if (strcmp(text, want) != 0)
        printf("# is   %s\n# want %s\n", text, want);
    return strcmp(text, want) == 0;
}

/* Commits and empties the batch. */
static inline bool commits(struct store_batch *batch, int64_t *ret_last_seq)
{
    struct error err = {0};
    return is_done(store_commit(store, batch, ret_last_seq, &err), &err);
}

/* The code of a commit that is expected to fail, with a message. */
static inline enum error_code commit_error(struct store_batch *batch)
{
    struct error err = {0};
    int r = store_commit(store, batch, NULL, &err);
    enum error_code code = err.message && r == -(int)err.code ? err.code : ERROR_NONE;
    error_done(&err);
    return code;
}

static inline void add_deployment(struct store_batch *batch, const char *uid, const char *name,
                                  int64_t incarnation)
{
    CLEANUP(value_unrefp) struct value *outputs = from_json("{\"url\":\"https://a\"}");
    struct store_deployment deployment = {.uid = (char *)uid,
                                          .name = (char *)name,
                                          .environment = (char[]){"default"},
                                          .incarnation = incarnation,
                                          .outputs = outputs,
                                          .created_at = 1000,
                                          .updated_at = 2000};
    store_batch_put_deployment(batch, &deployment);
}

/* Steps that batches ask for: they stay until the store is closed. */
struct kept_step {
    struct kept_step *next;
    char *texts[STEP_TEXT_COUNT];
};
static struct kept_step *kept_steps;

static inline void free_kept_steps(void)
{
    for (struct kept_step *step = kept_steps; step;) {
        struct kept_step *next = step->next;
        for (size_t i = 0; i < STEP_TEXT_COUNT; i++)
            mem_free(step->texts[i]);
        mem_free(step);
        step = next;
    }
    kept_steps = NULL;
}

/* The body goes into the buffer, as it may. */
static inline void write_kept_step(const void *argument, size_t place, struct strbuf *buffer,
                                   const char *ret_texts[STEP_TEXT_COUNT])
{
    const struct kept_step *step = argument;
    (void)place;
    memcpy(ret_texts, step->texts, sizeof(step->texts));
    strbuf_clear(buffer);
    strbuf_add(buffer, step->texts[STEP_TEXT_BODY]);
    ret_texts[STEP_TEXT_BODY] = buffer->text;
}

static inline void add_step(struct store_batch *batch, const char *hash, size_t place,
                            char *take_texts[STEP_TEXT_COUNT])
{
    struct kept_step *step = NEW(struct kept_step);
    memcpy(step->texts, take_texts, sizeof(step->texts));
    step->next = kept_steps;
    kept_steps = step;
    store_batch_add_steps(batch, hash, &(struct store_steps){place, 1, step, write_kept_step});
}

/* A step as older programs stored it: all of it is JSON. */
static inline void add_step_body(struct store_batch *batch, const char *hash, size_t place,
                                 const char *body)
{
    char *texts[STEP_TEXT_COUNT] = {[STEP_TEXT_BODY] = string_copy(body)};
    add_step(batch, hash, place, texts);
}

static inline void add_plan(struct store_batch *batch, const char *hash)
{
    store_batch_put_plan(batch, hash, DEPLOYMENT, "{}", NULL);
    add_step_body(batch, hash, 0, "{\"id\":\"create a#1\"}");
}

static inline void add_run(struct store_batch *batch, const char *id)
{
    struct store_run run = {.id = (char *)id,
                            .deployment_uid = (char[]){DEPLOYMENT},
                            .plan_hash = (char[]){PLAN},
                            .principal = (char[]){"user:1000"},
                            .words = (char[]){"up web.yaml"},
                            .client = (char[]){"a client 1.0"},
                            .status = RUN_RUNNING,
                            .epoch = 1,
                            .started_at = 3000};
    store_batch_put_run(batch, &run);
}

/* A deployment, a plan of it and a run of that. */
static inline bool begin_run(void)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    add_deployment(batch, DEPLOYMENT, "web", 1);
    add_plan(batch, PLAN);
    add_run(batch, RUN);
    return commits(batch, NULL);
}

static inline void add_record(struct store_batch *batch, const char *address, int64_t generation,
                              const char *spec)
{
    CLEANUP(record_freep) struct record *record = record_new();
    record->address = string_copy(address);
    record->type = string_copy("core:data:value");
    record->instance = string_copy("core.default");
    record->uid = string_copy("11111111-2222-8333-8444-555555555555");
    record->origin = string_copy("document");
    record->spec = from_json(spec);
    record->generation = generation;
    record->created_at = 4000;
    record->updated_at = 5000;
    store_batch_put_record(batch, DEPLOYMENT, record);
}

static inline void add_journal(struct store_batch *batch, const char *run, const char *body)
{
    CLEANUP(value_unrefp) struct value *fields = from_json(body);
    store_batch_journal(batch, run, "intent", fields);
}

static inline struct store_deployment find_deployment(void)
{
    struct error err = {0};
    struct store_deployment deployment = {0};
    (void)is_done(store_find_deployment(store, "web", "default", &deployment, &err), &err);
    return deployment;
}

/* "ADDRESS#GENERATION=SPEC" of all records, with spaces between; the caller frees it. */
static inline char *list_records(void)
{
    struct strbuf text = {0};
    struct records records = {0};
    struct error err = {0};
    if (is_done(store_load_records(store, DEPLOYMENT, &records, &err), &err))
        for (size_t i = 0; i < records.n_items; i++) {
            const struct record *record = records.items[i];
            strbuf_addf(&text, "%s%s#%" PRId64 "=", i ? " " : "", record->address,
                        record->generation);
            json_write(&text, record->spec);
        }
    records_done(&records);
    return strbuf_take(&text);
}

/* The rows of a run's journal after seq; NULL when that fails. */
static inline struct value *read_journal(const char *run, int64_t after_seq, size_t limit)
{
    struct error err = {0};
    struct value *rows = NULL;
    (void)is_done(store_read_journal(store, run, after_seq, limit, &rows, &err), &err);
    return rows;
}

/* The ids of runs, with spaces between; the caller frees them. */
static inline char *list_runs(const char *deployment_uid, size_t limit)
{
    struct error err = {0};
    struct strbuf text = {0};
    struct store_run *runs = NULL;
    size_t n = 0;
    (void)is_done(store_list_runs(store, deployment_uid, limit, &runs, &n, &err), &err);
    for (size_t i = 0; i < n; i++) {
        strbuf_addf(&text, "%s%s", i ? " " : "", runs[i].id);
        store_run_done(&runs[i]);
    }
    mem_free(runs);
    return strbuf_take(&text);
}
