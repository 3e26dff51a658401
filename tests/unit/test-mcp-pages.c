/* Lists of several pages: what exists, once each, by cursors that only the server can make. */
#include "mcp-scene.h"

enum { MANY = 120, PAGE = 50 };

static bool is_gone[MANY];

static int list_many(struct mcp_call *call, struct value_builder *list, struct error *err)
{
    (void)call, (void)err;
    /* In no order. */
    for (int i = 0; i < MANY; i++) {
        int number = i * 7 % MANY;
        struct value_builder fields = {0};
        char uri[32];
        if (is_gone[number])
            continue;
        snprintf(uri, sizeof(uri), "test://one/%03d", number);
        value_builder_set_string(&fields, "uri", uri);
        value_builder_set_string(&fields, "name", uri + 7);
        value_builder_append(list, value_builder_map(&fields));
    }
    return 0;
}

static int list_tasks(struct mcp_call *call, const char *after, struct mcp_lasting *ret_tasks,
                      size_t limit, size_t *ret_n, struct error *err)
{
    int first = 0;
    (void)call;
    if (after && sscanf(after, "task-%d", &first) != 1)
        return error_set(err, ERROR_NOT_FOUND, "no such task");
    *ret_n = 0;
    for (int i = after ? first + 1 : 0; i < MANY && *ret_n < limit; i++) {
        struct mcp_lasting *task = &ret_tasks[(*ret_n)++];
        *task = (struct mcp_lasting){.has_ended = true};
        snprintf(task->id, sizeof(task->id), "task-%d", i);
    }
    return 0;
}

static int look_at_task(struct mcp_call *call, const char *id, struct mcp_lasting *ret_task,
                        struct mcp_result *result, struct error *err)
{
    (void)call, (void)id, (void)ret_task, (void)result, (void)err;
    return -ERROR_NOT_FOUND;
}

static int read_nothing(struct mcp_call *call, const char *uri, struct mcp_result *result,
                        struct error *err)
{
    (void)call, (void)uri, (void)result, (void)err;
    return 0;
}

static const struct mcp_resource resources[] = {
    {"test://fixed", "fixed", "Fixed", "Always there.", "text/plain", false, read_nothing}};
static const struct mcp_offer offer = {.name = "test",
                                       .version = "1",
                                       .resources = resources,
                                       .n_resources = 1,
                                       .list_resources = list_many,
                                       .look_at_task = look_at_task,
                                       .list_tasks = list_tasks};

/* --- Asking --- */

static const char *ask_page(struct scene *scene, bool is_modern, const char *method,
                            const struct value *cursor)
{
    static char text[2048];
    char params[1024] = "";
    if (cursor)
        snprintf(params, sizeof(params), "\"cursor\":\"%s\"", value_text(cursor));
    if (is_modern)
        return ask_modern(scene, method, params, "{}");
    snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{%s}}",
             method, params);
    return ask(scene, text);
}

static void begin_legacy(struct scene *scene)
{
    ask(scene, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
               "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}}}");
}

/* The names of a page, with spaces between them; and the cursor of the next, or NULL. */
static size_t read_page(const char *text, const char *list, const char *field, struct strbuf *names,
                        struct value **ret_cursor)
{
    char path[64];
    snprintf(path, sizeof(path), "result.%s", list);
    CLEANUP(value_unrefp) struct value *items = part(text, path);
    CHECK(items);
    for (size_t i = 0; i < value_count(items); i++)
        strbuf_addf(names, "%s ", value_get_text(value_at(items, i), field));
    *ret_cursor = part(text, "result.nextCursor");
    return value_count(items);
}

static size_t read_all(struct scene *scene, bool is_modern, const char *method, const char *list,
                       const char *field, struct strbuf *names)
{
    struct value *cursor = NULL;
    size_t n_pages = 0;
    do {
        CLEANUP(value_unrefp) struct value *former = cursor;
        const char *text = ask_page(scene, is_modern, method, former);
        CHECK(read_page(text, list, field, names, &cursor) <= PAGE + 1);
        n_pages++;
    } while (cursor);
    return n_pages;
}

TEST(in_both_eras_the_pages_have_every_resource_once)
{
    for (int is_modern = 0; is_modern <= 1; is_modern++) {
        struct scene scene;
        struct strbuf names = {0}, wanted = {0};
        scene_begin(&scene, &offer);
        if (!is_modern)
            begin_legacy(&scene);
        strbuf_add(&wanted, "test://fixed ");
        for (int i = 0; i < MANY; i++)
            strbuf_addf(&wanted, "test://one/%03d ", i);
        CHECK(read_all(&scene, is_modern, "resources/list", "resources", "uri", &names) == 3);
        CHECK_TEXT(strbuf_text(&names), strbuf_text(&wanted));
        strbuf_done(&names);
        strbuf_done(&wanted);
        end(&scene);
    }
}

TEST(what_goes_between_two_pages_hides_nothing_else)
{
    struct scene scene;
    struct strbuf names = {0};
    struct value *cursor = NULL, *last = NULL;
    scene_begin(&scene, &offer);
    read_page(ask_page(&scene, true, "resources/list", NULL), "resources", "uri", &names, &cursor);
    /* Two of the page that was given, the last of them too, on which the cursor stands. */
    is_gone[3] = is_gone[PAGE - 1] = true;
    strbuf_clear(&names);
    read_page(ask_page(&scene, true, "resources/list", cursor), "resources", "uri", &names, &last);
    CHECK(strncmp(strbuf_text(&names), "test://one/050 ", 15) == 0);
    memset(is_gone, 0, sizeof(is_gone));
    value_unref(cursor);
    value_unref(last);
    strbuf_done(&names);
    end(&scene);
}

TEST(a_cursor_that_is_none_is_a_fault_of_the_params)
{
    static const char *const methods[] = {"resources/list", "resources/templates/list",
                                          "tools/list", "prompts/list"};
    static const char *const cursors[] = {"\"cursor\":\"x\"", "\"cursor\":2", "\"cursor\":null",
                                          "\"cursor\":\"resources/list\\ntest://one/003\""};
    struct scene scene;
    scene_begin(&scene, &offer);
    for (size_t i = 0; i < ARRAY_LENGTH(methods); i++) {
        for (size_t k = 0; k < ARRAY_LENGTH(cursors); k++)
            check_part(ask_modern(&scene, methods[i], cursors[k], "{}"), "error.code", "-32602");
        check_part(ask_modern(&scene, methods[i], "\"cursor\":\"\"", "{}"), "error", "(nothing)");
    }
    end(&scene);
}

TEST(a_cursor_is_of_its_list_alone_and_good_after_a_restart_with_the_same_key)
{
    static const unsigned char key[32] = {7};
    struct scene scene, other;
    struct strbuf names = {0};
    struct value *cursor = NULL, *next = NULL;
    scene_begin(&scene, &offer);
    mcp_server_free(scene.server);
    scene.server = mcp_server_new(scene.loop, &offer, key);
    begin_legacy(&scene);
    read_page(ask_page(&scene, false, "resources/list", NULL), "resources", "uri", &names, &cursor);
    check_part(ask_page(&scene, false, "tasks/list", cursor), "error.code", "-32602");
    check_part(ask_page(&scene, false, "tools/list", cursor), "error.code", "-32602");
    mcp_server_free(scene.server);
    scene.server = mcp_server_new(scene.loop, &offer, key);
    CHECK(read_page(ask_page(&scene, false, "resources/list", cursor), "resources", "uri", &names,
                    &next) == PAGE);
    end(&scene);
    scene_begin(&other, &offer);
    begin_legacy(&other);
    check_part(ask_page(&other, false, "resources/list", cursor), "error.code", "-32602");
    value_unref(cursor);
    value_unref(next);
    strbuf_done(&names);
    end(&other);
}

TEST(the_tasks_of_2025_11_25_have_pages_too)
{
    struct scene scene;
    struct strbuf names = {0}, wanted = {0};
    scene_begin(&scene, &offer);
    begin_legacy(&scene);
    for (int i = 0; i < MANY; i++)
        strbuf_addf(&wanted, "task-%d ", i);
    CHECK(read_all(&scene, false, "tasks/list", "tasks", "taskId", &names) == 3);
    CHECK_TEXT(strbuf_text(&names), strbuf_text(&wanted));
    strbuf_done(&names);
    strbuf_done(&wanted);
    end(&scene);
}
