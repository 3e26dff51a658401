/*
 * What the tests of the store in a folder share: a folder in which a store was filled and closed,
 * and all that such a store says as one text.
 */
#pragma once

#include "contract/store.h"

#include "base/world.h"
#include "store/audit.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* FOLDER/name in one of a few static buffers. */
static inline const char *path_of(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

/* --- A store that is opened, asked for all it has, and closed --- */

/* The code of opening the store in the folder; its message goes to ret_message where that is given.
 */
static inline enum error_code open_error(bool create, char **ret_message)
{
    struct error err = {0};
    struct store *opened = NULL;
    loop = loop_new();
    int r = store_open_sqlite(loop, folder, create, &opened, &err);
    enum error_code code = r < 0 ? err.code : ERROR_NONE;
    if (ret_message)
        *ret_message = string_copy(error_message(&err));
    error_done(&err);
    store_close(opened);
    end_loop();
    return code;
}

/* What the store says when it is asked for everything, and with which code it stopped. */
struct content {
    struct strbuf text;
    enum error_code code;
};

static struct content *content_to_fill;

static inline bool note(int r, struct content *content)
{
    if (r < 0 && r != -ERROR_NOT_FOUND)
        content->code = (enum error_code) - r;
    return r == 0;
}

static inline void write_value(struct content *content, int r, struct value *take_value)
{
    if (note(r, content))
        json_write(&content->text, take_value);
    value_unref(take_value);
    strbuf_add_char(&content->text, '\n');
}

/* As a coroutine: without CHECK, since it also reads what is broken. */
static inline void read_content(void)
{
    struct content *content = content_to_fill;
    struct store_deployment deployment = {0};
    if (note(store_find_deployment(store, "web", "default", &deployment, NULL), content))
        strbuf_addf(&content->text, "%s %" PRId64 " %" PRId64 "\n", deployment.uid,
                    deployment.records_version, deployment.epoch);
    store_deployment_done(&deployment);
    struct records records = {0};
    (void)note(store_load_records(store, DEPLOYMENT, &records, NULL), content);
    for (size_t i = 0; i < records.n_items; i++)
        write_value(content, 0, record_to_value(records.items[i]));
    records_done(&records);
    struct value *value = NULL;
    int r = store_get_plan(store, PLAN, &value, NULL);
    write_value(content, r, value);
    value = NULL;
    r = store_get_revision(store, DEPLOYMENT, 0, &value, NULL);
    write_value(content, r, value);
    value = NULL;
    r = store_read_journal(store, RUN, 0, 10000, &value, NULL);
    write_value(content, r, value);
    value = NULL;
    r = store_read_audit(store, 0, 10000, &value, NULL);
    write_value(content, r, value);
}

/* The caller frees the text. */
static inline struct content look(void)
{
    struct content content = {0};
    loop = loop_new();
    int r = store_open_sqlite(loop, folder, false, &store, NULL);
    if (r < 0) {
        content.code = (enum error_code) - r;
        end_loop();
        return content;
    }
    content_to_fill = &content;
    if (run_on_loop(read_content) != 0)
        content.code = ERROR_CODE_COUNT;
    close_store();
    return content;
}

/* --- A folder with a store, closed --- */

enum { N_FILLED = 60 }; /* records and journal rows */

static inline void fill_store(void)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    CHECK(begin_run());
    CLEANUP(value_unrefp) struct value *revision = from_json("{\"document\":\"deployment: x\"}");
    store_batch_add_revision(batch, DEPLOYMENT, revision);
    store_batch_take_epoch(batch, DEPLOYMENT, 1);
    for (int i = 0; i < N_FILLED; i++) {
        CLEANUP(mem_freep) char *address = string_format("box[%d]", i);
        CLEANUP(mem_freep) char *spec = string_format("{\"text\":\"content of box %d\"}", i);
        add_record(batch, address, 1, spec);
        add_journal(batch, RUN, spec);
    }
    CHECK(commits(batch, NULL));
}

/* Runs body with a folder in which a store was filled and closed. */
static inline void run_with_store(void (*body)(void))
{
    make_folder();
    int end = open_store() ? run_on_loop(fill_store) : 1;
    close_store();
    jmp_buf outer;
    memcpy(outer, test_end, sizeof(outer));
    if (end == 0 && (end = setjmp(test_end)) == 0)
        body();
    memcpy(test_end, outer, sizeof(outer));
    remove_folder();
    if (end != 0)
        longjmp(test_end, end);
}

#define FOLDER_TEST(name) FOLDER_TEST_IF(true, name)

#define FOLDER_TEST_IF(condition, name) \
    static void body_##name(void);      \
    TEST_IF(condition, name)            \
    {                                   \
        run_with_store(body_##name);    \
    }                                   \
    static void body_##name(void)

/* --- Children --- */

/* Starts body(argument) in a process of its own, while no store is open here. */
static inline pid_t start_child(int (*body)(void *argument), void *argument)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(body(argument));
    return child;
}

/* Its exit status; 255 when a signal ended it. */
static inline int end_of(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return 255;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/* Zeros that children share; NULL when there is none. */
static inline void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Runs body(argument) in a child and gives its exit status, 255 for a signal. */
static inline int run_in_child(int (*body)(void *argument), void *argument)
{
    return end_of(start_child(body, argument));
}
