/* The commands that make, show and carry out plans. */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "cli/cli.h"
#include "model/json.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PLAN_BYTES = 512 << 20, MAX_ANSWER = 200, HEALTH_PATIENCE_US = 15000000 };

static struct value *take_variables(struct cli *cli)
{
    return value_builder_map(&cli->options.variables);
}

static void trace_pass(void *argument, const char *pass, const struct plan *plan)
{
    (void)argument;
    fprintf(stderr, "pass %-10s %zu steps, %zu kept\n", pass, plan->n_steps,
            plan->counts[STEP_KEEP]);
}

/* Plans from the file, or the destroy, that the command names; prints faults. Returns 0 or an exit
 * code. */
static int make_plan(struct cli *cli, bool is_destroy, struct plan **ret_plan)
{
    struct error err = {0};
    struct diagnostics diagnostics = {0};
    CLEANUP(value_unrefp) struct value *variables = take_variables(cli);
    CLEANUP(mem_freep) char *text = NULL;
    const char *word = cli->options.words[0];
    struct plan_request request = {
        .source = {is_destroy ? NULL : word, NULL, variables},
        .deployment = is_destroy ? word : NULL,
        .refresh = !cli->options.no_refresh,
        .trace = cli->options.trace ? trace_pass : NULL,
    };
    int r = service_plan(cli->service, &request, ret_plan, &text, &diagnostics, &err);
    cli_print_diagnostics(&diagnostics, word, text);
    diagnostics_done(&diagnostics);
    return r < 0 ? cli_fail(cli, &err) : 0;
}

static void print_plan(const struct plan *plan, FILE *stream)
{
    struct strbuf buffer = {0};
    render_plan(plan, &buffer);
    fputs(strbuf_text(&buffer), stream);
    strbuf_done(&buffer);
}

static int save_plan(struct cli *cli, const struct plan *plan)
{
    struct error err = {0};
    CLEANUP(value_unrefp) struct value *value = plan_to_value(plan);
    CLEANUP(mem_freep) char *text = json_text(value);
    int r = world_write_file(cli->options.output, text, strlen(text), 0600, true, &err);
    if (r < 0)
        return cli_fail(cli, &err);
    fprintf(stderr, "The plan is saved; carry it out with \"parley apply %s\".\n",
            cli->options.output);
    return 0;
}

int command_plan(struct cli *cli)
{
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = cli_open(cli);
    if (r != 0 || (r = make_plan(cli, false, &plan)) != 0)
        return r;
    assert(plan);
    if (cli->options.json) {
        CLEANUP(value_unrefp) struct value *value = plan_to_value(plan);
        cli_print_json(value);
    } else {
        print_plan(plan, stdout);
    }
    if (cli->options.output && (r = save_plan(cli, plan)) != 0)
        return r;
    return cli->options.detailed_exit_code && plan_has_effects(plan) ? EXIT_CHANGES_PENDING
                                                                     : EXIT_DONE;
}

int command_graph(struct cli *cli)
{
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = cli_open(cli);
    if (r != 0 || (r = make_plan(cli, false, &plan)) != 0)
        return r;
    assert(plan);
    struct strbuf buffer = {0};
    render_graph(plan, &buffer);
    fputs(strbuf_text(&buffer), stdout);
    strbuf_done(&buffer);
    return EXIT_DONE;
}

/* One line from the terminal, without its end; false at the end of input. */
static bool read_answer(char ret_answer[MAX_ANSWER])
{
    if (!fgets(ret_answer, MAX_ANSWER, stdin))
        return false;
    ret_answer[strcspn(ret_answer, "\r\n")] = '\0';
    return true;
}

/* Asks the person at the terminal. *ret_name is what was typed where the name is needed. */
static bool ask(const struct plan *plan, char ret_name[MAX_ANSWER])
{
    ret_name[0] = '\0';
    if (service_needs_name(plan)) {
        fprintf(
            stderr,
            "\nThis destroys what belongs to a production deployment.\nType its name to approve: ");
        return read_answer(ret_name);
    }
    fprintf(stderr,
            "\n(Approval level: none. Whoever uses this account can answer; it proves no person.)\n"
            "Proceed with %s? (yes/no) ",
            plan->is_destroy ? "destruction" : "deployment");
    char answer[MAX_ANSWER];
    return read_answer(answer) && (text_equal(answer, "yes") || text_equal(answer, "y"));
}

/* Whether --approve names this plan: a prefix of its hash that is long enough to mean it. */
static bool is_named(const struct options *options, const struct plan *plan)
{
    return options->approve && strlen(options->approve) >= 12 &&
           text_starts_with(plan->hash, options->approve);
}

/* Gets the yes that this plan needs, from the options or from the terminal. Returns 0 or an exit
 * code. */
static int approve(struct cli *cli, const struct plan *plan)
{
    char name[MAX_ANSWER] = "";
    struct error err = {0};
    if (cli->options.approve && !is_named(&cli->options, plan)) {
        error_set(
            &err, ERROR_APPROVAL_NEEDED,
            "the plan now is %.12s, not %.12s: look at it again, then approve it by its hash (at least 12 digits)",
            plan->hash, cli->options.approve);
        return cli_fail(cli, &err);
    }
    bool is_given = cli->options.yes || is_named(&cli->options, plan);
    if (!is_given && !cli->is_terminal) {
        error_set(
            &err, ERROR_APPROVAL_NEEDED,
            "nobody can be asked here, so nothing was changed: give --approve %.12s, or --yes",
            plan->hash);
        return cli_fail(cli, &err);
    }
    if (!is_given && !ask(plan, name)) {
        fprintf(stderr, "Not approved; nothing was changed.\n");
        return EXIT_APPROVAL_NEEDED;
    }
    const char *confirmed = cli->options.confirm ? cli->options.confirm : name;
    int r = service_approve(cli->service, plan, confirmed, &err);
    return r < 0 ? cli_fail(cli, &err) : 0;
}

static void print_quick_actions(const struct plan *plan)
{
    printf("\nQuick Actions:\n"
           "  - Look at it any time: parley status %s\n"
           "  - Change it: edit the document, then run parley up with it again\n"
           "  - What was done: parley history %s\n"
           "  - Remove it: parley destroy %s\n",
           plan->deployment, plan->deployment, plan->deployment);
}

static void print_end(struct cli *cli, const struct plan *plan)
{
    CLEANUP(value_unrefp) struct value *status = NULL;
    CLEANUP(mem_freep) char *word = string_format("%s@%s", plan->deployment, plan->environment);
    if (cli->options.json || plan->is_destroy)
        return;
    if (service_await_status(cli->service, word, HEALTH_PATIENCE_US, &status, NULL) < 0)
        return;
    const struct value *sections = value_get(status, "sections");
    for (size_t i = 0; i < value_count(sections); i++) {
        const struct value *section = value_at(sections, i);
        const struct value *lines = value_get(section, "lines");
        printf("\n%s:\n", value_get_text(section, "title"));
        for (size_t k = 0; lines && k < value_count(lines); k++)
            printf("  - %s\n", value_text(value_at(lines, k)));
    }
    print_quick_actions(plan);
}

static int start_and_follow(struct cli *cli, const struct plan *plan)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *run_id = NULL;
    if (service_start_run(cli->service, plan, &run_id, &err) < 0)
        return cli_fail(cli, &err);
    if (!cli->options.json)
        printf("\nStarting %s of %s...\n\n", plan->is_destroy ? "destruction" : "deployment",
               plan->deployment);
    int exit_code = cli_follow(cli, run_id);
    if (exit_code == EXIT_DONE)
        print_end(cli, plan);
    return exit_code;
}

/* Shows a plan, gets its approval, carries it out. */
static int carry_out(struct cli *cli, const struct plan *plan)
{
    assert(plan);
    if (!cli->options.json)
        print_plan(plan, stdout);
    if (!plan_has_effects(plan))
        return EXIT_DONE;
    fflush(stdout);
    int r = approve(cli, plan);
    return r != 0 ? r : start_and_follow(cli, plan);
}

int command_up(struct cli *cli)
{
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = cli_open(cli);
    if (r != 0 || (r = make_plan(cli, false, &plan)) != 0)
        return r;
    return carry_out(cli, plan);
}

int command_destroy(struct cli *cli)
{
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = cli_open(cli);
    if (r != 0 || (r = make_plan(cli, true, &plan)) != 0)
        return r;
    return carry_out(cli, plan);
}

/* A plan from a file that -o wrote, or a stored one by its hash. */
static int read_plan(struct cli *cli, const char *word, struct plan **ret_plan)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(value_unrefp) struct value *value = NULL;
    size_t size = 0;
    int r;
    if (!world_file_exists(word)) {
        r = service_get_plan(cli->service, word, ret_plan, &err);
        return r < 0 ? cli_fail(cli, &err) : 0;
    }
    r = world_read_file(word, MAX_PLAN_BYTES, &text, &size, &err);
    if (r >= 0)
        r = json_read(text, size, &value, &err);
    if (r >= 0)
        r = plan_from_value(value, ret_plan, &err);
    if (r < 0)
        error_wrap(&err, r, "read the plan %s", word);
    return r < 0 ? cli_fail(cli, &err) : 0;
}

int command_apply(struct cli *cli)
{
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = cli_open(cli);
    if (r != 0 || (r = read_plan(cli, cli->options.words[0], &plan)) != 0)
        return r;
    return carry_out(cli, plan);
}

int command_resume(struct cli *cli)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *run_id = NULL;
    int r = cli_open(cli);
    if (r != 0)
        return r;
    if (service_resume_run(cli->service, cli->options.words[0], &run_id, &err) < 0)
        return cli_fail(cli, &err);
    return cli_follow(cli, run_id);
}

/* Loads the document that a command names; prints its faults. Returns 0 or an exit code. */
static int load_document(struct cli *cli, struct loaded_document *loaded)
{
    struct error err = {0};
    struct diagnostics diagnostics = {0};
    CLEANUP(value_unrefp) struct value *variables = take_variables(cli);
    const char *path = cli->options.words[0];
    struct document_source source = {path, NULL, variables};
    int r = service_load_document(cli->service, &source, loaded, &diagnostics, &err);
    cli_print_diagnostics(&diagnostics, path, loaded->text);
    diagnostics_done(&diagnostics);
    return r < 0 ? cli_fail(cli, &err) : 0;
}

int command_validate(struct cli *cli)
{
    struct loaded_document loaded = {0};
    int r = cli_open(cli);
    if (r == 0)
        r = load_document(cli, &loaded);
    if (r == 0)
        printf("%s is valid: %zu resources.\n", cli->options.words[0], loaded.wanted.n_items);
    loaded_document_done(&loaded);
    return r;
}

int command_expand(struct cli *cli)
{
    struct loaded_document loaded = {0};
    int r = cli_open(cli);
    if (r == 0)
        r = load_document(cli, &loaded);
    if (r == 0) {
        CLEANUP(mem_freep) char *text = service_expand(&loaded);
        fputs(text, stdout);
    }
    loaded_document_done(&loaded);
    return r;
}
