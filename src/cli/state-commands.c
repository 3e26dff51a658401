/* parley state check|repair|snapshot|restore */
#include "base/memory.h"
#include "base/text.h"
#include "cli/cli.h"

#include <stdio.h>

enum { MAX_ANSWER = 200 };

static void print_list(const struct value *list, const char *before)
{
    for (size_t i = 0; i < value_count(list); i++)
        printf("  %s%s\n", before, value_text(value_at(list, i)));
}

static void print_check(const struct value *report)
{
    const struct value *faults = value_get(report, "faults");
    const struct value *rows = value_get(report, "rows");
    if (value_count(faults) > 0) {
        printf("The store in %s is damaged:\n", value_get_text(report, "home"));
        print_list(faults, "");
        printf("\"parley state repair\" keeps what is whole; \"parley state restore\" brings a "
               "snapshot back.\n");
        return;
    }
    printf("The store in %s is whole: %lld deployments, %lld resources, %lld runs.\n",
           value_get_text(report, "home"), (long long)value_get_integer(rows, "deployments", 0),
           (long long)value_get_integer(rows, "records", 0),
           (long long)value_get_integer(rows, "runs", 0));
}

int command_state_check(struct cli *cli)
{
    struct verb_answer answer = {0};
    int r = cli_ask(cli, "state_check", &answer);
    if (r == 0 && cli->options.json)
        cli_print_json(answer.value);
    else if (r == 0)
        print_check(answer.value);
    if (r == 0 && value_count(value_get(answer.value, "faults")) > 0)
        r = EXIT_ERROR;
    verb_answer_done(&answer);
    return r;
}

static void print_repair(const struct value *report)
{
    const struct value *mended = value_get(report, "mended");
    const struct value *lost = value_get(report, "lost");
    const char *kept = value_get_text(report, "kept");
    if (value_count(mended) + value_count(lost) == 0 && !kept) {
        printf("The store is whole; nothing was changed.\n");
        return;
    }
    if (value_count(mended) > 0)
        printf("Mended, as its checksums prove:\n");
    print_list(mended, "");
    if (value_count(lost) > 0)
        printf("Lost:\n");
    print_list(lost, "");
    if (value_count(lost) > 0)
        printf("What exists and is not in the records any more comes back with \"parley state "
               "restore SNAPSHOT\".\n");
    if (kept)
        printf("The file as it was is %s.\n", kept);
}

int command_state_repair(struct cli *cli)
{
    struct verb_answer answer = {0};
    int r = cli_ask(cli, "state_repair", &answer);
    if (r == 0 && cli->options.json)
        cli_print_json(answer.value);
    else if (r == 0)
        print_repair(answer.value);
    if (r == 0 && value_count(value_get(answer.value, "lost")) > 0)
        r = EXIT_PARTLY;
    verb_answer_done(&answer);
    return r;
}

void render_snapshot(const struct value *answer, struct strbuf *buffer)
{
    strbuf_addf(buffer, "The snapshot is %s.\n", value_get_text(answer, "snapshot"));
}

/* --- Restore --- */

static void print_resource(const struct value *row)
{
    static const struct {
        const char *action;
        const char *mark;
        const char *words;
    } actions[] = {
        {"restore", "+", "the record comes back"},
        {"keep", "=", "the store has it"},
        {"forget", " ", "it is gone, and its record stays away"},
        {"leave", "!", "it stays as it is, without a record"},
    };
    const char *action = value_get_text(row, "action");
    const char *live = value_get_text(row, "live");
    for (size_t i = 0; i < ARRAY_LENGTH(actions); i++)
        if (text_equal(action, actions[i].action))
            printf("  %s %s \"%s\"  (%s; live: %s%s%s)\n", actions[i].mark,
                   value_get_text(row, "type"), value_get_text(row, "address"), actions[i].words,
                   live, value_get_text(row, "why") ? ": " : "",
                   value_get_text(row, "why") ? value_get_text(row, "why") : "");
}

static void print_deployment(const struct value *part)
{
    printf("\n%s@%s", value_get_text(part, "name"), value_get_text(part, "environment"));
    if (value_get_bool(part, "is_made_anew", false))
        printf(" was made anew since and stays as it is");
    else if (value_get_bool(part, "is_destroyed", false))
        printf(" was destroyed before the snapshot");
    printf("\n");
    const struct value *resources = value_get(part, "resources");
    for (size_t i = 0; i < value_count(resources); i++)
        print_resource(value_at(resources, i));
}

static void print_restore(const struct value *plan)
{
    const struct value *parts = value_get(plan, "deployments");
    bool replaces = value_get_bool(plan, "replaces_store", false);
    printf("Restore Plan\n============\n\n");
    printf("  %s\n",
           replaces ? "The store is damaged or gone: the snapshot takes its place, and what was "
                      "made after it is not in it."
                    : "The store can be read: it keeps all it knows and is given what it lacks.");
    printf("  Nothing outside is changed or deleted.\n");
    for (size_t i = 0; i < value_count(parts); i++)
        print_deployment(value_at(parts, i));
    printf("\nPlan hash: %.12s\n", value_get_text(plan, "hash"));
}

/* Returns 0 or an exit code. */
static int approve(struct cli *cli, const char *hash)
{
    struct error err = {0};
    char answer[MAX_ANSWER];
    if (cli->options.yes || cli_is_approved(&cli->options, hash))
        return 0;
    if (!cli->is_terminal || cli->options.approve) {
        error_set(
            &err, ERROR_APPROVAL_NEEDED,
            "nobody said yes to this restore, so nothing was changed: give --approve %.12s, or "
            "--yes",
            hash);
        return cli_fail(cli, &err);
    }
    if (cli_ask_person("\nBring these records back? (yes/no) ", answer, sizeof(answer)) &&
        (text_equal(answer, "yes") || text_equal(answer, "y")))
        return 0;
    fprintf(stderr, "Not approved; nothing was changed.\n");
    return EXIT_APPROVAL_NEEDED;
}

static int restore(struct cli *cli, const struct value *plan)
{
    struct error err = {0};
    CLEANUP(mem_freep) char *kept = NULL;
    const char *path = value_get_text(cli->options.input, "snapshot");
    const char *hash = value_get_text(plan, "hash");
    int r = approve(cli, hash);
    if (r != 0)
        return r;
    if (service_state_restore(cli->service, path, hash, &kept, &err) < 0)
        return cli_fail(cli, &err);
    fprintf(
        stderr,
        "%lld records came back; \"parley plan FILE\" shows what the document and what is there "
        "make of them.\n",
        (long long)value_get_integer(plan, "records", 0));
    if (kept)
        fprintf(stderr, "The file as it was is %s.\n", kept);
    return EXIT_DONE;
}

int command_state_restore(struct cli *cli)
{
    struct verb_answer answer = {0};
    int r = cli_ask(cli, "state_plan_restore", &answer);
    if (r == 0 && cli->options.json)
        cli_print_json(answer.value);
    else if (r == 0)
        print_restore(answer.value);
    fflush(stdout);
    if (r == 0 && (value_get_integer(answer.value, "records", 0) > 0 ||
                   value_get_bool(answer.value, "replaces_store", false)))
        r = restore(cli, answer.value);
    verb_answer_done(&answer);
    return r;
}
