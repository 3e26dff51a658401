/* parley twin status|exec|down|doctor */
#include "base/memory.h"
#include "base/text.h"
#include "cli/cli.h"
#include "net/child.h"

#include <stdio.h>
#include <string.h>

static int twin_status(struct cli *cli)
{
    struct error err = {0};
    CLEANUP(value_unrefp) struct value *status = NULL;
    if (service_twin_status(cli->service, &status, &err) < 0)
        return cli_fail(cli, &err);
    cli_print_json(status);
    return EXIT_DONE;
}

static int twin_down(struct cli *cli)
{
    struct error err = {0};
    if (service_twin_down(cli->service, &err) < 0)
        return cli_fail(cli, &err);
    fprintf(stderr,
            "The twin is stopped; what it had is kept, and \"parley up\" starts it again.\n");
    return EXIT_DONE;
}

static int twin_doctor(struct cli *cli)
{
    struct error err = {0};
    struct diagnostics diagnostics = {0};
    struct strbuf buffer = {0};
    int r = service_twin_doctor(cli->service, &diagnostics, &err);
    diagnostics_write(&diagnostics, NULL, NULL, &buffer);
    fputs(strbuf_text(&buffer), stdout);
    if (r == 0 && diagnostics.n_errors == 0)
        puts("Everything that the twin needs is here.");
    int exit_code = r < 0 ? cli_fail(cli, &err) : diagnostics.n_errors ? EXIT_ERROR : EXIT_DONE;
    strbuf_done(&buffer);
    diagnostics_done(&diagnostics);
    return exit_code;
}

/* The program that enters namespaces takes this one's place, so that the terminal is the command's.
 */
static int twin_exec(struct cli *cli)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *program = NULL;
    CLEANUP(mem_freep) char *socket = NULL;
    const struct options *options = &cli->options;
    if (options->n_rest < 2) {
        fprintf(stderr, "parley: usage: parley twin exec HOST COMMAND [ARGUMENT ...]\n");
        return EXIT_ERROR;
    }
    if (service_twin_find(cli->service, &program, &socket, &err) < 0)
        return cli_fail(cli, &err);
    const char **arguments = NEW_ARRAY(const char *, options->n_rest + 5);
    arguments[0] = program;
    arguments[1] = "exec";
    arguments[2] = "--socket";
    arguments[3] = socket;
    memcpy(arguments + 4, options->rest, options->n_rest * sizeof(arguments[0]));
    (void)child_become(arguments, &err);
    mem_free(arguments);
    return cli_fail(cli, &err);
}

int command_twin(struct cli *cli)
{
    static const struct {
        const char *verb;
        int (*run)(struct cli *cli);
    } verbs[] = {
        {"status", twin_status}, {"down", twin_down}, {"doctor", twin_doctor}, {"exec", twin_exec}};
    const char *verb = cli->options.words[0];
    for (size_t i = 0; i < ARRAY_LENGTH(verbs); i++) {
        if (!text_equal(verbs[i].verb, verb))
            continue;
        int r = cli_open(cli);
        return r != 0 ? r : verbs[i].run(cli);
    }
    fprintf(stderr, "parley: usage: parley twin status | exec HOST COMMAND ... | down | doctor\n");
    return EXIT_ERROR;
}
