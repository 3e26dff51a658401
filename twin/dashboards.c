/*
 * The module of dashboards: Grafana, where this machine has one, on the host of the monitor whose
 * measurements it shows. Without one no machine has dashboards, and nothing runs here.
 */
#include "twin/dashboards-config.h"
#include "twin/module.h"
#include "twin/service.h"

#include "base/text.h"
#include "base/world.h"
#include "net/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ASK_TIME = 3 * 1000 * 1000, /* microseconds */
    /* Its database is made by hundreds of steps when it starts for the first time. */
    START_TIME = 60 * 1000 * 1000,
    PROBE_PERIOD = 100 * 1000,
    NICENESS = 10, /* nobody waits for it to answer a request */
    SECRET_BYTES = 24,
    SECRET_LIMIT = 256
};

struct board {
    struct boards *module;
    const struct machine_dashboards *wanted; /* borrowed from the module's machine */
    char *resource;                          /* owned, as all texts */
    char *host;
    char *config;            /* folder of files that only we write */
    char *storage;           /* folder of Grafana's */
    char *settings;          /* what it must be started again for, as it started */
    struct process *process; /* owned */
};

struct boards {
    struct twin *twin;
    char *config_folder;
    char *storage_folder;
    char *secret_folder;     /* children do not see it */
    struct machine *machine; /* a reference */
    struct board **items;    /* owned */
    size_t n_items;
    size_t capacity;
};

/* --- Files --- */

static char *secret_path(const struct board *board)
{
    CLEANUP(mem_freep) char *file = service_file_name(board->resource);
    return string_format("%s/%s.grafana", board->module->secret_folder, file);
}

static int ensure_secret(const struct board *board, char **ret_secret, struct error *err)
{
    unsigned char bytes[SECRET_BYTES];
    struct strbuf text = {0};
    CLEANUP(mem_freep) char *path = secret_path(board);
    if (world_read_file(path, SECRET_LIMIT, ret_secret, NULL, NULL) == 0)
        return 0;
    world_random(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        strbuf_addf(&text, "%02x", bytes[i]);
    mem_wipe(bytes, sizeof(bytes));
    *ret_secret = strbuf_take(&text);
    return world_write_file(path, *ret_secret, strlen(*ret_secret), 0600, true, err);
}

static int make_folders(const struct board *board, struct error *err)
{
    static const char *const folders[] = {"", "/datasources", "/dashboards", "/boards"};
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LENGTH(folders); i++) {
        CLEANUP(mem_freep) char *path = string_format("%s%s", board->config, folders[i]);
        r = service_make_folder(path, err);
    }
    if (r == 0 && mkdir(board->storage, 0700) < 0 && errno != EEXIST)
        r = error_set_errno(err, errno, "make the storage of dashboards %s", board->resource);
    return r < 0 ? r : twin_give(board->storage, PROCESS_NOBODY, err);
}

static int write_one(const struct board *board, const char *name, const struct strbuf *text,
                     struct error *err)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", board->config, name);
    return service_write(path, strbuf_text(text), NULL, err);
}

/* It sees a new dashboard by itself; all else it reads when it starts, and that goes to settings.
 */
static int write_files(const struct board *board, const char *secret, struct strbuf *settings,
                       struct error *err)
{
    CLEANUP(mem_freep) char *boards = string_format("%s/boards", board->config);
    CLEANUP(mem_freep) char *ini = string_format("%s/grafana.ini", board->storage);
    CLEANUP(strbuf_done) struct strbuf source = {0};
    CLEANUP(strbuf_done) struct strbuf provider = {0};
    CLEANUP(strbuf_done) struct strbuf dashboard = {0};
    struct dashboards_files files = {board->config, boards, board->storage, secret};
    dashboards_write_settings(settings, board->wanted, &files);
    dashboards_write_source(&source, board->wanted);
    dashboards_write_provider(&provider, &files);
    dashboards_write_board(&dashboard, board->wanted);
    int r = service_write_secret(ini, strbuf_text(settings), PROCESS_NOBODY, err);
    if (r == 0)
        r = write_one(board, "datasources/prometheus.yaml", &source, err);
    if (r == 0)
        r = write_one(board, "dashboards/deployment.yaml", &provider, err);
    if (r == 0)
        r = write_one(board, "boards/" DASHBOARDS_BOARD, &dashboard, err);
    strbuf_add(settings, strbuf_text(&source));
    strbuf_add(settings, strbuf_text(&provider));
    return r;
}

/* --- The process --- */

static CO_FN int probe(void *argument, struct error *err)
{
    const struct board *board = argument;
    struct http_exchange exchange = {.method = "GET", .target = "/api/health", .limit = 65536};
    int r = service_ask(board->module->twin, board->wanted->monitor->host, board->wanted->port,
                        &exchange, world_monotonic_clock() + ASK_TIME, err);
    if (r == 0 && exchange.code != 200)
        r = error_set(err, ERROR_UNAVAILABLE, "/api/health answers %d: %.200s", exchange.code,
                      strbuf_text(&exchange.answer));
    http_exchange_done(&exchange);
    return r;
}

/* grafana is many programs in one; grafana-server is the server alone. */
static int start(struct board *board, struct error *err)
{
    CLEANUP(mem_freep) char *program = NULL;
    CLEANUP(mem_freep) char *home = NULL;
    if (!program_find_kit(&program_grafana, &program, &home))
        return error_set(err, ERROR_MISSING, "Grafana is not installed any more");
    bool has_verb = !text_ends_with(program, "-server");
    CLEANUP(mem_freep)
    char *name = string_format("%s.grafana-%u", board->host, board->wanted->port);
    CLEANUP(mem_freep) char *config = string_format("--config=%s/grafana.ini", board->storage);
    CLEANUP(mem_freep) char *home_path = string_format("--homepath=%s", home);
    const char *with_verb[] = {program, "server", config, home_path, NULL};
    const char *without_verb[] = {program, config, home_path, NULL};
    const char *const read[] = {home, board->config, NULL};
    const char *const written[] = {board->storage, NULL};
    struct process_spec spec = {.name = name,
                                .host = board->host,
                                .folder = home,
                                .arguments = has_verb ? with_verb : without_verb,
                                .files = {.read = read, .written = written},
                                .user = PROCESS_NOBODY,
                                .niceness = NICENESS,
                                .is_restarted = true,
                                .probe = probe,
                                .argument = board};
    return process_start(board->module->twin->processes, &spec, &board->process, err);
}

static CO_FN void stop(struct board *board)
{
    process_stop(board->process);
    board->process = NULL;
    mem_free(board->settings);
    board->settings = NULL;
}

/* --- One of them --- */

static CO_FN int converge_board(struct board *board, struct error *err)
{
    CLEANUP(mem_freep) char *secret = NULL;
    CLEANUP(strbuf_done) struct strbuf settings = {0};
    int r = make_folders(board, err);
    if (r == 0)
        r = ensure_secret(board, &secret, err);
    if (r == 0)
        r = write_files(board, secret, &settings, err);
    if (r < 0)
        return r;
    if (board->process && !text_equal_or_null(board->settings, strbuf_text(&settings)))
        stop(board);
    if (!board->process && (r = start(board, err)) < 0)
        return r;
    mem_free(board->settings);
    board->settings = strbuf_take(&settings);
    return process_wait_ready(board->process, world_monotonic_clock() + START_TIME, err);
}

static struct board *board_new(struct boards *module, const struct machine_dashboards *wanted)
{
    CLEANUP(mem_freep) char *file = service_file_name(wanted->resource);
    struct board *board = NEW(struct board);
    board->module = module;
    board->resource = string_copy(wanted->resource);
    board->host = string_copy(wanted->monitor->host->name);
    board->config = string_format("%s/%s", module->config_folder, file);
    board->storage = string_format("%s/%s", module->storage_folder, file);
    return board;
}

static CO_FN void board_free(struct board *board)
{
    stop(board);
    mem_free(board->resource);
    mem_free(board->host);
    mem_free(board->config);
    mem_free(board->storage);
    mem_free(board);
}

static CO_FN void drop_board(struct boards *module, size_t index)
{
    struct board *board = module->items[index];
    module->items[index] = module->items[--module->n_items];
    stop(board);
    service_remove_folder(board->config);
    if (!twin_has_resource(module->twin, board->resource)) {
        CLEANUP(mem_freep) char *path = secret_path(board);
        unlink(path);
        service_remove_folder(board->storage);
    }
    board_free(board);
}

/* --- The module --- */

static struct board *find_board(const struct boards *module, const char *resource)
{
    for (size_t i = 0; i < module->n_items; i++)
        if (text_equal(module->items[i]->resource, resource))
            return module->items[i];
    return NULL;
}

static CO_FN void adjust_list(struct boards *module)
{
    const struct machine *machine = module->machine;
    for (size_t i = module->n_items; i > 0; i--) {
        const struct board *board = module->items[i - 1];
        const struct machine_dashboards *wanted = machine_find_dashboards(machine, board->resource);
        if (!wanted || !text_equal(wanted->monitor->host->name, board->host))
            drop_board(module, i - 1);
    }
    for (size_t i = 0; i < machine->n_dashboards; i++) {
        struct board *board = find_board(module, machine->dashboards[i]->resource);
        if (!board) {
            board = board_new(module, machine->dashboards[i]);
            ARRAY_RESERVE(module->items, module->n_items, module->capacity);
            module->items[module->n_items++] = board;
        }
        board->wanted = machine->dashboards[i];
    }
}

static CO_FN void converge_boards(void *argument, struct machine *wanted, struct problems *problems)
{
    struct boards *module = argument;
    struct machine *before = module->machine;
    module->machine = machine_ref(wanted);
    adjust_list(module);
    machine_unref(before);
    for (size_t i = 0; i < module->n_items; i++) {
        struct error err = {0};
        int r = converge_board(module->items[i], &err);
        if (r < 0) {
            error_wrap(&err, r, "Grafana");
            problems_add(problems, module->items[i]->resource, &err);
        }
    }
}

static void report_board(void *argument, const char *resource, struct value_builder *status,
                         struct value_builder *outputs)
{
    const struct board *board = find_board(argument, resource);
    (void)outputs;
    if (!board)
        return;
    enum process_state state = board->process ? process_state(board->process) : PROCESS_ENDED;
    value_builder_set_string(status, "state",
                             state == PROCESS_READY      ? "ready"
                             : state == PROCESS_STARTING ? "starting"
                                                         : "failed");
    service_report_restarts(status, process_restarts(board->process));
    service_report_problem(status, board->process);
}

static int open_boards(struct twin *twin, void **ret_module, struct error *err)
{
    CLEANUP(mem_freep) char *config_folder = NULL;
    CLEANUP(mem_freep) char *storage_folder = NULL;
    CLEANUP(mem_freep) char *secret_folder = string_format("%s/secrets", twin->folder);
    int r = service_open_folder(twin, "dashboards-config", &config_folder, err);
    if (r == 0)
        r = twin_folder(twin, "dashboards", PROCESS_NOBODY, &storage_folder, err);
    if (r == 0)
        r = world_make_folder(secret_folder, 0700, err);
    if (r < 0)
        return r;
    struct boards *module = NEW(struct boards);
    module->twin = twin;
    module->config_folder = take_ptr(config_folder);
    module->storage_folder = take_ptr(storage_folder);
    module->secret_folder = take_ptr(secret_folder);
    *ret_module = module;
    return 0;
}

static CO_FN void close_boards(void *argument)
{
    struct boards *module = argument;
    while (module->n_items > 0)
        board_free(module->items[--module->n_items]);
    mem_free(module->items);
    machine_unref(module->machine);
    mem_free(module->config_folder);
    mem_free(module->storage_folder);
    mem_free(module->secret_folder);
    mem_free(module);
}

const struct module_ops dashboards_module = {
    .name = "dashboards",
    .open = open_boards,
    .converge = converge_boards,
    .report = report_board,
    .close = close_boards,
};
