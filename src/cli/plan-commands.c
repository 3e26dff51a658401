/* The commands that make, show and carry out plans. */
#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "cli/cli.h"
#include "model/json.h"
#include "render/plan-view.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_PLAN_BYTES = 512 << 20,
    MAX_ANSWER = 200,
    HEALTH_PATIENCE_US = 15000000,
    MIN_HASH_DIGITS = 12 /* of a hash that is meant as one */
};

static void print_plan(struct cli *cli, const struct plan *plan, const struct plan_view *view)
{
    struct strbuf buffer = {0};
    render_plan(plan, view, &buffer);
    cli_print_long(cli, strbuf_text(&buffer));
    strbuf_done(&buffer);
}

static int save_plan(struct cli *cli, const struct plan *plan)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *text = plan_text(plan);
    int r = world_write_file(cli->options.output, text, strlen(text), 0600, true, &err);
    if (r < 0)
        return cli_fail(cli, &err);
    fprintf(stderr, "The plan is saved; carry it out with \"parley apply %s\".\n",
            cli->options.output);
    return 0;
}

/* A stored plan by its hash, where what was typed is one and no file; else a new one. */
static int make_or_find(struct cli *cli, struct plan **ret_plan)
{
    const char *word = cli->options.word;
    size_t n_digits = word ? strspn(word, "0123456789abcdef") : 0;
    if (n_digits < MIN_HASH_DIGITS || word[n_digits] != '\0' || world_file_exists(word))
        return cli_ask_plan(cli, "plan_make", ret_plan);
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "plan", word);
    value_unref(cli->options.input);
    cli->options.input = value_builder_map(&fields);
    return cli_ask_plan(cli, "plan_show", ret_plan);
}

/* Prints what is wrong with the options and returns EXIT_ERROR; else 0. */
static int read_view(struct cli *cli, struct plan_view *ret_view)
{
    struct error err = {0};
    const struct options *options = &cli->options;
    struct plan_view_words words = {options->page, options->type, options->only, options->all};
    return plan_view_read(&words, ret_view, &err) < 0 ? cli_fail(cli, &err) : 0;
}

int command_plan(struct cli *cli)
{
    CLEANUP(plan_freep) struct plan *plan = NULL;
    struct plan_view view;
    int r = read_view(cli, &view);
    if (r == 0)
        r = make_or_find(cli, &plan);
    if (r != 0)
        return r;
    if (cli->options.json) {
        CLEANUP(value_unrefp) struct value *value = plan_view_to_value(plan, &view);
        cli_print_json(value);
    } else {
        print_plan(cli, plan, &view);
    }
    if (cli->options.output && (r = save_plan(cli, plan)) != 0)
        return r;
    return cli->options.detailed_exit_code && plan_has_effects(plan) ? EXIT_CHANGES_PENDING
                                                                     : EXIT_DONE;
}

int command_graph(struct cli *cli)
{
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = cli_ask_plan(cli, "plan_make", &plan);
    if (r != 0)
        return r;
    struct strbuf buffer = {0};
    render_graph(plan, &buffer);
    fputs(strbuf_text(&buffer), stdout);
    strbuf_done(&buffer);
    return EXIT_DONE;
}

/* Asks the person at the terminal. *ret_name is what was typed where the name is needed. */
static bool ask(const struct plan *plan, char ret_name[MAX_ANSWER])
{
    ret_name[0] = '\0';
    if (service_needs_name(plan))
        return cli_ask_person("\nThis destroys what belongs to a production deployment.\n"
                              "Type its name to approve: ",
                              ret_name, MAX_ANSWER);
    CLEANUP(mem_freep)
    char *question = string_format(
        "\n(Approval level: none. Whoever uses this account can answer; it proves no person.)\n"
        "Proceed with %s? (yes/no) ",
        plan->is_destroy ? "destruction" : "deployment");
    char answer[MAX_ANSWER];
    return cli_ask_person(question, answer, sizeof(answer)) &&
           (text_equal(answer, "yes") || text_equal(answer, "y"));
}

bool cli_is_approved(const struct options *options, const char *hash)
{
    return options->approve && strlen(options->approve) >= MIN_HASH_DIGITS &&
           text_starts_with(hash, options->approve);
}

bool cli_ask_person(const char *question, char *ret_answer, size_t size)
{
    fputs(question, stderr);
    if (!fgets(ret_answer, (int)size, stdin))
        return false;
    ret_answer[strcspn(ret_answer, "\r\n")] = '\0';
    return true;
}

int cli_approve(struct cli *cli, const struct plan *plan)
{
    char name[MAX_ANSWER] = "";
    struct error err = {0};
    if (cli->options.approve && !cli_is_approved(&cli->options, plan->hash)) {
        error_set(
            &err, ERROR_APPROVAL_NEEDED,
            "the plan now is %.12s, not %.12s: look at it again, then approve it by its hash (at least 12 digits)",
            plan->hash, cli->options.approve);
        return cli_fail(cli, &err);
    }
    struct consent consent = {
        .is_seen = cli_is_approved(&cli->options, plan->hash),
        .reverts = cli->options.revert,
        .name = cli->options.confirm ? cli->options.confirm : name,
    };
    bool is_given =
        consent.is_seen || (cli->options.yes && service_check_reverts(plan, &consent, &err) == 0);
    if (err.code && !cli->is_terminal)
        return cli_fail(cli, &err);
    error_done(&err);
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
    consent.is_seen = consent.is_seen || !is_given;
    int r = service_approve(cli->service, plan, &consent, &err);
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
    CLEANUP(value_unrefp) struct value *sections = NULL;
    CLEANUP(mem_freep) char *word = string_format("%s@%s", plan->deployment, plan->environment);
    if (cli->options.json || plan->is_destroy)
        return;
    if (service_await_sections(cli->service, word, HEALTH_PATIENCE_US, &sections, NULL) < 0)
        return;
    for (size_t i = 0; i < value_count(sections); i++) {
        const struct value *section = value_at(sections, i);
        const struct value *lines = value_get(section, "lines");
        printf("\n%s:\n", value_get_text(section, "title"));
        for (size_t k = 0; lines && k < value_count(lines); k++)
            printf("  - %s\n", value_text(value_at(lines, k)));
    }
    print_quick_actions(plan);
}

static void note_interrupt(void *argument, int number)
{
    struct cli *cli = argument;
    (void)number;
    cli->n_interrupts++;
}

/* From here on an interrupt is for the run. */
static int start_and_follow(struct cli *cli, const struct plan *plan)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *run_id = NULL;
    struct signal_watch *interrupt = loop_watch_signal(cli->loop, SIGINT, note_interrupt, cli);
    int exit_code;
    if (service_start_run(cli->service, plan, &run_id, &err) < 0) {
        exit_code = cli_fail(cli, &err);
    } else {
        if (!cli->options.json)
            printf("\nStarting %s of %s...\n\n", plan->is_destroy ? "destruction" : "deployment",
                   plan->deployment);
        exit_code = cli_follow_plan(cli, run_id, plan);
    }
    loop_unwatch_signal(interrupt);
    if (exit_code == EXIT_DONE)
        print_end(cli, plan);
    return exit_code;
}

/* What no way back could bring back is said before anybody approves. */
static void print_irreversible(const struct plan *plan)
{
    for (size_t i = 0; i < plan->n_steps; i++)
        if (plan->steps[i].irreversible)
            printf("A rollback could not bring back %s \"%s\".\n", plan->steps[i].type,
                   plan->steps[i].address);
}

/* The way back is a plan of its own: the yes to the first one was none to it. Returns an exit code:
 * that of a failure, since what was wanted is not there. */
static int roll_back(struct cli *cli, const struct plan *plan)
{
    struct value_builder fields = {0};
    CLEANUP(plan_freep) struct plan *back = NULL;
    CLEANUP(mem_freep) char *word = string_format("%s@%s", plan->deployment, plan->environment);
    value_builder_set_string(&fields, "deployment", word);
    value_unref(cli->options.input);
    cli->options.input = value_builder_map(&fields);
    if (cli_ask_plan(cli, "plan_rollback", &back) != 0)
        return EXIT_PARTLY;
    assert(back);
    if (!cli->options.json) {
        printf("\nThe way back:\n\n");
        print_plan(cli, back, &(struct plan_view){.is_all = cli->options.all});
    }
    fflush(stdout);
    if (!plan_has_effects(back))
        return EXIT_ERROR;
    cli->options.approve = NULL;
    if (cli_approve(cli, back) != 0 || start_and_follow(cli, back) != EXIT_DONE)
        return EXIT_PARTLY;
    fprintf(stderr, "%s is back where it was before the run.\n", word);
    return EXIT_ERROR;
}

/* The document that an edit made, once the plan it leads to is approved or changes nothing. */
static int write_document(struct cli *cli)
{
    struct error err = {0};
    if (!cli->document_path)
        return 0;
    int r = cli_write_document(cli->document_path, cli->document_text, &err);
    return r < 0 ? cli_fail(cli, &err) : 0;
}

int cli_show_plan(struct cli *cli, const struct plan *plan)
{
    struct plan_view view;
    int r = read_view(cli, &view);
    if (r == 0 && !cli->options.json)
        print_plan(cli, plan, &view);
    fflush(stdout);
    return r;
}

int cli_carry_out(struct cli *cli, const struct plan *plan)
{
    struct error err = {0};
    bool is_approved = false;
    struct plan_view view;
    assert(plan);
    int r = read_view(cli, &view);
    if (r != 0)
        return r;
    if (!cli->options.json)
        print_plan(cli, plan, &view);
    if (!plan_has_effects(plan))
        return write_document(cli);
    if (cli->options.rollback && !cli->options.json)
        print_irreversible(plan);
    fflush(stdout);
    if (service_is_approved(cli->service, plan, &is_approved, &err) < 0)
        return cli_fail(cli, &err);
    r = is_approved ? 0 : cli_approve(cli, plan);
    if (r == 0)
        r = write_document(cli);
    if (r == 0)
        r = start_and_follow(cli, plan);
    return r == EXIT_PARTLY && cli->options.rollback ? roll_back(cli, plan) : r;
}

/* Whichever plan its verb makes: of a document, or of a removal. */
int command_up(struct cli *cli)
{
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = cli_ask_plan(cli, cli->options.command->verb, &plan);
    return r != 0 ? r : cli_carry_out(cli, plan);
}

/* A plan from a file that plan -o wrote. */
static int read_plan_file(struct cli *cli, const char *path, struct plan **ret_plan)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(value_unrefp) struct value *value = NULL;
    size_t size = 0;
    int r = world_read_file(path, MAX_PLAN_BYTES, &text, &size, &err);
    if (r >= 0)
        r = json_read(text, size, &value, &err);
    if (r >= 0)
        r = plan_from_value(value, ret_plan, &err);
    if (r < 0)
        error_wrap(&err, r, "read the plan %s", path);
    return r < 0 ? cli_fail(cli, &err) : 0;
}

int command_apply(struct cli *cli)
{
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = world_file_exists(cli->options.word) ? read_plan_file(cli, cli->options.word, &plan)
                                                 : cli_ask_plan(cli, "plan_show", &plan);
    return r != 0 ? r : cli_carry_out(cli, plan);
}

int command_expand(struct cli *cli)
{
    struct verb_answer answer = {0};
    int r = cli_ask(cli, "document_expand", &answer);
    if (r == 0 && cli->options.json)
        cli_print_json(answer.value);
    else if (r == 0)
        fputs(value_get_text(answer.value, "document"), stdout);
    verb_answer_done(&answer);
    return r;
}
