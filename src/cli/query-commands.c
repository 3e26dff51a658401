/* The commands that only look, and those about runs. */
#include "base/memory.h"
#include "base/text.h"
#include "cli/cli.h"
#include "model/json.h"

#include <stdio.h>
#include <string.h>

/* Prints an answer: as JSON, or as what render makes of it. */
static int answer(struct cli *cli, const struct value *value,
                  void (*render)(const struct value *value, struct strbuf *buffer))
{
    if (cli->options.json) {
        cli_print_json(value);
        return EXIT_DONE;
    }
    struct strbuf buffer = {0};
    render(value, &buffer);
    fputs(strbuf_text(&buffer), stdout);
    strbuf_done(&buffer);
    return EXIT_DONE;
}

static void render_pretty(const struct value *value, struct strbuf *buffer)
{
    CLEANUP(mem_freep) char *text = json_pretty(value);
    strbuf_addf(buffer, "%s\n", text);
}

int command_status(struct cli *cli)
{
    struct error err = {0};
    CLEANUP(value_unrefp) struct value *status = NULL;
    int r = cli_open(cli);
    if (r != 0)
        return r;
    bool is_one = cli->options.n_words > 0;
    r = is_one ? service_status(cli->service, cli->options.words[0], &status, &err)
               : service_list_deployments(cli->service, &status, &err);
    if (r < 0)
        return cli_fail(cli, &err);
    return answer(cli, status, is_one ? render_status : render_deployments);
}

int command_show(struct cli *cli)
{
    struct error err = {0};
    CLEANUP(value_unrefp) struct value *records = NULL;
    int r = cli_open(cli);
    if (r != 0)
        return r;
    const char *address = cli->options.n_words > 1 ? cli->options.words[1] : NULL;
    if (service_show(cli->service, cli->options.words[0], address, &records, &err) < 0)
        return cli_fail(cli, &err);
    return answer(cli, address ? value_at(records, 0) : records, render_pretty);
}

int command_output(struct cli *cli)
{
    struct error err = {0};
    CLEANUP(value_unrefp) struct value *outputs = NULL;
    int r = cli_open(cli);
    if (r != 0)
        return r;
    if (service_outputs(cli->service, cli->options.words[0], &outputs, &err) < 0)
        return cli_fail(cli, &err);
    const char *name = cli->options.n_words > 1 ? cli->options.words[1] : NULL;
    const struct value *wanted = name ? value_get(outputs, name) : outputs;
    if (!wanted) {
        error_set(&err, ERROR_NOT_FOUND, "%s has no output \"%s\"", cli->options.words[0], name);
        return cli_fail(cli, &err);
    }
    if (name && value_kind(wanted) == VALUE_STRING && !cli->options.json) {
        puts(value_text(wanted));
        return EXIT_DONE;
    }
    return answer(cli, wanted, render_pretty);
}

int command_history(struct cli *cli)
{
    struct error err = {0};
    CLEANUP(value_unrefp) struct value *history = NULL;
    int r = cli_open(cli);
    if (r != 0)
        return r;
    if (service_history(cli->service, cli->options.words[0], &history, &err) < 0)
        return cli_fail(cli, &err);
    return answer(cli, history, render_history);
}

static int list_types(struct cli *cli)
{
    for (size_t i = 0; i < catalog_count(cli->service->catalog); i++) {
        const struct resource_type *type = catalog_at(cli->service->catalog, i);
        printf("%-32s %s\n", type->name, type->description ? type->description : "");
    }
    return EXIT_DONE;
}

int command_types(struct cli *cli)
{
    struct error err = {0};
    int r = cli_open(cli);
    if (r != 0)
        return r;
    if (cli->options.n_words == 0)
        return list_types(cli);
    const char *name = cli->options.words[0];
    const struct resource_type *type = catalog_find(cli->service->catalog, name);
    if (!type) {
        const char *nearest = catalog_nearest(cli->service->catalog, name);
        error_set(&err, ERROR_NOT_FOUND, "there is no type \"%s\"%s%s%s", name,
                  nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
        return cli_fail(cli, &err);
    }
    struct strbuf buffer = {0};
    render_type(type, &buffer);
    fputs(strbuf_text(&buffer), stdout);
    strbuf_done(&buffer);
    return EXIT_DONE;
}

/* --- parley run list|show|wait|cancel|exec --- */

static int run_list(struct cli *cli, const char *word)
{
    struct error err = {0};
    CLEANUP(value_unrefp) struct value *runs = NULL;
    if (service_list_runs(cli->service, word, &runs, &err) < 0)
        return cli_fail(cli, &err);
    return answer(cli, runs, render_runs);
}

static int run_show(struct cli *cli, const char *id)
{
    struct error err = {0};
    CLEANUP(value_unrefp) struct value *run = NULL;
    if (service_show_run(cli->service, id, &run, &err) < 0)
        return cli_fail(cli, &err);
    return answer(cli, run, render_pretty);
}

static int run_wait(struct cli *cli, const char *id)
{
    struct error err = {0};
    CLEANUP(value_unrefp) struct value *run = NULL;
    if (service_show_run(cli->service, id, &run, &err) < 0)
        return cli_fail(cli, &err);
    return cli_follow(cli, value_get_text(run, "id"));
}

static int run_cancel(struct cli *cli, const char *id)
{
    struct error err = {0};
    if (service_cancel_run(cli->service, id, &err) < 0)
        return cli_fail(cli, &err);
    fprintf(stderr, "The run is asked to stop; what is under way ends first.\n");
    return EXIT_DONE;
}

static int run_exec(struct cli *cli, const char *id)
{
    struct error err = {0};
    if (service_execute_run(cli->service, id, cli->options.resume, &err) < 0)
        return cli_fail(cli, &err);
    return EXIT_DONE;
}

int command_run(struct cli *cli)
{
    static const struct {
        const char *verb;
        int (*run)(struct cli *cli, const char *word);
        bool needs_id;
    } verbs[] = {
        {"list", run_list, false},    {"show", run_show, true}, {"wait", run_wait, true},
        {"cancel", run_cancel, true}, {"exec", run_exec, true},
    };
    const char *verb = cli->options.words[0];
    const char *word = cli->options.n_words > 1 ? cli->options.words[1] : NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(verbs); i++) {
        if (!text_equal(verbs[i].verb, verb) || (verbs[i].needs_id && !word))
            continue;
        int r = cli_open(cli);
        return r != 0 ? r : verbs[i].run(cli, word);
    }
    fprintf(stderr, "parley: usage: parley run list [NAME] | show ID | wait ID | cancel ID\n");
    return EXIT_ERROR;
}
